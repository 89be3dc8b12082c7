//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/digitalocean/godo"
	"github.com/vishvananda/netlink"
	"golang.org/x/oauth2"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/option"

	"github.com/skyweld/skyweld/lab/fabric"
	"github.com/skyweld/skyweld/lab/world"
)

// echoPort is where machines note what arrives.
const echoPort = 7000

// arrival is who a packet came from and where it came to, as the machine saw it.
type arrival struct{ from, to netip.Addr }

// bareMachines are machines with nothing in them but somebody who notes what packets arrive.
type bareMachines struct {
	namespace func(machine string) string

	mu      sync.Mutex
	ids     map[string]string // by name
	seen    map[string]arrival
	tokens  int
	sockets []net.PacketConn
}

func (b *bareMachines) StartMachine(_ context.Context, m world.Machine) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := m.Name
	if name == "" {
		name = m.Hostname
	}
	if b.ids[name] != "" {
		return nil
	}
	b.ids[name] = m.ID
	return fabric.Within(b.namespace(m.ID), func() error {
		// A container's address, on the machine that it would be behind.
		behind := map[string]netip.Addr{"a": pod, "c": otherPod}[name[len(name)-1:]]
		if behind.IsValid() {
			lo, err := netlink.LinkByName("lo")
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: behind.AsSlice(), Mask: net.CIDRMask(32, 32)}}); err != nil {
				return err
			}
		}
		return b.listen()
	})
}

// listen notes what arrives at each address of the calling thread's namespace. The lock is held.
func (b *bareMachines) listen() error {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Addr().Is4() || p.Addr().IsLoopback() {
			continue
		}
		c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.Addr(), echoPort)))
		if err != nil {
			return err
		}
		b.sockets = append(b.sockets, c)
		go func() {
			packet := make([]byte, 64<<10)
			for {
				n, from, err := c.ReadFromUDPAddrPort(packet)
				if err != nil {
					return
				}
				token, _, _ := bytes.Cut(packet[:n], []byte(" "))
				b.mu.Lock()
				b.seen[string(token)] = arrival{from.Addr().Unmap(), p.Addr()}
				b.mu.Unlock()
			}
		}()
	}
	return nil
}

func (b *bareMachines) StopMachine(context.Context, string) error    { return nil }
func (b *bareMachines) DestroyMachine(context.Context, string) error { return nil }
func (b *bareMachines) Console(string) []byte                        { return nil }

func (b *bareMachines) MachineState(id string) world.MachineState {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, known := range b.ids {
		if known == id {
			return world.Running
		}
	}
	return world.Stopped
}

func (b *bareMachines) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.sockets {
		_ = c.Close()
	}
}

// token is what a packet is known by.
func (b *bareMachines) token() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens++
	return fmt.Sprintf("packet-%d", b.tokens)
}

func (b *bareMachines) await(token string, patience time.Duration) (arrival, bool) {
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		b.mu.Lock()
		at, ok := b.seen[token]
		b.mu.Unlock()
		if ok || time.Now().After(end) {
			return at, ok
		}
	}
}

// spot waits until a machine of a name runs.
func (w *realities) spot(name, private, public string) *spot {
	w.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		w.bare.mu.Lock()
		id := w.bare.ids[name]
		w.bare.mu.Unlock()
		if id != "" {
			return &spot{id: id, private: netip.MustParseAddr(private), public: netip.MustParseAddr(public)}
		}
	}
	w.Fatalf("machine %s doesn't start", name)
	return nil
}

// need fails the test with an error.
func need[T any](w *realities) func(T, error) T {
	return func(v T, err error) T {
		w.Helper()
		if err != nil {
			w.Fatal(err)
		}
		return v
	}
}

func (w *realities) atAWS(l *Lab) *place {
	w.Helper()
	ctx := w.Context()
	c := ec2.New(ec2.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(l.info.awsURL()), HTTPClient: &http.Client{Transport: trusting(w.T, l)},
		Credentials: credentials.NewStaticCredentialsProvider(l.info.AWSKey, l.info.AWSSecret, ""),
	})
	vpc := need[*ec2.CreateVpcOutput](w)(c.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.64.0.0/16")})).Vpc.VpcId
	subnet := need[*ec2.CreateSubnetOutput](w)(c.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: vpc, CidrBlock: aws.String("10.64.0.0/20")})).Subnet.SubnetId
	igw := need[*ec2.CreateInternetGatewayOutput](w)(c.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{})).InternetGateway.InternetGatewayId
	need[*ec2.AttachInternetGatewayOutput](w)(c.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{InternetGatewayId: igw, VpcId: vpc}))
	table := need[*ec2.DescribeRouteTablesOutput](w)(c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{*vpc}}}})).RouteTables[0].RouteTableId
	need[*ec2.CreateRouteOutput](w)(c.CreateRoute(ctx, &ec2.CreateRouteInput{RouteTableId: table, DestinationCidrBlock: aws.String("0.0.0.0/0"), GatewayId: igw}))
	group := need[*ec2.CreateSecurityGroupOutput](w)(c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{VpcId: vpc, GroupName: aws.String("all"), Description: aws.String("all")})).GroupId
	need[*ec2.AuthorizeSecurityGroupIngressOutput](w)(c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: group, IpPermissions: []types.IpPermission{
		{IpProtocol: aws.String("-1"), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}},
	}}))
	images := need[*ec2.DescribeImagesOutput](w)(c.DescribeImages(ctx, &ec2.DescribeImagesInput{Filters: []types.Filter{
		{Name: aws.String("name"), Values: []string{"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"}},
	}})).Images
	ids := map[string]*string{}
	made := func(name, private string) *spot {
		i := need[*ec2.RunInstancesOutput](w)(c.RunInstances(ctx, &ec2.RunInstancesInput{
			ImageId: images[0].ImageId, InstanceType: types.InstanceTypeT3Small, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
			NetworkInterfaces: []types.InstanceNetworkInterfaceSpecification{{
				DeviceIndex: aws.Int32(0), SubnetId: subnet, Groups: []string{*group}, PrivateIpAddress: &private, AssociatePublicIpAddress: aws.Bool(true),
			}},
			TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("Name"), Value: &name}}}},
		})).Instances[0]
		ids[name] = i.InstanceId
		now := need[*ec2.DescribeInstancesOutput](w)(c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{*i.InstanceId}})).Reservations[0].Instances[0]
		return w.spot(name, private, *now.PublicIpAddress)
	}
	return &place{
		a: made("aws-a", "10.64.0.10"), b: made("aws-b", "10.64.0.11"),
		forward: func(on bool) {
			need[*ec2.ModifyInstanceAttributeOutput](w)(c.ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{
				InstanceId: ids["aws-a"], SourceDestCheck: &types.AttributeBooleanValue{Value: aws.Bool(!on)},
			}))
		},
		route: func(to netip.Prefix) {
			need[*ec2.CreateRouteOutput](w)(c.CreateRoute(ctx, &ec2.CreateRouteInput{RouteTableId: table, DestinationCidrBlock: aws.String(to.String()), InstanceId: ids["aws-a"]}))
		},
	}
}

func (w *realities) atGoogle(l *Lab) *place {
	w.Helper()
	const zone, region = "us-east4-a", "us-east4"
	project := l.info.GCPProject
	client := &http.Client{Transport: &oauth2.Transport{Base: trusting(w.T, l), Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: l.info.GCPToken})}}
	c := need[*compute.Service](w)(compute.NewService(w.Context(), option.WithHTTPClient(client), option.WithEndpoint(l.info.gcpURL()+"/compute/v1/")))
	done := func(op *compute.Operation, err error) {
		w.Helper()
		for ; err == nil && op.Status != "DONE"; time.Sleep(5 * time.Millisecond) {
			switch {
			case op.Zone != "":
				op, err = c.ZoneOperations.Wait(project, zone, op.Name).Do()
			case op.Region != "":
				op, err = c.RegionOperations.Wait(project, region, op.Name).Do()
			default:
				op, err = c.GlobalOperations.Wait(project, op.Name).Do()
			}
		}
		if err != nil || op.Error != nil {
			w.Fatalf("%v %+v", err, op)
		}
	}
	done(c.Networks.Insert(project, &compute.Network{Name: "net", ForceSendFields: []string{"AutoCreateSubnetworks"}}).Do())
	done(c.Subnetworks.Insert(project, region, &compute.Subnetwork{Name: "net", Network: "global/networks/net", IpCidrRange: "10.65.0.0/20"}).Do())
	done(c.Firewalls.Insert(project, &compute.Firewall{Name: "all", Network: "global/networks/net", Allowed: []*compute.FirewallAllowed{{IPProtocol: "all"}}, SourceRanges: []string{"0.0.0.0/0"}}).Do())
	made := func(name, private string, forward bool) *spot {
		done(c.Instances.Insert(project, zone, &compute.Instance{
			Name: name, MachineType: "zones/" + zone + "/machineTypes/e2-small", CanIpForward: forward,
			Disks:             []*compute.AttachedDisk{{Boot: true, AutoDelete: true, InitializeParams: &compute.AttachedDiskInitializeParams{SourceImage: "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"}}},
			NetworkInterfaces: []*compute.NetworkInterface{{Subnetwork: "regions/" + region + "/subnetworks/net", NetworkIP: private, AccessConfigs: []*compute.AccessConfig{{Name: "nat", Type: "ONE_TO_ONE_NAT"}}}},
		}).Do())
		i := need[*compute.Instance](w)(c.Instances.Get(project, zone, name).Do())
		return w.spot(name, private, i.NetworkInterfaces[0].AccessConfigs[0].NatIP)
	}
	return &place{
		a: made("gcp-a", "10.65.0.10", false), b: made("gcp-b", "10.65.0.11", false), c: made("gcp-c", "10.65.0.12", true),
		route: func(to netip.Prefix) {
			name, hop := "pods", "gcp-a"
			if to == otherPods {
				name, hop = "other-pods", "gcp-c"
			}
			done(c.Routes.Insert(project, &compute.Route{Name: name, Network: "global/networks/net", DestRange: to.String(), Priority: 100, NextHopInstance: "zones/" + zone + "/instances/" + hop}).Do())
		},
	}
}

func (w *realities) atAzure(l *Lab) *place {
	w.Helper()
	const network = "/providers/Microsoft.Network/"
	s := newSubscription(w.T, l)
	s.put(w.T, "", object{"location": "eastus"})
	s.put(w.T, network+"networkSecurityGroups/fw", object{"location": "eastus", "properties": object{"securityRules": []any{object{"name": "all", "properties": object{
		"direction": "Inbound", "access": "Allow", "protocol": "*", "priority": 100, "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*",
	}}}}})
	subnet := object{"addressPrefix": "10.66.0.0/20"}
	s.put(w.T, network+"virtualNetworks/net", object{"location": "eastus", "properties": object{
		"addressSpace": object{"addressPrefixes": []string{"10.66.0.0/16"}}, "subnets": []any{object{"name": "nodes", "properties": subnet}},
	}})
	made := func(name, private string) *spot {
		public := s.machine(w.T, name, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIuBqPCZ0Tvx6DlgWmbUh9vLS7bWjGmYVK8nFcCyCeIL")
		return w.spot(name, private, public)
	}
	a, b := made("azure-a", "10.66.0.4"), made("azure-b", "10.66.0.5")
	return &place{
		a: a, b: b,
		forward: func(on bool) {
			path := network + "networkInterfaces/azure-a"
			_, nic := s.do(w.T, http.MethodGet, s.root+s.group+path+"?api-version=2025-03-01", nil)
			nic["properties"].(object)["enableIPForwarding"] = on
			s.put(w.T, path, nic)
		},
		route: func(to netip.Prefix) {
			s.put(w.T, network+"routeTables/ways", object{"location": "eastus", "properties": object{"routes": []any{object{"name": "pods", "properties": object{
				"addressPrefix": to.String(), "nextHopType": "VirtualAppliance", "nextHopIpAddress": a.private.String(),
			}}}}})
			subnet["routeTable"] = object{"id": s.group + network + "routeTables/ways"}
			s.put(w.T, network+"virtualNetworks/net/subnets/nodes", object{"properties": subnet})
		},
	}
}

func (w *realities) atDigitalOcean(l *Lab) *place {
	w.Helper()
	c, ctx := account(w.T, l), w.Context()
	vpc, _, err := c.VPCs.Create(ctx, &godo.VPCCreateRequest{Name: "realities", RegionSlug: "nyc3", IPRange: "10.67.0.0/20"})
	if err != nil {
		w.Fatal(err)
	}
	made := func(name string) *spot {
		d, _, err := c.Droplets.Create(ctx, &godo.DropletCreateRequest{Name: name, Region: "nyc3", Size: "s-1vcpu-1gb", Image: godo.DropletCreateImage{Slug: "ubuntu-24-04-x64"}, SSHKeys: []godo.DropletCreateSSHKey{}, VPCUUID: vpc.ID})
		for end := time.Now().Add(time.Minute); err == nil && d.Status != "active"; time.Sleep(5 * time.Millisecond) {
			if d, _, err = c.Droplets.Get(ctx, d.ID); time.Now().After(end) {
				w.Fatalf("Droplet %s is %s", name, d.Status)
			}
		}
		if err != nil {
			w.Fatal(err)
		}
		public, _ := d.PublicIPv4()
		private, _ := d.PrivateIPv4()
		return w.spot(name, private, public)
	}
	p := &place{a: made("ocean-a"), b: made("ocean-b")}
	id, err := strconv.Atoi(strings.TrimSpace(p.a.id))
	if err != nil {
		w.Fatal(err)
	}
	ip, _, err := c.ReservedIPs.Create(ctx, &godo.ReservedIPCreateRequest{DropletID: id})
	if err != nil {
		w.Fatal(err)
	}
	p.reserved = netip.MustParseAddr(ip.IP)
	return p
}
