package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Snapshot is a snapshot of a cluster's etcd, as far as it can be shown.
type Snapshot struct {
	ID    int64     `json:"id"`
	Taken time.Time `json:"taken"`
	// Member is the node whose etcd it was taken from.
	Member   string `json:"member"`
	Revision int64  `json:"revision"`
	// Size is its bytes, Packed those that are stored of it.
	Size   int64 `json:"size"`
	Packed int64 `json:"packed"`
}

func (s *Server) recovery(api huma.API) {
	post(api, "/clusters/{name}/approve", "Reconcile a cluster now, and make a lost control plane again of what is left of it, or go on with sites that are too far apart", http.StatusAccepted, func(ctx context.Context, in *byName) (*accepted, error) {
		c, err := s.engine.Approve(ctx, in.Name, who(ctx))
		return s.change(ctx, c, err)
	})
	get(api, "/clusters/{name}/snapshots", "List the snapshots of a cluster's etcd, the newest first", func(ctx context.Context, in *byName) (*list[Snapshot], error) {
		all, err := s.engine.Snapshots(ctx, in.Name)
		var out []Snapshot
		for _, v := range all {
			out = append(out, Snapshot{ID: v.ID, Taken: v.Taken, Member: v.Member, Revision: v.Revision, Size: v.Size, Packed: v.Packed})
		}
		return listOf(out), err
	})
}

// Approve asks for a run that may make a lost control plane again of what is left of it, and go on with sites that are too far
// apart.
func (c *Client) Approve(ctx context.Context, name string) (Change, error) {
	var ch Change
	err := c.call(ctx, http.MethodPost, cluster(name)+"/approve", nil, &ch)
	return ch, err
}

// Snapshots lists the snapshots of a cluster's etcd, the newest first.
func (c *Client) Snapshots(ctx context.Context, name string) ([]Snapshot, error) {
	return fetchList[Snapshot](ctx, c, cluster(name)+"/snapshots")
}
