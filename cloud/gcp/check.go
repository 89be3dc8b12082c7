package gcp

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"

	"github.com/skyweld/skyweld/cloud"
)

// Check asks for the project, which regions it may use, what we may do, and the quotas of the project and of the given
// regions (of all when none is given). Permissions are those of the project and so the same in all regions; they are
// tried in the first one.
func (d *Driver) Check(ctx context.Context, regions ...string) (cloud.Report, error) {
	rep, err := d.check(ctx, regions)
	return rep, failed("check the gcp project "+d.project, err)
}

func (d *Driver) check(ctx context.Context, regions []string) (cloud.Report, error) {
	project, err := d.api.Projects.Get(d.project).Context(ctx).Do()
	if err != nil {
		return cloud.Report{}, err
	}
	rep := cloud.Report{Identity: d.identity, Account: project.Name}
	var all []*compute.Region
	if all, err = d.regions(ctx); err != nil {
		return cloud.Report{}, err
	}
	rep.Regions = up(all)
	if len(rep.Regions) == 0 {
		return cloud.Report{}, &cloud.Error{Class: cloud.Unavailable, Message: "the project has no region that is up"}
	}
	if len(regions) == 0 {
		regions = rep.Regions
	}
	rep.Quotas = append(rep.Quotas, quotas("", project.Quotas)...)
	for _, name := range regions {
		if !slices.Contains(rep.Regions, name) {
			return cloud.Report{}, d.noRegion(name, rep.Regions)
		}
		i := slices.IndexFunc(all, func(r *compute.Region) bool { return r.Name == name })
		rep.Quotas = append(rep.Quotas, quotas(name, all[i].Quotas)...)
		if rep.Missing == nil && name == regions[0] && len(all[i].Zones) > 0 {
			if rep.Missing, err = d.missing(ctx, name, lastPart(all[i].Zones[0])); err != nil {
				return cloud.Report{}, err
			}
		}
	}
	return rep, nil
}

// regions lists all regions.
func (d *Driver) regions(ctx context.Context) (all []*compute.Region, err error) {
	err = d.api.Regions.List(d.project).MaxResults(pageSize).Pages(ctx, func(p *compute.RegionList) error {
		all = append(all, p.Items...)
		if p.Warning != nil {
			return partial("regions", p.Warning.Code, p.Warning.Message)
		}
		return nil
	})
	return all, err
}

// up are the names of the regions that can be used, sorted.
func up(all []*compute.Region) []string {
	var names []string
	for _, r := range all {
		if r.Status == "UP" {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names
}

// noRegion is the error of a region that the project doesn't have.
func (d *Driver) noRegion(region string, have []string) error {
	return &cloud.Error{Class: cloud.Invalid, NoRegion: true, Message: "project " + d.project + " doesn't have the region " + region + "; it has " +
		strings.Join(have, ", ") + ": use one of these"}
}

// explainRegion looks whether a refusal in a region means that the project doesn't have it.
func (d *Driver) explainRegion(ctx context.Context, region string, err error) error {
	if !isClass(err, cloud.Invalid) && !isClass(err, cloud.NotFound) {
		return err
	}
	all, rerr := d.regions(ctx)
	if have := up(all); rerr == nil && !slices.Contains(have, region) {
		return d.noRegion(region, have)
	}
	return err
}

// limiting are the quotas that limit a site.
var limiting = []string{
	"CPUS", "CPUS_ALL_REGIONS", "FIREWALLS", "INSTANCES", "IN_USE_ADDRESSES", "NETWORKS", "SSD_TOTAL_GB", "STATIC_ADDRESSES", "SUBNETWORKS",
}

func quotas(region string, list []*compute.Quota) []cloud.Quota {
	var out []cloud.Quota
	for _, q := range list {
		if slices.Contains(limiting, q.Metric) {
			out = append(out, cloud.Quota{Name: q.Metric, Region: region, Limit: q.Limit, Used: q.Usage})
		}
	}
	slices.SortFunc(out, func(a, b cloud.Quota) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// probe tries a permission by a call that changes nothing.
type probe struct {
	permission string
	call       func() error
}

// probes are lists, which must work, and changes of things that don't exist: Google checks the permission first, and any
// other answer proves nothing missing. They are for projects where permissions can't be asked for by name. Creations can't
// be tried without making something; the predefined roles that allow to delete allow to create too.
func (d *Driver) probes(ctx context.Context, region, zone, absent string) []probe {
	api, p := d.api, d.project
	return []probe{
		{"compute.networks.list", func() error { _, err := api.Networks.List(p).MaxResults(1).Context(ctx).Do(); return err }},
		{"compute.subnetworks.list", func() error { _, err := api.Subnetworks.List(p, region).MaxResults(1).Context(ctx).Do(); return err }},
		{"compute.firewalls.list", func() error { _, err := api.Firewalls.List(p).MaxResults(1).Context(ctx).Do(); return err }},
		{"compute.routes.list", func() error { _, err := api.Routes.List(p).MaxResults(1).Context(ctx).Do(); return err }},
		{"compute.addresses.list", func() error { _, err := api.Addresses.List(p, region).MaxResults(1).Context(ctx).Do(); return err }},
		{"compute.instances.list", func() error { _, err := api.Instances.List(p, zone).MaxResults(1).Context(ctx).Do(); return err }},
		{"compute.disks.list", func() error { _, err := api.Disks.List(p, zone).MaxResults(1).Context(ctx).Do(); return err }},
		{"compute.networks.delete", func() error { _, err := api.Networks.Delete(p, absent).Context(ctx).Do(); return err }},
		{"compute.subnetworks.delete", func() error { _, err := api.Subnetworks.Delete(p, region, absent).Context(ctx).Do(); return err }},
		{"compute.firewalls.delete", func() error { _, err := api.Firewalls.Delete(p, absent).Context(ctx).Do(); return err }},
		{"compute.firewalls.update", func() error {
			_, err := api.Firewalls.Patch(p, absent, &compute.Firewall{Name: absent, Disabled: true}).Context(ctx).Do()
			return err
		}},
		{"compute.addresses.delete", func() error { _, err := api.Addresses.Delete(p, region, absent).Context(ctx).Do(); return err }},
		{"compute.instances.delete", func() error { _, err := api.Instances.Delete(p, zone, absent).Context(ctx).Do(); return err }},
		{"compute.instances.start", func() error { _, err := api.Instances.Start(p, zone, absent).Context(ctx).Do(); return err }},
		{"compute.instances.setTags", func() error {
			_, err := api.Instances.SetTags(p, zone, absent, &compute.Tags{}).Context(ctx).Do()
			return err
		}},
		{"compute.instances.setMetadata", func() error {
			_, err := api.Instances.SetMetadata(p, zone, absent, &compute.Metadata{}).Context(ctx).Do()
			return err
		}},
		{"compute.instances.resume", func() error { _, err := api.Instances.Resume(p, zone, absent).Context(ctx).Do(); return err }},
		{"compute.instances.setScheduling", func() error {
			_, err := api.Instances.SetScheduling(p, zone, absent, &compute.Scheduling{}).Context(ctx).Do()
			return err
		}},
		{"compute.instances.setDeletionProtection", func() error {
			_, err := api.Instances.SetDeletionProtection(p, zone, absent).DeletionProtection(false).Context(ctx).Do()
			return err
		}},
		{"compute.instances.setDiskAutoDelete", func() error {
			_, err := api.Instances.SetDiskAutoDelete(p, zone, absent, true, absent).Context(ctx).Do()
			return err
		}},
		{"compute.instances.addAccessConfig", func() error {
			_, err := api.Instances.AddAccessConfig(p, zone, absent, "nic0", &compute.AccessConfig{Type: "ONE_TO_ONE_NAT", Name: accessName}).Context(ctx).Do()
			return err
		}},
		{"compute.instances.deleteAccessConfig", func() error {
			_, err := api.Instances.DeleteAccessConfig(p, zone, absent, accessName, "nic0").Context(ctx).Do()
			return err
		}},
		{"compute.instances.getSerialPortOutput", func() error {
			_, err := api.Instances.GetSerialPortOutput(p, zone, absent).Context(ctx).Do()
			return err
		}},
		{"compute.networks.update", func() error {
			_, err := api.Networks.Patch(p, absent, &compute.Network{Mtu: defaultMTU}).Context(ctx).Do()
			return err
		}},
		{"compute.subnetworks.setPrivateIpGoogleAccess", func() error {
			_, err := api.Subnetworks.SetPrivateIpGoogleAccess(p, region, absent, &compute.SubnetworksSetPrivateIpGoogleAccessRequest{}).Context(ctx).Do()
			return err
		}},
		{"compute.machineTypes.list", func() error { _, err := api.MachineTypes.List(p, zone).MaxResults(1).Context(ctx).Do(); return err }},
		{"compute.disks.delete", func() error { _, err := api.Disks.Delete(p, zone, absent).Context(ctx).Do(); return err }},
	}
}

// probesAtOnce is how many permissions are tried at the same time.
const probesAtOnce = 5

// missing looks for all permissions that the driver's calls need: by asking for them where that can be done, else by
// trying what can be tried.
func (d *Driver) missing(ctx context.Context, region, zone string) ([]cloud.Missing, error) {
	names, err := d.lacking(ctx, slices.Sorted(maps.Keys(permissions)))
	if errors.Is(err, errNotAsked) {
		return d.tried(ctx, region, zone)
	}
	var out []cloud.Missing
	for _, name := range names {
		out = append(out, cloud.Missing{Action: name})
	}
	return out, err
}

func (d *Driver) tried(ctx context.Context, region, zone string) ([]cloud.Missing, error) {
	var random [8]byte
	rand.Read(random[:]) // never fails
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(probesAtOnce)
	all := d.probes(ctx, region, zone, "skyweld-check-"+hex.EncodeToString(random[:]))
	details := make([]string, len(all))
	for i, p := range all {
		g.Go(func() error {
			err := p.call()
			if lacksPermission(err) {
				details[i] = classify(err).Message
				return nil
			}
			return notAnswered(err)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []cloud.Missing
	for i, p := range all {
		if details[i] != "" {
			out = append(out, cloud.Missing{Action: p.permission, Detail: details[i]})
		}
	}
	return out, nil
}

// lacksPermission tells a missing permission from other refusals: credentials that aren't good, an API that isn't
// switched on.
func lacksPermission(err error) bool {
	e, ok := errors.AsType[*googleapi.Error](err)
	return ok && e.Code == http.StatusForbidden && len(e.Errors) > 0 && e.Errors[0].Reason == "forbidden"
}

// notAnswered returns the errors of a probe that say nothing about the permission.
func notAnswered(err error) error {
	if err == nil {
		return nil
	}
	switch e := classify(err); {
	case e.Code == "", e.Class == cloud.Throttled, e.Class == cloud.Unavailable, e.Class == cloud.Denied:
		return err
	}
	return nil
}
