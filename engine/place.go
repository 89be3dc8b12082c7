package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/price"
	"github.com/skyweld/skyweld/sizes"
	"github.com/skyweld/skyweld/spec"
)

// needs are the sizes of the machines that a site gets, with how many of each. Where the members of the control plane are not
// placed yet, each site may get one.
func needs(c *spec.Cluster, site string) map[string]int {
	out := map[string]int{}
	if cp := c.Spec.ControlPlane; len(cp.Sites) == 0 || slices.Contains(cp.Sites, site) {
		out[cmp.Or(cp.Size, "medium")]++
	}
	for _, w := range c.Spec.Workers {
		if w.Site == site && w.Nodes() > 0 {
			out[cmp.Or(w.Size, "small")] += w.Nodes()
		}
	}
	return out
}

// asking is what regions for a cluster's sites are chosen by. clouds are those of the sites.
func asking(c *spec.Cluster, clouds []string, far distances) geo.Ask {
	ask := geo.Ask{Known: far.known}
	var wanted []map[string]int
	for i, s := range c.Spec.Sites {
		n := needs(c, s.Name)
		wanted = append(wanted, n)
		slot := geo.Slot{Name: s.Name, Cloud: clouds[i], Region: s.Region}
		for _, size := range sizes.Names() {
			if n[size] > 0 {
				slot.Sizes = append(slot.Sizes, size)
			}
		}
		ask.Slots = append(ask.Slots, slot)
	}
	ask.Price = func(slot int, region geo.Place) (float64, bool) { return hourly(region, wanted[slot]) }
	return ask
}

// hourly is what machines cost an hour in a region; ok is false where the price of one isn't known.
func hourly(region geo.Place, machines map[string]int) (usd float64, ok bool) {
	for size, n := range machines {
		c, known := price.Of(price.Use{Cloud: cloud.Provider(region.Cloud), Region: region.ID,
			Charge: cloud.Charge{Part: cloud.PartMachine, Type: sizes.TypeName(region.Cloud, size)}})
		if !known {
			return 0, false
		}
		usd += float64(n) * c.PerHour
	}
	return usd, true
}

// chooseRegions gives the sites of a file that have no region one: that of the metro, else the ones that are nearest to each
// other, and to those that are given. The file as it is stored and printed has them, so that a later table changes nothing.
func chooseRegions(c *spec.Cluster, clouds []string, far distances) (errs spec.Errors) {
	ask := asking(c, clouds, far)
	open := func(i int) bool { return c.Spec.Sites[i].Region == "" && clouds[i] != "" }
	if c.Spec.Metro != "" {
		for i, p := range geo.InMetro(c.Spec.Metro, ask.Slots) {
			switch {
			case !open(i):
			case p.ID == "":
				errs = append(errs, noMetro(c.Spec.Metro, clouds[i], c.Spec.Sites[i].Name))
			default:
				c.Spec.Sites[i].Region = p.ID
			}
		}
		return errs
	}
	for i, s := range c.Spec.Sites {
		if _, ok := geo.Region(clouds[i], s.Region); !ok && !open(i) {
			return nil // what is wrong with the others is said first
		}
	}
	best, _, err := geo.Choose(ask)
	if none, ok := errors.AsType[*geo.Nowhere](err); ok {
		return spec.Errors{{Path: fmt.Sprintf("spec.sites[%d].region", none.Slot), Message: fmt.Sprintf("it isn't given, and none can be chosen: %s; name one", none.Message)}}
	}
	for i := range c.Spec.Sites {
		if open(i) && len(best) > 0 {
			c.Spec.Sites[i].Region = best[0].Regions[i].ID
		}
	}
	return nil
}

// placeMembers says at which sites a new control plane stands, where the file leaves that open: a majority is reached soonest
// there.
func placeMembers(c *spec.Cluster, found []placed, far distances) {
	if len(c.Spec.ControlPlane.Sites) > 0 || len(found) != len(c.Spec.Sites) {
		return
	}
	var places []geo.Place
	seen := map[string]bool{"": true}
	for _, p := range found {
		if seen[p.site.Name] {
			return // Validate says so
		}
		seen[p.site.Name] = true
		places = append(places, p.place)
	}
	for _, i := range geo.PlaceMembers(places, cmp.Or(c.Spec.ControlPlane.Replicas, 3), far.between).Sites {
		c.Spec.ControlPlane.Sites = append(c.Spec.ControlPlane.Sites, found[i].site.Name)
	}
}

// oneSided says that the loss of one site stops Kubernetes' API, where that is so.
func oneSided(c *spec.Cluster) []string {
	site, there, ok := spec.Majority(c)
	if !ok {
		return nil
	}
	of := c.Spec.ControlPlane.Replicas
	if of == 1 {
		return nil // who asks for one knows
	}
	return []string{fmt.Sprintf("%d of %d control-plane nodes stand at site %s: while that site is away, Kubernetes' API is down; over three sites the loss of any one is survived",
		there, of, site)}
}

// tooFar is the problem of the two sites with the longest round trip between them, where that is over the limit. Sites that the
// cluster in force has by the same limit are let be: they are there, and measured.
func tooFar(c *spec.Cluster, old *asked, sites []placed, far distances) spec.Errors {
	limit := time.Duration(c.Spec.Network.MaxRTT)
	if c.Measures() {
		return nil // how far it is, it is to find out
	}
	there := func(s spec.Site) bool {
		if old == nil || old.Spec.Spec.Network.MaxRTT != c.Spec.Network.MaxRTT {
			return false
		}
		was, ok := old.Spec.Site(s.Name)
		return ok && was.Region == s.Region
	}
	var a, b placed
	var worst geo.Trip
	for i, x := range sites {
		for _, y := range sites[:i] {
			if trip := far.between(y.place, x.place); trip.RTT > worst.RTT && !(there(x.site) && there(y.site)) {
				a, b, worst = y, x, trip
			}
		}
	}
	if worst.RTT <= limit {
		return nil
	}
	return spec.Errors{{Path: "spec.network.maxRTT", Value: limit.String(), Message: fmt.Sprintf(
		"the round trip between the sites %s (%s) and %s (%s) is %s; %s", a.site.Name, a.place, b.site.Name, b.place, worst, instead(c, sites, limit, there, far))}}
}

// instead is the best there is in place of sites that are too far from each other: as few of them in other regions as it
// takes. Those that stand already stay.
func instead(c *spec.Cluster, sites []placed, limit time.Duration, stays func(spec.Site) bool, far distances) string {
	only := c.Clone()
	only.Spec.Sites = nil
	var clouds []string
	for _, p := range sites {
		only.Spec.Sites = append(only.Spec.Sites, p.site)
		clouds = append(clouds, p.place.Cloud)
	}
	ask := asking(only, clouds, far)
	// free returns the ask with all regions open but those of sites that keep says.
	free := func(keep func(i int) bool) (geo.Combination, bool) {
		other := ask
		other.Slots = slices.Clone(ask.Slots)
		for i, p := range sites {
			if !keep(i) && !stays(p.site) {
				other.Slots[i].Region = ""
			}
		}
		best, _, err := geo.Choose(other)
		if err != nil || len(best) == 0 {
			return geo.Combination{}, false
		}
		return best[0], true
	}
	var best geo.Combination
	better := func(keep func(i int) bool) {
		if found, ok := free(keep); ok && (best.Regions == nil || found.Worst.RTT < best.Worst.RTT) {
			best = found
		}
	}
	for i := range sites { // one site elsewhere
		better(func(j int) bool { return j != i })
	}
	if len(sites) > 2 && (best.Regions == nil || best.Worst.RTT > limit) {
		for i := range sites { // all but one
			better(func(j int) bool { return j == i })
		}
	}
	if best.Regions == nil || best.Worst.RTT > limit {
		better(func(int) bool { return false })
	}
	if best.Regions == nil {
		return "want a higher limit"
	}
	var moves []string
	for i, p := range sites {
		if best.Regions[i].ID != p.place.ID {
			moves = append(moves, fmt.Sprintf("%s for site %s", best.Regions[i].ID, p.site.Name))
		}
	}
	if best.Worst.RTT > limit || len(moves) == 0 {
		return fmt.Sprintf("no regions of these clouds are within the limit: the nearest to each other have %s; want fewer sites, or a limit of at least that", best.Worst)
	}
	return fmt.Sprintf("the best in its place is %s, which has %s at most; want that, or a higher limit", strings.Join(moves, ", "), best.Worst)
}
