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
	// end is closed when the scene ends.
	end <-chan struct{}
}

// token is an API token's name.
const token = "dashboards"

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
	// Calls take a while, so that runs can be seen.
	o := webtest.Options{Call: 20 * time.Millisecond, Boot: 100 * time.Millisecond}
	return newSceneOf(t, o, func(s *scene) error {
		if !full {
			return nil
		}
		return s.fill()
	})
}

// newSceneOf serves one that is filled in some way.
func newSceneOf(t *testing.T, o webtest.Options, fill func(*scene) error) *scene {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o.Dir = t.TempDir()
	w, err := webtest.New(ctx, o)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	s := &scene{Scene: w, t: t, end: ctx.Done()}
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
	if err := fill(s); err != nil {
		t.Fatal(err)
	}
	return s
}

// fill makes clusters in all states, and one that is no more.
func (s *scene) fill() error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 4*time.Minute)
	defer cancel()
	if err := s.AddAccounts(ctx); err != nil {
		return err
	}
	if _, _, err := s.API.Auth().MakeToken(auth.With(ctx, ada), token, auth.Viewer, time.Now().Add(24*time.Hour)); err != nil {
		return err
	}
	if err := s.Apply(ctx, goneFile); err != nil {
		return err
	}
	if err := s.Fill(ctx, s.end); err != nil {
		return err
	}
	s.settled(gone)
	if _, err := s.Engine.Delete(ctx, gone, "ada"); err != nil {
		return err
	}
	for s.receipt() == "" {
		s.moment()
	}
	return nil
}

// settled waits until all that was asked for of a cluster is done.
func (s *scene) settled(cluster string) {
	s.t.Helper()
	for begin := time.Now(); ; s.moment() {
		c, err := s.admin().Cluster(s.t.Context(), cluster)
		if err != nil {
			s.t.Fatal(err)
		}
		if c.Phase == string(store.Ready) && len(c.PendingChanges) == 0 {
			return
		}
		if time.Since(begin) > 2*time.Minute {
			s.t.Fatalf("cluster %s is still %s, with %d changes", cluster, c.Phase, len(c.PendingChanges))
		}
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

// ada is an admin.
var ada = auth.Principal{Name: "Ada", Role: auth.Admin}

// admin is the API as an admin.
func (s *scene) admin() *api.Client { return s.API.As(ada) }

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
