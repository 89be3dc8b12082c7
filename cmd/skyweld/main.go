// Command skyweld is the whole of Skyweld in one binary: the engine, its command line, the node agent and the lab. It is
// also the only place where the adapters of the clouds are listed.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/agent"
	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/lab/machine"
)

// version is set by the linker.
var version = "dev"

// The exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	machine.Main() // never returns in the processes that become the lab's machines
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := Main(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// Main runs one command line and returns its exit code: 0 for success, 1 for failure, 2 for a command line that makes no
// sense.
func Main(ctx context.Context, args []string) int {
	if len(args) > 0 && args[0] == "agent" {
		return agent.Main(ctx, args[1:], os.Stdin, os.Stdout, os.Stderr)
	}
	root, s := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "Error: "+s.explain(err))
	// What cobra adds by itself, like completion, has errors of cobra's own.
	if _, ok := errors.AsType[usageError](err); ok || strings.HasPrefix(err.Error(), "unknown command") {
		return exitUsage
	}
	return exitFailed
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

// explain adds what to do to errors that have one answer.
func (s *settings) explain(err error) string {
	switch {
	case errors.Is(err, api.ErrNoEngine):
		return err.Error() + "\nStart one with 'skyweld serve', or name the folder of the one that runs with --dir."
	case errors.Is(err, context.Canceled):
		return "interrupted; what was asked for goes on in the engine"
	}
	if p, ok := errors.AsType[*api.Problem](err); ok && p.Status == 401 {
		return fmt.Sprintf("the engine does not know the token in %s: use --dir with the folder the engine was started with", s.dir)
	}
	return err.Error()
}

// settings are the flags that every command has.
type settings struct {
	dir    string
	engine string
	output form
}

func newRoot() (*cobra.Command, *settings) {
	s := &settings{}
	root := &cobra.Command{
		Use:   "skyweld",
		Short: "One Kubernetes cluster across your own cloud accounts",
		Long: `Skyweld builds one Kubernetes cluster across your own accounts at several clouds, keeps it as you asked for it, and
leaves the accounts as they were when you delete it.

A first cluster:
  skyweld serve                                   the engine; leave it running
  skyweld account add aws my-aws --from-env       one account of each cloud
  skyweld account add gcp my-gcp --from-env
  skyweld plan -f cluster.yaml                    what would be done
  skyweld apply -f cluster.yaml --wait
  skyweld kubeconfig demo > demo.kubeconfig`,
		RunE: group, DisableFlagsInUseLine: true, SilenceUsage: true, SilenceErrors: true,
		Args:              cobra.ArbitraryArgs, // so that group gets those that are no command
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.PersistentFlags().StringVar(&s.dir, "dir", defaultDir(), "folder of the engine's data, with its token and address")
	root.PersistentFlags().StringVar(&s.engine, "engine", "", "address of the engine (default: what it wrote into its folder)")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nSee '%s --help'", err, c.CommandPath())}
	})
	root.AddCommand(serveCommand(s), accountCommand(s), inventoryCommand(s), planCommand(s), applyCommand(s), getCommand(s), nodeCommand(s),
		reconcileCommand(s), kubeconfigCommand(s), sshCommand(s), latencyCommand(s), deleteCommand(s), labCommand(), versionCommand(s))
	return root, s
}

// group is what a command that only holds others does by itself.
func group(c *cobra.Command, given []string) error {
	if len(given) == 0 {
		return c.Help()
	}
	text := fmt.Sprintf("unknown command %q for %q", given[0], c.CommandPath())
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(given[0]); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError{fmt.Errorf("%s\nSee '%s --help'", text, c.CommandPath())}
}

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
		if len(given) > len(names) && !strings.HasSuffix(names[len(names)-1], "...]") {
			return usageError{fmt.Errorf("%q is one argument too many\nUsage: %s", given[len(names)], c.UseLine())}
		}
		return nil
	}
}
