package web

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/price"
	"github.com/skyweld/skyweld/spec"
)

// twoAccounts are those of most tests.
var twoAccounts = []api.Account{{Name: "my-aws", Provider: "aws"}, {Name: "my-gcp", Provider: "gcp"}}

// TestNewForm: what is shown first is a cluster that can be made, over the accounts that there are.
func TestNewForm(t *testing.T) {
	tests := []struct {
		name     string
		accounts []api.Account
		clusters []api.Cluster
		want     string
	}{
		{"two clouds", twoAccounts, nil, `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: demo}
spec:
  kubernetesVersion: v1.36.3
  metro: us-east
  sites:
    - {name: aws, account: my-aws}
    - {name: gcp, account: my-gcp}
  controlPlane: {replicas: 3, size: medium}
  workers:
    - {name: workers-aws, site: aws, size: small, count: 1}
    - {name: workers-gcp, site: gcp, size: small, count: 1}
`},
		{"a name that is taken, and two accounts of one cloud", []api.Account{{Name: "a", Provider: "digitalocean"}, {Name: "b", Provider: "digitalocean"}}, []api.Cluster{{Name: "demo"}, {Name: "demo-2"}}, `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: demo-3}
spec:
  kubernetesVersion: v1.36.3
  metro: us-east
  sites:
    - {name: do, account: a}
  controlPlane: {replicas: 3, size: medium}
  workers:
    - {name: workers-do, site: do, size: small, count: 1}
`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newForm(test.accounts, test.clusters)
			if got := string(f.file()); got != test.want {
				t.Errorf("it makes\n%s\nwant\n%s", got, test.want)
			}
			if _, err := spec.Load(f.file()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFormFollows: with an account come its group and its share of the control plane, and they go with it.
func TestFormFollows(t *testing.T) {
	accounts := append(slices.Clone(twoAccounts), api.Account{Name: "my-azure", Provider: "azure"})
	begin := func() url.Values { f := newForm(accounts, nil); return f.values() }
	tests := []struct {
		name            string
		change          func(url.Values)
		workers, cp     string
		groups, members int
	}{
		{"untouched", func(url.Values) {}, "workers-aws workers-gcp workers-azure", "", 3, 3},
		{"one is out", func(v url.Values) { v.Del(siteField(1, "on")) }, "workers-aws workers-azure", "", 2, 2},
		{"one with a group that was changed", func(v url.Values) { v.Del(siteField(1, "on")); v.Set(groupField(1, "count"), "5") }, "workers-aws workers-gcp workers-azure", "", 3, 2},
		{"one that comes again", func(v url.Values) {
			v[shownField] = []string{"0", "2"}
			v.Del(groupField(1, "name"))
			v["spec.controlPlane.sites"] = []string{"0", "2"}
		}, "workers-aws workers-azure workers-gcp", "", 3, 3},
		{"a control plane at some", func(v url.Values) { v["spec.controlPlane.sites"] = []string{"2", "0"} }, "workers-aws workers-gcp workers-azure", "azure aws", 3, 2},
		{"rows that there aren't", func(v url.Values) { v["spec.controlPlane.sites"] = []string{"2", "2", "77", "-1", "x"} }, "workers-aws workers-gcp workers-azure", "azure", 3, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := begin()
			test.change(v)
			f := readForm(v)
			var names []string
			for _, g := range f.workers {
				names = append(names, g.name)
			}
			if strings.Join(names, " ") != test.workers || strings.Join(f.controlNames(), " ") != test.cp || len(f.control) != test.members {
				t.Errorf("workers %v, control plane %v (%v)", names, f.controlNames(), f.control)
			}
		})
	}
}

// TestFormAsEntered: what isn't as it should be gets into the file as it was entered, and is said beside the field.
func TestFormAsEntered(t *testing.T) {
	tests := []struct{ field, value, path, beside string }{
		{"metadata.name", "<script>", "metadata.name", ""},
		{"metadata.name", "no", "", ""},
		{"metadata.name", "", "metadata.name", ""},
		{"metadata.name", "a: b\nc: d", "metadata.name", ""},
		{"spec.metro", "!!binary x", "spec.metro", ""},
		{"spec.controlPlane.replicas", "4", "spec.controlPlane.replicas", ""},
		{"spec.controlPlane.replicas", "003", "spec.controlPlane.replicas", ""},
		{"spec.controlPlane.size", "x y", "spec.controlPlane.size", ""},
		{machineTypeField, "x y", "spec.controlPlane.size", machineTypeField},
		{"spec.network.pods", "everything", "spec.network.pods", ""},
		{"spec.network.maxRTT", "fast", "spec.network.maxRTT", ""},
		{"spec.access.api", "203.0.113.0/24, 0.0.0.0/0", "spec.access.api[1]", "spec.access.api"},
		{"spec.repair.notReadyAfter", "1s", "spec.repair.notReadyAfter", ""},
		{siteField(1, "name"), "x", "spec.sites[0].name", siteField(1, "name")},
		{siteField(1, "block"), "10.0.0.0/8", "spec.sites[0].block", siteField(1, "block")},
		{groupField(1, "name"), strings.Repeat("y", 100), "spec.workers[0].name", groupField(1, "name")},
		{groupField(1, "site"), "", "spec.workers[0].site", groupField(1, "site")},
		{groupField(1, "count"), "many", "spec.workers[0].count", groupField(1, "count")},
		{groupField(1, "count"), "501", "spec.workers[0].count", groupField(1, "count")},
		{groupField(1, "count"), "99999999999999999999", "spec.workers[0].count", groupField(1, "count")},
		{groupField(1, "labels"), "team=data, =x", "spec.workers[0].labels[]", groupField(1, "labels")},
		{groupField(1, "taints"), "x:Sometimes", "spec.workers[0].taints[0].effect", groupField(1, "taints")},
		{groupField(1, "taints"), ":", "spec.workers[0].taints[0].key", groupField(1, "taints")},
		{groupField(1, "type"), "x y", "spec.workers[0].size", groupField(1, "type")},
	}
	for _, test := range tests {
		t.Run(test.field+" "+test.value, func(t *testing.T) {
			f := newForm(twoAccounts, nil)
			v := f.values()
			v.Del(siteField(0, "on")) // so that rows and numbers in the file aren't the same
			v.Set(test.field, test.value)
			f = readForm(v)
			_, err := spec.Load(f.file())
			if test.path == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			errs, ok := errors.AsType[spec.Errors](err)
			if !ok || !slices.ContainsFunc(errs, func(e spec.Error) bool { return e.Path == test.path }) {
				t.Fatalf("the problems are %v\n%s", err, f.file())
			}
			want := test.beside
			if want == "" {
				want = test.field
			}
			if got := f.fieldOf(test.path); got != want {
				t.Errorf("it is said beside %q", got)
			}
			if !slices.Contains(f.fieldNames(), want) {
				t.Errorf("%s isn't among the fields", want)
			}
		})
	}
}

// TestBeside puts answers of the API where they belong.
func TestBeside(t *testing.T) {
	f := newForm(twoAccounts, nil)
	said := func(err error) map[string][]string {
		t.Helper()
		var in input
		if !in.take(f.beside(err)) {
			t.Fatalf("%v isn't shown", err)
		}
		return in.fields
	}
	p := &api.Problem{Status: 422, Detail: "the cluster file is not valid"}
	fieldProblem(p, "spec.workers[1].count", `line 14: spec.workers[1].count: found 600: want 0 to 500`)
	fieldProblem(p, "spec.strange", "spec.strange: unknown field")
	if got := said(p); got[groupField(1, "count")][0] != "Found 600: want 0 to 500" || got["spec.strange"] == nil {
		t.Errorf("%v", got)
	}
	refused := &api.Problem{Status: http.StatusConflict, Detail: "nothing was begun, because the accounts would refuse it:\n  site aws (account my-aws, us-east-1): spec.workers[0].size: found \"small\": t3.medium: it isn't offered\n  site gcp (account my-gcp): quota CPUS: the limit is 8"}
	if got := said(refused); len(got[groupField(0, "size")]) != 1 || len(got[""]) != 1 {
		t.Errorf("%v", got)
	}
	if f.beside(nil) != nil {
		t.Error("there was nothing to say")
	}
	other := errors.New("x")
	if f.beside(other) != other {
		t.Error("it became something else")
	}
}

// TestFormTakesFiles: a file of a cluster that is there becomes the form for a new one like it; what has no place in it is
// named.
func TestFormTakesFiles(t *testing.T) {
	c, errs := spec.Read([]byte(`apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: shop, uid: 0123456789abcdef, generation: 7}
spec:
  metro: us-east
  sites: [{name: one, account: gone}, {name: two, account: my-gcp}]
  controlPlane: {sites: [two, nowhere]}
  workers:
    - {name: a, site: elsewhere, count: 2, exclude: [1]}
`))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	f, left := formOf(c, twoAccounts)
	if want := []string{"spec.controlPlane.sites[1]: nowhere", "spec.workers[0].site: elsewhere", "spec.workers[0].exclude", "what the engine wrote into metadata"}; !slices.Equal(left, want) {
		t.Errorf("left out are %q", left)
	}
	if len(f.sites) != 3 || f.sites[0].account != "gone" || f.sites[2] != (siteRow{account: "my-aws", name: "aws"}) || !slices.Equal(f.control, []int{1}) {
		t.Errorf("the sites are %+v, the control plane %v", f.sites, f.control)
	}
}

// randomCluster is a cluster as somebody may write it. All of its fields are right one by one.
func randomCluster(r *rand.Rand) *spec.Cluster {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	c := &spec.Cluster{APIVersion: spec.APIVersion, Kind: spec.Kind, Metadata: spec.Metadata{Name: pick("demo", "a1", "on", "null", "x-1")}}
	s := &c.Spec
	s.KubernetesVersion, s.Metro, s.Network.Mode = pick("", spec.Versions[0]), pick("", "us-east", "yes"), ""
	if r.IntN(2) == 0 {
		s.Network.MaxRTT = spec.Duration(time.Duration(1+r.IntN(900)) * time.Millisecond)
		s.Network.Pods = netip.MustParsePrefix("10.0.0.0/9")
		s.Network.Services = netip.MustParsePrefix("192.168.0.0/20")
		s.Access.API = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.51.100.7/32")}[:1+r.IntN(2)]
		s.Access.SSH = []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}[:r.IntN(2)]
		s.Repair = spec.Repair{FailedMachines: pick("", "keep", "replace"), NotReadyWorkers: pick("", "keep"), NotReadyAfter: spec.Duration(r.IntN(3)) * spec.Duration(time.Hour)}
	}
	for i := range 1 + r.IntN(4) {
		site := spec.Site{Name: fmt.Sprintf("s%d", i), Account: pick("my-aws", "my-gcp", "other"), Region: pick("", "us-east-1")}
		if r.IntN(3) == 0 {
			site.Block = netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", 64+i))
		}
		s.Sites = append(s.Sites, site)
	}
	s.ControlPlane = spec.ControlPlane{Replicas: []int{0, 1, 3, 5}[r.IntN(4)], Size: pick("", "small", "t3.large", "Standard_D4as_v5")}
	for _, i := range r.Perm(len(s.Sites))[:r.IntN(len(s.Sites)+1)] {
		s.ControlPlane.Sites = append(s.ControlPlane.Sites, s.Sites[i].Name)
	}
	for i := range r.IntN(4) {
		w := spec.Workers{Name: fmt.Sprintf("w%d", i), Site: s.Sites[r.IntN(len(s.Sites))].Name, Size: pick("", "small", "large", "1e3", "e2-standard-4")}
		if r.IntN(2) == 0 {
			w.Count = new(r.IntN(500))
		}
		if r.IntN(2) == 0 {
			w.Labels = map[string]string{"team": pick("data", "true", "1", ""), "example.com/tier": "a_b.c"}
			w.Taints = []spec.Taint{{Key: "dedicated", Value: pick("", "x", "no"), Effect: "NoSchedule"}, {Key: "example.com/spot", Effect: "NoExecute"}}[:1+r.IntN(2)]
		}
		s.Workers = append(s.Workers, w)
	}
	return c
}

// TestFormKeepsClusters: cluster → form → fields → form → file → cluster changes nothing.
func TestFormKeepsClusters(t *testing.T) {
	for seed := range uint64(400) {
		c := randomCluster(rand.New(rand.NewPCG(seed, 1)))
		f, left := formOf(c, twoAccounts)
		if len(left) > 0 {
			t.Fatalf("seed %d: left out are %v", seed, left)
		}
		v := f.values()
		g := readForm(v)
		if !reflect.DeepEqual(f, g) {
			t.Fatalf("seed %d: the form became\n%+v\nand was\n%+v", seed, g, f)
		}
		again, err := spec.Parse(g.file())
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, g.file())
		}
		if want, got := text(t, c), text(t, again); got != want {
			t.Fatalf("seed %d: it became\n%s\nand was\n%s", seed, got, want)
		}
	}
}

func text(t *testing.T, c *spec.Cluster) string {
	t.Helper()
	b, err := spec.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// FuzzForm reads any fields: there is always a file, which is YAML and holds what was entered, and the form stays the same
// when it is sent again.
func FuzzForm(f *testing.F) {
	first := newForm(twoAccounts, nil)
	f.Add(first.values().Encode())
	f.Add("metadata.name=%00%ff&spec.sites[0].account=a&spec.sites[0].on=1&shown=7&spec.workers[3].name=x&spec.workers[3].site=0&spec.workers[3].labels=a=b,c&spec.controlPlane.sites=0&spec.controlPlane.sites=0")
	f.Add("spec.workers[999999].name=&spec.workers[0001].name=a&spec.access.api=,, ,&spec.network.pods=%0a%e2%80%a8x")
	f.Fuzz(func(t *testing.T, query string) {
		v, err := url.ParseQuery(query)
		if err != nil {
			t.Skip("no query: ", err)
		}
		form := readForm(v)
		again := readForm(form.values())
		if !reflect.DeepEqual(form, again) {
			t.Fatalf("sent again it became\n%+v\nand was\n%+v", again, form)
		}
		file := form.file()
		var doc struct {
			Metadata struct{ Name string }
			Spec     struct {
				Sites   []map[string]string
				Workers []map[string]any
			}
		}
		if err := yaml.Unmarshal(file, &doc); err != nil && !duplicate(form) {
			t.Fatalf("%v\n%s", err, file)
		} else if err == nil && (doc.Metadata.Name != form.name || len(doc.Spec.Sites) != len(form.ticked()) || len(doc.Spec.Workers) != len(form.workers)) {
			t.Fatalf("%+v became\n%s", form, file)
		}
		if _, errs := spec.Read(file); len(errs) > 0 {
			for _, e := range errs {
				if strings.HasPrefix(e.Message, "not YAML") {
					t.Fatalf("%v\n%s", e, file)
				}
				if e.Path != "" && form.fieldOf(e.Path) == "" && !strings.HasPrefix(e.Path, "apiVersion") && e.Path != "metadata" && e.Path != "spec" {
					t.Fatalf("nobody shows %v\n%s", e, file)
				}
			}
		}
	})
}

// duplicate says that a group has a label twice, which one kind of reader of YAML refuses.
func duplicate(f clusterForm) bool {
	return slices.ContainsFunc(f.workers, func(g groupRow) bool {
		seen := map[string]bool{}
		for _, one := range split(g.labels) {
			key, _, _ := strings.Cut(one, "=")
			if seen[key] {
				return true
			}
			seen[key] = true
		}
		return false
	})
}

// TestWarnings are what is allowed, and may not be meant.
func TestWarnings(t *testing.T) {
	tests := []struct {
		name, control string
		sites         int
		workers       bool
		want          []string
	}{
		{"well", "{replicas: 3}", 3, true, nil},
		{"one site", "{replicas: 3}", 1, true, nil},
		{"one node, no workers", "{replicas: 1}", 3, false, []string{"The control plane is one node", "There are no workers"}},
		{"five over three", "{replicas: 5}", 3, true, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := "apiVersion: skyweld.dev/v1alpha1\nkind: Cluster\nmetadata: {name: demo}\nspec:\n  metro: us-east\n  controlPlane: " + test.control + "\n  sites:\n"
			for i := range test.sites {
				file += fmt.Sprintf("    - {name: s%d, account: a}\n", i)
			}
			if test.workers {
				file += "  workers: [{name: w, site: s0}]\n"
			}
			c, err := spec.Load([]byte(file))
			if err != nil {
				t.Fatal(err)
			}
			got := warningsOf(c, price.Estimate{})
			if len(got) != len(test.want) {
				t.Fatal(got)
			}
			for i, want := range test.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("%s", got[i])
				}
			}
		})
	}
}

// TestMetroChoices: the places where all clouds are come first, with how far apart they are there.
func TestMetroChoices(t *testing.T) {
	f := newForm(twoAccounts, nil)
	all := metroChoices(f, twoAccounts)
	if len(all.fit) < 5 || len(all.others) == 0 || !slices.ContainsFunc(all.fit, func(m metroChoice) bool { return m.name == "us-east" && m.worst > 0 }) {
		t.Errorf("%+v", all)
	}
	names := map[string]bool{}
	for _, m := range append(all.fit, all.others...) {
		names[m.name] = true
	}
	if len(names) != len(all.fit)+len(all.others) {
		t.Error("a place is there twice: ", slices.Collect(maps.Keys(names)))
	}
}
