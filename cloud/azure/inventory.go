package azure

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"

	"github.com/skyweld/skyweld/cloud"
)

// Inventory lists the subscription's resource groups, networks, security groups, public addresses, interfaces, machines and
// disks, and the network watchers that Azure makes along with networks.
func (d *Driver) Inventory(ctx context.Context, regions ...string) ([]cloud.Item, error) {
	items, err := d.inventory(ctx, regions)
	return items, failed("list everything in the subscription "+d.subscription, err)
}

func (d *Driver) inventory(ctx context.Context, regions []string) ([]cloud.Item, error) {
	var s *snapshot
	var watchers []*armnetwork.Watcher
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { s, err = d.snapshot(gctx, ""); return err })
	g.Go(func() (err error) { watchers, err = d.listWatchers(gctx); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	l := listing{regions: regions}
	l.networking(s)
	l.machines(s)
	for _, w := range watchers {
		l.add(kindWatcher, w.Location, w.ID, "", w.Tags, "")
	}
	slices.SortFunc(l.items, cloud.CompareItems)
	return l.items, nil
}

// listing collects the items of some regions, or of all.
type listing struct {
	regions []string
	items   []cloud.Item
}

func (l *listing) add(kind cloud.Kind, location, id *string, number string, tags map[string]*string, detail string) {
	region := regionName(val(location))
	if len(l.regions) > 0 && !slices.Contains(l.regions, region) {
		return
	}
	l.items = append(l.items, cloud.Item{
		Kind: kind, Region: region, ID: idOf(val(id), number), Name: parsePath(val(id)).name, Cluster: tagOf(tags, cloud.TagCluster), Detail: strings.TrimSpace(detail),
	})
}

func (l *listing) networking(s *snapshot) {
	for _, x := range s.groups {
		l.add(kindGroup, x.Location, x.ID, "", x.Tags, "")
	}
	for _, x := range s.securities {
		p := cmp.Or(x.Properties, &armnetwork.SecurityGroupPropertiesFormat{})
		l.add(kindSecurity, x.Location, x.ID, val(p.ResourceGUID), x.Tags, fmt.Sprintf("rules=%d", len(p.SecurityRules)))
	}
	for _, x := range s.networks {
		p := cmp.Or(x.Properties, &armnetwork.VirtualNetworkPropertiesFormat{})
		var parts []string
		for _, n := range p.Subnets {
			parts = append(parts, val(n.Name))
		}
		o := networkObject(x)
		if n, ok := o.Spec.(*NetworkSpec); ok {
			parts = append(slices.Clone(n.AddressSpace), cloud.SortedSet(parts)...)
		}
		l.add(kindNetwork, x.Location, x.ID, val(p.ResourceGUID), x.Tags, fmt.Sprintf("%s peerings=%d", strings.Join(parts, " "), len(p.VirtualNetworkPeerings)))
	}
	for _, x := range s.addresses {
		p := cmp.Or(x.Properties, &armnetwork.PublicIPAddressPropertiesFormat{})
		user := ""
		if p.IPConfiguration != nil {
			user = parsePath(parent(val(p.IPConfiguration.ID))).name
		}
		l.add(kindAddress, x.Location, x.ID, val(p.ResourceGUID), x.Tags, val(p.IPAddress)+" "+user)
	}
	for _, x := range s.interfaces {
		p := cmp.Or(x.Properties, &armnetwork.InterfacePropertiesFormat{})
		detail := ""
		if c := firstConfig(x); c != nil {
			detail = val(c.PrivateIPAddress)
		}
		if p.VirtualMachine != nil {
			detail += " " + parsePath(val(p.VirtualMachine.ID)).name
		}
		l.add(kindInterface, x.Location, x.ID, val(p.ResourceGUID), x.Tags, detail)
	}
}

func (l *listing) machines(s *snapshot) {
	j := s.join()
	for _, x := range s.machines {
		p := cmp.Or(x.Properties, &armcompute.VirtualMachineProperties{})
		detail := ""
		if p.HardwareProfile != nil {
			detail = string(val(p.HardwareProfile.VMSize))
		}
		l.add(kindMachine, x.Location, x.ID, val(p.VMID), x.Tags, detail+" "+power(j.states[pathOf(val(x.ID))]))
	}
	for _, x := range s.disks {
		p := cmp.Or(x.Properties, &armcompute.DiskProperties{})
		kind := ""
		if x.SKU != nil {
			kind = string(val(x.SKU.Name))
		}
		tags := x.Tags
		if c := diskCluster(x, s.groups); c != "" {
			tags = map[string]*string{cloud.TagCluster: &c}
		}
		l.add(kindDisk, x.Location, x.ID, val(p.UniqueID), tags, fmt.Sprintf("%d GiB %s", val(p.DiskSizeGB), kind))
	}
}
