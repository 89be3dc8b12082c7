package gce

import (
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/lab/world"
)

// TestClusterLife goes the way the driver goes: network, subnet, firewall, address, instance, and back.
func TestClusterLife(t *testing.T) {
	l := newLab(t)
	l.makeNetwork("sky", "10.64.0.0/20")
	l.done(l.api.Firewalls.Insert(testProject, &compute.Firewall{
		Name: "sky-ssh", Network: "global/networks/sky", SourceRanges: []string{"203.0.113.7/32"}, TargetTags: []string{"node"},
		Allowed: []*compute.FirewallAllowed{{IPProtocol: "tcp", Ports: []string{"22", "6443-6444"}}},
	}).Do())
	l.done(l.api.Firewalls.Insert(testProject, &compute.Firewall{
		Name: "sky-inside", Network: "global/networks/sky", SourceTags: []string{"node"}, Priority: 900, Allowed: []*compute.FirewallAllowed{{IPProtocol: "all"}},
	}).Do())
	l.done(l.api.Addresses.Insert(testProject, testRegion, &compute.Address{Name: "cp", Labels: map[string]string{"skyweld": "x"}}).Do())
	addr, err := l.api.Addresses.Get(testProject, testRegion, "cp").Do()
	if err != nil || addr.Status != "RESERVED" || !strings.HasPrefix(addr.Address, "198.18.") {
		t.Fatalf("address %+v: %v", addr, err)
	}
	in := instance("node-1", "sky")
	in.CanIpForward = true
	in.Tags = &compute.Tags{Items: []string{"node"}}
	in.NetworkInterfaces[0].NetworkIP = "10.64.0.10"
	in.NetworkInterfaces[0].AccessConfigs[0].NatIP = addr.Address
	l.done(l.api.Instances.Insert(testProject, testZone, in).RequestId("5e0cb8c3-7b0f-4f2b-9a0e-1f2d3c4b5a69").Do())

	got, err := l.api.Instances.Get(testProject, testZone, "node-1").Do()
	if err != nil {
		t.Fatal(err)
	}
	nic := got.NetworkInterfaces[0]
	if got.Status != "RUNNING" || nic.NetworkIP != "10.64.0.10" || nic.AccessConfigs[0].NatIP != addr.Address || !got.CanIpForward {
		t.Fatalf("instance %+v", got)
	}
	if want := l.srv.URL + "/compute/v1/projects/skyweld-lab/zones/us-east4-b/instances/node-1"; got.SelfLink != want {
		t.Errorf("self-link %s, want %s", got.SelfLink, want)
	}
	if addr, _ = l.api.Addresses.Get(testProject, testRegion, "cp").Do(); addr.Status != "IN_USE" || len(addr.Users) != 1 {
		t.Errorf("address in use shows %+v", addr)
	}
	checkWorld(t, l, formatID(got.Id), addr.Address)

	_, err = l.api.Addresses.Delete(testProject, testRegion, "cp").Do()
	refused(t, err, 400, "resourceInUseByAnotherResource", "is already being used by 'projects/skyweld-lab/zones/us-east4-b/instances/node-1'")
	_, err = l.api.Subnetworks.Delete(testProject, testRegion, "sky").Do()
	refused(t, err, 400, "resourceInUseByAnotherResource", "The subnetwork resource")
	_, err = l.api.Disks.Delete(testProject, testZone, "node-1").Do()
	refused(t, err, 400, "resourceInUseByAnotherResource", "The disk resource")

	op, err := l.api.Networks.Delete(testProject, "sky").Do()
	l.failed("RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", op, err)
	l.done(l.api.Instances.Delete(testProject, testZone, "node-1").Do())
	_, err = l.api.Instances.Get(testProject, testZone, "node-1").Do()
	refused(t, err, 404, "notFound", "The resource 'projects/skyweld-lab/zones/us-east4-b/instances/node-1' was not found")
	_, err = l.api.Disks.Get(testProject, testZone, "node-1").Do()
	refused(t, err, 404, "notFound", "disks/node-1")
	if _, ok := l.phys.Networks()["sky/us-east4"]; ok || len(l.phys.Machines()) != 0 {
		t.Errorf("the physical network or machine is still there: %v", l.phys.Machines())
	}
	op, err = l.api.Networks.Delete(testProject, "sky").Do()
	if msg := l.failed("RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", op, err); !strings.Contains(msg, "global/firewalls/sky-inside") {
		t.Errorf("network is kept by %q", msg)
	}
	l.done(l.api.Firewalls.Delete(testProject, "sky-inside").Do())
	l.done(l.api.Firewalls.Delete(testProject, "sky-ssh").Do())
	op, err = l.api.Networks.Delete(testProject, "sky").Do()
	if msg := l.failed("RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", op, err); !strings.Contains(msg, "subnetworks/sky") {
		t.Errorf("network is kept by %q", msg)
	}
	l.done(l.api.Subnetworks.Delete(testProject, testRegion, "sky").Do())
	l.done(l.api.Networks.Delete(testProject, "sky").Do())
	l.done(l.api.Addresses.Delete(testProject, testRegion, "cp").Do())
	routes, err := l.api.Routes.List(testProject).Filter(`network eq ".*/networks/sky"`).Do()
	if err != nil || len(routes.Items) != 0 {
		t.Errorf("routes left: %v %v", routes.Items, err)
	}
}

func checkWorld(t *testing.T, l *lab, machine, public string) {
	t.Helper()
	n, ok := l.phys.Networks()["sky/us-east4"]
	if !ok || len(n.NICs) != 1 || n.Region != "us-east4" || n.Cloud != "gcp" {
		t.Fatalf("physical network %+v", n)
	}
	nic := n.NICs[0]
	if nic.Machine != machine || nic.Address != netip.MustParsePrefix("10.64.0.10/32") || nic.Gateway != netip.MustParseAddr("10.64.0.1") ||
		nic.Public.String() != public || !nic.Internet || !nic.Forwarding || nic.MTU != 1460 || nic.Device != "ens4" || nic.MAC != "42:01:0a:40:00:0a" {
		t.Errorf("interface %+v", nic)
	}
	if len(nic.Inbound) != 3 || nic.Inbound[0].Priority != 900 || nic.Inbound[0].Remote[0] != netip.MustParsePrefix("10.64.0.10/32") || nic.Inbound[0].Protocol != "" {
		t.Errorf("inbound rules %+v", nic.Inbound)
	}
	if r := nic.Inbound[2]; r.FromPort != 6443 || r.ToPort != 6444 || r.Protocol != "tcp" || r.Remote[0] != netip.MustParsePrefix("203.0.113.7/32") {
		t.Errorf("inbound rule %+v", r)
	}
	if len(nic.Outbound) != 1 || !nic.Outbound[0].Allow {
		t.Errorf("outbound rules %+v", nic.Outbound)
	}
	m := l.phys.started[0]
	if (m != world.Machine{ID: machine, Hostname: "node-1", Datasource: "GCE", VCPUs: 2, MemoryMiB: 4096}) {
		t.Errorf("machine %+v", m)
	}
}
