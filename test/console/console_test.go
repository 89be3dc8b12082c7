// Package console_test looks at the console through a real browser: Chromium, driven by a small program in browser/, with
// axe as the judge of accessibility. TestPages goes through every page over clouds in memory; the others live through a
// cluster's whole life over the lab, once by mouse only and once by keyboard only.
//
// Pictures of all of it are kept with 'go test -artifacts'.
package console_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/store"
	"github.com/skyweld/skyweld/web/webtest"
)

// scene is a console over clouds in memory, at an address.
type scene struct {
	*webtest.Scene
	t   *testing.T
	url string
}

// gone is a cluster that was deleted, and left a receipt.
const gone = "attic"

const goneFile = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: attic}
spec:
  metro: us-east
  sites:
    - {name: aws, account: my-aws}
  controlPlane: {replicas: 1, size: small}
`

// newScene serves one; full has clusters in all states, and else it has nothing but users.
func newScene(t *testing.T, full bool) *scene {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	// Calls take a while, so that runs can be seen.
	w, err := webtest.New(ctx, webtest.Options{Dir: t.TempDir(), Call: 20 * time.Millisecond, Boot: 100 * time.Millisecond})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	s := &scene{Scene: w, t: t}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	s.url = "http://" + l.Addr().String()
	server := &http.Server{Handler: w.Handler(), ReadHeaderTimeout: 10 * time.Second}
	served, ran := make(chan error, 1), make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	go func() { ran <- w.Engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
		<-ran
		_ = w.Store.Close()
	})
	if err := w.AddUsers(ctx); err != nil {
		t.Fatal(err)
	}
	if !full {
		return s
	}
	filling, stop := context.WithTimeout(ctx, 4*time.Minute)
	defer stop()
	if err := w.AddAccounts(filling); err != nil {
		t.Fatal(err)
	}
	if err := w.Apply(filling, goneFile); err != nil {
		t.Fatal(err)
	}
	if err := w.Fill(filling, ctx.Done()); err != nil {
		t.Fatal(err)
	}
	s.until(gone, func(c store.Cluster) bool { return c.Phase == store.Ready })
	if _, err := w.Engine.Delete(filling, gone, "ada"); err != nil {
		t.Fatal(err)
	}
	for s.receipt() == "" {
		s.moment()
	}
	return s
}

// until waits until a cluster is as wanted.
func (s *scene) until(cluster string, ok func(store.Cluster) bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	if err := s.Until(ctx, cluster, ok); err != nil {
		s.t.Fatal(err)
	}
}

// moment waits until something has happened in the store.
func (s *scene) moment() {
	s.t.Helper()
	watch := s.Store.Watch()
	defer watch.Close()
	select {
	case <-watch.Ready():
	case <-time.After(time.Second):
	case <-s.t.Context().Done():
		s.t.Fatal("the test's time is over")
	}
}

// receipt is the id of the deleted cluster's receipt, empty while there is none.
func (s *scene) receipt() string {
	s.t.Helper()
	list, err := s.admin().Receipts(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range list {
		if r.Cluster == gone && !r.Closed.IsZero() {
			return r.UID
		}
	}
	return ""
}

// admin is the API as an admin.
func (s *scene) admin() *api.Client { return s.API.As(auth.Principal{Name: "Ada", Role: auth.Admin}) }

// as are the options of a tab of somebody with a role, nobody for none.
func (s *scene) as(role auth.Role) tabOptions {
	s.t.Helper()
	o := tabOptions{Base: s.url}
	if role != "" {
		c, _, err := s.SignIn(s.t.Context(), role)
		if err != nil {
			s.t.Fatal(err)
		}
		o.Cookie = cookieOf(c)
	}
	return o
}
