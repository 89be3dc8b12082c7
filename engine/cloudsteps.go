package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/store"
)

// cloudStep does one step on a cloud's resource: the intent is on record before the call, the ledger after it.
func (r *run) cloudStep(ctx context.Context, s plan.Step) error {
	st := r.sites[s.Site]
	if st == nil {
		return fmt.Errorf("%s: the cluster has no site %s", s.ID, s.Site)
	}
	switch s.Action {
	case plan.Create:
		return r.create(ctx, st, s)
	case plan.Update:
		return r.update(ctx, st, s)
	case plan.Replace:
		if err := r.delete(ctx, st, s); err != nil {
			return err
		}
		return r.create(ctx, st, s)
	case plan.Delete:
		return r.delete(ctx, st, s)
	}
	return fmt.Errorf("the engine has no action %s", s.Action)
}

func (r *run) create(ctx context.Context, st *site, s plan.Step) error {
	intent, err := r.intent(ctx, st, s, plan.Create)
	if err != nil {
		return err
	}
	req := cloud.CreateRequest{Owner: r.owner, Resource: *s.Want, Token: intent.Token}
	if isMachine(st.driver, s.Kind) {
		if req.UserData, err = r.machineUserData(ctx, s.Want.Machine, intent.Token); err != nil {
			return err
		}
	}
	if req.Refs, err = r.refs(s.Want); err != nil {
		return err
	}
	unsure, began := false, time.Now()
	object, err := call(ctx, r, func(ctx context.Context) (cloud.Object, error) {
		if unsure {
			if o, ok, err := r.landed(ctx, st, intent); err != nil || ok {
				return o, err
			}
		}
		o, err := st.driver.Create(ctx, req)
		if c := cloud.ClassOf(err); err != nil && (c == cloud.Unknown || c == cloud.Unavailable) {
			unsure = true
		}
		return o, err
	})
	if err != nil {
		if settled(cloud.ClassOf(err)) && !r.young(intent.Created) {
			// The cloud refuses, and nothing has come of the intent for so long that lists would show it: another try is
			// another creation. Before that a part of it may be there, and only the intent explains it.
			err = errors.Join(err, r.e.store.ResolveIntent(context.WithoutCancel(ctx), r.fence, intent.ID, store.Resolution{State: store.IntentFailed}))
		}
		if unsure {
			err = errors.Join(err, r.landedLate(ctx, st, intent, cloud.Object{}))
		}
		return err
	}
	r.e.creations.add(r.cluster.UID, creation{object, st.spec.Name, began, time.Now(), r.under(s.Key)})
	return r.made(ctx, st, intent, object)
}

// landed looks for what an earlier try, whose answer never came, may have made.
func (r *run) landed(ctx context.Context, st *site, intent store.Intent) (cloud.Object, bool, error) {
	objects, err := st.driver.Observe(ctx, r.cluster.UID, st.spec.Region)
	if err != nil {
		return cloud.Object{}, false, err
	}
	seen, recorded := map[identity]bool{}, r.recorded()
	for _, g := range r.got {
		seen[r.identity(g)] = !g.Intended
	}
	var fresh []plan.Observed
	for _, o := range objects {
		id := identity{st.account.Name, o.Kind, o.ID}
		if !seen[id] && !r.e.deletions.lingers(id, o, r.e.patience.listLag) {
			fresh = append(fresh, plan.Observed{Object: o, Recorded: recorded[id]})
		}
	}
	if best := r.explainedBy(intent, fresh); best >= 0 {
		return fresh[best].Object, true, nil
	}
	return cloud.Object{}, false, nil
}

// settled says that the same call will not be answered otherwise.
func settled(c cloud.Class) bool {
	switch c {
	case cloud.Denied, cloud.Invalid, cloud.QuotaExceeded, cloud.Capacity:
		return true
	}
	return false
}

// made resolves the intent and writes the ledger, in one transaction, even when the run is being stopped: the resource
// exists.
func (r *run) made(ctx context.Context, st *site, intent store.Intent, object cloud.Object) error {
	r.setObject(object)
	line, err := ledgerLine(st.spec.Name, object)
	if err != nil {
		return err
	}
	err = r.e.store.ResolveIntent(context.WithoutCancel(ctx), r.fence, intent.ID, store.Resolution{
		State: store.IntentDone, ObjectID: object.ID, Put: &line, Reopen: r.inherited(intent),
	})
	if errors.Is(err, store.ErrFenced) {
		err = errors.Join(err, r.landedLate(ctx, st, intent, object))
	}
	return err
}

// intent is on record before every call that makes or removes something.
func (r *run) intent(ctx context.Context, st *site, s plan.Step, a plan.Action) (store.Intent, error) {
	return r.e.store.OpenIntent(ctx, r.fence, store.Intent{Key: s.Key, Kind: string(s.Kind), Site: s.Site, Region: st.spec.Region, Action: string(a)})
}

// ledgerLine is an object as the ledger keeps it.
func ledgerLine(site string, o cloud.Object) (store.Resource, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return store.Resource{}, fmt.Errorf("record %s: %w", o.Key, err)
	}
	return store.Resource{Key: o.Key, Kind: string(o.Kind), Site: site, Region: o.Region, ID: o.ID, Object: data}, nil
}

func (r *run) update(ctx context.Context, st *site, s plan.Step) error {
	refs, err := r.refs(s.Want)
	if err != nil {
		return err
	}
	object, err := call(ctx, r, func(ctx context.Context) (cloud.Object, error) {
		return st.driver.Update(ctx, cloud.UpdateRequest{Owner: r.owner, Resource: *s.Want, Object: *s.Got, Fields: s.Fields, Refs: refs})
	})
	if err != nil {
		return err
	}
	r.setObject(object)
	line, err := ledgerLine(st.spec.Name, object)
	if err != nil {
		return err
	}
	return r.e.store.PutResource(context.WithoutCancel(ctx), r.fence, line)
}

func (r *run) delete(ctx context.Context, st *site, s plan.Step) error {
	intent, err := r.intent(ctx, st, s, plan.Delete)
	if err != nil {
		return err
	}
	if _, err := call(ctx, r, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, st.driver.Delete(ctx, r.owner, *s.Got)
	}); err != nil {
		return err
	}
	r.e.deletions.add(identity{st.account.Name, s.Got.Kind, s.Got.ID}, r.e.patience.listLag)
	r.objMu.Lock()
	if r.objects[s.Key].ID == s.Got.ID {
		delete(r.objects, s.Key)
	}
	r.objMu.Unlock()
	return r.e.store.ResolveIntent(context.WithoutCancel(ctx), r.fence, intent.ID, store.Resolution{State: store.IntentDone, ObjectID: s.Got.ID, Remove: true})
}

// settle brings ledger and intents in line with what was observed: what an unresolved intent explains goes into the
// ledger (the engine was stopped between the call and its record); lines whose resource is gone go out of it. A line as
// young as a list may lag behind stays.
func (r *run) settle(ctx context.Context) error {
	if err := r.adopt(ctx); err != nil {
		return err
	}
	live, gone := map[identity]bool{}, map[identity]bool{}
	for _, g := range r.got {
		live[r.identity(g)], gone[r.identity(g)] = g.State != cloud.Gone, g.State == cloud.Gone
		for _, p := range g.Parts {
			live[identity{r.account(g.Site), p.Kind, p.ID}] = true
		}
	}
	parts, err := r.parts()
	if err != nil {
		return err
	}
	for _, line := range r.ledger.lines {
		id := r.lineIdentity(line)
		// What came along with a machine is gone with it: of a deletion the last inventory makes sure of that.
		lags := r.young(line.Made) && !gone[id] && (!r.deleting || parts[id] == "")
		if _, unknown := r.unknown[line.Site]; unknown || live[id] || r.sites[line.Site] == nil || lags {
			continue
		}
		if err := r.e.store.DeleteResource(ctx, r.fence, line.Key); err != nil {
			return err
		}
	}
	if err := r.recordParts(ctx, live); err != nil {
		return err
	}
	var open []store.Intent // what is ended here is so for whoever settles once more
	for _, i := range r.ledger.intents {
		var end store.IntentState
		o, there := r.objects[i.Key]
		_, unknown := r.unknown[i.Site]
		switch {
		case unknown, r.forsaken(i.Site):
		case i.Action == string(plan.Delete) && !there: // it was under way and has happened
			end = store.IntentDone
		case i.Action == string(plan.Create) && there && !r.young(i.Created) && r.explainedBy(i, r.got) < 0 && r.recorded()[identity{r.account(i.Site), o.Kind, o.ID}]:
			end = store.IntentFailed // what is there came of another, and nothing of this one
		}
		if end == "" {
			open = append(open, i)
			continue
		}
		if err := r.e.store.ResolveIntent(ctx, r.fence, i.ID, store.Resolution{State: end}); err != nil {
			return err
		}
	}
	r.ledger.intents = open
	return nil
}

// adopt puts on record what an unresolved intent explains, unless the key's place is taken.
func (r *run) adopt(ctx context.Context) error {
	for _, i := range r.ledger.intents {
		n := r.explainedBy(i, r.got)
		if n < 0 || r.objects[i.Key].ID != r.got[n].ID {
			continue
		}
		g := &r.got[n]
		line, err := ledgerLine(g.Site, g.Object)
		if err != nil {
			return err
		}
		if err := r.e.store.ResolveIntent(ctx, r.fence, i.ID, store.Resolution{State: store.IntentDone, ObjectID: g.ID, Put: &line}); err != nil {
			return err
		}
		g.Recorded = true
		r.note(ctx, "Adopted", i.Key, fmt.Sprintf("%s %s was made just before the engine stopped; it is on record now", g.Kind, g.ID))
	}
	return nil
}

// refs are the objects a resource depends on.
func (r *run) refs(want *cloud.Resource) (map[string]cloud.Object, error) {
	r.objMu.Lock()
	defer r.objMu.Unlock()
	refs := map[string]cloud.Object{}
	for _, d := range want.DependsOn {
		o, ok := r.objects[d]
		if !ok {
			return nil, fmt.Errorf("%s depends on %s, which is not there", want.Key, d)
		}
		refs[d] = o
	}
	return refs, nil
}

func (r *run) object(key string) cloud.Object {
	r.objMu.Lock()
	defer r.objMu.Unlock()
	return r.objects[key]
}

func (r *run) setObject(o cloud.Object) {
	r.objMu.Lock()
	defer r.objMu.Unlock()
	r.objects[o.Key] = o
}

// siteWatch lets all nodes of a site wait for their machines with one list between them.
type siteWatch struct {
	lock lock
	last time.Time
	seen map[string]cloud.Object // by id
}

// The pause between two lists while machines are waited for grows between these.
const (
	watchFirst = 300 * time.Millisecond
	watchMost  = 5 * time.Second
)

// look returns the site's objects by id, from a list that is no older than the pause.
func (w *siteWatch) look(ctx context.Context, pause time.Duration, list func(context.Context) ([]cloud.Object, error)) (map[string]cloud.Object, error) {
	give, err := w.lock.take(ctx)
	if err != nil {
		return nil, err
	}
	defer give()
	if time.Since(w.last) < pause && w.seen != nil {
		return w.seen, nil
	}
	objects, err := list(ctx)
	if err != nil {
		return nil, err
	}
	seen := map[string]cloud.Object{}
	for _, o := range objects {
		seen[o.ID] = o
	}
	w.last, w.seen = time.Now(), seen
	return seen, nil
}

// awaitMachine waits until a node's machine runs and has its public address.
func (r *run) awaitMachine(ctx context.Context, name string) (cloud.Object, error) {
	var site string
	for _, n := range r.nodes {
		if n.Name == name {
			site = n.Site
		}
	}
	st, key := r.sites[site], r.machines[name]
	if st == nil || key == "" {
		return cloud.Object{}, fmt.Errorf("node %s has no machine in the blueprint", name)
	}
	made := r.object(key)
	if made.ID == "" {
		return cloud.Object{}, fmt.Errorf("the machine of node %s has not been made", name)
	}
	pause, began := min(watchFirst, r.e.patience.retry), time.Now()
	for {
		seen, err := r.watch[site].look(ctx, pause, func(ctx context.Context) ([]cloud.Object, error) {
			return st.driver.Observe(ctx, r.cluster.UID, st.spec.Region)
		})
		why := "its machine isn't listed yet"
		switch o, ok := seen[made.ID]; {
		case err != nil:
			why = err.Error()
			if c := cloud.ClassOf(err); !c.Retryable() {
				return cloud.Object{}, err
			}
		case ok && o.State == cloud.Gone:
			return cloud.Object{}, fmt.Errorf("machine %s of node %s was terminated while it started", o.ID, name)
		case ok && o.State == cloud.Ready && o.Machine != nil && o.Machine.Public.IsValid() && o.Machine.Private.IsValid():
			r.setObject(o)
			return o, nil
		case ok:
			why = fmt.Sprintf("machine %s is %s and has not both its addresses yet", o.ID, o.State)
		}
		if limit := r.e.patience.call; limit > 0 && time.Since(began) > limit {
			return cloud.Object{}, &cloud.Error{Class: cloud.Unavailable, Op: "wait for node " + name, Message: fmt.Sprintf("%s, after %s", why, limit)}
		}
		select {
		case <-ctx.Done():
			return cloud.Object{}, fmt.Errorf("wait for node %s: %s: %w", name, why, ctx.Err())
		case <-time.After(pause):
		}
		pause = min(pause*3/2, watchMost)
	}
}

func isMachine(d cloud.Driver, kind cloud.Kind) bool { return kindInfo(d, kind).Machine }

// picksAddress says that the cloud chooses the private addresses of machines of a kind itself.
func picksAddress(d cloud.Driver, kind cloud.Kind) bool { return kindInfo(d, kind).PicksAddress }

func kindInfo(d cloud.Driver, kind cloud.Kind) cloud.KindInfo {
	for _, k := range d.Kinds() {
		if k.Kind == kind {
			return k
		}
	}
	return cloud.KindInfo{}
}
