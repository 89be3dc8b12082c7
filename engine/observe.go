package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/store"
)

// place is what one list of a cloud covers.
type place struct{ account, region string }

func (st *site) place() place { return place{st.account.Name, st.spec.Region} }

// observe asks the clouds, each account and region once, and holds what they show against the ledger. A site that can't
// be asked becomes unknown.
func (s *survey) observe(ctx context.Context) error {
	var err error
	if s.now, err = s.e.store.Now(ctx); err != nil { // before the lists: what they leave out may be younger than they are
		return err
	}
	if err := s.readLedger(ctx); err != nil { // what is known is found without its mark
		return err
	}
	places := map[place]*site{}
	for _, st := range s.sites {
		places[st.place()] = st
	}
	lists, failed, err := s.list(ctx, places)
	if err != nil {
		return err
	}
	if err := s.readLedger(ctx); err != nil { // what was made meanwhile is on record, if another run made it
		return err
	}
	for p, objects := range lists {
		if failed[p] == nil && len(objects) == 0 && s.expected(p) {
			lists[p], failed[p] = s.doubt(ctx, places[p])
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for name, st := range s.sites {
		if err := failed[st.place()]; err != nil && !s.neverBegun(name, err) {
			s.unknown[name] = s.scrubber.clean(withAdvice(err, st.account.Name).Error())
		}
	}
	for p, objects := range lists {
		if err := s.take(p, objects); err != nil {
			return err
		}
	}
	s.explain()
	return s.remember()
}

// neverBegun says that a cluster which is being deleted can have nothing at a site that couldn't be asked: its account
// doesn't have the region, and nothing was ever on record there. Otherwise a wrong region could never be got rid of.
func (s *survey) neverBegun(site string, err error) bool {
	if e, ok := errors.AsType[*cloud.Error](err); !ok || !e.NoRegion || s.cluster.DeleteRequested.IsZero() {
		return false
	}
	return !slices.ContainsFunc(s.ledger.lines, func(l store.Resource) bool { return l.Site == site }) &&
		!slices.ContainsFunc(s.ledger.intents, func(i store.Intent) bool { return i.Site == site })
}

// list asks for every place at once.
func (s *survey) list(ctx context.Context, places map[place]*site) (map[place][]cloud.Object, map[place]error, error) {
	lists, failed := map[place][]cloud.Object{}, map[place]error{}
	var mu sync.Mutex
	var group errgroup.Group
	for p, st := range places {
		group.Go(func() error {
			objects, err := s.observeSite(ctx, st)
			mu.Lock()
			defer mu.Unlock()
			lists[p], failed[p] = objects, err
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	return lists, failed, ctx.Err()
}

func (s *survey) observeSite(ctx context.Context, st *site) ([]cloud.Object, error) {
	return retryBriefly(ctx, s.e.patience, func(ctx context.Context) ([]cloud.Object, error) {
		return st.driver.Observe(ctx, s.cluster.UID, st.spec.Region, s.known(st.place())...)
	})
}

// known is what the ledger holds of a place.
func (s *survey) known(p place) []cloud.Known {
	var out []cloud.Known
	for _, line := range s.ledger.lines {
		if st := s.sites[line.Site]; st != nil && st.place() == p {
			out = append(out, cloud.Known{Kind: cloud.Kind(line.Kind), Key: line.Key, ID: line.ID})
		}
	}
	return out
}

// expected says whether a list of the place should show something: the ledger has a line that lists have had time to
// learn of.
func (s *survey) expected(p place) bool {
	for _, line := range s.ledger.lines {
		if st := s.sites[line.Site]; st != nil && st.place() == p && !s.young(line.Made) {
			return true
		}
	}
	return false
}

// doubt is for a list that is empty where the ledger has something: alone that proves nothing. It is believed when a
// second list says the same and the account passes its check.
func (s *survey) doubt(ctx context.Context, st *site) ([]cloud.Object, error) {
	objects, err := s.observeSite(ctx, st)
	if err != nil || len(objects) > 0 {
		return objects, err
	}
	report, err := retryBriefly(ctx, s.e.patience, func(ctx context.Context) (cloud.Report, error) {
		return st.driver.Check(ctx, st.spec.Region)
	})
	if err != nil {
		return nil, fmt.Errorf("the cloud lists nothing at all, and the check of account %s failed: %w", st.account.Name, err)
	}
	if len(report.Missing) > 0 {
		return nil, fmt.Errorf("the cloud lists nothing at all, and account %s lacks the permission %s", st.account.Name, report.Missing[0].Action)
	}
	return nil, nil
}

// young says that something happened so lately that lists may not show it yet.
func (s *survey) young(at time.Time) bool { return s.now.Sub(at) < s.e.patience.listLag }

// take adds a list's objects, without those that were just deleted and only linger in it.
func (s *survey) take(p place, objects []cloud.Object) error {
	recorded := s.recorded()
	parts, err := s.parts()
	if err != nil {
		return err
	}
	seen := s.listed()
	for _, o := range objects {
		id := identity{p.account, o.Kind, o.ID} // what lies outside any region is in several lists
		if seen[id] || !recorded[id] && s.e.deletions.lingers(id, o, s.e.patience.listLag) {
			continue
		}
		seen[id] = true
		o.PartOf = parts[id]
		s.got = append(s.got, plan.Observed{Object: o, Site: s.siteOf(o, p.account), Recorded: recorded[id]})
	}
	return nil
}

// identity is what tells an object from all others: clouds give ids without knowing of each other.
type identity struct {
	account string
	kind    cloud.Kind
	id      string
}

func (s *survey) account(site string) string {
	if st := s.sites[site]; st != nil {
		return st.account.Name
	}
	return ""
}

func (s *survey) identity(o plan.Observed) identity {
	return identity{s.account(o.Site), o.Kind, o.ID}
}

func (s *survey) lineIdentity(r store.Resource) identity {
	return identity{s.account(r.Site), cloud.Kind(r.Kind), r.ID}
}

// recorded is what the ledger holds.
func (s *survey) recorded() map[identity]bool {
	out := map[identity]bool{}
	for _, line := range s.ledger.lines {
		out[s.lineIdentity(line)] = true
	}
	return out
}

// listed is what was observed, live or gone.
func (s *survey) listed() map[identity]bool {
	out := map[identity]bool{}
	for _, g := range s.got {
		out[s.identity(g)] = true
	}
	return out
}

// explain marks what an unresolved intent accounts for: of each intent to create, one object at most. It marks too what a
// call made a second time whose intent is resolved.
func (s *survey) explain() {
	for _, i := range s.ledger.intents {
		if best := s.explainedBy(i, s.got); best >= 0 {
			s.got[best].Intended = true
		}
	}
	for n, o := range s.got {
		if o.State != cloud.Gone && !o.Recorded && s.e.creations.explain(s.cluster.UID, o.Object) {
			s.got[n].Intended = true
		}
	}
}

// explainedBy finds the object that came of an intent: it has its key and kind, is in no ledger, and was not made before
// the intent (a copy's mark is older or its making later). Of several the first made is ours; -1 means none.
func (s *survey) explainedBy(i store.Intent, objects []plan.Observed) int {
	best := -1
	for n, o := range objects {
		switch {
		case i.Action != string(plan.Create) || o.Key != i.Key || string(o.Kind) != i.Kind || o.State == cloud.Gone || o.Recorded:
		case !o.Created.IsZero() && o.Created.Before(i.Created.Add(-clockSkew)):
		case best < 0 || earlier(o.Object, objects[best].Object):
			best = n
		}
	}
	return best
}

func earlier(a, b cloud.Object) bool {
	if !a.Created.Equal(b.Created) {
		return a.Created.Before(b.Created)
	}
	return a.ID < b.ID
}

// remember adds what the ledger holds and the lists leave out though they may not know of it yet: it counts as there, as
// it was last seen. What hung on a machine that is gone has gone with it.
func (s *survey) remember() error {
	listed, went := s.listed(), s.wentAlong()
	for _, line := range s.ledger.lines {
		if _, unknown := s.unknown[line.Site]; unknown || s.sites[line.Site] == nil || listed[s.lineIdentity(line)] || !s.young(line.Made) || went[line.Key] {
			continue
		}
		o, err := recordedObject(line)
		if err != nil {
			return err
		}
		if o.PartOf != "" { // it is listed only when it has outlived its machine
			continue
		}
		s.got = append(s.got, plan.Observed{Object: o, Site: line.Site, Recorded: true})
	}
	return nil
}

// wentAlong are the keys of what depends on something that the lists show to be gone.
func (s *survey) wentAlong() map[string]bool {
	gone := map[string]bool{}
	for _, g := range s.got {
		if g.State == cloud.Gone && g.Recorded {
			gone[g.Key] = true
		}
	}
	went := map[string]bool{}
	for _, r := range s.want {
		went[r.Key] = slices.ContainsFunc(r.DependsOn, func(key string) bool { return gone[key] })
	}
	return went
}

// recordedObject is the object of a ledger line. Its spec is what JSON gives, with numbers as they were written; that is
// enough to be compared.
func recordedObject(line store.Resource) (cloud.Object, error) {
	var o cloud.Object
	dec := json.NewDecoder(bytes.NewReader(line.Object))
	dec.UseNumber()
	if err := dec.Decode(&o); err != nil {
		return o, fmt.Errorf("the record of %s: %w", line.Key, err)
	}
	return o, nil
}

// readLedger reads what is on record about the cluster's resources.
func (s *survey) readLedger(ctx context.Context) error {
	var err error
	if s.ledger.lines, err = s.e.store.ListResources(ctx, s.cluster.UID); err != nil {
		return err
	}
	s.ledger.intents, err = s.e.store.ListOpenIntents(ctx, s.cluster.UID)
	return err
}

// siteOf tells which site an object belongs to: keys begin with the site's name, and of two names that fit, the longer.
func (s *survey) siteOf(o cloud.Object, account string) string {
	best := ""
	for name, st := range s.sites {
		if st.account.Name == account && strings.HasPrefix(o.Key, name+"-") && len(name) > len(best) {
			best = name
		}
	}
	return best
}

// deletions is the engine's memory of what it deleted lately. It is lost with the process: then what lingers in a list is
// reported once more, and nothing worse.
type deletions struct {
	mu sync.Mutex
	at map[identity]time.Time
}

func (d *deletions) add(id identity, lag time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at == nil {
		d.at = map[identity]time.Time{}
	}
	for k, at := range d.at {
		if time.Since(at) > lag {
			delete(d.at, k)
		}
	}
	d.at[id] = time.Now()
}

// lingers says that a list shows what is deleted. Where ids are names, a later thing may have the same one.
func (d *deletions) lingers(id identity, o cloud.Object, lag time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.at[id]
	return ok && time.Since(at) < lag && (o.Created.IsZero() || o.Created.Before(at))
}
