package engine

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/store"
)

// TestDeleteWaitsForLateCalls crashes the engine in a call whose effect no list shows for a while, and asks for the
// deletion at once.
func TestDeleteWaitsForLateCalls(t *testing.T) {
	s := newScene(t, cloudtest.Options{ListLag: 400 * time.Millisecond})
	s.patient = 2 * time.Second
	s.engine.patience.listLag = s.patient
	s.point = func(_ int, after bool, call cloudtest.Call) bool {
		return after && call.Op == cloudtest.OpCreate && call.Kind == cloudtest.KindNetwork
	}
	uid := s.apply(smallFile)
	s.turn(uid)
	s.point = nil
	s.start()
	if len(s.clouds[cloud.AWS].Objects(uid))+len(s.clouds[cloud.GCP].Objects(uid)) == 0 {
		t.Fatal("nothing was made before the crash")
	}
	s.delete(uid)
	s.settled()
	s.asBefore()
	waited := false
	for _, r := range s.runs(uid, 10000) {
		waited = waited || strings.HasPrefix(r, "delete: succeeded, 1 steps") || strings.HasPrefix(r, "delete: succeeded, 2 steps")
	}
	if !waited {
		t.Errorf("what landed was not deleted in a run of its own: %v", s.runs(uid, 10000))
	}
}

// TestDeleteWaitsBySetBackClock sets the database's clock back while a deletion waits for what may still land: it begins to wait
// anew, and not until the clock is where it was.
func TestDeleteWaitsBySetBackClock(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	s.sql("INSERT INTO intents (id, cluster, key, kind, site, region, action, token, state, created, resolved, object_id) VALUES (-1, ?, 'two-x', 'network', 'two', 'us-east4', 'create', 'x', 'open', 1, 0, '')", uid)
	s.engine.patience.listLag = time.Second
	s.askDelete()
	s.until(uid, "Settling", func(c store.Cluster) bool { return conditionOf(c, readyType).Reason == "Settling" })
	s.sql(`UPDATE clusters SET status = json_set(status, '$.emptySince', '2999-01-01T00:00:00Z') WHERE uid = ?`, uid)
	s.gone(uid)
	s.asBefore()
}

// TestAnEmptyListProvesNothing lets a cloud list nothing at all for a while.
func TestAnEmptyListProvesNothing(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	<-time.After(s.engine.patience.listLag)
	blind := &blindDriver{Cloud: s.clouds[cloud.GCP], empty: 1}
	s.engine.opts.Drivers[cloud.GCP] = func(context.Context, cloud.Account, cloud.Transport) (cloud.Driver, error) { return blind, nil }
	clear(s.engine.drivers)
	s.turn(uid) // one empty list: the second one is believed
	if got := s.runs(uid, 1)[0]; got != "scheduled: succeeded, 0 steps" {
		t.Errorf("after one empty list: %s", got)
	}
	blind.empty, blind.denied = 1000, true
	s.turn(uid) // the account fails its check
	c, err := s.engine.store.GetClusterByUID(t.Context(), uid)
	if err != nil || c.Phase != store.Degraded || !strings.Contains(c.Conditions[0].Message, "site two (account acc-gcp, us-east4) could not be observed") {
		t.Errorf("after empty lists of an account that fails its check: %s %v %v", c.Phase, c.Conditions, err)
	}
	blind.empty = 0
	s.ready(uid)
	s.delete(uid)
	s.asBefore()
}

type blindDriver struct {
	*cloudtest.Cloud
	empty  int
	denied bool
}

func (b *blindDriver) Observe(ctx context.Context, cluster, region string, known ...cloud.Known) ([]cloud.Object, error) {
	if b.empty > 0 {
		b.empty--
		return nil, nil
	}
	return b.Cloud.Observe(ctx, cluster, region, known...)
}

func (b *blindDriver) Check(ctx context.Context, regions ...string) (cloud.Report, error) {
	if b.denied {
		return cloud.Report{}, &cloud.Error{Class: cloud.Denied, Op: "check", Message: "no"}
	}
	return b.Cloud.Check(ctx, regions...)
}

// TestCopiesAreLeftAlone has somebody copy a machine, with its mark, while an intent is open under its key.
func TestCopiesAreLeftAlone(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	c, o := s.find(uid, "two-node-demo-web-1")
	id := c.Copy(o.ID)
	s.turn(uid)
	if noted := s.events(uid, "Noted"); len(noted) != 1 || !strings.Contains(noted[0], id) {
		t.Errorf("noted: %v", noted)
	}
	left := func() bool {
		for _, o := range c.Objects(uid) {
			if o.ID == id {
				return true
			}
		}
		return false
	}
	if !left() {
		t.Error("the copy was removed")
	}
	c.Terminate(id)
	s.delete(uid)
	s.asBefore()
}

func TestExplained(t *testing.T) {
	at := time.Now()
	i := store.Intent{Key: "a-m", Kind: "machine", Action: string(plan.Create), Created: at}
	o := func(id string, made time.Duration) plan.Observed {
		return plan.Observed{Object: cloud.Object{Key: "a-m", Kind: "machine", ID: id, State: cloud.Ready, Created: at.Add(made)}}
	}
	recorded, gone, other := o("r", time.Second), o("g", time.Second), o("k", time.Second)
	recorded.Recorded, gone.State, other.Kind = true, cloud.Gone, "disk"
	for _, tt := range []struct {
		name string
		got  []plan.Observed
		want int
	}{
		{"nothing", nil, -1},
		{"the one", []plan.Observed{o("1", time.Second)}, 0},
		{"a clock that is a little behind", []plan.Observed{o("1", -30*time.Second)}, 0},
		{"made before", []plan.Observed{o("1", -time.Hour)}, -1},
		{"a copy of it", []plan.Observed{o("copy", time.Minute), o("1", time.Second)}, 1},
		{"none that counts", []plan.Observed{recorded, gone, other}, -1},
	} {
		if got := new(survey).explainedBy(i, tt.got); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestALostLeaseStopsCalls takes the lease away while a call is being tried again.
func TestALostLeaseStopsCalls(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	stolen := false
	s.point = func(_ int, after bool, call cloudtest.Call) bool {
		if after || call.Op != cloudtest.OpCreate {
			return false
		}
		if !stolen {
			stolen = true
			thief, err := store.Open(context.Background(), s.dir+"/skyweld.db", s.box)
			if err != nil {
				t.Error(err)
				return false
			}
			defer thief.Close()
			if err := cloudtest.Await(t.Context(), func() bool {
				_ = thief.Wake(t.Context(), s.uid.Load().(string))
				claim, err := thief.ClaimCluster(t.Context(), "thief", time.Hour)
				return err == nil && claim != nil
			}); err != nil {
				t.Error(err)
			}
		}
		return false
	}
	for _, c := range s.clouds {
		c.Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Class: cloud.Throttled})
	}
	s.engine.patience.lease = 50 * time.Millisecond
	uid := s.apply(smallFile)
	claim, err := s.engine.store.ClaimCluster(t.Context(), "engine", 50*time.Millisecond)
	if err != nil || claim == nil {
		t.Fatal(claim, err)
	}
	s.engine.patience.lease = time.Hour // a frozen engine renews nothing
	s.engine.work(t.Context(), claim)
	creates := 0
	for _, c := range s.clouds {
		for _, call := range c.Calls() {
			if call.Op == cloudtest.OpCreate {
				creates++
			}
		}
	}
	if creates > s.engine.opts.Parallel {
		t.Errorf("%d calls were made though the lease was lost", creates)
	}
	if c, err := s.engine.store.GetClusterByUID(t.Context(), uid); err != nil || c.Lease.Owner != "thief" {
		t.Errorf("the lease is %v, error %v", c.Lease, err)
	}
}

// TestStop stops the engine in the middle of a run, as its service does.
func TestStop(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	first := s.engine
	s.point = func(n int, after bool, call cloudtest.Call) bool {
		if n == 9 {
			first.cancel()
		}
		return false
	}
	uid := s.apply(smallFile)
	s.turn(uid)
	c, err := first.store.GetClusterByUID(t.Context(), uid)
	if err != nil || c.Lease.Owner != "" || c.NextRun.After(time.Now()) {
		t.Errorf("the lease is %v and the next run at %v, error %v", c.Lease, c.NextRun, err)
	}
	if got := s.runs(uid, 1)[0]; !strings.Contains(got, ": stopped,") {
		t.Errorf("the run is %s", got)
	}
	if list, err := first.store.ListChanges(t.Context(), uid, store.Applying); err != nil || len(list) != 1 {
		t.Errorf("changes that are being applied: %v, error %v", list, err)
	}
	s.point = nil
	first.store.Close()
	s.start()
	s.ready(uid)
	s.delete(uid)
	s.asBefore()
}
