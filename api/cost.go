package api

import (
	"context"

	"github.com/skyweld/skyweld/engine"
)

// costsOf says what a cluster and its nodes cost.
func (s *Server) costsOf(ctx context.Context, name string) (engine.Costs, error) {
	c, err := s.engine.Cluster(ctx, name)
	if err != nil {
		return engine.Costs{}, err
	}
	return s.engine.Costs(ctx, c)
}
