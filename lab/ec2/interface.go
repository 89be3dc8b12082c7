package ec2

import (
	"crypto/rand"
	"net"
	"net/netip"
	"slices"
)

type groupID struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

type associationInfo struct {
	Allocation  string `xml:"allocationId,omitempty"`
	Association string `xml:"associationId,omitempty"`
	Owner       string `xml:"ipOwnerId"`
	Name        string `xml:"publicDnsName"`
	Public      string `xml:"publicIp"`
}

type attachmentView struct {
	ID            string `xml:"attachmentId"`
	Instance      string `xml:"instanceId,omitempty"`
	InstanceOwner string `xml:"instanceOwnerId,omitempty"`
	Device        int    `xml:"deviceIndex"`
	Card          int    `xml:"networkCardIndex"`
	Status        string `xml:"status"`
	At            string `xml:"attachTime"`
	Delete        bool   `xml:"deleteOnTermination"`
}

type privateAddress struct {
	Address     string           `xml:"privateIpAddress"`
	Name        string           `xml:"privateDnsName,omitempty"`
	Primary     bool             `xml:"primary"`
	Association *associationInfo `xml:"association"`
}

type interfaceView struct {
	ID          string              `xml:"networkInterfaceId"`
	Subnet      string              `xml:"subnetId"`
	VPC         string              `xml:"vpcId"`
	Zone        string              `xml:"availabilityZone"`
	ZoneID      string              `xml:"availabilityZoneId"`
	Description string              `xml:"description"`
	Owner       string              `xml:"ownerId"`
	Managed     bool                `xml:"requesterManaged"`
	Status      string              `xml:"status"`
	MAC         string              `xml:"macAddress"`
	Address     string              `xml:"privateIpAddress"`
	Name        string              `xml:"privateDnsName,omitempty"`
	Check       bool                `xml:"sourceDestCheck"`
	Groups      set[groupID]        `xml:"groupSet"`
	Attachment  *attachmentView     `xml:"attachment"`
	Association *associationInfo    `xml:"association"`
	Tags        set[tagPair]        `xml:"tagSet"`
	Addresses   set[privateAddress] `xml:"privateIpAddressesSet"`
	IPv6        set[struct{}]       `xml:"ipv6AddressesSet"`
	Type        string              `xml:"interfaceType"`
}

func (c *call) groupIDs(ids []string) set[groupID] {
	return views(ids, func(id string) groupID {
		name := ""
		if g := c.region.Groups[id]; g != nil {
			name = g.Name
		}
		return groupID{id, name}
	})
}

// association shows an interface's public address. In an instance's view the ids of an Elastic IP are left out.
func (c *call) association(n *netInterface, ids bool) *associationInfo {
	public := c.region.publicOf(n)
	if !public.IsValid() {
		return nil
	}
	v := &associationInfo{Owner: "amazon", Public: text(public)}
	if c.region.VPCs[n.VPC].DNSHostnames {
		v.Name = publicName(c.region.Name, public)
	}
	if a := c.region.addressOf(n.ID); a != nil {
		v.Owner = c.cfg.AccountID
		if ids {
			v.Allocation, v.Association = a.ID, a.Association
		}
	}
	return v
}

func (c *call) attachmentView(a *attachment) *attachmentView {
	if a == nil {
		return nil
	}
	return &attachmentView{ID: a.ID, Instance: a.Instance, InstanceOwner: c.cfg.AccountID, Device: a.Device, Status: "attached",
		At: stamp(a.At), Delete: a.DeleteOnTermination}
}

func (c *call) interfaceView(n *netInterface) interfaceView {
	name := privateName(c.region.Name, n.Address)
	zone := c.region.Subnets[n.Subnet].Zone
	v := interfaceView{ID: n.ID, Subnet: n.Subnet, VPC: n.VPC, Zone: zone, ZoneID: c.zoneID(zone), Description: n.Description,
		Owner: c.cfg.AccountID, Status: "available", MAC: n.MAC, Address: text(n.Address), Name: name, Check: n.SourceDestCheck,
		Groups: c.groupIDs(n.Groups), Attachment: c.attachmentView(n.Attachment), Association: c.association(n, true),
		Tags: c.region.Tags[n.ID].view(), Type: "interface"}
	if n.Attachment != nil {
		v.Status = "in-use"
	}
	v.Addresses = setOf([]privateAddress{{text(n.Address), name, true, v.Association}})
	return v
}

// newMAC returns a random locally administered address, as EC2 gives.
func newMAC() string {
	mac := make(net.HardwareAddr, 6)
	rand.Read(mac)
	mac[0] = 0x02
	return mac.String()
}

// groupsIn checks that groups exist and are in a VPC; without any it is the VPC's default group.
func (c *call) groupsIn(vpcID string, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return []string{c.region.defaultGroup(vpcID).ID}, nil
	}
	if len(ids) > maxGroupsOfInterface {
		return nil, apiErrorf("SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface has been reached.")
	}
	for i, id := range ids {
		g, err := get(kindGroup, c.region.Groups, id)
		if err != nil {
			return nil, err
		}
		if g.VPC != vpcID {
			return nil, apiErrorf("InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'", id, vpcID)
		}
		if slices.Contains(ids[:i], id) {
			return nil, apiErrorf("InvalidParameterValue", "The security group '%s' was given more than once", id)
		}
	}
	return ids, nil
}

type privateAddressInput struct {
	Primary bool   `q:"Primary"`
	Address string `q:"PrivateIpAddress"`
}

type createInterface struct {
	tagSpecs
	Subnet      string                `q:"SubnetId,required"`
	Description string                `q:"Description"`
	Address     string                `q:"PrivateIpAddress"`
	Addresses   []privateAddressInput `q:"PrivateIpAddresses"`
	Groups      []string              `q:"SecurityGroupId"`
	Type        string                `q:"InterfaceType"`
	Token       string                `q:"ClientToken"`
	_           string                `q:"Ipv4Prefix Ipv4PrefixCount Ipv6Prefix Ipv6PrefixCount EnablePrimaryIpv6 ConnectionTrackingSpecification Operator SecondaryPrivateIpAddressCount Ipv6Addresses Ipv6AddressCount,unsupported"`
}

type interfaceAnswer struct {
	meta
	Interface interfaceView `xml:"networkInterface"`
	Token     string        `xml:"clientToken,omitempty"`
}

// primary is the one address that was asked for, in either form.
func primary(single string, list []privateAddressInput) (string, error) {
	switch {
	case len(list) == 0:
		return single, nil
	case single != "":
		return "", apiErrorf("InvalidParameterCombination", "You cannot specify both privateIpAddress and privateIpAddresses")
	case len(list) > 1:
		return "", apiErrorf("UnsupportedOperation", "Secondary private addresses are not supported here")
	}
	return list[0].Address, nil
}

func (c *call) createInterface(in *createInterface) (*interfaceAnswer, error) {
	if before, err := c.repeated(in.Token); err != nil {
		return nil, err
	} else if before != nil && c.region.Interfaces[before[0]] != nil {
		return &interfaceAnswer{Interface: c.interfaceView(c.region.Interfaces[before[0]]), Token: in.Token}, nil
	}
	s, err := get(kindSubnet, c.region.Subnets, in.Subnet)
	if err != nil {
		return nil, err
	}
	if in.Type != "" && in.Type != "interface" {
		return nil, apiErrorf("UnsupportedOperation", "The interface type %s is not supported here", in.Type)
	}
	groups, err := c.groupsIn(s.VPC, in.Groups)
	if err != nil {
		return nil, err
	}
	wanted, err := primary(in.Address, in.Addresses)
	if err != nil {
		return nil, err
	}
	addr, err := c.region.pickAddress(s, wanted, nil)
	if err != nil {
		return nil, err
	}
	set, err := in.of(kindInterface)
	if err != nil {
		return nil, err
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	n := c.region.addInterface(s, addr, groups, in.Description)
	c.region.setTags(n.ID, set)
	c.remember(in.Token, n.ID)
	view := c.interfaceView(n)
	view.Status = "pending" // in this answer only
	return &interfaceAnswer{Interface: view, Token: in.Token}, nil
}

func (r *region) addInterface(s *subnet, addr netip.Addr, groups []string, description string) *netInterface {
	n := &netInterface{ID: newID(kindInterface.prefix), VPC: s.VPC, Subnet: s.ID, MAC: newMAC(), Description: description,
		Address: addr, Groups: groups, SourceDestCheck: true}
	r.Interfaces[n.ID] = n
	return n
}

type interfaceInput struct {
	ID string `q:"NetworkInterfaceId,required"`
}

func (c *call) deleteInterface(in *interfaceInput) (*doneAnswer, error) {
	n, err := get(kindInterface, c.region.Interfaces, in.ID)
	if err != nil {
		return nil, err
	}
	if n.Attachment != nil {
		return nil, apiErrorf("InvalidParameterValue", "Network interface '%s' is currently in use.", n.ID)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	c.removeInterface(c.region, n)
	return done()
}

// removeInterface deletes an interface; an Elastic IP on it stays allocated.
func (s *Service) removeInterface(r *region, n *netInterface) {
	s.releasePublic(r, n)
	if a := r.addressOf(n.ID); a != nil {
		a.Association, a.Interface = "", ""
	}
	delete(r.Interfaces, n.ID)
	delete(r.Tags, n.ID)
}

type attachInterface struct {
	ID       string `q:"NetworkInterfaceId,required"`
	Instance string `q:"InstanceId,required"`
	Device   *int   `q:"DeviceIndex,required"`
	Card     *int   `q:"NetworkCardIndex"`
	_        string `q:"EnaSrdSpecification EnaQueueCount,unsupported"`
}

type attachInterfaceAnswer struct {
	meta
	ID   string `xml:"attachmentId"`
	Card int    `xml:"networkCardIndex"`
}

func (c *call) attachInterface(in *attachInterface) (*attachInterfaceAnswer, error) {
	n, err := get(kindInterface, c.region.Interfaces, in.ID)
	if err != nil {
		return nil, err
	}
	i, err := get(kindInstance, c.region.Instances, in.Instance)
	if err != nil {
		return nil, err
	}
	nics := c.region.interfacesOf(i.ID)
	limit := interfaceLimit(c.cfg.Catalogue.Types[i.Type])
	switch {
	case n.Attachment != nil:
		return nil, apiErrorf("InvalidNetworkInterface.InUse", "Interface: [%s] in use.", n.ID)
	case i.State != running && i.State != stopped:
		return nil, apiErrorf("IncorrectState", "Instance '%s' is not 'running' or 'stopped'.", i.ID)
	case c.region.Subnets[n.Subnet].Zone != i.Zone:
		return nil, apiErrorf("InvalidParameterCombination", "You may not attach a network interface to an instance if they are not in the same availability zone")
	case n.VPC != i.VPC:
		return nil, apiErrorf("UnsupportedOperation", "Interface %s and instance %s are in different networks, which is not supported here", n.ID, i.ID)
	case deref(in.Card) != 0:
		return nil, invalidValue(*in.Card, "networkCardIndex", "The instance has one network card.")
	case *in.Device < 1 || *in.Device > 31:
		return nil, invalidValue(*in.Device, "deviceIndex", "Expected a value between 1 and 31.")
	case slices.ContainsFunc(nics, func(o *netInterface) bool { return o.Attachment.Device == *in.Device }):
		return nil, apiErrorf("InvalidParameterValue", "Instance '%s' already has an interface attached at device index '%d'.", i.ID, *in.Device)
	case len(nics) >= limit:
		return nil, apiErrorf("AttachmentLimitExceeded", "Interface count %d exceeds the limit for %s", len(nics)+1, i.Type)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	n.Attachment = &attachment{ID: newID("eni-attach-"), Instance: i.ID, Device: *in.Device, At: c.now}
	return &attachInterfaceAnswer{ID: n.Attachment.ID}, nil
}

type detachInterface struct {
	ID    string `q:"AttachmentId,required"`
	Force bool   `q:"Force"`
}

func (c *call) detachInterface(in *detachInterface) (*doneAnswer, error) {
	for _, n := range c.region.Interfaces {
		if n.Attachment == nil || n.Attachment.ID != in.ID {
			continue
		}
		if n.Attachment.Device == 0 {
			return nil, apiErrorf("OperationNotPermitted", "The network interface at device index 0 cannot be detached.")
		}
		if err := c.commit(); err != nil {
			return nil, err
		}
		n.Attachment = nil
		return done()
	}
	return nil, apiErrorf("InvalidAttachmentID.NotFound", "The attachment ID '%s' does not exist", in.ID)
}

type attachmentChange struct {
	ID     string `q:"AttachmentId"`
	Delete *bool  `q:"DeleteOnTermination"`
	_      string `q:"DefaultEnaQueueCount EnaQueueCount,unsupported"`
}

type modifyInterface struct {
	ID          string            `q:"NetworkInterfaceId,required"`
	Description *stringValue      `q:"Description"`
	Check       *boolValue        `q:"SourceDestCheck"`
	Groups      []string          `q:"SecurityGroupId"`
	Attachment  *attachmentChange `q:"Attachment"`
	_           string            `q:"EnaSrdSpecification EnablePrimaryIpv6 ConnectionTrackingSpecification AssociatePublicIpAddress AssociatedSubnetId,unsupported"`
}

func (c *call) modifyInterface(in *modifyInterface) (*doneAnswer, error) {
	n, err := get(kindInterface, c.region.Interfaces, in.ID)
	if err != nil {
		return nil, err
	}
	var groups []string
	if len(in.Groups) > 0 {
		if groups, err = c.groupsIn(n.VPC, in.Groups); err != nil {
			return nil, err
		}
	}
	if in.Attachment != nil && (n.Attachment == nil || n.Attachment.ID != in.Attachment.ID) {
		return nil, apiErrorf("InvalidAttachmentID.NotFound", "The attachment ID '%s' does not exist", in.Attachment.ID)
	}
	if in.Description == nil && in.Check == nil && groups == nil && in.Attachment == nil {
		return nil, apiErrorf("InvalidParameterCombination", "No attributes specified.")
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	if in.Description != nil {
		n.Description = in.Description.Value
	}
	if in.Check != nil {
		n.SourceDestCheck = in.Check.Value
	}
	if groups != nil {
		n.Groups = groups
	}
	if in.Attachment != nil && in.Attachment.Delete != nil {
		n.Attachment.DeleteOnTermination = *in.Attachment.Delete
	}
	return done()
}

type describeInterfaceAttribute struct {
	ID        string `q:"NetworkInterfaceId,required"`
	Attribute string `q:"Attribute,required"`
}

type interfaceAttributeAnswer struct {
	meta
	ID          string          `xml:"networkInterfaceId"`
	Attachment  *attachmentView `xml:"attachment"`
	Description *stringValue    `xml:"description"`
	Groups      *set[groupID]   `xml:"groupSet"`
	Check       *boolValue      `xml:"sourceDestCheck"`
}

func (c *call) describeInterfaceAttribute(in *describeInterfaceAttribute) (*interfaceAttributeAnswer, error) {
	n, err := get(kindInterface, c.region.Interfaces, in.ID)
	if err != nil {
		return nil, err
	}
	out := &interfaceAttributeAnswer{ID: n.ID}
	switch in.Attribute {
	case "description":
		out.Description = &stringValue{n.Description}
	case "groupSet":
		groups := c.groupIDs(n.Groups)
		out.Groups = &groups
	case "sourceDestCheck":
		out.Check = &boolValue{n.SourceDestCheck}
	case "attachment":
		out.Attachment = c.attachmentView(n.Attachment)
	default:
		return nil, invalidValue(in.Attribute, "attribute", "Unknown attribute.")
	}
	return out, nil
}

type describeInterfaces struct {
	describe
	IDs     []string `q:"NetworkInterfaceId"`
	Managed bool     `q:"IncludeManagedResources"`
}

type describeInterfacesAnswer struct {
	meta
	Interfaces set[interfaceView] `xml:"networkInterfaceSet"`
	Next       string             `xml:"nextToken,omitempty"`
}

func (c *call) describeInterfaces(in *describeInterfaces) (*describeInterfacesAnswer, error) {
	list, next, err := search[*netInterface]{kindInterface, c.region.Interfaces, in.IDs, in.Filters, c.interfaceFields(),
		func(n *netInterface) tags { return c.region.Tags[n.ID] }}.page(in.paging, func(n *netInterface) string { return n.ID })
	return &describeInterfacesAnswer{Interfaces: views(list, c.interfaceView), Next: next}, err
}

func (c *call) interfaceFields() fields[*netInterface] {
	field := func(f func(interfaceView) string) func(*netInterface) []string {
		return func(n *netInterface) []string { return one(f(c.interfaceView(n))) }
	}
	attached := func(f func(*attachmentView) string) func(*netInterface) []string {
		return func(n *netInterface) []string {
			if n.Attachment == nil {
				return nil
			}
			return one(f(c.attachmentView(n.Attachment)))
		}
	}
	public := func(f func(*associationInfo) string) func(*netInterface) []string {
		return func(n *netInterface) []string {
			if v := c.association(n, true); v != nil {
				return one(f(v))
			}
			return nil
		}
	}
	by := fields[*netInterface]{
		"attachment.attachment-id":         attached(func(a *attachmentView) string { return a.ID }),
		"attachment.instance-id":           attached(func(a *attachmentView) string { return a.Instance }),
		"attachment.instance-owner-id":     attached(func(a *attachmentView) string { return a.InstanceOwner }),
		"attachment.device-index":          attached(func(a *attachmentView) string { return itoa(a.Device) }),
		"attachment.status":                attached(func(a *attachmentView) string { return a.Status }),
		"attachment.delete-on-termination": attached(func(a *attachmentView) string { return yesNo(a.Delete)[0] }),
		"association.allocation-id":        public(func(a *associationInfo) string { return a.Allocation }),
		"association.association-id":       public(func(a *associationInfo) string { return a.Association }),
		"association.ip-owner-id":          public(func(a *associationInfo) string { return a.Owner }),
		"association.public-ip":            public(func(a *associationInfo) string { return a.Public }),
		"association.public-dns-name":      public(func(a *associationInfo) string { return a.Name }),
		"availability-zone":                field(func(v interfaceView) string { return v.Zone }),
		"availability-zone-id":             field(func(v interfaceView) string { return v.ZoneID }),
		"description":                      field(func(v interfaceView) string { return v.Description }),
		"group-id":                         func(n *netInterface) []string { return n.Groups },
		"group-name": func(n *netInterface) []string {
			var names []string
			for _, g := range c.groupIDs(n.Groups).Items {
				names = append(names, g.Name)
			}
			return names
		},
		"interface-type":           field(func(v interfaceView) string { return v.Type }),
		"mac-address":              field(func(v interfaceView) string { return v.MAC }),
		"network-interface-id":     field(func(v interfaceView) string { return v.ID }),
		"owner-id":                 field(func(v interfaceView) string { return v.Owner }),
		"private-dns-name":         field(func(v interfaceView) string { return v.Name }),
		"private-ip-address":       field(func(v interfaceView) string { return v.Address }),
		"requester-managed":        func(*netInterface) []string { return yesNo(false) },
		"requester-id":             func(*netInterface) []string { return nil },
		"source-dest-check":        func(n *netInterface) []string { return yesNo(n.SourceDestCheck) },
		"source-destination-check": func(n *netInterface) []string { return yesNo(n.SourceDestCheck) },
		"status":                   field(func(v interfaceView) string { return v.Status }),
		"subnet-id":                field(func(v interfaceView) string { return v.Subnet }),
		"vpc-id":                   field(func(v interfaceView) string { return v.VPC }),
	}
	by["addresses.private-ip-address"], by["addresses.association.public-ip"] = by["private-ip-address"], by["association.public-ip"]
	by["addresses.primary"] = func(*netInterface) []string { return yesNo(true) }
	by["addresses.association.owner-id"] = by["association.ip-owner-id"]
	by["private-dns-name-options.hostname-type"] = func(*netInterface) []string { return nil }
	by["ipv6-addresses.ipv6-address"] = func(*netInterface) []string { return nil }
	return by
}
