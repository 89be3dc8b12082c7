package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/remote"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// The conditions that the care loop keeps.
const (
	apiReachable      = "APIReachable"
	nodesReady        = "NodesReady"
	certificatesValid = "CertificatesValid"
	agentsReachable   = "AgentsReachable"
)

const (
	// probePatience is how long an API server, or a machine's sshd, may take to answer.
	probePatience = 5 * time.Second
	// certificateMargin is how long before the end of a certificate that is worth a word, and a run.
	certificateMargin = 30 * 24 * time.Hour
	// knocks is how many machines one look knocks at, by turns: SSH is the engine's only way to its agents, and to log in at
	// each of them twice a minute would cost both sides more than all the rest of a look. An sshd that is only greeted has
	// nothing to compute, but may hold too many greetings against who brings them.
	knocks = 2
)

// sight is what one look saw.
type sight struct {
	verdicts []verdict
	// silent are the nodes that didn't let the engine in; the next look asks them again.
	silent []string
	nodes  NodeCount
	paths  pathSight
}

// see looks at a cluster: its API servers and their certificates, its nodes as Kubernetes has them, and some of its machines;
// which, the claim's turn says. It asks no cloud. Of a cluster without a control plane there is nothing to be seen.
func (e *Engine) see(ctx context.Context, claim store.CareClaim, m careMemory) (sight, error) {
	s, err := e.knownOf(ctx, claim.Current)
	if err != nil {
		return sight{}, err
	}
	if !s.status.Initialized || s.keys == nil {
		return sight{}, nil
	}
	var out sight
	endpoints := s.probe(ctx)
	agents := verdict{}
	var group sync.WaitGroup
	group.Go(func() { agents, out.silent = s.knock(ctx, claim.Epoch, m.Silent) })
	nodes, members := s.seeNodes(ctx, endpoints, &out.nodes)
	if out.paths, err = s.seePaths(ctx, members, m.Paths.Down, claim.Now); err != nil && ctx.Err() == nil {
		e.log.Warn("what is measured between sites could not be read or stored", "cluster", s.cluster.Name, "err", err)
	}
	group.Wait()
	out.verdicts = []verdict{seeAPI(endpoints), nodes, s.seeCertificates(endpoints, time.Now()), agents}
	return out, ctx.Err()
}

// endpoint is one API server and what came of asking it.
type endpoint struct {
	node    string
	address netip.AddrPort
	seen    kube.Endpoint
	err     error
}

func (p endpoint) String() string { return fmt.Sprintf("%s (%s)", p.node, p.address) }

// probe asks all API servers at once.
func (s *survey) probe(ctx context.Context) []endpoint {
	var out []endpoint
	for _, n := range s.nodes {
		if f := s.facts.get(n.Name); n.Role == spec.RoleControlPlane && f != nil && f.Public.IsValid() {
			out = append(out, endpoint{node: n.Name, address: netip.AddrPortFrom(f.Public, kube.APIPort)})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	var group sync.WaitGroup
	for i := range out {
		group.Go(func() {
			p := &out[i]
			var b kube.Backend
			if b, p.err = s.backend(s.facts.get(p.node)); p.err == nil {
				p.seen, p.err = s.e.opts.Nodeside.Probe(ctx, s.kubeCluster(), s.keys.PKI.CA, b, time.Now())
			}
		})
	}
	group.Wait()
	return out
}

func seeAPI(all []endpoint) verdict {
	var silent, wrong []string
	for _, p := range all {
		if p.err != nil {
			silent = append(silent, fmt.Sprintf("%s: %s", p, wayTrouble(p.err)))
			wrong = append(wrong, "the API endpoint "+p.node)
		}
	}
	switch {
	case len(all) == 0:
		return verdict{kind: apiReachable, status: conditionUnknown, reason: "NoEndpoint", message: "no control-plane node has an address yet"}
	case len(silent) == 0:
		return verdict{kind: apiReachable, status: conditionTrue, reason: "APIReachable", message: fmt.Sprintf("all %d API endpoints answer", len(all))}
	}
	return verdict{kind: apiReachable, status: conditionFalse, reason: "APINotReachable", wrong: wrong,
		message: fmt.Sprintf("%d of %d API endpoints answer: %s", len(all)-len(silent), len(all), firstFew(silent))}
}

// wayTrouble says why something wasn't reached, on one line.
func wayTrouble(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it didn't answer for " + probePatience.String()
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// seeNodes asks Kubernetes for its nodes, by one of the API servers that answered.
func (s *survey) seeNodes(ctx context.Context, endpoints []endpoint, count *NodeCount) (verdict, map[string]kube.NodeInfo) {
	members, err := s.listNodes(ctx, endpoints)
	if ctx.Err() == nil {
		s.e.sightings.note(s.cluster.UID, members, err)
	}
	if err != nil {
		count.Unknown = len(s.nodes)
		return verdict{kind: nodesReady, status: conditionUnknown, reason: "KubernetesSilent", message: "Kubernetes can't be asked for its nodes: " + wayTrouble(err)}, members
	}
	var bad, wrong []string
	for _, n := range s.nodes {
		m, in := members[n.Name]
		f := s.facts.get(n.Name)
		why := ""
		switch {
		case !in:
			why = "not in Kubernetes"
		case f != nil && m.ProviderID != f.ProviderID:
			why = "in Kubernetes as another machine"
		case !m.Ready:
			why = strings.TrimSuffix(strings.TrimSpace(m.Reason), ".")
		default:
			continue
		}
		bad = append(bad, strings.TrimSuffix(n.Name+" ("+why+")", " ()"))
		wrong = append(wrong, "node "+n.Name)
	}
	count.Ready, count.NotReady = len(s.nodes)-len(bad), len(bad)
	text := fmt.Sprintf("%d of %d nodes are Ready", len(s.nodes)-len(bad), len(s.nodes))
	if len(bad) == 0 {
		return verdict{kind: nodesReady, status: conditionTrue, reason: "NodesReady", message: text}, members
	}
	return verdict{kind: nodesReady, status: conditionFalse, reason: "NodesNotReady", message: text + ": " + firstFew(bad), wrong: wrong}, members
}

func (s *survey) listNodes(ctx context.Context, endpoints []endpoint) (map[string]kube.NodeInfo, error) {
	var backends []kube.Backend
	for _, p := range endpoints {
		if p.err != nil {
			continue
		}
		b, err := s.backend(s.facts.get(p.node))
		if err != nil {
			return nil, err
		}
		backends = append(backends, b)
	}
	if len(backends) == 0 {
		return nil, errors.New("no API endpoint answers")
	}
	client, err := s.e.opts.Nodeside.Kubernetes(s.kubeCluster(), s.keys.PKI, backends, time.Now())
	if err != nil {
		return nil, err
	}
	if c, ok := client.(interface{ Close() }); ok { // a connection for each look would pile up
		defer c.Close()
	}
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	list, err := client.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]kube.NodeInfo{}
	for _, n := range list {
		out[n.Name] = n
	}
	return out, nil
}

// seeCertificates holds the certificates that API servers show, and the cluster's authorities, against the clock. Kubelets
// renew theirs by themselves, and one whose certificate ran out is a node that isn't Ready.
func (s *survey) seeCertificates(endpoints []endpoint, now time.Time) verdict {
	type certificate struct {
		what string
		end  time.Time
		mend string // what a run could mend, empty for nothing
	}
	var all []certificate
	if name, end, err := s.keys.PKI.Expiry(); err == nil {
		all = append(all, certificate{what: "the authority " + name, end: end})
	}
	for _, p := range endpoints {
		if !p.seen.NotAfter.IsZero() {
			all = append(all, certificate{"that of the API server on " + p.node, p.seen.NotAfter, "the certificate of the API server on " + p.node})
		}
	}
	var bad, wrong []string
	for _, c := range all {
		left := c.end.Sub(now)
		switch {
		case left > certificateMargin:
			continue
		case left <= 0:
			bad = append(bad, fmt.Sprintf("%s ran out on %s", c.what, c.end.UTC().Format(time.DateOnly)))
		default:
			bad = append(bad, fmt.Sprintf("%s runs out on %s", c.what, c.end.UTC().Format(time.DateOnly)))
		}
		if c.mend != "" {
			wrong = append(wrong, c.mend)
		}
	}
	if len(bad) == 0 {
		return verdict{kind: certificatesValid, status: conditionTrue, reason: "CertificatesValid", message: fmt.Sprintf("no certificate runs out within %d days", int(certificateMargin.Hours()/24))}
	}
	return verdict{kind: certificatesValid, status: conditionFalse, reason: "CertificatesEnding", message: firstFew(bad), wrong: wrong}
}

// knock finds out whether machines let the engine in: those that didn't at the last look, and the next few by turns. What an
// agent knows of itself the hourly run asks; between runs a node that its agent doesn't keep shows as one that isn't Ready.
func (s *survey) knock(ctx context.Context, turn int64, silent []string) (verdict, []string) {
	var names []string
	for _, n := range s.nodes {
		if f := s.facts.get(n.Name); f != nil && f.prepared() && f.Public.IsValid() {
			names = append(names, n.Name)
		}
	}
	ask := slices.DeleteFunc(slices.Clone(silent), func(name string) bool { return !slices.Contains(names, name) })
	for i := range min(knocks, len(names)) {
		if name := names[(int(turn%int64(len(names)))*knocks+i)%len(names)]; !slices.Contains(ask, name) {
			ask = append(ask, name)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	failed := make([]error, len(ask))
	var group sync.WaitGroup
	for i, name := range ask {
		group.Go(func() { failed[i] = s.knockAt(ctx, s.facts.get(name)) })
	}
	group.Wait()
	var bad, wrong, still []string
	for i, err := range failed {
		if err != nil {
			bad = append(bad, fmt.Sprintf("%s (%s): %s", ask[i], s.facts.get(ask[i]).Public, wayTrouble(err)))
			wrong, still = append(wrong, "the way to the agent on "+ask[i]), append(still, ask[i])
		}
	}
	if len(bad) == 0 {
		return verdict{kind: agentsReachable, status: conditionTrue, reason: "AgentsReachable", message: "the machines let the engine in"}, nil
	}
	return verdict{kind: agentsReachable, status: conditionFalse, reason: "AgentsNotReachable", message: "by SSH the engine can't reach " + firstFew(bad), wrong: wrong}, still
}

func (s *survey) knockAt(ctx context.Context, f *Facts) error {
	return s.e.opts.Nodeside.Knock(ctx, netip.AddrPortFrom(f.Public, 22), s.sites[f.Site].account.Proxy)
}

// backend is a control-plane node's API server as the engine reaches it.
func (s *survey) backend(f *Facts) (kube.Backend, error) {
	st := s.sites[f.Site]
	if st == nil {
		return kube.Backend{}, fmt.Errorf("node %s: the cluster has no site %s", f.Name, f.Site)
	}
	dial, err := remote.Dialer(st.account.Proxy)
	return kube.Backend{Address: netip.AddrPortFrom(f.Public, kube.APIPort).String(), Dial: kube.Dial(dial)}, err
}
