package cloud_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

// TestLimits holds a request against limits of regions and of the account.
func TestLimits(t *testing.T) {
	resource := func(key string, kind cloud.Kind, region string) cloud.Resource {
		return cloud.Resource{Key: key, Kind: kind, Region: region, Spec: 2.0}
	}
	req := cloud.PreflightRequest{
		Create: []cloud.Resource{
			resource("a-1", "machine", "r1"), resource("a-2", "machine", "r1"), resource("a-3", "machine", "r2"), resource("n", "network", "r1"), resource("x", "other", "r3"),
		},
		Replaced: []cloud.Object{{Key: "a-1", Kind: "machine", Region: "r1", Spec: 1.0}, {Key: "n", Kind: "network", Region: "r1"}},
	}
	var asked []string
	limits := cloud.Limits{
		Takes: func(r cloud.Resource, add func(region, limit string, amount float64)) {
			switch r.Kind {
			case "machine":
				add(r.Region, "CPUs", r.Spec.(float64))
				add(r.Region, "CPUs", 0.5)
				add("", "allCPUs", r.Spec.(float64))
			case "network":
				add(r.Region, "Networks", 1)
			}
		},
		Read: func(region string, names []string) ([]cloud.Quota, error) {
			asked = append(asked, fmt.Sprint(region, names))
			switch region {
			case "r1":
				return []cloud.Quota{{Name: "cpus", Limit: 10, Used: 7}, {Name: "networks", Limit: 1, Used: 1}, {Name: "unrelated", Limit: 0, Used: 9}}, nil
			case "r2":
				return nil, errors.New("not for you")
			}
			return []cloud.Quota{{Name: "AllCpus", Limit: -1, Used: 50}}, nil
		},
		Pass:    func(region string, err error) error { asked = append(asked, region+" "+err.Error()); return nil },
		Subject: func(name string) string { return "quota " + name },
		Unit:    func(string) string { return "vCPUs" },
		Raise:   func(region, name string) string { return "%[1]g of " + name + " in " + region },
	}
	a := cloud.LookAhead("nowhere", req)
	if err := a.Limits(limits); err != nil {
		t.Fatal(err)
	}
	want := []cloud.Problem{{
		Class: cloud.QuotaExceeded, Region: "r1", Subject: "quota cpus", Message: "the limit is 10 vCPUs, of which 7 are used, and this needs 3.5 more",
		Advice: "ask for a limit of 10.5 of cpus in r1, or ask for less", Keys: []string{"a-1", "a-2"},
	}}
	if diff := cmp.Diff(want, a.Findings().Problems); diff != "" {
		t.Errorf("problems (- want, + got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"[allcpus]", "r1[cpus]", "r2[cpus]", "r2 not for you"}, asked); diff != "" {
		t.Errorf("asked (- want, + got):\n%s", diff)
	}
	broken := errors.New("broken")
	limits.Pass = func(string, error) error { return broken }
	if err := cloud.LookAhead("nowhere", req).Limits(limits); !errors.Is(err, broken) {
		t.Errorf("error %v, want the one that ends the whole", err)
	}
}

// TestPass tells errors about one question from those that end the whole.
func TestPass(t *testing.T) {
	for _, c := range []struct {
		name string
		e    cloud.Error
		ends bool
	}{
		{"denied", cloud.Error{Class: cloud.Denied, Code: "NotAllowed", Message: "no"}, false},
		{"invalid", cloud.Error{Class: cloud.Invalid, Code: "Odd", Message: "no"}, false},
		{"not there", cloud.Error{Class: cloud.NotFound, Message: "no"}, false},
		{"credentials", cloud.Error{Class: cloud.Denied, Code: "Expired", Credentials: true}, true},
		{"throttled", cloud.Error{Class: cloud.Throttled, Code: "Slow"}, true},
		{"unavailable", cloud.Error{Class: cloud.Unavailable, Code: "Down"}, true},
		{"no answer of the cloud's", cloud.Error{Class: cloud.Unknown}, true},
	} {
		a := cloud.LookAhead("nowhere", cloud.PreflightRequest{})
		err := a.Pass("looking", &c.e, &c.e)
		notes := a.Findings().Notes
		if (err != nil) != c.ends || len(notes) == 1 == c.ends || !c.ends && notes[0] != "looking was not possible: no" {
			t.Errorf("%s: error %v, notes %q", c.name, err, notes)
		}
	}
	a := cloud.LookAhead("nowhere", cloud.PreflightRequest{})
	if err := a.Pass("looking", nil, nil); err != nil || len(a.Findings().Notes) > 0 {
		t.Errorf("of no error: %v, %v", err, a.Findings())
	}
}

// TestLacks names the resources that a permission stands in the way of.
func TestLacks(t *testing.T) {
	a := cloud.LookAhead("nowhere", cloud.PreflightRequest{Create: []cloud.Resource{{Key: "a", Kind: "k"}, {Key: "b", Kind: "l"}, {Key: "c", Kind: "k"}}})
	a.Lacks("", "permission z", "the account lacks it", "allow it", "l", "m")
	a.Lacks("r", "permission y", "the account lacks it", "allow it", "k")
	a.Problem(nil)
	a.Note("b")
	a.Note("a")
	a.Note("b")
	f := a.Findings()
	if len(f.Problems) != 2 || f.Problems[0].Subject != "permission z" || f.Problems[0].Class != cloud.Denied {
		t.Fatalf("problems %v", f.Problems)
	}
	if diff := cmp.Diff([][]string{{"b"}, {"a", "c"}}, [][]string{f.Problems[0].Keys, f.Problems[1].Keys}); diff != "" {
		t.Errorf("keys (- want, + got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b"}, f.Notes); diff != "" {
		t.Errorf("notes (- want, + got):\n%s", diff)
	}
}
