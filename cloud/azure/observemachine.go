package azure

import (
	"net/netip"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/skyweld/skyweld/cloud"
)

const (
	trustedLaunch = "TrustedLaunch"
	powerPrefix   = "PowerState/"
)

// machine turns a machine into an object, with what other lists say about it.
func (j join) machine(x *armcompute.VirtualMachine) cloud.Object {
	s, number := &MachineSpec{Zone: zoneOf(x.Zones, x.Location)}, ""
	var created time.Time
	view := j.states[pathOf(val(x.ID))]
	provisioning := ""
	if p := x.Properties; p != nil {
		number, provisioning, created = val(p.VMID), val(p.ProvisioningState), val(p.TimeCreated)
		if p.InstanceView != nil {
			view = p.InstanceView
		}
		fillMachine(s, p, j)
	}
	o := object(x.Tags, x.ID, x.Location, number, s)
	o.Created = created.UTC().Truncate(time.Second)
	if created.IsZero() {
		o.Created = time.Time{}
	}
	o.State = stateOf(provisioning, power(view))
	path, _, _ := strings.Cut(o.ID, "#")
	o.Machine = &cloud.MachineStatus{Zone: s.Zone, Type: s.Type, ProviderID: "azure://" + path}
	if part, ok := j.part(x); ok {
		o.Parts = []cloud.Known{part}
	}
	if nic, ok := j.nics[firstInterface(x)]; ok {
		if n, ok := nic.Spec.(*InterfaceSpec); ok {
			o.Machine.Private = cloud.ParseAddr(n.PrivateAddress)
			o.Machine.Public = j.public(n.PublicAddress)
		}
	}
	return o
}

// part is the disk that a machine boots from, where that was made with it: it is in the machine's group then, and has a name
// of ours.
func (j join) part(x *armcompute.VirtualMachine) (cloud.Known, bool) {
	disk := j.disks[pathOf(systemDiskOf(x))]
	if disk == nil || disk.Properties == nil {
		return cloud.Known{}, false
	}
	owner, at := cloud.Owner{UID: tagOf(x.Tags, cloud.TagCluster)}, parsePath(val(disk.ID))
	if cloud.CheckUID(owner.UID) != nil || !ours(owner, parsePath(val(x.ID)), at) {
		return cloud.Known{}, false
	}
	return cloud.Known{Kind: kindDisk, Key: strings.TrimPrefix(at.name, owner.ResourceName("")), ID: idOf(val(disk.ID), val(disk.Properties.UniqueID))}, true
}

// public is the address that a key, or a path of somebody else's, stands for.
func (j join) public(ref string) netip.Addr {
	for path, a := range j.addresses {
		if ref != "" && (j.names[path] == ref || path == ref) {
			return a
		}
	}
	return netip.Addr{}
}

func fillMachine(s *MachineSpec, p *armcompute.VirtualMachineProperties, j join) {
	if p.HardwareProfile != nil {
		s.Type = string(val(p.HardwareProfile.VMSize))
	}
	if p.SecurityProfile != nil {
		s.SecurityType = string(val(p.SecurityProfile.SecurityType))
		if u := p.SecurityProfile.UefiSettings; u != nil {
			s.SecureBoot, s.TPM = val(u.SecureBootEnabled), val(u.VTpmEnabled)
		}
	}
	// Extensions are allowed where nobody has said otherwise.
	s.Extensions = p.OSProfile == nil || p.OSProfile.AllowExtensionOperations == nil || *p.OSProfile.AllowExtensionOperations
	if d := p.DiagnosticsProfile; d != nil && d.BootDiagnostics != nil {
		s.BootDiagnostics = val(d.BootDiagnostics.Enabled)
	}
	if n := p.NetworkProfile; n != nil {
		first := primaryInterface(n)
		s.Interface, s.InterfaceDelete = j.names.key(val(first.ID)), deletes(first)
	}
	if p.StorageProfile != nil && p.StorageProfile.OSDisk != nil {
		fillDisk(s, p.StorageProfile.OSDisk, j)
	}
}

// fillDisk reads the disk that a machine boots from. The machine's own answer lacks its size and type while it is
// deallocated.
func fillDisk(s *MachineSpec, disk *armcompute.OSDisk, j join) {
	s.DiskDelete = val(disk.DeleteOption) == armcompute.DiskDeleteOptionTypesDelete
	s.DiskGiB = int(val(disk.DiskSizeGB))
	if disk.ManagedDisk == nil {
		return
	}
	s.DiskType = string(val(disk.ManagedDisk.StorageAccountType))
	x := j.disks[pathOf(val(disk.ManagedDisk.ID))]
	if x == nil {
		return
	}
	if x.Properties != nil && val(x.Properties.DiskSizeGB) > 0 {
		s.DiskGiB = int(val(x.Properties.DiskSizeGB))
	}
	if x.SKU != nil {
		s.DiskType = string(val(x.SKU.Name))
	}
}

// primaryInterface is what a machine says of its first interface; empty where it has none.
func primaryInterface(n *armcompute.NetworkProfile) armcompute.NetworkInterfaceReference {
	var first armcompute.NetworkInterfaceReference
	for _, r := range n.NetworkInterfaces {
		if r != nil && (first.ID == nil || r.Properties != nil && val(r.Properties.Primary)) {
			first = *r
		}
	}
	return first
}

// deletes says whether an interface goes with its machine.
func deletes(r armcompute.NetworkInterfaceReference) bool {
	return r.Properties != nil && val(r.Properties.DeleteOption) == armcompute.DeleteOptionsDelete
}

func firstInterface(x *armcompute.VirtualMachine) string {
	if x.Properties == nil || x.Properties.NetworkProfile == nil {
		return ""
	}
	return pathOf(val(primaryInterface(x.Properties.NetworkProfile).ID))
}

// power is a machine's power state, empty while there is none.
func power(view *armcompute.VirtualMachineInstanceView) string {
	if view == nil {
		return ""
	}
	for _, s := range view.Statuses {
		if s == nil {
			continue
		}
		if p, ok := strings.CutPrefix(val(s.Code), powerPrefix); ok {
			return p
		}
	}
	return ""
}

// stateOf is a machine's state. One whose creation failed has no power state and never gets one by itself; starting it
// tries again. One that runs may have failed to be changed, which is no matter here.
func stateOf(provisioning, power string) cloud.State {
	switch power {
	case "running":
		if provisioning == "Creating" {
			return cloud.Pending
		}
		return cloud.Ready
	case "stopping", "stopped", "deallocating", "deallocated":
		return cloud.Stopped
	case "starting":
		return cloud.Pending
	}
	switch provisioning {
	case "Failed", "Deleting":
		return cloud.Stopped
	}
	return cloud.Pending
}

// diskFree says whether a disk belongs to no machine any more.
func diskFree(x *armcompute.Disk) bool {
	return val(x.ManagedBy) == "" && len(x.ManagedByExtended) == 0
}

// diskObject is a disk that outlived its machine. Its key is in its name, as the tags, where it has any, are the machine's.
func diskObject(x *armcompute.Disk, groups []*armresources.ResourceGroup) cloud.Object {
	s, number := &DiskSpec{Zone: zoneOf(x.Zones, x.Location)}, ""
	if p := x.Properties; p != nil {
		s.GiB, number = int(val(p.DiskSizeGB)), val(p.UniqueID)
	}
	o := object(x.Tags, x.ID, x.Location, number, s)
	o.Cluster = diskCluster(x, groups)
	if key, ok := strings.CutPrefix(parsePath(val(x.ID)).name, cloud.Owner{UID: o.Cluster}.ResourceName("")); ok {
		o.Key = key
	}
	return o
}
