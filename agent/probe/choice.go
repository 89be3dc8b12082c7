package probe

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/skyweld/skyweld/node"
)

// Member is a node as the choice of who measures whom sees it.
type Member struct {
	Name, Site string
	// PublicKey is the tunnel's, in base64; Private and Public are where it is reached inside and outside the tunnel.
	PublicKey string
	Private   netip.Addr
	Public    netip.AddrPort
}

// Members are a node itself, first, and all its peers whose site is known.
func Members(c node.Config) []Member {
	all := []Member{{Name: c.Name, Site: c.Site, Private: c.Address}}
	for _, peer := range c.Tunnel.Peers {
		for _, allowed := range peer.AllowedIPs {
			if allowed.IsSingleIP() && peer.Site != "" {
				all = append(all, Member{Name: peer.Name, Site: peer.Site, PublicKey: peer.PublicKey, Private: allowed.Addr(), Public: peer.Endpoint})
			}
		}
	}
	return all
}

// spread is among how many nodes of a site its ways to other sites are shared out.
const spread = 3

// Choose says which nodes the first of all measures: none or one at each other site, in order of the sites. Each way between two
// sites has one node at each end, whatever the number of nodes; all nodes come to the same choice as far as they agree on
// who lives. A site's nodes take turns by name; one that doesn't live is left out, unless all are dead.
func Choose(all []Member, alive func(Member) bool) []Member {
	if len(all) == 0 {
		return nil
	}
	self := all[0]
	sites := map[string][]Member{}
	for _, m := range all {
		sites[m.Site] = append(sites[m.Site], m)
	}
	names := make([]string, 0, len(sites))
	for name, members := range sites {
		names = append(names, name)
		slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	}
	slices.Sort(names)
	lives := func(m Member) bool { return m.Name == self.Name || alive(m) }
	var chosen []Member
	for _, other := range names {
		if other == self.Site {
			continue
		}
		if first(sites[self.Site], turn(names, self.Site, other), lives).Name == self.Name {
			chosen = append(chosen, first(sites[other], turn(names, other, self.Site), lives))
		}
	}
	return chosen
}

// turn is the number of another site among those that are not this one.
func turn(names []string, site, other string) int {
	i := slices.Index(names, other)
	if slices.Index(names, site) < i {
		i--
	}
	return i
}

// first is the first living member when the turn-th of those that share begins, then the others that share, then all.
func first(members []Member, turn int, lives func(Member) bool) Member {
	n := min(spread, len(members))
	turn %= n
	order := slices.Concat(members[turn:n], members[:turn], members[n:])
	if i := slices.IndexFunc(order, lives); i >= 0 {
		return order[i]
	}
	return order[0]
}
