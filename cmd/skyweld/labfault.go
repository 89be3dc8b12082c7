package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/lab"
	"github.com/skyweld/skyweld/lab/fault"
)

func labFault(dir *string) *cobra.Command {
	var kinds strings.Builder
	for _, k := range fault.Kinds {
		fmt.Fprintf(&kinds, "  %-13s  %s\n", k.Kind, k.Text)
	}
	c := &cobra.Command{
		Use: "fault", DisableFlagsInUseLine: true, RunE: group, Short: "Make the lab's clouds and machines go wrong",
		Long: `A fault is a rule that the lab keeps until it is removed, is over, or the lab stops: what goes wrong, at which cloud, for
which requests or machines. Clouds answer with their own errors.

Actions are called as the clouds do: ec2:RunInstances, sts:GetCallerIdentity, compute.instances.insert,
VirtualMachines.CreateOrUpdate, droplet:create (DigitalOcean's scopes); the endpoint that gives out Google's tokens is
oauth2.token. The service may be left out, and * and ? stand for anything.

Kinds:
` + strings.TrimRight(kinds.String(), "\n"),
		Example: `  skyweld lab fault add aws throttle --rate 0.3
  skyweld lab fault add aws deny --action RunInstances
  skyweld lab fault add gcp drop-answer --action instances.insert --times 1
  skyweld lab fault add azure deny --action VirtualMachines.CreateOrUpdate
  skyweld lab fault add digitalocean quota --action droplet:create --after 2
  skyweld lab fault add aws list-lag 1m
  skyweld lab fault add azure stuck --for 5m
  skyweld lab fault add gcp down --for 2m
  skyweld lab fault cloud-down gcp
  skyweld lab fault add aws no-ssh --machine '*-demo-web-*'
  skyweld lab fault list
  skyweld lab fault remove --all`,
	}
	c.AddCommand(labFaultAdd(dir), labFaultCloudDown(dir), labFaultList(dir), labFaultRemove(dir))
	return c
}

func labFaultAdd(dir *string) *cobra.Command {
	var r fault.Rule
	var lasts time.Duration
	s := &settings{}
	c := &cobra.Command{
		Use: "add CLOUD KIND [TIME]", Short: "Add a fault; 'skyweld lab fault --help' lists the kinds",
		Long:    "Add a fault. KIND is one of those that 'skyweld lab fault --help' lists; TIME goes with delay, list-lag and far. It strikes from the next request on, or from a machine's next boot on.",
		Example: "  sudo skyweld lab fault add aws throttle --rate 0.3 --for 5m\n  sudo skyweld lab fault add gcp drop-answer --action instances.insert --times 1\n  sudo skyweld lab fault add gcp far 20ms --for 10m",
		Args: func(c *cobra.Command, a []string) error {
			if len(a) < 2 || len(a) > 3 {
				return usageError{errors.New("want a cloud and a kind: skyweld lab fault add CLOUD KIND")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, a []string) error {
			r.Cloud, r.Kind, r.For = a[0], fault.Kind(a[1]), fault.Duration(lasts)
			if len(a) == 3 {
				d, err := time.ParseDuration(a[2])
				if err != nil || d <= 0 {
					return usageError{fmt.Errorf("TIME: found %q: want one above zero, like 2s", a[2])}
				}
				r.Delay = fault.Duration(d)
			}
			for _, f := range []struct {
				name string
				zero bool
			}{{"after", r.After == 0}, {"times", r.Times == 0}, {"rate", r.Rate == 0}, {"seed", r.Seed == 0}, {"for", r.For == 0}} {
				if c.Flags().Changed(f.name) && f.zero {
					return usageError{fmt.Errorf("--%s: found 0: want more, or leave it out", f.name)}
				}
			}
			if err := r.Check(); err != nil {
				return usageError{err}
			}
			if err := runningLab(*dir); err != nil {
				return err
			}
			made, err := lab.AddFault(c.Context(), *dir, r)
			if err != nil {
				return err
			}
			return s.print(c.OutOrStdout(), made, func(w io.Writer) { fmt.Fprintf(w, "fault %d: %s\n", made.ID, faultText(made)) })
		},
	}
	f := c.Flags()
	f.StringVar(&r.Action, "action", "", "only requests for actions that match this pattern")
	f.StringVar(&r.Region, "region", "", "only requests about this region or its zones")
	f.StringVar(&r.Machine, "machine", "", "machines whose name or id matches this pattern, from their next boot on")
	f.IntVar(&r.After, "after", 0, "let so many pass at first")
	f.IntVar(&r.Times, "times", 0, "be over after it has struck so often")
	f.DurationVar(&lasts, "for", 0, "be over after this time")
	f.Float64Var(&r.Rate, "rate", 0, "strike by chance only: above 0, at most 1")
	f.Uint64Var(&r.Seed, "seed", 0, "begin the row of chances here, to have the same again (default: chosen, and shown)")
	outputFlag(c, s)
	return c
}

// labFaultCloudDown is the drill of losing a cloud: two faults at once.
func labFaultCloudDown(dir *string) *cobra.Command {
	var region string
	var lasts time.Duration
	s := &settings{}
	c := &cobra.Command{
		Use: "cloud-down CLOUD", Short: "Lose a whole cloud: its API is down, its machines are cut off",
		Long:    "Lose a whole cloud, or a region of it: the faults down and cut-off at once. The machines run on, and see only those of their own network.",
		Example: "  sudo skyweld lab fault cloud-down gcp\n  sudo skyweld lab fault cloud-down azure --region eastus --for 2m",
		Args:    args("CLOUD"),
		RunE: func(c *cobra.Command, a []string) error {
			if c.Flags().Changed("for") && lasts == 0 {
				return usageError{errors.New("--for: found 0: want more, or leave it out")}
			}
			if err := runningLab(*dir); err != nil {
				return err
			}
			var made []fault.Rule
			for _, kind := range []fault.Kind{fault.Down, fault.CutOff} {
				r, err := lab.AddFault(c.Context(), *dir, fault.Rule{Cloud: a[0], Kind: kind, Region: region, For: fault.Duration(lasts)})
				if err != nil {
					return err
				}
				made = append(made, r)
			}
			return s.print(c.OutOrStdout(), items(made), func(w io.Writer) {
				for _, r := range made {
					fmt.Fprintf(w, "fault %d: %s\n", r.ID, faultText(r))
				}
			})
		},
	}
	c.Flags().StringVar(&region, "region", "", "only this region")
	c.Flags().DurationVar(&lasts, "for", 0, "be over after this time")
	outputFlag(c, s)
	return c
}

func labFaultList(dir *string) *cobra.Command {
	s := &settings{}
	c := &cobra.Command{
		Use: "list", Short: "List the faults, and how often each has struck", Args: args(),
		Example: "  sudo skyweld lab fault list\n  sudo skyweld lab fault list -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := runningLab(*dir); err != nil {
				return err
			}
			all, err := lab.ListFaults(c.Context(), *dir)
			if err != nil {
				return err
			}
			return s.print(c.OutOrStdout(), items(all), func(w io.Writer) {
				if len(all) == 0 {
					fmt.Fprintln(w, "No faults: add one with 'skyweld lab fault add'")
					return
				}
				faultTable(w, all)
			})
		},
	}
	outputFlag(c, s)
	return c
}

func labFaultRemove(dir *string) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "remove ID", Short: "Remove a fault, or --all of them",
		Example: "  sudo skyweld lab fault remove 3\n  sudo skyweld lab fault remove --all",
		Args: func(c *cobra.Command, a []string) error {
			if all == (len(a) == 1) || len(a) > 1 {
				return usageError{errors.New("want the id of one fault, or --all")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, a []string) error {
			if err := runningLab(*dir); err != nil {
				return err
			}
			if all {
				n, err := lab.RemoveFaults(c.Context(), *dir)
				if err == nil {
					fmt.Fprintf(c.OutOrStdout(), "%s removed\n", counted(n, "fault"))
				}
				return err
			}
			id, err := strconv.Atoi(a[0])
			if err != nil {
				return usageError{fmt.Errorf("ID: found %q: want a number; 'skyweld lab fault list' shows them", a[0])}
			}
			if err := lab.RemoveFault(c.Context(), *dir, id); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "fault %d removed\n", id)
			return nil
		},
	}
	c.Flags().BoolVar(&all, "all", false, "remove all of them")
	return c
}

// runningLab says what is wrong when no lab runs in a folder.
func runningLab(dir string) error {
	i, err := lab.Read(dir)
	if err != nil {
		return noLab(dir, err)
	}
	if i.PID == 0 {
		return fmt.Errorf("the lab in %s is stopped, and has no faults: start it with 'skyweld lab start'", dir)
	}
	return nil
}

// faultText is a fault in a line.
func faultText(r fault.Rule) string {
	parts := []string{r.Cloud, string(r.Kind)}
	if r.Delay > 0 {
		parts = append(parts, r.Delay.String())
	}
	for _, p := range [][2]string{{"action", r.Action}, {"region", r.Region}, {"machine", r.Machine}} {
		if p[1] != "" {
			parts = append(parts, p[0]+" "+p[1])
		}
	}
	return strings.Join(append(parts, faultLimits(r)...), ", ")
}

// faultLimits are how long and how often a fault strikes.
func faultLimits(r fault.Rule) []string {
	var out []string
	if r.After > 0 {
		out = append(out, fmt.Sprintf("after %d", r.After))
	}
	if r.Times > 0 {
		out = append(out, fmt.Sprintf("%d times", r.Times))
	}
	if r.For > 0 {
		out = append(out, "for "+r.For.String())
	}
	if r.Rate > 0 {
		out = append(out, fmt.Sprintf("rate %g, seed %d", r.Rate, r.Seed))
	}
	return out
}

func faultTable(w io.Writer, all []fault.Rule) {
	row(w, "ID", "CLOUD", "KIND", "WHERE", "LIMITS", "STRUCK", "STATE")
	for _, r := range all {
		kind, where, state := string(r.Kind), "", "in force"
		if r.Delay > 0 {
			kind += " " + r.Delay.String()
		}
		for _, p := range []string{r.Action, r.Region, r.Machine} {
			if p != "" {
				where = strings.TrimSpace(where + " " + p)
			}
		}
		if where == "" {
			where = "everywhere"
		}
		if r.Over {
			state = "over"
		}
		row(w, r.ID, r.Cloud, kind, where, strings.Join(faultLimits(r), ", "), r.Hits, state)
	}
}
