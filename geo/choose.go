package geo

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Slot is one site that wants a region.
type Slot struct {
	// Name is what the site is called; empty for the cloud's name.
	Name, Cloud string
	// Region is given where the choice is made already; the others are chosen near it.
	Region string
	// Sizes are those of small, medium and large that the region must have. Other words stand for a cloud's own types, of
	// which nothing is known here.
	Sizes []string
}

// Ask is what regions are chosen by.
type Ask struct {
	Slots []Slot
	// Metro leaves only the regions of that metro.
	Metro string
	// Near counts as one more site: the farthest round trip from there to a region counts beside those between regions.
	Near *Point
	// Exclude are regions that are not taken: "us-east-1" or "aws/us-east-1".
	Exclude []string
	// Limit leaves out what has a longer round trip between two regions; 0 for nothing.
	Limit time.Duration
	// OptIn allows regions that an account has to switch on first.
	OptIn bool
	// Price is what a region costs an hour for a slot, by its index; nil where prices are not asked for. Where known is false the
	// rest counts, and a combination of which more is known comes first.
	Price func(slot int, region Place) (usd float64, known bool)
	// Known are round trips that are preferred to the catalogue's, such as the user's own measurements; nil for none.
	Known func(a, b Place) (Trip, bool)
	// More is how many of the next best are wanted.
	More int
}

// Combination is a region for each slot.
type Combination struct {
	Regions []Place
	// A and B are the slots that are the farthest from each other, and Worst the trip between them; nothing with one slot.
	A, B  int
	Worst Trip
	// Far is the slot with the farthest region from Ask.Near, and FarTrip the trip there.
	Far     int
	FarTrip Trip
	// USD is what the regions cost an hour together, as far as that is known, and Unpriced the slots of which it isn't.
	USD      float64
	Unpriced []int
	// Metro has all the regions; empty where none has.
	Metro string
	// Why says why it is worse than the best; empty for that.
	Why string
}

// Nowhere is the error of Choose where a slot has no region to take, or, with a Slot of -1, where nothing is within the limit.
type Nowhere struct {
	Slot    int
	Message string
}

func (e *Nowhere) Error() string { return e.Message }

// Choose returns the combination with the smallest worst round trip between any two of its regions, and the next best in
// order. Of those with the same, prices decide, then names. Two slots of one cloud get two regions, but for those that are
// given. Exact is false where there were so many slots that the search was given up before its end; with up to six it
// never is.
func Choose(ask Ask) (best []Combination, exact bool, err error) {
	if len(ask.Slots) == 0 {
		return nil, true, nil
	}
	s := &search{ask: ask, t: load(), keep: ask.More + 1}
	if err := s.prepare(); err != nil {
		return nil, false, err
	}
	s.walk(0, rank{})
	if len(s.best) == 0 {
		return nil, !s.gaveUp, s.tooFew()
	}
	for _, f := range s.best {
		best = append(best, s.combination(f))
	}
	for i := range best[1:] {
		best[i+1].Why = s.why(best[0], best[i+1])
	}
	return best, !s.gaveUp, nil
}

// tooFew is the error where each slot has regions, but not all of them one of its own.
func (s *search) tooFew() error {
	for i, slot := range s.ask.Slots {
		same := 0
		for j, other := range s.ask.Slots {
			if j <= i && other.Cloud == slot.Cloud {
				same++
			}
		}
		if same > len(s.cands[i]) {
			return &Nowhere{i, fmt.Sprintf("%s has %s that may be taken, and %d are wanted", slot.Cloud, regionsOf(len(s.cands[i])), same)}
		}
	}
	if s.ask.Limit > 0 {
		return &Nowhere{-1, fmt.Sprintf("no regions of these clouds are within %s of each other", s.ask.Limit)}
	}
	return &Nowhere{0, "there are too few regions for that"}
}

func regionsOf(n int) string {
	if n == 1 {
		return "one region"
	}
	return fmt.Sprintf("%d regions", n)
}

// candidates are the regions that a slot may get, by their indices.
func (s *search) candidates(slot int) ([]int, error) {
	want := s.ask.Slots[slot]
	if want.Region != "" {
		i, ok := s.t.byID[key{want.Cloud, want.Region}]
		if !ok || s.t.places[i].Restricted {
			return nil, &Nowhere{slot, fmt.Sprintf("%s has no region %s", want.Cloud, want.Region)}
		}
		return []int{i}, nil
	}
	var metro Group
	if s.ask.Metro != "" {
		var ok bool
		if metro, ok = Metro(s.ask.Metro); !ok {
			return nil, &Nowhere{slot, fmt.Sprintf("there is no metro %s", s.ask.Metro)}
		}
	}
	var out []int
	left := "" // what took the last one away
	for i, p := range s.t.places {
		switch {
		case p.Cloud != want.Cloud || p.Restricted:
		case s.ask.Metro != "" && !metro.has(p):
			left = cmp.Or(left, " in the metro "+s.ask.Metro)
		case p.OptIn && !s.ask.OptIn:
			left = " that needs no switching on"
		case slices.Contains(s.ask.Exclude, p.ID), slices.Contains(s.ask.Exclude, p.Cloud+"/"+p.ID):
			left = " that isn't excluded"
		case slices.ContainsFunc(want.Sizes, func(size string) bool { return !p.Has(size) }):
			left = " that has " + strings.Join(want.Sizes, " and ")
		default:
			out = append(out, i)
		}
	}
	if len(out) == 0 {
		return nil, &Nowhere{slot, fmt.Sprintf("%s has no region%s", want.Cloud, left)}
	}
	return out, nil
}

// combination is what was found, in words and places.
func (s *search) combination(f found) Combination {
	c := Combination{USD: float64(f.price) / microUSD}
	for i, p := range f.regions {
		c.Regions = append(c.Regions, s.t.places[p].clone())
		if _, known := s.price(i, p); !known {
			c.Unpriced = append(c.Unpriced, i)
		}
		if s.ask.Near != nil {
			if t := s.ask.Near.To(s.t.places[p]); i == 0 || t.RTT > c.FarTrip.RTT {
				c.Far, c.FarTrip = i, t
			}
		}
		for j := range i {
			if t := s.trip(f.regions[j], p); t.RTT > c.Worst.RTT {
				c.A, c.B, c.Worst = j, i, t
			}
		}
	}
	c.Metro = MetroOf(c.Regions...)
	return c
}

// why says why b is worse than a.
func (s *search) why(a, b Combination) string {
	pair := fmt.Sprintf("%s and %s are %s apart, %s more", b.Regions[b.A], b.Regions[b.B], b.Worst.RTT, b.Worst.RTT-a.Worst.RTT)
	farA, farB := max(a.Worst.RTT, a.FarTrip.RTT), max(b.Worst.RTT, b.FarTrip.RTT)
	switch {
	case farB > farA && b.FarTrip.RTT > b.Worst.RTT:
		return fmt.Sprintf("%s is %s from %s, %s more", b.Regions[b.Far], b.FarTrip.RTT, s.ask.Near.Name, farB-farA)
	case farB > farA && a.FarTrip.RTT > a.Worst.RTT:
		return fmt.Sprintf("%s and %s are %s apart, %s more than the farthest way of the best", b.Regions[b.A], b.Regions[b.B], b.Worst.RTT, farB-farA)
	case b.Worst.RTT > a.Worst.RTT:
		return pair
	case len(b.Unpriced) > len(a.Unpriced):
		var names []string
		for _, i := range b.Unpriced {
			names = append(names, b.Regions[i].String())
		}
		return "as near, and no price is known of " + strings.Join(names, ", ")
	case b.USD > a.USD:
		return fmt.Sprintf("as near, and $%.4f an hour more", b.USD-a.USD)
	}
	return "as near and as cheap; by name it comes later"
}
