package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/store"
)

// Change is one thing asked for.
type Change struct {
	ID      int64  `json:"id"`
	Cluster string `json:"cluster"`
	Kind    string `json:"kind"`
	State   string `json:"state" doc:"queued, applying, applied, failed, superseded or cancelled"`
	// Summary says in words what is asked for.
	Summary string `json:"summary,omitempty"`
	// Generation is that of the spec it led to, 0 until then.
	Generation int64  `json:"generation,omitempty"`
	Who        string `json:"who,omitempty"`
	// Created is when it was asked for, Begun when it was taken on, Ended when nothing more was to come of it.
	Created time.Time `json:"created"`
	Begun   time.Time `json:"begun,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	// Run is the last run that worked on it, 0 while it is queued; Tries is how many have failed, NextTry when the next one
	// comes.
	Run     int64     `json:"run,omitempty"`
	Tries   int64     `json:"tries,omitempty"`
	NextTry time.Time `json:"nextTry,omitzero"`
	// SupersededBy is the change that took its place.
	SupersededBy int64 `json:"supersededBy,omitempty"`
	// Error is why the last try failed; of one that ended without being applied, why. A superseded one has none when what it
	// asked for is part of the change in its place.
	Error string `json:"error,omitempty"`
	// Held says why nothing is done about it for now; empty when something is.
	Held string `json:"held,omitempty"`
	// Message says what was found, for people.
	Message string `json:"message,omitempty"`
}

func (s *Server) changes(api huma.API) {
	get(api, "/clusters/{name}/changes", "List what was asked of a cluster, the oldest first", func(ctx context.Context, in *pageByName) (*listed[Change], error) {
		c, err := s.engine.Cluster(ctx, in.Name)
		if err != nil {
			return nil, err
		}
		list, limit := "changes/"+c.UID, in.limit(usualPage)
		after, err := parseIDCursor(list, in.Cursor)
		if err != nil {
			return nil, err
		}
		all, err := s.engine.Store().ChangesAfter(ctx, c.UID, after, limit+1)
		if err != nil {
			return nil, err
		}
		return pageOf(list, limit, all, func(ch store.Change) string { return idKey(ch.ID) }, func(ch store.Change) (Change, error) { return changeOf(c, ch), nil })
	})
	get(api, "/changes/{id}", "Get a change", func(ctx context.Context, in *byID) (*accepted, error) {
		c, err := s.engine.Change(ctx, in.ID)
		return s.change(ctx, c, err)
	})
	remove(api, "/changes/{id}", "Cancel a change that is queued", http.StatusOK, func(ctx context.Context, in *byID) (*accepted, error) {
		c, err := s.engine.Cancel(ctx, in.ID, who(ctx))
		return s.change(ctx, c, err)
	})
}

type byID struct {
	ID int64 `path:"id"`
}

// accepted is a change with where to follow it.
type accepted struct {
	Location string `header:"Location" doc:"the change"`
	Body     Change
}

func (s *Server) change(ctx context.Context, c store.Change, err error) (*accepted, error) {
	if err != nil {
		return nil, s.stale(ctx, err)
	}
	at, err := s.engine.Store().GetClusterByUID(ctx, c.Cluster)
	if err != nil {
		return nil, err
	}
	return &accepted{"/api/v1" + changePath(c.ID), changeOf(at, c)}, nil
}

func changeOf(at store.Cluster, c store.Change) Change {
	out := Change{
		ID: c.ID, Cluster: at.Name, Kind: string(c.Kind), State: string(c.State), Summary: c.Summary, Generation: c.Generation, Who: c.Who,
		Created: c.Created, Begun: c.Begun, Ended: c.Ended, Run: c.Run, Tries: c.Tries, SupersededBy: c.Successor, Error: c.Error, Held: heldBy(at, c),
	}
	if c.State == store.Applying && c.Tries > 0 && at.Lease.Owner == "" && out.Held == "" {
		out.NextTry = at.NextRun
	}
	return out
}

// Change returns a change.
func (c *Client) Change(ctx context.Context, id int64) (Change, error) {
	return fetch[Change](ctx, c, changePath(id))
}

// Changes lists what was asked of a cluster, the oldest first.
func (c *Client) Changes(ctx context.Context, name string) ([]Change, error) {
	return fetchAll[Change](ctx, c, cluster(name)+"/changes")
}

// CancelChange takes a change back that is still queued.
func (c *Client) CancelChange(ctx context.Context, id int64) (Change, error) {
	var ch Change
	err := c.call(ctx, http.MethodDelete, changePath(id), nil, &ch)
	return ch, err
}

func changePath(id int64) string { return "/changes/" + strconv.FormatInt(id, 10) }
