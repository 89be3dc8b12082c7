package kube

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Leftover is something in a cloud that controllers in a cluster made, and that is still there.
type Leftover struct {
	// Object is what stands for it in Kubernetes: "service default/web", "persistentvolume pvc-1".
	Object string `json:"object"`
	// Handle is what the cloud calls it, as far as Kubernetes knows: a volume's id, a load balancer's address.
	Handle string `json:"handle,omitempty"`
	// Why says why it is still there.
	Why string `json:"why"`
}

var (
	servicesResource = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	claimsResource   = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}
	volumesResource  = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumes"}
	policiesResource = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"}
	bindingsResource = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"}
)

// freezeName is the name of the policy that keeps a cluster which is being deleted from making more.
const freezeName = "skyweld-deletion"

// The rules of the policy, in CEL: no service becomes a load balancer, and no claim to a volume is made. Changes of what is
// there already are let through, as their end is such a change.
const (
	noBalancers = `request.resource.resource != "services" || !has(object.spec.type) || object.spec.type != "LoadBalancer" || ` +
		`(oldObject != null && has(oldObject.spec.type) && oldObject.spec.type == "LoadBalancer")`
	noClaims = `request.resource.resource != "persistentvolumeclaims" || request.operation != "CREATE"`
)

// Freeze lets the API server refuse, from now on, new load balancers and new volumes. Doing so twice is the same as once.
func (c *Client) Freeze(ctx context.Context) error {
	message := "the cluster is being deleted: nothing is made in the clouds any more"
	policy := object{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": object{"name": freezeName},
		"spec": object{
			"failurePolicy": "Fail",
			"matchConstraints": object{"resourceRules": []any{
				object{"apiGroups": []any{""}, "apiVersions": []any{"v1"}, "operations": []any{"CREATE", "UPDATE"}, "resources": []any{"services"}},
				object{"apiGroups": []any{""}, "apiVersions": []any{"v1"}, "operations": []any{"CREATE"}, "resources": []any{"persistentvolumeclaims"}},
			}},
			"validations": []any{object{"expression": noBalancers, "message": message}, object{"expression": noClaims, "message": message}},
		},
	}
	binding := object{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": object{"name": freezeName},
		"spec": object{"policyName": freezeName, "validationActions": []any{"Deny"}},
	}
	for resource, obj := range map[schema.GroupVersionResource]object{policiesResource: policy, bindingsResource: binding} {
		_, err := c.dyn.Resource(resource).Create(ctx, &unstructured.Unstructured{Object: obj}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make the %s %s, which refuses new load balancers and volumes: %w", resource.Resource, freezeName, err)
		}
	}
	return nil
}

// Clear deletes services that are load balancers and claims to volumes that go with their claim, with the pods that hold
// these, and waits until their controllers have removed what they stand for, or ctx is done. It returns what stays.
func (c *Client) Clear(ctx context.Context) ([]Leftover, error) {
	for {
		waited, kept, err := c.clearOnce(ctx)
		if err != nil {
			return append(waited, kept...), err
		}
		if len(waited) == 0 {
			return kept, nil
		}
		select {
		case <-ctx.Done():
			return append(waited, kept...), nil
		case <-time.After(time.Second):
		}
	}
}

// clearOnce asks once for everything to go. waited is what is still there and should go, kept what stays by its own rules.
func (c *Client) clearOnce(ctx context.Context) (waited, kept []Leftover, err error) {
	services, err := c.list(ctx, servicesResource)
	if err != nil {
		return nil, nil, err
	}
	for i := range services {
		u := &services[i]
		if kind, _, _ := unstructured.NestedString(u.Object, "spec", "type"); kind != "LoadBalancer" {
			continue
		}
		waited = append(waited, Leftover{Object: "service " + named(u), Handle: balancerOf(u), Why: "its controller has not removed the load balancer"})
		if err := c.drop(ctx, servicesResource, u); err != nil {
			return waited, nil, err
		}
	}
	volumes, err := c.list(ctx, volumesResource)
	if err != nil {
		return waited, nil, err
	}
	retained := map[string]bool{} // claims whose volumes are to stay
	for i := range volumes {
		u := &volumes[i]
		policy, _, _ := unstructured.NestedString(u.Object, "spec", "persistentVolumeReclaimPolicy")
		left := Leftover{Object: "persistentvolume " + u.GetName(), Handle: handleOf(u), Why: "its storage driver has not removed the volume"}
		switch {
		case u.GetAnnotations()["pv.kubernetes.io/provisioned-by"] == "":
			continue // somebody made it by hand: nothing was made in a cloud for it
		case policy != "Delete":
			left.Why = "its reclaim policy is " + policy
			kept = append(kept, left)
			retained[claimOf(u)] = true
		default:
			waited = append(waited, left)
		}
	}
	claims, err := c.clearClaims(ctx, retained)
	return append(waited, claims...), kept, err
}

// clearClaims deletes the claims to volumes that are to go, and the pods that keep these from going.
func (c *Client) clearClaims(ctx context.Context, retained map[string]bool) ([]Leftover, error) {
	var out []Leftover
	claims, err := c.list(ctx, claimsResource)
	if err != nil {
		return nil, err
	}
	var going []string
	for i := range claims {
		u := &claims[i]
		if retained[named(u)] {
			continue
		}
		going = append(going, named(u))
		out = append(out, Leftover{Object: "persistentvolumeclaim " + named(u), Why: "a pod still uses it"})
		if err := c.drop(ctx, claimsResource, u); err != nil {
			return out, err
		}
	}
	if len(going) == 0 {
		return out, nil
	}
	pods, err := c.list(ctx, podsResource)
	if err != nil {
		return out, err
	}
	for i := range pods {
		u := &pods[i]
		for _, v := range nestedMaps(u, "spec", "volumes") {
			claim, _ := v["persistentVolumeClaim"].(map[string]any)
			name, _ := claim["claimName"].(string)
			if !slices.Contains(going, u.GetNamespace()+"/"+name) {
				continue
			}
			if err := c.drop(ctx, podsResource, u); err != nil {
				return out, err
			}
			break
		}
	}
	return out, nil
}

func (c *Client) list(ctx context.Context, resource schema.GroupVersionResource) ([]unstructured.Unstructured, error) {
	l, err := c.dyn.Resource(resource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", resource.Resource, err)
	}
	return l.Items, nil
}

// drop deletes an object that isn't being deleted yet.
func (c *Client) drop(ctx context.Context, resource schema.GroupVersionResource, u *unstructured.Unstructured) error {
	if u.GetDeletionTimestamp() != nil {
		return nil
	}
	err := c.dyn.Resource(resource).Namespace(u.GetNamespace()).Delete(ctx, u.GetName(), metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s %s: %w", resource.Resource, named(u), err)
	}
	return nil
}

func named(u *unstructured.Unstructured) string {
	if u.GetNamespace() == "" {
		return u.GetName()
	}
	return u.GetNamespace() + "/" + u.GetName()
}

// balancerOf is the address, or the name, of a service's load balancer.
func balancerOf(u *unstructured.Unstructured) string {
	for _, at := range nestedMaps(u, "status", "loadBalancer", "ingress") {
		for _, field := range []string{"hostname", "ip"} {
			if text, _ := at[field].(string); text != "" {
				return text
			}
		}
	}
	return ""
}

// handleOf is a cloud's id of a volume.
func handleOf(u *unstructured.Unstructured) string {
	handle, _, _ := unstructured.NestedString(u.Object, "spec", "csi", "volumeHandle")
	return handle
}

// claimOf is the claim that a volume belongs to.
func claimOf(u *unstructured.Unstructured) string {
	space, _, _ := unstructured.NestedString(u.Object, "spec", "claimRef", "namespace")
	name, _, _ := unstructured.NestedString(u.Object, "spec", "claimRef", "name")
	return space + "/" + name
}
