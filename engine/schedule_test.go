package engine

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

func TestJitter(t *testing.T) {
	least, most := time.Hour, time.Duration(0)
	for range 1000 {
		d := jittered(time.Hour)
		least, most = min(least, d), max(most, d)
	}
	if least < 54*time.Minute || most > 66*time.Minute || most-least < 6*time.Minute {
		t.Errorf("runs of an hour come after %v to %v", least, most)
	}
}

// TestSpread has many clusters fail in the same outage: their next tries are spread over the more, the longer it lasts, and
// never later than the next run would have been anyway.
func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		failures    int
		every       time.Duration
		least, most time.Duration
	}{
		{1, time.Hour, 8 * time.Second, 12 * time.Second},
		{3, time.Hour, 32 * time.Second, 48 * time.Second},
		{1000, time.Hour, 4 * time.Minute, 6 * time.Minute},
		{1000, 5 * time.Minute, 4 * time.Minute, 5 * time.Minute},
	} {
		least, most := time.Hour, time.Duration(0)
		for range 1000 {
			d := spread(usualPatience.failurePause(tt.failures), tt.every)
			least, most = min(least, d), max(most, d)
		}
		if room := (tt.most - tt.least) / 20; least < tt.least || least > tt.least+room || most > tt.most || most < tt.most-room {
			t.Errorf("after %d failed runs, of which one is due every %v, the next come after %v to %v; want %v to %v", tt.failures, tt.every, least, most, tt.least, tt.most)
		}
	}
}

func TestReschedule(t *testing.T) {
	now := time.Unix(1e9, 0)
	at := func(d time.Duration) store.Waiting {
		return store.Waiting{Cluster: "a", Next: now.Add(d), Set: now.Add(-2 * time.Hour)}
	}
	asked, jumped, alike := at(-5*time.Hour), at(25*time.Hour), at(-5*time.Hour)
	asked.Asked, jumped.Set, alike.Cluster = true, now.Add(24*time.Hour), "b"
	slewed := at(time.Hour)
	slewed.Set = now.Add(30 * time.Second)
	for _, tt := range []struct {
		name string
		all  []store.Waiting
		want map[string]time.Duration
	}{
		{"nothing", nil, nil},
		{"in time", []store.Waiting{at(time.Minute)}, nil},
		{"a little late", []store.Waiting{at(-2 * time.Minute)}, nil},
		{"long overdue", []store.Waiting{at(-5 * time.Hour)}, map[string]time.Duration{"a": 0}},
		{"long overdue, and asked for", []store.Waiting{asked}, nil},
		{"two", []store.Waiting{alike, at(-6 * time.Hour)}, map[string]time.Duration{"a": 0, "b": catchUpPace}},
		{"two since the same moment", []store.Waiting{alike, at(-5 * time.Hour)}, map[string]time.Duration{"a": 0, "b": catchUpPace}},
		{"a clock that was set back", []store.Waiting{jumped}, map[string]time.Duration{"a": 0}},
		{"a clock that was slewed", []store.Waiting{slewed}, nil},
		{"the latest that jitter gives", []store.Waiting{at(66 * time.Minute)}, nil},
		{"by an engine with a longer interval", []store.Waiting{at(24 * time.Hour)}, map[string]time.Duration{"a": time.Hour}},
	} {
		got := map[string]time.Duration{}
		for uid, next := range reschedule(now, time.Hour, tt.all) {
			got[uid] = next.Sub(now)
		}
		if !maps.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestRescheduleProperties holds for any mixture: nothing that is asked for or in order is touched, all that was missed has
// its turn within a tenth of the interval, one after the other in the order in which it was due, and a second look changes
// nothing.
func TestRescheduleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1e9, 0)
		every := time.Duration(rapid.Int64Range(int64(time.Second), int64(48*time.Hour)).Draw(t, "every"))
		offset := rapid.Int64Range(-int64(3*every), int64(3*every))
		all := make([]store.Waiting, rapid.IntRange(0, 200).Draw(t, "clusters"))
		for i := range all {
			all[i] = store.Waiting{Cluster: fmt.Sprintf("c%03d", i), Next: now.Add(time.Duration(offset.Draw(t, "next"))), Set: now.Add(time.Duration(offset.Draw(t, "set"))), Asked: rapid.Bool().Draw(t, "asked")}
		}
		to := reschedule(now, every, all)
		var late []store.Waiting
		for i, w := range all {
			next, moved := to[w.Cluster]
			isLate := w.Set.After(now.Add(clockSkew)) || w.Next.Before(now.Add(-every/lateAfter))
			isFar := w.Next.After(now.Add(every + every/10))
			if want := !w.Asked && (isLate || isFar); moved != want {
				t.Fatalf("%+v: moved is %v", w, moved)
			}
			if !moved {
				continue
			}
			if next.Before(now) || next.After(now.Add(every)) || isLate && next.After(now.Add(every/catchUp)) {
				t.Fatalf("%+v comes in %v of %v", w, next.Sub(now), every)
			}
			if isLate {
				late = append(late, w)
			}
			all[i].Next, all[i].Set = next, now
		}
		inOrder(late)
		for i := 1; i < len(late); i++ {
			if gap := to[late[i].Cluster].Sub(to[late[i-1].Cluster]); gap < 0 || gap == 0 && every/catchUp > time.Duration(len(late)) || gap > catchUpPace {
				t.Fatalf("%d missed runs of %v follow one another after %v", len(late), every, gap)
			}
		}
		if again := reschedule(now, every, all); len(again) != 0 {
			t.Fatalf("a second look moves %v", again)
		}
	})
}

// TestCatchUp simulates an engine that starts with 1,000 clusters it has missed: no two begin at once, all have their turn
// within minutes, and what somebody asks for is begun at once whenever it comes.
func TestCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clusters, every, takes = 1000, time.Hour, 1200 * time.Millisecond
		all := map[string]*store.Waiting{}
		var mu sync.Mutex
		begin := time.Now()
		for i := range clusters {
			uid := fmt.Sprintf("c%04d", i)
			all[uid] = &store.Waiting{Cluster: uid, Next: begin.Add(-time.Duration(i+4) * time.Minute), Set: begin.Add(-48 * time.Hour)}
		}
		put := func() {
			mu.Lock()
			defer mu.Unlock()
			var list []store.Waiting
			for _, w := range all {
				list = append(list, *w)
			}
			for uid, next := range reschedule(time.Now(), every, list) {
				all[uid].Next, all[uid].Set = next, time.Now()
			}
		}
		// claim is ClaimCluster's order.
		claim := func(onlyAsked bool) *store.Claim {
			mu.Lock()
			defer mu.Unlock()
			var best *store.Waiting
			for _, w := range all {
				if w.Next.After(time.Now()) || onlyAsked && !w.Asked {
					continue
				}
				if best == nil || w.Asked && !best.Asked || w.Asked == best.Asked && w.Next.Before(best.Next) {
					best = w
				}
			}
			if best == nil {
				return nil
			}
			c := &store.Claim{Fence: store.Fence{Cluster: best.Cluster}, Asked: best.Asked}
			best.Asked, best.Next = false, time.Now().Add(every)
			return c
		}
		began := map[string]time.Duration{}
		running, most := 0, 0
		put()
		free := newSlots(4)
		var waits []time.Duration
		var done atomic.Bool
		var group sync.WaitGroup
		group.Go(func() { // somebody asks for one of them every 20 s
			for i := 0; !done.Load(); i++ {
				time.Sleep(20*time.Second + time.Duration(i)*time.Millisecond)
				mu.Lock()
				w := all[fmt.Sprintf("c%04d", i*7%clusters)]
				w.Asked, w.Next = true, time.Now()
				mu.Unlock()
				asked := time.Now()
				group.Go(func() {
					for !done.Load() {
						mu.Lock()
						begun := !w.Asked
						if begun {
							waits = append(waits, time.Since(asked))
						}
						mu.Unlock()
						if begun {
							return
						}
						time.Sleep(10 * time.Millisecond)
					}
				})
			}
		})
		group.Go(func() {
			for !done.Load() {
				time.Sleep(time.Minute)
				put()
			}
		})
		for len(began) < clusters && time.Since(begin) < every {
			free.take(t.Context())
			c := claim(free.onlyAsked())
			if c == nil {
				<-free.all
				time.Sleep(50 * time.Millisecond)
				continue
			}
			release := free.use(c)
			if _, again := began[c.Cluster]; !again {
				began[c.Cluster] = time.Since(begin)
			}
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			group.Go(func() {
				time.Sleep(takes)
				mu.Lock()
				running--
				mu.Unlock()
				release()
			})
		}
		done.Store(true)
		group.Wait()
		last := slices.Max(slices.Collect(maps.Values(began)))
		first := 0
		for _, at := range began {
			if at < time.Second {
				first++
			}
		}
		if len(began) != clusters || last < 5*time.Minute || last > 9*time.Minute || most > 4 || first > 5 {
			t.Errorf("%d of %d had their turn, the last after %v, %d in the first second, at most %d at once", len(began), clusters, last, first, most)
		}
		if slow := slices.Max(waits); slow > 200*time.Millisecond || len(waits) < 15 {
			t.Errorf("%d were asked for, and one waited %v for its run", len(waits), slow)
		}
	})
}

// TestSlots keeps one slot for what is asked.
func TestSlots(t *testing.T) {
	s := newSlots(3)
	var release []func()
	for i, want := range []bool{false, false, true} {
		s.take(t.Context())
		if got := s.onlyAsked(); got != want {
			t.Errorf("with %d that are merely due: only asked is %v", i, got)
		}
		release = append(release, s.use(&store.Claim{Asked: want}))
	}
	full, cancel := context.WithCancel(t.Context())
	cancel()
	if s.take(full) {
		t.Error("a fourth of three was taken")
	}
	for _, r := range release {
		r()
	}
	if s.onlyAsked() || len(s.all) != 0 {
		t.Errorf("after all: only asked is %v, %d taken", s.onlyAsked(), len(s.all))
	}
	if one := newSlots(0); cap(one.all) != 1 || one.onlyAsked() {
		t.Error("an engine without a number of slots needs one for everything")
	}
}

// TestSharedSchedule lets two engines with their own connections begin with missed runs on one database: each cluster is run
// once, by one of them.
func TestSharedSchedule(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	path, box := filepath.Join(t.TempDir(), "skyweld.db"), testBox(t)
	const clusters = 40
	var runs atomic.Int32
	var group sync.WaitGroup
	var engines []*Engine
	for i := range 2 {
		st, err := store.Open(ctx, path, box)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		engines = append(engines, &Engine{store: st, log: slog.New(slog.DiscardHandler), opts: Options{Every: 20 * time.Second, Name: fmt.Sprint("engine-", i)}, patience: usualPatience})
	}
	for i := range clusters {
		name := fmt.Sprintf("demo-%d", i)
		if _, err := engines[0].store.CreateCluster(ctx, &spec.Cluster{Metadata: spec.Metadata{Name: name}}, "alice"); err != nil {
			t.Fatal(err)
		}
		claim, err := engines[0].store.ClaimCluster(ctx, "setup", time.Minute)
		if err != nil || claim == nil {
			t.Fatal(claim, err)
		}
		if err := engines[0].store.Release(ctx, claim.Fence, -time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	seen := make([]map[string]int, len(engines))
	for i, e := range engines {
		seen[i] = map[string]int{}
		group.Go(func() {
			e.putInOrder(ctx)
			for ctx.Err() == nil {
				claim, err := e.claim(ctx, false)
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				if claim == nil {
					time.Sleep(5 * time.Millisecond)
					continue
				}
				seen[i][claim.Cluster]++
				if err := e.store.Release(ctx, claim.Fence, jittered(e.opts.Every)); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				if runs.Add(1) == clusters {
					cancel()
				}
			}
		})
	}
	begin := time.Now()
	group.Wait()
	took := time.Since(begin)
	total := map[string]int{}
	for _, s := range seen {
		for uid, n := range s {
			total[uid] += n
		}
	}
	want := map[string]int{}
	for uid := range total {
		want[uid] = 1
	}
	if diff := cmp.Diff(want, total); diff != "" || len(total) != clusters {
		t.Errorf("%d clusters were run:\n%s", len(total), diff)
	}
	if least := 20 * time.Second / catchUp * (clusters - 2) / clusters; took < least {
		t.Errorf("all were run within %v, in a burst; want them spread over %v", took, least)
	}
}

// TestForgetsHistory has an engine forget, some minutes after its start, what is old of a cluster's history.
func TestForgetsHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, cloudtest.Options{})
		uid := s.apply(smallFile)
		s.sql("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 10100) INSERT INTO events SELECT n - 20000, ?, 0, 'Normal', 'Old', '', '' FROM c", uid)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.engine.keepSchedule(ctx) }()
		time.Sleep(forgetFirst + 2*time.Minute)
		cancel()
		<-done
		if left, err := s.engine.store.LastEvents(t.Context(), uid, 20000); err != nil || len(left) != history.Events {
			t.Errorf("%d events are left, %v; want %d", len(left), err, history.Events)
		}
	})
}
