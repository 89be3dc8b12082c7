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

// Redo makes the step from one spec to the next, which added workers to groups or took some out, from another spec: the
// same nodes come, by name, and the same ones go. It is for a queue that lost a step further ahead. The error says which
// group isn't there without that.
func Redo(before, after, onto *Cluster) (*Cluster, error) {
	out := onto.Clone()
	for _, g := range after.Spec.Workers {
		was, is := numbersOf(before, g.Name), numbersOf(after, g.Name)
		if slices.Equal(was, is) {
			continue
		}
		i := slices.IndexFunc(out.Spec.Workers, func(w Workers) bool { return w.Name == g.Name })
		if i < 0 {
			return nil, fmt.Errorf("there is no group of workers named %s without it", g.Name)
		}
		w := &out.Spec.Workers[i]
		set := map[int]bool{}
		for _, n := range w.numbers() {
			set[n] = !slices.Contains(was, n) || slices.Contains(is, n)
		}
		for _, n := range is {
			if !slices.Contains(was, n) {
				set[n] = true
			}
		}
		maps.DeleteFunc(set, func(_ int, there bool) bool { return !there })
		w.setNumbers(slices.Sorted(maps.Keys(set)))
	}
	return out, nil
}

// Reapply is Redo for a step that came from a file, which says all by itself: only numbers that it left to the engine, those
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
