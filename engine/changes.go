package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// Somebody is who asked where that isn't known.
const Somebody = "somebody"

// asked is a cluster with all that was asked of it: its Spec is the latest, that of the last change still queued.
type asked struct {
	store.Cluster
	// queue is what that was made from; a change that builds upon it is refused once it is another.
	queue store.Queue
}

// existing finds a cluster by name, nil when there is none.
func (e *Engine) existing(ctx context.Context, name string) (*asked, error) {
	c, err := e.store.GetCluster(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	q, err := e.store.GetQueue(ctx, c.UID)
	if err != nil {
		return nil, err
	}
	a := &asked{Cluster: q.Cluster, queue: q}
	a.Spec, err = latestSpec(q)
	return a, err
}

// latestSpec is the spec that the next change is made from: that of the last one still queued, else the one in force. Its
// generation is the one it will have when all before it are taken on.
func latestSpec(q store.Queue) (*spec.Cluster, error) {
	latest := q.Cluster.Spec
	for _, ch := range q.Waiting {
		next, err := bodyOf(ch)
		if err != nil {
			return nil, err
		}
		if next == nil {
			continue
		}
		next.Metadata = latest.Metadata
		if !sameSpec(latest, next) {
			next.Metadata.Generation++
		}
		latest = next
	}
	return latest, nil
}

// bodyOf is the spec that a change carries, nil for one that carries none.
func bodyOf(ch store.Change) (*spec.Cluster, error) {
	if !carriesSpec(ch) {
		return nil, nil
	}
	c := new(spec.Cluster)
	if err := json.Unmarshal(ch.Body, c); err != nil {
		return nil, fmt.Errorf("change %d (%s): %w", ch.ID, ch.Kind, err)
	}
	return c, nil
}

// nodesBody is the body of a change that adds workers or takes some out: the spec that it leads to, and the nodes that it is
// about. What it is to do can't be read from specs alone: made anew behind one that does the same, it does nothing there, and
// has to do it again when that one is cancelled.
type nodesBody struct {
	*spec.Cluster
	Moves spec.Moves `json:"moves"`
}

// bodyWith is a change's body with another spec.
func bodyWith(ch store.Change, wanted *spec.Cluster) (body json.RawMessage, err error) {
	if ch.Kind == store.Apply {
		body, err = json.Marshal(wanted)
	} else {
		var b nodesBody
		if err = json.Unmarshal(ch.Body, &b); err == nil {
			b.Cluster = wanted
			body, err = json.Marshal(b)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("change %d (%s): %w", ch.ID, ch.Kind, err)
	}
	return body, nil
}

func carriesSpec(ch store.Change) bool {
	return len(ch.Body) > 0 && (ch.Kind == store.Apply || ch.Kind == store.NodeAdd || ch.Kind == store.NodeRemove)
}

func sameSpec(a, b *spec.Cluster) bool {
	x, errX := json.Marshal(a.Spec)
	y, errY := json.Marshal(b.Spec)
	return errX == nil && errY == nil && string(x) == string(y)
}

// queueTries is how often a change is made anew because another was quicker, before that is an error.
const queueTries = 200

// queueUp makes a change and queues it, again from what is asked then when the queue has changed in between: of ten that ask
// at once each builds upon the one before.
func queueUp(ctx context.Context, make func() (store.Change, error)) (store.Change, error) {
	for try := 1; ; try++ {
		c, err := make()
		if !errors.Is(err, store.ErrConflict) || try == queueTries || ctx.Err() != nil {
			return c, err
		}
	}
}

// takeChanges puts in force what is asked of a cluster, as far as it can be done in one run, and returns the changes that
// are being applied then.
func (e *Engine) takeChanges(ctx context.Context, fence store.Fence, c store.Cluster) ([]store.Change, store.Cluster, error) {
	for try := 1; ; try++ {
		q, err := e.store.GetQueue(ctx, c.UID)
		if err != nil {
			return nil, c, err
		}
		d := decision{e: e, queue: q, now: q.Cluster.Spec, inForce: q.Cluster.Spec}
		if err := d.decide(ctx); err != nil {
			return nil, c, err
		}
		if len(d.moves) == 0 {
			return q.Applying, q.Cluster, nil
		}
		after, err := e.store.TakeChanges(ctx, fence, q, d.moves)
		if errors.Is(err, store.ErrConflict) && try < queueTries {
			continue
		}
		if err != nil {
			return nil, c, err
		}
		for _, m := range d.moves {
			if m.State == store.Failed {
				e.event(ctx, c.UID, store.Warning, "ChangeFailed", "cluster "+c.Name, fmt.Sprintf("change %d can't be done: %s", m.ID, m.Error))
			}
		}
		return after.Applying, after.Cluster, nil
	}
}

// decision is what becomes of a queue at the beginning of a run. Changes that lead to the same when the last of them is
// done at once are done so; what isn't the same waits for the next run.
type decision struct {
	e     *Engine
	queue store.Queue
	moves []store.Move

	inForce *spec.Cluster
	// now is the spec after the changes decided upon, before what the next one was made from; they differ once one before it
	// is gone.
	now    *spec.Cluster
	before *spec.Cluster
	moved  bool
	// taken are those whose specs come into force.
	taken []step
	// leaving are nodes that are on their way out, and that a later change may not take for its own.
	leaving map[string]bool
	// full says that the rest waits for the next run.
	full bool
}

// step is a change with the specs before and after it.
type step struct {
	store.Change
	before, after *spec.Cluster
}

func (d *decision) decide(ctx context.Context) error {
	all := slices.Concat(d.queue.Applying, d.queue.Waiting)
	if i := slices.IndexFunc(all, func(ch store.Change) bool { return ch.Kind == store.Delete }); i >= 0 {
		d.overtake(all, all[i].ID)
		return nil
	}
	if err := d.unfinished(ctx); err != nil {
		return err
	}
	d.before = d.inForce
	for _, ch := range d.queue.Waiting {
		wanted, err := bodyOf(ch)
		switch {
		case err != nil:
			d.fail(ch, err)
		case wanted == nil && !d.full:
			d.moves = append(d.moves, store.Move{ID: ch.ID, State: store.Applying})
		case wanted != nil:
			if err := d.next(ctx, ch, wanted); err != nil {
				return err
			}
		}
	}
	return d.supersede(ctx)
}

// overtake lets a deletion take the place of all else.
func (d *decision) overtake(all []store.Change, id int64) {
	for _, ch := range all {
		switch {
		case ch.Kind != store.Delete:
			d.moves = append(d.moves, store.Move{ID: ch.ID, State: store.Superseded, Successor: id, Error: fmt.Sprintf("the cluster is being deleted by change %d", id)})
		case ch.State == store.Queued:
			d.moves = append(d.moves, store.Move{ID: ch.ID, State: store.Applying})
		}
	}
}

// unfinished finds the nodes that a change takes out which was taken on and hasn't seen the end of a run: who asks for one
// of that name again means another machine.
func (d *decision) unfinished(ctx context.Context) error {
	d.leaving = map[string]bool{}
	untried := func(ch store.Change) bool { return ch.Tries == 0 && carriesSpec(ch) }
	if !slices.ContainsFunc(d.queue.Applying, untried) {
		return nil
	}
	nodes, err := d.e.store.GetNodes(ctx, d.queue.Cluster.UID)
	if err != nil {
		return err
	}
	wanted := spec.NodeSites(d.inForce)
	leave := func(name string) {
		if _, ok := wanted[name]; !ok {
			d.leaving[name] = true
		}
	}
	for _, n := range nodes {
		leave(n.Name)
	}
	// Where the engine was stopped after the last of it was gone and before it said so, nothing of it is on record any more.
	for _, ch := range d.queue.Applying {
		if !untried(ch) {
			continue
		}
		r, err := d.e.store.GetRevision(ctx, ch.Cluster, ch.Generation-1)
		if errors.Is(err, store.ErrNotFound) { // it made the cluster
			continue
		}
		if err != nil {
			return err
		}
		for name := range spec.NodeSites(r.Spec) {
			leave(name)
		}
	}
	return nil
}

// next decides about the next change of the queue that carries a spec.
func (d *decision) next(ctx context.Context, ch store.Change, wanted *spec.Cluster) error {
	before := d.before
	d.before = wanted
	if d.moved {
		again, err := redo(ch, before, wanted, d.now)
		if err != nil {
			d.fail(ch, fmt.Errorf("it builds on a change before it that could not be done: %w", err))
			return nil
		}
		wanted = again
	}
	wanted.Metadata = d.inForce.Metadata
	if err := d.e.possible(ctx, d.inForce, wanted); err != nil {
		if !isProblem(err) {
			return err
		}
		d.fail(ch, err)
		return nil
	}
	d.full = d.full || d.comeBack(wanted)
	at := d.now
	d.now = wanted
	if !d.full {
		for name := range spec.NodeSites(at) {
			if _, stays := spec.NodeSites(wanted)[name]; !stays {
				d.leaving[name] = true
			}
		}
		d.taken = append(d.taken, step{ch, at, wanted})
		return nil
	}
	if !d.moved {
		return nil
	}
	body, err := bodyWith(ch, wanted)
	if err != nil {
		return err
	}
	d.moves = append(d.moves, store.Move{ID: ch.ID, State: store.Queued, Body: body})
	return nil
}

// comeBack says that a spec wants nodes again that are to go before.
func (d *decision) comeBack(wanted *spec.Cluster) bool {
	for name := range spec.NodeSites(wanted) {
		if d.leaving[name] {
			return true
		}
	}
	return false
}

// fail ends a change that can't be done. Those after it were made from its spec, and are made anew without it.
func (d *decision) fail(ch store.Change, why error) {
	d.moves = append(d.moves, store.Move{ID: ch.ID, State: store.Failed, Error: why.Error()})
	d.moved = true
}

// supersede puts the specs of what is taken in force, one revision each: the last of them is what is worked on, in the place
// of all before it.
func (d *decision) supersede(ctx context.Context) error {
	if len(d.taken) == 0 {
		return nil
	}
	last := d.taken[len(d.taken)-1]
	var before []step
	for _, ch := range d.queue.Applying {
		if !carriesSpec(ch) {
			continue
		}
		s := step{ch, d.inForce, d.inForce}
		if r, err := d.e.store.GetRevision(ctx, ch.Cluster, ch.Generation-1); err == nil {
			s.before = r.Spec
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		before = append(before, s)
	}
	all := slices.Concat(before, d.taken)
	for i, s := range all[:len(all)-1] {
		m := store.Move{ID: s.ID, State: store.Superseded, Successor: last.ID}
		if i >= len(before) && !sameSpec(s.before, s.after) {
			m.Spec = s.after
		}
		if over, ok := overwrittenBy(s, all[i+1:]); ok {
			m.Error = fmt.Sprintf("change %d (%s by %s) asks for something else", over.ID, over.Kind, over.Who)
		}
		d.moves = append(d.moves, m)
	}
	m := store.Move{ID: last.ID, State: store.Applying}
	if !sameSpec(last.before, last.after) {
		m.Spec = last.after
	}
	d.moves = append(d.moves, m)
	return nil
}

// overwrittenBy finds the change after a step that does away with what it asked for.
func overwrittenBy(s step, later []step) (store.Change, bool) {
	was, is := spec.NodeSites(s.before), spec.NodeSites(s.after)
	for _, l := range later {
		switch {
		case s.Kind == store.Apply:
			if l.Kind == store.Apply && !sameSpec(s.after, l.after) {
				return l.Change, true
			}
		default:
			then := spec.NodeSites(l.after)
			for name := range is {
				if _, old := was[name]; !old && then[name] == "" {
					return l.Change, true
				}
			}
			for name := range was {
				if is[name] == "" && then[name] != "" {
					return l.Change, true
				}
			}
		}
	}
	return store.Change{}, false
}

// redo makes a change again on another spec than it was made from. A file says all by itself and stays as it is; what is asked
// of nodes is asked of the others, too.
func redo(ch store.Change, before, wanted, onto *spec.Cluster) (*spec.Cluster, error) {
	if ch.Kind == store.Apply {
		return spec.Reapply(before, wanted, onto), nil
	}
	var b nodesBody
	if err := json.Unmarshal(ch.Body, &b); err != nil {
		return nil, fmt.Errorf("change %d (%s): %w", ch.ID, ch.Kind, err)
	}
	return b.Moves.Redo(onto)
}

// possible says why a spec can't come into force that could when it was asked for.
func (e *Engine) possible(ctx context.Context, inForce, wanted *spec.Cluster) error {
	errs := append(spec.Validate(wanted), spec.Immutable(inForce, wanted)...)
	if err := errs.Err(); err != nil {
		return err
	}
	for _, name := range wanted.Accounts() {
		if _, err := e.store.GetAccount(ctx, name); errors.Is(err, store.ErrNotFound) {
			return &Problem{Kind: NotNow, Message: fmt.Sprintf("account %s was removed meanwhile: add it again, and ask again", name)}
		} else if err != nil {
			return err
		}
	}
	return nil
}

// isProblem says that an error is about what was asked, and not about the asking.
func isProblem(err error) bool {
	_, problem := errors.AsType[*Problem](err)
	_, invalid := errors.AsType[spec.Errors](err)
	return problem || invalid
}

// Cancel takes back a change that is still queued. Changes after it that are made of it stay, without it; where one can't be
// without it, nothing is done, and the error says which.
func (e *Engine) Cancel(ctx context.Context, id int64, who string) (store.Change, error) {
	return queueUp(ctx, func() (store.Change, error) {
		ch, err := e.Change(ctx, id)
		if err != nil {
			return ch, err
		}
		switch {
		case ch.Kind == store.Delete:
			return ch, &Problem{Kind: NotNow, Message: fmt.Sprintf("change %d is the deletion of its cluster: one that was asked for can't be cancelled", id)}
		case ch.State == store.Applying:
			return ch, &Problem{Kind: NotNow, Message: fmt.Sprintf("change %d is being applied already, and only a queued change can be cancelled: ask for what is wanted instead, "+
				"and that is done right after it", id)}
		case ch.State != store.Queued:
			return ch, &Problem{Kind: NotNow, Message: fmt.Sprintf("change %d is %s, and only a queued change can be cancelled", id, ch.State)}
		}
		q, err := e.store.GetQueue(ctx, ch.Cluster)
		if err != nil {
			return ch, err
		}
		moves, err := without(q, ch)
		if err != nil {
			return ch, err
		}
		if ch, err = e.store.CancelChange(ctx, q, id, who, moves); err != nil {
			return ch, err
		}
		e.event(ctx, ch.Cluster, store.Normal, "Cancelled", "cluster "+q.Cluster.Name, fmt.Sprintf("change %d (%s: %s) was cancelled by %s", id, ch.Kind, ch.Summary, who))
		return ch, nil
	})
}

// without makes the changes that are queued after one anew, as if that had never been asked for.
func without(q store.Queue, gone store.Change) ([]store.Move, error) {
	var moves []store.Move
	now, before, moved := q.Cluster.Spec, q.Cluster.Spec, false
	for _, ch := range q.Waiting {
		wanted, err := bodyOf(ch)
		if err != nil {
			return nil, err
		}
		if wanted == nil {
			continue
		}
		was := before
		before = wanted
		if ch.ID == gone.ID {
			moved = true
			continue
		}
		if !moved {
			now = wanted
			continue
		}
		again, err := redo(ch, was, wanted, now)
		if err == nil {
			again.Metadata = q.Cluster.Spec.Metadata
			err = append(spec.Validate(again), spec.Immutable(q.Cluster.Spec, again)...).Err()
		}
		if err != nil {
			return nil, &Problem{Kind: NotNow, Message: fmt.Sprintf("change %d can't be cancelled, because change %d (%s by %s: %s) builds on it: %s; cancel that one first",
				gone.ID, ch.ID, ch.Kind, ch.Who, ch.Summary, err)}
		}
		body, err := bodyWith(ch, again)
		if err != nil {
			return nil, err
		}
		moves, now = append(moves, store.Move{ID: ch.ID, State: store.Queued, Body: body}), again
	}
	return moves, nil
}

// Change returns a change.
func (e *Engine) Change(ctx context.Context, id int64) (store.Change, error) {
	ch, err := e.store.GetChange(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		err = &Problem{Kind: Missing, Message: fmt.Sprintf("there is no change %d", id)}
	}
	return ch, err
}

// endChanges says of the changes that are being applied how the run ended: they are done, or stay for the next try.
func (e *Engine) endChanges(ctx context.Context, fence store.Fence, c store.Cluster, failure string) error {
	if failure != "" {
		if err := e.endApprovals(ctx, fence, failure); err != nil {
			return err
		}
	}
	changes, err := e.store.EndTry(ctx, fence, failure)
	if err != nil || failure != "" {
		return err
	}
	for _, ch := range changes {
		e.event(ctx, c.UID, store.Normal, "Applied", "cluster "+c.Name, fmt.Sprintf("change %d (%s) is done", ch.ID, ch.Kind))
	}
	return nil
}
