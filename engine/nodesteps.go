package engine

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// Where the agent lives on a machine.
const (
	agentPath = "/opt/skyweld/bin/skyweld"
	trustPath = "/etc/skyweld/trust.pub"
)

// How long the parts of a node's way into the cluster may take.
const (
	configurePatience = 15 * time.Minute
	kubeadmPatience   = 10 * time.Minute
	readyPatience     = 5 * time.Minute
	drainPatience     = 5 * time.Minute
	// tokenPatience is how long a join waits for a Kubernetes that doesn't answer. It did when the run was planned, or a step
	// before has made it; where it has gone since, or doesn't come, the next run knows more.
	tokenPatience = time.Minute
)

// nodeStep does one step about a node, or about what is between nodes.
func (r *run) nodeStep(ctx context.Context, s plan.Step) error {
	switch s.Action {
	case plan.Prepare:
		return r.prepareNode(ctx, s.Key)
	case plan.Configure:
		return r.configureNode(ctx, s.Key)
	case plan.Measure:
		return r.measureWay(ctx, s)
	case plan.Init:
		return r.joinNode(ctx, s.Key, "init")
	case plan.Join:
		return r.joinNode(ctx, s.Key, "join")
	case plan.Drain:
		return r.drainNode(ctx, s.Key)
	case plan.Forget:
		return r.forgetNode(ctx, s.Key)
	case plan.Rejoin:
		return r.joinNode(ctx, s.Key, "rejoin")
	case plan.Mend:
		return r.mendNode(ctx, s.Key)
	case plan.Label:
		return r.markNode(ctx, s.Key)
	case plan.Renew:
		return r.renewNode(ctx, s.Key)
	case plan.Recover:
		return r.recoverNode(ctx, s.Key)
	case plan.Restore:
		return r.restoreNode(ctx, s.Key)
	}
	return fmt.Errorf("the engine has no action %s", s.Action)
}

// prepareNode makes the first contact with a machine: it waits for it, puts the agent there, lets it make its keys,
// exchanges the host key for one that was never in user data, and starts the installation of the bundle.
func (r *run) prepareNode(ctx context.Context, name string) error {
	patience := r.e.patience.ssh
	ctx, cancel := context.WithTimeout(ctx, patience+configurePatience)
	defer cancel()
	machine, err := r.awaitMachine(ctx, name)
	if err != nil {
		return err
	}
	f := r.facts.get(name)
	next := Facts{Assigned: f.Assigned, Role: f.Role, Group: f.Group, Failure: f.Failure}
	next.Machine, next.ProviderID, next.Public = machine.ID, machine.Machine.ProviderID, machine.Machine.Public
	next.Region, next.CloudZone, next.Type = machine.Region, machine.Machine.Zone, machine.Machine.Type
	if picksAddress(r.sites[f.Site].driver, machine.Kind) {
		next.Address = machine.Machine.Private
	}
	if f.Machine == machine.ID {
		next.HostKeys = f.HostKeys
	} else {
		key, err := r.hostKey(ctx, name, "")
		if err != nil {
			return err
		}
		next.HostKeys = []string{key.Public}
	}
	conn, err := r.connect(ctx, &next, patience)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		r.failed(ctx, name, machine.ID, true, fmt.Sprintf("it did not let the engine in by SSH for %s", patience))
		return r.withConsole(ctx, next.Site, machine, contactError(name, next.Public, patience, err))
	}
	defer conn.Close()
	if next.Failure != nil && next.Failure.Contact && next.Failure.Machine == machine.ID {
		next.Failure = nil
	}
	if err := r.installAgent(ctx, conn); err != nil {
		return err
	}
	var id node.Identity
	if err := runJSON(ctx, conn, agentPath+" agent identity", nil, nil, &id); err != nil {
		return err
	}
	next.TunnelKey, next.MTU, next.Kernel = id.TunnelKey, id.MTU, id.KernelWireGuard
	if err := r.exchangeHostKey(ctx, conn, &next); err != nil {
		return err
	}
	if err := r.meet(ctx, next); err != nil {
		return err
	}
	return r.apply(ctx, conn, name)
}

// meet records what is known of a node's new machine, in the place of what was known of the one before. Which one etcd counts
// as a member, and how many configs were sent, has its own course.
func (r *run) meet(ctx context.Context, next Facts) error {
	return r.changeFacts(ctx, next.Name, func(f *Facts) {
		next.Revision, next.Seat = f.Revision, f.seat()
		*f = next
	})
}

// exchangeHostKey replaces the host key that was in user data by one made on the machine. Both are accepted until the
// machine has shown the new one.
func (r *run) exchangeHostKey(ctx context.Context, conn Machine, f *Facts) error {
	out, err := conn.Run(ctx, agentPath+" agent hostkey --prepare", nil, nil)
	if err != nil {
		return err
	}
	fresh := strings.TrimSpace(string(out))
	if len(f.HostKeys) == 1 && f.HostKeys[0] == fresh {
		return nil
	}
	f.HostKeys = append(f.HostKeys[:1:1], fresh)
	if err := r.meet(ctx, *f); err != nil {
		return err
	}
	if _, err := conn.Run(ctx, agentPath+" agent hostkey --switch", nil, nil); err != nil {
		return err
	}
	only := *f
	only.HostKeys = []string{fresh}
	// sshd reads its keys a moment after it was told to: until then it shows the old one, which a connection refuses.
	confirm, err := retryPlain(ctx, time.Minute, func(ctx context.Context) (Machine, error) { return r.connect(ctx, &only, time.Minute) })
	if err != nil {
		return fmt.Errorf("the new host key of %s was not shown: %w", f.Name, err)
	}
	f.HostKeys = only.HostKeys
	return confirm.Close()
}

// installAgent uploads the agent unless the very same program is there, and starts it.
func (r *run) installAgent(ctx context.Context, conn Machine) error {
	digest, err := r.e.agentDigest()
	if err != nil {
		return err
	}
	out, err := conn.Run(ctx, "sha256sum "+agentPath+" 2>/dev/null || true", nil, nil)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(out), digest) {
		program, err := os.Open(r.e.opts.Agent)
		if err != nil {
			return fmt.Errorf("the agent's program: %w", err)
		}
		defer program.Close()
		if err := conn.Upload(ctx, program, agentPath, 0o755); err != nil {
			return err
		}
	}
	trust := base64.StdEncoding.EncodeToString(r.keys.Signing.Public().(ed25519.PublicKey)) + "\n"
	if err := conn.Upload(ctx, strings.NewReader(trust), trustPath, 0o644); err != nil {
		return err
	}
	_, err = conn.Run(ctx, agentPath+" agent install", nil, nil)
	return err
}

// configureNode sends a node its config, and the agent where that isn't the engine's.
func (r *run) configureNode(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, configurePatience)
	defer cancel()
	conn, err := r.connect(ctx, r.facts.get(name), time.Minute)
	if err != nil {
		return err
	}
	defer conn.Close()
	if seen, asked := r.sights[name]; asked && (seen.status == nil || seen.status.Agent != r.e.agentSum) {
		if err := r.installAgent(ctx, conn); err != nil {
			return err
		}
	}
	return r.apply(ctx, conn, name)
}

// apply computes, signs and sends a node's config and records what was accepted.
func (r *run) apply(ctx context.Context, conn Machine, name string) error {
	cfg, err := r.config(name, r.bundle())
	if err != nil {
		return err
	}
	sum, err := digest(cfg)
	if err != nil {
		return err
	}
	floor, err := r.e.revisionFloor(ctx)
	if err != nil {
		return err
	}
	if seen := r.sights[name]; seen.status != nil { // an agent refuses what is older than what it has, whoever gave it that
		floor = max(floor, seen.status.Revision)
	}
	if err := r.changeFacts(ctx, name, func(f *Facts) { // a revision is never used for two contents
		f.Revision = max(f.Revision, floor) + 1
		cfg.Revision = f.Revision
	}); err != nil {
		return err
	}
	signed, err := node.Sign(r.keys.Signing, cfg)
	if err != nil {
		return err
	}
	var rep node.Report
	if err := runJSON(ctx, conn, agentPath+" agent apply", bytes.NewReader(signed), nil, &rep); err != nil {
		return err
	}
	return r.changeFacts(ctx, name, func(f *Facts) {
		f.Digest, f.TunnelMTU = sum, cfg.Tunnel.MTU
		if len(r.downWith(f.Site)) > 0 {
			f.Rewired = r.now
		}
	})
}

// noOtherNode is against a join that can't succeed: Kubernetes has a Node of that name which is another machine's. The plan
// takes such a Node out first, unless Kubernetes could not be asked when it was made; the next one will.
func (r *run) noOtherNode(ctx context.Context, name, action string) error {
	if action != "join" {
		return nil
	}
	client, err := r.kubeClient()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	n, err := client.Node(ctx, name)
	if f := r.facts.get(name); err != nil || n.ProviderID == "" || n.ProviderID == f.ProviderID {
		return nil // most often because there is none; the join tells if not
	}
	return fmt.Errorf("join node %s: Kubernetes still has it as another machine (%s) and could not be asked before: it is taken out by the next try", name, n.ProviderID)
}

// joinNode runs kubeadm on a node and waits until Kubernetes calls it Ready. The action is "init", "join", or "rejoin": what
// kubeadm did there before is undone first.
func (r *run) joinNode(ctx context.Context, name, action string) error {
	member, err := r.member(name)
	if err != nil {
		return err
	}
	conn, err := r.connect(ctx, r.facts.get(name), time.Minute)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := r.noOtherNode(ctx, name, action); err != nil {
		return err
	}
	boot := node.Bootstrap{Action: action, Files: map[string]string{}}
	if action == "rejoin" {
		boot.Action, boot.Again = "join", true
	}
	if member.ControlPlane {
		boot.Files = r.keys.PKI.Files()
	}
	cluster := r.kubeCluster()
	newToken := kube.NewToken
	if boot.Action == "join" {
		newToken = func() (string, error) { return r.joinToken(ctx) }
	}
	token, err := newToken()
	if err != nil {
		return err
	}
	r.scrubber.add(token)
	if action == "init" {
		boot.Config, err = kube.InitConfig(cluster, member, token)
	} else {
		boot.Config, err = kube.JoinConfig(cluster, member, token, r.keys.PKI.CA)
	}
	if err != nil {
		return err
	}
	if err := r.kubeadm(ctx, conn, name, boot); err != nil {
		return err
	}
	if action == "init" {
		r.status.Initialized = true
		if err := r.e.saveStatus(ctx, r.fence, store.Reconciling, r.survey); err != nil {
			return err
		}
	}
	return r.awaitReady(ctx, name)
}

// member is a node as kubeadm's files know it.
func (r *run) member(name string) (kube.Member, error) {
	for _, n := range r.nodes {
		if n.Name != name {
			continue
		}
		m := kube.Member{Name: name, ControlPlane: n.Role == spec.RoleControlPlane, Address: r.address(n)}
		for _, t := range n.Taints {
			m.Taints = append(m.Taints, kube.Taint(t))
		}
		return m, nil
	}
	return kube.Member{}, fmt.Errorf("node %s is not wanted", name)
}

// joinToken returns the bootstrap token that the joins of this run share, storing it in Kubernetes at first. It is never
// the one of kubeadm init: that may be of an earlier run, whose kubeadm went on when the engine was killed.
func (r *run) joinToken(ctx context.Context) (string, error) {
	give, err := r.tokenLock.take(ctx)
	if err != nil {
		return "", err
	}
	defer give()
	if r.token != "" {
		return r.token, nil
	}
	token, err := kube.NewToken()
	if err != nil {
		return "", err
	}
	client, err := r.kubeClient()
	if err != nil {
		return "", err
	}
	if _, err := retryPlain(ctx, tokenPatience, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, client.CreateToken(ctx, token, time.Now().Add(30*time.Minute))
	}); err != nil {
		return "", err
	}
	r.token = token
	return token, nil
}

// awaitReady waits for a node to be Ready as the machine we made, and gives it its pod block and labels.
func (r *run) awaitReady(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	client, err := r.kubeClient()
	if err != nil {
		return err
	}
	f := r.facts.get(name)
	blockSet := false
	_, err = retryPlain(ctx, readyPatience, func(ctx context.Context) (struct{}, error) {
		n, err := client.Node(ctx, name)
		if err != nil {
			return struct{}{}, err
		}
		if n.ProviderID != f.ProviderID {
			return struct{}{}, fmt.Errorf("node %s has the provider id %q, want %q", name, n.ProviderID, f.ProviderID)
		}
		if !blockSet && n.PodCIDR != f.Pods.String() {
			if err := client.SetPodCIDR(ctx, name, f.Pods.String()); err != nil {
				return struct{}{}, err
			}
		}
		blockSet = true
		if !n.Ready {
			return struct{}{}, fmt.Errorf("node %s is not Ready: %s", name, n.Reason)
		}
		return struct{}{}, nil
	})
	if err != nil {
		return err
	}
	if err := r.changeFacts(ctx, name, func(f *Facts) { f.Joined, f.Failure, f.Silent = true, nil, time.Time{} }); err != nil {
		return err
	}
	if err := r.labelNode(ctx, name); err != nil {
		return err
	}
	if err := r.markPlane(ctx, client, name); err != nil {
		return err
	}
	if key := r.dnsTopology(); key != "" {
		_, err = retryPlain(ctx, time.Minute, func(ctx context.Context) (struct{}, error) { return struct{}{}, client.SpreadDNS(ctx, key) })
	}
	return err
}

// rememberMembers records of machines that Kubernetes has as Ready nodes that they are members: an engine that was stopped
// between the joining and the record left that out, and when Kubernetes can't be asked it is all there is to go by.
func (r *run) rememberMembers(ctx context.Context) error {
	for _, n := range r.nodes {
		f := r.facts.get(n.Name)
		if _, current := r.membership(n.Name, f); r.kubeErr != nil || !current || f.Joined || f.Failure != nil || !r.members[n.Name].Ready {
			continue
		}
		if err := r.changeFacts(ctx, n.Name, func(f *Facts) { f.Joined = true }); err != nil {
			return err
		}
	}
	return nil
}

// dnsTopology is the label in which the nodes of the cluster's name servers are to differ: regions, where it has several.
// It is empty for a cluster of one node.
func (s *survey) dnsTopology() string {
	regions := map[string]bool{}
	for _, n := range s.nodes {
		if f := s.facts.get(n.Name); f != nil {
			regions[f.Region] = true
		}
	}
	switch {
	case len(regions) > 1:
		return kube.TopologyRegion
	case len(s.nodes) > 1:
		return kube.TopologyHostname
	}
	return ""
}

func (r *run) labelNode(ctx context.Context, name string) error {
	client, err := r.kubeClient()
	if err != nil {
		return err
	}
	for _, n := range r.nodes {
		if n.Name == name {
			_, err := retryPlain(ctx, time.Minute, func(ctx context.Context) (struct{}, error) {
				return struct{}{}, client.SetLabels(ctx, name, ownLabels(n, r.facts.get(name)))
			})
			return err
		}
	}
	return nil
}

// deaf says that a node's kubelet doesn't hear what it is to evict: the API server beside it, which it asks first, has no etcd.
func (r *run) deaf(name string) bool {
	return slices.ContainsFunc(r.nodes, func(n spec.Node) bool { return n.Name == name && r.lost(n, r.facts.get(name)) != "" })
}

// drainNode evicts a node's pods. One whose machine is gone has nothing to evict from; one that won't be empty by the
// deadline goes all the same, with a warning.
func (r *run) drainNode(ctx context.Context, name string) error {
	client, err := r.kubeClient()
	if err != nil {
		return err
	}
	if n, ok := r.members[name]; ok && !n.Ready || r.deaf(name) {
		return client.Cordon(ctx, name)
	}
	wait, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	err = client.Drain(wait, name)
	if errors.Is(err, kube.ErrDrain) && ctx.Err() == nil {
		r.warn(ctx, "DrainTimeout", name, err.Error())
		return nil
	}
	return err
}

// forgetNode takes a node out of Kubernetes: the etcd member first, then the Node object.
func (r *run) forgetNode(ctx context.Context, name string) error {
	if f := r.facts.get(name); f != nil && f.Role == spec.RoleControlPlane {
		if err := r.removeEtcdMember(ctx, name); err != nil {
			return err
		}
		r.unseated.Store(name, true)
		if err := r.changeFacts(ctx, name, func(f *Facts) { f.Seat, f.Joined = "", false }); err != nil {
			return err
		}
	}
	if err := r.mayGoOn(ctx); err != nil {
		return err
	}
	client, err := r.kubeClient() // not before: the API server of a member that was taken out answers nothing any more
	if err != nil {
		return err
	}
	_, err = retryPlain(ctx, time.Minute, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, client.DeleteNode(ctx, name)
	})
	return err
}

// removeEtcdMember asks a member that is alive to take another one out.
func (r *run) removeEtcdMember(ctx context.Context, name string) error {
	var errs []error
	for _, n := range r.nodes {
		back := r.isDone(plan.Recover, n.Name) || r.isDone(plan.Restore, n.Name)
		if n.Role != spec.RoleControlPlane || n.Name == name || !back && !r.members[n.Name].Ready {
			continue
		}
		conn, err := r.connect(ctx, r.facts.get(n.Name), 20*time.Second)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		etcd, err := r.e.opts.Nodeside.Etcd(r.keys.PKI, conn.DialContext, time.Now())
		if err == nil {
			var removed bool
			if err = r.mayGoOn(ctx); err != nil {
				conn.Close()
				return err
			}
			removed, err = etcd.Remove(ctx, name)
			if removed {
				r.note(ctx, "EtcdMemberRemoved", name, "its etcd member was taken out of the cluster")
			}
		}
		conn.Close()
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return fmt.Errorf("remove the etcd member %s: no other control-plane node is Ready; when the others can't be mended, the control plane has to be restored from an etcd snapshot", name)
	}
	return fmt.Errorf("remove the etcd member %s: no other member could do it: %w", name, errors.Join(errs...))
}

// agentDigest is the SHA-256 of the agent's program, computed once.
func (e *Engine) agentDigest() (string, error) {
	e.agentOnce.Do(func() {
		f, err := os.Open(e.opts.Agent)
		if err != nil {
			e.agentErr = fmt.Errorf("the agent's program: %w", err)
			return
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			e.agentErr = fmt.Errorf("the agent's program: %w", err)
			return
		}
		e.agentSum = hex.EncodeToString(h.Sum(nil))
	})
	return e.agentSum, e.agentErr
}

// runJSON runs a command and decodes its standard output.
func runJSON(ctx context.Context, m Machine, command string, stdin io.Reader, log io.Writer, out any) error {
	data, err := m.Run(ctx, command, stdin, log)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s: its answer: %w", command, err)
	}
	return nil
}
