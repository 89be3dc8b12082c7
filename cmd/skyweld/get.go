package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
)

func getCommand(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "get", DisableFlagsInUseLine: true, RunE: group, Short: "Show clusters, nodes, changes, runs, events and more",
		SuggestFor: []string{"list", "show", "describe", "status", "logs"},
		Long: `Show what the engine knows. A cluster's name can be left out while there is only one, here and in 'kubeconfig', 'latency' and 'wait'.

Lists are tables for people; -o wide has more columns, and -o json and -o yaml hold everything, for programs.`,
		Example: `  skyweld get clusters
  skyweld get clusters demo -o yaml      # its file; it can be applied again
  skyweld get nodes demo -o wide
  skyweld get changes demo               # what was asked, and what became of it
  skyweld get runs demo 12               # the steps of run 12
  skyweld get events demo -w`,
	}
	c.AddCommand(getClusters(s), getNodes(s), getResources(s), getChanges(s), getRuns(s), getSnapshots(s), getEvents(s), getReceipts(s), accountList(s, "accounts", "account"))
	return c
}

var clusterListing = listing[api.Cluster]{
	columns: []column[api.Cluster]{
		{head: "NAME", cell: func(c api.Cluster) string { return c.Name }},
		{head: "STATUS", least: 11, cell: clusterStatus, status: true},
		{head: "NODES", cell: func(c api.Cluster) string { return fmt.Sprintf("%d/%d", c.Ready, c.Nodes) }},
		{head: "VERSION", cell: func(c api.Cluster) string { return c.Version }},
		{head: "AGE", cell: func(c api.Cluster) string { return age(c.Created) }},
		{head: "CHANGES", show: wideIfAny, cell: pendingText},
		{head: "GENERATION", show: onlyWide, cell: func(c api.Cluster) string { return strconv.FormatInt(c.Generation, 10) }},
		{head: "NEXT-RUN", show: onlyWide, cell: func(c api.Cluster) string { return until(c.NextRun) }},
		{head: "USD/HOUR", show: onlyWide, cell: func(c api.Cluster) string { return hourly(c.Cost) }},
		{head: "USD/MONTH", show: onlyWide, cell: func(c api.Cluster) string { return monthly(c.Cost) }},
		{head: "UID", show: onlyWide, cell: func(c api.Cluster) string { return c.UID }},
		{head: "SITES", show: onlyWide, cell: func(c api.Cluster) string { return strings.Join(c.Sites, ", ") }},
		{head: "MESSAGE", show: ifAny, cell: remark},
	},
	name:  func(c api.Cluster) string { return "cluster/" + c.Name },
	empty: "No clusters. Make one with 'skyweld apply -f cluster.yaml'.",
	text:  true, lines: 4,
}

// complaint is what of a cluster is not as it should be, empty when all is.
func complaint(c api.Cluster) string {
	if text := blockedBy(c.Conditions); text != "" {
		return firstLine(text)
	}
	for _, cond := range c.Conditions {
		if !api.ConditionWell(cond) {
			return firstLine(cond.Message)
		}
	}
	for _, cond := range c.Conditions {
		if cond.Type == "LatencyHigh" && cond.Status == "True" {
			return firstLine(cond.Message)
		}
	}
	return ""
}

func until(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	if left := time.Until(t); left > 0 {
		return "in " + span(left)
	}
	return "now"
}

func getClusters(s *settings) *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use: "clusters [CLUSTER]", Aliases: []string{"cluster"}, Short: "Show clusters; with -o yaml, the file of one", Args: args("[CLUSTER]"), ValidArgsFunction: s.completeArgs(clusterNames),
		Long: `Show clusters: NODES are those that are Ready, of all. STATUS is Pending before the first run, Reconciling while steps are done, Ready, Degraded when the last run failed or something is seen to be wrong since, or Deleting. MESSAGE says what is wrong, in a terminal as much of it as four lines hold (-o wide and -o yaml have more); the engine tries to mend it by itself. A cluster that is paused has that beside its status, as in Ready,Paused, and MESSAGE says since when, by whom and why.

Between runs the engine looks at each cluster twice a minute: whether its nodes are Ready, its API answers, its certificates are good for a while and its machines let the engine in. What two looks in a row say is believed; -o yaml has it all, as conditions.

With -o yaml and a name it prints the cluster's file with all defaults and its status. That file can be changed and applied again. It is the one in force: what was asked for beyond it stands under status.pendingChanges.`,
		Example: "  skyweld get clusters\n  skyweld get clusters demo -o yaml > demo.yaml\n  skyweld get clusters -w",
		RunE: func(c *cobra.Command, a []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			if len(a) == 0 {
				return showOrWatch(s, c, watch, client.Clusters, clusterListing)
			}
			one := func(ctx context.Context) ([]api.Cluster, error) {
				v, err := client.Cluster(ctx, a[0])
				return []api.Cluster{v}, err
			}
			if watch || s.output != formYAML && s.output != formJSON {
				return showOrWatch(s, c, watch, one, clusterListing)
			}
			list, err := one(c.Context())
			if err != nil {
				return err
			}
			if s.output == formYAML {
				_, err := fmt.Fprint(c.OutOrStdout(), list[0].File)
				return err
			}
			return s.print(c.OutOrStdout(), list[0], nil)
		},
	}
	listFlags(c, s)
	watchFlag(c, &watch)
	return c
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
		names := each(list, func(c api.Cluster) string { return c.Name })
		if len(names) == 0 {
			return "", errors.New("there are no clusters: make one with 'skyweld apply -f cluster.yaml'")
		}
		return "", usageError{fmt.Errorf("CLUSTER is missing: there are %s", strings.Join(names, ", "))}
	}
	return list[0].Name, nil
}

var nodeListing = listing[api.Node]{
	columns: []column[api.Node]{
		{head: "NAME", cell: func(n api.Node) string { return n.Name }},
		{head: "STATUS", least: 12, cell: func(n api.Node) string { return n.Status }, status: true},
		{head: "ROLE", cell: func(n api.Node) string { return n.Role }},
		{head: "SITE", cell: func(n api.Node) string { return n.Site }},
		{head: "ZONE", cell: func(n api.Node) string { return n.Zone }},
		{head: "AGE", cell: func(n api.Node) string { return age(n.Created) }},
		{head: "VERSION", cell: func(n api.Node) string { return n.Version }},
		{head: "GROUP", show: onlyWide, cell: func(n api.Node) string { return n.Group }},
		{head: "TYPE", show: onlyWide, cell: func(n api.Node) string { return n.Type }},
		{head: "INTERNAL-IP", show: onlyWide, cell: func(n api.Node) string { return n.Address }},
		{head: "EXTERNAL-IP", show: onlyWide, cell: func(n api.Node) string { return n.Public }},
		{head: "PODS", show: onlyWide, cell: func(n api.Node) string { return n.Pods }},
		{head: "WIREGUARD", show: onlyWide, cell: func(n api.Node) string { return n.Tunnel }},
		{head: "USD/HOUR", show: onlyWide, cell: func(n api.Node) string { return hourly(n.Cost) }},
		{head: "MACHINE", show: onlyWide, cell: func(n api.Node) string { return shortID(n.Machine) }},
		{head: "FAILURE", show: wideIfAny, cell: func(n api.Node) string { return oneLine(n.Failure) }},
	},
	name:  func(n api.Node) string { return "node/" + n.Name },
	empty: "No nodes yet. 'skyweld get events -w' shows what happens.",
}

// shortID is a cloud's id without what is around it: of Google's, projects/…/instances/NAME#NUMBER, and Azure's the
// name.
func shortID(id string) string {
	id, _, _ = strings.Cut(id, "#")
	return id[strings.LastIndex(id, "/")+1:]
}

// withFailure lists nodes that were asked for by name: their failure is shown without -o wide.
func withFailure(l listing[api.Node]) listing[api.Node] {
	l.columns = slices.Clone(l.columns)
	l.columns[len(l.columns)-1].show = ifAny
	l.text = true
	return l
}

func getNodes(s *settings) *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use: "nodes [CLUSTER [NODE]]", Aliases: []string{"node", "no"}, Short: "Show a cluster's nodes", Args: args("[CLUSTER]", "[NODE]"), ValidArgsFunction: s.completeArgs(clusterNames, nodeNames),
		Long: `Show a cluster's nodes, the control plane first. STATUS is Provisioning while the machine is made, Joining while it gets its programs and joins, then Ready or NotReady as Kubernetes reports it, Missing when Kubernetes lost it, or Unknown while Kubernetes can't be asked. AGE counts from when Kubernetes first had it.

-o wide adds machine types, addresses, the range of its pods, whether its WireGuard is the kernel's or one in user space, and what made a machine Failed. A node's name shows that one, and why it failed.`,
		Example: "  skyweld get nodes\n  skyweld get nodes demo -o wide\n  skyweld get nodes demo demo-web-1\n  skyweld get nodes demo -w",
		RunE: func(c *cobra.Command, a []string) error {
			l := nodeListing
			if len(a) > 1 {
				l = withFailure(l)
			}
			return getList(s, c, a[:min(1, len(a))], watch, func(client *api.Client, ctx context.Context, name string) ([]api.Node, error) {
				list, err := client.Nodes(ctx, name)
				if len(a) == 1 && notFound(err) {
					if of, no := clusterOf(ctx, client, name); no == nil {
						return nil, fmt.Errorf("%w; %s is a node: 'skyweld get nodes %s %s'", err, name, of, name)
					}
				}
				if err != nil || len(a) < 2 {
					return list, err
				}
				for _, n := range list {
					if n.Name == a[1] {
						return []api.Node{n}, nil
					}
				}
				return nil, fmt.Errorf("cluster %s has no node named %q: 'skyweld get nodes %s' shows those it has", name, a[1], name)
			}, l)
		},
	}
	listFlags(c, s)
	watchFlag(c, &watch)
	return c
}

// getList is what all commands that show one list of a cluster have in common.
func getList[T any](s *settings, c *cobra.Command, a []string, watch bool, fetch func(*api.Client, context.Context, string) ([]T, error), l listing[T]) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	name, err := onlyCluster(c.Context(), client, a)
	if err != nil {
		return err
	}
	return showOrWatch(s, c, watch, func(ctx context.Context) ([]T, error) { return fetch(client, ctx, name) }, l)
}

var resourceListing = listing[api.Resource]{
	columns: []column[api.Resource]{
		{head: "NAME", cell: func(r api.Resource) string { return r.Key }},
		{head: "KIND", cell: func(r api.Resource) string { return r.Kind }},
		{head: "SITE", cell: func(r api.Resource) string { return r.Site }},
		{head: "AGE", cell: func(r api.Resource) string { return age(r.Made) }},
		{head: "REGION", show: onlyWide, cell: func(r api.Resource) string { return r.Region }},
		{head: "ID", show: onlyWide, cell: func(r api.Resource) string { return shortID(r.ID) }},
	},
	name:  func(r api.Resource) string { return r.Kind + "/" + r.Key },
	empty: "Nothing in the accounts yet. 'skyweld get events -w' shows what happens.",
}

func getResources(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "resources [CLUSTER]", Aliases: []string{"resource"}, Short: "Show what a cluster has in its accounts", Args: args("[CLUSTER]"), ValidArgsFunction: s.completeArgs(clusterNames),
		Long: `Show what Skyweld has made for a cluster in its accounts, as its ledger has it; each goes when the cluster is deleted. -o wide adds regions and the clouds' own ids.

'skyweld inventory' asks the clouds themselves, and shows what isn't Skyweld's, too.`,
		Example: "  skyweld get resources demo\n  skyweld get resources demo -o wide | grep instance",
		RunE: func(c *cobra.Command, a []string) error {
			return getList(s, c, a, false, (*api.Client).Resources, resourceListing)
		},
	}
	listFlags(c, s)
	return c
}

var runListing = listing[api.Run]{
	columns: []column[api.Run]{
		{head: "RUN", cell: runNumber},
		{head: "STATUS", least: 9, cell: func(r api.Run) string { return r.Outcome }, status: true},
		{head: "STEPS", cell: func(r api.Run) string { return fmt.Sprintf("%d/%d", r.Done, r.Total) }},
		{head: "TOOK", cell: func(r api.Run) string { return took(r.Started, r.Ended) }},
		{head: "AGE", cell: func(r api.Run) string { return age(r.Started) }},
		{head: "CALLS", show: onlyWide, cell: func(r api.Run) string { return strconv.FormatInt(r.Calls, 10) }},
		{head: "STARTED", show: onlyWide, cell: func(r api.Run) string { return r.Started.UTC().Format(time.RFC3339) }},
		{head: "REASON", cell: func(r api.Run) string { return r.Reason }},
		{head: "ERROR", show: ifAny, cell: func(r api.Run) string { return firstLine(r.Error) }},
	},
	name:  func(r api.Run) string { return "run/" + runNumber(r) },
	empty: "No runs yet. 'skyweld get events -w' shows what happens.",
	text:  true, newestFirst: true,
}

func runNumber(r api.Run) string { return strconv.FormatInt(r.ID, 10) }

func getRuns(s *settings) *cobra.Command {
	var watch bool
	var limit int
	c := &cobra.Command{
		Use: "runs [CLUSTER [RUN]]", Aliases: []string{"run"}, Short: "Show a cluster's runs, or the steps of one", Args: args("[CLUSTER]", "[RUN]"), ValidArgsFunction: s.completeArgs(clusterNames, runNumbers),
		Long: `Show a cluster's runs, the newest first. A run is one pass of the engine over a cluster: because something was asked for, because the hour came, or as another try. STEPS are those done, of all; with -o wide CALLS are those to the clouds.

With a run's number it shows the run's steps, with the time each began after the run, below them the critical path, the steps that the run took as long as it did for, the calls that it made to the clouds, and what went wrong, whole: a list has only the first line of it. Runs share their numbers with changes and events, so a list has gaps.`,
		Example: "  skyweld get runs demo\n  skyweld get runs demo 12\n  skyweld get runs demo -w",
		RunE: func(c *cobra.Command, a []string) error {
			if limit < 1 || limit > 200 {
				return usageError{fmt.Errorf("--limit: found %d: want 1 to 200", limit)}
			}
			if len(a) == 2 {
				return getRun(s, c, watch, a[0], a[1])
			}
			return getList(s, c, a, watch, func(client *api.Client, ctx context.Context, name string) ([]api.Run, error) {
				return client.Runs(ctx, name, limit)
			}, runListing)
		},
	}
	c.Flags().IntVar(&limit, "limit", 20, "how many at most, 1 to 200")
	listFlags(c, s)
	watchFlag(c, &watch)
	return c
}

func stepListing(started time.Time) listing[api.RunStep] {
	return listing[api.RunStep]{
		columns: []column[api.RunStep]{
			{head: "STATUS", cell: func(st api.RunStep) string { return st.State }, status: true},
			{head: "STARTED", cell: func(st api.RunStep) string {
				if st.Started.IsZero() {
					return ""
				}
				return fmt.Sprintf("+%.1fs", st.Started.Sub(started).Seconds())
			}},
			{head: "TOOK", cell: func(st api.RunStep) string { return took(st.Started, st.Ended) }},
			{head: "PHASE", show: ifAny, cell: func(st api.RunStep) string { return st.Phase }},
			{head: "ACTION", cell: func(st api.RunStep) string { return st.Action }},
			{head: "SITE", show: onlyWide, cell: func(st api.RunStep) string { return st.Site }},
			{head: "KIND", cell: func(st api.RunStep) string { return st.Kind }},
			{head: "NAME", cell: func(st api.RunStep) string { return st.Key }},
			{head: "REASON", cell: func(st api.RunStep) string {
				if st.Error != "" {
					return firstLine(st.Error)
				}
				return st.Reason
			}},
		},
		name:  func(st api.RunStep) string { return "step/" + st.ID },
		empty: "The run had nothing to do.",
		text:  true,
	}
}

func getRun(s *settings, c *cobra.Command, watch bool, cluster, id string) error {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n < 1 {
		return usageError{fmt.Errorf("RUN: found %q: want a run's number, as 'skyweld get runs %s' shows it", id, cluster)}
	}
	if watch {
		return usageError{fmt.Errorf("-w is for lists of runs: leave it out, or the number; 'skyweld wait %s' shows steps as they are done", cluster)}
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	if _, err := client.Cluster(c.Context(), cluster); err != nil {
		return err
	}
	r, err := client.Run(c.Context(), n)
	if notFound(err) || err == nil && r.Cluster != cluster {
		return fmt.Errorf("cluster %s has no run %d: 'skyweld get runs %s' shows those it has", cluster, n, cluster)
	}
	if err != nil {
		return err
	}
	if s.output == formJSON || s.output == formYAML {
		return s.print(c.OutOrStdout(), r, nil)
	}
	if err := show(s, c.OutOrStdout(), r.Steps, stepListing(r.Started)); err != nil || s.output == formName {
		return err
	}
	criticalPath(c.OutOrStdout(), r)
	callsMade(c.OutOrStdout(), r)
	for _, text := range wentWrong(r) {
		fmt.Fprintf(c.OutOrStdout(), "\n%s\n", text)
	}
	return nil
}

// criticalPath shows the steps that a run took as long as it did for, where there is more than one.
func criticalPath(w io.Writer, r api.Run) {
	if len(r.CriticalPath) < 2 {
		return
	}
	fmt.Fprintln(w, "\nCritical path:")
	for _, id := range r.CriticalPath {
		n := slices.IndexFunc(r.Steps, func(st api.RunStep) bool { return st.ID == id })
		if n < 0 {
			continue
		}
		st := r.Steps[n]
		fmt.Fprintf(w, "%8s  %s %s %s (%s)\n", fmt.Sprintf("+%.1fs", st.Started.Sub(r.Started).Seconds()), st.Action, st.Kind, st.Key, took(st.Started, st.Ended))
	}
}

// callsMade shows what a run asked the clouds.
func callsMade(w io.Writer, r api.Run) {
	if r.Calls == 0 {
		return
	}
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(r.CallsBy)) {
		parts = append(parts, fmt.Sprintf("%d of %s", r.CallsBy[what], what))
	}
	fmt.Fprintf(w, "\nCalls to the clouds: %d (%s)\n", r.Calls, strings.Join(parts, ", "))
}

// wentWrong is all that a run says of what went wrong, whole: what a table has no room for.
func wentWrong(r api.Run) []string {
	var out []string
	for _, st := range r.Steps {
		if st.State == "failed" {
			out = append(out, strings.TrimSpace(st.Error))
		}
	}
	// The run's own error is that of its first failed step, unless it ended without one.
	if text := strings.TrimSpace(r.Error); text != "" && !slices.ContainsFunc(out, func(st string) bool { return strings.Contains(text, st) }) {
		out = append(out, text)
	}
	return out
}

func versionCommand(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "version", Short: "Show the versions of this program and of the engine", Args: args(),
		Long:    "Show the versions of this program and of the engine that runs, if one answers. It succeeds without an engine, too; 'skyweld --version' doesn't ask one.",
		Example: "  skyweld version\n  skyweld version -o json",
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
