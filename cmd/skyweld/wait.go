package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/store"
)

const (
	// redrawEvery is how often the living lines on a terminal count on.
	redrawEvery = 300 * time.Millisecond
	// quietFor is how long a change may wait for its run until that is explained.
	quietFor = 8 * time.Second
)

func waitCommand(s *settings) *cobra.Command {
	f := &changing{wait: true}
	c := &cobra.Command{
		Use: "wait [CLUSTER]", Short: "Wait until what was asked of a cluster is done", Args: args("[CLUSTER]"), ValidArgsFunction: s.completeArgs(clusterNames),
		Long: `Wait until the last thing that was asked of a cluster is done, and show the steps of the run that does it, as --wait does. It takes up again what Ctrl-C or --timeout ended.

When a run fails, it says what failed and returns with exit code 1. The change stays asked for, and the engine tries again by itself, so waiting again waits for the next try.

With nothing under way it returns at once: with exit code 0 when the cluster is as it was asked for, with 1 when it is not.`,
		Example: "  skyweld apply -f cluster.yaml && skyweld wait demo\n  skyweld wait demo --timeout 10m",
		RunE: func(c *cobra.Command, a []string) error {
			if err := f.check(c); err != nil {
				return err
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			name, err := onlyCluster(c.Context(), client, a)
			if err != nil {
				return err
			}
			changes, err := client.Changes(c.Context(), name)
			if err != nil {
				return err
			}
			for i := len(changes) - 1; i >= 0; i-- {
				if state := store.ChangeState(changes[i].State); state == store.Queued || state == store.Applying {
					done := "is as it was asked for"
					if changes[i].Kind == string(store.Delete) {
						done = "is deleted"
					}
					return s.follow(c, client, changes[i], f, done)
				}
			}
			return settled(c, client, name)
		},
	}
	f.waitFlags(c, false)
	s.output = formTable
	return c
}

// settled says how a cluster is for which nothing is asked.
func settled(c *cobra.Command, client *api.Client, name string) error {
	cluster, err := client.Cluster(c.Context(), name)
	if err != nil {
		return err
	}
	if why := complaint(cluster); why != "" {
		return fmt.Errorf("nothing is asked of cluster %s, and it is %s: %s\nThe engine tries again by itself; 'skyweld get events %s -w' shows it", name, cluster.Phase, why, name)
	}
	fmt.Fprintf(c.OutOrStdout(), "nothing is under way: cluster %s is %s\n", name, clusterStatus(cluster))
	return nil
}

// follow says that a change is queued, or waits for it.
func (s *settings) follow(c *cobra.Command, client *api.Client, ch api.Change, f *changing, done string) error {
	if !f.wait {
		return s.print(c.OutOrStdout(), ch, func(w io.Writer) {
			fmt.Fprintf(w, "cluster %s: change %d (%s) queued; 'skyweld wait %s' follows it\n", ch.Cluster, ch.ID, ch.Kind, ch.Cluster)
			if ch.Held != "" {
				fmt.Fprintf(w, "It waits: %s\n", ch.Held)
			}
		})
	}
	ctx := c.Context()
	if f.timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, f.timeout, errTimeout)
		defer cancel()
		ctx = limited
	}
	end, run, err := waitFor(ctx, client, ch, s.painter(os.Stderr))
	if err != nil && ctx.Err() != nil {
		return leave(context.WithoutCancel(ctx), client, ch, run, context.Cause(ctx), f.timeout)
	}
	if err != nil {
		return err
	}
	if run.ID != 0 && run.Total == 0 && ch.Kind == string(store.Apply) {
		done += ": there was nothing to do"
	}
	return s.print(c.OutOrStdout(), end, func(w io.Writer) { fmt.Fprintf(w, "cluster %s %s\n", ch.Cluster, done) })
}

// leave is what is said when the waiting ends before the work: what goes on, how to look at it again and how to undo it.
func leave(ctx context.Context, client *api.Client, ch api.Change, run api.Run, cause error, limit time.Duration) error {
	why := "Interrupted"
	if errors.Is(cause, errTimeout) {
		why = fmt.Sprintf("Not done after %s", limit)
	}
	how := "it is queued, and no step is begun"
	if run.ID != 0 {
		how = fmt.Sprintf("%d of %d steps are done", run.Done, run.Total)
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	undo := ""
	switch kind := store.ChangeKind(ch.Kind); {
	case run.ID == 0 && kind != store.Delete:
		undo = fmt.Sprintf("skyweld cancel %d", ch.ID)
	case kind == store.Apply:
		undo = "apply the file as it was before"
		if cluster, err := client.Cluster(ctx, ch.Cluster); err == nil && cluster.Generation <= 1 {
			undo = "skyweld delete " + ch.Cluster
		}
	case kind == store.NodeAdd:
		undo = "skyweld node remove NODE"
		if ch.Message != "" {
			undo += ", of " + ch.Message
		}
	case kind == store.NodeRemove:
		undo = "skyweld node add " + ch.Cluster + " --group GROUP"
	case kind == store.Delete:
		undo = "a deletion can't be called back"
	}
	text := fmt.Sprintf("%s; change %d (%s) of cluster %s goes on in the engine: %s\n  to wait again:   skyweld wait %s\n  to look:         skyweld get events %s -w",
		why, ch.ID, ch.Kind, ch.Cluster, how, ch.Cluster, ch.Cluster)
	if undo != "" {
		text += "\n  to undo it:      " + undo
	}
	return &stopped{text: text, cause: cause}
}

// outcome says whether the waiting for a change is over, and with what error. was is the change when the waiting began: a try
// that had failed by then is no news. The conditions are the cluster's.
func (p *progress) outcome(ctx context.Context, c *api.Client, was, now api.Change, run api.Run, conditions []api.Condition) (over bool, err error) {
	switch store.ChangeState(now.State) {
	case store.Applied:
		return true, nil
	case store.Applying:
		if now.Tries <= was.Tries || now.Kind == string(store.Delete) && p.blocked(conditions, now) {
			return false, nil
		}
		text := fmt.Sprintf("change %d is not done: %s\nThe engine tries again by itself; 'skyweld wait %s' waits on, 'skyweld get events %s -w' shows it", now.ID, p.unsaid(run, now.Error), now.Cluster, now.Cluster)
		if run.ID != 0 {
			text += fmt.Sprintf(", 'skyweld get runs %s %d' what failed", now.Cluster, run.ID)
		}
		return true, errors.New(text)
	case store.Failed:
		return true, fmt.Errorf("change %d (%s) can't be done, and nothing of it was: %s", now.ID, now.Kind, now.Error)
	case store.Superseded:
		return true, fmt.Errorf("change %d (%s) is not done, because another took its place: %s", now.ID, now.Kind, now.Error)
	case store.Cancelled:
		if now.Kind == string(store.Delete) && gone(ctx, c, now.Cluster) { // another deletion was quicker
			return true, nil
		}
		return true, fmt.Errorf("change %d (%s) was cancelled: %s", now.ID, now.Kind, now.Error)
	}
	return false, nil
}

// progress shows runs as they go: as living lines on a terminal, as plain lines elsewhere.
type progress struct {
	out     *os.File
	live    bool
	paint   painter
	started time.Time
	said    map[string]string // state last shown, by run and step
	drawn   int               // living lines on the screen
	run     int64
	away    bool
	queue   bool   // it was said that there is no run yet
	hold    string // why the change is held off, as it was said
	part    string // the phase of a deletion, as it was said
	block   string // what is in the way of a deletion, as it was said
	failed  int64  // how many tries of it have failed because of that
}

// blocked says what is in the way of a deletion, which goes on by itself when that is gone. It is false when it failed for
// something else.
func (p *progress) blocked(conditions []api.Condition, ch api.Change) bool {
	now := blockedBy(conditions)
	if now != p.block {
		p.clear()
		if p.block = now; now != "" {
			fmt.Fprintln(p.out, p.paint.paint(bad, "Blocked:")+" "+now)
		} else {
			fmt.Fprintln(p.out, "nothing is in the way any more")
		}
	}
	if now != "" {
		p.failed = ch.Tries
	}
	return ch.Tries <= p.failed
}

// held says that nothing is done about a change for now, and when that is over.
func (p *progress) held(ch api.Change) {
	if ch.Held == p.hold {
		return
	}
	p.clear()
	if p.hold = ch.Held; p.hold != "" {
		fmt.Fprintf(p.out, "change %d waits: %s\n", ch.ID, p.hold)
	} else {
		fmt.Fprintf(p.out, "cluster %s is resumed\n", ch.Cluster)
	}
}

// queued explains once why nothing is to be seen: a cloud or a Kubernetes that doesn't answer is asked for a while before
// that counts as an answer.
func (p *progress) queued(ch api.Change) {
	if !p.queue && ch.Held == "" && time.Since(p.started) > quietFor {
		p.queue = true
		fmt.Fprintf(p.out, "change %d is queued: another run is under way, or the engine still looks at the accounts, and asks one that doesn't answer for up to a minute\n", ch.ID)
	}
}

func (p *progress) show(run api.Run) {
	p.clear()
	if run.ID != p.run {
		p.run = run.ID
		if run.Total > 0 {
			fmt.Fprintf(p.out, "run %d (%s): %s\n", run.ID, run.Reason, counted(run.Total, "step"))
		}
	}
	var living []string
	for _, s := range run.Steps {
		key := fmt.Sprintf("%d/%s", run.ID, s.ID)
		if s.State == "running" {
			living = append(living, strings.TrimRight(fmt.Sprintf("  %6s  %-9s %s %s  %s", span(time.Since(s.Started)), s.Action, s.Kind, s.Key, s.Phase), " "))
		}
		if p.said[key] == s.State {
			continue
		}
		p.said[key] = s.State
		switch s.State {
		case "done":
			p.phase(s)
			fmt.Fprintf(p.out, "  %5.1fs  %-9s %s %s (%.1fs)\n", s.Ended.Sub(run.Started).Seconds(), s.Action, s.Kind, s.Key, s.Ended.Sub(s.Started).Seconds())
		case "failed":
			p.phase(s)
			fmt.Fprintf(p.out, "  %s  %-9s %s %s: %s\n", p.paint.paint(bad, "FAILED"), s.Action, s.Kind, s.Key, s.Error)
		}
	}
	if p.live {
		p.draw(run, living)
	}
}

// phase says which part of a deletion the next lines are about, when that is another than of the lines before.
func (p *progress) phase(s api.RunStep) {
	if s.Phase != p.part {
		p.part = s.Phase
		fmt.Fprintf(p.out, "  [%s]\n", s.Phase)
	}
}

// gone says that there is no cluster of a name.
func gone(ctx context.Context, c *api.Client, cluster string) bool {
	_, err := c.Cluster(ctx, cluster)
	return notFound(err)
}

// unsaid is an error without what stands on the screen already: the output of what failed, below the step that it is of.
func (p *progress) unsaid(run api.Run, text string) string {
	for _, s := range run.Steps {
		if p.said[fmt.Sprintf("%d/%s", run.ID, s.ID)] == "failed" && strings.Contains(text, s.Error) {
			return firstLine(text)
		}
	}
	return text
}

// draw writes the living lines. None may be wider than the screen: clear goes up by lines, not by what they broke into.
func (p *progress) draw(run api.Run, living []string) {
	if run.Outcome == "running" {
		living = append(living, fmt.Sprintf("  %d of %d steps done, %s", run.Done, run.Total, span(time.Since(p.started))))
	}
	wide := screenWidth(p.out)
	for _, l := range living {
		if wide > 1 {
			l = truncate(l, wide-1)
		}
		fmt.Fprintln(p.out, p.paint.paint(going, l))
	}
	p.drawn = len(living)
}

// clear takes the living lines off the screen.
func (p *progress) clear() {
	if p.drawn > 0 {
		// A Ctrl-C stands where it was typed.
		fmt.Fprint(p.out, "\r\x1b[2K"+strings.Repeat("\x1b[1A\x1b[2K", p.drawn))
		p.drawn = 0
	}
}

// lost says once that the engine is away.
func (p *progress) lost(err error) {
	p.clear()
	if !p.away {
		fmt.Fprintf(p.out, "%s; waiting for it to come back\n", err)
	}
	p.away = true
}
