package engine

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/engine/traffic"
)

// TestForgetGone: what is remembered of clusters and accounts doesn't outlive them, whoever deletes them.
func TestForgetGone(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	e := s.engine.Engine
	if _, _, err := e.driver(t.Context(), "acc-aws"); err != nil {
		t.Fatal(err)
	}
	for _, cluster := range []string{uid, "gone"} {
		for _, account := range []string{"acc-aws", "gone"} {
			e.told[tellKey{cluster, account}] = traffic.CircuitOpen
		}
		e.creations.add(cluster, creation{})
		e.sightings.note(cluster, nil, nil)
	}
	e.drivers["gone"], e.traffics["gone"] = cachedDriver{}, traffic.New()
	if err := e.forgetGone(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(len(e.told), len(e.creations.of), len(e.sightings.by), len(e.drivers), len(e.traffics))
	if got != "1 1 1 2 2" {
		t.Errorf("%s are remembered, with %v", got, e.told)
	}
	// A cluster that doesn't use the account any more needs no event of it.
	c, err := e.store.GetClusterByUID(t.Context(), uid)
	if err != nil {
		t.Fatal(err)
	}
	c.Spec = c.Spec.Clone()
	c.Spec.Spec.Sites = c.Spec.Spec.Sites[1:]
	if e.tellAccounts(t.Context(), c); len(e.told) != 0 {
		t.Errorf("told of %v", e.told)
	}
	s.delete(uid)
}

// TestKeptSweeps: of many sweeps the last are remembered, and all that go on.
func TestKeptSweeps(t *testing.T) {
	var e Engine
	var going *Sweep
	for n := range 3 * keptSweeps {
		s := &Sweep{ended: time.Unix(1, 0)}
		if n == 7 {
			going, s.ended = s, time.Time{}
		}
		e.keepSweep(s)
	}
	last := int64(3 * keptSweeps)
	for id, want := range map[int64]bool{going.ID: true, 1: false, last - keptSweeps: false, last - keptSweeps + 2: true, last: true, last + 1: false} {
		if s, err := e.SweepOf(id); (err == nil) != want || err == nil && s.ID != id {
			t.Errorf("sweep %d: %v, error %v", id, s, err)
		}
	}
	if len(e.sweeps) != keptSweeps+1 {
		t.Errorf("%d are kept", len(e.sweeps))
	}
}

// TestNoDriver has a cloud be away when a driver is made, which some ask it for: the account's circuit opens, as it does for any
// other call, and another try with other credentials begins anew.
func TestNoDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := wiredScene(t, cloudtest.Options{})
		aws := s.clouds[cloud.AWS]
		s.engine.opts.Drivers[cloud.AWS] = func(ctx context.Context, _ cloud.Account, transport cloud.Transport) (cloud.Driver, error) {
			w := newWired(aws, transport)
			_, err := w.Check(ctx)
			return w, err
		}
		aws.Inject(cloudtest.Fault{Op: cloudtest.OpCheck, Class: cloud.Unavailable})
		s.sent(cloud.AWS)
		for range 50 {
			if _, _, err := s.engine.driver(t.Context(), "acc-aws"); err == nil {
				t.Fatal("there is a driver")
			}
		}
		if n := s.sent(cloud.AWS); n > 6 || s.state("acc-aws").Condition.State != traffic.CircuitOpen {
			t.Errorf("%d calls to a cloud that is away, whose account is %+v", n, s.state("acc-aws").State)
		}
		aws.Heal()
		account, err := s.engine.store.GetAccount(t.Context(), "acc-aws")
		if err == nil {
			err = s.engine.store.PutAccount(t.Context(), account.Account)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.engine.driver(t.Context(), "acc-aws"); err != nil {
			t.Errorf("with an account that was updated: %v", err)
		}
	})
}
