package web

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/spec"
)

// tunnel is the way between two sites.
type tunnel struct {
	a, b site
	// rtt is how long a round trip takes, 0 where nobody knows; source says how that is known.
	rtt    time.Duration
	source string
	// state is "Up" while both ends have a node that is Ready.
	state string
}

// The states of a tunnel, as far as its ends show them.
const (
	tunnelUp      = "Both ends ready"
	tunnelDown    = "An end is down"
	tunnelPending = "Being made"
	tunnelSilent  = "Lets nothing through"
)

func init() {
	tones[tunnelUp], tones[tunnelDown], tones[tunnelPending], tones[tunnelSilent], tones["Empty"] = good, bad, busy, bad, idle
}

// tunnelsOf are those between a cluster's sites. What was measured takes the place of what is to be expected: just now
// between nodes, or by those that measure all the time.
func tunnelsOf(sites []site, measured []api.Latency, kept []api.Way) []tunnel {
	var out []tunnel
	for i, a := range sites {
		for _, b := range sites[i+1:] {
			t := tunnel{a: a, b: b, state: tunnelUp}
			switch {
			case a.ready > 0 && b.ready > 0:
			case a.down() || b.down():
				t.state = tunnelDown
			case len(a.nodes) == 0 && len(b.nodes) == 0:
				t.state = "Empty"
			default:
				t.state = tunnelPending
			}
			if a.place.ID != "" && b.place.ID != "" {
				rtt, source := geo.RTT(a.place, b.place)
				t.rtt, t.source = rtt, map[geo.Source]string{geo.Measured: "expected: published measurements", geo.Estimated: "expected: estimated by distance"}[source]
			}
			if ms, sent, lost := keptBetween(a.name, b.name, kept); sent > lost {
				t.rtt, t.source = time.Duration(ms*float64(time.Millisecond)), "measured all the time"
			} else if sent > 0 && t.state == tunnelUp {
				t.state = tunnelSilent
			}
			if ms, n := medianBetween(a.name, b.name, measured); n > 0 {
				t.rtt, t.source = time.Duration(ms*float64(time.Millisecond)), fmt.Sprintf("measured just now, median of %s of nodes", counted(n, "pair"))
			}
			out = append(out, t)
		}
	}
	return out
}

// down says that a site has nodes, none of them is Ready, and not because they are being made.
func (s site) down() bool {
	return len(s.nodes) > 0 && s.ready == 0 && slices.ContainsFunc(s.nodes, func(n api.Node) bool { return toneOf(n.Status) == bad || toneOf(n.Status) == warning })
}

// keptBetween is the round trip between two sites as their nodes measure it all the time: the shorter of both ways' medians,
// as one with few answers says little.
func keptBetween(a, b string, kept []api.Way) (ms float64, sent, lost int) {
	for _, w := range kept {
		if w.From == a && w.To == b || w.From == b && w.To == a {
			sent, lost = sent+w.Inside.Sent, lost+w.Inside.Lost
			if w.Inside.Lost < w.Inside.Sent && (ms == 0 || w.Inside.P50 < ms) {
				ms = w.Inside.P50
			}
		}
	}
	return ms, sent, lost
}

// medianBetween is the median round trip between two sites' nodes, and of how many pairs.
func medianBetween(a, b string, measured []api.Latency) (ms float64, pairs int) {
	var all []float64
	for _, l := range measured {
		if l.Received > 0 && (l.FromSite == a && l.ToSite == b || l.FromSite == b && l.ToSite == a) {
			all = append(all, l.P50)
		}
	}
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)/2], len(all)
}

// measure is how a picture is laid out, in its own units.
type measure struct {
	width          float64
	boxWidth, head float64
	dotsInRow      int
	columns        int
	// gap is the room between rows of boxes.
	gap float64
	// label is the width of a round trip's.
	label float64
}

// Where there is little room the same is drawn smaller, with the cloud and its region on lines of their own.
var (
	roomy = measure{width: 960, boxWidth: 236, head: 62, dotsInRow: 8, columns: 3, gap: 84, label: 58}
	slim  = measure{width: 400, boxWidth: 150, head: 78, dotsInRow: 5, columns: 2, gap: 70, label: 54}
)

const (
	dotPitch = 26.0
	mostDots = 24
)

// picture is a cluster as it is drawn.
type picture struct {
	measure
	height float64
	boxes  []pictureBox
	lines  []pictureLine
	// api is the Kubernetes API: where its pill stands, and its state.
	apiX, apiY   float64
	apiText      string
	apiTone      tone
	apiLines     []pictureLine
	title, words string
}

type pictureBox struct {
	site
	x, y, w, h float64
	dots       []pictureDot
	more       int
}

type pictureDot struct {
	node    api.Node
	x, y    float64
	control bool
}

type pictureLine struct {
	id             string
	x1, y1, x2, y2 float64
	// labelX and labelY are the middle of the label.
	labelX, labelY float64
	label          string
	tone           tone
	// slanted is of lines that others may cross.
	slanted bool
}

// drawn lays a cluster out: its sites around the middle, the API above them.
func drawn(c api.Cluster, sites []site, tunnels []tunnel, m measure) picture {
	p := picture{measure: m, title: "Cluster " + c.Name}
	rows := 1
	for _, s := range sites {
		rows = max(rows, (min(len(s.nodes), mostDots)+m.dotsInRow-1)/m.dotsInRow)
	}
	h := m.head + float64(rows)*dotPitch + 12
	p.apiX, p.apiY = p.width/2, 26
	at := m.places(len(sites), h)
	for i, s := range sites {
		b := pictureBox{site: s, w: m.boxWidth, h: h, x: at[i][0] - m.boxWidth/2, y: at[i][1] - h/2}
		for j, n := range s.nodes {
			if j == mostDots {
				b.more = len(s.nodes) - mostDots
				break
			}
			b.dots = append(b.dots, pictureDot{node: n, control: n.Role == spec.RoleControlPlane, x: b.x + 25 + float64(j%m.dotsInRow)*dotPitch, y: b.y + m.head + 10 + float64(j/m.dotsInRow)*dotPitch})
		}
		p.boxes = append(p.boxes, b)
		p.height = max(p.height, b.y+h+14)
	}
	p.tell(c, sites, tunnels)
	for _, b := range p.boxes {
		if b.control > 0 {
			p.apiLines = append(p.apiLines, pictureLine{id: "api-" + b.name, x1: p.apiX, y1: p.apiY + 16, x2: b.x + b.w/2, y2: b.y, tone: p.apiTone})
		}
	}
	crossing := 0
	for _, t := range tunnels {
		l := p.line(t)
		if l.slanted {
			crossing++
			part := []float64{0.3, 0.3, 0.4, 0.4}[crossing%4] // those that cross have their labels apart
			l.labelX, l.labelY = l.x1+(l.x2-l.x1)*part, l.y1+(l.y2-l.y1)*part
		}
		p.lines = append(p.lines, l)
	}
	return p
}

// line is a tunnel between its boxes.
func (p picture) line(t tunnel) pictureLine {
	var a, b pictureBox
	for _, box := range p.boxes {
		if box.name == t.a.name {
			a = box
		}
		if box.name == t.b.name {
			b = box
		}
	}
	l := pictureLine{id: "tunnel-" + t.a.name + "-" + t.b.name, tone: toneOf(t.state), label: "?"}
	if t.rtt > 0 {
		l.label = milliseconds(float64(t.rtt) / float64(time.Millisecond))
	}
	ax, ay, bx, by := a.x+a.w/2, a.y+a.h/2, b.x+b.w/2, b.y+b.h/2
	l.slanted = math.Abs(ax-bx) > a.w && math.Abs(ay-by) > a.h
	l.x1, l.y1 = edge(ax, ay, bx, by, a.w/2, a.h/2)
	l.x2, l.y2 = edge(bx, by, ax, ay, b.w/2, b.h/2)
	l.labelX, l.labelY = (l.x1+l.x2)/2, (l.y1+l.y2)/2
	return l
}

// tell puts into words what the picture shows.
func (p *picture) tell(c api.Cluster, sites []site, tunnels []tunnel) {
	p.apiText, p.apiTone = "Kubernetes API", idle
	for _, cond := range c.Conditions {
		if cond.Type != "APIReachable" {
			continue
		}
		p.apiTone, _ = conditionState(cond)
		p.words = "The API: " + cond.Message + ". "
	}
	for _, s := range sites {
		p.words += fmt.Sprintf("Site %s at %s %s: %d of %s ready. ", s.name, providerName(s.provider), s.region, s.ready, counted(len(s.nodes), "node"))
	}
	for _, t := range tunnels {
		p.words += fmt.Sprintf("%s to %s: %s, round trip %s. ", t.a.name, t.b.name, t.state, t.words())
	}
}

// words is a tunnel's round trip.
func (t tunnel) words() string {
	if t.rtt == 0 {
		return "not known"
	}
	return milliseconds(float64(t.rtt) / float64(time.Millisecond))
}

// places are the middles of so many boxes of a height.
func (m measure) places(n int, h float64) [][2]float64 {
	const top = 88.0
	side := m.boxWidth/2 + m.width/32
	left, right, middle := side, m.width-side, m.width/2
	first, second := top+h/2, top+h/2+h+m.gap
	switch n {
	case 1:
		return [][2]float64{{middle, first}}
	case 2:
		return [][2]float64{{left, first}, {right, first}}
	case 3:
		return [][2]float64{{left, first}, {right, first}, {middle, second}}
	case 4:
		return [][2]float64{{left, first}, {right, first}, {left, second}, {right, second}}
	}
	var out [][2]float64
	for i := range n {
		col, row := i%m.columns, i/m.columns
		out = append(out, [2]float64{left + float64(col)*(right-left)/float64(m.columns-1), first + float64(row)*(h+m.gap)})
	}
	return out
}

// edge is where the line from the middle of a box to a point leaves the box.
func edge(x, y, toX, toY, halfW, halfH float64) (float64, float64) {
	dx, dy := toX-x, toY-y
	if dx == 0 && dy == 0 {
		return x, y
	}
	k := math.Min(halfW/math.Max(math.Abs(dx), 1e-9), halfH/math.Max(math.Abs(dy), 1e-9))
	return x + dx*k, y + dy*k
}

// px writes a coordinate.
func px(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }
