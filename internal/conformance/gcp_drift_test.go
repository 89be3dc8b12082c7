package conformance_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
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

// gcpObserved lists what is there, by key; several under one key fail the test.
func gcpObserved(t *testing.T, d cloud.Driver) map[string]cloud.Object {
	t.Helper()
	list, err := d.Observe(t.Context(), cloudtest.TestOwner.UID, gcpRegion)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]cloud.Object{}
	for _, o := range list {
		if twin, ok := out[o.Key]; ok {
			t.Errorf("%s is there twice: %s and %s", o.Key, twin.ID, o.ID)
		}
		out[o.Key] = o
	}
	return out
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
		t.Run(drift.name, func(t *testing.T) {
			op, err := drift.change(t.Context())
			gcpDone(t, c, op, err)
			i := slices.IndexFunc(b.Resources, func(r cloud.Resource) bool { return r.Key == drift.key })
			want, got := b.Resources[i], gcpObserved(t, d)[drift.key]
			if diff, err := cloudtest.Differences(want.Spec, got.Spec); err != nil || !slices.Equal(diff, []string{drift.field}) {
				t.Fatalf("the driver sees a difference in %v (error %v), want %q", diff, err, drift.field)
			}
			mended, err := d.Update(t.Context(), cloud.UpdateRequest{
				Owner: cloudtest.TestOwner, Resource: want, Object: got, Fields: []string{drift.field}, Refs: b.Objects,
			})
			if err != nil {
				t.Fatal(err)
			}
			got = gcpObserved(t, d)[drift.key]
			if diff, err := cloudtest.Differences(want.Spec, got.Spec); err != nil || len(diff) > 0 {
				t.Errorf("after the update %v differ (error %v):\n%s", diff, err, cmp.Diff(want.Spec, got.Spec))
			}
			if diff := cmp.Diff(got.Spec, mended.Spec); diff != "" {
				t.Errorf("the update returned another state than what is observed (-observed +returned):\n%s", diff)
			}
		})
	}
	if data := get(t.Context()).Metadata.Items; !slices.ContainsFunc(data, func(i *compute.MetadataItems) bool {
		return i.Key == "user-data" && strings.Contains(*i.Value, "#cloud-config")
	}) {
		t.Error("mending the metadata has lost the user data")
	}
}

// gcpCutter breaks off the nth call that isn't a question, after it has had its effect.
type gcpCutter struct {
	next http.RoundTripper
	mu   sync.Mutex
	left int
}

func (c *gcpCutter) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.next.RoundTrip(r)
	if err != nil || r.Method == http.MethodGet {
		return res, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left != 0 {
		return res, nil
	}
	res.Body.Close()
	return nil, errGCPCut
}

var errGCPCut = errors.New("the answer was lost")

// TestGCPLostAnswers loses the answer to each changing call in turn; trying again with the same token must end with
// everything there once and as wanted.
func TestGCPLostAnswers(t *testing.T) {
	lost := 0
	for n := 1; ; n++ {
		lab, cut := newGCPLab(t, world.Instant), &gcpCutter{left: n}
		d := lab.driver(t, func(next http.RoundTripper) http.RoundTripper { cut.next = next; return cut })
		b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, gcpSite())
		if err != nil {
			t.Fatalf("call %d lost: %v", n, err)
		}
		there := gcpObserved(t, d)
		for _, r := range b.Resources {
			if diff, err := cloudtest.Differences(r.Spec, there[r.Key].Spec); err != nil || len(diff) > 0 || there[r.Key].ID != b.Objects[r.Key].ID {
				t.Errorf("call %d lost: %s has id %s (want %s), differs in %v (error %v)", n, r.Key, there[r.Key].ID, b.Objects[r.Key].ID, diff, err)
			}
		}
		if len(there) != len(b.Resources) {
			t.Errorf("call %d lost: %d things for %d resources", n, len(there), len(b.Resources))
		}
		if cut.left > 0 {
			break // fewer calls than n
		}
		lost++
	}
	if lost < 10 {
		t.Errorf("only %d calls were lost", lost)
	}
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
