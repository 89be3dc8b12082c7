package ec2

import (
	"net/netip"
	"strconv"
)

// addDefaults makes what an account finds in a region it has never used: a default VPC with a subnet in each zone that
// reaches the internet.
func (r *region) addDefaults(where Region) {
	r.DHCPOptions = newID(kindDHCP.prefix)
	r.addDefaultVPC(where)
}

func (r *region) addDefaultVPC(where Region) *vpc {
	v := r.addVPC("172.31.0.0/16", "default")
	v.Default, v.DNSHostnames = true, true
	g := &gateway{ID: newID(kindGateway.prefix), VPC: v.ID}
	r.Gateways[g.ID] = g
	table := r.mainTable(v.ID)
	table.Routes = append(table.Routes, route{Destination: "0.0.0.0/0", Gateway: g.ID})
	for i, z := range where.Zones {
		r.addSubnet(&subnet{VPC: v.ID, CIDR: netip.PrefixFrom(addrAt(mustPrefix(v.CIDR), i<<12), 20).String(), Zone: z.Name,
			DefaultForAZ: true, MapPublic: true})
	}
	return v
}

// addVPC makes a VPC with the parts that EC2 makes with every VPC.
func (r *region) addVPC(cidr, tenancy string) *vpc {
	v := &vpc{ID: newID(kindVPC.prefix), CIDR: cidr, DHCPOptions: r.DHCPOptions, DNSSupport: true, Tenancy: tenancy,
		CIDRAssociation: newID("vpc-cidr-assoc-"), ACL: newID(kindACL.prefix), ACLAssociations: map[string]string{}}
	r.VPCs[v.ID] = v
	t := &routeTable{ID: newID(kindRouteTable.prefix), VPC: v.ID, Main: newID("rtbassoc-"), Associations: map[string]string{}}
	r.RouteTables[t.ID] = t
	g := &group{ID: newID(kindGroup.prefix), Name: "default", Description: "default VPC security group", VPC: v.ID}
	g.Rules = []groupRule{
		{ID: newID(kindGroupRule.prefix), Protocol: "-1", From: -1, To: -1, Group: g.ID},
		{ID: newID(kindGroupRule.prefix), Egress: true, Protocol: "-1", From: -1, To: -1, CIDR4: "0.0.0.0/0"},
	}
	r.Groups[g.ID] = g
	return v
}

type createVPC struct {
	tagSpecs
	CIDR    string `q:"CidrBlock"`
	Tenancy string `q:"InstanceTenancy"`
	IPv6    *bool  `q:"AmazonProvidedIpv6CidrBlock"`
	_       string `q:"Ipv6Pool Ipv6CidrBlock Ipv4IpamPoolId Ipv4NetmaskLength Ipv6IpamPoolId Ipv6NetmaskLength Ipv6CidrBlockNetworkBorderGroup VpcEncryptionControl,unsupported"`
}

type cidrState struct {
	State string `xml:"state"`
}

type cidrAssociation struct {
	ID    string    `xml:"associationId"`
	CIDR  string    `xml:"cidrBlock"`
	State cidrState `xml:"cidrBlockState"`
}

type vpcView struct {
	ID           string               `xml:"vpcId"`
	Owner        string               `xml:"ownerId"`
	State        string               `xml:"state"`
	CIDR         string               `xml:"cidrBlock"`
	Associations set[cidrAssociation] `xml:"cidrBlockAssociationSet"`
	IPv6         set[cidrAssociation] `xml:"ipv6CidrBlockAssociationSet"`
	DHCPOptions  string               `xml:"dhcpOptionsId"`
	Tags         set[tagPair]         `xml:"tagSet"`
	Tenancy      string               `xml:"instanceTenancy"`
	Default      bool                 `xml:"isDefault"`
}

func (c *call) vpcView(v *vpc) vpcView {
	return vpcView{ID: v.ID, Owner: c.cfg.AccountID, State: "available", CIDR: v.CIDR, DHCPOptions: v.DHCPOptions,
		Associations: setOf([]cidrAssociation{{v.CIDRAssociation, v.CIDR, cidrState{"associated"}}}),
		Tags:         c.region.Tags[v.ID].view(), Tenancy: v.Tenancy, Default: v.Default}
}

type vpcAnswer struct {
	meta
	VPC vpcView `xml:"vpc"`
}

func (c *call) createVPC(in *createVPC) (*vpcAnswer, error) {
	if in.CIDR == "" {
		return nil, missingParameter("cidrBlock")
	}
	cidr, err := parseCIDR(in.CIDR, "cidrBlock")
	if err != nil {
		return nil, err
	}
	if cidr.Bits() < 16 || cidr.Bits() > 28 || !usable(cidr) {
		return nil, apiErrorf("InvalidVpc.Range", "The CIDR '%s' is invalid.", in.CIDR)
	}
	if deref(in.IPv6) {
		return nil, apiErrorf("UnsupportedOperation", "The parameter AmazonProvidedIpv6CidrBlock is not supported here")
	}
	tenancy := in.Tenancy
	switch tenancy {
	case "":
		tenancy = "default"
	case "default", "dedicated":
	default:
		return nil, invalidValue(tenancy, "instanceTenancy", "Expected: default or dedicated")
	}
	set, err := in.of(kindVPC)
	if err != nil {
		return nil, err
	}
	if len(c.region.VPCs) >= c.cfg.Limits.VPCs {
		return nil, apiErrorf("VpcLimitExceeded", "The maximum number of VPCs has been reached.")
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	v := c.region.addVPC(cidr.String(), tenancy)
	c.region.setTags(v.ID, set)
	view := c.vpcView(v)
	view.State = "pending"
	return &vpcAnswer{VPC: view}, nil
}

// usable leaves out ranges that no VPC may have: this host, loopback, link-local, multicast and above.
func usable(p netip.Prefix) bool {
	a := p.Addr()
	return a.As4()[0] != 0 && !a.IsLoopback() && !a.IsLinkLocalUnicast() && a.As4()[0] < 224
}

type noInput struct{}

func (c *call) createDefaultVPC(*noInput) (*vpcAnswer, error) {
	if v := c.region.defaultVPC(); v != nil {
		return nil, apiErrorf("DefaultVpcAlreadyExists", "A Default VPC already exists for this account in this region.")
	}
	if len(c.region.VPCs) >= c.cfg.Limits.VPCs {
		return nil, apiErrorf("VpcLimitExceeded", "The maximum number of VPCs has been reached.")
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	return &vpcAnswer{VPC: c.vpcView(c.region.addDefaultVPC(c.where))}, nil
}

type vpcInput struct {
	ID string `q:"VpcId,required"`
}

// deleteVPC refuses while anything but the VPC's own parts is in it.
func (c *call) deleteVPC(in *vpcInput) (*doneAnswer, error) {
	r := c.region
	v, err := get(kindVPC, r.VPCs, in.ID)
	if err != nil {
		return nil, err
	}
	used := r.gatewayOf(v.ID) != nil
	for _, s := range r.Subnets {
		used = used || s.VPC == v.ID
	}
	for _, n := range r.Interfaces {
		used = used || n.VPC == v.ID
	}
	for _, t := range r.RouteTables {
		used = used || t.VPC == v.ID && t.Main == ""
	}
	for _, g := range r.Groups {
		used = used || g.VPC == v.ID && g.Name != "default"
	}
	if used {
		return nil, dependencyViolation("vpc", v.ID)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	for _, gone := range []string{v.ID, v.ACL, r.mainTable(v.ID).ID, r.defaultGroup(v.ID).ID} {
		delete(r.Tags, gone)
	}
	for _, rule := range r.defaultGroup(v.ID).Rules {
		delete(r.Tags, rule.ID)
	}
	delete(r.Groups, r.defaultGroup(v.ID).ID)
	delete(r.RouteTables, r.mainTable(v.ID).ID)
	delete(r.VPCs, v.ID)
	return done()
}

type describeVPCs struct {
	describe
	IDs []string `q:"VpcId"`
}

type describeVPCsAnswer struct {
	meta
	VPCs set[vpcView] `xml:"vpcSet"`
	Next string       `xml:"nextToken,omitempty"`
}

func (c *call) describeVPCs(in *describeVPCs) (*describeVPCsAnswer, error) {
	isDefault := func(v *vpc) []string { return yesNo(v.Default) }
	cidr := func(v *vpc) []string { return one(v.CIDR) }
	none := func(*vpc) []string { return nil }
	list, next, err := search[*vpc]{kindVPC, c.region.VPCs, in.IDs, in.Filters, fields[*vpc]{
		"cidr": cidr, "cidr-block": cidr, "cidrBlock": cidr, "cidr-block-association.cidr-block": cidr,
		"cidr-block-association.association-id": func(v *vpc) []string { return one(v.CIDRAssociation) },
		"cidr-block-association.state":          func(*vpc) []string { return one("associated") },
		"dhcp-options-id":                       func(v *vpc) []string { return one(v.DHCPOptions) },
		"is-default":                            isDefault, "isDefault": isDefault,
		"owner-id": func(*vpc) []string { return one(c.cfg.AccountID) },
		"state":    func(*vpc) []string { return one("available") },
		"vpc-id":   func(v *vpc) []string { return one(v.ID) },
		"ipv6-cidr-block-association.ipv6-cidr-block": none, "ipv6-cidr-block-association.association-id": none,
		"ipv6-cidr-block-association.ipv6-pool": none, "ipv6-cidr-block-association.state": none,
	}, func(v *vpc) tags { return c.region.Tags[v.ID] }}.page(in.paging, func(v *vpc) string { return v.ID })
	return &describeVPCsAnswer{VPCs: views(list, c.vpcView), Next: next}, err
}

// boolValue is the form in which EC2 takes and gives attributes.
type boolValue struct {
	Value bool `q:"Value" xml:"value"`
}

type stringValue struct {
	Value string `q:"Value" xml:"value"`
}

type modifyVPC struct {
	ID        string     `q:"VpcId,required"`
	Hostnames *boolValue `q:"EnableDnsHostnames"`
	Support   *boolValue `q:"EnableDnsSupport"`
	Metrics   *boolValue `q:"EnableNetworkAddressUsageMetrics"`
}

func (c *call) modifyVPC(in *modifyVPC) (*doneAnswer, error) {
	v, err := get(kindVPC, c.region.VPCs, in.ID)
	if err != nil {
		return nil, err
	}
	given := 0
	for _, b := range []*boolValue{in.Hostnames, in.Support, in.Metrics} {
		if b != nil {
			given++
		}
	}
	if given != 1 {
		return nil, apiErrorf("InvalidParameterCombination", "Exactly one attribute must be specified, not %s", strconv.Itoa(given))
	}
	if in.Hostnames != nil && in.Hostnames.Value && !v.DNSSupport {
		return nil, apiErrorf("InvalidParameterValue", "enableDnsHostnames can't be true while enableDnsSupport is false")
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	switch {
	case in.Hostnames != nil:
		v.DNSHostnames = in.Hostnames.Value
	case in.Support != nil:
		v.DNSSupport = in.Support.Value
	default:
		v.AddressMetrics = in.Metrics.Value
	}
	return done()
}

type describeVPCAttribute struct {
	ID        string `q:"VpcId,required"`
	Attribute string `q:"Attribute,required"`
}

type vpcAttributeAnswer struct {
	meta
	ID        string     `xml:"vpcId"`
	Support   *boolValue `xml:"enableDnsSupport"`
	Hostnames *boolValue `xml:"enableDnsHostnames"`
	Metrics   *boolValue `xml:"enableNetworkAddressUsageMetrics"`
}

func (c *call) describeVPCAttribute(in *describeVPCAttribute) (*vpcAttributeAnswer, error) {
	v, err := get(kindVPC, c.region.VPCs, in.ID)
	if err != nil {
		return nil, err
	}
	out := &vpcAttributeAnswer{ID: v.ID}
	switch in.Attribute {
	case "enableDnsSupport":
		out.Support = &boolValue{v.DNSSupport}
	case "enableDnsHostnames":
		out.Hostnames = &boolValue{v.DNSHostnames}
	case "enableNetworkAddressUsageMetrics":
		out.Metrics = &boolValue{v.AddressMetrics}
	default:
		return nil, invalidValue(in.Attribute, "attribute", "Unknown attribute.")
	}
	return out, nil
}
