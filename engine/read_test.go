package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/spec"
)

func siteIn(t *testing.T, name, cloud, region string) placed {
	t.Helper()
	p, ok := geo.Region(cloud, region)
	if !ok {
		t.Fatalf("%s has no region %s", cloud, region)
	}
	return placed{spec.Site{Name: name, Region: region}, p}
}

// TestTooFar names the two sites that are farthest from each other, and nothing where the limit is kept.
func TestTooFar(t *testing.T) {
	near := []placed{siteIn(t, "a", "aws", "us-east-1"), siteIn(t, "g", "gcp", "us-east4"), siteIn(t, "again", "aws", "us-east-1")}
	far := append(near, siteIn(t, "e", "gcp", "europe-west1"), siteIn(t, "s", "aws", "ap-southeast-2"))
	c := &spec.Cluster{}
	c.Spec.Network.MaxRTT = spec.Duration(10 * time.Millisecond)
	if errs := tooFar(c, near); len(errs) > 0 {
		t.Errorf("near sites: %v", errs)
	}
	errs := tooFar(c, far)
	if len(errs) != 1 || errs[0].Path != "spec.network.maxRTT" || errs[0].Value != "10ms" {
		t.Fatalf("far sites: %v", errs)
	}
	rtt, source := geo.RTT(far[3].place, far[4].place)
	for _, want := range []string{"e (gcp europe-west1)", "s (aws ap-southeast-2)", rtt.String(), string(source)} {
		if !strings.Contains(errs[0].Message, want) {
			t.Errorf("message %q; want one that says %q", errs[0].Message, want)
		}
	}
	c.Spec.Network.MaxRTT = spec.Duration(rtt)
	if errs := tooFar(c, far); len(errs) > 0 {
		t.Errorf("sites at the limit: %v", errs)
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
