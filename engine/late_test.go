package engine

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/store"
)

// lateCall is a call to make a network that lands when its cluster has been deleted by another engine.
type lateCall struct {
	*scene
	run    *run
	site   *site
	intent store.Intent
	object cloud.Object
}

// newLateCall lets an engine open the intent, lose its lease to one that deletes the cluster, and land then.
func newLateCall(t *testing.T, o cloudtest.Options) *lateCall {
	t.Helper()
	o.NoTokens = true
	s := wiredScene(t, o)
	uid := s.apply(smallFile)
	_ = s.engine.store.Wake(t.Context(), uid)
	claim, err := s.engine.store.ClaimCluster(t.Context(), "engine", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := s.engine.look(t.Context(), claim.Current, claim.Current.Spec, false)
	if err != nil {
		t.Fatal(err)
	}
	l := &lateCall{scene: s, run: newRun(seen, claim.Fence), site: seen.sites["one"]}
	i := slices.IndexFunc(seen.want, func(r cloud.Resource) bool { return r.Key == "one-net" })
	step := plan.Step{Key: "one-net", Kind: seen.want[i].Kind, Site: "one"}
	if l.intent, err = l.run.intent(t.Context(), l.site, step, plan.Create); err != nil {
		t.Fatal(err)
	}
	if err := s.engine.store.Release(t.Context(), claim.Fence, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.engine.Delete(t.Context(), "demo", "tester"); err != nil {
		t.Fatal(err)
	}
	s.eventually(uid, store.Deleted)
	l.intent.Created, s.engine.patience.listLag = time.Now(), usualPatience.listLag // by the clock of the bubble, as the cloud
	if l.object, err = s.clouds[cloud.AWS].Create(t.Context(), cloud.CreateRequest{Owner: seen.owner, Resource: seen.want[i], Token: l.intent.Token}); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLandsAfterTheEnd has a call land when nobody looks at its cluster any more: who sent it removes what it made, and stops
// trying some time.
func TestLandsAfterTheEnd(t *testing.T) {
	limit := usualPatience.listLag + usualPatience.step
	for _, tt := range []struct {
		name string
		o    cloudtest.Options
		// known says that the answer told what was made.
		known bool
		fault *cloudtest.Fault
		// endless says that the faulty call never ends.
		endless bool
		// stop is when the engine is stopped; 0 for never.
		stop time.Duration
		// left says that the network is there in the end, within the given time.
		left   bool
		within time.Duration
	}{
		{name: "it is known", known: true, within: time.Minute},
		{name: "the answer was lost", within: usualPatience.listLag + time.Minute},
		{name: "the answer was lost, and lists lag", o: cloudtest.Options{ListLag: 90 * time.Second}, within: usualPatience.listLag + time.Minute},
		{name: "the deletion never ends", known: true, fault: &cloudtest.Fault{Op: cloudtest.OpDelete}, endless: true, left: true, within: limit},
		{name: "the cloud is away", known: true, fault: &cloudtest.Fault{Class: cloud.Unavailable}, left: true, within: limit},
		{name: "the cloud is away, and the answer was lost", fault: &cloudtest.Fault{Class: cloud.Unavailable}, left: true, within: limit},
		{name: "the engine is stopped", known: true, fault: &cloudtest.Fault{Op: cloudtest.OpDelete}, endless: true, stop: time.Second, left: true, within: 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLateCall(t, tt.o)
				if tt.endless {
					tt.fault.Until = make(chan struct{})
				}
				if tt.fault != nil {
					l.clouds[cloud.AWS].Inject(*tt.fault)
				}
				object := cloud.Object{}
				if tt.known {
					object = l.object
				}
				engine, stop := context.WithCancel(t.Context())
				defer stop()
				if tt.stop > 0 {
					time.AfterFunc(tt.stop, stop)
				}
				ctx, cancel := context.WithCancelCause(inEngine(engine))
				cancel(store.ErrFenced)
				began := time.Now()
				err := l.run.landedLate(ctx, l.site, l.intent, object)
				if took := time.Since(began); took > tt.within {
					t.Errorf("it took %s, want at most %s", took, tt.within)
				}
				told := l.events(l.uidNow(), "LeftBehind")
				if there := len(l.clouds[cloud.AWS].Objects(l.uidNow())) > 0; there != tt.left || (err != nil) != tt.left || (len(told) > 0) != tt.left {
					t.Errorf("left behind %v, error %v, told %q; want %v", there, err, told, tt.left)
				}
				if tt.left && !strings.Contains(strings.Join(told, ""), "skyweld sweep acc-aws --cluster "+l.uidNow()) {
					t.Errorf("told %q", told)
				}
			})
		})
	}
}

// TestLandsWhileTheStoreIsAway has the database fail just when a call has landed late, which is when leases are lost: it is
// told when the database is back, and an error says so when it stays away.
func TestLandsWhileTheStoreIsAway(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fails int
		told  bool
	}{{"for a moment", 3, true}, {"for good", 1 << 30, false}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLateCall(t, cloudtest.Options{})
				fails, away := tt.fails, errors.New("the disk is full")
				st, err := store.Open(t.Context(), filepath.Join(l.dir, "skyweld.db"), l.box, store.Around(func(_ context.Context, what string, write func() error) error {
					if fails > 0 && strings.HasSuffix(what, " again") {
						fails--
						return away
					}
					return write()
				}))
				if err != nil {
					t.Fatal(err)
				}
				defer st.Close()
				was := l.run.e.store
				l.run.e.store = st
				err = l.run.landedLate(inEngine(t.Context()), l.site, l.intent, l.object)
				l.run.e.store = was
				if gone := len(l.clouds[cloud.AWS].Objects(l.uidNow())) == 0; gone != tt.told || errors.Is(err, away) == tt.told {
					t.Errorf("gone %v, error %v", gone, err)
				}
			})
		})
	}
}
