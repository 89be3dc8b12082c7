package enginetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/kube"
)

// Kubernetes is the API of a world's cluster.
type Kubernetes struct {
	w  *World
	at []string
}

// Kubernetes is the world's API, which answers while etcd has its quorum. It is reached at the first of the given addresses,
// host and port, where an API server listens; without addresses at one that is well.
func (w *World) Kubernetes(addresses ...string) Kubernetes { return Kubernetes{w, addresses} }

// server is the machine whose API server takes the connection; without a name it is one that is well.
func (k Kubernetes) server() Machine {
	for _, address := range k.at {
		for _, m := range k.w.Machines() {
			if h := k.w.hosts[m.ProviderID]; strings.HasPrefix(address, m.Public.String()+":") && h != nil && h.joined != "" {
				return m
			}
		}
	}
	return Machine{}
}

// deaf says that the API server that takes the connection has no etcd beside it that is a member and answers.
func (k Kubernetes) deaf() bool {
	m := k.server()
	return m.Name != "" && (k.w.Members[m.Name] != m.ProviderID || k.w.Silent[m.Name])
}

// blank says that the etcd beside it began anew (see Alone).
func (k Kubernetes) blank() bool { return k.w.Strange[k.server().Name] == k.w.clusterID() }

// ask runs f while the API answers; what says what is asked.
func (k Kubernetes) ask(ctx context.Context, what string, f func() error) error {
	return k.w.around(ctx, "kubernetes: "+what, func() error { return k.answer(ctx, f) })
}

func (k Kubernetes) answer(ctx context.Context, f func() error) error {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if k.w.Mute || !k.w.Quorum() || k.deaf() {
		return errors.New("the API doesn't answer")
	}
	return f()
}

func (k Kubernetes) info(n kube.NodeInfo) kube.NodeInfo {
	n.Ready = k.w.Alive(n.ProviderID) && !k.w.Sick[n.Name]
	n.Since = k.w.SickSince[n.Name]
	return k.publish(n)
}

// change alters a node.
func (k Kubernetes) change(ctx context.Context, what, name string, f func(*kube.NodeInfo) error) error {
	return k.ask(ctx, what+" "+name, func() error {
		n, ok := k.w.Nodes[name]
		if !ok {
			return fmt.Errorf("nodes %q not found", name)
		}
		if err := f(&n); err != nil {
			return err
		}
		k.w.Nodes[name] = n
		return nil
	})
}

// Identity is another one each time that Kubernetes begins anew.
func (k Kubernetes) Identity(ctx context.Context) (id string, err error) {
	err = k.ask(ctx, "identity", func() error {
		if id = fmt.Sprintf("kubernetes-%d", k.w.identity); k.blank() {
			id += "-anew"
		}
		return nil
	})
	return id, err
}

// Nodes lists all nodes.
func (k Kubernetes) Nodes(ctx context.Context) (out []kube.NodeInfo, err error) {
	err = k.ask(ctx, "nodes", func() error {
		if k.blank() {
			return nil
		}
		for _, name := range slices.Sorted(maps.Keys(k.w.Nodes)) {
			out = append(out, k.info(k.w.Nodes[name]))
		}
		return nil
	})
	return out, err
}

// Node returns one node.
func (k Kubernetes) Node(ctx context.Context, name string) (out kube.NodeInfo, err error) {
	err = k.ask(ctx, "node "+name, func() error {
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
	return k.ask(ctx, "create token", func() error { return nil })
}

// SetPodCIDR gives a node its pod block, once.
func (k Kubernetes) SetPodCIDR(ctx context.Context, name, cidr string) error {
	return k.change(ctx, "set pod block of", name, func(n *kube.NodeInfo) error {
		if n.PodCIDR != "" && n.PodCIDR != cidr {
			return fmt.Errorf("node %s: podCIDR is immutable", name)
		}
		n.PodCIDR = cidr
		return nil
	})
}

// SetLabels labels a node.
func (k Kubernetes) SetLabels(ctx context.Context, name string, labels map[string]string) error {
	return k.change(ctx, "label", name, func(n *kube.NodeInfo) error {
		all := maps.Clone(n.Labels)
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, labels)
		n.Labels = all
		return nil
	})
}

// AddTaints gives a node taints.
func (k Kubernetes) AddTaints(ctx context.Context, name string, taints []kube.Taint) error {
	return k.change(ctx, "taint", name, func(n *kube.NodeInfo) error {
		for _, t := range taints {
			if !slices.Contains(n.Taints, t) {
				n.Taints = append(slices.Clone(n.Taints), t)
			}
		}
		return nil
	})
}

// DNSSpread says that SpreadDNS was done.
func (k Kubernetes) DNSSpread(ctx context.Context, topologyKey string) (done bool, err error) {
	err = k.ask(ctx, "is DNS spread", func() error {
		done = k.w.DNSTopology == topologyKey
		return nil
	})
	return done, err
}

// SpreadDNS remembers the label.
func (k Kubernetes) SpreadDNS(ctx context.Context, topologyKey string) error {
	return k.ask(ctx, "spread DNS", func() error {
		k.w.DNSTopology = topologyKey
		return nil
	})
}

// Cordon does nothing.
func (k Kubernetes) Cordon(ctx context.Context, name string) error {
	return k.ask(ctx, "cordon "+name, func() error { return nil })
}

// Drain is logged.
func (k Kubernetes) Drain(ctx context.Context, name string) error {
	return k.ask(ctx, "drain "+name, func() error {
		k.w.said = append(k.w.said, "drain "+name)
		return nil
	})
}

// DeleteNode takes a node out.
func (k Kubernetes) DeleteNode(ctx context.Context, name string) error {
	return k.ask(ctx, "delete node "+name, func() error {
		delete(k.w.Nodes, name)
		k.w.said = append(k.w.said, "forget "+name)
		return nil
	})
}
