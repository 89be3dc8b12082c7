package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/web/webtest"
)

// cut is an answer that breaks off after some writes.
type cut struct {
	http.ResponseWriter
	left int
}

func (c *cut) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *cut) Write(p []byte) (int, error) {
	if c.left--; c.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

// followed is an engine at work whose streams break off again and again, and how often it is asked for something by path.
func followed(t *testing.T) (*webtest.Scene, *api.Client, func() map[string]int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	scene, err := webtest.New(ctx, webtest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan struct{})
	go func() { defer close(ran); _ = scene.Engine.Run(ctx) }()
	if err := scene.AddAccounts(ctx); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	asked := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[strings.TrimRight(strings.TrimPrefix(r.URL.Path, "/api/v1/"), "/0123456789")]++
		mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "/stream") {
			w = &cut{w, 4}
		}
		scene.API.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close(); stop(); <-ran; scene.Store.Close() })
	client := &api.Client{Base: server.URL, Token: "webtest", Who: "ada", HTTP: server.Client()}
	return scene, client, func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return asked
	}
}

const followedFile = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: demo}
spec:
  sites: [{name: one, account: my-aws, region: us-east-1}]
  controlPlane: {replicas: 1}
  workers: [{name: web, site: one, size: small, count: 1}]
`

// TestFollowing: a wait shows every step once and asks the engine for nothing that the stream brings, however often that is
// cut; and events that are watched come each once, to the last.
func TestFollowing(t *testing.T) {
	scene, client, asked := followed(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	follow := func(ch api.Change) (*following, string) {
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		p := &progress{out: out, started: time.Now(), said: map[string]string{}}
		f := &following{client: client, p: p, was: ch, now: ch}
		if err := f.follow(ctx); err != nil {
			t.Fatalf("%s: %v", ch.Kind, err)
		}
		text, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return f, string(text)
	}
	shown := func(what, text string, id int64) {
		run, steps, err := scene.Store.GetRun(ctx, id)
		if err != nil || len(steps) < 5 {
			t.Fatalf("%s: run %d has %d steps, %v", what, run.ID, len(steps), err)
		}
		for _, s := range steps {
			if n := strings.Count(text, fmt.Sprintf("  %-9s %s %s (", s.Action, s.Kind, s.Key)); n != 1 {
				t.Errorf("%s: %s of %s is shown %d times in\n%s", what, s.Action, s.Key, n, text)
			}
		}
	}

	made, err := client.Apply(ctx, []byte(followedFile))
	if err != nil {
		t.Fatal(err)
	}
	f, text := follow(made)
	shown("a creation", text, f.run.ID)
	if f.now.State != "applied" || f.run.Done != f.run.Total {
		t.Errorf("at the end it is %s, with %d of %d steps", f.now.State, f.run.Done, f.run.Total)
	}
	if n := asked(); n["changes"]+n["runs"] > 6 || n["stream"] < 3 {
		t.Errorf("asked were %v", n)
	}

	cluster, err := client.Cluster(ctx, "demo")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := &cobra.Command{}
	c.SetContext(ctx)
	c.SetOut(&out)
	watched := make(chan error, 1)
	go func() { watched <- followEvents(&settings{output: formName}, c, client, cluster, nil, 0) }()
	gone, err := client.Delete(ctx, "demo")
	if err != nil {
		t.Fatal(err)
	}
	f, text = follow(gone)
	shown("a deletion", text, f.run.ID)
	select {
	case err := <-watched:
		if err != nil {
			t.Errorf("the watch ends with %v", err)
		}
	case <-ctx.Done():
		t.Fatal("the watch doesn't end")
	}
	events, err := scene.Store.ListEvents(ctx, cluster.UID, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, e := range events {
		fmt.Fprintf(&want, "event/%d\n", e.ID)
		if e.Reason == "Deleted" && e.Object == "cluster demo" {
			break
		}
	}
	if out.String() != want.String() {
		t.Errorf("shown were\n%s\nof\n%s", &out, &want)
	}
	if n := asked()["clusters/demo/events"]; n > 2 {
		t.Errorf("events were asked for %d times", n)
	}
}
