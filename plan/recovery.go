package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/cloud"
)

// Loss is a control plane that has lost etcd's majority for good: the machines of so many members are gone, or their data.
// Nothing brings back what only they knew, so people must say that the rest is to be made the whole.
type Loss struct {
	// Gone are the nodes whose members are lost, Left those whose machines are there, or may be.
	Gone, Left []string
	// Emptied are those of Gone whose machines are there, with an etcd that began anew.
	Emptied []string
	// Sure are those of Left whose clouds show their machines.
	Sure []string
}

func (l Loss) String() string {
	machines := slices.DeleteFunc(slices.Clone(l.Gone), func(name string) bool { return slices.Contains(l.Emptied, name) })
	members := len(l.Gone) + len(l.Left)
	var what []string
	if len(machines) > 0 {
		what = append(what, fmt.Sprintf("the machines of %d of its %d members are gone (%s)", len(machines), members, strings.Join(machines, ", ")))
	}
	if len(l.Emptied) > 0 {
		what = append(what, fmt.Sprintf("%d of its %d members lost their data and began anew (%s)", len(l.Emptied), members, strings.Join(l.Emptied, ", ")))
	}
	text := "etcd has lost its majority for good: " + strings.Join(what, ", and ")
	if len(l.Left) > 0 {
		return text + ", and " + strings.Join(l.Left, ", ") + " is left"
	}
	return text
}

// Loss says whether the control plane is lost, nil when it isn't or that isn't certain: Kubernetes still answers, or a site
// that can't be observed may hold what makes a majority.
func (in Input) Loss() *Loss {
	if !in.Initialized || in.Deleting || in.Answers {
		return nil
	}
	l := Loss{}
	for _, n := range in.Nodes {
		if n.Role != cloud.ControlPlane || n.Seat == "" {
			continue
		}
		_, unknown := in.Unknown[n.Site]
		there := slices.ContainsFunc(in.Got, func(g Observed) bool {
			return g.Key == n.Machine && g.ID == n.Seat && g.State != cloud.Gone
		})
		switch {
		case unknown:
			l.Left = append(l.Left, n.Name)
		case there && !n.Strange:
			l.Left, l.Sure = append(l.Left, n.Name), append(l.Sure, n.Name)
		case there:
			l.Gone, l.Emptied = append(l.Gone, n.Name), append(l.Emptied, n.Name)
		default:
			l.Gone = append(l.Gone, n.Name)
		}
	}
	if members := len(l.Gone) + len(l.Left); members == 0 || len(l.Left) >= members/2+1 {
		return nil
	}
	return &l
}

// recover makes a control plane of what is left of a lost one, if somebody has approved that: of one member that is there,
// else of the last snapshot. All others join it anew.
func (m *maker) recover(l *Loss, nodes []Node) {
	first, action, reason, waits := m.keeper(l, nodes)
	if waits != "" {
		m.notes = append(m.notes, l.String()+". "+waits)
		return
	}
	m.node(action, first, reason, string(Configure)+"/"+first.Name)
	begin := string(action) + "/" + first.Name
	last := begin
	for _, n := range nodes {
		_, unknown := m.in.Unknown[n.Site]
		if n.Name == first.Name || n.Role != cloud.ControlPlane || !n.Wanted || unknown {
			continue
		}
		join := Join
		if slices.Contains(l.Sure, n.Name) || slices.Contains(l.Emptied, n.Name) && m.steps[string(Prepare)+"/"+n.Name] == nil {
			join = Rejoin
		}
		m.node(Forget, n, "its part of etcd is lost", last)
		m.node(join, n, "not in the control plane that is made of "+first.Name, string(Configure)+"/"+n.Name, string(Forget)+"/"+n.Name)
		last = string(join) + "/" + n.Name
	}
	m.more = true
	m.notes = append(m.notes, "what else differs in Kubernetes is planned when its control plane is back")
}

// keeper chooses the node that the control plane is made of again, and how; waits says what that waits for.
func (m *maker) keeper(l *Loss, nodes []Node) (first Node, action Action, reason, waits string) {
	ask := fmt.Sprintf("Nothing is done about that before 'skyweld reconcile %s --approve': ", m.in.Cluster)
	best := -1
	for i, n := range nodes {
		if slices.Contains(l.Sure, n.Name) && n.Wanted && n.Answers && (best < 0 || n.Revision > nodes[best].Revision) {
			best = i
		}
	}
	switch {
	case len(l.Left) > 0 && len(l.Sure) < len(l.Left):
		return first, "", "", "Sites that can't be observed may hold the rest of it: nothing is decided before they answer"
	case len(l.Sure) > 0 && m.in.Approved == "":
		return first, "", "", ask + "it makes a control plane of what " + strings.Join(l.Sure, " or ") + " has; what only the lost ones knew, the last moments before, is gone then"
	case len(l.Sure) > 0 && best < 0:
		return first, "", "", fmt.Sprintf("But etcd on %s doesn't answer: mend it, or delete the machine, and the last snapshot is taken instead", strings.Join(l.Sure, ", "))
	case len(l.Sure) > 0:
		return nodes[best], Recover, fmt.Sprintf("%s; what it has becomes etcd, as %s approved", l, m.in.Approved), ""
	case m.in.Snapshot == "":
		return first, "", "", "There is no snapshot of it either: what Kubernetes held is lost. Delete the cluster, and make it again"
	case m.in.Approved == "":
		return first, "", "", ask + "it makes a control plane of " + m.in.Snapshot + "; what was changed in Kubernetes since then is gone"
	}
	for _, n := range nodes {
		if _, unknown := m.in.Unknown[n.Site]; n.Role == cloud.ControlPlane && n.Wanted && !unknown {
			return n, Restore, fmt.Sprintf("%s; %s becomes etcd, as %s approved", l, m.in.Snapshot, m.in.Approved), ""
		}
	}
	return first, "", "", "No site of the control plane can be observed: nothing is decided before they answer"
}
