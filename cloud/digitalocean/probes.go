package digitalocean

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/cloud"
)

// probe tries a scope by a call that changes nothing.
type probe struct {
	// scope is DigitalOcean's own name for what a token may do.
	scope string
	// makes are the kinds that can't be made without it.
	makes []cloud.Kind
	call  func(context.Context) error
}

// Things that no account has.
const (
	absentID      = 1<<53 - 1
	absentUUID    = "00000000-0000-4000-8000-000000000000"
	absentAddress = "192.0.2.1" // for documentation only
)

// probes are lists, which must work; changes of things that don't exist; and creations in a region that doesn't. DigitalOcean
// looks at the token first, and any other answer proves nothing missing. The word makes names that nothing has.
func (d *Driver) probes(word string) []probe {
	api, tag, region := d.api, tagPrefix+"check:"+word, "skyweld-check"
	one := &godo.ListOptions{Page: 1, PerPage: 1}
	on := &godo.TagResourcesRequest{Resources: []godo.Resource{{ID: "9007199254740991", Type: godo.DropletResourceType}}}
	networked := []cloud.Kind{kindVPC, kindDroplet}
	return []probe{
		{"droplet:read", []cloud.Kind{kindDroplet, kindReserved}, func(ctx context.Context) error { _, _, err := api.Droplets.List(ctx, one); return err }},
		{"vpc:read", networked, func(ctx context.Context) error { _, _, err := api.VPCs.List(ctx, one); return err }},
		{"firewall:read", []cloud.Kind{kindFirewall}, func(ctx context.Context) error { _, _, err := api.Firewalls.List(ctx, one); return err }},
		{"reserved_ip:read", []cloud.Kind{kindReserved}, func(ctx context.Context) error { _, _, err := api.ReservedIPs.List(ctx, one); return err }},
		{"tag:read", []cloud.Kind{kindTag, kindFirewall}, func(ctx context.Context) error { _, _, err := api.Tags.List(ctx, one); return err }},
		{"sizes:read", nil, func(ctx context.Context) error { _, _, err := api.Sizes.List(ctx, one); return err }},
		{"regions:read", nil, func(ctx context.Context) error { _, _, err := api.Regions.List(ctx, one); return err }},
		{"image:read", []cloud.Kind{kindDroplet}, func(ctx context.Context) error { _, _, err := api.Images.GetBySlug(ctx, image); return err }},
		{"block_storage:read", nil, func(ctx context.Context) error {
			_, _, err := api.Storage.ListVolumes(ctx, &godo.ListVolumeParams{ListOptions: one})
			return err
		}},
		{"droplet:create", []cloud.Kind{kindDroplet}, func(ctx context.Context) error {
			_, _, err := api.Droplets.Create(ctx, &godo.DropletCreateRequest{
				Name: "skyweld-check", Region: region, Size: region, Image: godo.DropletCreateImage{Slug: region}, SSHKeys: []godo.DropletCreateSSHKey{}, Tags: []string{},
			})
			return err
		}},
		{"vpc:create", []cloud.Kind{kindVPC}, func(ctx context.Context) error {
			_, _, err := api.VPCs.Create(ctx, &godo.VPCCreateRequest{Name: "skyweld-check", RegionSlug: region})
			return err
		}},
		{"firewall:create", []cloud.Kind{kindFirewall}, func(ctx context.Context) error { _, _, err := api.Firewalls.Create(ctx, impossible(tag)); return err }},
		{"reserved_ip:create", []cloud.Kind{kindReserved}, func(ctx context.Context) error {
			_, _, err := api.ReservedIPs.Create(ctx, &godo.ReservedIPCreateRequest{Region: region})
			return err
		}},
		{"tag:create", []cloud.Kind{kindTag, kindDroplet, kindFirewall}, func(ctx context.Context) error { _, err := api.Tags.TagResources(ctx, tag, on); return err }},
		{"droplet:update", []cloud.Kind{kindReserved}, func(ctx context.Context) error { _, _, err := api.DropletActions.PowerOn(ctx, absentID); return err }},
		{"vpc:update", nil, func(ctx context.Context) error {
			_, _, err := api.VPCs.Update(ctx, absentUUID, &godo.VPCUpdateRequest{Name: "skyweld-check"})
			return err
		}},
		{"firewall:update", nil, func(ctx context.Context) error {
			_, _, err := api.Firewalls.Update(ctx, absentUUID, impossible(tag))
			return err
		}},
		{"reserved_ip:update", []cloud.Kind{kindReserved}, func(ctx context.Context) error {
			_, _, err := api.ReservedIPActions.Unassign(ctx, absentAddress)
			return err
		}},
		{"droplet:delete", nil, func(ctx context.Context) error { _, err := api.Droplets.Delete(ctx, absentID); return err }},
		{"vpc:delete", nil, func(ctx context.Context) error { _, err := api.VPCs.Delete(ctx, absentUUID); return err }},
		{"firewall:delete", nil, func(ctx context.Context) error { _, err := api.Firewalls.Delete(ctx, absentUUID); return err }},
		{"reserved_ip:delete", nil, func(ctx context.Context) error { _, err := api.ReservedIPs.Delete(ctx, absentAddress); return err }},
		{"tag:delete", nil, func(ctx context.Context) error { _, err := api.Tags.Delete(ctx, tag); return err }},
	}
}

// impossible is a firewall that can't be made: its tag doesn't exist, and its rule names no address.
func impossible(tag string) *godo.FirewallRequest {
	return &godo.FirewallRequest{
		Name: "skyweld-check", DropletIDs: []int{}, Tags: []string{tag}, OutboundRules: []godo.OutboundRule{},
		InboundRules: []godo.InboundRule{{Protocol: "tcp", PortRange: "22", Sources: &godo.Sources{Addresses: []string{"skyweld-check"}}}},
	}
}

// randomWord makes a name that nothing has.
func randomWord() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
