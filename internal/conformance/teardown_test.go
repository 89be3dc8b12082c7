package conformance_test

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/teardown"
	"github.com/skyweld/skyweld/lab/world"
)

// stage is a site of the driver's on an empty lab, made as far as a row of docs/teardown.md needs it.
type stage struct {
	*testing.T
	aws *awsLab // one of these
	gcp *gcpLab
	az  *azureLab
	do  *doLab

	d      cloud.Driver
	region string
	before []cloud.Item
	// list is the whole blueprint in an order of creation, reach what each of it depends on.
	list  []cloud.Resource
	reach map[string]map[string]bool
	// there is what was made and not deleted since, tries how often each was begun.
	there map[string]cloud.Object
	tries map[string]int
}

// act is what is done about a row.
type act func(*stage, teardown.Row)

// acts are the tests of a cloud's rows that aren't about an order alone.
type acts map[string]act

func awsStage(t *testing.T, profile world.Profile) *stage {
	s := &stage{T: t, aws: newAWSLab(t, profile), region: awsRegion}
	s.d = s.aws.driver(t, awsSecret)
	return s.set(awsSite())
}

func gcpStage(t *testing.T, profile world.Profile) *stage {
	s := &stage{T: t, gcp: newGCPLab(t, profile), region: gcpRegion}
	s.d = s.gcp.driver(t, nil)
	return s.set(gcpSite())
}

func (s *stage) set(site cloud.Site) *stage {
	s.Helper()
	list, err := s.d.Blueprint(cloudtest.TestOwner, site)
	if err != nil {
		s.Fatal(err)
	}
	kinds := s.d.Kinds()
	layer := func(r cloud.Resource) int {
		return slices.IndexFunc(kinds, func(k cloud.KindInfo) bool { return k.Kind == r.Kind })
	}
	slices.SortStableFunc(list, func(a, b cloud.Resource) int { return cmp.Compare(layer(a), layer(b)) })
	s.list, s.reach = list, cloudtest.Reach(list)
	s.there, s.tries = map[string]cloud.Object{}, map[string]int{}
	s.before = s.inventory()
	return s
}

func (s *stage) inventory() []cloud.Item {
	s.Helper()
	items, err := s.d.Inventory(s.Context(), s.region)
	if err != nil {
		s.Fatal(err)
	}
	return items
}

func (s *stage) resource(key string) cloud.Resource {
	s.Helper()
	i := slices.IndexFunc(s.list, func(r cloud.Resource) bool { return r.Key == key })
	if i < 0 {
		s.Fatalf("the blueprint has no %s", key)
	}
	return s.list[i]
}

// all are the keys of the whole blueprint.
func (s *stage) all() []string {
	var keys []string
	for _, r := range s.list {
		keys = append(keys, r.Key)
	}
	return keys
}

// make makes resources with all that they depend on.
func (s *stage) make(keys ...string) {
	s.Helper()
	for _, r := range s.list {
		_, made := s.there[r.Key]
		wanted := slices.ContainsFunc(keys, func(k string) bool { return k == r.Key || s.reach[k][r.Key] })
		if made || !wanted {
			continue
		}
		s.tries[r.Key]++
		var err error
		left := 10
		e := cloudtest.Await(s.Context(), func() bool {
			err, left = s.create(r.Key), left-1
			return err == nil || left == 0 || !cloud.ClassOf(err).Retryable()
		})
		if err := errors.Join(err, e); err != nil {
			s.Fatal(err)
		}
	}
}

// create tries to make one resource, with the token of its last try.
func (s *stage) create(key string) error {
	b := &cloudtest.Built{Objects: s.there}
	o, err := s.d.Create(s.Context(), b.Request(s.d, cloudtest.TestOwner, s.resource(key), s.tries[key]))
	if err == nil {
		s.there[key] = o
	}
	return err
}

func (s *stage) remove(o cloud.Object) error { return s.d.Delete(s.Context(), cloudtest.TestOwner, o) }

// drop deletes what was made.
func (s *stage) drop(keys ...string) {
	s.Helper()
	for _, key := range keys {
		if err := s.remove(s.there[key]); err != nil {
			s.Fatal(err)
		}
		delete(s.there, key)
	}
}

// clear deletes all that was made, the latest kinds first, and sees that nothing is left of it.
func (s *stage) clear() {
	s.Helper()
	for _, r := range slices.Backward(s.list) {
		if _, ok := s.there[r.Key]; ok {
			s.drop(r.Key)
		}
	}
	if there := s.observed(); len(there) > 0 {
		s.Errorf("still observed: %v", there)
	}
	if d := diff.Diff(s.before, s.inventory()); d != "" {
		s.Errorf("the account isn't as it was (-before +after):\n%s", d)
	}
}

// observed lists what isn't gone, by key.
func (s *stage) observed() map[string]cloud.Object {
	s.Helper()
	return observedIn(s.T, s.d, s.region)
}

// refused tries to delete something and expects the row's code, as a conflict that changes nothing.
func (s *stage) refused(o cloud.Object, row teardown.Row) {
	s.Helper()
	before := s.observed()
	s.refusal(s.remove(o), cloud.Conflict, row)
	if d := diff.Diff(before, s.observed(), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		s.Errorf("the refused deletion of %s changed something (-before +after):\n%s", o.Key, d)
	}
}

// refusal holds a driver's error against the row's code.
func (s *stage) refusal(err error, class cloud.Class, row teardown.Row) {
	s.Helper()
	code := row.Code
	if row.Cloud != teardown.AWS {
		_, code, _ = row.HTTP()
	}
	var e *cloud.Error
	if !errors.As(err, &e) || e.Class != class || e.Code != code {
		s.Fatalf("error %v of class %s, want class %s with the code %s", err, cloud.ClassOf(err), class, code)
	}
}

// conflict expects that a deletion is refused as a conflict whose text names something.
func (s *stage) conflict(err error, names string) {
	s.Helper()
	if cloud.ClassOf(err) != cloud.Conflict || !strings.Contains(err.Error(), names) {
		s.Fatalf("error %v of class %s, want a conflict that names %q", err, cloud.ClassOf(err), names)
	}
}

// pair finds two resources of a row's kinds in the blueprint, of which the later depends on the earlier.
func (s *stage) pair(row teardown.Row) (resource, other string) {
	s.Helper()
	for _, r := range s.list {
		for _, o := range s.list {
			later, earlier := o.Key, r.Key
			if row.Creation || row.Code == teardown.Stays {
				later, earlier = r.Key, o.Key
			}
			if string(r.Kind) == row.Resource && string(o.Kind) == row.Other && s.reach[later][earlier] {
				return r.Key, o.Key
			}
		}
	}
	s.Fatalf("the blueprint has no %s that has to do with a %s", row.Resource, row.Other)
	return "", ""
}

// inOrder is the test of a deletion whose row asks for an order: with only the other resource in the way it is refused, and
// in the order of the kinds everything goes. Where the other resource stays, it is seen after the deletion.
func inOrder(s *stage, row teardown.Row) {
	resource, other := s.pair(row)
	withOrder(resource, other)(s, row)
}

func withOrder(resource, other string) act {
	return func(s *stage, row teardown.Row) {
		s.make(resource, other)
		if row.Refused() {
			s.refused(s.there[resource], row)
		} else {
			s.drop(resource)
			if _, ok := s.observed()[other]; !ok {
				s.Errorf("%s went along with %s", other, resource)
			}
		}
		s.clear()
	}
}

// lacking is the test of a creation whose row asks for an order: once what is needed has been deleted, the creation fails
// with the row's code; when that is there again, it succeeds.
func lacking(s *stage, row teardown.Row) {
	class := cloud.NotFound
	if strings.HasSuffix(row.Code, " invalid") { // Google's word for much else that is wrong with a request
		class = cloud.Invalid
	}
	s.lack(row, func(err error) { s.refusal(err, class, row) })
}

func (s *stage) lack(row teardown.Row, check func(error)) {
	s.Helper()
	resource, other := s.pair(row)
	for need := range s.reach[resource] {
		s.make(need)
	}
	had := maps.Clone(s.there)
	if s.remove(s.there[other]) != nil { // what is in its way goes too
		for _, r := range slices.Backward(s.list) {
			if _, made := s.there[r.Key]; made && s.reach[r.Key][other] {
				s.drop(r.Key)
			}
		}
	}
	s.drop(other)
	left := s.there
	s.there = had
	s.tries[resource]++
	check(s.create(resource))
	s.there = left
	if half, ok := s.observed()[resource]; ok {
		if err := s.remove(half); err != nil {
			s.Fatal(err)
		}
	}
	s.make(resource)
	s.clear()
}

// whole stands for the test of what goes without saying, run once for all such rows.
var whole act

// wholeSite makes a site, which must be as it should be; it goes in order and leaves the account as it was.
func wholeSite(s *stage) {
	s.make(s.all()...)
	there := s.observed()
	for _, r := range s.list {
		if d, err := cloudtest.Differences(r.Spec, there[r.Key].Spec); err != nil || len(d) > 0 {
			s.Errorf("%s differs in %v (error %v)", r.Key, d, err)
		}
	}
	s.clear()
}

// play runs the acts of a cloud's rows. Rows that never concern the driver have none.
func play(t *testing.T, cloudName string, all acts, enter func(*testing.T, world.Profile) *stage) {
	rows := slices.DeleteFunc(teardown.Of(teardown.Rows(t), cloudName), func(r teardown.Row) bool { return r.Driver == teardown.Never })
	for _, r := range rows {
		if _, special := all[r.ID]; special || r.Driver != teardown.Order {
			continue
		}
		if all[r.ID] = inOrder; r.Creation {
			all[r.ID] = lacking
		}
	}
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		wholeSite(enter(t, world.Instant))
	})
	teardown.Each(t, rows, all, func(t *testing.T, row teardown.Row, do act) {
		if do == nil {
			return
		}
		t.Parallel()
		profile := world.Instant
		if takesTime[row.ID] || row.Driver == teardown.Waits {
			profile = world.Fast
		}
		do(enter(t, profile), row)
	})
}

// takesTime are the rows about what is under way, but for those that the driver waits for.
var takesTime = map[string]bool{
	"gcp-network-deleting": true, "gcp-subnetwork-deleting": true, "gcp-firewall-deleting": true, "gcp-instance-deleting": true,
	"gcp-address-making": true, "gcp-make-instance-undeleted": true,
	"azure-network-busy": true, "azure-interface-reserved": true, "azure-make-group-gone": true, "azure-make-network-going": true,
	"azure-make-machine-reserved": true,
}
