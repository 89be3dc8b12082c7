package agent

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/mesh"
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

// bounded makes the ways to and from a machine carry less, or no more than they did: as a link in the middle does, which says so
// to who sends too much, or doesn't.
func (m *namespaceMachine) bounded(size int, silent bool) {
	w := m.world
	router, table, most := w.prefix+"-router", "77", fmt.Sprint(size)
	rules := w.host("ip", "-n", router, "rule", "list")
	if !strings.Contains(rules, "lookup "+table) {
		w.host("ip", "-n", router, "rule", "add", "from", m.member.Address.String(), "table", table)
	}
	for _, other := range w.machines {
		w.host("ip", "-n", router, "route", "replace", other.member.Address.String()+"/32", "dev", "v"+other.member.Name, "mtu", "lock", most, "table", table)
		if other.ownPublic() {
			w.host("ip", "-n", router, "route", "replace", other.member.Public.String()+"/32", "dev", "p"+other.member.Name, "mtu", "lock", most, "table", table)
		}
	}
	w.host("ip", "-n", router, "route", "change", m.member.Address.String()+"/32", "dev", "v"+m.member.Name, "mtu", "lock", most)
	if silent {
		w.input("table ip bounds\ndelete table ip bounds\ntable ip bounds {\nchain say { type filter hook output priority filter; icmp type destination-unreachable drop\n}\n}\n",
			"ip", "netns", "exec", router, "nft", "-f", "-")
	}
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
			whole := func(trips node.Trips) bool {
				return trips.Sent >= 10 && trips.Lost <= 2 && trips.Min > 0 && trips.P50 <= trips.P99
			}
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

// pour sends data by TCP from one pod to the other for a time, and says how much came, how fast, and the longest that it stood still.
func (w *world) pour(from, to *namespaceMachine, time string) (poured, error) {
	var got poured
	c := self("ip", "netns", "exec", w.prefix+"-pod-"+from.member.Name, program(w.t), "pour", netip.AddrPortFrom(to.podAddr, sinkPort).String(), time)
	c.Stderr = os.Stderr
	out, err := c.Output() // it ends by itself, also when nothing arrives any more
	if err == nil {
		err = json.Unmarshal(out, &got)
	}
	return got, err
}

// TestPacketSize: a smaller packet size reaches tunnel, running pods and TCP, a larger one too, and connections live on. The way
// says nothing to who sends too much.
func TestPacketSize(t *testing.T) {
	w := newWorld(t, "a1", "b1")
	a1, b1 := w.machines[0], w.machines[1]
	for _, m := range w.machines {
		m.sink()
		m.start()
	}
	configs := w.configs(1, a1, b1)
	set := func(revision int64, mtu int) {
		t.Helper()
		for _, m := range w.machines {
			config := configs[m.member.Name]
			config.Revision, config.Tunnel.MTU = revision, mtu
			report, err := m.apply(config)
			if err != nil {
				t.Fatalf("%v\n%s", err, m.log)
			}
			t.Log(report.Changed)
			for _, device := range [][]string{
				{m.netns, mesh.Device}, {m.netns, "pod0"}, {w.prefix + "-pod-" + m.member.Name, "eth0"},
			} {
				if out := w.host("ip", "-n", device[0], "link", "show", device[1]); !strings.Contains(out, fmt.Sprintf(" mtu %d ", mtu)) {
					t.Errorf("%v has another MTU than %d: %s", device, mtu, out)
				}
			}
		}
	}
	set(1, 1420)
	pids := map[string]int{}
	for _, m := range w.machines {
		pids[m.member.Name] = m.agentPID()
	}
	type result struct {
		way string
		poured
		err error
	}
	results := make(chan result, 2)
	for _, way := range [][2]*namespaceMachine{{a1, b1}, {b1, a1}} {
		go func() {
			got, err := w.pour(way[0], way[1], "6s")
			results <- result{way[0].member.Name + " to " + way[1].member.Name, got, err}
		}()
	}
	time.Sleep(time.Second) // of traffic as it was
	b1.bounded(1400, true)
	set(2, 1320)
	time.Sleep(2 * time.Second) // of smaller packets; the larger ones would be lost
	b1.bounded(1500, true)
	set(3, 1420)
	for range 2 {
		got := <-results
		t.Logf("%s: %+v", got.way, got.poured)
		if got.err != nil || got.Longest > 2 {
			t.Errorf("%s: %v, and it stood still for %.1f s", got.way, got.err, got.Longest)
		}
	}
	for _, m := range w.machines {
		if m.agentPID() != pids[m.member.Name] {
			t.Error("the agent was started again")
		}
	}
}

func (m *namespaceMachine) agentPID() int {
	m.world.t.Helper()
	var status node.Status
	if err := m.call(nil, &status, "status"); err != nil {
		m.world.t.Fatal(err)
	}
	return status.PID
}

// TestStreams: TCP gets through whatever the ways carry, when the tunnel's packets are as large as the smallest one allows.
func TestStreams(t *testing.T) {
	for _, c := range []struct {
		a, b   int // what the ways to the machines carry
		silent bool
	}{{1500, 1500, false}, {1460, 1500, false}, {1400, 1460, false}, {1400, 1400, true}, {9001, 1500, true}, {9001, 9001, false}} {
		t.Run(fmt.Sprintf("%d and %d, silent %t", c.a, c.b, c.silent), func(t *testing.T) {
			w := newWorld(t, "a1", "b1")
			a1, b1 := w.machines[0], w.machines[1]
			for m, size := range map[*namespaceMachine]int{a1: c.a, b1: c.b} {
				w.host("ip", "-n", m.netns, "link", "set", "eth0", "mtu", fmt.Sprint(max(1500, size)))
				w.host("ip", "-n", w.prefix+"-router", "link", "set", "v"+m.member.Name, "mtu", fmt.Sprint(max(1500, size)))
				m.sink()
				m.start()
			}
			smallest := a1
			if c.b < c.a {
				smallest = b1
			}
			smallest.bounded(min(c.a, c.b), c.silent)
			for name, config := range w.configs(1, a1, b1) {
				config.Tunnel.MTU = mesh.MTU(c.a, c.b)
				for _, m := range w.machines {
					if m.member.Name != name {
						continue
					}
					if _, err := m.apply(config); err != nil {
						t.Fatalf("%v\n%s", err, m.log)
					}
				}
			}
			for _, way := range [][2]*namespaceMachine{{a1, b1}, {b1, a1}} {
				got, err := w.pour(way[0], way[1], "500ms")
				t.Logf("%s to %s: %+v", way[0].member.Name, way[1].member.Name, got)
				if err != nil || got.Bytes < 1<<20 || got.Longest > 0.5 {
					t.Errorf("%s to %s: %+v, %v", way[0].member.Name, way[1].member.Name, got, err)
				}
			}
		})
	}
}
