package cloudtest

import (
	"context"
	"slices"

	"github.com/skyweld/skyweld/cloud"
)

// OpPreflight is the operation of Preflight in the log of calls.
const OpPreflight Op = "preflight"

// SetTypes says which machine types each zone offers; nil for all in all.
func (c *Cloud) SetTypes(byZone map[string][]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.types = byZone
}

// Deny takes permissions away ("create machine", "list quotas") and gives all others back.
func (c *Cloud) Deny(actions ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.denied = actions
}

// permit refuses an action that was taken away.
func (c *Cloud) permit(action string) error {
	if !slices.Contains(c.denied, action) {
		return nil
	}
	return &cloud.Error{Class: cloud.Denied, Code: "NotAllowed", Action: action, Message: "the account may not " + action}
}

// Preflight looks at machine types, limits and permissions, each as Create enforces it.
func (c *Cloud) Preflight(ctx context.Context, req cloud.PreflightRequest) (cloud.Findings, error) {
	var f cloud.Findings
	err := c.call(ctx, Call{Op: OpPreflight, Cluster: req.Owner.UID}, func(*Call) error {
		need := map[place]float64{}
		keys := map[place][]string{}
		for _, r := range req.Create {
			if _, ok := c.opts.Regions[r.Region]; !ok {
				return fail(cloud.Invalid, "InvalidRegion", "there is no region %q", r.Region)
			}
			at := place{r.Region, r.Kind}
			need[at]++
			keys[at] = append(keys[at], r.Key)
		}
		types, err := c.typeProblems(req)
		if err != nil {
			return err
		}
		f.Problems = types
		for _, o := range req.Replaced {
			need[place{o.Region, o.Kind}]--
		}
		for at, n := range need {
			action := "create " + string(at.kind)
			if err := c.permit(action); err != nil {
				f.Problems = append(f.Problems, cloud.Problem{
					Class: cloud.Denied, Region: at.region, Subject: "permission " + action, Message: "the account lacks it", Keys: keys[at],
				})
			}
			limit, limited := c.opts.Quota[at.kind]
			switch {
			case !limited:
			case c.permit("list quotas") != nil:
				f.Notes = append(f.Notes, "limits were not looked at: the account may not list quotas")
			default:
				used := float64(c.count(at.kind, at.region))
				if p := cloud.OverQuota(at.region, "quota "+string(at.kind), "of kind "+string(at.kind), "%[1]g", float64(limit), used, n, keys[at]); p != nil {
					f.Problems = append(f.Problems, *p)
				}
			}
		}
		return nil
	})
	f.Sort()
	return f, err
}

// place is a kind in a region.
type place struct {
	region string
	kind   cloud.Kind
}

// typeProblems says what is wrong with the types of machines.
func (c *Cloud) typeProblems(req cloud.PreflightRequest) ([]cloud.Problem, error) {
	if c.types == nil {
		return nil, nil
	}
	a := cloud.LookAhead(c.opts.Provider, req)
	for _, w := range a.MachineTypes(func(spec any) (zone, machineType string, ok bool) {
		m, ok := spec.(*MachineSpec)
		if !ok {
			return "", "", false
		}
		return m.Zone, m.Type, true
	}) {
		all := c.typesIn(w.Region)
		var have *cloud.MachineType
		if i := slices.IndexFunc(all, func(t cloud.MachineType) bool { return t.Name == w.Name }); i >= 0 {
			have = &all[i]
		}
		if err := a.Judge("machine type", w, have, func() ([]cloud.MachineType, error) { return all, nil }); err != nil {
			return nil, err
		}
	}
	return a.Findings().Problems, nil
}

// typesIn are the machine types of a region, with the zones that offer them.
func (c *Cloud) typesIn(region string) []cloud.MachineType {
	var out []cloud.MachineType
	for _, zone := range c.opts.Regions[region] {
		for _, name := range c.types[zone] {
			i := slices.IndexFunc(out, func(t cloud.MachineType) bool { return t.Name == name })
			if i < 0 {
				i = len(out)
				out = append(out, cloud.MachineType{Name: name})
			}
			out[i].Zones = append(out[i].Zones, zone)
		}
	}
	return out
}

func (c *Cloud) offers(zone, machineType string) bool {
	return c.types == nil || slices.Contains(c.types[zone], machineType)
}
