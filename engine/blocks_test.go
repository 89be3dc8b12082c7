package engine

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/spec"
)

// apart is a cloud whose networks are small and must not overlap, and that keeps a range for itself.
var apart = cloudtest.Options{Blocks: cloud.BlockRule{Bits: 20, Apart: true, Taken: []cloud.Taken{
	{Range: netip.MustParsePrefix("10.64.0.0/19"), By: "the cloud keeps"}, {Range: netip.MustParsePrefix("10.10.0.0/16"), By: "machines have", Pods: true},
}}}

// blocksOf plans a file and returns the blocks of its sites.
func (s *scene) blocksOf(file string) []string {
	s.t.Helper()
	p, err := s.engine.Plan(s.t.Context(), []byte(file))
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, site := range p.Spec.Spec.Sites {
		out = append(out, site.Block.String())
	}
	return out
}

// TestChosenBlocks: what nobody chose is as small as the cloud wants it, and lies beside what the cloud keeps, what the
// account has in any region and what other clusters will have; it is stored, and no network made later changes it.
func TestChosenBlocks(t *testing.T) {
	s := newScene(t, apart)
	s.clouds[cloud.AWS].Foreign(cloudtest.KindNetwork, "us-east-1", &cloudtest.NetworkSpec{CIDR: "10.64.32.0/20"})
	for _, c := range s.clouds {
		var err error
		if s.before[c.Provider()], err = c.Inventory(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := "10.64.48.0/20 10.64.32.0/20" // the second account doesn't have the foreign one
	if got := strings.Join(s.blocksOf(smallFile), " "); got != want {
		t.Errorf("blocks %s, want %s", got, want)
	}
	uid := s.apply(smallFile)
	other := strings.Replace(smallFile, "name: demo", "name: other", 1)
	if got := strings.Join(s.blocksOf(other), " "); got != "10.64.64.0/20 10.64.48.0/20" {
		t.Errorf("beside a cluster that isn't made yet: blocks %s", got)
	}
	s.ready(uid)
	if got := strings.Join(s.blocksOf(smallFile), " "); got != want {
		t.Errorf("with its own networks there: blocks %s, want %s", got, want)
	}
	asked := s.asked()
	s.apply(strings.Replace(smallFile, "count: 1}", "count: 2}", 1))
	s.ready(uid)
	if n := s.asked(); n != asked {
		t.Errorf("a change of a cluster asked %d times for blocks", n-asked)
	}
	c, err := s.engine.store.GetClusterByUID(t.Context(), uid)
	if err != nil || c.Spec.Spec.Sites[0].Block.String()+" "+c.Spec.Spec.Sites[1].Block.String() != want {
		t.Errorf("stored: %v, error %v", c.Spec.Spec.Sites, err)
	}
	s.delete(uid)
	s.asBefore()
}

// asked counts how often clouds were asked for blocks.
func (s *scene) asked() int {
	n := 0
	for _, c := range s.clouds {
		for _, call := range c.Calls() {
			if call.Op == cloudtest.OpBlocks {
				n++
			}
		}
	}
	return n
}

// TestGivenBlocks names both sides where a file asks for what is taken.
func TestGivenBlocks(t *testing.T) {
	s := newScene(t, apart)
	s.apply(smallFile)
	other := strings.NewReplacer("name: demo", "name: other", "region: us-east-1", "region: us-east-1, block: BLOCK").Replace(smallFile)
	for block, want := range map[string]string{
		"10.64.16.0/20": "line 6: spec.sites[0].block: found 10.64.16.0/20: overlaps with 10.64.0.0/19, which the cloud keeps; want a range that shares no address with it",
		"10.64.0.0/16":  "overlaps with 10.64.0.0/19, which the cloud keeps",
		"10.64.32.0/20": "overlaps with 10.64.32.0/20, which is the block of site one of cluster demo in the same account",
	} {
		_, err := s.engine.Plan(t.Context(), []byte(strings.Replace(other, "BLOCK", block, 1)))
		var list spec.Errors
		if !errors.As(err, &list) || len(list) != 1 || !strings.Contains(err.Error(), want) {
			t.Errorf("block %s: %v", block, err)
		}
	}
	pods := strings.Replace(other, "region: us-east-1, block: BLOCK", "region: us-east-1", 1) + "  network: {pods: 10.8.0.0/13}\n"
	_, err := s.engine.Plan(t.Context(), []byte(pods))
	if err == nil || strings.Count(err.Error(), "spec.network.pods") != 1 || !strings.Contains(err.Error(), "overlaps with 10.10.0.0/16, which machines have, at site one") {
		t.Errorf("pods: %v", err)
	}
}

// TestNoBlockInIgnorance: where an account's networks can't be listed nothing is chosen, as it could never be changed; a
// block that the file names needs no list.
func TestNoBlockInIgnorance(t *testing.T) {
	s := newScene(t, apart)
	s.clouds[cloud.AWS].SetHooks(cloudtest.Hooks{Before: func(_ context.Context, call cloudtest.Call) error {
		if call.Op == cloudtest.OpBlocks {
			return &cloud.Error{Class: cloud.Denied, Op: "list networks", Message: "no", Action: "network:read"}
		}
		return nil
	}})
	_, err := s.engine.Apply(t.Context(), []byte(smallFile), "test")
	if cloud.ClassOf(err) != cloud.Denied {
		t.Fatalf("error %v", err)
	}
	wantAll(t, err.Error(), "site one: no block can be chosen for it", "account acc-aws", "allow network:read")
	if all, err := s.engine.Clusters(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("clusters %v, error %v", all, err)
	}
	if got := s.blocksOf(strings.Replace(smallFile, "region: us-east-1", "region: us-east-1, block: 10.70.0.0/20", 1)); got[0] != "10.70.0.0/20" {
		t.Errorf("blocks %v", got)
	}
}
