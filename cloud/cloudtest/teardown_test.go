package cloudtest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/teardown"
)

// kindsInTable maps the names of docs/teardown.md to the in-memory cloud's kinds. Its model is EC2's: gateways, firewalls that
// are put on machines, associations of addresses. So it is held against the rows about AWS.
var kindsInTable = map[string]cloud.Kind{
	"vpc": cloudtest.KindNetwork, "subnet": cloudtest.KindSubnet, "internet-gateway": cloudtest.KindGateway, "route-table": cloudtest.KindRoute,
	"security-group": cloudtest.KindFirewall, "address": cloudtest.KindAddress, "instance": cloudtest.KindMachine,
	"address-association": cloudtest.KindAssociation,
}

// notModelled are rows between its kinds that have no counterpart in it, each with the reason.
var notModelled = map[string]string{
	"aws-table-main":              "its networks have no main route",
	"aws-make-association-subnet": "a route is for the whole network",
	"aws-make-route-attached":     "a gateway is attached when it is made",
	"aws-make-instance-network":   "firewalls are looked for by id only",
}

// noCounterpart are names of the table for what isn't there in it by itself, each with the reason.
var noCounterpart = map[string]string{
	"main-route-table": "its networks come without parts of their own", "default-security-group": "its networks come without parts of their own",
	"network-acl": "its networks come without parts of their own", "dhcp-options": "its networks come without parts of their own",
	"route": "a route is a kind here, and the table that it is in isn't", "route-table-association": "a route is for the whole network",
	"security-group-rule": "rules are fields of firewalls", "network-interface": "a machine has its address itself",
	"volume": "a machine's disk is a field of it", "termination-protection": "nobody but a stranger sets it, and no test of the engine needs one who does",
	"image": "machines boot from nothing", "key-pair": "nobody logs in",
}

// mapped are the rows about two of its kinds.
func mapped(t *testing.T) []teardown.Row {
	t.Helper()
	rows := teardown.Of(teardown.Rows(t), teardown.AWS)
	named := map[string]bool{}
	for _, r := range rows {
		for _, name := range []string{r.Resource, r.Other} {
			named[name] = true
			if _, known := kindsInTable[name]; !known && noCounterpart[name] == "" {
				t.Errorf("row %s: %q is no kind of the in-memory cloud, and nothing says why", r.ID, name)
			}
		}
	}
	for name := range noCounterpart {
		if !named[name] {
			t.Errorf("no row names %q", name)
		}
	}
	for id := range notModelled {
		if !slices.ContainsFunc(rows, func(r teardown.Row) bool { return r.ID == id }) {
			t.Errorf("there is no row %s", id)
		}
	}
	return slices.DeleteFunc(rows, func(r teardown.Row) bool {
		_, known := kindsInTable[r.Resource]
		_, other := kindsInTable[r.Other]
		return !known || !other || notModelled[r.ID] != ""
	})
}

// stand is a site in a cloud of its own.
type stand struct {
	t     *testing.T
	c     *cloudtest.Cloud
	list  []cloud.Resource
	reach map[string]map[string]bool
	made  map[string]cloud.Object
	n     int // of the next creation
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{t: t, c: cloudtest.New(cloudtest.Options{}), made: map[string]cloud.Object{}}
	var err error
	if s.list, err = s.c.Blueprint(owner, cloudtest.DefaultSite("here", region, zones)); err != nil {
		t.Fatal(err)
	}
	s.reach = cloudtest.Reach(s.list)
	for _, r := range s.list {
		if err := s.make(r); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *stand) make(r cloud.Resource) error {
	s.n++
	req := cloud.CreateRequest{Owner: owner, Resource: r, Refs: s.made, Token: fmt.Sprintf("%032x", s.n)}
	if r.Kind == cloudtest.KindMachine {
		req.UserData = []byte("#cloud-config")
	}
	o, err := s.c.Create(s.t.Context(), req)
	if err == nil {
		s.made[r.Key] = o
	}
	return err
}

func (s *stand) remove(key string) error {
	return s.c.Delete(s.t.Context(), owner, s.made[key])
}

func (s *stand) there(key string) bool {
	return slices.ContainsFunc(s.c.Objects(owner.UID), func(o cloud.Object) bool { return o.Key == key && o.State != cloud.Gone })
}

// last is the last resource of a kind that ok agrees to.
func (s *stand) last(kind cloud.Kind, ok func(key string) bool) cloud.Resource {
	s.t.Helper()
	for _, r := range slices.Backward(s.list) {
		if r.Kind == kind && ok(r.Key) {
			return r
		}
	}
	return cloud.Resource{}
}

func always(string) bool { return true }

// only deletes all but two resources and what they depend on.
func (s *stand) only(key, other string) {
	s.t.Helper()
	for _, r := range slices.Backward(s.list) {
		if r.Key == key || r.Key == other || s.reach[key][r.Key] || s.reach[other][r.Key] {
			continue
		}
		if err := s.remove(r.Key); err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestTeardownTable tries each deletion of the table that is about two of its kinds while the one is in the other's way, and
// again afterwards.
func TestTeardownTable(t *testing.T) {
	for _, row := range mapped(t) {
		if row.Creation {
			continue
		}
		t.Run(row.ID, func(t *testing.T) {
			s := newStand(t)
			other := s.last(kindsInTable[row.Other], always)
			it := s.last(kindsInTable[row.Resource], func(key string) bool {
				return s.reach[other.Key][key] || s.reach[key][other.Key]
			})
			if it.Key == "" {
				it = s.last(kindsInTable[row.Resource], always)
			}
			s.only(it.Key, other.Key)
			switch {
			case !row.Refused() || row.Driver == teardown.Itself:
				if err := s.remove(it.Key); err != nil {
					t.Errorf("delete %s with %s there: %v", it.Key, other.Key, err)
				}
				if s.there(other.Key) == (row.Code == teardown.GoesAlong) {
					t.Errorf("%s is there: %v, and the row says that it %s", other.Key, s.there(other.Key), row.Code)
				}
				return
			default:
				if err := s.remove(it.Key); cloud.ClassOf(err) != cloud.Conflict {
					t.Errorf("delete %s with %s there: error %v, want a conflict", it.Key, other.Key, err)
				}
			}
			for _, r := range slices.Backward(s.list) {
				if err := s.remove(r.Key); err != nil {
					t.Errorf("in the right order: %v", err)
				}
			}
		})
	}
}

// TestRefusalsAreInTable finds every pair of kinds of which one is in the other's way: the table must have it.
func TestRefusalsAreInTable(t *testing.T) {
	inTable := map[string]bool{}
	for _, r := range mapped(t) {
		if r.Refused() && !r.Creation && r.Driver != teardown.Itself {
			inTable[fmt.Sprint(kindsInTable[r.Resource], " ", kindsInTable[r.Other])] = true
		}
	}
	found := map[string]bool{}
	for _, kind := range kindsInTable {
		for _, other := range kindsInTable {
			s := newStand(t)
			b := s.last(other, always)
			a := s.last(kind, func(key string) bool { return s.reach[b.Key][key] })
			if a.Key == "" {
				continue
			}
			s.only(a.Key, b.Key)
			err := s.remove(a.Key)
			if err == nil {
				continue
			}
			by := user(err)
			found[fmt.Sprint(kind, " ", by)] = true
			if !inTable[fmt.Sprint(kind, " ", by)] {
				t.Errorf("the deletion of a %s is refused because of a %s, which is in no row: %v", kind, by, err)
			}
		}
	}
	if len(found) < 5 {
		t.Errorf("found only %v", found)
	}
}

// user is the kind of what a refusal names as being in the way.
func user(err error) string {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		return ""
	}
	_, id, _ := strings.Cut(e.Message, " is in use by ")
	return id[:max(0, strings.LastIndexByte(id, '-'))]
}

// TestCreationTable takes away what a resource needs by the table, tries to make it, brings the other back and tries again.
func TestCreationTable(t *testing.T) {
	for _, row := range mapped(t) {
		if !row.Creation || row.Driver != teardown.Order {
			continue
		}
		t.Run(row.ID, func(t *testing.T) {
			s := newStand(t)
			it := s.last(kindsInTable[row.Resource], always)
			other := s.last(kindsInTable[row.Other], func(key string) bool { return s.reach[it.Key][key] })
			for _, r := range slices.Backward(s.list) {
				if r.Key == it.Key || s.reach[r.Key][it.Key] {
					if err := s.remove(r.Key); err != nil {
						t.Fatal(err)
					}
				}
			}
			s.c.Vanish(s.made[other.Key].ID)
			if err := s.make(it); cloud.ClassOf(err) != cloud.NotFound {
				t.Errorf("create %s without %s: error %v, want not found", it.Key, other.Key, err)
			}
			if other.Kind == cloudtest.KindNetwork || other.Kind == cloudtest.KindSubnet {
				return // what else is in it would have to be made anew too
			}
			if err := s.make(other); err != nil {
				t.Fatal(err)
			}
			if err := s.make(it); err != nil {
				t.Errorf("create %s with %s there: %v", it.Key, other.Key, err)
			}
		})
	}
}
