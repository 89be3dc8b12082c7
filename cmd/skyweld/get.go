package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
)

func getCommand(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "get", DisableFlagsInUseLine: true, RunE: group, Short: "Show clusters, nodes, resources, runs or events",
		Example: "  skyweld get clusters\n  skyweld get clusters demo -o yaml      # can be applied again\n  skyweld get nodes demo\n  skyweld get runs demo 12",
	}
	c.AddCommand(getClusters(s), getNodes(s), getResources(s), getRuns(s), getEvents(s))
	return c
}

func getClusters(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "clusters [CLUSTER]", Aliases: []string{"cluster"}, Short: "Show clusters; with -o yaml, the file of one", Args: args("[CLUSTER]"),
		RunE: func(c *cobra.Command, a []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			if len(a) == 1 {
				one, err := client.Cluster(c.Context(), a[0])
				if err != nil {
					return err
				}
				if s.output == formYAML {
					_, err := fmt.Fprint(c.OutOrStdout(), one.File)
					return err
				}
				return s.print(c.OutOrStdout(), one, func(w io.Writer) { clusterTable(w, []api.Cluster{one}) })
			}
			list, err := client.Clusters(c.Context())
			if err != nil {
				return err
			}
			return s.print(c.OutOrStdout(), items(list), func(w io.Writer) { clusterTable(w, list) })
		},
	}
	outputFlag(c, s)
	return c
}

func clusterTable(w io.Writer, list []api.Cluster) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No clusters. Make one with 'skyweld apply -f cluster.yaml'.")
		return
	}
	row(w, "NAME", "STATUS", "NODES", "VERSION", "SITES", "AGE", "MESSAGE")
	for _, c := range list {
		message := ""
		for _, cond := range c.Conditions {
			if !cond.Status {
				message = truncate(strings.ReplaceAll(cond.Message, "\n", " "), 80)
			}
		}
		row(w, c.Name, c.Phase, fmt.Sprintf("%d/%d", c.Ready, c.Nodes), c.Version, strings.Join(c.Sites, ", "), age(c.Created), message)
	}
}

// onlyCluster is the cluster a command is about: the one named, or the only one there is.
func onlyCluster(ctx context.Context, client *api.Client, a []string) (string, error) {
	if len(a) > 0 {
		return a[0], nil
	}
	list, err := client.Clusters(ctx)
	if err != nil {
		return "", err
	}
	if len(list) != 1 {
		var names []string
		for _, c := range list {
			names = append(names, c.Name)
		}
		if len(names) == 0 {
			return "", errors.New("there are no clusters: make one with 'skyweld apply -f cluster.yaml'")
		}
		return "", usageError{fmt.Errorf("CLUSTER is missing: there are %s", strings.Join(names, ", "))}
	}
	return list[0].Name, nil
}

func getNodes(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "nodes [CLUSTER]", Aliases: []string{"node"}, Short: "Show a cluster's nodes", Args: args("[CLUSTER]"),
		RunE: func(c *cobra.Command, a []string) error {
			return getList(s, c, a, (*api.Client).Nodes, func(w io.Writer, list []api.Node) {
				row(w, "NAME", "STATUS", "ROLE", "SITE", "ZONE", "TYPE", "ADDRESS", "PUBLIC", "PODS", "VERSION")
				for _, n := range list {
					row(w, n.Name, n.Status, n.Role, n.Site, n.Zone, n.Type, n.Address, n.Public, n.Pods, n.Version)
				}
			})
		},
	}
	outputFlag(c, s)
	return c
}

// getList is what all commands that show one list of a cluster have in common.
func getList[T any](s *settings, c *cobra.Command, a []string, fetch func(*api.Client, context.Context, string) ([]T, error), table func(io.Writer, []T)) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	name, err := onlyCluster(c.Context(), client, a)
	if err != nil {
		return err
	}
	list, err := fetch(client, c.Context(), name)
	if err != nil {
		return err
	}
	return s.print(c.OutOrStdout(), items(list), func(w io.Writer) { table(w, list) })
}

func getResources(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "resources [CLUSTER]", Aliases: []string{"resource"}, Short: "Show what a cluster has in its accounts", Args: args("[CLUSTER]"),
		RunE: func(c *cobra.Command, a []string) error {
			return getList(s, c, a, (*api.Client).Resources, func(w io.Writer, list []api.Resource) {
				row(w, "NAME", "KIND", "SITE", "REGION", "ID", "AGE")
				for _, r := range list {
					row(w, r.Key, r.Kind, r.Site, r.Region, r.ID, age(r.Made))
				}
			})
		},
	}
	outputFlag(c, s)
	return c
}

func getRuns(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "runs [CLUSTER [RUN]]", Aliases: []string{"run"}, Short: "Show a cluster's runs, or the steps of one", Args: args("[CLUSTER]", "[RUN]"),
		RunE: func(c *cobra.Command, a []string) error {
			if len(a) == 2 {
				return getRun(s, c, a[0], a[1])
			}
			return getList(s, c, a, (*api.Client).Runs, func(w io.Writer, list []api.Run) {
				row(w, "RUN", "OUTCOME", "STEPS", "CALLS", "STARTED", "TOOK", "REASON", "ERROR")
				for _, r := range list {
					row(w, r.ID, r.Outcome, fmt.Sprintf("%d/%d", r.Done, r.Total), r.Calls, age(r.Started)+" ago", took(r.Started, r.Ended), r.Reason, truncate(strings.ReplaceAll(r.Error, "\n", " "), 60))
				}
			})
		},
	}
	outputFlag(c, s)
	return c
}

func getRun(s *settings, c *cobra.Command, cluster, id string) error {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n < 1 {
		return usageError{fmt.Errorf("RUN: found %q: want a run's number, as 'skyweld get runs %s' shows it", id, cluster)}
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	if _, err := client.Cluster(c.Context(), cluster); err != nil {
		return err
	}
	r, err := client.Run(c.Context(), n)
	if p, ok := errors.AsType[*api.Problem](err); ok && p.Status == http.StatusNotFound || err == nil && r.Cluster != cluster {
		return fmt.Errorf("cluster %s has no run %d: 'skyweld get runs %s' shows those it has", cluster, n, cluster)
	}
	if err != nil {
		return err
	}
	return s.print(c.OutOrStdout(), r, func(w io.Writer) {
		row(w, "STATE", "STARTED", "TOOK", "ACTION", "SITE", "KIND", "NAME", "REASON")
		for _, st := range r.Steps {
			started := "-"
			if !st.Started.IsZero() {
				started = fmt.Sprintf("+%.1fs", st.Started.Sub(r.Started).Seconds())
			}
			reason := st.Reason
			if st.Error != "" {
				reason = st.Error
			}
			row(w, st.State, started, took(st.Started, st.Ended), st.Action, st.Site, st.Kind, st.Key, reason)
		}
	})
}

func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%.1fs", to.Sub(from).Seconds())
}

func getEvents(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "events [CLUSTER]", Aliases: []string{"event"}, Short: "Show what happened to a cluster, the last at the end", Args: args("[CLUSTER]"),
		RunE: func(c *cobra.Command, a []string) error {
			return getList(s, c, a, (*api.Client).Events, func(w io.Writer, list []api.Event) {
				row(w, "AGE", "TYPE", "REASON", "OBJECT", "MESSAGE")
				for _, e := range list {
					row(w, age(e.Time), e.Type, e.Reason, e.Object, truncate(strings.ReplaceAll(e.Message, "\n", " "), 160))
				}
			})
		},
	}
	outputFlag(c, s)
	return c
}

func versionCommand(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "version", Short: "Show the versions of this program and of the engine", Args: args(),
		RunE: func(c *cobra.Command, _ []string) error {
			v := map[string]string{"client": version}
			if client, err := s.client(); err == nil {
				if e, err := client.Version(c.Context()); err == nil {
					v["engine"] = e.Version
				}
			}
			return s.print(c.OutOrStdout(), v, func(w io.Writer) {
				fmt.Fprintf(w, "client: %s\n", v["client"])
				if e, ok := v["engine"]; ok {
					fmt.Fprintf(w, "engine: %s\n", e)
				} else {
					fmt.Fprintln(w, "engine: none answers")
				}
			})
		},
	}
	outputFlag(c, s)
	return c
}
