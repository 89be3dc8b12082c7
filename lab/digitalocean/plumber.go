package digitalocean

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/skyweld/skyweld/lab/internal/backend"
	"github.com/skyweld/skyweld/lab/world"
)

// plumber brings the networks to their projected state, outside the service's lock.
type plumber struct {
	*backend.Follower[map[string]world.Network]
	phys world.Physical
	laid map[string]world.Network // what was brought about; one attempt's at a time
}

func newPlumber(ctx context.Context, phys world.Physical, log *slog.Logger, work *backend.Tasks) *plumber {
	p := &plumber{phys: phys, laid: map[string]world.Network{}}
	p.Follower = backend.NewFollower(ctx, work, p.layAll, func(err error, after time.Duration) {
		log.Error("networks are not as wanted; trying again", "error", err, "after", after)
	})
	return p
}

// layAll makes all networks as wanted. What fails is tried once more at once: an address may have been in one network's way
// that another has left meanwhile.
func (p *plumber) layAll(ctx context.Context, want map[string]world.Network) error {
	err := p.lay(ctx, want)
	if err != nil {
		err = p.lay(ctx, want)
	}
	return err
}

// lay makes each network that differs from what is there.
func (p *plumber) lay(ctx context.Context, want map[string]world.Network) error {
	var errs []error
	for id := range p.laid {
		if _, still := want[id]; still {
			continue
		}
		if err := p.phys.RemoveNetwork(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("remove the network of VPC %s: %w", id, err))
			continue
		}
		delete(p.laid, id)
	}
	for id, n := range want {
		if reflect.DeepEqual(p.laid[id], n) {
			continue
		}
		if err := p.phys.SetNetwork(ctx, n); err != nil {
			errs = append(errs, fmt.Errorf("the network of VPC %s: %w", id, err))
			p.laid[id] = world.Network{ID: id} // partly made, and like nothing that is wanted
			continue
		}
		p.laid[id] = n
	}
	return errors.Join(errs...)
}
