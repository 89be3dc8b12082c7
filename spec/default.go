package spec

import (
	"net/netip"
	"slices"
	"time"
)

var siteRange = netip.MustParsePrefix("10.64.0.0/12")

// BlockRule says what the block of a site is to be like that names none.
type BlockRule struct {
	// Bits is its length; 0 for SiteBits.
	Bits int
	// Taken are ranges that it must not overlap, beside all others of the cluster.
	Taken []netip.Prefix
}

// SiteBits is the length of a block unless a rule says otherwise.
const SiteBits = 16

// Default fills in every field that has a default and isn't given. Blocks of sites are as DefaultBlocks chooses them where
// no rule is known; where Inherit ran before, the sites of the cluster in force keep theirs.
func Default(c *Cluster) {
	s := &c.Spec
	fill(&s.KubernetesVersion, Versions[0])
	fill(&s.Network.Mode, Modes[0])
	fill(&s.Network.MaxRTT, Duration(10*time.Millisecond))
	fill(&s.Network.OnLatency, LatencyChoices[0])
	DefaultBlocks(c, nil)
	fill(&s.Repair.FailedMachines, FailedMachines[0])
	fill(&s.Repair.NotReadyWorkers, NotReadyChoices[0])
	fill(&s.Repair.NotReadyAfter, Duration(10*time.Minute))
	fill(&s.ControlPlane.Replicas, 3)
	fill(&s.ControlPlane.Size, "medium")
	if len(s.ControlPlane.Sites) == 0 {
		for _, site := range s.Sites {
			if site.Name != "" && !slices.Contains(s.ControlPlane.Sites, site.Name) {
				s.ControlPlane.Sites = append(s.ControlPlane.Sites, site.Name)
			}
		}
	}
	for i := range s.Workers {
		fill(&s.Workers[i].Size, "small")
		if s.Workers[i].Count == nil {
			s.Workers[i].Count = new(1)
		}
	}
}

// DefaultBlocks gives every site without a block the first one of siteRange that its rule, by the site's name, allows and
// that overlaps nothing else in the cluster, in the order of the sites. When none is left the block stays empty, which
// Validate reports.
func DefaultBlocks(c *Cluster, rules map[string]BlockRule) {
	s := &c.Spec
	fill(&s.Network.Pods, netip.MustParsePrefix("10.216.0.0/14"))
	fill(&s.Network.Services, netip.MustParsePrefix("10.96.0.0/16"))
	taken := []netip.Prefix{s.Network.Pods, s.Network.Services}
	for _, site := range s.Sites {
		if site.Block.IsValid() {
			taken = append(taken, site.Block)
		}
	}
	for i := range s.Sites {
		if s.Sites[i].Block.IsValid() {
			continue
		}
		if block := freeBlock(rules[s.Sites[i].Name], taken); block.IsValid() {
			s.Sites[i].Block = block
			taken = append(taken, block)
		}
	}
}

// freeBlock finds the first block by a rule that overlaps nothing of a list.
func freeBlock(rule BlockRule, taken []netip.Prefix) netip.Prefix {
	bits := rule.Bits
	if bits == 0 {
		bits = SiteBits
	}
	for n := range 1 << (bits - siteRange.Bits()) {
		block := subBlock(siteRange, bits, n)
		_, here := overlapping(block, taken)
		if _, there := overlapping(block, rule.Taken); !here && !there {
			return block
		}
	}
	return netip.Prefix{}
}

// Inherit fills in those fields of a new file for an existing cluster that cannot change and aren't given, from the
// cluster in force, so that the file that made a cluster can be applied again as it is; and what is asked for beside a file.
func Inherit(old, c *Cluster) {
	o, s := &old.Spec, &c.Spec
	fill(&s.KubernetesVersion, o.KubernetesVersion)
	fill(&s.Metro, o.Metro)
	fill(&s.Measure.For, o.Measure.For)
	fill(&s.Network.Mode, o.Network.Mode)
	fill(&s.Network.OnLatency, o.Network.OnLatency)
	fill(&s.Network.Pods, o.Network.Pods)
	fill(&s.Network.Services, o.Network.Services)
	fill(&s.ControlPlane.Replicas, o.ControlPlane.Replicas)
	fill(&s.ControlPlane.Size, o.ControlPlane.Size)
	if len(s.ControlPlane.Sites) == 0 {
		s.ControlPlane.Sites = append([]string(nil), o.ControlPlane.Sites...)
	}
	for i := range s.Sites {
		if was, ok := old.Site(s.Sites[i].Name); ok {
			fill(&s.Sites[i].Account, was.Account)
			fill(&s.Sites[i].Region, was.Region)
			fill(&s.Sites[i].Block, was.Block)
		}
	}
	for i := range s.Workers {
		for _, was := range o.Workers {
			if was.Name == s.Workers[i].Name {
				fill(&s.Workers[i].Site, was.Site)
				fill(&s.Workers[i].Size, was.Size)
				if s.Workers[i].Exclude == nil {
					s.Workers[i].Exclude = append([]int(nil), was.Exclude...)
				}
			}
		}
	}
}

// fill sets a field that isn't given.
func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
