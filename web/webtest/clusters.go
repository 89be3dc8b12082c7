package webtest

import (
	"context"
	"fmt"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/store"
)

// The clusters of a scene.
const (
	Healthy  = "shop"      // four clouds, all well
	Degraded = "analytics" // one node is NotReady, one more could not be made
	Growing  = "staging"   // being created, and it stays so
	Stuck    = "old-blog"  // its deletion is blocked by a foreign machine
	Paused   = "edge"
)

// HealthyFile is that of the healthy one.
const HealthyFile = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: shop}
spec:
  metro: frankfurt
  sites:
    - {name: aws, account: my-aws}
    - {name: gcp, account: my-gcp}
    - {name: azure, account: my-azure}
    - {name: do, account: my-digitalocean}
  controlPlane: {replicas: 3, size: medium}
  workers:
    - {name: web, site: aws, size: small, count: 2}
    - {name: batch, site: gcp, size: large, count: 2, labels: {team: data}}
    - {name: cache, site: azure, size: small, count: 1}
    - {name: edge, site: do, size: small, count: 3}
`

const twoSites = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: %s}
spec:
  metro: %s
  sites:
    - {name: one, account: my-aws}
    - {name: two, account: my-gcp}
  controlPlane: {replicas: %d, size: medium}
  workers:
    - {name: web, site: one, size: small, count: 1}
    - {name: batch, site: two, size: small, count: %d}
`

func isReady(c store.Cluster) bool { return c.Phase == store.Ready }

// Fill makes the clusters of a scene whose engine runs, and returns when each is in its state. The growing one stays so
// until the end.
func (s *Scene) Fill(ctx context.Context, end <-chan struct{}) error {
	files := map[string]string{
		Healthy:  HealthyFile,
		Degraded: fmt.Sprintf(twoSites, Degraded, "us-east", 3, 2),
		Stuck:    fmt.Sprintf(twoSites, Stuck, "london", 1, 1),
		Paused:   fmt.Sprintf(twoSites, Paused, "tokyo", 1, 2),
	}
	for _, file := range files {
		if err := s.Apply(ctx, file); err != nil {
			return err
		}
	}
	for name := range files {
		if err := s.Until(ctx, name, isReady); err != nil {
			return err
		}
	}
	if _, err := s.Engine.Pause(ctx, Paused, "ada", "moving the DNS zone"); err != nil {
		return err
	}
	for _, f := range []func(context.Context) error{s.degrade, s.block, func(ctx context.Context) error { return s.grow(ctx, end) }} {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return nil
}

// degrade makes a node NotReady, and lets a worker fail to be made.
func (s *Scene) degrade(ctx context.Context) error {
	s.World(Degraded).Sick[Degraded+"-web-1"] = true
	s.World(Degraded).SickSince[Degraded+"-web-1"] = time.Now()
	s.Clouds[cloud.GCP].Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Kind: cloudtest.KindMachine, Key: "two-node-" + Degraded + "-batch-3",
		Class: cloud.QuotaExceeded, Code: "QUOTA_EXCEEDED", Message: "Quota 'CPUS' exceeded. Limit: 24.0 in region us-east4."})
	if _, _, err := s.Engine.AddNodes(ctx, Degraded, "batch", 1, "grace"); err != nil {
		return err
	}
	return s.Until(ctx, Degraded, func(c store.Cluster) bool { return c.Phase == store.Degraded })
}

// block puts a foreign machine into a cluster's network and asks for its deletion.
func (s *Scene) block(ctx context.Context) error {
	c, err := s.Store.GetCluster(ctx, Stuck)
	if err != nil {
		return err
	}
	subnet := s.Clouds[cloud.GCP].Find(c.UID, "two-subnet")
	s.Clouds[cloud.GCP].Foreign(cloudtest.KindMachine, subnet.Region, &cloudtest.MachineSpec{Subnet: subnet.ID, Address: "10.64.200.9", Zone: subnet.Region + "-a", Type: "e2-small", DiskGiB: 10})
	if _, err := s.Engine.Delete(ctx, Stuck, "grace"); err != nil {
		return err
	}
	return s.Until(ctx, Stuck, func(c store.Cluster) bool {
		for _, cond := range c.Conditions {
			if cond.Type == "Blocked" && cond.Status == "True" {
				return true
			}
		}
		return false
	})
}

// grow begins a cluster whose machines at one cloud never come, and asks for more of it.
func (s *Scene) grow(ctx context.Context, end <-chan struct{}) error {
	s.Clouds[cloud.GCP].Inject(cloudtest.Fault{Op: cloudtest.OpCreate, Kind: cloudtest.KindMachine, Key: "two-node-" + Growing + "-batch-1", Until: end})
	if err := s.Apply(ctx, fmt.Sprintf(twoSites, Growing, "us-east", 1, 2)); err != nil {
		return err
	}
	err := s.Until(ctx, Growing, func(c store.Cluster) bool {
		runs, err := s.Store.ListRuns(ctx, c.UID, 1)
		if err != nil || len(runs) == 0 {
			return false
		}
		_, steps, err := s.Store.GetRun(ctx, runs[0].ID)
		done := 0
		for _, st := range steps {
			if st.State == store.StepDone {
				done++
			}
		}
		return err == nil && done > 12
	})
	if err != nil {
		return err
	}
	if _, _, err := s.Engine.AddNodes(ctx, Growing, "web", 2, "grace"); err != nil {
		return err
	}
	_, err = s.Engine.Reconcile(ctx, Growing, "ada")
	return err
}
