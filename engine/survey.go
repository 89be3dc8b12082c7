package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/engine/paths"
	"github.com/skyweld/skyweld/engine/traffic"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/mesh"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// survey is everything known about a cluster at one moment: what is wanted, what the clouds and Kubernetes show, and the
// plan between them. A dry run ends here; a run goes on with it.
type survey struct {
	e       *Engine
	cluster store.Cluster
	spec    *spec.Cluster
	owner   cloud.Owner
	sites   map[string]*site
	nodes   []spec.Node
	facts   *factsMap
	status  Status
	keys    *keys
	// found is where the engine comes from, by account, as far as that was found out.
	found map[string][]netip.Prefix

	// now is the database's time just before the clouds were asked.
	now     time.Time
	want    []cloud.Resource
	got     []plan.Observed
	unknown map[string]string
	ledger  struct {
		lines   []store.Resource
		intents []store.Intent
	}
	// machines is the key of each node's machine, reach the keys of what makes it reachable from outside; of nodes that
	// are to go, too.
	machines map[string]string
	reach    map[string][]string
	scrubber scrubber
	// members are the nodes Kubernetes has; kubeErr says why it couldn't be asked.
	members map[string]kube.NodeInfo
	kubeErr error
	// sights are what machines say of themselves, by node; council is what etcd's majority says, nil when it didn't.
	sights  map[string]machineSight
	council *kube.EtcdState
	// approved is who approved what only people may decide, empty for nobody.
	approved string
	// blank are the nodes whose etcd began anew though it goes by its old name.
	blank map[string]bool
	// unseated are the names of nodes whose members of etcd were taken out since.
	unseated sync.Map
	// loss is how the control plane was lost, nil when it wasn't; snapshot is the last one of etcd then.
	loss     *plan.Loss
	snapshot store.Snapshot
	graph    plan.Graph
	// deleting says that all of the cluster goes. abandoned are the sites of it that a user gave up: they are left out.
	deleting  bool
	abandoned []store.Abandonment
	// obstacles are what this run of a deletion found in its way.
	obstacles []Obstacle
	// down are the pairs of sites whose tunnel was seen to be down.
	down []paths.Pair
	// rekeyed says of nodes whose tunnel has another key than the one that was on record.
	rekeyed map[string]string
	// refused are the parts of the plan that the accounts would refuse, nil for none.
	refused *Refused
	// calls are those that looking, and then what the plan asks for, has made to the clouds.
	calls traffic.Tally
}

// site is one site with the driver of its account.
type site struct {
	spec    spec.Site
	account cloud.Account
	driver  cloud.Driver
	zones   []string
}

// factsMap is the facts of all nodes of a cluster. What it hands out is never changed, only replaced.
type factsMap struct {
	mu sync.RWMutex
	m  map[string]*Facts
}

func (f *factsMap) get(name string) *Facts {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.m[name]
}

func (f *factsMap) put(v *Facts) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := *v
	f.m[v.Name] = &c
}

func (f *factsMap) drop(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.m, name)
}

func (f *factsMap) assigned() []spec.Assigned {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var out []spec.Assigned
	for _, v := range f.m {
		out = append(out, v.Assigned)
	}
	return out
}

func (f *factsMap) all() []*Facts {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var out []*Facts
	for _, name := range slices.Sorted(maps.Keys(f.m)) {
		out = append(out, f.m[name])
	}
	return out
}

// look gathers everything about a cluster and plans. It changes nothing, in no cloud and not in the store.
func (e *Engine) look(ctx context.Context, c store.Cluster, wanted *spec.Cluster, deleting bool) (*survey, error) {
	s := &survey{
		e: e, cluster: c, spec: wanted, owner: cloud.Owner{UID: c.UID, Name: wanted.Metadata.Name}, sites: map[string]*site{},
		unknown: map[string]string{}, machines: map[string]string{}, reach: map[string][]string{}, members: map[string]kube.NodeInfo{},
		found: map[string][]netip.Prefix{}, deleting: deleting,
	}
	ctx = s.calls.Counted(ctx)
	var err error
	if s.facts, s.status, s.keys, err = e.recall(ctx, c); err != nil {
		return nil, err
	}
	if deleting {
		if err := s.forsake(ctx); err != nil {
			return nil, err
		}
		wanted = s.spec
	}
	s.scrubber.addKeys(s.keys)
	if !deleting {
		if err := e.installable(); err != nil {
			return nil, err
		}
	}
	zones := map[string]int{}
	for _, sp := range wanted.Spec.Sites {
		st, err := e.site(ctx, sp)
		if err != nil {
			return nil, err
		}
		s.scrubber.addAccount(st.account)
		s.sites[sp.Name] = st
		zones[sp.Name] = len(st.zones)
	}
	if !deleting {
		if s.nodes, err = spec.Nodes(wanted, zones, s.facts.assigned()); err != nil {
			return nil, err
		}
		if err := s.blueprint(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.leaving(); err != nil {
		return nil, err
	}
	if err := s.observe(ctx); err != nil {
		return nil, err
	}
	s.dropForsaken()
	if s.status.Initialized && !deleting {
		if err := s.recallPaths(ctx); err != nil {
			return nil, err
		}
	}
	if s.status.Initialized && s.keys != nil {
		s.askMachines(ctx)
		s.meetKeys()
		if err := s.overtaken(ctx); err != nil {
			return nil, err
		}
	}
	if s.status.Initialized && !deleting {
		s.askCouncil(ctx)
		s.askKubernetes(ctx)
	}
	in := plan.Input{
		Cluster: wanted.Metadata.Name, Answers: s.status.Initialized && !deleting && s.kubeErr == nil,
		Kinds: map[string][]cloud.KindInfo{}, Want: s.want, Got: s.got, Nodes: s.planNodes(),
		Initialized: s.status.Initialized, Deleting: deleting, Unknown: s.unknown, Kubernetes: s.clearable(),
	}
	if in.Inventories, err = s.inventories(ctx); err != nil {
		return s, err
	}
	for name, st := range s.sites {
		in.Kinds[name] = st.driver.Kinds()
	}
	var notes []string
	if in.Answers {
		in.Spread = s.unspread(ctx)
		in.Strays, notes = s.strays()
	}
	if !deleting {
		if s.approved, err = s.approval(ctx); err != nil {
			return s, err
		}
		in.Ways, in.Measuring = s.ways(), wanted.Measures()
	}
	if err := s.weigh(ctx, &in); err != nil {
		return s, err
	}
	if s.graph, err = plan.Make(in); err != nil {
		return s, err
	}
	s.graph.Notes = append(s.graph.Notes, notes...)
	if !s.status.Initialized && !deleting && !wanted.Measures() {
		s.graph.Notes = append(s.graph.Notes, oneSided(wanted)...)
	}
	return s, s.preflight(ctx)
}

// site resolves a site of the spec: its account's driver, its region's zones.
func (e *Engine) site(ctx context.Context, sp spec.Site) (*site, error) {
	account, driver, err := e.driver(ctx, sp.Account)
	if err != nil && account.Name == "" {
		return nil, fmt.Errorf("site %s: account %s: %w", sp.Name, sp.Account, err)
	}
	if err != nil { // nothing is known of this site then; the others go on
		driver = unmade{account.Provider, err}
	}
	region, ok := geo.Region(string(account.Provider), sp.Region)
	if !ok {
		return nil, fmt.Errorf("site %s: %s has no region %q", sp.Name, account.Provider, sp.Region)
	}
	return &site{spec: sp, account: account, driver: driver, zones: zonesOf(region)}, nil
}

// zonesOf are the zones that a site in a region uses: the region itself stands for those of a region that has none.
func zonesOf(region geo.Place) []string {
	if len(region.Zones) == 0 {
		return []string{region.ID}
	}
	return region.Zones[:min(len(region.Zones), siteZones)]
}

// siteZones is how many of a region's zones a site uses: enough to lose one, and not those that a large region added for
// other things than common machine types.
const siteZones = 3

// blueprint asks every driver for the resources of its sites.
func (s *survey) blueprint(ctx context.Context) error {
	for _, sp := range s.spec.Spec.Sites {
		st := s.sites[sp.Name]
		egress, err := s.egress(ctx, st)
		if err != nil {
			return err
		}
		in := cloud.Site{
			Name: sp.Name, Region: sp.Region, Zones: st.zones, Block: sp.Block, Pods: s.spec.Spec.Network.Pods,
			APIAccess: union(egress, s.spec.Spec.Access.API), SSHAccess: union(egress, s.spec.Spec.Access.SSH), TunnelPort: mesh.DefaultPort,
		}
		for _, n := range s.nodes {
			if n.Site == sp.Name {
				in.Machines = append(in.Machines, cloud.Machine{
					Name: n.Name, Role: cloud.Role(n.Role), Size: n.Size, Zone: st.zones[n.Zone%len(st.zones)], Address: n.Address, DiskGiB: diskGiB,
				})
			}
		}
		resources, err := st.driver.Blueprint(s.owner, in)
		if err != nil {
			return fmt.Errorf("site %s: %w", sp.Name, err)
		}
		s.index(st, resources)
		s.want = append(s.want, resources...)
	}
	return nil
}

// leaving finds out what belonged to nodes that aren't wanted any more: what the driver would lay out for them.
func (s *survey) leaving() error {
	wanted := map[string]bool{}
	for _, n := range s.nodes {
		wanted[n.Name] = true
	}
	for _, sp := range s.spec.Spec.Sites {
		st := s.sites[sp.Name]
		in := cloud.Site{Name: sp.Name, Region: sp.Region, Zones: st.zones, Block: sp.Block, Pods: s.spec.Spec.Network.Pods, TunnelPort: mesh.DefaultPort}
		for _, f := range s.facts.all() {
			if !wanted[f.Name] && f.Site == sp.Name {
				in.Machines = append(in.Machines, cloud.Machine{
					Name: f.Name, Role: cloud.Role(f.Role), Size: "small", Zone: st.zones[f.Zone%len(st.zones)], Address: f.Address, DiskGiB: diskGiB,
				})
			}
		}
		if len(in.Machines) == 0 {
			continue
		}
		resources, err := st.driver.Blueprint(s.owner, in)
		switch {
		case s.deleting && err != nil: // it only says which machine was what: all go
			s.indexEach(st, in)
		case err != nil:
			return fmt.Errorf("site %s: what belongs to the nodes that are to go: %w", sp.Name, err)
		}
		s.index(st, resources)
	}
	return nil
}

// indexEach indexes the machines of a site of which not all can be laid out.
func (s *survey) indexEach(st *site, in cloud.Site) {
	for _, m := range in.Machines {
		one := in
		one.Machines = []cloud.Machine{m}
		if resources, err := st.driver.Blueprint(s.owner, one); err == nil {
			s.index(st, resources)
		}
	}
}

// index notes which resources are a node's machine, and which make it reachable.
func (s *survey) index(st *site, resources []cloud.Resource) {
	for _, r := range resources {
		switch {
		case r.Machine == "":
		case isMachine(st.driver, r.Kind):
			s.machines[r.Machine] = r.Key
		default:
			s.reach[r.Machine] = append(s.reach[r.Machine], r.Key)
		}
	}
}

// there says whether something live that is ours was observed under a key.
func (s *survey) there(key string) bool {
	return key != "" && slices.ContainsFunc(s.got, func(g plan.Observed) bool {
		return g.Key == key && g.State != cloud.Gone && (g.Recorded || g.Intended)
	})
}

// diskGiB is the size of every machine's disk.
const diskGiB = 40

// planNodes says of every node, wanted or still there, what the plan must know.
func (s *survey) planNodes() []plan.Node {
	var out []plan.Node
	wanted := map[string]bool{}
	for _, n := range s.nodes {
		wanted[n.Name] = true
		p := plan.Node{Name: n.Name, Site: n.Site, Role: cloud.Role(n.Role), Machine: s.machines[n.Name], Reach: s.reach[n.Name], Wanted: true}
		f := s.facts.get(n.Name)
		// While two host keys are accepted the machine's own has not been seen yet.
		if f != nil && f.prepared() && len(f.HostKeys) == 1 {
			p.Prepared = f.Machine
			p.Stale = s.stale(n.Name, f)
		}
		p.Registered, p.Current = s.membership(n.Name, f)
		p.Failed, p.Remake = s.failure(f, p.Machine)
		p.Current = p.Current && p.Failed == ""
		p.Ready = p.Current && s.members[n.Name].Ready
		if f != nil && s.status.Initialized {
			s.nodeHealth(n, f, &p)
		}
		out = append(out, p)
	}
	for _, f := range s.facts.all() {
		if wanted[f.Name] {
			continue
		}
		p := plan.Node{Name: f.Name, Site: f.Site, Role: cloud.Role(f.Role), Reach: s.reach[f.Name]}
		p.Registered, p.Current = s.membership(f.Name, f)
		if key := s.machines[f.Name]; s.there(key) {
			p.Machine = key
		}
		if p.Registered || p.Machine != "" {
			out = append(out, p)
		}
	}
	sortNodes(out)
	return out
}

// membership says whether Kubernetes has the node, and as the machine on record. Where Kubernetes can't be asked, what
// was true last is taken to be true still: that proves nothing gone.
func (s *survey) membership(name string, f *Facts) (registered, current bool) {
	if s.kubeErr != nil {
		known := f != nil && f.Joined
		return known, known
	}
	n, ok := s.members[name]
	return ok, ok && f != nil && n.ProviderID == f.ProviderID
}

// stale compares the config a node has with the one it should have.
func (s *survey) stale(name string, f *Facts) string {
	cfg, err := s.config(name, s.bundle())
	if err != nil {
		return "config can't be computed: " + err.Error()
	}
	sum, err := digest(cfg)
	if err != nil {
		return ""
	}
	if sum == f.Digest {
		return cmp.Or(s.rekeyed[name], s.outside(name, cfg, f), s.tunnelFault(name, cfg, f))
	}
	if f.Digest == "" {
		return "not configured yet"
	}
	if f.TunnelMTU > 0 && f.TunnelMTU != cfg.Tunnel.MTU {
		return fmt.Sprintf("packets of up to %d bytes pass between sites: the tunnel's size was %d, is %d", s.pathMTU(), f.TunnelMTU, cfg.Tunnel.MTU)
	}
	return "config differs from the one it was given"
}

func union(a, b []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	seen := map[netip.Prefix]bool{}
	for _, p := range append(append([]netip.Prefix{}, a...), b...) {
		if !seen[p.Masked()] {
			seen[p.Masked()] = true
			out = append(out, p.Masked())
		}
	}
	return out
}
