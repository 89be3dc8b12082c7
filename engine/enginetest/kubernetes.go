package enginetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/skyweld/skyweld/kube"
)

// Kubernetes is the API of a world's cluster.
type Kubernetes struct{ w *World }

// Kubernetes is the world's API, which answers while etcd has its quorum.
func (w *World) Kubernetes() Kubernetes { return Kubernetes{w} }

// ask runs f while the API answers.
func (k Kubernetes) ask(ctx context.Context, f func() error) error {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !k.w.Quorum() {
		return errors.New("the API doesn't answer")
	}
	return f()
}

func (k Kubernetes) info(n kube.NodeInfo) kube.NodeInfo {
	n.Ready = k.w.Alive(n.ProviderID) && !k.w.Sick[n.Name]
	return n
}

// change alters a node.
func (k Kubernetes) change(ctx context.Context, name string, f func(*kube.NodeInfo) error) error {
	return k.ask(ctx, func() error {
		n := k.w.Nodes[name]
		if err := f(&n); err != nil {
			return err
		}
		k.w.Nodes[name] = n
		return nil
	})
}

// Nodes lists all nodes.
func (k Kubernetes) Nodes(ctx context.Context) (out []kube.NodeInfo, err error) {
	err = k.ask(ctx, func() error {
		for _, name := range slices.Sorted(maps.Keys(k.w.Nodes)) {
			out = append(out, k.info(k.w.Nodes[name]))
		}
		return nil
	})
	return out, err
}

// Node returns one node.
func (k Kubernetes) Node(ctx context.Context, name string) (out kube.NodeInfo, err error) {
	err = k.ask(ctx, func() error {
		n, ok := k.w.Nodes[name]
		if !ok {
			return fmt.Errorf("get node %s: not found", name)
		}
		out = k.info(n)
		return nil
	})
	return out, err
}

// CreateToken takes any token.
func (k Kubernetes) CreateToken(ctx context.Context, _ string, _ time.Time) error {
	return k.ask(ctx, func() error { return nil })
}

// SetPodCIDR gives a node its pod block, once.
func (k Kubernetes) SetPodCIDR(ctx context.Context, name, cidr string) error {
	return k.change(ctx, name, func(n *kube.NodeInfo) error {
		if n.PodCIDR != "" && n.PodCIDR != cidr {
			return fmt.Errorf("node %s: podCIDR is immutable", name)
		}
		n.PodCIDR = cidr
		return nil
	})
}

// SetLabels labels a node.
func (k Kubernetes) SetLabels(ctx context.Context, name string, labels map[string]string) error {
	return k.change(ctx, name, func(n *kube.NodeInfo) error {
		n.Labels = labels
		return nil
	})
}

// SpreadDNS remembers the label.
func (k Kubernetes) SpreadDNS(ctx context.Context, topologyKey string) error {
	return k.ask(ctx, func() error {
		k.w.DNSTopology = topologyKey
		return nil
	})
}

// Cordon does nothing.
func (k Kubernetes) Cordon(ctx context.Context, _ string) error {
	return k.ask(ctx, func() error { return nil })
}

// Drain is logged.
func (k Kubernetes) Drain(ctx context.Context, name string) error {
	return k.ask(ctx, func() error {
		k.w.said = append(k.w.said, "drain "+name)
		return nil
	})
}

// DeleteNode takes a node out.
func (k Kubernetes) DeleteNode(ctx context.Context, name string) error {
	return k.ask(ctx, func() error {
		delete(k.w.Nodes, name)
		k.w.said = append(k.w.said, "forget "+name)
		return nil
	})
}

// Etcd is a world's etcd.
type Etcd struct{ w *World }

// Etcd is the world's, as any of its members sees it.
func (w *World) Etcd() Etcd { return Etcd{w} }

// Remove takes a member out while there is a leader.
func (e Etcd) Remove(ctx context.Context, name string) (bool, error) {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if !e.w.Quorum() {
		return false, errors.New("etcd has no leader")
	}
	_, ok := e.w.Members[name]
	delete(e.w.Members, name)
	return ok, nil
}
