package gce

import (
	"errors"
	"net/netip"
	"testing"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

func TestRequestID(t *testing.T) {
	l := newLab(t)
	const id = "6f1c2a3b-0000-4000-8000-00000000000a"
	n := &compute.Network{Name: "sky", ForceSendFields: []string{"AutoCreateSubnetworks"}}
	first, err := l.api.Networks.Insert(testProject, n).RequestId(id).Do()
	if err != nil {
		t.Fatal(err)
	}
	again, err := l.api.Networks.Insert(testProject, n).RequestId(id).Do()
	if err != nil || again.Name != first.Name {
		t.Fatalf("second insert began %v: %v", again, err)
	}
	l.done(first, nil)
	l.svc.Close()
	l.open()
	if again, err = l.api.Networks.Insert(testProject, n).RequestId(id).Do(); err != nil || again.Name != first.Name || again.Status != "DONE" {
		t.Errorf("after a restart the same request began %+v: %v", again, err)
	}
	_, err = l.api.Networks.Delete(testProject, "sky").RequestId(id).Do()
	refused(t, err, 400, "invalid", "requestId")
	_, err = l.api.Networks.Insert(testProject, n).RequestId("6f1c2a3b-0000-4000-8000-00000000000b").Do()
	refused(t, err, 409, "alreadyExists", "")
}

// TestStates follows a machine through its states, with a physical side that takes its time.
func TestStates(t *testing.T) {
	l := newLab(t)
	l.makeNetwork("sky", "10.64.0.0/20")
	l.phys.hold = make(chan struct{})
	op, err := l.api.Instances.Insert(testProject, testZone, instance("node", "sky")).Do()
	if err != nil || op.Status != "RUNNING" {
		t.Fatalf("insert: %+v %v", op, err)
	}
	i, err := l.api.Instances.Get(testProject, testZone, "node").Do()
	if err != nil || i.Status != "PROVISIONING" && i.Status != "STAGING" {
		t.Fatalf("status %v %v", i, err)
	}
	_, err = l.api.Instances.Stop(testProject, testZone, "node").Do()
	refused(t, err, 400, "resourceNotReady", "is not ready")
	// A delete while it starts is accepted and waits.
	gone, err := l.api.Instances.Delete(testProject, testZone, "node").Do()
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.api.Instances.Delete(testProject, testZone, "node").Do()
	refused(t, err, 400, "resourceNotReady", "")
	close(l.phys.hold)
	l.failed("OPERATION_CANCELED_BY_USER", op, nil)
	l.done(gone, nil)
	if len(l.phys.Machines()) != 0 || len(l.phys.Networks()) != 0 {
		t.Errorf("left: %v %v", l.phys.Machines(), l.phys.Networks())
	}

	l.done(l.api.Instances.Insert(testProject, testZone, instance("node", "sky")).Do())
	before, _ := l.api.Instances.Get(testProject, testZone, "node").Do()
	l.done(l.api.Instances.Stop(testProject, testZone, "node").Do())
	i, _ = l.api.Instances.Get(testProject, testZone, "node").Do()
	if i.Status != "TERMINATED" || i.NetworkInterfaces[0].AccessConfigs[0].NatIP != "" || i.NetworkInterfaces[0].NetworkIP != before.NetworkInterfaces[0].NetworkIP {
		t.Errorf("stopped instance %+v", i)
	}
	if n := l.phys.Networks()["sky/us-east4"]; n.NICs[0].Public.IsValid() || n.NICs[0].Internet {
		t.Errorf("a stopped machine keeps a public address: %+v", n.NICs[0])
	}
	l.done(l.api.Instances.SetMachineType(testProject, testZone, "node", &compute.InstancesSetMachineTypeRequest{MachineType: "zones/us-east4-b/machineTypes/e2-standard-4"}).Do())
	l.done(l.api.Instances.Start(testProject, testZone, "node").Do())
	i, _ = l.api.Instances.Get(testProject, testZone, "node").Do()
	if i.Status != "RUNNING" || i.NetworkInterfaces[0].AccessConfigs[0].NatIP == "" {
		t.Errorf("started instance %+v", i)
	}
	if m := l.phys.started[len(l.phys.started)-1]; m.VCPUs != 4 || m.ID != formatID(i.Id) {
		t.Errorf("started as %+v", m)
	}
	l.done(l.api.Instances.Reset(testProject, testZone, "node").Do())
	if l.phys.MachineState(formatID(i.Id)) != world.Running {
		t.Error("not running after reset")
	}
	if out, err := l.api.Instances.GetSerialPortOutput(testProject, testZone, "node").Start(3).Do(); err != nil || out.Contents != formatID(i.Id)[3:]+" login: " {
		t.Errorf("serial port: %+v %v", out, err)
	}
}

func TestFailuresOfOperations(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Quotas = map[string]float64{"us-east4/CPUS": 4} })
	l.makeNetwork("sky", "10.64.0.0/20")
	clean := func() {
		t.Helper()
		_, err := l.api.Instances.Get(testProject, testZone, "node").Do()
		refused(t, err, 404, "notFound", "")
		_, err = l.api.Disks.Get(testProject, testZone, "node").Do()
		refused(t, err, 404, "notFound", "")
		if len(l.phys.Networks())+len(l.phys.Machines()) != 0 {
			t.Errorf("left: %v %v", l.phys.Machines(), l.phys.Networks())
		}
	}
	l.phys.failNext = errors.New("no room")
	op, err := l.api.Instances.Insert(testProject, testZone, instance("node", "sky")).Do()
	l.failed("INTERNAL_ERROR", op, err)
	clean()
	l.svc.ExhaustZone(testZone, true)
	op, err = l.api.Instances.Insert(testProject, testZone, instance("node", "sky")).Do()
	l.failed("ZONE_RESOURCE_POOL_EXHAUSTED", op, err)
	clean()
	l.svc.ExhaustZone(testZone, false)
	big := instance("node", "sky")
	big.MachineType = "zones/us-east4-b/machineTypes/e2-standard-8"
	op, err = l.api.Instances.Insert(testProject, testZone, big).Do()
	if msg := l.failed("QUOTA_EXCEEDED", op, err); msg != "Quota 'CPUS' exceeded.  Limit: 4.0 in region us-east4." {
		t.Errorf("message %q", msg)
	}
	clean()
	in := instance("node", "sky")
	in.NetworkInterfaces[0].NetworkIP = "10.64.0.9"
	l.done(l.api.Instances.Insert(testProject, testZone, in).Do())
	in.Name = "other"
	op, err = l.api.Instances.Insert(testProject, testZone, in).Do()
	if msg := l.failed("IP_IN_USE_BY_ANOTHER_RESOURCE", op, err); msg != "IP '10.64.0.9' is already being used by another resource." {
		t.Errorf("message %q", msg)
	}
	r, err := l.api.Regions.Get(testProject, testRegion).Do()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range r.Quotas {
		if q.Metric == "CPUS" && (q.Limit != 4 || q.Usage != 2) || q.Metric == "IN_USE_ADDRESSES" && q.Usage != 1 {
			t.Errorf("quota %+v", q)
		}
	}
}

func TestRestart(t *testing.T) {
	l := newLab(t)
	l.makeNetwork("sky", "10.64.0.0/20")
	l.done(l.api.Addresses.Insert(testProject, testRegion, &compute.Address{Name: "cp"}).Do())
	l.done(l.api.Instances.Insert(testProject, testZone, instance("node", "sky")).Do())
	l.done(l.api.Instances.Insert(testProject, testZone, instance("idle", "sky")).Do())
	l.done(l.api.Instances.Stop(testProject, testZone, "idle").Do())
	before, _ := l.api.Instances.List(testProject, testZone).Do()
	nets := l.phys.Networks()
	if err := l.svc.Close(); err != nil {
		t.Fatal(err)
	}
	l.phys.World, l.phys.started = paper.New(), nil
	l.open()
	after, err := l.api.Instances.List(testProject, testZone).Do()
	if err != nil || len(after.Items) != len(before.Items) || after.Items[1].Id != before.Items[1].Id || after.Items[1].Status != "RUNNING" || after.Items[0].Status != "TERMINATED" {
		t.Errorf("after the restart: %+v %v", after, err)
	}
	if len(l.phys.started) != 1 || l.phys.started[0].Hostname != "node" {
		t.Errorf("started %v", l.phys.started)
	}
	if n := l.phys.Networks()["sky/us-east4"]; len(n.NICs) != 2 || n.NICs[1].Public != nets["sky/us-east4"].NICs[1].Public {
		t.Errorf("network %+v", n)
	}
}

// TestCrash opens the records of a process that ended in the middle of operations.
func TestCrash(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Profile = world.RealTime })
	op, err := l.api.Networks.Insert(testProject, &compute.Network{Name: "sky", AutoCreateSubnetworks: true}).Do()
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.api.Networks.Get(testProject, "sky").Do()
	refused(t, err, 404, "notFound", "") // it shows when it is ready
	_, err = l.api.Subnetworks.Insert(testProject, testRegion, &compute.Subnetwork{Name: "x", Network: "global/networks/sky", IpCidrRange: "10.0.0.0/24"}).Do()
	refused(t, err, 400, "resourceNotReady", "is not ready")
	_, err = l.api.Networks.Insert(testProject, &compute.Network{Name: "sky", AutoCreateSubnetworks: true}).Do()
	refused(t, err, 409, "alreadyExists", "")
	del, err := l.api.Firewalls.Delete(testProject, "default-allow-rdp").Do()
	if err != nil {
		t.Fatal(err)
	}
	l.open() // over the records as they are; the old service is forgotten
	if op, err = l.api.GlobalOperations.Get(testProject, op.Name).Do(); err != nil || op.Status != "DONE" {
		t.Errorf("insert: %+v %v", op, err)
	}
	if del, err = l.api.GlobalOperations.Get(testProject, del.Name).Do(); err != nil || del.Status != "DONE" {
		t.Errorf("delete: %+v %v", del, err)
	}
	if n, err := l.api.Networks.Get(testProject, "sky").Do(); err != nil || len(n.Subnetworks) < 30 {
		t.Errorf("network: %v", err)
	}
	_, err = l.api.Firewalls.Get(testProject, "default-allow-rdp").Do()
	refused(t, err, 404, "notFound", "")
}

func TestChanges(t *testing.T) {
	l := newLab(t)
	l.makeNetwork("sky", "10.64.0.0/20")
	l.done(l.api.Instances.Insert(testProject, testZone, instance("node", "sky")).Do())
	i, _ := l.api.Instances.Get(testProject, testZone, "node").Do()
	l.done(l.api.Instances.SetLabels(testProject, testZone, "node", &compute.InstancesSetLabelsRequest{Labels: map[string]string{"a": "b"}, LabelFingerprint: i.LabelFingerprint}).Do())
	_, err := l.api.Instances.SetLabels(testProject, testZone, "node", &compute.InstancesSetLabelsRequest{Labels: map[string]string{"a": "c"}, LabelFingerprint: i.LabelFingerprint}).Do()
	refused(t, err, 412, "conditionNotMet", "Labels fingerprint")
	l.done(l.api.Instances.SetTags(testProject, testZone, "node", &compute.Tags{Items: []string{"web"}, Fingerprint: i.Tags.Fingerprint}).Do())
	v := "x"
	l.done(l.api.Instances.SetMetadata(testProject, testZone, "node", &compute.Metadata{Items: []*compute.MetadataItems{{Key: "k", Value: &v}}, Fingerprint: i.Metadata.Fingerprint}).Do())

	// Rules reach the machine by its new tag, and are changed by patch and by update.
	l.done(l.api.Firewalls.Insert(testProject, &compute.Firewall{Name: "web", Network: "global/networks/sky", TargetTags: []string{"web"}, Priority: 0, ForceSendFields: []string{"Priority"}, Allowed: []*compute.FirewallAllowed{{IPProtocol: "tcp", Ports: []string{"80"}}}}).Do())
	inbound := func() []world.Rule {
		n := l.phys.Networks()["sky/us-east4"]
		return n.NICs[0].Inbound
	}
	if r := inbound(); len(r) != 1 || r[0].Priority != 0 || r[0].FromPort != 80 || r[0].Remote[0] != netip.MustParsePrefix("0.0.0.0/0") {
		t.Errorf("rules %+v", r)
	}
	l.done(l.api.Firewalls.Patch(testProject, "web", &compute.Firewall{SourceRanges: []string{"10.1.0.0/16"}}).Do())
	if r := inbound(); len(r) != 1 || r[0].Priority != 0 || r[0].FromPort != 80 || r[0].Remote[0] != netip.MustParsePrefix("10.1.0.0/16") {
		t.Errorf("rules %+v", r)
	}
	l.done(l.api.Firewalls.Update(testProject, "web", &compute.Firewall{Name: "web", Network: "global/networks/sky", Denied: []*compute.FirewallDenied{{IPProtocol: "sctp"}}}).Do())
	if r := inbound(); len(r) != 1 || r[0].Allow || r[0].Protocol != "132" || r[0].Priority != 1000 {
		t.Errorf("rules %+v", r)
	}
	l.done(l.api.Firewalls.Patch(testProject, "web", &compute.Firewall{Disabled: true}).Do())
	if r := inbound(); len(r) != 0 {
		t.Errorf("rules %+v", r)
	}
	_, err = l.api.Firewalls.Patch(testProject, "web", &compute.Firewall{Direction: "EGRESS", DestinationRanges: []string{"0.0.0.0/0"}}).Do()
	refused(t, err, 400, "invalid", "resource.")

	nic := func() world.NIC {
		n := l.phys.Networks()["sky/us-east4"]
		return n.NICs[0]
	}
	l.done(l.api.Routes.Insert(testProject, &compute.Route{Name: "pods", Network: "global/networks/sky", DestRange: "10.200.0.0/24", NextHopInstance: "zones/us-east4-b/instances/node"}).Do())
	if got := nic().Routed; len(got) != 1 || got[0] != netip.MustParsePrefix("10.200.0.0/24") {
		t.Errorf("routed %v", got)
	}
	l.done(l.api.Instances.DeleteAccessConfig(testProject, testZone, "node", "External NAT", "nic0").Do())
	if nic().Public.IsValid() || nic().Internet {
		t.Errorf("still public: %+v", nic())
	}
	l.done(l.api.Instances.AddAccessConfig(testProject, testZone, "node", "nic0", &compute.AccessConfig{}).Do())
	if !nic().Internet {
		t.Errorf("not public: %+v", nic())
	}
	routes, err := l.api.Routes.List(testProject).Filter(`(network eq ".*/sky") (destRange eq "0.0.0.0/0")`).Do()
	if err != nil || len(routes.Items) != 1 {
		t.Fatal(err, routes)
	}
	l.done(l.api.Routes.Delete(testProject, routes.Items[0].Name).Do())
	if nic().Internet {
		t.Error("the internet is there without a route")
	}

	l.done(l.api.Disks.Insert(testProject, testZone, &compute.Disk{Name: "data", SizeGb: 10, Type: "zones/us-east4-b/diskTypes/pd-ssd"}).Do())
	l.done(l.api.Instances.AttachDisk(testProject, testZone, "node", &compute.AttachedDisk{Source: "zones/us-east4-b/disks/data", DeviceName: "data"}).Do())
	_, err = l.api.Disks.Delete(testProject, testZone, "data").Do()
	refused(t, err, 400, "resourceInUseByAnotherResource", "")
	l.done(l.api.Disks.Resize(testProject, testZone, "data", &compute.DisksResizeRequest{SizeGb: 30}).Do())
	l.done(l.api.Instances.SetDiskAutoDelete(testProject, testZone, "node", true, "data").Do())
	l.done(l.api.Instances.DetachDisk(testProject, testZone, "node", "data").Do())
	l.done(l.api.Disks.Delete(testProject, testZone, "data").Do())

	l.done(l.api.Instances.SetDeletionProtection(testProject, testZone, "node").DeletionProtection(true).Do())
	_, err = l.api.Instances.Delete(testProject, testZone, "node").Do()
	refused(t, err, 400, "invalidResourceUsage", "protected against deletion")
	l.done(l.api.Instances.SetDeletionProtection(testProject, testZone, "node").DeletionProtection(false).Do())

	sub, _ := l.api.Subnetworks.Get(testProject, testRegion, "sky").Do()
	l.done(l.api.Subnetworks.Patch(testProject, testRegion, "sky", &compute.Subnetwork{Fingerprint: sub.Fingerprint, PrivateIpGoogleAccess: true}).Do())
	l.done(l.api.Subnetworks.ExpandIpCidrRange(testProject, testRegion, "sky", &compute.SubnetworksExpandIpCidrRangeRequest{IpCidrRange: "10.64.0.0/18"}).Do())
	if sub, _ = l.api.Subnetworks.Get(testProject, testRegion, "sky").Do(); !sub.PrivateIpGoogleAccess || sub.IpCidrRange != "10.64.0.0/18" {
		t.Errorf("subnet %+v", sub)
	}
	l.done(l.api.Networks.Patch(testProject, "sky", &compute.Network{RoutingConfig: &compute.NetworkRoutingConfig{RoutingMode: "GLOBAL"}}).Do())
	p, _ := l.api.Projects.Get(testProject).Do()
	l.done(l.api.Projects.SetCommonInstanceMetadata(testProject, &compute.Metadata{Fingerprint: p.CommonInstanceMetadata.Fingerprint, Items: []*compute.MetadataItems{{Key: "ssh-keys", Value: &v}}}).Do())
	if n, err := l.api.Networks.Get(testProject, "sky").Do(); err != nil || n.RoutingConfig.RoutingMode != "GLOBAL" || n.RoutingConfig.BgpBestPathSelectionMode != "LEGACY" {
		t.Errorf("network %+v %v", n, err)
	}
}
