package world

import (
	"fmt"
	"net/netip"
	"sync"
)

// Pool hands out the addresses of a range, lowest free first. It is safe for concurrent use.
type Pool struct {
	mu     sync.Mutex
	prefix netip.Prefix
	used   map[netip.Addr]bool
}

// NewPool returns a pool of the range without its first and last address.
func NewPool(prefix netip.Prefix) *Pool {
	return &Pool{prefix: prefix.Masked(), used: map[netip.Addr]bool{}}
}

// Prefix is the range that the addresses are of.
func (p *Pool) Prefix() netip.Prefix { return p.prefix }

// Take returns a free address; the error says that the range is used up.
func (p *Pool) Take() (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for a := p.prefix.Addr().Next(); p.prefix.Contains(a.Next()); a = a.Next() {
		if !p.used[a] {
			p.used[a] = true
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no free address in %s", p.prefix)
}

// Reserve marks an address as used, when it is known from a record.
func (p *Pool) Reserve(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used[a] = true
}

// Put gives an address back.
func (p *Pool) Put(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, a)
}
