package digitalocean

import (
	"errors"
	"net/http"
	"net/netip"
	"testing"

	"github.com/digitalocean/godo"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

// addresses compares them as the values that they are.
var addresses = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}

// TestLife takes Droplets, a firewall, a reserved IP and a volume through their lives, and looks at what the physical side is told.
func TestLife(t *testing.T) {
	l := newLab(t)
	v := l.vpc("sw-test", testRegion, "10.64.0.0/20")
	if v.Default {
		t.Error("a second VPC is the region's default")
	}
	l.done2(l.Tags.Create(ctx, &godo.TagCreateRequest{Name: "skyweld:cluster:1"}))
	a := l.droplet("cp-1", v.ID, "skyweld:cluster:1")
	b := l.droplet("web-1", v.ID)
	private, _ := a.PrivateIPv4()
	public, _ := a.PublicIPv4()
	if private != "10.64.0.2" || !netip.MustParsePrefix("198.18.0.0/15").Contains(netip.MustParseAddr(public)) {
		t.Errorf("addresses %s and %s", private, public)
	}
	if members := must[[]*godo.VPCMember](t)(l.VPCs.ListMembers(ctx, v.ID, nil, nil)); len(members) != 2 || members[0].URN != a.URN() {
		t.Errorf("members %+v", members)
	}
	f := must[*godo.Firewall](t)(l.Firewalls.Create(ctx, &godo.FirewallRequest{
		Name: "sw-fw", Tags: []string{"skyweld:cluster:1"}, DropletIDs: []int{},
		InboundRules: []godo.InboundRule{
			{Protocol: "udp", PortRange: "51820", Sources: &godo.Sources{Addresses: []string{"0.0.0.0/0", "::/0"}}},
			{Protocol: "tcp", PortRange: "all", Sources: &godo.Sources{Tags: []string{"skyweld:cluster:1"}}},
		},
		OutboundRules: []godo.OutboundRule{{Protocol: "icmp", Destinations: &godo.Destinations{Addresses: []string{"0.0.0.0/0"}}}},
	}))
	l.soon("the firewall is in force", func() bool {
		got := must[*godo.Firewall](t)(l.Firewalls.Get(ctx, f.ID))
		return got.Status == "succeeded" && len(got.PendingChanges) == 0
	})
	ip := must[*godo.ReservedIP](t)(l.ReservedIPs.Create(ctx, &godo.ReservedIPCreateRequest{Region: testRegion}))
	l.completed(must[*godo.Action](t)(l.ReservedIPActions.Assign(ctx, ip.IP, a.ID)))

	anyone := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	own := netip.MustParseAddr(public)
	self := []netip.Prefix{netip.MustParsePrefix("10.64.0.2/32"), netip.PrefixFrom(own, 32), netip.PrefixFrom(netip.MustParseAddr(ip.IP), 32)}
	in := []world.Rule{{Allow: true, Protocol: "udp", FromPort: 51820, ToPort: 51820, Remote: anyone}, {Allow: true, Protocol: "tcp", Remote: self}}
	out := []world.Rule{{Allow: true, Protocol: "icmp", Remote: anyone}}
	n := l.drawing.Networks()[v.ID]
	want := []world.NIC{{
		ID: machineID(a.ID) + "-eth0", Machine: machineID(a.ID), Device: "eth0", MTU: 1500, Address: netip.PrefixFrom(own, 24), Gateway: netip.PrefixFrom(own, 24).Masked().Addr().Next(),
		Public: own, Internet: true, Inbound: in, Outbound: out,
		Others: []world.Alias{{Address: netip.MustParsePrefix("10.17.0.5/16"), Public: netip.MustParseAddr(ip.IP)}},
	}, {
		ID: machineID(a.ID) + "-eth1", Machine: machineID(a.ID), Device: "eth1", MTU: 1500, Address: netip.MustParsePrefix("10.64.0.2/20"), Gateway: netip.MustParseAddr("10.64.0.1"),
		NoDefault: true, Inbound: in, Outbound: out,
	}}
	if diff := cmp.Diff(want, n.NICs[:2], addresses, cmpopts.IgnoreFields(world.NIC{}, "MAC")); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
	if open := n.NICs[2]; len(n.NICs) != 4 || len(open.Inbound) != 1 || open.Inbound[0].Protocol != "" {
		t.Errorf("a Droplet without a firewall is not open: %+v", open)
	}
	if got := must[*godo.ReservedIP](t)(l.ReservedIPs.Get(ctx, ip.IP)); got.Droplet == nil || got.Droplet.ID != a.ID || got.Locked {
		t.Errorf("reserved IP %+v", got)
	}
	l.volumeLife(b)
	l.destroy(a.ID)
	if got := must[*godo.ReservedIP](t)(l.ReservedIPs.Get(ctx, ip.IP)); got.Droplet != nil {
		t.Error("the reserved IP is still assigned")
	}
	l.done(l.ReservedIPs.Delete(ctx, ip.IP))
	l.destroy(b.ID)
	l.done(l.Firewalls.Delete(ctx, f.ID))
	l.done(l.VPCs.Delete(ctx, v.ID))
	l.done(l.Tags.Delete(ctx, "skyweld:cluster:1"))
	l.soon("no network is left", func() bool { return l.drawing.Networks()[v.ID].ID == "" })
}

func (l *lab) done2(_ any, _ *godo.Response, err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) volumeLife(d *godo.Droplet) {
	l.t.Helper()
	v := must[*godo.Volume](l.t)(l.Storage.CreateVolume(ctx, &godo.VolumeCreateRequest{Region: testRegion, Name: "data", SizeGigaBytes: 10}))
	l.completed(must[*godo.Action](l.t)(l.StorageActions.Attach(ctx, v.ID, d.ID)))
	if got := must[*godo.Droplet](l.t)(l.Droplets.Get(ctx, d.ID)); len(got.VolumeIDs) != 1 {
		l.t.Errorf("volumes %v", got.VolumeIDs)
	}
	_, err := l.Storage.DeleteVolume(ctx, v.ID)
	l.refused(err, http.StatusConflict, "attached volume cannot be deleted")
	l.completed(must[*godo.Action](l.t)(l.StorageActions.DetachByDropletID(ctx, v.ID, d.ID)))
	l.done(l.Storage.DeleteVolume(ctx, v.ID))
}

// TestPower takes a Droplet through its power states, and a machine that shuts itself down.
func TestPower(t *testing.T) {
	l := newLab(t)
	d := l.droplet("a", "")
	_, _, err := l.DropletActions.PowerOn(ctx, d.ID)
	l.refused(err, http.StatusUnprocessableEntity, "Droplet is already powered on.")
	l.completed(must[*godo.Action](t)(l.DropletActions.PowerOff(ctx, d.ID)))
	if got := must[*godo.Droplet](t)(l.Droplets.Get(ctx, d.ID)); got.Status != "off" || l.drawing.MachineState(machineID(d.ID)) != world.Stopped {
		t.Errorf("status %s after power off", got.Status)
	}
	l.completed(must[*godo.Action](t)(l.DropletActions.Resize(ctx, d.ID, "s-4vcpu-8gb", true)))
	l.completed(must[*godo.Action](t)(l.DropletActions.PowerOn(ctx, d.ID)))
	if got := l.active(d.ID); got.SizeSlug != "s-4vcpu-8gb" || got.Vcpus != 4 {
		t.Errorf("size %s after resize", got.SizeSlug)
	}
	l.completed(must[*godo.Action](t)(l.DropletActions.Rename(ctx, d.ID, "b.example")))
	l.completed(must[*godo.Action](t)(l.DropletActions.Reboot(ctx, d.ID)))
	if err := l.drawing.StopMachine(ctx, machineID(d.ID)); err != nil {
		t.Fatal(err)
	}
	l.soon("it is noticed that the machine is off", func() bool { return must[*godo.Droplet](t)(l.Droplets.Get(ctx, d.ID)).Status == "off" })
}

// TestTenAtOnce makes as many Droplets as one request may, and lists them by tag, in pages.
func TestTenAtOnce(t *testing.T) {
	l := newLab(t)
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	in := &godo.DropletMultiCreateRequest{Names: names, Region: testRegion, Size: testSize, Image: godo.DropletCreateImage{Slug: testImage}, SSHKeys: []godo.DropletCreateSSHKey{}, Tags: []string{"Web"}}
	made, resp, err := l.Droplets.CreateMultiple(ctx, in)
	if err != nil || len(made) != 10 || len(resp.Links.Actions) != 10 {
		t.Fatalf("%d Droplets: %v", len(made), err)
	}
	seen := map[int]bool{}
	opt := &godo.ListOptions{PerPage: 4}
	for pages := 1; ; pages++ {
		list, resp, err := l.Droplets.ListByTag(ctx, "web", opt)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			seen[d.ID] = true
		}
		if resp.Meta.Total != 10 {
			t.Errorf("total %d", resp.Meta.Total)
		}
		if resp.Links.IsLastPage() {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		current, err := resp.Links.CurrentPage()
		if err != nil {
			t.Fatal(err)
		}
		opt.Page = current + 1
	}
	if len(seen) != 10 {
		t.Errorf("%d Droplets in the pages", len(seen))
	}
	in.Names = append(in.Names, "k")
	_, _, err = l.Droplets.CreateMultiple(ctx, in)
	l.refused(err, http.StatusUnprocessableEntity, "You can only create up to 10 Droplets at a time")
	for id := range seen {
		l.active(id)
	}
	l.done(l.Droplets.DeleteByTag(ctx, "Web"))
	l.soon("all are gone", func() bool { return len(must[[]godo.Droplet](t)(l.Droplets.List(ctx, nil))) == 0 })
}

// TestRestart finds everything again after the process is another one, and goes on with what was going on.
func TestRestart(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Profile = world.RealTime })
	v := l.vpc("sw-test", testRegion, "10.64.0.0/20")
	d := must[*godo.Droplet](t)(l.Droplets.Create(ctx, request("cp-1", v.ID)))
	ip := must[*godo.ReservedIP](t)(l.ReservedIPs.Create(ctx, &godo.ReservedIPCreateRequest{Region: testRegion}))
	if d.Status != "new" || !must[*godo.Droplet](t)(l.Droplets.Get(ctx, d.ID)).Locked {
		t.Errorf("Droplet %+v", d)
	}
	_, _, err := l.ReservedIPActions.Assign(ctx, ip.IP, d.ID)
	l.refused(err, http.StatusUnprocessableEntity, "Droplet already has a pending event.")
	_, err = l.Droplets.Delete(ctx, d.ID)
	l.refused(err, http.StatusUnprocessableEntity, "Droplet already has a pending event.")
	l.stop()
	l.cfg.Profile = world.Instant
	l.start()
	got := l.active(d.ID)
	private, _ := got.PrivateIPv4()
	if private != "10.64.0.2" {
		t.Errorf("private address %s", private)
	}
	l.stop()
	l.drawing.World = paper.New()
	l.start()
	if n := l.drawing.Networks()[v.ID]; len(n.NICs) != 2 {
		t.Errorf("network after a restart: %+v", n)
	}
	other := must[*godo.ReservedIP](t)(l.ReservedIPs.Create(ctx, &godo.ReservedIPCreateRequest{Region: testRegion}))
	if public, _ := got.PublicIPv4(); other.IP == ip.IP || other.IP == public {
		t.Errorf("address %s is given twice", other.IP)
	}
}

// TestMachineFails makes a Droplet whose machine doesn't start: its action ends with an error, and it goes away again.
func TestMachineFails(t *testing.T) {
	l := newLab(t)
	l.drawing.fail = errors.New("the disk is full")
	d, resp, err := l.Droplets.Create(ctx, request("a", ""))
	if err != nil {
		t.Fatal(err)
	}
	l.soon("the action is over", func() bool {
		return must[*godo.Action](t)(l.Actions.Get(ctx, resp.Links.Actions[0].ID)).Status == "errored"
	})
	_, _, err = l.Droplets.Get(ctx, d.ID)
	l.refused(err, http.StatusNotFound, "The resource you were accessing could not be found.")
	l.drawing.fail = nil
	if public, _ := l.droplet("b", "").PublicIPv4(); public != l.service.gateway(testRegion).Next().String() {
		t.Errorf("address %s; want the one that was given back", public)
	}
}
