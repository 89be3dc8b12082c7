package gcp

import (
	"context"
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

// takes tells which quotas a resource counts to; those of an empty region are the project's own.
func (p preflight) takes(r cloud.Resource, add func(region, metric string, amount float64)) {
	switch r.Kind {
	case kindNetwork:
		add("", metricNetworks, 1)
	case kindSubnetwork:
		add("", metricSubnetworks, 1)
	case kindFirewall:
		add("", metricFirewalls, 1)
	case kindAddress:
		add(r.Region, metricStatic, 1)
	case kindInstance:
		s, ok := r.Spec.(*InstanceSpec)
		if !ok {
			return
		}
		add(r.Region, metricInstances, 1)
		if s.PublicAddress != "" {
			add(r.Region, metricInUse, 1)
		}
		if diskType(s.Type) == "pd-balanced" {
			add(r.Region, metricDisks, float64(s.DiskGiB))
		}
		cpus := float64(p.types[typeAt{s.Zone, s.Type}].VCPUs)
		add(r.Region, cpuMetric(s.Type), cpus)
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
func (p preflight) limits(ctx context.Context) error {
	return p.Limits(cloud.Limits{
		Takes: p.takes,
		Read: func(region string, _ []string) ([]cloud.Quota, error) {
			list, err := p.d.quotasOf(ctx, region)
			var out []cloud.Quota
			for _, q := range list {
				out = append(out, cloud.Quota{Name: q.Metric, Region: region, Limit: q.Limit, Used: q.Usage})
			}
			return out, err
		},
		Pass: func(region string, err error) error {
			return p.pass("reading the quotas of "+placeName(region, p.d.project), err)
		},
		Subject: func(metric string) string { return "quota " + metric },
		Unit:    unitOf,
		Raise:   func(region, _ string) string { return raise(p.d.project, region) },
	})
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
