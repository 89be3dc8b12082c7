// Package cloudtest is the conformance suite that every driver must pass, and an in-memory cloud with faults on purpose
// for tests of the engine. It is for tests only and emulates no real cloud's API; the lab does that.
package cloudtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// Options say what an in-memory cloud is like. The zero value is a fast cloud of one region without limits.
type Options struct {
	// Provider is what the cloud calls itself; "test" when empty.
	Provider cloud.Provider
	// Account is the cloud's id of the account; "account-1" when empty.
	Account string
	// Regions maps each region to its zones in order; {"test-1": ["test-1a", "test-1b", "test-1c"]} when nil.
	Regions map[string][]string
	// Seed makes faults with a rate repeatable: the same seed hits the same tries of the same keys, in whatever order
	// the calls arrive.
	Seed uint64
	// Latency is how long each call takes.
	Latency time.Duration
	// Boot is how long a machine is Pending.
	Boot time.Duration
	// ListLag is how long lists show a new thing not yet and a deleted one still. Calls by id know at once.
	ListLag time.Duration
	// GoneFor is how long a terminated machine is still observed as Gone; an hour when zero.
	GoneFor time.Duration
	// PicksAddress makes the cloud choose the private addresses of machines itself.
	PicksAddress bool
	// NoTokens makes the cloud ignore the tokens of create calls. Its driver then looks for what an earlier try made, as
	// drivers of such clouds do, and can do that only before its call: between the two there is room for another's.
	NoTokens bool
	// Blocks is the cloud's rule for the blocks of sites. Where it has networks apart, no two of them may overlap.
	Blocks cloud.BlockRule
	// Quota limits how many of a kind a region may hold.
	Quota map[cloud.Kind]int
}

// Cloud is a cloud in memory: one account whose driver it is itself. It is safe for concurrent use, holds no lock while
// hooks run, and works inside a testing/synctest bubble.
type Cloud struct {
	opts Options

	mu      sync.Mutex
	records []*record // in order of creation
	next    int       // number of the next id
	nextIP  uint32    // number of the next public address
	calls   []*Call
	seq     int
	tries   map[string]int // operation and key → calls so far, for the seeded faults
	faults  []*rule
	hooks   Hooks
	revoked bool
	types   map[string][]string // by zone; nil for all in all
	denied  []string
}

var (
	_ cloud.Driver     = (*Cloud)(nil)
	_ cloud.Consoler   = (*Cloud)(nil)
	_ cloud.BlockRuler = (*Cloud)(nil)
)

// record is one thing that exists. References in its spec are ids, as a real cloud keeps them.
type record struct {
	id, key, cluster string
	kind             cloud.Kind
	region           string
	spec             spec
	address          netip.Addr // of an address
	public           netip.Addr // of a machine without an address of its own
	private          netip.Addr // of a machine whose address the cloud chose
	stopped          bool
	unmarked         bool // somebody took its mark: only who knows its id finds it
	created          time.Time
	gone             time.Time // when a machine was terminated
	deleted          time.Time // when it was removed
	token            string
	digest           [sha256.Size]byte // of what the token was used with
	userData         []byte
}

// live says that the thing exists as far as calls by id are concerned.
func (r *record) live() bool { return r.gone.IsZero() && r.deleted.IsZero() }

// New makes an empty cloud.
func New(o Options) *Cloud {
	if o.Provider == "" {
		o.Provider = "test"
	}
	if o.Account == "" {
		o.Account = "account-1"
	}
	if o.Regions == nil {
		o.Regions = map[string][]string{"test-1": {"test-1a", "test-1b", "test-1c"}}
	}
	if o.GoneFor == 0 {
		o.GoneFor = time.Hour
	}
	return &Cloud{opts: o, tries: map[string]int{}, nextIP: 1}
}

// Provider returns the provider of the options.
func (c *Cloud) Provider() cloud.Provider { return c.opts.Provider }

// Zones returns a region's zones.
func (c *Cloud) Zones(region string) []string { return slices.Clone(c.opts.Regions[region]) }

// Observe lists what carries the cluster's mark in the region, and what is known and has lost it.
func (c *Cloud) Observe(ctx context.Context, cluster, region string, known ...cloud.Known) ([]cloud.Object, error) {
	var out []cloud.Object
	err := c.call(ctx, Call{Op: OpObserve, Cluster: cluster, Region: region}, func(call *Call) error {
		if _, ok := c.opts.Regions[region]; !ok {
			return fail(cloud.Invalid, "InvalidRegion", "there is no region %q", region)
		}
		now := time.Now()
		for _, r := range c.records {
			recorded := slices.ContainsFunc(known, func(k cloud.Known) bool { return k.ID == r.id })
			if r.cluster == cluster && r.region == region && (!r.unmarked || recorded) && c.listed(r, now) {
				out = append(out, c.object(r, now))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// listed says whether lists show a thing at a time.
func (c *Cloud) listed(r *record, now time.Time) bool {
	switch {
	case now.Before(r.created.Add(c.opts.ListLag)):
		return false
	case !r.deleted.IsZero():
		return now.Before(r.deleted.Add(c.opts.ListLag))
	case !r.gone.IsZero():
		return now.Before(r.gone.Add(c.opts.GoneFor))
	}
	return true
}

// Create makes one resource. A token that was used before gives the object it made then.
func (c *Cloud) Create(ctx context.Context, req cloud.CreateRequest) (cloud.Object, error) {
	var out cloud.Object
	res := req.Resource
	call := Call{Op: OpCreate, Kind: res.Kind, Key: res.Key, Cluster: req.Owner.UID, Region: res.Region, Token: req.Token}
	earlier := c.madeWith(req.Token)
	err := c.call(ctx, call, func(call *Call) error {
		r, made, err := c.create(req, earlier)
		if err != nil {
			return err
		}
		call.ID, call.Effect = r.id, made
		out = c.object(r, time.Now())
		return nil
	})
	if err != nil {
		return cloud.Object{}, err
	}
	return out, nil
}

// madeWith is what a driver finds that looks for an earlier try of its call.
func (c *Cloud) madeWith(token string) *record {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.records {
		if r.token == token && r.live() {
			return r
		}
	}
	return nil
}

func (c *Cloud) create(req cloud.CreateRequest, earlier *record) (r *record, made bool, err error) {
	res := req.Resource
	if err := cloud.CheckKey(res.Key); err != nil {
		return nil, false, fail(cloud.Invalid, "InvalidTag", "%v", err)
	}
	if err := cloud.CheckUID(req.Owner.UID); err != nil {
		return nil, false, fail(cloud.Invalid, "InvalidTag", "%v", err)
	}
	if req.Token == "" {
		return nil, false, fail(cloud.Invalid, "MissingToken", "a create call needs a token")
	}
	if _, ok := c.opts.Regions[res.Region]; !ok {
		return nil, false, fail(cloud.Invalid, "InvalidRegion", "there is no region %q", res.Region)
	}
	want, err := resolve(res, req.Refs)
	if err != nil {
		return nil, false, err
	}
	digest := digestOf(res.Kind, res.Key, req.Owner.UID, want, req.UserData)
	for _, old := range c.records {
		if old.token == req.Token && (!c.opts.NoTokens || old == earlier) {
			return c.again(old, digest)
		}
	}
	r = &record{
		key: res.Key, cluster: req.Owner.UID, kind: res.Kind, region: res.Region, spec: want,
		token: req.Token, digest: digest, userData: bytes.Clone(req.UserData),
	}
	if isMachine(res.Kind) == (len(req.UserData) == 0) {
		return nil, false, fail(cloud.Invalid, "InvalidUserData", "user data is for machines, and every machine needs it")
	}
	if err := c.permit("create " + string(res.Kind)); err != nil {
		return nil, false, err
	}
	if err := want.check(c, r); err != nil {
		return nil, false, err
	}
	if m, ok := want.(*MachineSpec); ok && !c.offers(m.Zone, m.Type) {
		return nil, false, fail(cloud.Invalid, "InvalidMachineType", "zone %s doesn't offer %s", m.Zone, m.Type)
	}
	if err := c.withinQuota(r); err != nil {
		return nil, false, err
	}
	if err := c.apart(r); err != nil {
		return nil, false, err
	}
	c.add(r)
	return r, true, nil
}

// again answers a create call whose token was used before.
func (c *Cloud) again(old *record, digest [sha256.Size]byte) (*record, bool, error) {
	if old.digest != digest {
		return nil, false, fail(cloud.Invalid, "IdempotentParameterMismatch", "the token was used with other parameters")
	}
	if !old.live() {
		return nil, false, fail(cloud.Invalid, "IdempotentInstanceTerminated", "what the token made (%s) was deleted since", old.id)
	}
	return old, false, nil
}

func (c *Cloud) withinQuota(r *record) error {
	limit, ok := c.opts.Quota[r.kind]
	if !ok {
		return nil
	}
	if c.count(r.kind, r.region) >= limit {
		return fail(cloud.QuotaExceeded, "LimitExceeded", "the account may have %d of kind %s in %s", limit, r.kind, r.region)
	}
	return nil
}

func (c *Cloud) count(kind cloud.Kind, region string) int {
	n := 0
	for _, o := range c.records {
		if o.kind == kind && o.region == region && o.live() {
			n++
		}
	}
	return n
}

// add gives a record its id and addresses and keeps it.
func (c *Cloud) add(r *record) {
	c.next++
	r.id = fmt.Sprintf("%s-%06x", r.kind, c.next)
	r.created = time.Now()
	switch r.kind {
	case KindAddress:
		r.address = c.newPublic()
	case KindMachine:
		if r.spec.(*MachineSpec).PublicAddress {
			r.public = c.newPublic()
		}
		if c.opts.PicksAddress {
			r.private = c.newPrivate(r.spec.(*MachineSpec))
		}
	}
	c.records = append(c.records, r)
}

// newPrivate chooses an address in a machine's subnet that no other has.
func (c *Cloud) newPrivate(m *MachineSpec) netip.Addr {
	subnet, err := expect[*SubnetSpec](c, m.Subnet)
	if err != nil {
		return netip.Addr{}
	}
	b := netip.MustParsePrefix(subnet.CIDR).Addr().As4()
	return netip.AddrFrom4([4]byte{b[0], b[1], b[2] + byte(c.next>>7), byte(100 + c.next&127)})
}

// newPublic hands out addresses of 203.0.113.0/24 and on, which are for documentation.
func (c *Cloud) newPublic() netip.Addr {
	n := 203<<24 | 113<<8 | c.nextIP
	c.nextIP++
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// Update sets the mutable fields that the request names. The field "state" starts a stopped machine.
func (c *Cloud) Update(ctx context.Context, req cloud.UpdateRequest) (cloud.Object, error) {
	var out cloud.Object
	res := req.Resource
	call := Call{
		Op: OpUpdate, Kind: res.Kind, Key: res.Key, Cluster: req.Owner.UID, Region: res.Region,
		ID: req.Object.ID, Fields: slices.Clone(req.Fields),
	}
	err := c.call(ctx, call, func(call *Call) error {
		r, err := c.byID(req.Object.ID)
		if err != nil {
			return err
		}
		want, err := resolve(res, req.Refs)
		if err != nil {
			return err
		}
		fields := slices.DeleteFunc(slices.Clone(req.Fields), func(f string) bool {
			return f == cloud.FieldMark || f == cloud.FieldState && isMachine(r.kind)
		})
		merged, err := merge(r.spec, want, fields, mutableOf(r.kind))
		if err != nil {
			return err
		}
		probe := *r
		probe.spec = merged
		if err := merged.check(c, &probe); err != nil {
			return err
		}
		if slices.Contains(req.Fields, cloud.FieldState) {
			r.stopped = false
		}
		if slices.Contains(req.Fields, cloud.FieldMark) {
			r.unmarked = false
		}
		r.spec, call.Effect = merged, true
		out = c.object(r, time.Now())
		return nil
	})
	if err != nil {
		return cloud.Object{}, err
	}
	return out, nil
}

// Delete removes an object unless something refers to it. A machine is terminated and shown as Gone for a while.
func (c *Cloud) Delete(ctx context.Context, owner cloud.Owner, o cloud.Object) error {
	call := Call{Op: OpDelete, Kind: o.Kind, Key: o.Key, Cluster: owner.UID, Region: o.Region, ID: o.ID}
	return c.call(ctx, call, func(call *Call) error {
		r, err := c.byID(o.ID)
		if err != nil {
			return nil //nolint:nilerr // removing what is gone is success
		}
		if user := c.userOf(r); user != nil {
			refusal := &cloud.Error{Class: cloud.Conflict, Code: "DependencyViolation", Message: fmt.Sprintf("%s is in use by %s", r.id, user.id)}
			if user.cluster == "" {
				return cloud.HeldBy(refusal, cloud.Blocker{Kind: user.kind, ID: user.id, Owner: "no tags"})
			}
			return refusal
		}
		c.remove(r)
		call.Effect = true
		return nil
	})
}

// userOf finds something that keeps a record from being deleted, by EC2's part of docs/teardown.md: whatever refers to it,
// except that terminating a machine ends its associations, and that a gateway is kept by public addresses, not by routes.
func (c *Cloud) userOf(r *record) *record {
	for _, o := range c.records {
		if !o.live() || o == r || (r.kind == KindMachine && o.kind == KindAssociation) {
			continue
		}
		if gw, ok := r.spec.(*GatewaySpec); ok {
			if c.publicIn(o, gw.Network) {
				return o
			}
			continue
		}
		if refersTo(o.spec, r.id) {
			return o
		}
	}
	return nil
}

// publicIn says whether a record gives a machine in a network a public address.
func (c *Cloud) publicIn(r *record, network string) bool {
	switch s := r.spec.(type) {
	case *MachineSpec:
		return s.PublicAddress && c.networkOf(s) == network
	case *AssociationSpec:
		m, err := expect[*MachineSpec](c, s.Machine)
		return err == nil && c.networkOf(m) == network
	}
	return false
}

// networkOf is the network of a machine, empty when its subnet is gone.
func (c *Cloud) networkOf(m *MachineSpec) string {
	s, err := expect[*SubnetSpec](c, m.Subnet)
	if err != nil {
		return ""
	}
	return s.Network
}

func (c *Cloud) remove(r *record) {
	now := time.Now()
	if r.kind != KindMachine {
		r.deleted = now
		return
	}
	r.gone = now
	for _, o := range c.records {
		if o.kind == KindAssociation && o.live() && refersTo(o.spec, r.id) {
			o.deleted = now
		}
	}
}

// byID finds what exists under an id.
func (c *Cloud) byID(id string) (*record, error) {
	for _, r := range c.records {
		if r.id == id && r.live() {
			return r, nil
		}
	}
	return nil, fail(cloud.NotFound, "NotFound", "there is no %q", id)
}

// Check reports the account and, as quotas, the limits of the options.
func (c *Cloud) Check(ctx context.Context, regions ...string) (cloud.Report, error) {
	rep := cloud.Report{Identity: "tester@" + c.opts.Account, Account: c.opts.Account}
	err := c.call(ctx, Call{Op: OpCheck}, func(*Call) error {
		rep.Regions = slices.Sorted(maps.Keys(c.opts.Regions))
		for _, region := range regions {
			if _, ok := c.opts.Regions[region]; !ok {
				return fail(cloud.Invalid, "InvalidRegion", "there is no region %q", region)
			}
		}
		for _, region := range c.regions(regions) {
			for _, kind := range slices.Sorted(maps.Keys(c.opts.Quota)) {
				rep.Quotas = append(rep.Quotas, cloud.Quota{
					Name: string(kind), Region: region,
					Limit: float64(c.opts.Quota[kind]), Used: float64(c.count(kind, region)),
				})
			}
		}
		return nil
	})
	if err != nil {
		return cloud.Report{}, err
	}
	return rep, nil
}

func (c *Cloud) regions(asked []string) []string {
	if len(asked) == 0 {
		return slices.Sorted(maps.Keys(c.opts.Regions))
	}
	return asked
}

// Inventory lists everything that lists show, terminated machines excepted.
func (c *Cloud) Inventory(ctx context.Context, regions ...string) ([]cloud.Item, error) {
	var out []cloud.Item
	err := c.call(ctx, Call{Op: OpInventory}, func(*Call) error {
		now := time.Now()
		in := c.regions(regions)
		for _, r := range c.records {
			if !slices.Contains(in, r.region) || !r.gone.IsZero() || !c.listed(r, now) {
				continue
			}
			item := cloud.Item{Kind: r.kind, Region: r.region, ID: r.id, Name: r.key, Cluster: r.cluster, Detail: r.spec.detail()}
			if r.unmarked {
				item.Cluster = ""
			}
			out = append(out, item)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, cloud.CompareItems)
	return out, nil
}

// Console says who the machine is.
func (c *Cloud) Console(ctx context.Context, machine cloud.Object) ([]byte, error) {
	var out []byte
	call := Call{Op: OpConsole, Kind: machine.Kind, Key: machine.Key, Cluster: machine.Cluster, Region: machine.Region, ID: machine.ID}
	err := c.call(ctx, call, func(*Call) error {
		r, err := c.byID(machine.ID)
		if err != nil {
			return err
		}
		out = fmt.Appendf(nil, "%s (%s) login:\n", r.key, r.id)
		return nil
	})
	return out, err
}

// object is what a record looks like from outside: references to what carries the same mark are keys.
func (c *Cloud) object(r *record, now time.Time) cloud.Object {
	s := r.spec.clone()
	s.mapRefs(func(id string) string {
		for _, o := range c.records {
			if o.id == id && o.cluster == r.cluster && o.key != "" && o.live() {
				return o.key
			}
		}
		return id
	})
	o := cloud.Object{
		Key: r.key, Cluster: r.cluster, Kind: r.kind, Region: r.region, ID: r.id, State: cloud.Ready,
		Spec: s, Address: r.address, Created: r.created, Unmarked: r.unmarked,
	}
	if m, ok := s.(*MachineSpec); ok {
		o.State, o.Machine = c.machineStatus(r, m, now)
	}
	return o
}

func (c *Cloud) machineStatus(r *record, m *MachineSpec, now time.Time) (cloud.State, *cloud.MachineStatus) {
	st := &cloud.MachineStatus{Zone: m.Zone, Type: m.Type, ProviderID: fmt.Sprintf("%s:///%s/%s", c.opts.Provider, m.Zone, r.id)}
	if !r.gone.IsZero() {
		return cloud.Gone, st
	}
	st.Private, _ = netip.ParseAddr(m.Address)
	if c.opts.PicksAddress {
		st.Private = r.private
	}
	switch {
	case r.stopped:
		return cloud.Stopped, st
	case now.Before(r.created.Add(c.opts.Boot)):
		return cloud.Pending, st
	}
	st.Public = r.public
	for _, o := range c.records {
		a, ok := o.spec.(*AssociationSpec)
		if !ok || !o.live() || a.Machine != r.id {
			continue
		}
		if ip, err := c.byID(a.Address); err == nil {
			st.Public = ip.address
		}
	}
	return cloud.Ready, st
}

func digestOf(kind cloud.Kind, key, uid string, s spec, userData []byte) [sha256.Size]byte {
	h := sha256.New()
	data, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("cloudtest: marshal the spec of %s: %v", key, err))
	}
	for _, part := range [][]byte{[]byte(kind), []byte(key), []byte(uid), data, userData} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// fail makes an error without Op; call adds that.
func fail(class cloud.Class, code, format string, args ...any) error {
	return &cloud.Error{Class: class, Code: code, Message: fmt.Sprintf(format, args...)}
}

// describe puts what was being done into an error.
func describe(err error, call *Call) error {
	if err == nil {
		return nil
	}
	op := string(call.Op)
	if call.Kind != "" {
		op += " " + string(call.Kind) + " " + call.Key
	} else if call.Region != "" {
		op += " " + call.Region
	}
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		named := *e
		named.Op = op
		return &named
	}
	return &cloud.Error{Class: cloud.ClassOf(err), Op: op, Err: err}
}
