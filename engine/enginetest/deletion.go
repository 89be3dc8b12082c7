package enginetest

import (
	"context"
	"slices"

	"github.com/skyweld/skyweld/kube"
)

// Freeze is remembered.
func (k Kubernetes) Freeze(ctx context.Context) error {
	return k.ask(ctx, "freeze", func() error {
		k.w.Frozen = true
		k.w.said = append(k.w.said, "freeze")
		return nil
	})
}

// Clear returns the world's leftovers at once.
func (k Kubernetes) Clear(ctx context.Context) (left []kube.Leftover, err error) {
	err = k.ask(ctx, "clear", func() error {
		left = slices.Clone(k.w.Leftovers)
		k.w.said = append(k.w.said, "clear")
		return nil
	})
	return left, err
}
