package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/store"
)

func TestPausedClusters(t *testing.T) {
	since := time.Now().Add(-3 * time.Hour)
	pause := &api.Pause{Since: since, By: "alice", Reason: "a move"}
	ok := api.Condition{Type: "Ready", Status: "True", Message: "everything is as it was asked for"}
	nodes := api.Condition{Type: "NodesReady", Status: "False", Message: "5 of 7 nodes are Ready: a; b\nmore"}
	unknown := api.Condition{Type: "NodesReady", Status: "Unknown", Message: "Kubernetes can't be asked"}
	paused := api.Condition{Type: "Paused", Status: "True", Message: "paused"}
	queued := []api.Change{{ID: 3, State: string(store.Applying)}, {ID: 4, State: string(store.Queued)}, {ID: 5, State: string(store.Queued)}}
	for _, tt := range []struct {
		c                       api.Cluster
		status, remark, changes string
	}{
		{api.Cluster{Phase: "Ready", Conditions: []api.Condition{ok}}, "Ready", "", ""},
		{api.Cluster{Phase: "Degraded", Conditions: []api.Condition{ok, nodes}, PendingChanges: queued}, "Degraded", "5 of 7 nodes are Ready: a; b …", "1 applying, 2 queued"},
		{api.Cluster{Phase: "Degraded", Conditions: []api.Condition{unknown}, PendingChanges: queued[1:]}, "Degraded", "Kubernetes can't be asked", "2 queued"},
		{api.Cluster{Phase: "Ready", Conditions: []api.Condition{ok, paused}, Paused: pause}, "Ready,Paused", "paused 3h ago by alice: a move", ""},
		{api.Cluster{Phase: "Degraded", Conditions: []api.Condition{nodes, paused}, Paused: pause}, "Degraded,Paused", "paused 3h ago by alice: a move; 5 of 7 nodes are Ready: a; b …", ""},
		{api.Cluster{Phase: "Deleting", Conditions: []api.Condition{ok}, Paused: pause}, "Deleting", "", ""},
	} {
		if s, r, ch := clusterStatus(tt.c), remark(tt.c), pendingText(tt.c); s != tt.status || r != tt.remark || ch != tt.changes {
			t.Errorf("%s: %q, %q, %q; want %q, %q, %q", tt.c.Phase, s, r, ch, tt.status, tt.remark, tt.changes)
		}
	}
	var out bytes.Buffer
	if err := show(&settings{output: formTable}, &out, []api.Cluster{{Name: "demo", Phase: "Ready", Paused: pause}}, clusterListing); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, " Ready,Paused ") || !strings.Contains(got, "by alice: a move") {
		t.Errorf("the table is\n%s", got)
	}
}

func TestResumedText(t *testing.T) {
	r := api.Resumed{Cluster: api.Cluster{Name: "demo", PendingChanges: make([]api.Change, 2)}}
	if got := resumedText(r); got != "cluster demo was not paused" {
		t.Error(got)
	}
	r.Was = &api.Pause{Since: time.Now().Add(-3 * time.Hour)}
	if got := resumedText(r); got != "cluster demo is resumed after 3h, with 2 changes to be done" {
		t.Error(got)
	}
	r.Cluster.PendingChanges = nil
	if got := resumedText(r); got != "cluster demo is resumed after 3h" {
		t.Error(got)
	}
}

// TestReconcileHoldsBoth: a cluster's name, and commands; a name that is also a command's needs "--".
func TestReconcileHoldsBoth(t *testing.T) {
	for _, line := range []struct{ args, command, cluster string }{
		{"reconcile demo", "skyweld reconcile", "demo"},
		{"reconcile --wait demo", "skyweld reconcile", "demo"},
		{"reconcile pause demo --reason x", "skyweld reconcile pause", "demo"},
		{"reconcile pause pause --reason x", "skyweld reconcile pause", "pause"},
		{"reconcile resume demo", "skyweld reconcile resume", "demo"},
		{"reconcile -- pause", "skyweld reconcile", "pause"},
		{"reconcile --wait -- resume", "skyweld reconcile", "resume"},
	} {
		root, _ := newRoot()
		c, rest, err := root.Find(strings.Fields(line.args))
		if err == nil {
			err = c.ParseFlags(rest)
		}
		if err == nil {
			err = c.ValidateArgs(c.Flags().Args())
		}
		if err != nil || c.CommandPath() != line.command || c.Flags().Arg(0) != line.cluster {
			t.Errorf("%s: %s of %v, error %v", line.args, c.CommandPath(), c.Flags().Args(), err)
		}
	}
	for args, want := range map[string]string{
		"reconcile pause --reason x": "A cluster named pause is reconciled with 'skyweld reconcile -- pause'",
		"reconcile pause a b":        `"b" is one argument too many`,
		"reconcile":                  "CLUSTER is missing",
	} {
		if err := parses(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
