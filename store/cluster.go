package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/skyweld/skyweld/spec"
)

// Phase is where a cluster is in its life.
type Phase string

// The phases of a cluster.
const (
	Pending     Phase = "Pending"     // no run has begun yet
	Reconciling Phase = "Reconciling" // being brought to what was asked
	Ready       Phase = "Ready"
	Degraded    Phase = "Degraded" // the last run ended with something missing
	Deleting    Phase = "Deleting"
	Deleted     Phase = "Deleted"
)

// Condition is one statement about a cluster, in Kubernetes' form.
type Condition struct {
	Type string `json:"type"`
	// Status is "True", "False" or "Unknown".
	Status  string    `json:"status"`
	Reason  string    `json:"reason,omitempty"`
	Message string    `json:"message,omitempty"`
	Since   time.Time `json:"lastTransitionTime,omitzero"`
}

// Cluster is a stored cluster.
type Cluster struct {
	UID  string
	Name string
	// Spec is the revision in force, complete, with UID, generation and creation time in its metadata.
	Spec       *spec.Cluster
	Generation int64
	Phase      Phase
	Conditions []Condition
	// Status is the engine's own document.
	Status  json.RawMessage
	Created time.Time
	// DeleteRequested and Deleted are zero until it happens.
	DeleteRequested, Deleted time.Time
	// NextRun is when the next run is due.
	NextRun time.Time
	// Wakes counts calls of Wake and what wakes by itself; WakesSeen is the count at the last claim.
	Wakes, WakesSeen int64
	Lease            Lease
	// Paused is nil unless somebody paused it.
	Paused *Pause
}

// Revision is a spec that was once in force.
type Revision struct {
	Generation int64
	Spec       *spec.Cluster
	Who        string
	Made       time.Time
}

const clusterColumns = `uid, name, spec, generation, phase, conditions, status, created, delete_requested, deleted,
	next_run_at, wakes, wakes_seen, lease_owner, lease_until, lease_epoch, paused, paused_by, pause_reason`

// CreateCluster stores a new cluster as generation 1, due at once, and gives it its UID. The error wraps ErrExists when the
// name is taken, and ErrNotFound when an account of it is unknown.
func (s *Store) CreateCluster(ctx context.Context, c *spec.Cluster, who string) (Cluster, error) {
	var out Cluster
	err := s.write(ctx, "create cluster "+c.Metadata.Name, func(t *tx) (err error) {
		out, err = t.createCluster(c, who)
		return err
	})
	if err != nil {
		return Cluster{}, err
	}
	s.hub.notify(out.UID, Clusters)
	return out, nil
}

// CreateClusterBy is CreateCluster together with the change that asks for it, so that the first run finds the change. Of
// the change only Kind, Body and Who are used. The Terms of the context hold.
func (s *Store) CreateClusterBy(ctx context.Context, c *spec.Cluster, by Change) (Cluster, Change, error) {
	var out Cluster
	err := s.write(ctx, "create cluster "+c.Metadata.Name, func(t *tx) (err error) {
		if err := t.holdsWithout(); err != nil {
			return err
		}
		if out, err = t.createCluster(c, by.Who); err != nil {
			return err
		}
		by.Cluster = out.UID
		if by, err = t.addChange(by); err != nil {
			return err
		}
		return t.noteKeyed(by.ID)
	})
	if err != nil {
		return Cluster{}, Change{}, err
	}
	s.hub.notify(out.UID, Clusters)
	s.hub.notify(out.UID, Changes)
	return out, by, nil
}

func (t *tx) createCluster(c *spec.Cluster, who string) (Cluster, error) {
	uid := randomHex(8)
	full := c.Clone()
	full.Metadata.UID, full.Metadata.Generation, full.Metadata.CreationTimestamp = uid, 1, fromMicros(t.now)
	text, err := asJSON(full)
	if err != nil {
		return Cluster{}, err
	}
	_, err = t.exec(`INSERT INTO clusters (`+clusterColumns+`) VALUES
		($1, $2, $3, 1, $4, '[]', 'null', $5, 0, 0, $5, 1, 0, '', 0, 0, 0, '', '')`, uid, c.Metadata.Name, text, string(Pending), t.now)
	if unique, _ := violates(err); unique {
		return Cluster{}, fmt.Errorf("the name %w", ErrExists)
	}
	if err != nil {
		return Cluster{}, err
	}
	if err := t.setAccounts(uid, full); err != nil {
		return Cluster{}, err
	}
	t.tellCluster(uid)
	if _, err := t.exec("INSERT INTO care (cluster, due, epoch, conditions, memory) VALUES ($1, $2, 0, '[]', 'null')", uid, t.now); err != nil {
		return Cluster{}, err
	}
	if _, err := t.exec("INSERT INTO revisions (cluster, generation, spec, who, made) VALUES ($1, 1, $2, $3, $4)", uid, text, who, t.now); err != nil {
		return Cluster{}, err
	}
	return first(t.ctx, t, scanCluster, "SELECT "+clusterColumns+" FROM clusters WHERE uid = $1", uid)
}

// setAccounts records which accounts a cluster uses.
func (t *tx) setAccounts(uid string, c *spec.Cluster) error {
	if _, err := t.exec("DELETE FROM cluster_accounts WHERE cluster = $1", uid); err != nil {
		return err
	}
	for _, account := range c.Accounts() {
		var known int
		if err := t.row("SELECT COUNT(*) FROM accounts WHERE name = $1", account).Scan(&known); err != nil {
			return err
		}
		if known == 0 {
			return fmt.Errorf("account %s: %w", account, ErrNotFound)
		}
		if _, err := t.exec("INSERT INTO cluster_accounts (cluster, account) VALUES ($1, $2)", uid, account); err != nil {
			return err
		}
	}
	return nil
}

// GetCluster returns the cluster of that name that isn't deleted.
func (s *Store) GetCluster(ctx context.Context, name string) (Cluster, error) {
	c, err := first(ctx, s.db, scanCluster, "SELECT "+clusterColumns+" FROM clusters WHERE name = $1 AND deleted = 0", name)
	if err != nil {
		return Cluster{}, fmt.Errorf("cluster %s: %w", name, err)
	}
	return c, nil
}

// GetClusterByUID returns a cluster, deleted or not.
func (s *Store) GetClusterByUID(ctx context.Context, uid string) (Cluster, error) {
	c, err := first(ctx, s.db, scanCluster, "SELECT "+clusterColumns+" FROM clusters WHERE uid = $1", uid)
	if err != nil {
		return Cluster{}, fmt.Errorf("cluster %s: %w", uid, err)
	}
	return c, nil
}

// ListClusters returns the clusters by name and time; those that are deleted only when asked for.
func (s *Store) ListClusters(ctx context.Context, deleted bool) ([]Cluster, error) {
	where := " WHERE deleted = 0"
	if deleted {
		where = ""
	}
	all, err := query(ctx, s.db, scanCluster, "SELECT "+clusterColumns+" FROM clusters"+where+" ORDER BY name, created, uid")
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	return all, nil
}

// updateSpec makes a spec the one in force and returns its generation.
func (t *tx) updateSpec(uid string, c *spec.Cluster, who string) (int64, error) {
	was, err := first(t.ctx, t, scanCluster, "SELECT "+clusterColumns+" FROM clusters WHERE uid = $1", uid)
	if err != nil {
		return 0, err
	}
	full := c.Clone()
	full.Metadata = was.Spec.Metadata
	full.Metadata.Generation = was.Generation + 1
	text, err := asJSON(full)
	if err != nil {
		return 0, err
	}
	t.tellCluster(uid)
	if err := t.one("UPDATE clusters SET spec = $2, generation = $3 WHERE uid = $1", uid, text, full.Metadata.Generation); err != nil {
		return 0, err
	}
	if err := t.setAccounts(uid, full); err != nil {
		return 0, err
	}
	_, err = t.exec("INSERT INTO revisions (cluster, generation, spec, who, made) VALUES ($1, $2, $3, $4, $5)", uid, full.Metadata.Generation, text, who, t.now)
	return full.Metadata.Generation, err
}

// GetRevision returns one spec that was once in force.
func (s *Store) GetRevision(ctx context.Context, cluster string, generation int64) (Revision, error) {
	v, err := first(ctx, s.db, scanRevision, "SELECT generation, spec, who, made FROM revisions WHERE cluster = $1 AND generation = $2", cluster, generation)
	if err != nil {
		return v, fmt.Errorf("revision %d of cluster %s: %w", generation, cluster, err)
	}
	return v, nil
}

// ListRevisions returns the specs that were ever in force, the newest first.
func (s *Store) ListRevisions(ctx context.Context, cluster string) ([]Revision, error) {
	all, err := query(ctx, s.db, scanRevision, "SELECT generation, spec, who, made FROM revisions WHERE cluster = $1 ORDER BY generation DESC", cluster)
	if err != nil {
		return nil, fmt.Errorf("list revisions of cluster %s: %w", cluster, err)
	}
	return all, nil
}

func scanRevision(r row) (Revision, error) {
	var v Revision
	var text string
	var made int64
	if err := r.Scan(&v.Generation, &text, &v.Who, &made); err != nil {
		return v, err
	}
	v.Made = fromMicros(made)
	return v, json.Unmarshal([]byte(text), &v.Spec)
}

// SetStatus stores phase, conditions and the engine's document; without one that on record stays. A cluster whose deletion was asked for stays Deleting.
func (s *Store) SetStatus(ctx context.Context, fence Fence, phase Phase, conditions []Condition, status json.RawMessage) error {
	list, err := conditionList(conditions)
	if err != nil {
		return fmt.Errorf("set status of cluster %s: %w", fence.Cluster, err)
	}
	document := ""
	if len(status) > 0 {
		if document, err = asJSON(status); err != nil {
			return fmt.Errorf("set status of cluster %s: %w", fence.Cluster, err)
		}
	}
	err = s.fenced(ctx, "set status", fence, func(t *tx) error {
		was, err := first(t.ctx, t, scanTwo, "SELECT phase, conditions FROM clusters WHERE uid = $1", fence.Cluster)
		if err != nil {
			return err
		}
		if was != [2]string{string(phase), list} {
			t.tellCluster(fence.Cluster)
		}
		return t.one(`UPDATE clusters SET conditions = $2, status = CASE WHEN $3 = '' THEN status ELSE $3 END,
			phase = CASE WHEN delete_requested > 0 THEN $4 ELSE $5 END WHERE uid = $1`, fence.Cluster, list, document, string(Deleting), string(phase))
	})
	if err == nil {
		s.hub.notify(fence.Cluster, Clusters)
	}
	return err
}

// conditionList encodes conditions; of none it is an empty list.
func conditionList(conditions []Condition) (string, error) {
	if conditions == nil {
		conditions = []Condition{}
	}
	return asJSON(conditions)
}

// RequestDelete marks a cluster for deletion and wakes it. Asking twice is the same as asking once.
func (s *Store) RequestDelete(ctx context.Context, uid string) error {
	err := s.write(ctx, "request deletion of cluster "+uid, func(t *tx) error {
		if err := t.lockCluster(uid); err != nil {
			return err
		}
		if err := t.requestDelete(uid); err != nil {
			return err
		}
		return t.wake(uid)
	})
	if err == nil {
		s.hub.notify(uid, Clusters)
	}
	return err
}

func (t *tx) requestDelete(uid string) error {
	t.tellCluster(uid)
	return t.one(`UPDATE clusters SET delete_requested = CASE WHEN delete_requested = 0 THEN $2 ELSE delete_requested END,
		phase = $3 WHERE uid = $1`, uid, t.now, string(Deleting))
}

// MarkDeleted ends a cluster's life: its name and accounts are free, its nodes and secrets are forgotten, what was being
// applied (its deletion) is, queued changes are cancelled, the lease ends. History stays. The error wraps ErrInUse while the ledger holds something or an intent is
// open. A receipt is kept in the same transaction.
func (s *Store) MarkDeleted(ctx context.Context, fence Fence, receipts ...Receipt) error {
	uid := fence.Cluster
	err := s.fenced(ctx, "end the life", fence, func(t *tx) error {
		for _, r := range receipts {
			if err := t.putReceipt(uid, r); err != nil {
				return err
			}
		}
		for _, table := range []string{"resources WHERE", "intents WHERE state = 'open' AND"} {
			var n int
			if err := t.row("SELECT COUNT(*) FROM "+table+" cluster = $1", uid).Scan(&n); err != nil {
				return err
			}
			if n > 0 {
				return fmt.Errorf("%w: %d of its resources or intents are not settled", ErrInUse, n)
			}
		}
		for _, table := range []string{"nodes", "secrets", "snapshots", "cluster_accounts", "care", "latency"} {
			if _, err := t.exec("DELETE FROM "+table+" WHERE cluster = $1", uid); err != nil {
				return err
			}
		}
		tell := func(id int64) { t.tellChange(uid, id) }
		if err := t.changedIDs(tell, "UPDATE changes SET state = $2, ended = $3, error = 'the cluster was deleted' WHERE cluster = $1 AND state = $4 RETURNING id",
			uid, string(Cancelled), t.now, string(Queued)); err != nil {
			return err
		}
		if err := t.changedIDs(tell, "UPDATE changes SET state = $2, ended = $3, error = '' WHERE cluster = $1 AND state = $4 RETURNING id",
			uid, string(Applied), t.now, string(Applying)); err != nil {
			return err
		}
		t.tell(topic{kind: FeedDeleted, cluster: uid})
		return t.one(`UPDATE clusters SET phase = $2, deleted = $3, lease_owner = '', lease_until = 0, paused = 0, paused_by = '', pause_reason = '',
			delete_requested = CASE WHEN delete_requested = 0 THEN $3 ELSE delete_requested END WHERE uid = $1`, uid, string(Deleted), t.now)
	})
	if err == nil {
		s.hub.notify(uid, Clusters)
		s.hub.notify(uid, Changes)
	}
	return err
}

func scanTwo(r row) (v [2]string, err error) {
	err = r.Scan(&v[0], &v[1])
	return v, err
}

func scanCluster(r row) (Cluster, error) {
	return readCluster(r, decodeSpec)
}

func decodeSpec(_ Cluster, text []byte) (*spec.Cluster, error) {
	var c *spec.Cluster
	err := json.Unmarshal(text, &c)
	return c, err
}

// readCluster reads a row, and its spec with a function that gets what of the cluster is read by then.
func readCluster(r row, specOf func(Cluster, []byte) (*spec.Cluster, error)) (Cluster, error) {
	var c Cluster
	var conditions, status string
	var text []byte
	var created, requested, deleted, next, until, paused int64
	var pause Pause
	err := r.Scan(&c.UID, &c.Name, &text, &c.Generation, &c.Phase, &conditions, &status, &created, &requested, &deleted,
		&next, &c.Wakes, &c.WakesSeen, &c.Lease.Owner, &until, &c.Lease.Epoch, &paused, &pause.By, &pause.Reason)
	if err != nil {
		return c, err
	}
	if pause.Since = fromMicros(paused); paused != 0 {
		c.Paused = &pause
	}
	c.Created, c.DeleteRequested, c.Deleted = fromMicros(created), fromMicros(requested), fromMicros(deleted)
	c.NextRun, c.Lease.Until = fromMicros(next), fromMicros(until)
	c.Status = raw(status)
	if err := json.Unmarshal([]byte(conditions), &c.Conditions); err != nil {
		return c, fmt.Errorf("conditions of cluster %s: %w", c.Name, err)
	}
	if c.Spec, err = specOf(c, text); err != nil {
		return c, fmt.Errorf("spec of cluster %s: %w", c.Name, err)
	}
	return c, nil
}
