package arm

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// disk is a managed disk.
type disk struct {
	head
	ManagedBy  string         `json:"managedBy,omitempty"`
	Properties diskProperties `json:"properties"`
}

type diskProperties struct {
	OSType       string        `json:"osType,omitempty"`
	Generation   string        `json:"hyperVGeneration,omitempty"`
	CreationData *creationData `json:"creationData,omitempty"`
	DiskSizeGB   int           `json:"diskSizeGB,omitempty"`
	IOPS         int           `json:"diskIOPSReadWrite,omitempty"`
	MBps         int           `json:"diskMBpsReadWrite,omitempty"`
	Encryption   *struct {
		Type string `json:"type,omitempty"`
	} `json:"encryption,omitempty"`
	NetworkAccessPolicy string `json:"networkAccessPolicy,omitempty"`
	PublicNetworkAccess string `json:"publicNetworkAccess,omitempty"`
	TimeCreated         string `json:"timeCreated,omitempty"`
	ProvisioningState   string `json:"provisioningState,omitempty"`
	DiskState           string `json:"diskState,omitempty"`
	DiskSizeBytes       int64  `json:"diskSizeBytes,omitempty"`
	UniqueID            string `json:"uniqueId,omitempty"`
}

type creationData struct {
	CreateOption   string        `json:"createOption,omitempty"`
	ImageReference *diskImageRef `json:"imageReference,omitempty"`
}

type diskImageRef struct {
	ID string `json:"id,omitempty"`
}

func (d *disk) state() *string { return &d.Properties.ProvisioningState }

func (s *Service) diskView(d *disk) *disk {
	v := clone(d)
	v.Properties.DiskState = "Unattached"
	if m := s.machineWith(d); m != nil {
		v.ManagedBy, v.Properties.DiskState = m.ID, "Attached"
		if m.Kept.Power == powerDeallocated {
			v.Properties.DiskState = "Reserved"
		}
	}
	return v
}

// machineWith returns the machine that has a disk.
func (s *Service) machineWith(d *disk) *machine {
	for _, m := range ordered(s.st.Machines) {
		for _, own := range m.disks() {
			if own.ManagedDisk != nil && key(own.ManagedDisk.ID) == key(d.ID) {
				return m
			}
		}
	}
	return nil
}

// diskSKUs are the kinds of disks with what the smallest of each does.
var diskSKUs = map[string]struct {
	tier       string
	iops, mbps int
}{
	"Standard_LRS": {"Standard", 500, 60}, "StandardSSD_LRS": {"Standard", 500, 100}, "Premium_LRS": {"Premium", 120, 25},
	"StandardSSD_ZRS": {"Standard", 500, 100}, "Premium_ZRS": {"Premium", 120, 25},
}

// newDisk completes a disk.
func newDisk(d *disk) *apiError {
	if d.SKU == nil || d.SKU.Name == "" {
		d.SKU = &sku{Name: "Standard_LRS"}
	}
	kind, ok := diskSKUs[d.SKU.Name]
	if !ok {
		return invalidParameter("sku", "Disks of SKU '%s' are not supported.", d.SKU.Name)
	}
	d.SKU = &sku{Name: d.SKU.Name, Tier: kind.tier}
	p := &d.Properties
	if p.DiskSizeGB < 1 || p.DiskSizeGB > 32767 {
		return invalidParameter("disk.diskSizeGB", "Value '%d' of parameter 'disk.diskSizeGB' is out of range. Value '1' to '32767' is expected.", p.DiskSizeGB)
	}
	p.Encryption = &struct {
		Type string `json:"type,omitempty"`
	}{"EncryptionAtRestWithPlatformKey"}
	p.IOPS, p.MBps, p.NetworkAccessPolicy, p.PublicNetworkAccess = kind.iops, kind.mbps, "AllowAll", "Enabled"
	p.DiskSizeBytes, p.ProvisioningState = int64(p.DiskSizeGB)<<30, stateUpdating
	if p.UniqueID == "" {
		p.UniqueID, p.TimeCreated = newUUID(), stamp()
	}
	return nil
}

// makeDisks makes the disks that come with a machine: the system's from its image, and empty ones for data.
func (s *Service) makeDisks(in *machine, size Size) *apiError {
	p := &in.Properties.StorageProfile
	image, err := s.findImage(in, size)
	if err != nil {
		return err
	}
	if p.OSDisk == nil {
		p.OSDisk = &machineDisk{CreateOption: "FromImage"}
	}
	if !strings.EqualFold(p.OSDisk.CreateOption, "FromImage") {
		return unsupported("The system's disk of virtual machine %s can only be made from an image.", in.Name)
	}
	p.OSDisk.OSType = "Linux"
	if p.DataDisks == nil {
		p.DataDisks = []*machineDisk{}
	}
	var made []*disk
	for i, d := range in.disks() {
		os := i == 0
		if !os && !strings.EqualFold(d.CreateOption, "Empty") {
			return unsupported("Data disks of virtual machine %s can only be made empty.", in.Name)
		}
		r, err := s.diskFor(in, d, os, image)
		if err != nil {
			return err
		}
		made = append(made, r)
	}
	for _, d := range made {
		d.Properties.ProvisioningState = stateSucceeded
		s.st.Disks[key(d.ID)] = d
	}
	return nil
}

// diskFor makes the record of one of a machine's disks.
func (s *Service) diskFor(in *machine, d *machineDisk, os bool, image image) (*disk, *apiError) {
	group := parseID(in.ID).group
	if d.Name == "" {
		d.Name = in.Name + "_OsDisk_1_" + strings.ReplaceAll(newUUID(), "-", "")
	}
	id := s.idOf(group, diskType, d.Name)
	if d.ManagedDisk == nil {
		d.ManagedDisk = &managedDisk{}
	}
	if s.st.Disks[key(id)] != nil {
		return nil, refuse(http.StatusConflict, diskExists, "Disk '%s' already exists in resource group '%s'. Only CreateOption.Attach is supported.", d.Name, strings.ToUpper(group))
	}
	r := &disk{head: head{Name: d.Name, ID: id, Type: diskType, Location: in.Location, Zones: in.Zones, Tags: in.Tags}}
	r.Properties.DiskSizeGB = d.DiskSizeGB
	if os {
		r.Properties.OSType, r.Properties.Generation = "Linux", "V2"
		r.Properties.CreationData = &creationData{CreateOption: "FromImage", ImageReference: &diskImageRef{s.imageID(in.Location, image)}}
		if r.Properties.DiskSizeGB == 0 {
			r.Properties.DiskSizeGB = imageSizeGB
		}
		if r.Properties.DiskSizeGB < imageSizeGB {
			return nil, refuse(http.StatusBadRequest, "ResizeDiskError", "The specified disk size %d GB is smaller than the size of the corresponding disk in the VM image: %d GB. This is not allowed.", d.DiskSizeGB, imageSizeGB)
		}
	} else {
		r.Properties.CreationData = &creationData{CreateOption: "Empty"}
	}
	if d.ManagedDisk.StorageAccountType == "" {
		d.ManagedDisk.StorageAccountType = "Standard_LRS"
	}
	r.SKU = &sku{Name: d.ManagedDisk.StorageAccountType}
	if err := newDisk(r); err != nil {
		return nil, err
	}
	d.ManagedDisk.ID, d.DiskSizeGB = id, r.Properties.DiskSizeGB
	if d.DeleteOption == "" {
		d.DeleteOption = "Detach"
	}
	if d.Caching == "" {
		d.Caching = map[bool]string{true: "ReadWrite", false: "None"}[os]
	}
	return r, nil
}

// changeDisks attaches the disks that a change lists beside a machine's data disks, and detaches those that it doesn't list
// any more. A change that doesn't speak of them leaves them.
func (s *Service) changeDisks(in, old *machine) *apiError {
	list := in.Properties.StorageProfile.DataDisks
	if list == nil {
		return nil
	}
	all := []*machineDisk{}
	for _, d := range list {
		now, err := s.attached(old, d)
		if err != nil {
			return err
		}
		all = append(all, now)
	}
	old.Properties.StorageProfile.DataDisks = all
	return nil
}

// attached is a data disk of a machine as a change wants it: one that the machine has, or one that is to be had.
func (s *Service) attached(m *machine, d *machineDisk) (*machineDisk, *apiError) {
	for _, own := range m.Properties.StorageProfile.DataDisks {
		if own.ManagedDisk != nil && (d.ManagedDisk != nil && key(d.ManagedDisk.ID) == key(own.ManagedDisk.ID) || d.Name != "" && strings.EqualFold(d.Name, own.Name)) {
			now := clone(own)
			if d.DeleteOption != "" {
				now.DeleteOption = d.DeleteOption
			}
			return now, nil
		}
	}
	if !strings.EqualFold(d.CreateOption, "Attach") || d.ManagedDisk == nil {
		return nil, unsupported("Data disks can only be attached to virtual machine %s, which is there already.", m.Name)
	}
	r := s.st.Disks[key(d.ManagedDisk.ID)]
	switch {
	case r == nil:
		return nil, refuse(http.StatusNotFound, "NotFound", "Disk %s is not found.", lastName(d.ManagedDisk.ID))
	case d.Lun == nil:
		return nil, invalidParameter("dataDisk.lun", "Required parameter 'dataDisk.lun' is missing (null).")
	}
	if other := s.machineWith(r); other != nil {
		return nil, refuse(http.StatusConflict, "ConflictingUserInput", "Disk '%s' cannot be attached as the disk is already owned by VM '%s'.", r.ID, other.ID)
	}
	now := &machineDisk{
		Lun: d.Lun, Name: r.Name, CreateOption: "Attach", Caching: d.Caching, DeleteOption: d.DeleteOption, DiskSizeGB: r.Properties.DiskSizeGB,
		ManagedDisk: &managedDisk{StorageAccountType: r.SKU.Name, ID: r.ID},
	}
	if now.DeleteOption == "" {
		now.DeleteOption = "Detach"
	}
	if now.Caching == "" {
		now.Caching = "None"
	}
	return now, nil
}

// putDisk makes or changes a disk of its own.
func (s *Service) putDisk(c *call) (*answer, *apiError) {
	in, err := decode[disk](c.body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.st.Disks[key(c.id)]
	var before record
	if old != nil {
		before = old
	}
	if err := s.admit(c, diskType, &in.head, before); err != nil {
		return nil, err
	}
	if err := s.free(in.ID); err != nil {
		return nil, err
	}
	if old == nil && (in.Properties.CreationData == nil || !strings.EqualFold(in.Properties.CreationData.CreateOption, "Empty")) {
		return nil, unsupported("Disk %s: only disks with createOption Empty can be made by themselves.", in.Name)
	}
	in.ETag, in.ManagedBy = "", ""
	if old != nil {
		if in.Properties.DiskSizeGB != 0 && in.Properties.DiskSizeGB < old.Properties.DiskSizeGB {
			return nil, refuse(http.StatusConflict, "OperationNotAllowed", "Disk resize is only supported to a larger size. Disk %s has %d GB.", in.Name, old.Properties.DiskSizeGB)
		}
		in.Properties.CreationData, in.Properties.OSType, in.Properties.Generation = old.Properties.CreationData, old.Properties.OSType, old.Properties.Generation
		in.Properties.UniqueID, in.Properties.TimeCreated, in.Zones = old.Properties.UniqueID, old.Properties.TimeCreated, old.Zones
		in.Properties.DiskSizeGB = max(in.Properties.DiskSizeGB, old.Properties.DiskSizeGB)
		if in.SKU == nil {
			in.SKU = old.SKU
		}
	}
	if err := newDisk(in); err != nil {
		return nil, err
	}
	s.st.Disks[key(in.ID)] = in
	return s.writing(c, in, http.StatusAccepted, 3*time.Second, nil)
}

// patchDisk changes a disk's tags, makes it larger, and gives it another type while no host has it.
func (s *Service) patchDisk(c *call) (*answer, *apiError) {
	in, err := decode[disk](c.body)
	if err != nil {
		return nil, err
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(c.body, &given); err != nil {
		return nil, internalError(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.st.Disks[key(c.id)]
	if d == nil {
		return nil, resourceNotFound(c.id)
	}
	if err := s.free(d.ID); err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if gb := in.Properties.DiskSizeGB; gb != 0 {
		if gb < d.Properties.DiskSizeGB || gb > 32767 {
			return nil, refuse(http.StatusConflict, "OperationNotAllowed", "Disk resize is only supported to a larger size. Disk %s has %d GB.", d.Name, d.Properties.DiskSizeGB)
		}
		d.Properties.DiskSizeGB, d.Properties.DiskSizeBytes = gb, int64(gb)<<30
	}
	if in.SKU != nil && in.SKU.Name != d.SKU.Name {
		kind, ok := diskSKUs[in.SKU.Name]
		if !ok {
			return nil, invalidParameter("sku", "Disks of SKU '%s' are not supported.", in.SKU.Name)
		}
		if m := s.machineWith(d); m != nil && m.Kept.Power != powerDeallocated {
			return nil, refuse(http.StatusConflict, "OperationNotAllowed", "Cannot change the account type of disk %s while it is attached to running VM %s. Please stop (deallocate) the VM and retry.", d.Name, m.ID)
		}
		d.SKU, d.Properties.IOPS, d.Properties.MBps = &sku{Name: in.SKU.Name, Tier: kind.tier}, kind.iops, kind.mbps
	}
	if in.Tags != nil {
		d.Tags = in.Tags
	}
	d.Properties.ProvisioningState = stateUpdating
	return s.writing(c, d, http.StatusAccepted, 2*time.Second, nil)
}
