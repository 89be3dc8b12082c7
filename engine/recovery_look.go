package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/spec"
)

const (
	// sightsAtOnce is how many machines are asked at once, sightPatience how long each may take. It is one login for each
	// machine and run: what an agent was made to forget shows nowhere else, and a login costs some milliseconds.
	sightsAtOnce  = 32
	sightPatience = 10 * time.Second
	// handshakeAge is how old the last handshake of a tunnel that works is at most: WireGuard makes one every two minutes.
	handshakeAge = 3 * time.Minute
)

// sight is what a node's machine says of itself; nothing of it when it didn't let the engine in.
type machineSight struct {
	// status is the agent's, nil when it didn't answer; then why says what it said instead.
	status *node.Status
	why    string
	// etcd is that of the member on the machine, nil when it didn't answer, or there is none.
	etcd *kube.EtcdState
}

// revision is how far the etcd on the machine is.
func (m machineSight) revision() int64 {
	if m.etcd == nil {
		return 0
	}
	return m.etcd.Revision
}

// askMachines asks all machines, each once, what they know of themselves. That one doesn't answer proves nothing.
func (s *survey) askMachines(ctx context.Context) {
	s.sights = map[string]machineSight{}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(sightsAtOnce)
	for _, f := range s.facts.all() {
		wanted := slices.ContainsFunc(s.nodes, func(n spec.Node) bool { return n.Name == f.Name })
		if !wanted && !s.deleting || !f.prepared() || len(f.HostKeys) != 1 || !f.Public.IsValid() || !s.shows(f.Name, f.Machine) {
			continue
		}
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, sightPatience)
			defer cancel()
			conn, err := s.connect(ctx, f, sightPatience/2)
			if err != nil {
				return nil // a machine that can't be reached is the care loop's, and Kubernetes', to tell of
			}
			defer conn.Close()
			seen := s.askMachine(ctx, conn, f)
			mu.Lock()
			defer mu.Unlock()
			s.sights[f.Name] = seen
			return nil
		})
	}
	_ = group.Wait() // none of them fails
}

func (s *survey) askMachine(ctx context.Context, conn Machine, f *Facts) machineSight {
	var seen machineSight
	var status node.Status
	if err := runJSON(ctx, conn, agentPath+" agent status", nil, nil, &status); err != nil {
		seen.why = err.Error()
	} else {
		seen.status = &status
	}
	if s.deleting || f.seat() != f.Machine {
		return seen
	}
	if etcd, err := s.e.opts.Nodeside.Etcd(s.keys.PKI, conn.DialContext, time.Now()); err == nil {
		if state, err := etcd.State(ctx, false); err == nil {
			seen.etcd = &state
		}
	}
	return seen
}

// shows says that a node's machine on record is the one that its cloud shows.
func (s *survey) shows(name, machine string) bool {
	return slices.ContainsFunc(s.got, func(g plan.Observed) bool {
		return g.Key == s.machines[name] && g.ID == machine && g.State == cloud.Ready
	})
}

// askCouncil asks etcd for its members, through one that knows a leader: what it says then, the majority says.
func (s *survey) askCouncil(ctx context.Context) {
	names := slices.SortedFunc(maps.Keys(s.sights), func(a, b string) int { // one that began anew has not come far
		return cmp.Or(cmp.Compare(s.sights[b].revision(), s.sights[a].revision()), cmp.Compare(a, b))
	})
	for _, name := range names {
		seen := s.sights[name]
		if seen.etcd == nil || !seen.etcd.Leader || s.strange(name) {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, sightPatience)
		state, err := s.etcdState(ctx, name)
		cancel()
		if err == nil {
			s.council = &state
			s.status.Etcd = cmp.Or(s.status.Etcd, state.Cluster)
			return
		}
	}
}

func (s *survey) etcdState(ctx context.Context, name string) (kube.EtcdState, error) {
	conn, err := s.connect(ctx, s.facts.get(name), sightPatience)
	if err != nil {
		return kube.EtcdState{}, err
	}
	defer conn.Close()
	etcd, err := s.e.opts.Nodeside.Etcd(s.keys.PKI, conn.DialContext, time.Now())
	if err != nil {
		return kube.EtcdState{}, err
	}
	return etcd.State(ctx, true)
}

// errEmptied says that who answers as the cluster's Kubernetes has nothing of it.
var errEmptied = errors.New("the API server that answers is of another Kubernetes than this cluster's: the etcd that it asks lost its data and began anew")

// knows says whether Kubernetes has any of the nodes that were members last; true where none was.
func (s *survey) knows(members map[string]kube.NodeInfo) bool {
	joined := slices.DeleteFunc(s.facts.all(), func(f *Facts) bool { return !f.Joined })
	return len(joined) == 0 || slices.ContainsFunc(joined, func(f *Facts) bool { _, ok := members[f.Name]; return ok })
}

// emptied finds out whose etcd began anew, when an API server has shown that one did, and says whether another may be left. A
// member that the cluster began with has the ids then that it had before: it calls itself the only one. Where there ever was
// one only, it is that.
func (s *survey) emptied() (others bool) {
	s.blank = map[string]bool{}
	for name, seen := range s.sights {
		if seen.etcd != nil && len(seen.etcd.Members) == 1 {
			s.blank[name] = true
		}
	}
	if s.council != nil && len(s.council.Members) == 1 {
		s.council = nil
	}
	return len(s.blank) > 0 && slices.ContainsFunc(s.facts.all(), func(f *Facts) bool {
		return f.Role == spec.RoleControlPlane && f.Public.IsValid() && !s.voiceless(f)
	})
}

// strange says that the etcd on a node is none of this cluster's: it lost its data and began anew. What Kubernetes says
// there is nothing to go by.
func (s *survey) strange(name string) bool {
	seen := s.sights[name]
	return s.blank[name] || seen.etcd != nil && s.status.Etcd != "" && seen.etcd.Cluster != s.status.Etcd
}

// outside says, in words, how a node isn't as its config says although that was sent; empty when it is, or can't be asked.
func (s *survey) outside(name string, cfg node.Config, f *Facts) string {
	seen, asked := s.sights[name]
	if !asked {
		return ""
	}
	cfg.Revision = f.Revision
	digest, err := s.e.agentDigest()
	switch {
	case seen.status == nil:
		return "its agent doesn't answer: " + seen.why
	case err == nil && seen.status.Agent != digest:
		return "its agent is another program than the engine's"
	case seen.status.Revision != f.Revision:
		return fmt.Sprintf("its agent has config %d, and was given %d", seen.status.Revision, f.Revision)
	case seen.status.Digest != node.Digest(cfg):
		return "somebody changed the config that its agent has"
	case seen.status.Problem != "":
		return "its agent could not apply its config: " + seen.status.Problem
	}
	return ""
}

// connected says that a node's tunnel is known to work: its agent shows a late handshake, or another node of its site is
// Ready.
func (s *survey) connected(n spec.Node) bool {
	if seen := s.sights[n.Name]; seen.status != nil {
		for _, p := range seen.status.Peers {
			if time.Since(p.Handshake) < handshakeAge {
				return true
			}
		}
	}
	return slices.ContainsFunc(s.nodes, func(o spec.Node) bool {
		return o.Site == n.Site && o.Name != n.Name && s.members[o.Name].Ready
	})
}

// notReadyAfter is how long a node has been NotReady before something is done about it.
func (s *survey) notReadyAfter() time.Duration {
	return cmp.Or(time.Duration(s.spec.Spec.Repair.NotReadyAfter), 10*time.Minute)
}

// renewBefore is how long before its end a certificate is renewed. Kubelets renew theirs long before that.
const renewBefore = certificateMargin

// health fills in what Kubernetes, etcd and the machine itself say of a node.
func (s *survey) nodeHealth(n spec.Node, f *Facts, p *plan.Node) {
	seen := s.sights[n.Name]
	p.Seat = f.seat()
	p.Strange = s.strange(n.Name)
	if seen.etcd != nil {
		p.Answers, p.Revision = true, seen.etcd.Revision
	}
	p.Connected = s.connected(n)
	p.Expires = s.expires(seen)
	if s.kubeErr != nil || !p.Current {
		return
	}
	p.Lost = s.lost(n, f)
	m := s.members[n.Name]
	p.Labels = s.relabel(n, f, m)
	if !m.Ready && !m.Since.IsZero() && s.now.Sub(m.Since) >= s.notReadyAfter() {
		p.Sick = fmt.Sprintf("NotReady since %s (%s)", m.Since.UTC().Format("15:04 MST"), strings.TrimSuffix(m.Reason, "."))
		p.Mended = f.Mended.After(m.Since)
		p.Keep = s.spec.Spec.Repair.NotReadyWorkers == spec.KeepNotReady
	}
}

// expires says which certificate of a node runs out first, when that is soon.
func (s *survey) expires(seen machineSight) string {
	if seen.status == nil {
		return ""
	}
	var first node.Certificate
	for _, c := range seen.status.Certificates {
		if first.Expires.IsZero() || c.Expires.Before(first.Expires) {
			first = c
		}
	}
	left := first.Expires.Sub(s.now)
	switch {
	case first.Expires.IsZero() || left > renewBefore:
		return ""
	case left <= 0:
		return fmt.Sprintf("its certificate %s ran out on %s", first.File, first.Expires.Format(time.DateOnly))
	}
	return fmt.Sprintf("its certificate %s runs out on %s", first.File, first.Expires.Format(time.DateOnly))
}

// expelled says that etcd has no member on a node of the control plane: an API server there takes connections and answers
// nothing.
func (s *survey) expelled(f *Facts) bool {
	return s.council != nil && !slices.ContainsFunc(s.council.Members, func(m kube.EtcdMember) bool { return m.Name == f.Name })
}

// voiceless says that the API server on a node has no etcd beside it that it could ask: it may take connections all the same.
func (s *survey) voiceless(f *Facts) bool {
	_, unseated := s.unseated.Load(f.Name)
	return unseated || s.strange(f.Name) || s.expelled(f) || s.silent(f.Name)
}

// lost says how a member of the control plane lost its part in etcd though its machine runs. A majority must say so, or
// its own silence must have lasted.
func (s *survey) lost(n spec.Node, f *Facts) string {
	if n.Role != spec.RoleControlPlane || s.council == nil || !f.Joined {
		return ""
	}
	switch {
	case s.strange(n.Name):
		return "its etcd lost its data, and began a cluster of its own"
	case s.expelled(f):
		return "etcd has no member of its name any more"
	case !f.Silent.IsZero() && s.silent(n.Name) && s.now.Sub(f.Silent) >= s.notReadyAfter():
		return fmt.Sprintf("its etcd hasn't answered since %s, though its machine does and the other members are there", f.Silent.UTC().Format("15:04 MST"))
	}
	return ""
}

// silent says that the etcd on a control-plane node doesn't answer though its machine and the majority do.
func (s *survey) silent(name string) bool {
	seen, asked := s.sights[name]
	f := s.facts.get(name)
	return asked && seen.etcd == nil && s.council != nil && f != nil && f.Joined && f.seat() == f.Machine
}

// relabel says what of a Node is ours and was changed.
func (s *survey) relabel(n spec.Node, f *Facts, m kube.NodeInfo) string {
	var wrong []string
	want := ownLabels(n, f)
	for _, key := range sortedKeys(want) {
		switch have, ok := m.Labels[key]; {
		case !ok:
			wrong = append(wrong, "the label "+key+" is gone")
		case have != want[key]:
			wrong = append(wrong, fmt.Sprintf("the label %s differs: have %q, want %q", key, have, want[key]))
		}
	}
	for _, t := range n.Taints {
		if !slices.Contains(m.Taints, kube.Taint(t)) {
			wrong = append(wrong, fmt.Sprintf("the taint %s=%s:%s is gone", t.Key, t.Value, t.Effect))
		}
	}
	if m.PodCIDR == "" && f.Pods.IsValid() {
		wrong = append(wrong, "it has no pod block")
	}
	return strings.Join(wrong, "; ")
}

// strays finds Nodes in Kubernetes that stand for nothing: of a node that was taken out, in a control plane that was restored
// from before that. Those of somebody else are only named.
func (s *survey) strays() (out []plan.Stray, notes []string) {
	for _, name := range sortedKeys(s.members) {
		m := s.members[name]
		if s.facts.get(name) != nil || slices.ContainsFunc(s.nodes, func(n spec.Node) bool { return n.Name == name }) {
			continue
		}
		site := m.Labels[siteLabel]
		_, unknown := s.unknown[site]
		lives := slices.ContainsFunc(s.got, func(g plan.Observed) bool {
			return g.Machine != nil && g.State != cloud.Gone && g.Machine.ProviderID == m.ProviderID
		})
		if s.sites[site] == nil || !strings.HasPrefix(name, s.spec.Metadata.Name+"-") || m.Ready || unknown || lives {
			notes = append(notes, fmt.Sprintf("the Node %s in Kubernetes (%s) is none of this cluster's spec: left alone; 'kubectl delete node %s' removes it", name, m.ProviderID, name))
			continue
		}
		out = append(out, plan.Stray{Name: name, Site: site, Why: fmt.Sprintf("the spec has no such node, and %s has no machine %s", site, m.ProviderID)})
	}
	return out, notes
}
