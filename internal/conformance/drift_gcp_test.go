package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/drift"
	"github.com/skyweld/skyweld/lab/world"
)

func TestDriftGCP(t *testing.T) {
	lab := newGCPLab(t, world.Instant)
	s := &driftSite{
		site: gcpSite(), name: func(o cloud.Object) string { _, n := gcpName(o); return n },
		plain: func(text string) string {
			text = regexp.MustCompile(`https://[^/]*/compute/v1/`).ReplaceAllString(text, "")
			text = strings.ReplaceAll(text, "googleapi: ", "")
			return regexp.MustCompile(`\bdefault-route-[0-9a-f]+`).ReplaceAllString(text, "default-route-…")
		},
	}
	s.d = lab.driver(t, s.count)
	g := gcpHand{c: lab.client(t)}
	s.T = t
	before := s.items()
	playDrift(t, s, slices.Concat(g.network(), g.subnet(), g.firewalls(), g.addresses(), g.machines(), g.settings(), g.disks()))
	s.clear(t, before)
}

// gcpHand makes the scenes for Compute Engine.
type gcpHand struct{ c *compute.Service }

const (
	gcpWorkerDisk = "conf-disk-conf-web-1"
	gcpZone       = "us-east4-a"
)

type gcpCall = func(context.Context, *driftSite) (*compute.Operation, error)

// by does calls one after the other, each to its end.
func (g gcpHand) by(calls ...gcpCall) func(*driftSite) error {
	return func(s *driftSite) error {
		for _, call := range calls {
			op, err := call(s.Context(), s)
			if err != nil {
				return err
			}
			if err := g.done(s.Context(), op); err != nil {
				return err
			}
		}
		return nil
	}
}

func (g gcpHand) done(ctx context.Context, op *compute.Operation) (err error) {
	for err == nil && op.Status != "DONE" {
		switch {
		case op.Zone != "":
			op, err = g.c.ZoneOperations.Wait(gcpProject, op.Zone[strings.LastIndexByte(op.Zone, '/')+1:], op.Name).Context(ctx).Do()
		case op.Region != "":
			op, err = g.c.RegionOperations.Wait(gcpProject, op.Region[strings.LastIndexByte(op.Region, '/')+1:], op.Name).Context(ctx).Do()
		default:
			op, err = g.c.GlobalOperations.Wait(gcpProject, op.Name).Context(ctx).Do()
		}
	}
	if err == nil && op.Error != nil {
		return fmt.Errorf("%s: %s", op.Error.Errors[0].Code, op.Error.Errors[0].Message)
	}
	return err
}

// onlyOnce is what the API's reference says of a field that a change by hand doesn't reach.
const onlyOnce = "it can be set only when the resource is made; the call changes nothing"

// called is what people call a resource.
func called(s *driftSite, key string) string { return s.names()[key] }

// raw is the command of somebody for whose change gcloud has none.
func raw(path, body string) string {
	return "curl -X PATCH -H \"Authorization: Bearer $(gcloud auth print-access-token)\" -H 'Content-Type: application/json' " +
		"https://compute.googleapis.com/compute/v1/projects/$PROJECT/" + path + " -d '" + body + "'"
}

func (g gcpHand) patchNetwork(body *compute.Network) gcpCall {
	return func(ctx context.Context, s *driftSite) (*compute.Operation, error) {
		return g.c.Networks.Patch(gcpProject, called(s, gcpNetwork), body).Context(ctx).Do()
	}
}

// power stops or starts machines.
func (g gcpHand) power(on bool, keys ...string) func(*driftSite) error {
	return func(s *driftSite) error {
		for _, key := range keys {
			zone, name := gcpName(s.ledger[key])
			err := g.by(func(ctx context.Context, _ *driftSite) (*compute.Operation, error) {
				if on {
					return g.c.Instances.Start(gcpProject, zone, name).Context(ctx).Do()
				}
				return g.c.Instances.Stop(gcpProject, zone, name).Context(ctx).Do()
			})(s)
			if err != nil {
				return err
			}
		}
		return nil
	}
}

func (g gcpHand) network() []driftScene {
	const command = "gcloud compute networks update <conf-network> "
	deleteNetwork := func(ctx context.Context, s *driftSite) (*compute.Operation, error) {
		return g.c.Networks.Delete(gcpProject, called(s, gcpNetwork)).Context(ctx).Do()
	}
	return []driftScene{
		{key: gcpNetwork, change: "deleted, in use", command: "gcloud compute networks delete <conf-network>", do: g.by(deleteNetwork), refused: "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"},
		{
			key: gcpNetwork, change: drift.Deleted, once: "all in it is deleted", command: "gcloud compute networks delete <conf-network>",
			before: func(s *driftSite) error { return gone(s.but("network")...)(s) }, do: g.by(deleteNetwork),
		},
		{
			key: gcpNetwork, change: drift.MarkGone, command: raw("global/networks/<conf-network>", `{"description":"theirs"}`), vain: onlyOnce,
			do: g.by(g.patchNetwork(&compute.Network{Description: "theirs"})),
		},
		{
			key: gcpNetwork, field: "mtu", change: drift.Changed, command: command + "--mtu 1500", once: "all machines in it are stopped",
			before: g.power(false, gcpWorker, gcpCP, "conf-node-conf-cp-2"), do: g.by(g.patchNetwork(&compute.Network{Mtu: 1500})),
		},
		{
			key: gcpNetwork, field: "routingMode", change: drift.Changed, command: command + "--bgp-routing-mode global",
			do: g.by(g.patchNetwork(&compute.Network{RoutingConfig: &compute.NetworkRoutingConfig{RoutingMode: "GLOBAL"}})),
		},
		{
			key: gcpNetwork, field: "firewallOrder", change: drift.Changed, command: command + "--network-firewall-policy-enforcement-order BEFORE_CLASSIC_FIREWALL",
			do: g.by(g.patchNetwork(&compute.Network{NetworkFirewallPolicyEnforcementOrder: "BEFORE_CLASSIC_FIREWALL"})),
		},
		{
			key: gcpNetwork, field: "defaultRoute", change: drift.Changed, command: "gcloud compute routes delete <default-route of the network>",
			do: g.by(func(ctx context.Context, s *driftSite) (*compute.Operation, error) {
				list, err := g.c.Routes.List(gcpProject).Context(ctx).Do()
				if err != nil {
					return nil, err
				}
				for _, r := range list.Items {
					if strings.HasSuffix(r.Network, "/"+called(s, gcpNetwork)) && r.DestRange == "0.0.0.0/0" {
						return g.c.Routes.Delete(gcpProject, r.Name).Context(ctx).Do()
					}
				}
				return nil, errors.New("the network has no default route")
			}),
		},
	}
}

func (g gcpHand) patchSubnet(change func(*compute.Subnetwork)) gcpCall {
	return func(ctx context.Context, s *driftSite) (*compute.Operation, error) {
		now, err := g.c.Subnetworks.Get(gcpProject, gcpRegion, called(s, gcpSubnet)).Context(ctx).Do()
		if err != nil {
			return nil, err
		}
		body := &compute.Subnetwork{Fingerprint: now.Fingerprint}
		change(body)
		return g.c.Subnetworks.Patch(gcpProject, gcpRegion, called(s, gcpSubnet), body).Context(ctx).Do()
	}
}

func (g gcpHand) subnet() []driftScene {
	const command, at = "gcloud compute networks subnets ", " <conf-subnet> --region us-east4"
	path := "regions/us-east4/subnetworks/<conf-subnet>"
	deleteSubnet := func(ctx context.Context, s *driftSite) (*compute.Operation, error) {
		return g.c.Subnetworks.Delete(gcpProject, gcpRegion, called(s, gcpSubnet)).Context(ctx).Do()
	}
	return []driftScene{
		{key: gcpSubnet, change: "deleted, in use", command: command + "delete" + at, do: g.by(deleteSubnet), refused: "resourceInUseByAnotherResource"},
		{
			key: gcpSubnet, change: drift.Deleted, once: "all machines in it are deleted", command: command + "delete" + at, do: g.by(deleteSubnet),
			before: gone(gcpWorker, gcpCP, "conf-node-conf-cp-2"),
		},
		{
			key: gcpSubnet, change: drift.MarkGone, command: raw(path, `{"description":"theirs","fingerprint":"…"}`), vain: onlyOnce,
			do: g.by(g.patchSubnet(func(n *compute.Subnetwork) { n.Description = "theirs" })),
		},
		{
			key: gcpSubnet, field: "network", change: drift.Changed, command: raw(path, `{"network":"global/networks/default","fingerprint":"…"}`), vain: onlyOnce,
			do: g.by(g.patchSubnet(func(n *compute.Subnetwork) { n.Network = "projects/" + gcpProject + "/global/networks/default" })),
		},
		{
			key: gcpSubnet, field: "range", change: drift.Changed, once: "and as long as no control plane stands in it (then it is noted, and left)", command: command + "expand-ip-range" + at + " --prefix-length 15",
			do: g.by(func(ctx context.Context, s *driftSite) (*compute.Operation, error) {
				body := &compute.SubnetworksExpandIpCidrRangeRequest{IpCidrRange: "10.64.0.0/15"}
				return g.c.Subnetworks.ExpandIpCidrRange(gcpProject, gcpRegion, called(s, gcpSubnet), body).Context(ctx).Do()
			}),
		},
		{
			key: gcpSubnet, field: "privateGoogleAccess", change: drift.Changed, command: command + "update" + at + " --enable-private-ip-google-access",
			do: g.by(func(ctx context.Context, s *driftSite) (*compute.Operation, error) {
				body := &compute.SubnetworksSetPrivateIpGoogleAccessRequest{PrivateIpGoogleAccess: true}
				return g.c.Subnetworks.SetPrivateIpGoogleAccess(gcpProject, gcpRegion, called(s, gcpSubnet), body).Context(ctx).Do()
			}),
		},
		{
			key: gcpSubnet, field: "secondaryRanges", change: drift.Added, command: command + "update" + at + " --add-secondary-ranges theirs=172.20.0.0/16",
			do: g.by(g.patchSubnet(func(n *compute.Subnetwork) {
				n.SecondaryIpRanges = []*compute.SubnetworkSecondaryRange{{RangeName: "theirs", IpCidrRange: "172.20.0.0/16"}}
			})),
		},
	}
}

func (g gcpHand) patchRule(key string, body *compute.Firewall) gcpCall {
	return func(ctx context.Context, s *driftSite) (*compute.Operation, error) {
		return g.c.Firewalls.Patch(gcpProject, called(s, key), body).Context(ctx).Do()
	}
}

func (g gcpHand) firewalls() []driftScene {
	rule := func(key, field, change, options string, body *compute.Firewall) driftScene {
		return driftScene{key: key, field: field, change: change, command: "gcloud compute firewall-rules update <" + key + "> " + options, do: g.by(g.patchRule(key, body))}
	}
	never := func(field, change, body string, patch *compute.Firewall, refused string) driftScene {
		return driftScene{key: gcpRule, field: field, change: change, command: raw("global/firewalls/<"+gcpRule+">", body), do: g.by(g.patchRule(gcpRule, patch)), refused: refused}
	}
	const inner = "conf-fw-internal"
	tcp := func(ports ...string) *compute.FirewallAllowed {
		return &compute.FirewallAllowed{IPProtocol: "tcp", Ports: ports}
	}
	role := cloudtest.TestOwner.ResourceName("conf-node")
	return []driftScene{
		{
			key: gcpRule, change: drift.Deleted, command: "gcloud compute firewall-rules delete <" + gcpRule + ">",
			do: g.by(func(ctx context.Context, s *driftSite) (*compute.Operation, error) {
				return g.c.Firewalls.Delete(gcpProject, called(s, gcpRule)).Context(ctx).Do()
			}),
		},
		rule(gcpRule, "", drift.MarkGone, "--description theirs", &compute.Firewall{Description: "theirs"}),
		never("network", drift.Changed, `{"network":"global/networks/default"}`, &compute.Firewall{Network: "global/networks/default"}, "etwork"),
		never("direction", drift.Changed, `{"direction":"EGRESS"}`, &compute.Firewall{Direction: "EGRESS"}, "invalid"),
		rule(gcpRule, "priority", drift.Changed, "--priority 65000", &compute.Firewall{Priority: 65000}),
		rule(gcpRule, "allowed", drift.Added, "--allow tcp:22,tcp:8080", &compute.Firewall{Allowed: []*compute.FirewallAllowed{tcp("22"), tcp("8080")}}),
		rule(gcpRule, "allowed", drift.Removed, "--allow icmp", &compute.Firewall{Allowed: []*compute.FirewallAllowed{{IPProtocol: "icmp"}}}),
		rule(gcpRule, "allowed", drift.Changed, "--allow tcp", &compute.Firewall{Allowed: []*compute.FirewallAllowed{tcp()}}),
		never("denied", drift.Added, `{"denied":[{"IPProtocol":"tcp"}]}`, &compute.Firewall{Denied: []*compute.FirewallDenied{{IPProtocol: "tcp"}}}, "invalid"),
		rule(gcpRule, "sources", drift.Added, "--source-ranges 192.0.2.9/32,0.0.0.0/0", &compute.Firewall{SourceRanges: []string{"192.0.2.9/32", "0.0.0.0/0"}}),
		rule(gcpRule, "sources", drift.Removed, "--source-ranges 203.0.113.0/24", &compute.Firewall{SourceRanges: []string{"203.0.113.0/24"}}),
		rule(gcpRule, "sourceTags", drift.Added, "--source-tags theirs", &compute.Firewall{SourceTags: []string{"theirs"}}),
		rule(inner, "sourceTags", drift.Removed, "--source-tags theirs", &compute.Firewall{SourceTags: []string{"theirs"}}),
		rule(gcpRule, "destinations", drift.Added, "--destination-ranges 192.0.2.1/32", &compute.Firewall{DestinationRanges: []string{"192.0.2.1"}}),
		rule(gcpRule, "targetTags", drift.Added, "--target-tags "+role+",theirs", &compute.Firewall{TargetTags: []string{role, "theirs"}}),
		rule(gcpRule, "targetTags", drift.Removed, "--target-tags ''", &compute.Firewall{ForceSendFields: []string{"TargetTags"}}),
		rule(gcpRule, "disabled", drift.Changed, "--disabled", &compute.Firewall{Disabled: true}),
	}
}

func (g gcpHand) detach(key string) gcpCall {
	return func(ctx context.Context, s *driftSite) (*compute.Operation, error) {
		zone, name := gcpName(s.ledger[key])
		return g.c.Instances.DeleteAccessConfig(gcpProject, zone, name, "External NAT", "nic0").Context(ctx).Do()
	}
}

func (g gcpHand) addresses() []driftScene {
	release := func(ctx context.Context, s *driftSite) (*compute.Operation, error) {
		return g.c.Addresses.Delete(gcpProject, gcpRegion, called(s, gcpAddress)).Context(ctx).Do()
	}
	calls := []string{"AggregatedList", "Delete", "Get", "Insert", "List", "Move", "SetLabels", "TestIamPermissions"}
	const command = "gcloud compute addresses delete <" + gcpAddress + "> --region us-east4"
	return []driftScene{
		{key: gcpAddress, change: "deleted, in use", command: command, do: g.by(release), refused: "resourceInUseByAnotherResource"},
		{
			key: gcpAddress, change: drift.Deleted, do: g.by(g.detach(gcpCP), release),
			command: "gcloud compute instances delete-access-config <" + gcpCP + "> --zone " + gcpZone + natName + " && " + command,
		},
		gcpNobody(gcpAddress, "", drift.MarkGone, g.c.Addresses, calls...),
		gcpNobody(gcpAddress, "tier", drift.Changed, g.c.Addresses, calls...),
	}
}

// gcpNobody is the scene of a field that no call can set: those of the service, in Google's own client, make, read, list,
// label or delete, and there are none but these.
func gcpNobody(key, field, change string, service any, known ...string) driftScene {
	const none = "the API has no call for it"
	return driftScene{key: key, field: field, change: change, refused: none, do: func(*driftSite) error {
		t := reflect.TypeOf(service)
		for i := range t.NumMethod() {
			if m := t.Method(i).Name; !slices.Contains(known, m) {
				return fmt.Errorf("%s has the method %s too", t, m)
			}
		}
		return fmt.Errorf("%s: there are only %s", none, strings.Join(known, ", "))
	}}
}

// instance makes the scene of a change of the worker by calls of one service.
func (g gcpHand) instance(field, change, command string, calls ...gcpCall) driftScene {
	return driftScene{key: gcpWorker, field: field, change: change, command: command, do: g.by(calls...)}
}

func (g gcpHand) now(ctx context.Context, s *driftSite) *compute.Instance {
	s.Helper()
	zone, name := gcpName(s.ledger[gcpWorker])
	i, err := g.c.Instances.Get(gcpProject, zone, name).Context(ctx).Do()
	if err != nil {
		s.Fatal(err)
	}
	return i
}

// with calls a method of the worker's instance.
func (g gcpHand) with(f func(zone, name string, now *compute.Instance) gcpDo) gcpCall {
	return func(ctx context.Context, s *driftSite) (*compute.Operation, error) {
		zone, name := gcpName(s.ledger[gcpWorker])
		return f(zone, name, g.now(ctx, s)).Do()
	}
}

type gcpDo = interface {
	Do(...googleapi.CallOption) (*compute.Operation, error)
}

// natName is what an access config is called that Skyweld makes.
const natName = " --access-config-name 'External NAT'"

const gcpAt = " <" + gcpWorker + "> --zone " + gcpZone

func (g gcpHand) stop() gcpCall {
	return g.with(func(zone, name string, _ *compute.Instance) gcpDo { return g.c.Instances.Stop(gcpProject, zone, name) })
}

func (g gcpHand) start() gcpCall {
	return g.with(func(zone, name string, _ *compute.Instance) gcpDo { return g.c.Instances.Start(gcpProject, zone, name) })
}

// machines are the scenes of what a machine is.
func (g gcpHand) machines() []driftScene {
	const gcloud = "gcloud compute instances "
	const stop, start = gcloud + "stop" + gcpAt + " && ", " && " + gcloud + "start" + gcpAt
	nic := func(change func(*compute.NetworkInterface)) gcpCall {
		return g.with(func(zone, name string, now *compute.Instance) gcpDo {
			body := &compute.NetworkInterface{Fingerprint: now.NetworkInterfaces[0].Fingerprint}
			change(body)
			return g.c.Instances.UpdateNetworkInterface(gcpProject, zone, name, "nic0", body)
		})
	}
	return []driftScene{
		g.instance("", drift.Deleted, gcloud+"delete"+gcpAt, g.with(func(zone, name string, _ *compute.Instance) gcpDo {
			return g.c.Instances.Delete(gcpProject, zone, name)
		})),
		g.instance("", drift.MarkGone, gcloud+"remove-labels"+gcpAt+" --labels skyweld-cluster,skyweld-key",
			g.with(func(zone, name string, now *compute.Instance) gcpDo {
				body := &compute.InstancesSetLabelsRequest{LabelFingerprint: now.LabelFingerprint, ForceSendFields: []string{"Labels"}}
				return g.c.Instances.SetLabels(gcpProject, zone, name, body)
			})),
		g.instance("", drift.Stopped, gcloud+"stop"+gcpAt, g.stop()),
		{
			key: gcpWorker, field: "subnetwork", change: drift.Changed, once: "there is another network", do: g.by(g.stop(), nic(func(n *compute.NetworkInterface) {
				n.Network, n.Subnetwork = "projects/"+gcpProject+"/global/networks/theirs", "projects/"+gcpProject+"/regions/us-east4/subnetworks/theirs"
			}), g.start()),
			command: stop + gcloud + "network-interfaces update" + gcpAt + " --network theirs --subnetwork theirs" + start,
			before: g.by(func(ctx context.Context, _ *driftSite) (*compute.Operation, error) {
				return g.c.Networks.Insert(gcpProject, &compute.Network{Name: "theirs", ForceSendFields: []string{"AutoCreateSubnetworks"}}).Context(ctx).Do()
			}, func(ctx context.Context, _ *driftSite) (*compute.Operation, error) {
				body := &compute.Subnetwork{Name: "theirs", Network: "projects/" + gcpProject + "/global/networks/theirs", IpCidrRange: "192.168.7.0/24"}
				return g.c.Subnetworks.Insert(gcpProject, gcpRegion, body).Context(ctx).Do()
			}),
			after: g.by(func(ctx context.Context, _ *driftSite) (*compute.Operation, error) {
				return g.c.Subnetworks.Delete(gcpProject, gcpRegion, "theirs").Context(ctx).Do()
			}, func(ctx context.Context, _ *driftSite) (*compute.Operation, error) {
				return g.c.Networks.Delete(gcpProject, "theirs").Context(ctx).Do()
			}),
		},
		gcpZoneScene(),
		g.instance("type", drift.Changed, stop+gcloud+"set-machine-type"+gcpAt+" --machine-type e2-standard-4"+start, g.stop(),
			g.with(func(zone, name string, _ *compute.Instance) gcpDo {
				return g.c.Instances.SetMachineType(gcpProject, zone, name, &compute.InstancesSetMachineTypeRequest{MachineType: "zones/" + zone + "/machineTypes/e2-standard-4"})
			}), g.start()),
		g.instance("privateAddress", drift.Changed, stop+gcloud+"network-interfaces update"+gcpAt+" --private-network-ip 10.64.0.99"+start, g.stop(),
			nic(func(n *compute.NetworkInterface) { n.NetworkIP = "10.64.0.99" }), g.start()),
		g.instance("publicAddress", drift.Changed, gcloud+"delete-access-config"+gcpAt+natName, g.detach(gcpWorker)),
		{
			key: gcpCP, field: "publicAddress", change: drift.Changed, command: gcloud + "delete-access-config <" + gcpCP + "> --zone " + gcpZone + natName, do: g.by(g.detach(gcpCP)),
		},
		g.instance("canIPForward", drift.Changed, gcloud+"export"+gcpAt+" | sed 's/canIpForward: true/canIpForward: false/' | "+gcloud+"update-from-file"+gcpAt+" --most-disruptive-allowed-action REFRESH",
			g.with(func(zone, name string, now *compute.Instance) gcpDo {
				now.CanIpForward, now.ForceSendFields = false, []string{"CanIpForward"}
				return g.c.Instances.Update(gcpProject, zone, name, now).MostDisruptiveAllowedAction("REFRESH")
			})),
		g.instance("serviceAccounts", drift.Added, stop+gcloud+"set-service-account"+gcpAt+" --service-account default"+start, g.stop(),
			g.with(func(zone, name string, _ *compute.Instance) gcpDo {
				return g.c.Instances.SetServiceAccount(gcpProject, zone, name, &compute.InstancesSetServiceAccountRequest{Email: "default"})
			}), g.start()),
	}
}

// gcpZoneScene is that of moving a machine: the call that did so was taken back in 2023, and is in no service of machines.
func gcpZoneScene() driftScene {
	const none = "the API has no call for it"
	return driftScene{key: gcpWorker, field: "zone", change: drift.Changed, refused: none, do: func(*driftSite) error {
		t := reflect.TypeFor[*compute.InstancesService]()
		for i := range t.NumMethod() {
			if m := t.Method(i).Name; strings.Contains(m, "Move") || strings.Contains(m, "Zone") {
				return fmt.Errorf("%s has the method %s", t, m)
			}
		}
		return errors.New(none + ": machines can't be moved")
	}}
}

// settings are the scenes of a machine's settings.
func (g gcpHand) settings() []driftScene {
	const gcloud = "gcloud compute instances "
	tags := func(change func([]string) []string) gcpCall {
		return g.with(func(zone, name string, now *compute.Instance) gcpDo {
			body := &compute.Tags{Items: change(now.Tags.Items), Fingerprint: now.Tags.Fingerprint, ForceSendFields: []string{"Items"}}
			return g.c.Instances.SetTags(gcpProject, zone, name, body)
		})
	}
	metadata := func(change func([]*compute.MetadataItems) []*compute.MetadataItems) gcpCall {
		return g.with(func(zone, name string, now *compute.Instance) gcpDo {
			now.Metadata.Items = change(now.Metadata.Items)
			return g.c.Instances.SetMetadata(gcpProject, zone, name, now.Metadata)
		})
	}
	role := cloudtest.TestOwner.ResourceName("conf-node")
	return []driftScene{
		g.instance("tags", drift.Added, gcloud+"add-tags"+gcpAt+" --tags theirs", tags(func(list []string) []string { return append(list, "theirs") })),
		g.instance("tags", drift.Removed, gcloud+"remove-tags"+gcpAt+" --tags "+role, tags(func([]string) []string { return nil })),
		g.instance("metadata", drift.Added, gcloud+"add-metadata"+gcpAt+" --metadata ssh-keys=eve:ssh-ed25519-AAAA",
			metadata(func(list []*compute.MetadataItems) []*compute.MetadataItems {
				return append(list, &compute.MetadataItems{Key: "ssh-keys", Value: text("eve:ssh-ed25519 AAAA eve")})
			})),
		g.instance("metadata", drift.Removed, gcloud+"remove-metadata"+gcpAt+" --keys block-project-ssh-keys",
			metadata(func(list []*compute.MetadataItems) []*compute.MetadataItems {
				return slices.DeleteFunc(list, func(i *compute.MetadataItems) bool { return i.Key == "block-project-ssh-keys" })
			})),
		g.instance("metadata", drift.Changed, gcloud+"add-metadata"+gcpAt+" --metadata enable-oslogin=TRUE",
			metadata(func(list []*compute.MetadataItems) []*compute.MetadataItems {
				for _, i := range list {
					if i.Key == "enable-oslogin" {
						i.Value = text("TRUE")
					}
				}
				return list
			})),
		g.instance("deletionProtection", drift.Changed, gcloud+"update"+gcpAt+" --deletion-protection", g.with(func(zone, name string, _ *compute.Instance) gcpDo {
			return g.c.Instances.SetDeletionProtection(gcpProject, zone, name).DeletionProtection(true)
		})),
		g.instance("automaticRestart", drift.Changed, gcloud+"set-scheduling"+gcpAt+" --no-restart-on-failure", g.with(func(zone, name string, _ *compute.Instance) gcpDo {
			no := false
			return g.c.Instances.SetScheduling(gcpProject, zone, name, &compute.Scheduling{AutomaticRestart: &no})
		})),
		g.instance("diskAutoDelete", drift.Changed, gcloud+"set-disk-auto-delete"+gcpAt+" --disk <"+gcpWorkerDisk+"> --no-auto-delete", g.keepDisk()),
		g.instance("diskGiB", drift.Changed, "gcloud compute disks resize <"+gcpWorkerDisk+"> --zone "+gcpZone+" --size 50", func(ctx context.Context, s *driftSite) (*compute.Operation, error) {
			return g.c.Disks.Resize(gcpProject, gcpZone, called(s, gcpWorkerDisk), &compute.DisksResizeRequest{SizeGb: 50}).Context(ctx).Do()
		}),
		g.instance("", "disk detached", gcloud+"stop"+gcpAt+" && "+gcloud+"detach-disk"+gcpAt+" --disk <"+gcpWorkerDisk+">", g.stop(),
			g.with(func(zone, name string, now *compute.Instance) gcpDo {
				return g.c.Instances.DetachDisk(gcpProject, zone, name, now.Disks[0].DeviceName)
			})),
	}
}

func (g gcpHand) keepDisk() gcpCall {
	return g.with(func(zone, name string, now *compute.Instance) gcpDo {
		return g.c.Instances.SetDiskAutoDelete(gcpProject, zone, name, false, now.Disks[0].DeviceName)
	})
}

func (g gcpHand) disks() []driftScene {
	return []driftScene{{
		kind: "disk", change: "outlives its machine",
		command: "gcloud compute instances set-disk-auto-delete" + gcpAt + " --disk <" + gcpWorkerDisk + "> --no-auto-delete && gcloud compute instances delete" + gcpAt,
		do: g.by(g.keepDisk(), g.with(func(zone, name string, _ *compute.Instance) gcpDo {
			return g.c.Instances.Delete(gcpProject, zone, name)
		})),
	}}
}
