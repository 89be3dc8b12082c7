package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/cloud"
)

// spare says which resources must not be replaced by this plan for the sake of the control plane, though they differ.
// One of its machines is replaced at a time, while all others are members in good health and still form a quorum without
// it; the rest waits for the next plan. What would take several of them away at once is never replaced.
func (m *maker) spare() (map[string]bool, error) {
	out := map[string]bool{}
	c := m.council()
	if !m.in.Initialized || m.in.Deleting || c.total == 0 {
		return out, nil
	}
	for i := range m.in.Want {
		r := &m.in.Want[i]
		diffs, err := m.immutable(r)
		if err != nil {
			return nil, err
		}
		if len(diffs) == 0 {
			continue
		}
		lost, err := m.dragged(r.Key, c)
		if err != nil {
			return nil, err
		}
		if why, later := c.refuse(lost); why != "" {
			out[r.Key], m.more = true, m.more || later
			m.notes = append(m.notes, fmt.Sprintf("%s %s is not replaced now (%s): %s", r.Kind, r.Key, reasons(diffs), why))
		}
	}
	return out, nil
}

// council is the control plane as far as replacing its machines is concerned.
type council struct {
	total   int
	members map[string]string // machine's key → node
	healthy map[string]bool   // nodes
	busy    []string          // nodes that are being made again, in order
}

func (m *maker) council() *council {
	c := &council{members: map[string]string{}, healthy: map[string]bool{}}
	for _, n := range m.in.Nodes {
		if n.Role != cloud.ControlPlane || !n.Wanted {
			continue
		}
		c.total++
		c.members[n.Machine] = n.Name
		got := m.got[n.Machine]
		_, unknown := m.in.Unknown[n.Site]
		switch {
		case unknown:
		case got == nil || n.Prepared != got.ID || !n.Registered || !n.Current || n.Lost != "":
			c.busy = append(c.busy, n.Name)
		case n.Ready:
			c.healthy[n.Name] = true
		}
	}
	return c
}

// refuse says why the machines of the given nodes can't go now, and whether they may as soon as this plan is done.
func (c *council) refuse(lost []string) (why string, later bool) {
	switch len(lost) {
	case 0:
		return "", false
	case 1:
	default:
		return fmt.Sprintf("that would take away %d control-plane machines at once (%s); put it back as it was, or delete the cluster and make it again",
			len(lost), strings.Join(lost, ", ")), false
	}
	for _, n := range c.busy {
		if n != lost[0] {
			return fmt.Sprintf("control-plane machines are replaced one at a time, and %s comes first", n), true
		}
	}
	left := len(c.healthy)
	if c.healthy[lost[0]] {
		left--
	}
	if quorum := c.total/2 + 1; left < quorum {
		return fmt.Sprintf("without %s %d of %d control-plane nodes would be in good health, and etcd needs %d; mend the others first",
			lost[0], left, c.total, quorum), false
	}
	if !slices.Contains(c.busy, lost[0]) {
		c.busy = append(c.busy, lost[0])
	}
	return "", false
}

// immutable lists how a resource differs in fields that can't be changed in place; nothing for what isn't there.
func (m *maker) immutable(r *cloud.Resource) ([]Difference, error) {
	got := m.got[r.Key]
	if _, unknown := m.in.Unknown[r.Site]; unknown || got == nil {
		return nil, nil
	}
	info, err := m.info(r.Site, r.Kind)
	if err != nil {
		return nil, err
	}
	diffs, err := Diff(r.Spec, got.Spec)
	if err != nil {
		return nil, fmt.Errorf("plan: compare %s: %w", r.Key, err)
	}
	if why := m.failed(r.Key); why != "" {
		diffs = append(diffs, Difference{Field: failedField, Have: why, Want: "another machine"})
	}
	return slices.DeleteFunc(diffs, func(d Difference) bool { return slices.Contains(info.Mutable, d.Field) }), nil
}

// dragged lists the control-plane nodes whose machines would be replaced along with a resource.
func (m *maker) dragged(root string, c *council) ([]string, error) {
	gone := map[string]bool{root: true}
	var nodes []string
	for i := range m.in.Want {
		r := &m.in.Want[i]
		info, err := m.info(r.Site, r.Kind)
		if err != nil {
			return nil, err
		}
		for _, d := range r.DependsOn {
			if !gone[d] {
				continue
			}
			for _, diff := range referenceTo(r.Spec, d) {
				gone[r.Key] = gone[r.Key] || !slices.Contains(info.Mutable, diff.Field)
			}
		}
		if node := c.members[r.Key]; node != "" && gone[r.Key] && m.got[r.Key] != nil {
			nodes = append(nodes, node)
		}
	}
	return nodes, nil
}
