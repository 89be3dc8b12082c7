package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/store"
)

// testLandedLate: what an engine without a lease has made is explained by an open intent, unless it is on record.
func testLandedLate(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	ask := store.Intent{Key: "aws-vpc", Kind: "vpc", Site: "aws", Region: "us-east-1", Action: "create"}
	one := get[store.Intent](t)(s.OpenIntent(ctx, fence, ask))
	opened := func() []store.Intent { return get[[]store.Intent](t)(s.ListOpenIntents(ctx, fence.Cluster)) }
	must(t, s.LandedLate(ctx, one.ID, "vpc-1"))
	equal(t, "an intent that is open anyway", opened(), []store.Intent{one})

	line := store.Resource{Key: "aws-vpc", Kind: "vpc", Site: "aws", Region: "us-east-1", ID: "vpc-1"}
	must(t, s.ResolveIntent(ctx, fence, one.ID, store.Resolution{State: store.IntentDone, ObjectID: "vpc-1", Put: &line}))
	must(t, s.LandedLate(ctx, one.ID, "vpc-1"))
	if got := opened(); len(got) != 0 {
		t.Errorf("for what is on record there are the intents %+v", got)
	}
	before := get[store.Cluster](t)(s.GetClusterByUID(ctx, fence.Cluster)).Wakes
	for range 2 {
		must(t, s.LandedLate(ctx, one.ID, "vpc-2"))
	}
	got := opened()
	if len(got) != 1 || got[0].ID == one.ID || got[0].Token == one.Token || got[0].Key != ask.Key || got[0].Kind != ask.Kind || got[0].Site != ask.Site || got[0].Action != ask.Action {
		t.Errorf("for another object: %+v", got)
	}
	if now := get[store.Cluster](t)(s.GetClusterByUID(ctx, fence.Cluster)).Wakes; now <= before {
		t.Error("nobody is woken")
	}
	must(t, s.ResolveIntent(ctx, fence, got[0].ID, store.Resolution{State: store.IntentFailed}))
	wantError(t, s.LandedLate(ctx, 1<<40, ""), store.ErrNotFound)
	must(t, s.DeleteResource(ctx, fence, "aws-vpc"))
	must(t, s.MarkDeleted(ctx, fence))
	wantError(t, s.LandedLate(ctx, one.ID, "vpc-3"), store.ErrNotFound)
}

// testReopen: an intent whose earlier call may still land leaves another behind when it is done.
func testReopen(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	one := get[store.Intent](t)(s.OpenIntent(ctx, fence, store.Intent{Key: "k", Kind: "vpc", Site: "aws", Action: "create"}))
	must(t, s.ResolveIntent(ctx, fence, one.ID, store.Resolution{State: store.IntentDone, ObjectID: "vpc-1", Reopen: true}))
	got := get[[]store.Intent](t)(s.ListOpenIntents(ctx, fence.Cluster))
	if len(got) != 1 || got[0].ID == one.ID || got[0].Token == one.Token || got[0].Key != "k" || got[0].Created.Before(one.Created) {
		t.Errorf("open: %+v", got)
	}
	wantError(t, s.MarkDeleted(ctx, fence), store.ErrInUse)
}

// testAround keeps writes from being done, and their outcome from their maker.
func testAround(t *testing.T, d Database) {
	open(t, d) // the schema and the master key are there
	stopped := errors.New("stopped")
	var heard []string
	before, after := false, false
	s := get[*store.Store](t)(store.Open(t.Context(), d.Where, Box(), store.Around(func(_ context.Context, what string, write func() error) error {
		heard = append(heard, what)
		if before {
			return stopped
		}
		if err := write(); err != nil || !after {
			return err
		}
		return stopped
	})))
	defer s.Close()
	count := func() int { return len(get[[]store.Event](t)(s.LastEvents(t.Context(), "", 10))) }
	add := func() error {
		_, err := s.AddEvent(t.Context(), store.Event{Type: store.Normal, Reason: "Tried"})
		return err
	}
	must(t, add())
	before = true
	if err := add(); !errors.Is(err, stopped) || count() != 1 {
		t.Errorf("stopped before: error %v, %d events", err, count())
	}
	before, after = false, true
	if err := add(); !errors.Is(err, stopped) || count() != 2 {
		t.Errorf("stopped after: error %v, %d events", err, count())
	}
	if n := len(slices.DeleteFunc(heard, func(w string) bool { return !strings.Contains(w, "add event Tried") })); n != 3 {
		t.Errorf("heard of %d writes of events", n)
	}
}
