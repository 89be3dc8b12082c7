package web

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/geo"
)

var regionPages = []page{
	{path: "/regions", needs: auth.Viewer, show: showRegions},
}

// regionsShown is what the page of regions shows: what was asked for, what is good together, and one of that on maps.
type regionsShown struct {
	clouds       []string
	near, maxRTT string
	found        api.Regions
	// chosen is the one on the maps, named by its metro where it has one.
	chosen  api.RegionSet
	problem string
	all     []api.Region
	// measured are what this engine measured.
	measured []api.Measurement
}

// mostSets is how many sets of regions the page lists.
const mostSets = 30

func showRegions(a *call) (view, error) {
	values := a.r.URL.Query()
	s := regionsShown{near: strings.TrimSpace(values.Get("near")), maxRTT: strings.TrimSpace(values.Get("max-rtt"))}
	for _, c := range values["cloud"] {
		if slices.Contains(geo.Clouds(), c) && !slices.Contains(s.clouds, c) {
			s.clouds = append(s.clouds, c)
		}
	}
	slices.Sort(s.clouds)
	err := a.together(
		into(&s.all, func(ctx context.Context) ([]api.Region, error) { return a.api.AllRegions(ctx) }),
		into(&s.measured, func(ctx context.Context) ([]api.Measurement, error) { return a.api.Measurements(ctx) }),
	)
	if err != nil {
		return view{}, err
	}
	if s.found, err = a.api.Regions(a.ctx(), api.RegionsQuery{Clouds: s.clouds, Near: s.near, MaxRTT: s.maxRTT}); err != nil {
		if s.problem = refusal(err); s.problem == "" {
			return view{}, err
		}
	}
	s.choose(values.Get("metro"))
	return view{title: "Regions", section: "Regions", body: regionsPage(s)}, nil
}

// choose takes the set of a metro, else the best.
func (s *regionsShown) choose(metro string) {
	all := slices.Concat(s.found.Items, s.found.Combinations)
	i := slices.IndexFunc(all, func(r api.RegionSet) bool { return metro != "" && r.Metro == metro })
	if i < 0 && len(s.found.Combinations) > 0 {
		s.chosen = s.found.Combinations[0]
	} else if i >= 0 {
		s.chosen = all[i]
	}
	if len(s.clouds) == 0 { // those that were asked for by saying none
		for _, r := range s.chosen.Regions {
			if !slices.Contains(s.clouds, r.Cloud) {
				s.clouds = append(s.clouds, r.Cloud)
			}
		}
	}
}

// sets are those the page lists: metros, and where there are none what is good together all the same.
func (s regionsShown) sets() []api.RegionSet {
	list := s.found.Items
	if len(list) == 0 {
		list = s.found.Combinations
	}
	return list[:min(len(list), mostSets)]
}

// href is the page with a metro on its maps.
func (s regionsShown) href(metro string) string {
	v := url.Values{"cloud": s.clouds, "metro": {metro}}
	if s.near != "" {
		v.Set("near", s.near)
	}
	if s.maxRTT != "" {
		v.Set("max-rtt", s.maxRTT)
	}
	return "/regions?" + v.Encode()
}

// setName is a set's metro, or its regions.
func setName(r api.RegionSet) string {
	var ids []string
	for _, v := range r.Regions {
		ids = append(ids, v.Region)
	}
	return cmp.Or(r.Metro, strings.Join(ids, ", "))
}

// tripSource says where a time is from.
func tripSource(t api.Trip) string {
	switch {
	case t.By == geo.ThisEngine:
		return "measured by this engine on " + t.Date
	case t.Source == string(geo.Measured):
		return "measured, published " + t.Date
	}
	return fmt.Sprintf("estimated, %s to %s", milliseconds(t.LowMs), milliseconds(t.HighMs))
}

// atlas is a map: a part of the world on a rectangle, a degree as wide as it is high.
type atlas struct {
	id, title, words string
	// West to East and South to North in degrees, Scale in pixels a degree.
	west, east, south, north, scale float64
	dots                            []mapDot
	lines                           []mapLine
	// meridians and parallels are the lines of the grid.
	meridians, parallels []float64
}

// mapDot is a region; place is its name, where there is room for it.
type mapDot struct {
	x, y          float64
	cloud, name   string
	chosen        bool
	label         string
	labelX, after float64
	// anchor is the side of the label that is at the dot.
	anchor string
}

// mapLine is the way between two chosen regions.
type mapLine struct {
	x1, y1, x2, y2, labelX, labelY float64
	label                          string
}

func (m atlas) width() float64  { return (m.east - m.west) * m.scale }
func (m atlas) height() float64 { return (m.north - m.south) * m.scale }
func (m atlas) at(lat, lon float64) (x, y float64) {
	return (lon - m.west) * m.scale, (m.north - lat) * m.scale
}

// mapWidth is how wide maps are, in pixels of their own.
const mapWidth = 960

// world is all of the clouds' regions, with the chosen ones.
func (s regionsShown) world() atlas {
	m := atlas{id: "world", title: "The clouds' regions", west: -180, east: 180, south: -50, north: 75, scale: mapWidth / 360.0}
	m.grid(30)
	for _, r := range s.all {
		if slices.Contains(s.clouds, r.Cloud) {
			m.dot(r, s.isChosen(r), "")
		}
	}
	m.words = fmt.Sprintf("%s of %s on a map of the world; those chosen are %s.", counted(len(m.dots), "region"), cloudNames(s.clouds), setName(s.chosen))
	m.connect(s.chosen, false)
	return m
}

// closeUp is the part of the world around the chosen regions; ok is false where that is most of it.
func (s regionsShown) closeUp() (m atlas, ok bool) {
	if len(s.chosen.Regions) < 2 {
		return m, false
	}
	m = atlas{id: "close-up", title: "The chosen regions", west: 180, east: -180, south: 90, north: -90}
	for _, r := range s.chosen.Regions {
		m.west, m.east, m.south, m.north = min(m.west, r.Lon), max(m.east, r.Lon), min(m.south, r.Lat), max(m.north, r.Lat)
	}
	if m.east-m.west > 100 {
		return m, false
	}
	// Room around them, for rings and names: they take less than half the width and the height; at least some hundred kilometres.
	w := max(6, (m.east-m.west)*mapWidth/440, (m.north-m.south)*mapWidth/180)
	x, y := (m.east+m.west)/2, (m.north+m.south)/2
	m.west, m.east, m.south, m.north, m.scale = x-w/2, x+w/2, y-w/4, y+w/4, mapWidth/w
	m.grid(math.Max(1, math.Round(w/6)))
	// Several in one city stand in a ring around it.
	all, nth := map[[2]float64]int{}, map[[2]float64]int{}
	for _, r := range s.chosen.Regions {
		all[[2]float64{r.Lat, r.Lon}]++
	}
	for _, r := range s.chosen.Regions {
		at := [2]float64{r.Lat, r.Lon}
		m.dot(r, true, r.Region)
		if n := all[at]; n > 1 {
			m.dots[len(m.dots)-1].aside((float64(nth[at]) + 0.5) / float64(n))
		}
		nth[at]++
	}
	m.connect(s.chosen, true)
	m.words = "The chosen regions and the round trips between them: " + s.pairWords() + "."
	return m, true
}

// grid has lines every so many degrees.
func (m *atlas) grid(every float64) {
	for d := math.Ceil(m.west/every) * every; d <= m.east; d += every {
		m.meridians = append(m.meridians, (d-m.west)*m.scale)
	}
	for d := math.Ceil(m.south/every) * every; d <= m.north; d += every {
		m.parallels = append(m.parallels, (m.north-d)*m.scale)
	}
}

// dot adds a region.
func (m *atlas) dot(r api.Region, chosen bool, label string) {
	x, y := m.at(r.Lat, r.Lon)
	m.dots = append(m.dots, mapDot{x: x, y: y, cloud: r.Cloud, name: r.Region, chosen: chosen, label: label, labelX: x + 12, after: y + 4.5, anchor: "start"})
}

// ring is how far from their city those stand that share it, in pixels.
const ring = 95

// aside moves a region to a part of the ring around its city, with its name on the outside.
func (d *mapDot) aside(part float64) {
	angle := 2 * math.Pi * (part - 0.25)
	d.x, d.y = d.x+ring*math.Cos(angle), d.y+ring*math.Sin(angle)
	d.labelX, d.after = d.x+14, d.y+4.5
	if math.Cos(angle) < 0 {
		d.labelX, d.anchor = d.x-14, "end"
	}
}

// connect draws the ways between chosen regions, each with its time where there is room.
func (m *atlas) connect(set api.RegionSet, labels bool) {
	find := func(name string) (mapDot, bool) {
		i := slices.IndexFunc(m.dots, func(d mapDot) bool { return d.chosen && d.cloud+"/"+d.name == name })
		if i < 0 {
			return mapDot{}, false
		}
		return m.dots[i], true
	}
	for _, p := range set.Pairs {
		a, okA := find(p.From)
		b, okB := find(p.To)
		if !okA || !okB {
			continue
		}
		// Long ways may cross in their middle, so their times stand nearer to one end.
		long, at := math.Hypot(a.x-b.x, a.y-b.y), 0.5
		if long > 1.8*ring {
			at = 0.3
		}
		l := mapLine{x1: a.x, y1: a.y, x2: b.x, y2: b.y, labelX: a.x + at*(b.x-a.x), labelY: a.y + at*(b.y-a.y)}
		if labels && long > ring {
			l.label = milliseconds(p.Ms)
		}
		m.lines = append(m.lines, l)
	}
	slices.SortStableFunc(m.dots, func(a, b mapDot) int { // the chosen ones above the others
		switch {
		case a.chosen == b.chosen:
			return 0
		case b.chosen:
			return -1
		}
		return 1
	})
}

func (s regionsShown) isChosen(r api.Region) bool {
	return slices.ContainsFunc(s.chosen.Regions, func(c api.Region) bool { return c.Cloud == r.Cloud && c.Region == r.Region })
}

// pairWords are the times between the chosen regions.
func (s regionsShown) pairWords() string {
	var out []string
	for _, p := range s.chosen.Pairs {
		out = append(out, fmt.Sprintf("%s to %s %s", p.From, p.To, milliseconds(p.Ms)))
	}
	return strings.Join(out, ", ")
}

func cloudNames(clouds []string) string {
	var out []string
	for _, c := range clouds {
		out = append(out, providerName(c))
	}
	return strings.Join(out, ", ")
}
