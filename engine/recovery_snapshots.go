package engine

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

const (
	// snapshotEvery is how old the last snapshot of etcd is at least when a run takes another; runs come once an hour, a
	// tenth sooner or later.
	snapshotEvery = 50 * time.Minute
	// snapshotsKept is how many of a cluster are kept.
	snapshotsKept = 6
	// snapshotLimit is how large one may be, compressed.
	snapshotLimit    = 256 << 20
	snapshotPatience = 5 * time.Minute
)

// Snapshots lists a cluster's snapshots of etcd, the newest first.
func (e *Engine) Snapshots(ctx context.Context, name string) ([]store.Snapshot, error) {
	c, err := e.Cluster(ctx, name)
	if err != nil {
		return nil, err
	}
	return e.store.ListSnapshots(ctx, c.UID)
}

// keepSnapshot takes a snapshot of etcd when the last one is old, or of what may have been recovered. It belongs to no step: nothing of the cluster depends on it,
// and one that can't be taken is told and tried again after the next run.
func (e *Engine) keepSnapshot(ctx context.Context, fence store.Fence, s *survey, recovered bool) {
	if s == nil || s.council == nil || s.kubeErr != nil || ctx.Err() != nil {
		return
	}
	all, err := e.store.ListSnapshots(ctx, fence.Cluster)
	if err == nil && !recovered && len(all) > 0 && s.now.Sub(all[0].Taken).Abs() < snapshotEvery { // or the clock was set back since
		return
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, snapshotPatience)
		defer cancel()
		err = s.takeSnapshot(ctx, fence)
	}
	if err != nil && !errors.Is(err, store.ErrFenced) && ctx.Err() == nil {
		e.event(ctx, fence.Cluster, store.Warning, "SnapshotFailed", "cluster "+s.cluster.Name, s.scrubber.clean("no snapshot of etcd could be taken: "+err.Error()))
	}
}

// takeSnapshot takes one from the first healthy member that gives it.
func (s *survey) takeSnapshot(ctx context.Context, fence store.Fence) error {
	var errs []error
	for _, n := range s.nodes {
		seen := s.sights[n.Name]
		if n.Role != spec.RoleControlPlane || seen.etcd == nil || !seen.etcd.Leader || s.strange(n.Name) || !s.members[n.Name].Ready {
			continue
		}
		v := store.Snapshot{Member: n.Name, Revision: seen.etcd.Revision}
		data, err := s.readSnapshot(ctx, &v)
		if err == nil {
			_, err = s.e.store.AddSnapshot(ctx, fence, v, data, snapshotsKept)
		}
		if err == nil || errors.Is(err, store.ErrFenced) || ctx.Err() != nil {
			return err
		}
		errs = append(errs, fmt.Errorf("%s: %w", n.Name, err))
	}
	return errors.Join(errs...)
}

func (s *survey) readSnapshot(ctx context.Context, v *store.Snapshot) ([]byte, error) {
	conn, err := s.connect(ctx, s.facts.get(v.Member), 20*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	etcd, err := s.e.opts.Nodeside.Etcd(s.keys.PKI, conn.DialContext, time.Now())
	if err != nil {
		return nil, err
	}
	packed := &limitedBuffer{left: snapshotLimit}
	zip := gzip.NewWriter(packed)
	if v.Size, err = etcd.Snapshot(ctx, zip); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return slices.Clip(packed.Bytes()), nil
}

// limitedBuffer takes no more than so many bytes.
type limitedBuffer struct {
	bytes.Buffer
	left int
}

func (b *limitedBuffer) Write(data []byte) (int, error) {
	if b.left -= len(data); b.left < 0 {
		return 0, fmt.Errorf("it is larger than %d MiB, compressed", snapshotLimit>>20)
	}
	return b.Buffer.Write(data)
}
