package engine

import (
	"bytes"
	"context"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/store"
)

// recordParts puts on record what came along with the machines that are on record: a disk that outlives its machine bears a
// mark only, as a copy of it does, and by its id in the ledger it is known to be ours and removed. A part of an earlier
// machine under the same key that is still there keeps its line until it is gone.
func (r *run) recordParts(ctx context.Context, live map[identity]bool) error {
	lines := map[string]store.Resource{}
	for _, line := range r.ledger.lines {
		lines[line.Key] = line
	}
	for _, g := range r.got {
		if !g.Recorded || g.State == cloud.Gone {
			continue
		}
		for _, p := range g.Parts {
			line, ok := lines[p.Key]
			if ok && (line.ID == p.ID || live[r.lineIdentity(line)]) {
				continue
			}
			part, err := ledgerLine(g.Site, cloud.Object{
				Key: p.Key, Cluster: r.owner.UID, Kind: p.Kind, Region: g.Region, ID: p.ID, State: cloud.Ready, PartOf: g.Key,
			})
			if err != nil {
				return err
			}
			if err := r.e.store.PutResource(ctx, r.fence, part); err != nil {
				return err
			}
			lines[p.Key] = part
		}
	}
	return nil
}

// parts are the keys of the machines that things on record came along with.
func (s *survey) parts() (map[identity]string, error) {
	out := map[identity]string{}
	for _, line := range s.ledger.lines {
		if !bytes.Contains(line.Object, []byte(`"partOf"`)) { // nearly all lines, and reading them takes long
			continue
		}
		o, err := recordedObject(line)
		if err != nil {
			return nil, err
		}
		out[s.lineIdentity(line)] = o.PartOf
	}
	return out, nil
}
