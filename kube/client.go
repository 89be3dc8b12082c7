package kube

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// Dial opens a connection to an address.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Backend is one API server as the engine reaches it from outside.
type Backend struct {
	Address string // host:port
	Dial    Dial
}

// Client talks to one cluster's API servers, whichever answers.
type Client struct {
	dyn  dynamic.Interface
	http *http.Client
	base string
}

// The resources the engine uses.
var (
	nodesResource   = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	podsResource    = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	spacesResource  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	secretsResource = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

// Connect makes a client that signs its own short-lived admin certificate. It makes no connection yet.
func Connect(c Cluster, pki PKI, backends []Backend, now time.Time) (*Client, error) {
	if len(backends) == 0 {
		return nil, errors.New("no control-plane node has an address yet")
	}
	pair, err := pki.CA.Client("skyweld-engine", []string{"system:masters"}, now, 6*time.Hour)
	if err != nil {
		return nil, err
	}
	cfg := &rest.Config{
		Host:    fmt.Sprintf("https://%s:%d", c.APIHost(), APIPort),
		Timeout: 20 * time.Second, QPS: 50, Burst: 100, UserAgent: "skyweld",
		TLSClientConfig: rest.TLSClientConfig{CAData: []byte(pki.CA.Cert), CertData: []byte(pair.Cert), KeyData: []byte(pair.Key)},
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialAny(ctx, network, backends)
		},
	}
	dyn, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("client of cluster %s: %w", c.Name, err)
	}
	hc, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("client of cluster %s: %w", c.Name, err)
	}
	return &Client{dyn: dyn, http: hc, base: cfg.Host}, nil
}

const (
	// dialPatience is how long one API server may take to take a connection, dialApart how long the next one waits for it.
	dialPatience = 4 * time.Second
	dialApart    = 300 * time.Millisecond
)

// dialAny returns the first connection that comes up. The backends are tried in order, each a little after the one before:
// those of a cloud that is away don't keep the others waiting (RFC 8305, section 5, does so with addresses).
func dialAny(ctx context.Context, network string, backends []Backend) (net.Conn, error) {
	type outcome struct {
		conn net.Conn
		err  error
	}
	try, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome)
	dial := func(b Backend) {
		one, done := context.WithTimeout(try, dialPatience)
		defer done()
		conn, err := b.Dial(one, network, b.Address)
		if err != nil {
			err = fmt.Errorf("%s: %w", b.Address, err)
		}
		select {
		case outcomes <- outcome{conn, err}:
		case <-try.Done():
			if conn != nil {
				conn.Close()
			}
		}
	}
	var errs []error
	next := time.NewTimer(0)
	defer next.Stop()
	for begun := 0; len(errs) < len(backends); {
		select {
		case <-next.C:
			if begun < len(backends) {
				go dial(backends[begun])
				begun++
				next.Reset(dialApart)
			}
		case o := <-outcomes:
			if o.err == nil {
				return o.conn, nil
			}
			errs = append(errs, o.err)
			next.Reset(0)
		case <-ctx.Done():
			return nil, errors.Join(append(errs, ctx.Err())...)
		}
	}
	return nil, errors.Join(errs...)
}

// Ready asks the API server whether it is ready.
func (c *Client) Ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("the Kubernetes API is not ready: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("the Kubernetes API is not ready: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the Kubernetes API is not ready: %s", resp.Status)
	}
	return nil
}

// Identity tells a cluster from all others, and from itself after it has lost its data: the UID of the namespace kube-system.
func (c *Client) Identity(ctx context.Context) (string, error) {
	u, err := c.dyn.Resource(spacesResource).Get(ctx, "kube-system", metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("get namespace kube-system: %w", err)
	}
	return string(u.GetUID()), nil
}

// NodeInfo is what Kubernetes says about a node.
type NodeInfo struct {
	Name       string
	ProviderID string
	Address    string // internal
	PodCIDR    string
	Version    string // of the kubelet
	Ready      bool
	// Reason says why it isn't ready, Since since when it is, or isn't.
	Reason string
	Since  time.Time
	Labels map[string]string
	// Annotations are those of our own domain.
	Annotations map[string]string
	Taints      []Taint
	UID         string
	// Created is when Kubernetes first had it.
	Created time.Time
}

// Nodes lists the nodes in the order of their names.
func (c *Client) Nodes(ctx context.Context) ([]NodeInfo, error) {
	list, err := c.dyn.Resource(nodesResource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	out := make([]NodeInfo, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, nodeInfo(&list.Items[i]))
	}
	return out, nil
}

// Node returns one node.
func (c *Client) Node(ctx context.Context, name string) (NodeInfo, error) {
	u, err := c.dyn.Resource(nodesResource).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return NodeInfo{}, fmt.Errorf("get node %s: %w", name, err)
	}
	return nodeInfo(u), nil
}

// ownDomain is how names begin that are ours to give.
const ownDomain = "skyweld.dev/"

func nodeInfo(u *unstructured.Unstructured) NodeInfo {
	n := NodeInfo{Name: u.GetName(), Labels: u.GetLabels(), UID: string(u.GetUID()), Created: u.GetCreationTimestamp().Time}
	for k, v := range u.GetAnnotations() {
		if strings.HasPrefix(k, ownDomain) {
			if n.Annotations == nil {
				n.Annotations = map[string]string{}
			}
			n.Annotations[k] = v
		}
	}
	n.ProviderID, _, _ = unstructured.NestedString(u.Object, "spec", "providerID")
	n.PodCIDR, _, _ = unstructured.NestedString(u.Object, "spec", "podCIDR")
	n.Version, _, _ = unstructured.NestedString(u.Object, "status", "nodeInfo", "kubeletVersion")
	for _, a := range nestedMaps(u, "status", "addresses") {
		if a["type"] == "InternalIP" {
			n.Address, _ = a["address"].(string)
		}
	}
	n.Reason = "no condition reported yet"
	for _, cond := range nestedMaps(u, "status", "conditions") {
		if cond["type"] == "Ready" {
			n.Ready = cond["status"] == "True"
			n.Reason, _ = cond["message"].(string)
			since, _ := cond["lastTransitionTime"].(string)
			n.Since, _ = time.Parse(time.RFC3339, since) // what can't be read is no time at all
		}
	}
	for _, t := range nestedMaps(u, "spec", "taints") {
		key, _ := t["key"].(string)
		value, _ := t["value"].(string)
		effect, _ := t["effect"].(string)
		n.Taints = append(n.Taints, Taint{Key: key, Value: value, Effect: effect})
	}
	return n
}

func nestedMaps(u *unstructured.Unstructured, path ...string) []map[string]any {
	list, _, _ := unstructured.NestedSlice(u.Object, path...)
	var out []map[string]any
	for _, x := range list {
		if m, ok := x.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// NewToken returns a fresh bootstrap token in kubeadm's form.
func NewToken() (string, error) {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, 22)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("make a bootstrap token: %w", err)
	}
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b[:6]) + "." + string(b[6:]), nil
}

// CreateToken stores a bootstrap token that joining nodes may use until it expires.
func (c *Client) CreateToken(ctx context.Context, token string, expires time.Time) error {
	id, secret, ok := strings.Cut(token, ".")
	if !ok {
		return errors.New("a bootstrap token has the form id.secret")
	}
	obj := &unstructured.Unstructured{Object: object{
		"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
		"metadata": object{"name": "bootstrap-token-" + id, "namespace": "kube-system"},
		"stringData": object{
			"token-id": id, "token-secret": secret, "expiration": expires.UTC().Format(time.RFC3339),
			"usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
			"auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
		},
	}}
	_, err := c.dyn.Resource(secretsResource).Namespace("kube-system").Create(ctx, obj, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("store a bootstrap token: %w", err)
	}
	return nil
}

// SetPodCIDR gives a node its pod block. The field is immutable once set: another value is an error.
func (c *Client) SetPodCIDR(ctx context.Context, node, cidr string) error {
	patch := fmt.Sprintf(`{"spec":{"podCIDR":%q,"podCIDRs":[%q]}}`, cidr, cidr)
	_, err := c.dyn.Resource(nodesResource).Patch(ctx, node, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("node %s: set its pod block %s: %w", node, cidr, err)
	}
	return nil
}

// SetLabels sets labels on a node that its kubelet may not set itself.
func (c *Client) SetLabels(ctx context.Context, node string, labels map[string]string) error {
	data, err := json.Marshal(object{"metadata": object{"labels": labels}})
	if err != nil {
		return fmt.Errorf("node %s: set labels: %w", node, err)
	}
	_, err = c.dyn.Resource(nodesResource).Patch(ctx, node, types.MergePatchType, data, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("node %s: set labels: %w", node, err)
	}
	return nil
}

// AddTaints gives a node taints beside those it has. One with the key and effect of another takes its place.
func (c *Client) AddTaints(ctx context.Context, node string, taints []Taint) error {
	u, err := c.dyn.Resource(nodesResource).Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("node %s: set taints: %w", node, err)
	}
	has, _, err := unstructured.NestedSlice(u.Object, "spec", "taints")
	if err != nil {
		return fmt.Errorf("node %s: read its taints: %w", node, err)
	}
	list := slices.DeleteFunc(has, func(x any) bool {
		old, _ := x.(map[string]any)
		return slices.ContainsFunc(taints, func(t Taint) bool { return old["key"] == t.Key && old["effect"] == t.Effect })
	})
	for _, t := range taints {
		list = append(list, t)
	}
	// The list is changed as a whole: only as it was read.
	data, err := json.Marshal(object{"metadata": object{"resourceVersion": u.GetResourceVersion()}, "spec": object{"taints": list}})
	if err != nil {
		return fmt.Errorf("node %s: set taints: %w", node, err)
	}
	if _, err = c.dyn.Resource(nodesResource).Patch(ctx, node, types.MergePatchType, data, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("node %s: set taints: %w", node, err)
	}
	return nil
}

// Cordon marks a node unschedulable.
func (c *Client) Cordon(ctx context.Context, node string) error {
	_, err := c.dyn.Resource(nodesResource).Patch(ctx, node, types.MergePatchType, []byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cordon node %s: %w", node, err)
	}
	return nil
}

// DeleteNode removes a Node object; one that is gone is success.
func (c *Client) DeleteNode(ctx context.Context, node string) error {
	err := c.dyn.Resource(nodesResource).Delete(ctx, node, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete node %s: %w", node, err)
	}
	return nil
}
