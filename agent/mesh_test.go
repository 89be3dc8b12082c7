package agent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/agent/probe"
	"github.com/skyweld/skyweld/mesh"
)

// ask connects from a namespace to an address and gives the address that the other side saw.
func (w *world) ask(netns string, to netip.Addr, patience string) (string, error) {
	out, err := self("ip", "netns", "exec", netns, program(w.t), "ask", netip.AddrPortFrom(to, 8080).String(), patience).Output()
	return string(out), err
}

// reaches checks every way between two machines and their pods.
func (w *world) reaches(from, to *namespaceMachine) {
	w.t.Helper()
	pod := w.prefix + "-pod-" + from.member.Name
	gateway := from.member.Pods.Addr().Next().String()
	for _, c := range []struct {
		name  string
		netns string
		to    netip.Addr
		seen  string
	}{
		{"pod to pod", pod, to.podAddr, from.podAddr.String()},
		{"pod to node", pod, to.member.Address, from.podAddr.String()},
		{"node to pod", from.netns, to.podAddr, gateway},
		{"node to node", from.netns, to.member.Address, from.member.Address.String()},
	} {
		if got, err := w.ask(c.netns, c.to, "10s"); err != nil || got != c.seen {
			w.t.Errorf("%s, %s to %s: the other side saw %q (%v), want %q", c.name, from.member.Name, to.member.Name, got, err, c.seen)
		}
	}
}

func (w *world) dropped() string {
	w.t.Helper()
	return w.in(w.prefix+"-router", "nft", "list", "counter", "ip", "fabric", "dropped")
}

func TestMesh(t *testing.T) {
	w := newWorld(t, "a1", "a2", "b1")
	a1, a2, b1 := w.machines[0], w.machines[1], w.machines[2]
	for _, m := range w.machines {
		m.start()
	}
	configs := w.configs(1, a1, a2, b1)
	for _, m := range w.machines {
		report, err := m.apply(configs[m.member.Name])
		if err != nil {
			t.Fatalf("%v\n%s", err, m.log)
		}
		if report.Revision != 1 || len(report.Changed) == 0 {
			t.Errorf("first apply on %s reports %+v", m.member.Name, report)
		}
		t.Logf("%s: %s", m.member.Name, strings.Join(report.Changed, "; "))
	}
	for _, from := range w.machines {
		for _, to := range w.machines {
			if from != to {
				w.reaches(from, to)
			}
		}
	}
	if counter := w.dropped(); !strings.Contains(counter, "packets 0 ") {
		t.Errorf("the fabric dropped packets that should have been in the tunnel: %s", counter)
	}
	for _, m := range w.machines {
		if report, err := m.apply(configs[m.member.Name]); err != nil || len(report.Changed) > 0 {
			t.Errorf("second apply on %s: %v, %v", m.member.Name, report.Changed, err)
		}
	}
	w.measures(a1, b1)
	w.restarts(a1, b1)
	w.leaves(a1, a2, b1)
	w.cleans(a1)
}

// TestMeshTwoInterfaces holds the same where machines have their public address themselves, on another interface than the
// private one: nodes are known by the private one, peers of the same site are reached over its interface and others over
// the public one, and nothing that should be in the tunnel leaves by either.
func TestMeshTwoInterfaces(t *testing.T) {
	w := newWorld(t, "a1", "d1", "d2")
	a1, d1, d2 := w.machines[0], w.machines[1], w.machines[2]
	for _, m := range w.machines {
		m.start()
	}
	configs := w.configs(1, a1, d1, d2)
	for _, m := range w.machines {
		if _, err := m.apply(configs[m.member.Name]); err != nil {
			t.Fatalf("%v\n%s", err, m.log)
		}
	}
	for _, from := range w.machines {
		for _, to := range w.machines {
			if from != to {
				w.reaches(from, to)
			}
		}
	}
	if counter := w.dropped(); !strings.Contains(counter, "packets 0 ") {
		t.Errorf("the fabric dropped packets that should have been in the tunnel, or left by another interface: %s", counter)
	}
	w.cleans(d1)
}

// measures checks that latency is measured inside the tunnel.
func (w *world) measures(from, to *namespaceMachine) {
	w.t.Helper()
	var results []probe.Result
	if err := from.call(nil, &results, "latency", "--count", "5", to.member.Address.String()); err != nil {
		w.t.Fatal(err)
	}
	if len(results) != 1 || results[0].Peer != to.member.Name || results[0].Received != 5 || results[0].P50 <= 0 || results[0].P99 < results[0].Min {
		w.t.Errorf("latency is %+v", results)
	}
}

// restarts checks that an agent that comes back brings the network back by itself.
func (w *world) restarts(from, to *namespaceMachine) {
	w.t.Helper()
	from.stop()
	if _, err := w.ask(w.prefix+"-pod-"+from.member.Name, to.podAddr, "300ms"); err == nil && !kernelTunnel(from) {
		w.t.Error("a pod is reached without the tunnel")
	}
	from.start()
	w.reaches(from, to)
}

func kernelTunnel(m *namespaceMachine) bool {
	out, err := m.inside("ip", "-d", "link", "show", mesh.Device).Output()
	return err == nil && strings.Contains(string(out), "wireguard")
}

// leaves checks that a peer that is no longer in the config is gone, and refusals.
func (w *world) leaves(a1, a2, b1 *namespaceMachine) {
	w.t.Helper()
	configs := w.configs(2, a1, b1)
	for _, m := range []*namespaceMachine{a1, b1} {
		report, err := m.apply(configs[m.member.Name])
		if err != nil {
			w.t.Fatal(err)
		}
		if !slices.ContainsFunc(report.Changed, func(s string) bool { return strings.HasPrefix(s, "removed peer") }) {
			w.t.Errorf("no peer was removed from %s: %v", m.member.Name, report.Changed)
		}
	}
	w.reaches(a1, b1)
	if out, err := a1.inside("ip", "route", "show", "table", "all").Output(); err != nil || strings.Contains(string(out), a2.member.Pods.String()) {
		w.t.Errorf("the route to the peer that left is still there: %v\n%s", err, out)
	}
	old := configs["a1"]
	old.Revision = 1
	if _, err := a1.apply(old); err == nil || !strings.Contains(err.Error(), "older") {
		w.t.Errorf("an older config: %v", err)
	}
	other := configs["a1"]
	other.Cluster = "c2"
	if _, err := a1.apply(other); err == nil || !strings.Contains(err.Error(), "belongs to cluster") {
		w.t.Errorf("another cluster's config: %v", err)
	}
}

// cleans checks that nothing is left after uninstall.
func (w *world) cleans(m *namespaceMachine) {
	w.t.Helper()
	m.stop()
	if err := m.call(nil, nil, "uninstall"); err != nil {
		w.t.Fatal(err)
	}
	for what, args := range map[string][]string{
		"device": {"ip", "link"}, "routes": {"ip", "route", "show", "table", "all"}, "rules": {"ip", "rule"}, "nft": {"nft", "list", "ruleset"},
		"hosts": {"cat", "/etc/hosts"}, "files": {"find", "/etc", "/var/lib", "/run", "-name", "*skyweld*"},
	} {
		out, err := m.inside(args[0], args[1:]...).Output()
		if err != nil || strings.Contains(string(out), "skyweld") || strings.Contains(string(out), "51820") {
			w.t.Errorf("%s left (%v):\n%s", what, err, out)
		}
	}
}
