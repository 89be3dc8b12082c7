package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/engine/paths"
	"github.com/skyweld/skyweld/store"
)

// pathMemory is what is remembered of the ways between sites from look to look.
type pathMemory struct {
	// Slow are the pairs whose round trip is over the limit, Down those whose tunnel is down.
	Slow map[paths.Pair]slowPair  `json:"slow,omitempty"`
	Down map[paths.Pair]time.Time `json:"down,omitempty"`
	// Told is the time of the last thing mended by a node's agent that there is an event of, by node.
	Told map[string]int64 `json:"told,omitempty"`
}

// slowPair is a pair whose round trip is over the limit: since when, and how long it was when that was noticed.
type slowPair struct {
	Since time.Time     `json:"since"`
	RTT   time.Duration `json:"rtt"`
}

// told is something that is to become an event.
type told struct{ kind, reason, object, message string }

// judge makes of what was measured the conditions that hold, what is to be told, and what a run could mend.
func (m *pathMemory) judge(cluster string, seen pathSight, now time.Time) (conditions []store.Condition, tell []told, mend []string) {
	object := "cluster " + cluster
	tell = append(m.judgeTimes(object, seen, now), m.judgeTunnels(object, seen, now)...)
	tell = append(tell, m.tellMended(seen)...)
	if c, ok := m.slowCondition(cluster, seen); ok {
		conditions = append(conditions, c)
	}
	if c, ok := m.downCondition(); ok {
		conditions = append(conditions, c)
	}
	for _, p := range pairsOf(m.Down) {
		mend = append(mend, tunnelTrouble(p))
	}
	if seen.largest < seen.mtu {
		mend = append(mend, fmt.Sprintf("the size of packets: between sites only those of up to %d bytes pass", seen.largest))
	}
	return conditions, tell, mend
}

// tunnelTrouble names a tunnel that is down, among what a run could mend.
func tunnelTrouble(p paths.Pair) string { return "the tunnel " + p.String() }

func (m *pathMemory) judgeTimes(object string, seen pathSight, now time.Time) (tell []told) {
	folded, slow := paths.Fold(seen.windows), map[paths.Pair]slowPair{}
	for _, p := range seen.pairs {
		old, was := m.Slow[p]
		is, since := paths.Slow(folded[p], seen.limit, was, now)
		switch {
		case is && was:
			slow[p] = old
		case is:
			slow[p] = slowPair{since, lastMedian(folded[p])}
			tell = append(tell, told{store.Warning, farType, object, slowText(p, slow[p], seen.limit)})
		case was:
			tell = append(tell, told{store.Normal, "LatencyNormal", object, fmt.Sprintf("the round trip %s is %s, and within the limit of %s again", p, inMillis(lastMedian(folded[p])), seen.limit)})
		}
	}
	m.Slow = slow
	return tell
}

// lastMedian is the newest median there is.
func lastMedian(windows []store.Latency) time.Duration {
	for _, l := range slices.Backward(windows) {
		if l.Inside.Answered() > 0 {
			return l.Inside.P50
		}
	}
	return 0
}

func slowText(p paths.Pair, s slowPair, limit time.Duration) string {
	return fmt.Sprintf("the round trip %s is over the limit of %s (spec.network.maxRTT) since %s: the median was %s", p, limit, s.Since.UTC().Format("2006-01-02 15:04 MST"), inMillis(s.RTT))
}

func (m *pathMemory) slowCondition(cluster string, seen pathSight) (store.Condition, bool) {
	c := store.Condition{Type: farType, Status: conditionTrue, Reason: "OverTheLimit"}
	var texts []string
	for _, p := range pairsOf(m.Slow) {
		s := m.Slow[p]
		texts = append(texts, slowText(p, s, seen.limit))
		c.Since = earliest(c.Since, s.Since)
	}
	c.Message = firstFew(texts) + ". 'skyweld latency " + cluster + " --since 1h' shows how it is now; clouds tell of trouble on their status pages, and a higher spec.network.maxRTT accepts it"
	return c, len(texts) > 0
}

func (m *pathMemory) judgeTunnels(object string, seen pathSight, now time.Time) (tell []told) {
	down := map[paths.Pair]time.Time{}
	for _, p := range seen.pairs {
		since, was := m.Down[p]
		state := paths.Tunnel(seen.windows, p, now)
		switch {
		case state == paths.Up && was:
			tell = append(tell, told{store.Normal, "TunnelUp", object, fmt.Sprintf("the tunnel %s is up again; it was down for %s", p, now.Sub(since).Round(time.Second))})
		case state == paths.Up || state == paths.Unproven && !was:
		case was:
			down[p] = since
		case seen.dead[p.A] || seen.dead[p.B]: // the machines are gone, and that is told by others
		default:
			down[p] = now
			tell = append(tell, told{store.Warning, tunnelDown, object, downText(p, seen.windows)})
		}
	}
	m.Down = down
	return tell
}

// downText says what is known of a tunnel that is down.
func downText(p paths.Pair, windows []store.Latency) string {
	text := fmt.Sprintf("the tunnel %s is down: ", p)
	var newest store.Latency
	for _, l := range windows {
		if paths.PairOf(l.From, l.To) == p && !l.Start.Before(newest.Start) {
			newest = l
		}
	}
	text += fmt.Sprintf("none of the last %d probes through it came back, ", newest.Inside.Sent)
	if newest.Handshake == store.NoHandshake {
		text += "and it has had no handshake"
	} else {
		text += "and its last handshake was " + newest.Handshake.Round(time.Second).String() + " before"
	}
	switch {
	case newest.Outside.Sent == 0:
	case newest.Outside.Answered() > 0:
		text += fmt.Sprintf("; beside it the way is open (%s): its key, or the device on a node", inMillis(newest.Outside.P50))
	default:
		text += "; beside it nothing passes either: an address, a firewall, or the way itself"
	}
	return text
}

func (m *pathMemory) downCondition() (store.Condition, bool) {
	c := store.Condition{Type: tunnelDown, Status: conditionTrue, Reason: "TunnelDown"}
	var names []string
	for _, p := range pairsOf(m.Down) {
		names = append(names, p.String())
		c.Since = earliest(c.Since, m.Down[p])
	}
	what := "the tunnel " + strings.Join(names, "")
	if len(names) > 1 {
		what = "the tunnels " + firstFew(names)
	}
	c.Message = what + " let nothing through: a run looks for the cause (addresses, keys, firewalls, the nodes' own devices) and mends it; 'skyweld get events' has what was seen"
	if len(names) == 1 {
		c.Message = strings.Replace(c.Message, " let ", " lets ", 1)
	}
	return c, len(names) > 0
}

// tellMended tells what agents mended by themselves, once.
func (m *pathMemory) tellMended(seen pathSight) (tell []told) {
	last := map[string]int64{}
	for name, at := range m.Told {
		last[name] = at
	}
	for _, v := range seen.mended {
		if v.At <= m.Told[v.node] {
			continue
		}
		last[v.node] = max(last[v.node], v.At)
		tell = append(tell, told{store.Warning, "NodeMended", "node " + v.node, fmt.Sprintf("its agent has brought back what was not as it should be, at %s: %s", time.Unix(v.At, 0).UTC().Format("15:04:05 MST"), v.What)})
	}
	m.Told = last
	return tell
}

func pairsOf[V any](m map[paths.Pair]V) []paths.Pair {
	return slices.SortedFunc(maps.Keys(m), func(a, b paths.Pair) int { return strings.Compare(a.String(), b.String()) })
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// inMillis is a round trip as people read it.
func inMillis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
