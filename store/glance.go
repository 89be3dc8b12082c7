package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/skyweld/skyweld/spec"
)

// Glance is what the store has of a cluster for a list of all of them.
type Glance struct {
	Cluster
	Care  Care
	Nodes []Node
	// Pending are the changes that are queued or being applied, in order.
	Pending []Change
	// Last is the last run, nil before the first; Total and Done count its steps.
	Last        *Run
	Total, Done int
	// Resources counts what is on the ledger, LastMade is when the last of it was made: together they change with it.
	Resources int
	LastMade  time.Time
}

// selectListed reads the clusters of a list.
const selectListed = "SELECT " + clusterColumns + " FROM clusters WHERE deleted = 0 AND name > $1 ORDER BY name LIMIT $2"

// listed selects the clusters of a list: those after the name that is the first parameter, as many as the second says.
const listed = "(SELECT uid FROM clusters WHERE deleted = 0 AND name > $1 ORDER BY name LIMIT $2)"

// Glances lists up to limit of the clusters that aren't deleted, by name, those after a name, with what a list shows of each.
// It takes as many queries for a thousand clusters as for one.
func (s *Store) Glances(ctx context.Context, after string, limit int) ([]Glance, error) {
	all, err := query(ctx, s.db, s.scanListed, selectListed, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	out := make([]Glance, len(all))
	at := map[string]*Glance{}
	for i, c := range all {
		out[i] = Glance{Cluster: c, Care: Care{Cluster: c.UID}}
		at[c.UID] = &out[i]
	}
	for _, read := range []func(context.Context, map[string]*Glance, ...any) error{s.glanceCare, s.glanceNodes, s.glancePending, s.glanceRuns, s.glanceLedger} {
		if err := read(ctx, at, after, limit); err != nil {
			return nil, fmt.Errorf("list clusters: %w", err)
		}
	}
	return out, nil
}

// scanListed is scanCluster for lists that are asked for again and again: a spec is decoded once, and not to be changed by
// who reads it.
func (s *Store) scanListed(r row) (Cluster, error) {
	return readCluster(r, func(c Cluster, text []byte) (*spec.Cluster, error) {
		return s.specs.Of(c.UID, text, func() (*spec.Cluster, error) { return decodeSpec(c, text) })
	})
}

func (s *Store) glanceCare(ctx context.Context, at map[string]*Glance, which ...any) error {
	list, err := query(ctx, s.db, scanCare, "SELECT "+careColumns+" FROM care WHERE cluster IN "+listed, which...)
	for _, c := range list {
		if g := at[c.Cluster]; g != nil {
			g.Care = c
		}
	}
	return err
}

func (s *Store) glanceNodes(ctx context.Context, at map[string]*Glance, which ...any) error {
	list, err := query(ctx, s.db, scanNode, "SELECT "+nodeColumns+" FROM nodes WHERE cluster IN "+listed+" ORDER BY cluster, name", which...)
	for _, n := range list {
		if g := at[n.Cluster]; g != nil {
			g.Nodes = append(g.Nodes, n)
		}
	}
	return err
}

func (s *Store) glancePending(ctx context.Context, at map[string]*Glance, which ...any) error {
	list, err := query(ctx, s.db, scanChange, "SELECT "+changeColumns+" FROM changes WHERE state IN ($3, $4) AND cluster IN "+listed+" ORDER BY id", append(which, string(Queued), string(Applying))...)
	for _, c := range list {
		if g := at[c.Cluster]; g != nil {
			g.Pending = append(g.Pending, c)
		}
	}
	return err
}

func (s *Store) glanceRuns(ctx context.Context, at map[string]*Glance, which ...any) error {
	const last = "SELECT MAX(id) FROM runs WHERE cluster IN " + listed + " GROUP BY cluster"
	list, err := query(ctx, s.db, scanRun, "SELECT "+runColumns+" FROM runs WHERE id IN ("+last+")", which...)
	if err != nil {
		return err
	}
	counts, err := s.countEnds(ctx, list, last, which...)
	for _, r := range list {
		if g := at[r.Cluster]; g != nil {
			n := counts[r.ID]
			g.Last, g.Total, g.Done = &r, n.Total, n.Done
		}
	}
	return err
}

// countEnds counts the steps of a list of runs that a query selects. Those of a run that has ended stay as they are, so they
// are counted once.
func (s *Store) countEnds(ctx context.Context, list []Run, runs string, args ...any) (map[int64]StepCount, error) {
	remembered := func(r Run, from map[int64]StepCount) (StepCount, error) {
		return s.counts.Of(strconv.FormatInt(r.ID, 10), []byte(r.Ended.String()), func() (StepCount, error) {
			if from == nil {
				return StepCount{}, ErrNotFound
			}
			return from[r.ID], nil
		})
	}
	var going, unknown bool
	for _, r := range list {
		if r.Ended.IsZero() {
			going = true
		} else if _, err := remembered(r, nil); err != nil {
			unknown = true
		}
	}
	counts := map[int64]StepCount{}
	var err error
	switch {
	case unknown:
		counts, err = s.countSteps(ctx, runs, args...)
	case going:
		counts, err = s.countSteps(ctx, "SELECT id FROM runs WHERE ended = 0 AND id IN ("+runs+")", args...)
	}
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if !r.Ended.IsZero() {
			if counts[r.ID], err = remembered(r, counts); err != nil {
				return nil, err
			}
		}
	}
	return counts, nil
}

func (s *Store) glanceLedger(ctx context.Context, at map[string]*Glance, which ...any) error {
	type ledger struct {
		cluster string
		count   int
		made    int64
	}
	list, err := query(ctx, s.db, func(r row) (l ledger, err error) {
		err = r.Scan(&l.cluster, &l.count, &l.made)
		return l, err
	}, "SELECT cluster, COUNT(*), MAX(made) FROM resources WHERE cluster IN "+listed+" GROUP BY cluster", which...)
	for _, l := range list {
		if g := at[l.cluster]; g != nil {
			g.Resources, g.LastMade = l.count, fromMicros(l.made)
		}
	}
	return err
}

// StepCount says how many steps a run has, and how many of them are done.
type StepCount struct{ Total, Done int }

// CountSteps counts the steps of those of a cluster's runs that RunsBefore returns, by run.
func (s *Store) CountSteps(ctx context.Context, cluster string, id int64, limit int) (map[int64]StepCount, error) {
	out, err := s.countSteps(ctx, "SELECT id FROM runs WHERE cluster = $1 AND id < $2 ORDER BY id DESC LIMIT $3", cluster, before(id), limit)
	if err != nil {
		return nil, fmt.Errorf("count the steps of cluster %s: %w", cluster, err)
	}
	return out, nil
}

// countSteps counts the steps of runs that a query with its parameters selects.
func (s *Store) countSteps(ctx context.Context, runs string, args ...any) (map[int64]StepCount, error) {
	out := map[int64]StepCount{}
	_, err := query(ctx, s.db, func(r row) (id int64, err error) {
		var n StepCount
		err = r.Scan(&id, &n.Total, &n.Done)
		out[id] = n
		return id, err
	}, fmt.Sprintf("SELECT run, COUNT(*), SUM(CASE WHEN state = $%d THEN 1 ELSE 0 END) FROM steps WHERE run IN (%s) GROUP BY run", len(args)+1, runs), append(args, string(StepDone))...)
	return out, err
}
