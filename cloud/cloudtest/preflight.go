package cloudtest

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
			if p := c.typeProblem(r); p != nil {
				f.Problems = append(f.Problems, *p)
			}
		}
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

// typeProblem says what is wrong with a machine's type, nil when nothing is.
func (c *Cloud) typeProblem(r cloud.Resource) *cloud.Problem {
	m, ok := r.Spec.(*MachineSpec)
	if !ok || c.offers(m.Zone, m.Type) {
		return nil
	}
	p := &cloud.Problem{Class: cloud.Invalid, Region: r.Region, Subject: "machine type " + m.Type, Keys: []string{r.Key}}
	var zones, known []string
	for _, zone := range c.opts.Regions[r.Region] {
		known = append(known, c.types[zone]...)
		if slices.Contains(c.types[zone], m.Type) {
			zones = append(zones, zone)
		}
	}
	if len(zones) > 0 {
		p.Message = fmt.Sprintf("zone %s doesn't offer it; %s do", m.Zone, strings.Join(zones, ", "))
		return p
	}
	p.Message = fmt.Sprintf("%s has no such type; the nearest are %s", r.Region, strings.Join(cloud.NearestTypes(m.Type, ".", known, 3), ", "))
	return p
}

func (c *Cloud) offers(zone, machineType string) bool {
	return c.types == nil || slices.Contains(c.types[zone], machineType)
}
