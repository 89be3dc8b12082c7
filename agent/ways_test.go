package agent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/node"
)

// measured waits for a whole window of a machine that has something to say of a path.
func (m *namespaceMachine) measured(since time.Time, enough func(node.Window) bool) node.Window {
	t := m.world.t
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	var last node.Latency
	for time.Now().Before(deadline) {
		if err := m.call(nil, &last, "latency", "--since", since.UTC().Format(time.RFC3339)); err != nil {
			t.Fatal(err)
		}
		for _, one := range last.Windows {
			if one.Start > since.Unix() && enough(one) {
				return one
			}
		}
	}
	t.Fatalf("%s measured %+v\n%s", m.member.Name, last, m.log)
	return node.Window{}
}

// bounded makes the way to a machine carry less, or no more than it did: as a link in the middle does, which says so
// to who sends too much, or doesn't.
func (m *namespaceMachine) bounded(size int, silent bool) {
	w := m.world
	router := w.prefix + "-router"
	w.host("ip", "-n", router, "route", "change", m.member.Address.String()+"/32", "dev", "v"+m.member.Name, "mtu", "lock", fmt.Sprint(size))
	rules := fmt.Sprintf("table ip bounds\ndelete table ip bounds\ntable ip bounds {\nchain carry { type filter hook forward priority filter; ip saddr %s meta length > %d drop\n}\n", m.member.Address, size)
	if silent {
		rules += "chain say { type filter hook output priority filter; icmp type destination-unreachable drop\n}\n"
	}
	w.input(rules+"}\n", "ip", "netns", "exec", router, "nft", "-f", "-")
}

// TestWays: nodes of different sites measure each other by themselves, inside the tunnel and outside, and find what the path
// carries.
func TestWays(t *testing.T) {
	for _, c := range []struct {
		name   string
		device int // MTU of all devices on the way
		size   int
		silent bool
	}{
		{"1500", 1500, 1500, false},
		{"1460", 1500, 1460, false},
		{"1400", 1500, 1400, false},
		{"9001", 9001, 9001, false},
		{"1400 and no ICMP", 1500, 1400, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "a1", "a2", "b1", "d1")
			a1, b1, d1 := w.machines[0], w.machines[2], w.machines[3]
			for _, m := range w.machines {
				device, wires := "eth0", []string{"v" + m.member.Name}
				if m.ownPublic() {
					wires = append(wires, "p"+m.member.Name)
					w.host("ip", "-n", m.netns, "link", "set", "eth1", "mtu", fmt.Sprint(c.device))
				}
				w.host("ip", "-n", m.netns, "link", "set", device, "mtu", fmt.Sprint(c.device))
				for _, wire := range wires {
					w.host("ip", "-n", w.prefix+"-router", "link", "set", wire, "mtu", fmt.Sprint(c.device))
				}
				m.start()
			}
			if c.size < c.device {
				b1.bounded(c.size, c.silent)
			}
			start := time.Now()
			configs := w.configs(1, w.machines...)
			for name, config := range configs {
				config.Probes.Window = 1
				configs[name] = config
			}
			for _, m := range w.machines {
				if _, err := m.apply(configs[m.member.Name]); err != nil {
					t.Fatalf("%v\n%s", err, m.log)
				}
			}
			whole := func(trips node.Trips) bool { return trips.Sent >= 10 && trips.Lost <= 2 && trips.Min > 0 && trips.P50 <= trips.P99 }
			for _, way := range []struct {
				from *namespaceMachine
				to   string
				mtu  int
			}{{a1, "b", c.size}, {b1, "a", c.size}, {d1, "b", c.size}, {d1, "a", c.device}} {
				one := way.from.measured(start, func(one node.Window) bool {
					return one.To == way.to && whole(one.Inside) && whole(one.Outside) && one.MTU == way.mtu && one.Handshake >= 0
				})
				t.Logf("%s: %+v", way.from.member.Name, one)
			}
			if log := w.machines[1].log.String(); strings.Contains(log, "not measured") {
				t.Error(log)
			}
		})
	}
}

// segments sends data by TCP from a pod to another, for as long as it takes.
func (w *world) stream(from, to *namespaceMachine) error {
	out, err := self("ip", "netns", "exec", w.prefix+"-pod-"+from.member.Name, program(w.t), "send", netip.AddrPortFrom(to.podAddr, 8081).String()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
