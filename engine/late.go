package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/store"
)

// inherited says that an intent was open before this run began: an earlier call for it may be on its way still.
func (r *run) inherited(i store.Intent) bool {
	return slices.ContainsFunc(r.ledger.intents, func(o store.Intent) bool { return o.ID == i.ID })
}

// landedLate is for a call to make something that came to its end when the lease was lost: another engine may have made
// the same meanwhile, or may have deleted the cluster. object is what was made; it has no id when that isn't known. The other
// engine is told to look; where nobody looks any more, what was made is removed here. Both are tried for a while: leases are
// lost when a database or a network fails, and that may not be over yet.
func (r *run) landedLate(ctx context.Context, st *site, i store.Intent, object cloud.Object) error {
	ctx, cancel := r.e.outlasting(ctx, r.e.patience.late())
	defer cancel()
	orphaned, err := retryPlain(ctx, r.e.patience.late(), func(ctx context.Context) (bool, error) { return r.tellLate(ctx, i, object) })
	if err != nil {
		return fmt.Errorf("nobody could be told what the call to make %s came to: %w", i.Key, err)
	}
	if !orphaned {
		return nil
	}
	if object.ID == "" {
		if object, err = r.appearing(ctx, st, i); err == nil && object.ID == "" {
			return nil
		}
	}
	if err == nil {
		_, err = retry(ctx, r.e.patience, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, st.driver.Delete(ctx, r.owner, object)
		})
	}
	if err != nil {
		err = fmt.Errorf("%s %s of the deleted cluster %s may have been made late, and could not be removed; 'skyweld sweep %s --cluster %s' looks for it: %w",
			i.Kind, i.Key, r.cluster.Name, st.account.Name, r.cluster.UID, err)
		r.warn(ctx, "LeftBehind", i.Key, err.Error())
		return err
	}
	r.note(ctx, "Removed", object.Key, fmt.Sprintf("%s %s was made by a call that landed when the cluster was deleted already; it is gone again", object.Kind, object.ID))
	return nil
}

// late is how long is tried to bring in order what a call that landed late has done.
func (p patience) late() time.Duration { return p.listLag + p.step }

// tellLate opens an intent that explains what a call has made, if the lease is lost; if it isn't, the next run finds the intent as
// it is. orphaned says that the cluster's life has ended.
func (r *run) tellLate(ctx context.Context, i store.Intent, object cloud.Object) (orphaned bool, err error) {
	if err := r.e.store.Check(ctx, r.fence); !errors.Is(err, store.ErrFenced) {
		return false, err
	}
	if err := r.e.store.LandedLate(ctx, i.ID, object.ID); !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	c, err := r.e.store.GetClusterByUID(ctx, r.cluster.UID)
	return err == nil && !c.Deleted.IsZero(), err
}

// appearing waits for what a call has made whose answer never came, as long as lists may lag; without an id it made nothing.
func (r *run) appearing(ctx context.Context, st *site, i store.Intent) (cloud.Object, error) {
	pauses := cloud.Backoff{First: r.e.patience.retry, Most: mostPause}
	for began := time.Now(); ; {
		object, err := retry(ctx, r.e.patience, func(ctx context.Context) (cloud.Object, error) {
			o, _, err := r.landed(ctx, st, i)
			return o, err
		})
		if err != nil || object.ID != "" || time.Since(began) > r.e.patience.listLag {
			return object, err
		}
		if err := cloud.Pause(ctx, pauses.Next(0)); err != nil {
			return cloud.Object{}, err
		}
	}
}

// engineKey is the context key under which a run finds the context of its engine.
type engineKey struct{}

// inEngine returns an engine's context for its runs.
func inEngine(ctx context.Context) context.Context { return context.WithValue(ctx, engineKey{}, ctx) }

// outlasting returns a context for what must be done though the lease is lost, which ends that of the run. It ends after a
// while, and with the engine, when its grace is over.
func (e *Engine) outlasting(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	firm, end := context.WithoutCancel(ctx), func() {}
	if engine, ok := ctx.Value(engineKey{}).(context.Context); ok {
		firm, end = e.firmly(engine)
	}
	firm, cancel := context.WithTimeout(firm, limit)
	return firm, func() { cancel(); end() }
}
