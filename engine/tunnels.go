package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/engine/paths"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/store"
)

// rewireAgain is how long it is until a node whose tunnel is down gets its config a second time: a handshake comes within
// seconds, and that it did is seen within a few minutes.
const rewireAgain = 5 * time.Minute

// recallPaths reads what was seen of the ways between sites since the last run: which tunnels are down, and what size of
// packets passes.
func (s *survey) recallPaths(ctx context.Context) error {
	care, err := s.e.store.GetCare(ctx, s.cluster.UID)
	if err != nil {
		return err
	}
	var m careMemory
	if len(care.Memory) > 0 && json.Unmarshal(care.Memory, &m) == nil { // what can't be read says nothing
		s.down = pairsOf(m.Paths.Down)
	}
	now, err := s.e.store.Now(ctx)
	if err != nil {
		return err
	}
	windows, err := s.e.store.ListLatency(ctx, s.cluster.UID, now.Add(-latencyReach))
	if err != nil {
		return err
	}
	if size := paths.MTU(s.pathMTU(), windows, now); size != s.pathMTU() {
		s.status.PathMTU = size
	}
	return nil
}

// downWith are the sites to which a site's tunnels are down.
func (s *survey) downWith(site string) (others []string) {
	for _, p := range s.down {
		switch site {
		case p.A:
			others = append(others, p.B)
		case p.B:
			others = append(others, p.A)
		}
	}
	return others
}

// meetKeys finds out whose tunnel has another key than the one on record, and takes that for theirs: all others get to know it.
func (s *survey) meetKeys() {
	s.rekeyed = map[string]string{}
	for name, seen := range s.sights {
		f := s.facts.get(name)
		if seen.status == nil || f == nil || seen.status.TunnelKey == "" || seen.status.TunnelKey == f.TunnelKey {
			continue
		}
		s.rekeyed[name] = fmt.Sprintf("its tunnel's key was %s, is %s", f.TunnelKey, seen.status.TunnelKey)
		with := *f
		with.TunnelKey = seen.status.TunnelKey
		s.facts.put(&with)
	}
}

// tunnelFault says what is wrong with a node's end of a tunnel that is down, empty for nothing. Where nothing is seen to be
// wrong it gets its config once more, which makes the device and its peers anew.
func (s *survey) tunnelFault(name string, cfg node.Config, f *Facts) string {
	others := s.downWith(f.Site)
	seen := s.sights[name]
	if len(others) == 0 || seen.status == nil || s.now.Sub(f.Rewired) < rewireAgain {
		return ""
	}
	begin := "the tunnel " + paths.PairOf(f.Site, others[0]).String() + " was down: "
	if seen.status.Tunnel == "" {
		return begin + "it had no device"
	}
	var wrong []string
	for _, want := range cfg.Tunnel.Peers {
		if !slices.Contains(others, want.Site) {
			continue
		}
		i := slices.IndexFunc(seen.status.Peers, func(p node.PeerStatus) bool { return p.Name == want.Name })
		switch {
		case i < 0:
			wrong = append(wrong, fmt.Sprintf("it didn't know the key of %s", want.Name))
		case seen.status.Peers[i].Endpoint != want.Endpoint:
			wrong = append(wrong, fmt.Sprintf("the endpoint of %s was %s, is %s", want.Name, seen.status.Peers[i].Endpoint, want.Endpoint))
		}
	}
	if len(wrong) == 0 {
		return begin + "nothing is seen to be wrong here, and its config is applied again"
	}
	return begin + firstFew(wrong)
}

// tellTunnels tells, before a run does anything, what it found of each tunnel that is down: addresses, keys, the clouds'
// firewalls and the nodes themselves, in turn.
func (r *run) tellTunnels(ctx context.Context) {
	for _, p := range r.down {
		var found []string
		found = append(found, "addresses: "+orAsWanted(r.movedAddresses(p)))
		var nodes, cloud []string
		for _, step := range r.graph.Steps {
			switch {
			case step.Site != p.A && step.Site != p.B:
			case step.Action == plan.Configure || step.Action == plan.Prepare:
				nodes = append(nodes, step.Key+": "+step.Reason)
			case step.Action == plan.Create || step.Action == plan.Update || step.Action == plan.Replace:
				cloud = append(cloud, fmt.Sprintf("%s %s: %s", step.Action, step.Key, step.Reason))
			}
		}
		found = append(found, "at the clouds, firewalls included: "+orAsWanted(cloud), "on the nodes, keys included: "+orAsWanted(nodes))
		r.e.event(ctx, r.cluster.UID, store.Normal, "TunnelLookedInto", "cluster "+r.cluster.Name, r.scrubber.clean(fmt.Sprintf("the tunnel %s is down. %s", p, strings.Join(found, ". "))))
	}
}

func orAsWanted(list []string) string {
	if len(list) == 0 {
		return "as they should be"
	}
	return firstFew(list)
}

// movedAddresses are the nodes of a pair of sites whose machines the clouds show at other public addresses than their peers use.
func (r *run) movedAddresses(p paths.Pair) (moved []string) {
	for _, g := range r.got {
		for _, f := range r.facts.all() {
			if (f.Site == p.A || f.Site == p.B) && g.ID == f.Machine && g.Key == r.machines[f.Name] && g.Machine != nil && g.Machine.Public != f.Public {
				moved = append(moved, fmt.Sprintf("%s is at %s, and its peers look for it at %s", f.Name, g.Machine.Public, f.Public))
			}
		}
	}
	return moved
}
