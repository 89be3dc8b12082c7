package store

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Snapshot is a snapshot of a cluster's etcd, without its data.
type Snapshot struct {
	ID int64
	// Cluster is the UID.
	Cluster string
	// Member is the node whose etcd it was taken from.
	Member string
	Taken  time.Time
	// Revision is etcd's just before.
	Revision int64
	// Size is its bytes, Packed those that are stored of it.
	Size, Packed int64
}

const snapshotColumns = "id, cluster, member, taken, revision, size, packed"

// AddSnapshot seals and stores a snapshot, and forgets all of the cluster's but the last keep. Of v only Member, Revision
// and Size are used.
func (s *Store) AddSnapshot(ctx context.Context, fence Fence, v Snapshot, data []byte, keep int) (Snapshot, error) {
	var out Snapshot
	err := s.fenced(ctx, "store a snapshot of etcd", fence, func(t *tx) error {
		id, err := t.id()
		if err != nil {
			return err
		}
		sealed, err := s.box.Seal("snapshots", snapshotRow(fence.Cluster, id), "value", data)
		if err != nil {
			return err
		}
		if out, err = first(t.ctx, t, scanSnapshot, "INSERT INTO snapshots ("+snapshotColumns+", value) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING "+snapshotColumns,
			id, fence.Cluster, v.Member, t.now, v.Revision, v.Size, int64(len(data)), sealed); err != nil {
			return err
		}
		_, err = t.exec(`DELETE FROM snapshots WHERE cluster = $1 AND id NOT IN
			(SELECT id FROM snapshots WHERE cluster = $1 ORDER BY id DESC LIMIT $2)`, fence.Cluster, keep)
		return err
	})
	return out, err
}

// ListSnapshots returns a cluster's snapshots, the newest first.
func (s *Store) ListSnapshots(ctx context.Context, cluster string) ([]Snapshot, error) {
	all, err := query(ctx, s.db, scanSnapshot, "SELECT "+snapshotColumns+" FROM snapshots WHERE cluster = $1 ORDER BY id DESC", cluster)
	if err != nil {
		return nil, fmt.Errorf("list snapshots of cluster %s: %w", cluster, err)
	}
	return all, nil
}

// GetSnapshot returns a snapshot's data.
func (s *Store) GetSnapshot(ctx context.Context, cluster string, id int64) ([]byte, error) {
	sealed, err := first(ctx, s.db, func(r row) ([]byte, error) {
		var v []byte
		err := r.Scan(&v)
		return v, err
	}, "SELECT value FROM snapshots WHERE cluster = $1 AND id = $2", cluster, id)
	if err != nil {
		return nil, fmt.Errorf("snapshot %d of cluster %s: %w", id, cluster, err)
	}
	return s.box.Open("snapshots", snapshotRow(cluster, id), "value", sealed)
}

func snapshotRow(cluster string, id int64) string { return cluster + "/" + strconv.FormatInt(id, 10) }

func scanSnapshot(r row) (Snapshot, error) {
	var v Snapshot
	var taken int64
	err := r.Scan(&v.ID, &v.Cluster, &v.Member, &taken, &v.Revision, &v.Size, &v.Packed)
	v.Taken = fromMicros(taken)
	return v, err
}
