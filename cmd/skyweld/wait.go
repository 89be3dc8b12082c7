package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/skyweld/skyweld/api"
)

// pollEvery is how often a waiting command looks.
const pollEvery = 300 * time.Millisecond

// waitFor follows a change until it is applied or has failed, and shows every step of the runs that carry it out: as
// living lines on a terminal, as plain lines elsewhere.
func waitFor(ctx context.Context, c *api.Client, change api.Change) error {
	p := &progress{out: os.Stderr, live: isTerminal(os.Stderr), started: time.Now(), said: map[string]string{}}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		now, err := c.Change(ctx, change.ID)
		if err != nil && ctx.Err() == nil && errors.Is(err, api.ErrNoEngine) {
			p.lost(err)
		} else if err != nil {
			return err
		} else {
			if now.Run != 0 {
				run, err := c.Run(ctx, now.Run)
				if err != nil {
					return err
				}
				p.show(run)
			}
			switch now.State {
			case "applied":
				p.end()
				return nil
			case "failed", "cancelled", "superseded":
				p.end()
				return fmt.Errorf("change %d %s: %s\nThe engine tries again by itself; 'skyweld get events %s' shows what happens", now.ID, now.State, now.Error, now.Cluster)
			}
		}
		select {
		case <-ctx.Done():
			p.end()
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// progress shows runs as they go.
type progress struct {
	out     io.Writer
	live    bool
	started time.Time
	said    map[string]string // state last shown, by run and step
	drawn   int               // living lines on the screen
	run     int64
	away    bool
}

func (p *progress) show(run api.Run) {
	p.clear()
	p.away = false
	if run.ID != p.run {
		p.run = run.ID
		if run.Total > 0 {
			fmt.Fprintf(p.out, "run %d (%s): %d steps\n", run.ID, run.Reason, run.Total)
		}
	}
	var living []string
	for _, s := range run.Steps {
		key := fmt.Sprintf("%d/%s", run.ID, s.ID)
		if s.State == "running" {
			living = append(living, fmt.Sprintf("  %6s  %-9s %s %s", span(time.Since(s.Started)), s.Action, s.Kind, s.Key))
		}
		if p.said[key] == s.State {
			continue
		}
		p.said[key] = s.State
		switch s.State {
		case "done":
			fmt.Fprintf(p.out, "  %5.1fs  %-9s %s %s (%.1fs)\n", s.Ended.Sub(run.Started).Seconds(), s.Action, s.Kind, s.Key, s.Ended.Sub(s.Started).Seconds())
		case "failed":
			fmt.Fprintf(p.out, "  FAILED  %-9s %s %s: %s\n", s.Action, s.Kind, s.Key, s.Error)
		}
	}
	if !p.live {
		return
	}
	if run.Outcome == "running" {
		living = append(living, fmt.Sprintf("  %d of %d steps done, %s", run.Done, run.Total, span(time.Since(p.started))))
	}
	for _, l := range living {
		fmt.Fprintln(p.out, truncate(l, 110))
	}
	p.drawn = len(living)
}

// clear takes the living lines off the screen.
func (p *progress) clear() {
	if p.drawn > 0 {
		fmt.Fprint(p.out, strings.Repeat("\x1b[1A\x1b[2K", p.drawn))
		p.drawn = 0
	}
}

func (p *progress) lost(err error) {
	p.clear()
	if !p.away {
		fmt.Fprintf(p.out, "%s; waiting for it to come back\n", err)
	}
	p.away = true
}

func (p *progress) end() { p.clear() }

func truncate(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
