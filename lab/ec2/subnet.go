package ec2

import "net/netip"

// addSubnet gives a subnet its id and its place in its VPC.
func (r *region) addSubnet(s *subnet) {
	s.ID = newID(kindSubnet.prefix)
	r.Subnets[s.ID] = s
	r.VPCs[s.VPC].ACLAssociations[s.ID] = newID("aclassoc-")
}

type createSubnet struct {
	tagSpecs
	VPC    string `q:"VpcId,required"`
	CIDR   string `q:"CidrBlock"`
	Zone   string `q:"AvailabilityZone"`
	ZoneID string `q:"AvailabilityZoneId"`
	_      string `q:"Ipv6CidrBlock OutpostArn Ipv6Native Ipv4IpamPoolId Ipv4NetmaskLength Ipv6IpamPoolId Ipv6NetmaskLength,unsupported"`
}

type dnsOptions struct {
	HostnameType string `xml:"hostnameType"`
	A            bool   `xml:"enableResourceNameDnsARecord"`
	AAAA         bool   `xml:"enableResourceNameDnsAAAARecord"`
}

type subnetView struct {
	ID           string               `xml:"subnetId"`
	ARN          string               `xml:"subnetArn"`
	State        string               `xml:"state"`
	Owner        string               `xml:"ownerId"`
	VPC          string               `xml:"vpcId"`
	CIDR         string               `xml:"cidrBlock"`
	IPv6         set[cidrAssociation] `xml:"ipv6CidrBlockAssociationSet"`
	Free         int                  `xml:"availableIpAddressCount"`
	Zone         string               `xml:"availabilityZone"`
	ZoneID       string               `xml:"availabilityZoneId"`
	DefaultForAZ bool                 `xml:"defaultForAz"`
	MapPublic    bool                 `xml:"mapPublicIpOnLaunch"`
	MapCustomer  bool                 `xml:"mapCustomerOwnedIpOnLaunch"`
	AssignIPv6   bool                 `xml:"assignIpv6AddressOnCreation"`
	DNS64        bool                 `xml:"enableDns64"`
	IPv6Native   bool                 `xml:"ipv6Native"`
	DNS          dnsOptions           `xml:"privateDnsNameOptionsOnLaunch"`
	Tags         set[tagPair]         `xml:"tagSet"`
}

func (c *call) subnetView(s *subnet) subnetView {
	return subnetView{ID: s.ID, ARN: c.arn("subnet/" + s.ID), State: "available", Owner: c.cfg.AccountID, VPC: s.VPC, CIDR: s.CIDR,
		Free: c.region.freeAddresses(s), Zone: s.Zone, ZoneID: c.zoneID(s.Zone), DefaultForAZ: s.DefaultForAZ, MapPublic: s.MapPublic,
		DNS: dnsOptions{HostnameType: "ip-name"}, Tags: c.region.Tags[s.ID].view()}
}

func (c *call) arn(resource string) string {
	return "arn:aws:ec2:" + c.region.Name + ":" + c.cfg.AccountID + ":" + resource
}

func (c *call) zoneID(name string) string {
	z, _ := c.where.zone(name)
	return z.ID
}

type subnetAnswer struct {
	meta
	Subnet subnetView `xml:"subnet"`
}

const maxSubnets = 200 // of a VPC, EC2's default

func (c *call) createSubnet(in *createSubnet) (*subnetAnswer, error) {
	v, err := get(kindVPC, c.region.VPCs, in.VPC)
	if err != nil {
		return nil, err
	}
	if in.CIDR == "" {
		return nil, missingParameter("cidrBlock")
	}
	cidr, err := parseCIDR(in.CIDR, "cidrBlock")
	if err != nil {
		return nil, err
	}
	whole := mustPrefix(v.CIDR)
	if cidr.Bits() < 16 || cidr.Bits() > 28 || cidr.Bits() < whole.Bits() || !whole.Contains(cidr.Addr()) {
		return nil, apiErrorf("InvalidSubnet.Range", "The CIDR '%s' is invalid.", in.CIDR)
	}
	count := 0
	for _, s := range c.region.Subnets {
		if s.VPC != v.ID {
			continue
		}
		if count++; mustPrefix(s.CIDR).Overlaps(cidr) {
			return nil, apiErrorf("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", in.CIDR)
		}
	}
	if count >= maxSubnets {
		return nil, apiErrorf("SubnetLimitExceeded", "The maximum number of subnets has been reached.")
	}
	zone, err := c.pickZone(in.Zone, in.ZoneID)
	if err != nil {
		return nil, err
	}
	set, err := in.of(kindSubnet)
	if err != nil {
		return nil, err
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	s := &subnet{VPC: v.ID, CIDR: cidr.String(), Zone: zone}
	c.region.addSubnet(s)
	c.region.setTags(s.ID, set)
	return &subnetAnswer{Subnet: c.subnetView(s)}, nil
}

// pickZone resolves a zone by name or id; without either it takes the region's first.
func (c *call) pickZone(name, id string) (string, error) {
	if name != "" && id != "" {
		return "", apiErrorf("InvalidParameterCombination", "You cannot specify both availabilityZone and availabilityZoneId")
	}
	if name == "" && id == "" {
		return c.where.Zones[0].Name, nil
	}
	for _, z := range c.where.Zones {
		if z.Name == name || z.ID == id {
			return z.Name, nil
		}
	}
	if id != "" {
		return "", invalidValue(id, "availabilityZoneId", "Subnets can currently only be created in the following availability zones: "+c.zoneNames()+".")
	}
	return "", invalidValue(name, "availabilityZone", "Subnets can currently only be created in the following availability zones: "+c.zoneNames()+".")
}

func (c *call) zoneNames() string {
	list := ""
	for i, z := range c.where.Zones {
		if i > 0 {
			list += ", "
		}
		list += z.Name
	}
	return list
}

type subnetInput struct {
	ID string `q:"SubnetId,required"`
}

func (c *call) deleteSubnet(in *subnetInput) (*doneAnswer, error) {
	s, err := get(kindSubnet, c.region.Subnets, in.ID)
	if err != nil {
		return nil, err
	}
	for _, n := range c.region.Interfaces {
		if n.Subnet == s.ID {
			return nil, dependencyViolation("subnet", s.ID)
		}
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	for _, t := range c.region.RouteTables {
		for id, of := range t.Associations {
			if of == s.ID {
				delete(t.Associations, id)
			}
		}
	}
	delete(c.region.VPCs[s.VPC].ACLAssociations, s.ID)
	delete(c.region.Subnets, s.ID)
	delete(c.region.Tags, s.ID)
	return done()
}

type describeSubnets struct {
	describe
	IDs []string `q:"SubnetId"`
}

type describeSubnetsAnswer struct {
	meta
	Subnets set[subnetView] `xml:"subnetSet"`
	Next    string          `xml:"nextToken,omitempty"`
}

func (c *call) describeSubnets(in *describeSubnets) (*describeSubnetsAnswer, error) {
	zone := func(s *subnet) []string { return one(s.Zone) }
	zoneID := func(s *subnet) []string { return one(c.zoneID(s.Zone)) }
	cidr := func(s *subnet) []string { return one(s.CIDR) }
	isDefault := func(s *subnet) []string { return yesNo(s.DefaultForAZ) }
	no := func(*subnet) []string { return yesNo(false) }
	none := func(*subnet) []string { return nil }
	list, next, err := search[*subnet]{kindSubnet, c.region.Subnets, in.IDs, in.Filters, fields[*subnet]{
		"availability-zone": zone, "availabilityZone": zone, "availability-zone-id": zoneID, "availabilityZoneId": zoneID,
		"available-ip-address-count": func(s *subnet) []string { return one(itoa(c.region.freeAddresses(s))) },
		"cidr-block":                 cidr, "cidr": cidr, "cidrBlock": cidr, "default-for-az": isDefault, "defaultForAz": isDefault,
		"enable-dns64": no, "ipv6-native": no, "map-customer-owned-ip-on-launch": no,
		"ipv6-cidr-block-association.ipv6-cidr-block": none, "ipv6-cidr-block-association.association-id": none, "outpost-arn": none,
		"map-public-ip-on-launch": func(s *subnet) []string { return yesNo(s.MapPublic) },
		"owner-id":                func(*subnet) []string { return one(c.cfg.AccountID) },
		"state":                   func(*subnet) []string { return one("available") },
		"subnet-arn":              func(s *subnet) []string { return one(c.arn("subnet/" + s.ID)) },
		"subnet-id":               func(s *subnet) []string { return one(s.ID) },
		"vpc-id":                  func(s *subnet) []string { return one(s.VPC) },
	}, func(s *subnet) tags { return c.region.Tags[s.ID] }}.page(in.paging, func(s *subnet) string { return s.ID })
	return &describeSubnetsAnswer{Subnets: views(list, c.subnetView), Next: next}, err
}

type modifySubnet struct {
	ID        string     `q:"SubnetId,required"`
	MapPublic *boolValue `q:"MapPublicIpOnLaunch"`
	_         string     `q:"AssignIpv6AddressOnCreation MapCustomerOwnedIpOnLaunch CustomerOwnedIpv4Pool EnableDns64 PrivateDnsHostnameTypeOnLaunch EnableResourceNameDnsARecordOnLaunch EnableResourceNameDnsAAAARecordOnLaunch EnableLniAtDeviceIndex DisableLniAtDeviceIndex,unsupported"`
}

func (c *call) modifySubnet(in *modifySubnet) (*doneAnswer, error) {
	s, err := get(kindSubnet, c.region.Subnets, in.ID)
	if err != nil {
		return nil, err
	}
	if in.MapPublic == nil {
		return nil, apiErrorf("InvalidParameterCombination", "No attributes specified.")
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	s.MapPublic = in.MapPublic.Value
	return done()
}

// reserved says whether EC2 keeps an address of a subnet for itself: the first four and the last.
func (s *subnet) reserved(a netip.Addr) bool {
	p := mustPrefix(s.CIDR)
	for i := range 4 {
		if a == addrAt(p, i) {
			return true
		}
	}
	return a == lastAddr(p)
}

// taken are the addresses of a subnet that interfaces have.
func (r *region) taken(s *subnet) map[netip.Addr]bool {
	used := map[netip.Addr]bool{}
	for _, n := range r.Interfaces {
		if n.Subnet == s.ID {
			used[n.Address] = true
		}
	}
	return used
}

func (r *region) freeAddresses(s *subnet) int {
	return 1<<(32-mustPrefix(s.CIDR).Bits()) - 5 - len(r.taken(s))
}

// pickAddress returns the wanted address of a subnet if it is free, or the lowest free one. Those in claimed are not.
func (r *region) pickAddress(s *subnet, wanted string, claimed map[netip.Addr]bool) (netip.Addr, error) {
	used, p := r.taken(s), mustPrefix(s.CIDR)
	if wanted != "" {
		a, err := netip.ParseAddr(wanted)
		switch {
		case err != nil || !a.Is4():
			return a, invalidValue(wanted, "privateIpAddress", "This is not a valid IP address.")
		case !p.Contains(a):
			return a, apiErrorf("InvalidParameterValue", "Address does not fall within the subnet's address range")
		case s.reserved(a):
			return a, apiErrorf("InvalidParameterValue", "Address is in subnet's reserved address range")
		case used[a] || claimed[a]:
			return a, apiErrorf("InvalidIPAddress.InUse", "Address %s is in use.", a)
		}
		return a, nil
	}
	for a, last := addrAt(p, 4), lastAddr(p); a != last; a = a.Next() {
		if !used[a] && !claimed[a] {
			return a, nil
		}
	}
	return netip.Addr{}, apiErrorf("InsufficientFreeAddressesInSubnet",
		"There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", s.ID)
}
