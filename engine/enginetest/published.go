package enginetest

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
)

// usualWindow is what is measured in a window from one site to another: all probes come back.
func usualWindow(start time.Time, length time.Duration, to, peer string, took time.Duration) node.Window {
	const sent = 120
	trips := node.Trips{Sent: sent, Min: took.Microseconds() * 9 / 10, P50: took.Microseconds(), P99: took.Microseconds() * 12 / 10, Jitter: took.Microseconds() / 20}
	w := node.Window{Start: start.Unix(), Seconds: int(length / time.Second), To: to, Peer: peer, Inside: trips, Outside: trips, Handshake: 60, MTU: 1500}
	w.Outside.P50 = w.Outside.P50 * 95 / 100
	if took <= 0 {
		silent := node.Trips{Sent: sent, Lost: sent}
		w.Inside, w.Outside, w.Handshake = silent, silent, 600
	}
	return w
}

// publish puts on a node of Kubernetes what its agent measured, as an annotation: the first node of each site, by their
// names, measures the ways to the first ones of the others.
func (k Kubernetes) publish(n kube.NodeInfo) kube.NodeInfo {
	first := k.w.probers()
	var own *host
	for _, h := range first {
		if h.config.Name == n.Name {
			own = h
		}
	}
	if own == nil || len(first) < 2 {
		return n
	}
	length := own.config.Probes.Length()
	l := node.Latency{Site: own.config.Site, Mended: slices.Clone(k.w.Mended[n.Name])}
	end := k.w.now().Truncate(length)
	for i := range node.PublishedWindows {
		start := end.Add(time.Duration(i-node.PublishedWindows) * length)
		for _, to := range first {
			if to == own {
				continue
			}
			w := usualWindow(start, length, to.config.Site, to.config.Name, k.w.took(own.config.Name, to.config.Name))
			if k.w.Window != nil {
				k.w.Window(own.config.Site, &w)
			}
			l.Windows = append(l.Windows, w)
		}
	}
	text, err := json.Marshal(l)
	if err != nil {
		return n
	}
	n.Annotations = map[string]string{node.LatencyAnnotation: string(text)}
	return n
}

// now is what nodes' clocks show.
func (w *World) now() time.Time {
	if w.Now != nil {
		return w.Now()
	}
	return time.Now()
}

// took is how long a round trip takes between two nodes, 0 where none comes back.
func (w *World) took(from, to string) time.Duration {
	if w.RoundTrip != nil {
		return w.RoundTrip(from, to)
	}
	return usualRoundTrip
}

// probers are the first node of each site that runs, in the order of their sites.
func (w *World) probers() []*host {
	first := map[string]*host{}
	for _, m := range w.Machines() {
		h := w.hosts[m.ProviderID]
		if h == nil || h.joined == "" {
			continue
		}
		if was := first[h.config.Site]; was == nil || h.config.Name < was.config.Name {
			first[h.config.Site] = h
		}
	}
	var out []*host
	for _, h := range first {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b *host) int {
		if a.config.Site < b.config.Site {
			return -1
		}
		return 1
	})
	return out
}

// measuredSince is what the agent tells over SSH of the windows from a moment on.
func (c *Conn) measuredSince(text string) ([]byte, error) {
	since, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, err
	}
	l := node.Latency{Site: c.host.config.Site}
	length := c.host.config.Probes.Length()
	for start := since.Truncate(length); !start.Add(length).After(c.w.now()); start = start.Add(length) {
		for _, to := range c.w.probers() {
			if to.config.Site != l.Site && !start.Before(since) {
				l.Windows = append(l.Windows, usualWindow(start, length, to.config.Site, to.config.Name, c.w.took(c.name, to.config.Name)))
			}
		}
	}
	return json.Marshal(l)
}
