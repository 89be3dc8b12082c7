package webtest

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// manyFile is the cluster of which Many makes more: ten nodes at two clouds.
const manyFile = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: fleet-000}
spec:
  metro: us-east
  sites:
    - {name: one, account: my-aws}
    - {name: two, account: my-gcp}
  controlPlane: {replicas: 3, size: medium}
  workers:
    - {name: web, site: one, size: small, count: 4}
    - {name: batch, site: two, size: large, count: 3}
`

// manyName is the name of the n-th of many clusters; all are as long as that of the first.
func manyName(n int) string { return fmt.Sprintf("fleet-%03d", n) }

// Many makes n clusters of ten nodes: the first as clusters are made, the others by writing down the same of them. The
// scene's engine must run for the first, and should be stopped for the others: to it they are there, but their machines
// aren't.
func (s *Scene) Many(ctx context.Context, n int, stop func()) error {
	if err := s.Apply(ctx, manyFile); err != nil {
		return err
	}
	if err := s.Until(ctx, manyName(0), isReady); err != nil {
		return err
	}
	stop()
	first, err := s.Store.GetCluster(ctx, manyName(0))
	if err != nil {
		return err
	}
	nodes, err1 := s.Store.GetNodes(ctx, first.UID)
	resources, err2 := s.Store.ListResources(ctx, first.UID)
	runs, err3 := s.Store.ListRuns(ctx, first.UID, 1)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return err
		}
	}
	_, steps, err := s.Store.GetRun(ctx, runs[0].ID)
	if err != nil {
		return err
	}
	for i := 1; i < n; i++ {
		if err := s.another(ctx, manyName(i), first, nodes, resources, steps); err != nil {
			return err
		}
	}
	return nil
}

// another writes a cluster down that is like another one.
func (s *Scene) another(ctx context.Context, name string, like store.Cluster, nodes []store.Node, resources []store.Resource, steps []store.Step) error {
	rename := func(text []byte) []byte { return bytes.ReplaceAll(text, []byte(like.Name), []byte(name)) }
	c := like.Spec.Clone()
	c.Metadata = spec.Metadata{Name: name}
	made, err := s.Store.CreateCluster(ctx, c, "ada")
	if err != nil {
		return err
	}
	claim, err := s.Store.ClaimAsked(ctx, "engine", time.Minute)
	if err != nil {
		return err
	}
	for claim == nil || claim.Cluster != made.UID {
		if claim, err = s.Store.ClaimCluster(ctx, "engine", time.Minute); err != nil {
			return err
		}
	}
	fence := claim.Fence
	for _, n := range nodes {
		n.Name, n.Facts = string(rename([]byte(n.Name))), rename(n.Facts)
		if err := s.Store.PutNode(ctx, fence, n); err != nil {
			return err
		}
	}
	for _, r := range resources {
		r.Key, r.ID = string(rename([]byte(r.Key))), r.ID+"-"+name
		if err := s.Store.PutResource(ctx, fence, r); err != nil {
			return err
		}
	}
	run, err := s.Store.CreateRun(ctx, fence, "hourly", 1, steps)
	if err != nil {
		return err
	}
	if err := s.Store.EndRun(ctx, fence, run.ID, "succeeded", "", map[string]int64{"machines in us-east-1": 12}); err != nil {
		return err
	}
	if err := s.Store.SetStatus(ctx, fence, like.Phase, like.Conditions, like.Status); err != nil {
		return err
	}
	return s.Store.Release(ctx, fence, time.Hour)
}
