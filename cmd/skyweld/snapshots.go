package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
)

var snapshotListing = listing[api.Snapshot]{
	columns: []column[api.Snapshot]{
		{head: "SNAPSHOT", cell: func(v api.Snapshot) string { return strconv.FormatInt(v.ID, 10) }},
		{head: "TAKEN", cell: func(v api.Snapshot) string { return stamp(v.Taken) }},
		{head: "AGE", cell: func(v api.Snapshot) string { return age(v.Taken) }},
		{head: "REVISION", cell: func(v api.Snapshot) string { return strconv.FormatInt(v.Revision, 10) }},
		{head: "SIZE", cell: func(v api.Snapshot) string { return bytesText(v.Size) }},
		{head: "STORED", show: onlyWide, cell: func(v api.Snapshot) string { return bytesText(v.Packed) }},
		{head: "FROM", show: onlyWide, cell: func(v api.Snapshot) string { return v.Member }},
	},
	name:  func(v api.Snapshot) string { return "snapshot/" + strconv.FormatInt(v.ID, 10) },
	empty: "No snapshots yet. One is taken after a run that went well, at most once an hour.",
}

func getSnapshots(s *settings) *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use: "snapshots [CLUSTER]", Aliases: []string{"snapshot"}, Short: "Show the snapshots of a cluster's etcd", Args: args("[CLUSTER]"), ValidArgsFunction: s.completeArgs(clusterNames),
		Long: `Show the snapshots that are kept of all that Kubernetes holds, the newest first. Runs take them, at most one an hour, from a healthy member of etcd, and store them compressed and encrypted in the engine's database; the last six stay. REVISION is etcd's when it was taken.

They are for a control plane of which every machine is lost: 'skyweld reconcile CLUSTER --approve' makes it again of the newest.`,
		Example: "  skyweld get snapshots demo\n  skyweld get snapshots demo -o wide",
		RunE: func(c *cobra.Command, a []string) error {
			return getList(s, c, a, watch, (*api.Client).Snapshots, snapshotListing)
		},
	}
	listFlags(c, s)
	watchFlag(c, &watch)
	return c
}
