package cloudtest

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// The methods here change the cloud behind the driver's back, as people and clouds do. They are not logged as calls, no
// fault applies to them, and they panic when there is no such thing: that is a mistake in the test.

// Revoke makes every call fail with class Denied, or with on=false work again.
func (c *Cloud) Revoke(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revoked = on
}

// Clone is a copy of the cloud as it is now, without its faults, its hooks and its log.
func (c *Cloud) Clone() *Cloud {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := New(c.opts)
	for _, r := range c.records {
		copied := *r
		copied.spec = r.spec.clone()
		out.records = append(out.records, &copied)
	}
	out.next, out.nextIP, out.revoked, out.types, out.denied = c.next, c.nextIP, c.revoked, c.types, c.denied
	return out
}

// Objects lists all live objects of a cluster as a driver shows them that knows all of them, without list lag, in order of
// creation; with an empty uid what never had a mark.
func (c *Cloud) Objects(uid string) []cloud.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []cloud.Object
	now := time.Now()
	for _, r := range c.records {
		if r.cluster == uid && r.live() {
			out = append(out, c.object(r, now))
		}
	}
	return out
}

// Find returns the one live object of a cluster under a key; it panics when there are none or several.
func (c *Cloud) Find(uid, key string) cloud.Object {
	found := slices.DeleteFunc(c.Objects(uid), func(o cloud.Object) bool { return o.Key != key })
	if len(found) != 1 {
		panic(fmt.Sprintf("cloudtest: %d objects under key %q of cluster %q", len(found), key, uid))
	}
	return found[0]
}

// UserData returns what a machine was made with.
func (c *Cloud) UserData(id string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.must(id).userData)
}

// Terminate ends a machine, which then is Gone.
func (c *Cloud) Terminate(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.must(id)
	if r.kind != KindMachine {
		panic("cloudtest: " + id + " is no machine")
	}
	c.remove(r)
}

// Unmark takes the owner mark off a thing: from then on only who knows its id finds it.
func (c *Cloud) Unmark(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.must(id).unmarked = true
}

// Stop stops a machine.
func (c *Cloud) Stop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.must(id).stopped = true
}

// Start starts a stopped machine.
func (c *Cloud) Start(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.must(id).stopped = false
}

// Vanish removes anything at once, without a trace and whatever refers to it.
func (c *Cloud) Vanish(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.must(id)
	c.records = slices.DeleteFunc(c.records, func(r *record) bool { return r.id == id })
}

// Copy makes another thing with the same mark and spec, as "launch more like this" does, and returns its id. A machine's
// copy gets an address from another hand ("10.255.255.x").
func (c *Cloud) Copy(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.must(id)
	r := &record{
		key: old.key, cluster: old.cluster, kind: old.kind, region: old.region, spec: old.spec.clone(), userData: old.userData,
	}
	if m, ok := r.spec.(*MachineSpec); ok {
		m.Address = fmt.Sprintf("10.255.255.%d", c.next%250+1)
	}
	c.add(r)
	return r.id
}

// Foreign makes a thing without a mark and returns its id; references in its spec are ids.
func (c *Cloud) Foreign(kind cloud.Kind, region string, s any) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	own, ok := s.(spec)
	if !ok || !kindFits(kind, own) {
		panic(fmt.Sprintf("cloudtest: kind %q takes no %T", kind, s))
	}
	r := &record{kind: kind, region: region, spec: own.clone()}
	c.add(r)
	return r.id
}

// Tamper changes the spec of a thing by hand: change gets a pointer to its spec, in which references are ids.
func (c *Cloud) Tamper(id string, change func(spec any)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c.must(id).spec)
}

// SetQuota limits a kind from now on; a negative limit lifts it.
func (c *Cloud) SetQuota(kind cloud.Kind, limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	quota := map[cloud.Kind]int{}
	for k, v := range c.opts.Quota {
		quota[k] = v
	}
	quota[kind] = limit
	if limit < 0 {
		delete(quota, kind)
	}
	c.opts.Quota = quota
}

func (c *Cloud) must(id string) *record {
	r, err := c.byID(id)
	if err != nil {
		panic("cloudtest: " + err.Error())
	}
	return r
}
