package probe

import (
	"slices"

	"github.com/skyweld/skyweld/node"
)

// sumUp sums up round trips, in microseconds and in the order in which their probes were sent.
func sumUp(sent int, trips []int64) node.Trips {
	sum := node.Trips{Sent: sent, Lost: sent - len(trips)}
	if len(trips) == 0 {
		return sum
	}
	ordered := slices.Sorted(slices.Values(trips))
	sum.Min, sum.P50, sum.P99 = ordered[0], nearestRank(ordered, 50), nearestRank(ordered, 99)
	if len(trips) > 1 {
		var total int64
		for i := 1; i < len(trips); i++ {
			total += max(trips[i]-trips[i-1], trips[i-1]-trips[i])
		}
		sum.Jitter = total / int64(len(trips)-1)
	}
	return sum
}

// nearestRank is a percentile of what is sorted and not empty.
func nearestRank[T any](ordered []T, percent int) T {
	return ordered[(len(ordered)*percent+99)/100-1]
}
