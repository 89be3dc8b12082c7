package gcp

import (
	"context"
	"strings"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/cloud"
)

// nameBlockers looks what of somebody else's is behind a refusal to delete a network or a subnet that is in use. What can't
// be looked at leaves the refusal as it is.
func (d *Driver) nameBlockers(ctx context.Context, owner cloud.Owner, o cloud.Object, refusal error) error {
	at, err := parseID(o.ID)
	if !isClass(refusal, cloud.Conflict) || classify(refusal).Held || o.Kind != kindNetwork && o.Kind != kindSubnetwork || err != nil || cloud.CheckUID(owner.UID) != nil {
		return refusal
	}
	f := foreign{owner: owner, at: at.path}
	instances, err := d.listInstances(ctx, "")
	if err != nil {
		return refusal
	}
	for _, i := range instances {
		f.instance(i)
	}
	if o.Kind == kindNetwork {
		if err := d.foreignParts(ctx, &f); err != nil {
			return refusal
		}
	}
	if len(f.found) == 0 {
		return refusal
	}
	return cloud.HeldBy(classify(refusal), f.found...)
}

// foreign collects what is in a network or subnet and isn't the cluster's.
type foreign struct {
	owner cloud.Owner
	at    string // the path of the network or subnet
	found []cloud.Blocker
}

func (f *foreign) instance(i *compute.Instance) {
	if i.Labels[cloud.TagCluster] == f.owner.UID {
		return
	}
	for _, n := range i.NetworkInterfaces {
		if pathOf(n.Network) == f.at || pathOf(n.Subnetwork) == f.at {
			owner := strings.Replace(cloud.OwnerIn(i.Labels), "tags ", "labels ", 1)
			for _, a := range i.ServiceAccounts {
				owner = strings.TrimPrefix(owner+", runs as "+a.Email, ", ")
			}
			f.found = append(f.found, cloud.Blocker{Kind: kindInstance, ID: pathOf(i.SelfLink), Name: i.Name, Owner: owner})
			return
		}
	}
}

// part takes a part of the network itself.
func (f *foreign) part(kind cloud.Kind, network, link, name, description string) {
	if cluster, _, _ := cloud.ParseDescription(description); pathOf(network) == f.at && cluster != f.owner.UID {
		b := cloud.Blocker{Kind: kind, ID: pathOf(link), Name: name}
		if description != "" {
			b.Owner = "described as " + description
		}
		f.found = append(f.found, b)
	}
}

func (d *Driver) foreignParts(ctx context.Context, f *foreign) error {
	subnets, err := d.listSubnetworks(ctx, everywhere)
	if err != nil {
		return err
	}
	for _, n := range subnets {
		f.part(kindSubnetwork, n.Network, n.SelfLink, n.Name, n.Description)
	}
	firewalls, err := d.listFirewalls(ctx)
	if err != nil {
		return err
	}
	for _, r := range firewalls {
		f.part(kindFirewall, r.Network, r.SelfLink, r.Name, r.Description)
	}
	routes, err := d.listRoutes(ctx)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if !strings.HasPrefix(r.Name, "default-route-") { // those came with the network and its subnets, and go with them
			f.part(kindRoute, r.Network, r.SelfLink, r.Name, r.Description)
		}
	}
	return nil
}
