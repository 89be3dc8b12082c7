package conformance_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/drift"
	"github.com/skyweld/skyweld/plan"
)

var update = flag.Bool("update", false, "write docs/drift.md anew")

// driftSite is a whole site with the ledger that an engine would have of it. Scenes change one thing of it by hand, one
// after the other; after each the site is as wanted again.
type driftSite struct {
	*testing.T
	d    cloud.Driver
	site cloud.Site
	list []cloud.Resource
	// ledger is what is on record, by key; parts is what came along with machines, by id; tries how often each was made.
	ledger map[string]cloud.Object
	parts  map[string]cloud.Known
	owners map[string]string // keys of the machines of parts
	tries  map[string]int
	calls  atomic.Int64
	// name is what people call an object in commands; nil for its id.
	name func(cloud.Object) string
	// plain puts a fixed text in the place of what is another in every run: others' ids. It may be nil.
	plain func(string) string
	// shell does what a command line says, for scenes that have nothing else; ids stand in it where keys were.
	shell func(s *driftSite, command string) error
	rows  []drift.Row
}

// driftScene is one change by hand.
type driftScene struct {
	// key is the resource that is changed; kind is for one that isn't in the blueprint.
	key  string
	kind cloud.Kind
	// field and change are as in drift.Row.
	field, change string
	// command is what a person types, with "<key>" for the id or name of the resource under that key.
	command string
	// once says in words what before does.
	once string
	// do does it; nil where the site's shell understands the command.
	do func(*driftSite) error
	// before prepares the ground, after clears away what is a stranger's; they may be nil.
	before, after func(*driftSite) error
	// refused is the code with which the API refuses the command; nothing may have changed then.
	refused string
	// vain is why the command changes nothing, though the API takes it.
	vain string
	// left is why the change is none that Skyweld minds: the plan must be empty then.
	left string
}

// count counts the calls that a driver makes.
func (s *driftSite) count(next http.RoundTripper) http.RoundTripper {
	return reading(next, func(*http.Request, []byte) *http.Response {
		s.calls.Add(1)
		return nil
	})
}

// playDrift makes a site, plays all scenes on it and holds the cloud's section of docs/drift.md against them.
func playDrift(t *testing.T, s *driftSite, scenes []driftScene) {
	t.Helper()
	s.T = t
	s.build()
	look := s.lookQuietly()
	for _, c := range scenes {
		s.play(c)
	}
	if t.Failed() {
		return
	}
	for _, hole := range drift.Holes(s.d.Kinds(), s.list, s.rows) {
		t.Errorf("%s: %s", s.d.Provider(), hole)
	}
	section := drift.Section(s.d.Provider(), look, s.d.Kinds(), s.rows)
	drift.Hold(t, *update, filepath.Join("..", ".."), s.d.Provider(), section)
	t.Logf("%s: %d scenes", s.d.Provider(), len(s.rows))
}

func (s *driftSite) build() {
	s.Helper()
	b, err := cloudtest.Build(s.Context(), s.d, cloudtest.TestOwner, s.site)
	if err != nil {
		s.Fatal(err)
	}
	s.list, s.ledger, s.tries, s.parts = b.Resources, b.Objects, map[string]int{}, map[string]cloud.Known{}
	s.owners = map[string]string{}
	for key := range s.ledger {
		s.tries[key] = 1
	}
}

// items is the account's inventory.
func (s *driftSite) items() []cloud.Item {
	s.Helper()
	items, err := s.d.Inventory(s.Context(), s.site.Region)
	if err != nil {
		s.Fatal(err)
	}
	return items
}

// clear deletes the site, after which the account must be as it was before: nothing is left of all that was made anew.
func (s *driftSite) clear(t *testing.T, before []cloud.Item) {
	t.Helper()
	for _, key := range s.but() {
		if err := s.d.Delete(t.Context(), cloudtest.TestOwner, s.ledger[key]); err != nil {
			t.Fatal(err)
		}
	}
	if d := gocmp.Diff(before, s.items()); d != "" {
		t.Errorf("the account isn't as it was (-before +after):\n%s", d)
	}
}

func (s *driftSite) resource(key string) cloud.Resource {
	s.Helper()
	i := slices.IndexFunc(s.list, func(r cloud.Resource) bool { return r.Key == key })
	if i < 0 {
		s.Fatalf("the blueprint has no %s", key)
	}
	return s.list[i]
}

// look observes and plans, as an engine does that has the ledger, and counts the calls that takes.
func (s *driftSite) look() (plan.Graph, int) {
	s.Helper()
	s.calls.Store(0)
	known := map[string]bool{}
	ledger := slices.Collect(maps.Values(s.parts))
	for key, o := range s.ledger {
		ledger = append(ledger, cloud.Known{Kind: o.Kind, Key: key, ID: o.ID})
	}
	for _, k := range ledger {
		known[string(k.Kind)+"/"+k.ID] = true
	}
	objects, err := s.d.Observe(s.Context(), cloudtest.TestOwner.UID, s.site.Region, ledger...)
	if err != nil {
		s.Fatal(err)
	}
	in := plan.Input{Kinds: map[string][]cloud.KindInfo{s.site.Name: s.d.Kinds()}, Want: s.list}
	live, parts := map[string]cloud.Object{}, map[string]cloud.Known{}
	for _, o := range objects {
		mine := known[string(o.Kind)+"/"+o.ID]
		o.PartOf = s.owners[o.ID]
		in.Got = append(in.Got, plan.Observed{Object: o, Site: s.site.Name, Recorded: mine})
		if o.State == cloud.Gone || !mine {
			continue
		}
		if p, ok := s.parts[o.ID]; ok { // on its own now
			parts[o.ID] = p
			continue
		}
		live[o.Key] = o
		for _, p := range o.Parts {
			parts[p.ID], s.owners[p.ID] = p, o.Key
		}
	}
	graph, err := plan.Make(in)
	if err != nil {
		s.Fatal(err)
	}
	calls := int(s.calls.Load())
	s.ledger, s.parts = live, parts
	return graph, calls
}

// lookQuietly wants nothing to be done.
func (s *driftSite) lookQuietly() int {
	s.Helper()
	graph, calls := s.look()
	for _, step := range graph.Steps {
		s.Errorf("there is still something to do: %s, because %s", step.ID, step.Reason)
	}
	return calls
}

// repair does a plan's steps as the engine does them, one after the other, and counts the calls.
func (s *driftSite) repair(g plan.Graph) int {
	s.Helper()
	s.calls.Store(0)
	if err := plan.Walk(s.Context(), g, 1, s.step, nil); err != nil {
		s.Fatalf("the plan can't be carried out: %v", err)
	}
	return int(s.calls.Load())
}

func (s *driftSite) step(ctx context.Context, step plan.Step) error {
	if step.Action == plan.Delete || step.Action == plan.Replace {
		if err := s.d.Delete(ctx, cloudtest.TestOwner, *step.Got); err != nil {
			return err
		}
		delete(s.ledger, step.Key)
	}
	b := &cloudtest.Built{Objects: s.ledger}
	var o cloud.Object
	var err error
	switch step.Action {
	case plan.Delete:
		return nil
	case plan.Update:
		o, err = s.d.Update(ctx, cloud.UpdateRequest{
			Owner: cloudtest.TestOwner, Resource: *step.Want, Object: *step.Got, Fields: step.Fields, Refs: b.Request(s.d, cloudtest.TestOwner, *step.Want, 1).Refs,
		})
	default:
		s.tries[step.Key]++
		o, err = s.d.Create(ctx, b.Request(s.d, cloudtest.TestOwner, *step.Want, s.tries[step.Key]))
	}
	if err == nil {
		s.ledger[step.Key] = o
	}
	return err
}

// play plays one scene, and adds its row.
func (s *driftSite) play(c driftScene) {
	name := strings.Join(slices.DeleteFunc([]string{cmp.Or(c.key, string(c.kind)), c.field, c.change}, func(p string) bool { return p == "" }), " ")
	s.Run(name, func(t *testing.T) {
		outer := s.T
		s.T = t
		defer func() { s.T = outer }()
		s.act("prepare", c.before)
		names := s.names()
		row := drift.Row{Kind: c.kind, Field: c.field, Change: c.change, Command: c.command, Once: c.once}
		if row.Kind == "" {
			row.Kind = s.resource(c.key).Kind
		}
		err := s.meddle(c)
		switch {
		case c.refused != "":
			s.stay(err, c, &row, names)
		case err != nil:
			t.Fatalf("%s: %v", c.command, err)
		case c.vain != "":
			s.lookQuietly()
			row.Outcome, row.Reason = drift.Refused, c.vain
		default:
			s.mend(c, &row, names)
		}
		s.act("clear away", c.after)
		s.rows = append(s.rows, row)
	})
}

func (s *driftSite) act(what string, f func(*driftSite) error) {
	s.Helper()
	if f == nil {
		return
	}
	if err := f(s); err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

func (s *driftSite) meddle(c driftScene) error {
	if c.do != nil {
		return c.do(s)
	}
	return s.shell(s, s.fill(c.command))
}

// stay holds a refused change against its code, and sees that nothing came of it.
func (s *driftSite) stay(err error, c driftScene, row *drift.Row, names map[string]string) {
	s.Helper()
	if err == nil || !strings.Contains(err.Error(), c.refused) {
		s.Fatalf("%s: error %v, want it refused with %s", c.command, err, c.refused)
	}
	s.lookQuietly()
	row.Outcome, row.Reason = drift.Refused, s.text(err.Error(), names)
}

// mend looks, repairs, and looks again.
func (s *driftSite) mend(c driftScene, row *drift.Row, names map[string]string) {
	s.Helper()
	graph, find := s.look()
	for key, name := range s.names() {
		names[key] = name
	}
	row.Find = find
	switch {
	case len(graph.Steps) == 0 && c.left != "":
		row.Outcome, row.Reason = drift.Left, c.left
	case len(graph.Steps) == 0:
		s.Fatalf("%s: the driver doesn't see it", c.command)
	case c.left != "":
		s.Fatalf("%s: it should be left alone; the plan has %s, because %s", c.command, graph.Steps[0].ID, graph.Steps[0].Reason)
	default:
		s.describe(graph, c, row, names)
	}
	row.Mend = s.repair(graph)
	for range 2 { // a run looks again after it did something
		again, calls := s.look()
		if len(again.Steps) == 0 {
			return
		}
		row.Find += calls
		for _, st := range again.Steps {
			row.Also = append(row.Also, fmt.Sprintf("then %s %s", st.Action, st.Key))
		}
		row.Mend += s.repair(again)
	}
	s.lookQuietly()
}

// describe puts what a plan says into a row.
func (s *driftSite) describe(g plan.Graph, c driftScene, row *drift.Row, names map[string]string) {
	at := slices.IndexFunc(g.Steps, func(st plan.Step) bool { return st.Key == c.key && st.Action != plan.Delete })
	if at < 0 {
		at = max(0, slices.IndexFunc(g.Steps, func(st plan.Step) bool { return st.Kind == row.Kind }))
	}
	for i, st := range g.Steps {
		if i == at {
			continue
		}
		if st.Key == g.Steps[at].Key { // a replacement in two steps
			row.Outcome = drift.Replaced
			continue
		}
		row.Also = append(row.Also, fmt.Sprintf("%s %s", st.Action, st.Key))
	}
	if slices.Sort(row.Also); len(row.Also) > 4 {
		row.Also = []string{fmt.Sprintf("%d more steps", len(row.Also))}
	}
	row.Reason = s.text(g.Steps[at].Reason, names)
	outcomes := map[plan.Action]drift.Outcome{plan.Update: drift.Updated, plan.Replace: drift.Replaced, plan.Create: drift.Made, plan.Delete: drift.Dropped}
	row.Outcome = cmp.Or(row.Outcome, outcomes[g.Steps[at].Action])
}

// names are what people call the resources on record, by key.
func (s *driftSite) names() map[string]string {
	out := map[string]string{}
	for key, o := range s.ledger {
		if out[key] = o.ID; s.name != nil {
			out[key] = s.name(o)
		}
	}
	for id, p := range s.parts {
		if out[p.Key] = id; s.name != nil {
			out[p.Key] = s.name(cloud.Object{ID: id})
		}
	}
	return out
}

// fill puts names in the places of keys.
func (s *driftSite) fill(command string) string {
	for key, name := range s.names() {
		command = strings.ReplaceAll(command, "<"+key+">", name)
	}
	return command
}

// text puts keys in the places of names, the longest first, and takes out what differs between runs.
func (s *driftSite) text(text string, names map[string]string) string {
	keys := make([]string, 0, len(names))
	for key := range names {
		keys = append(keys, key)
	}
	part := func(key string) int { // a disk may have its machine's name
		if slices.ContainsFunc(s.list, func(r cloud.Resource) bool { return r.Key == key }) {
			return 0
		}
		return 1
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(len(names[b])-len(names[a]), part(a)-part(b), strings.Compare(a, b))
	})
	for _, key := range keys {
		text = strings.ReplaceAll(text, names[key], "<"+key+">")
	}
	if s.plain != nil {
		text = s.plain(text)
	}
	return strings.TrimSpace(text)
}
