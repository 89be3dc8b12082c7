package conformance_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/cloud/gcp"
	"github.com/skyweld/skyweld/lab/world"
)

func gcpSite() cloud.Site { return cloudtest.DefaultSite("conf", gcpRegion, gcpZones) }

// gcpObserved lists what is there, by key.
func gcpObserved(t *testing.T, d cloud.Driver) map[string]cloud.Object {
	t.Helper()
	return observedIn(t, d, gcpRegion)
}

func text(s string) *string { return &s }

// TestGCPDrift changes one thing after the other by hand: the driver must see each in the right field, and mend it where
// the field is mutable.
func TestGCPDrift(t *testing.T) {
	lab := newGCPLab(t, world.Instant)
	d, c := lab.driver(t, nil), lab.client(t)
	b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, gcpSite())
	if err != nil {
		t.Fatal(err)
	}
	name := func(key string) string { _, n := gcpName(b.Objects[key]); return n }
	const node, cp, rule = "conf-node-conf-web-1", "conf-node-conf-cp-1", "conf-fw-ssh"
	zone, machine := gcpName(b.Objects[node])
	_, master := gcpName(b.Objects[cp])
	patch := func(f *compute.Firewall) func(context.Context) (*compute.Operation, error) {
		return func(ctx context.Context) (*compute.Operation, error) {
			return c.Firewalls.Patch(gcpProject, name(rule), f).Context(ctx).Do()
		}
	}
	get := func(ctx context.Context) *compute.Instance {
		i, err := c.Instances.Get(gcpProject, zone, machine).Context(ctx).Do()
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	var changes []handmade
	for _, drift := range []struct {
		name, key, field string
		change           func(context.Context) (*compute.Operation, error)
	}{
		{"global routing", "conf-network", "routingMode", func(ctx context.Context) (*compute.Operation, error) {
			body := &compute.Network{RoutingConfig: &compute.NetworkRoutingConfig{RoutingMode: "GLOBAL"}}
			return c.Networks.Patch(gcpProject, name("conf-network"), body).Context(ctx).Do()
		}},
		{"private access", "conf-subnet", "privateGoogleAccess", func(ctx context.Context) (*compute.Operation, error) {
			body := &compute.SubnetworksSetPrivateIpGoogleAccessRequest{PrivateIpGoogleAccess: true}
			return c.Subnetworks.SetPrivateIpGoogleAccess(gcpProject, gcpRegion, name("conf-subnet"), body).Context(ctx).Do()
		}},
		{"rule for all sources", rule, "sources", patch(&compute.Firewall{SourceRanges: []string{"0.0.0.0/0"}})},
		{"rule with a source tag", rule, "sourceTags", patch(&compute.Firewall{SourceTags: []string{"other"}})},
		{"rule for more ports", rule, "allowed", patch(&compute.Firewall{Allowed: []*compute.FirewallAllowed{{IPProtocol: "tcp"}}})},
		{"rule for all machines", rule, "targetTags", patch(&compute.Firewall{ForceSendFields: []string{"TargetTags"}})},
		{"rule switched off", rule, "disabled", patch(&compute.Firewall{Disabled: true})},
		{"rule after others", rule, "priority", patch(&compute.Firewall{Priority: 65000})},
		{"rule for other destinations", rule, "destinations", patch(&compute.Firewall{DestinationRanges: []string{"192.0.2.1"}})},
		{"tag gone", node, "tags", func(ctx context.Context) (*compute.Operation, error) {
			return c.Instances.SetTags(gcpProject, zone, machine, &compute.Tags{Fingerprint: get(ctx).Tags.Fingerprint}).Context(ctx).Do()
		}},
		{"a key of somebody's", node, "metadata", func(ctx context.Context) (*compute.Operation, error) {
			m := get(ctx).Metadata
			m.Items = append(m.Items, &compute.MetadataItems{Key: "ssh-keys", Value: text("eve:ssh-ed25519 AAAA eve")})
			return c.Instances.SetMetadata(gcpProject, zone, machine, m).Context(ctx).Do()
		}},
		{"public address gone", node, "publicAddress", func(ctx context.Context) (*compute.Operation, error) {
			return c.Instances.DeleteAccessConfig(gcpProject, zone, machine, "External NAT", "nic0").Context(ctx).Do()
		}},
		{"static address gone", cp, "publicAddress", func(ctx context.Context) (*compute.Operation, error) {
			return c.Instances.DeleteAccessConfig(gcpProject, "us-east4-a", master, "External NAT", "nic0").Context(ctx).Do()
		}},
		{"protected", node, "deletionProtection", func(ctx context.Context) (*compute.Operation, error) {
			return c.Instances.SetDeletionProtection(gcpProject, zone, machine).DeletionProtection(true).Context(ctx).Do()
		}},
		{"disk kept", node, "diskAutoDelete", func(ctx context.Context) (*compute.Operation, error) {
			return c.Instances.SetDiskAutoDelete(gcpProject, zone, machine, false, get(ctx).Disks[0].DeviceName).Context(ctx).Do()
		}},
		{"no restart", node, "automaticRestart", func(ctx context.Context) (*compute.Operation, error) {
			no := false
			return c.Instances.SetScheduling(gcpProject, zone, machine, &compute.Scheduling{AutomaticRestart: &no}).Context(ctx).Do()
		}},
	} {
		changes = append(changes, handmade{drift.name, drift.key, drift.field, func(ctx context.Context) error {
			op, err := drift.change(ctx)
			gcpDone(t, c, op, err)
			return nil
		}})
	}
	testHandmade(t, d, b, changes)
	if data := get(t.Context()).Metadata.Items; !slices.ContainsFunc(data, func(i *compute.MetadataItems) bool {
		return i.Key == "user-data" && strings.Contains(*i.Value, "#cloud-config")
	}) {
		t.Error("mending the metadata has lost the user data")
	}
}

// TestGCPLostAnswers loses the answer to each changing call in turn.
func TestGCPLostAnswers(t *testing.T) {
	testLostAnswers(t, gcpSite(), 10, nil, func(t *testing.T, wrap cloud.Transport) cloud.Driver {
		return newGCPLab(t, world.Instant).driver(t, wrap)
	})
}

// TestGCPForeign makes things that are not ours, or not any more, stand where ours should.
func TestGCPForeign(t *testing.T) {
	lab := newGCPLab(t, world.Instant)
	d, c := lab.driver(t, nil), lab.client(t)
	site := gcpSite()
	list, err := d.Blueprint(cloudtest.TestOwner, site)
	if err != nil {
		t.Fatal(err)
	}
	// A stranger's network has our name: it is neither taken for ours nor seen.
	network := list[0]
	name := cloudtest.TestOwner.ResourceName(network.Key)
	op, err := c.Networks.Insert(gcpProject, &compute.Network{Name: name, ForceSendFields: []string{"AutoCreateSubnetworks"}}).Do()
	gcpDone(t, c, op, err)
	_, err = d.Create(t.Context(), cloud.CreateRequest{Owner: cloudtest.TestOwner, Resource: network, Token: strings.Repeat("a", 32)})
	if cloud.ClassOf(err) != cloud.AlreadyExists || !strings.Contains(err.Error(), name) {
		t.Errorf("create where a stranger's stands: %v", err)
	}
	if there := gcpObserved(t, d); len(there) > 0 {
		t.Errorf("a stranger's network was observed: %v", there)
	}
	op, err = c.Networks.Delete(gcpProject, name).Do()
	gcpDone(t, c, op, err)

	b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, site)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("another creation's machine", func(t *testing.T) {
		r := b.Resources[len(b.Resources)-1]
		req := b.Request(d, cloudtest.TestOwner, r, 2)
		req.UserData = []byte("#cloud-config\n# another host key\n")
		if _, err := d.Create(t.Context(), req); cloud.ClassOf(err) != cloud.AlreadyExists {
			t.Errorf("error %v, want class already-exists", err)
		}
	})
	t.Run("made again by hand", func(t *testing.T) {
		rule := b.Objects["conf-fw-api"]
		_, name := gcpName(rule)
		old, err := c.Firewalls.Get(gcpProject, name).Do()
		if err != nil {
			t.Fatal(err)
		}
		op, err := c.Firewalls.Delete(gcpProject, name).Do()
		gcpDone(t, c, op, err)
		op, err = c.Firewalls.Insert(gcpProject, &compute.Firewall{
			Name: name, Description: old.Description, Network: old.Network, Allowed: old.Allowed, SourceRanges: old.SourceRanges, TargetTags: old.TargetTags,
		}).Do()
		gcpDone(t, c, op, err)
		if now := gcpObserved(t, d)["conf-fw-api"]; now.ID == rule.ID {
			t.Errorf("it has the id of the old one: %s", now.ID)
		}
		if err := d.Delete(t.Context(), cloudtest.TestOwner, rule); err != nil {
			t.Errorf("delete the old one: %v", err)
		}
		if _, err := c.Firewalls.Get(gcpProject, name).Do(); err != nil {
			t.Errorf("the new one went with the old one: %v", err)
		}
		i := slices.IndexFunc(b.Resources, func(r cloud.Resource) bool { return r.Key == "conf-fw-api" })
		_, err = d.Update(t.Context(), cloud.UpdateRequest{
			Owner: cloudtest.TestOwner, Resource: b.Resources[i], Object: rule, Fields: []string{"disabled"}, Refs: b.Objects,
		})
		if cloud.ClassOf(err) != cloud.NotFound {
			t.Errorf("update the old one: %v, want class not-found", err)
		}
	})
	t.Run("disks", func(t *testing.T) { testGCPDisks(t, d, c, b) })
}

// testGCPDisks deletes machines whose disks were meddled with: a stranger's disk stops the deletion, our own that outlived
// its machine is seen.
func testGCPDisks(t *testing.T, d cloud.Driver, c *compute.Service, b *cloudtest.Built) {
	machine := b.Objects["conf-node-conf-web-1"]
	zone, name := gcpName(machine)
	op, err := c.Disks.Insert(gcpProject, zone, &compute.Disk{Name: "theirs", SizeGb: 10}).Do()
	gcpDone(t, c, op, err)
	theirs := &compute.AttachedDisk{Source: "projects/" + gcpProject + "/zones/" + zone + "/disks/theirs", DeviceName: "theirs", AutoDelete: true}
	op, err = c.Instances.AttachDisk(gcpProject, zone, name, theirs).Do()
	gcpDone(t, c, op, err)
	err = d.Delete(t.Context(), cloudtest.TestOwner, machine)
	if cloud.ClassOf(err) != cloud.Conflict || !strings.Contains(err.Error(), "disks/theirs") {
		t.Errorf("delete a machine that would take a stranger's disk along: %v", err)
	}
	op, err = c.Instances.SetDiskAutoDelete(gcpProject, zone, name, false, "theirs").Do()
	gcpDone(t, c, op, err)
	i, err := c.Instances.Get(gcpProject, zone, name).Do()
	if err != nil {
		t.Fatal(err)
	}
	op, err = c.Instances.SetDiskAutoDelete(gcpProject, zone, name, false, i.Disks[0].DeviceName).Do()
	gcpDone(t, c, op, err)
	op, err = c.Instances.Delete(gcpProject, zone, name).Do()
	gcpDone(t, c, op, err)
	left, ok := gcpObserved(t, d)["conf-disk-conf-web-1"]
	if !ok {
		t.Fatal("the disk that outlived its machine isn't observed")
	}
	if diff := cmp.Diff(&gcp.DiskSpec{Zone: zone, GiB: 20}, left.Spec); diff != "" {
		t.Errorf("the disk (-want +got):\n%s", diff)
	}
	if err := d.Delete(t.Context(), cloudtest.TestOwner, left); err != nil {
		t.Error(err)
	}
	if _, err := c.Disks.Get(gcpProject, zone, "theirs").Do(); err != nil {
		t.Errorf("the stranger's disk: %v", err)
	}
	var gone *googleapi.Error
	if _, err := c.Disks.Get(gcpProject, zone, name).Do(); !errors.As(err, &gone) || gone.Code != http.StatusNotFound {
		t.Errorf("our disk: %v, want it gone", err)
	}
}
