package engine

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/node"
)

// wokenRun does the run that a look has woken.
func (s *scene) wokenRun(uid string) {
	s.t.Helper()
	claim, err := s.engine.store.ClaimCluster(s.t.Context(), "engine", s.engine.patience.lease)
	if err != nil || claim == nil || claim.Cluster != uid {
		s.t.Fatalf("no run was woken: %v", err)
	}
	s.engine.work(s.engine.ctx, claim)
}

// TestTunnelIsMended: somebody changes the endpoint of a peer. The tunnel is seen to be down, a run is woken, says what it
// found where, and makes it as it should be; nothing is done twice.
func TestTunnelIsMended(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	at := time.Now().Truncate(time.Minute).Add(time.Minute)
	s.lookAt(uid, at)
	const broken = "demo-one-cp-1/demo-two-cp-1"
	s.world.Endpoints = map[string]netip.AddrPort{broken: netip.MustParseAddrPort("203.0.113.99:51820")}
	s.world.RoundTrip = func(from, to string) time.Duration {
		if _, is := s.world.Endpoints[broken]; is && between(from, to) {
			return 0
		}
		return time.Millisecond
	}
	s.looksUntil(uid, tunnelDown, true, &at)
	s.wokenRun(uid)
	if len(s.world.Endpoints) > 0 {
		t.Errorf("the endpoint is still %v", s.world.Endpoints)
	}
	if got := s.events(uid, "TunnelLookedInto"); len(got) != 1 || !strings.Contains(got[0], "the tunnel one–two is down. addresses: as they should be. at the clouds, firewalls included: as they should be.") ||
		!strings.Contains(got[0], "demo-one-cp-1: the tunnel one–two was down: the endpoint of demo-two-cp-1 was 203.0.113.99:51820, is ") {
		t.Errorf("events: %v", got)
	}
	s.looksUntil(uid, tunnelDown, false, &at)
	if got := s.events(uid, "TunnelUp"); len(got) != 1 {
		t.Errorf("events: %v", got)
	}
}

// TestTunnelKeyIsMet: a node has another key than the one on record, and all others get to know it.
func TestTunnelKeyIsMet(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	const name, other = "demo-two-cp-1", "demo-one-cp-1"
	was := s.world.TunnelKey(other, name)
	key := "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	s.world.Rekey(name, key)
	if err := s.engine.store.Wake(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	s.wokenRun(uid)
	if got := s.world.TunnelKey(other, name); got != key || was == key {
		t.Errorf("the key on %s was %s, is %s", other, was, got)
	}
	c, err := s.engine.store.GetClusterByUID(t.Context(), uid)
	if err != nil {
		t.Fatal(err)
	}
	facts, _, _, err := s.engine.recall(t.Context(), c)
	if err != nil || facts.get(name).TunnelKey != key {
		t.Errorf("on record: %+v, %v", facts.get(name), err)
	}
}

// TestPacketsBecomeSmaller: a path carries less than was taken for granted, and all nodes' tunnels become smaller at once.
func TestPacketsBecomeSmaller(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	const name = "demo-one-cp-1"
	if got := s.world.Size(name); got != 1420 {
		t.Fatalf("the tunnel's size is %d at first", got)
	}
	s.world.Window = func(_ string, w *node.Window) { w.MTU = 1400 }
	s.look(uid, 1)
	s.wokenRun(uid)
	for _, m := range s.machines() {
		if got := s.world.Size(m.Name); got != 1320 {
			t.Errorf("the tunnel's size on %s is %d", m.Name, got)
		}
	}
	s.look(uid, 1)
	if s.woken(uid) {
		t.Error("a run was woken for the same again")
	}
}
