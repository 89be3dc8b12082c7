package cloudtest

import (
	"fmt"

	"github.com/skyweld/skyweld/cloud"
)

// Reach says for each resource, by its key, which others it depends on, be it through others.
func Reach(list []cloud.Resource) map[string]map[string]bool {
	byKey := map[string]cloud.Resource{}
	for _, r := range list {
		byKey[r.Key] = r
	}
	out := map[string]map[string]bool{}
	var reach func(key string) map[string]bool
	reach = func(key string) map[string]bool {
		if set, ok := out[key]; ok {
			return set
		}
		set := map[string]bool{}
		out[key] = set // a circle ends here; another test is about those
		for _, d := range byKey[key].DependsOn {
			set[d] = true
			for further := range reach(d) {
				set[further] = true
			}
		}
		return set
	}
	for _, r := range list {
		reach(r.Key)
	}
	return out
}

// Needs checks that a blueprint has resources of a kind, and that each of them depends on one of another kind.
func Needs(list []cloud.Resource, kind, other cloud.Kind) error {
	kinds := map[string]cloud.Kind{}
	for _, r := range list {
		kinds[r.Key] = r.Kind
	}
	seen := false
	for key, set := range Reach(list) {
		if kinds[key] != kind {
			continue
		}
		seen = true
		found := false
		for d := range set {
			found = found || kinds[d] == other
		}
		if !found {
			return fmt.Errorf("%s depends on nothing of kind %s", key, other)
		}
	}
	if !seen {
		return fmt.Errorf("the blueprint has nothing of kind %s", kind)
	}
	return nil
}
