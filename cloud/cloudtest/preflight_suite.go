package cloudtest

import (
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
)

// testPreflight holds what a driver says before anything is made against what it is asked for.
func testPreflight(t *testing.T, h Harness) {
	d, site := h.New(t), h.site(t)
	t.Run("Fine", func(t *testing.T) {
		if f := h.preflight(t, d, site, nil); len(f.Problems) > 0 {
			t.Errorf("a site that can be made: %v", f.Problems)
		}
		if f, err := d.Preflight(h.context(t), cloud.PreflightRequest{Owner: TestOwner}); err != nil || len(f.Problems)+len(f.Notes) > 0 {
			t.Errorf("nothing to make: %v, error %v", f, err)
		}
		before, err := d.Observe(h.context(t), TestOwner.UID, h.Region)
		if err != nil || len(before) > 0 {
			t.Errorf("looking ahead made %v (error %v)", before, err)
		}
	})
	t.Run("UnknownType", func(t *testing.T) {
		if h.UnknownSize == "" {
			t.Skip("the harness has no unknown machine type")
		}
		one := site
		one.Machines = slices.Clone(site.Machines)
		one.Machines[0].Size = h.UnknownSize
		f := h.preflight(t, d, one, nil)
		if len(f.Problems) != 1 {
			t.Fatalf("problems %v: want one, about %s", f.Problems, h.UnknownSize)
		}
		p := f.Problems[0]
		if p.Class != cloud.Invalid || !strings.Contains(p.Subject, h.UnknownSize) || !strings.Contains(p.Message, "nearest") || len(p.Keys) != 1 {
			t.Errorf("problem %+v: want it invalid, of one key, with the nearest types", p)
		}
	})
	t.Run("TooSmall", func(t *testing.T) {
		if h.TinySize == "" {
			t.Skip("the harness has no machine type that is too small for a control plane")
		}
		both := site
		both.Machines = slices.Clone(site.Machines)
		var want []string
		for i, m := range both.Machines {
			both.Machines[i].Size = h.TinySize
			if m.Role == cloud.ControlPlane {
				want = append(want, m.Name)
			}
		}
		f := h.preflight(t, d, both, nil)
		if len(f.Problems) != 1 {
			t.Fatalf("problems %v: want one, about %s", f.Problems, h.TinySize)
		}
		p := f.Problems[0]
		if p.Class != cloud.Invalid || p.MachineType != h.TinySize || !strings.Contains(p.Message, "a control-plane machine needs at least") || !strings.Contains(p.Message, "nearest") || len(p.Keys) != len(want) {
			t.Errorf("problem %+v: want it of %v alone, with the nearest types", p, want)
		}
	})
	t.Run("Quota", func(t *testing.T) {
		if !h.TooMany {
			t.Skip("the account's limits are wide")
		}
		many := manyMachines(site)
		f := h.preflight(t, d, many, nil)
		if len(f.Problems) == 0 {
			t.Fatal("forty machines too many were no problem")
		}
		for _, p := range f.Problems {
			if p.Class != cloud.QuotaExceeded || p.Message == "" || p.Advice == "" || len(p.Keys) == 0 {
				t.Errorf("problem %+v: want a quota with what to do and the keys", p)
			}
		}
		// What goes first makes room.
		list := h.blueprint(t, d, many)
		var replaced []cloud.Object
		for _, r := range list {
			replaced = append(replaced, cloud.Object{Key: r.Key, Kind: r.Kind, Region: r.Region, Spec: r.Spec})
		}
		if f := h.preflight(t, d, many, replaced); len(f.Problems) > 0 {
			t.Errorf("replacing is no need of more: %v", f.Problems)
		}
	})
}

func (h Harness) preflight(t *testing.T, d cloud.Driver, site cloud.Site, replaced []cloud.Object) cloud.Findings {
	t.Helper()
	f, err := d.Preflight(h.context(t), cloud.PreflightRequest{Owner: TestOwner, Create: h.blueprint(t, d, site), Replaced: replaced, Roles: Roles(site)})
	if err != nil {
		t.Fatalf("preflight: %v", err)
	}
	return f
}

// Roles are the roles of a site's machines, as a request to look ahead has them.
func Roles(site cloud.Site) map[string]cloud.Role {
	out := map[string]cloud.Role{}
	for _, m := range site.Machines {
		out[m.Name] = m.Role
	}
	return out
}

func (h Harness) blueprint(t *testing.T, d cloud.Driver, site cloud.Site) []cloud.Resource {
	t.Helper()
	list, err := d.Blueprint(TestOwner, site)
	if err != nil {
		t.Fatalf("blueprint: %v", err)
	}
	return list
}

// manyMachines is a site of one control-plane machine and forty large workers.
func manyMachines(site cloud.Site) cloud.Site {
	out := site
	out.Machines = []cloud.Machine{site.Machines[0]}
	at := site.Machines[0].Address
	for i := range 40 {
		at = at.Next()
		out.Machines = append(out.Machines, cloud.Machine{
			Name: "conf-many-" + string(rune('a'+i/10)) + string(rune('0'+i%10)), Role: cloud.Worker, Size: "large",
			Zone: site.Machines[0].Zone, Address: at, DiskGiB: 20,
		})
	}
	return out
}
