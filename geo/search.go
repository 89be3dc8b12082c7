package geo

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// search is a walk over all combinations that leaves out what can't be among the best any more: at each slot it knows how
// near, how well known and how cheap the rest can be at best, and compares that with the worst one that it keeps.
type search struct {
	ask  Ask
	t    *catalogue
	keep int
	// cands are each slot's regions; order is that of the walk, the fewest first.
	cands [][]int
	order []int
	// matrix holds round trips in 10 µs between all candidates, and near those from Ask.Near; prices are by slot and region.
	rtt    map[[2]int]int32
	matrix [][]int32
	near   []int32
	prices []map[int]cost
	cheap  []cost   // the least that the slots from that one on, in the order of the walk, can cost
	chosen []int    // by slot
	alike  [][]bool // slots that could change their regions without a difference
	best   []found
	visits int
	gaveUp bool
}

// patience is how many partial combinations are looked at. No choice of up to six regions comes near it.
const patience = 20_000_000

// microUSD makes prices whole numbers, so that sums don't depend on their order.
const microUSD = 1e6

// cost is a price: what isn't known counts before what is, as more of it is worse.
type cost struct{ unknown, micro int64 }

// rank orders combinations: by the worst of all ways, by the worst between two regions, by price.
type rank struct {
	far, worst     int32
	unknown, price int64
}

func (r rank) compare(o rank) int {
	return cmp.Or(cmp.Compare(r.far, o.far), cmp.Compare(r.worst, o.worst), cmp.Compare(r.unknown, o.unknown), cmp.Compare(r.price, o.price))
}

type found struct {
	rank
	regions []int // by slot
}

func (f found) compare(o found) int {
	return cmp.Or(f.rank.compare(o.rank), slices.Compare(f.regions, o.regions))
}

// ticks is a time in the resolution of round trips.
func ticks(t Trip) int32 { return int32(t.RTT / 10_000) }

func (s *search) trip(a, b int) Trip {
	if s.ask.Known != nil {
		if t, ok := s.ask.Known(s.t.places[a], s.t.places[b]); ok {
			return t
		}
	}
	return s.t.trips[a][b]
}

// price is what a region costs for a slot, in millionths of a dollar.
func (s *search) price(slot, region int) (micro int64, known bool) {
	if s.ask.Price == nil {
		return 0, true
	}
	usd, known := s.ask.Price(slot, s.t.places[region])
	if !known || !(usd >= 0 && usd < 1e6) {
		return 0, false
	}
	return int64(math.Round(usd * microUSD)), true
}

// prepare finds the candidates, and all figures about them.
func (s *search) prepare() error {
	n := len(s.ask.Slots)
	s.chosen, s.prices, s.near = make([]int, n), make([]map[int]cost, n), make([]int32, len(s.t.places))
	var all []int
	for i := range s.ask.Slots {
		c, err := s.candidates(i)
		if err != nil {
			return err
		}
		s.cands = append(s.cands, c)
		s.order = append(s.order, i)
		s.prices[i] = map[int]cost{}
		for _, p := range c {
			micro, known := s.price(i, p)
			s.prices[i][p] = cost{map[bool]int64{true: 0, false: 1}[known], micro}
		}
		all = append(all, c...)
	}
	for i, a := range s.ask.Slots {
		s.alike = append(s.alike, make([]bool, n))
		for j, b := range s.ask.Slots {
			s.alike[i][j] = i != j && a.Region == "" && b.Region == "" && maps.Equal(s.prices[i], s.prices[j])
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	s.matrix = make([][]int32, len(s.t.places))
	for _, a := range all {
		s.matrix[a] = make([]int32, len(s.t.places))
		for _, b := range all {
			s.matrix[a][b] = ticks(s.trip(a, b))
		}
		if s.ask.Near != nil {
			s.near[a] = ticks(s.ask.Near.To(s.t.places[a]))
		}
	}
	slices.SortStableFunc(s.order, func(a, b int) int { return cmp.Compare(len(s.cands[a]), len(s.cands[b])) })
	s.cheap = make([]cost, n+1)
	for level := n - 1; level >= 0; level-- {
		slot := s.order[level]
		least := cost{math.MaxInt64, math.MaxInt64}
		for _, c := range s.prices[slot] {
			least = cost{min(least.unknown, c.unknown), min(least.micro, c.micro)}
		}
		s.cheap[level] = cost{s.cheap[level+1].unknown + least.unknown, s.cheap[level+1].micro + least.micro}
	}
	return nil
}

// step is one region that a slot might get next.
type step struct {
	region int
	rank
}

// walk gives the slots from a level on their regions, in all ways that could be among the best; at is what the ones before
// have.
func (s *search) walk(level int, at rank) {
	if s.visits++; s.visits > patience {
		s.gaveUp = true
		return
	}
	if level == len(s.order) {
		s.found(at)
		return
	}
	slot := s.order[level]
	var steps []step
	for _, p := range s.cands[slot] {
		if !s.free(level, slot, p) {
			continue
		}
		next := at
		next.far = max(next.far, s.near[p])
		for _, other := range s.order[:level] {
			next.worst = max(next.worst, s.matrix[p][s.chosen[other]])
		}
		if limit := s.ask.Limit; limit > 0 && int64(next.worst) > int64(limit/10_000) {
			continue
		}
		next.far = max(next.far, next.worst)
		c := s.prices[slot][p]
		next.unknown, next.price = next.unknown+c.unknown, next.price+c.micro
		steps = append(steps, step{p, next})
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Or(a.rank.compare(b.rank), cmp.Compare(a.region, b.region)) })
	for _, st := range steps {
		s.chosen[slot] = st.region
		if bound := s.bound(level+1, st.rank); len(s.best) == s.keep && bound.compare(s.best[s.keep-1].rank) > 0 {
			continue
		}
		if s.walk(level+1, st.rank); s.gaveUp {
			return
		}
	}
}

// bound is what a combination has at least that begins with what is chosen before a level.
func (s *search) bound(level int, at rank) rank {
	if level == len(s.order) {
		return at
	}
	far, worst := at.far, at.worst
	for _, slot := range s.order[level:] {
		leastFar, leastWorst := int32(math.MaxInt32), int32(math.MaxInt32)
		for _, p := range s.cands[slot] {
			if !s.free(level, slot, p) {
				continue
			}
			w := int32(0)
			for _, other := range s.order[:level] {
				w = max(w, s.matrix[p][s.chosen[other]])
			}
			leastWorst, leastFar = min(leastWorst, w), min(leastFar, max(w, s.near[p]))
		}
		far, worst = max(far, leastFar), max(worst, leastWorst)
	}
	at.far, at.worst = max(far, worst), worst
	at.unknown, at.price = at.unknown+s.cheap[level].unknown, at.price+s.cheap[level].micro
	return at
}

// free says whether a slot may have a region beside those of the levels before: two slots of one cloud have two regions
// unless both are given, and of slots that are alike the later ones have the later regions, so that each set comes once.
func (s *search) free(level, slot, region int) bool {
	mine := s.ask.Slots[slot]
	for _, other := range s.order[:level] {
		if s.chosen[other] == region && (mine.Region == "" || s.ask.Slots[other].Region == "") {
			return false
		}
		if s.alike[slot][other] && (other < slot) != (s.chosen[other] < region) {
			return false
		}
	}
	return true
}

func (s *search) found(at rank) {
	f := found{at, slices.Clone(s.chosen)}
	i, _ := slices.BinarySearchFunc(s.best, f, found.compare)
	if i < s.keep {
		s.best = slices.Insert(s.best, i, f)
		s.best = s.best[:min(len(s.best), s.keep)]
	}
}
