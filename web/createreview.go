package web

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/price"
	"github.com/skyweld/skyweld/spec"
)

// review is what there is to know of a cluster before it is made.
type review struct {
	name string
	plan api.Plan
	c    *spec.Cluster
	// file is what the form makes, values what it holds.
	file   string
	values url.Values
	sites  []reviewedSite
	nodes  []spec.Node
	trips  []trip
	// warnings are what somebody may want to think about once more.
	warnings []string
}

type reviewedSite struct {
	spec.Site
	provider string
	city     string
	nodes    int
}

// trip is the way between two sites.
type trip struct {
	a, b   string
	rtt    time.Duration
	source geo.Source
}

// review asks for the plan and lays out what follows from it.
func (a *call) review(f clusterForm) (review, error) {
	if err := a.isNew(f.name); err != nil {
		return review{}, err
	}
	file := f.file()
	r := review{name: f.name, file: string(file), values: f.values()}
	accounts, err := a.sortedAccounts(a.ctx())
	if err != nil {
		return review{}, err
	}
	if r.plan, err = a.api.Plan(a.ctx(), file); err != nil {
		return review{}, err
	}
	c, errs := spec.Read([]byte(r.plan.Spec))
	if c == nil {
		return review{}, errs
	}
	r.c = c
	zones := map[string]int{}
	var places []geo.Place
	for _, s := range c.Spec.Sites {
		id := providerOf(s.Account, accounts)
		p, _ := geo.Region(id, s.Region)
		places = append(places, p)
		zones[s.Name] = min(max(1, len(p.Zones)), siteZones)
		r.sites = append(r.sites, reviewedSite{Site: s, provider: id, city: p.City})
	}
	if r.nodes, err = spec.Nodes(c, zones, nil); err != nil {
		return review{}, err
	}
	for i := range r.sites {
		for _, n := range r.nodes {
			if n.Site == r.sites[i].Name {
				r.sites[i].nodes++
			}
		}
		for j := range i {
			d, from := geo.RTT(places[j], places[i])
			r.trips = append(r.trips, trip{r.sites[j].Name, r.sites[i].Name, d, from})
		}
	}
	slices.SortStableFunc(r.trips, func(x, y trip) int { return int(y.rtt - x.rtt) })
	r.warnings = warningsOf(c, r.plan.Cost.After)
	return r, nil
}

// siteZones is how many of a region's zones the engine uses.
const siteZones = 3

// warningsOf is what is allowed, and may not be meant.
func warningsOf(c *spec.Cluster, cost price.Estimate) []string {
	var out []string
	cp := c.Spec.ControlPlane
	workers := 0
	for _, w := range c.Spec.Workers {
		workers += w.Nodes()
	}
	if cp.Replicas == 1 {
		out = append(out, "The control plane is one node. While it is away, what runs goes on, but nothing can be changed; if its disk is lost, so is what happened since the last hourly snapshot.")
	}
	if workers == 0 {
		out = append(out, "There are no workers: nothing that you deploy has a place to run. Workers can be added later.")
	}
	if n := cost.Total.Unknown; n > 0 {
		out = append(out, fmt.Sprintf("No price is known of %s: more is paid than the sum says.", counted(n, "item")))
	}
	return out
}

// unasked are the plan's notes of what could not be found out from accounts.
func (r review) unasked() bool {
	return slices.ContainsFunc(r.plan.Notes, func(n string) bool { return strings.HasPrefix(n, "account ") || strings.HasPrefix(n, "what account ") })
}

// worries are all that somebody may want to think about once more.
func (r review) worries() []string {
	out := slices.Clone(r.warnings)
	for _, n := range r.plan.Notes {
		out = append(out, strings.TrimSuffix(sentence(n), ".")+".")
	}
	return out
}

// worstTripOf is the longest way between two sites, in words.
func (r review) worstTripOf() string {
	if len(r.trips) == 0 {
		return "one site"
	}
	return milliseconds(float64(r.trips[0].rtt) / float64(time.Millisecond))
}

// zoneName is a zone as people count them.
func (r review) zoneName(n spec.Node) string {
	for _, s := range r.sites {
		if s.Name == n.Site {
			if p, ok := geo.Region(s.provider, s.Region); ok && n.Zone < len(p.Zones) {
				return p.Zones[n.Zone]
			}
			return s.Region
		}
	}
	return ""
}

// picksAddresses says that a site's cloud chooses the private addresses itself.
func (r review) picksAddresses() bool {
	return slices.ContainsFunc(r.sites, func(s reviewedSite) bool { return s.provider == "digitalocean" })
}

// chargeWords are what a line of an estimate is for.
func chargeWords(l price.Line) string {
	what := map[string]string{"machine": "Machine", "disk": "Disk", "address": "Public address"}[string(l.Part)]
	if what == "" {
		what = sentence(string(l.Part))
	}
	if l.GiB > 0 {
		what += fmt.Sprintf(", %d GiB", l.GiB)
	}
	return strings.TrimSpace(what)
}

// dollars is an amount that may not be known.
func dollars(c *price.Cost, month bool) string {
	switch {
	case c == nil:
		return "unknown"
	case month:
		return "$" + price.Monthly(c.PerMonth)
	}
	return "$" + price.Hourly(c.PerHour)
}

// total is a sum, and whether it is all.
func total(s price.Sum, month bool) string {
	switch text := dollars(&s.Cost, month); {
	case s.Unknown == 0:
		return text
	case s.Priced == 0:
		return "unknown"
	default:
		return "at least " + text
	}
}
