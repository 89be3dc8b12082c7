package engine

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

// TestCloudPicksAddresses runs a cluster where the clouds choose the private addresses of machines: nodes have those, a
// new machine's too, and nothing is done twice for that.
func TestCloudPicksAddresses(t *testing.T) {
	s := newScene(t, cloudtest.Options{PicksAddress: true})
	uid := s.apply(largeFile)
	s.ready(uid)
	s.hasTheirs(uid)
	s.apply(largeFile)
	s.ready(uid)
	if got := s.runs(uid, 9); len(got) != 2 || !strings.HasSuffix(got[0], ": apply: succeeded, 0 steps") {
		t.Errorf("the second apply: %v", got)
	}
	for _, key := range []string{"one-node-demo-web-1", "two-node-demo-two-cp-1"} {
		c, o := s.find(uid, key)
		c.Terminate(o.ID)
	}
	s.turn(uid)
	s.ready(uid)
	s.hasTheirs(uid)
	s.delete(uid)
	s.asBefore()
}

// hasTheirs wants every node to be known by the address that its machine has, and to be told of by it.
func (s *scene) hasTheirs(uid string) {
	s.t.Helper()
	nodes, err := s.engine.store.GetNodes(s.t.Context(), uid)
	if err != nil || len(nodes) == 0 {
		s.t.Fatalf("%d nodes, error %v", len(nodes), err)
	}
	for _, n := range nodes {
		var f Facts
		if err := json.Unmarshal(n.Facts, &f); err != nil {
			s.t.Fatal(err)
		}
		_, o := s.find(uid, f.Site+"-node-"+f.Name)
		if o.Machine == nil || f.Address != o.Machine.Private || !f.Address.IsValid() {
			s.t.Errorf("%s is known as %s, its machine says %+v", f.Name, f.Address, o.Machine)
		}
	}
	for _, name := range s.addresses() {
		if !s.machineHas(uid, name) {
			s.t.Errorf("a node was told of %s, which no machine has", name)
		}
	}
}

// addresses are all private addresses that living machines were told of in their last configs.
func (s *scene) addresses() []string {
	var out []string
	for _, c := range s.world.Configs() {
		out = append(out, c.Kubelet.NodeIP.String())
		for _, b := range c.Balancer.Backends {
			out = append(out, b.Addr().String())
		}
		for _, p := range c.Tunnel.Peers {
			for _, a := range p.AllowedIPs {
				if a.IsSingleIP() {
					out = append(out, a.Addr().String())
				}
			}
		}
	}
	return out
}

// machineHas says whether one of the cluster's machines has a private address.
func (s *scene) machineHas(uid, address string) bool {
	for _, c := range s.clouds {
		for _, o := range c.Objects(uid) {
			if o.Machine != nil && o.State == cloud.Ready && o.Machine.Private.String() == address {
				return true
			}
		}
	}
	return false
}
