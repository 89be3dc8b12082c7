package engine

import (
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/store"
)

// TestLostMarks takes the owner mark off everything: one run puts all of them back, makes nothing a second time, and a
// deletion afterwards leaves nothing.
func TestLostMarks(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	ids := map[string]string{}
	for _, c := range s.clouds {
		for _, o := range c.Objects(uid) {
			ids[o.Key] = o.ID
			c.Unmark(o.ID)
		}
	}
	s.turn(uid)
	s.until(uid, "Ready", func(c store.Cluster) bool { return c.Phase == store.Ready })
	s.whole(uid)
	for _, c := range s.clouds {
		for _, o := range c.Objects(uid) {
			if o.Unmarked || ids[o.Key] != o.ID {
				t.Errorf("%s is %s (unmarked: %v), want %s with its mark", o.Key, o.ID, o.Unmarked, ids[o.Key])
			}
		}
	}
	s.delete(uid)
	s.asBefore()
}

// TestLostMarksAtTheEnd deletes a cluster whose things have all lost their marks.
func TestLostMarksAtTheEnd(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	for _, c := range s.clouds {
		for _, o := range c.Objects(uid) {
			c.Unmark(o.ID)
		}
	}
	s.delete(uid)
	s.asBefore()
}

// TestLostMarkIsNoDouble lets the cloud refuse to mark a network again: the run fails and says so, and there is one network.
func TestLostMarkIsNoDouble(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	c, network := s.find(uid, "one-net")
	c.Unmark(network.ID)
	heal := c.Inject(cloudtest.Fault{Op: cloudtest.OpUpdate, Key: "one-net", Class: cloud.Denied, Message: "no tags for you"})
	s.turn(uid)
	if failed := s.events(uid, "StepFailed"); len(failed) != 1 || !strings.Contains(failed[0], "no tags for you") {
		t.Errorf("failed steps: %v", failed)
	}
	s.whole(uid)
	heal()
	s.ready(uid)
	if _, now := s.find(uid, "one-net"); now.ID != network.ID || now.Unmarked {
		t.Errorf("the network: %+v", now)
	}
	s.delete(uid)
	s.asBefore()
}
