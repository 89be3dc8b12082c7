package gcp

import (
	"context"
	"maps"
	"slices"
	"strings"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/cloud"
)

// The quotas that what is to be made counts to, as regions and projects list them.
const (
	metricNetworks    = "NETWORKS"
	metricSubnetworks = "SUBNETWORKS"
	metricFirewalls   = "FIREWALLS"
	metricStatic      = "STATIC_ADDRESSES"
	metricInUse       = "IN_USE_ADDRESSES"
	metricInstances   = "INSTANCES"
	metricDisks       = "SSD_TOTAL_GB"
	metricCPUs        = "CPUS"
	metricAllCPUs     = "CPUS_ALL_REGIONS"
)

// commonFamilies are the machine families whose CPUs count to the quota that is called CPUS alone; others have their own.
var commonFamilies = []string{"e2", "n1", "f1", "g1"}

// demand is how much of each quota something needs; the region is empty for the project's own.
type demand map[demandAt]float64

type demandAt struct{ region, metric string }

// of adds what a resource needs, sign times.
func (n demand) of(kind cloud.Kind, region string, spec any, sign float64, types map[typeAt]machineKind) {
	add := func(region, metric string, amount float64) { n[demandAt{region, metric}] += sign * amount }
	switch kind {
	case kindNetwork:
		add("", metricNetworks, 1)
	case kindSubnetwork:
		add("", metricSubnetworks, 1)
	case kindFirewall:
		add("", metricFirewalls, 1)
	case kindAddress:
		add(region, metricStatic, 1)
	case kindInstance:
		s, ok := spec.(*InstanceSpec)
		if !ok {
			return
		}
		add(region, metricInstances, 1)
		if s.PublicAddress != "" {
			add(region, metricInUse, 1)
		}
		if diskType(s.Type) == "pd-balanced" {
			add(region, metricDisks, float64(s.DiskGiB))
		}
		cpus := float64(types[typeAt{s.Zone, s.Type}].cpus)
		add(region, cpuMetric(s.Type), cpus)
		add("", metricAllCPUs, cpus)
	}
}

func cpuMetric(machineType string) string {
	if f := family(machineType); !slices.Contains(commonFamilies, f) {
		return strings.ToUpper(f) + "_CPUS"
	}
	return metricCPUs
}

// limits holds what is to be made against the quotas.
func (p *preflight) limits(ctx context.Context, req cloud.PreflightRequest) error {
	need, keys := demand{}, map[demandAt][]string{}
	for _, r := range req.Create {
		own := demand{}
		own.of(r.Kind, r.Region, r.Spec, 1, p.types)
		for at, n := range own {
			need[at] += n
			keys[at] = append(keys[at], r.Key)
		}
	}
	for _, o := range req.Replaced {
		need.of(o.Kind, o.Region, o.Spec, -1, p.types)
	}
	maps.DeleteFunc(need, func(_ demandAt, n float64) bool { return n <= 0 })
	regions := map[string]bool{}
	for at := range need {
		regions[at.region] = true
	}
	for _, region := range slices.Sorted(maps.Keys(regions)) {
		list, err := p.d.quotasOf(ctx, region)
		if err != nil {
			if err := p.note("reading the quotas of "+placeName(region, p.d.project), err); err != nil {
				return err
			}
			continue
		}
		for _, q := range list {
			at := demandAt{region, q.Metric}
			p.problem(cloud.OverQuota(region, "quota "+q.Metric, unitOf(q.Metric), raise(p.d.project, region), q.Limit, q.Usage, need[at], keys[at]))
		}
	}
	return nil
}

// quotasOf reads a region's quotas, or the project's for an empty region.
func (d *Driver) quotasOf(ctx context.Context, region string) ([]*compute.Quota, error) {
	if region == "" {
		p, err := d.api.Projects.Get(d.project).Context(ctx).Do()
		if err != nil {
			return nil, err
		}
		return p.Quotas, nil
	}
	r, err := d.api.Regions.Get(d.project, region).Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	return r.Quotas, nil
}

func placeName(region, project string) string {
	if region == "" {
		return "project " + project
	}
	return "region " + region
}

func unitOf(metric string) string {
	switch {
	case strings.Contains(metric, "CPUS"):
		return "vCPUs"
	case metric == metricDisks:
		return "GB"
	}
	return "of it"
}

// raise is how a higher limit is asked for.
func raise(project, region string) string {
	where := "global"
	if region != "" {
		where = region
	}
	return "%[1]g or more (" + where + ", at https://console.cloud.google.com/iam-admin/quotas?project=" + project + ")"
}
