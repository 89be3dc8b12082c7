package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/spec"
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// args checks the number of arguments and calls what is missing by its name.
func args(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		required := 0
		for _, n := range names {
			if !strings.HasPrefix(n, "[") {
				required++
			}
		}
		if len(given) < required {
			return usageError{fmt.Errorf("%s is missing\nUsage: %s", names[len(given)], c.UseLine())}
		}
		if len(given) > len(names) && (len(names) == 0 || !strings.HasSuffix(names[len(names)-1], "...]")) {
			return usageError{fmt.Errorf("%q is one argument too many\nUsage: %s", given[len(names)], c.UseLine())}
		}
		return nil
	}
}

// allowedValues says what a flag's value must be, by pflag's names of types.
var allowedValues = map[string]string{
	"bool": "true or false", "int": "a whole number", "duration": "a duration like 90s, 10m or 1h30m",
}

// flagError explains a flag that can't be read, without the words of the parser.
func flagError(c *cobra.Command, err error) error {
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		name := "--" + invalid.GetFlag().Name
		want, known := allowedValues[invalid.GetFlag().Value.Type()]
		if !known {
			want = strings.TrimPrefix(invalid.Unwrap().Error(), "want ")
		}
		if name == "--dry-run" && known {
			want = "no value: the engine is asked, as with kubectl's --dry-run=server"
		}
		err = fmt.Errorf("%s: found %q: want %s", name, invalid.GetValue(), want)
	}
	return usageError{fmt.Errorf("%w\nSee '%s --help'", err, c.CommandPath())}
}

// fileFlag gives a command -f.
func fileFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "filename", "f", "", "cluster `FILE`, YAML or JSON; - for standard input")
	complete(c, "filename", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
	})
}

// onLatencyFlag gives a command --on-latency, and returns what checks it.
func onLatencyFlag(c *cobra.Command, choice *string) func() error {
	c.Flags().StringVar(choice, "on-latency", "", "`CHOICE` when machines measure a longer round trip between sites than spec.network.maxRTT, before Kubernetes is set up: stop and ask, continue, or remove all again; in the place of spec.network.onLatency")
	complete(c, "on-latency", fixed(spec.LatencyChoices...))
	return func() error {
		if *choice != "" && !slices.Contains(spec.LatencyChoices, *choice) {
			return usageError{fmt.Errorf("--on-latency: found %q: want %s", *choice, strings.Join(spec.LatencyChoices, ", "))}
		}
		return nil
	}
}

// changing are the flags of a command that changes a cluster.
type changing struct {
	wait, dryRun bool
	timeout      time.Duration
}

func (f *changing) flags(c *cobra.Command, s *settings) {
	f.waitFlags(c, true)
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "show the plan as 'skyweld plan' does, and change nothing")
	outputFlag(c, s)
}

func (f *changing) waitFlags(c *cobra.Command, choice bool) {
	usage := "how long to wait, like 90s, 10m or 1h30m; the work goes on after it, and the exit code is 3 (default: no limit)"
	if choice {
		c.Flags().BoolVar(&f.wait, "wait", false, "show every step, and return when all is done")
		usage = "with --wait: " + usage
	}
	c.Flags().DurationVar(&f.timeout, "timeout", 0, usage)
	c.Flags().Lookup("timeout").DefValue = "0s" // pflag leaves it out: the usage says it
}

// check refuses flags that contradict each other.
func (f *changing) check(c *cobra.Command) error {
	switch {
	case c.Flags().Changed("timeout") && f.timeout <= 0:
		return usageError{fmt.Errorf("--timeout: found %s: want more than 0s", f.timeout)}
	case f.dryRun && f.wait:
		return usageError{errors.New("--dry-run changes nothing, so there is nothing to --wait for: leave one out")}
	case f.timeout != 0 && !f.wait:
		return usageError{errors.New("--timeout belongs to --wait: add it, or leave --timeout out")}
	}
	return nil
}

// do asks for a change, or for its plan, and says what comes of it. done is what is said of the cluster in the end.
func (f *changing) do(c *cobra.Command, s *settings, client *api.Client, plan func(context.Context) (api.Plan, error), ask func(context.Context) (api.Change, error), done string) error {
	if f.dryRun {
		p, err := plan(c.Context())
		if err != nil {
			return err
		}
		return s.printPlan(c.OutOrStdout(), p)
	}
	change, err := ask(c.Context())
	if err != nil {
		if c.Context().Err() != nil {
			return &stopped{text: "Interrupted before the engine answered: it may have taken the request on; 'skyweld get events' shows that", cause: context.Cause(c.Context())}
		}
		return err
	}
	return s.follow(c, client, change, f, done)
}
