package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/store"
)

var twoRegions = MeasureAsked{Regions: []string{"acc-aws/us-east-1", "acc-gcp/us-east4"}, For: 25 * time.Second}

// measured asks for a measurement and sees it through, with as many engines as it takes.
func (s *scene) measured(asked MeasureAsked) string {
	s.t.Helper()
	ch, err := s.engine.MeasureRegions(s.t.Context(), asked, "tester")
	if err != nil {
		s.t.Fatal(err)
	}
	s.uid.Store(ch.Cluster)
	for try := 0; !s.deleted(); try++ {
		if try == 100 {
			s.t.Fatalf("it is not deleted: runs %q", s.runs(ch.Cluster, 20))
		}
		if s.engine.dead.Load() {
			s.start()
		}
		s.turn(ch.Cluster)
	}
	return ch.Cluster
}

// TestMeasureRegions measures between two regions, and wants the accounts as they were, and regions chosen by it afterwards.
func TestMeasureRegions(t *testing.T) {
	for _, killed := range []string{"", "agent apply", "agent latency", "agent flow"} {
		t.Run("killed at "+killed, func(t *testing.T) {
			t.Parallel()
			s := slow(t, 7*time.Millisecond)
			if killed != "" {
				s.world.Fail = func(_, command string) error {
					if strings.Contains(command, killed) {
						s.world.Fail = nil
						s.crash()
						return errCrashed
					}
					return nil
				}
			}
			uid := s.measured(twoRegions)
			s.asBefore()
			if did := s.world.Log(); len(did) > 0 {
				t.Errorf("Kubernetes was set up: %q", did)
			}
			all, err := s.engine.Measurements(t.Context())
			if err != nil || len(all) != 1 {
				t.Fatalf("measured %+v, %v", all, err)
			}
			m := all[0]
			if m.A != "aws/us-east-1" || m.B != "gcp/us-east4" || m.Cluster != uid || m.Sent != 1250 || m.Received != 1250 || m.P50 != 7*time.Millisecond || m.Bits != 1e9 || time.Since(m.At) > time.Minute {
				t.Errorf("measured %+v", m)
			}
			found, err := s.engine.Regions(t.Context(), RegionsAsked{Clouds: []string{"aws/us-east-1", "gcp/us-east4"}})
			if err != nil || len(found.Combinations) != 1 {
				t.Fatalf("regions: %+v, %v", found, err)
			}
			if worst := found.Combinations[0].Worst; worst.RTT != 7*time.Millisecond || worst.From != geo.ThisEngine || !strings.HasPrefix(worst.String(), "7ms (measured by this engine on 20") {
				t.Errorf("the trip is %+v: %s", worst, worst)
			}
			_, err = s.engine.Plan(t.Context(), []byte(strings.Replace(smallFile, "spec:\n", "spec:\n  network: {maxRTT: 6ms}\n", 1)))
			if err == nil || !strings.Contains(err.Error(), "is 7ms (measured by this engine on") {
				t.Errorf("a limit below it: %v", err)
			}
			changes, err := s.engine.store.ListChanges(t.Context(), uid)
			if err != nil || len(changes) != 2 || changes[0].Summary != "measure what is between 2 regions for 25s" || changes[0].State != store.Applied || !strings.Contains(changes[1].Summary, "1 of 1 ways") {
				t.Errorf("the changes are %+v, %v", changes, err)
			}
			if r, err := s.engine.store.GetReceipt(t.Context(), uid); err != nil || r.Summary == "" {
				t.Errorf("the receipt is %+v, %v", r, err)
			}
		})
	}
}

// TestMeasureInVain can't reach a machine: the cluster goes all the same.
func TestMeasureInVain(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	s.world.Fail = func(_, command string) error {
		if strings.Contains(command, "agent latency") {
			return fmt.Errorf("no")
		}
		return nil
	}
	s.tune = func(_ *Options, p *patience) { p.step = 20 * time.Millisecond }
	s.start()
	uid := s.measured(twoRegions)
	s.asBefore()
	if all, err := s.engine.Measurements(context.Background()); err != nil || len(all) > 0 {
		t.Errorf("measured %+v, %v", all, err)
	}
	if told := s.events(uid, "RegionsMeasured"); len(told) != 1 || !strings.Contains(told[0], "0 of 1 ways between its regions are measured, and it is given up") {
		t.Errorf("told %q", told)
	}
}

func TestMeasureAsked(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	p, err := s.engine.PlanMeasureRegions(t.Context(), twoRegions)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, st := range p.Graph.Steps {
		ids = append(ids, st.ID)
	}
	if all := strings.Join(ids, " "); !strings.Contains(all, "measure/r1/r2") || strings.Contains(all, "init/") || strings.Contains(all, "join/") || strings.Contains(all, "-cp-") {
		t.Errorf("the plan is %s", all)
	}
	for _, c := range []struct {
		asked MeasureAsked
		want  string
	}{
		{MeasureAsked{Regions: []string{"acc-aws"}, For: time.Minute}, "want 2 to 16 accounts"},
		{MeasureAsked{For: time.Hour}, "want a duration from 1s to 10m"},
		{MeasureAsked{Regions: []string{"acc-aws/us-east-1", "nobody/us-east4"}, For: time.Minute}, "no account has this name"},
		{MeasureAsked{Regions: []string{"acc-aws/us-east-1", "acc-gcp/mars"}, For: time.Minute}, "gcp has no such region"},
	} {
		if _, err := s.engine.MeasureRegions(t.Context(), c.asked, "tester"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want %q", c.asked, err, c.want)
		}
	}
}
