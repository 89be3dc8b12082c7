package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/mesh"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// fourClouds is a cluster with a control-plane node and a worker at each cloud, whose machines are what each cloud's are:
// jumbo frames at AWS, Google's 1460, and at DigitalOcean a public address, or a reserved one, beside a private address of
// the cloud's own choice.
func fourClouds() *survey {
	s := &survey{
		e:       &Engine{},
		cluster: store.Cluster{UID: "u"}, facts: &factsMap{m: map[string]*Facts{}},
		spec: &spec.Cluster{Metadata: spec.Metadata{Name: "four"}, Spec: spec.Spec{
			KubernetesVersion: "v1.36.3",
			Network:           spec.Network{Mode: string(mesh.CrossSite), Pods: netip.MustParsePrefix("10.216.0.0/14"), Services: netip.MustParsePrefix("10.96.0.0/16")},
		}},
	}
	for i, c := range []struct {
		site, block string
		mtu         int
	}{{"aws", "10.64.0.0/16", 9001}, {"gcp", "10.65.0.0/16", 1460}, {"azure", "10.66.0.0/16", 1500}, {"do", "10.67.0.0/20", 1500}} {
		block := netip.MustParsePrefix(c.block)
		s.spec.Spec.Sites = append(s.spec.Spec.Sites, spec.Site{Name: c.site, Block: block})
		for j, role := range []string{spec.RoleControlPlane, spec.RoleWorker} {
			b := block.Addr().As4()
			b[3] = byte(10 + j)
			n := spec.Node{Role: role, Assigned: spec.Assigned{
				Name: c.site + []string{"-cp", "-worker"}[j], Site: c.site, Address: netip.AddrFrom4(b), Pods: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 216, byte(2*i + j), 0}), 24),
			}}
			s.nodes = append(s.nodes, n)
			f := &Facts{
				Assigned: n.Assigned, Role: role, Machine: n.Name, MTU: c.mtu, TunnelKey: fmt.Sprintf("%043d=", 4*(2*i+j)),
				Public: netip.AddrFrom4([4]byte{198, 18, byte(i), byte(10 + j)}),
			}
			if c.site == "do" {
				b[3] = byte(2 + j) // it chooses itself
				f.Address = netip.AddrFrom4(b)
			}
			s.facts.put(f)
		}
	}
	return s
}

// TestEachCloudsNodes holds what a node is told at each cloud: it is known by its private address and no other; its peers in
// the same site are reached by theirs, those of other sites by the public ones; and the tunnel is as narrow as the
// narrowest of the clouds, everywhere.
func TestEachCloudsNodes(t *testing.T) {
	s := fourClouds()
	for _, n := range s.nodes {
		c, err := s.config(n.Name, node.Bundle{})
		if err != nil {
			t.Fatal(err)
		}
		own := s.facts.get(n.Name)
		if c.Kubelet.NodeIP != own.Address || c.Address != own.Address || !own.Address.IsPrivate() {
			t.Errorf("%s is known as %s to Kubernetes and %s to the agent; its private address is %s", n.Name, c.Kubelet.NodeIP, c.Address, own.Address)
		}
		if want := 1460 - mesh.Overhead; c.Tunnel.MTU != want {
			t.Errorf("the tunnel of %s carries %d, want %d", n.Name, c.Tunnel.MTU, want)
		}
		want, got := map[string]string{}, map[string]string{}
		for _, other := range s.facts.all() {
			at := other.Public
			if other.Site == own.Site {
				at = other.Address
			}
			if other != own {
				want[other.Name] = netip.AddrPortFrom(at, mesh.DefaultPort).String()
			}
		}
		for _, p := range c.Tunnel.Peers {
			got[p.Name] = p.Endpoint.String()
			if slices.Contains(p.AllowedIPs, netip.PrefixFrom(s.facts.get(p.Name).Public, 32)) {
				t.Errorf("%s lets %s send from its public address through the tunnel", n.Name, p.Name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("peers of %s (-want +got):\n%s", n.Name, diff)
		}
		for _, b := range c.Balancer.Backends {
			if !b.Addr().IsPrivate() {
				t.Errorf("%s reaches the API at %s, want a private address", n.Name, b)
			}
		}
		if !c.Balancer.Listen.Addr().IsLoopback() {
			t.Errorf("the balancer of %s listens at %s", n.Name, c.Balancer.Listen)
		}
	}
}

// TestTunnelWithoutTheNarrowest holds that jumbo frames never make the tunnel wider than the internet, and that a cloud
// that isn't there doesn't narrow it.
func TestTunnelWithoutTheNarrowest(t *testing.T) {
	for _, c := range []struct {
		without []string
		want    int
	}{{nil, 1380}, {[]string{"gcp"}, 1420}, {[]string{"gcp", "azure", "do"}, 1420}} {
		s := fourClouds()
		s.nodes = slices.DeleteFunc(s.nodes, func(n spec.Node) bool { return slices.Contains(c.without, n.Site) })
		got, err := s.config("aws-cp", node.Bundle{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Tunnel.MTU != c.want {
			t.Errorf("without %v the tunnel carries %d, want %d", c.without, got.Tunnel.MTU, c.want)
		}
	}
}
