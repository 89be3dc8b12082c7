package ec2

import "encoding/xml"

// nothing describes a kind of resource of which no account here has any: its Describe action answers with an empty list,
// as a client may look before it makes or deletes something else.
type nothing struct {
	element string   // of the list in the answer
	id      string   // parameter with ids
	code    string   // error for an id
	also    []string // other parameters
}

var nothings = map[string]nothing{
	"DescribeAddressTransfers":                 {"addressTransferSet", "AllocationId", "InvalidAllocationID.NotFound", nil},
	"DescribeBundleTasks":                      {"bundleInstanceTasksSet", "BundleId", "InvalidBundleID.NotFound", nil},
	"DescribeCapacityReservations":             {"capacityReservationSet", "CapacityReservationId", "InvalidCapacityReservationId.NotFound", nil},
	"DescribeCarrierGateways":                  {"carrierGatewaySet", "CarrierGatewayId", "InvalidCarrierGatewayID.NotFound", nil},
	"DescribeClientVpnEndpoints":               {"clientVpnEndpoint", "ClientVpnEndpointId", "InvalidClientVpnEndpointId.NotFound", nil},
	"DescribeCustomerGateways":                 {"customerGatewaySet", "CustomerGatewayId", "InvalidCustomerGatewayID.NotFound", nil},
	"DescribeEgressOnlyInternetGateways":       {"egressOnlyInternetGatewaySet", "EgressOnlyInternetGatewayId", "InvalidGatewayID.NotFound", nil},
	"DescribeFleets":                           {"fleetSet", "FleetId", "InvalidFleetId.NotFound", nil},
	"DescribeFlowLogs":                         {"flowLogSet", "FlowLogId", "InvalidFlowLogId.NotFound", nil},
	"DescribeHosts":                            {"hostSet", "HostId", "InvalidHostID.NotFound", nil},
	"DescribeIamInstanceProfileAssociations":   {"iamInstanceProfileAssociationSet", "AssociationId", "NoSuchAssociation", nil},
	"DescribeInstanceConnectEndpoints":         {"instanceConnectEndpointSet", "InstanceConnectEndpointId", "InvalidInstanceConnectEndpointId.NotFound", nil},
	"DescribeInstanceEventWindows":             {"instanceEventWindowSet", "InstanceEventWindowId", "InvalidInstanceEventWindowID.NotFound", nil},
	"DescribeIpv6Pools":                        {"ipv6PoolSet", "PoolId", "InvalidIpv6PoolID.NotFound", nil},
	"DescribeLaunchTemplates":                  {"launchTemplates", "LaunchTemplateId", "InvalidLaunchTemplateId.NotFound", []string{"LaunchTemplateName", "IncludeManagedResources"}},
	"DescribeLocalGateways":                    {"localGatewaySet", "LocalGatewayId", "InvalidLocalGatewayID.NotFound", nil},
	"DescribeManagedPrefixLists":               {"prefixListSet", "PrefixListId", "InvalidPrefixListID.NotFound", nil},
	"DescribeNatGateways":                      {"natGatewaySet", "NatGatewayId", "NatGatewayNotFound", nil},
	"DescribeNetworkInterfacePermissions":      {"networkInterfacePermissions", "NetworkInterfacePermissionId", "InvalidPermissionID.NotFound", nil},
	"DescribePlacementGroups":                  {"placementGroupSet", "GroupId", "InvalidPlacementGroup.Unknown", []string{"GroupName"}},
	"DescribePrefixLists":                      {"prefixListSet", "PrefixListId", "InvalidPrefixListId.NotFound", nil},
	"DescribePublicIpv4Pools":                  {"publicIpv4PoolSet", "PoolId", "InvalidPublicIpv4PoolID.NotFound", nil},
	"DescribeReservedInstances":                {"reservedInstancesSet", "ReservedInstancesId", "InvalidReservationID.NotFound", []string{"OfferingClass", "OfferingType"}},
	"DescribeSecurityGroupVpcAssociations":     {"securityGroupVpcAssociationSet", "", "", nil},
	"DescribeSnapshots":                        {"snapshotSet", "SnapshotId", "InvalidSnapshot.NotFound", []string{"Owner", "RestorableBy"}},
	"DescribeSpotFleetRequests":                {"spotFleetRequestConfigSet", "SpotFleetRequestId", "InvalidSpotFleetRequestId.NotFound", nil},
	"DescribeSpotInstanceRequests":             {"spotInstanceRequestSet", "SpotInstanceRequestId", "InvalidSpotInstanceRequestID.NotFound", nil},
	"DescribeStaleSecurityGroups":              {"staleSecurityGroupSet", "", "", []string{"VpcId"}},
	"DescribeTrafficMirrorSessions":            {"trafficMirrorSessionSet", "TrafficMirrorSessionId", "InvalidTrafficMirrorSessionId.NotFound", nil},
	"DescribeTransitGatewayAttachments":        {"transitGatewayAttachments", "TransitGatewayAttachmentIds", "InvalidTransitGatewayAttachmentID.NotFound", nil},
	"DescribeTransitGatewayVpcAttachments":     {"transitGatewayVpcAttachments", "TransitGatewayAttachmentIds", "InvalidTransitGatewayAttachmentID.NotFound", nil},
	"DescribeTransitGateways":                  {"transitGatewaySet", "TransitGatewayIds", "InvalidTransitGatewayID.NotFound", nil},
	"DescribeVpcEndpointConnections":           {"vpcEndpointConnectionSet", "", "", nil},
	"DescribeVpcEndpointServiceConfigurations": {"serviceConfigurationSet", "ServiceId", "InvalidVpcEndpointServiceId.NotFound", nil},
	"DescribeVpcEndpoints":                     {"vpcEndpointSet", "VpcEndpointId", "InvalidVpcEndpointId.NotFound", nil},
	"DescribeVpcPeeringConnections":            {"vpcPeeringConnectionSet", "VpcPeeringConnectionId", "InvalidVpcPeeringConnectionID.NotFound", nil},
	"DescribeVpnConnections":                   {"vpnConnectionSet", "VpnConnectionId", "InvalidVpnConnectionID.NotFound", nil},
	"DescribeVpnGateways":                      {"vpnGatewaySet", "VpnGatewayId", "InvalidVpnGatewayID.NotFound", nil},
}

type emptyList struct {
	XMLName xml.Name
}

type emptyAnswer struct {
	meta
	List emptyList
}

// describe answers with the empty list, or that the id doesn't exist.
func (n nothing) describe(_ *call, form *node) (answer, error) {
	var in describe
	mark := func(name string) (first string) {
		kid := form.kids[name]
		if kid != nil {
			kid.take()
			first = kid.first()
		}
		return first
	}
	for _, name := range n.also {
		mark(name)
	}
	id := ""
	if n.id != "" {
		id = mark(n.id)
	}
	if err := decode(form, &in); err != nil {
		return nil, err
	}
	if id != "" {
		return nil, apiErrorf(n.code, "The ID '%s' does not exist", id)
	}
	return &emptyAnswer{List: emptyList{xml.Name{Local: n.element}}}, nil
}

// take marks all below a node as used.
func (n *node) take() {
	n.used = true
	for _, kid := range n.kids {
		kid.take()
	}
}

// first is the first value at or below a node.
func (n *node) first() string {
	if n.set {
		return n.value
	}
	for _, k := range sortedKeys(n.kids) {
		return n.kids[k].first()
	}
	return ""
}
