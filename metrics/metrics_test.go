package metrics

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// scraped are the metrics of an engine without clusters, after one of everything was told.
func scraped(t *testing.T) (*Metrics, func() string) {
	t.Helper()
	m, scrape, _ := scrapedOf(t)
	return m, scrape
}

// scrapedOf returns their store, too.
func scrapedOf(t *testing.T) (*Metrics, func() string, *store.Store) {
	t.Helper()
	box, err := secret.Load(func(string) string { return "" }, filepath.Join(t.TempDir(), "key"), true)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "skyweld.db"), box)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	m := New("v1")
	m.Of(engine.New(engine.Options{Store: st, Name: "one", Log: slog.New(slog.DiscardHandler), Meter: m}))
	m.Run(engine.OutcomeSucceeded, time.Second)
	m.Step("create", "vpc", "done", time.Second)
	m.Call(cloud.AWS, "ec2", "ok")
	m.RoundTrip("aws us-east-1", "gcp us-east4", 2*time.Millisecond)
	return m, func() string {
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		text, err := io.ReadAll(w.Body)
		if err != nil || w.Code != 200 {
			t.Fatalf("the answer is %d, %v: %s", w.Code, err, text)
		}
		return string(text)
	}, st
}

// TestSites: round trips are there for the clusters that there are.
func TestSites(t *testing.T) {
	_, scrape, st := scrapedOf(t)
	measured(t, st)
	text := scrape()
	for _, want := range []string{
		`skyweld_site_rtt_seconds{cluster="demo",from="aws",quantile="0.5",to="gcp"} 0.007`, `skyweld_site_rtt_seconds{cluster="demo",from="aws",quantile="0.99",to="gcp"} 0.009`,
		`skyweld_site_loss_ratio{cluster="demo",from="aws",to="gcp"} 0.01`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in:\n%s", want, text)
		}
	}
}

// measured makes a cluster of two sites, between which nodes have measured.
func measured(t *testing.T, st *store.Store) {
	t.Helper()
	c := &spec.Cluster{APIVersion: spec.APIVersion, Kind: spec.Kind, Metadata: spec.Metadata{Name: "demo"}, Spec: spec.Spec{Sites: []spec.Site{{Name: "aws", Account: "acme", Region: "us-east-1"}}}}
	spec.Default(c)
	if err := st.PutAccount(t.Context(), cloud.Account{Name: "acme", Provider: cloud.AWS}); err != nil {
		t.Fatal(err)
	}
	made, err := st.CreateCluster(t.Context(), c, "alice")
	if err != nil {
		t.Fatal(err)
	}
	l := store.Latency{From: "aws", To: "gcp", Start: time.Now().Add(-time.Minute).Truncate(time.Second), Step: time.Minute, Inside: store.Trips{Sent: 100, Lost: 1, P50: 7 * time.Millisecond, P99: 9 * time.Millisecond}}
	if err := st.PutLatency(t.Context(), made.UID, []store.Latency{l}); err != nil {
		t.Fatal(err)
	}
}

func TestMetrics(t *testing.T) {
	_, scrape := scraped(t)
	text := scrape()
	for _, want := range []string{
		"skyweld_ready 0", `skyweld_clusters{phase="Ready"} 0`, `skyweld_nodes{state="unknown"} 0`, `skyweld_changes{state="queued"} 0`, `skyweld_leases{by="others"} 0`,
		"skyweld_runs_due 0", "skyweld_reconcile_lateness_seconds 0", "skyweld_clusters_paused 0",
		`skyweld_run_duration_seconds_count{outcome="succeeded"} 1`, `skyweld_run_duration_seconds_count{outcome="failed"} 0`,
		`skyweld_step_duration_seconds_bucket{action="create",kind="vpc",outcome="done",le="2"} 1`,
		`skyweld_cloud_calls_total{cloud="aws",family="ec2",outcome="ok"} 1`,
		`skyweld_region_round_trip_seconds{from="aws us-east-1",to="gcp us-east4"} 0.002`,
		`skyweld_build_info{go="go`, "go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestFamiliesAreBounded calls hosts without end that no driver has put into a family.
func TestFamiliesAreBounded(t *testing.T) {
	m, scrape := scraped(t)
	for i := range 500 {
		m.Call(cloud.AWS, fmt.Sprintf("host-%d", i), "ok")
	}
	text := scrape()
	if n := strings.Count(text, "\nskyweld_cloud_calls_total{"); n != mostFamilies+1 {
		t.Errorf("there are %d families", n)
	}
	if want := fmt.Sprintf(`skyweld_cloud_calls_total{cloud="aws",family="other",outcome="ok"} %d`, 500-(mostFamilies-1)); !strings.Contains(text, want) {
		t.Errorf("%s is missing", want)
	}
}

// TestNothingBoundless holds that no label is of a name or an id, of which there are ever more.
func TestNothingBoundless(t *testing.T) {
	_, scrape := scraped(t)
	fine := []string{"outcome", "action", "kind", "cloud", "family", "from", "to", "version", "go", "phase", "state", "by", "le"}
	for _, line := range strings.Split(scrape(), "\n") {
		if !strings.HasPrefix(line, "skyweld_") {
			continue
		}
		for _, label := range regexp.MustCompile(`[{,]([a-z_]+)="`).FindAllStringSubmatch(line, -1) {
			if !slices.Contains(fine, label[1]) {
				t.Errorf("%s has the label %s", line, label[1])
			}
		}
	}
}

// TestDashboard holds that the dashboard shows every metric there is, and none that there isn't.
func TestDashboard(t *testing.T) {
	_, scrape := scraped(t)
	// There are none without an account, and a cluster.
	there := map[string]bool{"skyweld_call_ways": true, "skyweld_site_rtt_seconds": true, "skyweld_site_loss_ratio": true}
	for _, line := range strings.Split(scrape(), "\n") {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, _, _ := strings.Cut(rest, " ")
			there[name] = true
		}
	}
	data, err := os.ReadFile(filepath.Join("..", "deploy", "grafana-dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &board); err != nil {
		t.Fatal(err)
	}
	shown, ids := map[string]bool{}, map[int]bool{}
	for _, p := range board.Panels {
		if p.Title == "" || len(p.Targets) == 0 || ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("the panel %+v", p)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			for _, name := range regexp.MustCompile(`\b(?:skyweld|go|process)_[a-z0-9_]+`).FindAllString(target.Expr, -1) {
				if base := regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(name, ""); there[base] {
					name = base
				}
				shown[name] = true
				if !there[name] {
					t.Errorf("%s shows %s, which there isn't", p.Title, name)
				}
			}
		}
	}
	for name := range there {
		if strings.HasPrefix(name, "skyweld_") && !shown[name] {
			t.Errorf("the dashboard doesn't show %s", name)
		}
	}
}
