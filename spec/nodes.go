package spec

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The roles of a node.
const (
	RoleControlPlane = "control-plane"
	RoleWorker       = "worker"
)

// Assigned is what a node got when it was first wanted. A node keeps it until it is gone.
type Assigned struct {
	Name string `json:"name"`
	Site string `json:"site"`
	// Zone counts the site's zones from 0 in the order of their names.
	Zone int `json:"zone"`
	// Address is the private address, inside ZoneBlock of the site's block and the zone.
	Address netip.Addr `json:"address"`
	// Pods is the node's pod block, a /24.
	Pods netip.Prefix `json:"pods"`
}

// Node is one wanted node.
type Node struct {
	Assigned
	// Role is RoleControlPlane or RoleWorker.
	Role string `json:"role"`
	// Group is the name of the workers' group, empty for control-plane nodes.
	Group  string            `json:"group,omitempty"`
	Size   string            `json:"size"`
	Labels map[string]string `json:"labels,omitempty"`
	Taints []Taint           `json:"taints,omitempty"`

	number int
	path   string // of the field that asks for it
}

// Nodes returns the nodes that a valid cluster wants, control plane first, each with its addresses: what existing says
// where the node is in it, else the lowest that are free. zones is how many zones each site has; members of the control
// plane and of each group are dealt to the zones of their site in turn. Everything in existing keeps its addresses taken,
// wanted or not, so it must list every node until its machine is gone.
func Nodes(c *Cluster, zones map[string]int, existing []Assigned) ([]Node, error) {
	have := make(map[string]Assigned, len(existing))
	free := allocator{c: c, addresses: map[netip.Addr]bool{}, pods: map[netip.Prefix]bool{}, nextHost: map[netip.Prefix]int{}}
	for _, a := range existing {
		have[a.Name] = a
		free.addresses[a.Address] = true
		free.pods[a.Pods] = true
	}
	nodes := wantedNodes(c)
	for i := range nodes {
		n := &nodes[i]
		if a, ok := have[n.Name]; ok {
			if a.Site != n.Site {
				return nil, fmt.Errorf("node %s is wanted at site %s and exists at site %s: it must go before its name can be used again", n.Name, n.Site, a.Site)
			}
			n.Assigned = a
			continue
		}
		if err := free.assign(n, zones[n.Site]); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// allocator hands out the lowest addresses and pod blocks that are free. What it handed out stays taken, so it never looks
// back.
type allocator struct {
	c         *Cluster
	addresses map[netip.Addr]bool
	pods      map[netip.Prefix]bool
	nextHost  map[netip.Prefix]int // by zone block
	nextPods  int
}

func (f *allocator) assign(n *Node, zones int) error {
	site, ok := f.c.Site(n.Site)
	if !ok {
		return fmt.Errorf("node %s: no site is named %s", n.Name, n.Site)
	}
	n.Zone = (n.number - 1) % max(1, min(zones, ZoneBlocks(site.Block)))
	part := ZoneBlock(site.Block, n.Zone)
	if n.Address, ok = f.address(part); !ok {
		return fmt.Errorf("node %s: no address is free in %s, zone %d of site %s", n.Name, part, n.Zone, n.Site)
	}
	if n.Pods, ok = f.podBlock(); !ok {
		return fmt.Errorf("node %s: no pod block is free in %s: nodes that are being removed keep theirs until they are gone", n.Name, f.c.Spec.Network.Pods)
	}
	return nil
}

func (f *allocator) address(part netip.Prefix) (netip.Addr, bool) {
	for f.nextHost[part] < hostsIn(part) {
		a := addrAt(part, uint32(firstHost+f.nextHost[part]))
		f.nextHost[part]++
		if !f.addresses[a] {
			return a, true
		}
	}
	return netip.Addr{}, false
}

func (f *allocator) podBlock() (netip.Prefix, bool) {
	for f.nextPods < podBlocks(f.c.Spec.Network.Pods) {
		f.nextPods++ // the first is left free
		if p := subBlock(f.c.Spec.Network.Pods, NodePodBits, f.nextPods); !f.pods[p] {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// wantedNodes names the nodes, without addresses.
func wantedNodes(c *Cluster) []Node {
	var nodes []Node
	cp := c.Spec.ControlPlane
	perSite := map[string]int{}
	for i := range cp.Replicas {
		if len(cp.Sites) == 0 || c.Measures() {
			break
		}
		site := cp.Sites[i%len(cp.Sites)]
		perSite[site]++
		n := perSite[site]
		nodes = append(nodes, Node{
			Assigned: Assigned{Name: fmt.Sprintf("%s-%s-cp-%d", c.Metadata.Name, site, n), Site: site},
			Role:     RoleControlPlane, Size: cp.Size, number: n, path: "spec.controlPlane.sites[" + strconv.Itoa(i%len(cp.Sites)) + "]",
		})
	}
	for i, g := range c.Spec.Workers {
		for _, n := range g.numbers() {
			nodes = append(nodes, Node{
				Assigned: Assigned{Name: fmt.Sprintf("%s-%s-%d", c.Metadata.Name, g.Name, n), Site: g.Site},
				Role:     RoleWorker, Group: g.Name, Size: g.Size, Labels: g.Labels, Taints: g.Taints, number: n,
				path: fmt.Sprintf("spec.workers[%d].name", i),
			})
		}
	}
	return nodes
}

// Majority returns the site whose loss takes the majority of the control plane with it, with how many of its members stand
// there; ok is false where there is none, or but one site.
func Majority(c *Cluster) (site string, there int, ok bool) {
	perSite := map[string]int{}
	for _, n := range wantedNodes(c) {
		if n.Role == RoleControlPlane {
			perSite[n.Site]++
		}
	}
	members := c.Spec.ControlPlane.Replicas
	for name, n := range perSite {
		if members-n < members/2+1 && len(c.Spec.Sites) > 1 {
			return name, n, true
		}
	}
	return "", 0, false
}

// numbers are those at the end of the names of the group's nodes: the lowest that aren't excluded.
func (w Workers) numbers() []int {
	excluded := make(map[int]bool, len(w.Exclude))
	for _, n := range w.Exclude {
		excluded[n] = true
	}
	numbers := make([]int, 0, max(0, w.Nodes()))
	for n := 1; len(numbers) < w.Nodes(); n++ {
		if !excluded[n] {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// AddWorkers makes a group larger by count nodes, 1 or more, and returns the names of the new ones.
func AddWorkers(c *Cluster, group string, count int) ([]string, error) {
	if count < 1 {
		return nil, fmt.Errorf("add %d workers to group %s of cluster %s: want at least 1", count, group, c.Metadata.Name)
	}
	var groups []string
	for i := range c.Spec.Workers {
		w := &c.Spec.Workers[i]
		groups = append(groups, w.Name)
		if w.Name != group {
			continue
		}
		before := w.numbers()
		if w.Nodes()+count > 500 {
			return nil, fmt.Errorf("add %d workers to group %s of cluster %s: it has %d; want at most 500 in a group", count, group, c.Metadata.Name, len(before))
		}
		w.Count = new(w.Nodes() + count)
		var names []string
		for _, n := range w.numbers()[len(before):] {
			names = append(names, fmt.Sprintf("%s-%s-%d", c.Metadata.Name, w.Name, n))
		}
		return names, nil
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("add a worker to group %s of cluster %s: it has no groups of workers; add one to spec.workers of its file and apply that", group, c.Metadata.Name)
	}
	return nil, fmt.Errorf("add a worker to group %s of cluster %s: there is no such group; want one of %s%s", group, c.Metadata.Name, strings.Join(groups, ", "), DidYouMean(group, groups))
}

// RemoveWorker makes the group that a worker belongs to smaller by exactly that one.
func RemoveWorker(c *Cluster, node string) error {
	for _, n := range wantedNodes(c) {
		if n.Name != node {
			continue
		}
		if n.Role == RoleControlPlane {
			return fmt.Errorf("remove node %s: it is a control-plane node, and the control plane is fixed; want a worker", node)
		}
		for i := range c.Spec.Workers {
			if c.Spec.Workers[i].Name == n.Group {
				c.Spec.Workers[i].remove(n.number)
			}
		}
		return nil
	}
	var names []string
	for _, n := range wantedNodes(c) {
		if n.Role == RoleWorker {
			names = append(names, n.Name)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("remove node %s: cluster %s has no workers", node, c.Metadata.Name)
	}
	return fmt.Errorf("remove node %s: cluster %s has no such worker; it has %s%s", node, c.Metadata.Name, strings.Join(names, ", "), DidYouMean(node, names))
}

func (w *Workers) remove(number int) {
	w.Count = new(w.Nodes() - 1)
	exclude := append(slices.Clone(w.Exclude), number)
	slices.Sort(exclude)
	w.Exclude = exclude
	highest := 0
	if left := w.numbers(); len(left) > 0 {
		highest = left[len(left)-1]
	}
	// Numbers above the highest in use needn't be remembered: the next node may have them.
	w.Exclude = slices.DeleteFunc(exclude, func(n int) bool { return n > highest })
	if len(w.Exclude) == 0 {
		w.Exclude = nil
	}
}
