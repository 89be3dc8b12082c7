package gce

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/api/compute/v1"
)

// diskKind is one of the disk types, with its sizes in GB.
type diskKind struct {
	name, about       string
	initial, min, max int64
}

var diskKinds = []diskKind{
	{"pd-balanced", "Balanced Persistent Disk", 100, 10, 65536},
	{"pd-ssd", "SSD Persistent Disk", 100, 10, 65536},
	{"pd-standard", "Standard Persistent Disk", 500, 10, 65536},
	{"hyperdisk-balanced", "Hyperdisk Balanced Persistent Disk", 100, 4, 65536},
}

func findDiskKind(name string) (diskKind, bool) {
	i := slices.IndexFunc(diskKinds, func(k diskKind) bool { return k.name == name })
	if i < 0 {
		return diskKind{}, false
	}
	return diskKinds[i], true
}

func (s *Service) diskTypeItem(zone string, k diskKind) *compute.DiskType {
	return &compute.DiskType{
		Kind: "compute#diskType", Id: fixedID(k.name), Name: k.name, Description: k.about, CreationTimestamp: catalogTime,
		DefaultDiskSizeGb: k.initial, ValidDiskSize: fmt.Sprintf("%dGB-%dGB", k.min, k.max),
		Zone: "projects/" + s.cfg.Project + "/zones/" + zone, SelfLink: s.zonal(zone, "diskTypes", k.name),
	}
}

// diskView is a disk as answers show it, with who uses it.
func (s *Service) diskView(d *compute.Disk) *compute.Disk {
	v := clone(d)
	if by := s.diskUser(d.SelfLink); by != "" {
		v.Users = []string{by}
	}
	return v
}

func (s *Service) diskUser(path string) string {
	for _, i := range sorted(s.st.Instances) {
		for _, a := range i.Disks {
			if a.Source == path {
				return i.SelfLink
			}
		}
	}
	return ""
}

// newDisk makes the record of a disk from a request's disk; field says where the request has it, for errors.
func (s *Service) newDisk(zone, field string, in *compute.Disk) (*compute.Disk, *apiError) {
	if err := checkName(field+".name", in.Name); err != nil {
		return nil, err
	}
	if err := checkLabels(field+".labels", in.Labels); err != nil {
		return nil, err
	}
	for name, used := range map[string]bool{
		"sourceSnapshot": in.SourceSnapshot != "", "sourceDisk": in.SourceDisk != "", "diskEncryptionKey": in.DiskEncryptionKey != nil,
		"replicaZones": len(in.ReplicaZones) > 0, "storagePool": in.StoragePool != "", "resourcePolicies": len(in.ResourcePolicies) > 0,
		"sourceInstantSnapshot": in.SourceInstantSnapshot != "",
	} {
		if used {
			return nil, unsupportedField(field + "." + name)
		}
	}
	path := s.zonal(zone, "disks", in.Name)
	if s.st.Disks[path] != nil {
		return nil, alreadyExists(path)
	}
	d := &compute.Disk{
		Kind: "compute#disk", Id: newID(), Name: in.Name, Description: in.Description, CreationTimestamp: stamp(), SelfLink: path,
		Zone: "projects/" + s.cfg.Project + "/zones/" + zone, SizeGb: in.SizeGb, Labels: in.Labels, LabelFingerprint: fingerprint(in.Labels),
		Status: "CREATING", PhysicalBlockSizeBytes: 4096, Architecture: in.Architecture,
	}
	kind, err := s.diskType(zone, field, in.Type)
	if err != nil {
		return nil, err
	}
	d.Type = s.zonal(zone, "diskTypes", kind.name)
	smallest := kind.min
	if in.SourceImage != "" {
		img, err := s.image(field+".sourceImage", in.SourceImage)
		if err != nil {
			return nil, err
		}
		d.SourceImage, d.SourceImageId = img.SelfLink, formatID(img.Id)
		d.Architecture, d.Licenses, d.GuestOsFeatures = img.Architecture, img.Licenses, img.GuestOsFeatures
		if smallest = img.DiskSizeGb; d.SizeGb == 0 {
			d.SizeGb = img.DiskSizeGb
		}
		if d.SizeGb < smallest {
			return nil, invalidField(field+".sizeGb", formatInt(d.SizeGb), fmt.Sprintf("Requested disk size cannot be smaller than the image size (%d GB)", smallest))
		}
	}
	if d.SizeGb == 0 {
		d.SizeGb = kind.initial
	}
	if d.SizeGb < smallest || d.SizeGb > kind.max {
		return nil, invalidField(field+".sizeGb", formatInt(d.SizeGb), fmt.Sprintf("Disk size must be between %d GB and %d GB, inclusive.", smallest, kind.max))
	}
	return d, nil
}

// diskType reads a reference to a disk type of a zone; templates name it only.
func (s *Service) diskType(zone, field, value string) (diskKind, *apiError) {
	if value == "" {
		value = "pd-standard"
	}
	name := value
	if !nameRegexp.MatchString(value) {
		path, err := s.resolve(field+".type", value, "diskTypes")
		if err != nil {
			return diskKind{}, err
		}
		if scopeOf(path) != "zones/"+zone {
			return diskKind{}, invalidField(field+".type", value, fmt.Sprintf("The disk type is not in zone '%s'.", zone))
		}
		name = base(path)
	}
	kind, ok := findDiskKind(name)
	if !ok {
		return diskKind{}, notFound(s.zonal(zone, "diskTypes", name))
	}
	return kind, nil
}

func (s *Service) insertDisk(c *call) (any, *apiError) {
	var in compute.Disk
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	if v := c.q.Get("sourceImage"); v != "" && in.SourceImage == "" {
		in.SourceImage = v
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.newDisk(c.zone, "resource", &in)
	if err != nil {
		return nil, err
	}
	if err := s.checkQuota(zoneToRegion(c.zone), diskMetric(base(d.Type)), float64(d.SizeGb)); err != nil {
		return nil, err
	}
	d.Status = "READY"
	s.st.Disks[d.SelfLink] = d
	return s.start(c, job{verb: "insert", target: d.SelfLink, targetID: d.Id, took: 2 * time.Second})
}

func (s *Service) deleteDisk(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, d, err := find(s, s.st.Disks, c)
	if err != nil {
		return nil, err
	}
	if by := s.diskUser(path); by != "" {
		return nil, inUse("disk", path, by)
	}
	return s.startDelete(c, path, d.Id, 2*time.Second)
}

func (s *Service) removeDisk(path string) *apiError {
	if s.st.Disks[path] == nil {
		return nil
	}
	if by := s.diskUser(path); by != "" {
		return inUse("disk", path, by)
	}
	delete(s.st.Disks, path)
	return nil
}

func (s *Service) resizeDisk(c *call) (any, *apiError) {
	var in compute.DisksResizeRequest
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path, d, err := find(s, s.st.Disks, c)
	if err != nil {
		return nil, err
	}
	kind, _ := findDiskKind(base(d.Type))
	if in.SizeGb <= d.SizeGb || in.SizeGb > kind.max {
		return nil, invalidField("sizeGb", formatInt(in.SizeGb), fmt.Sprintf("New disk size '%d' GB must be larger than existing size '%d' GB.", in.SizeGb, d.SizeGb))
	}
	if err := s.checkQuota(zoneToRegion(c.zone), diskMetric(kind.name), float64(in.SizeGb-d.SizeGb)); err != nil {
		return nil, err
	}
	d.SizeGb = in.SizeGb
	if i := s.st.Instances[s.diskUser(path)]; i != nil {
		for _, a := range i.Disks {
			if a.Source == path {
				a.DiskSizeGb = d.SizeGb
			}
		}
	}
	return s.start(c, job{verb: "compute.disks.resize", target: path, targetID: d.Id, took: 3 * time.Second})
}

func (s *Service) setDiskLabels(c *call) (any, *apiError) {
	var in compute.ZoneSetLabelsRequest
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path, d, err := find(s, s.st.Disks, c)
	if err != nil {
		return nil, err
	}
	if err := setLabels(&d.Labels, &d.LabelFingerprint, in.Labels, in.LabelFingerprint); err != nil {
		return nil, err
	}
	return s.start(c, job{verb: "setLabels", target: path, targetID: d.Id, took: 2 * time.Second})
}
