package ec2

import (
	"strings"

	"github.com/skyweld/skyweld/lab/ec2/internal/query"
)

// apiError is an error in EC2's own terms.
type apiError = query.Error

func apiErrorf(code, format string, args ...any) error { return query.Errorf(code, format, args...) }

func missingParameter(name string) error { return query.Missing(name) }

func invalidValue(value any, parameter, why string) error {
	return query.Invalid(value, parameter, why)
}

// dependencyViolation is the refusal to delete what others need.
func dependencyViolation(kind, id string) error {
	return apiErrorf("DependencyViolation", "The %s '%s' has dependencies and cannot be deleted.", kind, id)
}

// kind is how a type of resource is named in ids and errors.
type kind struct {
	prefix    string // of an id, with the hyphen
	noun      string // in "The noun 'id' does not exist"
	notFound  string // error code
	malformed string // error code
	tagType   string // in TagSpecification and DescribeTags
}

// The kinds of resources. Codes and wording are EC2's ("Error codes for the Amazon EC2 API"); they are not regular.
var (
	kindVPC         = kind{"vpc-", "vpc ID", "InvalidVpcID.NotFound", "InvalidVpcId.Malformed", "vpc"}
	kindSubnet      = kind{"subnet-", "subnet ID", "InvalidSubnetID.NotFound", "InvalidSubnetID.Malformed", "subnet"}
	kindGateway     = kind{"igw-", "internetGateway ID", "InvalidInternetGatewayID.NotFound", "InvalidInternetGatewayId.Malformed", "internet-gateway"}
	kindRouteTable  = kind{"rtb-", "routeTable ID", "InvalidRouteTableID.NotFound", "InvalidRouteTableId.Malformed", "route-table"}
	kindGroup       = kind{"sg-", "security group", "InvalidGroup.NotFound", "InvalidGroupId.Malformed", "security-group"}
	kindGroupRule   = kind{"sgr-", "security group rule ID", "InvalidSecurityGroupRuleId.NotFound", "InvalidSecurityGroupRuleId.Malformed", "security-group-rule"}
	kindACL         = kind{"acl-", "networkAcl ID", "InvalidNetworkAclID.NotFound", "InvalidNetworkAclId.Malformed", "network-acl"}
	kindDHCP        = kind{"dopt-", "dhcpOption ID", "InvalidDhcpOptionID.NotFound", "InvalidDhcpOptionsId.Malformed", "dhcp-options"}
	kindKeyPair     = kind{"key-", "key pair", "InvalidKeyPair.NotFound", "InvalidKeyPair.Format", "key-pair"}
	kindAddress     = kind{"eipalloc-", "allocation ID", "InvalidAllocationID.NotFound", "InvalidAllocationID.Malformed", "elastic-ip"}
	kindInterface   = kind{"eni-", "networkInterface ID", "InvalidNetworkInterfaceID.NotFound", "InvalidNetworkInterfaceId.Malformed", "network-interface"}
	kindInstance    = kind{"i-", "instance ID", "InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed", "instance"}
	kindVolume      = kind{"vol-", "volume", "InvalidVolume.NotFound", "InvalidVolumeID.Malformed", "volume"}
	kindImage       = kind{"ami-", "image id", "InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "image"}
	kindReservation = kind{"r-", "reservation", "", "", ""}
)

// taggable are the kinds whose records carry tags.
var taggable = []kind{kindVPC, kindSubnet, kindGateway, kindRouteTable, kindGroup, kindGroupRule, kindACL, kindDHCP,
	kindKeyPair, kindAddress, kindInterface, kindInstance, kindVolume}

// missing says that there is no such resource, or that the id can't be one.
func (k kind) missing(ids ...string) error {
	for _, id := range ids {
		if !k.wellFormed(id) {
			return apiErrorf(k.malformed, "Invalid id: %q (expecting %q)", id, k.prefix+"...")
		}
	}
	switch {
	case k.prefix == kindImage.prefix:
		return apiErrorf(k.notFound, "The image id '[%s]' does not exist", strings.Join(ids, ", "))
	case len(ids) > 1:
		return apiErrorf(k.notFound, "The %ss '%s' do not exist", k.noun, strings.Join(ids, ", "))
	}
	return apiErrorf(k.notFound, "The %s '%s' does not exist", k.noun, ids[0])
}

// wellFormed says whether an id has the kind's prefix and 8 or 17 hexadecimal digits.
func (k kind) wellFormed(id string) bool {
	digits, ok := strings.CutPrefix(id, k.prefix)
	if !ok || len(digits) != 8 && len(digits) != 17 {
		return false
	}
	return strings.Trim(digits, "0123456789abcdef") == ""
}
