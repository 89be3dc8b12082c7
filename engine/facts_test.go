package engine

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/skyweld/skyweld/cloud/cloudtest"
)

// TestForgettingWhilePreparing lets etcd take its time to forget a member whose machine is gone: meanwhile the new machine is
// prepared and configured, and what was found out about it must stay on record.
func TestForgettingWhilePreparing(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(largeFile)
	s.ready(uid)
	configured := make(chan struct{})
	var once sync.Once
	s.world.Around = func(ctx context.Context, what string, do func() error) error {
		if what == "etcd: remove demo-two-cp-1" {
			<-configured
		}
		err := s.around(ctx, what, do)
		if strings.HasPrefix(what, "run on demo-two-cp-1: ") && strings.HasSuffix(what, " agent apply") {
			once.Do(func() { close(configured) })
		}
		return err
	}
	c, old := s.find(uid, "two-node-demo-two-cp-1")
	c.Terminate(old.ID)
	s.turn(uid)
	if got := s.runs(uid, 2)[1]; !strings.Contains(got, OutcomeSucceeded) {
		t.Errorf("the run is %q", got)
	}
	s.ready(uid)
	_, machine := s.find(uid, "two-node-demo-two-cp-1")
	for _, f := range s.factsOf(uid) {
		if f.Name == "demo-two-cp-1" && (f.Machine != machine.ID || f.Seat != machine.ID || !f.Joined || f.Revision == 0) {
			t.Errorf("of the new machine %s is known %+v", machine.ID, f)
		}
	}
	s.delete(uid)
	s.asBefore()
}
