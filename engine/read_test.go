package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

func siteIn(t *testing.T, name, cloud, region string) placed {
	t.Helper()
	p, ok := geo.Region(cloud, region)
	if !ok {
		t.Fatalf("%s has no region %s", cloud, region)
	}
	return placed{site: spec.Site{Name: name, Region: region}, place: p}
}

// TestTooFar names the two sites that are farthest from each other, and what to take instead; nothing where the limit is kept.
func TestTooFar(t *testing.T) {
	near := []placed{siteIn(t, "a", "aws", "us-east-1"), siteIn(t, "g", "gcp", "us-east4"), siteIn(t, "again", "aws", "us-east-1")}
	far := append(slices.Clone(near), siteIn(t, "e", "gcp", "europe-west1"), siteIn(t, "s", "aws", "ap-southeast-2"))
	c := &spec.Cluster{}
	c.Spec.Network.MaxRTT = spec.Duration(10 * time.Millisecond)
	if errs := tooFar(c, nil, near, nil); len(errs) > 0 {
		t.Errorf("near sites: %v", errs)
	}
	errs := tooFar(c, nil, far, nil)
	if len(errs) != 1 || errs[0].Path != "spec.network.maxRTT" || errs[0].Value != "10ms" {
		t.Fatalf("far sites: %v", errs)
	}
	trip := geo.Between(far[3].place, far[4].place)
	for _, want := range []string{"e (gcp europe-west1)", "s (aws ap-southeast-2)", trip.String()} {
		if !strings.Contains(errs[0].Message, want) {
			t.Errorf("message %q; want one that says %q", errs[0].Message, want)
		}
	}
	c.Spec.Network.MaxRTT = spec.Duration(trip.RTT)
	if errs := tooFar(c, nil, far, nil); len(errs) > 0 {
		t.Errorf("sites at the limit: %v", errs)
	}
	c.Spec.Network.MaxRTT = spec.Duration(10 * time.Millisecond)
	old := c.Clone()
	for _, p := range far {
		old.Spec.Sites = append(old.Spec.Sites, p.site)
	}
	asked := &asked{Cluster: store.Cluster{Spec: old}}
	if errs := tooFar(c, asked, far, nil); len(errs) > 0 {
		t.Errorf("sites that are there: %v", errs)
	}
	more := append(slices.Clone(far), siteIn(t, "new", "gcp", "asia-east1"))
	if errs := tooFar(c, asked, more, nil); len(errs) != 1 || !strings.Contains(errs[0].Message, "new (gcp asia-east1)") {
		t.Errorf("a site that comes: %v", errs)
	}
	c.Spec.Network.MaxRTT = spec.Duration(5 * time.Millisecond)
	if errs := tooFar(c, asked, far, nil); len(errs) != 1 {
		t.Errorf("sites that are there, and a lower limit: %v", errs)
	}
}

// TestInstead is about what is offered in place of regions that are too far.
func TestInstead(t *testing.T) {
	for _, c := range []struct {
		name  string
		sites []placed
		limit time.Duration
		want  string
	}{
		{"one of two", []placed{siteIn(t, "a", "aws", "us-east-1"), siteIn(t, "g", "gcp", "europe-west1")}, 10 * time.Millisecond, "the best in its place is us-east4 for site g, which has 1.5ms (estimated, "},
		{"one of three", []placed{siteIn(t, "a", "aws", "eu-central-1"), siteIn(t, "g", "gcp", "europe-west3"), siteIn(t, "z", "azure", "eastus")}, 10 * time.Millisecond, "the best in its place is germanywestcentral for site z, "},
		{"all but one", []placed{siteIn(t, "a", "aws", "us-east-1"), siteIn(t, "g", "gcp", "europe-west3"), siteIn(t, "z", "azure", "japaneast")}, 10 * time.Millisecond, " for site "},
		{"nothing", []placed{siteIn(t, "a", "digitalocean", "nyc1"), siteIn(t, "g", "digitalocean", "lon1"), siteIn(t, "z", "digitalocean", "fra1")}, 2 * time.Millisecond, "no regions of these clouds are within the limit: the nearest to each other have "},
	} {
		got := instead(&spec.Cluster{}, c.sites, c.limit, func(spec.Site) bool { return false }, nil)
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s; want %s", c.name, got, c.want)
		}
	}
	got := instead(&spec.Cluster{}, []placed{siteIn(t, "a", "aws", "us-east-1"), siteIn(t, "g", "gcp", "europe-west1")}, 10*time.Millisecond, func(s spec.Site) bool { return s.Name == "g" }, nil)
	if !strings.Contains(got, "for site a, ") {
		t.Errorf("a site that stays: %s", got)
	}
}

// TestRegionsAreChosen fills in what files leave open.
func TestRegionsAreChosen(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	for _, a := range []cloud.Account{{Name: "acc-azure", Provider: cloud.Azure}, {Name: "acc-do", Provider: cloud.DigitalOcean}, {Name: "acc-do2", Provider: cloud.DigitalOcean}} {
		if err := s.engine.store.PutAccount(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, metro string
		sites       string // account or account=region
		size        string
		want, fails string
	}{
		{"a metro", "us-east", "acc-aws acc-gcp acc-azure acc-do", "medium", "us-east-1 us-east4 eastus nyc1", ""},
		{"a metro and a region", "us-east", "acc-aws=us-east-2 acc-gcp", "medium", "us-east-2 us-east4", ""},
		{"a metro with one cloud twice", "us-east", "acc-do acc-do2", "medium", "nyc1 nyc3", ""},
		{"a metro with a third of it", "us-east", "acc-do acc-do2 acc-do", "medium", "nyc1 nyc3 nyc1", ""},
		{"a metro that has to be switched on", "milan", "acc-aws acc-gcp", "medium", "eu-south-1 europe-west8", ""},
		{"a metro where a cloud isn't", "dublin", "acc-aws acc-gcp", "medium", "eu-west-1 -", "gcp has no region there"},
		{"nothing given", "", "acc-aws acc-gcp", "medium", "us-east-1 us-east4", ""},
		{"one given", "", "acc-aws=eu-west-2 acc-gcp acc-do", "medium", "eu-west-2 europe-west2 lon1", ""},
		{"all given", "", "acc-aws=eu-west-2 acc-gcp=us-east1", "medium", "eu-west-2 us-east1", ""},
		{"one given that isn't there", "", "acc-aws=eu-west-9 acc-gcp", "medium", "eu-west-9 -", "aws has no such region"},
		{"an account that isn't there", "", "acc-nobody acc-gcp", "medium", "- -", "no account has this name"},
		{"a region that lacks the size", "", "acc-aws=eu-south-2 acc-aws", "medium", "eu-south-2 eu-west-3", ""},
		{"a cloud more often than it has regions", "", strings.Repeat("acc-do ", 12), "medium", "", "none can be chosen: digitalocean has 11 regions that may be taken, and 12 are wanted"},
	} {
		file := &spec.Cluster{}
		file.Spec.Metro, file.Spec.ControlPlane.Size = c.metro, c.size
		for i, word := range strings.Fields(c.sites) {
			account, region, _ := strings.Cut(word, "=")
			file.Spec.Sites = append(file.Spec.Sites, spec.Site{Name: fmt.Sprintf("s%d", i), Account: account, Region: region})
		}
		_, errs := s.engine.places(t.Context(), file, nil)
		var got []string
		for _, site := range file.Spec.Sites {
			got = append(got, cmp.Or(site.Region, "-"))
		}
		if text := strings.Join(got, " "); c.want != "" && text != c.want {
			t.Errorf("%s: %s; want %s", c.name, text, c.want)
		}
		if c.fails == "" && len(errs) > 0 || !strings.Contains(errs.Error(), c.fails) {
			t.Errorf("%s: %v; want %q", c.name, errs, c.fails)
		}
	}
}

func TestPlaceMembers(t *testing.T) {
	ny, a, g, z := siteIn(t, "ny", "digitalocean", "nyc1"), siteIn(t, "a", "aws", "us-east-1"), siteIn(t, "g", "gcp", "us-east4"), siteIn(t, "z", "azure", "eastus")
	for _, c := range []struct {
		sites    []placed
		replicas int
		want     string
		note     string
	}{
		{[]placed{a}, 0, "[a]", ""},
		{[]placed{a, g}, 0, "[a g]", "2 of 3 control-plane nodes stand at site a: while that site is away, Kubernetes' API is down"},
		{[]placed{a, g}, 1, "[a]", ""},
		{[]placed{ny, a, g}, 0, "[ny a g]", ""},
		{[]placed{ny, a, g, z}, 0, "[a g z]", ""},
		{[]placed{ny, a, g, z}, 5, "[a ny g z]", ""},
		{[]placed{a, a}, 0, "[]", ""},
	} {
		file := &spec.Cluster{}
		file.Spec.ControlPlane.Replicas = c.replicas
		for _, p := range c.sites {
			file.Spec.Sites = append(file.Spec.Sites, p.site)
		}
		placeMembers(file, c.sites, nil)
		if got := fmt.Sprint(file.Spec.ControlPlane.Sites); got != c.want {
			t.Errorf("%v: %s; want %s", c.sites, got, c.want)
		}
		if len(file.Spec.ControlPlane.Sites) == 0 {
			continue
		}
		spec.Default(file)
		if got := strings.Join(oneSided(file), "\n"); !strings.HasPrefix(got, c.note) || got != "" && c.note == "" {
			t.Errorf("%v: %q; want %q", c.sites, got, c.note)
		}
		file.Spec.ControlPlane.Sites = []string{"g"}
		if placeMembers(file, c.sites, nil); fmt.Sprint(file.Spec.ControlPlane.Sites) != "[g]" {
			t.Errorf("given sites were changed to %v", file.Spec.ControlPlane.Sites)
		}
	}
}

func TestNoMetro(t *testing.T) {
	if e := noMetro("us-eats", "aws", "a"); !strings.HasPrefix(e.Message, "there is no such metro; want one of ") || e.Value != `"us-eats"` {
		t.Errorf("unknown metro: %v", e)
	}
	for _, metro := range geo.Metros() {
		if _, ok := geo.MetroRegion(metro, "digitalocean"); ok {
			continue
		}
		if e := noMetro(metro, "digitalocean", "d"); !strings.Contains(e.Message, "digitalocean has no region there for site d; want one of ") {
			t.Errorf("metro without the cloud: %v", e)
		}
		return
	}
}
