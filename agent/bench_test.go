package agent

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	wireguard "golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/skyweld/skyweld/mesh"
	"github.com/skyweld/skyweld/node"
)

// processorTime is what processes have used, in seconds (proc_pid_stat(5), fields 14 and 15, in hundredths).
func processorTime(t testing.TB, pids ...int) float64 {
	t.Helper()
	total := 0
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		for _, field := range fields[11:13] {
			ticks, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			total += ticks
		}
	}
	return float64(total) / 100
}

// BenchmarkProbes is what measuring costs the node of a site that does it: packets, processor time, and bytes to Kubernetes. Two nodes of two sites
// are real, with their agents; the others are in the config alone. What the agent uses without another site is
// taken off.
func BenchmarkProbes(b *testing.B) {
	const (
		length = 30 * time.Second
		window = 10 // seconds: as many probes as in a minute's, and six times the work at their ends
	)
	for _, nodes := range []int{10, 200} {
		b.Run(fmt.Sprint(nodes, "-nodes"), func(b *testing.B) {
			for range b.N {
				w := newWorld(b, "a1", "b1")
				for _, m := range w.machines {
					m.start()
				}
				used := map[bool]float64{}
				for revision, measures := range []bool{false, true} {
					for name, config := range w.crowd(int64(revision+1), nodes) {
						config.Probes.Window = window
						if !measures {
							for i := range config.Tunnel.Peers {
								config.Tunnel.Peers[i].Site = ""
							}
						}
						if _, err := w.named(name).apply(config); err != nil {
							b.Fatal(err)
						}
					}
					time.Sleep(3 * time.Second) // the config is in place, and the path's size is found
					before := processorTime(b, w.machines[0].agentPID())
					time.Sleep(length)
					used[measures] = processorTime(b, w.machines[0].agentPID()) - before
				}
				one := w.machines[0].measured(time.Unix(0, 0), func(one node.Window) bool { return one.Inside.Sent >= 2*window-2 })
				// Each of the two asks and answers, inside and outside.
				packets := float64(one.Inside.Sent+one.Outside.Sent) * 2 * 2
				b.ReportMetric(packets/window, "packets/s")
				b.ReportMetric((used[true]-used[false])/length.Seconds()*1000, "ms-cpu/s")
				published := node.Latency{Site: "a", Windows: slices.Repeat([]node.Window{one}, node.PublishedWindows)}
				data, err := json.Marshal(published)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(data)), "bytes/minute")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

func (w *world) named(name string) *namespaceMachine {
	return w.machines[slices.IndexFunc(w.machines, func(m *namespaceMachine) bool { return m.member.Name == name })]
}

// crowd are the configs of the machines when there are as many more, half at each of the two sites, that nobody reaches.
func (w *world) crowd(revision int64, nodes int) map[string]node.Config {
	configs := w.configs(revision, w.machines...)
	for name, config := range configs {
		for i := len(w.machines); i < nodes; i++ {
			site := byte(i % 2)
			raw := make([]byte, 32)
			raw[0], raw[1] = byte(i), byte(i>>8)
			config.Tunnel.Peers = append(config.Tunnel.Peers, mesh.Peer{
				Name: fmt.Sprintf("%c%d", 'a'+site, i+100), Site: string('a' + rune(site)), PublicKey: base64.StdEncoding.EncodeToString(raw),
				Endpoint:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 200, byte(i)}), mesh.DefaultPort),
				AllowedIPs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 217, byte(i), 0}), 24), netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64 + site, 1, byte(i)}), 32)},
			})
		}
		configs[name] = config
	}
	return configs
}

// BenchmarkDataPath is TCP from pod to pod over two sites, in turns: by the agents' tunnel with all that belongs to it, by plain wireguard-go
// with the same packet size, and with nothing between.
func BenchmarkDataPath(b *testing.B) {
	for range b.N {
		w := newWorld(b, "a1", "b1", "a2", "b2", "a3", "b3")
		pairs := map[string][2]*namespaceMachine{}
		for i, kind := range []string{"skyweld", "wireguard-go", "plain"} {
			pairs[kind] = [2]*namespaceMachine{w.machines[2*i], w.machines[2*i+1]}
		}
		for _, m := range w.machines {
			m.sink()
		}
		for _, m := range pairs["skyweld"] {
			m.start()
		}
		for name, config := range w.configs(1, w.machines[0], w.machines[1]) {
			config.Probes.Window = 10
			if _, err := w.named(name).apply(config); err != nil {
				b.Fatal(err)
			}
		}
		plain := w.tunnelPlainly(pairs["wireguard-go"])
		w.openRoads(pairs["plain"])
		pids := map[string][]int{"skyweld": {w.machines[0].agentPID(), w.machines[1].agentPID()}, "wireguard-go": plain}
		speed, trip, used := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
		for range 41 {
			for kind, pair := range pairs { // in another order each time
				before := processorTime(b, pids[kind]...)
				got, err := w.pour(pair[0], pair[1], "500ms")
				if err != nil {
					b.Fatal(kind, err)
				}
				used[kind] = append(used[kind], (processorTime(b, pids[kind]...)-before)/(float64(got.Bytes)/1e9))
				speed[kind] = append(speed[kind], float64(got.Bytes)*8/1e6/got.Seconds)
				trip[kind] = append(trip[kind], got.Trip)
			}
		}
		for kind := range pairs {
			b.ReportMetric(median(speed[kind]), kind+"-Mbit/s")
			b.ReportMetric(median(trip[kind]), kind+"-us")
			if len(pids[kind]) > 0 {
				b.ReportMetric(median(used[kind]), kind+"-s-cpu/GB")
			}
		}
		b.ReportMetric(0, "ns/op")
	}
}

func median(all []float64) float64 { return slices.Sorted(slices.Values(all))[len(all)/2] }

// tunnelPlainly joins two machines by wireguard-go and nothing else, and gives its processes.
func (w *world) tunnelPlainly(pair [2]*namespaceMachine) (pids []int) {
	var keys [2]wgtypes.Key
	for i := range keys {
		key, err := wgtypes.GeneratePrivateKey()
		if err != nil {
			w.t.Fatal(err)
		}
		keys[i] = key
	}
	for i, m := range pair {
		other := pair[1-i]
		c := m.inside(program(w.t), "wireguard", fmt.Sprintf("private_key=%s\nlisten_port=51820\npublic_key=%s\nendpoint=%s:51820\nallowed_ip=%s\npersistent_keepalive_interval=25\n",
			hexKey(keys[i]), hexKey(keys[1-i].PublicKey()), other.member.Public, other.member.Pods))
		started(w.t, c, "ready")
		pids = append(pids, c.Process.Pid)
		w.host("ip", "-n", m.netns, "link", "set", "plain0", "up")
		w.host("ip", "-n", m.netns, "route", "add", other.member.Pods.String(), "dev", "plain0")
		m.podLike(1420)
	}
	return pids
}

func hexKey(key wgtypes.Key) string { return hex.EncodeToString(key[:]) }

// podLike makes a machine's pod as the agent does.
func (m *namespaceMachine) podLike(mtu int) {
	w := m.world
	w.in(m.netns, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	w.host("ip", "-n", m.netns, "link", "set", "pod0", "mtu", fmt.Sprint(mtu))
	w.host("ip", "-n", w.prefix+"-pod-"+m.member.Name, "link", "set", "eth0", "mtu", fmt.Sprint(mtu))
}

// openRoads lets pods' packets pass as they are between two machines.
func (w *world) openRoads(pair [2]*namespaceMachine) {
	router := w.prefix + "-router"
	for _, m := range pair {
		w.host("ip", "-n", router, "route", "add", m.member.Pods.String(), "via", m.member.Address.String(), "dev", "v"+m.member.Name, "onlink")
		w.in(router, "nft", "insert", "rule", "ip", "fabric", "carry", "ip", "saddr", m.member.Pods.String(), "accept")
		m.podLike(1500)
	}
}

// runWireguard is wireguard-go as it comes: the same library, and nothing of ours.
func runWireguard(config string) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	tunnel, err := tun.CreateTUN("plain0", 1420)
	if err != nil {
		return fail(err)
	}
	plain := wireguard.NewDevice(tunnel, conn.NewDefaultBind(), wireguard.NewLogger(wireguard.LogLevelError, ""))
	if err := plain.IpcSet(config); err != nil {
		return fail(err)
	}
	if err := plain.Up(); err != nil {
		return fail(err)
	}
	fmt.Println("ready")
	<-plain.Wait()
	return 0
}
