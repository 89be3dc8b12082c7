package agent

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/skyweld/skyweld/agent/bundle"
	"github.com/skyweld/skyweld/agent/firewall"
	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/agent/tunnel"
	"github.com/skyweld/skyweld/mesh"
	"github.com/skyweld/skyweld/node"
)

// containerdStart bounds how long containerd may take until it answers.
const containerdStart = time.Minute

// networkdFile keeps systemd-networkd from removing routes and rules that it didn't make (networkd.conf(5)).
const networkdFile = "/etc/systemd/networkd.conf.d/50-skyweld.conf"

// step is one part of a node's state. It says in words what it changed, also when it fails.
type step struct {
	name string
	do   func(ctx context.Context, c node.Config) ([]string, error)
}

// networkSteps are what a machine needs to be a part of the cluster's network again after a restart.
func (d *daemon) networkSteps() []step {
	return []step{
		{"hosts", d.applyHosts},
		{"tunnel", d.applyTunnel},
		{"kernel settings", d.applySysctls},
		{"firewall", d.applyFirewall},
		{"balancer", func(_ context.Context, c node.Config) ([]string, error) { return d.balancer.Set(c.Balancer) }},
		{"latency echo", func(_ context.Context, c node.Config) ([]string, error) {
			return d.echo.Set(c.Address, c.Tunnel.Internal)
		}},
		{"pod devices", d.applyPodDevices},
		{"ways to other sites", func(_ context.Context, c node.Config) ([]string, error) {
			d.watch.Set(c)
			return nil, nil
		}},
		{"sink", func(_ context.Context, c node.Config) ([]string, error) {
			if !c.Measures {
				return d.sink.Set(netip.Addr{}, nil)
			}
			return d.sink.Set(c.Address, c.Tunnel.Internal)
		}},
	}
}

// nodeSteps are what makes it able to run pods.
func (d *daemon) nodeSteps() []step {
	return []step{
		{"pod network", d.applyCNI},
		{"bundle", d.applyBundle},
	}
}

// walk does the steps in order and says in words what they changed.
func (d *daemon) walk(ctx context.Context, steps []step, c node.Config) ([]string, error) {
	changed := []string{}
	for _, s := range steps {
		did, err := s.do(ctx, c)
		changed = append(changed, did...)
		for _, what := range did {
			d.log.Info("changed", "revision", c.Revision, "what", what)
		}
		if err != nil {
			return changed, fmt.Errorf("node %s, %s: %w", c.Name, s.name, err)
		}
	}
	return changed, nil
}

// report turns "was it changed" into words.
func report(changed bool, err error, words string) ([]string, error) {
	if !changed {
		return nil, err
	}
	return []string{words}, err
}

func (d *daemon) applyHosts(_ context.Context, c node.Config) ([]string, error) {
	old, err := d.machine.Read(hostsFile)
	if err != nil {
		return nil, err
	}
	changed, err := d.machine.Write(hostsFile, []byte(withHosts(string(old), c.Hosts)), 0o644)
	return report(changed, err, "wrote names into "+hostsFile)
}

func (d *daemon) applyTunnel(ctx context.Context, c node.Config) ([]string, error) {
	var changed []string
	if d.machine.Facts.Systemd {
		text := "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n"
		did, err := d.machine.Write(networkdFile, []byte(text), 0o644)
		if changed, err = report(did, err, "wrote "+networkdFile); err != nil {
			return changed, err
		}
	}
	// The kernel's WireGuard turns this off for the whole machine when its device comes up (drivers/net/wireguard/device.c).
	if err := d.machine.KeepSysctl("net/ipv4/conf/all/send_redirects"); err != nil {
		return changed, err
	}
	key, err := tunnelKey(d.machine)
	if err != nil {
		return changed, err
	}
	did, err := tunnel.Apply(ctx, d.tunnel, c.Tunnel, key.PublicKey().String())
	return append(changed, did...), err
}

// applySysctls turns the machine into a router that takes packets also where it would send the answer another way: a
// packet from a node of another site to a pod comes by the tunnel, and so does one that a pod of the same site sends.
func (d *daemon) applySysctls(_ context.Context, c node.Config) ([]string, error) {
	underlays, err := host.Underlays(c.Address)
	if err != nil {
		return nil, err
	}
	settings := [][2]string{{"net/ipv4/ip_forward", "1"}, {"net/ipv4/conf/" + mesh.Device + "/rp_filter", "2"}}
	for _, name := range underlays {
		settings = append(settings, [2]string{"net/ipv4/conf/" + name + "/rp_filter", "2"})
	}
	var changed []string
	for _, s := range settings {
		did, err := d.machine.SetSysctl(s[0], s[1])
		if err != nil {
			return changed, err
		}
		if did {
			changed = append(changed, fmt.Sprintf("set kernel setting %s to %s", s[0], s[1]))
		}
	}
	return changed, nil
}

func (d *daemon) applyFirewall(ctx context.Context, c node.Config) ([]string, error) {
	underlays, err := host.Underlays(c.Address)
	if err != nil {
		return nil, err
	}
	return firewall.Apply(ctx, d.machine, c.Tunnel, underlays)
}

func (d *daemon) applyCNI(_ context.Context, c node.Config) ([]string, error) {
	config, err := cniConfig(c.Tunnel)
	if err != nil {
		return nil, err
	}
	changed, err := d.machine.Write(cniFile, config, 0o644)
	return report(changed, err, "wrote pod network into "+cniFile)
}

// applyPodDevices follows a change of the packet size in pods that run: they would notice only when their packets are lost.
func (d *daemon) applyPodDevices(_ context.Context, c node.Config) ([]string, error) {
	pods, err := d.machine.SetPodMTU(c.Tunnel.MTU)
	return report(pods > 0, err, fmt.Sprintf("set MTU of %d pods to %d", pods, c.Tunnel.MTU))
}

// applyBundle installs the node's programs, then starts the container runtime, which the images need, then the rest.
func (d *daemon) applyBundle(ctx context.Context, c node.Config) ([]string, error) {
	if c.Bundle.URL == "" {
		return nil, nil
	}
	installer, err := bundle.Open(ctx, d.machine, c.Bundle, c.Role)
	if err != nil {
		return nil, err
	}
	defer installer.Close()
	changed, err := installer.Files(ctx)
	if err != nil {
		return changed, err
	}
	did, err := d.startContainerd(ctx, installer.Manifest().Pause(), len(changed) > 0)
	changed = append(changed, did...)
	if err != nil {
		return changed, err
	}
	did, err = installer.Images(ctx)
	changed = append(changed, did...)
	if err != nil {
		return changed, err
	}
	if err := d.keepSysctls(); err != nil {
		return changed, err
	}
	started, err := d.machine.EnsureService(ctx, kubeletUnit(c.Kubelet))
	did, err = report(started, err, "set up service "+kubeletService)
	return append(changed, did...), err
}

// keepServices starts what somebody stopped. While kubeadm is at work, that decides itself what runs.
func (d *daemon) keepServices(ctx context.Context, c node.Config) ([]string, error) {
	if c.Bundle.URL == "" || !d.joining.TryLock() {
		return nil, nil
	}
	defer d.joining.Unlock()
	if done, err := joined(d.machine); done == "" || err != nil {
		return nil, err
	}
	for _, name := range []string{containerdService, kubeletService} {
		if err := d.machine.StartService(ctx, name); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// changedByKubernetes are the kernel settings that the kubelet (pkg/kubelet/cm, setupKernelTunables) and kube-proxy
// (cmd/kube-proxy/app, conntrack) change when they start.
var changedByKubernetes = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
	"net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_tcp_timeout_established", "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
}

// keepSysctls remembers those settings until the machine is a node.
func (d *daemon) keepSysctls() error {
	if d.machine.Exists(kubeletConfigFile) {
		return nil
	}
	for _, name := range changedByKubernetes {
		if err := d.machine.KeepSysctl(name); err != nil {
			return err
		}
	}
	return nil
}

// startContainerd brings containerd up with its config. New programs need a new start as much as a new config does.
func (d *daemon) startContainerd(ctx context.Context, pause string, renewed bool) ([]string, error) {
	configured, err := d.machine.Write(containerdConfigFile, []byte(containerdConfig(d.machine.Facts, pause)), 0o644)
	changed, err := report(configured, err, "wrote "+containerdConfigFile)
	if err != nil {
		return changed, err
	}
	started, err := d.machine.EnsureService(ctx, containerdUnit())
	did, err := report(started, err, "set up service "+containerdService)
	changed = append(changed, did...)
	if err != nil {
		return changed, err
	}
	if (configured || renewed) && !started {
		if err := d.machine.RestartService(ctx, containerdService); err != nil {
			return changed, err
		}
		changed = append(changed, "restarted service "+containerdService)
	}
	return changed, waitSocket(ctx, d.machine.Path(containerdSocket), containerdStart)
}

// waitSocket waits until somebody answers on a unix socket.
func waitSocket(ctx context.Context, name string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		connection, err := (&net.Dialer{}).DialContext(ctx, "unix", name)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for an answer on %s: %w", name, err)
		case <-tick.C:
		}
	}
}

// notifyReady tells systemd that a service is up (sd_notify(3)); without systemd there is nobody to tell.
func notifyReady() error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	connection, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	defer connection.Close()
	if _, err := connection.Write([]byte("READY=1")); err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	return nil
}
