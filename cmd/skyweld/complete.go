package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/spec"
)

// completePatience is how long the engine may take to say names to a shell.
const completePatience = 3 * time.Second

// complete gives a flag its completion.
func complete(c *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic("skyweld: completion of --" + flag + ": " + err.Error()) // no such flag
	}
}

// fixed completes to one of some words.
func fixed(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

func folders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// names asks the engine for names that an argument can have, given those before it.
type names func(ctx context.Context, client *api.Client, before []string) ([]string, error)

// completeArgs completes the arguments of a command, each by its own names.
func (s *settings) completeArgs(each ...names) cobra.CompletionFunc {
	return func(c *cobra.Command, before []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(before) >= len(each) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return s.ask(c, before, each[len(before)])
	}
}

// ask asks the engine; without an answer there is nothing to offer, and a prompt is no place for errors.
func (s *settings) ask(c *cobra.Command, before []string, which names) ([]string, cobra.ShellCompDirective) {
	client, err := s.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(c.Context(), completePatience)
	defer cancel()
	list, err := which(ctx, client, before)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

func clusterNames(ctx context.Context, client *api.Client, _ []string) ([]string, error) {
	all, err := client.Clusters(ctx)
	return each(all, func(c api.Cluster) string { return c.Name }), err
}

// receiptNames are the clusters there are, and the uids of those that are gone.
func receiptNames(ctx context.Context, client *api.Client, before []string) ([]string, error) {
	names, err := clusterNames(ctx, client, before)
	if err != nil {
		return nil, err
	}
	gone, err := client.Receipts(ctx)
	return append(names, each(gone, func(r api.ReceiptLine) string { return r.UID + "\t" + r.Cluster })...), err
}

func accountNames(ctx context.Context, client *api.Client, _ []string) ([]string, error) {
	all, err := client.Accounts(ctx)
	return each(all, func(a api.Account) string { return a.Name }), err
}

// nodeNames are those of all clusters, or of the one that stands before.
func nodeNames(ctx context.Context, client *api.Client, before []string) ([]string, error) {
	clusters := before
	if len(clusters) == 0 {
		var err error
		if clusters, err = clusterNames(ctx, client, nil); err != nil {
			return nil, err
		}
	}
	var out []string
	for _, c := range clusters {
		nodes, err := client.Nodes(ctx, c)
		if err != nil {
			return nil, err
		}
		out = append(out, each(nodes, func(n api.Node) string { return n.Name })...)
	}
	return out, nil
}

func runNumbers(ctx context.Context, client *api.Client, before []string) ([]string, error) {
	runs, err := client.Runs(ctx, before[0], 20)
	return each(runs, func(r api.Run) string { return runNumber(r) + "\t" + r.Reason }), err
}

// completeGroup completes --group to a group of the cluster named, or of all.
func (s *settings) completeGroup(c *cobra.Command, before []string, _ string) ([]string, cobra.ShellCompDirective) {
	return s.ask(c, before, func(ctx context.Context, client *api.Client, clusters []string) (out []string, err error) {
		if len(clusters) == 0 {
			if clusters, err = clusterNames(ctx, client, nil); err != nil {
				return nil, err
			}
		}
		for _, name := range clusters {
			cluster, err := client.Cluster(ctx, name)
			if err != nil {
				return nil, err
			}
			file, err := spec.Load([]byte(cluster.File))
			if err != nil {
				return nil, err
			}
			for _, w := range file.Spec.Workers {
				if !slices.Contains(out, w.Name) {
					out = append(out, w.Name)
				}
			}
		}
		return out, nil
	})
}

func each[T, U any](list []T, f func(T) U) []U {
	out := make([]U, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

// shells are those that completion is written for.
var shells = map[string]func(*cobra.Command, io.Writer) error{
	"bash":       func(c *cobra.Command, w io.Writer) error { return c.GenBashCompletionV2(w, true) },
	"zsh":        (*cobra.Command).GenZshCompletion,
	"fish":       func(c *cobra.Command, w io.Writer) error { return c.GenFishCompletion(w, true) },
	"powershell": (*cobra.Command).GenPowerShellCompletionWithDesc,
}

func completionCommand() *cobra.Command {
	known := []string{"bash", "fish", "powershell", "zsh"}
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print the completion script of a shell", Args: args("SHELL"), DisableFlagsInUseLine: true,
		Long: `Print a script that lets a shell complete commands, flags, and the names of clusters, nodes, accounts, groups and fields when Tab is pressed. SHELL is bash, zsh, fish or powershell; the names are asked of the engine at that moment.

bash needs the package bash-completion. zsh needs 'autoload -U compinit; compinit' in ~/.zshrc.`,
		Example: `  source <(skyweld completion bash)                                  # now
  skyweld completion bash > /etc/bash_completion.d/skyweld           # always
  skyweld completion zsh > "${fpath[1]}/_skyweld"
  skyweld completion fish > ~/.config/fish/completions/skyweld.fish`,
		ValidArgsFunction: func(_ *cobra.Command, before []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(before) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return known, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, a []string) error {
			write := shells[a[0]]
			if write == nil {
				return usageError{fmt.Errorf("SHELL: found %q: want %s", a[0], orList(known))}
			}
			return write(c.Root(), c.OutOrStdout())
		},
	}
}
