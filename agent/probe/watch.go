package probe

import (
	"context"
	"crypto/ecdh"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/skyweld/skyweld/node"
)

// kept is how many windows of each site are remembered: a day's at a minute each.
const kept = 24 * 60

// fresh is for how long after a handshake a node is taken to live: WireGuard makes a new one every two minutes at least while there
// is traffic, and tries for a minute and a half.
const fresh = 210 * time.Second

// pathEvery is after how many windows a path's MTU is looked for again: an hour at a minute each.
const pathEvery = 60

// ways are how probes travel.
type ways interface {
	// inside and outside send one; Watch.answered is told of the answer.
	inside(to Member, probe uint64) error
	outside(to Member, probe uint64) error
	// carries says whether packets of a size, in bytes with their headers, pass outside the tunnel both ways.
	carries(ctx context.Context, to Member, size int) bool
	know(members []Member) error
	close()
}

// Watch measures the ways to other sites all the time, those that Choose gives this node, and remembers it window by window.
type Watch struct {
	log *slog.Logger
	// handshakes gives the time of the last one of each peer, by public key.
	handshakes func() (map[string]time.Time, error)
	// publish is given the newest windows after each; it must not wait.
	publish func(name string, latency node.Latency)
	open    func(tunnel netip.Addr, port uint16) (ways, error)
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	changed chan struct{}

	mu      sync.Mutex
	site    string
	length  time.Duration
	members []Member
	address netip.AddrPort
	ways    ways
	next    uint64
	even    bool
	current *window
	closing *window
	past    map[string][]node.Window
	paths   map[string]path
	looking bool
	started bool
}

// window is what is measured at the time, to all sites.
type window struct {
	start, end time.Time
	lines      []*line
}

// line is the way to one site.
type line struct {
	to              Member
	inside, outside tally
}

// tally collects the round trips of one line.
type tally struct {
	sent  []uint64
	at    map[uint64]time.Time
	trips map[uint64]int64
}

// path is what is known of a path outside the tunnel.
type path struct {
	mtu  int
	next time.Time
}

// NewWatch makes one that does nothing until it is set. The key is the tunnel's private one.
func NewWatch(private []byte, handshakes func() (map[string]time.Time, error), publish func(name string, latency node.Latency), log *slog.Logger) (*Watch, error) {
	key, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("watch other sites: %w", err)
	}
	w := newWatch(handshakes, publish, log)
	w.open = func(tunnel netip.Addr, port uint16) (ways, error) {
		return openWays(key, tunnel, port, w.answered, log)
	}
	return w, nil
}

func newWatch(handshakes func() (map[string]time.Time, error), publish func(name string, latency node.Latency), log *slog.Logger) *Watch {
	w := &Watch{log: log, handshakes: handshakes, publish: publish, changed: make(chan struct{}, 1), past: map[string][]node.Window{}, paths: map[string]path{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Set says who and where this node and its peers are. It never fails a config: what cannot be measured is logged.
func (w *Watch) Set(c node.Config) {
	members, address := Members(c), netip.AddrPortFrom(c.Tunnel.Address.Addr(), uint16(c.Tunnel.Port))
	w.mu.Lock()
	defer w.mu.Unlock()
	same := w.address == address && w.length == c.Probes.Length() && slices.Equal(w.members, members)
	lonely := !slices.ContainsFunc(members, func(m Member) bool { return m.Site != c.Site })
	if same && (w.ways != nil || lonely) || w.ctx.Err() != nil {
		return
	}
	if w.ways != nil && (w.address != address || lonely) {
		w.mu.Unlock() // an answer that comes just now waits for it
		w.ways.close()
		w.mu.Lock()
		w.ways = nil
	}
	w.site, w.length, w.members, w.address = c.Site, c.Probes.Length(), members, address
	w.current = nil // whom to measure may be another now
	if lonely {
		return
	}
	if w.ways == nil {
		ways, err := w.open(address.Addr(), address.Port())
		if err != nil {
			w.log.Warn("other sites are not measured", "error", err)
			return
		}
		w.ways = ways
	}
	if err := w.ways.know(members); err != nil {
		w.log.Warn("other sites are not measured", "error", err)
	}
	if !w.started {
		w.started = true
		w.running.Go(w.keep)
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// Close ends it.
func (w *Watch) Close() {
	w.cancel()
	w.running.Wait()
	w.mu.Lock()
	ways := w.ways
	w.ways = nil
	w.mu.Unlock()
	if ways != nil {
		ways.close()
	}
}

// Newest gives what was published last, and what is old by now left out.
func (w *Watch) Newest() node.Latency {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.newest(time.Now())
}

// Since gives the windows that began at a time or later and are over.
func (w *Watch) Since(start time.Time) node.Latency {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.report(func(all []node.Window) []node.Window {
		i, _ := slices.BinarySearchFunc(all, start.Unix(), func(one node.Window, at int64) int { return int(min(1, max(-1, one.Start-at))) })
		return all[i:]
	})
}
