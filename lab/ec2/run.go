package ec2

import (
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
)

type ebsInput struct {
	Delete     *bool  `q:"DeleteOnTermination"`
	IOPS       *int   `q:"Iops"`
	Snapshot   string `q:"SnapshotId"`
	Size       *int   `q:"VolumeSize"`
	Type       string `q:"VolumeType"`
	Throughput *int   `q:"Throughput"`
	Encrypted  *bool  `q:"Encrypted"`
	_          string `q:"KmsKeyId OutpostArn AvailabilityZone VolumeInitializationRate AvailabilityZoneId EbsCardIndex,unsupported"`
}

type blockDevice struct {
	Device string    `q:"DeviceName"`
	EBS    *ebsInput `q:"Ebs"`
	None   *string   `q:"NoDevice"`
	_      string    `q:"VirtualName,unsupported"`
}

type nicInput struct {
	Public      *bool                 `q:"AssociatePublicIpAddress"`
	Delete      *bool                 `q:"DeleteOnTermination"`
	Description string                `q:"Description"`
	Device      *int                  `q:"DeviceIndex"`
	Groups      []string              `q:"SecurityGroupId"`
	ID          string                `q:"NetworkInterfaceId"`
	Address     string                `q:"PrivateIpAddress"`
	Addresses   []privateAddressInput `q:"PrivateIpAddresses"`
	Subnet      string                `q:"SubnetId"`
	Type        string                `q:"InterfaceType"`
	Card        int                   `q:"NetworkCardIndex"`
	_           string                `q:"Ipv6AddressCount Ipv6Addresses SecondaryPrivateIpAddressCount AssociateCarrierIpAddress Ipv4Prefix Ipv4PrefixCount Ipv6Prefix Ipv6PrefixCount PrimaryIpv6 EnaSrdSpecification ConnectionTrackingSpecification EnaQueueCount,unsupported"`
}

type placementInput struct {
	Zone    string `q:"AvailabilityZone"`
	ZoneID  string `q:"AvailabilityZoneId"`
	Tenancy string `q:"Tenancy"`
	_       string `q:"Affinity GroupName PartitionNumber HostId SpreadDomain HostResourceGroupArn GroupId,unsupported"`
}

type metadataInput struct {
	Tokens   string `q:"HttpTokens"`
	HopLimit *int   `q:"HttpPutResponseHopLimit"`
	Endpoint string `q:"HttpEndpoint"`
	IPv6     string `q:"HttpProtocolIpv6"`
	Tags     string `q:"InstanceMetadataTags"`
}

type enabledInput struct {
	Enabled bool `q:"Enabled"`
}

type configuredInput struct {
	Configured bool `q:"Configured"`
}

type creditInput struct {
	Credits string `q:"CpuCredits"`
}

type maintenanceInput struct {
	Recovery string `q:"AutoRecovery"`
}

type runInstances struct {
	tagSpecs
	Devices      []blockDevice    `q:"BlockDeviceMapping"`
	Image        string           `q:"ImageId"`
	Type         string           `q:"InstanceType"`
	Key          string           `q:"KeyName"`
	Max          *int             `q:"MaxCount,required"`
	Min          *int             `q:"MinCount,required"`
	Monitoring   enabledInput     `q:"Monitoring"`
	Placement    placementInput   `q:"Placement"`
	Groups       []string         `q:"SecurityGroupId"`
	GroupNames   []string         `q:"SecurityGroup"`
	Subnet       string           `q:"SubnetId"`
	UserData     string           `q:"UserData"`
	Credits      *creditInput     `q:"CreditSpecification"`
	Hibernation  configuredInput  `q:"HibernationOptions"`
	Metadata     metadataInput    `q:"MetadataOptions"`
	Enclave      enabledInput     `q:"EnclaveOptions"`
	Maintenance  maintenanceInput `q:"MaintenanceOptions"`
	ProtectStop  bool             `q:"DisableApiStop"`
	ProtectEnd   bool             `q:"DisableApiTermination"`
	Shutdown     string           `q:"InstanceInitiatedShutdownBehavior"`
	Address      string           `q:"PrivateIpAddress"`
	Token        string           `q:"ClientToken"`
	NICs         []nicInput       `q:"NetworkInterface"`
	EBSOptimized bool             `q:"EbsOptimized"`
	_            string           `q:"Ipv6AddressCount Ipv6Address KernelId RamdiskId ElasticGpuSpecification ElasticInferenceAccelerator LaunchTemplate InstanceMarketOptions CpuOptions CapacityReservationSpecification LicenseSpecification PrivateDnsNameOptions EnablePrimaryIpv6 NetworkPerformanceOptions Operator SecondaryInterface AdditionalInfo IamInstanceProfile,unsupported"`
}

// nicPlan is one interface that a launch makes or takes.
type nicPlan struct {
	existing    *netInterface
	subnet      *subnet
	groups      []string
	wanted      string // address
	description string
	device      int
	delete      bool
	public      bool
}

// launch is a checked request to run instances.
type launch struct {
	in         *runInstances
	image      image
	machine    InstanceType
	key        *keyPair
	userData   []byte
	nics       []nicPlan
	volumes    []volume
	metadata   metadataOptions
	count      int
	tags       tags
	nicTags    tags
	volumeTags tags
}

type runAnswer struct {
	meta
	reservationView
}

func (c *call) runInstances(in *runInstances) (*runAnswer, error) {
	if before, err := c.repeated(in.Token); err != nil {
		return nil, err
	} else if before != nil {
		return c.reservation(before)
	}
	l, err := c.planLaunch(in)
	if err != nil {
		return nil, err
	}
	addresses, err := c.planAddresses(l)
	if err != nil {
		return nil, err
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	publics, err := c.takePublics(l)
	if err != nil {
		return nil, err
	}
	reservation := newID(kindReservation.prefix)
	var ids []string
	for n := range l.count {
		i := c.addInstance(l, reservation, n)
		c.addNICs(l, i, addresses[n], &publics)
		c.addVolumes(l, i)
		ids = append(ids, i.ID)
	}
	c.remember(in.Token, ids...)
	c.bootAll(ids)
	return c.reservation(ids)
}

// bootAll boots instances once the request is answered for.
func (c *call) bootAll(ids []string) {
	name := c.region.Name
	c.then = append(c.then, func() {
		for _, id := range ids {
			c.work.Start(func() { c.boot(name, id) })
		}
	})
}

// reservation shows the instances of one launch.
func (c *call) reservation(ids []string) (*runAnswer, error) {
	var list []*instance
	for _, id := range ids {
		i := c.region.Instances[id]
		if i == nil {
			return nil, kindInstance.missing(id)
		}
		list = append(list, i)
	}
	return &runAnswer{reservationView: c.reservationViews(list)[0]}, nil
}

// planLaunch checks all of a request that doesn't depend on free addresses.
func (c *call) planLaunch(in *runInstances) (*launch, error) {
	l := &launch{in: in}
	for _, check := range []func(*launch) error{c.planCount, c.planImage, c.planOptions, c.planNICs, c.planOffer, c.planVolumes} {
		if err := check(l); err != nil {
			return nil, err
		}
	}
	var err error
	if l.tags, err = in.of(kindInstance, kindVolume, kindInterface); err != nil {
		return nil, err
	}
	if l.volumeTags, err = in.of(kindVolume, kindInstance, kindInterface); err != nil {
		return nil, err
	}
	l.nicTags, err = in.of(kindInterface, kindInstance, kindVolume)
	return l, err
}

const maxLaunch = 1000

func (c *call) planCount(l *launch) error {
	least, most := *l.in.Min, *l.in.Max
	switch {
	case least < 1:
		return invalidValue(least, "minCount", "Minimum count must be at least 1.")
	case most < least:
		return apiErrorf("InvalidParameterCombination", "maxCount %d is less than minCount %d", most, least)
	case most > maxLaunch:
		return apiErrorf("InstanceLimitExceeded", "You may not request more than %d instances at once", maxLaunch)
	}
	l.count = most
	return nil
}

func (c *call) planImage(l *launch) error {
	if l.in.Image == "" {
		return missingParameter("ImageId")
	}
	img, ok := c.images.find(c.region.Name, l.in.Image)
	if !ok {
		return kindImage.missing(l.in.Image)
	}
	name := l.in.Type
	if name == "" {
		name = "m1.small" // EC2's default since 2006
	}
	t, ok := c.cfg.Catalogue.Types[name]
	if !ok {
		return apiErrorf("InvalidParameterValue", "Invalid value '%s' for InstanceType.", name)
	}
	if archName(t.Arch) != img.Arch {
		return apiErrorf("InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI. "+
			"Specify an instance type and an AMI that have matching architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the architecture of the instance type or AMI.",
			archName(t.Arch), img.Arch)
	}
	l.image, l.machine = img, t
	return nil
}

const maxUserData = 16384

// planOptions checks the key, the user data and the smaller options.
func (c *call) planOptions(l *launch) error {
	in := l.in
	if in.Key != "" {
		for _, k := range c.region.KeyPairs {
			if k.Name == in.Key {
				l.key = k
			}
		}
		if l.key == nil {
			return apiErrorf("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", in.Key)
		}
	}
	var err error
	if l.userData, err = decodeUserData(in.UserData); err != nil {
		return err
	}
	if l.metadata, err = metadataDefaults(l.image).changed(in.Metadata); err != nil {
		return err
	}
	if in.Credits != nil {
		if !l.machine.Burstable {
			return apiErrorf("InvalidParameterCombination", "The CreditSpecification parameter is only applicable to burstable instance types, not %s", l.machine.Name)
		}
		if in.Credits.Credits != "standard" && in.Credits.Credits != "unlimited" {
			return invalidValue(in.Credits.Credits, "cpuCredits", "Expected: standard or unlimited")
		}
	}
	switch {
	case in.Shutdown != "" && in.Shutdown != "stop" && in.Shutdown != "terminate":
		return invalidValue(in.Shutdown, "instanceInitiatedShutdownBehavior", "Expected: stop or terminate")
	case in.Hibernation.Configured:
		return apiErrorf("UnsupportedOperation", "Hibernation is not supported here")
	case in.Enclave.Enabled:
		return apiErrorf("UnsupportedOperation", "Nitro Enclaves are not supported here")
	case in.Placement.Tenancy != "" && in.Placement.Tenancy != "default":
		return apiErrorf("UnsupportedOperation", "The tenancy %s is not supported here", in.Placement.Tenancy)
	case in.Maintenance.Recovery != "" && in.Maintenance.Recovery != "default" && in.Maintenance.Recovery != "disabled":
		return invalidValue(in.Maintenance.Recovery, "autoRecovery", "Expected: default or disabled")
	}
	return nil
}

func decodeUserData(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, apiErrorf("InvalidParameterValue", "Invalid BASE64 encoding of user data.")
	}
	if len(data) > maxUserData {
		return nil, apiErrorf("InvalidParameterValue", "User data is limited to %d bytes", maxUserData)
	}
	return data, nil
}

// planOffer checks that the zone has the type, and the account's limit of virtual processors.
func (c *call) planOffer(l *launch) error {
	zone, _ := c.where.zone(l.nics[0].subnet.Zone)
	if !c.cfg.Catalogue.Offered(zone.ID, l.machine.Name) {
		var others []string
		for _, z := range c.where.Zones {
			if c.cfg.Catalogue.Offered(z.ID, l.machine.Name) {
				others = append(others, z.Name)
			}
		}
		if len(others) == 0 {
			return apiErrorf("Unsupported", "The requested configuration is currently not supported. Please check the documentation for supported configurations.")
		}
		return apiErrorf("Unsupported", "Your requested instance type (%s) is not supported in your requested Availability Zone (%s). Please retry your request by not specifying an Availability Zone or choosing %s.",
			l.machine.Name, zone.Name, strings.Join(others, ", "))
	}
	used := 0
	for _, i := range c.region.Instances {
		if active(i) && family(i.Type) == family(l.machine.Name) {
			used += c.cfg.Catalogue.Types[i.Type].VCPUs
		}
	}
	l.count = min(l.count, max(0, c.cfg.Limits.VCPUs-used)/l.machine.VCPUs)
	if l.count < *l.in.Min {
		return apiErrorf("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %d allows for the instance bucket that the specified instance type belongs to. "+
			"Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.", c.cfg.Limits.VCPUs)
	}
	return nil
}

// active instances count against the limit.
func active(i *instance) bool { return i.State == pending || i.State == running }

// family is the group of instance types that share a limit: the standard ones together, each other one by its letters.
func family(instanceType string) string {
	letters := instanceType[:max(0, strings.IndexAny(instanceType, "0123456789"))]
	if len(letters) == 1 && strings.Contains("acdhimrtz", letters) || letters == "im" || letters == "is" {
		return "standard"
	}
	return letters
}

// planVolumes lists the volumes of each instance: the image's root, changed and added to by the request.
func (c *call) planVolumes(l *launch) error {
	root := volume{Device: l.image.RootDevice, Type: "gp3", Size: l.image.RootSize, IOPS: 3000, Throughput: 125, Snapshot: l.image.Snapshot,
		DeleteOnTermination: true}
	l.volumes = []volume{root}
	for at, d := range l.in.Devices {
		if d.Device == "" {
			return missingParameter("BlockDeviceMapping." + itoa(at+1) + ".DeviceName")
		}
		if slices.ContainsFunc(l.in.Devices[:at], func(o blockDevice) bool { return o.Device == d.Device }) {
			return apiErrorf("InvalidBlockDeviceMapping", "The device '%s' is used in more than one block-device mapping", d.Device)
		}
		if d.None != nil {
			continue
		}
		if d.EBS == nil {
			return missingParameter("BlockDeviceMapping." + itoa(at+1) + ".Ebs")
		}
		v := volume{Device: d.Device, DeleteOnTermination: true}
		if d.Device == root.Device {
			v = root
		}
		if err := v.shape(d.EBS, v.Size); err != nil {
			return err
		}
		if d.Device == root.Device {
			l.volumes[0] = v
		} else {
			l.volumes = append(l.volumes, v)
		}
	}
	return nil
}

// planAddresses picks each instance's private addresses, for as many instances as there are free ones.
func (c *call) planAddresses(l *launch) ([][]netip.Addr, error) {
	claimed := map[netip.Addr]bool{}
	var all [][]netip.Addr
	for n := range l.count {
		var addrs []netip.Addr
		for _, p := range l.nics {
			if p.existing != nil {
				addrs = append(addrs, p.existing.Address)
				continue
			}
			a, err := c.region.pickAddress(p.subnet, p.wanted, claimed)
			if err != nil {
				if n >= *l.in.Min {
					l.count = n
					return all, nil
				}
				return nil, err
			}
			claimed[a] = true
			addrs = append(addrs, a)
		}
		all = append(all, addrs)
	}
	return all, nil
}

// takePublics takes the public addresses of all instances, or none.
func (c *call) takePublics(l *launch) ([]netip.Addr, error) {
	var taken []netip.Addr
	for range l.count {
		for _, p := range l.nics {
			if !p.public {
				continue
			}
			a, err := c.takePublic(c.region.Name)
			if err != nil {
				for _, t := range taken {
					c.cfg.Pools(c.region.Name).Put(t)
				}
				return nil, err
			}
			taken = append(taken, a)
		}
	}
	return taken, nil
}

func (c *call) addInstance(l *launch, reservation string, index int) *instance {
	s := l.nics[0].subnet
	i := &instance{ID: newID(kindInstance.prefix), Reservation: reservation, Image: l.image.ID, Type: l.machine.Name, Arch: archName(l.machine.Arch),
		VPC: s.VPC, Subnet: s.ID, Zone: s.Zone, UserData: l.userData, LaunchIndex: index, ClientToken: l.in.Token, State: pending, Launched: c.now,
		Tenancy: "default", Metadata: l.metadata, ProtectedTermination: l.in.ProtectEnd, ProtectedStop: l.in.ProtectStop,
		ShutdownBehavior: l.in.Shutdown, EBSOptimized: l.in.EBSOptimized, Monitoring: l.in.Monitoring.Enabled, RootDevice: l.image.RootDevice}
	if i.ShutdownBehavior == "" {
		i.ShutdownBehavior = "stop"
	}
	if l.key != nil {
		i.Key, i.KeyMaterial = l.key.Name, l.key.PublicKey
	}
	if l.machine.Burstable {
		i.Credits = "unlimited" // EC2's default, except for the oldest family
		if strings.HasPrefix(i.Type, "t2.") {
			i.Credits = "standard"
		}
		if l.in.Credits != nil {
			i.Credits = l.in.Credits.Credits
		}
	}
	c.region.Instances[i.ID] = i
	own := tags{}
	for k, v := range l.tags {
		own[k] = v
	}
	c.region.setTags(i.ID, own)
	return i
}

func (c *call) addNICs(l *launch, i *instance, addrs []netip.Addr, publics *[]netip.Addr) {
	for at, p := range l.nics {
		n := p.existing
		if n == nil {
			n = c.region.addInterface(p.subnet, addrs[at], p.groups, p.description)
			own := tags{}
			for k, v := range l.nicTags {
				own[k] = v
			}
			c.region.setTags(n.ID, own)
		}
		if p.public {
			n.AutoPublic, n.Public = true, (*publics)[0]
			*publics = (*publics)[1:]
		}
		n.Attachment = &attachment{ID: newID("eni-attach-"), Instance: i.ID, Device: p.device, DeleteOnTermination: p.delete, At: c.now}
		if p.device == 0 {
			i.Address = n.Address
		}
	}
}

func (c *call) addVolumes(l *launch, i *instance) {
	for _, v := range l.volumes {
		v.ID, v.Zone, v.Created, v.AttachedAt, v.Instance = newID(kindVolume.prefix), i.Zone, c.now, c.now, i.ID
		c.region.Volumes[v.ID] = &v
		own := tags{}
		for k, val := range l.volumeTags {
			own[k] = val
		}
		c.region.setTags(v.ID, own)
	}
}
