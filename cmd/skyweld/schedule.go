package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/store"
)

func reconcileCommand(s *settings) *cobra.Command {
	f := &changing{}
	var approve bool
	c := &cobra.Command{
		Use: "reconcile CLUSTER", Short: "Check and repair a cluster now, or pause that", Args: args("CLUSTER"), ValidArgsFunction: s.completeArgs(clusterNames),
		SuggestFor: []string{"repair", "refresh", "sync", "pause", "resume"},
		Long: `Check a cluster now and repair what differs from its spec, instead of at the next hour: what somebody changed or removed in the accounts comes back, a lost machine is made again. What was never Skyweld's is left alone.

Without --wait it returns at once. With --wait it shows every step and returns when all is as it was asked for.

Two things are done only with --approve. A control plane of which so many machines are gone that etcd has no majority any more, since what only those knew is gone then: 'skyweld reconcile CLUSTER --approve --dry-run' says what it would be made of, and 'skyweld get snapshots' what there is. And a new cluster, or a new site, goes on although its machines measured a longer round trip than spec.network.maxRTT.

'reconcile pause' holds all of that off, scheduled runs too, until 'reconcile resume'. A cluster that is itself named pause or resume is meant when its name stands after --, as in the last example.`,
		Example: `  skyweld reconcile demo --dry-run      # what differs now
  skyweld reconcile demo --wait
  skyweld reconcile demo --approve --dry-run
  skyweld reconcile pause demo --reason 'moving the accounts'
  skyweld reconcile resume demo
  skyweld reconcile --wait -- pause     # of a cluster named pause`,
		RunE: func(c *cobra.Command, a []string) error {
			if approve {
				return s.simpleChange(c, f, a[0], store.Approve, (*api.Client).Approve, "is as it was asked for")
			}
			return s.simpleChange(c, f, a[0], store.Reconcile, (*api.Client).Reconcile, "is as it was asked for")
		},
	}
	c.Flags().BoolVar(&approve, "approve", false, "of a control plane that has lost its majority for good, make what is left the whole: of the member that is left, or of the last snapshot; of sites that were measured to be too far apart, go on; good for one run")
	f.flags(c, s)
	c.AddCommand(pauseCommand(s), resumeCommand(s))
	return c
}

// clusterArg is args("CLUSTER") for a command below reconcile: who left the cluster out may mean one of the command's name.
func clusterArg(c *cobra.Command, given []string) error {
	err := args("CLUSTER")(c, given)
	if err != nil && len(given) == 0 {
		return usageError{fmt.Errorf("%w\nA cluster named %s is reconciled with 'skyweld reconcile -- %s'", err, c.Name(), c.Name())}
	}
	return err
}

func pauseCommand(s *settings) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "pause CLUSTER --reason TEXT", Short: "Do nothing about a cluster until it is resumed", Args: clusterArg, ValidArgsFunction: s.completeArgs(clusterNames),
		Long: `Keep the engine from doing anything about a cluster: no scheduled runs, no repairs. The cluster itself goes on. What is asked for meanwhile is checked and queued, and done when it is resumed; the engine also goes on to look whether nodes are Ready and the API answers, so that 'skyweld get clusters' stays true.

A run that is under way ends at its next step: the steps that it has begun are done, none begins, and the rest follows when the cluster is resumed. A deletion goes through all the same, with no need to resume first, and ends the pause.

Everybody sees since when it is paused, by whom and why: in 'skyweld get clusters', in its events, and whoever asks for something or plans it. Pausing what is paused already changes who and why.`,
		Example: "  skyweld reconcile pause demo --reason 'moving the accounts, until Friday'\n  skyweld get clusters demo\n  skyweld reconcile resume demo",
		RunE: func(c *cobra.Command, a []string) error {
			if strings.TrimSpace(reason) == "" {
				return usageError{errors.New("--reason is missing: say why, for everybody who wonders")}
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			cluster, err := client.Pause(c.Context(), a[0], reason)
			if err != nil {
				return err
			}
			return s.print(c.OutOrStdout(), cluster, func(w io.Writer) {
				fmt.Fprintf(w, "cluster %s is paused; 'skyweld reconcile resume %s' ends that\n", cluster.Name, cluster.Name)
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "`TEXT` that says why, to everybody; required")
	outputFlag(c, s)
	return c
}

func resumeCommand(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "resume CLUSTER", Short: "End a pause, and catch up", Args: clusterArg, ValidArgsFunction: s.completeArgs(clusterNames),
		Long: `End a pause. A run begins at once: it does what was asked for meanwhile and repairs what differs. Resuming a cluster that isn't paused does nothing, and is no error.

'skyweld wait' waits until what was queued is done.`,
		Example: "  skyweld reconcile resume demo\n  skyweld reconcile resume demo && skyweld wait demo",
		RunE: func(c *cobra.Command, a []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			r, err := client.Resume(c.Context(), a[0])
			if err != nil {
				return err
			}
			return s.print(c.OutOrStdout(), r, func(w io.Writer) { fmt.Fprintln(w, resumedText(r)) })
		},
	}
	outputFlag(c, s)
	return c
}

func resumedText(r api.Resumed) string {
	if r.Was == nil {
		return fmt.Sprintf("cluster %s was not paused", r.Cluster.Name)
	}
	text := fmt.Sprintf("cluster %s is resumed after %s", r.Cluster.Name, span(time.Since(r.Was.Since)))
	if n := len(r.Cluster.PendingChanges); n > 0 {
		text += fmt.Sprintf(", with %s to be done", counted(n, "change"))
	}
	return text
}

// clusterStatus is a cluster's phase, and that it is paused, as in "Ready,Paused".
func clusterStatus(c api.Cluster) string {
	if c.Paused != nil && c.Phase != string(store.Deleting) {
		return c.Phase + ",Paused"
	}
	return c.Phase
}

// pendingText counts what was asked for and isn't done: "1 applying, 2 queued".
func pendingText(c api.Cluster) string {
	var parts []string
	for _, state := range []store.ChangeState{store.Applying, store.Queued} {
		n := 0
		for _, ch := range c.PendingChanges {
			if ch.State == string(state) {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return strings.Join(parts, ", ")
}

// remark is what is to be known of a cluster beside its status: what is wrong with it, and why nothing is done about that.
func remark(c api.Cluster) string {
	text := complaint(c)
	if c.Paused == nil || c.Phase == string(store.Deleting) {
		return text
	}
	paused := fmt.Sprintf("paused %s ago by %s: %s", age(c.Paused.Since), c.Paused.By, c.Paused.Reason)
	if text == "" {
		return paused
	}
	return paused + "; " + text
}
