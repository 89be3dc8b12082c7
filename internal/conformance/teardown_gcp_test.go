package conformance_test

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/internal/teardown"
)

// Keys of the site that the acts are about.
const (
	gcpNetwork, gcpSubnet, gcpRule = "conf-network", "conf-subnet", "conf-fw-ssh"
	gcpAddress, gcpWorker, gcpCP   = "conf-ip-conf-cp-1", "conf-node-conf-web-1", "conf-node-conf-cp-1"
)

// TestGCPTeardown holds the driver against each row about Google Cloud.
func TestGCPTeardown(t *testing.T) {
	play(t, teardown.GCP, gcpActs(), gcpStage)
}

func gcpActs() acts {
	return acts{
		"gcp-network-default-route": whole, "gcp-subnetwork-route": whole, "gcp-instance-boot-disk": whole, "gcp-instance-ephemeral": whole,

		"gcp-network-route":           gcpRoute,
		"gcp-subnetwork-address":      gcpInternalAddress,
		"gcp-firewall-instance":       gcpRuleFirst,
		"gcp-network-deleting":        gcpDeleting(gcpNetwork),
		"gcp-subnetwork-deleting":     gcpDeleting(gcpSubnet),
		"gcp-firewall-deleting":       gcpDeleting(gcpRule),
		"gcp-instance-deleting":       gcpDeleting(gcpWorker),
		"gcp-address-making":          gcpMaking,
		"gcp-instance-protected":      gcpProtected,
		"gcp-instance-boot-kept":      gcpBootKept,
		"gcp-instance-disk":           gcpDisk(false),
		"gcp-instance-disk-taken":     gcpDisk(true),
		"gcp-disk-instance":           gcpDiskInUse,
		"gcp-make-subnetwork-ready":   atOnce(gcpSubnet),
		"gcp-make-firewall-ready":     atOnce(gcpRule),
		"gcp-make-instance-ready":     atOnce(gcpWorker),
		"gcp-make-instance-name":      again(gcpWorker),
		"gcp-make-instance-private":   again(gcpWorker),
		"gcp-make-instance-undeleted": gcpUndone,
	}
}

// done waits for what a call behind the driver's back has begun.
func (s *stage) done(op *compute.Operation, err error) {
	s.Helper()
	gcpDone(s.T, s.gcp.client(s.T), op, err)
}

// inside is the self link of a global or zonal thing without the server's address.
func inside(rest string) string { return "projects/" + gcpProject + "/" + rest }

func (s *stage) name(key string) string { _, n := gcpName(s.there[key]); return n }

// gcpRoute lets a stranger's route stay in the driver's network.
func gcpRoute(s *stage, row teardown.Row) {
	s.make(gcpNetwork)
	c := s.gcp.client(s.T)
	s.done(c.Routes.Insert(gcpProject, &compute.Route{
		Name: "theirs", Network: inside("global/networks/" + s.name(gcpNetwork)), DestRange: "198.51.100.0/24",
		NextHopGateway: inside("global/gateways/default-internet-gateway"),
	}).Do())
	s.refused(s.there[gcpNetwork], row)
	s.done(c.Routes.Delete(gcpProject, "theirs").Do())
	s.clear()
}

// gcpInternalAddress lets a stranger keep an address of the driver's subnetwork.
func gcpInternalAddress(s *stage, row teardown.Row) {
	s.make(gcpSubnet)
	c := s.gcp.client(s.T)
	s.done(c.Addresses.Insert(gcpProject, gcpRegion, &compute.Address{
		Name: "theirs", AddressType: "INTERNAL", Subnetwork: inside("regions/" + gcpRegion + "/subnetworks/" + s.name(gcpSubnet)),
	}).Do())
	s.refused(s.there[gcpSubnet], row)
	s.done(c.Addresses.Delete(gcpProject, gcpRegion, "theirs").Do())
	s.clear()
}

// gcpRuleFirst deletes a rule while a machine has its tag.
func gcpRuleFirst(s *stage, _ teardown.Row) {
	s.make(gcpWorker, gcpRule)
	s.drop(gcpRule)
	if _, ok := s.observed()[gcpWorker]; !ok {
		s.Error("the machine went with the rule")
	}
	s.clear()
}

// begin begins the deletion of what was made, behind the driver's back.
func (s *stage) begin(ctx context.Context, key string) (*compute.Operation, error) {
	c, o := s.gcp.client(s.T), s.there[key]
	location, name := gcpName(o)
	switch o.Kind {
	case "network":
		return c.Networks.Delete(gcpProject, name).Context(ctx).Do()
	case "subnetwork":
		return c.Subnetworks.Delete(gcpProject, location, name).Context(ctx).Do()
	case "firewall":
		return c.Firewalls.Delete(gcpProject, name).Context(ctx).Do()
	case "instance":
		return c.Instances.Delete(gcpProject, location, name).Context(ctx).Do()
	}
	return nil, fmt.Errorf("no deletion of a %s", o.Kind)
}

// meanwhile repeats a scene until the driver comes while the other's operation is on, which it nearly always does at once.
func (s *stage) meanwhile(row teardown.Row, scene func() error) {
	s.Helper()
	for range 10 {
		if err := scene(); err != nil {
			s.refusal(err, cloud.Conflict, row)
			return
		}
	}
	s.Fatal("the other operation had always ended before")
}

// gcpDeleting lets somebody else delete what the driver is to delete.
func gcpDeleting(key string) act {
	return func(s *stage, row teardown.Row) {
		s.meanwhile(row, func() error {
			s.make(key)
			op, err := s.begin(s.Context(), key)
			if err != nil {
				s.Fatal(err)
			}
			refusal := s.remove(s.there[key])
			s.done(op, nil)
			s.drop(key) // it is gone, and that is success
			return refusal
		})
		s.clear()
	}
}

// gcpMaking deletes an address before it is ready.
func gcpMaking(s *stage, row teardown.Row) {
	c := s.gcp.client(s.T)
	s.meanwhile(row, func() error {
		op, err := c.Addresses.Insert(gcpProject, gcpRegion, &compute.Address{Name: "early"}).Do()
		if err != nil {
			s.Fatal(err)
		}
		early := cloud.Object{Kind: "address", Key: gcpAddress, Region: gcpRegion, ID: fmt.Sprintf(
			"%s#%d", inside("regions/"+gcpRegion+"/addresses/early"), op.TargetId)}
		refusal := s.remove(early)
		s.done(op, nil)
		if err := s.remove(early); err != nil {
			s.Fatal(err)
		}
		return refusal
	})
	s.clear()
}

func gcpProtected(s *stage, _ teardown.Row) {
	s.make(gcpWorker)
	c := s.gcp.client(s.T)
	zone, name := gcpName(s.there[gcpWorker])
	s.done(c.Instances.SetDeletionProtection(gcpProject, zone, name).DeletionProtection(true).Do())
	s.conflict(s.remove(s.there[gcpWorker]), "is protected against deletion")
	s.done(c.Instances.SetDeletionProtection(gcpProject, zone, name).DeletionProtection(false).Do())
	s.clear()
}

// gcpBootKept tells Compute Engine to keep the disk that a machine boots from.
func gcpBootKept(s *stage, _ teardown.Row) {
	s.make(gcpWorker)
	c := s.gcp.client(s.T)
	zone, name := gcpName(s.there[gcpWorker])
	i, err := c.Instances.Get(gcpProject, zone, name).Do()
	if err != nil {
		s.Fatal(err)
	}
	s.done(c.Instances.SetDiskAutoDelete(gcpProject, zone, name, false, i.Disks[0].DeviceName).Do())
	s.clear()
}

// gcpDisk attaches somebody's disk to a machine: it stays, whatever becomes of the machine.
func gcpDisk(taken bool) act {
	return func(s *stage, _ teardown.Row) {
		s.make(gcpWorker)
		c := s.gcp.client(s.T)
		zone, name := gcpName(s.there[gcpWorker])
		s.done(c.Disks.Insert(gcpProject, zone, &compute.Disk{Name: "theirs", SizeGb: 10}).Do())
		theirs := &compute.AttachedDisk{Source: inside("zones/" + zone + "/disks/theirs"), DeviceName: "theirs", AutoDelete: taken}
		s.done(c.Instances.AttachDisk(gcpProject, zone, name, theirs).Do())
		if taken {
			s.conflict(s.remove(s.there[gcpWorker]), "disks/theirs")
			s.done(c.Instances.DetachDisk(gcpProject, zone, name, "theirs").Do())
		}
		s.drop(gcpWorker)
		s.done(c.Disks.Delete(gcpProject, zone, "theirs").Do()) // it was left
		s.clear()
	}
}

// gcpDiskInUse deletes the disk of a machine, as if it had outlived it.
func gcpDiskInUse(s *stage, row teardown.Row) {
	s.make(gcpWorker)
	zone, name := gcpName(s.there[gcpWorker])
	disk, err := s.gcp.client(s.T).Disks.Get(gcpProject, zone, name).Do()
	if err != nil {
		s.Fatal(err)
	}
	s.refused(cloud.Object{Kind: "disk", Key: "conf-disk-conf-web-1", Region: gcpRegion, ID: fmt.Sprintf(
		"%s#%d", inside("zones/"+zone+"/disks/"+name), disk.Id)}, row)
	s.clear()
}

// atOnce makes something right after what it needs, in a cloud that takes its time, with no second try.
func atOnce(key string) act {
	return func(s *stage, _ teardown.Row) {
		for _, r := range s.list {
			if r.Key != key && !s.reach[key][r.Key] {
				continue
			}
			s.tries[r.Key]++
			if err := s.create(r.Key); err != nil {
				s.Fatal(err)
			}
		}
		s.clear()
	}
}

// again makes something again, under the same name and with the same addresses, as soon as it is deleted.
func again(key string) act {
	return func(s *stage, _ teardown.Row) {
		s.make(key)
		s.drop(key)
		s.tries[key]++
		if err := s.create(key); err != nil {
			s.Fatal(err)
		}
		s.clear()
	}
}

// gcpUndone lets somebody delete a machine while the driver makes it.
func gcpUndone(s *stage, row teardown.Row) {
	s.make(gcpWorker)
	s.meanwhile(row, func() error {
		worker := s.there[gcpWorker]
		s.drop(gcpWorker)
		s.tries[gcpWorker]++
		made := make(chan error, 1)
		go func() { made <- s.create(gcpWorker) }()
		op, err := s.cutShort(worker, made)
		refusal := <-made
		if err == nil {
			s.done(op, nil)
		}
		s.make(gcpWorker)
		return refusal
	})
	s.clear()
}

// cutShort deletes a machine as soon as it is there.
func (s *stage) cutShort(o cloud.Object, made chan error) (op *compute.Operation, err error) {
	zone, name := gcpName(o)
	c := s.gcp.client(s.T)
	for len(made) == 0 {
		if op, err = c.Instances.Delete(gcpProject, zone, name).Do(); err == nil {
			return op, nil
		}
	}
	return nil, err
}
