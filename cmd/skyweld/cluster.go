package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/plan"
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
	if err != nil {
		return nil, fmt.Errorf("-f: %w", err)
	}
	return data, nil
}

func planCommand(s *settings) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "plan -f FILE", Short: "Show what applying a cluster file would do, without doing it", Args: args(),
		Example: "  skyweld plan -f cluster.yaml\n  skyweld plan -f cluster.yaml -o json | jq '.steps[].id'",
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
			if err := s.print(c.OutOrStdout(), p, func(w io.Writer) { planTable(w, p) }); err != nil || s.output != formTable {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), planSummary(p))
			return nil
		},
	}
	c.Flags().StringVarP(&file, "filename", "f", "", "cluster file (YAML or JSON), - for standard input")
	outputFlag(c, s)
	return c
}

func planTable(w io.Writer, p api.Plan) {
	if len(p.Steps) > 0 {
		row(w, "ACTION", "SITE", "KIND", "NAME", "REASON")
	}
	for _, st := range p.Steps {
		row(w, st.Action, st.Site, st.Kind, st.Key, st.Reason)
	}
	for _, n := range p.Notes {
		fmt.Fprintln(w, "Note: "+n)
	}
}

func planSummary(p api.Plan) string {
	if len(p.Steps) == 0 {
		return fmt.Sprintf("cluster %s is as the file wants it: nothing to do", p.Cluster)
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
	if nodes > 0 {
		parts = append(parts, fmt.Sprintf("%d steps on nodes", nodes))
	}
	return fmt.Sprintf("\n%d steps: %s", len(p.Steps), strings.Join(parts, ", "))
}

func applyCommand(s *settings) *cobra.Command {
	var file string
	var wait bool
	c := &cobra.Command{
		Use: "apply -f FILE", Short: "Make or change a cluster as a file says", Args: args(),
		Example: "  skyweld apply -f cluster.yaml --wait",
		RunE: func(c *cobra.Command, _ []string) error {
			data, err := readFile(file)
			if err != nil {
				return err
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			ch, err := client.Apply(c.Context(), data)
			if err != nil {
				return err
			}
			return s.follow(c, client, ch, wait, "applied")
		},
	}
	c.Flags().StringVarP(&file, "filename", "f", "", "cluster file (YAML or JSON), - for standard input")
	waitFlag(c, &wait)
	return c
}

func waitFlag(c *cobra.Command, wait *bool) {
	c.Flags().BoolVar(wait, "wait", false, "return when it is done, and show every step")
}

// follow says that a change is queued, or waits for it.
func (s *settings) follow(c *cobra.Command, client *api.Client, ch api.Change, wait bool, done string) error {
	if !wait {
		fmt.Fprintf(c.OutOrStdout(), "cluster %s: change %d (%s) queued\n", ch.Cluster, ch.ID, ch.Kind)
		return nil
	}
	if err := waitFor(c.Context(), client, ch); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "cluster %s %s\n", ch.Cluster, done)
	return nil
}

func reconcileCommand(s *settings) *cobra.Command {
	return s.changeCommand("reconcile CLUSTER", "Check and repair a cluster now", "is as it was asked for", (*api.Client).Reconcile)
}

func deleteCommand(s *settings) *cobra.Command {
	return s.changeCommand("delete CLUSTER", "Delete a cluster and everything it has in the accounts", "deleted", (*api.Client).Delete)
}

// changeCommand asks for a change of one cluster that needs nothing but its name.
func (s *settings) changeCommand(use, short, done string, ask func(*api.Client, context.Context, string) (api.Change, error)) *cobra.Command {
	var wait bool
	c := &cobra.Command{
		Use: use, Short: short, Args: args("CLUSTER"),
		RunE: func(c *cobra.Command, a []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			ch, err := ask(client, c.Context(), a[0])
			if err != nil {
				return err
			}
			return s.follow(c, client, ch, wait, done)
		},
	}
	waitFlag(c, &wait)
	return c
}

func nodeCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "node", DisableFlagsInUseLine: true, RunE: group, Short: "Add and remove workers"}
	var workers string
	var count int
	var wait bool
	add := &cobra.Command{
		Use: "add CLUSTER", Short: "Add workers to a group", Args: args("CLUSTER"),
		Example: "  skyweld node add demo --group web --count 2 --wait",
		RunE: func(c *cobra.Command, a []string) error {
			if workers == "" {
				return usageError{errors.New("--group is missing: name the group of workers, as spec.workers[].name has it")}
			}
			if count < 1 || count > 100 {
				return usageError{fmt.Errorf("--count: found %d: want 1 to 100", count)}
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			ch, err := client.AddNodes(c.Context(), a[0], workers, count)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "new: %s\n", ch.Message)
			return s.follow(c, client, ch, wait, "has them")
		},
	}
	add.Flags().StringVar(&workers, "group", "", "group of workers, as spec.workers[].name has it")
	add.Flags().IntVar(&count, "count", 1, "how many, 1 to 100")
	waitFlag(add, &wait)
	remove := &cobra.Command{
		Use: "remove NODE", Short: "Drain a worker and remove it with its machine", Args: args("NODE"),
		RunE: func(c *cobra.Command, a []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			cluster, err := clusterOf(c.Context(), client, a[0])
			if err != nil {
				return err
			}
			ch, err := client.RemoveNode(c.Context(), cluster, a[0])
			if err != nil {
				return err
			}
			return s.follow(c, client, ch, wait, "no longer has "+a[0])
		},
	}
	waitFlag(remove, &wait)
	c.AddCommand(add, remove)
	return c
}

// clusterOf finds the cluster that has a node.
func clusterOf(ctx context.Context, client *api.Client, node string) (string, error) {
	clusters, err := client.Clusters(ctx)
	if err != nil {
		return "", err
	}
	var known []string
	for _, cl := range clusters {
		nodes, err := client.Nodes(ctx, cl.Name)
		if err != nil {
			return "", err
		}
		for _, n := range nodes {
			if n.Name == node {
				return cl.Name, nil
			}
			known = append(known, n.Name)
		}
	}
	if len(known) == 0 {
		return "", fmt.Errorf("there is no node named %q; there are none", node)
	}
	return "", fmt.Errorf("there is no node named %q; there are %s", node, strings.Join(known, ", "))
}

func kubeconfigCommand(s *settings) *cobra.Command {
	var hours int
	c := &cobra.Command{
		Use: "kubeconfig CLUSTER", Short: "Print an administrator's kubeconfig for a cluster", Args: args("CLUSTER"),
		Long:    "Print an administrator's kubeconfig with one context for each control-plane node's address. It is a secret.",
		Example: "  umask 077; skyweld kubeconfig demo > demo.kubeconfig\n  kubectl --kubeconfig demo.kubeconfig get nodes",
		RunE: func(c *cobra.Command, a []string) error {
			if hours < 1 || hours > 8760 {
				return usageError{fmt.Errorf("--hours: found %d: want 1 to 8760", hours)}
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			data, err := client.Kubeconfig(c.Context(), a[0], hours)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(data)
			return err
		},
	}
	c.Flags().IntVar(&hours, "hours", 24, "how long it is good for, 1 to 8760")
	return c
}

func inventoryCommand(s *settings) *cobra.Command {
	var regions []string
	c := &cobra.Command{
		Use: "inventory ACCOUNT", Short: "List everything an account holds of the types Skyweld ever makes", Args: args("ACCOUNT"),
		RunE: func(c *cobra.Command, a []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			list, err := client.Inventory(c.Context(), a[0], regions)
			if err != nil {
				return err
			}
			return s.print(c.OutOrStdout(), items(list), func(w io.Writer) {
				row(w, "KIND", "REGION", "ID", "NAME", "CLUSTER", "DETAIL")
				for _, i := range list {
					row(w, i.Kind, i.Region, i.ID, i.Name, i.Cluster, i.Detail)
				}
			})
		},
	}
	c.Flags().StringSliceVar(&regions, "region", nil, "only these regions (default: all of the account's)")
	outputFlag(c, s)
	return c
}

func latencyCommand(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "latency CLUSTER", Short: "Measure the round trips between all nodes of a cluster", Args: args("CLUSTER"),
		RunE: func(c *cobra.Command, a []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			list, err := client.Latency(c.Context(), a[0])
			if err != nil {
				return err
			}
			return s.print(c.OutOrStdout(), items(list), func(w io.Writer) { latencyTable(w, list) })
		},
	}
	outputFlag(c, s)
	return c
}

// latencyTable is a matrix: rows measure, columns answer.
func latencyTable(w io.Writer, list []api.Latency) {
	cell := map[[2]string]string{}
	seen := map[string]bool{}
	for _, l := range list {
		text := fmt.Sprintf("%.1f", l.P50)
		if l.Received == 0 {
			text = "lost"
		}
		cell[[2]string{l.From, l.To}] = text
		seen[l.From], seen[l.To] = true, true
	}
	var names []string
	for n := range seen {
		names = append(names, n)
	}
	sort.Strings(names)
	head := []any{"p50, ms"}
	for _, n := range names {
		head = append(head, n)
	}
	row(w, head...)
	for _, from := range names {
		line := []any{from}
		for _, to := range names {
			line = append(line, cell[[2]string{from, to}])
		}
		row(w, line...)
	}
}
