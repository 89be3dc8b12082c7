package engine

import (
	"context"
	"slices"

	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// dryRun surveys a cluster as if it were wanted otherwise, and stops at the plan.
func (e *Engine) dryRun(ctx context.Context, at store.Cluster, wanted *spec.Cluster, deleting bool) (Planned, error) {
	s, err := e.look(hurried(ctx), at, wanted, deleting)
	if err != nil {
		return Planned{}, err
	}
	if err := s.cannot(); err != nil {
		return Planned{}, err
	}
	if why := Held(at); why != "" && !deleting {
		s.graph.Notes = append(s.graph.Notes, why)
	}
	return Planned{Spec: wanted, Graph: s.graph, Cost: s.compared()}, nil
}

// planAltered is alter's dry run.
func (e *Engine) planAltered(ctx context.Context, name string, alter func(*spec.Cluster) error) (Planned, error) {
	old, next, err := e.altered(ctx, name, alter)
	if err != nil {
		return Planned{}, err
	}
	return e.dryRun(ctx, old.Cluster, next, false)
}

// PlanAddNodes says what AddNodes would do.
func (e *Engine) PlanAddNodes(ctx context.Context, name, group string, count int) (Planned, error) {
	return e.planAltered(ctx, name, func(s *spec.Cluster) error {
		_, err := spec.AddWorkers(s, group, count)
		return err
	})
}

// PlanRemoveNode says what RemoveNode would do.
func (e *Engine) PlanRemoveNode(ctx context.Context, name, node string) (Planned, error) {
	return e.planAltered(ctx, name, func(s *spec.Cluster) error { return spec.RemoveWorker(s, node) })
}

// PlanReconcile says what Reconcile would do.
func (e *Engine) PlanReconcile(ctx context.Context, name string) (Planned, error) {
	return e.planAltered(ctx, name, nil)
}

// PlanDelete says what Delete would do.
func (e *Engine) PlanDelete(ctx context.Context, name string, abandon ...string) (Planned, error) {
	c, err := e.Cluster(ctx, name)
	if err != nil {
		return Planned{}, err
	}
	if _, err := e.abandonable(ctx, c, abandon); err != nil {
		return Planned{}, err
	}
	rest := c.Spec.Clone()
	rest.Spec.Sites = slices.DeleteFunc(rest.Spec.Sites, func(s spec.Site) bool { return slices.Contains(abandon, s.Name) })
	return e.dryRun(ctx, c, rest, true)
}
