package plan

import (
	"fmt"

	"github.com/skyweld/skyweld/cloud"
)

// mostIll is the part of all nodes, in percent, that may be NotReady while one is replaced for that. What more of them have
// in common isn't a machine.
const mostIll = 40

// illness is what is done about nodes that stay NotReady: their config is applied again; a worker for which that was in vain
// is given up.
type illness struct {
	mend   map[string]string // node → why
	giveUp map[string]string // machine's key → why
}

// treat decides what is done about nodes that stay NotReady. Each site has one treated at a time. That a Node is NotReady is
// weak evidence: nothing is done about a machine that its cloud doesn't show running, and none is replaced whose site or
// tunnel may be what fails.
func (m *maker) treat() illness {
	out := illness{mend: map[string]string{}, giveUp: map[string]string{}}
	if m.in.Deleting || !m.in.Initialized || !m.in.Answers {
		return out
	}
	all, ill := 0, 0
	busy := map[string]bool{} // sites that have their one
	for _, n := range m.in.Nodes {
		if !n.Wanted {
			continue
		}
		if n.Registered {
			all++
		}
		if n.Registered && !n.Ready {
			ill++
		}
		if got := m.got[n.Machine]; n.Role == cloud.Worker && (got == nil || n.Prepared != got.ID || !n.Registered || !n.Current) {
			busy[n.Site] = true
		}
	}
	tooMany := ill*100 > mostIll*all
	for _, mended := range []bool{true, false} { // who has been tried for longer comes first
		for _, n := range m.in.Nodes {
			if n.Sick == "" || n.Mended != mended || !m.runs(n) {
				continue
			}
			m.treatOne(n, &out, busy, tooMany, fmt.Sprintf("%d of %d nodes", ill, all))
		}
	}
	return out
}

// runs says that a node's own machine is there and runs, as its cloud says now.
func (m *maker) runs(n Node) bool {
	got := m.got[n.Machine]
	_, unknown := m.in.Unknown[n.Site]
	return n.Wanted && n.Current && !unknown && got != nil && got.State == cloud.Ready && got.ID == n.Prepared
}

func (m *maker) treatOne(n Node, out *illness, busy map[string]bool, tooMany bool, share string) {
	note := func(format string, args ...any) {
		m.notes = append(m.notes, fmt.Sprintf("node %s is %s, and its machine is not replaced: ", n.Name, n.Sick)+fmt.Sprintf(format, args...))
	}
	switch {
	case busy[n.Site] && n.Mended:
		note("another node at site %s comes first", n.Site)
	case busy[n.Site]: // its turn comes
	case !n.Mended:
		out.mend[n.Name] = n.Sick
		busy[n.Site], m.more = true, true
	case n.Role != cloud.Worker:
		note("it is of the control plane; look into it with 'skyweld ssh %s', or delete its machine in the cloud, and it is made anew", n.Name)
	case n.Keep:
		note("spec.repair.notReadyWorkers is keep")
	case tooMany:
		note("%s are NotReady, more than %d %%; that is not for one machine to mend", share, mostIll)
	case !n.Connected:
		note("nothing shows that the tunnel to site %s works; if it is the machine, delete it in the cloud, and it is made anew", n.Site)
	default:
		out.giveUp[n.Machine] = n.Sick + ", and applying its config again did not help"
		busy[n.Site], m.more = true, true
	}
}

// mendings adds the steps that Kubernetes' own state, and what the agents say, ask for.
func (m *maker) mendings(nodes []Node) {
	renewed := ""
	for _, n := range nodes {
		_, unknown := m.in.Unknown[n.Site]
		if unknown || !n.Wanted || m.steps[string(Prepare)+"/"+n.Name] != nil || m.steps[m.by[n.Machine]] != nil || n.Prepared == "" {
			continue
		}
		after := string(Configure) + "/" + n.Name
		if n.Expires != "" {
			m.node(Renew, n, n.Expires, after)
			if n.Role == cloud.ControlPlane { // etcd is started again for it
				m.depend(string(Renew)+"/"+n.Name, renewed)
				renewed = string(Renew) + "/" + n.Name
			}
		}
		if !m.in.Answers || !n.Current || n.Lost != "" {
			continue
		}
		if why := m.ill.mend[n.Name]; why != "" {
			m.node(Mend, n, why, after)
		}
		if n.Labels != "" {
			m.node(Label, n, n.Labels, after)
		}
	}
	if !m.in.Answers {
		return
	}
	for _, s := range m.in.Strays {
		m.node(Forget, Node{Name: s.Name, Site: s.Site}, s.Why)
	}
	if m.in.Spread != "" {
		s := &Step{ID: string(Spread) + "/coredns", Action: Spread, Kind: KubernetesKind, Key: "coredns", Reason: m.in.Spread}
		m.steps[s.ID] = s
	}
}
