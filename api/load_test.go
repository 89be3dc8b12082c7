package api_test

import (
	"bufio"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/store"
)

// loadTime is how long the load test's load lasts: SKYWELD_LOAD, else a few seconds.
func loadTime(t *testing.T) time.Duration {
	text := os.Getenv("SKYWELD_LOAD")
	if text == "" {
		return 5 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// listener reads a stream, as little of it as tells what came, and may break off anywhere to resume it.
type listener struct {
	base, last string
	begun      string
	breaks     bool
	ids        int
	sum        uint64
	err        error
	at         atomic.Pointer[string]
	moved      chan struct{}
}

// reach waits until the listener has got a message.
func (l *listener) reach(ctx context.Context, id string) {
	for *l.at.Load() != id {
		select {
		case <-l.moved:
		case <-ctx.Done():
			return
		}
	}
}

func (l *listener) run(ctx context.Context, c *http.Client, begun func()) {
	for ctx.Err() == nil && l.err == nil {
		l.once(ctx, c, begun)
	}
}

func (l *listener) once(ctx context.Context, c *http.Client, begun func()) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base+"/api/v1/stream", nil)
	if err != nil {
		l.err = err
		return
	}
	req.Header.Set("Authorization", "Bearer "+sceneToken)
	if l.last != "" {
		req.Header.Set("Last-Event-ID", l.last)
	}
	resp, err := c.Do(req)
	if err != nil {
		return // it is tried again
	}
	defer resp.Body.Close()
	in, id, left := bufio.NewReader(resp.Body), "", 20+rand.IntN(200)
	kind := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "id: "):
			id = line[4:]
		case strings.HasPrefix(line, "event: "):
			kind = line[7:]
		case line == "" && kind != "":
			switch {
			case kind == "begin" && l.begun == "":
				l.begun = id
				begun()
			case kind == "begin" || kind == "reset":
				l.err = fmt.Errorf("a %s after %s", kind, l.last)
				return
			default:
				l.ids++
				l.sum = chain(l.sum, id)
			}
			l.last, kind = id, ""
			l.at.Store(&id)
			select {
			case l.moved <- struct{}{}:
			default:
			}
			if left--; l.breaks && left == 0 {
				return
			}
		}
	}
}

// chain adds an id to the sum of all before it, in their order.
func chain(sum uint64, id string) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", sum, id)
	return h.Sum64()
}

// TestLoad: under 200 readers of streams and 20 writers no message and no write is lost, and none comes twice.
func TestLoad(t *testing.T) {
	const readers, writers = 200, 20
	scene, rest := stoppable(t)
	server := httptest.NewServer(scene.API)
	defer server.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	transport := &http.Transport{MaxIdleConnsPerHost: readers + writers}
	defer transport.CloseIdleConnections()
	plain := &http.Client{Transport: transport}

	var reading, begun sync.WaitGroup
	all := make([]*listener, readers)
	for i := range all {
		all[i] = &listener{base: server.URL, breaks: i%2 == 1, moved: make(chan struct{}, 1)}
		begun.Add(1)
		reading.Go(func() { all[i].run(ctx, plain, begun.Done) })
	}
	begun.Wait()

	client := &api.Client{Base: server.URL, Token: sceneToken, Who: "load", HTTP: plain}
	over, done := context.WithTimeout(ctx, loadTime(t))
	defer done()
	pace := time.NewTicker(2500 * time.Microsecond) // 400 writes a second, all writers together
	defer pace.Stop()
	var writing sync.WaitGroup
	var mu sync.Mutex
	wrote := map[string][]int64{}
	for w := range writers {
		writing.Go(func() {
			name := fmt.Sprintf("load-%02d", w)
			note := func(c api.Change) {
				mu.Lock()
				defer mu.Unlock()
				wrote[name] = append(wrote[name], c.ID)
			}
			c, err := client.Apply(ctx, fmt.Appendf(nil, demoFile, name))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			note(c)
			for n := 0; ; n++ {
				select {
				case <-pace.C:
				case <-over.Done():
					return
				}
				keyed := client.WithKey(fmt.Sprintf("%s-%d", name, n))
				c, err := keyed.Reconcile(ctx, name)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				note(c)
				if again, err := keyed.Reconcile(ctx, name); n%5 == 0 && (err != nil || again.ID != c.ID) { // whose answer was lost
					t.Errorf("%s: sent again, change %d is %d: %v", name, c.ID, again.ID, err)
				}
			}
		})
	}
	writing.Wait()

	writes := 0
	for name, ids := range wrote {
		c, err := scene.Store.GetCluster(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := scene.Store.ListChanges(ctx, c.UID)
		if err != nil {
			t.Fatal(err)
		}
		var have []int64
		for _, ch := range kept {
			have = append(have, ch.ID)
		}
		if !slices.Equal(have, ids) {
			t.Errorf("%s has the changes %v; accepted were %v", name, have, ids)
		}
		writes += len(ids)
	}
	rest() // nothing is written after it
	var lines []store.FeedLine
	for since := int64(0); ; {
		page, err := scene.Store.ReadFeed(ctx, "", since, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if lines = append(lines, page...); len(page) < 1000 {
			break
		}
		since = page[len(page)-1].ID
	}
	last := fmt.Sprintf("0-%d", lines[len(lines)-1].ID)
	patience, enough := context.WithTimeout(ctx, time.Minute+loadTime(t))
	defer enough()
	for _, l := range all {
		l.reach(patience, last)
	}
	stop()
	server.CloseClientConnections()
	reading.Wait()
	for i, l := range all {
		want, sum, seen := 0, uint64(0), false
		var from int64
		if _, err := fmt.Sscanf(l.begun, "0-%d", &from); err != nil {
			t.Fatalf("reader %d begins with %q", i, l.begun)
		}
		for _, line := range lines {
			if seen = line.ID > from; seen {
				want++
				sum = chain(sum, fmt.Sprintf("0-%d", line.ID))
			}
		}
		if l.err != nil || l.ids != want || l.sum != sum {
			t.Errorf("reader %d got %d messages, up to %s, want %d up to %s; in the same order: %v; %v", i, l.ids, l.last, want, last, l.sum == sum, l.err)
		}
	}
	t.Logf("%d writes, %d messages to each of %d readers", writes, all[0].ids, readers)
}

// BenchmarkRead compares the slowest of 100 reads with those of a handler that does nothing, at one server, in one run.
func BenchmarkRead(b *testing.B) {
	scene := newScene(b)
	mux := http.NewServeMux()
	mux.HandleFunc("/empty", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/", scene.API)
	server := httptest.NewServer(mux)
	defer server.Close()
	paths := []string{"/empty", "/api/v1/version", "/api/v1/clusters/demo", "/api/v1/clusters", "/api/v1/clusters/demo/events", "/api/v1/clusters/demo/runs", "/api/v1/clusters/demo/resources"}
	const times = 1000
	for b.Loop() {
		took := map[string][]time.Duration{}
		for range times { // one after another: what disturbs one disturbs all alike
			for _, path := range paths {
				req, err := http.NewRequest(http.MethodGet, server.URL+path, nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+sceneToken)
				start := time.Now()
				resp, err := server.Client().Do(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				took[path] = append(took[path], time.Since(start))
				if resp.StatusCode != http.StatusOK {
					b.Fatalf("%s: %s", path, resp.Status)
				}
			}
		}
		p99 := func(path string) time.Duration {
			slices.Sort(took[path])
			return took[path][times*99/100]
		}
		b.ReportMetric(float64(p99("/empty"))/1e6, "empty-p99-ms")
		for _, path := range paths[1:] {
			name := strings.ReplaceAll(strings.TrimPrefix(path, "/api/v1/"), "/", "-")
			b.ReportMetric(float64(p99(path))/1e6, name+"-p99-ms")
			b.ReportMetric(float64(p99(path))/float64(p99("/empty")), name+"-p99-ratio")
		}
	}
}
