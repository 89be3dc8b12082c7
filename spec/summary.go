package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Summary says in a few words how a spec differs from the one before it, which is nil for a new cluster:
// "workers web 2 → 4, access.api changed".
func Summary(before, after *Cluster) string {
	if before == nil && after.Measures() {
		return fmt.Sprintf("measure what is between %s for %s", plural(len(after.Spec.Sites), "region"), after.Spec.Measure.For)
	}
	if before == nil {
		workers := 0
		for _, w := range after.Spec.Workers {
			workers += w.Nodes()
		}
		return fmt.Sprintf("a new cluster: %s, %s", plural(len(after.Spec.Sites), "site"), plural(after.Spec.ControlPlane.Replicas+workers, "node"))
	}
	var words []string
	for _, s := range after.Spec.Sites {
		if _, ok := before.Site(s.Name); !ok {
			words = append(words, "site "+s.Name+" added")
		}
	}
	for _, w := range after.Spec.Workers {
		was, had := groupOf(before, w.Name)
		if !had {
			words = append(words, fmt.Sprintf("workers %s added (%d)", w.Name, w.Nodes()))
			continue
		}
		words = append(words, groupWords(after.Metadata.Name, was, w)...)
	}
	for _, w := range before.Spec.Workers {
		if _, has := groupOf(after, w.Name); !has {
			words = append(words, fmt.Sprintf("workers %s removed (%d)", w.Name, w.Nodes()))
		}
	}
	words = append(words, fieldWords("", asMap(before.Spec), asMap(after.Spec), "sites", "workers")...)
	if len(words) == 0 {
		return "nothing new"
	}
	return strings.Join(words, ", ")
}

// fewNodes is how many nodes of a group are named one by one.
const fewNodes = 3

// groupWords says how a group of workers differs. Counts say it all where the last numbers come or go; a node that goes
// from among others is named.
func groupWords(cluster string, before, after Workers) []string {
	was, is := before.numbers(), after.numbers()
	gone := slices.DeleteFunc(slices.Clone(was), func(n int) bool { return slices.Contains(is, n) })
	come := slices.DeleteFunc(slices.Clone(is), func(n int) bool { return slices.Contains(was, n) })
	fromTheEnd := len(gone) == 0 || len(is) == 0 || gone[0] > is[len(is)-1]
	var words []string
	switch {
	case len(gone) > 0 && len(gone)+len(come) <= fewNodes && (!fromTheEnd || len(come) > 0 || len(gone) == 1):
		for _, n := range gone {
			words = append(words, fmt.Sprintf("node %s-%s-%d removed", cluster, after.Name, n))
		}
		for _, n := range come {
			words = append(words, fmt.Sprintf("node %s-%s-%d added", cluster, after.Name, n))
		}
	case len(was) != len(is):
		words = append(words, fmt.Sprintf("workers %s %d → %d", after.Name, len(was), len(is)))
	case len(gone) > 0:
		words = append(words, fmt.Sprintf("%d nodes of workers %s are others", len(gone), after.Name))
	}
	return append(words, fieldWords("workers "+after.Name+" ", asMap(before), asMap(after), "name", "count", "exclude")...)
}

// fieldWords says which fields differ, simple ones with their values.
func fieldWords(at string, before, after map[string]any, except ...string) []string {
	keys := map[string]any{}
	maps.Copy(keys, before)
	maps.Copy(keys, after)
	var words []string
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		a, b := before[k], after[k]
		if slices.Contains(except, k) || reflect.DeepEqual(a, b) {
			continue
		}
		x, xIsMap := a.(map[string]any)
		y, yIsMap := b.(map[string]any)
		switch {
		case (xIsMap || a == nil) && (yIsMap || b == nil) && k != "labels":
			words = append(words, fieldWords(at+k+".", x, y)...)
		case isSimple(a) && isSimple(b):
			words = append(words, fmt.Sprintf("%s%s %v → %v", at, k, a, b))
		default:
			words = append(words, at+k+" changed")
		}
	}
	return words
}

func isSimple(v any) bool {
	switch v.(type) {
	case string, float64, bool:
		return true
	}
	return false
}

func asMap(v any) map[string]any {
	data, err := json.Marshal(v)
	var m map[string]any
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		panic("spec: a part of a cluster always goes through JSON: " + err.Error())
	}
	return m
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
