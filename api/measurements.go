package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/engine"
)

// Measurement is what machines of this engine measured between two regions.
type Measurement struct {
	From     string    `json:"from" doc:"a region like aws/us-east-1"`
	To       string    `json:"to"`
	Time     time.Time `json:"time"`
	Ms       float64   `json:"ms" doc:"the median round trip through the tunnel"`
	P99Ms    float64   `json:"p99Ms" doc:"the ninety-ninth percentile"`
	Sent     int       `json:"sent" doc:"probes"`
	Received int       `json:"received"`
	Bits     int64     `json:"bitsPerSecond" doc:"what went through the tunnel in one TCP connection; 0 where that isn't known"`
	// TableMs is what the catalogue has.
	TableMs float64 `json:"tableMs" doc:"what the catalogue has of it; 0 where it doesn't know one of the regions any more"`
	Source  string  `json:"tableSource,omitempty" enum:"measured,estimated" doc:"where the catalogue has that from"`
}

// MeasureAsked is what is to be measured between regions.
type MeasureAsked struct {
	Regions []string `json:"regions,omitempty" maxItems:"16" doc:"accounts, each with a region after a slash where that is given, like my-aws/us-east-1; all accounts unless said. Those without get the regions nearest to each other"`
	For     string   `json:"for,omitempty" maxLength:"20" doc:"how long each way is measured, from 1s to 10m; a minute unless said" example:"1m"`
}

func (m MeasureAsked) asked() (engine.MeasureAsked, error) {
	out := engine.MeasureAsked{Regions: m.Regions, For: time.Minute}
	if m.For == "" {
		return out, nil
	}
	d, err := time.ParseDuration(m.For)
	if err != nil {
		return out, engine.Invalidf("for", "found %q: want a duration like 1m", m.For)
	}
	out.For = d
	return out, nil
}

func (s *Server) measurements(api huma.API) {
	get(api, "/regions/measurements", "List what this engine measured between regions, the longest way first", func(ctx context.Context, _ *struct{}) (*list[Measurement], error) {
		all, err := s.engine.Measurements(ctx)
		if err != nil {
			return nil, err
		}
		ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
		var out []Measurement
		for _, m := range all {
			v := Measurement{From: m.A, To: m.B, Time: m.At, Ms: ms(m.P50), P99Ms: ms(m.P99), Sent: m.Sent, Received: m.Received, Bits: m.Bits}
			if t, ok := m.Table(); ok {
				v.TableMs, v.Source = ms(t.RTT), string(t.Source)
			}
			out = append(out, v)
		}
		return listOf(out), nil
	})
	post(api, "/regions/measurements/plan", "Say what measuring between regions would do, and what it costs", http.StatusOK, func(ctx context.Context, in *body[MeasureAsked]) (*body[Plan], error) {
		asked, err := in.Body.asked()
		if err != nil {
			return nil, err
		}
		return planned(s.engine.PlanMeasureRegions(ctx, asked))
	})
	post(api, "/regions/measurements", "Measure between regions: a cluster is made for it, and deleted again", http.StatusAccepted, func(ctx context.Context, in *body[MeasureAsked]) (*accepted, error) {
		asked, err := in.Body.asked()
		if err != nil {
			return nil, err
		}
		c, err := s.engine.MeasureRegions(ctx, asked, who(ctx))
		return s.change(ctx, c, err)
	})
}

// Measurements lists what the engine measured between regions.
func (c *Client) Measurements(ctx context.Context) ([]Measurement, error) {
	return fetchList[Measurement](ctx, c, "/regions/measurements")
}

// PlanMeasure says what MeasureRegions would do.
func (c *Client) PlanMeasure(ctx context.Context, asked MeasureAsked) (Plan, error) {
	var p Plan
	err := c.call(ctx, http.MethodPost, "/regions/measurements/plan", asked, &p)
	return p, err
}

// MeasureRegions has what is between regions measured.
func (c *Client) MeasureRegions(ctx context.Context, asked MeasureAsked) (Change, error) {
	var ch Change
	err := c.call(ctx, http.MethodPost, "/regions/measurements", asked, &ch)
	return ch, err
}
