package digitalocean

import (
	"context"
	"fmt"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/cloud"
)

// pageSize is the most that one answer of a list may hold.
const pageSize = 200

// wholeTries is how often a list is begun anew that changed while its pages were read.
const wholeTries = 3

// pages reads a list to its end. Pages are counted, so what is removed meanwhile shifts the rest and something is left
// out; such a list is read again, and one that never agrees with its own total counts as no answer.
func pages[T any](ctx context.Context, what string, page func(context.Context, *godo.ListOptions) ([]T, *godo.Response, error)) ([]T, error) {
	for range wholeTries {
		all, total, err := onePass(ctx, page)
		if err != nil {
			return nil, during("list "+what, err)
		}
		if total < 0 || len(all) == total {
			return all, nil
		}
	}
	return nil, &cloud.Error{Class: cloud.Unavailable, Message: "the list of " + what + " is not complete: it changes while it is read"}
}

// onePass reads all pages once. The total is negative where the answers tell none, or not the same on all pages.
func onePass[T any](ctx context.Context, page func(context.Context, *godo.ListOptions) ([]T, *godo.Response, error)) (all []T, total int, err error) {
	total = -1
	for n := 1; ; n++ {
		some, resp, err := page(ctx, &godo.ListOptions{Page: n, PerPage: pageSize})
		if err != nil {
			return nil, 0, err
		}
		all = append(all, some...)
		if resp != nil && resp.Meta != nil {
			total = resp.Meta.Total
		}
		if resp == nil || resp.Links == nil || resp.Links.IsLastPage() {
			return all, total, nil
		}
		if len(some) == 0 {
			return nil, 0, &cloud.Error{Class: cloud.Unavailable, Message: fmt.Sprintf("page %d is empty and not the last", n)}
		}
	}
}

func (d *Driver) listDroplets(ctx context.Context, tag string) ([]godo.Droplet, error) {
	if tag == "" {
		return pages(ctx, "droplets", d.api.Droplets.List)
	}
	return pages(ctx, "droplets", func(ctx context.Context, o *godo.ListOptions) ([]godo.Droplet, *godo.Response, error) {
		return d.api.Droplets.ListByTag(ctx, tag, o)
	})
}

func (d *Driver) listVPCs(ctx context.Context) ([]*godo.VPC, error) {
	return pages(ctx, "VPCs", d.api.VPCs.List)
}

func (d *Driver) listFirewalls(ctx context.Context) ([]godo.Firewall, error) {
	return pages(ctx, "firewalls", d.api.Firewalls.List)
}

func (d *Driver) listReserved(ctx context.Context) ([]godo.ReservedIP, error) {
	return pages(ctx, "reserved addresses", d.api.ReservedIPs.List)
}

func (d *Driver) listTags(ctx context.Context) ([]godo.Tag, error) {
	return pages(ctx, "tags", d.api.Tags.List)
}

func (d *Driver) listSizes(ctx context.Context) ([]godo.Size, error) {
	return pages(ctx, "sizes", d.api.Sizes.List)
}

func (d *Driver) listRegions(ctx context.Context) ([]godo.Region, error) {
	return pages(ctx, "regions", d.api.Regions.List)
}

func (d *Driver) listVolumes(ctx context.Context) ([]godo.Volume, error) {
	return pages(ctx, "volumes", func(ctx context.Context, o *godo.ListOptions) ([]godo.Volume, *godo.Response, error) {
		return d.api.Storage.ListVolumes(ctx, &godo.ListVolumeParams{ListOptions: o})
	})
}

// count is how many of something the account has: a list's total, asked for with the smallest page.
func count[T any](ctx context.Context, what string, page func(context.Context, *godo.ListOptions) ([]T, *godo.Response, error)) (int, error) {
	_, resp, err := page(ctx, &godo.ListOptions{Page: 1, PerPage: 1})
	if err != nil {
		return 0, during("count the "+what, err)
	}
	if resp == nil || resp.Meta == nil {
		return 0, &cloud.Error{Class: cloud.Unavailable, Message: "the list of " + what + " doesn't tell how long it is"}
	}
	return resp.Meta.Total, nil
}
