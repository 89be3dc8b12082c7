package conformance_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/drift"
	"github.com/skyweld/skyweld/lab/world"
)

// awsIDs are EC2's ids, which differ from run to run.
var awsIDs = regexp.MustCompile(`\b(vpc|subnet|rtb|rtbassoc|sg|sgr|igw|eipalloc|eipassoc|i|vol|eni|eni-attach)-[0-9a-f]{17}\b`)

// newAWSDrift is a site on a lab, by a driver whose key may do everything: what becomes of changes when it may do what the
// policy for users allows is in TestAWSMarkGoneUnderThePolicy.
func newAWSDrift(t *testing.T) (*driftSite, *ec2.Client) {
	t.Helper()
	lab := newAWSLab(t, world.Instant)
	s := &driftSite{
		site: awsSite(), shell: awsShell(lab.client()),
		plain: func(text string) string {
			text = regexp.MustCompile(`operation error EC2: \w+, https response error StatusCode: \d+, RequestID: [^,]*, api error `).ReplaceAllString(text, "")
			return awsIDs.ReplaceAllString(text, "$1-…")
		},
	}
	d, err := aws.New(t.Context(), lab.account, s.count)
	if err != nil {
		t.Fatal(err)
	}
	s.d = d
	return s, lab.client()
}

func TestDriftAWS(t *testing.T) {
	s, c := newAWSDrift(t)
	a := awsHand{c}
	s.T = t
	before := s.items()
	playDrift(t, s, slices.Concat(a.network(), a.tables(), a.groups(), a.addresses(), a.machines(), a.outlived()))
	s.clear(t, before)
}

// awsHand makes the scenes for EC2.
type awsHand struct{ c *ec2.Client }

// unmark is the scene in which the tags of a resource are taken off.
func (awsHand) unmark(key string) driftScene {
	return driftScene{key: key, change: drift.MarkGone, command: "aws ec2 delete-tags --resources <" + key + "> --tags Key=skyweld-cluster Key=skyweld-key"}
}

// nobody is the scene of a field that no call of EC2's can set: of all that take the resource's id none takes the value,
// but those that make something new, or mean another thing by it.
func (awsHand) nobody(key, field, id, value string, but ...string) driftScene {
	const none = "EC2 has no call for it"
	return driftScene{key: key, field: field, change: drift.Changed, refused: none, do: func(*driftSite) error {
		if call := awsNobody(id, value, but...); call != "" {
			return fmt.Errorf("%s takes %s and %s", call, id, value)
		}
		return fmt.Errorf("%s: none takes both a %s and a %s", none, id, value)
	}}
}

// gone deletes resources by hand, so that others can be: the driver's way is only the shortest.
func gone(keys ...string) func(*driftSite) error {
	return func(s *driftSite) error {
		for _, key := range keys {
			if err := s.d.Delete(s.Context(), cloudtest.TestOwner, s.ledger[key]); err != nil {
				return err
			}
		}
		return nil
	}
}

// but are all resources, the last made first, but for some.
func (s *driftSite) but(kinds ...cloud.Kind) []string {
	var out []string
	for _, r := range slices.Backward(s.list) {
		if !slices.Contains(kinds, r.Kind) {
			out = append(out, r.Key)
		}
	}
	return out
}

// noMachines ends all machines, and the associations of their addresses.
func noMachines(s *driftSite) error {
	var keys []string
	for _, r := range slices.Backward(s.list) {
		if r.Kind == "instance" || r.Kind == "address-association" {
			keys = append(keys, r.Key)
		}
	}
	return gone(keys...)(s)
}

func (a awsHand) network() []driftScene {
	return []driftScene{
		{key: awsVPC, change: "deleted, in use", command: "aws ec2 delete-vpc --vpc-id <conf-vpc>", refused: "DependencyViolation"},
		{key: awsVPC, change: drift.Deleted, once: "all in it is deleted", command: "aws ec2 delete-vpc --vpc-id <conf-vpc>", before: func(s *driftSite) error { return gone(s.but("vpc")...)(s) }},
		a.unmark(awsVPC),
		a.nobody(awsVPC, "cidr", "VpcId", "CidrBlock", "CreateSubnet", "AssociateVpcCidrBlock"),
		{
			key: awsVPC, change: "host names switched off", command: "aws ec2 modify-vpc-attribute --vpc-id <conf-vpc> --no-enable-dns-hostnames",
			left: "only a call for each VPC would tell, and machines are known by their addresses",
			after: func(s *driftSite) error {
				return s.shell(s, s.fill("aws ec2 modify-vpc-attribute --vpc-id <conf-vpc> --enable-dns-hostnames"))
			},
		},
		{
			key: awsVPC, change: "names switched off", command: "aws ec2 modify-vpc-attribute --vpc-id <conf-vpc> --no-enable-dns-support",
			left: "only a call for each VPC would tell; machines then find no name, and say so themselves (decision 015)",
			after: func(s *driftSite) error {
				return s.shell(s, s.fill("aws ec2 modify-vpc-attribute --vpc-id <conf-vpc> --enable-dns-support"))
			},
		},
		{
			key: awsGateway, change: "deleted, in use", refused: "DependencyViolation",
			command: "aws ec2 detach-internet-gateway --internet-gateway-id <conf-igw> --vpc-id <conf-vpc>",
		},
		{key: awsGateway, change: drift.Deleted, once: "no machine has a public address", command: "aws ec2 detach-internet-gateway --internet-gateway-id <conf-igw> --vpc-id <conf-vpc> && " +
			"aws ec2 delete-internet-gateway --internet-gateway-id <conf-igw>", before: noMachines},
		a.unmark(awsGateway),
		{
			key: awsGateway, field: "vpc", change: drift.Changed, once: "no machine has a public address", before: noMachines,
			command: "aws ec2 detach-internet-gateway --internet-gateway-id <conf-igw> --vpc-id <conf-vpc>",
		},
		{key: awsSubnet, change: "deleted, in use", command: "aws ec2 delete-subnet --subnet-id <conf-subnet-a>", refused: "DependencyViolation"},
		{key: awsSubnet, change: drift.Deleted, once: "no machine is in it", command: "aws ec2 delete-subnet --subnet-id <conf-subnet-a>", before: noMachines},
		a.unmark(awsSubnet),
		a.nobody(awsSubnet, "vpc", "SubnetId", "VpcId", "CreateNatGateway", "CreateVpcBlockPublicAccessExclusion"),
		a.nobody(awsSubnet, "cidr", "SubnetId", "CidrBlock"),
		a.nobody(awsSubnet, "zone", "SubnetId", "AvailabilityZone", "AssociateClientVpnTargetNetwork"),
		{
			key: awsSubnet, field: "mapPublicIP", change: drift.Changed,
			command: "aws ec2 modify-subnet-attribute --subnet-id <conf-subnet-a> --map-public-ip-on-launch",
		},
	}
}

// tables are the scenes of route tables. A stranger's subnet and table are made and cleared away around some.
func (a awsHand) tables() []driftScene {
	var subnet, table string
	const route = " --route-table-id <conf-routes> --destination-cidr-block "
	return []driftScene{
		{key: awsTable, change: drift.Deleted, do: func(s *driftSite) error {
			if err := a.eachAssociation(s, func(types.RouteTableAssociation) bool { return true }); err != nil {
				return err
			}
			return s.shell(s, s.fill("aws ec2 delete-route-table --route-table-id <conf-routes>"))
		}, command: "aws ec2 disassociate-route-table --association-id <of each subnet> && aws ec2 delete-route-table --route-table-id <conf-routes>"},
		a.unmark(awsTable),
		a.nobody(awsTable, "vpc", "RouteTableId", "VpcId"),
		{key: awsTable, field: "routes", change: drift.Added, command: "aws ec2 create-route" + route + "198.51.100.0/24 --gateway-id <conf-igw>"},
		{key: awsTable, field: "routes", change: drift.Removed, command: "aws ec2 delete-route" + route + "0.0.0.0/0"},
		{key: awsTable, field: "routes", change: drift.Changed, command: "aws ec2 replace-route" + route + "0.0.0.0/0 --instance-id <" + awsWorker + ">"},
		{
			key: awsTable, field: "subnets", change: drift.Added, command: "aws ec2 associate-route-table --route-table-id <conf-routes> --subnet-id <another>",
			before: func(s *driftSite) error {
				out, err := a.c.CreateSubnet(s.Context(), &ec2.CreateSubnetInput{VpcId: sdk.String(s.ledger[awsVPC].ID), CidrBlock: sdk.String("10.64.200.0/24")})
				if err == nil {
					subnet = *out.Subnet.SubnetId
				}
				return err
			},
			do: func(s *driftSite) error {
				return s.shell(s, s.fill("aws ec2 associate-route-table --route-table-id <conf-routes> --subnet-id "+subnet))
			},
			after: func(s *driftSite) error { return s.shell(s, "aws ec2 delete-subnet --subnet-id "+subnet) },
		},
		{
			key: awsTable, field: "subnets", change: drift.Removed, command: "aws ec2 disassociate-route-table --association-id <of " + awsSubnet + ">",
			do: func(s *driftSite) error {
				return a.eachAssociation(s, func(x types.RouteTableAssociation) bool { return sdk.ToString(x.SubnetId) == s.ledger[awsSubnet].ID })
			},
		},
		{
			key: awsTable, field: "subnets", change: drift.Changed,
			command: "aws ec2 replace-route-table-association --association-id <of " + awsSubnet + "> --route-table-id <another>",
			do: func(s *driftSite) error {
				other, err := a.c.CreateRouteTable(s.Context(), &ec2.CreateRouteTableInput{VpcId: sdk.String(s.ledger[awsVPC].ID)})
				if err != nil {
					return err
				}
				table = *other.RouteTable.RouteTableId
				for _, x := range a.associations(s) {
					if sdk.ToString(x.SubnetId) == s.ledger[awsSubnet].ID {
						return s.shell(s, "aws ec2 replace-route-table-association --association-id "+*x.RouteTableAssociationId+" --route-table-id "+table)
					}
				}
				return nil
			},
			after: func(s *driftSite) error { return s.shell(s, "aws ec2 delete-route-table --route-table-id "+table) },
		},
	}
}

func (a awsHand) associations(s *driftSite) []types.RouteTableAssociation {
	s.Helper()
	out, err := a.c.DescribeRouteTables(s.Context(), &ec2.DescribeRouteTablesInput{RouteTableIds: []string{s.ledger[awsTable].ID}})
	if err != nil {
		s.Fatal(err)
	}
	return out.RouteTables[0].Associations
}

func (a awsHand) eachAssociation(s *driftSite, which func(types.RouteTableAssociation) bool) error {
	for _, x := range a.associations(s) {
		if !which(x) {
			continue
		}
		if err := s.shell(s, "aws ec2 disassociate-route-table --association-id "+*x.RouteTableAssociationId); err != nil {
			return err
		}
	}
	return nil
}

func (a awsHand) groups() []driftScene {
	const group, out = " --group-id <conf-sg-control-plane> --protocol tcp --port ", " --group-id <conf-sg-nodes> --protocol "
	return []driftScene{
		{
			key: "conf-sg-control-plane", change: drift.Deleted, command: "aws ec2 modify-instance-attribute --instance-id <" + awsCP + "> --groups <conf-sg-nodes> && " +
				"aws ec2 modify-instance-attribute --instance-id <conf-node-conf-cp-2> --groups <conf-sg-nodes> && aws ec2 delete-security-group --group-id <conf-sg-control-plane>",
		},
		a.unmark(awsGroup),
		a.nobody(awsGroup, "vpc", "GroupId", "VpcId", "AssociateSecurityGroupVpc", "DisassociateSecurityGroupVpc"),
		{key: "conf-sg-control-plane", field: "ingress", change: drift.Added, command: "aws ec2 authorize-security-group-ingress" + group + "1-65535 --cidr 0.0.0.0/0"},
		{key: "conf-sg-control-plane", field: "ingress", change: drift.Removed, command: "aws ec2 revoke-security-group-ingress" + group + "6443 --cidr 192.0.2.0/24"},
		{
			key: "conf-sg-control-plane", field: "ingress", change: drift.Changed, command: "aws ec2 revoke-security-group-ingress" + group + "6443 --cidr 192.0.2.0/24 && " +
				"aws ec2 authorize-security-group-ingress" + group + "6443 --cidr 0.0.0.0/0",
		},
		{key: awsGroup, field: "egress", change: drift.Added, command: "aws ec2 authorize-security-group-egress" + out + "tcp --port 25 --cidr 203.0.113.0/24"},
		{key: awsGroup, field: "egress", change: drift.Removed, command: "aws ec2 revoke-security-group-egress" + out + "-1 --cidr 0.0.0.0/0"},
		{
			key: awsGroup, field: "egress", change: drift.Changed, command: "aws ec2 revoke-security-group-egress" + out + "-1 --cidr 0.0.0.0/0 && " +
				"aws ec2 authorize-security-group-egress" + out + "tcp --port 443 --cidr 0.0.0.0/0",
		},
	}
}

// theirs is a stranger's Elastic IP for a scene.
func (a awsHand) theirs(id *string) (before, after func(*driftSite) error) {
	before = func(s *driftSite) error {
		out, err := a.c.AllocateAddress(s.Context(), &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc})
		if err == nil {
			*id = *out.AllocationId
		}
		return err
	}
	after = func(s *driftSite) error { return s.shell(s, "aws ec2 release-address --allocation-id "+*id) }
	return before, after
}

func (a awsHand) addresses() []driftScene {
	const detach = "aws ec2 disassociate-address --association-id <" + awsAssociation + ">"
	var theirs string
	before, after := a.theirs(&theirs)
	return []driftScene{
		{key: awsAddress, change: drift.Deleted, command: detach + " && aws ec2 release-address --allocation-id <" + awsAddress + ">"},
		a.unmark(awsAddress),
		{key: awsAssociation, change: drift.Deleted, command: detach},
		{
			key: awsAssociation, change: drift.MarkGone, command: "aws ec2 delete-tags --resources <" + awsAssociation + "> --tags Key=skyweld-cluster",
			refused: "InvalidID",
		},
		{
			key: awsAssociation, field: "instance", change: drift.Changed,
			command: "aws ec2 associate-address --allocation-id <" + awsAddress + "> --instance-id <" + awsWorker + "> --allow-reassociation",
		},
		{
			key: awsAssociation, field: "address", change: drift.Changed, before: before, after: after,
			command: "aws ec2 associate-address --allocation-id <another> --instance-id <" + awsCP + ">",
			do: func(s *driftSite) error {
				return s.shell(s, s.fill("aws ec2 associate-address --allocation-id "+theirs+" --instance-id <"+awsCP+">"))
			},
		},
	}
}

func (a awsHand) machines() []driftScene {
	const id = " --instance-id <" + awsWorker + "> "
	const stop, start = "aws ec2 stop-instances --instance-ids <" + awsWorker + ">", "aws ec2 start-instances --instance-ids <" + awsWorker + ">"
	const options = "aws ec2 modify-instance-metadata-options" + id
	var theirs string
	before, after := a.theirs(&theirs)
	return []driftScene{
		{key: awsWorker, change: drift.Deleted, command: "aws ec2 terminate-instances --instance-ids <" + awsWorker + ">"},
		a.unmark(awsWorker),
		{key: awsWorker, change: drift.Stopped, command: stop},
		a.nobody(awsWorker, "subnet", "InstanceId", "SubnetId"),
		a.nobody(awsWorker, "zone", "InstanceId", "AvailabilityZone"),
		a.nobody(awsWorker, "privateAddress", "InstanceId", "PrivateIpAddress", "AssociateAddress"),
		{
			key: awsWorker, field: "type", change: drift.Changed,
			command: stop + " && aws ec2 modify-instance-attribute" + id + "--instance-type Value=t3.large && " + start,
		},
		{
			key: awsWorker, field: "securityGroups", change: drift.Added,
			command: "aws ec2 modify-instance-attribute" + id + "--groups <conf-sg-nodes> <conf-sg-control-plane>",
		},
		{key: awsWorker, field: "securityGroups", change: drift.Removed, command: "aws ec2 modify-instance-attribute" + id + "--groups <conf-sg-control-plane>"},
		{
			key: awsWorker, field: "publicAddress", change: drift.Changed, before: before, after: after,
			command: "aws ec2 associate-address --allocation-id <another> --instance-id <" + awsWorker + "> && aws ec2 disassociate-address --association-id <of that>",
			do: func(s *driftSite) error {
				out, err := a.c.AssociateAddress(s.Context(), &ec2.AssociateAddressInput{AllocationId: &theirs, InstanceId: sdk.String(s.ledger[awsWorker].ID)})
				if err != nil {
					return err
				}
				return s.shell(s, "aws ec2 disassociate-address --association-id "+*out.AssociationId)
			},
		},
		{key: awsWorker, field: "sourceDestCheck", change: drift.Changed, command: "aws ec2 modify-instance-attribute" + id + "--source-dest-check"},
		{key: awsWorker, field: "metadata.enabled", change: drift.Changed, command: options + "--http-endpoint disabled"},
		{key: awsWorker, field: "metadata.tokensRequired", change: drift.Changed, command: options + "--http-tokens optional"},
		{key: awsWorker, field: "metadata.hopLimit", change: drift.Changed, command: options + "--http-put-response-hop-limit 5"},
		{key: awsWorker, field: "diskGiB", change: drift.Changed, command: "aws ec2 modify-volume --volume-id <" + awsWorker + "-disk> --size 50"},
		{
			key: awsWorker, change: "disk detached", command: stop + " && aws ec2 detach-volume --volume-id <" + awsWorker + "-disk>",
		},
		{
			key: awsWorker, change: "termination protection switched on", command: "aws ec2 modify-instance-attribute" + id + "--disable-api-termination",
			left: "only a call for each machine would tell; a deletion is refused, and names it", after: func(s *driftSite) error {
				return s.shell(s, s.fill("aws ec2 modify-instance-attribute"+id+"--no-disable-api-termination"))
			},
		},
	}
}

// outlived are the scenes of disks and interfaces that are told to outlive their machine.
func (a awsHand) outlived() []driftScene {
	return []driftScene{
		{
			kind: "volume", change: "outlives its machine",
			command: "aws ec2 modify-instance-attribute --instance-id <" + awsWorker + "> --block-device-mappings DeviceName=/dev/sda1,Ebs={DeleteOnTermination=false} && " +
				"aws ec2 terminate-instances --instance-ids <" + awsWorker + ">",
			do: func(s *driftSite) error {
				i := a.instance(s, awsWorker)
				_, err := a.c.ModifyInstanceAttribute(s.Context(), &ec2.ModifyInstanceAttributeInput{
					InstanceId: i.InstanceId, BlockDeviceMappings: []types.InstanceBlockDeviceMappingSpecification{{
						DeviceName: i.RootDeviceName, Ebs: &types.EbsInstanceBlockDeviceSpecification{DeleteOnTermination: sdk.Bool(false)},
					}},
				})
				if err != nil {
					return err
				}
				return s.shell(s, "aws ec2 terminate-instances --instance-ids "+*i.InstanceId)
			},
		},
		{
			kind: "network-interface", change: "outlives its machine",
			command: "aws ec2 modify-network-interface-attribute --network-interface-id <" + awsWorker + "-nic> --attachment AttachmentId=$(aws ec2 describe-network-interfaces --network-interface-ids <" + awsWorker + "-nic> " +
				"--query NetworkInterfaces[0].Attachment.AttachmentId --output text),DeleteOnTermination=false && " +
				"aws ec2 terminate-instances --instance-ids <" + awsWorker + ">",
			do: func(s *driftSite) error {
				i := a.instance(s, awsWorker)
				nic := i.NetworkInterfaces[0]
				_, err := a.c.ModifyNetworkInterfaceAttribute(s.Context(), &ec2.ModifyNetworkInterfaceAttributeInput{
					NetworkInterfaceId: nic.NetworkInterfaceId, Attachment: &types.NetworkInterfaceAttachmentChanges{
						AttachmentId: nic.Attachment.AttachmentId, DeleteOnTermination: sdk.Bool(false),
					},
				})
				if err != nil {
					return err
				}
				return s.shell(s, "aws ec2 terminate-instances --instance-ids "+*i.InstanceId)
			},
		},
	}
}

func (a awsHand) instance(s *driftSite, key string) types.Instance {
	s.Helper()
	out, err := a.c.DescribeInstances(s.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{s.ledger[key].ID}})
	if err != nil {
		s.Fatal(err)
	}
	return out.Reservations[0].Instances[0]
}

// TestAWSMarkGoneUnderThePolicy takes the tags off a VPC where the driver's key may do what the policy for users allows,
// which is nothing to what has no tags: it says so and what to do, and makes no second VPC. Once the tags are back, all is
// as it was.
func TestAWSMarkGoneUnderThePolicy(t *testing.T) {
	lab := newAWSLab(t, world.Instant)
	d := lab.driver(t, awsSecret)
	s := &driftSite{T: t, d: d, site: awsSite(), shell: awsShell(lab.client())}
	s.build()
	id := s.ledger[awsVPC].ID
	if err := s.shell(s, "aws ec2 delete-tags --resources "+id+" --tags Key=skyweld-cluster Key=skyweld-key"); err != nil {
		t.Fatal(err)
	}
	graph, _ := s.look()
	if len(graph.Steps) != 1 || graph.Steps[0].ID != "update/"+awsVPC || graph.Steps[0].Reason != "somebody took its owner mark" {
		t.Fatalf("the plan: %+v", graph.Steps)
	}
	err := s.step(t.Context(), graph.Steps[0])
	_, advice, ok := strings.Cut(fmt.Sprint(err), "Put the mark back with: ")
	if cloud.ClassOf(err) != cloud.Denied || !ok {
		t.Fatalf("error %v of class %s, want a denial with advice", err, cloud.ClassOf(err))
	}
	advice, _, _ = strings.Cut(advice, ":\n")
	if err := s.shell(s, strings.TrimSpace(advice)); err != nil {
		t.Errorf("%s: %v", advice, err)
	}
	s.lookQuietly()
}
