package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/store"
)

func nodeCommand(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "node", Aliases: []string{"nodes"}, DisableFlagsInUseLine: true, RunE: group, Short: "Add and remove workers",
		SuggestFor: []string{"scale"},
		Long: `Add workers to a cluster and remove them. Both change the count of their group in the cluster's spec, as editing the file and applying it would; 'skyweld get clusters NAME -o yaml' prints the file as it is then.

'skyweld get nodes' lists nodes. The control plane's nodes are fixed at the creation of a cluster.`,
		Example: "  skyweld node add demo --group web --count 2 --wait\n  skyweld node remove demo-web-1 --wait\n  skyweld get nodes demo",
	}
	c.AddCommand(nodeAdd(s), nodeRemove(s))
	return c
}

func nodeAdd(s *settings) *cobra.Command {
	var workers string
	var count int
	f := &changing{}
	c := &cobra.Command{
		Use: "add CLUSTER --group GROUP", Short: "Add workers to a group", Args: args("CLUSTER"), ValidArgsFunction: s.completeArgs(clusterNames),
		Long: `Make machines like those of a group of workers, and join them to the cluster. A new kind of workers, or a group at another site, is a new entry under spec.workers: edit the file and apply it.

Without --wait it returns as soon as the engine has taken it on. With --wait it shows every step and returns when the nodes are Ready.`,
		Example: "  skyweld node add demo --group web --wait\n  skyweld node add demo --group web --count 3 --dry-run",
		RunE: func(c *cobra.Command, a []string) error {
			if workers == "" {
				return usageError{errors.New("--group is missing: name the group of workers, as spec.workers[].name has it")}
			}
			if count < 1 || count > 100 {
				return usageError{fmt.Errorf("--count: found %d: want 1 to 100", count)}
			}
			if err := f.check(c); err != nil {
				return err
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			return f.do(c, s, client,
				func(ctx context.Context) (api.Plan, error) {
					return client.PlanChange(ctx, a[0], api.ChangeAsked{Kind: string(store.NodeAdd), Group: workers, Count: count})
				},
				func(ctx context.Context) (api.Change, error) {
					ch, err := client.AddNodes(ctx, a[0], workers, count)
					if err == nil && s.output == formTable {
						fmt.Fprintf(c.OutOrStdout(), "new: %s\n", ch.Message)
					}
					return ch, err
				}, "has its new nodes")
		},
	}
	c.Flags().StringVar(&workers, "group", "", "`GROUP` of workers, as spec.workers[].name has it; required")
	c.Flags().IntVar(&count, "count", 1, "how many, 1 to 100")
	complete(c, "group", s.completeGroup)
	f.flags(c, s)
	return c
}

func nodeRemove(s *settings) *cobra.Command {
	f := &changing{}
	c := &cobra.Command{
		Use: "remove NODE", Short: "Drain a worker and remove it with its machine", Args: args("NODE"), ValidArgsFunction: s.completeArgs(nodeNames),
		SuggestFor: []string{"delete", "drain", "rm"},
		Long: `Move what runs on a worker elsewhere, take it out of Kubernetes, and remove its machine with disk and address. The count of its group goes down by one, and its number goes to the next worker added only if it was the last one.

It doesn't ask. Without --wait it returns as soon as the engine has taken it on. With --wait it shows every step and returns when the machine is gone.`,
		Example: "  skyweld node remove demo-web-1 --dry-run\n  skyweld node remove demo-web-1 --wait",
		RunE: func(c *cobra.Command, a []string) error {
			if err := f.check(c); err != nil {
				return err
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			cluster, err := clusterOf(c.Context(), client, a[0])
			if err != nil {
				return err
			}
			return f.do(c, s, client,
				func(ctx context.Context) (api.Plan, error) {
					return client.PlanChange(ctx, cluster, api.ChangeAsked{Kind: string(store.NodeRemove), Node: a[0]})
				},
				func(ctx context.Context) (api.Change, error) { return client.RemoveNode(ctx, cluster, a[0]) }, "no longer has "+a[0])
		},
	}
	f.flags(c, s)
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
	if slices.ContainsFunc(clusters, func(cl api.Cluster) bool { return cl.Name == node }) {
		return "", fmt.Errorf("%s is a cluster: name the node alone, as 'skyweld get nodes %s' shows it", node, node)
	}
	if len(known) == 0 {
		return "", fmt.Errorf("there is no node named %q; there are none", node)
	}
	return "", fmt.Errorf("there is no node named %q; there are %s", node, strings.Join(known, ", "))
}
