package engine

import (
	"context"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/mesh"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/price"
	"github.com/skyweld/skyweld/sizes"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// Costs are what a cluster costs as it is: what of it is on record in its accounts.
type Costs struct {
	Cluster price.Estimate
	// Nodes are those of its nodes, by name: each machine with its disk and addresses.
	Nodes map[string]price.Sum
}

// uses are what a spec at a site costs.
func (st *site) uses(spec any) []price.Use {
	var out []price.Use
	for _, c := range st.driver.Charges(spec) {
		out = append(out, price.Use{Cloud: st.account.Provider, Site: st.spec.Name, Region: st.spec.Region, Charge: c})
	}
	return out
}

// unmade says that the site's account has no driver that could say anything of it.
func (st *site) unmade() bool {
	_, is := st.driver.(unmade)
	return is
}

// unlaid is what a node costs at a site whose driver couldn't be made, and so said nothing: its machine, and more that isn't
// known.
func (st *site) unlaid(size string) []price.Use {
	use := price.Use{Cloud: st.account.Provider, Site: st.spec.Name, Region: st.spec.Region}
	machine, rest := use, use
	machine.Charge = cloud.Charge{Part: cloud.PartMachine, Type: sizes.TypeName(string(st.account.Provider), size)}
	rest.Charge = cloud.Charge{Part: cloud.PartDisk, Type: "disk", GiB: diskGiB}
	return []price.Use{machine, rest}
}

// compared is what the survey's plan means for the bill. All sites were asked: else there would be no plan.
func (s *survey) compared() price.Comparison {
	var now, after []price.Use
	for _, r := range s.want {
		after = append(after, s.sites[r.Site].uses(r.Spec)...)
	}
	for _, o := range s.got {
		if st := s.sites[o.Site]; st != nil && billable(o) {
			now = append(now, st.uses(o.Spec)...)
		}
	}
	return price.Changed(now, after)
}

// billable says whether what was observed is the cluster's own, and still there.
func billable(o plan.Observed) bool { return o.State != cloud.Gone && (o.Recorded || o.Intended) }

// Costs says what a cluster costs as it is. It asks no cloud: what is on record is laid out again.
func (e *Engine) Costs(ctx context.Context, c store.Cluster) (Costs, error) {
	recorded, err := e.onRecord(ctx, c)
	if err != nil {
		return Costs{}, err
	}
	var all []price.Use
	out := Costs{Nodes: map[string]price.Sum{}}
	for _, sp := range c.Spec.Spec.Sites {
		st, err := e.site(ctx, sp)
		if err != nil {
			return Costs{}, err
		}
		for name, uses := range recorded.of(st) {
			all = append(all, uses...)
			out.Nodes[name] = price.Total(uses)
		}
	}
	out.Cluster = price.EstimateOf(all)
	return out, nil
}

// record is what the engine has on record of a cluster, as far as it is paid for.
type record struct {
	cluster store.Cluster
	nodes   []Facts
	keys    map[string]bool
}

func (e *Engine) onRecord(ctx context.Context, c store.Cluster) (record, error) {
	lines, err := e.store.ListResources(ctx, c.UID)
	if err != nil {
		return record{}, err
	}
	r := record{cluster: c, keys: map[string]bool{}}
	for _, line := range lines {
		r.keys[line.Key] = true
	}
	r.nodes, err = e.nodesOnRecord(ctx, c)
	return r, err
}

// of is what is paid for at a site, by node; what is for no node costs nothing.
func (r record) of(st *site) map[string][]price.Use {
	out := map[string][]price.Use{}
	for _, res := range st.laidOut(r.cluster, r.nodes) {
		if uses := st.uses(res.Spec); r.keys[res.Key] && len(uses) > 0 {
			out[res.Machine] = append(out[res.Machine], uses...)
		}
	}
	for _, f := range r.nodes {
		if st.unmade() && f.Site == st.spec.Name && f.Machine != "" {
			out[f.Name] = st.unlaid(f.Type)
		}
	}
	return out
}

// nodesOnRecord are the facts of a cluster's nodes, those among them that are to go, with the type of each: of a machine
// that hasn't said its own it is the one that is wanted.
func (e *Engine) nodesOnRecord(ctx context.Context, c store.Cluster) ([]Facts, error) {
	list, err := e.store.GetNodes(ctx, c.UID)
	if err != nil {
		return nil, err
	}
	zones := map[string]int{}
	for _, sp := range c.Spec.Spec.Sites {
		zones[sp.Name] = siteZones
	}
	wanted := map[string]spec.Node{}
	var assigned []spec.Assigned
	var out []Facts
	for _, n := range list {
		f, err := readFacts(n)
		if out = append(out, f); err == nil {
			assigned = append(assigned, f.Assigned)
		}
	}
	all, err := spec.Nodes(c.Spec, zones, assigned)
	if err != nil { // of a cluster that is being deleted: what is on record is all there is
		return out, nil //nolint:nilerr // see above
	}
	for _, n := range all {
		wanted[n.Name] = n
	}
	for i, f := range out {
		if f.Type == "" {
			out[i].Type = wanted[f.Name].Size
		}
		delete(wanted, f.Name)
	}
	for _, n := range wanted { // some of it may be on record before the node is
		out = append(out, Facts{Assigned: n.Assigned, Role: n.Role, Type: n.Size})
	}
	return out, nil
}

// laidOut are the resources of a site with the nodes that are on record there, each by itself: one that can't be laid out
// any more takes no other with it. What all share costs nothing and comes along.
func (st *site) laidOut(c store.Cluster, nodes []Facts) []cloud.Resource {
	owner := cloud.Owner{UID: c.UID, Name: c.Name}
	in := cloud.Site{Name: st.spec.Name, Region: st.spec.Region, Zones: st.zones, Block: st.spec.Block, Pods: c.Spec.Spec.Network.Pods, TunnelPort: mesh.DefaultPort}
	var out []cloud.Resource
	for _, f := range nodes {
		if f.Site != st.spec.Name {
			continue
		}
		one := in
		one.Machines = []cloud.Machine{{Name: f.Name, Role: cloud.Role(f.Role), Size: f.Type, Zone: st.zones[f.Zone%len(st.zones)], Address: f.Address, DiskGiB: diskGiB}}
		resources, err := st.driver.Blueprint(owner, one)
		if err != nil {
			continue
		}
		for _, r := range resources {
			if r.Machine == f.Name {
				out = append(out, r)
			}
		}
	}
	return out
}
