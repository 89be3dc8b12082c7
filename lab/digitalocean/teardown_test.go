package digitalocean

import (
	"errors"
	"net/http"
	"testing"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/internal/teardown"
	"github.com/skyweld/skyweld/lab/world"
)

// scene is what stands before a row of docs/teardown.md is tried.
type scene struct {
	// try is the row's call: it is refused with the row's code or, where the row has none, succeeds.
	try func() error
	// clear takes away what is in the way, or makes what is needed, after which try succeeds; nil where nobody can.
	clear func()
	// other says whether the other thing of a row without a code is still there.
	other func() bool
}

// TestTeardown sets a scene for each row about DigitalOcean and tries the call.
func TestTeardown(t *testing.T) {
	teardown.Each(t, teardown.Of(teardown.Rows(t), teardown.DigitalOcean), scenes, func(t *testing.T, row teardown.Row, set func(*lab) scene) {
		l := newLab(t)
		s := set(l)
		if !row.Refused() {
			if !s.other() {
				t.Fatalf("the %s isn't there before", row.Other)
			}
			if err := s.try(); err != nil {
				t.Fatalf("%s: %v", row.Call, err)
			}
			l.soon("the "+row.Other+" "+row.Code, func() bool { return s.other() == (row.Code == teardown.Stays) })
			return
		}
		status, id, _ := row.HTTP()
		var e *godo.ErrorResponse
		if err := s.try(); !errors.As(err, &e) || e.Response.StatusCode != status || id != errorID(e) {
			t.Fatalf("%s: %v; want %s", row.Call, err, row.Code)
		}
		if s.clear == nil {
			return
		}
		s.clear()
		if err := s.try(); err != nil {
			t.Errorf("%s after that: %v", row.Call, err)
		}
	})
}

// errorID is the id that goes with an error's status: the client doesn't show it.
func errorID(e *godo.ErrorResponse) string {
	for _, known := range []*apiError{errNotFound, errPending, forbidden(""), conflict(""), errUnauthorized} {
		if known.status == e.Response.StatusCode {
			return known.id
		}
	}
	return ""
}

func (l *lab) reserved() *godo.ReservedIP {
	l.t.Helper()
	return must[*godo.ReservedIP](l.t)(l.ReservedIPs.Create(ctx, &godo.ReservedIPCreateRequest{Region: testRegion}))
}

// slowly has everything take its time from here on, so that something stays under way; the result has it end.
func (l *lab) slowly() (hurry func()) {
	l.t.Helper()
	restart := func(p world.Profile) {
		l.stop()
		l.cfg.Profile, l.cfg.Limits = p, Limits{}
		l.start()
	}
	restart(world.RealTime)
	return func() { restart(world.Instant) }
}

func (l *lab) there(id int) bool {
	_, resp, err := l.Droplets.Get(ctx, id)
	return err == nil || resp == nil || resp.StatusCode != http.StatusNotFound
}

var anyone = []godo.OutboundRule{{Protocol: "tcp", PortRange: "0", Destinations: &godo.Destinations{Addresses: []string{"0.0.0.0/0"}}}}

var scenes = map[string]func(*lab) scene{
	"digitalocean-vpc-droplet": func(l *lab) scene {
		v := l.vpc("v", testRegion, "10.64.0.0/20")
		d := l.droplet("a", v.ID)
		return scene{try: func() error { _, err := l.VPCs.Delete(ctx, v.ID); return err }, clear: func() { l.destroy(d.ID) }}
	},
	"digitalocean-default-vpc": func(l *lab) scene {
		id := l.droplet("a", "").VPCUUID
		return scene{try: func() error { _, err := l.VPCs.Delete(ctx, id); return err }}
	},
	"digitalocean-droplet-event": func(l *lab) scene {
		d := l.droplet("a", "")
		hurry := l.slowly()
		must[*godo.Action](l.t)(l.DropletActions.PowerOff(ctx, d.ID))
		return scene{try: func() error { _, err := l.Droplets.Delete(ctx, d.ID); return err }, clear: func() {
			hurry()
			l.soon("the Droplet is off", func() bool { return !must[*godo.Droplet](l.t)(l.Droplets.Get(ctx, d.ID)).Locked })
		}}
	},
	"digitalocean-droplet-reserved": func(l *lab) scene {
		d, ip := l.droplet("a", ""), l.reserved()
		l.completed(must[*godo.Action](l.t)(l.ReservedIPActions.Assign(ctx, ip.IP, d.ID)))
		return scene{try: func() error { l.destroy(d.ID); return nil }, other: func() bool { _, _, err := l.ReservedIPs.Get(ctx, ip.IP); return err == nil }}
	},
	"digitalocean-droplet-volume": func(l *lab) scene {
		d := l.droplet("a", "")
		v := must[*godo.Volume](l.t)(l.Storage.CreateVolume(ctx, &godo.VolumeCreateRequest{Region: testRegion, Name: "data", SizeGigaBytes: 1}))
		l.completed(must[*godo.Action](l.t)(l.StorageActions.Attach(ctx, v.ID, d.ID)))
		return scene{try: func() error { l.destroy(d.ID); return nil }, other: func() bool { _, _, err := l.Storage.GetVolume(ctx, v.ID); return err == nil }}
	},
	"digitalocean-firewall-droplet": func(l *lab) scene {
		d := l.droplet("a", "")
		f := must[*godo.Firewall](l.t)(l.Firewalls.Create(ctx, &godo.FirewallRequest{Name: "fw", OutboundRules: anyone, DropletIDs: []int{d.ID}}))
		return scene{try: func() error { _, err := l.Firewalls.Delete(ctx, f.ID); return err }, other: func() bool { return l.there(d.ID) }}
	},
	"digitalocean-tag-droplet": func(l *lab) scene {
		d := l.droplet("a", "", "web")
		return scene{try: func() error { _, err := l.Tags.Delete(ctx, "web"); return err }, other: func() bool { return l.there(d.ID) }}
	},
	"digitalocean-reserved-droplet": func(l *lab) scene {
		d, ip := l.droplet("a", ""), l.reserved()
		l.completed(must[*godo.Action](l.t)(l.ReservedIPActions.Assign(ctx, ip.IP, d.ID)))
		return scene{try: func() error { _, err := l.ReservedIPs.Delete(ctx, ip.IP); return err },
			other: func() bool { return l.drawing.network(d.VPCUUID).NICs[0].Others[0].Public.IsValid() }}
	},
	"digitalocean-reserved-event": func(l *lab) scene {
		d, ip := l.droplet("a", ""), l.reserved()
		hurry := l.slowly()
		a := must[*godo.Action](l.t)(l.ReservedIPActions.Assign(ctx, ip.IP, d.ID))
		return scene{try: func() error { _, err := l.ReservedIPs.Delete(ctx, ip.IP); return err }, clear: func() { hurry(); l.completed(a) }}
	},
	"digitalocean-volume-droplet": func(l *lab) scene {
		d := l.droplet("a", "")
		v := must[*godo.Volume](l.t)(l.Storage.CreateVolume(ctx, &godo.VolumeCreateRequest{Region: testRegion, Name: "data", SizeGigaBytes: 1}))
		l.completed(must[*godo.Action](l.t)(l.StorageActions.Attach(ctx, v.ID, d.ID)))
		return scene{try: func() error { _, err := l.Storage.DeleteVolume(ctx, v.ID); return err },
			clear: func() { l.completed(must[*godo.Action](l.t)(l.StorageActions.DetachByDropletID(ctx, v.ID, d.ID))) }}
	},
	"digitalocean-make-droplet-vpc": func(l *lab) scene {
		id := newUUID()
		return scene{try: func() error { _, _, err := l.Droplets.Create(ctx, request("a", id)); return err },
			clear: func() { id = l.vpc("v", testRegion, "").ID }}
	},
	"digitalocean-make-firewall-tag": func(l *lab) scene {
		return scene{try: func() error {
			_, _, err := l.Firewalls.Create(ctx, &godo.FirewallRequest{Name: "fw", OutboundRules: anyone, Tags: []string{"web"}})
			return err
		}, clear: func() { l.done2(l.Tags.Create(ctx, &godo.TagCreateRequest{Name: "web"})) }}
	},
	"digitalocean-make-assignment-droplet": func(l *lab) scene {
		id, ip := 7, l.reserved()
		return scene{try: func() error { _, _, err := l.ReservedIPActions.Assign(ctx, ip.IP, id); return err },
			clear: func() { id = l.droplet("a", "").ID }}
	},
	"digitalocean-make-assignment-event": func(l *lab) scene {
		ip, hurry := l.reserved(), l.slowly()
		d := must[*godo.Droplet](l.t)(l.Droplets.Create(ctx, request("a", "")))
		return scene{try: func() error { _, _, err := l.ReservedIPActions.Assign(ctx, ip.IP, d.ID); return err },
			clear: func() { hurry(); l.active(d.ID) }}
	},
}
