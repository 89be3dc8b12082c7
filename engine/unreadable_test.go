package engine

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/store"
)

// TestUnreadable has what is on record of a cluster be of no use: nothing is done, everybody is told, the pauses grow, what is on
// record stays, and all goes on when it can be read again. Other readers show what is left.
func TestUnreadable(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	ctx := t.Context()
	// fenced does something under a lease.
	fenced := func(do func(store.Fence, store.Cluster) error) {
		t.Helper()
		for {
			_ = s.engine.store.Wake(ctx, uid)
			claim, err := s.engine.store.ClaimCluster(ctx, "engine", time.Minute)
			if err == nil && claim != nil {
				if err = do(claim.Fence, claim.Current); err == nil {
					err = s.engine.store.Release(ctx, claim.Fence, time.Hour)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			if claim != nil {
				return
			}
		}
	}
	now := func() store.Cluster {
		t.Helper()
		c, err := s.engine.store.GetClusterByUID(ctx, uid)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	good := now()
	nodes, err := s.engine.store.GetNodes(ctx, uid)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := s.engine.store.GetSecret(ctx, uid, keysSecret)
	if err != nil {
		t.Fatal(err)
	}
	status := func(text string) func(store.Fence, store.Cluster) error {
		return func(f store.Fence, c store.Cluster) error {
			return s.engine.store.SetStatus(ctx, f, c.Phase, c.Conditions, json.RawMessage(text))
		}
	}
	node := func(facts json.RawMessage) func(store.Fence, store.Cluster) error {
		return func(f store.Fence, _ store.Cluster) error {
			n := nodes[0]
			n.Facts = facts
			return s.engine.store.PutNode(ctx, f, n)
		}
	}
	secret := func(text []byte) func(store.Fence, store.Cluster) error {
		return func(f store.Fence, _ store.Cluster) error {
			return s.engine.store.PutSecret(ctx, f, keysSecret, text)
		}
	}
	for _, tt := range []struct {
		name, says string
		hurt, mend func(store.Fence, store.Cluster) error
	}{
		{"status", "status of cluster demo", status(`{"initialized": 3}`), status(string(good.Status))},
		{"facts", "facts of node " + nodes[0].Name, node(json.RawMessage(`{"name": 3}`)), node(nodes[0].Facts)},
		{"keys", "keys of cluster", secret([]byte("{")), secret(keys)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			told := len(s.events(uid, "RecordUnreadable"))
			fenced(tt.hurt)
			was := now()
			from := len(s.world.Log())
			for range 3 {
				s.turn(uid)
			}
			c := now()
			if text := s.condition(uid); c.Phase != store.Degraded || !strings.Contains(text, tt.says) {
				t.Errorf("the cluster is %s, and says %q", c.Phase, text)
			}
			if got := s.events(uid, "RecordUnreadable"); len(got) != told+1 || !strings.Contains(got[told], tt.says) {
				t.Errorf("events: %q", got)
			}
			if string(c.Status) != string(was.Status) || len(s.world.Log()) != from {
				t.Errorf("the status is %s and was %s; done: %q", c.Status, was.Status, s.world.Log()[from:])
			}
			if pause := c.NextRun.Sub(time.Now()); pause > 10*time.Second {
				t.Errorf("the first pause is %s", pause)
			}
			fenced(func(f store.Fence, c store.Cluster) error { // it has been so for some time
				for i := range c.Conditions {
					c.Conditions[i].Since = c.Conditions[i].Since.Add(-3 * time.Minute)
				}
				return s.engine.store.SetStatus(ctx, f, c.Phase, c.Conditions, nil)
			})
			s.turn(uid)
			if pause := now().NextRun.Sub(time.Now()); pause < 2*time.Minute || pause > 6*time.Minute {
				t.Errorf("the pause after three minutes is %s", pause)
			}
			list, err := s.engine.Glances(ctx, "", 10)
			if err != nil || len(list) != 1 || list[0].Members != 2 {
				t.Errorf("a list of clusters shows %+v, error %v", list, err)
			}
			if seen, err := s.engine.SeenNodes(ctx, now()); err != nil || len(seen) != 2 {
				t.Errorf("nodes: %+v, error %v", seen, err)
			}
			fenced(tt.mend)
			s.ready(uid)
		})
	}
	s.delete(uid)
	s.asBefore()
}
