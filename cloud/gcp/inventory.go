package gcp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/cloud"
)

// global is the region of things that are in none.
const global = "global"

// Inventory lists the project's networks, subnets, firewall rules, routes, addresses, instances and disks. What is in no
// region is listed whatever the regions asked for.
func (d *Driver) Inventory(ctx context.Context, regions ...string) ([]cloud.Item, error) {
	items, err := d.inventory(ctx, regions)
	return items, failed("list everything in the project "+d.project, err)
}

func (d *Driver) inventory(ctx context.Context, regions []string) ([]cloud.Item, error) {
	var s snapshot
	var routes []*compute.Route
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { s.networks, err = d.listNetworks(ctx); return err })
	g.Go(func() (err error) { s.subnetworks, err = d.listSubnetworks(ctx, everywhere); return err })
	g.Go(func() (err error) { s.firewalls, err = d.listFirewalls(ctx); return err })
	g.Go(func() (err error) { routes, err = d.listRoutes(ctx); return err })
	g.Go(func() (err error) { s.addresses, err = d.listAddresses(ctx, everywhere); return err })
	g.Go(func() (err error) { s.instances, err = d.listInstances(ctx, ""); return err })
	g.Go(func() (err error) { s.disks, err = d.listDisks(ctx, ""); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	l := listing{regions: regions}
	l.networking(&s, routes)
	l.machines(&s)
	slices.SortFunc(l.items, cloud.CompareItems)
	return l.items, nil
}

// listing collects the items of some regions, or of all.
type listing struct {
	regions []string
	items   []cloud.Item
}

// add takes an item of a region; an empty region is no region.
func (l *listing) add(kind cloud.Kind, region, link string, number uint64, cluster, detail string) {
	if region == "" {
		region = global
	} else if len(l.regions) > 0 && !slices.Contains(l.regions, region) {
		return
	}
	l.items = append(l.items, cloud.Item{
		Kind: kind, Region: region, ID: idOf(link, number), Name: lastPart(link), Cluster: cluster, Detail: strings.TrimSpace(detail),
	})
}

// clusterOf reads a cluster from a description.
func clusterOf(description string) string {
	cluster, _, _ := cloud.ParseDescription(description)
	return cluster
}

func (l *listing) networking(s *snapshot, routes []*compute.Route) {
	for _, n := range s.networks {
		mode := "custom"
		if n.AutoCreateSubnetworks {
			mode = "auto"
		}
		l.add(kindNetwork, "", n.SelfLink, n.Id, clusterOf(n.Description), fmt.Sprintf("%s mtu=%d peerings=%d", mode, n.Mtu, len(n.Peerings)))
	}
	for _, n := range s.subnetworks {
		l.add(kindSubnetwork, lastPart(n.Region), n.SelfLink, n.Id, clusterOf(n.Description), n.IpCidrRange+" "+lastPart(n.Network))
	}
	for _, f := range s.firewalls {
		l.add(kindFirewall, "", f.SelfLink, f.Id, clusterOf(f.Description), fmt.Sprintf("%s %s priority=%d allowed=%d denied=%d disabled=%v",
			lastPart(f.Network), f.Direction, f.Priority, len(f.Allowed), len(f.Denied), f.Disabled))
	}
	for _, r := range routes {
		hop := cmp.Or(r.NextHopGateway, r.NextHopInstance, r.NextHopIp, r.NextHopVpnTunnel, r.NextHopIlb, r.NextHopNetwork, r.NextHopPeering, r.NextHopHub)
		l.add(kindRoute, "", r.SelfLink, r.Id, clusterOf(r.Description), lastPart(r.Network)+" "+r.DestRange+" "+lastPart(hop))
	}
	for _, a := range s.addresses {
		var users []string
		for _, u := range a.Users {
			users = append(users, lastPart(u))
		}
		l.add(kindAddress, lastPart(a.Region), a.SelfLink, a.Id, clusterOf(a.Description), a.Address+" "+strings.Join(users, " "))
	}
}

func (l *listing) machines(s *snapshot) {
	for _, i := range s.instances {
		l.add(kindInstance, regionOf(lastPart(i.Zone)), i.SelfLink, i.Id, i.Labels[cloud.TagCluster], lastPart(i.MachineType)+" "+i.Status)
	}
	for _, x := range s.disks {
		region := regionOf(lastPart(x.Zone))
		if x.Zone == "" { // a disk of a region, not of a zone
			region = lastPart(x.Region)
		}
		l.add(kindDisk, region, x.SelfLink, x.Id, x.Labels[cloud.TagCluster], fmt.Sprintf("%d GiB %s", x.SizeGb, lastPart(x.Type)))
	}
}
