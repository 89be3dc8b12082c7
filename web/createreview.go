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
	members := map[string]int{}
	for i := range cp.Replicas {
		if len(cp.Sites) > 0 {
			members[cp.Sites[i%len(cp.Sites)]]++
		}
	}
	workers := 0
	for _, w := range c.Spec.Workers {
		workers += w.Nodes()
	}
	switch {
	case cp.Replicas == 1:
		out = append(out, "The control plane is one node. While it is away, what runs goes on, but nothing can be changed; if its disk is lost, so is what happened since the last hourly snapshot.")
	default:
		for _, site := range cp.Sites {
			if left := cp.Replicas - members[site]; left < cp.Replicas/2+1 && members[site] > 0 {
				why := "a third site would change that"
				if len(c.Spec.Sites) > 2 {
					why = "more sites for the control plane would change that"
				}
				out = append(out, fmt.Sprintf("If the site %s is lost, the Kubernetes API is too: %d of %d control-plane nodes are there, and the others are no majority. What runs at other sites goes on; %s.", site, members[site], cp.Replicas, why))
			}
		}
	}
	if workers == 0 {
		out = append(out, "There are no workers: nothing that you deploy has a place to run. Workers can be added later.")
	}
	if n := cost.Total.Unknown; n > 0 {
		out = append(out, fmt.Sprintf("No price is known of %s: more is paid than the sum says.", counted(n, "item")))
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
