package engine

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/engine/enginetest"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/remote"
)

// nodeside reaches the inside of the scene's cluster.
func (s *scene) nodeside() Nodeside {
	return Nodeside{
		Dial: func(ctx context.Context, t remote.Target) (Machine, error) {
			c, err := s.world.Dial(ctx, t)
			if err != nil {
				return nil, err
			}
			return c, nil
		},
		Kubernetes: func(_ kube.Cluster, _ kube.PKI, backends []kube.Backend, _ time.Time) (Kubernetes, error) {
			if len(backends) == 0 {
				return nil, errors.New("no control-plane node has an address yet")
			}
			var addresses []string
			for _, b := range backends {
				addresses = append(addresses, b.Address)
			}
			return s.world.Kubernetes(addresses...), nil
		},
		Etcd: func(_ kube.PKI, dial kube.Dial, _ time.Time) (Etcd, error) { return s.world.EtcdAt(dial) },
		Probe: func(ctx context.Context, _ kube.Cluster, _ kube.KeyPair, b kube.Backend, _ time.Time) (kube.Endpoint, error) {
			return s.world.Probe(ctx, b.Address)
		},
		Knock: func(ctx context.Context, address netip.AddrPort, _ string) error {
			return s.world.Knock(ctx, address.Addr())
		},
	}
}

// machines are the cluster's machines that run, in both clouds.
func (s *scene) machines() []enginetest.Machine {
	var out []enginetest.Machine
	s.eachMachine(func(c *cloudtest.Cloud, o cloud.Object) {
		_, name, _ := strings.Cut(o.Key, "-node-")
		out = append(out, enginetest.Machine{Name: name, ProviderID: o.Machine.ProviderID, Public: o.Machine.Public, UserData: c.UserData(o.ID)})
	})
	return out
}

func (s *scene) eachMachine(do func(*cloudtest.Cloud, cloud.Object)) {
	uid, _ := s.uid.Load().(string)
	for _, c := range s.clouds {
		for _, o := range c.Objects(uid) {
			if o.Machine != nil && o.State == cloud.Ready {
				do(c, o)
			}
		}
	}
}

// from lets machines be reached only where their firewalls have a rule for SSH from an address.
func (s *scene) from(address string) {
	s.world.Reach = func(_ context.Context, m enginetest.Machine) error {
		open := false
		s.eachMachine(func(c *cloudtest.Cloud, o cloud.Object) {
			open = open || o.Machine.ProviderID == m.ProviderID && s.letsIn(c, o, netip.MustParseAddr(address))
		})
		if !open {
			return errors.New("connection timed out")
		}
		return nil
	}
}

// letsIn says whether a machine's firewalls have a rule for SSH from an address.
func (s *scene) letsIn(c *cloudtest.Cloud, machine cloud.Object, from netip.Addr) bool {
	for _, o := range c.Objects(machine.Cluster) {
		f, ok := o.Spec.(*cloudtest.FirewallSpec)
		if !ok || !slices.Contains(machine.Spec.(*cloudtest.MachineSpec).Firewalls, o.Key) {
			continue
		}
		for _, r := range f.Rules {
			if r.Protocol == "tcp" && r.From == 22 && slices.Contains(r.Sources, from.String()+"/32") {
				return true
			}
		}
	}
	return false
}
