package gcp

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/cloud"
)

// recognize reads everything known as if its mark were there and right. What bears it in a description is in the lists
// anyway; machines and disks are listed by their labels, so where a known one isn't among them all of the project's are.
func (s *snapshot) recognize(ctx context.Context, d *Driver, cluster string, known []cloud.Known) error {
	s.unmarked = map[string]bool{}
	seen, keys := map[string]bool{}, map[string]string{}
	s.eachLabels(func(id string, _ *map[string]string) { seen[id] = true })
	lost := func(kind cloud.Kind) bool {
		return slices.ContainsFunc(known, func(k cloud.Known) bool { return k.Kind == kind && !seen[k.ID] })
	}
	var err error
	if lost(kindInstance) {
		if s.instances, err = d.listInstances(ctx, ""); err != nil {
			return fmt.Errorf("look for what has lost its labels: %w", err)
		}
	}
	if lost(kindDisk) {
		if s.disks, err = d.listDisks(ctx, ""); err != nil {
			return fmt.Errorf("look for what has lost its labels: %w", err)
		}
	}
	for _, k := range known {
		keys[k.ID] = k.Key
	}
	s.eachLabels(func(id string, labels *map[string]string) {
		if key, ok := keys[id]; ok && ((*labels)[cloud.TagCluster] != cluster || (*labels)[cloud.TagKey] != key) {
			s.unmarked[id], *labels = true, map[string]string{cloud.TagCluster: cluster, cloud.TagKey: key}
		}
	})
	s.eachDescription(func(id string, text *string) {
		key, ok := keys[id]
		if uid, marked, _ := cloud.ParseDescription(*text); ok && (uid != cluster || marked != key) {
			s.unmarked[id], *text = true, cloud.Owner{UID: cluster}.Description(key)
		}
	})
	return nil
}

// eachLabels visits everything that bears its mark in labels, eachDescription what bears it in its description.
func (s *snapshot) eachLabels(f func(id string, labels *map[string]string)) {
	for _, x := range s.instances {
		f(idOf(x.SelfLink, x.Id), &x.Labels)
	}
	for _, x := range s.disks {
		f(idOf(x.SelfLink, x.Id), &x.Labels)
	}
}

func (s *snapshot) eachDescription(f func(id string, text *string)) {
	for _, x := range s.networks {
		f(idOf(x.SelfLink, x.Id), &x.Description)
	}
	for _, x := range s.subnetworks {
		f(idOf(x.SelfLink, x.Id), &x.Description)
	}
	for _, x := range s.firewalls {
		f(idOf(x.SelfLink, x.Id), &x.Description)
	}
	for _, x := range s.addresses {
		f(idOf(x.SelfLink, x.Id), &x.Description)
	}
}

// mark puts the owner mark on a machine that has lost it, beside others' labels.
func (w *work) mark(ctx context.Context, at place, now *compute.Instance) error {
	labels := maps.Clone(now.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, w.labels(w.res.Key))
	body := &compute.InstancesSetLabelsRequest{Labels: labels, LabelFingerprint: now.LabelFingerprint}
	op, err := w.d.api.Instances.SetLabels(at.project, at.location, at.name, body).Context(ctx).Do()
	return w.d.do(ctx, op, err)
}
