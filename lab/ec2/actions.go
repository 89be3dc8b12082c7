package ec2

// actions are all that the lab does of EC2's.
var actions = allActions()

func allActions() map[string]action {
	all := map[string]action{
		"DescribeAccountAttributes": do((*call).describeAccount),
		"DescribeAvailabilityZones": do((*call).describeZones),
		"DescribeRegions":           do((*call).describeRegions),

		"CreateDefaultVpc":         do((*call).createDefaultVPC),
		"CreateVpc":                do((*call).createVPC),
		"DeleteVpc":                do((*call).deleteVPC),
		"DescribeDhcpOptions":      do((*call).describeDHCP),
		"DescribeNetworkAcls":      do((*call).describeACLs),
		"DescribeVpcAttribute":     do((*call).describeVPCAttribute),
		"DescribeVpcs":             do((*call).describeVPCs),
		"ModifyVpcAttribute":       do((*call).modifyVPC),
		"CreateSubnet":             do((*call).createSubnet),
		"DeleteSubnet":             do((*call).deleteSubnet),
		"DescribeSubnets":          do((*call).describeSubnets),
		"ModifySubnetAttribute":    do((*call).modifySubnet),
		"AttachInternetGateway":    do((*call).attachGateway),
		"CreateInternetGateway":    do((*call).createGateway),
		"DeleteInternetGateway":    do((*call).deleteGateway),
		"DescribeInternetGateways": do((*call).describeGateways),
		"DetachInternetGateway":    do((*call).detachGateway),

		"AssociateRouteTable":          do((*call).associateTable),
		"CreateRoute":                  do((*call).createRoute),
		"CreateRouteTable":             do((*call).createTable),
		"DeleteRoute":                  do((*call).deleteRoute),
		"DeleteRouteTable":             do((*call).deleteTable),
		"DescribeRouteTables":          do((*call).describeTables),
		"DisassociateRouteTable":       do((*call).disassociateTable),
		"ReplaceRoute":                 do((*call).replaceRoute),
		"ReplaceRouteTableAssociation": do((*call).replaceAssociation),

		"AuthorizeSecurityGroupEgress":               do((*call).authorizeEgress),
		"AuthorizeSecurityGroupIngress":              do((*call).authorizeIngress),
		"CreateSecurityGroup":                        do((*call).createGroup),
		"DeleteSecurityGroup":                        do((*call).deleteGroup),
		"DescribeSecurityGroupRules":                 do((*call).describeRules),
		"DescribeSecurityGroups":                     do((*call).describeGroups),
		"GetSecurityGroupsForVpc":                    do((*call).groupsForVPC),
		"ModifySecurityGroupRules":                   do((*call).modifyRules),
		"RevokeSecurityGroupEgress":                  do((*call).revokeEgress),
		"RevokeSecurityGroupIngress":                 do((*call).revokeIngress),
		"UpdateSecurityGroupRuleDescriptionsEgress":  do((*call).updateEgress),
		"UpdateSecurityGroupRuleDescriptionsIngress": do((*call).updateIngress),

		"CreateKeyPair":    do((*call).createKey),
		"DeleteKeyPair":    do((*call).deleteKey),
		"DescribeKeyPairs": do((*call).describeKeys),
		"ImportKeyPair":    do((*call).importKey),

		"AllocateAddress":            do((*call).allocateAddress),
		"AssociateAddress":           do((*call).associateAddress),
		"DescribeAddresses":          do((*call).describeAddresses),
		"DescribeAddressesAttribute": do((*call).addressAttributes),
		"DisassociateAddress":        do((*call).disassociateAddress),
		"ReleaseAddress":             do((*call).releaseAddress),

		"AttachNetworkInterface":            do((*call).attachInterface),
		"CreateNetworkInterface":            do((*call).createInterface),
		"DeleteNetworkInterface":            do((*call).deleteInterface),
		"DescribeNetworkInterfaceAttribute": do((*call).describeInterfaceAttribute),
		"DescribeNetworkInterfaces":         do((*call).describeInterfaces),
		"DetachNetworkInterface":            do((*call).detachInterface),
		"ModifyNetworkInterfaceAttribute":   do((*call).modifyInterface),

		"DescribeInstanceAttribute":            do((*call).describeInstanceAttribute),
		"DescribeInstanceCreditSpecifications": do((*call).describeCredits),
		"DescribeInstanceStatus":               do((*call).describeStatus),
		"DescribeInstances":                    do((*call).describeInstances),
		"GetConsoleOutput":                     do((*call).consoleOutput),
		"ModifyInstanceAttribute":              do((*call).modifyInstance),
		"ModifyInstanceMetadataOptions":        do((*call).modifyMetadata),
		"RebootInstances":                      do((*call).rebootInstances),
		"RunInstances":                         do((*call).runInstances),
		"StartInstances":                       do((*call).startInstances),
		"StopInstances":                        do((*call).stopInstances),
		"TerminateInstances":                   do((*call).terminateInstances),

		"AttachVolume":                 do((*call).attachVolume),
		"CreateVolume":                 do((*call).createVolume),
		"DeleteVolume":                 do((*call).deleteVolume),
		"DescribeVolumeStatus":         do((*call).describeVolumeStatus),
		"DescribeVolumes":              do((*call).describeVolumes),
		"DescribeVolumesModifications": do((*call).describeModifications),
		"DetachVolume":                 do((*call).detachVolume),
		"ModifyVolume":                 do((*call).modifyVolume),

		"DescribeImages":                do((*call).describeImages),
		"DescribeInstanceTypeOfferings": do((*call).describeOfferings),
		"DescribeInstanceTypes":         do((*call).describeTypes),

		"CreateTags":   do((*call).createTags),
		"DeleteTags":   do((*call).deleteTags),
		"DescribeTags": do((*call).describeTags),
	}
	for name, n := range nothings {
		all[name] = n.describe
	}
	return all
}
