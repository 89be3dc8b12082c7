// Package paper is a physical world that exists on paper only: everything that a cloud's API wants made is made at once,
// and nothing is. The lab's APIs run over it where only their records matter: under the drivers' suites and under clients
// that others wrote.
//
// It is for tests. What machines and networks really do is lab/fabric's and lab/machine's work.
package paper

import (
	"context"
	"net/netip"
	"sync"

	"github.com/skyweld/skyweld/lab/world"
)

// World makes everything at once. Its methods may be called at the same time.
type World struct {
	mu       sync.Mutex
	machines map[string]world.MachineState
}

var _ world.Physical = (*World)(nil)

// New returns a world in which nothing is.
func New() *World { return &World{machines: map[string]world.MachineState{}} }

// SetNetwork succeeds.
func (*World) SetNetwork(context.Context, world.Network) error { return nil }

// RemoveNetwork succeeds.
func (*World) RemoveNetwork(context.Context, string) error { return nil }

// StartMachine lets a machine run.
func (w *World) StartMachine(_ context.Context, m world.Machine) error {
	return w.set(m.ID, world.Running)
}

// StopMachine stops a machine.
func (w *World) StopMachine(_ context.Context, id string) error { return w.set(id, world.Stopped) }

// DestroyMachine stops a machine for good.
func (w *World) DestroyMachine(_ context.Context, id string) error { return w.set(id, world.Stopped) }

// Console is the same line for every machine.
func (*World) Console(id string) []byte { return []byte(id + " login: ") }

// MachineState says whether a machine was started last, or stopped.
func (w *World) MachineState(id string) world.MachineState {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, ok := w.machines[id]; ok {
		return s
	}
	return world.Stopped
}

func (w *World) set(id string, s world.MachineState) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.machines[id] = s
	return nil
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
