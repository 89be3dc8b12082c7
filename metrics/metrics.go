// Package metrics tells Prometheus what an engine does and how much there is of everything. It has a registry of its own, and
// no label of which anybody could make ever more values: no names of nodes, no ids. Round trips alone are by clusters and their
// sites, of those that there are. docs/operating.md says which of all to watch.
package metrics

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/store"
)

// Metrics are those of one engine. It is that engine's Meter; what there is of everything is counted when it is asked for.
type Metrics struct {
	registry *prometheus.Registry

	runs, steps *prometheus.HistogramVec
	calls       *prometheus.CounterVec
	roundTrips  *prometheus.GaugeVec

	mu       sync.Mutex
	families map[string]map[string]bool // of calls, by cloud
	engine   *engine.Engine
}

// Bounds of histograms, in seconds: a run takes moments when there is nothing to do, and minutes when machines are made.
var (
	runBounds  = []float64{1, 5, 15, 30, 60, 120, 300, 600, 1200, 2400}
	stepBounds = []float64{0.5, 2, 10, 30, 60, 180, 600}
)

// mostFamilies is how many families of a cloud's calls are told apart; there are about a dozen.
const mostFamilies = 40

// other stands for families beyond that.
const other = "other"

// New makes the metrics of an engine of a version.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		runs: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "skyweld_run_duration_seconds", Help: "How long runs took, by how they ended: succeeded, failed or stopped.", Buckets: runBounds,
		}, []string{"outcome"}),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "skyweld_step_duration_seconds", Help: "How long steps of runs took, by what was done to what kind of thing, and how they ended: done, failed or stopped.", Buckets: stepBounds,
		}, []string{"action", "kind", "outcome"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skyweld_cloud_calls_total", Help: "Calls to clouds that were made, by the family of calls and what came of them: ok, the class of the error, or unanswered.",
		}, []string{"cloud", "family", "outcome"}),
		roundTrips: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "skyweld_region_round_trip_seconds", Help: "The round trip between the regions of two sites as nodes measured it last: the median of their medians.",
		}, []string{"from", "to"}),
		families: map[string]map[string]bool{},
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "skyweld_build_info", Help: "Always 1; the labels say what program this is."}, []string{"version", "go"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(m.runs, m.steps, m.calls, m.roundTrips, build, figures{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, outcome := range []string{engine.OutcomeSucceeded, engine.OutcomeFailed, engine.OutcomeStopped} {
		m.runs.WithLabelValues(outcome) // rates begin at the first one
	}
	return m
}

// Of has it count what there is at an engine.
func (m *Metrics) Of(e *engine.Engine) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.engine = e
}

// Handler answers Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4})
}

// Run implements engine.Meter.
func (m *Metrics) Run(outcome string, took time.Duration) {
	m.runs.WithLabelValues(outcome).Observe(took.Seconds())
}

// Step implements engine.Meter.
func (m *Metrics) Step(action, kind, outcome string, took time.Duration) {
	m.steps.WithLabelValues(action, kind, outcome).Observe(took.Seconds())
}

// Call implements engine.Meter.
func (m *Metrics) Call(provider cloud.Provider, family, outcome string) {
	m.calls.WithLabelValues(string(provider), m.family(string(provider), family), outcome).Inc()
}

// family is the family itself as long as there aren't too many: of calls that no driver has put into one it is the name of
// the host that was called.
func (m *Metrics) family(provider, family string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.families[provider]
	if known == nil {
		known = map[string]bool{}
		m.families[provider] = known
	}
	if !known[family] && len(known) >= mostFamilies {
		return other
	}
	known[family] = true
	return family
}

// RoundTrip implements engine.Meter.
func (m *Metrics) RoundTrip(from, to string, p50 time.Duration) {
	m.roundTrips.WithLabelValues(from, to).Set(p50.Seconds())
}

// figures collects what there is when it is asked for.
type figures struct{ m *Metrics }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	up       = describe("skyweld_ready", "1 while the engine is at work: the database answers, clusters can be claimed, and it isn't stopping.")
	clusters = describe("skyweld_clusters", "Clusters that aren't deleted, by their phase.", "phase")
	paused   = describe("skyweld_clusters_paused", "Clusters that somebody paused.")
	nodes    = describe("skyweld_nodes", "Nodes of clusters as the last look found them: ready, not-ready, or unknown where Kubernetes couldn't be asked.", "state")
	changes  = describe("skyweld_changes", "What people have asked for and isn't done yet: queued, or applying.", "state")
	leases   = describe("skyweld_leases", "Clusters that are worked on, by this engine or by others at the same database.", "by")
	due      = describe("skyweld_runs_due", "Runs that should have begun and haven't.")
	late     = describe("skyweld_reconcile_lateness_seconds", "How long the oldest of the runs that are due has been waiting.")
	siteRTT  = describe("skyweld_site_rtt_seconds", "The round trip through the tunnel between two sites of a cluster in the last window: its median and its 99th percentile.", "cluster", "from", "to", "quantile")
	siteLoss = describe("skyweld_site_loss_ratio", "The part of the packets between two sites of a cluster that was lost in the last window.", "cluster", "from", "to")
	circuits = describe("skyweld_call_ways", "Ways of calls to clouds, each a family of an account's calls in a region, by how they fare in this engine.", "cloud", "state")
)

// Describe implements prometheus.Collector.
func (figures) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{up, clusters, paused, nodes, changes, leases, due, late, siteRTT, siteLoss, circuits} {
		to <- d
	}
}

// collectPatience is how long counting may take: Prometheus waits ten seconds by default.
const collectPatience = 5 * time.Second

// Collect implements prometheus.Collector. While the database doesn't answer there is only the word that the engine isn't
// ready.
func (f figures) Collect(to chan<- prometheus.Metric) {
	f.m.mu.Lock()
	e := f.m.engine
	f.m.mu.Unlock()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	if e == nil {
		gauge(up, 0)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectPatience)
	defer cancel()
	ready := 1.0
	if len(e.NotReady(ctx)) > 0 {
		ready = 0
	}
	gauge(up, ready)
	now, err := e.Figures(ctx)
	if err != nil {
		return
	}
	for _, phase := range []store.Phase{store.Pending, store.Reconciling, store.Ready, store.Degraded, store.Deleting} {
		gauge(clusters, float64(now.Clusters[phase]), string(phase))
	}
	gauge(paused, float64(now.Paused))
	gauge(nodes, float64(now.Nodes.Ready), "ready")
	gauge(nodes, float64(now.Nodes.NotReady), "not-ready")
	gauge(nodes, float64(now.Nodes.Unknown), "unknown")
	for _, state := range []store.ChangeState{store.Queued, store.Applying} {
		gauge(changes, float64(now.Changes[state]), string(state))
	}
	gauge(leases, float64(now.Own), "this-engine")
	gauge(leases, float64(now.Leases-now.Own), "others")
	gauge(due, float64(now.Due))
	gauge(late, now.Late.Seconds())
	for cluster, ways := range now.Ways {
		for _, w := range ways {
			if w.Inside.Answered() > 0 {
				gauge(siteRTT, w.Inside.P50.Seconds(), cluster, w.From, w.To, "0.5")
				gauge(siteRTT, w.Inside.P99.Seconds(), cluster, w.From, w.To, "0.99")
			}
			if w.Inside.Sent > 0 {
				gauge(siteLoss, float64(w.Inside.Lost)/float64(w.Inside.Sent), cluster, w.From, w.To)
			}
		}
	}
	for provider, states := range now.Circuits {
		for state, n := range states {
			gauge(circuits, float64(n), string(provider), state)
		}
	}
}
