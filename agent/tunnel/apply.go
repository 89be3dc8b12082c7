package tunnel

import (
	"context"
	"fmt"
	"time"

	"github.com/skyweld/skyweld/mesh"
)

// Device is the machine's tunnel device with what belongs to it. Do carries out one step.
type Device interface {
	// Kind says where a new device would run.
	Kind() Kind
	Read() (State, error)
	Do(s Step) error
}

// Apply brings a device to the wanted state and says in words what it changed, also when it fails on the way.
func Apply(ctx context.Context, d Device, want mesh.Config, publicKey string) ([]string, error) {
	have, err := d.Read()
	if err != nil {
		return nil, fmt.Errorf("read tunnel %s: %w", mesh.Device, err)
	}
	return do(ctx, d, Plan(want, publicKey, d.Kind(), have, time.Now()))
}

// Remove takes the tunnel away with all that belongs to it.
func Remove(ctx context.Context, d Device) ([]string, error) {
	have, err := d.Read()
	if err != nil {
		return nil, fmt.Errorf("read tunnel %s: %w", mesh.Device, err)
	}
	return do(ctx, d, Clear(have))
}

func do(ctx context.Context, d Device, steps []Step) ([]string, error) {
	changed := make([]string, 0, len(steps))
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return changed, err
		}
		if err := d.Do(step); err != nil {
			return changed, fmt.Errorf("tunnel: not done: %s: %w", step, err)
		}
		changed = append(changed, step.String())
	}
	return changed, nil
}
