package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skyweld/skyweld/engine/paths"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/store"
)

// tunnelDown is the condition that a tunnel lets nothing through. As farType it holds while its status is "True", and isn't
// there at other times.
const tunnelDown = "TunnelDown"

const (
	// latencyReach is how far back one look reads what was measured: as long as it takes to prove that larger packets pass.
	latencyReach = 65 * time.Minute
	// agentRing is how long agents remember what they measured.
	agentRing = 24 * time.Hour
	// clockTrust is how far a node's clock may be ahead before what it measured isn't believed.
	clockTrust = 10 * time.Minute
)

// pathSight is what one look found out of the ways between a cluster's sites.
type pathSight struct {
	// pairs are those of sites that have nodes; windows is what was measured lately.
	pairs   []paths.Pair
	windows []store.Latency
	// dead are the sites none of whose machines shows any life: no tunnel is to blame there.
	dead map[string]bool
	// limit is the longest round trip that the cluster file allows; mtu what is set, largest what paths carry.
	limit        time.Duration
	mtu, largest int
	// mended are what agents mended by themselves, news of the last minutes.
	mended []mended
}

// mended is one thing that a node's agent mended by itself.
type mended struct {
	node string
	node.Mended
}

// seePaths stores what nodes publish of the ways between sites, and returns what was measured lately.
func (s *survey) seePaths(ctx context.Context, members map[string]kube.NodeInfo, known map[paths.Pair]time.Time, now time.Time) (pathSight, error) {
	out := pathSight{limit: time.Duration(s.spec.Spec.Network.MaxRTT), dead: map[string]bool{}, mtu: s.pathMTU()}
	reach := now.Add(-latencyReach)
	stored, err := s.e.store.ListLatency(ctx, s.cluster.UID, reach)
	if err != nil {
		return out, err
	}
	said := s.published(members)
	for _, name := range slices.Sorted(maps.Keys(said)) {
		for _, m := range said[name].Mended {
			out.mended = append(out.mended, mended{name, m})
		}
	}
	late := s.askLate(ctx, said, stored, now)
	fresh := unstored(stored, s.windowsOf(said, now), s.windowsOf(late, now))
	if err := s.e.store.PutLatency(ctx, s.cluster.UID, fresh); err != nil {
		return out, err
	}
	out.windows = replaced(stored, fresh)
	out.largest = paths.MTU(out.mtu, out.windows, now)
	out.pairs = s.pairs()
	s.meterPaths(out)
	for _, p := range out.pairs {
		if _, was := known[p]; was || paths.Tunnel(out.windows, p, now) == paths.Down {
			s.signsOfLife(ctx, members, out.dead, p.A, p.B)
		}
	}
	return out, nil
}

// pairs are those of sites that have nodes.
func (s *survey) pairs() []paths.Pair {
	var sites []string
	for _, n := range s.nodes {
		if f := s.facts.get(n.Name); f != nil && f.prepared() && !slices.Contains(sites, n.Site) {
			sites = append(sites, n.Site)
		}
	}
	slices.Sort(sites)
	var out []paths.Pair
	for i, a := range sites {
		for _, b := range sites[i+1:] {
			out = append(out, paths.Pair{A: a, B: b})
		}
	}
	return out
}

// published is what nodes say that they measured, by node. What can't be read is left out: a node is no authority.
func (s *survey) published(members map[string]kube.NodeInfo) map[string]node.Latency {
	out := map[string]node.Latency{}
	for _, n := range s.nodes {
		text := members[n.Name].Annotations[node.LatencyAnnotation]
		f := s.facts.get(n.Name)
		if text == "" || f == nil || members[n.Name].ProviderID != f.ProviderID {
			continue
		}
		var l node.Latency
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			s.e.log.Debug("what a node says that it measured can't be read", "cluster", s.cluster.Name, "node", n.Name, "err", err)
			continue
		}
		out[n.Name] = l
	}
	return out
}

// askLate asks nodes over SSH for what they measured while nobody read what they publish: the engine was away for longer than
// that reaches. It asks one node of each site, and once, since what is published is stored right after.
func (s *survey) askLate(ctx context.Context, said map[string]node.Latency, stored []store.Latency, now time.Time) map[string]node.Latency {
	last := map[string]time.Time{}
	for _, l := range stored {
		if l.End().After(last[l.From]) {
			last[l.From] = l.End()
		}
	}
	if len(stored) == 0 {
		if all, err := s.e.store.ListLatency(ctx, s.cluster.UID, now.Add(-agentRing)); err == nil {
			for _, l := range all {
				if l.End().After(last[l.From]) {
					last[l.From] = l.End()
				}
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	out := map[string]node.Latency{}
	var mu sync.Mutex
	var group sync.WaitGroup
	asked := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		f, windows := s.facts.get(name), said[name].Windows
		since := last[f.Site]
		if len(windows) == 0 || since.IsZero() || asked[f.Site] {
			continue
		}
		first := windows[0]
		if time.Unix(first.Start, 0).Sub(since) < time.Duration(first.Seconds)*time.Second {
			continue
		}
		asked[f.Site] = true
		group.Go(func() {
			l, err := s.measuredSince(ctx, f, since)
			if err != nil {
				s.e.log.Info("what a node measured while nobody looked is lost", "cluster", s.cluster.Name, "node", name, "err", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = l
		})
	}
	group.Wait()
	return out
}

func (s *survey) measuredSince(ctx context.Context, f *Facts, since time.Time) (node.Latency, error) {
	var l node.Latency
	conn, err := s.connect(ctx, f, probePatience)
	if err != nil {
		return l, err
	}
	defer conn.Close()
	err = runJSON(ctx, conn, agentPath+" agent latency --since "+since.UTC().Format(time.RFC3339), nil, nil, &l)
	return l, err
}

// windowsOf are the windows that make sense of those that nodes measured, one for each way and stretch of time.
func (s *survey) windowsOf(said map[string]node.Latency, now time.Time) []store.Latency {
	sites := map[string]bool{}
	for _, sp := range s.spec.Spec.Sites {
		sites[sp.Name] = true
	}
	type stretch struct {
		from, to    string
		start, step int64
	}
	parts := map[stretch][]store.Latency{}
	for name, l := range said {
		from := s.facts.get(name).Site
		for _, w := range l.Windows {
			if v, ok := fromWindow(from, w, now); ok && sites[w.To] && w.To != from {
				k := stretch{from, w.To, w.Start, int64(w.Seconds)}
				parts[k] = append(parts[k], v)
			}
		}
	}
	var out []store.Latency
	for _, p := range parts {
		out = append(out, store.MergeLatency(p[0].Start, p[0].Step, p))
	}
	inOrderOfTime(out)
	return out
}

// fromWindow reads a node's window; false where it is none that can be.
func fromWindow(from string, w node.Window, now time.Time) (store.Latency, bool) {
	inside, fineIn := fromTrips(w.Inside)
	outside, fineOut := fromTrips(w.Outside)
	l := store.Latency{From: from, To: w.To, Start: time.Unix(w.Start, 0).UTC(), Step: time.Duration(w.Seconds) * time.Second, Inside: inside, Outside: outside, Handshake: store.NoHandshake, MTU: w.MTU}
	if w.Handshake >= 0 {
		l.Handshake = time.Duration(w.Handshake) * time.Second
	}
	fine := fineIn && fineOut && w.Seconds > 0 && w.Seconds <= 3600 && w.MTU >= 0 && w.MTU <= 65535 && now.Sub(l.Start) <= agentRing+time.Hour && l.End().Sub(now) <= clockTrust
	return l, fine
}

func fromTrips(t node.Trips) (store.Trips, bool) {
	for _, v := range []int64{t.Min, t.P50, t.P99, t.Jitter} {
		if v < 0 || v > time.Hour.Microseconds() {
			return store.Trips{}, false
		}
	}
	micro := func(v int64) time.Duration { return time.Duration(v) * time.Microsecond }
	return store.Trips{Sent: t.Sent, Lost: t.Lost, P50: micro(t.P50), P99: micro(t.P99), Jitter: micro(t.Jitter), Min: micro(t.Min)}, t.Sent >= 0 && t.Lost >= 0 && t.Lost <= t.Sent
}

// unstored are the windows of some lists that are to be stored: those that aren't there, and of the newest those that say
// something else, since a second node of a site may publish a moment later. Older ones stay as they are: of what two nodes
// measured one may be forgotten by now.
func unstored(stored []store.Latency, lists ...[]store.Latency) []store.Latency {
	there, newest := map[string]store.Latency{}, map[string]time.Time{}
	for _, l := range stored {
		there[wayKey(l)] = l
		if way := l.From + "/" + l.To; l.Start.After(newest[way]) {
			newest[way] = l.Start
		}
	}
	var out []store.Latency
	for _, list := range lists {
		for _, l := range list {
			if old, ok := there[wayKey(l)]; !ok || old != l && !l.Start.Before(newest[l.From+"/"+l.To]) {
				there[wayKey(l)] = l
				out = append(out, l)
			}
		}
	}
	return out
}

// replaced is a list with some of its windows said anew, in order of time.
func replaced(list, fresh []store.Latency) []store.Latency {
	all := map[string]store.Latency{}
	for _, l := range append(slices.Clone(list), fresh...) {
		all[wayKey(l)] = l
	}
	out := slices.Collect(maps.Values(all))
	inOrderOfTime(out)
	return out
}

func wayKey(l store.Latency) string {
	return fmt.Sprint(l.From, "/", l.To, "/", l.Start.UnixMicro(), "/", l.Step)
}

func inOrderOfTime(list []store.Latency) {
	slices.SortFunc(list, func(a, b store.Latency) int { return strings.Compare(sortKey(a), sortKey(b)) })
}

func sortKey(l store.Latency) string {
	return fmt.Sprintf("%020d/%s/%s/%d", l.Start.UnixMicro(), l.From, l.To, l.Step)
}

// signsOfLife notes which of some sites are dead: Kubernetes calls none of its nodes Ready, and its first machine lets nobody in.
func (s *survey) signsOfLife(ctx context.Context, members map[string]kube.NodeInfo, dead map[string]bool, sites ...string) {
	for _, site := range sites {
		if _, asked := dead[site]; asked {
			continue
		}
		var first *Facts
		ready := false
		for _, n := range s.nodes {
			if f := s.facts.get(n.Name); n.Site == site && f != nil && f.prepared() && f.Public.IsValid() {
				ready = ready || members[n.Name].Ready
				if first == nil {
					first = f
				}
			}
		}
		dead[site] = !ready && (first == nil || s.knockAt(ctx, first) != nil)
	}
}

// meterPaths tells the meter how far the sites are from each other, by the last windows.
func (s *survey) meterPaths(seen pathSight) {
	last := map[[2]string]store.Latency{}
	for _, l := range seen.windows {
		if l.Inside.Answered() > 0 {
			last[[2]string{l.From, l.To}] = l
		}
	}
	for way, l := range last {
		if from, to := s.sites[way[0]], s.sites[way[1]]; from != nil && to != nil {
			s.e.opts.Meter.RoundTrip(string(from.account.Provider)+" "+from.spec.Region, string(to.account.Provider)+" "+to.spec.Region, l.Inside.P50)
		}
	}
}
