package digitalocean

import (
	"net/http"
	"strings"
	"testing"

	"github.com/digitalocean/godo"
)

// TestVPCs holds VPCs to the rules of the API's documentation.
func TestVPCs(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Fresh = []string{"tor1"} })
	all := must[[]*godo.VPC](t)(l.VPCs.List(ctx, &godo.ListOptions{PerPage: 200}))
	if len(all) != 10 { // 11 open regions, one of them fresh
		t.Errorf("%d VPCs at the beginning", len(all))
	}
	for _, v := range all {
		if !v.Default || !strings.HasSuffix(v.IPRange, "/20") {
			t.Errorf("VPC %+v", v)
		}
		_, err := l.VPCs.Delete(ctx, v.ID)
		l.refused(err, http.StatusForbidden, "Can not delete default VPCs")
	}
	first := l.vpc("first", "tor1", "")
	if !first.Default {
		t.Error("the first VPC of a region isn't its default")
	}
	l.vpc("taken", testRegion, "10.64.16.0/20")
	for _, c := range []struct{ name, region, ipRange, want string }{
		{"", testRegion, "", "Name can't be blank"},
		{"a_b", testRegion, "", "Name must only contain alphanumeric characters, dashes, and periods"},
		{"taken", testRegion, "", "Name has already been taken"},
		{"x", "mars1", "", "Region is not available"},
		{"x", "nyc2", "", "Region is not available"},
		{"x", testRegion, "10.64.0.1/20", "IP range is not a valid network in CIDR notation"},
		{"x", testRegion, "10.0.0.0/15", "IP range must be between /28 and /16 in size"},
		{"x", testRegion, "10.64.0.0/29", "IP range must be between /28 and /16 in size"},
		{"x", testRegion, "100.64.0.0/20", "IP range must be in a private range as defined in RFC1918"},
		{"x", testRegion, "10.17.0.0/20", "This range/size overlaps with the range reserved for DigitalOcean internal use"},
		{"x", testRegion, "10.244.0.0/20", "This range/size overlaps with the range reserved for DigitalOcean internal use"},
		{"x", testRegion, "10.64.0.0/16", "This range/size overlaps with another VPC network in your account: taken 10.64.16.0/20."},
	} {
		_, _, err := l.VPCs.Create(ctx, &godo.VPCCreateRequest{Name: c.name, RegionSlug: c.region, IPRange: c.ipRange})
		l.refused(err, http.StatusUnprocessableEntity, c.want)
	}
	yes := true
	if v := must[*godo.VPC](t)(l.VPCs.Update(ctx, l.vpc("other", "tor1", "").ID, &godo.VPCUpdateRequest{Name: "other", Default: &yes})); !v.Default {
		t.Error("a VPC can't be made the default")
	}
	l.done(l.VPCs.Delete(ctx, first.ID)) // no default any more
}

// TestDropletRefusals asks for Droplets that can't be.
func TestDropletRefusals(t *testing.T) {
	l := newLab(t, func(c *Config) {
		c.Limits.Droplets, c.Limits.ReservedIPs = 2, 1
		c.Withheld = map[string][]string{testRegion: {"s-8vcpu-16gb"}}
	})
	elsewhere := l.vpc("elsewhere", "fra1", "10.64.0.0/20")
	for want, change := range map[string]func(*godo.DropletCreateRequest){
		"Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)": func(r *godo.DropletCreateRequest) { r.Name = "a_b" },
		"Region is not available":                                                 func(r *godo.DropletCreateRequest) { r.Region = "nyc2" },
		"You specified an invalid size for Droplet creation.":                     func(r *godo.DropletCreateRequest) { r.Size = "huge" },
		"Size is not available in this region.":                                   func(r *godo.DropletCreateRequest) { r.Size = "s-8vcpu-16gb" },
		"You specified an invalid image for Droplet creation.":                    func(r *godo.DropletCreateRequest) { r.Image.Slug = "windows" },
		"Failed to resolve VPC":                                                   func(r *godo.DropletCreateRequest) { r.VPCUUID = elsewhere.ID },
		"Tags can only contain letters, numbers, colons, dashes, and underscores": func(r *godo.DropletCreateRequest) { r.Tags = []string{"a b"} },
		`"aa:bb" are invalid key identifiers for Droplet creation.`:               func(r *godo.DropletCreateRequest) { r.SSHKeys = []godo.DropletCreateSSHKey{{Fingerprint: "aa:bb"}} },
		"User data is too long (maximum is 65536 bytes)":                          func(r *godo.DropletCreateRequest) { r.UserData = strings.Repeat("x", 65537) },
	} {
		in := request("a", "")
		change(in)
		_, _, err := l.Droplets.Create(ctx, in)
		l.refused(err, http.StatusUnprocessableEntity, want)
	}
	a, b := l.droplet("a", ""), l.droplet("b", "")
	_, _, err := l.Droplets.Create(ctx, request("c", ""))
	l.refused(err, http.StatusUnprocessableEntity, "creating this/these droplet(s) will exceed your droplet limit")
	ip := must[*godo.ReservedIP](t)(l.ReservedIPs.Create(ctx, &godo.ReservedIPCreateRequest{DropletID: a.ID}))
	l.soon("the reserved IP is assigned", func() bool {
		got := must[*godo.ReservedIP](t)(l.ReservedIPs.Get(ctx, ip.IP))
		return got.Droplet != nil && !got.Locked
	})
	_, _, err = l.ReservedIPs.Create(ctx, &godo.ReservedIPCreateRequest{Region: testRegion})
	l.refused(err, http.StatusUnprocessableEntity, "creating this reserved IP will exceed your Reserved IP limit")
	l.completed(must[*godo.Action](t)(l.ReservedIPActions.Assign(ctx, ip.IP, b.ID))) // it moves
	l.completed(must[*godo.Action](t)(l.ReservedIPActions.Unassign(ctx, ip.IP)))
	_, _, err = l.ReservedIPActions.Unassign(ctx, ip.IP)
	l.refused(err, http.StatusUnprocessableEntity, "The floating IP is not assigned to a Droplet.")
}

// TestFirewallRefusals asks for firewalls that can't be, and changes one piece by piece.
func TestFirewallRefusals(t *testing.T) {
	l := newLab(t)
	d := l.droplet("a", "")
	l.done2(l.Tags.Create(ctx, &godo.TagCreateRequest{Name: "web"}))
	anyone := &godo.Sources{Addresses: []string{"0.0.0.0/0"}}
	ssh := godo.InboundRule{Protocol: "tcp", PortRange: "22", Sources: anyone}
	base := func() *godo.FirewallRequest {
		return &godo.FirewallRequest{Name: "fw", InboundRules: []godo.InboundRule{ssh}, OutboundRules: []godo.OutboundRule{}, DropletIDs: []int{d.ID}, Tags: []string{}}
	}
	f := must[*godo.Firewall](t)(l.Firewalls.Create(ctx, base()))
	_, _, err := l.Firewalls.Create(ctx, base())
	l.refused(err, http.StatusConflict, "duplicate name")
	for want, change := range map[string]func(*godo.FirewallRequest){
		"name must begin with an alphanumeric character, and hold only alphanumeric characters, periods and dashes": func(r *godo.FirewallRequest) { r.Name = "a_b" },
		"at least one inbound or outbound rule is required":                                                         func(r *godo.FirewallRequest) { r.InboundRules = nil },
		"tag nobody does not exist":                        func(r *godo.FirewallRequest) { r.Tags = []string{"nobody"} },
		"droplet 7 does not exist":                         func(r *godo.FirewallRequest) { r.DropletIDs = []int{7} },
		`invalid protocol "esp": must be tcp, udp or icmp`: func(r *godo.FirewallRequest) { r.InboundRules[0].Protocol = "esp" },
		`invalid ports "90-80"`:                            func(r *godo.FirewallRequest) { r.InboundRules[0].PortRange = "90-80" },
		"duplicate rule: protocol tcp, ports 22":           func(r *godo.FirewallRequest) { r.InboundRules = append(r.InboundRules, ssh) },
		`invalid address "everywhere"`: func(r *godo.FirewallRequest) {
			r.InboundRules[0].Sources = &godo.Sources{Addresses: []string{"everywhere"}}
		},
	} {
		in := base()
		in.Name = "other"
		change(in)
		_, _, err := l.Firewalls.Create(ctx, in)
		l.refused(err, http.StatusUnprocessableEntity, want)
	}
	api := godo.InboundRule{Protocol: "tcp", PortRange: "6443", Sources: &godo.Sources{Tags: []string{"web"}}}
	l.done(l.Firewalls.AddTags(ctx, f.ID, "web"))
	l.done(l.Firewalls.AddRules(ctx, f.ID, &godo.FirewallRulesRequest{InboundRules: []godo.InboundRule{api}, OutboundRules: []godo.OutboundRule{}}))
	l.done(l.Firewalls.RemoveRules(ctx, f.ID, &godo.FirewallRulesRequest{InboundRules: []godo.InboundRule{ssh}}))
	l.done(l.Firewalls.RemoveDroplets(ctx, f.ID, d.ID))
	_, err = l.Firewalls.RemoveRules(ctx, f.ID, &godo.FirewallRulesRequest{InboundRules: []godo.InboundRule{ssh}})
	l.refused(err, http.StatusUnprocessableEntity, "rule does not exist")
	l.soon("the firewall has changed", func() bool {
		got := must[*godo.Firewall](t)(l.Firewalls.Get(ctx, f.ID))
		return got.Status == "succeeded" && len(got.DropletIDs) == 0 && len(got.Tags) == 1 && len(got.InboundRules) == 1 && got.InboundRules[0].PortRange == "6443"
	})
	l.done(l.Tags.TagResources(ctx, "web", &godo.TagResourcesRequest{Resources: []godo.Resource{{ID: machineID(d.ID), Type: godo.DropletResourceType}}}))
	if list := must[[]godo.Firewall](t)(l.Firewalls.ListByDroplet(ctx, d.ID, nil)); len(list) != 1 {
		t.Errorf("%d firewalls of the Droplet", len(list))
	}
	tag := must[*godo.Tag](t)(l.Tags.Get(ctx, "web"))
	if tag.Resources.Droplets.Count != 1 {
		t.Errorf("tag %+v", tag.Resources)
	}
	_, _, err = l.Tags.Get(ctx, "WEB")
	l.refused(err, http.StatusNotFound, "The resource you were accessing could not be found.")
}

// TestKeysAndProjects goes through what has no part in machines.
func TestKeysAndProjects(t *testing.T) {
	l := newLab(t)
	const public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGyjvjcu+IrHHvwGzXJ3dnhqzr7s0QvvxE7fzZVqNbH1 somebody"
	k := must[*godo.Key](t)(l.Keys.Create(ctx, &godo.KeyCreateRequest{Name: "k", PublicKey: public}))
	_, _, err := l.Keys.Create(ctx, &godo.KeyCreateRequest{Name: "k", PublicKey: public})
	l.refused(err, http.StatusUnprocessableEntity, "SSH Key is already in use on your account")
	_, _, err = l.Keys.Create(ctx, &godo.KeyCreateRequest{Name: "k", PublicKey: "nonsense"})
	l.refused(err, http.StatusUnprocessableEntity, "Key invalid key type")
	if got := must[*godo.Key](t)(l.Keys.GetByFingerprint(ctx, k.Fingerprint)); got.ID != k.ID {
		t.Errorf("key %+v", got)
	}
	in := request("a", "")
	in.SSHKeys = []godo.DropletCreateSSHKey{{ID: k.ID}}
	d := l.active(must[*godo.Droplet](t)(l.Droplets.Create(ctx, in)).ID)
	p := must[*godo.Project](t)(l.Projects.Create(ctx, &godo.CreateProjectRequest{Name: "p", Purpose: "Service or API"}))
	l.done2(l.Projects.AssignResources(ctx, p.ID, d.URN()))
	if list := must[[]godo.ProjectResource](t)(l.Projects.ListResources(ctx, p.ID, nil)); len(list) != 1 || list[0].URN != d.URN() {
		t.Errorf("resources %+v", list)
	}
	_, err = l.Projects.Delete(ctx, p.ID)
	l.refused(err, http.StatusPreconditionFailed, "cannot delete a project with resources, or the default one")
	l.destroy(d.ID)
	l.done(l.Projects.Delete(ctx, p.ID))
	l.done(l.Keys.DeleteByID(ctx, k.ID))
}
