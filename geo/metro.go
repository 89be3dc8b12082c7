package geo

import (
	"slices"
	"strings"
)

// Group is a metro: regions of different clouds that are close enough for one cluster. They are found by distance and named
// by hand: regions of at least two clouds, each pair of clouds under 10 ms by RTT.
type Group struct {
	Name string
	// Title is what people call it.
	Title string
	// Regions are its regions; of a cloud with several the first is the one to take.
	Regions []Place
}

func (t *catalogue) readGroups() []Group {
	var out []Group
	for _, r := range records(metrosCSV)[1:] {
		g := Group{Name: r[0], Title: r[1]}
		for word := range strings.FieldsSeq(r[2]) {
			cloud, id, _ := strings.Cut(word, "/")
			if i, ok := t.byID[key{cloud, id}]; ok {
				g.Regions = append(g.Regions, t.places[i])
			}
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Metro returns the metro of that name.
func Metro(name string) (Group, bool) {
	for _, g := range load().groups {
		if g.Name == name {
			for i := range g.Regions {
				if i == 0 {
					g.Regions = slices.Clone(g.Regions)
				}
				g.Regions[i] = g.Regions[i].clone()
			}
			return g, true
		}
	}
	return Group{}, false
}

// Metros returns the names of all metros in order; with clouds given, of those that have a region of each.
func Metros(clouds ...string) []string {
	var names []string
	for _, g := range load().groups {
		lacks := func(cloud string) bool { _, ok := g.of(cloud); return !ok }
		if !slices.ContainsFunc(clouds, lacks) {
			names = append(names, g.Name)
		}
	}
	return names
}

// of is the region to take of a cloud.
func (g Group) of(cloud string) (Place, bool) {
	for _, p := range g.Regions {
		if p.Cloud == cloud {
			return p, true
		}
	}
	return Place{}, false
}

func (g Group) has(p Place) bool {
	return slices.ContainsFunc(g.Regions, func(q Place) bool { return q.Cloud == p.Cloud && q.ID == p.ID })
}

// InGroup says whether a region is in a metro.
func InGroup(metro string, p Place) bool {
	g, _ := Metro(metro)
	return g.has(p)
}

// MetroRegion returns the region that a cloud has in a metro; ok is false when the cloud isn't there or there is no such
// metro.
func MetroRegion(metro, cloud string) (p Place, ok bool) {
	m, _ := Metro(metro)
	return m.of(cloud)
}

// MetroOf returns the name of the metro that has all the given regions; empty where there is none.
func MetroOf(places ...Place) string {
	for _, g := range load().groups {
		outside := func(p Place) bool { return !g.has(p) }
		if len(places) > 0 && !slices.ContainsFunc(places, outside) {
			return g.Name
		}
	}
	return ""
}

// InMetro gives each slot without a region one of a metro: of its cloud's regions there the first that has what the slot needs and no
// other slot has got; where there is none, the first. Those that are given stay. A slot whose cloud isn't there gets a Place
// without an ID.
func InMetro(metro string, slots []Slot) []Place {
	m, _ := Metro(metro)
	out := make([]Place, len(slots))
	for i, s := range slots {
		if s.Region != "" {
			out[i], _ = Region(s.Cloud, s.Region)
		}
	}
	for i, s := range slots {
		if s.Region != "" {
			continue
		}
		out[i], _ = m.of(s.Cloud)
		for _, p := range m.Regions {
			used := slices.ContainsFunc(out[:i], func(q Place) bool { return q.Cloud == p.Cloud && q.ID == p.ID })
			lacks := slices.ContainsFunc(s.Sizes, func(size string) bool { return !p.Has(size) })
			if p.Cloud == s.Cloud && !used && !lacks {
				out[i] = p
				break
			}
		}
	}
	return out
}
