package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// What is between regions is measured by a cluster like any other, but for Kubernetes: machines are made, prepared and
// configured, and the ways between them measured, by steps of a plan. When that is done, or can't be, the cluster is deleted,
// with all that holds for any deletion. See docs/decisions/026-measured-by-a-cluster.md.

const (
	// measureTries is how many runs may fail before it is given up: somebody pays for the machines meanwhile.
	measureTries = 3
	// probePause is the pause between two probes, and mostProbes how many an agent sends at once.
	probePause = 20 * time.Millisecond
	mostProbes = 1000
	// flowFor is how long data is sent to see how much goes through.
	flowFor = 5 * time.Second
)

// MeasureAsked is what is to be measured.
type MeasureAsked struct {
	// Regions are accounts, each with a region after a slash where that is given; empty for all accounts. Those without get the
	// regions that are nearest to each other.
	Regions []string
	// For is how long each way is measured.
	For time.Duration
}

// file is the cluster file that measures.
func (e *Engine) measureFile(ctx context.Context, a MeasureAsked) ([]byte, error) {
	words := a.Regions
	if len(words) == 0 {
		accounts, err := e.store.ListAccounts(ctx)
		if err != nil {
			return nil, err
		}
		for _, account := range accounts {
			words = append(words, account.Name)
		}
	}
	if len(words) < 2 || len(words) > mostSites {
		return nil, Invalidf("regions", "found %d: want 2 to %d accounts, each with a region after a slash where that is given, like my-aws/us-east-1", len(words), mostSites)
	}
	if a.For < time.Second || a.For > 10*time.Minute {
		return nil, Invalidf("for", "found %s: want a duration from 1s to 10m", a.For)
	}
	id, err := randomHex(4)
	if err != nil {
		return nil, err
	}
	c := spec.Cluster{APIVersion: spec.APIVersion, Kind: spec.Kind, Metadata: spec.Metadata{Name: "measure-" + id}}
	c.Spec.Measure.For = spec.Duration(a.For)
	c.Spec.Network.MaxRTT = spec.Duration(time.Second)
	c.Spec.ControlPlane.Replicas = 1 // of which there is none here
	for i, word := range words {
		account, region, _ := strings.Cut(word, "/")
		site := spec.Site{Name: fmt.Sprintf("r%d", i+1), Account: account, Region: region}
		c.Spec.Sites = append(c.Spec.Sites, site)
		c.Spec.Workers = append(c.Spec.Workers, spec.Workers{Name: site.Name, Site: site.Name})
	}
	return spec.Marshal(&c)
}

// PlanMeasureRegions says what MeasureRegions would do, and what it costs an hour.
func (e *Engine) PlanMeasureRegions(ctx context.Context, a MeasureAsked) (Planned, error) {
	file, err := e.measureFile(ctx, a)
	if err != nil {
		return Planned{}, err
	}
	return e.Plan(ctx, file)
}

// MeasureRegions asks for a cluster that measures what is between regions and is deleted again then.
func (e *Engine) MeasureRegions(ctx context.Context, a MeasureAsked, who string) (store.Change, error) {
	file, err := e.measureFile(ctx, a)
	if err != nil {
		return store.Change{}, err
	}
	return e.Apply(ctx, file, who)
}

// bundle is what the cluster's machines install: nothing where they only measure.
func (s *survey) bundle() node.Bundle {
	if s.spec.Measures() {
		return node.Bundle{}
	}
	return s.e.opts.Bundle
}

// flow is what an agent says of data that it sent to another.
type flow struct {
	Bytes  int64 `json:"bytes"`
	Micros int64 `json:"micros"`
}

// measureLong measures the way between two sites for as long as the cluster is there for: of what is sent in parts the middle
// one of the medians counts, and the longest of the ninety-ninth percentiles.
func (r *run) measureLong(ctx context.Context, a, b string) (Way, error) {
	from, to := r.envoysOf(a), r.envoysOf(b)
	if len(from) == 0 || len(to) == 0 {
		return Way{}, fmt.Errorf("measure %s to %s: no machine is there to measure", a, b)
	}
	conn, err := r.connect(ctx, from[0], 20*time.Second)
	if err != nil {
		return Way{}, err
	}
	defer conn.Close()
	var out Way
	var medians []time.Duration
	for left := max(1, int(time.Duration(r.spec.Spec.Measure.For)/probePause)); left > 0; left -= mostProbes {
		var trips []struct {
			Sent, Received int
			P50, P99       int64
		}
		if err := runJSON(ctx, conn, fmt.Sprintf("%s agent latency --count %d %s", agentPath, min(left, mostProbes), to[0].Address), nil, nil, &trips); err != nil {
			return Way{}, err
		}
		for _, t := range trips {
			out.Sent, out.Received = out.Sent+t.Sent, out.Received+t.Received
			if out.P99 = max(out.P99, time.Duration(t.P99)*time.Microsecond); t.Received > 0 {
				medians = append(medians, time.Duration(t.P50)*time.Microsecond)
			}
		}
	}
	if len(medians) == 0 {
		return Way{}, fmt.Errorf("measure %s to %s: of %d probes none came back", from[0].Name, to[0].Name, out.Sent)
	}
	slices.Sort(medians)
	out.RTT = medians[len(medians)/2]
	// One after another: machines that are in several ways would share what they have.
	give, err := r.flowLock.take(ctx)
	if err != nil {
		return Way{}, err
	}
	defer give()
	var sent flow
	if err := runJSON(ctx, conn, fmt.Sprintf("%s agent flow --for %s %s", agentPath, flowFor, to[0].Address), nil, nil, &sent); err != nil {
		return Way{}, err
	}
	if sent.Micros > 0 {
		out.Bits = int64(float64(sent.Bytes*8) / (float64(sent.Micros) / 1e6))
	}
	return out, nil
}

// endMeasuring keeps what a cluster has measured, and asks for its deletion: when there is nothing left to measure, when that
// was tried in vain for long enough, and when the accounts would refuse it.
func (e *Engine) endMeasuring(ctx context.Context, fence store.Fence, c store.Cluster, s *survey, failure error) error {
	if _, refused := errors.AsType[*Refused](failure); failure != nil && !refused && s != nil && s.status.Failures+1 < measureTries {
		return nil
	}
	if s == nil {
		return nil // what failed is the looking; nothing is known of it
	}
	var all []store.Measurement
	for _, key := range sortedKeys(s.status.Ways) {
		w := s.status.Ways[key]
		a, b, _ := strings.Cut(key, "/")
		x, okX := s.place(a)
		y, okY := s.place(b)
		if !okX || !okY || x.Cloud == y.Cloud && x.ID == y.ID {
			continue
		}
		all = append(all, store.Measurement{A: regionKey(x), B: regionKey(y), At: w.At, Sent: w.Sent, Received: w.Received, P50: w.RTT, P99: w.P99, Bits: w.Bits})
	}
	if err := e.store.PutMeasurements(ctx, fence, all); err != nil {
		return err
	}
	ways := len(c.Spec.Spec.Sites) * (len(c.Spec.Spec.Sites) - 1) / 2
	why := fmt.Sprintf("%d of %d ways between its regions are measured", len(all), ways)
	if failure != nil {
		why += ", and it is given up: " + s.scrubber.clean(failure.Error())
	}
	e.event(ctx, c.UID, store.Normal, "RegionsMeasured", "cluster "+c.Name, why+"; the cluster is deleted again")
	_, err := e.store.AddChange(ctx, store.Change{Cluster: c.UID, Kind: store.Delete, Who: itself, Summary: summaries[store.Delete] + ", as " + why})
	return err
}

func regionKey(p geo.Place) string { return p.Cloud + "/" + p.ID }

// distances are round trips that this engine measured, by the names of both regions.
type distances map[[2]string]geo.Trip

// distances reads them.
func (e *Engine) distances(ctx context.Context) (distances, error) {
	all, err := e.store.ListMeasurements(ctx)
	if err != nil {
		return nil, err
	}
	d := distances{}
	for _, m := range all {
		d[[2]string{m.A, m.B}] = geo.Trip{RTT: m.P50, Low: m.P50, High: m.P50, Source: geo.Measured, From: geo.ThisEngine, Date: m.At.UTC().Format(time.DateOnly)}
	}
	return d, nil
}

// known is the measured round trip between two regions, if there is one.
func (d distances) known(a, b geo.Place) (geo.Trip, bool) {
	x, y := regionKey(a), regionKey(b)
	t, ok := d[[2]string{min(x, y), max(x, y)}]
	return t, ok
}

// between is the measured one, else the catalogue's.
func (d distances) between(a, b geo.Place) geo.Trip {
	if t, ok := d.known(a, b); ok {
		return t
	}
	return geo.Between(a, b)
}

// Measured is a measurement between two regions.
type Measured struct{ store.Measurement }

// Table is what the catalogue has of it; ok is false where it doesn't know one of the regions any more.
func (m Measured) Table() (t geo.Trip, ok bool) {
	place := func(name string) (geo.Place, bool) {
		cloud, id, _ := strings.Cut(name, "/")
		return geo.Region(cloud, id)
	}
	a, okA := place(m.A)
	b, okB := place(m.B)
	if !okA || !okB {
		return t, false
	}
	return geo.Between(a, b), true
}

// Measurements are what this engine measured between regions, the longest way first.
func (e *Engine) Measurements(ctx context.Context) ([]Measured, error) {
	all, err := e.store.ListMeasurements(ctx)
	var out []Measured
	for _, m := range all {
		out = append(out, Measured{m})
	}
	slices.SortStableFunc(out, func(a, b Measured) int { return cmp.Compare(b.P50, a.P50) })
	return out, err
}
