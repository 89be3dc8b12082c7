package strangers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	"golang.org/x/oauth2"

	"github.com/skyweld/skyweld/internal/prism"
	"github.com/skyweld/skyweld/internal/wiretap"
	"github.com/skyweld/skyweld/lab/digitalocean"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

// TestPrismDigitalOcean takes what a cluster needs through its whole life, with DigitalOcean's own client and Stoplight's
// prism between it and the lab: prism holds each answer against DigitalOcean's description of its API, refusals too.
func TestPrismDigitalOcean(t *testing.T) {
	t.Parallel()
	service, err := digitalocean.New(digitalocean.Config{Physical: paper.New(), Dir: t.TempDir(), Token: "dop_v1_test", Profile: world.Instant, Pools: paper.Pools()})
	if err != nil {
		t.Fatal(err)
	}
	lab := httptest.NewServer(service)
	t.Cleanup(func() {
		lab.Close()
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
	seen := map[string]int{} // by method, path without ids, and status
	judge := wiretap.Transport(http.DefaultTransport, func(x *wiretap.Exchange) {
		if problem := prism.Problem(x.Answer); problem != "" {
			t.Errorf("%s %s: %s", x.Request.Method, x.Request.URL.Path, problem)
		}
		seen[fmt.Sprintf("%s %s %d", x.Request.Method, prism.Shape(x.Request.URL.Path), x.Status)]++
	})
	c, err := godo.New(&http.Client{Transport: &oauth2.Transport{Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "dop_v1_test"}), Base: judge}},
		godo.SetBaseURL(prism.Start(t, "proxy", lab.URL)+"/"))
	if err != nil {
		t.Fatal(err)
	}
	d := &digitalOcean{t: t, Client: c}
	d.offers()
	d.life()
	d.refusals()
	t.Logf("%d kinds of answers judged: %v", len(seen), seen)
	if len(seen) < 40 {
		t.Errorf("only %d kinds of answers were judged", len(seen))
	}
}

// digitalOcean is the client, with what fails the test where it doesn't succeed.
type digitalOcean struct {
	t *testing.T
	*godo.Client
}

// got takes what a call answered.
func got[T any](d *digitalOcean) func(T, *godo.Response, error) T {
	return func(v T, _ *godo.Response, err error) T {
		d.t.Helper()
		if err != nil {
			d.t.Fatal(err)
		}
		return v
	}
}

func (d *digitalOcean) done(_ *godo.Response, err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// refused wants a status.
func (d *digitalOcean) refused(status int, err error) {
	d.t.Helper()
	var e *godo.ErrorResponse
	if !errors.As(err, &e) || e.Response.StatusCode != status {
		d.t.Errorf("got %v; want %d", err, status)
	}
}

func (d *digitalOcean) until(what string, is func() bool) {
	d.t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("not after a minute: %s", what)
		}
	}
}

func (d *digitalOcean) completed(a *godo.Action) {
	d.t.Helper()
	d.until("action "+a.Type+" is completed", func() bool {
		return got[*godo.Action](d)(d.Actions.Get(context.Background(), a.ID)).Status == "completed"
	})
}

// offers reads what there is to have.
func (d *digitalOcean) offers() {
	ctx := context.Background()
	got[*godo.Account](d)(d.Account.Get(ctx))
	got[[]godo.Region](d)(d.Regions.List(ctx, &godo.ListOptions{PerPage: 5, Page: 2}))
	got[[]godo.Size](d)(d.Sizes.List(ctx, &godo.ListOptions{PerPage: 200}))
	got[[]godo.Image](d)(d.Images.ListDistribution(ctx, nil))
	got[*godo.Image](d)(d.Images.GetBySlug(ctx, "ubuntu-24-04-x64"))
	got[[]*godo.VPC](d)(d.VPCs.List(ctx, nil))
	got[[]godo.Project](d)(d.Projects.List(ctx, nil))
	got[*godo.Project](d)(d.Projects.GetDefault(ctx))
	got[[]godo.Snapshot](d)(d.Snapshots.List(ctx, nil))
	got[[]godo.Action](d)(d.Actions.List(ctx, nil))
}

// life makes a site with a control plane and workers, changes it, and takes it away.
func (d *digitalOcean) life() {
	ctx := context.Background()
	key := got[*godo.Key](d)(d.Keys.Create(ctx, &godo.KeyCreateRequest{Name: "k", PublicKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGyjvjcu+IrHHvwGzXJ3dnhqzr7s0QvvxE7fzZVqNbH1 k"}))
	got[[]godo.Key](d)(d.Keys.List(ctx, nil))
	v := got[*godo.VPC](d)(d.VPCs.Create(ctx, &godo.VPCCreateRequest{Name: "sw-1-vpc", RegionSlug: "nyc3", IPRange: "10.64.0.0/20", Description: "skyweld"}))
	got[*godo.Tag](d)(d.Tags.Create(ctx, &godo.TagCreateRequest{Name: "skyweld:cluster:1"}))
	f := got[*godo.Firewall](d)(d.Firewalls.Create(ctx, &godo.FirewallRequest{Name: "sw-1-fw", Tags: []string{"skyweld:cluster:1"}, DropletIDs: []int{},
		InboundRules:  []godo.InboundRule{{Protocol: "udp", PortRange: "51820", Sources: &godo.Sources{Addresses: []string{"0.0.0.0/0", "::/0"}}}},
		OutboundRules: []godo.OutboundRule{{Protocol: "tcp", PortRange: "0", Destinations: &godo.Destinations{Addresses: []string{"0.0.0.0/0"}}}}}))
	one := got[*godo.Droplet](d)(d.Droplets.Create(ctx, &godo.DropletCreateRequest{Name: "cp-1", Region: "nyc3", Size: "s-2vcpu-4gb", VPCUUID: v.ID, UserData: "#cloud-config\n",
		Image: godo.DropletCreateImage{Slug: "ubuntu-24-04-x64"}, SSHKeys: []godo.DropletCreateSSHKey{{ID: key.ID}}, Tags: []string{"skyweld:cluster:1"}}))
	two := got[[]godo.Droplet](d)(d.Droplets.CreateMultiple(ctx, &godo.DropletMultiCreateRequest{Names: []string{"web-1", "web-2"}, Region: "nyc3", Size: "s-2vcpu-4gb", VPCUUID: v.ID,
		Image: godo.DropletCreateImage{Slug: "ubuntu-24-04-x64"}, SSHKeys: []godo.DropletCreateSSHKey{}, Tags: []string{}}))
	all := []int{one.ID, two[0].ID, two[1].ID}
	for _, id := range all {
		d.until("a Droplet is active", func() bool {
			x := got[*godo.Droplet](d)(d.Droplets.Get(ctx, id))
			return x.Status == "active" && !x.Locked
		})
	}
	got[[]*godo.VPCMember](d)(d.VPCs.ListMembers(ctx, v.ID, nil, nil))
	ip := got[*godo.ReservedIP](d)(d.ReservedIPs.Create(ctx, &godo.ReservedIPCreateRequest{Region: "nyc3"}))
	d.completed(got[*godo.Action](d)(d.ReservedIPActions.Assign(ctx, ip.IP, one.ID)))
	got[*godo.ReservedIP](d)(d.ReservedIPs.Get(ctx, ip.IP))
	got[[]godo.ReservedIP](d)(d.ReservedIPs.List(ctx, nil))
	got[[]godo.Action](d)(d.ReservedIPActions.List(ctx, ip.IP, nil))
	d.changes(one.ID, two[0].ID, f, v)
	_, err := d.VPCs.Delete(ctx, v.ID)
	d.refused(http.StatusConflict, err)
	d.completed(got[*godo.Action](d)(d.ReservedIPActions.Unassign(ctx, ip.IP)))
	d.done(d.ReservedIPs.Delete(ctx, ip.IP))
	for _, id := range all {
		d.done(d.Droplets.Delete(ctx, id))
	}
	d.until("the VPC is empty", func() bool { return len(got[[]*godo.VPCMember](d)(d.VPCs.ListMembers(ctx, v.ID, nil, nil))) == 0 })
	d.done(d.Firewalls.Delete(ctx, f.ID))
	d.done(d.VPCs.Delete(ctx, v.ID))
	d.done(d.Tags.Delete(ctx, "skyweld:cluster:1"))
	d.done(d.Keys.DeleteByID(ctx, key.ID))
}

// changes are what happens in the middle of it.
func (d *digitalOcean) changes(first, second int, f *godo.Firewall, v *godo.VPC) {
	ctx := context.Background()
	d.done(d.Firewalls.AddRules(ctx, f.ID, &godo.FirewallRulesRequest{InboundRules: []godo.InboundRule{{Protocol: "tcp", PortRange: "6443",
		Sources: &godo.Sources{Tags: []string{"skyweld:cluster:1"}}}}, OutboundRules: []godo.OutboundRule{}}))
	d.done(d.Firewalls.AddDroplets(ctx, f.ID, second))
	d.done(d.Firewalls.RemoveDroplets(ctx, f.ID, second))
	now := got[*godo.Firewall](d)(d.Firewalls.Get(ctx, f.ID))
	got[*godo.Firewall](d)(d.Firewalls.Update(ctx, f.ID, &godo.FirewallRequest{Name: f.Name, InboundRules: now.InboundRules, OutboundRules: now.OutboundRules, DropletIDs: []int{}, Tags: now.Tags}))
	got[[]godo.Firewall](d)(d.Firewalls.List(ctx, nil))
	got[[]godo.Firewall](d)(d.Firewalls.ListByDroplet(ctx, first, nil))
	d.done(d.Tags.TagResources(ctx, "skyweld:cluster:1", &godo.TagResourcesRequest{Resources: []godo.Resource{{ID: fmt.Sprint(second), Type: godo.DropletResourceType}}}))
	got[[]godo.Droplet](d)(d.Droplets.ListByTag(ctx, "skyweld:cluster:1", &godo.ListOptions{PerPage: 1}))
	got[*godo.Tag](d)(d.Tags.Get(ctx, "skyweld:cluster:1"))
	got[[]godo.Tag](d)(d.Tags.List(ctx, nil))
	d.done(d.Tags.UntagResources(ctx, "skyweld:cluster:1", &godo.UntagResourcesRequest{Resources: []godo.Resource{{ID: fmt.Sprint(second), Type: godo.DropletResourceType}}}))
	d.completed(got[*godo.Action](d)(d.DropletActions.PowerOff(ctx, second)))
	d.completed(got[*godo.Action](d)(d.DropletActions.Resize(ctx, second, "s-4vcpu-8gb", true)))
	d.completed(got[*godo.Action](d)(d.DropletActions.PowerOn(ctx, second)))
	got[[]godo.Action](d)(d.Droplets.Actions(ctx, second, &godo.ListOptions{PerPage: 2}))
	vol := got[*godo.Volume](d)(d.Storage.CreateVolume(ctx, &godo.VolumeCreateRequest{Region: "nyc3", Name: "data", SizeGigaBytes: 10, Tags: []string{}}))
	d.completed(got[*godo.Action](d)(d.StorageActions.Attach(ctx, vol.ID, first)))
	got[[]godo.Volume](d)(d.Storage.ListVolumes(ctx, nil))
	_, err := d.Storage.DeleteVolume(ctx, vol.ID)
	d.refused(http.StatusConflict, err)
	d.completed(got[*godo.Action](d)(d.StorageActions.DetachByDropletID(ctx, vol.ID, first)))
	d.done(d.Storage.DeleteVolume(ctx, vol.ID))
	got[*godo.VPC](d)(d.VPCs.Set(ctx, v.ID, godo.VPCSetDescription("changed")))
	got[[]godo.ProjectResource](d)(d.Projects.ListResources(ctx, "default", nil))
}

// refusals asks for what can't be.
func (d *digitalOcean) refusals() {
	ctx := context.Background()
	_, _, err := d.Droplets.Get(ctx, 7)
	d.refused(http.StatusNotFound, err)
	_, _, err = d.VPCs.Create(ctx, &godo.VPCCreateRequest{Name: "x", RegionSlug: "nyc3", IPRange: "10.17.0.0/20"})
	d.refused(http.StatusUnprocessableEntity, err)
	_, err = d.VPCs.Delete(ctx, got[[]*godo.VPC](d)(d.VPCs.List(ctx, nil))[0].ID)
	d.refused(http.StatusForbidden, err)
	_, _, err = d.Droplets.Create(ctx, &godo.DropletCreateRequest{Name: "x", Region: "nyc3", Size: "huge", Image: godo.DropletCreateImage{Slug: "ubuntu-24-04-x64"},
		SSHKeys: []godo.DropletCreateSSHKey{}, Tags: []string{}})
	d.refused(http.StatusUnprocessableEntity, err)
	_, err = d.Firewalls.Delete(ctx, "bb4b2611-3d72-467b-8602-280330ecd65c")
	d.refused(http.StatusNotFound, err)
}
