package probe

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skyweld/skyweld/mesh"
	"github.com/skyweld/skyweld/node"
)

// fakeWays are ways of a fixed length.
type fakeWays struct {
	t      *testing.T
	answer func(probe uint64, at time.Time)
	mu     sync.Mutex
	trip   [2]time.Duration // inside and outside; 0 is lost
	mtu    int
	sent   int
	tried  int
}

func (f *fakeWays) send(kind int, probe uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent++
	if trip := f.trip[kind]; trip > 0 {
		time.AfterFunc(trip, func() { f.answer(probe, time.Now()) })
	}
	return nil
}

func (f *fakeWays) inside(_ Member, probe uint64) error  { return f.send(0, probe) }
func (f *fakeWays) outside(_ Member, probe uint64) error { return f.send(1, probe) }
func (f *fakeWays) know([]Member) error                  { return nil }
func (f *fakeWays) close()                               {}
func (f *fakeWays) carries(_ context.Context, _ Member, size int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tried++
	return size <= f.mtu
}

func (f *fakeWays) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// counts are the probes sent, and the sizes tried.
func (f *fakeWays) counts() (sent, tried int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent, f.tried
}

// watched is a watch over fake ways, with what it published.
type watched struct {
	*Watch
	ways      *fakeWays
	mu        sync.Mutex
	published []node.Latency
	seen      map[string]time.Time
}

func watching(t *testing.T, c node.Config) *watched {
	w := &watched{ways: &fakeWays{t: t, trip: [2]time.Duration{6 * time.Millisecond, 5 * time.Millisecond}, mtu: 1460}, seen: map[string]time.Time{}}
	handshakes := func() (map[string]time.Time, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		seen := map[string]time.Time{}
		for key, at := range w.seen {
			seen[key] = at
		}
		return seen, nil
	}
	w.Watch = newWatch(handshakes, func(name string, l node.Latency) {
		if name != c.Name {
			t.Errorf("published for %q", name)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.published = append(w.published, l)
	}, slog.New(slog.DiscardHandler))
	w.ways.answer = w.answered
	w.open = func(netip.Addr, uint16) (ways, error) { return w.ways, nil }
	t.Cleanup(w.Close)
	w.Set(c)
	return w
}

func (w *watched) shakeHands(keys ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range keys {
		w.seen[key] = time.Now()
	}
}

// last is what was published last.
func (w *watched) last() node.Latency {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.published[len(w.published)-1]
}

// config is that of node a1 with peers by site and number.
func config(seconds int, peers ...string) node.Config {
	c := node.Config{Name: "a1", Site: "a", Address: netip.MustParseAddr("10.64.0.11"), Probes: node.Probes{Window: seconds}, Tunnel: mesh.Config{Port: 51820, Address: netip.MustParsePrefix("10.216.1.1/32")}}
	for i, name := range peers {
		c.Tunnel.Peers = append(c.Tunnel.Peers, mesh.Peer{
			Name: name, Site: name[:1], PublicKey: "key of " + name, Endpoint: netip.MustParseAddrPort(fmt.Sprintf("198.18.0.%d:51820", i+1)),
			AllowedIPs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.216.%d.0/24", i+2)), netip.MustParsePrefix(fmt.Sprintf("10.65.0.%d/32", i+1))},
		})
	}
	return c
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t, config(0, "b1", "c1"))
		w.shakeHands("key of b1")
		start := time.Now()
		time.Sleep(2*time.Minute + 2*time.Second)
		got := w.Since(start)
		if got.Site != "a" || len(got.Windows) != 4 {
			t.Fatalf("after two minutes there is %+v", got)
		}
		first, last := got.Windows[0], got.Windows[2]
		if first.To != "b" || first.Peer != "b1" || got.Windows[1].To != "c" || first.Start+60 != last.Start || first.Start%60 != 0 || first.Seconds != 60 {
			t.Errorf("windows are %+v", got.Windows)
		}
		if in := last.Inside; in.Sent != 120 || in.Lost != 0 || in.Min != 6000 || in.P50 != 6000 || in.P99 != 6000 || in.Jitter != 0 {
			t.Errorf("inside %+v", in)
		}
		if out := last.Outside; out.Sent != 120 || out.Lost != 0 || out.P50 != 5000 {
			t.Errorf("outside %+v", out)
		}
		if last.Handshake != 120 || got.Windows[3].Handshake != -1 || last.MTU != 1460 {
			t.Errorf("handshake and MTU in %+v", got.Windows[2:])
		}
		if sinceThen := w.Since(time.Unix(last.Start, 0)); len(sinceThen.Windows) != 2 {
			t.Errorf("since the second minute there is %+v", sinceThen)
		}
	})
}

func TestWatchLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t, config(0, "b1"))
		time.Sleep(90 * time.Second)
		w.ways.set(func() { w.ways.trip = [2]time.Duration{0, 2 * time.Second} })
		time.Sleep(92 * time.Second)
		got := w.Since(time.Unix(0, 0)).Windows
		if len(got) != 3 || got[0].Inside.Lost != 0 || got[1].Inside.Lost != 60 || got[2].Inside.Lost != got[2].Inside.Sent || got[2].Outside.Lost != got[2].Outside.Sent {
			t.Errorf("windows are %+v: what comes after a second is lost, too", got)
		}
	})
}

// TestWatchIdle: who measures nothing sends nothing; when the one before it dies, it takes over; and the one that died is
// not measured either.
func TestWatchIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(0, "a0", "b1", "b2")
		w := watching(t, c)
		w.shakeHands("key of a0", "key of b1", "key of b2")
		time.Sleep(3 * time.Minute)
		w.ways.set(func() { w.ways.sent = 0 }) // before it saw a handshake it took itself for the only one
		time.Sleep(10 * time.Second)
		if sent, _ := w.ways.counts(); sent > 0 {
			t.Fatalf("it sent %d", sent)
		}
		w.shakeHands("key of b2")
		time.Sleep(3 * time.Minute)
		got := w.Since(time.Unix(0, 0)).Windows
		if len(got) == 0 || got[len(got)-1].Peer != "b2" {
			t.Errorf("windows are %+v, want those to b2", got)
		}
	})
}

// TestWatchRemembers: a day, and of it a quarter of an hour is published.
func TestWatchRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t, config(0, "b1"))
		start := time.Now()
		time.Sleep(26 * time.Hour)
		all := w.Since(start).Windows
		if len(all) != kept || all[len(all)-1].Start < time.Now().Unix()-121 {
			t.Fatalf("%d windows, the last began at %d", len(all), all[len(all)-1].Start)
		}
		for i := 1; i < len(all); i++ {
			if all[i].Start != all[i-1].Start+60 {
				t.Fatalf("a window is missing between %+v and %+v", all[i-1], all[i])
			}
		}
		last := w.last()
		if len(last.Windows) != node.PublishedWindows || last.Windows[14] != all[len(all)-1] {
			t.Errorf("published %+v", last)
		}
		if _, tried := w.ways.counts(); tried > 27*2*8 {
			t.Errorf("path MTU was tried %d times in 26 hours", tried)
		}
	})
}

// TestWatchPath: the path's MTU is looked for again after sixty windows, one that isn't known in the next.
func TestWatchPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(60, "b1")
		w := watching(t, c)
		mtu := func() int {
			all := w.Since(time.Unix(0, 0)).Windows
			return all[len(all)-1].MTU
		}
		w.ways.set(func() { w.ways.mtu = 0 })
		w.Set(config(60, "b2")) // another peer, of which nothing is known
		time.Sleep(62 * time.Second)
		if got := mtu(); got != 0 {
			t.Errorf("MTU is %d where nothing passes", got)
		}
		w.ways.set(func() { w.ways.mtu = 9001 })
		time.Sleep(2 * time.Minute)
		if got := mtu(); got != 9001 {
			t.Errorf("MTU is %d, want 9001", got)
		}
		w.ways.set(func() { w.ways.mtu = 1400 })
		time.Sleep(50 * time.Minute)
		if got := mtu(); got != 9001 {
			t.Errorf("within the hour MTU became %d", got)
		}
		time.Sleep(13 * time.Minute)
		if got := mtu(); got != 1400 {
			t.Errorf("after an hour MTU is %d, want 1400", got)
		}
	})
}

// TestWatchSet: windows of another length, a config that changes nothing, and one without other sites.
func TestWatchSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(2, "b1")
		w := watching(t, c)
		time.Sleep(9 * time.Second)
		w.Set(c)
		time.Sleep(2 * time.Second)
		got := w.Since(time.Unix(0, 0)).Windows
		if len(got) < 4 || got[2].Seconds != 2 || got[2].Inside.Sent != 20 || got[2].Outside.Sent != 20 {
			t.Errorf("windows are %+v", got)
		}
		w.Set(config(2, "a2"))
		time.Sleep(4 * time.Second)
		w.ways.set(func() { w.ways.sent = 0 })
		time.Sleep(4 * time.Second)
		if sent, _ := w.ways.counts(); sent > 0 {
			t.Error("there is no other site, and yet probes are sent")
		}
	})
}
