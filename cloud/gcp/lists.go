package gcp

import (
	"context"
	"fmt"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/cloud"
)

// pageSize is the most that one answer of a list may hold.
const pageSize = 500

// everywhere stands for all regions.
const everywhere = ""

// marked is the filter for things with labels that carry a cluster's mark.
func marked(cluster string) string { return fmt.Sprintf("labels.%s=%q", cloud.TagCluster, cluster) }

// partial refuses a list that lacks what its scope holds: an empty list must never be taken for an empty cloud. Other
// warnings, NO_RESULTS_ON_PAGE above all, are no matter.
func partial(scope, code, message string) error {
	switch code {
	case "UNREACHABLE", "PARTIAL_SUCCESS", "RESOURCE_NOT_FETCHED":
		return &cloud.Error{Class: cloud.Unavailable, Code: code, Message: "the list of " + scope + " is not complete: " + message}
	}
	return nil
}

func (d *Driver) listNetworks(ctx context.Context) (out []*compute.Network, err error) {
	err = d.api.Networks.List(d.project).MaxResults(pageSize).Pages(ctx, func(p *compute.NetworkList) error {
		out = append(out, p.Items...)
		if p.Warning != nil {
			return partial("networks", p.Warning.Code, p.Warning.Message)
		}
		return nil
	})
	return out, err
}

func (d *Driver) listFirewalls(ctx context.Context) (out []*compute.Firewall, err error) {
	err = d.api.Firewalls.List(d.project).MaxResults(pageSize).Pages(ctx, func(p *compute.FirewallList) error {
		out = append(out, p.Items...)
		if p.Warning != nil {
			return partial("firewalls", p.Warning.Code, p.Warning.Message)
		}
		return nil
	})
	return out, err
}

func (d *Driver) listRoutes(ctx context.Context) (out []*compute.Route, err error) {
	err = d.api.Routes.List(d.project).MaxResults(pageSize).Pages(ctx, func(p *compute.RouteList) error {
		out = append(out, p.Items...)
		if p.Warning != nil {
			return partial("routes", p.Warning.Code, p.Warning.Message)
		}
		return nil
	})
	return out, err
}

// listSubnetworks lists a region's subnets, or those of everywhere.
func (d *Driver) listSubnetworks(ctx context.Context, region string) (out []*compute.Subnetwork, err error) {
	if region != everywhere {
		err = d.api.Subnetworks.List(d.project, region).MaxResults(pageSize).Pages(ctx, func(p *compute.SubnetworkList) error {
			out = append(out, p.Items...)
			if p.Warning != nil {
				return partial("subnetworks in "+region, p.Warning.Code, p.Warning.Message)
			}
			return nil
		})
		return out, err
	}
	err = d.api.Subnetworks.AggregatedList(d.project).MaxResults(pageSize).Pages(ctx, func(p *compute.SubnetworkAggregatedList) error {
		for where, scoped := range p.Items {
			out = append(out, scoped.Subnetworks...)
			if w := scoped.Warning; w != nil {
				if err := partial("subnetworks in "+where, w.Code, w.Message); err != nil {
					return err
				}
			}
		}
		return unreachable(p.Unreachables)
	})
	return out, err
}

// listAddresses lists a region's addresses, or all there are, global ones too.
func (d *Driver) listAddresses(ctx context.Context, region string) (out []*compute.Address, err error) {
	if region != everywhere {
		err = d.api.Addresses.List(d.project, region).MaxResults(pageSize).Pages(ctx, func(p *compute.AddressList) error {
			out = append(out, p.Items...)
			if p.Warning != nil {
				return partial("addresses in "+region, p.Warning.Code, p.Warning.Message)
			}
			return nil
		})
		return out, err
	}
	err = d.api.Addresses.AggregatedList(d.project).MaxResults(pageSize).Pages(ctx, func(p *compute.AddressAggregatedList) error {
		for where, scoped := range p.Items {
			out = append(out, scoped.Addresses...)
			if w := scoped.Warning; w != nil {
				if err := partial("addresses in "+where, w.Code, w.Message); err != nil {
					return err
				}
			}
		}
		return unreachable(p.Unreachables)
	})
	return out, err
}

// listInstances lists the instances of all zones that a filter finds; an empty filter finds all.
func (d *Driver) listInstances(ctx context.Context, filter string) (out []*compute.Instance, err error) {
	call := d.api.Instances.AggregatedList(d.project).MaxResults(pageSize)
	if filter != "" {
		call.Filter(filter)
	}
	err = call.Pages(ctx, func(p *compute.InstanceAggregatedList) error {
		for where, scoped := range p.Items {
			out = append(out, scoped.Instances...)
			if w := scoped.Warning; w != nil {
				if err := partial("instances in "+where, w.Code, w.Message); err != nil {
					return err
				}
			}
		}
		return unreachable(p.Unreachables)
	})
	return out, err
}

// listDisks is like listInstances, for disks.
func (d *Driver) listDisks(ctx context.Context, filter string) (out []*compute.Disk, err error) {
	call := d.api.Disks.AggregatedList(d.project).MaxResults(pageSize)
	if filter != "" {
		call.Filter(filter)
	}
	err = call.Pages(ctx, func(p *compute.DiskAggregatedList) error {
		for where, scoped := range p.Items {
			out = append(out, scoped.Disks...)
			if w := scoped.Warning; w != nil {
				if err := partial("disks in "+where, w.Code, w.Message); err != nil {
					return err
				}
			}
		}
		return unreachable(p.Unreachables)
	})
	return out, err
}

func unreachable(scopes []string) error {
	if len(scopes) == 0 {
		return nil
	}
	return &cloud.Error{Class: cloud.Unavailable, Code: "UNREACHABLE", Message: fmt.Sprintf("the list is not complete: %v didn't answer", scopes)}
}
