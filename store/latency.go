package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// Trips are the round trips of one stretch of time, of those probes that were answered.
type Trips struct {
	Sent, Lost int
	// P50 and P99 are the median and the ninety-ninth percentile, Min the shortest. Jitter is the mean difference between one
	// round trip and the next. They are 0 where no answer came.
	P50, P99, Jitter, Min time.Duration
}

// Answered is how many answers came.
func (t Trips) Answered() int { return t.Sent - t.Lost }

// Latency is what nodes of one site measured to another, from Start on for Step.
type Latency struct {
	From, To string
	Start    time.Time
	Step     time.Duration
	// Inside goes through the tunnel, Outside beside it, between public addresses; nothing is sent where that can't be measured.
	Inside, Outside Trips
	// Handshake is how old the tunnel's last one was at the end, NoHandshake where there never was one.
	Handshake time.Duration
	// MTU is the largest packet that the path outside of the tunnel carries, in bytes; 0 where that isn't known.
	MTU int
}

// NoHandshake is the age of a handshake that never was.
const NoHandshake time.Duration = -1

// End is when the stretch ended.
func (l Latency) End() time.Time { return l.Start.Add(l.Step) }

// resolution says how long what is measured is kept, and when it becomes coarser: minutes are kept for a day, ten minutes for
// a week, hours for a month. That is at most 1440 + 864 + 552 lines from one site to another.
var resolution = []struct {
	after, step time.Duration
}{
	{24 * time.Hour, 10 * time.Minute},
	{7 * 24 * time.Hour, time.Hour},
}

// LatencyAge is how long what is measured is kept at all.
const LatencyAge = 30 * 24 * time.Hour

// MergeLatency makes one of several stretches, from start on for step. Counts are sums, the shortest is the shortest, and
// jitter is the mean, weighted by answers.
//
// Percentiles of a whole can't be had from those of its parts, so these are bounds. The P99 is the largest of the parts': no
// more than a hundredth of all answers took longer. The P50 is the median of the parts' medians, weighted by their answers:
// at least a quarter of all answers took no longer, and at least a quarter no less. Parts without an answer say nothing
// about either. The handshake is the oldest, the MTU the smallest: of a day it's the worst that counts.
func MergeLatency(start time.Time, step time.Duration, parts []Latency) Latency {
	out := Latency{Start: start, Step: step}
	var inside, outside []Trips
	for _, p := range parts {
		out.From, out.To = p.From, p.To
		inside, outside = append(inside, p.Inside), append(outside, p.Outside)
		if p.Handshake == NoHandshake || out.Handshake == NoHandshake {
			out.Handshake = NoHandshake
		} else {
			out.Handshake = max(out.Handshake, p.Handshake)
		}
		if p.MTU > 0 && (out.MTU == 0 || p.MTU < out.MTU) {
			out.MTU = p.MTU
		}
	}
	out.Inside, out.Outside = mergeTrips(inside), mergeTrips(outside)
	return out
}

func mergeTrips(parts []Trips) Trips {
	var out Trips
	var jitter int64
	var answered []Trips
	for _, p := range parts {
		out.Sent, out.Lost = out.Sent+p.Sent, out.Lost+p.Lost
		if p.Answered() <= 0 {
			continue
		}
		if len(answered) == 0 || p.Min < out.Min {
			out.Min = p.Min
		}
		out.P99 = max(out.P99, p.P99)
		jitter += int64(p.Jitter) * int64(p.Answered())
		answered = append(answered, p)
	}
	if len(answered) == 0 {
		return out
	}
	out.Jitter = time.Duration(jitter / int64(out.Answered()))
	slices.SortFunc(answered, func(a, b Trips) int { return cmp.Compare(a.P50, b.P50) })
	left := (out.Answered() + 1) / 2
	for _, p := range answered {
		if left -= p.Answered(); left <= 0 {
			out.P50 = p.P50
			break
		}
	}
	return out
}

const latencyColumns = "from_site, to_site, start, step, sent, lost, median, slow, jitter, least, out_sent, out_lost, out_median, out_slow, out_jitter, out_least, handshake, mtu"

// PutLatency stores what was measured for a cluster, in the place of what was said of the same stretches before. It needs no
// lease: who measured doesn't matter, and a cluster that is deleted keeps nothing.
func (s *Store) PutLatency(ctx context.Context, cluster string, all []Latency) error {
	if len(all) == 0 {
		return nil
	}
	return s.write(ctx, "store what is measured of cluster "+cluster, func(t *tx) error {
		if err := t.lockCluster(cluster); err != nil {
			return err
		}
		for _, l := range all {
			if err := t.putLatency(cluster, l); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) putLatency(cluster string, l Latency) error {
	in, out := l.Inside, l.Outside
	_, err := t.exec("INSERT INTO latency (cluster, "+latencyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
		ON CONFLICT (cluster, from_site, to_site, start, step) DO UPDATE SET sent = $6, lost = $7, median = $8, slow = $9, jitter = $10, least = $11,
		out_sent = $12, out_lost = $13, out_median = $14, out_slow = $15, out_jitter = $16, out_least = $17, handshake = $18, mtu = $19`,
		cluster, l.From, l.To, micros(l.Start), l.Step.Microseconds(),
		in.Sent, in.Lost, in.P50.Microseconds(), in.P99.Microseconds(), in.Jitter.Microseconds(), in.Min.Microseconds(),
		out.Sent, out.Lost, out.P50.Microseconds(), out.P99.Microseconds(), out.Jitter.Microseconds(), out.Min.Microseconds(), handshakeMicros(l.Handshake), l.MTU)
	return err
}

func handshakeMicros(age time.Duration) int64 {
	if age < 0 {
		return -1
	}
	return age.Microseconds()
}

// ListLatency returns what was measured for a cluster in stretches that ended after since, by their beginnings. It is coarser
// the longer ago it is.
func (s *Store) ListLatency(ctx context.Context, cluster string, since time.Time) ([]Latency, error) {
	all, err := query(ctx, s.db, scanLatency, "SELECT "+latencyColumns+" FROM latency WHERE cluster = $1 AND start > $2 AND start + step > $3 ORDER BY start, from_site, to_site, step",
		cluster, micros(since.Add(-coarsest)), micros(since))
	if err != nil {
		return nil, fmt.Errorf("list what is measured of cluster %s: %w", cluster, err)
	}
	return all, nil
}

// AllLatency returns what was measured for all clusters in stretches that began after since, by the clusters' UIDs.
func (s *Store) AllLatency(ctx context.Context, since time.Time) (map[string][]Latency, error) {
	out := map[string][]Latency{}
	_, err := query(ctx, s.db, func(r row) (struct{}, error) {
		var cluster string
		l, err := readLatency(r, &cluster)
		out[cluster] = append(out[cluster], l)
		return struct{}{}, err
	}, "SELECT cluster, "+latencyColumns+" FROM latency WHERE start > $1 ORDER BY cluster, start, from_site, to_site, step", micros(since))
	if err != nil {
		return nil, fmt.Errorf("list what is measured: %w", err)
	}
	return out, nil
}

// coarsest is the longest stretch there is.
var coarsest = resolution[len(resolution)-1].step

// foldSpan is how much time is made coarser in one transaction: nobody is to wait long for it.
const foldSpan = 2 * time.Hour

// PruneLatency makes what was measured coarser as it grows older, and forgets what is too old. Several engines may do it at
// once.
func (s *Store) PruneLatency(ctx context.Context) error {
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	for _, r := range resolution {
		before := now.Add(-r.after).Truncate(r.step)
		clusters, err := query(ctx, s.db, scanString, "SELECT DISTINCT cluster FROM latency WHERE start < $1 AND step < $2 ORDER BY cluster", micros(before), r.step.Microseconds())
		if err != nil {
			return fmt.Errorf("look for old measurements: %w", err)
		}
		for _, cluster := range clusters {
			if err := s.foldLatency(ctx, cluster, before, r.step); err != nil {
				return err
			}
		}
	}
	for {
		var n int64
		err := s.write(ctx, "forget old measurements", func(t *tx) (err error) {
			n, err = t.exec(`DELETE FROM latency WHERE (cluster, from_site, to_site, start, step) IN
				(SELECT cluster, from_site, to_site, start, step FROM latency WHERE start < $1 LIMIT $2)`, micros(now.Add(-LatencyAge)), pruneBatch)
			return err
		})
		if err != nil || n < pruneBatch {
			return err
		}
	}
}

// foldLatency makes what a cluster has from before a moment as coarse as step. What is taken is deleted as it is read: of two
// engines that do this at once, each line is taken by one.
func (s *Store) foldLatency(ctx context.Context, cluster string, before time.Time, step time.Duration) error {
	for {
		var left int64
		err := s.write(ctx, "fold old measurements of cluster "+cluster, func(t *tx) error {
			left = 0
			if err := t.row("SELECT COALESCE(MIN(start), 0) FROM latency WHERE cluster = $1 AND start < $2 AND step < $3", cluster, micros(before), step.Microseconds()).Scan(&left); err != nil || left == 0 {
				return err
			}
			end := fromMicros(left).Truncate(step).Add(foldSpan)
			if end.After(before) {
				end = before
			}
			taken, err := query(t.ctx, t, scanLatency, "DELETE FROM latency WHERE cluster = $1 AND start < $2 AND step < $3 RETURNING "+latencyColumns, cluster, micros(end), step.Microseconds())
			if err != nil {
				return err
			}
			return t.putFolded(cluster, taken, step)
		})
		if err != nil || left == 0 {
			return err
		}
	}
}

// putFolded stores fine lines as coarse ones, together with what is there of the same stretches.
func (t *tx) putFolded(cluster string, fine []Latency, step time.Duration) error {
	type place struct {
		from, to string
		start    int64
	}
	parts := map[place][]Latency{}
	var order []place
	for _, l := range fine {
		p := place{l.From, l.To, micros(l.Start.Truncate(step))}
		if parts[p] == nil {
			order = append(order, p)
		}
		parts[p] = append(parts[p], l)
	}
	for _, p := range order {
		there, err := query(t.ctx, t, scanLatency, "SELECT "+latencyColumns+" FROM latency WHERE cluster = $1 AND from_site = $2 AND to_site = $3 AND start = $4 AND step = $5",
			cluster, p.from, p.to, p.start, step.Microseconds())
		if err != nil {
			return err
		}
		if err := t.putLatency(cluster, MergeLatency(fromMicros(p.start), step, append(there, parts[p]...))); err != nil {
			return err
		}
	}
	return nil
}

func scanLatency(r row) (Latency, error) { return readLatency(r) }

func readLatency(r row, before ...any) (Latency, error) {
	var l Latency
	var start, step, handshake int64
	var in, out [4]int64
	err := r.Scan(append(before, &l.From, &l.To, &start, &step, &l.Inside.Sent, &l.Inside.Lost, &in[0], &in[1], &in[2], &in[3],
		&l.Outside.Sent, &l.Outside.Lost, &out[0], &out[1], &out[2], &out[3], &handshake, &l.MTU)...)
	l.Start, l.Step, l.Handshake = fromMicros(start), fromMicroseconds(step), NoHandshake
	if handshake >= 0 {
		l.Handshake = fromMicroseconds(handshake)
	}
	l.Inside.set(in)
	l.Outside.set(out)
	return l, err
}

func (t *Trips) set(v [4]int64) {
	t.P50, t.P99, t.Jitter, t.Min = fromMicroseconds(v[0]), fromMicroseconds(v[1]), fromMicroseconds(v[2]), fromMicroseconds(v[3])
}

func fromMicroseconds(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
