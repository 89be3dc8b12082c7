package cloudtest

import (
	"testing"

	"github.com/skyweld/skyweld/cloud"
)

// testTerminated ends a machine behind the driver's back and makes it again.
func testTerminated(t *testing.T, h Harness) {
	if h.Terminate == nil {
		t.Skip("the harness cannot terminate machines")
	}
	s := newStage(t, h)
	s.createAll(t)
	var victim cloud.Resource
	for _, r := range s.ordered {
		if s.kinds[r.Kind].Machine {
			victim = r
			break
		}
	}
	old := s.objects[victim.Key]
	h.Terminate(t, s.d, old)
	s.until(t, "the machine to be gone", func() bool { return s.observe(t)[victim.Key].ID == "" })
	if err := s.d.Delete(h.context(t), TestOwner, old); err != nil {
		t.Errorf("delete what was terminated: %v", err)
	}
	s.again(t, victim)
	if s.objects[victim.Key].ID == old.ID {
		t.Errorf("%s has the id of the terminated machine", victim.Key)
	}
	s.testObserved(t)
	s.testMachines(t)
	s.deleteAll(t)
}

// testStopped stops a machine behind the driver's back and starts it by an update of the field "state".
func testStopped(t *testing.T, h Harness) {
	if h.Stop == nil {
		t.Skip("the harness cannot stop machines")
	}
	s := newStage(t, h)
	s.createAll(t)
	for _, r := range s.ordered {
		if !s.kinds[r.Kind].Machine {
			continue
		}
		h.Stop(t, s.d, s.objects[r.Key])
		o := s.await(t, r.Key, "to be stopped", func(o cloud.Object) bool { return o.State == cloud.Stopped })
		s.wantSame(t, r.Key, r.Spec, o.Spec)
		var err error
		s.until(t, "the start of "+r.Key, func() bool {
			_, err = s.d.Update(h.context(t), cloud.UpdateRequest{Owner: TestOwner, Resource: r, Object: o, Fields: []string{cloud.FieldState}, Refs: s.refs(r)})
			return err == nil || cloud.ClassOf(err) != cloud.Conflict // while it is still stopping
		})
		if err != nil {
			t.Fatalf("update: %v", err)
		}
		s.objects[r.Key] = s.await(t, r.Key, "to be ready", func(o cloud.Object) bool { return o.State == cloud.Ready })
	}
	s.testObserved(t)
	s.testMachines(t)
	s.deleteAll(t)
}

// again makes a resource again with a new token, and what went with it or now differs.
func (s *stage) again(t *testing.T, victim cloud.Resource) {
	t.Helper()
	there := s.observe(t)
	for _, r := range s.ordered {
		o, ok := there[r.Key]
		if ok && len(differing(t, r.Spec, o.Spec)) > 0 {
			s.delete(t, o)
			ok = false
		}
		if !ok || r.Key == victim.Key {
			s.create(t, r, 2)
		}
	}
}
