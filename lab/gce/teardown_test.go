package gce

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/internal/teardown"
	"github.com/skyweld/skyweld/lab/world"
)

// begin is a call that begins an operation.
type begin func() (*compute.Operation, error)

// scene is what stands before a row of docs/teardown.md is tried.
type scene struct {
	// try is the row's call: it is refused with the row's code or, where the row has none, succeeds.
	try begin
	// clear takes away what is in the way, or makes what is needed; nil where nobody can.
	clear func()
	// then succeeds after clear; nil for try.
	then begin
	// other looks for the other thing of a row without a code: its error says that the thing isn't there.
	other func() error
}

// TestTeardown sets a scene for each row about Google and tries the call. All scenes are in one project, each under the
// name of its row; those about what is under way are in one where operations take a while.
func TestTeardown(t *testing.T) {
	more := func(c *Config) { c.Quotas = map[string]float64{"NETWORKS": 100, "CPUS": 500, "us-east4/CPUS": 500} }
	instant := newLab(t, more)
	slow := newLab(t, more, func(c *Config) { c.Profile = world.Fast })
	teardown.Each(t, teardown.Of(teardown.Rows(t), teardown.GCP), scenes(), func(t *testing.T, row teardown.Row, set func(*lab, string) scene) {
		l := *instant
		if slowly[row.ID] {
			t.Parallel()
			l = *slow
		}
		l.t = t
		l.play(row, set(&l, strings.TrimPrefix(row.ID, "gcp-")))
	})
}

func (l *lab) play(row teardown.Row, s scene) {
	l.t.Helper()
	if !row.Refused() {
		if err := s.other(); err != nil {
			l.t.Fatalf("find the %s before: %v", row.Other, err)
		}
		l.done(s.try())
		if err := s.other(); (err == nil) != (row.Code == teardown.Stays) {
			l.t.Errorf("the %s afterwards: error %v, and the row says that it %s", row.Other, err, row.Code)
		}
		return
	}
	status, reason, operation := row.HTTP()
	op, err := s.try()
	if operation {
		op = l.wait(op, err)
		if op.Error == nil || op.Error.Errors[0].Code != reason || op.HttpErrorStatusCode != int64(status) {
			l.t.Fatalf("%s: status %d, error %+v, want %s", row.Call, op.HttpErrorStatusCode, op.Error, row.Code)
		}
	} else {
		refused(l.t, err, status, reason, "")
	}
	if s.clear != nil {
		s.clear()
	}
	if s.then == nil {
		s.then = s.try
	}
	l.done(s.then())
}

// slowly are the rows about operations that are under way.
var slowly = map[string]bool{
	"gcp-network-deleting": true, "gcp-subnetwork-deleting": true, "gcp-firewall-deleting": true, "gcp-address-making": true,
	"gcp-instance-deleting": true, "gcp-disk-making": true, "gcp-make-subnetwork-ready": true, "gcp-make-firewall-ready": true,
	"gcp-make-instance-ready": true, "gcp-make-instance-name": true, "gcp-make-instance-undeleted": true,
}

// meanwhile sends a second request while the operation of a first one is under way. Should that end too early, it does both
// again under the next number; further is the request that succeeds when the operation has ended.
func (l *lab) meanwhile(first, second, further func(n int) (*compute.Operation, error)) scene {
	var going *compute.Operation
	last := 0
	return scene{
		try: func() (*compute.Operation, error) {
			for ; ; last++ {
				op, err := first(last)
				if err != nil {
					return nil, err
				}
				going = op
				op, err = second(last)
				if err != nil || last == 20 {
					return op, err
				}
				l.wait(going, nil)
				l.wait(op, nil)
			}
		},
		clear: func() { l.done(going, nil) },
		then:  func() (*compute.Operation, error) { return further(last) },
	}
}

// twice deletes what make makes two times at once. What is deleted can be made again afterwards.
func (l *lab) twice(make, remove func(n int) (*compute.Operation, error)) scene {
	return l.meanwhile(func(n int) (*compute.Operation, error) {
		l.done(make(n))
		return remove(n)
	}, remove, make)
}

// The deletions by name.

func (l *lab) dropNetwork(name string) begin {
	return func() (*compute.Operation, error) { return l.api.Networks.Delete(testProject, name).Do() }
}

func (l *lab) dropSubnet(name string) begin {
	return func() (*compute.Operation, error) {
		return l.api.Subnetworks.Delete(testProject, testRegion, name).Do()
	}
}

func (l *lab) dropFirewall(name string) begin {
	return func() (*compute.Operation, error) { return l.api.Firewalls.Delete(testProject, name).Do() }
}

func (l *lab) dropRoute(name string) begin {
	return func() (*compute.Operation, error) { return l.api.Routes.Delete(testProject, name).Do() }
}

func (l *lab) dropAddress(name string) begin {
	return func() (*compute.Operation, error) { return l.api.Addresses.Delete(testProject, testRegion, name).Do() }
}

func (l *lab) dropInstance(name string) begin {
	return func() (*compute.Operation, error) { return l.api.Instances.Delete(testProject, testZone, name).Do() }
}

func (l *lab) dropDisk(name string) begin {
	return func() (*compute.Operation, error) { return l.api.Disks.Delete(testProject, testZone, name).Do() }
}

// What scenes are made of.

func (l *lab) network(name string) begin {
	return func() (*compute.Operation, error) {
		return l.api.Networks.Insert(testProject, &compute.Network{Name: name, ForceSendFields: []string{"AutoCreateSubnetworks"}}).Do()
	}
}

func (l *lab) subnet(name, network string) begin {
	return func() (*compute.Operation, error) {
		in := &compute.Subnetwork{Name: name, Network: "global/networks/" + network, IpCidrRange: "10.64.0.0/20"}
		return l.api.Subnetworks.Insert(testProject, testRegion, in).Do()
	}
}

func (l *lab) firewall(name, network string) begin {
	return func() (*compute.Operation, error) {
		in := &compute.Firewall{Name: name, Network: "global/networks/" + network, TargetTags: []string{"node"}, Allowed: []*compute.FirewallAllowed{{IPProtocol: "tcp"}}}
		return l.api.Firewalls.Insert(testProject, in).Do()
	}
}

func (l *lab) address(in *compute.Address) begin {
	return func() (*compute.Operation, error) { return l.api.Addresses.Insert(testProject, testRegion, in).Do() }
}

func (l *lab) insert(in *compute.Instance) begin {
	return func() (*compute.Operation, error) { return l.api.Instances.Insert(testProject, testZone, in).Do() }
}

// machine makes an instance in a network of its own, all of one name, and returns it.
func (l *lab) machine(name string, change ...func(*compute.Instance)) *compute.Instance {
	l.t.Helper()
	l.makeNetwork(name, "10.64.0.0/20")
	in := instance(name, name)
	for _, c := range change {
		c(in)
	}
	l.done(l.insert(in)())
	i, err := l.api.Instances.Get(testProject, testZone, name).Do()
	if err != nil {
		l.t.Fatal(err)
	}
	return i
}

// withAddress makes a lasting address and gives it to a machine to be made.
func (l *lab) withAddress(name string) func(*compute.Instance) {
	l.t.Helper()
	l.done(l.address(&compute.Address{Name: name})())
	a, err := l.api.Addresses.Get(testProject, testRegion, name).Do()
	if err != nil {
		l.t.Fatal(err)
	}
	return func(in *compute.Instance) { in.NetworkInterfaces[0].AccessConfigs[0].NatIP = a.Address }
}

func (l *lab) hasDisk(name string) func() error {
	return func() error { return errorOf(l.api.Disks.Get(testProject, testZone, name).Do()) }
}

func (l *lab) hasRoute(network, dest string) func() error {
	return func() error {
		out, err := l.api.Routes.List(testProject).Filter(fmt.Sprintf(`(network eq ".*/%s") (destRange eq "%s")`, network, dest)).Do()
		if err == nil && len(out.Items) == 0 {
			err = fmt.Errorf("network %s has no route to %s", network, dest)
		}
		return err
	}
}

// mapped says whether a public address leads to a machine.
func (l *lab) mapped(address string) func() error {
	return func() error {
		for _, n := range l.phys.Networks() {
			for _, nic := range n.NICs {
				if nic.Public.String() == address {
					return nil
				}
			}
		}
		return errors.New(address + " leads to no machine")
	}
}

// attach gives a machine a disk that it didn't come with.
func (l *lab) attach(name string, autoDelete bool) {
	l.t.Helper()
	l.done(l.api.Disks.Insert(testProject, testZone, &compute.Disk{Name: name + "-data", SizeGb: 10}).Do())
	in := &compute.AttachedDisk{Source: "zones/" + testZone + "/disks/" + name + "-data", DeviceName: "data", AutoDelete: autoDelete}
	l.done(l.api.Instances.AttachDisk(testProject, testZone, name, in).Do())
}

func errorOf(_ any, err error) error { return err }
