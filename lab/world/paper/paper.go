// Package paper is a physical world that exists on paper only: everything that a cloud's API wants made is made at once,
// and nothing is. The lab's APIs run over it where only their records matter: under the drivers' suites and under clients
// that others wrote.
//
// It is for tests. What machines and networks really do is lab/fabric's and lab/machine's work.
package paper

import (
	"context"
	"maps"
	"net/netip"
	"sync"

	"github.com/skyweld/skyweld/lab/world"
)

// World makes everything at once, and remembers what is made. Its methods may be called at the same time.
type World struct {
	mu       sync.Mutex
	networks map[string]world.Network
	machines map[string]world.Machine
	running  map[string]bool
}

var _ world.Physical = (*World)(nil)

// New returns a world in which nothing is.
func New() *World {
	return &World{networks: map[string]world.Network{}, machines: map[string]world.Machine{}, running: map[string]bool{}}
}

// Networks are those that are set, by their ids.
func (w *World) Networks() map[string]world.Network {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.networks)
}

// Machines are those that were started and not destroyed, by their ids.
func (w *World) Machines() map[string]world.Machine {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.machines)
}

// SetNetwork succeeds.
func (w *World) SetNetwork(_ context.Context, n world.Network) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.networks[n.ID] = n
	return nil
}

// RemoveNetwork succeeds.
func (w *World) RemoveNetwork(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.networks, id)
	return nil
}

// StartMachine lets a machine run.
func (w *World) StartMachine(_ context.Context, m world.Machine) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.machines[m.ID], w.running[m.ID] = m, true
	return nil
}

// StopMachine stops a machine.
func (w *World) StopMachine(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, id)
	return nil
}

// DestroyMachine stops a machine for good.
func (w *World) DestroyMachine(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.machines, id)
	delete(w.running, id)
	return nil
}

// Console is the same line for every machine.
func (*World) Console(id string) []byte { return []byte(id + " login: ") }

// MachineState says whether a machine was started last, or stopped.
func (w *World) MachineState(id string) world.MachineState {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running[id] {
		return world.Running
	}
	return world.Stopped
}

// Pools returns where the APIs take public addresses from: 256 for each region, of the lab's own range, 198.18.0.0/15.
func Pools() func(region string) *world.Pool {
	var mu sync.Mutex
	pools := map[string]*world.Pool{}
	return func(region string) *world.Pool {
		mu.Lock()
		defer mu.Unlock()
		if pools[region] == nil {
			pools[region] = world.NewPool(netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(len(pools)), 0}), 24))
		}
		return pools[region]
	}
}
