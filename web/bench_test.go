package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/web/webtest"
)

// crowd is a scene with so many clusters of ten nodes, whose engine has stopped.
func crowd(t testing.TB, clusters int) *webtest.Scene {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	s, err := webtest.New(ctx, webtest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Store.Close() })
	if err := s.AddAccounts(ctx); err != nil {
		t.Fatal(err)
	}
	engine, stop := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- s.Engine.Run(engine) }()
	if err := s.Many(ctx, clusters, func() { stop(); <-ran }); err != nil {
		t.Fatal(err)
	}
	return s
}

// crowdPages are the pages that show much, or that everybody opens.
var crowdPages = []string{
	"/clusters", "/clusters?q=fleet-017", "/clusters/fleet-000", "/clusters/fleet-000/nodes", "/clusters/fleet-000/runs", "/clusters/fleet-000/resources",
	"/clusters/fleet-000/events", "/clusters/fleet-000/changes", "/clusters/fleet-000/latency", "/receipts",
}

// TestCrowd holds that a list of all clusters grows by its lines only, that a cluster's pages don't grow with the number of
// others, and that no page asks a Kubernetes of its own.
func TestCrowd(t *testing.T) {
	cost := func(clusters int) map[string]float64 {
		s := crowd(t, clusters)
		b := as(t, s, auth.Admin)
		var asked int
		s.World("fleet-000").Around = func(_ context.Context, _ string, do func() error) error {
			asked++
			return do()
		}
		out := map[string]float64{}
		for _, path := range crowdPages {
			if a := b.get(path); a.Code != http.StatusOK {
				t.Fatalf("%s: %d", path, a.Code)
			}
			out[path] = testing.AllocsPerRun(1, func() { b.get(path) })
			for range 4 { // whatever else goes on allocates too: the least is the page's own
				out[path] = min(out[path], testing.AllocsPerRun(1, func() { b.get(path) }))
			}
		}
		if asked > 0 {
			t.Errorf("the pages asked a cluster's machines or Kubernetes %d times", asked)
		}
		return out
	}
	few, many := cost(4), cost(24)
	for _, path := range crowdPages {
		grown := (many[path] - few[path]) / 20
		most := 200.0
		if path == "/clusters" || path == "/clusters?q=fleet-017" {
			most = 1200 // a line of ten nodes, read, counted, and shown
		}
		if grown > most {
			t.Errorf("%s: %.0f allocations more for each cluster more (%.0f, %.0f); want at most %.0f", path, grown, few[path], many[path], most)
		}
		t.Logf("%s: %.0f allocations, %.0f more for each cluster more", path, few[path], grown)
	}
}

// BenchmarkPages says how long pages take with 200 clusters and 2,000 nodes in the store, and how much of a processor that
// is: on a busy machine only the latter says much.
func BenchmarkPages(b *testing.B) {
	s := crowd(b, 200)
	u := as(b, s, auth.Admin)
	for _, path := range crowdPages {
		b.Run(path, func(b *testing.B) {
			u.t = b
			begun := time.Now()
			u.raw(httptest.NewRequest(http.MethodGet, path, nil))
			first := time.Since(begun)
			b.ReportAllocs()
			spent := cpu(b)
			for b.Loop() {
				if a := u.raw(httptest.NewRequest(http.MethodGet, path, nil)); a.Code != http.StatusOK {
					b.Fatalf("%s: %d", path, a.Code)
				}
			}
			b.ReportMetric(float64((cpu(b)-spent).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(first.Milliseconds()), "first-ms")
		})
	}
}

// cpu is how long this process has had a processor.
func cpu(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
