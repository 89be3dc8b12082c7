package ec2

type createGateway struct {
	tagSpecs
}

type gatewayAttachment struct {
	VPC   string `xml:"vpcId"`
	State string `xml:"state"`
}

type gatewayView struct {
	ID          string                 `xml:"internetGatewayId"`
	Owner       string                 `xml:"ownerId"`
	Attachments set[gatewayAttachment] `xml:"attachmentSet"`
	Tags        set[tagPair]           `xml:"tagSet"`
}

func (c *call) gatewayView(g *gateway) gatewayView {
	v := gatewayView{ID: g.ID, Owner: c.cfg.AccountID, Tags: c.region.Tags[g.ID].view()}
	if g.VPC != "" {
		v.Attachments = setOf([]gatewayAttachment{{g.VPC, "available"}})
	}
	return v
}

type gatewayAnswer struct {
	meta
	Gateway gatewayView `xml:"internetGateway"`
}

func (c *call) createGateway(in *createGateway) (*gatewayAnswer, error) {
	set, err := in.of(kindGateway)
	if err != nil {
		return nil, err
	}
	if len(c.region.Gateways) >= c.cfg.Limits.InternetGateways {
		return nil, apiErrorf("InternetGatewayLimitExceeded", "The maximum number of internet gateways has been reached.")
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	g := &gateway{ID: newID(kindGateway.prefix)}
	c.region.Gateways[g.ID] = g
	c.region.setTags(g.ID, set)
	return &gatewayAnswer{Gateway: c.gatewayView(g)}, nil
}

type attachGateway struct {
	ID  string `q:"InternetGatewayId,required"`
	VPC string `q:"VpcId,required"`
}

func (c *call) gatewayAndVPC(in *attachGateway) (*gateway, *vpc, error) {
	g, err := get(kindGateway, c.region.Gateways, in.ID)
	if err != nil {
		return nil, nil, err
	}
	v, err := get(kindVPC, c.region.VPCs, in.VPC)
	return g, v, err
}

func (c *call) attachGateway(in *attachGateway) (*doneAnswer, error) {
	g, v, err := c.gatewayAndVPC(in)
	if err != nil {
		return nil, err
	}
	if g.VPC != "" {
		return nil, apiErrorf("Resource.AlreadyAssociated", "resource %s is already attached to network %s", g.ID, g.VPC)
	}
	if c.region.gatewayOf(v.ID) != nil {
		return nil, apiErrorf("InvalidParameterValue", "Network %s already has an internet gateway attached", v.ID)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	g.VPC = v.ID
	return done()
}

// detachGateway refuses while the network has public addresses that are mapped through it.
func (c *call) detachGateway(in *attachGateway) (*doneAnswer, error) {
	g, v, err := c.gatewayAndVPC(in)
	if err != nil {
		return nil, err
	}
	if g.VPC != v.ID {
		return nil, apiErrorf("Gateway.NotAttached", "resource %s is not attached to network %s", g.ID, v.ID)
	}
	for _, n := range c.region.Interfaces {
		if n.VPC == v.ID && c.region.publicOf(n).IsValid() {
			return nil, apiErrorf("DependencyViolation",
				"Network %s has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.", v.ID)
		}
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	g.VPC = ""
	return done()
}

type gatewayInput struct {
	ID string `q:"InternetGatewayId,required"`
}

func (c *call) deleteGateway(in *gatewayInput) (*doneAnswer, error) {
	g, err := get(kindGateway, c.region.Gateways, in.ID)
	if err != nil {
		return nil, err
	}
	if g.VPC != "" {
		return nil, dependencyViolation("internetGateway", g.ID)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	delete(c.region.Gateways, g.ID)
	delete(c.region.Tags, g.ID)
	return done()
}

type describeGateways struct {
	describe
	IDs []string `q:"InternetGatewayId"`
}

type describeGatewaysAnswer struct {
	meta
	Gateways set[gatewayView] `xml:"internetGatewaySet"`
	Next     string           `xml:"nextToken,omitempty"`
}

func (c *call) describeGateways(in *describeGateways) (*describeGatewaysAnswer, error) {
	list, next, err := search[*gateway]{kindGateway, c.region.Gateways, in.IDs, in.Filters, fields[*gateway]{
		"attachment.state": func(g *gateway) []string {
			if g.VPC == "" {
				return nil
			}
			return one("available")
		},
		"attachment.vpc-id":   func(g *gateway) []string { return one(g.VPC) },
		"internet-gateway-id": func(g *gateway) []string { return one(g.ID) },
		"owner-id":            func(*gateway) []string { return one(c.cfg.AccountID) },
	}, func(g *gateway) tags { return c.region.Tags[g.ID] }}.page(in.paging, func(g *gateway) string { return g.ID })
	return &describeGatewaysAnswer{Gateways: views(list, c.gatewayView), Next: next}, err
}
