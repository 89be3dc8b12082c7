package engine

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/mesh"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/remote"
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

	want    []cloud.Resource
	got     []plan.Observed
	unknown map[string]string
	ledger  struct {
		lines   []store.Resource
		intents []store.Intent
	}
	// machines is the key of each node's machine, reach the keys of what makes it reachable from outside.
	machines map[string]string
	reach    map[string][]string
	// members are the nodes Kubernetes has; kubeErr says why it couldn't be asked.
	members map[string]kube.NodeInfo
	kubeErr error
	graph   plan.Graph
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
	for _, v := range f.m {
		out = append(out, v)
	}
	return out
}

// look gathers everything about a cluster and plans. It changes nothing, in no cloud and not in the store.
func (e *Engine) look(ctx context.Context, c store.Cluster, wanted *spec.Cluster, deleting bool) (*survey, error) {
	s := &survey{
		e: e, cluster: c, spec: wanted, owner: cloud.Owner{UID: c.UID, Name: wanted.Metadata.Name}, sites: map[string]*site{},
		unknown: map[string]string{}, machines: map[string]string{}, reach: map[string][]string{}, members: map[string]kube.NodeInfo{},
	}
	var err error
	if s.facts, s.status, s.keys, err = e.recall(ctx, c); err != nil {
		return nil, err
	}
	zones := map[string]int{}
	for _, sp := range wanted.Spec.Sites {
		st, err := e.site(ctx, sp)
		if err != nil {
			return nil, err
		}
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
	if err := s.observe(ctx); err != nil {
		return nil, err
	}
	if s.status.Initialized && !deleting {
		s.askKubernetes(ctx)
	}
	in := plan.Input{
		Kinds: map[string][]cloud.KindInfo{}, Want: s.want, Got: s.got, Nodes: s.planNodes(),
		Initialized: s.status.Initialized, Deleting: deleting, Unknown: s.unknown,
	}
	for name, st := range s.sites {
		in.Kinds[name] = st.driver.Kinds()
	}
	s.graph, err = plan.Make(in)
	return s, err
}

// site resolves a site of the spec: its account's driver, its region's zones.
func (e *Engine) site(ctx context.Context, sp spec.Site) (*site, error) {
	account, driver, err := e.driver(ctx, sp.Account)
	if err != nil {
		return nil, fmt.Errorf("site %s: %w", sp.Name, err)
	}
	region, ok := geo.Region(string(account.Provider), sp.Region)
	if !ok {
		return nil, fmt.Errorf("site %s: %s has no region %q", sp.Name, account.Provider, sp.Region)
	}
	return &site{spec: sp, account: account, driver: driver, zones: region.Zones}, nil
}

// blueprint asks every driver for the resources of its sites.
func (s *survey) blueprint(ctx context.Context) error {
	for _, sp := range s.spec.Spec.Sites {
		st := s.sites[sp.Name]
		egress, err := s.e.egress(ctx, st.account)
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
		machine := map[cloud.Kind]bool{}
		for _, k := range st.driver.Kinds() {
			machine[k.Kind] = k.Machine
		}
		for _, r := range resources {
			if machine[r.Kind] {
				s.machines[r.Machine] = r.Key
			}
		}
		for _, r := range resources {
			if r.Machine != "" && !machine[r.Kind] {
				s.reach[r.Machine] = append(s.reach[r.Machine], r.Key)
			}
		}
		s.want = append(s.want, resources...)
	}
	return nil
}

// diskGiB is the size of every machine's disk.
const diskGiB = 40

// observe asks the clouds, each account and region once. A site that can't be asked becomes unknown.
func (s *survey) observe(ctx context.Context) error {
	type place struct{ account, region string }
	lists := map[place][]cloud.Object{}
	failed := map[place]error{}
	places := map[place]*site{}
	for _, st := range s.sites {
		places[place{st.account.Name, st.spec.Region}] = st
	}
	var mu sync.Mutex
	var group errgroup.Group
	for p, st := range places {
		group.Go(func() error {
			objects, err := retryBriefly(ctx, func(ctx context.Context) ([]cloud.Object, error) {
				return st.driver.Observe(ctx, s.cluster.UID, p.region)
			})
			mu.Lock()
			defer mu.Unlock()
			lists[p], failed[p] = objects, err
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for name, st := range s.sites {
		if err := failed[place{st.account.Name, st.spec.Region}]; err != nil {
			s.unknown[name] = err.Error()
		}
	}
	if err := s.readLedger(ctx); err != nil {
		return err
	}
	recorded, intended := map[string]bool{}, map[string]bool{}
	for _, line := range s.ledger.lines {
		recorded[line.ID] = true
	}
	for _, i := range s.ledger.intents {
		intended[i.Key] = intended[i.Key] || i.Action == string(plan.Create)
	}
	seen := map[string]bool{}
	for p, objects := range lists {
		for _, o := range objects {
			id := string(o.Kind) + "/" + o.ID
			if seen[id] {
				continue
			}
			seen[id] = true
			s.got = append(s.got, plan.Observed{Object: o, Site: s.siteOf(o, p.account), Recorded: recorded[o.ID], Intended: intended[o.Key]})
		}
	}
	return nil
}

// readLedger reads what is on record about the cluster's resources.
func (s *survey) readLedger(ctx context.Context) error {
	var err error
	if s.ledger.lines, err = s.e.store.ListResources(ctx, s.cluster.UID); err != nil {
		return err
	}
	s.ledger.intents, err = s.e.store.ListOpenIntents(ctx, s.cluster.UID)
	return err
}

// siteOf tells which site an object belongs to: keys begin with the site's name, and of two names that fit, the longer.
func (s *survey) siteOf(o cloud.Object, account string) string {
	best := ""
	for name, st := range s.sites {
		if st.account.Name == account && strings.HasPrefix(o.Key, name+"-") && len(name) > len(best) {
			best = name
		}
	}
	return best
}

// askKubernetes lists the cluster's nodes.
func (s *survey) askKubernetes(ctx context.Context) {
	client, err := s.kubeClient()
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		var list []kube.NodeInfo
		if list, err = client.Nodes(ctx); err == nil {
			for _, n := range list {
				s.members[n.Name] = n
			}
			return
		}
	}
	s.kubeErr = err
}

// kubeClient connects to the API servers by their public addresses.
func (s *survey) kubeClient() (*kube.Client, error) {
	var backends []kube.Backend
	for _, f := range s.facts.all() {
		if f.Role != spec.RoleControlPlane || !f.Public.IsValid() {
			continue
		}
		st := s.sites[f.Site]
		if st == nil {
			continue
		}
		dial, err := remote.Dialer(st.account.Proxy)
		if err != nil {
			return nil, err
		}
		backends = append(backends, kube.Backend{Address: netip.AddrPortFrom(f.Public, kube.APIPort).String(), Dial: kube.Dial(dial)})
	}
	return kube.Connect(s.kubeCluster(), s.keys.PKI, backends, time.Now())
}

// planNodes says of every node, wanted or still there, what the plan must know.
func (s *survey) planNodes() []plan.Node {
	var out []plan.Node
	wanted := map[string]bool{}
	for _, n := range s.nodes {
		wanted[n.Name] = true
		p := plan.Node{Name: n.Name, Site: n.Site, Role: cloud.Role(n.Role), Machine: s.machines[n.Name], Reach: s.reach[n.Name], Wanted: true}
		f := s.facts.get(n.Name)
		if f != nil && f.prepared() {
			p.Prepared = f.Machine
			p.Stale = s.stale(n.Name, f)
		}
		p.Registered, p.Current = s.membership(n.Name, f)
		out = append(out, p)
	}
	for _, f := range s.facts.all() {
		if wanted[f.Name] {
			continue
		}
		p := plan.Node{Name: f.Name, Site: f.Site, Role: cloud.Role(f.Role)}
		p.Registered, p.Current = s.membership(f.Name, f)
		for _, o := range s.got {
			if o.State != cloud.Gone && o.Machine != nil && o.Machine.ProviderID == f.ProviderID && f.ProviderID != "" {
				p.Machine = o.Key
			}
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
	cfg, err := s.config(name, s.e.opts.Bundle)
	if err != nil {
		return "config can't be computed: " + err.Error()
	}
	sum, err := digest(cfg)
	if err != nil || sum == f.Digest {
		return ""
	}
	if f.Digest == "" {
		return "not configured yet"
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
