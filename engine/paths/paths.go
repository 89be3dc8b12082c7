// Package paths says what measurements between sites mean: that a way is slow, that a tunnel is down, how large a packet
// may be. It is pure; it neither measures nor mends.
package paths

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/store"
)

// Pair is two sites, in the order of their names: a round trip is the same from both.
type Pair struct{ A, B string }

// PairOf puts two sites in order.
func PairOf(x, y string) Pair { return Pair{min(x, y), max(x, y)} }

// String is how people read it.
func (p Pair) String() string { return p.A + "–" + p.B }

// MarshalText makes it a key of JSON.
func (p Pair) MarshalText() ([]byte, error) { return []byte(p.A + "/" + p.B), nil }

// UnmarshalText reads what MarshalText writes.
func (p *Pair) UnmarshalText(text []byte) error {
	a, b, ok := strings.Cut(string(text), "/")
	if !ok {
		return fmt.Errorf("%q is no pair of sites", text)
	}
	*p = Pair{a, b}
	return nil
}

// Fold puts what both sites of a pair measured in the same stretch of time into one. Each pair's stretches come in order.
func Fold(all []store.Latency) map[Pair][]store.Latency {
	type stretch struct {
		pair  Pair
		start int64
		step  time.Duration
	}
	parts := map[stretch][]store.Latency{}
	for _, l := range all {
		s := stretch{PairOf(l.From, l.To), l.Start.UnixMicro(), l.Step}
		parts[s] = append(parts[s], l)
	}
	out := map[Pair][]store.Latency{}
	for s, p := range parts {
		slices.SortFunc(p, func(a, b store.Latency) int { return cmp.Compare(a.From, b.From) })
		merged := store.MergeLatency(p[0].Start, s.step, p)
		merged.From, merged.To = s.pair.A, s.pair.B
		out[s.pair] = append(out[s.pair], merged)
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b store.Latency) int { return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Step, b.Step)) })
	}
	return out
}

const (
	// sustained is for how many windows something must hold before it is believed: five minutes, with the usual window.
	sustained = 5
	// wellBelow is the part of the limit below which a round trip has to stay before it counts as well again.
	wellBelow = 0.9
	// fewest is how many answers a window needs before its median says anything; of many probes it must be a fifth.
	fewest, fewestPart = 3, 5
)

// proves says that a window has enough answers to say something.
func proves(l store.Latency) bool {
	return l.Inside.Answered() >= max(fewest, l.Inside.Sent/fewestPart)
}

// Slow says whether the round trip of a pair counts as over the limit, and since when it does, or doesn't. It does after five
// windows over it, and no longer after five well below; between them, and where too little is known, what was stays. The
// windows are the pair's last ones, as Fold returns them.
func Slow(windows []store.Latency, limit time.Duration, was bool, now time.Time) (slow bool, since time.Time) {
	holds := func(l store.Latency) bool { return l.Inside.P50 > limit }
	if was {
		holds = func(l store.Latency) bool { return float64(l.Inside.P50) < wellBelow*float64(limit) }
	}
	var begin, end time.Time
	var step, known time.Duration
	for _, l := range slices.Backward(windows) {
		switch {
		case !proves(l):
			continue
		case end.IsZero():
			step, end = l.Step, l.End()
			if now.Sub(end) > sustained*step {
				return was, time.Time{}
			}
		case begin.Sub(l.End()) > sustained*step/2:
			holds = func(store.Latency) bool { return false } // too long ago to belong to it
		}
		if !holds(l) {
			break
		}
		begin = l.Start
		if !was && l.Inside.Min <= limit { // it began in the middle of this window
			begin = begin.Add(l.Step / 2)
		}
		known += l.Step
	}
	if begin.IsZero() || 2*known < sustained*step {
		return was, time.Time{}
	}
	reach := end.Add(step / 2)
	if now.Before(reach) {
		reach = now
	}
	if reach.Sub(begin) < sustained*step {
		return was, time.Time{}
	}
	return !was, begin
}

// oldHandshake is how old a tunnel's last handshake is when it is dead: WireGuard makes one every two minutes while packets
// flow, and drops what it has after three.
const oldHandshake = 3 * time.Minute

// State is how a tunnel is.
type State int

// The states of a tunnel.
const (
	// Unproven is a tunnel of which too little is known, or that loses everything though a handshake was just made.
	Unproven State = iota
	Up
	Down
)

// lately is how many windows ago something is too old to say how a tunnel is now.
const lately = 3

// Tunnel says how the tunnel of a pair is by what each of its sites measured in its last two windows. It is up when a probe
// came back through it in the last one; it is down when none did in both, from neither site, and its last handshake is old.
// One window alone may be that of a node that died: another takes its place then.
func Tunnel(all []store.Latency, pair Pair, now time.Time) State {
	last := map[string][]store.Latency{}
	for _, l := range all {
		if PairOf(l.From, l.To) == pair && l.Inside.Sent > 0 && now.Sub(l.End()) <= (lately+1)*l.Step {
			last[l.From] = append(last[l.From], l)
		}
	}
	state, proven := Unproven, true
	for _, list := range last {
		slices.SortFunc(list, func(a, b store.Latency) int { return a.Start.Compare(b.Start) })
		newest := list[len(list)-1]
		switch {
		case now.Sub(newest.End()) > lately*newest.Step:
			continue
		case newest.Inside.Answered() > 0:
			return Up
		case len(list) < 2 || !dead(newest) || !dead(list[len(list)-2]):
			proven = false
		}
		state = Down
	}
	if !proven {
		return Unproven
	}
	return state
}

// dead says that nothing came through a tunnel, and nothing could have.
func dead(l store.Latency) bool {
	return l.Inside.Answered() == 0 && (l.Handshake == store.NoHandshake || l.Handshake > oldHandshake)
}

// largerAfter is for how many windows a larger packet must pass before it is believed: an hour, with the usual window. Too
// large a packet is lost without a word; a smaller one costs a little.
const largerAfter = 60

// MTU is the largest packet that the paths between all sites carry, in bytes, given what is set now. A smaller one counts at
// once, a larger one when every path has carried it for an hour.
func MTU(set int, all []store.Latency, now time.Time) int {
	newest, oldest, hour := map[[2]string]store.Latency{}, map[[2]string]time.Time{}, 0
	for _, l := range all {
		way := [2]string{l.From, l.To}
		if l.MTU == 0 || now.Sub(l.End()) > largerAfter*l.Step {
			continue
		}
		if !l.Start.Before(newest[way].Start) {
			newest[way] = l
		}
		if at, ok := oldest[way]; !ok || l.Start.Before(at) {
			oldest[way] = l.Start
		}
		if hour == 0 || l.MTU < hour {
			hour = l.MTU
		}
	}
	smallest, whole := 0, true
	for way, l := range newest {
		if smallest == 0 || l.MTU < smallest {
			smallest = l.MTU
		}
		whole = whole && now.Sub(oldest[way]) >= (largerAfter-1)*l.Step
	}
	switch {
	case smallest == 0:
		return set
	case smallest < set:
		return smallest
	case whole && hour > set:
		return hour
	}
	return set
}
