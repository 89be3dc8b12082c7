package ec2

import (
	"context"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/skyweld/skyweld/lab/world"
)

// fabric brings networks to their projected state, each in the order of its changes and outside the service's lock.
// States that were overtaken are skipped.
type fabric struct {
	ctx   context.Context
	phys  world.Physical
	log   *slog.Logger
	work  *tasks
	mu    sync.Mutex
	wires map[string]*wire
}

// wire is one network on its way. It goes when its network has no interface any more.
type wire struct {
	want    world.Network
	version int64         // of want
	tried   int64         // the version that was last attempted
	err     error         // of that attempt
	busy    bool          // a goroutine works on it
	news    chan struct{} // closed when tried moves
	changed chan struct{} // closed when version moves
}

// How long to wait before an attempt that failed is repeated.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
)

func newFabric(ctx context.Context, phys world.Physical, log *slog.Logger, work *tasks) *fabric {
	return &fabric{ctx: ctx, phys: phys, log: log, work: work, wires: map[string]*wire{}}
}

// set gives a region's networks their new state. It returns at once.
func (f *fabric) set(region string, nets map[string]world.Network) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, w := range f.wires {
		if _, still := nets[id]; !still && w.want.Region == region && len(w.want.NICs) > 0 {
			f.change(id, world.Network{ID: id, Cloud: w.want.Cloud, Region: region})
		}
	}
	for id, n := range nets {
		if w := f.wires[id]; w == nil || !reflect.DeepEqual(w.want, n) {
			f.change(id, n)
		}
	}
}

// change gives one network its new state. The caller holds the lock.
func (f *fabric) change(id string, n world.Network) {
	w := f.wires[id]
	if w == nil {
		w = &wire{news: make(chan struct{}), changed: make(chan struct{})}
		f.wires[id] = w
	}
	w.want = n
	w.version++
	close(w.changed)
	w.changed = make(chan struct{})
	if !w.busy {
		w.busy = f.work.start(func() { f.run(id, w) })
	}
}

// run works on a network until it is as wanted.
func (f *fabric) run(id string, w *wire) {
	retry := firstRetry
	for {
		f.mu.Lock()
		want, version := w.want, w.version
		f.mu.Unlock()
		err := f.apply(want)
		f.mu.Lock()
		w.tried, w.err = version, err
		close(w.news)
		w.news = make(chan struct{})
		current := w.version == version
		if current && err == nil || f.ctx.Err() != nil {
			w.busy = false
			if len(want.NICs) == 0 && current {
				delete(f.wires, id)
			}
			f.mu.Unlock()
			return
		}
		changed := w.changed
		f.mu.Unlock()
		if !current {
			retry = firstRetry
			continue
		}
		f.log.Error("network is not as wanted; trying again", "network", id, "error", err, "after", retry)
		select {
		case <-f.ctx.Done():
		case <-changed:
		case <-time.After(retry):
		}
		retry = min(2*retry, lastRetry)
	}
}

func (f *fabric) apply(n world.Network) error {
	if len(n.NICs) == 0 {
		return f.phys.RemoveNetwork(f.ctx, n.ID)
	}
	return f.phys.SetNetwork(f.ctx, n)
}

// wait returns when a network has the state it was last given, or with the error of the attempt.
func (f *fabric) wait(ctx context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.wires[id]
	if w == nil {
		return nil
	}
	for version := w.version; w.tried < version; {
		news := w.news
		f.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-news:
		}
		f.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return w.err
}

// tasks are goroutines that Close waits for.
type tasks struct {
	mu     sync.Mutex
	closed bool
	group  sync.WaitGroup
}

// start runs f, unless the tasks are closed.
func (t *tasks) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.group.Go(f)
	}
	return !t.closed
}

// close lets no more tasks start and waits for those that run.
func (t *tasks) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.group.Wait()
}
