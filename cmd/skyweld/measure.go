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

var measurementListing = listing[api.Measurement]{
	columns: []column[api.Measurement]{
		{head: "FROM", cell: func(m api.Measurement) string { return m.From }},
		{head: "TO", cell: func(m api.Measurement) string { return m.To }},
		{head: "RTT", cell: func(m api.Measurement) string { return inMs(m.Ms) }},
		{head: "P99", cell: func(m api.Measurement) string { return inMs(m.P99Ms) }},
		{head: "LOSS", cell: func(m api.Measurement) string {
			if m.Sent == 0 {
				return ""
			}
			return fmt.Sprintf("%.1f%%", 100*float64(m.Sent-m.Received)/float64(m.Sent))
		}},
		{head: "THROUGHPUT", cell: func(m api.Measurement) string {
			if m.Bits == 0 {
				return ""
			}
			return fmt.Sprintf("%.0f Mbit/s", float64(m.Bits)/1e6)
		}},
		{head: "TABLE", cell: func(m api.Measurement) string {
			if m.Source == "" {
				return ""
			}
			return inMs(m.TableMs) + " " + m.Source
		}},
		{head: "MEASURED", cell: func(m api.Measurement) string { return m.Time.Local().Format(time.DateOnly) }},
	},
	name:  func(m api.Measurement) string { return "measurement/" + m.From + "," + m.To },
	empty: "Nothing was measured yet: 'skyweld regions measure' does.",
}

func measureCommand(s *settings) *cobra.Command {
	f := &changing{wait: true}
	var asked api.MeasureAsked
	var length time.Duration
	var yes, list bool
	c := &cobra.Command{
		Use: "measure [ACCOUNT/REGION...]", Short: "Measure what is between regions, with machines in your accounts", Args: args("[ACCOUNT/REGION...]"), ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Measure round trip, loss and throughput between regions: a small machine is made in each, joined by the tunnel that clusters have, and removed again. It is a cluster without Kubernetes, named measure-…, so that all holds that holds for clusters: nothing is left behind, a killed engine goes on, and a receipt compares the accounts with what they held before.

It shows the plan with its cost and asks, and waits until all is measured and removed. Ctrl-C ends the waiting, not the work: the machines go all the same when it is done. Where it can't be done, they go after the third try.

Regions are accounts with a region after a slash. An account without one gets the region that is nearest to the others'; without any it is all accounts. What was measured goes before the table wherever regions are chosen or compared, until it is measured again: --list shows it.`,
		Example: `  skyweld regions measure my-aws/us-east-1 my-gcp/us-east4 my-azure/eastus
  skyweld regions measure --for 20s --yes
  skyweld regions measure --dry-run
  skyweld regions measure --list`,
		RunE: func(c *cobra.Command, given []string) error {
			if list && (len(given) > 0 || yes || f.dryRun) {
				return usageError{errors.New("--list only shows what was measured: leave the rest out")}
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			if list {
				return listMeasured(c, s, client)
			}
			if asked.Regions = given; c.Flags().Changed("for") {
				asked.For = length.String()
			}
			f.wait = !f.dryRun
			if err := f.check(c); err != nil {
				return err
			}
			if !f.dryRun {
				if err := s.mayMeasure(c, client, asked, yes); err != nil {
					return err
				}
			}
			return s.measure(c, f, client, asked)
		},
	}
	c.Flags().DurationVar(&length, "for", time.Minute, "how `LONG` each way is measured, from 1s to 10m")
	c.Flags().BoolVar(&yes, "yes", false, "don't ask")
	c.Flags().BoolVar(&list, "list", false, "show what was measured so far, and measure nothing")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "show the plan and its cost, and change nothing")
	f.waitFlags(c, false)
	complete(c, "for", cobra.NoFileCompletions)
	listFlags(c, s)
	return c
}

func listMeasured(c *cobra.Command, s *settings, client *api.Client) error {
	all, err := client.Measurements(c.Context())
	if err != nil {
		return err
	}
	return show(s, c.OutOrStdout(), all, measurementListing)
}

// mayMeasure shows what it would cost, and asks where there is somebody to ask.
func (s *settings) mayMeasure(c *cobra.Command, client *api.Client, asked api.MeasureAsked, yes bool) error {
	if yes {
		return nil
	}
	if !isTerminal(os.Stdin) {
		return usageError{errors.New("measuring makes machines that cost money, so it wants --yes where nobody can be asked; --dry-run shows what it costs")}
	}
	p, err := client.PlanMeasure(c.Context(), asked)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, strings.TrimSpace(planSummary(p)))
	costLines(os.Stderr, helpWidth, p.Cost)
	fmt.Fprint(os.Stderr, "The machines are removed again when it is done, in some minutes. Type yes to go on: ")
	return typed(c, "yes")
}

// measure has it measured, waits until the machines are gone again, and shows what came of it.
func (s *settings) measure(c *cobra.Command, f *changing, client *api.Client, asked api.MeasureAsked) error {
	if f.dryRun {
		return f.do(c, s, client, func(ctx context.Context) (api.Plan, error) { return client.PlanMeasure(ctx, asked) }, nil, "")
	}
	ch, err := client.MeasureRegions(c.Context(), asked)
	if err != nil {
		return err
	}
	at, err := client.Cluster(c.Context(), ch.Cluster)
	if err != nil {
		return err
	}
	quiet := *s
	quiet.output = formTable
	failure := quiet.followQuietly(c, client, ch, f)
	if c.Context().Err() != nil {
		return failure
	}
	if err := quiet.awaitRemoval(c, client, ch.Cluster, f); err != nil {
		return errors.Join(failure, err)
	}
	if err := listMeasured(c, s, client); err != nil || s.output != formTable {
		return errors.Join(failure, err)
	}
	return errors.Join(failure, s.printSummary(c, client, at.UID))
}

// followQuietly shows the steps of a change, and says nothing of its end.
func (s *settings) followQuietly(c *cobra.Command, client *api.Client, ch api.Change, f *changing) error {
	out := c.OutOrStdout()
	c.SetOut(io.Discard)
	defer c.SetOut(out)
	return s.follow(c, client, ch, f, "measured")
}

// removalPause is how long to wait before it is looked again whether a cluster that could not measure yet is given up.
const removalPause = time.Second

// awaitRemoval follows the deletion of a cluster that measured, which the engine asks for itself: it is there when the measuring
// is done, and after some tries in vain.
func (s *settings) awaitRemoval(c *cobra.Command, client *api.Client, name string, f *changing) error {
	for {
		changes, err := client.Changes(c.Context(), name)
		if notFound(err) {
			return nil // it is gone already
		}
		if err != nil {
			return err
		}
		for _, ch := range changes {
			if ch.Kind == string(store.Delete) {
				return s.followQuietly(c, client, ch, f)
			}
		}
		select {
		case <-c.Context().Done():
			return context.Cause(c.Context())
		case <-time.After(removalPause):
		}
	}
}
