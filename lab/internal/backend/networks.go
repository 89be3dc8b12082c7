package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/skyweld/skyweld/lab/world"
)

// Networks tells the physical side about networks as they change, within the operations that change them.
type Networks struct {
	phys    world.Physical
	project func() []world.Network
	locks   Locks // one at a time per network
	mu      sync.Mutex
	told    map[string]world.Network // what the physical side was told last
}

// NewNetworks returns a teller of what project computes each time, which takes what locks it needs.
func NewNetworks(phys world.Physical, project func() []world.Network) *Networks {
	return &Networks{phys: phys, project: project, told: map[string]world.Network{}}
}

// Sync tells the physical side about every network that differs from what it was told last.
func (n *Networks) Sync(ctx context.Context) error {
	ids := map[string]bool{}
	for _, w := range n.project() {
		ids[w.ID] = true
	}
	n.mu.Lock()
	for id := range n.told {
		ids[id] = true
	}
	n.mu.Unlock()
	var errs []error
	for id := range ids {
		errs = append(errs, n.sync(ctx, id))
	}
	return errors.Join(errs...)
}

// sync brings one network up to date. The state is computed again under the network's own lock, so that the last of several
// callers always applies the newest.
func (n *Networks) sync(ctx context.Context, id string) error {
	defer n.locks.Lock(id)()
	var want *world.Network
	for _, w := range n.project() {
		if w.ID == id {
			want = &w
		}
	}
	n.mu.Lock()
	have, told := n.told[id]
	n.mu.Unlock()
	switch {
	case want == nil && !told:
		return nil
	case want == nil:
		if err := n.phys.RemoveNetwork(ctx, id); err != nil {
			return fmt.Errorf("remove network %s: %w", id, err)
		}
	case told && reflect.DeepEqual(have, *want):
		return nil
	default:
		if err := n.phys.SetNetwork(ctx, *want); err != nil {
			return fmt.Errorf("set network %s: %w", id, err)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if want == nil {
		delete(n.told, id)
	} else {
		n.told[id] = *want
	}
	return nil
}

// Restore makes real what the records say after a restart of the lab: machines that are gone go, networks are set, and the
// others start. What can't be made so is named in the error; running hears of each machine that runs.
func (n *Networks) Restore(ctx context.Context, gone []string, start []world.Machine, running func(id string)) error {
	var errs []error
	for _, id := range gone {
		if err := n.phys.DestroyMachine(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("remove machine %s: %w", id, err))
		}
	}
	errs = append(errs, n.Sync(ctx))
	for _, m := range start {
		if err := n.phys.StartMachine(ctx, m); err != nil {
			errs = append(errs, fmt.Errorf("start machine %s (%s) again: %w", cmp.Or(m.Name, m.Hostname), m.ID, err))
			continue
		}
		running(m.ID)
	}
	return errors.Join(errs...)
}
