package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/spec"
)

const (
	// mendPatience is how long a node may take to be Ready after its config was applied again.
	mendPatience = 2 * time.Minute
	// kubeletLife is how long a kubelet's client certificate is good, as those that Kubernetes signs.
	kubeletLife = 365 * 24 * time.Hour
	// kubeletUser and kubeletGroup are whom Kubernetes takes a kubelet for (its documentation, Using Node Authorization).
	kubeletUser  = "system:node:"
	kubeletGroup = "system:nodes"
	// siteLabel is on every Node.
	siteLabel = "skyweld.dev/site"
	// planeLabel and planeTaint are what kubeadm gives the Nodes of the control plane.
	planeLabel = "node-role.kubernetes.io/control-plane"
)

// ownLabels are all labels of a Node that are ours to keep: those of nodeLabels, and the one that kubeadm sets for us.
func ownLabels(n spec.Node, f *Facts) map[string]string {
	labels := nodeLabels(n, f)
	if n.Role == spec.RoleControlPlane {
		labels[planeLabel] = ""
	}
	return labels
}

// mendNode tries the gentle way with a node that stays NotReady: its config is applied again and its kubelet started anew.
// That it doesn't help is no failure: the next plan sees that it was tried.
func (r *run) mendNode(ctx context.Context, name string) error {
	if err := r.changeFacts(ctx, name, func(f *Facts) { f.Mended = r.now }); err != nil {
		return err
	}
	err := r.applyAgain(ctx, name)
	if err == nil {
		err = r.ready(ctx, name, mendPatience)
	}
	if err != nil && ctx.Err() == nil {
		r.warn(ctx, "NotMended", "node "+name, "applying its config again did not make it Ready: "+err.Error())
		return nil
	}
	return err
}

func (r *run) applyAgain(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, configurePatience)
	defer cancel()
	conn, err := r.connect(ctx, r.facts.get(name), 20*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := r.installAgent(ctx, conn); err != nil {
		return err
	}
	if err := r.apply(ctx, conn, name); err != nil {
		return err
	}
	return r.startKubelet(ctx, conn)
}

// startKubelet starts a node's kubelet anew.
func (r *run) startKubelet(ctx context.Context, conn Machine) error {
	data, err := json.Marshal(node.Bootstrap{Action: node.StartKubelet})
	if err != nil {
		return err
	}
	_, err = conn.Run(ctx, agentPath+" agent kubeadm", bytes.NewReader(data), nil)
	return err
}

// ready waits until Kubernetes calls a node Ready.
func (r *run) ready(ctx context.Context, name string, patience time.Duration) error {
	client, err := r.kubeClient()
	if err != nil {
		return err
	}
	_, err = retryPlain(ctx, min(patience, r.e.patience.step), func(ctx context.Context) (struct{}, error) {
		n, err := client.Node(ctx, name)
		if err == nil && !n.Ready {
			err = fmt.Errorf("node %s is not Ready: %s", name, n.Reason)
		}
		return struct{}{}, err
	})
	return err
}

// markNode brings a Node's labels, taints and pod block in line.
func (r *run) markNode(ctx context.Context, name string) error {
	client, err := r.kubeClient()
	if err != nil {
		return err
	}
	f := r.facts.get(name)
	if r.members[name].PodCIDR == "" {
		if err := client.SetPodCIDR(ctx, name, f.Pods.String()); err != nil {
			return err
		}
	}
	for _, n := range r.nodes {
		if n.Name != name || len(n.Taints) == 0 {
			continue
		}
		var taints []kube.Taint
		for _, t := range n.Taints {
			taints = append(taints, kube.Taint(t))
		}
		if err := client.AddTaints(ctx, name, taints); err != nil {
			return err
		}
	}
	return r.labelNode(ctx, name)
}

// markPlane gives a Node of the control plane that has just joined the taint that kubeadm gives it, in case its Node was made
// anew after that. Whoever takes it away later means it.
func (r *run) markPlane(ctx context.Context, client Kubernetes, name string) error {
	m, err := r.member(name)
	if err != nil || !m.ControlPlane || len(m.Taints) > 0 {
		return err
	}
	_, err = retryPlain(ctx, time.Minute, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, client.AddTaints(ctx, name, []kube.Taint{{Key: planeLabel, Effect: "NoSchedule"}})
	})
	return err
}

// renewNode gives a node new certificates.
func (r *run) renewNode(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, kubeadmPatience)
	defer cancel()
	conn, err := r.connect(ctx, r.facts.get(name), time.Minute)
	if err != nil {
		return err
	}
	defer conn.Close()
	pair, err := r.keys.PKI.CA.Client(kubeletUser+name, []string{kubeletGroup}, time.Now(), kubeletLife)
	if err != nil {
		return err
	}
	r.scrubber.add(pair.Key)
	data, err := json.Marshal(node.Renewal{Kubelet: pair.Cert + pair.Key})
	if err != nil {
		return err
	}
	if _, err := conn.Run(ctx, agentPath+" agent renew", bytes.NewReader(data), nil); err != nil {
		return err
	}
	r.note(ctx, "CertificatesRenewed", "node "+name, "its certificates are good for a year again")
	if f := r.facts.get(name); f.seat() == f.Machine { // its etcd was started again, and the next one waits for that
		if _, err := retryPlain(ctx, readyPatience, func(ctx context.Context) (kube.EtcdState, error) { return r.etcdState(ctx, name) }); err != nil {
			return err
		}
	}
	return r.ready(ctx, name, readyPatience)
}

// spreadDNS lets the pods of CoreDNS run apart again.
func (r *run) spreadDNS(ctx context.Context) error {
	client, err := r.kubeClient()
	if err != nil {
		return err
	}
	return client.SpreadDNS(ctx, r.dnsTopology())
}

// unspread says why the pods of CoreDNS have to be spread, empty when they haven't, or that can't be known.
func (s *survey) unspread(ctx context.Context) string {
	key := s.dnsTopology()
	if s.kubeErr != nil || key == "" {
		return ""
	}
	client, err := s.kubeClient()
	if err != nil {
		return ""
	}
	if done, err := client.DNSSpread(ctx, key); err != nil || done {
		return ""
	}
	return "its pods are not made to differ in " + key
}
