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
	if nic, ok := j.nics[firstInterface(x)]; ok {
		if n, ok := nic.Spec.(*InterfaceSpec); ok {
			o.Machine.Private = cloud.ParseAddr(n.PrivateAddress)
			o.Machine.Public = j.public(n.PublicAddress)
		}
	}
	return o
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
	}
	if d := p.DiagnosticsProfile; d != nil && d.BootDiagnostics != nil {
		s.BootDiagnostics = val(d.BootDiagnostics.Enabled)
	}
	if n := p.NetworkProfile; n != nil {
		s.Interface = j.names.key(primaryInterface(n))
	}
	if p.StorageProfile == nil || p.StorageProfile.OSDisk == nil {
		return
	}
	disk := p.StorageProfile.OSDisk
	s.DiskDelete = val(disk.DeleteOption) == armcompute.DiskDeleteOptionTypesDelete
	s.DiskGiB = int(val(disk.DiskSizeGB))
	if disk.ManagedDisk == nil {
		return
	}
	// The machine's own answer lacks the size while it is deallocated.
	if x := j.disks[pathOf(val(disk.ManagedDisk.ID))]; x != nil && x.Properties != nil && val(x.Properties.DiskSizeGB) > 0 {
		s.DiskGiB = int(val(x.Properties.DiskSizeGB))
	}
}

// primaryInterface is the id of a machine's first interface.
func primaryInterface(n *armcompute.NetworkProfile) string {
	first := ""
	for _, r := range n.NetworkInterfaces {
		if r != nil && (first == "" || r.Properties != nil && val(r.Properties.Primary)) {
			first = val(r.ID)
		}
	}
	return first
}

func firstInterface(x *armcompute.VirtualMachine) string {
	if x.Properties == nil || x.Properties.NetworkProfile == nil {
		return ""
	}
	return pathOf(primaryInterface(x.Properties.NetworkProfile))
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
