package conformance_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/teardown"
	"github.com/skyweld/skyweld/lab/world"
)

// Keys of the site that the acts are about.
const (
	doVPC, doTag, doFirewall = "conf-vpc", "conf-tag-node", "conf-fw-node"
	doNode, doAddress        = "conf-node-conf-cp-1", "conf-ip-conf-cp-1"
)

func doTeardownStage(t *testing.T, profile world.Profile) *stage {
	s := &stage{T: t, do: newDOLab(t, profile), region: doRegion}
	s.d = s.do.driver(t, nil)
	return s.set(cloudtest.DefaultSite("conf", doRegion, []string{doRegion}))
}

// TestDigitalOceanTeardown holds the driver against each row about DigitalOcean.
func TestDigitalOceanTeardown(t *testing.T) {
	play(t, teardown.DigitalOcean, doActs(), doTeardownStage)
}

func doActs() acts {
	return acts{
		"digitalocean-reserved-droplet": whole, "digitalocean-make-assignment-event": whole,
		"digitalocean-volume-droplet": whole, // it deletes no volumes, with or without a droplet

		"digitalocean-default-vpc":       doDefault,
		"digitalocean-droplet-event":     doBusyDroplet,
		"digitalocean-droplet-reserved":  doAddressStays,
		"digitalocean-droplet-volume":    doVolumeStays,
		"digitalocean-firewall-droplet":  doFirewallFirst,
		"digitalocean-tag-droplet":       doTagInUse,
		"digitalocean-reserved-event":    doBusyAddress,
		"digitalocean-make-droplet-vpc":  doLacking,
		"digitalocean-make-firewall-tag": doLacking,
	}
}

// doLacking is for creations that are refused with the id that DigitalOcean has for everything.
func doLacking(s *stage, row teardown.Row) {
	s.lack(row, func(err error) {
		e, ok := errors.AsType[*cloud.Error](err)
		if _, code, _ := row.HTTP(); !ok || e.Code != code || e.Class != cloud.NotFound && e.Class != cloud.Invalid {
			s.Fatalf("error %v of class %s, want the code %s", err, cloud.ClassOf(err), row.Code)
		}
	})
}

// doDefault names the region's default VPC and leaves it, though it is asked to delete it.
func doDefault(s *stage, _ teardown.Row) {
	i := slices.IndexFunc(s.before, func(it cloud.Item) bool { return it.Kind == "vpc" && strings.Contains(it.Detail, "default") })
	if i < 0 {
		s.Fatal("the region has no default VPC")
	}
	s.conflict(s.remove(cloud.Object{Key: doVPC, Kind: "vpc", ID: s.before[i].ID}), s.before[i].Name)
	s.clear()
}

// doBusyDroplet deletes a droplet to which something is being done: once that is over it goes.
func doBusyDroplet(s *stage, _ teardown.Row) {
	s.make(doNode)
	c := s.do.client(s.T)
	if _, _, err := c.DropletActions.Reboot(s.Context(), doID(s.T, s.there[doNode])); err != nil {
		s.Fatal(err)
	}
	if err := cloudtest.Await(s.Context(), func() bool {
		err := s.remove(s.there[doNode])
		if err != nil && cloud.ClassOf(err) != cloud.Conflict {
			s.Fatal(err)
		}
		return err == nil
	}); err != nil {
		s.Fatal(err)
	}
	s.clear()
}

func doAddressStays(s *stage, _ teardown.Row) {
	s.make(doAddress)
	s.drop(doNode)
	if _, ok := s.observed()[doAddress]; !ok {
		s.Error("the address went along with its droplet, or isn't known any more")
	}
	s.clear()
}

func doVolumeStays(s *stage, _ teardown.Row) {
	s.make(doNode)
	c := s.do.client(s.T)
	v, _, err := c.Storage.CreateVolume(s.Context(), &godo.VolumeCreateRequest{Region: doRegion, Name: "somebodys-data", SizeGigaBytes: 1})
	if err != nil {
		s.Fatal(err)
	}
	if _, _, err := c.StorageActions.Attach(s.Context(), v.ID, doID(s.T, s.there[doNode])); err != nil {
		s.Fatal(err)
	}
	attached := func() bool {
		now, _, err := c.Storage.GetVolume(s.Context(), v.ID)
		return err == nil && len(now.DropletIDs) == 1
	}
	if err := cloudtest.Await(s.Context(), attached); err != nil {
		s.Fatal(err)
	}
	s.drop(doNode)
	if err := cloudtest.Await(s.Context(), func() bool { return !attached() }); err != nil {
		s.Fatal(err)
	}
	if _, err := c.Storage.DeleteVolume(s.Context(), v.ID); err != nil {
		s.Errorf("the volume went along: %v", err)
	}
	s.clear()
}

func doFirewallFirst(s *stage, _ teardown.Row) {
	s.make(doNode)
	s.drop(doFirewall)
	if o, ok := s.observed()[doNode]; !ok || o.State != cloud.Ready {
		s.Errorf("without its firewall the droplet is %+v", o)
	}
	s.clear()
}

// doTagInUse is stricter than DigitalOcean: a droplet without its tags would be without its firewall and its owner.
func doTagInUse(s *stage, _ teardown.Row) {
	s.make(doNode)
	s.conflict(s.remove(s.there[doTag]), "resources")
	s.clear()
}

// doBusyAddress deletes an address that is on its way.
func doBusyAddress(s *stage, _ teardown.Row) {
	s.make(doAddress)
	if _, _, err := s.do.client(s.T).ReservedIPActions.Unassign(s.Context(), s.there[doAddress].ID); err != nil {
		s.Fatal(err)
	}
	s.drop(doAddress)
	s.clear()
}
