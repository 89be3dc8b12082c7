package engine

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/store"
)

// TestTwice has all calls that make something carried out twice by clouds that know no token: of two the recorded one stays,
// and the same run removes the other.
func TestTwice(t *testing.T) {
	s := newScene(t, cloudtest.Options{NoTokens: true})
	for _, c := range s.clouds {
		c.Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Twice: true})
	}
	uid := s.apply(smallFile)
	s.ready(uid)
	doubles := 0
	for _, c := range s.clouds {
		for _, call := range c.Calls() {
			if call.Op == cloudtest.OpDelete && call.Effect {
				doubles++
			}
		}
	}
	if doubles < 5 {
		t.Errorf("%d doubles were removed; the clouds make one of almost everything", doubles)
	}
	if noted := s.events(uid, "Noted"); len(noted) > 0 {
		t.Errorf("noted: %v", noted)
	}
	s.delete(uid)
	s.asBefore()
}

// TestTwiceWhileDeleted asks for the deletion before anybody has looked what a creation made.
func TestTwiceWhileDeleted(t *testing.T) {
	s := newScene(t, cloudtest.Options{NoTokens: true})
	for _, c := range s.clouds {
		c.Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Kind: cloudtest.KindNetwork, Twice: true})
		c.Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Kind: cloudtest.KindSubnet, Class: cloud.Denied})
	}
	uid := s.apply(smallFile)
	s.turn(uid)
	s.delete(uid)
	s.asBefore()
}

// TestCopiesBesideCreations has somebody copy things and remove ours while the engine makes them anew: the copies stay.
func TestCopiesBesideCreations(t *testing.T) {
	s := newScene(t, cloudtest.Options{NoTokens: true})
	uid := s.apply(smallFile)
	s.ready(uid)
	c, o := s.find(uid, "two-node-demo-web-1")
	id := c.Copy(o.ID)
	c.Terminate(o.ID)
	for range 2 {
		s.turn(uid)
	}
	live := map[string]bool{}
	for _, v := range c.Objects(uid) {
		if v.Key == o.Key {
			live[v.ID] = true
		}
	}
	if len(live) != 2 || !live[id] || live[o.ID] {
		t.Errorf("under the key are %v; want the copy %s, and another than %s", live, id, o.ID)
	}
	if noted := s.events(uid, "Noted"); len(noted) == 0 || !strings.Contains(noted[0], id) {
		t.Errorf("noted: %v", noted)
	}
	c.Terminate(id)
	s.delete(uid)
	s.asBefore()
}

func TestDoubled(t *testing.T) {
	began := time.Now()
	m := creation{object: cloud.Object{Key: "a-m", Kind: "machine", ID: "1"}, began: began, ended: began.Add(10 * time.Second), others: []string{"0"}}
	o := func(id string, made time.Duration) cloud.Object {
		return cloud.Object{Key: "a-m", Kind: "machine", ID: id, Created: began.Add(made)}
	}
	timeless, other := o("2", 0), o("2", time.Second)
	timeless.Created, other.Kind = time.Time{}, "disk"
	for _, tt := range []struct {
		name string
		o    cloud.Object
		want bool
	}{
		{"made while the call went on", o("2", 3*time.Second), true},
		{"a clock that is a little ahead", o("2", 40*time.Second), true},
		{"the one that the answer told of", o("1", 3*time.Second), false},
		{"there before", o("0", 3*time.Second), false},
		{"made before", o("2", -2*time.Minute), false},
		{"a copy of it", o("2", 2*time.Minute), false},
		{"when it was made isn't known", timeless, false},
		{"another kind", other, false},
	} {
		if got := m.doubled(tt.o); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	m.object.Created = began.Add(5 * time.Second)
	for made, want := range map[time.Duration]bool{6 * time.Second: true, -5 * time.Second: true, -15 * time.Second: false, 20 * time.Second: false} {
		if got := m.doubled(o("2", made)); got != want {
			t.Errorf("made %s after the call began, where the other was after 5s: %v, want %v", made, got, want)
		}
	}
	m.ended = began.Add(-2 * doubleFor)
	if m.doubled(o("2", 3*time.Second)) {
		t.Error("a creation of long ago explains a double")
	}
}

// TestTwiceWhileListsLag carries a creation out twice where lists show neither of the two when the run looks again: a later run
// finds the double and removes it.
func TestTwiceWhileListsLag(t *testing.T) {
	s := newScene(t, cloudtest.Options{NoTokens: true, ListLag: time.Second})
	s.patient = 1500 * time.Millisecond
	s.crash()
	s.start()
	uid := s.apply(smallFile)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s.until(uid, "Ready", func(c store.Cluster) bool { return c.Phase == store.Ready })
	c, o := s.find(uid, "two-fw-nodes")
	under := func() (ids []string) {
		for _, v := range c.Objects(uid) {
			if v.Key == o.Key {
				ids = append(ids, v.ID)
			}
		}
		return ids
	}
	c.Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Kind: cloudtest.KindFirewall, Twice: true})
	c.Vanish(o.ID)
	run := func(until int) {
		t.Helper()
		if err := cloudtest.Await(ctx, func() bool { s.turn(uid); return len(under()) == until }); err != nil {
			t.Fatalf("there are %v, want %d; noted: %q", under(), until, s.events(uid, "Noted"))
		}
	}
	run(2)
	run(1)
	if noted := s.events(uid, "Noted"); len(noted) > 0 {
		t.Errorf("noted: %q", noted)
	}
	s.delete(uid)
	s.settled()
	s.asBefore()
}
