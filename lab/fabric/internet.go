//go:build linux

package fabric

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// internet carries packets between its ports: one per router and one for home. It knows public addresses only; a packet
// from an address that isn't its sender's, or to one nobody has, is dropped.
type internet struct {
	delay    func(from, to place) time.Duration
	epoch    time.Time
	counters counters

	mu    sync.Mutex
	ports map[*port]bool
	// owners is replaced, never changed, so that packets find their way without a lock.
	owners atomic.Pointer[map[address]*port]
}

// port is one TUN device on the internet.
type port struct {
	net  *internet
	name string
	at   place
	file *os.File
	gone atomic.Bool
	// cut is a port that nothing leaves and nothing reaches.
	cut atomic.Bool

	mu    sync.Mutex
	lines map[*port]*line
	done  chan struct{}
	// tallies caches counters and belongs to the reading goroutine.
	tallies map[crossingKey]*tally
}

func newInternet(delay func(from, to place) time.Duration) *internet {
	n := &internet{delay: delay, epoch: time.Now(), ports: map[*port]bool{}}
	n.counters.all = map[crossingKey]*tally{}
	n.owners.Store(&map[address]*port{})
	return n
}

// attach puts a TUN device on the internet and starts carrying what it sends; the port owns the file.
func (n *internet) attach(name string, at place, file *os.File) *port {
	p := &port{net: n, name: name, at: at, file: file, lines: map[*port]*line{}, done: make(chan struct{}), tallies: map[crossingKey]*tally{}}
	n.mu.Lock()
	n.ports[p] = true
	n.mu.Unlock()
	go p.run()
	return p
}

// announce makes the given addresses the port's own and takes back all others it had. An address of another port is
// an error, and nothing is changed.
func (n *internet) announce(p *port, addresses []netip.Addr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	owners := maps.Clone(*n.owners.Load())
	maps.DeleteFunc(owners, func(_ address, owner *port) bool { return owner == p })
	for _, a := range addresses {
		if other := owners[a.As4()]; other != nil {
			return fmt.Errorf("public address %s is in use in %s", a, other.name)
		}
		owners[a.As4()] = p
	}
	n.owners.Store(&owners)
	return nil
}

// detach takes a port off the internet and closes its file.
func (n *internet) detach(p *port) error {
	if err := n.announce(p, nil); err != nil {
		return err
	}
	p.gone.Store(true)
	n.mu.Lock()
	delete(n.ports, p)
	for other := range n.ports {
		other.hangUp(p)
	}
	n.mu.Unlock()
	err := p.file.Close()
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	for to, l := range p.lines {
		l.close()
		delete(p.lines, to)
	}
	return err
}

// now is the time since the internet began, from the monotonic clock.
func (n *internet) now() time.Duration { return time.Since(n.epoch) }

// run carries what the port sends until its file is closed.
func (p *port) run() {
	defer close(p.done)
	frame := make([]byte, maxPacket)
	for {
		n, err := p.file.Read(frame)
		if err != nil {
			return
		}
		p.carry(frame[:n])
	}
}

// carry sends one packet on its way.
func (p *port) carry(frame []byte) {
	packet, ok := parse(frame)
	if !ok {
		return
	}
	owners := *p.net.owners.Load()
	to := owners[packet.dst]
	if to == nil || owners[packet.src] != p || p.cut.Load() || to.cut.Load() {
		return
	}
	p.count(to, packet)
	if l := p.line(to); l != nil {
		l.send(frame)
	}
}

func (p *port) count(to *port, packet packet) {
	key := crossingKey{from: p.at, to: to.at, protocol: packet.protocol, port: packet.port}
	t := p.tallies[key]
	if t == nil {
		t = p.net.counters.find(key)
		if len(p.tallies) >= maxCrossings {
			clear(p.tallies)
		}
		p.tallies[key] = t
	}
	t.packets.Add(packet.count)
	t.bytes.Add(packet.size)
}

// line returns the line to another port, nil when it cannot be made: then the packet is lost, as packets may be.
func (p *port) line(to *port) *line {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lines[to]
	if l == nil && !to.gone.Load() {
		l, _ = newLine(p, to)
		if l != nil {
			p.lines[to] = l
		}
	}
	return l
}

// hangUp ends the line to a port that leaves.
func (p *port) hangUp(to *port) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.lines[to]; l != nil {
		l.close()
		delete(p.lines, to)
	}
}
