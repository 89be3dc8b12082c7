package probe

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/skyweld/skyweld/node"
)

// Probes of one line and kind are this far apart: a twentieth of a window, within bounds.
const (
	shortest = 50 * time.Millisecond
	longest  = 500 * time.Millisecond
	lateness = time.Second // a probe that isn't back by then is lost
)

// keep measures until the watch is closed.
func (w *Watch) keep() {
	for {
		pause := w.beat()
		select {
		case <-w.ctx.Done():
			return
		case <-w.changed:
		case <-time.After(pause):
		}
	}
}

// beat does what is due, and says after how long something is again. Probes inside and outside take turns, so that
// neither waits behind the other.
func (w *Watch) beat() time.Duration {
	w.mu.Lock()
	due := w.begins(time.Now()) || w.ends(time.Now())
	w.mu.Unlock()
	var seen map[string]time.Time
	if due {
		var err error
		if seen, err = w.handshakes(); err != nil {
			w.log.Debug("watch other sites", "error", err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); due {
		if w.ends(now) {
			w.finish(now, seen)
		}
		if w.begins(now) {
			w.turn(now, seen)
		}
	}
	if w.ways == nil || w.current == nil { // what it needs was taken away just now
		return longest
	}
	if len(w.current.lines) == 0 && w.closing == nil {
		return time.Until(w.current.end)
	}
	w.send()
	return min(longest, max(shortest, w.length/20)) / 2
}

// send sends one probe to each site.
func (w *Watch) send() {
	for _, l := range w.current.lines {
		w.next++
		number, kind, send := w.next, &l.inside, w.ways.inside
		if w.even {
			kind, send = &l.outside, w.ways.outside
		}
		kind.sent = append(kind.sent, number)
		kind.at[number] = time.Now()
		if err := send(l.to, number); err != nil { // it counts as lost
			w.log.Debug("probe", "to", l.to.Name, "error", err)
		}
	}
	w.even = !w.even
}

// begins says whether now is outside the current window; the clock may have been set.
func (w *Watch) begins(now time.Time) bool {
	return w.current == nil || now.Before(w.current.start) || !now.Before(w.current.end)
}

// ends says whether the window before the current one can be summed up.
func (w *Watch) ends(now time.Time) bool {
	return w.closing != nil && !now.Before(w.closing.end.Add(lateness))
}

// turn ends the current window and begins the next.
func (w *Watch) turn(now time.Time, seen map[string]time.Time) {
	if w.closing != nil {
		w.finish(now, seen)
	}
	w.closing = w.current
	seconds := int64(w.length / time.Second)
	start := time.Unix(now.Unix()-now.Unix()%seconds, 0)
	w.current = &window{start: start, end: start.Add(w.length)}
	alive := func(m Member) bool { return now.Sub(seen[m.PublicKey]) < fresh }
	for _, to := range Choose(w.members, alive) {
		w.current.lines = append(w.current.lines, &line{to: to, inside: newTally(), outside: newTally()})
	}
	w.look(now)
}

func newTally() tally { return tally{at: map[uint64]time.Time{}, trips: map[uint64]int64{}} }

// answered takes an answer; the numbers of all probes are different.
func (w *Watch) answered(probe uint64, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, window := range []*window{w.current, w.closing} {
		if window == nil {
			continue
		}
		for _, l := range window.lines {
			for _, t := range []*tally{&l.inside, &l.outside} {
				if sent, ok := t.at[probe]; ok {
					delete(t.at, probe)
					if trip := at.Sub(sent); trip <= lateness {
						t.trips[probe] = trip.Microseconds()
					}
					return
				}
			}
		}
	}
}

func (t tally) sum() node.Trips {
	trips := make([]int64, 0, len(t.trips))
	for _, number := range t.sent {
		if trip, ok := t.trips[number]; ok {
			trips = append(trips, trip)
		}
	}
	return sumUp(len(t.sent), trips)
}

// finish remembers the window that is closing, and publishes.
func (w *Watch) finish(now time.Time, seen map[string]time.Time) {
	closing := w.closing
	w.closing = nil
	if len(closing.lines) == 0 {
		return
	}
	for _, l := range closing.lines {
		one := node.Window{
			Start: closing.start.Unix(), Seconds: int(closing.end.Sub(closing.start) / time.Second), To: l.to.Site, Peer: l.to.Name,
			Inside: l.inside.sum(), Outside: l.outside.sum(), Handshake: -1, MTU: w.paths[l.to.Name].mtu,
		}
		if last := seen[l.to.PublicKey]; !last.IsZero() {
			one.Handshake = int(max(0, closing.end.Sub(last)) / time.Second)
		}
		all := w.past[one.To]
		// The clock was set back, or the config changed within the window: the newer one holds.
		all = slices.DeleteFunc(all, func(old node.Window) bool { return old.Start >= one.Start })
		all = append(all, one)
		w.past[one.To] = all[max(0, len(all)-kept):]
	}
	w.publish(w.members[0].Name, w.newest(now))
}

// newest is what is published: each site's newest windows, as far as they aren't old.
func (w *Watch) newest(now time.Time) node.Latency {
	oldest := now.Add(-(node.PublishedWindows + 1) * w.length).Unix()
	return w.report(func(all []node.Window) []node.Window {
		all = all[max(0, len(all)-node.PublishedWindows):]
		return slices.DeleteFunc(slices.Clone(all), func(one node.Window) bool { return one.Start < oldest })
	})
}

// report puts together some of each site's windows.
func (w *Watch) report(some func(all []node.Window) []node.Window) node.Latency {
	out := node.Latency{Site: w.site, Windows: []node.Window{}}
	for _, all := range w.past {
		out.Windows = append(out.Windows, some(all)...)
	}
	slices.SortFunc(out.Windows, func(a, b node.Window) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.To, b.To)) })
	return out
}

// look starts looking for the MTU of the paths that are due, one after the other.
func (w *Watch) look(now time.Time) {
	var due []Member
	for _, l := range w.current.lines {
		if known, ok := w.paths[l.to.Name]; !ok || !now.Before(known.next) {
			due = append(due, l.to)
		}
	}
	if len(due) == 0 || w.looking || w.ways == nil {
		return
	}
	w.looking = true
	ways, next := w.ways, now.Add(pathEvery*w.length)
	w.running.Go(func() {
		for _, to := range due {
			w.lookAt(ways, to, next)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.looking = false
	})
}

// lookAt finds one path's MTU. The whole cluster's packets shrink with the smallest path, so one that is smaller than before, or than
// usual, must be found twice. One that isn't found is looked for again in the next window.
func (w *Watch) lookAt(ways ways, to Member, next time.Time) {
	w.mu.Lock()
	before := w.paths[to.Name].mtu
	w.mu.Unlock()
	carries := func(ctx context.Context) int {
		return largest(Sizes, func(size int) bool { return ways.carries(ctx, to, size) })
	}
	found := carries(w.ctx)
	if found < max(before, ethernet) {
		found = max(found, carries(w.ctx))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ctx.Err() != nil:
	case found == 0:
		w.paths[to.Name] = path{mtu: before}
	default:
		w.paths[to.Name] = path{mtu: found, next: next}
	}
}
