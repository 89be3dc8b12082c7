package cloudtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

// stage is a driver with a site's resources on it.
type stage struct {
	h       Harness
	d       cloud.Driver
	kinds   map[cloud.Kind]cloud.KindInfo
	site    cloud.Site
	ordered []cloud.Resource // in an order in which they can be made
	objects map[string]cloud.Object
}

func newStage(t *testing.T, h Harness) *stage {
	t.Helper()
	s := &stage{h: h, d: h.New(t), site: h.site(t), objects: map[string]cloud.Object{}}
	s.kinds = kindsOf(s.d)
	list, err := s.d.Blueprint(TestOwner, s.site)
	if err != nil {
		t.Fatalf("blueprint: %v", err)
	}
	if s.ordered, err = inOrder(list); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) refs(r cloud.Resource) map[string]cloud.Object {
	out := map[string]cloud.Object{}
	for _, key := range r.DependsOn {
		out[key] = s.objects[key]
	}
	return out
}

func (s *stage) request(r cloud.Resource, try int) cloud.CreateRequest {
	req := cloud.CreateRequest{Owner: TestOwner, Resource: r, Refs: s.refs(r), Token: token(r.Key, try)}
	if s.kinds[r.Kind].Machine {
		req.UserData = s.h.UserData
	}
	return req
}

// create makes one resource and waits until a machine runs, as some things can only then be attached to it.
func (s *stage) create(t *testing.T, r cloud.Resource, try int) cloud.Object {
	t.Helper()
	o, err := s.d.Create(s.h.context(t), s.request(r, try))
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	if o.Key != r.Key || o.Cluster != TestOwner.UID || o.Kind != r.Kind || o.Region != r.Region || o.ID == "" {
		t.Errorf("create %s returned key %q, cluster %q, kind %q, region %q, id %q", r.Key, o.Key, o.Cluster, o.Kind, o.Region, o.ID)
	}
	if s.kinds[r.Kind].Machine && o.State == cloud.Pending {
		o = s.await(t, r.Key, "to be ready", func(o cloud.Object) bool { return o.State == cloud.Ready })
	}
	s.objects[r.Key] = o
	return o
}

func (s *stage) createAll(t *testing.T) {
	t.Helper()
	for _, r := range s.ordered {
		s.create(t, r, 1)
	}
}

// observe lists what is there and not gone, by key; a key that is there twice fails the test.
func (s *stage) observe(t *testing.T) map[string]cloud.Object {
	t.Helper()
	list, err := s.d.Observe(s.h.context(t), TestOwner.UID, s.site.Region)
	if err != nil {
		t.Fatalf("observe: %v", err)
	}
	out := map[string]cloud.Object{}
	for _, o := range list {
		if o.State == cloud.Gone {
			continue
		}
		if o.Cluster != TestOwner.UID {
			t.Errorf("observe: %s %s is of cluster %q", o.Kind, o.ID, o.Cluster)
		}
		if twin, ok := out[o.Key]; ok {
			t.Errorf("observe: %s is there twice: %s and %s", o.Key, twin.ID, o.ID)
		}
		out[o.Key] = o
	}
	return out
}

// await observes until the object under a key is as wanted.
func (s *stage) await(t *testing.T, key, what string, ok func(cloud.Object) bool) cloud.Object {
	t.Helper()
	var found cloud.Object
	s.until(t, key+" "+what, func() bool {
		found = s.observe(t)[key]
		return ok(found)
	})
	return found
}

// until polls a condition, more and more slowly.
func (s *stage) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, pause := s.h.context(t), 10*time.Millisecond
	for !ok() {
		if cloud.Pause(ctx, pause) != nil {
			t.Fatalf("waited %v for %s", s.h.Timeout, what)
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// deleteAll takes everything away in the reverse order, each thing twice, and then what came along with it.
func (s *stage) deleteAll(t *testing.T) {
	t.Helper()
	for _, r := range slices.Backward(s.ordered) {
		o, ok := s.objects[r.Key]
		if !ok {
			continue
		}
		for range 2 {
			s.delete(t, o)
		}
		if s.kinds[r.Kind].Machine {
			s.sweepExtras(t)
		}
	}
	s.until(t, "nothing of ours to be observed", func() bool { return len(s.observe(t)) == 0 })
}

// delete allows a cloud to go on for a while believing that something is in use.
func (s *stage) delete(t *testing.T, o cloud.Object) {
	t.Helper()
	var err error
	s.until(t, "the deletion of "+o.Key, func() bool {
		if err = s.d.Delete(s.h.context(t), TestOwner, o); err == nil || cloud.ClassOf(err) != cloud.Conflict {
			return true
		}
		t.Logf("delete: %v", err)
		return false
	})
	if err != nil {
		t.Fatalf("delete: %v", err)
	}
}

// sweepExtras deletes what is observed and in no blueprint: disks and the like that outlived their machine.
func (s *stage) sweepExtras(t *testing.T) {
	t.Helper()
	for key, o := range s.observe(t) {
		if _, ok := s.objects[key]; !ok {
			s.delete(t, o)
		}
	}
}

func testLifecycle(t *testing.T, h Harness) {
	s := newStage(t, h)
	before, err := s.d.Inventory(h.context(t), h.Region)
	if err != nil {
		t.Fatalf("inventory: %v", err)
	}
	wantSorted(t, before)
	s.createAll(t)
	h.step(t, "Observe", s.testObserved)
	h.step(t, "Machines", s.testMachines)
	h.step(t, "SameToken", s.testSameToken)
	h.step(t, "OtherCluster", s.testOtherCluster)
	h.step(t, "Inventory", s.testInventory)
	h.step(t, "TakenAddress", s.testTakenAddress)
	h.step(t, "WrongOrder", s.testWrongOrder)
	s.deleteAll(t)
	h.step(t, "Afterwards", s.testAfterwards)
	h.step(t, "NothingLeft", func(t *testing.T) {
		var after []cloud.Item
		same := func() bool {
			if after, err = s.d.Inventory(h.context(t), h.Region); err != nil {
				t.Fatalf("inventory: %v", err)
			}
			return reflect.DeepEqual(before, after)
		}
		defer func() {
			if t.Failed() {
				t.Errorf("inventory before and after (-before +after):\n%s", cmp.Diff(before, after))
			}
		}()
		s.until(t, "the inventory to be as before", same)
	})
}

func (s *stage) testObserved(t *testing.T) {
	got := s.observe(t)
	for _, r := range s.ordered {
		o, ok := got[r.Key]
		if !ok {
			t.Errorf("%s %s isn't observed", r.Kind, r.Key)
			continue
		}
		delete(got, r.Key)
		if o.Kind != r.Kind || o.Region != r.Region || o.ID != s.objects[r.Key].ID {
			t.Errorf("%s: observed kind %q, region %q, id %q; created as %q", r.Key, o.Kind, o.Region, o.ID, s.objects[r.Key].ID)
		}
		if o.State != cloud.Ready {
			t.Errorf("%s is %s", r.Key, o.State)
		}
		if reflect.TypeOf(o.Spec) != reflect.TypeOf(r.Spec) {
			t.Errorf("%s: observed spec is %T, desired %T", r.Key, o.Spec, r.Spec)
			continue
		}
		s.wantSame(t, r.Key, r.Spec, o.Spec)
	}
	for key, o := range got {
		t.Errorf("%s %s is observed and wasn't asked for", o.Kind, key)
	}
}

func (s *stage) wantSame(t *testing.T, key string, want, got any) {
	t.Helper()
	for _, f := range differing(t, want, got) {
		t.Errorf("%s: field %q is %s, want %s", key, f, line(fields(t, got)[f]), line(fields(t, want)[f]))
	}
}

func line(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

func (s *stage) testMachines(t *testing.T) {
	got := s.observe(t)
	byAddress := map[netip.Addr]cloud.Object{}
	fixed := map[netip.Addr]bool{}
	ids := map[string]bool{}
	for _, o := range got {
		if o.Address.IsValid() {
			fixed[o.Address] = true
		}
		if !s.kinds[o.Kind].Machine {
			continue
		}
		if o.Machine == nil {
			t.Fatalf("%s has no machine status", o.Key)
		}
		byAddress[o.Machine.Private] = o
		if o.Machine.ProviderID == "" || o.Machine.Type == "" || ids[o.Machine.ProviderID] {
			t.Errorf("%s: provider id %q (want one, and unique), type %q", o.Key, o.Machine.ProviderID, o.Machine.Type)
		}
		ids[o.Machine.ProviderID] = true
	}
	for _, m := range s.site.Machines {
		o, ok := byAddress[m.Address]
		if r := s.machine(m.Name); s.kinds[r.Kind].PicksAddress {
			o, ok = got[r.Key], got[r.Key].Machine != nil
			if ok && (!s.site.Block.Contains(o.Machine.Private) || byAddress[o.Machine.Private].ID != o.ID) {
				t.Errorf("%s: private address %s: want one of its own in %s", m.Name, o.Machine.Private, s.site.Block)
			}
		}
		switch {
		case !ok:
			t.Errorf("%s: no machine has the address %s", m.Name, m.Address)
		case o.Machine.Zone != m.Zone:
			t.Errorf("%s is in zone %q, want %q", m.Name, o.Machine.Zone, m.Zone)
		case !o.Machine.Public.IsValid():
			t.Errorf("%s has no public address", m.Name)
		case m.Role == cloud.ControlPlane && !fixed[o.Machine.Public]:
			t.Errorf("%s: public address %s is no address of its own", m.Name, o.Machine.Public)
		}
		if c, ok := s.d.(cloud.Consoler); ok && o.ID != "" {
			if out, err := c.Console(s.h.context(t), o); err != nil || len(out) > 64<<10 {
				t.Errorf("console of %s: %d bytes, error %v", m.Name, len(out), err)
			}
		}
	}
}

func (s *stage) testSameToken(t *testing.T) {
	for _, r := range s.ordered {
		o, err := s.d.Create(s.h.context(t), s.request(r, 1))
		if err != nil {
			t.Errorf("create again with the same token: %v", err)
			continue
		}
		if o.ID != s.objects[r.Key].ID {
			t.Errorf("create %s again with the same token made %s beside %s", r.Key, o.ID, s.objects[r.Key].ID)
		}
	}
	s.testObserved(t)
}

func (s *stage) testOtherCluster(t *testing.T) {
	list, err := s.d.Observe(s.h.context(t), "feedfeedfeedfeed", s.site.Region)
	if err != nil || len(list) > 0 {
		t.Errorf("observe of another cluster: %d objects, error %v", len(list), err)
	}
}

func (s *stage) testInventory(t *testing.T) {
	list, err := s.d.Inventory(s.h.context(t), s.h.Region)
	if err != nil {
		t.Fatalf("inventory: %v", err)
	}
	wantSorted(t, list)
	for _, r := range s.ordered {
		if !s.kinds[r.Kind].Machine {
			continue
		}
		id := s.objects[r.Key].ID
		i := slices.IndexFunc(list, func(it cloud.Item) bool { return it.ID == id })
		if i < 0 || list[i].Cluster != TestOwner.UID {
			t.Errorf("%s (%s) isn't in the inventory with its cluster", r.Key, id)
		}
	}
}

func wantSorted(t *testing.T, list []cloud.Item) {
	t.Helper()
	if !slices.IsSortedFunc(list, cloud.CompareItems) {
		t.Error("the inventory isn't sorted by kind, region and id")
	}
}

// machine is the resource that is a machine.
func (s *stage) machine(name string) cloud.Resource {
	for _, r := range s.ordered {
		if r.Machine == name && s.kinds[r.Kind].Machine {
			return r
		}
	}
	return cloud.Resource{}
}

// testTakenAddress asks for a second machine with the address of the first.
func (s *stage) testTakenAddress(t *testing.T) {
	for _, r := range s.ordered {
		if !s.kinds[r.Kind].Machine {
			continue
		}
		if s.kinds[r.Kind].PicksAddress {
			t.Skip("the cloud chooses the addresses of machines")
		}
		double := r
		double.Key = r.Site + "-double"
		o, err := s.d.Create(s.h.context(t), s.request(double, 1))
		if err == nil {
			t.Errorf("a second machine got the address of %s", r.Key)
			_ = s.d.Delete(s.h.context(t), TestOwner, o)
			return
		}
		wantClass(t, "create a machine with a taken address", err, cloud.AlreadyExists, cloud.Conflict)
		if _, ok := s.observe(t)[double.Key]; ok {
			t.Error("the machine that couldn't be made is there")
		}
		return
	}
}

func (s *stage) testWrongOrder(t *testing.T) {
	used := map[string]bool{}
	for _, r := range s.ordered {
		for _, key := range r.DependsOn {
			used[key] = true
		}
	}
	tried := 0
	for _, r := range s.ordered {
		blocked := len(r.DependsOn) == 0 && used[r.Key]
		if s.h.Blocked != nil {
			blocked = slices.Contains(s.h.Blocked, r.Kind)
		}
		if blocked {
			tried++
			wantClass(t, "delete "+r.Key+" while it is in use", s.d.Delete(s.h.context(t), TestOwner, s.objects[r.Key]), cloud.Conflict)
		}
	}
	if tried == 0 {
		t.Error("nothing in the blueprint depends on anything")
	}
	s.testObserved(t)
}

// testAfterwards uses what was deleted.
func (s *stage) testAfterwards(t *testing.T) {
	for _, r := range s.ordered {
		info := s.kinds[r.Kind]
		if len(info.Mutable) > 0 {
			_, err := s.d.Update(s.h.context(t), cloud.UpdateRequest{
				Owner: TestOwner, Resource: r, Object: s.objects[r.Key], Fields: info.Mutable[:1], Refs: s.refs(r),
			})
			wantClass(t, "update "+r.Key+", which is gone", err, cloud.NotFound)
		}
	}
	for _, r := range s.ordered {
		if len(r.DependsOn) > 0 && !s.kinds[r.Kind].Machine {
			_, err := s.d.Create(s.h.context(t), s.request(r, 2))
			wantClass(t, "create "+r.Key+" on what is gone", err, cloud.NotFound, cloud.Invalid)
			break
		}
	}
	s.sweep(t)
}

// sweep deletes whatever is observed: a creation of several calls may have broken off between, and some things come
// along with others and may outlive them.
func (s *stage) sweep(t *testing.T) {
	t.Helper()
	s.until(t, "nothing of ours to be observed", func() bool {
		left := s.observe(t)
		for _, o := range left {
			if err := s.d.Delete(s.h.context(t), TestOwner, o); err != nil {
				t.Logf("sweep: %v", err)
			}
		}
		return len(left) == 0
	})
}

// testMutable changes each mutable field of each resource there and back again.
func testMutable(t *testing.T, h Harness) {
	s := newStage(t, h)
	s.createAll(t)
	seen := s.observe(t)
	for _, r := range s.ordered {
		for _, f := range s.kinds[r.Kind].Mutable {
			h.step(t, r.Key+"/"+f, func(t *testing.T) {
				changed := r
				changed.Spec = h.changed(t, r, f)
				if diff := differing(t, changed.Spec, r.Spec); !slices.Equal(diff, []string{f}) {
					t.Fatalf("the changed spec differs in %v, want only %q", diff, f)
				}
				for _, want := range []cloud.Resource{changed, changed, r} {
					seen[r.Key] = s.update(t, seen[r.Key], want, f)
				}
			})
		}
	}
	s.testObserved(t)
	s.deleteAll(t)
}

// update changes a field of an object as it was seen last, and returns it as it is seen then.
func (s *stage) update(t *testing.T, seen cloud.Object, r cloud.Resource, field string) cloud.Object {
	t.Helper()
	_, err := s.d.Update(s.h.context(t), cloud.UpdateRequest{
		Owner: TestOwner, Resource: r, Object: seen, Fields: []string{field}, Refs: s.objects,
	})
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	o := s.await(t, r.Key, "to be there", func(o cloud.Object) bool { return o.ID != "" })
	s.wantSame(t, r.Key, r.Spec, o.Spec)
	if o.ID != s.objects[r.Key].ID {
		t.Errorf("%s was replaced by the update", r.Key)
	}
	return o
}

// changed makes a spec that differs in one field.
func (h Harness) changed(t *testing.T, r cloud.Resource, field string) any {
	t.Helper()
	if h.Change != nil {
		if s := h.Change(r, field); s != nil {
			return s
		}
	}
	m := fields(t, r.Spec)
	switch v := m[field].(type) {
	case bool:
		m[field] = !v
	case []any:
		if len(v) == 0 {
			t.Fatalf("%s: field %q is an empty list; the harness must change it", r.Key, field)
		}
		m[field] = v[:len(v)-1]
	default:
		t.Skipf("field %q of %s is a %T; the harness knows no other value for it", field, r.Key, v)
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	out := reflect.New(reflect.TypeOf(r.Spec).Elem()).Interface()
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatalf("change %q of %s: %v", field, r.Key, err)
	}
	return out
}

// Await calls ok until it is true or the context ends, more and more slowly; harnesses may use it.
func Await(ctx context.Context, ok func() bool) error {
	pause := 10 * time.Millisecond
	for !ok() {
		if err := cloud.Pause(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, time.Second)
	}
	return nil
}
