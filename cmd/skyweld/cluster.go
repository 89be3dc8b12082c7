package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/store"
)

// readFile reads the file that -f names; "-" is standard input.
func readFile(name string) ([]byte, error) {
	switch name {
	case "":
		return nil, usageError{errors.New("-f is missing: name the cluster file, or - for standard input")}
	case "-":
		return io.ReadAll(os.Stdin)
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("-f: there is no file %s", name)
	}
	if info, statErr := os.Stat(name); statErr == nil && info.IsDir() {
		return nil, fmt.Errorf("-f: %s is a folder: name one cluster file in it", name)
	}
	if err != nil {
		return nil, fmt.Errorf("-f: %w", err)
	}
	return data, nil
}

func planCommand(s *settings) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "plan -f FILE", Short: "Show what applying a cluster file would do", Args: args(),
		Long: `Show what applying a cluster file would do, and do nothing. The engine checks the whole file, looks at what there is in the accounts and in Kubernetes, and lists the steps between that and the file. 'apply' takes the same steps, unless something changes in between.

+ is a thing that is made, ~ one that is changed in place, -/+ one that is made anew, - one that goes; * is work on a node, on Kubernetes, or for the receipt.

With nothing to do the list is empty; the exit code is 0 either way.

Below it stands what the cluster costs once all of it is done, for the clouds' machines, disks and public addresses, with what has no known price and what is left out. -o json has it line by line.`,
		Example: `  skyweld plan -f cluster.yaml
  skyweld plan -f - < cluster.yaml
  skyweld plan -f cluster.yaml -o json | jq -r '.steps[].id'`,
		RunE: func(c *cobra.Command, _ []string) error {
			data, err := readFile(file)
			if err != nil {
				return err
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			p, err := client.Plan(c.Context(), data)
			if err != nil {
				return err
			}
			return s.printPlan(c.OutOrStdout(), p)
		},
	}
	fileFlag(c, &file)
	outputFlag(c, s)
	return c
}

// printPlan writes what 'plan' and every --dry-run answer.
func (s *settings) printPlan(out io.Writer, p api.Plan) error {
	paint := s.painter(out)
	if err := s.print(out, p, func(w io.Writer) { planTable(w, paint, p) }); err != nil || s.output != formTable {
		return err
	}
	fmt.Fprintln(out, planSummary(p))
	costLines(out, min(100, max(screenWidth(out), helpWidth)), p.Cost)
	return nil
}

// marks are what plans write before an action, and its colour.
var marks = map[plan.Action]struct{ sign, color string }{
	plan.Create: {"+", good}, plan.Update: {"~", going}, plan.Replace: {"-/+", bad}, plan.Delete: {"-", bad},
}

func planTable(w io.Writer, paint painter, p api.Plan) {
	if len(p.Steps) > 0 {
		row(w, "  ACTION", "SITE", "KIND", "NAME", "REASON")
	}
	for i, st := range p.Steps {
		if st.Phase != "" && (i == 0 || p.Steps[i-1].Phase != st.Phase) {
			row(w, "  ["+string(st.Phase)+"]", " ", " ", " ", " ")
		}
		m, ok := marks[st.Action]
		switch {
		case !ok && (st.Action == plan.Drain || st.Action == plan.Forget):
			m.sign, m.color = "*", bad
		case !ok:
			m.sign, m.color = "*", good
		}
		row(w, paint.paint(m.color, fmt.Sprintf("%-3s %s", m.sign, st.Action)), st.Site, st.Kind, st.Key, st.Reason)
	}
	for _, n := range p.Notes {
		fmt.Fprintln(w, "Note: "+n)
	}
}

func planSummary(p api.Plan) string {
	if len(p.Steps) == 0 {
		return fmt.Sprintf("cluster %s is as it is wanted: nothing to do", p.Cluster)
	}
	count := map[plan.Action]int{}
	nodes := 0
	for _, st := range p.Steps {
		if st.Kind == plan.NodeKind {
			nodes++
			continue
		}
		count[st.Action]++
	}
	var parts []string
	for _, a := range []plan.Action{plan.Create, plan.Update, plan.Replace, plan.Delete} {
		if count[a] > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", count[a], a))
		}
	}
	if n := count[plan.Freeze] + count[plan.Clear]; n > 0 {
		parts = append(parts, counted(n, "step")+" on Kubernetes")
	}
	if count[plan.Measure] > 0 {
		parts = append(parts, fmt.Sprintf("%d to measure", count[plan.Measure]))
	}
	if count[plan.Record] > 0 {
		parts = append(parts, fmt.Sprintf("%d to record", count[plan.Record]))
	}
	if nodes > 0 {
		parts = append(parts, counted(nodes, "step")+" on nodes")
	}
	text := fmt.Sprintf("\n%s: %s", counted(len(p.Steps), "step"), strings.Join(parts, ", "))
	if p.More {
		text += "\nThat isn't all: what waits for these steps is planned and done after them, in the same run."
	}
	return text
}

// counted is a number of things: "1 step", "2 steps".
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func applyCommand(s *settings) *cobra.Command {
	var file, onLatency string
	var checkLatency func() error
	f := &changing{}
	c := &cobra.Command{
		Use: "apply -f FILE", Short: "Make or change a cluster as a file says", Args: args(),
		SuggestFor: []string{"up", "update", "edit"},
		Long: `Make a cluster as a file says, or change the one of that name to it. The whole file is checked first; what is wrong with it is said at once, and then nothing is made. 'skyweld explain --example' prints a file to begin with.

Without --wait it returns as soon as the engine has taken the file on. With --wait it shows every step and returns when all is done or something has failed; Ctrl-C ends the waiting, not the work. The engine tries again by itself what failed. While a run is under way the file is queued, and taken on right after it: 'skyweld get changes' shows that, 'skyweld cancel' takes it back.

It doesn't ask: 'skyweld plan' or --dry-run shows beforehand what would be done. What the file no longer has is removed, like a group of workers with its machines. Some fields are fixed at creation; 'skyweld explain' tells which.

Before Kubernetes is set up, the machines of a new cluster measure the round trips between its sites. Where one is over spec.network.maxRTT, nothing is done on top: the cluster has the condition LatencyHigh, and 'skyweld reconcile CLUSTER --approve' goes on all the same. --on-latency=continue goes on by itself, --on-latency=remove deletes all again.`,
		Example: `  skyweld apply -f cluster.yaml --dry-run
  skyweld apply -f cluster.yaml --wait --timeout 30m
  skyweld apply -f cluster.yaml --on-latency=remove --wait
  skyweld get clusters demo -o yaml | sed 's/count: 2/count: 3/' | skyweld apply -f -`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(f.check(c), checkLatency()); err != nil {
				return err
			}
			data, err := readFile(file)
			if err != nil {
				return err
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			client = client.OnLatency(onLatency)
			return f.do(c, s, client,
				func(ctx context.Context) (api.Plan, error) { return client.Plan(ctx, data) },
				func(ctx context.Context) (api.Change, error) { return client.Apply(ctx, data) }, "applied")
		},
	}
	fileFlag(c, &file)
	checkLatency = onLatencyFlag(c, &onLatency)
	f.flags(c, s)
	return c
}

// simpleChange asks for a change that needs nothing but the cluster's name.
func (s *settings) simpleChange(c *cobra.Command, f *changing, name string, kind store.ChangeKind, ask func(*api.Client, context.Context, string) (api.Change, error), done string) error {
	if err := f.check(c); err != nil {
		return err
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	return f.do(c, s, client,
		func(ctx context.Context) (api.Plan, error) {
			return client.PlanChange(ctx, name, api.ChangeAsked{Kind: string(kind)})
		},
		func(ctx context.Context) (api.Change, error) { return ask(client, ctx, name) }, done)
}
