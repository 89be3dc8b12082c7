package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/engine/paths"
	"github.com/skyweld/skyweld/store"
)

// SiteWays is what nodes of a cluster measured between its sites all the time.
type SiteWays struct {
	// Since is from when on, Until the database's time now, Limit the longest round trip that the cluster file allows.
	Since, Until time.Time
	Limit        time.Duration
	// Ways are all that was measured since, one line for each way from one site to another.
	Ways []store.Latency
	// History is the same step by step, with both ways of a pair in one line. Steps are Step long; those of which only coarser
	// ones are kept are longer.
	Step    time.Duration
	History []store.Latency
}

const (
	// measuredUsually is how far back one looks who doesn't say: so many windows.
	measuredUsually = 5
	// fineSpan and middleSpan are how long a history may be in windows, and in tens of minutes, before its lines become too many
	// for people.
	fineSpan, middleSpan = 3 * time.Hour, 36 * time.Hour
)

// SiteWays returns what was measured since a moment, the last few windows where that is zero; of one pair of sites ("aws/gcp"),
// or of all.
func (e *Engine) SiteWays(ctx context.Context, name string, since time.Time, pair string) (SiteWays, error) {
	c, err := e.Cluster(ctx, name)
	if err != nil {
		return SiteWays{}, err
	}
	only, err := pairAsked(c, pair)
	if err != nil {
		return SiteWays{}, err
	}
	out := SiteWays{Limit: time.Duration(c.Spec.Spec.Network.MaxRTT), Step: cmp.Or(e.opts.LatencyWindow, time.Minute)}
	if out.Until, err = e.store.Now(ctx); err != nil {
		return out, err
	}
	if out.Since = since; since.IsZero() {
		out.Since = out.Until.Add(-measuredUsually * out.Step)
	}
	if span := out.Until.Sub(out.Since); span > middleSpan {
		out.Step = time.Hour
	} else if span > fineSpan {
		out.Step = 10 * time.Minute
	}
	all, err := e.store.ListLatency(ctx, c.UID, out.Since)
	if err != nil {
		return out, err
	}
	all = slices.DeleteFunc(all, func(l store.Latency) bool { return pair != "" && paths.PairOf(l.From, l.To) != only })
	out.Ways, out.History = waysOf(all), historyOf(all, out.Step)
	return out, nil
}

// pairAsked reads a pair of a cluster's sites.
func pairAsked(c store.Cluster, text string) (paths.Pair, error) {
	if text == "" {
		return paths.Pair{}, nil
	}
	var sites []string
	for _, s := range c.Spec.Spec.Sites {
		sites = append(sites, s.Name)
	}
	a, b, ok := strings.Cut(text, "/")
	if !ok || a == b || !slices.Contains(sites, a) || !slices.Contains(sites, b) {
		return paths.Pair{}, Invalidf("query.pair", "found %q: want two of the cluster's sites (%s) with a slash between them", text, strings.Join(sites, ", "))
	}
	return paths.PairOf(a, b), nil
}

// waysOf makes one line of all that was measured from one site to another.
func waysOf(all []store.Latency) []store.Latency {
	parts := map[string][]store.Latency{}
	for _, l := range all {
		parts[l.From+"/"+l.To] = append(parts[l.From+"/"+l.To], l)
	}
	var out []store.Latency
	for _, key := range sortedKeys(parts) {
		p := parts[key]
		last := p[len(p)-1]
		way := store.MergeLatency(p[0].Start, last.End().Sub(p[0].Start), p)
		way.Handshake, way.MTU = last.Handshake, cmp.Or(last.MTU, way.MTU) // how things are, not how they were at their worst
		out = append(out, way)
	}
	return out
}

// historyOf makes lines of at least a step's length, with both ways of a pair in one, by their beginnings.
func historyOf(all []store.Latency, step time.Duration) []store.Latency {
	type stretch struct {
		pair  paths.Pair
		start int64
		step  time.Duration
	}
	parts := map[stretch][]store.Latency{}
	for pair, list := range paths.Fold(all) {
		for _, l := range list {
			long := max(step, l.Step)
			s := stretch{pair, l.Start.Truncate(long).UnixMicro(), long}
			parts[s] = append(parts[s], l)
		}
	}
	var out []store.Latency
	for s, p := range parts {
		out = append(out, store.MergeLatency(time.UnixMicro(s.start).UTC(), s.step, p))
	}
	inOrderOfTime(out)
	return out
}

// lastWays is the newest of what was measured on each way between sites of each cluster, by their UIDs, where that is no older
// than a few windows.
func (e *Engine) lastWays(ctx context.Context, now time.Time) (map[string][]store.Latency, error) {
	all, err := e.store.AllLatency(ctx, now.Add(-(measuredUsually+1)*cmp.Or(e.opts.LatencyWindow, time.Minute)))
	if err != nil {
		return nil, err
	}
	for uid, list := range all {
		last := map[string]store.Latency{}
		for _, l := range list {
			last[l.From+"/"+l.To] = l
		}
		all[uid] = nil
		for _, key := range sortedKeys(last) {
			all[uid] = append(all[uid], last[key])
		}
	}
	return all, nil
}
