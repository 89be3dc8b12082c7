//go:build linux

package fabric

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/lab/world"
)

const rtt = 6 * time.Millisecond

// needRoot skips a test that makes namespaces when it cannot.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skipf("needs TUN devices: %v", err)
	}
}

// testFabric is a fabric with two regions a few milliseconds apart, whose metadata service says who asks.
func testFabric(t testing.TB, dir string) *Fabric {
	t.Helper()
	f, err := New(Config{
		Name: fmt.Sprintf("t%d", os.Getpid()),
		Dir:  dir,
		Delay: func(fromCloud, _, toCloud, _ string) time.Duration {
			if fromCloud == toCloud {
				return 0
			}
			return rtt / 2
		},
		Metadata: func(cloud, network string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				host, _, _ := net.SplitHostPort(r.RemoteAddr)
				fmt.Fprintf(w, "%s %s %s", cloud, network, host)
			})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

var anywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}

func allowAll() []world.Rule { return []world.Rule{{Allow: true, Remote: anywhere}} }

func allowPort(protocol string, port uint16, from string) world.Rule {
	return world.Rule{Allow: true, Protocol: protocol, FromPort: port, ToPort: port, Remote: []netip.Prefix{netip.MustParsePrefix(from)}}
}

// site is a network of two machines, <cloud>1 and <cloud>2, with public addresses and everything allowed.
func site(cloud string) world.Network {
	third, public, bits, mtu := 64, 1, 20, 9001
	if cloud == "gcp" {
		third, public, bits, mtu = 65, 2, 32, 1460
	}
	n := world.Network{ID: cloud + "-net", Cloud: cloud, Region: cloud + "-region"}
	for i := 1; i <= 2; i++ {
		n.NICs = append(n.NICs, world.NIC{
			ID: fmt.Sprintf("%s-nic%d", cloud, i), Machine: fmt.Sprintf("%s%d", cloud, i), Device: "eth0",
			MAC:     fmt.Sprintf("0a:00:00:00:%02x:%02x", third, i),
			Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(third), 0, byte(10 + i)}), bits),
			Gateway: netip.AddrFrom4([4]byte{10, byte(third), 0, 1}), MTU: mtu,
			Public: netip.AddrFrom4([4]byte{198, 18, byte(public), byte(10 + i)}), Internet: true,
			Inbound: allowAll(), Outbound: allowAll(),
		})
	}
	return n
}

func set(t testing.TB, f *Fabric, n world.Network) {
	t.Helper()
	if err := f.SetNetwork(context.Background(), n); err != nil {
		t.Fatal(err)
	}
}

// within runs f in a machine's namespace.
func within(t testing.TB, f *Fabric, machine string, do func() error) {
	t.Helper()
	if err := inMachine(f, machine, do); err != nil {
		t.Fatalf("in machine %s: %v", machine, err)
	}
}

func inMachine(f *Fabric, machine string, do func() error) error {
	return Within(f.MachineNamespace(machine), do)
}

// serve answers on a port of a machine, TCP and UDP, with the address of who asks.
func serve(t testing.TB, f *Fabric, machine string, port int) {
	t.Helper()
	within(t, f, machine, func() error {
		at := fmt.Sprintf("0.0.0.0:%d", port)
		config := net.ListenConfig{}
		config.SetMultipathTCP(false)
		l, err := config.Listen(context.Background(), "tcp4", at)
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				fmt.Fprintln(c, host)
				// A machine that is gone never says goodbye.
				t.Cleanup(func() { c.Close() })
				go func() {
					defer c.Close()
					_, _ = io.Copy(c, c)
				}()
			}
		}()
		p, err := net.ListenPacket("udp4", at)
		if err != nil {
			return err
		}
		t.Cleanup(func() { p.Close() })
		go func() {
			b := make([]byte, 65536)
			for {
				_, from, err := p.ReadFrom(b)
				if err != nil {
					return
				}
				host, _, _ := net.SplitHostPort(from.String())
				_, _ = p.WriteTo([]byte(host+"\n"), from)
			}
		}()
		return nil
	})
}

// An answer comes within milliseconds, so silence is known soon; one that is expected is waited for on a busy computer.
const (
	impatient = 250 * time.Millisecond
	patient   = 5 * time.Second
)

// ask connects from a machine and returns what the other end says the caller's address is.
func ask(f *Fabric, machine, network, to string, wait time.Duration) (answer string, err error) {
	err = inMachine(f, machine, func() error {
		answer, err = askHere(network, to, nil, wait)
		return err
	})
	return answer, err
}

func askHere(network, to string, local net.Addr, wait time.Duration) (string, error) {
	c, err := (&net.Dialer{Timeout: wait, LocalAddr: local}).Dial(network, to)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return "", err
	}
	if network == "udp4" {
		if _, err := c.Write([]byte("?")); err != nil {
			return "", err
		}
	}
	b := make([]byte, 64)
	n, err := c.Read(b)
	return strings.TrimSpace(string(b[:n])), err
}

func wantAnswer(t *testing.T, f *Fabric, machine, network, to, want string) {
	t.Helper()
	got, err := ask(f, machine, network, to, patient)
	if err != nil || got != want {
		t.Errorf("%s from %s to %s: answer %q, error %v; want answer %q", network, machine, to, got, err, want)
	}
}

func wantSilence(t *testing.T, f *Fabric, machine, network, to string) {
	t.Helper()
	got, err := ask(f, machine, network, to, impatient)
	var timeout net.Error
	if got != "" || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%s from %s to %s: answer %q, error %v; want silence", network, machine, to, got, err)
	}
}
