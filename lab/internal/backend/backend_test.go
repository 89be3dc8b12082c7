package backend_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/lab/internal/backend"
	"github.com/skyweld/skyweld/lab/world"
)

var errNotNow = errors.New("not now")

func TestTasks(t *testing.T) {
	var tasks backend.Tasks
	done := false
	if !tasks.Start(func() { done = true }) {
		t.Error("a task doesn't start")
	}
	tasks.Close()
	if !done {
		t.Error("Close didn't wait")
	}
	if tasks.Start(func() { t.Error("a task runs after Close") }) {
		t.Error("a task starts after Close")
	}
}

func TestLocks(t *testing.T) {
	var locks backend.Locks
	count := map[string]int{}
	var group sync.WaitGroup
	one := locks.Lock("one")
	locks.Lock("two")() // another name is another lock
	for range 20 {
		group.Go(func() {
			defer locks.Lock("one")()
			count["one"]++
		})
	}
	count["one"]++
	one()
	group.Wait()
	if count["one"] != 21 {
		t.Errorf("counted %d, want 21", count["one"])
	}
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		began := time.Now()
		if !backend.Pause(done, time.Hour) || time.Since(began) != time.Hour {
			t.Errorf("paused %s, want an hour", time.Since(began))
		}
		if !backend.Pause(done, -time.Second) {
			t.Error("no pause is a pause cut short")
		}
		close(done)
		if backend.Pause(done, 0) || backend.Pause(done, time.Hour) {
			t.Error("a pause isn't cut short")
		}
	})
}

func TestInsist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		left := 8
		var pauses []time.Duration
		failed := func(err error, after time.Duration) { pauses = append(pauses, after) }
		err := backend.Insist(ctx, func(context.Context) error {
			if left--; left > 0 {
				return errNotNow
			}
			return nil
		}, failed)
		want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second}
		if diff := cmp.Diff(want, pauses); err != nil || diff != "" {
			t.Errorf("error %v, pauses (- want, + got):\n%s", err, diff)
		}
		time.AfterFunc(time.Minute, cancel)
		if err := backend.Insist(ctx, func(context.Context) error { return errNotNow }, failed); err == nil {
			t.Error("no error when the context has ended")
		}
	})
}

// TestFollower sets states faster than they are brought about: the last one comes, those in between may not.
func TestFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tasks backend.Tasks
		ctx, cancel := context.WithCancel(t.Context())
		var applied []int
		var mended atomic.Bool
		f := backend.NewFollower(ctx, &tasks, func(_ context.Context, n int) error {
			time.Sleep(time.Second)
			if n == 5 && !mended.Load() {
				return errNotNow
			}
			applied = append(applied, n)
			return nil
		}, func(err error, _ time.Duration) {
			if !errors.Is(err, errNotNow) {
				t.Errorf("failed with %v", err)
			}
		})
		first := f.Set(1)
		synctest.Wait() // the first is on its way
		f.Set(2)
		third := f.Set(3)
		if again := f.Set(3); again != third {
			t.Errorf("the same state has the versions %d and %d", third, again)
		}
		if err := f.Wait(ctx, first); err != nil {
			t.Error(err)
		}
		if err := f.Wait(ctx, third); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		want, version, idle := f.Wanted()
		if diff := cmp.Diff([]int{1, 3}, applied); diff != "" || want != 3 || version != third || !idle {
			t.Errorf("wanted %d of version %d, idle %t, applied (- want, + got):\n%s", want, version, idle, diff)
		}
		if err := f.Wait(ctx, f.Set(5)); !errors.Is(err, errNotNow) {
			t.Errorf("error %v of an attempt that fails", err)
		}
		if _, _, idle := f.Wanted(); idle {
			t.Error("idle with an attempt to come")
		}
		mended.Store(true)
		time.Sleep(time.Minute)
		if _, _, idle := f.Wanted(); !idle {
			t.Error("the attempt wasn't repeated")
		}
		cancel()
		if err := f.Wait(context.Background(), version+9); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v after the end", err)
		}
		tasks.Close()
	})
}

// physical is a physical side that only remembers.
type physical struct {
	world.Physical
	calls []string
	fails map[string]bool
}

func (p *physical) say(what, id string) error {
	p.calls = append(p.calls, what+" "+id)
	if p.fails[id] {
		return errNotNow
	}
	return nil
}

func (p *physical) SetNetwork(_ context.Context, n world.Network) error { return p.say("set", n.ID) }
func (p *physical) RemoveNetwork(_ context.Context, id string) error    { return p.say("remove", id) }
func (p *physical) DestroyMachine(_ context.Context, id string) error   { return p.say("destroy", id) }
func (p *physical) StartMachine(_ context.Context, m world.Machine) error {
	return p.say("start", m.ID)
}

func TestNetworks(t *testing.T) {
	p := &physical{fails: map[string]bool{}}
	var now []world.Network
	n := backend.NewNetworks(p, func() []world.Network { return now })
	sync := func(fails bool, want ...string) {
		t.Helper()
		p.calls = nil
		if err := n.Sync(t.Context()); (err != nil) != fails {
			t.Errorf("error %v", err)
		}
		if diff := cmp.Diff(want, p.calls); diff != "" {
			t.Errorf("calls (- want, + got):\n%s", diff)
		}
	}
	now = []world.Network{{ID: "a"}}
	sync(false, "set a")
	sync(false)
	now[0].Region = "there"
	p.fails["a"] = true
	sync(true, "set a")
	delete(p.fails, "a")
	sync(false, "set a")
	now = nil
	sync(false, "remove a")
	sync(false)
}

func TestRestore(t *testing.T) {
	p := &physical{fails: map[string]bool{"c": true}}
	n := backend.NewNetworks(p, func() []world.Network { return []world.Network{{ID: "net"}} })
	var running []string
	err := n.Restore(t.Context(), []string{"a"}, []world.Machine{{ID: "b"}, {ID: "c"}, {ID: "d"}}, func(id string) { running = append(running, id) })
	if !errors.Is(err, errNotNow) {
		t.Errorf("error %v of a machine that doesn't start", err)
	}
	if diff := cmp.Diff([]string{"destroy a", "set net", "start b", "start c", "start d"}, p.calls); diff != "" {
		t.Errorf("calls (- want, + got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"b", "d"}, running); diff != "" {
		t.Errorf("running (- want, + got):\n%s", diff)
	}
}

func TestFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	open := func(records *map[string]int) *backend.File {
		t.Helper()
		f, err := backend.OpenFile(dir, "records.json", "nobody's", records)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	var lock sync.Mutex
	records, version := map[string]int{}, int64(0)
	f := open(&records)
	path := filepath.Join(dir, "records.json")
	if err := f.Save(&lock, &version, records); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file is there though nothing has changed")
	}
	records["a"], version = 1, 1
	for range 2 {
		if err := f.Save(&lock, &version, records); err != nil {
			t.Error(err)
		}
	}
	var read map[string]int
	open(&read)
	if diff := cmp.Diff(records, read); diff != "" {
		t.Errorf("records (- saved, + loaded):\n%s", diff)
	}
	version++
	if err := f.Save(&lock, &version, map[string]any{"a": func() {}}); err == nil {
		t.Error("no error of records that are no JSON")
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := backend.OpenFile(dir, "records.json", "nobody's", &read); err == nil {
		t.Error("no error of a file that is cut off")
	}
}
