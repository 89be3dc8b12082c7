package probe

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// cluster makes nodes: counts[i] at the i-th site.
func cluster(counts ...int) []Member {
	var all []Member
	for s, count := range counts {
		site := string(rune('a' + s))
		for i := range count {
			all = append(all, Member{Name: fmt.Sprintf("%s%d", site, i+1), Site: site})
		}
	}
	return all
}

// from puts a node first.
func from(all []Member, name string) []Member {
	i := slices.IndexFunc(all, func(m Member) bool { return m.Name == name })
	return slices.Concat(all[i:i+1], all[:i], all[i+1:])
}

func names(members []Member) (out []string) {
	for _, m := range members {
		out = append(out, m.Name)
	}
	return out
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		name   string
		counts []int
		dead   []string
		self   string
		want   []string
	}{
		{"two sites", []int{2, 2}, nil, "a1", []string{"b1"}},
		{"not the first", []int{2, 2}, nil, "a2", nil},
		{"the first is dead", []int{2, 2}, []string{"a1"}, "a2", []string{"b1"}},
		{"the other's first is dead", []int{2, 2}, []string{"b1"}, "a1", []string{"b2"}},
		{"all others are dead", []int{2, 2}, []string{"b1", "b2"}, "a1", []string{"b1"}},
		{"nobody is dead for himself", []int{2, 2}, []string{"a1", "a2"}, "a1", []string{"b1"}},
		{"one site", []int{3}, nil, "a1", nil},
		{"alone", []int{1}, nil, "a1", nil},
		{"one node has all ways of its site", []int{1, 1, 1}, nil, "b1", []string{"a1", "c1"}},
		{"ways are shared out, the first", []int{3, 3, 3, 3}, nil, "a1", []string{"b1"}},
		{"ways are shared out, the second", []int{3, 3, 3, 3}, nil, "a2", []string{"c1"}},
		{"ways are shared out, the third", []int{3, 3, 3, 3}, nil, "a3", []string{"d1"}},
		{"among three, not more", []int{9, 3, 3, 3}, nil, "a4", nil},
		{"the fourth comes when three are dead", []int{9, 1}, []string{"a1", "a2", "a3"}, "a4", []string{"b1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Choose(from(cluster(c.counts...), c.self), func(m Member) bool { return !slices.Contains(c.dead, m.Name) })
			if !slices.Equal(names(got), c.want) {
				t.Errorf("%s measures %v, want %v", c.self, names(got), c.want)
			}
		})
	}
	if Choose(nil, nil) != nil {
		t.Error("nobody measures somebody")
	}
}

// TestChooseAlways: whoever lives, each way has exactly one living node at either end, and the order in which nodes are known
// doesn't matter.
func TestChooseAlways(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := cluster(rapid.SliceOfN(rapid.IntRange(1, 7), 2, 6).Draw(t, "sites")...)
		dead := map[string]bool{}
		living := map[string]int{}
		for _, m := range all {
			dead[m.Name] = rapid.Bool().Draw(t, m.Name)
			if !dead[m.Name] {
				living[m.Site]++
			}
		}
		shuffle := rand.New(rand.NewSource(rapid.Int64().Draw(t, "order")))
		ways := map[string]int{}
		load := map[string]int{}
		for _, self := range all {
			if dead[self.Name] {
				continue
			}
			known := from(all, self.Name)
			shuffle.Shuffle(len(known)-1, func(i, j int) { known[i+1], known[j+1] = known[j+1], known[i+1] })
			for _, to := range Choose(known, func(m Member) bool { return !dead[m.Name] }) {
				ways[self.Site+to.Site]++
				load[self.Name]++
				if dead[to.Name] && living[to.Site] > 0 {
					t.Fatalf("%s measures %s, which is dead, and others live", self.Name, to.Name)
				}
			}
		}
		sites := map[string]bool{}
		for _, m := range all {
			sites[m.Site] = true
		}
		for a := range sites {
			for b := range sites {
				want := 1
				if a == b || living[a] == 0 {
					want = 0
				}
				if ways[a+b] != want {
					t.Fatalf("the way from %s to %s is measured by %d nodes, want %d", a, b, ways[a+b], want)
				}
			}
		}
		for name, n := range load {
			if n > len(sites)-1 {
				t.Fatalf("%s has %d ways", name, n)
			}
		}
	})
}
