package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Interrupted is the outcome of a run whose engine stopped or lost its lease in the middle. All other outcomes are the
// engine's own words.
const Interrupted = "interrupted"

// Run is one pass of the engine over one cluster.
type Run struct {
	ID      int64
	Cluster string
	// Reason says why: "change 12", "hourly".
	Reason     string
	Generation int64
	// Owner is the engine.
	Owner string
	// Ended is zero and Outcome empty while it runs.
	Started, Ended time.Time
	Outcome        string
	Error          string
	// APICalls counts calls to clouds by the engine's own names.
	APICalls map[string]int64
}

// StepState is how far a step is.
type StepState string

// The states of a step.
const (
	StepPending StepState = "pending"
	StepRunning StepState = "running"
	StepDone    StepState = "done"
	StepFailed  StepState = "failed"
	StepSkipped StepState = "skipped"
)

// Step is one part of a run.
type Step struct {
	Run int64
	// ID is unique in the run.
	ID                              string
	Key, Kind, Site, Action, Reason string
	// Phase is the part of a deletion that it belongs to, empty elsewhere.
	Phase string
	// Depends are the ids of the steps before it.
	Depends        []string
	State          StepState
	Started, Ended time.Time
	Error          string
}

const (
	runColumns  = "id, cluster, reason, generation, owner, started, ended, outcome, error, api_calls"
	stepColumns = "run, id, key, kind, site, action, reason, depends, state, started, ended, error, phase"
)

// CreateRun begins a run with the steps that are known. An earlier run of the cluster that has no end was interrupted: it
// gets its end, as do its running steps. The changes that are being applied are noted to be its.
func (s *Store) CreateRun(ctx context.Context, fence Fence, reason string, generation int64, steps []Step) (Run, error) {
	var out Run
	err := s.fenced(ctx, "begin a run", fence, func(t *tx) error {
		if err := t.interrupt(fence.Cluster); err != nil {
			return err
		}
		id, err := t.id()
		if err != nil {
			return err
		}
		out, err = first(ctx, t, scanRun, "INSERT INTO runs ("+runColumns+`) SELECT $1, uid, $3, $4, lease_owner, $5, 0, '', '', '{}'
			FROM clusters WHERE uid = $2 RETURNING `+runColumns, id, fence.Cluster, reason, generation, t.now)
		if err != nil {
			return err
		}
		t.tellRun(fence.Cluster, id)
		if err := t.changedIDs(func(id int64) { t.tellChange(fence.Cluster, id) },
			"UPDATE changes SET run = $2 WHERE cluster = $1 AND state = $3 RETURNING id", fence.Cluster, id, string(Applying)); err != nil {
			return err
		}
		return t.addSteps(id, steps)
	})
	if err != nil {
		return Run{}, err
	}
	s.hub.notify(fence.Cluster, Runs)
	return out, nil
}

// interrupt ends the run of a cluster that has no end.
func (t *tx) interrupt(cluster string) error {
	cut, err := query(t.ctx, t, func(r row) (Step, error) {
		var v Step
		err := r.Scan(&v.Run, &v.ID)
		return v, err
	}, `UPDATE steps SET state = $2, ended = $3, error = $4 WHERE state = $5
		AND run IN (SELECT id FROM runs WHERE cluster = $1 AND ended = 0) RETURNING run, id`, cluster, string(StepFailed), t.now, Interrupted, string(StepRunning))
	if err != nil {
		return err
	}
	for _, step := range cut {
		t.tellStep(cluster, step.Run, step.ID)
	}
	return t.changedIDs(func(id int64) { t.tellRun(cluster, id) },
		"UPDATE runs SET ended = $2, outcome = $3 WHERE cluster = $1 AND ended = 0 RETURNING id", cluster, t.now, Interrupted)
}

// AddSteps adds steps to a run that has not ended, after those it has.
func (s *Store) AddSteps(ctx context.Context, fence Fence, run int64, steps []Step) error {
	err := s.fenced(ctx, fmt.Sprintf("add steps to run %d", run), fence, func(t *tx) error {
		if err := t.openRun(fence, run); err != nil {
			return err
		}
		t.tellRun(fence.Cluster, run)
		return t.addSteps(run, steps)
	})
	if err == nil {
		s.hub.notify(fence.Cluster, Runs)
	}
	return err
}

func (t *tx) openRun(fence Fence, run int64) error {
	r, err := first(t.ctx, t, scanRun, "SELECT "+runColumns+" FROM runs WHERE id = $1 AND cluster = $2", run, fence.Cluster)
	if err != nil {
		return err
	}
	if !r.Ended.IsZero() {
		return fmt.Errorf("%w: the run has ended", ErrConflict)
	}
	return nil
}

func (t *tx) addSteps(run int64, steps []Step) error {
	var have int64
	if err := t.row("SELECT COUNT(*) FROM steps WHERE run = $1", run).Scan(&have); err != nil {
		return err
	}
	for i, step := range steps {
		depends, err := asJSON(append([]string{}, step.Depends...))
		if err != nil {
			return err
		}
		state := step.State
		if state == "" {
			state = StepPending
		}
		_, err = t.exec("INSERT INTO steps (seq, "+stepColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, '', $11)",
			have+int64(i), run, step.ID, step.Key, step.Kind, step.Site, step.Action, step.Reason, depends, string(state), step.Phase)
		if unique, _ := violates(err); unique {
			return fmt.Errorf("step %s %w", step.ID, ErrExists)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// SetStep moves a step on. The database's clock says when it began to run or ended.
func (s *Store) SetStep(ctx context.Context, fence Fence, run int64, step string, state StepState, failure string) error {
	err := s.fenced(ctx, fmt.Sprintf("set step %s of run %d to %s", step, run, state), fence, func(t *tx) error {
		if err := t.openRun(fence, run); err != nil {
			return err
		}
		t.tellStep(fence.Cluster, run, step)
		switch state {
		case StepRunning:
			return t.one("UPDATE steps SET state = $3, started = $4, ended = 0, error = $5 WHERE run = $1 AND id = $2", run, step, string(state), t.now, failure)
		case StepPending:
			return t.one("UPDATE steps SET state = $3, started = 0, ended = 0, error = $4 WHERE run = $1 AND id = $2", run, step, string(state), failure)
		}
		return t.one("UPDATE steps SET state = $3, ended = $4, error = $5 WHERE run = $1 AND id = $2", run, step, string(state), t.now, failure)
	})
	if err == nil {
		s.hub.notify(fence.Cluster, Runs)
	}
	return err
}

// EndRun ends a run.
func (s *Store) EndRun(ctx context.Context, fence Fence, run int64, outcome, failure string, calls map[string]int64) error {
	if calls == nil {
		calls = map[string]int64{}
	}
	text, err := asJSON(calls)
	if err != nil {
		return fmt.Errorf("end run %d: %w", run, err)
	}
	err = s.fenced(ctx, fmt.Sprintf("end run %d", run), fence, func(t *tx) error {
		if err := t.openRun(fence, run); err != nil {
			return err
		}
		t.tellRun(fence.Cluster, run)
		return t.one("UPDATE runs SET ended = $2, outcome = $3, error = $4, api_calls = $5 WHERE id = $1", run, t.now, outcome, failure, text)
	})
	if err == nil {
		s.hub.notify(fence.Cluster, Runs)
	}
	return err
}

// ListRuns returns the last runs of a cluster, the newest first.
func (s *Store) ListRuns(ctx context.Context, cluster string, limit int) ([]Run, error) {
	all, err := query(ctx, s.db, scanRun, "SELECT "+runColumns+" FROM runs WHERE cluster = $1 ORDER BY id DESC LIMIT $2", cluster, limit)
	if err != nil {
		return nil, fmt.Errorf("list runs of cluster %s: %w", cluster, err)
	}
	return all, nil
}

// GetRun returns a run with its steps in their order.
func (s *Store) GetRun(ctx context.Context, id int64) (Run, []Step, error) {
	run, err := first(ctx, s.db, scanRun, "SELECT "+runColumns+" FROM runs WHERE id = $1", id)
	if err != nil {
		return Run{}, nil, fmt.Errorf("run %d: %w", id, err)
	}
	steps, err := query(ctx, s.db, scanStep, "SELECT "+stepColumns+" FROM steps WHERE run = $1 ORDER BY seq", id)
	if err != nil {
		return Run{}, nil, fmt.Errorf("steps of run %d: %w", id, err)
	}
	return run, steps, nil
}

// PruneRuns forgets all but the last keep runs of a cluster that have ended, with their steps.
func (s *Store) PruneRuns(ctx context.Context, cluster string, keep int) error {
	return s.prune(ctx, oldRuns, cluster, keep)
}

func scanRun(r row) (Run, error) {
	var v Run
	var started, ended int64
	var calls string
	err := r.Scan(&v.ID, &v.Cluster, &v.Reason, &v.Generation, &v.Owner, &started, &ended, &v.Outcome, &v.Error, &calls)
	if err != nil {
		return v, err
	}
	v.Started, v.Ended = fromMicros(started), fromMicros(ended)
	return v, json.Unmarshal([]byte(calls), &v.APICalls)
}

func scanStep(r row) (Step, error) {
	var v Step
	var started, ended int64
	var depends string
	err := r.Scan(&v.Run, &v.ID, &v.Key, &v.Kind, &v.Site, &v.Action, &v.Reason, &depends, &v.State, &started, &ended, &v.Error, &v.Phase)
	if err != nil {
		return v, err
	}
	v.Started, v.Ended = fromMicros(started), fromMicros(ended)
	return v, json.Unmarshal([]byte(depends), &v.Depends)
}
