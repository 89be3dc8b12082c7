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
)

func sweepCommand(s *settings) *cobra.Command {
	var uid string
	var regions []string
	var yes, dryRun bool
	c := &cobra.Command{
		Use: "sweep ACCOUNT --cluster UID", Short: "Delete what bears the mark of a cluster nobody remembers", Args: args("ACCOUNT"), ValidArgsFunction: s.completeArgs(accountNames),
		SuggestFor: []string{"clean", "purge", "nuke"},
		Long: `Delete everything in an account that bears the mark of one cluster, when the engine's database is lost or the cluster was abandoned there. 'skyweld inventory ACCOUNT -o wide' shows the uids in marks. It is refused for a cluster that this engine knows: 'skyweld delete' is for those.

Without the database nothing tells what Skyweld made from a copy of it that bears the same mark, like a volume from a backup. So the list is shown first, and the uid must be typed to go on; a script, where standard input is no terminal, needs --yes. What bears another cluster's mark or none is never touched, and what somebody else put in the way is named.

The exit code is 0 when nothing bears the mark any more, and 1 when something failed or is left; then it can be run again.`,
		Example: `  skyweld inventory my-aws -o wide
  skyweld sweep my-aws --cluster 0123456789abcdef --dry-run
  skyweld sweep my-aws --cluster 0123456789abcdef --region us-east-1 --yes`,
		RunE: func(c *cobra.Command, a []string) error {
			if uid == "" {
				return usageError{errors.New("--cluster is missing: name the uid in the marks, as 'skyweld inventory " + a[0] + " -o wide' shows it")}
			}
			if yes && dryRun {
				return usageError{errors.New("--dry-run deletes nothing, so there is nothing to say --yes to: leave one out")}
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			return s.sweep(c, client, a[0], api.SweepAsked{Cluster: uid, Regions: regions}, yes, dryRun)
		},
	}
	c.Flags().StringVar(&uid, "cluster", "", "`UID` in the mark of what is to go, 16 of 0-9 a-f")
	c.Flags().StringSliceVar(&regions, "region", nil, "only these `REGIONS`, by commas (default: all of the account's)")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show the list, and delete nothing")
	complete(c, "cluster", cobra.NoFileCompletions)
	complete(c, "region", cobra.NoFileCompletions)
	outputFlag(c, s)
	return c
}

func (s *settings) sweep(c *cobra.Command, client *api.Client, account string, asked api.SweepAsked, yes, dryRun bool) error {
	p, err := client.PlanSweep(c.Context(), account, asked)
	if err != nil {
		return err
	}
	list := os.Stderr // what is answered is the outcome
	if dryRun || len(p.Steps) == 0 {
		return s.print(c.OutOrStdout(), p, func(w io.Writer) { sweepTable(w, p) })
	}
	shown := &table{out: list}
	sweepTable(shown, p)
	if err := shown.Flush(); err != nil {
		return err
	}
	switch {
	case yes:
	case !isTerminal(os.Stdin):
		return usageError{errors.New("a sweep goes by marks alone, so it wants --yes where nobody can be asked; nothing was done")}
	default:
		fmt.Fprintf(os.Stderr, "All of this is deleted, and it can't be undone. Type the cluster's uid to go on: ")
		if err := typed(c, asked.Cluster); err != nil {
			return err
		}
	}
	for _, st := range p.Steps {
		asked.Only = append(asked.Only, st.Object)
	}
	sw, err := client.StartSweep(c.Context(), account, asked)
	if err != nil {
		return err
	}
	if sw, err = followSweep(c.Context(), client, sw, s.painter(os.Stderr)); err != nil {
		return err
	}
	if sw.Error != "" {
		return fmt.Errorf("the sweep is not done, %d of %d things are deleted: %s\nRun it again when that is mended", sw.Done, sw.Total, sw.Error)
	}
	return s.print(c.OutOrStdout(), sw, func(w io.Writer) {
		fmt.Fprintf(w, "account %s: %s deleted, and nothing bears the mark of cluster %s any more\n", account, counted(sw.Done, "thing"), asked.Cluster)
	})
}

// sweepEvery is how often a sweep is asked for: it belongs to no cluster, and so to no stream.
const sweepEvery = 300 * time.Millisecond

// followSweep shows the steps of a sweep until its end. It can't be called back: who stops waiting stops nothing.
func followSweep(ctx context.Context, client *api.Client, sw api.Sweep, paint painter) (api.Sweep, error) {
	p := &progress{out: os.Stderr, live: isTerminal(os.Stderr), paint: paint, started: time.Now(), said: map[string]string{}}
	defer p.clear()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		now, err := client.Sweep(ctx, sw.ID)
		if err != nil {
			if ctx.Err() != nil {
				return sw, &stopped{text: fmt.Sprintf("Interrupted; the sweep goes on in the engine: %d of %d things are deleted. Run it again to see what is left.", sw.Done, sw.Total), cause: context.Cause(ctx)}
			}
			return sw, err
		}
		sw = now
		p.show(sw.Run)
		if !sw.Ended.IsZero() {
			return sw, nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func sweepTable(w io.Writer, p api.SweepPlan) {
	where := strings.Join(p.Regions, ", ")
	if len(p.Steps) == 0 {
		fmt.Fprintf(w, "account %s: nothing bears the mark of cluster %s\n", p.Account, p.Cluster)
		return
	}
	row(w, "KIND", "REGION", "NAME", "ID")
	for _, st := range p.Steps {
		row(w, st.Kind, st.Region, st.Key, shortID(st.Object))
	}
	for _, n := range p.Notes {
		fmt.Fprintln(w, "Note: "+n)
	}
	fmt.Fprintf(w, "\naccount %s, %s: %s of cluster %s\n", p.Account, where, counted(len(p.Steps), "thing"), p.Cluster)
}
