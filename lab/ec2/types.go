package ec2

import (
	"slices"
	"strings"
)

type processorView struct {
	Archs        set[string] `xml:"supportedArchitectures"`
	Manufacturer string      `xml:"manufacturer"`
}

type vcpuView struct {
	VCPUs   int `xml:"defaultVCpus"`
	Cores   int `xml:"defaultCores"`
	Threads int `xml:"defaultThreadsPerCore"`
}

type memoryView struct {
	MiB int `xml:"sizeInMiB"`
}

type ebsInfoView struct {
	Optimized  string `xml:"ebsOptimizedSupport"`
	Encryption string `xml:"encryptionSupport"`
	NVMe       string `xml:"nvmeSupport"`
}

type networkCardView struct {
	Index       int    `xml:"networkCardIndex"`
	Performance string `xml:"networkPerformance"`
	Interfaces  int    `xml:"maximumNetworkInterfaces"`
}

type networkView struct {
	Performance string               `xml:"networkPerformance"`
	Interfaces  int                  `xml:"maximumNetworkInterfaces"`
	Cards       int                  `xml:"maximumNetworkCards"`
	DefaultCard int                  `xml:"defaultNetworkCardIndex"`
	List        set[networkCardView] `xml:"networkCards"`
	IPv4        int                  `xml:"ipv4AddressesPerInterface"`
	IPv6        int                  `xml:"ipv6AddressesPerInterface"`
	IPv6OK      bool                 `xml:"ipv6Supported"`
	ENA         string               `xml:"enaSupport"`
	EFA         bool                 `xml:"efaSupported"`
	Encryption  bool                 `xml:"encryptionInTransitSupported"`
	SRD         bool                 `xml:"enaSrdSupported"`
}

type gpuView struct {
	Count int `xml:"count"`
}

type gpusView struct {
	GPUs set[gpuView] `xml:"gpus"`
}

type placementInfoView struct {
	Strategies set[string] `xml:"supportedStrategies"`
}

type typeView struct {
	Name        string            `xml:"instanceType"`
	Current     bool              `xml:"currentGeneration"`
	Free        bool              `xml:"freeTierEligible"`
	Usage       set[string]       `xml:"supportedUsageClasses"`
	Roots       set[string]       `xml:"supportedRootDeviceTypes"`
	Virtual     set[string]       `xml:"supportedVirtualizationTypes"`
	Bare        bool              `xml:"bareMetal"`
	Hypervisor  string            `xml:"hypervisor,omitempty"`
	Processor   processorView     `xml:"processorInfo"`
	VCPU        vcpuView          `xml:"vCpuInfo"`
	Memory      memoryView        `xml:"memoryInfo"`
	Storage     bool              `xml:"instanceStorageSupported"`
	EBS         ebsInfoView       `xml:"ebsInfo"`
	Network     networkView       `xml:"networkInfo"`
	GPU         *gpusView         `xml:"gpuInfo"`
	Placement   placementInfoView `xml:"placementGroupInfo"`
	Hibernation bool              `xml:"hibernationSupported"`
	Burstable   bool              `xml:"burstablePerformanceSupported"`
	Hosts       bool              `xml:"dedicatedHostsSupported"`
	Recovery    bool              `xml:"autoRecoverySupported"`
	Boot        set[string]       `xml:"supportedBootModes"`
	Enclaves    string            `xml:"nitroEnclavesSupport"`
	TPM         string            `xml:"nitroTpmSupport"`
}

// Families of former generations, those of the Xen hypervisor, and those with disks of their own.
var (
	oldFamilies = []string{"a1", "c1", "c3", "cc2", "cr1", "g2", "hs1", "i2", "m1", "m2", "m3", "r3", "t1"}
	xenFamilies = []string{"c1", "c3", "c4", "cc2", "cr1", "d2", "f1", "g2", "g3", "g3s", "h1", "hs1", "i2", "i3", "m1", "m2", "m3", "m4", "p2", "p3", "r3", "r4", "t1", "t2", "x1", "x1e"}
	diskLetters = []string{"d2", "d3", "h1", "i2", "i3", "i4", "i7", "i8", "im", "is", "m1", "m2", "m3", "c1", "c3", "r3", "g2", "x1", "hs1", "f1"}
)

func familyName(instanceType string) string { return strings.Split(instanceType, ".")[0] }

// coresOf derives cores from virtual processors: two threads each on x86, except on AMD's from the seventh generation
// on and where there is only one processor; one on ARM.
func coresOf(t InstanceType) (cores, threads int) {
	threads = 2
	f := familyName(t.Name)
	amd7 := strings.Contains(f, "7a") || strings.Contains(f, "8a")
	if t.Arch == "arm64" || t.VCPUs == 1 || amd7 || f == "t2" {
		threads = 1
	}
	return max(1, t.VCPUs/threads), threads
}

// interfaceLimit is how many interfaces an instance may have. It follows the pattern of Amazon's published table by size;
// the table's exceptions are not in the data.
func interfaceLimit(t InstanceType) int {
	switch {
	case t.VCPUs == 0:
		return 2
	case t.VCPUs <= 2 && t.MemoryMiB <= 1024:
		return 2
	case t.VCPUs <= 2:
		return 3
	case t.VCPUs <= 8:
		return 4
	case t.VCPUs <= 64:
		return 8
	}
	return 15
}

// addressLimit is how many addresses each of them may have, by the same pattern.
func addressLimit(t InstanceType) int {
	switch {
	case t.MemoryMiB <= 1024:
		return 2
	case t.MemoryMiB <= 2048:
		return 4
	case t.MemoryMiB <= 4096 && t.VCPUs <= 2:
		return 6
	case t.VCPUs <= 2:
		return 10
	case t.VCPUs <= 8:
		return 15
	case t.VCPUs <= 64:
		return 30
	}
	return 50
}

func (t InstanceType) view() typeView {
	f, xen := familyName(t.Name), slices.Contains(xenFamilies, familyName(t.Name))
	cores, threads := coresOf(t)
	v := typeView{Name: t.Name, Current: !slices.Contains(oldFamilies, f), Free: t.Name == "t2.micro" || t.Name == "t3.micro",
		Usage: setOf([]string{"on-demand", "spot"}), Roots: setOf([]string{"ebs"}), Virtual: setOf([]string{"hvm"}), Bare: t.BareMetal,
		Processor: processorView{setOf([]string{archName(t.Arch)}), manufacturer(t)}, VCPU: vcpuView{t.VCPUs, cores, threads}, Memory: memoryView{t.MemoryMiB},
		Storage: hasDisks(f), EBS: ebsInfoView{"default", "supported", "required"},
		Network: networkView{Performance: t.Network, Interfaces: interfaceLimit(t), Cards: 1, IPv4: addressLimit(t), IPv6: addressLimit(t), IPv6OK: true, ENA: "required",
			List: setOf([]networkCardView{{0, t.Network, interfaceLimit(t)}})},
		Placement: placementInfoView{setOf([]string{"partition", "spread"})}, Burstable: t.Burstable, Hosts: !t.Burstable, Recovery: true,
		Boot: setOf([]string{"uefi"}), Enclaves: "unsupported", TPM: "supported"}
	if t.Arch == "amd64" {
		v.Boot = setOf([]string{"legacy-bios", "uefi"})
	}
	if !t.Burstable {
		v.Placement.Strategies.Items = append([]string{"cluster"}, v.Placement.Strategies.Items...)
	}
	switch {
	case t.BareMetal:
	case xen:
		v.Hypervisor, v.EBS.NVMe, v.Network.ENA, v.TPM = "xen", "unsupported", "supported", "unsupported"
	default:
		v.Hypervisor = "nitro"
	}
	if t.GPUs > 0 {
		v.GPU = &gpusView{setOf([]gpuView{{t.GPUs}})}
	}
	return v
}

// hasDisks says whether a family has instance storage: some families always, others by a d after the generation.
func hasDisks(f string) bool {
	if slices.ContainsFunc(diskLetters, func(p string) bool { return strings.HasPrefix(f, p) }) {
		return true
	}
	at := strings.IndexAny(f, "0123456789")
	return at >= 0 && strings.Contains(f[at:], "d")
}

func manufacturer(t InstanceType) string {
	f := familyName(t.Name)
	at := strings.IndexAny(f, "0123456789")
	switch {
	case t.Arch == "arm64" && strings.HasPrefix(f, "mac"):
		return "Apple"
	case t.Arch == "arm64":
		return "AWS"
	case at >= 0 && strings.Contains(f[at:], "a"):
		return "AMD"
	}
	return "Intel"
}

type describeTypes struct {
	describe
	Names      []string `q:"InstanceType"`
	Everywhere bool     `q:"IncludeUnsupportedInRegion"`
}

type describeTypesAnswer struct {
	meta
	Types set[typeView] `xml:"instanceTypeSet"`
	Next  string        `xml:"nextToken,omitempty"`
}

// typesPage is how many types EC2 tells of at once at most, and without MaxResults.
const typesPage = 100

// offered are the region's types by name.
func (c *call) offered() map[string]InstanceType {
	all := map[string]InstanceType{}
	for name, t := range c.cfg.Catalogue.Types {
		if slices.ContainsFunc(c.where.Zones, func(z Zone) bool { return c.cfg.Catalogue.Offered(z.ID, name) }) {
			all[name] = t
		}
	}
	return all
}

func (c *call) describeTypes(in *describeTypes) (*describeTypesAnswer, error) {
	if in.Everywhere {
		return nil, apiErrorf("UnsupportedOperation", "The parameter IncludeUnsupportedInRegion is not supported here")
	}
	all := c.offered()
	var unknown []string
	for _, name := range in.Names {
		if _, ok := all[name]; !ok {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return nil, apiErrorf("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", strings.Join(unknown, ", "))
	}
	list, err := search[InstanceType]{kind{}, all, in.Names, in.Filters, typeFields(), nil}.run()
	if err != nil {
		return nil, err
	}
	if in.MaxResults == nil {
		size := typesPage
		in.MaxResults = &size
	}
	page, next, err := cut(in.paging, list, func(t InstanceType) string { return t.Name }, 5, typesPage)
	return &describeTypesAnswer{Types: views(page, InstanceType.view), Next: next}, err
}

func typeFields() fields[InstanceType] {
	text := func(f func(typeView) string) func(InstanceType) []string {
		return func(t InstanceType) []string { return one(f(t.view())) }
	}
	flag := func(f func(typeView) bool) func(InstanceType) []string {
		return func(t InstanceType) []string { return yesNo(f(t.view())) }
	}
	number := func(f func(typeView) int) func(InstanceType) []string {
		return func(t InstanceType) []string { return one(itoa(f(t.view()))) }
	}
	list := func(f func(typeView) set[string]) func(InstanceType) []string {
		return func(t InstanceType) []string { return f(t.view()).Items }
	}
	return fields[InstanceType]{
		"auto-recovery-supported":                      flag(func(v typeView) bool { return v.Recovery }),
		"bare-metal":                                   flag(func(v typeView) bool { return v.Bare }),
		"burstable-performance-supported":              flag(func(v typeView) bool { return v.Burstable }),
		"current-generation":                           flag(func(v typeView) bool { return v.Current }),
		"dedicated-hosts-supported":                    flag(func(v typeView) bool { return v.Hosts }),
		"ebs-info.ebs-optimized-support":               text(func(v typeView) string { return v.EBS.Optimized }),
		"ebs-info.encryption-support":                  text(func(v typeView) string { return v.EBS.Encryption }),
		"ebs-info.nvme-support":                        text(func(v typeView) string { return v.EBS.NVMe }),
		"free-tier-eligible":                           flag(func(v typeView) bool { return v.Free }),
		"hibernation-supported":                        flag(func(v typeView) bool { return v.Hibernation }),
		"hypervisor":                                   text(func(v typeView) string { return v.Hypervisor }),
		"instance-storage-supported":                   flag(func(v typeView) bool { return v.Storage }),
		"instance-type":                                text(func(v typeView) string { return v.Name }),
		"memory-info.size-in-mib":                      number(func(v typeView) int { return v.Memory.MiB }),
		"network-info.efa-supported":                   flag(func(v typeView) bool { return v.Network.EFA }),
		"network-info.ena-support":                     text(func(v typeView) string { return v.Network.ENA }),
		"network-info.encryption-in-transit-supported": flag(func(v typeView) bool { return v.Network.Encryption }),
		"network-info.ipv4-addresses-per-interface":    number(func(v typeView) int { return v.Network.IPv4 }),
		"network-info.ipv6-addresses-per-interface":    number(func(v typeView) int { return v.Network.IPv6 }),
		"network-info.ipv6-supported":                  flag(func(v typeView) bool { return v.Network.IPv6OK }),
		"network-info.maximum-network-cards":           number(func(v typeView) int { return v.Network.Cards }),
		"network-info.maximum-network-interfaces":      number(func(v typeView) int { return v.Network.Interfaces }),
		"network-info.network-performance":             text(func(v typeView) string { return v.Network.Performance }),
		"nitro-enclaves-support":                       text(func(v typeView) string { return v.Enclaves }),
		"nitro-tpm-support":                            text(func(v typeView) string { return v.TPM }),
		"processor-info.supported-architecture":        list(func(v typeView) set[string] { return v.Processor.Archs }),
		"supported-boot-mode":                          list(func(v typeView) set[string] { return v.Boot }),
		"supported-root-device-type":                   list(func(v typeView) set[string] { return v.Roots }),
		"supported-usage-class":                        list(func(v typeView) set[string] { return v.Usage }),
		"supported-virtualization-type":                list(func(v typeView) set[string] { return v.Virtual }),
		"vcpu-info.default-cores":                      number(func(v typeView) int { return v.VCPU.Cores }),
		"vcpu-info.default-threads-per-core":           number(func(v typeView) int { return v.VCPU.Threads }),
		"vcpu-info.default-vcpus":                      number(func(v typeView) int { return v.VCPU.VCPUs }),
	}
}

type describeOfferings struct {
	describe
	Location string `q:"LocationType"`
}

type offeringView struct {
	Type     string `xml:"instanceType"`
	Kind     string `xml:"locationType"`
	Location string `xml:"location"`
}

type describeOfferingsAnswer struct {
	meta
	Offerings set[offeringView] `xml:"instanceTypeOfferingSet"`
	Next      string            `xml:"nextToken,omitempty"`
}

func (c *call) describeOfferings(in *describeOfferings) (*describeOfferingsAnswer, error) {
	place := in.Location
	if place == "" {
		place = "region"
	}
	all := map[string]offeringView{}
	for name := range c.offered() {
		if place == "region" {
			all[name] = offeringView{name, place, c.region.Name}
			continue
		}
		for _, z := range c.where.Zones {
			at := z.Name
			if place == "availability-zone-id" {
				at = z.ID
			}
			if c.cfg.Catalogue.Offered(z.ID, name) {
				all[name+" "+at] = offeringView{name, place, at}
			}
		}
	}
	if !slices.Contains([]string{"region", "availability-zone", "availability-zone-id"}, place) {
		return nil, invalidValue(place, "locationType", "Expected: region, availability-zone or availability-zone-id")
	}
	list, next, err := search[offeringView]{kind{}, all, nil, in.Filters, fields[offeringView]{
		"instance-type": func(v offeringView) []string { return one(v.Type) },
		"location":      func(v offeringView) []string { return one(v.Location) },
	}, nil}.page(in.paging, func(v offeringView) string {
		if place == "region" {
			return v.Type
		}
		return v.Type + " " + v.Location
	})
	return &describeOfferingsAnswer{Offerings: setOf(list), Next: next}, err
}
