package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/store"
)

// inherited says that an intent was open before this run began: an earlier call for it may be on its way still.
func (r *run) inherited(i store.Intent) bool {
	return slices.ContainsFunc(r.ledger.intents, func(o store.Intent) bool { return o.ID == i.ID })
}

// landedLate is for a call to make something that came to its end when the lease was lost: another engine may have made
// the same meanwhile, or may have deleted the cluster. object is what was made; it has no id when that isn't known. The other
// engine is told to look; where nobody looks any more, what was made is removed here.
func (r *run) landedLate(ctx context.Context, st *site, i store.Intent, object cloud.Object) error {
	ctx = context.WithoutCancel(ctx)
	if err := r.e.store.Check(ctx, r.fence); !errors.Is(err, store.ErrFenced) {
		return nil // the lease is ours, or the next run finds the intent as it is
	}
	err := r.e.store.LandedLate(ctx, i.ID, object.ID)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if c, err := r.e.store.GetClusterByUID(ctx, r.cluster.UID); err != nil || c.Deleted.IsZero() {
		return err
	}
	if object.ID == "" {
		if object, _, err = r.landed(ctx, st, i); err != nil || object.ID == "" {
			return err
		}
	}
	if _, err := retry(ctx, r.e.patience, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, st.driver.Delete(ctx, r.owner, object)
	}); err != nil {
		err = fmt.Errorf("%s %s of the deleted cluster %s was made late, and could not be removed: %w", object.Kind, object.ID, r.cluster.Name, err)
		r.warn(ctx, "LeftBehind", object.Key, err.Error())
		return err
	}
	r.note(ctx, "Removed", object.Key, fmt.Sprintf("%s %s was made by a call that landed when the cluster was deleted already; it is gone again", object.Kind, object.ID))
	return nil
}
