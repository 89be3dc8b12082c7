package api

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/geo"
)

// Region is a public region of a cloud.
type Region struct {
	Cloud   string   `json:"cloud"`
	Region  string   `json:"region"`
	City    string   `json:"city"`
	Country string   `json:"country" doc:"ISO 3166-1 alpha-2"`
	Lat     float64  `json:"lat" doc:"degrees north, of the city"`
	Lon     float64  `json:"lon" doc:"degrees east, of the city"`
	Metro   string   `json:"metro,omitempty" doc:"the metro that it is in"`
	Zones   []string `json:"zones,omitempty" doc:"absent where the region has none"`
	// Sizes are taken to be all where SizesKnown is false.
	Sizes      []string `json:"sizes" doc:"which of small, medium and large are to be had"`
	SizesKnown bool     `json:"sizesKnown" doc:"false where nobody lists that, and all are taken to be there"`
	OptIn      bool     `json:"optIn,omitempty" doc:"an account has to switch it on first"`
	Restricted bool     `json:"restricted,omitempty" doc:"only for accounts that asked for it, or were there before"`
}

// Trip is the round trip between two regions, or from a place to one.
type Trip struct {
	From   string  `json:"from" doc:"a region like aws/us-east-1, or a place"`
	To     string  `json:"to"`
	Ms     float64 `json:"ms"`
	LowMs  float64 `json:"lowMs" doc:"the band of an estimate, which holds every pair that was measured; the same as ms for a measurement"`
	HighMs float64 `json:"highMs"`
	Source string  `json:"source" enum:"measured,estimated"`
	By     string  `json:"by,omitempty" doc:"who measured"`
	Date   string  `json:"date,omitempty" doc:"when that was published"`
}

// RegionSet is a region for each site.
type RegionSet struct {
	Metro   string   `json:"metro,omitempty" doc:"absent where they are in no common metro"`
	Regions []Region `json:"regions" doc:"in the order of the clouds asked for"`
	// Worst is absent with one region.
	Worst *Trip  `json:"worst,omitempty" doc:"the two that are farthest from each other"`
	Pairs []Trip `json:"pairs" doc:"all pairs of them"`
	Far   *Trip  `json:"far,omitempty" doc:"from the place asked for to the farthest of them"`
	// USD is what the machines asked for cost, as far as that is known.
	USD      float64  `json:"usdPerHour" doc:"US dollars an hour for one machine of each size asked for in each region, as far as known"`
	Unpriced []string `json:"unpriced,omitempty" doc:"regions of which no price is known"`
	Why      string   `json:"why,omitempty" doc:"why it is worse than the best"`
}

// Regions is which regions are good together.
type Regions struct {
	Items        []RegionSet `json:"items" doc:"metros that have all clouds, the best first, with the regions that each gives"`
	Combinations []RegionSet `json:"combinations" doc:"the best of all, whatever metros they are in, and the ten next"`
	Exact        bool        `json:"exact" doc:"false where there were so many sites that there may be better ones"`
	Nothing      string      `json:"nothing,omitempty" doc:"why there are none"`
	Near         string      `json:"near,omitempty" doc:"the place asked for, as it was understood"`
}

// RegionsQuery is what regions are asked for by.
type RegionsQuery struct {
	Clouds  []string `query:"clouds" doc:"one word for each site: a cloud or an account, and after a slash a region that is given; the clouds of all accounts unless said" maxItems:"16"`
	Metro   string   `query:"metro" doc:"only regions of that metro" maxLength:"100"`
	Near    string   `query:"near" doc:"a city, a metro, a region, or coordinates like 52.5,13.4: it counts as one more site" maxLength:"100"`
	Exclude []string `query:"exclude" doc:"regions not to take" maxItems:"200"`
	Size    []string `query:"size" doc:"what each site needs: small, medium (unless said) or large" maxItems:"3"`
	OptIn   bool     `query:"optIn" doc:"also regions that an account has to switch on first"`
	MaxRTT  string   `query:"maxRTT" doc:"leave out what is farther apart, like 10ms" maxLength:"20"`
}

func (s *Server) regions(api huma.API) {
	get(api, "/regions", "Say which regions of some clouds are near each other", func(ctx context.Context, in *RegionsQuery) (*body[Regions], error) {
		asked := engine.RegionsAsked{Clouds: in.Clouds, Metro: in.Metro, Near: in.Near, Exclude: in.Exclude, Sizes: in.Size, OptIn: in.OptIn}
		if in.MaxRTT != "" {
			d, err := time.ParseDuration(in.MaxRTT)
			if err != nil || d <= 0 || d > time.Minute {
				return nil, engine.Invalidf("maxRTT", "found %q: want a duration like 10ms", in.MaxRTT)
			}
			asked.Limit = d
		}
		found, err := s.engine.Regions(ctx, asked)
		if err != nil {
			return nil, err
		}
		out := Regions{Items: []RegionSet{}, Combinations: []RegionSet{}, Exact: found.Exact, Nothing: found.Nothing}
		if found.Near != nil {
			out.Near = found.Near.Name
		}
		for _, c := range found.Metros {
			out.Items = append(out.Items, setOf(c, found))
		}
		for _, c := range found.Combinations {
			out.Combinations = append(out.Combinations, setOf(c, found))
		}
		return &body[Regions]{out}, nil
	})
	get(api, "/regions/all", "List every public region of all clouds", func(context.Context, *struct{}) (*list[Region], error) {
		var out []Region
		for _, p := range geo.Catalogue() {
			out = append(out, regionOf(p))
		}
		return listOf(out), nil
	})
}

func regionOf(p geo.Place) Region {
	r := Region{Cloud: p.Cloud, Region: p.ID, City: p.City, Country: p.Country, Lat: p.Lat, Lon: p.Lon, Metro: geo.MetroOf(p), Zones: p.Zones,
		Sizes: p.Sizes, SizesKnown: p.SizesKnown, OptIn: p.OptIn, Restricted: p.Restricted}
	if r.Sizes == nil {
		r.Sizes = []string{}
	}
	return r
}

func tripOf(from, to string, t geo.Trip) Trip {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return Trip{From: from, To: to, Ms: ms(t.RTT), LowMs: ms(t.Low), HighMs: ms(t.High), Source: string(t.Source), By: t.From, Date: t.Date}
}

func setOf(c geo.Combination, found engine.RegionsFound) RegionSet {
	name := func(i int) string { return c.Regions[i].Cloud + "/" + c.Regions[i].ID }
	s := RegionSet{Metro: c.Metro, Pairs: []Trip{}, USD: c.USD, Why: c.Why}
	for i, p := range c.Regions {
		s.Regions = append(s.Regions, regionOf(p))
		for j := range i {
			trip := tripOf(name(j), name(i), found.Between(c.Regions[j], p))
			if s.Pairs = append(s.Pairs, trip); j == c.A && i == c.B {
				s.Worst = &trip
			}
		}
	}
	if near := found.Near; near != nil {
		trip := tripOf(near.Name, name(c.Far), c.FarTrip)
		s.Far = &trip
	}
	for _, i := range c.Unpriced {
		s.Unpriced = append(s.Unpriced, name(i))
	}
	return s
}

// Regions says which regions are good together.
func (c *Client) Regions(ctx context.Context, in RegionsQuery) (Regions, error) {
	q := url.Values{}
	for name, list := range map[string][]string{"clouds": in.Clouds, "exclude": in.Exclude, "size": in.Size} {
		if len(list) > 0 {
			q.Set(name, strings.Join(list, ","))
		}
	}
	for name, text := range map[string]string{"metro": in.Metro, "near": in.Near, "maxRTT": in.MaxRTT} {
		if text != "" {
			q.Set(name, text)
		}
	}
	if in.OptIn {
		q.Set("optIn", strconv.FormatBool(true))
	}
	return fetch[Regions](ctx, c, "/regions?"+q.Encode())
}

// AllRegions lists every public region of all clouds.
func (c *Client) AllRegions(ctx context.Context) ([]Region, error) {
	return fetchList[Region](ctx, c, "/regions/all")
}
