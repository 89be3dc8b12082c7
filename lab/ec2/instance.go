package ec2

import (
	"slices"
	"strings"
)

type stateView struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

func stateOf(name string) stateView { return stateView{stateCodes[name], name} }

type placementView struct {
	Zone    string `xml:"availabilityZone"`
	ZoneID  string `xml:"availabilityZoneId"`
	Group   string `xml:"groupName"`
	Tenancy string `xml:"tenancy"`
}

type monitoringView struct {
	State string `xml:"state"`
}

type reasonView struct {
	Code    string `xml:"code"`
	Message string `xml:"message"`
}

type ebsView struct {
	Volume string `xml:"volumeId"`
	Status string `xml:"status"`
	At     string `xml:"attachTime"`
	Delete bool   `xml:"deleteOnTermination"`
}

type deviceView struct {
	Device string  `xml:"deviceName"`
	EBS    ebsView `xml:"ebs"`
}

type metadataView struct {
	State    string `xml:"state"`
	Tokens   string `xml:"httpTokens"`
	HopLimit int    `xml:"httpPutResponseHopLimit"`
	Endpoint string `xml:"httpEndpoint"`
	IPv6     string `xml:"httpProtocolIpv6"`
	Tags     string `xml:"instanceMetadataTags"`
}

type cpuView struct {
	Cores   int `xml:"coreCount"`
	Threads int `xml:"threadsPerCore"`
}

type nicView struct {
	ID          string              `xml:"networkInterfaceId"`
	Subnet      string              `xml:"subnetId"`
	VPC         string              `xml:"vpcId"`
	Description string              `xml:"description"`
	Owner       string              `xml:"ownerId"`
	Status      string              `xml:"status"`
	MAC         string              `xml:"macAddress"`
	Address     string              `xml:"privateIpAddress"`
	Name        string              `xml:"privateDnsName,omitempty"`
	Check       bool                `xml:"sourceDestCheck"`
	Groups      set[groupID]        `xml:"groupSet"`
	Attachment  *attachmentView     `xml:"attachment"`
	Association *associationInfo    `xml:"association"`
	Addresses   set[privateAddress] `xml:"privateIpAddressesSet"`
	IPv6        set[struct{}]       `xml:"ipv6AddressesSet"`
	Type        string              `xml:"interfaceType"`
}

type instanceView struct {
	ID           string           `xml:"instanceId"`
	Image        string           `xml:"imageId"`
	State        stateView        `xml:"instanceState"`
	PrivateName  string           `xml:"privateDnsName"`
	PublicName   string           `xml:"dnsName"`
	Reason       string           `xml:"reason"`
	Key          string           `xml:"keyName,omitempty"`
	LaunchIndex  int              `xml:"amiLaunchIndex"`
	ProductCodes set[struct{}]    `xml:"productCodes"`
	Type         string           `xml:"instanceType"`
	Launched     string           `xml:"launchTime"`
	Placement    placementView    `xml:"placement"`
	Monitoring   monitoringView   `xml:"monitoring"`
	Subnet       string           `xml:"subnetId,omitempty"`
	VPC          string           `xml:"vpcId,omitempty"`
	Address      string           `xml:"privateIpAddress,omitempty"`
	Public       string           `xml:"ipAddress,omitempty"`
	Check        *bool            `xml:"sourceDestCheck"`
	Groups       set[groupID]     `xml:"groupSet"`
	StateReason  *reasonView      `xml:"stateReason"`
	Arch         string           `xml:"architecture"`
	RootType     string           `xml:"rootDeviceType"`
	RootDevice   string           `xml:"rootDeviceName"`
	Devices      set[deviceView]  `xml:"blockDeviceMapping"`
	Virtual      string           `xml:"virtualizationType"`
	Token        string           `xml:"clientToken"`
	Tags         set[tagPair]     `xml:"tagSet"`
	Hypervisor   string           `xml:"hypervisor"`
	NICs         set[nicView]     `xml:"networkInterfaceSet"`
	EBSOptimized bool             `xml:"ebsOptimized"`
	ENA          bool             `xml:"enaSupport"`
	CPU          *cpuView         `xml:"cpuOptions"`
	Hibernation  configuredView   `xml:"hibernationOptions"`
	Metadata     *metadataView    `xml:"metadataOptions"`
	Enclave      enabledView      `xml:"enclaveOptions"`
	BootMode     string           `xml:"bootMode,omitempty"`
	Platform     string           `xml:"platformDetails"`
	Usage        string           `xml:"usageOperation"`
	UsageTime    string           `xml:"usageOperationUpdateTime"`
	DNS          *dnsOptions      `xml:"privateDnsNameOptions"`
	Maintenance  *maintenanceView `xml:"maintenanceOptions"`
	CurrentBoot  string           `xml:"currentInstanceBootMode,omitempty"`
}

type configuredView struct {
	Configured bool `xml:"configured"`
}

type enabledView struct {
	Enabled bool `xml:"enabled"`
}

type maintenanceView struct {
	Recovery string `xml:"autoRecovery"`
}

type reservationView struct {
	ID        string            `xml:"reservationId"`
	Owner     string            `xml:"ownerId"`
	Groups    set[groupID]      `xml:"groupSet"`
	Instances set[instanceView] `xml:"instancesSet"`
}

// instanceView shows an instance. What was taken from a terminated one is no longer shown.
func (c *call) instanceView(i *instance) instanceView {
	t := c.cfg.Catalogue.Types[i.Type]
	v := instanceView{ID: i.ID, Image: i.Image, State: stateOf(i.State), Reason: i.Reason, Key: i.Key, LaunchIndex: i.LaunchIndex, Type: i.Type,
		Launched: stamp(i.Launched), Placement: placementView{Zone: i.Zone, ZoneID: c.zoneID(i.Zone), Tenancy: i.Tenancy},
		Monitoring: monitoringView{"disabled"}, Arch: i.Arch, RootType: "ebs", RootDevice: i.RootDevice, Virtual: "hvm", Token: i.ClientToken,
		Tags: c.region.Tags[i.ID].view(), Hypervisor: "xen", EBSOptimized: i.EBSOptimized, ENA: true, Metadata: i.Metadata.view(),
		Platform: "Linux/UNIX", Usage: "RunInstances", UsageTime: stamp(i.Launched), CPU: cpuOf(t),
		DNS: &dnsOptions{HostnameType: "ip-name"}, Maintenance: &maintenanceView{"default"}, CurrentBoot: "uefi"}
	if i.Monitoring {
		v.Monitoring.State = "enabled"
	}
	if i.StateReason != "" {
		v.StateReason = &reasonView{i.StateReason, i.StateMessage}
	}
	if i.State == terminated {
		return v
	}
	v.Subnet, v.VPC, v.Address, v.PrivateName = i.Subnet, i.VPC, text(i.Address), privateName(c.region.Name, i.Address)
	for _, n := range c.region.interfacesOf(i.ID) {
		nic := c.nicView(n)
		v.NICs.Items = append(v.NICs.Items, nic)
		if n.Attachment.Device == 0 {
			v.Groups, v.Check = nic.Groups, &n.SourceDestCheck
			if a := nic.Association; a != nil {
				v.Public, v.PublicName = a.Public, a.Name
			}
		}
	}
	for _, vol := range c.region.volumesOf(i.ID) {
		v.Devices.Items = append(v.Devices.Items, deviceView{vol.Device, ebsView{vol.ID, "attached", stamp(vol.AttachedAt), vol.DeleteOnTermination}})
	}
	return v
}

func cpuOf(t InstanceType) *cpuView {
	cores, threads := coresOf(t)
	return &cpuView{cores, threads}
}

func (c *call) nicView(n *netInterface) nicView {
	name, a := privateName(c.region.Name, n.Address), c.association(n, false)
	v := nicView{ID: n.ID, Subnet: n.Subnet, VPC: n.VPC, Description: n.Description, Owner: c.cfg.AccountID, Status: "in-use", MAC: n.MAC,
		Address: text(n.Address), Name: name, Check: n.SourceDestCheck, Groups: c.groupIDs(n.Groups), Attachment: c.attachmentView(n.Attachment),
		Association: a, Addresses: setOf([]privateAddress{{text(n.Address), name, true, a}}), Type: "interface"}
	v.Attachment.Instance, v.Attachment.InstanceOwner = "", "" // this view has no such elements
	return v
}

func (m metadataOptions) view() *metadataView {
	return &metadataView{State: "applied", Tokens: m.Tokens, HopLimit: m.HopLimit, Endpoint: m.Endpoint, IPv6: "disabled", Tags: m.Tags}
}

// reservationViews groups instances by the launch they came from.
func (c *call) reservationViews(list []*instance) []reservationView {
	var out []reservationView
	for _, i := range list {
		at := slices.IndexFunc(out, func(r reservationView) bool { return r.ID == i.Reservation })
		if at < 0 {
			out, at = append(out, reservationView{ID: i.Reservation, Owner: c.cfg.AccountID}), len(out)
		}
		out[at].Instances.Items = append(out[at].Instances.Items, c.instanceView(i))
	}
	return out
}

type describeInstances struct {
	describe
	IDs     []string `q:"InstanceId"`
	Managed bool     `q:"IncludeManagedResources"`
}

type describeInstancesAnswer struct {
	meta
	Reservations set[reservationView] `xml:"reservationSet"`
	Next         string               `xml:"nextToken,omitempty"`
}

// notBoth is EC2's refusal to cut a list of ids into pages.
func notBoth(p paging, ids []string, parameter string) error {
	if p.MaxResults != nil && len(ids) > 0 {
		return apiErrorf("InvalidParameterCombination", "The parameter %s cannot be used with the parameter maxResults", parameter)
	}
	return nil
}

func (c *call) describeInstances(in *describeInstances) (*describeInstancesAnswer, error) {
	if err := notBoth(in.paging, in.IDs, "instancesSet"); err != nil {
		return nil, err
	}
	list, next, err := c.findInstances(in.IDs, in.describe)
	return &describeInstancesAnswer{Reservations: setOf(c.reservationViews(list)), Next: next}, err
}

func (c *call) findInstances(ids []string, in describe) ([]*instance, string, error) {
	return search[*instance]{kindInstance, c.region.Instances, ids, in.Filters, c.instanceFields(),
		func(i *instance) tags { return c.region.Tags[i.ID] }}.page(in.paging, func(i *instance) string { return i.ID })
}

// instanceFields are the filters of instances: those of its own, and those of its interfaces under a prefix.
func (c *call) instanceFields() fields[*instance] {
	field := func(f func(instanceView) string) func(*instance) []string {
		return func(i *instance) []string { return one(f(c.instanceView(i))) }
	}
	same := func(text string) func(*instance) []string { return func(*instance) []string { return one(text) } }
	groups := func(f func(groupID) string) func(*instance) []string {
		return func(i *instance) []string {
			var list []string
			for _, g := range c.instanceView(i).Groups.Items {
				list = append(list, f(g))
			}
			return list
		}
	}
	disks := func(f func(deviceView) string) func(*instance) []string {
		return func(i *instance) []string {
			var list []string
			for _, d := range c.instanceView(i).Devices.Items {
				list = append(list, f(d))
			}
			return list
		}
	}
	by := fields[*instance]{
		"affinity": same(""), "architecture": field(func(v instanceView) string { return v.Arch }),
		"availability-zone":                          field(func(v instanceView) string { return v.Placement.Zone }),
		"availability-zone-id":                       field(func(v instanceView) string { return v.Placement.ZoneID }),
		"block-device-mapping.attach-time":           disks(func(d deviceView) string { return d.EBS.At }),
		"block-device-mapping.delete-on-termination": disks(func(d deviceView) string { return yesNo(d.EBS.Delete)[0] }),
		"block-device-mapping.device-name":           disks(func(d deviceView) string { return d.Device }),
		"block-device-mapping.status":                disks(func(d deviceView) string { return d.EBS.Status }),
		"block-device-mapping.volume-id":             disks(func(d deviceView) string { return d.EBS.Volume }),
		"boot-mode":                                  field(func(v instanceView) string { return v.BootMode }),
		"client-token":                               field(func(v instanceView) string { return v.Token }),
		"current-instance-boot-mode":                 field(func(v instanceView) string { return v.CurrentBoot }),
		"dns-name":                                   field(func(v instanceView) string { return v.PublicName }),
		"ebs-optimized":                              func(i *instance) []string { return yesNo(i.EBSOptimized) },
		"ena-support":                                same("true"), "host-id": same(""), "hypervisor": same("xen"), "iam-instance-profile.arn": same(""),
		"iam-instance-profile.id": same(""), "iam-instance-profile.name": same(""), "image-id": field(func(v instanceView) string { return v.Image }),
		"instance-id": field(func(v instanceView) string { return v.ID }), "instance-lifecycle": same(""),
		"instance-state-code": func(i *instance) []string { return one(itoa(stateCodes[i.State])) },
		"instance-state-name": func(i *instance) []string { return one(i.State) },
		"instance-type":       func(i *instance) []string { return one(i.Type) },
		"instance.group-id":   groups(func(g groupID) string { return g.ID }), "instance.group-name": groups(func(g groupID) string { return g.Name }),
		"ip-address": field(func(v instanceView) string { return v.Public }), "kernel-id": same(""), "key-name": field(func(v instanceView) string { return v.Key }),
		"launch-index": func(i *instance) []string { return one(itoa(i.LaunchIndex)) }, "launch-time": field(func(v instanceView) string { return v.Launched }),
		"maintenance-options.auto-recovery": same("default"), "metadata-options.http-endpoint": func(i *instance) []string { return one(i.Metadata.Endpoint) },
		"metadata-options.http-protocol-ipv4": same("enabled"), "metadata-options.http-protocol-ipv6": same("disabled"),
		"metadata-options.http-put-response-hop-limit": func(i *instance) []string { return one(itoa(i.Metadata.HopLimit)) },
		"metadata-options.http-tokens":                 func(i *instance) []string { return one(i.Metadata.Tokens) },
		"metadata-options.instance-metadata-tags":      func(i *instance) []string { return one(i.Metadata.Tags) },
		"monitoring-state":                             field(func(v instanceView) string { return v.Monitoring.State }),
		"owner-id":                                     same(c.cfg.AccountID), "placement-group-name": same(""), "platform": same(""), "platform-details": same("Linux/UNIX"),
		"private-dns-name": field(func(v instanceView) string { return v.PrivateName }), "private-ip-address": field(func(v instanceView) string { return v.Address }),
		"product-code": same(""), "ramdisk-id": same(""), "reason": field(func(v instanceView) string { return v.Reason }),
		"requester-id": same(""), "reservation-id": func(i *instance) []string { return one(i.Reservation) },
		"root-device-name": func(i *instance) []string { return one(i.RootDevice) }, "root-device-type": same("ebs"),
		"source-dest-check": func(i *instance) []string {
			if check := c.instanceView(i).Check; check != nil {
				return yesNo(*check)
			}
			return nil
		},
		"spot-instance-request-id": same(""), "state-reason-code": func(i *instance) []string { return one(i.StateReason) },
		"state-reason-message": func(i *instance) []string { return one(i.StateMessage) }, "subnet-id": field(func(v instanceView) string { return v.Subnet }),
		"tenancy": func(i *instance) []string { return one(i.Tenancy) }, "usage-operation": same("RunInstances"),
		"virtualization-type": same("hvm"), "vpc-id": field(func(v instanceView) string { return v.VPC }),
	}
	by["group-id"], by["group-name"] = by["instance.group-id"], by["instance.group-name"]
	for name, get := range c.interfaceFields() {
		by["network-interface."+strings.TrimPrefix(name, "network-interface.")] = func(i *instance) []string {
			var list []string
			for _, n := range c.region.interfacesOf(i.ID) {
				list = append(list, get(n)...)
			}
			return list
		}
	}
	return by
}

type describeStatus struct {
	describe
	IDs     []string `q:"InstanceId"`
	All     bool     `q:"IncludeAllInstances"`
	Managed bool     `q:"IncludeManagedResources"`
}

type statusDetail struct {
	Name   string `xml:"name"`
	Status string `xml:"status"`
}

type statusSummary struct {
	Status  string            `xml:"status"`
	Details set[statusDetail] `xml:"details"`
}

type statusView struct {
	ID       string        `xml:"instanceId"`
	Zone     string        `xml:"availabilityZone"`
	ZoneID   string        `xml:"availabilityZoneId"`
	State    stateView     `xml:"instanceState"`
	System   statusSummary `xml:"systemStatus"`
	Instance statusSummary `xml:"instanceStatus"`
	EBS      statusSummary `xml:"attachedEbsStatus"`
	Events   set[struct{}] `xml:"eventsSet"`
}

type describeStatusAnswer struct {
	meta
	Statuses set[statusView] `xml:"instanceStatusSet"`
	Next     string          `xml:"nextToken,omitempty"`
}

// checks is the outcome of the status checks: they take a while after the start.
func (c *call) checks(i *instance) (summary, detail string) {
	switch {
	case i.State != running && i.State != pending:
		return "not-applicable", ""
	case i.State == running && c.now.Sub(i.RunningSince) >= c.cfg.Profile.Delay(checksPassed):
		return "ok", "passed"
	}
	return "initializing", "initializing"
}

func (c *call) statusView(i *instance) statusView {
	s, detail := c.checks(i)
	sum := statusSummary{Status: s}
	if detail != "" {
		sum.Details = setOf([]statusDetail{{"reachability", detail}})
	}
	return statusView{ID: i.ID, Zone: i.Zone, ZoneID: c.zoneID(i.Zone), State: stateOf(i.State), System: sum, Instance: sum, EBS: sum}
}

func (c *call) describeStatus(in *describeStatus) (*describeStatusAnswer, error) {
	if err := notBoth(in.paging, in.IDs, "instancesSet"); err != nil {
		return nil, err
	}
	all := map[string]*instance{}
	for id, i := range c.region.Instances {
		if in.All || i.State == running || slices.Contains(in.IDs, id) {
			all[id] = i
		}
	}
	none := func(*instance) []string { return nil }
	status := func(i *instance) []string { s, _ := c.checks(i); return one(s) }
	reach := func(i *instance) []string { _, d := c.checks(i); return one(d) }
	list, next, err := search[*instance]{kindInstance, all, in.IDs, in.Filters, fields[*instance]{
		"availability-zone":    func(i *instance) []string { return one(i.Zone) },
		"availability-zone-id": func(i *instance) []string { return one(c.zoneID(i.Zone)) },
		"event.code":           none, "event.description": none, "event.instance-event-id": none, "event.not-after": none,
		"event.not-before": none, "event.not-before-deadline": none,
		"instance-state-code":              func(i *instance) []string { return one(itoa(stateCodes[i.State])) },
		"instance-state-name":              func(i *instance) []string { return one(i.State) },
		"instance-status.status":           status,
		"instance-status.reachability":     reach,
		"system-status.status":             status,
		"system-status.reachability":       reach,
		"attached-ebs-status.status":       status,
		"attached-ebs-status.reachability": reach,
	}, func(i *instance) tags { return c.region.Tags[i.ID] }}.page(in.paging, func(i *instance) string { return i.ID })
	if !in.All {
		list = slices.DeleteFunc(list, func(i *instance) bool { return i.State != running })
	}
	return &describeStatusAnswer{Statuses: views(list, c.statusView), Next: next}, err
}
