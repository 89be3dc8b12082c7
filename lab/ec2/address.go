package ec2

import (
	"net/netip"
	"slices"
	"strings"
)

type allocateAddress struct {
	tagSpecs
	Domain string `q:"Domain"`
	Group  string `q:"NetworkBorderGroup"`
	_      string `q:"Address PublicIpv4Pool CustomerOwnedIpv4Pool IpamPoolId,unsupported"`
}

type allocateAddressAnswer struct {
	meta
	Public string `xml:"publicIp"`
	ID     string `xml:"allocationId"`
	Pool   string `xml:"publicIpv4Pool"`
	Group  string `xml:"networkBorderGroup"`
	Domain string `xml:"domain"`
}

func (c *call) allocateAddress(in *allocateAddress) (*allocateAddressAnswer, error) {
	if in.Domain != "" && in.Domain != "vpc" {
		return nil, invalidValue(in.Domain, "domain", "Expected: vpc")
	}
	if in.Group != "" && in.Group != c.region.Name {
		return nil, invalidValue(in.Group, "networkBorderGroup", "Expected: "+c.region.Name)
	}
	set, err := in.of(kindAddress)
	if err != nil {
		return nil, err
	}
	if len(c.region.Addresses) >= c.cfg.Limits.Addresses {
		return nil, apiErrorf("AddressLimitExceeded", "The maximum number of addresses has been reached.")
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	public, err := c.takePublic(c.region.Name)
	if err != nil {
		return nil, err
	}
	a := &address{ID: newID(kindAddress.prefix), Public: public}
	c.region.Addresses[a.ID] = a
	c.region.setTags(a.ID, set)
	return &allocateAddressAnswer{Public: text(public), ID: a.ID, Pool: "amazon", Group: c.region.Name, Domain: "vpc"}, nil
}

type releaseAddress struct {
	ID     string `q:"AllocationId"`
	Public string `q:"PublicIp"`
	Group  string `q:"NetworkBorderGroup"`
}

// address finds one by allocation id or by its public address.
func (c *call) address(id, public string) (*address, error) {
	switch {
	case id != "" && public != "":
		return nil, apiErrorf("InvalidParameterCombination", "You may specify public IP or allocation id, but not both in the same call")
	case id != "":
		return get(kindAddress, c.region.Addresses, id)
	case public == "":
		return nil, missingParameter("AllocationId")
	}
	for _, a := range c.region.Addresses {
		if text(a.Public) == public {
			return a, nil
		}
	}
	return nil, apiErrorf("InvalidAddress.NotFound", "Address '%s' not found.", public)
}

// releaseAddress refuses an associated address, except in a default VPC, where EC2 disassociates it by itself.
func (c *call) releaseAddress(in *releaseAddress) (*doneAnswer, error) {
	a, err := c.address(in.ID, in.Public)
	if err != nil {
		return nil, err
	}
	if a.Association != "" {
		if n := c.region.Interfaces[a.Interface]; n != nil && !c.region.VPCs[n.VPC].Default {
			return nil, apiErrorf("InvalidIPAddress.InUse", "Address %s is in use.", a.Public)
		}
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	delete(c.region.Addresses, a.ID)
	delete(c.region.Tags, a.ID)
	c.cfg.Pools(c.region.Name).Put(a.Public)
	return done()
}

type associateAddress struct {
	ID        string `q:"AllocationId"`
	Public    string `q:"PublicIp"`
	Instance  string `q:"InstanceId"`
	Interface string `q:"NetworkInterfaceId"`
	Private   string `q:"PrivateIpAddress"`
	Again     *bool  `q:"AllowReassociation"`
}

type associateAddressAnswer struct {
	meta
	ID     string `xml:"associationId"`
	Return bool   `xml:"return"`
}

// associateAddress moves an address by default even if it is in use; AllowReassociation=false forbids that.
func (c *call) associateAddress(in *associateAddress) (*associateAddressAnswer, error) {
	a, err := c.address(in.ID, in.Public)
	if err != nil {
		return nil, err
	}
	n, err := c.addressTarget(in)
	if err != nil {
		return nil, err
	}
	if in.Private != "" && in.Private != text(n.Address) {
		return nil, apiErrorf("InvalidParameterValue", "IP address %s does not belong to interface %s", in.Private, n.ID)
	}
	if c.region.gatewayOf(n.VPC) == nil {
		return nil, apiErrorf("Gateway.NotAttached", "Network %s is not attached to any internet gateway", n.VPC)
	}
	if a.Association != "" && a.Interface == n.ID {
		return &associateAddressAnswer{ID: a.Association, Return: true}, nil
	}
	before := c.region.addressOf(n.ID)
	if in.Again != nil && !*in.Again {
		if a.Association != "" {
			return nil, apiErrorf("Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s", a.ID, a.Association)
		}
		if before != nil {
			return nil, apiErrorf("Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s", n.ID, before.Association)
		}
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	if before != nil {
		before.Association, before.Interface = "", ""
	}
	c.releasePublic(c.region, n)
	a.Association, a.Interface = newID("eipassoc-"), n.ID
	return &associateAddressAnswer{ID: a.Association, Return: true}, nil
}

// addressTarget is the interface to which an address is to be associated.
func (c *call) addressTarget(in *associateAddress) (*netInterface, error) {
	switch {
	case in.Instance != "" && in.Interface != "":
		return nil, apiErrorf("InvalidParameterCombination", "You may specify instance id or network interface id, but not both in the same call")
	case in.Interface != "":
		return get(kindInterface, c.region.Interfaces, in.Interface)
	case in.Instance == "":
		return nil, missingParameter("InstanceId")
	}
	i, err := get(kindInstance, c.region.Instances, in.Instance)
	if err != nil {
		return nil, err
	}
	if i.State != running && i.State != stopped && i.State != stopping {
		return nil, apiErrorf("InvalidInstanceID", "The %s instance '%s' is not in a valid state for this operation.", i.State, i.ID)
	}
	nics := c.region.interfacesOf(i.ID)
	if len(nics) != 1 {
		return nil, apiErrorf("InvalidInstanceID", "There are multiple interfaces attached to instance '%s'. Please specify an interface ID for the operation instead.", i.ID)
	}
	return nics[0], nil
}

// releasePublic gives an interface's automatic public address back to the pool.
func (s *Service) releasePublic(r *region, n *netInterface) {
	if n.Public.IsValid() {
		s.cfg.Pools(r.Name).Put(n.Public)
		n.Public = netip.Addr{}
	}
}

type disassociateAddress struct {
	ID     string `q:"AssociationId"`
	Public string `q:"PublicIp"`
}

func (c *call) disassociateAddress(in *disassociateAddress) (*doneAnswer, error) {
	var found *address
	for _, a := range c.region.Addresses {
		if in.ID != "" && a.Association == in.ID || in.ID == "" && in.Public != "" && text(a.Public) == in.Public {
			found = a
		}
	}
	switch {
	case in.ID == "" && in.Public == "":
		return nil, missingParameter("associationId")
	case found == nil && in.ID != "":
		return nil, apiErrorf("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", in.ID)
	case found == nil:
		return nil, apiErrorf("InvalidAddress.NotFound", "Address '%s' not found.", in.Public)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	found.Association, found.Interface = "", ""
	return done()
}

type addressView struct {
	Public      string       `xml:"publicIp"`
	ID          string       `xml:"allocationId"`
	Domain      string       `xml:"domain"`
	Instance    string       `xml:"instanceId"`
	Association string       `xml:"associationId,omitempty"`
	Interface   string       `xml:"networkInterfaceId,omitempty"`
	Owner       string       `xml:"networkInterfaceOwnerId,omitempty"`
	Private     string       `xml:"privateIpAddress,omitempty"`
	Pool        string       `xml:"publicIpv4Pool"`
	Group       string       `xml:"networkBorderGroup"`
	Tags        set[tagPair] `xml:"tagSet"`
}

func (c *call) addressView(a *address) addressView {
	v := addressView{Public: text(a.Public), ID: a.ID, Domain: "vpc", Pool: "amazon", Group: c.region.Name, Tags: c.region.Tags[a.ID].view()}
	if n := c.region.Interfaces[a.Interface]; a.Association != "" && n != nil {
		v.Association, v.Interface, v.Owner, v.Private = a.Association, n.ID, c.cfg.AccountID, text(n.Address)
		if n.Attachment != nil {
			v.Instance = n.Attachment.Instance
		}
	}
	return v
}

type describeAddresses struct {
	Filters []filter `q:"Filter"`
	IDs     []string `q:"AllocationId"`
	Public  []string `q:"PublicIp"`
}

type describeAddressesAnswer struct {
	meta
	Addresses set[addressView] `xml:"addressesSet"`
}

func (c *call) describeAddresses(in *describeAddresses) (*describeAddressesAnswer, error) {
	ids := slices.Clone(in.IDs)
	for _, p := range in.Public {
		a, err := c.address("", p)
		if err != nil {
			return nil, err
		}
		ids = append(ids, a.ID)
	}
	field := func(f func(addressView) string) func(*address) []string {
		return func(a *address) []string { return one(f(c.addressView(a))) }
	}
	list, err := search[*address]{kindAddress, c.region.Addresses, ids, in.Filters, fields[*address]{
		"allocation-id":              field(func(v addressView) string { return v.ID }),
		"association-id":             field(func(v addressView) string { return v.Association }),
		"domain":                     field(func(v addressView) string { return v.Domain }),
		"instance-id":                field(func(v addressView) string { return v.Instance }),
		"network-border-group":       field(func(v addressView) string { return v.Group }),
		"network-interface-id":       field(func(v addressView) string { return v.Interface }),
		"network-interface-owner-id": field(func(v addressView) string { return v.Owner }),
		"private-ip-address":         field(func(v addressView) string { return v.Private }),
		"public-ip":                  field(func(v addressView) string { return v.Public }),
	}, func(a *address) tags { return c.region.Tags[a.ID] }}.run()
	return &describeAddressesAnswer{Addresses: views(list, c.addressView)}, err
}

type addressAttributes struct {
	paging
	IDs       []string `q:"AllocationId"`
	Attribute string   `q:"Attribute"`
}

type addressAttribute struct {
	Public string `xml:"publicIp"`
	ID     string `xml:"allocationId"`
}

type addressAttributesAnswer struct {
	meta
	Addresses set[addressAttribute] `xml:"addressSet"`
	Next      string                `xml:"nextToken,omitempty"`
}

// addressAttributes tells of the addresses that have a reverse name, which none has here.
func (c *call) addressAttributes(in *addressAttributes) (*addressAttributesAnswer, error) {
	_, err := search[*address]{kindAddress, c.region.Addresses, in.IDs, nil, nil, nil}.run()
	return &addressAttributesAnswer{}, err
}

// publicName is the public host name of an address.
func publicName(region string, a netip.Addr) string {
	dashed := "ec2-" + strings.ReplaceAll(text(a), ".", "-")
	if region == "us-east-1" {
		return dashed + ".compute-1.amazonaws.com"
	}
	return dashed + "." + region + ".compute.amazonaws.com"
}

// privateName is the private host name of an address.
func privateName(region string, a netip.Addr) string {
	return shortName(a) + "." + privateDomain(region)
}

func shortName(a netip.Addr) string { return "ip-" + strings.ReplaceAll(text(a), ".", "-") }
