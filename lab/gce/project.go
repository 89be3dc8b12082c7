package gce

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/compute/v1"
)

// projectLimits and regionLimits are the quotas that are shown and kept, with the limits of an ordinary project.
var (
	projectLimits = map[string]float64{
		"NETWORKS": 15, "FIREWALLS": 200, "ROUTES": 600, "SUBNETWORKS": 300, "STATIC_ADDRESSES": 21, "IN_USE_ADDRESSES": 69,
		"CPUS_ALL_REGIONS": 512, "IMAGES": 2000, "SNAPSHOTS": 5000, "HEALTH_CHECKS": 75, "ROUTERS": 20,
	}
	regionLimits = map[string]float64{
		"CPUS": 72, "N2_CPUS": 72, "N2D_CPUS": 72, "C2_CPUS": 24, "C2D_CPUS": 72, "C3_CPUS": 72, "T2D_CPUS": 72, "T2A_CPUS": 24, "M1_CPUS": 0,
		"INSTANCES": 720, "DISKS_TOTAL_GB": 20480, "SSD_TOTAL_GB": 10240, "STATIC_ADDRESSES": 21, "IN_USE_ADDRESSES": 69,
		"INTERNAL_ADDRESSES": 600,
	}
)

func (s *Service) limit(region, metric string) (float64, bool) {
	if region == "" {
		if v, ok := s.cfg.Quotas[metric]; ok && projectLimits[metric] > 0 {
			return v, true
		}
		v, ok := projectLimits[metric]
		return v, ok
	}
	for _, key := range []string{region + "/" + metric, metric} {
		if v, ok := s.cfg.Quotas[key]; ok {
			return v, true
		}
	}
	v, ok := regionLimits[metric]
	return v, ok
}

// usage counts what a quota counts; region is empty for the project's own.
func (s *Service) usage(region, metric string) float64 {
	in := func(place string) bool { return region == "" || place == region }
	n := 0.0
	switch metric {
	case "NETWORKS":
		return float64(len(s.st.Networks))
	case "FIREWALLS":
		return float64(len(s.st.Firewalls))
	case "SUBNETWORKS":
		return float64(len(s.st.Subnetworks))
	case "ROUTES":
		for _, r := range s.st.Routes {
			if r.NextHopNetwork == "" {
				n++
			}
		}
	case "STATIC_ADDRESSES", "INTERNAL_ADDRESSES":
		for _, a := range s.st.Addresses {
			if in(base(a.Region)) && (a.AddressType == "INTERNAL") == (metric == "INTERNAL_ADDRESSES") {
				n++
			}
		}
	case "IN_USE_ADDRESSES":
		for _, i := range s.st.Instances {
			if in(zoneToRegion(base(i.Zone))) {
				n += float64(countPublic(i))
			}
		}
	case "DISKS_TOTAL_GB", "SSD_TOTAL_GB":
		for _, d := range s.st.Disks {
			if in(zoneToRegion(base(d.Zone))) && diskMetric(base(d.Type)) == metric {
				n += float64(d.SizeGb)
			}
		}
	default:
		for _, i := range s.st.Instances {
			zone := base(i.Zone)
			if !in(zoneToRegion(zone)) || i.Status == statusTerminated && metric != "INSTANCES" {
				continue
			}
			t, _ := s.cat.machineType(zone, base(i.MachineType))
			switch metric {
			case "INSTANCES":
				n++
			case "CPUS_ALL_REGIONS", cpuMetric(t.Name):
				n += float64(t.CPUs)
			}
		}
	}
	return n
}

func countPublic(i *compute.Instance) int {
	n := 0
	for _, nic := range i.NetworkInterfaces {
		for _, ac := range nic.AccessConfigs {
			if ac.NatIP != "" {
				n++
			}
		}
	}
	return n
}

// cpuMetric is the quota that a machine type's CPUs count to: the families of general use share one.
func cpuMetric(machineType string) string {
	family, _, _ := strings.Cut(machineType, "-")
	metric := strings.ToUpper(family) + "_CPUS"
	if _, ok := regionLimits[metric]; ok {
		return metric
	}
	return "CPUS"
}

func diskMetric(diskType string) string {
	if diskType == "pd-standard" {
		return "DISKS_TOTAL_GB"
	}
	return "SSD_TOTAL_GB"
}

// checkQuota refuses what would go over a limit. The caller holds the lock.
func (s *Service) checkQuota(region, metric string, more float64) *apiError {
	limit, ok := s.limit(region, metric)
	if !ok || s.usage(region, metric)+more <= limit {
		return nil
	}
	where := "globally"
	if region != "" {
		where = "in region " + region
	}
	return &apiError{code: http.StatusForbidden, reason: "quotaExceeded", message: fmt.Sprintf("Quota '%s' exceeded.  Limit: %.1f %s.", metric, limit, where)}
}

func (s *Service) quotas(region string) []*compute.Quota {
	limits := projectLimits
	if region != "" {
		limits = regionLimits
	}
	var out []*compute.Quota
	for metric := range limits {
		limit, _ := s.limit(region, metric)
		out = append(out, &compute.Quota{Metric: metric, Limit: limit, Usage: s.usage(region, metric), ForceSendFields: []string{"Usage", "Limit"}})
	}
	slices.SortFunc(out, func(a, b *compute.Quota) int { return cmp.Compare(a.Metric, b.Metric) })
	return out
}

func (s *Service) getProject(*call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &compute.Project{
		Kind: "compute#project", Id: s.cfg.ProjectNumber, Name: s.cfg.Project, CreationTimestamp: s.st.ProjectCreated,
		SelfLink: "projects/" + s.cfg.Project, CommonInstanceMetadata: s.metadataView(s.st.Metadata), Quotas: s.quotas(""),
		DefaultServiceAccount: s.defaultAccount(), DefaultNetworkTier: "PREMIUM", XpnProjectStatus: "UNSPECIFIED_XPN_PROJECT_STATUS",
		VmDnsSetting: "ZONAL_ONLY", CloudArmorTier: "CA_STANDARD",
	}, nil
}

// defaultAccount is the service account that machines get when a request says "default".
func (s *Service) defaultAccount() string {
	return s.number() + "-compute@developer.gserviceaccount.com"
}

func (s *Service) setCommonMetadata(c *call) (any, *apiError) {
	var in compute.Metadata
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := checkMetadata("items", &in); err != nil {
		return nil, err
	}
	if in.Fingerprint != metadataFingerprint(s.st.Metadata) {
		return nil, conditionNotMet("Supplied fingerprint does not match current metadata fingerprint.")
	}
	s.st.Metadata = &compute.Metadata{Kind: "compute#metadata", Items: in.Items}
	return s.start(c, job{verb: "compute.projects.setCommonInstanceMetadata", target: "projects/" + s.cfg.Project, targetID: s.cfg.ProjectNumber, took: 2 * time.Second})
}

func metadataFingerprint(m *compute.Metadata) string {
	if m == nil {
		return fingerprint(nil)
	}
	return fingerprint(m.Items)
}

// metadataView is metadata as answers show it.
func (s *Service) metadataView(m *compute.Metadata) *compute.Metadata {
	v := &compute.Metadata{Kind: "compute#metadata", Fingerprint: metadataFingerprint(m)}
	if m != nil {
		v.Items = m.Items
	}
	return v
}

// fixedID gives things of the catalogue a number that is the same in every lab.
func fixedID(path string) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range []byte(path) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h%9000000 + 1000
}

const catalogTime = "1969-12-31T16:00:00.000-08:00"

// regionItem describes a region; zones only link to it.
func (s *Service) regionItem(r *regionInfo) *compute.Region {
	path := "projects/" + s.cfg.Project + "/regions/" + r.Name
	v := &compute.Region{
		Kind: "compute#region", Id: fixedID(r.Name), Name: r.Name, Description: r.Name, Status: "UP", CreationTimestamp: catalogTime,
		SelfLink: path, Quotas: s.quotas(r.Name),
	}
	for _, z := range r.Zones {
		v.Zones = append(v.Zones, "projects/"+s.cfg.Project+"/zones/"+z)
	}
	return v
}

func (s *Service) zoneItem(r *regionInfo, zone string) *compute.Zone {
	v := &compute.Zone{
		Kind: "compute#zone", Id: fixedID(zone), Name: zone, Description: zone, Status: "UP", CreationTimestamp: catalogTime,
		Region: "projects/" + s.cfg.Project + "/regions/" + r.Name, SelfLink: "projects/" + s.cfg.Project + "/zones/" + zone,
	}
	for _, t := range s.cat.machineTypes(zone) {
		if p := cpuPlatform(t); !slices.Contains(v.AvailableCpuPlatforms, p) {
			v.AvailableCpuPlatforms = append(v.AvailableCpuPlatforms, p)
		}
	}
	slices.Sort(v.AvailableCpuPlatforms)
	return v
}

// cpuPlatform names the processor that a type's machines get.
func cpuPlatform(t machineType) string {
	family, _, _ := strings.Cut(t.Name, "-")
	platforms := map[string]string{
		"e2": "Intel Broadwell", "n1": "Intel Haswell", "f1": "Intel Haswell", "g1": "Intel Haswell", "n2": "Intel Cascade Lake",
		"c2": "Intel Cascade Lake", "n2d": "AMD Rome", "c2d": "AMD Milan", "t2d": "AMD Milan", "t2a": "Ampere Altra",
		"c3": "Intel Sapphire Rapids", "c3d": "AMD Genoa", "c4": "Intel Emerald Rapids", "n4": "Intel Emerald Rapids",
		"c4d": "AMD Turin", "n4d": "AMD Turin", "c4a": "Google Axion", "n4a": "Google Axion",
	}
	if p, ok := platforms[family]; ok {
		return p
	}
	if t.Arch == "arm64" {
		return "Google Axion"
	}
	return "Intel Cascade Lake"
}

func (s *Service) machineTypeItem(zone string, t machineType) *compute.MachineType {
	path := s.zonal(zone, "machineTypes", t.Name)
	v := &compute.MachineType{
		Kind: "compute#machineType", Id: fixedID(t.Name), Name: t.Name, Zone: zone, SelfLink: path, CreationTimestamp: catalogTime,
		Description: describeType(t), GuestCpus: int64(t.CPUs), MemoryMb: int64(t.MemoryMiB), Architecture: architecture(t.Arch),
		MaximumPersistentDisks: 128, MaximumPersistentDisksSizeGb: 263168, IsSharedCpu: isShared(t.Name),
	}
	if v.IsSharedCpu {
		v.MaximumPersistentDisks, v.MaximumPersistentDisksSizeGb = 16, 3072
	}
	return v
}

func isShared(name string) bool {
	switch name {
	case "e2-micro", "e2-small", "e2-medium", "f1-micro", "g1-small":
		return true
	}
	return false
}

func architecture(arch string) string {
	if arch == "arm64" {
		return "ARM64"
	}
	return "X86_64"
}

func describeType(t machineType) string {
	plural := "s"
	if t.CPUs == 1 {
		plural = ""
	}
	return fmt.Sprintf("%d vCPU%s, %.4g GB RAM", t.CPUs, plural, float64(t.MemoryMiB)/1024)
}
