package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/azure"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	labarm "github.com/skyweld/skyweld/lab/arm"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

func azureSite() cloud.Site { return cloudtest.DefaultSite("conf", azureRegion, azureZones) }

// azureStage is a site in the lab's Azure, with the driver that made it and a hand that goes behind its back.
type azureStage struct {
	t    *testing.T
	lab  *azureLab
	d    cloud.Driver
	hand azureHand
	*cloudtest.Built
}

func newAzureStage(t *testing.T, change ...func(*labarm.Config)) *azureStage {
	t.Helper()
	s := &azureStage{t: t, lab: newAzureLab(t, world.Instant, change...)}
	s.d, s.hand = s.lab.driver(t, azureSecret), s.lab.hand(t)
	s.build()
	return s
}

// build makes what isn't there.
func (s *azureStage) build() {
	s.t.Helper()
	var err error
	if s.Built, err = cloudtest.Build(s.t.Context(), s.d, cloudtest.TestOwner, azureSite()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *azureStage) resource(key string) cloud.Resource {
	s.t.Helper()
	i := slices.IndexFunc(s.Resources, func(r cloud.Resource) bool { return r.Key == key })
	if i < 0 {
		s.t.Fatalf("the blueprint has no %s", key)
	}
	return s.Resources[i]
}

func (s *azureStage) observe() map[string]cloud.Object {
	s.t.Helper()
	return observedIn(s.t, s.d, azureRegion)
}

// count is how many things of a kind the subscription has.
func (s *azureStage) count(kind cloud.Kind) int {
	s.t.Helper()
	list, err := s.d.Inventory(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return len(slices.DeleteFunc(list, func(i cloud.Item) bool { return i.Kind != kind }))
}

const (
	azureGroup = "sw-00c0ffee-conf-group"
	azureNode  = "conf-node-conf-web-1"
	azureNIC   = "conf-nic-conf-web-1"
	azureRules = "conf-nsg-control-plane"
)

// changeInterface changes an interface by hand.
func (s *azureStage) changeInterface(key string, change func(*armnetwork.InterfacePropertiesFormat)) func(context.Context) error {
	return func(ctx context.Context) error {
		group, name := azureName(s.Objects[key])
		x, err := s.hand.interfaces.Get(ctx, group, name, nil)
		if err != nil {
			return err
		}
		change(x.Properties)
		p, err := s.hand.interfaces.BeginCreateOrUpdate(ctx, group, name, x.Interface, nil)
		return azureDone(ctx, p, err)
	}
}

// putRule makes or changes a rule of a security group by hand.
func (s *azureStage) putRule(key, name string, priority int32, access armnetwork.SecurityRuleAccess, from string) func(context.Context) error {
	return func(ctx context.Context) error {
		group, security := azureName(s.Objects[key])
		p, err := s.hand.rules.BeginCreateOrUpdate(ctx, group, security, name, armnetwork.SecurityRule{Properties: &armnetwork.SecurityRulePropertiesFormat{
			Priority: &priority, Access: &access, Direction: to.Ptr(armnetwork.SecurityRuleDirectionInbound), Protocol: to.Ptr(armnetwork.SecurityRuleProtocolTCP),
			SourceAddressPrefix: &from, SourcePortRange: to.Ptr("*"), DestinationAddressPrefix: to.Ptr("*"), DestinationPortRange: to.Ptr("22"),
		}}, nil)
		return azureDone(ctx, p, err)
	}
}

// changeMachine changes a machine by hand, as far as a PATCH may.
func (s *azureStage) changeMachine(key string, p *armcompute.VirtualMachineProperties) func(context.Context) error {
	return func(ctx context.Context) error {
		group, name := azureName(s.Objects[key])
		poller, err := s.hand.machines.BeginUpdate(ctx, group, name, armcompute.VirtualMachineUpdate{Properties: p}, nil)
		return azureDone(ctx, poller, err)
	}
}

// keptDisk is a machine's disk that is to stay when that goes; what it was made of has to be said, though it can't change.
func keptDisk() *armcompute.OSDisk {
	return &armcompute.OSDisk{CreateOption: to.Ptr(armcompute.DiskCreateOptionTypesFromImage), DeleteOption: to.Ptr(armcompute.DiskDeleteOptionTypesDetach)}
}

// TestAzureDrift changes one thing after the other by hand: the driver must see each in the right field, and mend it where
// the field is mutable. What others have put beside our marks stays.
func TestAzureDrift(t *testing.T) {
	s := newAzureStage(t)
	group, security := azureName(s.Objects[azureRules])
	tags := map[string]*string{cloud.TagCluster: to.Ptr(cloudtest.TestOwner.UID), cloud.TagKey: to.Ptr(azureRules), "Cost-Centre": to.Ptr("4711")}
	if _, err := s.hand.securities.UpdateTags(t.Context(), group, security, armnetwork.TagsObject{Tags: tags}, nil); err != nil {
		t.Fatal(err)
	}
	workers := s.Objects["conf-nsg-node"].ID
	workers, _, _ = strings.Cut(workers, "#")
	testHandmade(t, s.d, s.Built, []handmade{
		{"rule more", azureRules, "rules", s.putRule(azureRules, "theirs", 300, armnetwork.SecurityRuleAccessAllow, "*")},
		{"rule in front", azureRules, "rules", s.putRule(azureRules, "theirs", 101, armnetwork.SecurityRuleAccessDeny, "*")},
		{"rule for all sources", azureRules, "rules", s.putRule(azureRules, "ssh", 120, armnetwork.SecurityRuleAccessAllow, "Internet")},
		{"rule that denies", azureRules, "rules", s.putRule(azureRules, "ssh", 120, armnetwork.SecurityRuleAccessDeny, "192.0.2.9/32")},
		{"rule gone", azureRules, "rules", func(ctx context.Context) error {
			p, err := s.hand.rules.BeginDelete(ctx, group, security, "api", nil)
			return azureDone(ctx, p, err)
		}},
		{"forwarding off", azureNIC, "ipForwarding", s.changeInterface(azureNIC, func(p *armnetwork.InterfacePropertiesFormat) { p.EnableIPForwarding = to.Ptr(false) })},
		{"public address gone", azureNIC, "publicAddress", s.changeInterface(azureNIC, func(p *armnetwork.InterfacePropertiesFormat) {
			p.IPConfigurations[0].Properties.PublicIPAddress = nil
		})},
		{"another security group", "conf-nic-conf-cp-1", "securityGroup", s.changeInterface("conf-nic-conf-cp-1", func(p *armnetwork.InterfacePropertiesFormat) {
			p.NetworkSecurityGroup = &armnetwork.SecurityGroup{ID: &workers}
		})},
		{"no security group", azureNIC, "securityGroup", s.changeInterface(azureNIC, func(p *armnetwork.InterfacePropertiesFormat) { p.NetworkSecurityGroup = nil })},
		{"disk kept", azureNode, "diskDelete", s.changeMachine(azureNode, &armcompute.VirtualMachineProperties{
			StorageProfile: &armcompute.StorageProfile{OSDisk: keptDisk()},
		})},
		{"no boot log", azureNode, "bootDiagnostics", s.changeMachine(azureNode, &armcompute.VirtualMachineProperties{
			DiagnosticsProfile: &armcompute.DiagnosticsProfile{BootDiagnostics: &armcompute.BootDiagnostics{Enabled: to.Ptr(false)}},
		})},
	})
	x, err := s.hand.securities.Get(t.Context(), group, security, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tags, x.Tags); diff != "" {
		t.Errorf("mending has changed the tags (-before +after):\n%s", diff)
	}
	wantBuilt(t, s.d, s.Built, "after all")
}

// TestAzureForeignSubnet has somebody put a range and a subnet into the network: the range is not taken away under the subnet,
// which is named; when that is gone it is.
func TestAzureForeignSubnet(t *testing.T) {
	s := newAzureStage(t)
	group, name := azureName(s.Objects[azureNetwork])
	x, err := s.hand.networks.Get(t.Context(), group, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	x.Properties.AddressSpace.AddressPrefixes = append(x.Properties.AddressSpace.AddressPrefixes, to.Ptr("172.20.0.0/16"))
	x.Properties.Subnets = append(x.Properties.Subnets, &armnetwork.Subnet{Name: to.Ptr("theirs"), Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: to.Ptr("172.20.3.0/24")}})
	p, err := s.hand.networks.BeginCreateOrUpdate(t.Context(), group, name, x.VirtualNetwork, nil)
	if err := azureDone(t.Context(), p, err); err != nil {
		t.Fatal(err)
	}
	want := s.resource(azureNetwork)
	mend := func() error {
		got := s.observe()[azureNetwork]
		if diff, err := cloudtest.Differences(want.Spec, got.Spec); err != nil || !slices.Equal(diff, []string{"addressSpace"}) {
			t.Errorf("the driver sees a difference in %v (error %v), want addressSpace", diff, err)
		}
		_, err := s.d.Update(t.Context(), cloud.UpdateRequest{Owner: cloudtest.TestOwner, Resource: want, Object: got, Fields: []string{"addressSpace"}, Refs: s.Objects})
		return err
	}
	err = mend()
	if e, ok := errors.AsType[*cloud.Error](err); !ok || e.Class != cloud.Conflict || !e.Held || !strings.Contains(err.Error(), "/subnets/theirs") {
		t.Errorf("with their subnet in it: %v, want a conflict that somebody has to end and that names it", err)
	}
	x, err = s.hand.networks.Get(t.Context(), group, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	x.Properties.Subnets = slices.DeleteFunc(x.Properties.Subnets, func(n *armnetwork.Subnet) bool { return *n.Name == "theirs" })
	p, err = s.hand.networks.BeginCreateOrUpdate(t.Context(), group, name, x.VirtualNetwork, nil)
	if err := azureDone(t.Context(), p, err); err != nil {
		t.Fatal(err)
	}
	if err := mend(); err != nil {
		t.Error(err)
	}
	wantBuilt(t, s.d, s.Built, "after all")
}

// TestAzureSwitchedOff stops a machine in both of Azure's ways; it is seen stopped with nothing else the matter, and started.
func TestAzureSwitchedOff(t *testing.T) {
	s := newAzureStage(t)
	group, name := azureName(s.Objects[azureNode])
	for how, stop := range map[string]func(context.Context) error{
		"stopped": func(ctx context.Context) error {
			p, err := s.hand.machines.BeginPowerOff(ctx, group, name, nil)
			return azureDone(ctx, p, err)
		},
		"deallocated": func(ctx context.Context) error {
			p, err := s.hand.machines.BeginDeallocate(ctx, group, name, nil)
			return azureDone(ctx, p, err)
		},
	} {
		if err := stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		r, off := s.resource(azureNode), s.observe()[azureNode]
		if diff, err := cloudtest.Differences(r.Spec, off.Spec); off.State != cloud.Stopped || err != nil || len(diff) > 0 {
			t.Errorf("%s: it is %s and differs in %v (error %v)", how, off.State, diff, err)
		}
		on, err := s.d.Update(t.Context(), cloud.UpdateRequest{Owner: cloudtest.TestOwner, Resource: r, Object: off, Fields: []string{"state"}, Refs: s.Objects})
		if err != nil || on.State != cloud.Ready || on.ID != s.Objects[azureNode].ID {
			t.Errorf("%s: started again it is %s, %s: %v", how, on.State, on.ID, err)
		}
	}
	wantBuilt(t, s.d, s.Built, "after all")
}

// TestAzureDeleted takes things away by hand, each with what stands on it: what is gone isn't seen any more, can be
// deleted again and not changed, and is made again beside what was left.
func TestAzureDeleted(t *testing.T) {
	s := newAzureStage(t)
	ctx := t.Context()
	remove := map[cloud.Kind]func(group, name string) error{
		"virtual-machine": func(group, name string) error {
			p, err := s.hand.machines.BeginDelete(ctx, group, name, nil)
			return azureDone(ctx, p, err)
		},
		"network-interface": func(group, name string) error {
			p, err := s.hand.interfaces.BeginDelete(ctx, group, name, nil)
			return azureDone(ctx, p, err)
		},
		"public-ip-address": func(group, name string) error {
			p, err := s.hand.addresses.BeginDelete(ctx, group, name, nil)
			return azureDone(ctx, p, err)
		},
		"resource-group": func(group, _ string) error {
			p, err := s.hand.groups.BeginDelete(ctx, group, nil)
			return azureDone(ctx, p, err)
		},
	}
	for _, list := range [][]string{
		{azureNode}, {azureNode, azureNIC}, {azureNode, azureNIC, "conf-ip-conf-web-1"}, {"conf-group"},
	} {
		last := list[len(list)-1]
		before := s.Objects
		for _, key := range list {
			group, name := azureName(before[key])
			if err := remove[before[key].Kind](group, name); err != nil {
				t.Fatal(err)
			}
		}
		there := s.observe()
		for _, key := range list {
			if o, ok := there[key]; ok {
				t.Errorf("%s is gone and is observed as %s", key, o.ID)
			}
			if err := s.d.Delete(ctx, cloudtest.TestOwner, before[key]); err != nil {
				t.Errorf("delete %s again: %v", key, err)
			}
		}
		_, err := s.d.Update(ctx, cloud.UpdateRequest{Owner: cloudtest.TestOwner, Resource: s.resource(azureNode), Object: before[azureNode], Fields: []string{"diskDelete"}, Refs: before})
		if cloud.ClassOf(err) != cloud.NotFound {
			t.Errorf("without %s: update the machine that is gone: %v, want class not-found", last, err)
		}
		s.build()
		wantBuilt(t, s.d, s.Built, "%s made again", last)
		if s.Objects[last].ID == before[last].ID && last != "conf-group" {
			t.Errorf("%s made again has the id of the one that is gone", last)
		}
		if n := s.count("disk"); n != 3 {
			t.Errorf("%s made again: %d disks, want one of each machine", last, n)
		}
	}
}

// TestAzureTags takes our marks off by hand: what has none isn't ours, is in the way by name, and is not deleted.
func TestAzureTags(t *testing.T) {
	s := newAzureStage(t)
	ctx := t.Context()
	retag := func(tags map[string]*string) {
		t.Helper()
		group, name := azureName(s.Objects[azureRules])
		if _, err := s.hand.securities.UpdateTags(ctx, group, name, armnetwork.TagsObject{Tags: tags}, nil); err != nil {
			t.Fatal(err)
		}
	}
	r := s.resource(azureRules)
	retag(map[string]*string{"theirs": to.Ptr("yes")})
	if o, ok := s.observe()[azureRules]; ok {
		t.Errorf("without our marks it is observed: %s", o.ID)
	}
	_, err := s.d.Create(ctx, s.Request(s.d, cloudtest.TestOwner, r, 1))
	if cloud.ClassOf(err) != cloud.AlreadyExists || !strings.Contains(err.Error(), "/networkSecurityGroups/sw-00c0ffee-"+azureRules) {
		t.Errorf("create it beside: %v, want class already-exists and its path", err)
	}
	// Names of tags may come back in another case than they were written in.
	retag(map[string]*string{strings.ToUpper(cloud.TagCluster): to.Ptr(cloudtest.TestOwner.UID), strings.ToUpper(cloud.TagKey): to.Ptr(azureRules)})
	wantBuilt(t, s.d, s.Built, "marks in capitals")

	// A group without our mark is not deleted, though all that was in it has gone.
	for _, r := range slices.Backward(s.Resources[1:]) {
		if err := s.d.Delete(ctx, cloudtest.TestOwner, s.Objects[r.Key]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.hand.groups.Update(ctx, azureGroup, armresources.ResourceGroupPatchable{Tags: map[string]*string{"theirs": to.Ptr("yes")}}, nil); err != nil {
		t.Fatal(err)
	}
	err = s.d.Delete(ctx, cloudtest.TestOwner, s.Objects["conf-group"])
	if cloud.ClassOf(err) != cloud.Conflict || !strings.Contains(err.Error(), azureGroup) {
		t.Errorf("delete a group that isn't ours any more: %v, want a conflict that names it", err)
	}
	if _, err := s.hand.groups.Get(ctx, azureGroup, nil); err != nil {
		t.Errorf("the group: %v", err)
	}
}

// TestAzureCopies makes things that bear our marks elsewhere, as somebody's template of ours does: they are seen beside
// ours, with ids of their own, and deleting ours leaves them.
func TestAzureCopies(t *testing.T) {
	s := newAzureStage(t)
	ctx := t.Context()
	if _, err := s.hand.groups.CreateOrUpdate(ctx, "theirs", armresources.ResourceGroup{Location: to.Ptr(azureRegion)}, nil); err != nil {
		t.Fatal(err)
	}
	group, name := azureName(s.Objects[azureRules])
	x, err := s.hand.securities.Get(ctx, group, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	copied := armnetwork.SecurityGroup{Location: x.Location, Tags: x.Tags, Properties: &armnetwork.SecurityGroupPropertiesFormat{}}
	p, err := s.hand.securities.BeginCreateOrUpdate(ctx, "theirs", name, copied, nil)
	if err := azureDone(ctx, p, err); err != nil {
		t.Fatal(err)
	}
	list, err := s.d.Observe(ctx, cloudtest.TestOwner.UID, azureRegion)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, o := range list {
		if o.Key == azureRules {
			ids = append(ids, o.ID)
		}
	}
	if len(ids) != 2 || ids[0] == ids[1] || !slices.Contains(ids, s.Objects[azureRules].ID) {
		t.Fatalf("under the key are %q, want ours and the copy", ids)
	}
	if again, err := s.d.Create(ctx, s.Request(s.d, cloudtest.TestOwner, s.resource(azureRules), 1)); err != nil || again.ID != s.Objects[azureRules].ID {
		t.Errorf("made again it is %s: %v, want ours", again.ID, err)
	}
	for _, r := range slices.Backward(s.Resources) {
		if err := s.d.Delete(ctx, cloudtest.TestOwner, s.Objects[r.Key]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.hand.securities.Get(ctx, "theirs", name, nil); err != nil {
		t.Errorf("the copy: %v", err)
	}
}

// TestAzureKeptDisk has a machine's disk stay: deleting the machine takes it along all the same, and a disk whose machine
// somebody else has deleted is observed.
func TestAzureKeptDisk(t *testing.T) {
	s := newAzureStage(t)
	ctx := t.Context()
	const mine, theirs = "conf-node-conf-cp-1", azureNode
	for _, key := range []string{mine, theirs} {
		keep := s.changeMachine(key, &armcompute.VirtualMachineProperties{
			StorageProfile: &armcompute.StorageProfile{OSDisk: keptDisk()},
		})
		if err := keep(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.d.Delete(ctx, cloudtest.TestOwner, s.Objects[mine]); err != nil {
		t.Fatal(err)
	}
	group, name := azureName(s.Objects[theirs])
	p, err := s.hand.machines.BeginDelete(ctx, group, name, nil)
	if err := azureDone(ctx, p, err); err != nil {
		t.Fatal(err)
	}
	var disks []cloud.Object
	for _, o := range s.observe() {
		if o.Kind == "disk" {
			disks = append(disks, o)
		}
	}
	if len(disks) != 1 || !strings.HasPrefix(disks[0].Key, "conf-disk-conf-web-1-") { // and the creation's digits
		t.Fatalf("observed: %v, want of the disks that of %s alone", disks, theirs)
	}
	left := disks[0]
	if diff := cmp.Diff(&azure.DiskSpec{Zone: "eastus-1", GiB: 30}, left.Spec); diff != "" {
		t.Errorf("the disk (-want +got):\n%s", diff)
	}
	if err := s.d.Delete(ctx, cloudtest.TestOwner, left); err != nil {
		t.Fatal(err)
	}
	if n := s.count("disk"); n != 1 {
		t.Errorf("%d disks, want that of the machine that is left", n)
	}
}

// TestAzureLostAnswers loses the answer to each changing call in turn.
func TestAzureLostAnswers(t *testing.T) {
	asks := func(r *http.Request, _ []byte) bool { return isLogin(r) }
	open := func(t *testing.T, wrap cloud.Transport) cloud.Driver {
		return newAzureLab(t, world.Instant).wrapped(t, wrap)
	}
	t.Run("creation", func(t *testing.T) { testLostAnswers(t, azureSite(), 13, asks, open) })
	t.Run("deletion", func(t *testing.T) { testLostDeletions(t, azureSite(), 13, asks, open) })
}

func isLogin(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/token") }

// brokenWorld is one in which machines don't start for a while.
type brokenWorld struct {
	*paper.World
	mu    sync.Mutex
	fails int
}

func (w *brokenWorld) StartMachine(ctx context.Context, m world.Machine) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails--; w.fails >= 0 {
		return errors.New("the host is on fire")
	}
	return w.World.StartMachine(ctx, m)
}

// TestAzureFailedMachine has Azure begin to make machines and fail: what is left of each goes, and another is made.
func TestAzureFailedMachine(t *testing.T) {
	s := newAzureStage(t, func(c *labarm.Config) { c.Physical = &brokenWorld{World: paper.New(), fails: 4} })
	wantBuilt(t, s.d, s.Built, "after four failures")
	if machines, disks := s.count("virtual-machine"), s.count("disk"); machines != 3 || disks != 3 {
		t.Errorf("there are %d machines and %d disks, want 3 of each", machines, disks)
	}
}

// busy refuses requests as Azure does that has too much to do.
func busy(r *http.Request, after time.Duration) *http.Response {
	w := &http.Response{
		StatusCode: http.StatusTooManyRequests, Status: "429 Too Many Requests", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}, "Retry-After": {fmt.Sprint(int((after + time.Second - 1) / time.Second))}},
	}
	if after%time.Second != 0 {
		w.Header.Set("X-Ms-Retry-After-Ms", fmt.Sprint(after.Milliseconds()))
	}
	w.Body = http.NoBody
	return w
}

// TestAzureThrottled lets Azure refuse what it has too many of: changes at once, with how long to wait; looks at
// operations and lists a few times, without anybody noticing; and lists for an hour.
func TestAzureThrottled(t *testing.T) {
	var mu sync.Mutex
	refused, polled := map[string]int{}, map[string]int{}
	hour := false
	lists := 0
	lab := newAzureLab(t, world.Instant)
	d := lab.wrapped(t, func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			path := strings.ToLower(r.URL.Path)
			switch {
			case isLogin(r):
			case r.Method == http.MethodGet && hour:
				lists++
				return busy(r, time.Hour), nil
			case strings.Contains(path, "/operations/") || strings.Contains(path, "operationresults"):
				if polled[path]++; polled[path] < 3 {
					return busy(r, 30*time.Millisecond), nil
				}
			case r.Method != http.MethodGet:
				if refused[r.Method+path]++; refused[r.Method+path] == 1 {
					return busy(r, 7*time.Second), nil
				}
			}
			return next.RoundTrip(r)
		})
	})
	list, err := d.Blueprint(cloudtest.TestOwner, azureSite())
	if err != nil {
		t.Fatal(err)
	}
	b := &cloudtest.Built{Resources: list, Objects: map[string]cloud.Object{}}
	for _, r := range list {
		req := b.Request(d, cloudtest.TestOwner, r, 1)
		_, err := d.Create(t.Context(), req)
		if e, ok := errors.AsType[*cloud.Error](err); !ok || e.Class != cloud.Throttled || e.RetryAfter != 7*time.Second {
			t.Fatalf("create %s: %v, want to be asked to wait for 7 s", r.Key, err)
		}
		if b.Objects[r.Key], err = d.Create(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	wantBuilt(t, d, b, "throttled")
	for call, n := range refused {
		if n != 2 {
			t.Errorf("%s: %d times, want one that was refused and one more", call, n)
		}
	}
	mu.Lock()
	hour = true
	mu.Unlock()
	_, err = d.Observe(t.Context(), cloudtest.TestOwner.UID, azureRegion)
	if e, ok := errors.AsType[*cloud.Error](err); !ok || e.Class != cloud.Throttled || e.RetryAfter != time.Hour || lists > 8 {
		t.Errorf("observe: %v after %d requests, want to be asked to wait for an hour after one of each list", err, lists)
	}
}
