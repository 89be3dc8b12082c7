package cloud_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/cloud"
)

// box is a machine's spec of a cloud that nobody has.
type box struct{ zone, kind string }

func boxOf(spec any) (zone, machineType string, ok bool) {
	b, ok := spec.(box)
	return b.zone, b.kind, ok
}

// boxes asks for machines, each "name zone type"; those named cp… are of the control plane.
func boxes(machines ...string) cloud.PreflightRequest {
	req := cloud.PreflightRequest{Roles: map[string]cloud.Role{}, Create: []cloud.Resource{{Key: "net", Kind: "network", Region: "r1", Spec: "not a machine"}}}
	for _, m := range machines {
		f := strings.Fields(m)
		req.Create = append(req.Create, cloud.Resource{Key: "key-" + f[0], Kind: "machine", Region: "r1", Machine: f[0], Spec: box{f[1], f[2]}})
		req.Roles[f[0]] = cloud.Worker
		if strings.HasPrefix(f[0], "cp") {
			req.Roles[f[0]] = cloud.ControlPlane
		}
	}
	return req
}

// TestJudge asks for types in every way that is wrong, and for one that is right.
func TestJudge(t *testing.T) {
	zones := []string{"z1", "z2"}
	region := []cloud.MachineType{
		{Name: "b.tiny", VCPUs: 1, MemoryMiB: 512, Arch: "amd64", USD: 0.01, Zones: zones},
		{Name: "b.one", VCPUs: 2, MemoryMiB: 1024, Arch: "amd64", USD: 0.02, Zones: zones},
		{Name: "b.two", VCPUs: 2, MemoryMiB: 2048, Arch: "amd64", USD: 0.03, Zones: zones},
		{Name: "a.four", VCPUs: 4, MemoryMiB: 16384, Arch: "amd64", USD: 0.20, Zones: zones},
		{Name: "c.four", VCPUs: 4, MemoryMiB: 16384, Arch: "amd64", USD: 0.19, Zones: zones},
		{Name: "d.four", VCPUs: 4, MemoryMiB: 16384, Arch: "amd64", USD: 0.10, Zones: []string{"z1"}},
		{Name: "g.four", VCPUs: 4, MemoryMiB: 16384, Arch: "amd64", USD: 0.05, GPUs: 1, Zones: zones},
		{Name: "p.four", VCPUs: 4, MemoryMiB: 16384, Arch: "arm64", USD: 0.05, Zones: zones},
		{Name: "o.four", VCPUs: 4, MemoryMiB: 16384, Arch: "amd64", USD: 0.05, Zones: zones, Unfit: "it is too old"},
		{Name: "w.four", VCPUs: 4, MemoryMiB: 16384, Arch: "amd64", USD: 0.05, Zones: zones, Withheld: "the account can't have it in r1 (NotForYou)"},
		{Name: "n.four", VCPUs: 4, MemoryMiB: 16384, Arch: "amd64", USD: 0.05},
	}
	for _, c := range []struct {
		name     string
		machines []string
		keys     []string
		want     string // empty where nothing is wrong
	}{
		{"right", []string{"cp-1 z1 a.four", "web-1 z2 a.four"}, nil, ""},
		{"small, for a worker", []string{"web-1 z1 b.tiny"}, nil, ""},
		{"misspelled", []string{"cp-1 z1 a.fuor", "web-1 z2 a.fuor"}, []string{"key-cp-1", "key-web-1"}, "r1 has no such type; the nearest are a.four, c.four"},
		{"for arm", []string{"web-1 z1 p.four"}, []string{"key-web-1"}, "it is for arm64; Skyweld's machines are amd64; the nearest are d.four, c.four, a.four"},
		{"unfit", []string{"web-1 z2 o.four"}, []string{"key-web-1"}, "it is too old; the nearest are c.four, a.four"},
		{"withheld", []string{"web-1 z1 w.four"}, []string{"key-web-1"}, "the account can't have it in r1 (NotForYou); the nearest are d.four"},
		{"sold out", []string{"web-1 z1 n.four"}, []string{"key-web-1"}, "it is not offered in r1 now; the nearest there are d.four"},
		{"not in one of the zones", []string{"cp-1 z1 d.four", "cp-2 z2 d.four", "web-1 z2 d.four"}, []string{"key-cp-2", "key-web-1"}, "it is not offered in z2, only in z1; the nearest there are c.four, a.four, b.two"},
		{"too little memory for the control plane", []string{"cp-1 z1 b.one", "web-1 z1 b.one"}, []string{"key-cp-1"},
			"it has 1 GiB of memory; a control-plane machine needs at least 2 vCPUs and 2 GiB; the nearest are b.two, d.four"},
		{"too few processors for the control plane", []string{"cp-1 z1 b.tiny"}, []string{"key-cp-1"}, "it has 1 vCPU; a control-plane machine needs at least 2 vCPUs and 2 GiB of memory; the nearest are b.two"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := cloud.LookAhead("nowhere", boxes(c.machines...))
			wanted := a.MachineTypes(boxOf)
			if len(wanted) != 1 {
				t.Fatalf("types %v, want one", wanted)
			}
			var have *cloud.MachineType
			if i := slices.IndexFunc(region, func(m cloud.MachineType) bool { return m.Name == wanted[0].Name }); i >= 0 {
				have = &region[i]
			}
			asked := false
			if err := a.Judge("machine type", wanted[0], have, func() ([]cloud.MachineType, error) { asked = true; return region, nil }); err != nil {
				t.Fatal(err)
			}
			f := a.Findings()
			if c.want == "" {
				if len(f.Problems) > 0 || asked {
					t.Errorf("problems %v, asked for all types: %v", f.Problems, asked)
				}
				return
			}
			if len(f.Problems) != 1 {
				t.Fatalf("problems %v, want one", f.Problems)
			}
			p := f.Problems[0]
			if !strings.HasPrefix(p.Message, c.want) || p.Class != cloud.Invalid || p.Region != "r1" || p.Subject != "machine type "+wanted[0].Name || p.MachineType != wanted[0].Name {
				t.Errorf("problem %+v\nwant %s", p, c.want)
			}
			if diff := cmp.Diff(c.keys, p.Keys); diff != "" {
				t.Errorf("keys (- want, + got):\n%s", diff)
			}
			for _, no := range []string{"g.four", "p.four", "o.four", "w.four", "n.four"} {
				_, near, _ := strings.Cut(p.Message, "nearest")
				if strings.Contains(near, no) && (no != "g.four" || c.name != "misspelled") { // by its name it could be meant
					t.Errorf("%s is no help: %s", no, p.Message)
				}
			}
		})
	}
	t.Run("the list fails", func(t *testing.T) {
		a := cloud.LookAhead("nowhere", boxes("web-1 z1 a.four"))
		broken := errors.New("broken")
		if err := a.Judge("droplet size", a.MachineTypes(boxOf)[0], nil, func() ([]cloud.MachineType, error) { return nil, broken }); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
		if f := a.Findings(); len(f.Problems) != 1 || f.Problems[0].Message != "r1 has no such size" {
			t.Errorf("problems %v: want the one that is known all the same", f.Problems)
		}
	})
	t.Run("known elsewhere", func(t *testing.T) {
		a := cloud.LookAhead(cloud.AWS, boxes("web-1 z1 m8i.xlarge"))
		near := []cloud.MachineType{{Name: "m8i.xlrage", VCPUs: 96, MemoryMiB: 1 << 18, Zones: []string{"z1"}}, {Name: "t3a.xlarge", Zones: []string{"z1"}}, {Name: "m5.xlarge", Zones: []string{"z1"}}}
		if err := a.Judge("instance type", a.MachineTypes(boxOf)[0], nil, func() ([]cloud.MachineType, error) { return near, nil }); err != nil {
			t.Fatal(err)
		}
		if f := a.Findings(); len(f.Problems) != 1 || f.Problems[0].Message != "r1 has no such type; the nearest are t3a.xlarge, m5.xlarge, m8i.xlrage" {
			t.Errorf("problems %v: want the nearest by what is known of the types", f.Problems)
		}
	})
}

func TestCheckSize(t *testing.T) {
	for _, provider := range []cloud.Provider{cloud.AWS, cloud.GCP, cloud.Azure, cloud.DigitalOcean} {
		for _, size := range []string{"small", "medium", "large", "nobody-knows"} {
			for _, role := range []cloud.Role{cloud.ControlPlane, cloud.Worker} {
				if err := cloud.CheckSize(provider, size, role); err != nil {
					t.Errorf("%s %s for a %s: %v", provider, size, role, err)
				}
			}
		}
	}
	for _, c := range []struct {
		provider cloud.Provider
		size     string
		role     cloud.Role
		want     string
	}{
		{cloud.AWS, "t3.large", cloud.ControlPlane, ""},
		{cloud.GCP, "e2-standard-4", cloud.ControlPlane, ""},
		{cloud.Azure, "Standard_D4as_v5", cloud.ControlPlane, ""},
		{cloud.DigitalOcean, "s-4vcpu-8gb", cloud.ControlPlane, ""},
		{cloud.AWS, "t3.small", cloud.ControlPlane, ""},
		{cloud.AWS, "t3.nano", cloud.Worker, ""},
		{cloud.AWS, "t3.nano", cloud.ControlPlane, "it has 0.5 GiB of memory; a control-plane machine needs at least 2 vCPUs and 2 GiB"},
		{cloud.GCP, "e2-micro", cloud.ControlPlane, "it has 1 GiB of memory"},
		{cloud.Azure, "Standard_B1s", cloud.ControlPlane, "it has 1 vCPU; a control-plane machine needs at least 2 vCPUs and 2 GiB of memory"},
		{cloud.DigitalOcean, "s-1vcpu-2gb", cloud.ControlPlane, "it has 1 vCPU"},
		{cloud.AWS, "m6g.xlarge", cloud.Worker, "it is for arm64; Skyweld's machines are amd64"},
		{cloud.GCP, "t2a-standard-4", cloud.Worker, "it is for arm64"},
		{cloud.Azure, "Standard_D4ps_v5", cloud.Worker, "it is for arm64"},
	} {
		err := cloud.CheckSize(c.provider, c.size, c.role)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s %s for a %s: %v, want %q", c.provider, c.size, c.role, err, c.want)
		}
	}
}

// TestNearestByNeed holds that the nearest are sorted, are some of those there are, and don't depend on their order.
func TestNearestByNeed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.Custom(func(t *rapid.T) cloud.MachineType {
			return cloud.MachineType{
				Name:  rapid.StringMatching(`[a-c]\.[a-d]{1,2}`).Draw(t, "name"),
				VCPUs: rapid.IntRange(0, 4).Draw(t, "vcpus"), MemoryMiB: 1024 * rapid.IntRange(0, 4).Draw(t, "memory"), USD: float64(rapid.IntRange(0, 3).Draw(t, "price")),
			}
		})
		all := rapid.SliceOfDistinct(kind, func(m cloud.MachineType) string { return m.Name }).Draw(t, "types")
		like := cloud.MachineType{Name: "a.b", VCPUs: 2, MemoryMiB: 2048}
		got := cloud.Nearest(like, all, 3)
		other := slices.Clone(all)
		slices.Reverse(other)
		if diff := cmp.Diff(got, cloud.Nearest(like, other, 3)); diff != "" {
			t.Fatalf("in another order:\n%s", diff)
		}
		for i, name := range got {
			at := slices.IndexFunc(all, func(m cloud.MachineType) bool { return m.Name == name })
			if at < 0 || all[at].VCPUs == 0 || all[at].MemoryMiB == 0 {
				t.Fatalf("%s is none to take", name)
			}
			exact := func(m cloud.MachineType) bool { return m.VCPUs == like.VCPUs && m.MemoryMiB == like.MemoryMiB }
			if i > 0 && exact(all[at]) {
				before := all[slices.IndexFunc(all, func(m cloud.MachineType) bool { return m.Name == got[i-1] })]
				if !exact(before) || all[at].USD > 0 && (before.USD == 0 || before.USD > all[at].USD) {
					t.Fatalf("%v stands before %v", before, all[at])
				}
			}
		}
	})
}
