package digitalocean

import (
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/internal/teardown"
	"github.com/skyweld/skyweld/lab/world"
)

// scene is what stands before a row of docs/teardown.md is tried.
type scene = teardown.Scene

// TestTeardown sets a scene for each row about DigitalOcean and tries the call.
func TestTeardown(t *testing.T) {
	teardown.Each(t, teardown.Of(teardown.Rows(t), teardown.DigitalOcean), scenes, func(t *testing.T, row teardown.Row, set func(*lab) scene) {
		set(newLab(t)).Play(t, row, codeOf)
	})
}

// codeOf is an error's code as the page writes it.
func codeOf(err error) string {
	if e, ok := errors.AsType[*godo.ErrorResponse](err); ok {
		return strconv.Itoa(e.Response.StatusCode) + " " + errorID(e)
	}
	return ""
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

// last is the error of a call.
func last[T any](_ T, _ *godo.Response, err error) error { return err }

var anyone = []godo.OutboundRule{{Protocol: "tcp", PortRange: "0", Destinations: &godo.Destinations{Addresses: []string{"0.0.0.0/0"}}}}

var scenes = map[string]func(*lab) scene{
	"digitalocean-vpc-droplet": func(l *lab) scene {
		v := l.vpc("v", testRegion, "10.64.0.0/20")
		d := l.droplet("a", v.ID)
		return scene{Try: func() error { _, err := l.VPCs.Delete(ctx, v.ID); return err }, Clear: func() error { l.destroy(d.ID); return nil }}
	},
	"digitalocean-default-vpc": func(l *lab) scene {
		id := l.droplet("a", "").VPCUUID
		return scene{Try: func() error { _, err := l.VPCs.Delete(ctx, id); return err }}
	},
	"digitalocean-droplet-event": func(l *lab) scene {
		d := l.droplet("a", "")
		hurry := l.slowly()
		must[*godo.Action](l.t)(l.DropletActions.PowerOff(ctx, d.ID))
		return scene{Try: func() error { _, err := l.Droplets.Delete(ctx, d.ID); return err }, Clear: func() error {
			hurry()
			l.soon("the Droplet is off", func() bool { return !must[*godo.Droplet](l.t)(l.Droplets.Get(ctx, d.ID)).Locked })
			return nil
		}}
	},
	"digitalocean-droplet-reserved": func(l *lab) scene {
		d, ip := l.droplet("a", ""), l.reserved()
		l.completed(must[*godo.Action](l.t)(l.ReservedIPActions.Assign(ctx, ip.IP, d.ID)))
		return scene{Try: func() error { l.destroy(d.ID); return nil }, Other: func() error { return last(l.ReservedIPs.Get(ctx, ip.IP)) }}
	},
	"digitalocean-droplet-volume": func(l *lab) scene {
		d := l.droplet("a", "")
		v := must[*godo.Volume](l.t)(l.Storage.CreateVolume(ctx, &godo.VolumeCreateRequest{Region: testRegion, Name: "data", SizeGigaBytes: 1}))
		l.completed(must[*godo.Action](l.t)(l.StorageActions.Attach(ctx, v.ID, d.ID)))
		return scene{Try: func() error { l.destroy(d.ID); return nil }, Other: func() error { return last(l.Storage.GetVolume(ctx, v.ID)) }}
	},
	"digitalocean-firewall-droplet": func(l *lab) scene {
		d := l.droplet("a", "")
		f := must[*godo.Firewall](l.t)(l.Firewalls.Create(ctx, &godo.FirewallRequest{Name: "fw", OutboundRules: anyone, DropletIDs: []int{d.ID}}))
		return scene{Try: func() error { _, err := l.Firewalls.Delete(ctx, f.ID); return err }, Other: func() error { return last(l.Droplets.Get(ctx, d.ID)) }}
	},
	"digitalocean-tag-droplet": func(l *lab) scene {
		d := l.droplet("a", "", "web")
		return scene{Try: func() error { _, err := l.Tags.Delete(ctx, "web"); return err }, Other: func() error { return last(l.Droplets.Get(ctx, d.ID)) }}
	},
	"digitalocean-reserved-droplet": func(l *lab) scene {
		d, ip := l.droplet("a", ""), l.reserved()
		l.completed(must[*godo.Action](l.t)(l.ReservedIPActions.Assign(ctx, ip.IP, d.ID)))
		mapped := func() bool { return l.drawing.Networks()[d.VPCUUID].NICs[0].Others[0].Public.IsValid() }
		return scene{Try: func() error {
			_, err := l.ReservedIPs.Delete(ctx, ip.IP)
			l.soon("the address is let go", func() bool { return !mapped() })
			return err
		}, Other: func() error {
			if !mapped() {
				return fmt.Errorf("%s leads to no Droplet", ip.IP)
			}
			return nil
		}}
	},
	"digitalocean-reserved-event": func(l *lab) scene {
		d, ip := l.droplet("a", ""), l.reserved()
		hurry := l.slowly()
		a := must[*godo.Action](l.t)(l.ReservedIPActions.Assign(ctx, ip.IP, d.ID))
		return scene{Try: func() error { _, err := l.ReservedIPs.Delete(ctx, ip.IP); return err }, Clear: func() error { hurry(); l.completed(a); return nil }}
	},
	"digitalocean-volume-droplet": func(l *lab) scene {
		d := l.droplet("a", "")
		v := must[*godo.Volume](l.t)(l.Storage.CreateVolume(ctx, &godo.VolumeCreateRequest{Region: testRegion, Name: "data", SizeGigaBytes: 1}))
		l.completed(must[*godo.Action](l.t)(l.StorageActions.Attach(ctx, v.ID, d.ID)))
		return scene{Try: func() error { _, err := l.Storage.DeleteVolume(ctx, v.ID); return err },
			Clear: func() error {
				l.completed(must[*godo.Action](l.t)(l.StorageActions.DetachByDropletID(ctx, v.ID, d.ID)))
				return nil
			}}
	},
	"digitalocean-make-droplet-vpc": func(l *lab) scene {
		id := newUUID()
		return scene{Try: func() error { _, _, err := l.Droplets.Create(ctx, request("a", id)); return err },
			Clear: func() error { id = l.vpc("v", testRegion, "").ID; return nil }}
	},
	"digitalocean-make-firewall-tag": func(l *lab) scene {
		return scene{Try: func() error {
			_, _, err := l.Firewalls.Create(ctx, &godo.FirewallRequest{Name: "fw", OutboundRules: anyone, Tags: []string{"web"}})
			return err
		}, Clear: func() error { l.done2(l.Tags.Create(ctx, &godo.TagCreateRequest{Name: "web"})); return nil }}
	},
	"digitalocean-make-assignment-droplet": func(l *lab) scene {
		id, ip := 7, l.reserved()
		return scene{Try: func() error { _, _, err := l.ReservedIPActions.Assign(ctx, ip.IP, id); return err },
			Clear: func() error { id = l.droplet("a", "").ID; return nil }}
	},
	"digitalocean-make-assignment-event": func(l *lab) scene {
		ip, hurry := l.reserved(), l.slowly()
		d := must[*godo.Droplet](l.t)(l.Droplets.Create(ctx, request("a", "")))
		return scene{Try: func() error { _, _, err := l.ReservedIPActions.Assign(ctx, ip.IP, d.ID); return err },
			Clear: func() error { hurry(); l.active(d.ID); return nil }}
	},
}
