package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/store"
)

// following is a change that is waited for. What is known of it is asked for once, and brought up to date by the engine's
// stream.
type following struct {
	client *api.Client
	p      *progress
	// was is the change when the waiting began, now as it is known, run the run that works on it.
	was, now api.Change
	run      api.Run
	// conditions are the cluster's.
	conditions []api.Condition
	// known says that all of this is so; else it has to be asked for.
	known bool
}

// news is what a stream brings: a message, or why there are none for now, nil when there are again.
type news struct {
	message *api.Message
	lost    error
}

// waitFor follows a change until it is applied, or a try of it has failed or nothing more is to come of it, and shows every
// step of the runs that carry it out. Of one that became a part of another it follows that. It returns the change followed
// last and the last run, as far as they were seen.
func waitFor(ctx context.Context, c *api.Client, change api.Change, paint painter) (api.Change, api.Run, error) {
	p := &progress{out: os.Stderr, live: isTerminal(os.Stderr), paint: paint, started: time.Now(), said: map[string]string{}}
	defer p.clear()
	f := &following{client: c, p: p, was: change, now: change}
	err := f.follow(ctx)
	if ctx.Err() == nil && f.run.ID != 0 {
		if whole, err := c.Run(ctx, f.run.ID); err == nil { // with the critical path, which is known at the end
			p.clear()
			timeline(p.out, whole)
		}
	}
	return f.now, f.run, err
}

// follow reads the stream until the waiting is over.
func (f *following) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	come, ended := make(chan news), make(chan error, 1)
	say := func(n news) {
		select {
		case come <- n:
		case <-ctx.Done():
		}
	}
	go func() {
		q := api.StreamQuery{Cluster: f.was.Cluster, Lost: func(err error) { say(news{lost: err}) }}
		ended <- f.client.Stream(ctx, q, func(m api.Message) error {
			say(news{message: &m})
			return ctx.Err()
		})
	}()
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case n := <-come:
			switch {
			case n.lost != nil:
				f.p.lost(n.lost)
			case n.message == nil:
				f.p.away = false
			default:
				f.p.away = false
				f.take(*n.message)
				err = f.ask(ctx)
			}
		case err = <-ended:
			if !notFound(err) {
				return err
			}
			// The cluster is gone since the change was asked for; what came of that is on record.
			gone := err
			if err = f.ask(ctx); err == nil {
				if over, err := f.look(ctx); over {
					return err
				}
				return gone
			}
		case <-tick.C:
			err = f.ask(ctx) // where the last answer was lost
		}
		if err != nil {
			return err
		}
		if f.p.away || !f.known {
			continue
		}
		if over, err := f.look(ctx); over || err != nil {
			return err
		}
	}
}

// take brings what is known up to date.
func (f *following) take(m api.Message) {
	switch {
	case m.Change != nil && m.Change.ID == f.now.ID:
		f.now = *m.Change
		f.known = f.known && (f.now.Run == 0 || f.now.Run == f.run.ID)
	case m.Run != nil && m.Run.ID == f.run.ID:
		steps := f.run.Steps
		f.run = *m.Run
		f.run.Steps = steps
	case m.Step != nil && m.RunID == f.run.ID:
		f.step(*m.Step)
	case m.State != nil:
		f.conditions = m.State.Conditions
		f.known = f.known && (m.State.Paused != nil) == (f.now.Held != "")
	case m.Type == "begin", m.Type == "reset":
		f.known = false
	}
}

// step brings one step of the run up to date. One that isn't known came to the run while it was under way.
func (f *following) step(s api.RunStep) {
	f.run.Steps = slices.Clone(f.run.Steps)
	if i := slices.IndexFunc(f.run.Steps, func(old api.RunStep) bool { return old.ID == s.ID }); i >= 0 {
		// What was asked for may be newer than messages that come after it.
		if old := f.run.Steps[i]; s.Ended.IsZero() && !old.Ended.IsZero() && !s.Started.After(old.Ended) {
			return
		}
		f.run.Steps[i] = s
	} else {
		f.run.Steps = append(f.run.Steps, s)
	}
	f.run.Total, f.run.Done = max(f.run.Total, len(f.run.Steps)), 0
	for _, s := range f.run.Steps {
		if s.State == string(store.StepDone) {
			f.run.Done++
		}
	}
}

// ask asks the engine for what isn't known. An engine that is away is asked again at the next tick.
func (f *following) ask(ctx context.Context) error {
	if f.known {
		return nil
	}
	err := f.load(ctx)
	if err != nil && ctx.Err() == nil && errors.Is(err, api.ErrNoEngine) {
		f.p.lost(err)
		return nil
	}
	f.known, f.p.away = err == nil, false
	return err
}

func (f *following) load(ctx context.Context) error {
	now, err := f.client.Change(ctx, f.now.ID)
	if err != nil {
		return err
	}
	f.now = now
	if now.Run != 0 {
		if f.run, err = f.client.Run(ctx, now.Run); err != nil {
			return err
		}
	}
	if now.Kind == string(store.Delete) {
		cluster, err := f.client.Cluster(ctx, now.Cluster)
		if err != nil && !notFound(err) {
			return err
		}
		f.conditions = cluster.Conditions
	}
	return nil
}

// look shows what is known, and says whether the waiting is over.
func (f *following) look(ctx context.Context) (over bool, err error) {
	if store.ChangeState(f.now.State) == store.Superseded && f.now.Error == "" {
		f.p.clear()
		fmt.Fprintf(f.p.out, "change %d is done as a part of change %d\n", f.now.ID, f.now.SupersededBy)
		next, err := f.client.Change(ctx, f.now.SupersededBy)
		if err != nil {
			return true, err
		}
		f.was, f.now, f.known = next, next, false
		return false, f.ask(ctx)
	}
	f.p.held(f.now)
	if f.now.Run == 0 {
		f.p.queued(f.now)
	} else {
		f.p.show(f.run)
	}
	return f.p.outcome(ctx, f.client, f.was, f.now, f.run, f.conditions)
}
