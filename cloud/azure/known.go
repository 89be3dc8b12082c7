package azure

import (
	"context"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/skyweld/skyweld/cloud"
)

// Lists are of the whole subscription, so what is on record and lost its mark is in them all the same; but for groups, which
// are asked for by their mark.

// recognize puts the mark of what is on record into what Azure said of it, where it lacks one or bears another, and
// remembers which that is. Nothing is changed at Azure here.
func (s *snapshot) recognize(cluster string, known []cloud.Known) {
	keys := map[place]string{}
	for _, k := range known {
		if at, err := parseID(k.ID); err == nil {
			at.kind = k.Kind
			keys[at] = k.Key
		}
	}
	s.unmarked = map[string]bool{}
	mend := func(kind cloud.Kind, armID *string, number string, tags *map[string]*string) {
		at, err := parseID(idOf(val(armID), number))
		if err != nil {
			return
		}
		at.kind = kind
		key, ours := keys[at]
		if !ours || tagOf(*tags, cloud.TagCluster) == cluster && tagOf(*tags, cloud.TagKey) == key {
			return
		}
		s.unmarked[at.path] = true
		*tags = marked(*tags, cluster, key)
	}
	for _, x := range s.groups {
		mend(kindGroup, x.ID, "", &x.Tags)
	}
	for _, x := range s.securities {
		mend(kindSecurity, x.ID, numberOf(securityObject(x)), &x.Tags)
	}
	for _, x := range s.networks {
		mend(kindNetwork, x.ID, numberOf(networkObject(x)), &x.Tags)
	}
	for _, x := range s.addresses {
		mend(kindAddress, x.ID, numberOf(addressObject(x)), &x.Tags)
	}
	for _, x := range s.interfaces {
		mend(kindInterface, x.ID, numberOf(interfaceObject(x, nil)), &x.Tags)
	}
	for _, x := range s.machines {
		if x.Properties != nil {
			mend(kindMachine, x.ID, val(x.Properties.VMID), &x.Tags)
		}
	}
	for _, x := range s.disks { // which have their machine's tags, if any
		if x.Properties != nil && diskCluster(x, s.groups) != cluster {
			mend(kindDisk, x.ID, val(x.Properties.UniqueID), &x.Tags)
		}
	}
}

// numberOf is what Azure numbered an object with.
func numberOf(o cloud.Object) string {
	p, err := parseID(o.ID)
	if err != nil {
		return ""
	}
	return p.number
}

// lostGroups lists the groups on record that a list by the cluster's mark leaves out. While there are none it asks nothing.
func (d *Driver) lostGroups(ctx context.Context, have []*armresources.ResourceGroup, known []cloud.Known) ([]*armresources.ResourceGroup, error) {
	lost := map[string]bool{}
	for _, k := range known {
		if at, err := parseID(k.ID); err == nil && k.Kind == kindGroup {
			lost[at.path] = true
		}
	}
	for _, g := range have {
		delete(lost, pathOf(val(g.ID)))
	}
	if len(lost) == 0 {
		return nil, nil
	}
	all, err := d.listGroups(ctx, "")
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(g *armresources.ResourceGroup) bool { return !lost[pathOf(val(g.ID))] }), nil
}
