package gce

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/lab/world"
)

// The states of an instance that occur in the lab.
const (
	statusProvisioning = "PROVISIONING"
	statusStaging      = "STAGING"
	statusRunning      = "RUNNING"
	statusStopping     = "STOPPING"
	statusTerminated   = "TERMINATED"
)

// instanceView is an instance as answers show it.
func (s *Service) instanceView(i *compute.Instance) *compute.Instance {
	v := clone(i)
	v.Metadata = s.metadataView(i.Metadata)
	if v.Tags == nil {
		v.Tags = &compute.Tags{}
	}
	v.Tags.Fingerprint = fingerprint(v.Tags.Items)
	v.LabelFingerprint = fingerprint(v.Labels)
	for _, nic := range v.NetworkInterfaces {
		nic.Fingerprint = fingerprint(nic)
	}
	v.Fingerprint = fingerprint(v)
	return v
}

// insertInstance checks a request, takes what the machine needs (disks, addresses) and starts it.
func (s *Service) insertInstance(c *call) (any, *apiError) {
	var in compute.Instance
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	for _, p := range []string{"sourceInstanceTemplate", "sourceMachineImage"} {
		if v := c.q.Get(p); v != "" {
			return nil, invalidField(p, v, "The referenced resource cannot be found.")
		}
	}
	if err := checkInstance(&in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.zonal(c.zone, "instances", in.Name)
	if s.st.Instances[path] != nil {
		return nil, alreadyExists(path)
	}
	i := s.newInstance(c.zone, &in)
	t, err := s.typeOf("resource.machineType", c.zone, in.MachineType)
	if err != nil {
		return nil, err
	}
	i.MachineType, i.CpuPlatform = s.zonal(c.zone, "machineTypes", t.Name), cpuPlatform(t)
	disks, err := s.planDisks(i, &in, t)
	if err != nil {
		return nil, err
	}
	region := zoneToRegion(c.zone)
	ephemeral, conflict, err := s.planInterfaces(i, &in, region)
	if err != nil {
		return nil, err
	}
	if failure := s.refuse(i, t, disks, conflict); failure != nil {
		s.giveBack(region, ephemeral)
		return s.start(c, job{verb: "insert", target: path, targetID: i.Id, took: 2 * time.Second, doomed: true, work: failing(failure)})
	}
	for _, d := range disks {
		s.st.Disks[d.SelfLink] = d
	}
	s.st.Instances[path] = i
	return s.start(c, job{verb: "insert", target: path, targetID: i.Id, work: s.boot(path, i.Id, true)})
}

// checkInstance refuses what is wrong in itself or what the lab doesn't have.
func checkInstance(in *compute.Instance) *apiError {
	if err := checkName("resource.name", in.Name); err != nil {
		return err
	}
	if err := checkLabels("resource.labels", in.Labels); err != nil {
		return err
	}
	if in.Tags != nil {
		if err := checkTags("resource.tags.items", in.Tags.Items); err != nil {
			return err
		}
	}
	if err := checkMetadata("resource.metadata.items", in.Metadata); err != nil {
		return err
	}
	for field, used := range map[string]bool{
		"guestAccelerators": len(in.GuestAccelerators) > 0, "sourceMachineImage": in.SourceMachineImage != "",
		"instanceEncryptionKey": in.InstanceEncryptionKey != nil, "resourcePolicies": len(in.ResourcePolicies) > 0,
		"confidentialInstanceConfig": in.ConfidentialInstanceConfig != nil && in.ConfidentialInstanceConfig.EnableConfidentialCompute,
		"workloadIdentityConfig":     in.WorkloadIdentityConfig != nil,
		"params":                     in.Params != nil && len(in.Params.ResourceManagerTags) > 0,
		"scheduling":                 endsByItself(in.Scheduling),
	} {
		if used {
			return unsupportedField("resource." + field)
		}
	}
	if h := in.Hostname; h != "" {
		for _, label := range strings.Split(h, ".") {
			if !nameRegexp.MatchString(label) {
				return invalidField("resource.hostname", h, "Must be a fully qualified domain name.")
			}
		}
		if strings.Count(h, ".") < 2 {
			return invalidField("resource.hostname", h, "Must be a fully qualified domain name.")
		}
	}
	return nil
}

// endsByItself says that a machine is to be stopped by the cloud at some time.
func endsByItself(sched *compute.Scheduling) bool {
	return sched != nil && (sched.MaxRunDuration != nil || sched.TerminationTime != "")
}

const maxMetadata = 256 << 10

func checkMetadata(field string, m *compute.Metadata) *apiError {
	if m == nil {
		return nil
	}
	seen := map[string]bool{}
	for i, item := range m.Items {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case item.Key == "":
			return required(at + ".key")
		case len(item.Key) > 128 || strings.Trim(item.Key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "":
			return invalidField(at+".key", item.Key, "Must be a match of regex '[a-zA-Z0-9-_]{1,128}'")
		case seen[item.Key]:
			return invalidField(at+".key", item.Key, "Duplicate key.")
		case item.Value != nil && len(*item.Value) > maxMetadata:
			return invalidField(at+".value", "…", fmt.Sprintf("Value is too large: maximum size %d bytes.", maxMetadata))
		}
		seen[item.Key] = true
		if item.Value == nil {
			empty := ""
			item.Value = &empty
		}
	}
	return nil
}

func (s *Service) newInstance(zone string, in *compute.Instance) *compute.Instance {
	yes := true
	i := &compute.Instance{
		Kind: "compute#instance", Id: newID(), Name: in.Name, Description: in.Description, CreationTimestamp: stamp(),
		SelfLink: s.zonal(zone, "instances", in.Name), Zone: "projects/" + s.cfg.Project + "/zones/" + zone, Status: statusProvisioning,
		CanIpForward: in.CanIpForward, DeletionProtection: in.DeletionProtection, Hostname: in.Hostname, Labels: in.Labels, Tags: in.Tags,
		Metadata: in.Metadata, MinCpuPlatform: in.MinCpuPlatform, Scheduling: in.Scheduling, ShieldedInstanceConfig: in.ShieldedInstanceConfig,
		ShieldedInstanceIntegrityPolicy: &compute.ShieldedInstanceIntegrityPolicy{UpdateAutoLearnPolicy: true},
		DisplayDevice:                   in.DisplayDevice, ReservationAffinity: in.ReservationAffinity, KeyRevocationActionType: in.KeyRevocationActionType,
		NetworkPerformanceConfig: in.NetworkPerformanceConfig, AdvancedMachineFeatures: in.AdvancedMachineFeatures,
	}
	if i.ShieldedInstanceConfig == nil {
		i.ShieldedInstanceConfig = &compute.ShieldedInstanceConfig{EnableIntegrityMonitoring: true, EnableVtpm: true}
	}
	i.Scheduling = completeScheduling(i.Scheduling)
	if i.Scheduling.AutomaticRestart == nil {
		i.Scheduling.AutomaticRestart = &yes
	}
	for _, a := range in.ServiceAccounts {
		sa := &compute.ServiceAccount{Email: a.Email, Scopes: a.Scopes}
		if sa.Email == "" || sa.Email == "default" {
			sa.Email = s.defaultAccount()
		}
		i.ServiceAccounts = append(i.ServiceAccounts, sa)
	}
	return i
}

// completeScheduling fills in what the API does.
func completeScheduling(in *compute.Scheduling) *compute.Scheduling {
	out := &compute.Scheduling{}
	if in != nil {
		out = clone(in)
	}
	spot := out.Preemptible || out.ProvisioningModel == "SPOT"
	if out.ProvisioningModel == "" {
		out.ProvisioningModel = "STANDARD"
	}
	if spot {
		no := false
		out.Preemptible = true
		out.AutomaticRestart = &no
	}
	if out.OnHostMaintenance == "" {
		out.OnHostMaintenance = "MIGRATE"
		if spot {
			out.OnHostMaintenance = "TERMINATE"
		}
	}
	return out
}

// typeOf finds the machine type that a reference names.
func (s *Service) typeOf(field, zone, value string) (machineType, *apiError) {
	if value == "" {
		return machineType{}, required(field)
	}
	path, err := s.resolve(field, value, "machineTypes")
	if err != nil {
		return machineType{}, err
	}
	if scopeOf(path) != "zones/"+zone {
		return machineType{}, invalidField(field, value, fmt.Sprintf("The machine type is not in zone '%s'.", zone))
	}
	t, ok := s.cat.machineType(zone, base(path))
	if !ok {
		return machineType{}, invalidField(field, value, fmt.Sprintf("Machine type with name '%s' does not exist in zone '%s'.", base(path), zone))
	}
	return t, nil
}

// planDisks fills in the instance's disks and returns the ones to make with it.
func (s *Service) planDisks(i, in *compute.Instance, t machineType) ([]*compute.Disk, *apiError) {
	if len(in.Disks) == 0 {
		return nil, invalidField("resource.disks", "", "At least one disk, the boot disk, must be specified.")
	}
	var fresh []*compute.Disk
	zone := base(i.Zone)
	for n, a := range in.Disks {
		field := fmt.Sprintf("resource.disks[%d]", n)
		if a.Type == "SCRATCH" || a.Interface == "NVME" && a.Type != "" && a.Type != "PERSISTENT" {
			return nil, unsupportedField(field + ".type")
		}
		if a.Boot != (n == 0) {
			return nil, invalidField(field+".boot", fmt.Sprint(a.Boot), "The first disk must be the boot disk, and only it.")
		}
		var d *compute.Disk
		var err *apiError
		if a.Source != "" {
			d, err = s.existingDisk(field, zone, a)
		} else {
			d, err = s.initialDisk(field, zone, i, a, n)
			fresh = append(fresh, d)
		}
		if err != nil {
			return nil, err
		}
		if n == 0 && d.Architecture != "" && d.Architecture != architecture(t.Arch) {
			return nil, invalidField(field, d.SourceImage, fmt.Sprintf("The image's architecture %s does not fit machine type '%s'.", d.Architecture, t.Name))
		}
		i.Disks = append(i.Disks, attached(a, d, n))
	}
	return fresh, nil
}

func attached(a *compute.AttachedDisk, d *compute.Disk, index int) *compute.AttachedDisk {
	out := &compute.AttachedDisk{
		Kind: "compute#attachedDisk", Type: "PERSISTENT", Mode: a.Mode, Source: d.SelfLink, DeviceName: a.DeviceName, Index: int64(index),
		Boot: a.Boot, AutoDelete: a.AutoDelete, Interface: a.Interface, DiskSizeGb: d.SizeGb, Architecture: d.Architecture,
		Licenses: d.Licenses, GuestOsFeatures: d.GuestOsFeatures,
	}
	if out.Mode == "" {
		out.Mode = "READ_WRITE"
	}
	if out.Interface == "" {
		out.Interface = "SCSI"
	}
	if out.DeviceName == "" {
		out.DeviceName = fmt.Sprintf("persistent-disk-%d", index)
	}
	return out
}

func (s *Service) existingDisk(field, zone string, a *compute.AttachedDisk) (*compute.Disk, *apiError) {
	path, err := s.resolve(field+".source", a.Source, "disks")
	if err != nil {
		return nil, err
	}
	d := s.st.Disks[path]
	switch {
	case d == nil:
		return nil, s.gone(field+".source", a.Source, "disk", path)
	case s.busy[path] != "":
		return nil, notReady(path)
	case base(d.Zone) != zone:
		return nil, invalidField(field+".source", a.Source, fmt.Sprintf("The disk is not in zone '%s'.", zone))
	}
	if by := s.diskUser(path); by != "" {
		return nil, inUse("disk", path, by)
	}
	return d, nil
}

func (s *Service) initialDisk(field, zone string, i *compute.Instance, a *compute.AttachedDisk, n int) (*compute.Disk, *apiError) {
	p := a.InitializeParams
	if p == nil {
		p = &compute.AttachedDiskInitializeParams{}
	}
	if n == 0 && p.SourceImage == "" {
		return nil, invalidField(field+".initializeParams.sourceImage", "", "The boot disk must have a source or an image.")
	}
	name := p.DiskName
	if name == "" {
		name = i.Name
		if n > 0 {
			name = fmt.Sprintf("%s-%d", i.Name, n)
		}
	}
	size := p.DiskSizeGb
	if size == 0 {
		size = a.DiskSizeGb
	}
	d, err := s.newDisk(zone, field+".initializeParams", &compute.Disk{
		Name: name, Description: p.Description, SourceImage: p.SourceImage, SourceSnapshot: p.SourceSnapshot, SizeGb: size, Type: p.DiskType,
		Labels: p.Labels, StoragePool: p.StoragePool, ReplicaZones: p.ReplicaZones, ResourcePolicies: p.ResourcePolicies, Architecture: p.Architecture,
	})
	if err == nil {
		d.LastAttachTimestamp = stamp()
	}
	return d, err
}

// refuse says why an instance that is well asked for can't be made: no capacity, a quota, an address in use.
func (s *Service) refuse(i *compute.Instance, t machineType, disks []*compute.Disk, conflict *opError) *opError {
	if conflict != nil {
		return conflict
	}
	zone := base(i.Zone)
	region := zoneToRegion(zone)
	gb := map[string]float64{}
	for _, d := range disks {
		gb[diskMetric(base(d.Type))] += float64(d.SizeGb)
	}
	checks := []*apiError{
		s.checkQuota(region, cpuMetric(t.Name), float64(t.CPUs)), s.checkQuota("", "CPUS_ALL_REGIONS", float64(t.CPUs)),
		s.checkQuota(region, "INSTANCES", 1), s.checkQuota(region, "IN_USE_ADDRESSES", float64(countPublic(i))),
		s.checkQuota("", "IN_USE_ADDRESSES", float64(countPublic(i))),
		s.checkQuota(region, "DISKS_TOTAL_GB", gb["DISKS_TOTAL_GB"]), s.checkQuota(region, "SSD_TOTAL_GB", gb["SSD_TOTAL_GB"]),
	}
	for _, err := range checks {
		if err != nil {
			return err.asOpError()
		}
	}
	if s.exhausted[zone] {
		return &opError{code: "ZONE_RESOURCE_POOL_EXHAUSTED", http: 503, message: fmt.Sprintf("The zone 'projects/%s/zones/%s' does not have enough resources available to fulfill the request.  Try a different zone, or try again later.", s.cfg.Project, zone)}
	}
	return nil
}

// ExhaustZone makes a zone run out of machines, or gives it machines again.
func (s *Service) ExhaustZone(zone string, exhausted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exhausted[zone] = exhausted
}

// machine is an instance as the physical side sees it.
func (s *Service) machine(i *compute.Instance) world.Machine {
	zone := base(i.Zone)
	t, _ := s.cat.machineType(zone, base(i.MachineType))
	host, _, _ := strings.Cut(s.hostname(i), ".")
	return world.Machine{ID: formatID(i.Id), Hostname: host, Datasource: "GCE", VCPUs: t.CPUs, MemoryMiB: t.MemoryMiB}
}

// hostname is the full name of an instance in the cloud's own domain, or the one that its request gave.
func (s *Service) hostname(i *compute.Instance) string {
	if i.Hostname != "" {
		return i.Hostname
	}
	return i.Name + "." + base(i.Zone) + ".c." + s.cfg.Project + ".internal"
}
