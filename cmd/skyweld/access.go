package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/cloud"
)

func kubeconfigCommand(s *settings) *cobra.Command {
	var hours int
	c := &cobra.Command{
		Use: "kubeconfig [CLUSTER]", Short: "Print an administrator's kubeconfig for a cluster", Args: args("[CLUSTER]"), ValidArgsFunction: s.completeArgs(clusterNames),
		SuggestFor: []string{"config", "kubectl"},
		Long: `Print an administrator's kubeconfig, with one context for each control-plane node's address. It is a secret, is written nowhere else, and can't be called back before it runs out.

The API lets in the engine's own address and those of spec.access.api. Machines behind a proxy are reached through it: the kubeconfig says so.`,
		Example: "  (umask 077; skyweld kubeconfig demo > demo.kubeconfig)\n  kubectl --kubeconfig demo.kubeconfig get nodes\n  skyweld kubeconfig demo --hours 1 > short.kubeconfig",
		RunE: func(c *cobra.Command, a []string) error {
			if hours < 1 || hours > 8760 {
				return usageError{fmt.Errorf("--hours: found %d: want 1 to 8760", hours)}
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			name, err := onlyCluster(c.Context(), client, a)
			if err != nil {
				return err
			}
			data, err := client.Kubeconfig(c.Context(), name, hours)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(data)
			return err
		},
	}
	c.Flags().IntVar(&hours, "hours", 24, "how many hours it is good for, 1 to 8760")
	return c
}

var itemListing = listing[cloud.Item]{
	columns: []column[cloud.Item]{
		{head: "KIND", cell: func(i cloud.Item) string { return string(i.Kind) }},
		{head: "REGION", cell: func(i cloud.Item) string { return i.Region }},
		{head: "ID", show: ifNarrow, cell: func(i cloud.Item) string { return shortID(i.ID) }},
		{head: "ID", show: onlyWide, cell: func(i cloud.Item) string { return i.ID }},
		{head: "NAME", cell: func(i cloud.Item) string { return i.Name }},
		{head: "CLUSTER", show: onlyWide, cell: func(i cloud.Item) string { return i.Cluster }},
		{head: "DETAIL", show: onlyWide, cell: func(i cloud.Item) string { return i.Detail }},
	},
	name:  func(i cloud.Item) string { return string(i.Kind) + "/" + i.ID },
	empty: "Nothing of the types that Skyweld makes.",
}

func inventoryCommand(s *settings) *cobra.Command {
	var regions []string
	c := &cobra.Command{
		Use: "inventory ACCOUNT", Short: "List what an account holds of the types Skyweld makes", Args: args("ACCOUNT"), ValidArgsFunction: s.completeArgs(accountNames),
		Long: `Ask the cloud for everything that an account holds of the types that Skyweld ever makes, Skyweld's or not, in all its regions. Taken before a cluster is made and after it is deleted, two inventories show that nothing was left behind. With -o wide ids are whole, and CLUSTER is the uid in the mark of things that Skyweld made.`,
		Example: `  skyweld inventory my-aws -o json > before.json
  skyweld inventory my-aws -o json | diff before.json -
  skyweld inventory my-aws --region us-east-1,us-west-2 -o wide`,
		RunE: func(c *cobra.Command, a []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			list, err := client.Inventory(c.Context(), a[0], regions)
			if err != nil {
				return err
			}
			return show(s, c.OutOrStdout(), list, itemListing)
		},
	}
	c.Flags().StringSliceVar(&regions, "region", nil, "only these `REGIONS`, by commas (default: all of the account's)")
	complete(c, "region", cobra.NoFileCompletions)
	listFlags(c, s)
	return c
}
