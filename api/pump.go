package api

import (
	"context"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"time"
)

const (
	// keptFrames and keptBytes are how much of the feed's end is kept for all who read it. Who is further behind reads the
	// database, a page at a time.
	keptFrames = 4096
	keptBytes  = 4 << 20
	// gather is how long what is written is let come together.
	gather = 10 * time.Millisecond
)

// pump reads the feed once for all streams, while there are some.
type pump struct {
	s *Server

	mu      sync.Mutex
	readers int
	stop    context.CancelFunc
	// kept are all lines after base, up to end; bytes is how large they are.
	base, end int64
	kept      []frame
	bytes     int
	grown     chan struct{}
}

func newPump(s *Server) *pump { return &pump{s: s, grown: make(chan struct{})} }

// join says that somebody reads, until leave.
func (p *pump) join() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readers++; p.readers > 1 {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go p.run(ctx)
}

func (p *pump) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readers--; p.readers > 0 {
		return
	}
	p.stop()
	p.base, p.end, p.kept, p.bytes = 0, 0, nil, 0
}

// more returns a channel that is closed when there is more.
func (p *pump) more() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.grown
}

// after returns up to limit of what is kept after a line, and up to where that reaches; ok is false when not all of it is
// kept.
func (p *pump) after(id int64, limit int) (frames []frame, end int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end == 0 || id < p.base {
		return nil, 0, false
	}
	i := sort.Search(len(p.kept), func(i int) bool { return p.kept[i].id > id })
	if rest := p.kept[i:]; len(rest) > limit {
		return slices.Clone(rest[:limit]), rest[limit-1].id, true
	} else {
		return slices.Clone(rest), max(p.end, id), true
	}
}

// run reads the feed as it grows.
func (p *pump) run(ctx context.Context) {
	feed := p.s.engine.Store()
	tick := time.NewTicker(lookAgain) // what another engine at the same database writes isn't heard
	defer tick.Stop()
	for ctx.Err() == nil {
		grows := feed.FeedGrows()
		full, err := p.read(ctx)
		if err != nil && ctx.Err() == nil {
			slog.Warn("the feed can't be read for now", "err", err)
		}
		if full {
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-grows:
			select {
			case <-ctx.Done():
			case <-time.After(gather):
			}
		}
	}
}

// read takes one page of the feed; full says that there may be more of it.
func (p *pump) read(ctx context.Context) (full bool, err error) {
	p.mu.Lock()
	from := p.end
	p.mu.Unlock()
	feed := p.s.engine.Store()
	// Asked first: all lines up to it can be read then.
	end, err := feed.FeedEnd(ctx)
	if err != nil || end == from {
		return false, err
	}
	var frames []frame
	if from > 0 {
		lines, err := feed.ReadFeed(ctx, "", from, streamPage)
		if err != nil {
			return false, err
		}
		if frames, err = p.s.frames(ctx, lines); err != nil {
			return false, err
		}
		full, end = len(lines) == streamPage, reached(lines, end)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil { // another has begun meanwhile
		return false, nil
	}
	if from == 0 {
		p.base = end
	}
	p.end = end
	p.keep(frames)
	close(p.grown)
	p.grown = make(chan struct{})
	return full, nil
}

// keep adds lines and drops the oldest beyond what is kept.
func (p *pump) keep(frames []frame) {
	for _, f := range frames {
		p.bytes += len(f.data)
	}
	all := append(p.kept, frames...)
	drop := 0
	for len(all)-drop > keptFrames || p.bytes > keptBytes && drop < len(all) {
		p.bytes -= len(all[drop].data)
		p.base = all[drop].id
		drop++
	}
	if drop > 0 {
		all = slices.Clone(all[drop:])
	}
	p.kept = all
}
