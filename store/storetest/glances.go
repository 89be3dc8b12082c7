package storetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/skyweld/skyweld/store"
)

// testGlances: a list of all clusters has of each what asking for it alone has, and nothing of one that is deleted.
func testGlances(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	fence := claimed(t, s, "demo")
	must(t, s.PutNode(ctx, fence, store.Node{Name: "demo-b", Site: "aws", Role: "worker", Facts: json.RawMessage(`{"name":"demo-b"}`)}))
	must(t, s.PutNode(ctx, fence, store.Node{Name: "demo-a", Site: "aws", Role: "worker", Facts: json.RawMessage(`{"name":"demo-a"}`)}))
	must(t, s.PutResource(ctx, fence, store.Resource{Key: "aws-vpc", Kind: "vpc", Site: "aws", Region: "us-east-1", ID: "vpc-1"}))
	first := get[store.Run](t)(s.CreateRun(ctx, fence, "hourly", 1, []store.Step{{ID: "x"}}))
	must(t, s.EndRun(ctx, fence, first.ID, "succeeded", "", nil))
	second := get[store.Run](t)(s.CreateRun(ctx, fence, "change 1", 1, []store.Step{{ID: "a"}, {ID: "b"}, {ID: "c"}}))
	must(t, s.SetStep(ctx, fence, second.ID, "a", store.StepRunning, ""))
	must(t, s.SetStep(ctx, fence, second.ID, "a", store.StepDone, ""))
	change := get[store.Change](t)(s.AddChange(ctx, store.Change{Cluster: fence.Cluster, Kind: store.Reconcile, Who: "ada", Summary: "check"}))
	gone := get[store.Cluster](t)(s.CreateCluster(ctx, wanted("gone", "acme"), "alice"))
	must(t, s.RequestDelete(ctx, gone.UID))
	must(t, s.MarkDeleted(ctx, claimOf(t, s, gone.UID)))
	get[store.Cluster](t)(s.CreateCluster(ctx, wanted("young", "acme"), "alice"))

	list := get[[]store.Glance](t)(s.Glances(ctx, "", 100))
	if len(list) != 2 || list[0].Name != "demo" || list[1].Name != "young" {
		t.Fatalf("the list is %+v", list)
	}
	g := list[0]
	if len(g.Nodes) != 2 || g.Nodes[0].Name != "demo-a" || string(g.Nodes[1].Facts) != `{"name":"demo-b"}` {
		t.Errorf("nodes %+v", g.Nodes)
	}
	if len(g.Pending) != 1 || g.Pending[0].ID != change.ID || g.Care.Cluster != fence.Cluster {
		t.Errorf("pending %+v, care %+v", g.Pending, g.Care)
	}
	if g.Last == nil || g.Last.ID != second.ID || g.Total != 3 || g.Done != 1 {
		t.Errorf("the last run is %+v with %d of %d steps done", g.Last, g.Done, g.Total)
	}
	if g.Resources != 1 || time.Since(g.LastMade) > time.Hour {
		t.Errorf("the ledger has %d, the last made %s", g.Resources, g.LastMade)
	}
	if y := list[1]; y.Last != nil || len(y.Nodes) > 0 || len(y.Pending) > 0 || y.Resources != 0 {
		t.Errorf("the young one is %+v", y)
	}
	if list = get[[]store.Glance](t)(s.Glances(ctx, "demo", 100)); len(list) != 1 || list[0].Name != "young" {
		t.Errorf("after demo there is %+v", list)
	}
	if list = get[[]store.Glance](t)(s.Glances(ctx, "", 1)); len(list) != 1 || list[0].Name != "demo" || len(list[0].Nodes) != 2 {
		t.Errorf("the first one is %+v", list)
	}
	steps := get[map[int64]store.StepCount](t)(s.CountSteps(ctx, fence.Cluster, 0, 10))
	if steps[first.ID] != (store.StepCount{Total: 1}) || steps[second.ID] != (store.StepCount{Total: 3, Done: 1}) || len(steps) != 2 {
		t.Errorf("steps are counted as %v", steps)
	}
	if steps = get[map[int64]store.StepCount](t)(s.CountSteps(ctx, fence.Cluster, 0, 1)); len(steps) != 1 || steps[second.ID].Total != 3 {
		t.Errorf("steps of the last run are counted as %v", steps)
	}
}
