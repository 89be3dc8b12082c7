package ec2

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/skyweld/skyweld/lab/internal/backend"
	"github.com/skyweld/skyweld/lab/world"
)

// fabric brings networks to their projected state, each in the order of its changes and outside the service's lock.
type fabric struct {
	ctx   context.Context
	phys  world.Physical
	log   *slog.Logger
	work  *backend.Tasks
	mu    sync.Mutex
	wires map[string]*wire
}

// wire is one network on its way. It goes when its network has no interface any more.
type wire = backend.Follower[world.Network]

func newFabric(ctx context.Context, phys world.Physical, log *slog.Logger, work *backend.Tasks) *fabric {
	return &fabric{ctx: ctx, phys: phys, log: log, work: work, wires: map[string]*wire{}}
}

// set gives a region's networks their new state. It returns at once.
func (f *fabric) set(region string, nets map[string]world.Network) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, w := range f.wires {
		if _, still := nets[id]; still {
			continue
		}
		switch had, _, idle := w.Wanted(); {
		case had.Region != region:
		case len(had.NICs) > 0:
			w.Set(world.Network{ID: id, Cloud: had.Cloud, Region: region})
		case idle:
			delete(f.wires, id)
		}
	}
	for id, n := range nets {
		if f.wires[id] == nil {
			f.wires[id] = backend.NewFollower(f.ctx, f.work, f.apply, func(err error, after time.Duration) {
				f.log.Error("network is not as wanted; trying again", "network", id, "error", err, "after", after)
			})
		}
		f.wires[id].Set(n)
	}
}

func (f *fabric) apply(ctx context.Context, n world.Network) error {
	if len(n.NICs) == 0 {
		return f.phys.RemoveNetwork(ctx, n.ID)
	}
	return f.phys.SetNetwork(ctx, n)
}

// wait returns when a network has the state it was last given, or with the error of the attempt.
func (f *fabric) wait(ctx context.Context, id string) error {
	f.mu.Lock()
	w := f.wires[id]
	f.mu.Unlock()
	if w == nil {
		return nil
	}
	_, version, _ := w.Wanted()
	return w.Wait(ctx, version)
}
