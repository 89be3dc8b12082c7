//go:build linux

package stock_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/lab/fabric"
	"github.com/skyweld/skyweld/mesh"
	"github.com/skyweld/skyweld/remote"
)

// view is a cluster's machines as others see them.
type view struct {
	t        *testing.T
	stranger *hull
	// sites are the cluster's machines by cloud.
	sites map[string][]*hull
	// nodes is how the engine reaches each node.
	nodes map[string]remote.Target
	// public are all addresses that the internet knows: a droplet may have two.
	public []netip.Addr
}

func newView(t *testing.T, stranger *hull, all []*hull, nodes map[string]remote.Target) view {
	v := view{t: t, stranger: stranger, sites: map[string][]*hull{}, nodes: nodes}
	for _, u := range all {
		if u == stranger {
			continue
		}
		v.sites[u.cloud] = append(v.sites[u.cloud], u)
		own, private := u.addresses(t)
		if !private.IsPrivate() || (len(own) > 0) != (u.cloud == "digitalocean") {
			t.Errorf("%s at %s has the private address %s and the public ones %v", u.name, u.cloud, private, own)
		}
		v.public = append(v.public, own...)
	}
	for _, n := range nodes {
		if !slices.Contains(v.public, n.Address.Addr()) {
			v.public = append(v.public, n.Address.Addr())
		}
	}
	return v
}

// open looks for what the world may reach: the tunnel.
func (v view) open() {
	for _, a := range v.public {
		if !v.stranger.reaches("udp4", netip.AddrPortFrom(a, mesh.DefaultPort), patient) {
			v.t.Errorf("the tunnel isn't reached at %s", a)
		}
	}
}

// closed looks for everything else, many at a time as each is a wait for silence.
func (v view) closed() {
	places := make(chan struct{}, 64)
	var group sync.WaitGroup
	try := func(network string, a netip.Addr, port int) {
		group.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			if v.stranger.reaches(network, netip.AddrPortFrom(a, uint16(port)), impatient) {
				v.t.Errorf("a stranger reaches %s port %d at %s", network, port, a)
			}
		})
	}
	for _, a := range v.public {
		for _, port := range nodePorts {
			try("tcp4", a, port)
		}
		for _, port := range udpPorts {
			if port != mesh.DefaultPort {
				try("udp4", a, port)
			}
		}
	}
	group.Wait()
	v.t.Logf("%d public addresses of %d machines, %d ports each", len(v.public), len(v.nodes), len(nodePorts)+len(udpPorts))
}

// engine looks from where the engine is: SSH everywhere, the API where it is, and nothing else.
func (v view) engine(proxy string) {
	dial, err := remote.Dialer(proxy)
	if err != nil {
		v.t.Fatal(err)
	}
	var group sync.WaitGroup
	for name, n := range v.nodes {
		for _, port := range nodePorts {
			want := port == 22 || port == kube.APIPort && strings.Contains(name, "-cp-")
			patience := impatient
			if want {
				patience = patient
			}
			group.Go(func() {
				ctx, cancel := context.WithTimeout(v.t.Context(), patience)
				defer cancel()
				at := netip.AddrPortFrom(n.Address.Addr(), uint16(port)).String()
				c, err := dial(ctx, "tcp", at)
				if err == nil {
					c.Close()
				}
				if (err == nil) != want {
					v.t.Errorf("the engine reaches %s of %s: %t, want %t (%v)", at, name, err == nil, want, err)
				}
			})
		}
	}
	group.Wait()
}

// neighbours look at each other by private addresses: everything is open in a site, and nothing from another one but
// by the tunnel, which isn't there.
func (v view) neighbours() {
	private := func(cloud string, i int) netip.Addr {
		_, a := v.sites[cloud][i].addresses(v.t)
		return a
	}
	addresses := map[string][2]netip.Addr{}
	for cloud, site := range v.sites {
		if len(site) < 2 {
			v.t.Fatalf("%s has %d machines", cloud, len(site))
		}
		addresses[cloud] = [2]netip.Addr{private(cloud, 0), private(cloud, 1)}
	}
	var group sync.WaitGroup
	for cloud, site := range v.sites {
		for network, ports := range map[string][]int{"tcp4": nodePorts, "udp4": udpPorts} {
			for _, port := range ports {
				group.Go(func() {
					if to := netip.AddrPortFrom(addresses[cloud][1], uint16(port)); !site[0].reaches(network, to, patient) {
						v.t.Errorf("%s doesn't reach %s %s beside it at %s", site[0].name, network, to, cloud)
					}
				})
			}
		}
		for other := range v.sites {
			group.Go(func() {
				if to := netip.AddrPortFrom(addresses[other][0], 10250); other != cloud && site[0].reaches("tcp4", to, impatient) {
					v.t.Errorf("%s at %s reaches %s at %s without a tunnel", site[0].name, cloud, to, other)
				}
			})
		}
	}
	group.Wait()
}

// underlays asks each machine what the agent asks: which devices lead out, and what they carry.
func (v view) underlays() {
	want := map[string]string{"aws": "[ens5] 9001", "gcp": "[ens4] 1460", "azure": "[eth0] 1500", "digitalocean": "[eth0 eth1] 1500"}
	var all []int
	for cloud, site := range v.sites {
		_, private := site[0].addresses(v.t)
		err := fabric.Within(site[0].namespace, func() error {
			devices, err := host.Underlays(private)
			if err != nil {
				return err
			}
			mtu, err := host.UnderlayMTU()
			if err != nil {
				return err
			}
			all = append(all, mtu)
			if diff := cmp.Diff(want[cloud], fmt.Sprintf("%v %d", devices, mtu)); diff != "" {
				v.t.Errorf("%s: underlays (-want +got):\n%s", cloud, diff)
			}
			return nil
		})
		if err != nil {
			v.t.Error(err)
		}
	}
	if got := mesh.MTU(all...); got != 1380 {
		v.t.Errorf("the tunnel over %v carries %d, want Google's 1460 less its overhead", all, got)
	}
}

// Silence for this long is taken for silence; an answer that must come is waited for longer.
const (
	impatient = 400 * time.Millisecond
	patient   = 10 * time.Second
)
