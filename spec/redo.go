package spec

import (
	"fmt"
	"maps"
	"slices"
)

// NodeSites returns the names of the nodes that a cluster wants, each with its site.
func NodeSites(c *Cluster) map[string]string {
	sites := map[string]string{}
	for _, n := range wantedNodes(c) {
		sites[n.Name] = n.Site
	}
	return sites
}

// Moves are what a change of the workers does, by group: the numbers of those that come and of those that go.
type Moves map[string]Move

// Move is that of one group.
type Move struct {
	Come []int `json:"come,omitempty"`
	Go   []int `json:"go,omitempty"`
}

// MovesOf are the moves from one spec to another.
func MovesOf(before, after *Cluster) Moves {
	moves := Moves{}
	for _, g := range after.Spec.Workers {
		was, is := numbersOf(before, g.Name), numbersOf(after, g.Name)
		m := Move{Come: missing(is, was), Go: missing(was, is)}
		if len(m.Come)+len(m.Go) > 0 {
			moves[g.Name] = m
		}
	}
	return moves
}

// missing are the numbers of one list that aren't in another.
func missing(of, in []int) []int {
	return slices.DeleteFunc(slices.Clone(of), func(n int) bool { return slices.Contains(in, n) })
}

// Redo makes moves from another spec than they were made from: the same nodes come, by name, and the same ones go, as far as
// they aren't there, or are. It is for a queue that lost a step further ahead. The error says which group isn't there without
// that.
func (m Moves) Redo(onto *Cluster) (*Cluster, error) {
	out := onto.Clone()
	for _, group := range slices.Sorted(maps.Keys(m)) {
		i := slices.IndexFunc(out.Spec.Workers, func(w Workers) bool { return w.Name == group })
		if i < 0 {
			return nil, fmt.Errorf("there is no group of workers named %s without it", group)
		}
		w := &out.Spec.Workers[i]
		numbers := append(missing(w.numbers(), m[group].Go), missing(m[group].Come, w.numbers())...)
		slices.Sort(numbers)
		w.setNumbers(numbers)
	}
	return out, nil
}

// Reapply is Redo for a change that came from a file, which says all by itself: only numbers that it left to the engine, those
// of nodes that were removed one by one, are taken from the other spec.
func Reapply(before, after, onto *Cluster) *Cluster {
	out := after.Clone()
	for i := range out.Spec.Workers {
		w := &out.Spec.Workers[i]
		was, had := groupOf(before, w.Name)
		other, has := groupOf(onto, w.Name)
		if had && has && slices.Equal(was.Exclude, w.Exclude) {
			w.Exclude = slices.Clone(other.Exclude)
		}
	}
	return out
}

func groupOf(c *Cluster, name string) (Workers, bool) {
	for _, w := range c.Spec.Workers {
		if w.Name == name {
			return w, true
		}
	}
	return Workers{}, false
}

func numbersOf(c *Cluster, group string) []int {
	w, _ := groupOf(c, group)
	if w.Name == "" {
		return nil
	}
	return w.numbers()
}

// setNumbers makes a group's nodes those with the given numbers, which rise.
func (w *Workers) setNumbers(numbers []int) {
	w.Count, w.Exclude = new(len(numbers)), nil
	next := 1
	for _, n := range numbers {
		for ; next < n; next++ {
			w.Exclude = append(w.Exclude, next)
		}
		next = n + 1
	}
}
