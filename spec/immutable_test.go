package spec

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestImmutable(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(*Cluster)
		want []string
	}{
		{"nothing", func(c *Cluster) {}, nil},
		{"what may change", func(c *Cluster) {
			c.Spec.Network.MaxRTT = Duration(time.Second)
			c.Spec.Access.API = nil
			c.Spec.Workers[0].Count = new(7)
			c.Spec.Workers[0].Labels = map[string]string{"a": "b"}
			c.Spec.Workers[1] = Workers{Name: "new", Site: "aws", Size: "large", Count: new(1)}
			c.Spec.Sites = append(c.Spec.Sites, Site{Name: "third", Account: "x", Region: "eastus", Block: netip.MustParsePrefix("10.66.0.0/16")})
		}, nil},
		{"order of sites and groups", func(c *Cluster) {
			s, w := c.Spec.Sites, c.Spec.Workers
			s[0], s[1] = s[1], s[0]
			w[0], w[1] = w[1], w[0]
		}, nil},
		{"name", func(c *Cluster) { c.Metadata.Name = "other" }, []string{`metadata.name: found "other": it is "demo" and cannot be changed: make another cluster`}},
		{"uid", func(c *Cluster) { c.Metadata.UID = "f123456789abcdef" }, []string{"metadata.uid"}},
		{"uid left out", func(c *Cluster) { c.Metadata = Metadata{Name: "demo"} }, nil},
		{"generation", func(c *Cluster) { c.Metadata.Generation = 6 }, []string{"the cluster is at generation 7: it was changed meanwhile"}},
		{"version", func(c *Cluster) { c.Spec.KubernetesVersion = "v1.37.0" }, []string{"spec.kubernetesVersion: found \"v1.37.0\": it is \"v1.36.3\" and cannot be changed: upgrades"}},
		{"metro", func(c *Cluster) { c.Spec.Metro = "london" }, []string{"spec.metro"}},
		{"ranges", func(c *Cluster) {
			c.Spec.Network.Pods = netip.MustParsePrefix("10.220.0.0/14")
			c.Spec.Network.Services = netip.MustParsePrefix("10.97.0.0/16")
			c.Spec.Sites[1].Block = netip.MustParsePrefix("10.70.0.0/16")
		}, []string{"spec.network.pods", "spec.network.services", "spec.sites[1].block"}},
		{"region and account", func(c *Cluster) { c.Spec.Sites[1].Region, c.Spec.Sites[1].Account = "us-east1", "other" }, []string{"spec.sites[1].account", "spec.sites[1].region: found \"us-east1\": it is \"us-east4\" and cannot be changed: add a site"}},
		{"site removed", func(c *Cluster) { c.Spec.Sites = c.Spec.Sites[:1] }, []string{"spec.sites: site gcp is missing, and sites cannot be removed: set the count"}},
		{"control plane", func(c *Cluster) {
			c.Spec.ControlPlane.Replicas, c.Spec.ControlPlane.Size = 5, "large"
		}, []string{"spec.controlPlane.replicas: found 5: it is 3", "spec.controlPlane.size"}},
		{"control plane's sites", func(c *Cluster) { c.Spec.ControlPlane.Sites = []string{"gcp"} }, []string{"spec.controlPlane.sites[0]", "spec.controlPlane.sites: gcp is missing"}},
		{"one site more", func(c *Cluster) { c.Spec.ControlPlane.Sites = []string{"aws", "gcp", "x"} }, []string{"spec.controlPlane.sites: it is"}},
		{"group", func(c *Cluster) { c.Spec.Workers[0].Size, c.Spec.Workers[0].Site = "large", "gcp" }, []string{"spec.workers[0].site", "spec.workers[0].size: found \"large\": it is \"small\" and cannot be changed: add a group"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			old := load(t, example)
			old.Metadata = Metadata{Name: "demo", UID: "0123456789abcdef", Generation: 7, CreationTimestamp: time.Unix(1, 0).UTC()}
			c := old.Clone()
			test.edit(c)
			errs := Immutable(old, c)
			if len(errs) != len(test.want) {
				t.Fatalf("%d errors; want %d: %v", len(errs), len(test.want), errs)
			}
			for i, e := range errs {
				if !strings.Contains(e.Error(), test.want[i]) {
					t.Errorf("error %q; want one that says %q", e, test.want[i])
				}
			}
		})
	}
	c := load(t, example)
	if errs := Immutable(nil, c); len(errs) > 0 {
		t.Errorf("a new cluster: %v", errs)
	}
	old := c.Clone()
	old.Spec.Metro = ""
	if errs := Immutable(old, c); len(errs) != 1 || !strings.Contains(errs[0].Error(), "made without one") {
		t.Errorf("a metro afterwards: %v", errs)
	}
}

// TestInherit: the file that made a cluster can be applied again, with a site put before the others.
func TestInherit(t *testing.T) {
	old := load(t, example)
	old.Spec.Sites[0].Region = "us-east-1" // by the metro
	if err := RemoveWorker(old, "demo-web-1"); err != nil {
		t.Fatal(err)
	}
	c, err := Parse([]byte(strings.Replace(example, "  sites:\n", "  sites:\n    - {name: third, account: x, region: eastus}\n", 1)))
	if err != nil {
		t.Fatal(err)
	}
	Inherit(old, c)
	Default(c)
	if errs := append(Validate(c), Immutable(old, c)...); len(errs) > 0 {
		t.Fatal(errs)
	}
	if got := c.Spec.Sites[0].Block.String(); got != "10.66.0.0/16" {
		t.Errorf("the new site has %s; want the next free", got)
	}
	if got := c.Spec.Sites[1]; got.Region != "us-east-1" || got.Block.String() != "10.64.0.0/16" {
		t.Errorf("the old site is %+v", got)
	}
	if got := c.Spec.ControlPlane.Sites; len(got) != 2 {
		t.Errorf("the control plane spreads over %q", got)
	}
	if got := names(wantedNodes(c)); got[0] != "demo-web-2" {
		t.Errorf("workers %q; the removed one came back", got)
	}
}

func TestLoadUpdate(t *testing.T) {
	old := load(t, example)
	c, err := LoadUpdate(old, []byte(strings.Replace(example, "count: 2", "count: 3", 1)))
	if err != nil || c.Spec.Workers[0].Nodes() != 3 {
		t.Errorf("a change: %v", err)
	}
	_, err = LoadUpdate(old, []byte(strings.NewReplacer("replicas: 3", "replicas: 5", "metro: us-east", "metro: london", "count: 2", "count: x").Replace(example)))
	errs, _ := errors.AsType[Errors](err)
	want := []string{"line 6: spec.metro: found \"london\": it is \"us-east\"", "line 14: spec.controlPlane.replicas: found 5: it is 3", "line 16: spec.workers[0].count"}
	if len(errs) != len(want) {
		t.Fatalf("errors:\n%v", err)
	}
	for i, e := range errs {
		if !strings.Contains(e.Error(), want[i]) {
			t.Errorf("error %q; want one that says %q", e, want[i])
		}
	}
}

// TestFieldsTable: the table has every field of the types and nothing else, with what documentation needs.
func TestFieldsTable(t *testing.T) {
	inTypes := map[string]bool{}
	walkType(reflect.TypeFor[Cluster](), "", inTypes)
	seen := map[string]bool{}
	for _, f := range Fields() {
		if seen[f.Path] {
			t.Errorf("%s is there twice", f.Path)
		}
		seen[f.Path] = true
		if !inTypes[f.Path] {
			t.Errorf("%s is in the table and not in the types", f.Path)
		}
		if f.Doc == "" || f.Type == "" || f.Allowed == "" && f.kind != object && f.kind != anything {
			t.Errorf("%s lacks documentation: %+v", f.Path, f)
		}
		if f.Required && f.Default != "" {
			t.Errorf("%s is required and has a default", f.Path)
		}
		switch f.kind {
		case object, list, mapping, anything:
		default:
			if f.check == nil {
				t.Errorf("%s has no check", f.Path)
			}
		}
		if (f.kind == list || f.kind == mapping) && limits[f.Path] == 0 {
			t.Errorf("%s has no limit", f.Path)
		}
	}
	for path := range inTypes {
		if !seen[path] {
			t.Errorf("%s is in the types and not in the table", path)
		}
	}
}

func walkType(t reflect.Type, path string, out map[string]bool) {
	if path != "" {
		out[path] = true
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[netip.Prefix]() || t == reflect.TypeFor[time.Time]():
	case t.Kind() == reflect.Slice:
		walkType(t.Elem(), path+"[]", out)
	case t.Kind() == reflect.Map:
		walkType(t.Elem(), path+"{}", out)
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			if path != "" {
				name = path + "." + name
			}
			walkType(t.Field(i).Type, name, out)
		}
	}
}

func TestExplain(t *testing.T) {
	f, within, ok := Explain("spec.workers[1]")
	if !ok || f.Path != "spec.workers" || len(within) != 7 {
		t.Errorf("explained %+v with %d fields, %v", f, len(within), ok)
	}
	if f, _, ok = Explain("spec.workers.count"); !ok || f.Type != "a whole number" || f.Default != "1" {
		t.Errorf("explained %+v, %v", f, ok)
	}
	if _, within, ok = Explain("spec.access.api"); !ok || len(within) != 0 {
		t.Errorf("explained with %d fields", len(within))
	}
	if _, _, ok := Explain("spec.nothing"); ok {
		t.Error("explained nothing")
	}
}

func TestLocate(t *testing.T) {
	errs := Locate([]byte(example), Errors{{Path: "spec.workers[1].labels[team]"}, {Path: "spec.network.pods"}, {Path: "metadata.uid"}, {Path: "spec.sites"}})
	want := map[string]int{"spec.workers[1].labels[team]": 17, "spec.network.pods": 7, "metadata.uid": 3, "spec.sites": 10}
	for _, e := range errs {
		if e.Line != want[e.Path] {
			t.Errorf("%s is in line %d; want %d", e.Path, e.Line, want[e.Path])
		}
	}
	if errors.Is(Errors(nil).Err(), Errors{}) || Errors(nil).Err() != nil {
		t.Error("no errors are an error")
	}
}
