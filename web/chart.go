package web

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/api"
)

// chart is how the round trip between two sites was, in its own units.
type chart struct {
	id, title, words string
	steps            []api.Way
	// median and slowest are lines as SVG writes them, one for each stretch without a gap; limit is the height of the cluster's limit.
	median, slowest []string
	limit           float64
	limitText       string
	marks           []chartMark
	lost            []chartLoss
	hours           []chartMark
}

// chartMark is a line of the grid, with its words.
type chartMark struct {
	at   float64
	text string
}

// chartLoss is a step of which packets were lost.
type chartLoss struct{ x, w float64 }

// The room of a chart, and of the numbers beside it.
const (
	chartWidth, chartHeight         = 720.0, 180.0
	chartLeft, chartRight           = 56.0, 12.0
	chartTop, chartBottom           = 12.0, 28.0
	chartInnerWidth                 = chartWidth - chartLeft - chartRight
	chartInnerHeight                = chartHeight - chartTop - chartBottom
	chartRoom               float64 = 1.15 // above the highest point
)

// chartsOf draws each pair's history.
func chartsOf(m api.Measured) []chart {
	byPair := map[string][]api.Way{}
	var order []string
	for _, w := range m.History {
		key := w.From + " and " + w.To
		if byPair[key] == nil {
			order = append(order, key)
		}
		byPair[key] = append(byPair[key], w)
	}
	slices.Sort(order)
	var out []chart
	for i, key := range order {
		out = append(out, charted(fmt.Sprint("chart-", i), key, byPair[key], m))
	}
	return out
}

func charted(id, pair string, steps []api.Way, m api.Measured) chart {
	c := chart{id: id, title: "Round trip between " + pair, steps: steps}
	highest, sent, lost := m.Limit, 0, 0
	low, high := math.Inf(1), 0.0
	for _, s := range steps {
		sent, lost = sent+s.Inside.Sent, lost+s.Inside.Lost
		if s.Inside.Lost < s.Inside.Sent {
			highest = max(highest, s.Inside.P99)
			low, high = min(low, s.Inside.P50), max(high, s.Inside.P50)
		}
	}
	c.words = fmt.Sprintf("From %s to %s: ", m.Since.Format("2006-01-02 15:04"), m.Until.Format("2006-01-02 15:04 MST"))
	if math.IsInf(low, 1) {
		c.words += "no answer came."
	} else {
		c.words += fmt.Sprintf("medians from %s to %s, the limit is %s, %d of %s lost.", milliseconds(low), milliseconds(high), milliseconds(m.Limit), lost, counted(sent, "packet"))
	}
	top := highest * chartRoom
	y := func(ms float64) float64 { return chartTop + chartInnerHeight*(1-ms/top) }
	begin, span := m.Since, m.Until.Sub(m.Since)
	x := func(t time.Time) float64 {
		return chartLeft + chartInnerWidth*min(1, max(0, float64(t.Sub(begin))/float64(span)))
	}
	c.limit, c.limitText = y(m.Limit), "limit "+milliseconds(m.Limit)
	for _, ms := range ticks(top) {
		c.marks = append(c.marks, chartMark{y(ms), milliseconds(ms)})
	}
	form := "15:04"
	if span > 36*time.Hour {
		form = "Jan 2"
	}
	for i := range 4 {
		at := begin.Add(span * time.Duration(i) / 4)
		c.hours = append(c.hours, chartMark{x(at), at.Format(form)})
	}
	var median, slowest strings.Builder
	end := func() {
		if median.Len() > 0 {
			c.median, c.slowest = append(c.median, median.String()), append(c.slowest, slowest.String())
		}
		median.Reset()
		slowest.Reset()
	}
	last := time.Time{}
	for _, s := range steps {
		length := time.Duration(s.Seconds) * time.Second
		if s.Inside.Lost > 0 {
			c.lost = append(c.lost, chartLoss{x(s.Start), max(2, x(s.Start.Add(length))-x(s.Start))})
		}
		if s.Inside.Lost == s.Inside.Sent || !last.IsZero() && s.Start.Sub(last) > length {
			end()
		}
		if s.Inside.Lost == s.Inside.Sent {
			continue
		}
		at := px(x(s.Start.Add(length / 2)))
		fmt.Fprintf(&median, "%s,%s ", at, px(y(s.Inside.P50)))
		fmt.Fprintf(&slowest, "%s,%s ", at, px(y(s.Inside.P99)))
		last = s.Start.Add(length)
	}
	end()
	return c
}

// ticks are round numbers up to a height, three or four of them.
func ticks(top float64) []float64 {
	if top <= 0 {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10(top/3)))
	for _, k := range []float64{1, 2, 5, 10} {
		if top/(step*k) <= 4 {
			step *= k
			break
		}
	}
	var out []float64
	for v := 0.0; v < top; v += step {
		out = append(out, v)
	}
	return out
}
