package digitalocean

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/cloud"
)

// Create makes one resource. DigitalOcean has no idempotency tokens and lets most things have the same name, so it looks
// first: what is there under the mark is what an earlier try, whose answer may never have come, has made.
func (d *Driver) Create(ctx context.Context, req cloud.CreateRequest) (cloud.Object, error) {
	o, err := d.create(ctx, req)
	return o, failed(fmt.Sprintf("create %s %s", req.Resource.Kind, req.Resource.Key), err)
}

func (d *Driver) create(ctx context.Context, req cloud.CreateRequest) (cloud.Object, error) {
	w, err := d.work(req.Owner, req.Resource, req.Refs)
	if err != nil {
		return cloud.Object{}, err
	}
	if err := cloud.CheckToken(req.Token); err != nil {
		return cloud.Object{}, err
	}
	w.token, w.userData = req.Token, req.UserData
	var o cloud.Object
	switch s := w.want.(type) {
	case *TagSpec:
		o, err = w.createTag(ctx, s)
	case *VPCSpec:
		o, err = w.createVPC(ctx, s)
	case *FirewallSpec:
		o, err = w.createFirewall(ctx, s)
	case *DropletSpec:
		o, err = w.createDroplet(ctx, s)
	case *ReservedSpec:
		o, err = w.createReserved(ctx, s)
	}
	if err != nil {
		return cloud.Object{}, w.discreet(err)
	}
	o.Region = w.res.Region
	return o, nil
}

// work is one resource being made or changed.
type work struct {
	d        *Driver
	owner    cloud.Owner
	res      cloud.Resource
	want     spec
	refs     map[string]cloud.Object
	name     string
	token    string
	userData []byte
}

func (d *Driver) work(owner cloud.Owner, res cloud.Resource, refs map[string]cloud.Object) (*work, error) {
	if err := cloud.CheckMark(owner, res); err != nil {
		return nil, err
	}
	s, ok := res.Spec.(spec)
	if !ok || s.kind() != res.Kind {
		return nil, invalid("kind %q takes no %T", res.Kind, res.Spec)
	}
	return &work{d: d, owner: owner, res: res, want: s.clone(), refs: refs, name: owner.ResourceName(res.Key)}, nil
}

// ref is DigitalOcean's id of the resource that a key stands for.
func (w *work) ref(key string) (string, error) {
	if id := w.refs[key].ID; id != "" {
		return id, nil
	}
	return "", invalid("the request doesn't say what %q is", key)
}

// droplet is the id of the droplet that a key stands for.
func (w *work) droplet(key string) (int, error) {
	id, err := w.ref(key)
	if err != nil {
		return 0, err
	}
	return dropletID(id)
}

func dropletID(text string) (int, error) {
	id, err := strconv.Atoi(text)
	if err != nil || id < 1 {
		return 0, invalid("%q is no droplet's id", text)
	}
	return id, nil
}

// names turns what the references stand for back into keys.
func (w *work) names() names {
	n := names{cluster: w.owner.UID, vpcs: map[string]string{}, droplets: map[int]string{}, public: map[int]netip.Addr{}}
	for key, o := range w.refs {
		switch o.Kind {
		case kindVPC:
			n.vpcs[o.ID] = key
		case kindDroplet:
			if id, err := dropletID(o.ID); err == nil {
				n.droplets[id] = key
			}
		}
	}
	return n
}

// tagName is the name of the tag that a key stands for; what is no key in the request is a name already.
func (w *work) tagName(key string) string {
	if o, ok := w.refs[key]; ok {
		return o.ID
	}
	if !strings.Contains(key, ":") && strings.HasPrefix(key, w.res.Site+"-") {
		return roleTag(w.owner.UID, key)
	}
	return key
}

func (w *work) tagNames(keys []string) []string {
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		out = append(out, w.tagName(k))
	}
	return out
}

// createTag makes a tag; making one that is there is no error to DigitalOcean.
func (w *work) createTag(ctx context.Context, s *TagSpec) (cloud.Object, error) {
	if s.Name != roleTag(w.owner.UID, w.res.Key) {
		return cloud.Object{}, invalid("tag %q: want %q", s.Name, roleTag(w.owner.UID, w.res.Key))
	}
	if err := w.d.tagged(ctx, s.Name); err != nil {
		return cloud.Object{}, err
	}
	return tagObject(s.Name), nil
}

// tagged sees to it that a tag is there.
func (d *Driver) tagged(ctx context.Context, name string) error {
	_, _, err := d.api.Tags.Create(ctx, &godo.TagCreateRequest{Name: name})
	if isClass(err, cloud.AlreadyExists) || isClass(err, cloud.Conflict) {
		_, _, err = d.api.Tags.Get(ctx, name)
	}
	return err
}

// createVPC refuses what would end in a VPC that can't be removed, or that no cloud takes.
func (w *work) createVPC(ctx context.Context, s *VPCSpec) (cloud.Object, error) {
	all, err := w.d.listVPCs(ctx)
	if err != nil {
		return cloud.Object{}, err
	}
	for _, v := range all {
		if cluster, key := vpcMark(v); cluster == w.owner.UID && key == w.res.Key && v.RegionSlug == w.res.Region {
			return vpcObject(v), nil
		}
	}
	if err := vpcFits(w.res, s, all); err != nil {
		return cloud.Object{}, err
	}
	v, _, err := w.d.api.VPCs.Create(ctx, &godo.VPCCreateRequest{
		Name: w.name, RegionSlug: w.res.Region, Description: w.owner.Description(w.res.Key), IPRange: s.Range,
	})
	if err != nil {
		return cloud.Object{}, err
	}
	return vpcObject(v), nil
}

// vpcFits says why a VPC can't be made beside those there are.
func vpcFits(res cloud.Resource, s *VPCSpec, all []*godo.VPC) error {
	want, err := netip.ParsePrefix(s.Range)
	if err != nil {
		return invalid("range %q: %v", s.Range, err)
	}
	for _, v := range all {
		if have, err := netip.ParsePrefix(v.IPRange); err == nil && have.Overlaps(want) {
			return invalid("the block %s of site %s overlaps the VPC %s, %s in %s (%s)", want, res.Site, v.Name, have, v.RegionSlug, v.ID)
		}
	}
	if !slices.ContainsFunc(all, func(v *godo.VPC) bool { return v.RegionSlug == res.Region }) {
		return &cloud.Error{Class: cloud.Invalid, Message: firstVPC(res.Region) + ": " + makeDefault(res.Region)}
	}
	return nil
}

// firstVPC says why a site's VPC must not be a region's first.
func firstVPC(region string) string {
	return "the account has no VPC in " + region + " yet, and DigitalOcean takes the first one for the region's default, which can never be deleted"
}

// makeDefault says what to do about that.
func makeDefault(region string) string {
	return "make a default one yourself first (doctl vpcs create --name default-" + region + " --region " + region + "); it costs nothing and stays"
}

func (w *work) createFirewall(ctx context.Context, s *FirewallSpec) (cloud.Object, error) {
	all, err := w.d.listFirewalls(ctx)
	if err != nil {
		return cloud.Object{}, err
	}
	for i := range all {
		if all[i].Name == w.name {
			return firewallObject(&all[i], w.names()), nil
		}
	}
	body, err := w.firewallBody(s)
	if err != nil {
		return cloud.Object{}, err
	}
	f, _, err := w.d.api.Firewalls.Create(ctx, body)
	if err != nil {
		return cloud.Object{}, err
	}
	return firewallObject(f, w.names()), nil
}

// firewallBody is a whole firewall. Every list is there, if empty: a missing one is null, which means something else.
func (w *work) firewallBody(s *FirewallSpec) (*godo.FirewallRequest, error) {
	body := &godo.FirewallRequest{
		Name: w.name, Tags: w.tagNames(s.Tags), DropletIDs: []int{}, InboundRules: []godo.InboundRule{}, OutboundRules: []godo.OutboundRule{},
	}
	for _, text := range s.Droplets {
		id, err := dropletID(text)
		if err != nil {
			return nil, err
		}
		body.DropletIDs = append(body.DropletIDs, id)
	}
	for _, r := range s.Inbound {
		p, err := w.peers(r)
		if err != nil {
			return nil, err
		}
		body.InboundRules = append(body.InboundRules, godo.InboundRule{Protocol: r.Protocol, PortRange: r.Ports, Sources: &p, Action: action(r)})
	}
	for _, r := range s.Outbound {
		p, err := w.peers(r)
		if err != nil {
			return nil, err
		}
		to := godo.Destinations(p)
		body.OutboundRules = append(body.OutboundRules, godo.OutboundRule{Protocol: r.Protocol, PortRange: r.Ports, Destinations: &to, Action: action(r)})
	}
	return body, nil
}

func action(r Rule) godo.FirewallRuleAction {
	if r.Deny {
		return godo.FirewallRuleActionDeny
	}
	return ""
}

// peers turns a rule's peers into DigitalOcean's form. A rule without any would let nobody through, or everybody.
func (w *work) peers(r Rule) (godo.Sources, error) {
	var p godo.Sources
	for _, peer := range r.Peers {
		kind, id, _ := strings.Cut(peer, ":")
		switch kind + ":" {
		case peerTag:
			p.Tags = append(p.Tags, w.tagName(id))
		case peerDroplet:
			n, err := dropletID(id)
			if err != nil {
				return p, err
			}
			p.DropletIDs = append(p.DropletIDs, n)
		case peerLoadBalancer:
			p.LoadBalancerUIDs = append(p.LoadBalancerUIDs, id)
		case peerKubernetes:
			p.KubernetesIDs = append(p.KubernetesIDs, id)
		default:
			if _, err := netip.ParsePrefix(peer); err != nil {
				return p, invalid("rule for %s %s: %q is no range of addresses", r.Protocol, r.Ports, peer)
			}
			p.Addresses = append(p.Addresses, peer)
		}
	}
	if len(r.Peers) == 0 {
		return p, invalid("rule for %s %s: it names no peers", r.Protocol, r.Ports)
	}
	return p, nil
}

// discreet takes user data out of an error: an answer may repeat what it refuses.
func (w *work) discreet(err error) error {
	e := classify(err)
	shown := e.Error()
	if e.Err != nil {
		shown += e.Err.Error()
	}
	if !cloud.ShowsUserData(shown, w.userData) {
		return err
	}
	return e.Hidden()
}
