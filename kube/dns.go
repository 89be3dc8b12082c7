package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

var deploymentsResource = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

// Topology keys of SpreadDNS: node labels (https://kubernetes.io/docs/reference/labels-annotations-taints/).
const (
	TopologyRegion   = "topology.kubernetes.io/region"
	TopologyHostname = "kubernetes.io/hostname"
)

// SpreadDNS has the pods of CoreDNS run on nodes that differ in a label, one of the topology keys. kubeadm makes both
// while there is only one node, and there they would stay: with that node, or its cloud, the whole cluster would lose
// its names. Until a second such node is there, the second pod waits. What somebody else has set is left as it is, and
// so is a cluster without that Deployment.
func (c *Client) SpreadDNS(ctx context.Context, topologyKey string) error {
	if done, err := c.DNSSpread(ctx, topologyKey); done || err != nil {
		return err
	}
	patch, err := json.Marshal(object{"spec": object{"template": object{"spec": object{"topologySpreadConstraints": []any{apart(topologyKey)}}}}})
	if err != nil {
		return fmt.Errorf("spread CoreDNS: %w", err)
	}
	if _, err := c.coredns().Patch(ctx, "coredns", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("spread CoreDNS over %s: %w", topologyKey, err)
	}
	return nil
}

// DNSSpread says that there is nothing for SpreadDNS to do.
func (c *Client) DNSSpread(ctx context.Context, topologyKey string) (bool, error) {
	got, err := c.coredns().Get(ctx, "coredns", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("get deployment kube-system/coredns: %w", err)
	}
	has, _, err := unstructured.NestedSlice(got.Object, "spec", "template", "spec", "topologySpreadConstraints")
	if err != nil {
		return false, fmt.Errorf("read deployment kube-system/coredns: %w", err)
	}
	return reflect.DeepEqual(has, []any{apart(topologyKey)}) || len(has) > 0 && !ours(has), nil
}

func (c *Client) coredns() dynamic.ResourceInterface {
	return c.dyn.Resource(deploymentsResource).Namespace("kube-system")
}

// apart is the constraint: at least two values of the label, with as many pods each as can be. Pods of an older template
// don't count, or a rollout could not end.
func apart(key string) map[string]any {
	return map[string]any{
		"maxSkew": int64(1), "minDomains": int64(2), "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
		"labelSelector":  map[string]any{"matchLabels": map[string]any{"k8s-app": "kube-dns"}},
		"matchLabelKeys": []any{"pod-template-hash"},
	}
}

func ours(has []any) bool {
	return reflect.DeepEqual(has, []any{apart(TopologyRegion)}) || reflect.DeepEqual(has, []any{apart(TopologyHostname)})
}
