package ec2

import "slices"

// planNICs decides which interfaces the instances of a launch have: those of the request's list, or one by the
// instance-level parameters.
func (c *call) planNICs(l *launch) error {
	in := l.in
	specs := in.NICs
	if len(specs) > 0 {
		switch {
		case in.Subnet != "":
			return apiErrorf("InvalidParameterCombination", "Network interfaces and an instance-level subnet ID may not be specified on the same request")
		case len(in.Groups)+len(in.GroupNames) > 0:
			return apiErrorf("InvalidParameterCombination", "Network interfaces and an instance-level security groups may not be specified on the same request")
		case in.Address != "":
			return apiErrorf("InvalidParameterCombination", "Network interfaces and an instance-level private IP address may not be specified on the same request")
		}
	} else {
		groups, err := c.launchGroups(in)
		if err != nil {
			return err
		}
		specs = []nicInput{{Subnet: in.Subnet, Groups: groups, Address: in.Address}}
	}
	for at, spec := range specs {
		p, err := c.planNIC(l, spec, len(in.NICs) > 0, len(specs))
		if err != nil {
			return err
		}
		if slices.ContainsFunc(l.nics, func(o nicPlan) bool { return o.device == p.device }) {
			return apiErrorf("InvalidParameterValue", "Each network interface requires a unique device index.")
		}
		if at > 0 && (p.subnet.VPC != l.nics[0].subnet.VPC || p.subnet.Zone != l.nics[0].subnet.Zone) {
			return apiErrorf("InvalidParameterCombination", "All network interfaces of an instance must be in the same VPC and Availability Zone")
		}
		l.nics = append(l.nics, p)
	}
	slices.SortFunc(l.nics, func(a, b nicPlan) int { return a.device - b.device })
	if l.nics[0].device != 0 {
		return apiErrorf("InvalidParameterCombination", "When specifying network interfaces, you must include a device at index 0.")
	}
	if limit := interfaceLimit(l.machine); len(l.nics) > limit {
		return apiErrorf("AttachmentLimitExceeded", "Interface count %d exceeds the limit for %s", len(l.nics), l.machine.Name)
	}
	return nil
}

// launchGroups resolves instance-level groups, given by id or, in the default VPC, by name.
func (c *call) launchGroups(in *runInstances) ([]string, error) {
	if len(in.GroupNames) == 0 {
		return in.Groups, nil
	}
	if in.Subnet != "" {
		return nil, apiErrorf("InvalidParameterCombination", "The parameter groupName cannot be used with the parameter subnet")
	}
	groups := slices.Clone(in.Groups)
	for _, name := range in.GroupNames {
		g, err := c.group(groupRef{Name: name})
		if err != nil {
			return nil, err
		}
		groups = append(groups, g.ID)
	}
	return groups, nil
}

// planNIC checks one interface of a launch. listed says that it comes from the request's list of interfaces.
func (c *call) planNIC(l *launch, spec nicInput, listed bool, all int) (nicPlan, error) {
	p := nicPlan{delete: true, description: spec.Description}
	if listed && spec.Device == nil {
		return p, apiErrorf("InvalidParameterValue", "Each network interface requires a device index.")
	}
	p.device = deref(spec.Device)
	switch {
	case spec.Type != "" && spec.Type != "interface":
		return p, apiErrorf("UnsupportedOperation", "The interface type %s is not supported here", spec.Type)
	case spec.Card != 0:
		return p, invalidValue(spec.Card, "networkCardIndex", "The instance has one network card.")
	case spec.Public != nil && all > 1:
		return p, apiErrorf("InvalidParameterCombination", "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.")
	case spec.ID != "":
		return c.planExisting(l, p, spec)
	}
	var err error
	if p.subnet, err = c.launchSubnet(l, spec.Subnet); err != nil {
		return p, err
	}
	for _, id := range spec.Groups {
		if g := c.region.Groups[id]; g != nil && g.VPC != p.subnet.VPC {
			return p, apiErrorf("InvalidParameter", "Security group %s and subnet %s belong to different networks.", g.ID, p.subnet.ID)
		}
	}
	if p.groups, err = c.groupsIn(p.subnet.VPC, spec.Groups); err != nil {
		return p, err
	}
	if p.wanted, err = primary(spec.Address, spec.Addresses); err != nil {
		return p, err
	}
	if p.wanted != "" && *l.in.Max > 1 {
		return p, apiErrorf("InvalidParameterCombination", "You may not specify a private IP address when launching more than one instance")
	}
	p.public = p.subnet.MapPublic && all == 1
	if spec.Public != nil {
		p.public = *spec.Public
	}
	if spec.Delete != nil {
		p.delete = *spec.Delete
	}
	return p, nil
}

// planExisting takes an interface that was made before.
func (c *call) planExisting(l *launch, p nicPlan, spec nicInput) (nicPlan, error) {
	n, err := get(kindInterface, c.region.Interfaces, spec.ID)
	if err != nil {
		return p, err
	}
	switch {
	case n.Attachment != nil:
		return p, apiErrorf("InvalidNetworkInterface.InUse", "Interface: [%s] in use.", n.ID)
	case *l.in.Max > 1:
		return p, apiErrorf("InvalidParameterCombination", "You may not specify a network interface ID when launching more than one instance")
	case spec.Public != nil:
		return p, apiErrorf("InvalidParameterCombination", "The associatePublicIPAddress parameter cannot be specified for a network interface with an ID.")
	case spec.Subnet != "" || len(spec.Groups) > 0 || spec.Address != "" || len(spec.Addresses) > 0:
		return p, apiErrorf("InvalidParameterCombination", "A network interface with an ID may not have a subnet, security groups or addresses")
	case slices.ContainsFunc(l.nics, func(o nicPlan) bool { return o.existing == n }):
		return p, apiErrorf("InvalidNetworkInterface.InUse", "Interface: [%s] in use.", n.ID)
	}
	p.existing, p.subnet, p.delete = n, c.region.Subnets[n.Subnet], deref(spec.Delete)
	return p, c.zoneFits(l, p.subnet)
}

// launchSubnet is the subnet of a new interface; without a name it is the default VPC's in the wanted or first zone.
func (c *call) launchSubnet(l *launch, id string) (*subnet, error) {
	if id != "" {
		s, err := get(kindSubnet, c.region.Subnets, id)
		if err != nil {
			return nil, err
		}
		return s, c.zoneFits(l, s)
	}
	v := c.region.defaultVPC()
	if v == nil {
		return nil, apiErrorf("VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.")
	}
	zone := l.in.Placement.Zone
	if l.in.Placement.ZoneID != "" || zone != "" {
		var err error
		if zone, err = c.pickZone(zone, l.in.Placement.ZoneID); err != nil {
			return nil, apiErrorf("InvalidParameterValue", "Invalid availability zone: [%s%s]", l.in.Placement.Zone, l.in.Placement.ZoneID)
		}
	}
	for _, z := range c.where.Zones {
		for _, s := range sorted(c.region.Subnets) {
			offered := zone != "" || c.cfg.Catalogue.Offered(z.ID, l.machine.Name)
			if s.VPC == v.ID && s.DefaultForAZ && s.Zone == z.Name && (zone == "" || zone == z.Name) && offered {
				return s, nil
			}
		}
	}
	if zone == "" {
		for _, s := range sorted(c.region.Subnets) {
			if s.VPC == v.ID && s.DefaultForAZ {
				return s, nil // no zone has the type; the answer says so
			}
		}
	}
	return nil, apiErrorf("MissingInput", "No subnets found for the default VPC '%s'. Please specify a subnet.", v.ID)
}

// zoneFits checks that a subnet is in the zone that was asked for.
func (c *call) zoneFits(l *launch, s *subnet) error {
	at := l.in.Placement
	if at.Zone != "" && at.Zone != s.Zone || at.ZoneID != "" && at.ZoneID != c.zoneID(s.Zone) {
		return apiErrorf("InvalidParameterValue", "The availability zone '%s%s' does not match that of the subnet '%s' (%s)", at.Zone, at.ZoneID, s.ID, s.Zone)
	}
	return nil
}
