package cloud

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/sizes"
)

// Architecture is that of all machines, in Go's words: their images and the programs of nodes are for it.
const Architecture = "amd64"

// What kubeadm wants of a machine of the control plane: it refuses one with less, below 1,700 MiB to be exact, which a
// machine of less than 2 GiB has.
const (
	controlPlaneVCPUs     = 2
	controlPlaneMemoryMiB = 2048
)

// MachineType is a machine type as a region has it. What isn't known is left empty, or 0.
type MachineType struct {
	Name             string
	VCPUs, MemoryMiB int
	// Arch is the processor in Go's words: amd64 or arm64.
	Arch string
	GPUs int
	// USD is the price of an hour.
	USD float64
	// Zones are those that have the type now, in order; a region without zones has it in a zone of its own name.
	Zones []string
	// Unfit is why no machine of ours can be of it, Withheld why this account can't have it; empty where nothing is wrong.
	Unfit, Withheld string
}

// known fills in what is known of a type of that name.
func (t MachineType) known(provider Provider) MachineType {
	if k, ok := sizes.Lookup(string(provider), t.Name); ok {
		t.VCPUs, t.MemoryMiB = cmp.Or(t.VCPUs, k.VCPUs), cmp.Or(t.MemoryMiB, k.MemoryMiB)
		t.Arch, t.GPUs, t.USD = cmp.Or(t.Arch, k.Arch), cmp.Or(t.GPUs, k.GPUs), cmp.Or(t.USD, k.USD)
	}
	return t
}

// UnfitFor says why a machine of a role can't be of the type, empty when it can.
func (t MachineType) UnfitFor(role Role) string {
	switch {
	case t.Arch != "" && t.Arch != Architecture:
		return fmt.Sprintf("it is for %s; Skyweld's machines are %s", t.Arch, Architecture)
	case t.Unfit != "":
		return t.Unfit
	case role != ControlPlane:
		return ""
	case t.VCPUs > 0 && t.VCPUs < controlPlaneVCPUs:
		return fmt.Sprintf("it has %d vCPU; a control-plane machine needs at least %d vCPUs and %g GiB of memory", t.VCPUs, controlPlaneVCPUs, gib(controlPlaneMemoryMiB))
	case t.MemoryMiB > 0 && t.MemoryMiB < controlPlaneMemoryMiB:
		return fmt.Sprintf("it has %g GiB of memory; a control-plane machine needs at least %d vCPUs and %g GiB", gib(t.MemoryMiB), controlPlaneVCPUs, gib(controlPlaneMemoryMiB))
	}
	return ""
}

// gib are GiB, to two digits after the point.
func gib(mib int) float64 { return math.Round(float64(mib)/1024*100) / 100 }

// CheckSize says what is wrong with a size, or a machine type in its place, for a machine of a role at a provider, as far as
// it can be known without asking anybody.
func CheckSize(provider Provider, size string, role Role) error {
	name := sizes.TypeName(string(provider), size)
	if text := (MachineType{Name: name}).known(provider).UnfitFor(role); text != "" {
		return fmt.Errorf("%s", text)
	}
	return nil
}

// WantedType is a machine type that machines of a region are to be of.
type WantedType struct {
	Region, Name string
	machines     []wantedMachine
}

type wantedMachine struct {
	key, zone string
	role      Role
}

// Zones are those in which machines are to be of the type, in order.
func (w WantedType) Zones() []string {
	zones := map[string]bool{}
	for _, m := range w.machines {
		zones[m.zone] = true
	}
	return slices.Sorted(maps.Keys(zones))
}

// keys are those of the machines for which is says so.
func (w WantedType) keys(is func(wantedMachine) bool) []string {
	var out []string
	for _, m := range w.machines {
		if is(m) {
			out = append(out, m.key)
		}
	}
	return out
}

// MachineTypes are the types of the machines that are to be made, in order. of tells from a resource's spec whether it is a
// machine, and of which type in which zone.
func (a *Ahead) MachineTypes(of func(spec any) (zone, machineType string, ok bool)) []WantedType {
	var out []WantedType
	for _, r := range a.Create {
		zone, name, ok := of(r.Spec)
		if !ok {
			continue
		}
		i := slices.IndexFunc(out, func(w WantedType) bool { return w.Region == r.Region && w.Name == name })
		if i < 0 {
			i = len(out)
			out = append(out, WantedType{Region: r.Region, Name: name})
		}
		out[i].machines = append(out[i].machines, wantedMachine{r.Key, zone, a.Roles[r.Machine]})
	}
	slices.SortFunc(out, func(a, b WantedType) int {
		return cmp.Or(strings.Compare(a.Region, b.Region), strings.Compare(a.Name, b.Name))
	})
	return out
}

// Judge adds the problem of a type that its machines can't be of, if there is one. noun is what the cloud calls a type
// ("instance type"); have is what the region says of it, nil where it doesn't know it; all gives all types of the region,
// and is asked only for the nearest that can be had.
func (a *Ahead) Judge(noun string, w WantedType, have *MachineType, all func() ([]MachineType, error)) error {
	like := MachineType{Name: w.Name}.known(a.provider)
	if have != nil {
		like = have.known(a.provider)
	}
	message, there, keys := w.wrong(noun, have != nil, like)
	if message == "" {
		return nil
	}
	p := &Problem{Class: Invalid, Region: w.Region, Subject: noun + " " + w.Name, MachineType: w.Name, Message: message, Advice: "ask for another size", Keys: keys}
	list, err := all()
	if near := a.nearest(w, like, keys, list); err == nil && len(near) > 0 {
		p.Message += "; the nearest " + there + strings.Join(near, ", ")
	}
	a.Problem(p)
	return err
}

// wrong says what is wrong with a type, and with which machines; there leads to the nearest that are right.
func (w WantedType) wrong(noun string, known bool, t MachineType) (message, there string, keys []string) {
	short := noun[strings.LastIndexByte(noun, ' ')+1:] // "type"
	everywhere := w.keys(func(wantedMachine) bool { return true })
	small := w.keys(func(m wantedMachine) bool { return t.UnfitFor(m.role) != "" })
	elsewhere := w.keys(func(m wantedMachine) bool { return !slices.Contains(t.Zones, m.zone) })
	missing := slices.DeleteFunc(w.Zones(), func(z string) bool { return slices.Contains(t.Zones, z) })
	switch {
	case !known && t.Arch != "" && t.Arch != Architecture:
		return t.UnfitFor(Worker), "are ", everywhere
	case !known:
		return w.Region + " has no such " + short, "are ", everywhere
	case t.UnfitFor(Worker) != "":
		return t.UnfitFor(Worker), "are ", everywhere
	case len(small) > 0:
		return t.UnfitFor(ControlPlane), "are ", small
	case t.Withheld != "":
		return t.Withheld, "are ", everywhere
	case len(t.Zones) == 0:
		return "it is not offered in " + w.Region + " now", "there are ", everywhere
	case len(missing) > 0:
		return fmt.Sprintf("it is not offered in %s, only in %s", strings.Join(missing, ", "), strings.Join(t.Zones, ", ")), "there are ", elsewhere
	}
	return "", "", nil
}

// nearestTypes is how many types are named in place of one that can't be had.
const nearestTypes = 5

// nearest are the types that some of the machines could be of instead. Where nothing is known of the type that was asked
// for, its name is likely a slip of the pen: then they are those that are spelled alike.
func (a *Ahead) nearest(w WantedType, like MachineType, keys []string, all []MachineType) []string {
	var fit []MachineType
	for _, t := range all {
		if t = t.known(a.provider); t.Name == w.Name || t.Withheld != "" {
			continue
		}
		if !slices.ContainsFunc(w.machines, func(m wantedMachine) bool {
			return slices.Contains(keys, m.key) && (t.UnfitFor(m.role) != "" || !slices.Contains(t.Zones, m.zone))
		}) {
			fit = append(fit, t)
		}
	}
	if like.VCPUs > 0 && like.MemoryMiB > 0 {
		return Nearest(like, fit, nearestTypes)
	}
	var names []string
	for _, t := range fit {
		names = append(names, t.Name)
	}
	return NearestTypes(w.Name, separators[a.provider], names, nearestTypes)
}

// separators part family and size in the names of types.
var separators = map[Provider]string{AWS: ".", GCP: "-", Azure: "_v", DigitalOcean: "-"}

// Nearest gives the names of at most n of the types that come nearest to one in vCPUs and memory: first those that differ
// least, each halving or doubling counting the same; among these the cheapest, of unknown prices last; then those spelled
// most alike. Types with GPUs are near only to others with GPUs.
func Nearest(like MachineType, all []MachineType, n int) []string {
	type candidate struct {
		name     string
		far, usd float64
		unlike   int
	}
	steps := func(a, b int) float64 { return math.Abs(math.Log2(float64(a) / float64(b))) }
	var list []candidate
	for _, t := range all {
		if t.VCPUs <= 0 || t.MemoryMiB <= 0 || (t.GPUs > 0) != (like.GPUs > 0) {
			continue
		}
		c := candidate{name: t.Name, far: steps(t.VCPUs, like.VCPUs) + steps(t.MemoryMiB, like.MemoryMiB), usd: t.USD, unlike: distance(like.Name, t.Name)}
		if c.usd <= 0 {
			c.usd = math.Inf(1)
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.far, b.far), cmp.Compare(a.usd, b.usd), cmp.Compare(a.unlike, b.unlike), strings.Compare(a.name, b.name))
	})
	list = slices.CompactFunc(list, func(a, b candidate) bool { return a.name == b.name })
	var out []string
	for _, c := range list[:min(n, len(list))] {
		out = append(out, c.name)
	}
	return out
}
