package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/store"
)

// Pause says since when nothing but a deletion is done about a cluster, who wanted that, and why.
type Pause struct {
	Since  time.Time `json:"since"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

// PauseAsked is what a pause is asked for with.
type PauseAsked struct {
	Reason string `json:"reason" doc:"why, for everybody to see" maxLength:"1000" example:"moving the DNS zone"`
}

// Resumed is a cluster whose pause has ended.
type Resumed struct {
	Cluster Cluster `json:"cluster"`
	// Was is the pause that ended, nil when there was none.
	Was *Pause `json:"was,omitempty"`
}

func pauseOf(p *store.Pause) *Pause {
	if p == nil {
		return nil
	}
	return &Pause{Since: p.Since, By: p.By, Reason: p.Reason}
}

func (s *Server) schedule(api huma.API) {
	post(api, "/clusters/{name}/reconcile", "Reconcile a cluster now", http.StatusAccepted, func(ctx context.Context, in *byName) (*accepted, error) {
		c, err := s.engine.Reconcile(ctx, in.Name, who(ctx))
		return s.change(ctx, c, err)
	})
	post(api, "/clusters/{name}/pause", "Hold off all runs of a cluster but its deletion", http.StatusOK, func(ctx context.Context, in *struct {
		Name string `path:"name"`
		Body PauseAsked
	}) (*body[Cluster], error) {
		c, err := s.engine.Pause(ctx, in.Name, who(ctx), in.Body.Reason)
		if err != nil {
			return nil, err
		}
		v, err := s.cluster(ctx, c, false)
		return &body[Cluster]{v}, err
	})
	post(api, "/clusters/{name}/resume", "End a pause", http.StatusOK, func(ctx context.Context, in *byName) (*body[Resumed], error) {
		was, err := s.engine.Resume(ctx, in.Name, who(ctx))
		if err != nil {
			return nil, err
		}
		c, err := s.engine.Cluster(ctx, in.Name)
		if err != nil {
			return nil, err
		}
		v, err := s.cluster(ctx, c, false)
		return &body[Resumed]{Resumed{Cluster: v, Was: pauseOf(was)}}, err
	})
}

// heldBy says why a change is not done for now.
func heldBy(at store.Cluster, c store.Change) string {
	if c.Kind == store.Delete || c.State != store.Queued && c.State != store.Applying {
		return ""
	}
	return engine.Held(at)
}

// Pause holds off all runs of a cluster but its deletion.
func (c *Client) Pause(ctx context.Context, name, reason string) (Cluster, error) {
	var v Cluster
	err := c.call(ctx, http.MethodPost, cluster(name)+"/pause", PauseAsked{Reason: reason}, &v)
	return v, err
}

// Resume ends a pause.
func (c *Client) Resume(ctx context.Context, name string) (Resumed, error) {
	var v Resumed
	err := c.call(ctx, http.MethodPost, cluster(name)+"/resume", nil, &v)
	return v, err
}

// Reconcile asks for a run now.
func (c *Client) Reconcile(ctx context.Context, name string) (Change, error) {
	var ch Change
	err := c.call(ctx, http.MethodPost, cluster(name)+"/reconcile", nil, &ch)
	return ch, err
}
