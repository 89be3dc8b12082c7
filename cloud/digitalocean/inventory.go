package digitalocean

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/digitalocean/godo"
	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
)

// global is the region of things that are in none.
const global = "global"

// Inventory lists the account's tags, VPCs, firewalls, droplets, reserved addresses and volumes. What is in no region is
// listed whatever the regions asked for.
func (d *Driver) Inventory(ctx context.Context, regions ...string) ([]cloud.Item, error) {
	items, err := d.inventory(ctx, regions)
	return items, failed("list everything in the digitalocean account", err)
}

func (d *Driver) inventory(ctx context.Context, regions []string) ([]cloud.Item, error) {
	var s snapshot
	var volumes []godo.Volume
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { s.tags, err = d.listTags(ctx); return err })
	g.Go(func() (err error) { s.vpcs, err = d.listVPCs(ctx); return err })
	g.Go(func() (err error) { s.firewalls, err = d.listFirewalls(ctx); return err })
	g.Go(func() (err error) { s.droplets, err = d.listDroplets(ctx, ""); return err })
	g.Go(func() (err error) { s.reserved, err = d.listReserved(ctx); return err })
	g.Go(func() (err error) { volumes, err = d.listVolumes(ctx); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	l := listing{regions: regions}
	l.named(&s)
	l.networking(&s)
	for _, x := range s.droplets {
		cluster, _, _ := dropletMark(x.Tags)
		l.add(kindDroplet, regionOf(x.Region), strconv.Itoa(x.ID), x.Name, cluster, x.SizeSlug+" "+x.Status)
	}
	for _, v := range volumes {
		l.add(kindVolume, regionOf(v.Region), v.ID, v.Name, "", fmt.Sprintf("%d GiB", v.SizeGigaBytes))
	}
	slices.SortFunc(l.items, cloud.CompareItems)
	return l.items, nil
}

// listing collects the items of some regions, or of all.
type listing struct {
	regions []string
	items   []cloud.Item
}

func (l *listing) add(kind cloud.Kind, region, id, name, cluster, detail string) {
	if region == "" {
		region = global
	} else if len(l.regions) > 0 && !slices.Contains(l.regions, region) {
		return
	}
	l.items = append(l.items, cloud.Item{Kind: kind, Region: region, ID: id, Name: name, Cluster: cluster, Detail: detail})
}

// named lists what is in no region: tags and firewalls.
func (l *listing) named(s *snapshot) {
	for _, t := range s.tags {
		cluster := ""
		for _, prefix := range []string{tagCluster, tagKey, tagRole, tagAddress} {
			if uid, _, _, ok := tagParts(t.Name, prefix); ok {
				cluster = uid
			}
		}
		l.add(kindTag, "", t.Name, t.Name, cluster, "")
	}
	for _, f := range s.firewalls {
		l.add(kindFirewall, "", f.ID, f.Name, firewallCluster(&f), fmt.Sprintf("inbound=%d outbound=%d", len(f.InboundRules), len(f.OutboundRules)))
	}
}

// firewallCluster is the whole uid of the cluster that a firewall belongs to: its name has the beginning, its tags the rest.
func firewallCluster(f *godo.Firewall) string {
	for _, t := range f.Tags {
		if uid, _, _, ok := tagParts(t, tagRole); ok {
			if _, ours := keyInName(uid, f.Name); ours {
				return uid
			}
		}
	}
	return ""
}

func (l *listing) networking(s *snapshot) {
	for _, v := range s.vpcs {
		cluster, _ := vpcMark(v)
		detail := v.IPRange
		if v.Default {
			detail += " default"
		}
		l.add(kindVPC, v.RegionSlug, v.ID, v.Name, cluster, detail)
	}
	owners := map[string]string{}
	for _, t := range s.tags {
		if uid, _, last, ok := tagParts(t.Name, tagAddress); ok {
			if ip := addressOf(last); ip.IsValid() {
				owners[ip.String()] = uid
			}
		}
	}
	for _, r := range s.reserved {
		detail := ""
		if r.Droplet != nil {
			detail = r.Droplet.Name
		}
		l.add(kindReserved, regionOf(r.Region), r.IP, "", owners[r.IP], detail)
	}
}
