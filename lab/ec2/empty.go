package ec2

import (
	"encoding/xml"

	"github.com/skyweld/skyweld/lab/ec2/internal/query"
)

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
func (n nothing) describe(_ *call, form *query.Node) (answer, error) {
	var in describe
	for _, name := range n.also {
		form.Take(name)
	}
	id := form.Take(n.id)
	if err := query.Decode(form, &in); err != nil {
		return nil, err
	}
	if id != "" {
		return nil, apiErrorf(n.code, "The ID '%s' does not exist", id)
	}
	return &emptyAnswer{List: emptyList{xml.Name{Local: n.element}}}, nil
}
