//go:build linux

package stock_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/skyweld/skyweld/lab/world"
)

// hypervisor runs a lab's machines as virtual ones: a stock Debian in qemu, which has the network interface that the lab
// made for the machine. It emulates the processor; hardware's help isn't to be had everywhere.
type hypervisor struct {
	image     string // folder with disk.ext4, vmlinuz and initrd.img
	dir       string // disks and consoles
	namespace func(machine string) string

	mu       sync.Mutex
	machines map[string]*virtual
}

// virtual is one machine that runs.
type virtual struct {
	qemu  *exec.Cmd
	ended chan struct{} // closed when nothing of it runs any more
}

// memory of a machine in MiB; a cloud's smallest that Kubernetes wants is 2 GiB.
const memory = 2048

// StartMachine boots a machine; its disk is a copy of the image at the first time.
func (h *hypervisor) StartMachine(ctx context.Context, m world.Machine) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.machines[m.ID] != nil {
		return nil
	}
	disk := filepath.Join(h.dir, m.ID+".disk")
	if _, err := os.Stat(disk); errors.Is(err, os.ErrNotExist) {
		if err := run(ctx, "cp", "--sparse=always", filepath.Join(h.image, "disk.ext4"), disk); err != nil {
			return fmt.Errorf("disk of machine %s: %w", m.ID, err)
		}
	}
	at := h.namespace(m.ID)
	nics, err := plug(ctx, filepath.Base(at), func(_ int, n nic) string { return "tuntap add " + n.tap() + " mode tap vnet_hdr" })
	if err != nil || len(nics) != 1 {
		return fmt.Errorf("%d interfaces of machine %s: %w", len(nics), m.ID, err)
	}
	nic := nics[0]
	log := filepath.Join(h.dir, m.ID+".log")
	addresses, err := inNamespace(at, log, dhcp(nic))
	if err != nil {
		return fmt.Errorf("machine %s: %w", m.ID, err)
	}
	v := &virtual{ended: make(chan struct{})}
	if v.qemu, err = inNamespace(at, log, h.qemu(m.ID, disk, nic)); err != nil {
		_, _ = addresses.Process.Kill(), addresses.Wait() // the first error is the one to tell
		return fmt.Errorf("machine %s: %w", m.ID, err)
	}
	h.machines[m.ID] = v
	go func() {
		// However it was switched off, the other program goes with it.
		_, _, _ = v.qemu.Wait(), addresses.Process.Kill(), addresses.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.machines[m.ID] == v {
			delete(h.machines, m.ID)
		}
		close(v.ended)
	}()
	return nil
}

// qemu is the command line of a machine as EC2's are: cloud-init knows them by what their firmware says.
func (h *hypervisor) qemu(id, disk string, nic nic) []string {
	uuid := ec2UUID(id)
	return []string{
		"qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", fmt.Sprint(memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "file:" + h.console(id),
		"-smbios", "type=1,manufacturer=Amazon EC2,product=m6i.large,uuid=" + uuid + ",serial=" + uuid,
		"-kernel", filepath.Join(h.image, "vmlinuz"), "-initrd", filepath.Join(h.image, "initrd.img"), "-append", "root=/dev/vda rw console=ttyS0 quiet",
		"-drive", "file=" + disk + ",if=virtio,format=raw,cache=unsafe", "-device", "virtio-rng-pci",
		"-netdev", "tap,id=wire,ifname=" + nic.tap() + ",script=no,downscript=no", "-device", "virtio-net-pci,netdev=wire,mac=" + nic.mac,
	}
}

// ec2UUID is a machine's UUID as EC2 makes them.
func ec2UUID(id string) string {
	sum := sha256.Sum256([]byte(id))
	uuid := fmt.Sprintf("ec2%x-%x-%x-%x-%x", sum[:3], sum[3:5], sum[5:7], sum[7:9], sum[9:15])
	return uuid[:8] + uuid[9:] // the first part has eight digits
}

// inNamespace runs a program in a network namespace; it ends with this process at the latest.
func inNamespace(namespace, log string, args []string) (*exec.Cmd, error) {
	to, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	c := exec.Command("nsenter", append([]string{"--net=" + namespace, "--"}, args...)...)
	c.Stdout, c.Stderr, c.SysProcAttr = to, to, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	return c, nil
}

// StopMachine pulls the plug.
func (h *hypervisor) StopMachine(ctx context.Context, id string) error {
	h.mu.Lock()
	v := h.machines[id]
	delete(h.machines, id)
	h.mu.Unlock()
	if v == nil {
		return nil
	}
	if err := v.qemu.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop machine %s: %w", id, err)
	}
	select {
	case <-v.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop machine %s: %w", id, ctx.Err())
	}
}

// DestroyMachine removes the disk too.
func (h *hypervisor) DestroyMachine(ctx context.Context, id string) error {
	if err := h.StopMachine(ctx, id); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(h.dir, id+".disk"))
}

// MachineState says whether qemu runs.
func (h *hypervisor) MachineState(id string) world.MachineState {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.machines[id] != nil {
		return world.Running
	}
	return world.Stopped
}

// Console is the end of what came out of the serial line.
func (h *hypervisor) Console(id string) []byte {
	f, err := os.Open(h.console(id))
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		_, _ = f.Seek(max(0, info.Size()-64<<10), io.SeekStart) // or all of it
	}
	data, _ := io.ReadAll(f) // what can be read
	return data
}

func (h *hypervisor) console(id string) string { return filepath.Join(h.dir, id+".console") }

func (h *hypervisor) close() {
	h.mu.Lock()
	var ids []string
	for id := range h.machines {
		ids = append(ids, id)
	}
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, id := range ids {
		_ = h.StopMachine(ctx, id) // it dies with this process otherwise
	}
}

// nic is an interface that the lab gave a machine.
type nic struct {
	device, mac string
	mtu         int
	// address is the first that it has.
	address netip.Prefix
	// gateway is not valid where the way out leads over another interface.
	gateway netip.Addr
}

// bridge and tap are the devices that hand the lab's interface on to the machine.
func (n nic) bridge() string { return "br-" + n.device }
func (n nic) tap() string    { return "tap-" + n.device }

// plug takes the lab's interfaces of a namespace for the machine: their addresses and hardware addresses are the machine's
// from now on, and their frames go over a bridge to a port, which an ip(8) command makes under the name of tap.
func plug(ctx context.Context, namespace string, port func(i int, n nic) string) ([]nic, error) {
	nics, err := readNICs(ctx, namespace)
	if err != nil {
		return nil, err
	}
	for i, n := range nics {
		for _, args := range []string{
			"addr flush dev " + n.device,
			fmt.Sprintf("link set %s address 02:00:00:00:01:%02x", n.device, i),
			fmt.Sprintf("link add %s address 02:00:00:00:02:%02x mtu %d type bridge stp_state 0 forward_delay 0", n.bridge(), i, n.mtu),
			port(i, n),
			fmt.Sprintf("link set %s mtu %d master %s up", n.tap(), n.mtu, n.bridge()),
			fmt.Sprintf("link set %s master %s", n.device, n.bridge()),
			fmt.Sprintf("link set %s up", n.bridge()),
			fmt.Sprintf("addr add 169.254.0.1/32 dev %s", n.bridge()), // the DHCP server's own
		} {
			if err := run(ctx, "ip", append([]string{"-n", namespace}, strings.Fields(args)...)...); err != nil {
				return nil, err
			}
		}
	}
	return nics, nil
}

// readNICs looks at the interfaces besides lo.
func readNICs(ctx context.Context, namespace string) (nics []nic, err error) {
	var links []struct {
		Name      string `json:"ifname"`
		MAC       string `json:"address"`
		MTU       int    `json:"mtu"`
		Addresses []struct {
			Family string `json:"family"`
			Local  string `json:"local"`
			Bits   int    `json:"prefixlen"`
		} `json:"addr_info"`
	}
	var routes []struct {
		Device  string     `json:"dev"`
		Gateway netip.Addr `json:"gateway"`
	}
	for _, q := range []struct {
		into any
		args []string
	}{{&links, []string{"addr", "show"}}, {&routes, []string{"route", "show", "default"}}} {
		out, err := exec.CommandContext(ctx, "ip", append([]string{"-n", namespace, "-j"}, q.args...)...).Output()
		if err == nil {
			err = json.Unmarshal(out, q.into)
		}
		if err != nil {
			return nil, fmt.Errorf("ip %s: %w", strings.Join(q.args, " "), err)
		}
	}
	for _, l := range links {
		n := nic{device: l.Name, mac: l.MAC, mtu: l.MTU}
		for _, a := range l.Addresses {
			if a.Family != "inet" || n.address.IsValid() {
				continue
			}
			if n.address, err = netip.ParsePrefix(fmt.Sprintf("%s/%d", a.Local, a.Bits)); err != nil {
				return nil, err
			}
		}
		if l.Name == "lo" || !n.address.IsValid() {
			continue
		}
		for _, r := range routes {
			if r.Device == l.Name {
				n.gateway = r.Gateway
			}
		}
		nics = append(nics, n)
	}
	if len(nics) == 0 || len(routes) == 0 {
		return nil, fmt.Errorf("namespace %s has no interface with an address and a way out", namespace)
	}
	return nics, nil
}

// dhcp is the command line of a server that gives the machine the address that the lab meant for it, for ever, and tells it
// what else the cloud's does. The lab itself answers for names.
func dhcp(n nic, more ...string) []string {
	network := n.address.Masked().Addr().String()
	mask := net.IP(net.CIDRMask(n.address.Bits(), 32)).String()
	return append([]string{
		"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--group=root", "--pid-file", "--leasefile-ro", "--log-facility=-",
		"--interface=" + n.bridge(), "--shared-network=" + n.bridge() + "," + network, "--dhcp-range=" + network + ",static," + mask + ",infinite",
		"--dhcp-host=" + n.mac + "," + n.address.Addr().String(), "--dhcp-option=3," + n.gateway.String(), "--dhcp-option=6,169.254.169.253",
		fmt.Sprintf("--dhcp-option=26,%d", n.mtu),
	}, more...)
}

// run runs a program; what it said is in the error.
func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
