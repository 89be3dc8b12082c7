package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

func deleteCommand(s *settings) *cobra.Command {
	f := &changing{}
	var yes bool
	var abandon []string
	c := &cobra.Command{
		Use: "delete CLUSTER", Short: "Delete a cluster and all it has in the accounts", Args: args("CLUSTER"), ValidArgsFunction: s.completeArgs(clusterNames),
		SuggestFor: []string{"destroy", "remove", "rm", "down"},
		Long: `Delete a cluster, what runs on it, and everything that Skyweld made for it in the accounts: what Kubernetes made, machines with their disks, addresses, firewalls, networks. Nothing else is touched, and the accounts themselves stay known. What blocks the deletion, like a machine that somebody else put into the network, is named, here and in 'skyweld get clusters'; all else goes, and the deletion goes on by itself when that is gone.

In a terminal it asks first, unless --yes is given. In a script, where standard input is no terminal, it doesn't ask. A deletion that was asked for can't be called back. A pause doesn't hold it off.

Without --wait it returns as soon as the engine has taken it on. With --wait it returns when nothing is left, and shows the first line of the receipt: 'skyweld receipt CLUSTER' has all of it. While something is in the way it names that and waits on.

--abandon gives up a site whose account is lost: what is there stays there, is listed in the receipt for ever, and the deletion ends without it. It is refused where the engine can still delete. In a terminal the site's name must be typed; a script needs --yes.`,
		Example: `  skyweld delete demo --dry-run
  skyweld delete demo --wait
  skyweld delete demo --yes --wait --timeout 20m
  skyweld delete demo --abandon old-aws --yes`,
		RunE: func(c *cobra.Command, a []string) error {
			if err := f.check(c); err != nil {
				return err
			}
			if err := s.mayDelete(c, a[0], abandon, yes || f.dryRun); err != nil {
				return err
			}
			return s.delete(c, f, a[0], abandon)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	c.Flags().StringSliceVar(&abandon, "abandon", nil, "give up these `SITES`, by commas: leave there what is there")
	complete(c, "abandon", s.completeSites)
	f.flags(c, s)
	return c
}

// delete asks for a deletion, or for its plan, and ends with the receipt.
func (s *settings) delete(c *cobra.Command, f *changing, name string, abandon []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	cluster, err := client.Cluster(c.Context(), name)
	if err != nil {
		return err
	}
	err = f.do(c, s, client,
		func(ctx context.Context) (api.Plan, error) {
			return client.PlanChange(ctx, name, api.ChangeAsked{Kind: string(store.Delete), Abandon: abandon})
		},
		func(ctx context.Context) (api.Change, error) { return client.Delete(ctx, name, abandon...) }, "deleted")
	if err != nil || !f.wait {
		return err
	}
	return s.printSummary(c, client, cluster.UID)
}

// printSummary shows the first line of a receipt.
func (s *settings) printSummary(c *cobra.Command, client *api.Client, uid string) error {
	r, err := client.Receipt(c.Context(), uid)
	if err != nil {
		return err
	}
	if s.output == formTable {
		fmt.Fprintf(c.OutOrStdout(), "receipt: %s\n", r.Summary)
	}
	return nil
}

// mayDelete asks whether a cluster is to be deleted, where there is somebody to ask.
func (s *settings) mayDelete(c *cobra.Command, name string, abandon []string, yes bool) error {
	terminal := isTerminal(os.Stdin)
	switch {
	case yes:
		return nil
	case !terminal && len(abandon) > 0:
		return usageError{fmt.Errorf("--abandon leaves things behind in an account, so it wants --yes where nobody can be asked")}
	case !terminal:
		return nil
	}
	if err := s.confirmDelete(c, name); err != nil {
		return err
	}
	for _, site := range abandon {
		fmt.Fprintf(os.Stderr, "What is at site %s stays in its account, and Skyweld will never delete it. Type the site's name to give it up: ", site)
		if err := typed(c, site); err != nil {
			return err
		}
	}
	return nil
}

// confirmDelete says what would go, and asks.
func (s *settings) confirmDelete(c *cobra.Command, name string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	cluster, err := client.Cluster(c.Context(), name)
	if err != nil {
		return err
	}
	resources, err := client.Resources(c.Context(), name)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "This deletes cluster %s: %s with all that runs there, and %s at %s.\nIt can't be undone. Type yes to go on: ",
		name, counted(cluster.Nodes, "node"), counted(len(resources), "thing")+" in the accounts", strings.Join(cluster.Sites, ", "))
	return typed(c, "yes")
}

// answers are the lines that are typed: one reader for all questions, since it reads ahead.
var answers = bufio.NewReader(os.Stdin)

// typed wants a word to be typed.
func typed(c *cobra.Command, word string) error {
	answer := make(chan string, 1)
	go func() {
		line, _ := answers.ReadString('\n')
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-c.Context().Done():
		fmt.Fprintln(os.Stderr)
		return &stopped{text: "Interrupted; nothing was done.", cause: context.Cause(c.Context())}
	case said := <-answer:
		if said != word {
			return fmt.Errorf("the answer was %q, not %q: nothing was done", said, word)
		}
	}
	return nil
}

// completeSites completes to the sites of the cluster named.
func (s *settings) completeSites(c *cobra.Command, before []string, _ string) ([]string, cobra.ShellCompDirective) {
	return s.ask(c, before, func(ctx context.Context, client *api.Client, clusters []string) (out []string, err error) {
		for _, name := range clusters {
			cluster, err := client.Cluster(ctx, name)
			if err != nil {
				return nil, err
			}
			file, err := spec.Load([]byte(cluster.File))
			if err != nil {
				return nil, err
			}
			out = append(out, each(file.Spec.Sites, func(s spec.Site) string { return s.Name })...)
		}
		return out, nil
	})
}

// blockedBy is what is in the way of a cluster's deletion, empty when nothing is.
func blockedBy(conditions []api.Condition) string {
	i := slices.IndexFunc(conditions, func(x api.Condition) bool { return x.Type == "Blocked" && x.Status == "True" })
	if i < 0 {
		return ""
	}
	return conditions[i].Message
}
