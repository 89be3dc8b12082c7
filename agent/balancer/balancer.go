// Package balancer is a small TCP balancer in front of a cluster's API servers, for the programs of one machine. It looks
// no deeper than TCP and is no load balancer for users.
package balancer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/skyweld/skyweld/node"
)

const (
	checkEvery  = time.Second
	dialTimeout = time.Second
	// patience is how many checks in a row a backend may fail before its connections are closed. A refused connection
	// counts as much as a silent one; a single lost packet is not a failure.
	patience = 2
)

// Balancer accepts connections on one address and passes each to the first healthy backend.
type Balancer struct {
	log  *slog.Logger
	dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)

	mu       sync.Mutex
	config   node.Balancer
	listener net.Listener
	backends map[netip.AddrPort]*backend
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// backend is one API server as the balancer knows it.
type backend struct {
	failures    int // checks failed in a row
	connections map[net.Conn]struct{}
}

func (b *backend) healthy() bool { return b.failures == 0 }

// New makes a balancer that does nothing yet.
func New(log *slog.Logger) *Balancer {
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	return &Balancer{
		log: log, backends: map[netip.AddrPort]*backend{},
		dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", to.String())
		},
	}
}

// Set changes address and backends and says in words what was different. Connections to backends that stay go on.
func (b *Balancer) Set(want node.Balancer) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.config.Listen == want.Listen && slices.Equal(b.config.Backends, want.Backends) && (b.listener != nil || !want.Listen.IsValid()) {
		return nil, nil
	}
	if b.listener != nil && b.config.Listen != want.Listen {
		b.shut()
	}
	for address, gone := range b.backends {
		if !slices.Contains(want.Backends, address) {
			gone.closeAll()
			delete(b.backends, address)
		}
	}
	for _, address := range want.Backends {
		if b.backends[address] == nil {
			b.backends[address] = &backend{connections: map[net.Conn]struct{}{}}
		}
	}
	b.config = node.Balancer{Listen: want.Listen, Backends: slices.Clone(want.Backends)}
	if !want.Listen.IsValid() {
		return []string{"stopped API balancer"}, nil
	}
	if b.listener == nil {
		if err := b.open(want.Listen); err != nil {
			return nil, err
		}
	}
	return []string{fmt.Sprintf("set API balancer on %s to %v", want.Listen, want.Backends)}, nil
}

// open starts listening; the lock is held.
func (b *Balancer) open(address netip.AddrPort) error {
	listener, err := net.Listen("tcp", address.String())
	if err != nil {
		return fmt.Errorf("API balancer: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background()) // it lives until Close, not as long as a request
	b.listener, b.stop = listener, stop
	b.running.Go(func() { b.accept(ctx, listener) })
	b.running.Go(func() {
		ticker := time.NewTicker(checkEvery)
		defer ticker.Stop()
		for {
			b.check(ctx)
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
	return nil
}

// shut stops listening and ends all connections; the lock is held.
func (b *Balancer) shut() {
	if b.listener == nil {
		return
	}
	b.stop()
	_ = b.listener.Close() // it was open; there is nothing else that can be done
	b.listener = nil
	for _, backend := range b.backends {
		backend.closeAll()
	}
}

// Close stops the balancer and waits until everything of it has ended.
func (b *Balancer) Close() {
	b.mu.Lock()
	b.shut()
	b.mu.Unlock()
	b.running.Wait()
}

func (b *backend) closeAll() {
	for connection := range b.connections {
		_ = connection.Close() // both copies end and say nothing
	}
}

// Health says of each backend, in order, whether it answered last time.
func (b *Balancer) Health() map[netip.AddrPort]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	health := map[netip.AddrPort]bool{}
	for address, backend := range b.backends {
		health[address] = backend.healthy()
	}
	return health
}

// check asks every backend whether it takes connections. API servers don't log such visits.
func (b *Balancer) check(ctx context.Context) {
	b.mu.Lock()
	addresses := slices.Clone(b.config.Backends)
	b.mu.Unlock()
	var all sync.WaitGroup
	for _, address := range addresses {
		all.Go(func() {
			connection, err := b.dial(ctx, address)
			if err == nil {
				_ = connection.Close() // it was only to see whether there would be one
			}
			if ctx.Err() == nil {
				b.mark(address, err)
			}
		})
	}
	all.Wait()
}

// mark notes how a visit at a backend went.
func (b *Balancer) mark(address netip.AddrPort, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	backend := b.backends[address]
	if backend == nil {
		return
	}
	if err == nil {
		if !backend.healthy() {
			b.log.Info("API server answers", "address", address)
		}
		backend.failures = 0
		return
	}
	backend.failures++
	if backend.failures == 1 {
		b.log.Info("API server doesn't answer", "address", address, "error", err)
	}
	if backend.failures >= patience {
		backend.closeAll()
	}
}

// order is the backends as a new connection tries them: nearest first, the healthy before the others.
func (b *Balancer) order() []netip.AddrPort {
	b.mu.Lock()
	defer b.mu.Unlock()
	var healthy, others []netip.AddrPort
	for _, address := range b.config.Backends {
		if b.backends[address].healthy() {
			healthy = append(healthy, address)
		} else {
			others = append(others, address)
		}
	}
	return append(healthy, others...)
}

func (b *Balancer) accept(ctx context.Context, listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			// Out of files, most likely: the next check of the backends is soon enough to try again.
			b.log.Warn("API balancer cannot accept", "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(checkEvery):
			}
			continue
		}
		b.running.Go(func() { b.serve(ctx, client) })
	}
}

// serve passes one connection to the first backend that takes it.
func (b *Balancer) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	for _, address := range b.order() {
		server, err := b.dial(ctx, address)
		b.mark(address, err)
		if err != nil {
			continue
		}
		if b.track(address, server) {
			join(client, server)
			b.forget(address, server)
		}
		return
	}
}

// track notes a connection; it closes it, and says no, when the backend went meanwhile.
func (b *Balancer) track(address netip.AddrPort, server net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	backend := b.backends[address]
	if backend == nil || b.listener == nil {
		_ = server.Close() // nothing was sent on it
		return false
	}
	backend.connections[server] = struct{}{}
	return true
}

func (b *Balancer) forget(address netip.AddrPort, server net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if backend := b.backends[address]; backend != nil {
		delete(backend.connections, server)
	}
}

// join copies both ways until both have ended, or one broke. One side's end is passed on and the other way stays open.
func join(client, server net.Conn) {
	var both sync.WaitGroup
	both.Go(func() { pass(server, client) })
	both.Go(func() { pass(client, server) })
	both.Wait()
	_ = server.Close() // all that could be passed on was
}

func pass(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err == nil && ok && half.CloseWrite() == nil {
		return
	}
	_ = to.Close()
	_ = from.Close() // the other copy must not wait for what won't come
}
