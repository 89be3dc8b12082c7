package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ErrDrain is in the chain of Drain's error when pods were still there at the deadline.
var ErrDrain = errors.New("pods are still there")

// Drain cordons a node and evicts its pods, respecting disruption budgets, until none is left but those of DaemonSets and
// static ones, or ctx is done.
func (c *Client) Drain(ctx context.Context, node string) error {
	if err := c.Cordon(ctx, node); err != nil {
		return err
	}
	for {
		left, err := c.evict(ctx, node)
		if err == nil && len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			if err != nil {
				return fmt.Errorf("drain node %s: %w", node, err)
			}
			return fmt.Errorf("drain node %s: %w: %v", node, ErrDrain, left)
		case <-time.After(time.Second):
		}
	}
}

// evict asks once for every pod to go and returns the names of those that are still there.
func (c *Client) evict(ctx context.Context, node string) ([]string, error) {
	pods, err := c.dyn.Resource(podsResource).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil {
		return nil, fmt.Errorf("list pods of node %s: %w", node, err)
	}
	var left []string
	for i := range pods.Items {
		p := &pods.Items[i]
		if !evictable(p) {
			continue
		}
		left = append(left, p.GetNamespace()+"/"+p.GetName())
		if p.GetDeletionTimestamp() != nil {
			continue
		}
		ev := &unstructured.Unstructured{Object: object{
			"apiVersion": "policy/v1", "kind": "Eviction",
			"metadata": object{"name": p.GetName(), "namespace": p.GetNamespace()},
		}}
		_, err := c.dyn.Resource(podsResource).Namespace(p.GetNamespace()).Create(ctx, ev, metav1.CreateOptions{}, "eviction")
		// 429 is a disruption budget that allows none now: tried again in the next round.
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsTooManyRequests(err) {
			return left, fmt.Errorf("evict pod %s/%s: %w", p.GetNamespace(), p.GetName(), err)
		}
	}
	return left, nil
}

// evictable leaves out static pods, those of DaemonSets (they tolerate the cordon) and finished ones.
func evictable(p *unstructured.Unstructured) bool {
	if _, mirror := p.GetAnnotations()["kubernetes.io/config.mirror"]; mirror {
		return false
	}
	for _, o := range p.GetOwnerReferences() {
		if o.Kind == "DaemonSet" {
			return false
		}
	}
	phase, _, _ := unstructured.NestedString(p.Object, "status", "phase")
	return phase != "Succeeded" && phase != "Failed"
}
