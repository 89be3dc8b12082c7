package digitalocean

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/skyweld/skyweld/lab/world"
)

// plumber brings the networks to their projected state, outside the service's lock. States that were overtaken are
// skipped.
type plumber struct {
	ctx  context.Context
	phys world.Physical
	log  *slog.Logger
	work *tasks

	mu      sync.Mutex
	want    map[string]world.Network
	version int64 // of want
	tried   int64 // the version that was last attempted
	err     error // of that attempt
	busy    bool
	news    chan struct{} // closed when tried moves
	changed chan struct{} // closed when version moves

	laid map[string]world.Network // what was brought about; the worker's alone
}

// How long to wait before an attempt that failed is repeated.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
)

func newPlumber(ctx context.Context, phys world.Physical, log *slog.Logger, work *tasks) *plumber {
	return &plumber{ctx: ctx, phys: phys, log: log, work: work, news: make(chan struct{}), changed: make(chan struct{}), laid: map[string]world.Network{}}
}

// set gives all networks their new state. It returns at once, with a version to wait for.
func (p *plumber) set(want map[string]world.Network) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.version > 0 && reflect.DeepEqual(p.want, want) {
		return p.version
	}
	p.want = want
	p.version++
	close(p.changed)
	p.changed = make(chan struct{})
	if !p.busy {
		p.busy = p.work.start(p.run)
	}
	return p.version
}

// run works until all is as wanted.
func (p *plumber) run() {
	retry := firstRetry
	for {
		p.mu.Lock()
		want, version := p.want, p.version
		p.mu.Unlock()
		err := p.lay(want)
		if err != nil {
			err = p.lay(want) // an address may have been in one network's way that another has left meanwhile
		}
		p.mu.Lock()
		p.tried, p.err = version, err
		close(p.news)
		p.news = make(chan struct{})
		current := p.version == version
		if current && err == nil || p.ctx.Err() != nil {
			p.busy = false
			p.mu.Unlock()
			return
		}
		changed := p.changed
		p.mu.Unlock()
		if !current {
			retry = firstRetry
			continue
		}
		p.log.Error("networks are not as wanted; trying again", "error", err, "after", retry)
		select {
		case <-p.ctx.Done():
		case <-changed:
		case <-time.After(retry):
		}
		retry = min(2*retry, lastRetry)
	}
}

// lay makes each network that differs from what is there.
func (p *plumber) lay(want map[string]world.Network) error {
	var errs []error
	for id := range p.laid {
		if _, still := want[id]; still {
			continue
		}
		if err := p.phys.RemoveNetwork(p.ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("remove the network of VPC %s: %w", id, err))
			continue
		}
		delete(p.laid, id)
	}
	for id, n := range want {
		if reflect.DeepEqual(p.laid[id], n) {
			continue
		}
		if err := p.phys.SetNetwork(p.ctx, n); err != nil {
			errs = append(errs, fmt.Errorf("the network of VPC %s: %w", id, err))
			p.laid[id] = world.Network{ID: id} // partly made, and like nothing that is wanted
			continue
		}
		p.laid[id] = n
	}
	return errors.Join(errs...)
}

// wait returns when a version, or one after it, was brought about, or with the error of the attempt.
func (p *plumber) wait(ctx context.Context, version int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.tried < version {
		news := p.news
		p.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-p.ctx.Done():
		case <-news:
		}
		p.mu.Lock()
		if err := errors.Join(ctx.Err(), p.ctx.Err()); err != nil {
			return err
		}
	}
	return p.err
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
