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

// The exit codes, beside those of a signal (128 and its number) and of a program run by 'skyweld ssh'.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitTimeout = 3
)

func main() {
	machine.Main() // never returns in the processes that become the lab's machines
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		first := <-signals
		signal.Stop(signals) // a second one ends the program as it is
		cancel(bySignal{first.(syscall.Signal)})
	}()
	os.Exit(Main(ctx, os.Args[1:]))
}

// bySignal is the cause of a context that a signal ended.
type bySignal struct{ signal syscall.Signal }

func (b bySignal) Error() string { return b.signal.String() }

// Is lets it pass for the end of a context, in whose place it appears.
func (b bySignal) Is(target error) bool { return target == context.Canceled }

// stopped is a command that was ended before its end: what it asked for goes on.
type stopped struct {
	text  string
	cause error // bySignal, or errTimeout
}

var errTimeout = errors.New("the time given by --timeout is over")

func (s *stopped) Error() string { return s.text }
func (s *stopped) Unwrap() error { return s.cause }

// exitStatus is how a program ended that was run elsewhere: it has told what was wrong itself.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Main runs one command line and returns its exit code: 0 for success, 1 for failure, 2 for a command line that makes no
// sense, 3 for a wait that took too long, 128 and a signal's number for one ended by it.
func Main(ctx context.Context, args []string) int {
	if len(args) > 0 && args[0] == "agent" {
		return agent.Main(ctx, args[1:], os.Stdin, os.Stdout, os.Stderr)
	}
	root, s := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = s.unknown
	}
	if err == nil {
		return 0
	}
	if status, ok := errors.AsType[exitStatus](err); ok {
		return int(status)
	}
	if stop, ok := errors.AsType[*stopped](err); ok { // no error: it is what was asked for
		fmt.Fprintln(os.Stderr, stop)
	} else {
		fmt.Fprintln(os.Stderr, s.painter(os.Stderr).paint(bad, "Error:")+" "+s.advice(err))
	}
	return exitCode(ctx, err)
}

func exitCode(ctx context.Context, err error) int {
	if errors.Is(err, context.Canceled) {
		err = errors.Join(err, context.Cause(ctx))
	}
	if by, ok := errors.AsType[bySignal](err); ok {
		return 128 + int(by.signal)
	}
	if errors.Is(err, errTimeout) {
		return exitTimeout
	}
	// What cobra finds by itself has errors of cobra's own.
	if _, ok := errors.AsType[usageError](err); ok || strings.HasPrefix(err.Error(), "unknown command") {
		return exitUsage
	}
	return exitFailed
}

// advice adds what to do to errors that have one answer.
func (s *settings) advice(err error) string {
	switch {
	case errors.Is(err, api.ErrNoEngine):
		return err.Error() + "\nStart one with 'skyweld serve', or name the folder of the one that runs with --dir."
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	if p, ok := errors.AsType[*api.Problem](err); ok && p.Status == 401 {
		switch {
		case s.tokenFile != "":
			return fmt.Sprintf("the engine does not know the token in %s, or it has expired", s.tokenFile)
		case os.Getenv(tokenVariable) != "":
			return fmt.Sprintf("the engine does not know the token in $%s, or it has expired", tokenVariable)
		}
		return fmt.Sprintf("the engine does not know the token in %s: use --dir with the folder the engine was started with", s.dir)
	}
	return err.Error()
}

// settings are the flags that every command has, and those that many have.
type settings struct {
	dir       string
	engine    string
	tokenFile string
	ca        string
	color     colorMode
	output    form
	noHeaders bool
	// unknown is that help was asked for about a command that there isn't: cobra takes no error from its help.
	unknown error
}

// The groups of commands in the help.
const (
	groupClusters = "clusters"
	groupLooking  = "looking"
	groupParts    = "parts"
	groupOther    = "other"
)

func newRoot() (*cobra.Command, *settings) {
	s := &settings{color: colorAuto}
	root := &cobra.Command{
		Use:   "skyweld",
		Short: "One Kubernetes cluster across your own cloud accounts",
		Long: `Skyweld builds one Kubernetes cluster across your own accounts at several clouds, keeps it as you asked for it, and leaves the accounts as they were when you delete it.

An engine does the work ('skyweld serve', which keeps running); all other commands ask it. 'skyweld explain' describes the cluster file, and prints one to begin with. To try everything without an account at a cloud, start with 'skyweld lab --help'.`,
		Example: `  # A first cluster, from nothing to kubectl
  skyweld serve                                # in a terminal of its own
  skyweld account add aws my-aws --from-env    # one account of each cloud:
  skyweld account add gcp my-gcp --from-env    # aws, gcp, azure, digitalocean
  skyweld explain --example > cluster.yaml     # then change it
  skyweld plan -f cluster.yaml                 # what would be done
  skyweld apply -f cluster.yaml --wait
  skyweld kubeconfig demo > demo.kubeconfig`,
		RunE: group, DisableFlagsInUseLine: true, SilenceUsage: true, SilenceErrors: true,
		Args: cobra.ArbitraryArgs, // so that group gets those that are no command
	}
	root.Version = version
	root.CompletionOptions.DisableDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVar(&s.dir, "dir", defaultDir(), "`FOLDER` of the engine's data, with its token and address")
	flags.Lookup("dir").DefValue = "$SKYWELD_DIR, else $XDG_DATA_HOME/skyweld, else ~/.local/share/skyweld"
	flags.StringVar(&s.engine, "engine", "", "`ADDRESS` of the engine, like http://127.0.0.1:8420 (default: what it wrote into its folder)")
	flags.StringVar(&s.tokenFile, "token-file", "", "`FILE` with the token to show the engine (default: $SKYWELD_TOKEN, else the one in the engine's folder)")
	flags.StringVar(&s.ca, "ca", "", "`FILE` with the certificate of the engine at --engine, or of who issued it, in PEM (default: those this machine trusts)")
	flags.Var(&s.color, "color", "colours: auto (in a terminal, unless NO_COLOR is set or TERM is dumb), never or always")
	complete(root, "dir", folders)
	complete(root, "color", fixed("auto", "never", "always"))
	root.SetFlagErrorFunc(flagError)
	root.SetUsageFunc(usage)
	root.SetHelpFunc(func(c *cobra.Command, _ []string) {
		if given := c.Flags().Args(); len(given) > 0 && !runsItself(c) {
			s.unknown = group(c, given)
			return
		}
		help(c)
	})
	for _, g := range []cobra.Group{{ID: groupClusters, Title: "Clusters:"}, {ID: groupLooking, Title: "Looking at them:"}, {ID: groupParts, Title: "Accounts, engine and lab:"}, {ID: groupOther, Title: "Other commands:"}} {
		root.AddGroup(&g)
	}
	add := func(id string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	add(groupClusters, createCommand(s), explainCommand(s), planCommand(s), applyCommand(s), nodeCommand(s), reconcileCommand(s), deleteCommand(s), waitCommand(s), cancelCommand(s))
	add(groupLooking, getCommand(s), kubeconfigCommand(s), sshCommand(s), latencyCommand(s), regionsCommand(s), receiptCommand(s))
	add(groupParts, accountCommand(s), inventoryCommand(s), sweepCommand(s), serveCommand(s), openCommand(s), userCommand(s), tokenCommand(s), auditCommand(s), backupCommand(s), restoreCommand(s), labCommand())
	add(groupOther, completionCommand(), versionCommand(s))
	root.SetHelpCommand(helpCommand())
	root.SetHelpCommandGroupID(groupOther)
	return root, s
}

// helpCommand is cobra's, but that it is an error to ask it about a command that there isn't.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND...]", Short: "Show how a command is used", Long: "Show how a command is used. 'skyweld COMMAND --help' shows the same.", Example: "  skyweld help apply\n  skyweld help account add",
		ValidArgsFunction: func(c *cobra.Command, before []string, _ string) ([]string, cobra.ShellCompDirective) {
			at, _, err := c.Root().Find(before)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range at.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, sub.Name()+"\t"+sub.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, given []string) error {
			about, rest, err := c.Root().Find(given)
			if err != nil {
				return usageError{err}
			}
			if len(rest) > 0 && !runsItself(about) {
				return group(about, rest)
			}
			help(about)
			return nil
		},
	}
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
