package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/store"
)

// Latency is the measured round trip between two nodes, through the tunnel.
type Latency struct {
	From     string  `json:"from"`
	To       string  `json:"to"`
	FromSite string  `json:"fromSite"`
	ToSite   string  `json:"toSite"`
	P50      float64 `json:"p50ms"`
	P99      float64 `json:"p99ms"`
	Sent     int     `json:"sent"`
	Received int     `json:"received"`
}

// Measured is what nodes measure between sites all the time.
type Measured struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// Limit is the longest round trip that the cluster file allows.
	Limit float64 `json:"maxRTTms"`
	// Ways are all of it since then, from each site to each other.
	Ways []Way `json:"ways"`
	// History is the same step by step, with both ways of a pair in one line.
	History []Way `json:"history"`
	// StepSeconds is how long a step of the history is; what is older may be there in longer ones.
	StepSeconds int `json:"stepSeconds"`
}

// Way is what was measured between two sites from a moment on.
type Way struct {
	From    string    `json:"from"`
	To      string    `json:"to"`
	Start   time.Time `json:"start"`
	Seconds int       `json:"seconds"`
	// Inside is through the tunnel. Outside is beside it, between public addresses; it isn't there where that wasn't measured.
	Inside  Trips  `json:"inside"`
	Outside *Trips `json:"outside,omitempty"`
	// Handshake is how old the tunnel's last one was, in seconds; -1 where there was none.
	Handshake int `json:"handshakeSeconds"`
	// MTU is the largest packet that passes outside of the tunnel, in bytes; 0 where that isn't known.
	MTU int `json:"mtu,omitempty"`
}

// Trips are round trips, in milliseconds; 0 where no answer came.
type Trips struct {
	Sent   int     `json:"sent"`
	Lost   int     `json:"lost"`
	P50    float64 `json:"p50ms"`
	P99    float64 `json:"p99ms" doc:"of several minutes the largest of theirs"`
	Jitter float64 `json:"jitterms" doc:"the mean difference between one round trip and the next"`
	Min    float64 `json:"minms"`
}

// Loss is the part that didn't come back.
func (t Trips) Loss() float64 {
	if t.Sent == 0 {
		return 0
	}
	return float64(t.Lost) / float64(t.Sent)
}

func tripsOf(t store.Trips) Trips {
	return Trips{Sent: t.Sent, Lost: t.Lost, P50: inMS(t.P50), P99: inMS(t.P99), Jitter: inMS(t.Jitter), Min: inMS(t.Min)}
}

// inMS is a length of time in milliseconds, to a microsecond.
func inMS(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func waysOf(all []store.Latency) []Way {
	out := []Way{}
	for _, l := range all {
		w := Way{From: l.From, To: l.To, Start: l.Start, Seconds: int(l.Step.Seconds()), Inside: tripsOf(l.Inside), Handshake: -1, MTU: l.MTU}
		if l.Outside.Sent > 0 {
			outside := tripsOf(l.Outside)
			w.Outside = &outside
		}
		if l.Handshake != store.NoHandshake {
			w.Handshake = int(l.Handshake.Seconds())
		}
		out = append(out, w)
	}
	return out
}

func (s *Server) latency(api huma.API) {
	get(api, "/clusters/{name}/latency", "Show what nodes measure between sites all the time", func(ctx context.Context, in *struct {
		Name  string    `path:"name"`
		Since time.Time `query:"since" doc:"from when on; the last few minutes unless said. A day is kept by the minute, a week by ten minutes, 30 days by the hour"`
		Pair  string    `query:"pair" maxLength:"130" doc:"two sites with a slash between them: only what is between those" example:"aws/gcp"`
	}) (*body[Measured], error) {
		m, err := s.engine.SiteWays(ctx, in.Name, in.Since, in.Pair)
		if err != nil {
			return nil, err
		}
		return &body[Measured]{Measured{
			Since: m.Since, Until: m.Until, Limit: inMS(m.Limit), Ways: waysOf(m.Ways), History: waysOf(m.History), StepSeconds: int(m.Step.Seconds()),
		}}, nil
	})
	post(api, "/clusters/{name}/latency", "Measure the round trips between all nodes now", http.StatusOK, func(ctx context.Context, in *byName) (*list[Latency], error) {
		all, err := s.engine.Latency(ctx, in.Name)
		if err != nil {
			return nil, ofNodes(err)
		}
		var out []Latency
		for _, r := range all {
			out = append(out, Latency{From: r.From, To: r.To, FromSite: r.FromSite, ToSite: r.ToSite, P50: float64(r.P50) / 1000, P99: float64(r.P99) / 1000, Sent: r.Sent, Received: r.Received})
		}
		return listOf(out), err
	})
}

// ConditionWell says that a condition is as it should be.
func ConditionWell(c Condition) bool { return engine.Well(c.Type, c.Status) }
