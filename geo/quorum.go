package geo

import (
	"slices"
	"time"
)

// Placement is where the members of a control plane stand.
type Placement struct {
	// Sites are the indices of the places that get members, in the order that they are dealt in: each gets one in turn until
	// all are dealt.
	Sites []int
	// Members is how many each place gets.
	Members []int
	// Quorum is how long the leader of etcd waits at most for a majority to have what it writes, whichever member leads.
	Quorum time.Duration
	// Majority is the place whose loss takes the majority with it, as more than the others can spare stand there; -1 where the
	// loss of no single place does.
	Majority int
}

// PlaceMembers places the members of a control plane, an odd number: as evenly as it goes, so that the loss of one place is
// survived where that can be, and of the ways to do so the one with the smallest round trip to a quorum; then the smallest sum of all
// round trips, then the first ones by the order of the places.
func PlaceMembers(places []Place, members int, trip func(a, b Place) Trip) Placement {
	if len(places) == 0 || members < 1 {
		return Placement{Members: make([]int, len(places)), Majority: -1}
	}
	if trip == nil {
		trip = Between
	}
	rtt := make([][]time.Duration, len(places))
	for i, a := range places {
		for _, b := range places {
			rtt[i] = append(rtt[i], trip(a, b).RTT)
		}
	}
	each, extra := members/len(places), members%len(places)
	var best Placement
	var bestSum time.Duration
	subsets(len(places), extra, func(more []int) {
		counts := make([]int, len(places))
		for i := range counts {
			counts[i] = each
		}
		for _, i := range more {
			counts[i]++
		}
		quorum, sum := quorumTrip(rtt, counts, members)
		if best.Members == nil || quorum < best.Quorum || quorum == best.Quorum && sum < bestSum {
			best, bestSum = Placement{Members: counts, Quorum: quorum, Majority: -1, Sites: slices.Clone(more)}, sum
		}
	})
	for i, n := range best.Members {
		if n > 0 && !slices.Contains(best.Sites, i) {
			best.Sites = append(best.Sites, i)
		}
		if members-n < members/2+1 {
			best.Majority = i
		}
	}
	return best
}

// quorumTrip is how long the slowest leader waits for a majority, itself included, and the sum of all ways between members.
func quorumTrip(rtt [][]time.Duration, counts []int, members int) (quorum, sum time.Duration) {
	for leader, n := range counts {
		if n == 0 {
			continue
		}
		var ways []time.Duration
		for other, m := range counts {
			if other == leader {
				m--
			}
			for range m {
				ways = append(ways, rtt[leader][other])
				sum += rtt[leader][other]
			}
		}
		slices.Sort(ways)
		if need := members / 2; need > 0 { // beside the leader itself
			quorum = max(quorum, ways[need-1])
		}
	}
	return quorum, sum
}

// subsets calls do with every choice of k numbers below n, in order.
func subsets(n, k int, do func([]int)) {
	chosen := make([]int, 0, k)
	var next func(from int)
	next = func(from int) {
		if len(chosen) == k {
			do(chosen)
			return
		}
		for i := from; i <= n-(k-len(chosen)); i++ {
			chosen = append(chosen, i)
			next(i + 1)
			chosen = chosen[:len(chosen)-1]
		}
	}
	next(0)
}
