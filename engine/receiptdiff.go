package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/kube"
)

// By says who is behind a difference between what an account held before a cluster and after it.
type By string

// Who may be behind it.
const (
	// ByThis is what this cluster made and didn't remove. No receipt is closed with it.
	ByThis By = "this-cluster"
	// ByAbandoned is what is left of a site that a user gave up.
	ByAbandoned By = "abandoned"
	// ByKubernetes is what controllers made in a cloud that ran in a Kubernetes, by its name this cluster's or another's.
	ByKubernetes By = "kubernetes"
	// ByCopy is what bears this cluster's mark and was never made by it.
	ByCopy By = "copy"
	// ByCloud is what clouds make of their own accord.
	ByCloud By = "cloud"
	// ByOther is another cluster of Skyweld's.
	ByOther By = "other-cluster"
	// ByOthers is everybody else.
	ByOthers By = "others"
)

var allBy = []By{ByThis, ByAbandoned, ByKubernetes, ByCopy, ByCloud, ByOther, ByOthers}

// differencesBy says in a summary who is behind a difference. What is abandoned is counted there anyway.
var differencesBy = map[By]string{
	ByThis: "by this cluster", ByKubernetes: "by controllers in a Kubernetes", ByCopy: "under its mark that it never made", ByCloud: "by a cloud of its own accord",
	ByOther: "by other clusters", ByOthers: "by others",
}

// Change is what became of a thing between two inventories.
type Change string

// The changes.
const (
	Added   Change = "added"
	Removed Change = "removed"
	Changed Change = "changed"
)

// Difference is one thing that isn't as it was.
type Difference struct {
	Change Change     `json:"change"`
	By     By         `json:"by"`
	Item   cloud.Item `json:"item"`
	// Was is the detail before, of what is changed.
	Was string `json:"was,omitempty"`
	// Reason says how it is known who is behind it.
	Reason string `json:"reason"`
}

// attribution tells whose things are.
type attribution struct {
	uid, name, account string
	// made is everything that was ever made for the cluster, left what of it was at sites that were given up.
	made, left map[identity]bool
	kubernetes []kube.Leftover
	// parts are the clusters of things by id and name: what comes along with a thing names it in its detail.
	parts map[string]string
}

// givenUp stands among parts for the cluster of what is left at a site that was given up.
const givenUp = "given up"

// look learns what belongs to which cluster in an inventory.
func (a *attribution) look(items []cloud.Item) {
	if a.parts == nil {
		a.parts = map[string]string{}
	}
	for _, i := range items {
		cluster := i.Cluster
		switch id := (identity{a.account, i.Kind, i.ID}); {
		case a.left[id]:
			cluster = givenUp
		case a.made[id]:
			cluster = a.uid
		}
		if cluster == "" {
			continue
		}
		a.parts[i.ID] = cluster
		if len(i.Name) > len("sw-") { // a name that says nothing proves nothing
			a.parts[i.Name] = cluster
		}
	}
}

// of says who is behind a thing.
func (a *attribution) of(i cloud.Item) By {
	by, _ := a.why(i)
	return by
}

func (a *attribution) why(i cloud.Item) (By, string) {
	switch id := (identity{a.account, i.Kind, i.ID}); {
	case a.left[id]:
		return ByAbandoned, "it is of a site that was given up"
	case a.made[id]:
		return ByThis, "this cluster's ledger had it"
	case i.Cluster == a.uid:
		return ByCopy, "it bears this cluster's mark, and is not on record as made for it: a copy, or what outlived a machine"
	case i.Cluster != "":
		return ByOther, "it bears the mark of cluster " + i.Cluster
	}
	if by, why := a.controllers(i); by != "" {
		return by, why
	}
	for word := range strings.FieldsSeq(i.Detail) {
		switch cluster := a.parts[word]; cluster {
		case "":
		case a.uid:
			return ByThis, "it came along with " + word + " of this cluster"
		case givenUp:
			return ByAbandoned, "it came along with " + word + " of a site that was given up"
		default:
			return ByOther, "it came along with " + word + " of cluster " + cluster
		}
	}
	if cloudsOwn(i) {
		return ByCloud, "clouds make it of their own accord, and it is kept while somebody uses it (docs/side-effects.md)"
	}
	return ByOthers, "no mark, and nothing on record: somebody else's"
}

// controllers finds what was made by controllers in a Kubernetes, of this cluster or of another.
func (a *attribution) controllers(i cloud.Item) (By, string) {
	for _, l := range a.kubernetes {
		if l.Handle != "" && (i.ID == l.Handle || i.Name == l.Handle || strings.HasPrefix(i.ID, l.Handle+"#") || strings.HasSuffix(l.Handle, "/"+i.Name)) {
			return ByKubernetes, "this cluster's " + l.Object + ": " + l.Why
		}
	}
	switch {
	case i.Controller != "" && i.Controller == a.name:
		return ByKubernetes, "its tag says that a controller made it for a Kubernetes of this cluster's name"
	case i.Controller != "":
		return ByKubernetes, "its tag says that a controller made it for the Kubernetes " + i.Controller
	case strings.HasPrefix(i.Name, "pvc-"):
		return ByKubernetes, "it is named as storage drivers in a Kubernetes name volumes"
	}
	return "", ""
}

// cloudsOwn says that a thing is one of those that clouds make by themselves.
func cloudsOwn(i cloud.Item) bool {
	return i.Kind == "network-watcher" || i.Name == "NetworkWatcherRG" || i.Kind == "vpc" && strings.HasSuffix(i.Detail, " default")
}

// differences compares two inventories.
func (a *attribution) differences(before, after []cloud.Item) []Difference {
	a.look(before)
	a.look(after)
	key := func(i cloud.Item) cloud.Item { return cloud.Item{Kind: i.Kind, Region: i.Region, ID: i.ID} }
	was, is := map[cloud.Item]cloud.Item{}, map[cloud.Item]cloud.Item{}
	for _, i := range before {
		was[key(i)] = i
	}
	var out []Difference
	for _, i := range after {
		is[key(i)] = i
		old, there := was[key(i)]
		by, why := a.why(i)
		switch {
		case !there:
			out = append(out, Difference{Change: Added, By: by, Item: i, Reason: why})
		case old != i:
			d := Difference{Change: Changed, By: by, Item: i, Was: old.Detail, Reason: why}
			if by != ByOther {
				d.By, d.Reason = ByOthers, "it was there before, and Skyweld changes only what it made"
			}
			if old.Name != i.Name {
				d.Was = fmt.Sprintf("%s, named %s", old.Detail, old.Name)
			}
			out = append(out, d)
		}
	}
	for _, i := range before {
		if _, there := is[key(i)]; there {
			continue
		}
		by, why := a.why(i)
		if by != ByOther && by != ByCloud {
			by, why = ByOthers, "it was there before, and Skyweld removes only what it made"
		}
		out = append(out, Difference{Change: Removed, By: by, Item: i, Reason: why})
	}
	slices.SortFunc(out, compareDifferences)
	return out
}
