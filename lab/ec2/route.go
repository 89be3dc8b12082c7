package ec2

import (
	"net/netip"
	"slices"
	"strconv"
)

func itoa(i int) string { return strconv.Itoa(i) }

type routeView struct {
	Destination   string `xml:"destinationCidrBlock"`
	Gateway       string `xml:"gatewayId,omitempty"`
	Instance      string `xml:"instanceId,omitempty"`
	InstanceOwner string `xml:"instanceOwnerId,omitempty"`
	Interface     string `xml:"networkInterfaceId,omitempty"`
	State         string `xml:"state"`
	Origin        string `xml:"origin"`
}

type associationView struct {
	ID     string    `xml:"routeTableAssociationId"`
	Table  string    `xml:"routeTableId"`
	Subnet string    `xml:"subnetId,omitempty"`
	Main   bool      `xml:"main"`
	State  cidrState `xml:"associationState"`
}

type tableView struct {
	ID           string               `xml:"routeTableId"`
	VPC          string               `xml:"vpcId"`
	Owner        string               `xml:"ownerId"`
	Routes       set[routeView]       `xml:"routeSet"`
	Associations set[associationView] `xml:"associationSet"`
	Propagating  set[struct{}]        `xml:"propagatingVgwSet"`
	Tags         set[tagPair]         `xml:"tagSet"`
}

func (c *call) routeViews(t *routeTable) []routeView {
	list := []routeView{{Destination: c.region.VPCs[t.VPC].CIDR, Gateway: "local", State: "active", Origin: "CreateRouteTable"}}
	for _, e := range t.Routes {
		v := routeView{Destination: e.Destination, Gateway: e.Gateway, Interface: e.Interface, State: "blackhole", Origin: "CreateRoute"}
		if n := c.region.Interfaces[e.Interface]; n != nil && n.Attachment != nil {
			v.Instance, v.InstanceOwner = n.Attachment.Instance, c.cfg.AccountID
		}
		if c.region.active(t, e) {
			v.State = "active"
		}
		list = append(list, v)
	}
	return list
}

// active says whether a route leads anywhere: to an attached gateway, or an interface of a running instance.
func (r *region) active(t *routeTable, e route) bool {
	if e.Gateway != "" {
		g := r.Gateways[e.Gateway]
		return g != nil && g.VPC == t.VPC
	}
	n := r.Interfaces[e.Interface]
	if n == nil || n.Attachment == nil {
		return false
	}
	i := r.Instances[n.Attachment.Instance]
	return i != nil && (i.State == running || i.State == pending)
}

func (c *call) associationViews(t *routeTable) []associationView {
	var list []associationView
	if t.Main != "" {
		list = append(list, associationView{ID: t.Main, Table: t.ID, Main: true, State: cidrState{"associated"}})
	}
	for _, id := range sortedKeys(t.Associations) {
		list = append(list, associationView{ID: id, Table: t.ID, Subnet: t.Associations[id], State: cidrState{"associated"}})
	}
	return list
}

func (c *call) tableView(t *routeTable) tableView {
	return tableView{ID: t.ID, VPC: t.VPC, Owner: c.cfg.AccountID, Routes: setOf(c.routeViews(t)),
		Associations: setOf(c.associationViews(t)), Tags: c.region.Tags[t.ID].view()}
}

type createTable struct {
	tagSpecs
	VPC   string `q:"VpcId,required"`
	Token string `q:"ClientToken"`
}

type tableAnswer struct {
	meta
	Table tableView `xml:"routeTable"`
	Token string    `xml:"clientToken,omitempty"`
}

const (
	maxTables = 200 // of a VPC, EC2's default
	maxRoutes = 500 // of a table, EC2's default
)

func (c *call) createTable(in *createTable) (*tableAnswer, error) {
	if before, err := c.repeated(in.Token); err != nil {
		return nil, err
	} else if before != nil && c.region.RouteTables[before[0]] != nil {
		return &tableAnswer{Table: c.tableView(c.region.RouteTables[before[0]]), Token: in.Token}, nil
	}
	v, err := get(kindVPC, c.region.VPCs, in.VPC)
	if err != nil {
		return nil, err
	}
	count := 0
	for _, t := range c.region.RouteTables {
		if t.VPC == v.ID {
			count++
		}
	}
	if count >= maxTables {
		return nil, apiErrorf("RouteTableLimitExceeded", "The maximum number of route tables has been reached.")
	}
	set, err := in.of(kindRouteTable)
	if err != nil {
		return nil, err
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	t := &routeTable{ID: newID(kindRouteTable.prefix), VPC: v.ID, Associations: map[string]string{}}
	c.region.RouteTables[t.ID] = t
	c.region.setTags(t.ID, set)
	c.remember(in.Token, t.ID)
	return &tableAnswer{Table: c.tableView(t), Token: in.Token}, nil
}

type tableInput struct {
	ID string `q:"RouteTableId,required"`
}

func (c *call) deleteTable(in *tableInput) (*doneAnswer, error) {
	t, err := get(kindRouteTable, c.region.RouteTables, in.ID)
	if err != nil {
		return nil, err
	}
	if t.Main != "" || len(t.Associations) > 0 {
		return nil, dependencyViolation("routeTable", t.ID)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	delete(c.region.RouteTables, t.ID)
	delete(c.region.Tags, t.ID)
	return done()
}

type describeTables struct {
	describe
	IDs []string `q:"RouteTableId"`
}

type describeTablesAnswer struct {
	meta
	Tables set[tableView] `xml:"routeTableSet"`
	Next   string         `xml:"nextToken,omitempty"`
}

func (c *call) describeTables(in *describeTables) (*describeTablesAnswer, error) {
	none := func(*routeTable) []string { return nil }
	route := func(field func(routeView) string) func(*routeTable) []string {
		return func(t *routeTable) []string {
			var list []string
			for _, v := range c.routeViews(t) {
				list = append(list, one(field(v))...)
			}
			return list
		}
	}
	list, next, err := search[*routeTable]{kindRouteTable, c.region.RouteTables, in.IDs, in.Filters, fields[*routeTable]{
		"association.gateway-id": none,
		"association.main": func(t *routeTable) []string {
			return yesNo(t.Main != "")
		},
		"association.route-table-association-id": func(t *routeTable) []string {
			return append(sortedKeys(t.Associations), one(t.Main)...)
		},
		"association.route-table-id": func(t *routeTable) []string { return one(t.ID) },
		"association.subnet-id": func(t *routeTable) []string {
			var list []string
			for _, s := range t.Associations {
				list = append(list, s)
			}
			return list
		},
		"owner-id":                          func(*routeTable) []string { return one(c.cfg.AccountID) },
		"route-table-id":                    func(t *routeTable) []string { return one(t.ID) },
		"route.destination-cidr-block":      route(func(v routeView) string { return v.Destination }),
		"route.gateway-id":                  route(func(v routeView) string { return v.Gateway }),
		"route.instance-id":                 route(func(v routeView) string { return v.Instance }),
		"route.network-interface-id":        route(func(v routeView) string { return v.Interface }),
		"route.origin":                      route(func(v routeView) string { return v.Origin }),
		"route.state":                       route(func(v routeView) string { return v.State }),
		"route.destination-ipv6-cidr-block": none, "route.destination-prefix-list-id": none, "route.nat-gateway-id": none,
		"route.egress-only-internet-gateway-id": none, "route.transit-gateway-id": none, "route.vpc-peering-connection-id": none,
		"vpc-id": func(t *routeTable) []string { return one(t.VPC) },
	}, func(t *routeTable) tags { return c.region.Tags[t.ID] }}.page(in.paging, func(t *routeTable) string { return t.ID })
	return &describeTablesAnswer{Tables: views(list, c.tableView), Next: next}, err
}

type associateTable struct {
	Table  string `q:"RouteTableId,required"`
	Subnet string `q:"SubnetId"`
	_      string `q:"GatewayId PublicIpv4Pool,unsupported"`
}

type associateTableAnswer struct {
	meta
	ID    string    `xml:"associationId"`
	State cidrState `xml:"associationState"`
}

func (c *call) associateTable(in *associateTable) (*associateTableAnswer, error) {
	t, err := get(kindRouteTable, c.region.RouteTables, in.Table)
	if err != nil {
		return nil, err
	}
	if in.Subnet == "" {
		return nil, missingParameter("subnetId")
	}
	s, err := get(kindSubnet, c.region.Subnets, in.Subnet)
	if err != nil {
		return nil, err
	}
	if s.VPC != t.VPC {
		return nil, apiErrorf("InvalidParameterValue", "route table %s and subnet %s belong to different networks", t.ID, s.ID)
	}
	for _, other := range c.region.RouteTables {
		for id, of := range other.Associations {
			if of == s.ID && other == t {
				return &associateTableAnswer{ID: id, State: cidrState{"associated"}}, nil
			}
			if of == s.ID {
				return nil, apiErrorf("Resource.AlreadyAssociated", "the specified association for route table %s conflicts with an existing association", t.ID)
			}
		}
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	id := newID("rtbassoc-")
	t.Associations[id] = s.ID
	return &associateTableAnswer{ID: id, State: cidrState{"associated"}}, nil
}

type disassociateTable struct {
	ID string `q:"AssociationId,required"`
}

// association finds the table that has an association.
func (r *region) association(id string) (*routeTable, error) {
	for _, t := range r.RouteTables {
		if _, ok := t.Associations[id]; ok || t.Main == id {
			return t, nil
		}
	}
	return nil, apiErrorf("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", id)
}

func (c *call) disassociateTable(in *disassociateTable) (*doneAnswer, error) {
	t, err := c.region.association(in.ID)
	if err != nil {
		return nil, err
	}
	if t.Main == in.ID {
		return nil, apiErrorf("InvalidParameterValue", "cannot disassociate the main route table association %s", in.ID)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	delete(t.Associations, in.ID)
	return done()
}

type replaceAssociation struct {
	ID    string `q:"AssociationId,required"`
	Table string `q:"RouteTableId,required"`
}

type replaceAssociationAnswer struct {
	meta
	ID    string    `xml:"newAssociationId"`
	State cidrState `xml:"associationState"`
}

// replaceAssociation moves a subnet to another table, or the role of main table.
func (c *call) replaceAssociation(in *replaceAssociation) (*replaceAssociationAnswer, error) {
	from, err := c.region.association(in.ID)
	if err != nil {
		return nil, err
	}
	to, err := get(kindRouteTable, c.region.RouteTables, in.Table)
	if err != nil {
		return nil, err
	}
	if from.VPC != to.VPC {
		return nil, apiErrorf("InvalidParameterValue", "route table %s and route table %s belong to different networks", from.ID, to.ID)
	}
	if from.Main == in.ID && from == to {
		return nil, apiErrorf("Resource.AlreadyAssociated", "the specified association for route table %s conflicts with an existing association", to.ID)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	id := newID("rtbassoc-")
	if from.Main == in.ID {
		from.Main, to.Main = "", id
	} else {
		to.Associations[id] = from.Associations[in.ID]
		delete(from.Associations, in.ID)
	}
	return &replaceAssociationAnswer{ID: id, State: cidrState{"associated"}}, nil
}

type changeRoute struct {
	Table       string `q:"RouteTableId,required"`
	Destination string `q:"DestinationCidrBlock"`
	Gateway     string `q:"GatewayId"`
	Instance    string `q:"InstanceId"`
	Interface   string `q:"NetworkInterfaceId"`
	_           string `q:"DestinationPrefixListId VpcEndpointId TransitGatewayId LocalGatewayId CarrierGatewayId CoreNetworkArn OdbNetworkArn DestinationIpv6CidrBlock EgressOnlyInternetGatewayId VpcPeeringConnectionId NatGatewayId LocalTarget,unsupported"`
}

// routeOf checks what a route is asked to be.
func (c *call) routeOf(in *changeRoute) (*routeTable, route, error) {
	t, err := get(kindRouteTable, c.region.RouteTables, in.Table)
	if err != nil {
		return nil, route{}, err
	}
	if in.Destination == "" {
		return nil, route{}, missingParameter("destinationCidrBlock")
	}
	to, err := parseCIDR(in.Destination, "destinationCidrBlock")
	if err != nil {
		return nil, route{}, err
	}
	e := route{Destination: to.String()}
	targets := len(one(in.Gateway)) + len(one(in.Instance)) + len(one(in.Interface))
	switch {
	case targets == 0:
		return nil, e, missingParameter("gatewayId, instanceId or networkInterfaceId")
	case targets > 1:
		return nil, e, apiErrorf("InvalidParameterCombination", "The request must contain exactly one of gatewayId, instanceId, networkInterfaceId")
	case in.Gateway != "":
		e.Gateway, err = c.gatewayTarget(t, in.Gateway)
	default:
		e.Interface, err = c.interfaceTarget(t, in.Interface, in.Instance)
	}
	if err != nil {
		return nil, e, err
	}
	return t, e, c.moreSpecific(t, to, e)
}

// moreSpecific refuses routes inside the VPC that lead out of it: there only an interface may be the target.
func (c *call) moreSpecific(t *routeTable, to netip.Prefix, e route) error {
	whole := mustPrefix(c.region.VPCs[t.VPC].CIDR)
	if e.Gateway != "" && whole.Contains(to.Addr()) && to.Bits() > whole.Bits() {
		return apiErrorf("InvalidParameterValue", "The destination CIDR block %s is equal to or more specific than one of this VPC's CIDR blocks. "+
			"This route can target only an interface or an instance.", to)
	}
	return nil
}

// gatewayTarget is a route's gateway. Here EC2 speaks of gateways of any sort, and so with another code than elsewhere.
func (c *call) gatewayTarget(t *routeTable, id string) (string, error) {
	g := c.region.Gateways[id]
	if g == nil {
		return "", apiErrorf("InvalidGatewayID.NotFound", "The gateway ID '%s' does not exist", id)
	}
	if g.VPC != t.VPC {
		return "", apiErrorf("InvalidParameterValue", "route table %s and network gateway %s belong to different networks", t.ID, g.ID)
	}
	return g.ID, nil
}

func (c *call) interfaceTarget(t *routeTable, interfaceID, instanceID string) (string, error) {
	if instanceID != "" {
		i, err := get(kindInstance, c.region.Instances, instanceID)
		if err != nil {
			return "", err
		}
		nics := c.region.interfacesOf(i.ID)
		switch {
		case len(nics) == 0:
			return "", kindInstance.missing(i.ID)
		case len(nics) > 1:
			return "", apiErrorf("InvalidInstanceID", "There are multiple interfaces attached to instance '%s'. Please specify an interface ID for the operation instead.", i.ID)
		}
		interfaceID = nics[0].ID
	}
	n, err := get(kindInterface, c.region.Interfaces, interfaceID)
	if err != nil {
		return "", err
	}
	if n.VPC != t.VPC {
		return "", apiErrorf("InvalidParameterValue", "route table %s and interface %s belong to different networks", t.ID, n.ID)
	}
	return n.ID, nil
}

func (t *routeTable) find(destination string) int {
	return slices.IndexFunc(t.Routes, func(e route) bool { return e.Destination == destination })
}

func (c *call) createRoute(in *changeRoute) (*doneAnswer, error) {
	t, e, err := c.routeOf(in)
	if err != nil {
		return nil, err
	}
	if at := t.find(e.Destination); at >= 0 && t.Routes[at] == e {
		return done() // the same again is no error
	} else if at >= 0 || e.Destination == c.region.VPCs[t.VPC].CIDR {
		return nil, apiErrorf("RouteAlreadyExists", "The route identified by %s already exists.", e.Destination)
	}
	if len(t.Routes) >= maxRoutes {
		return nil, apiErrorf("RouteLimitExceeded", "The maximum number of routes has been reached.")
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	t.Routes = append(t.Routes, e)
	return done()
}

func (c *call) replaceRoute(in *changeRoute) (*doneAnswer, error) {
	t, e, err := c.routeOf(in)
	if err != nil {
		return nil, err
	}
	at := t.find(e.Destination)
	if at < 0 {
		return nil, apiErrorf("InvalidParameterValue", "There is no route defined for '%s' in the route table. Use CreateRoute instead.", e.Destination)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	t.Routes[at] = e
	return done()
}

type deleteRoute struct {
	Table       string `q:"RouteTableId,required"`
	Destination string `q:"DestinationCidrBlock"`
	_           string `q:"DestinationPrefixListId DestinationIpv6CidrBlock,unsupported"`
}

func (c *call) deleteRoute(in *deleteRoute) (*doneAnswer, error) {
	t, err := get(kindRouteTable, c.region.RouteTables, in.Table)
	if err != nil {
		return nil, err
	}
	if in.Destination == "" {
		return nil, missingParameter("destinationCidrBlock")
	}
	to, err := parseCIDR(in.Destination, "destinationCidrBlock")
	if err != nil {
		return nil, err
	}
	if to.String() == c.region.VPCs[t.VPC].CIDR {
		return nil, apiErrorf("InvalidParameterValue", "cannot remove local route %s in route table %s", to, t.ID)
	}
	at := t.find(to.String())
	if at < 0 {
		return nil, apiErrorf("InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s", to, t.ID)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	t.Routes = slices.Delete(t.Routes, at, at+1)
	return done()
}
