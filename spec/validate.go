package spec

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Validate says everything that is wrong with a cluster that went through Default. Locate adds the lines.
func Validate(c *Cluster) Errors {
	v := &validator{c: c}
	v.required()
	v.fields()
	v.sites()
	v.controlPlane()
	v.workers()
	v.overlaps()
	v.nodes()
	return v.errs
}

type validator struct {
	c    *Cluster
	errs Errors
}

// add records a problem, unless there is one already for the field or what holds it.
func (v *validator) add(path, value, format string, args ...any) {
	if !v.errs.covers(path) {
		v.errs = append(v.errs, Error{Path: path, Value: value, Message: fmt.Sprintf(format, args...)})
	}
}

// fields checks each field by itself, by the same table and code as a file.
func (v *validator) fields() {
	c := *v.c
	c.Status = nil
	data, err := json.Marshal(c)
	if err != nil {
		v.add("", "", "cannot be written: %v", err)
		return
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		v.add("", "", "cannot be read: %v", err)
		return
	}
	w := walker{}
	w.walk(schema, "", doc.Content[0])
	for _, e := range w.errs {
		if !v.errs.covers(e.Path) {
			e.Line = 0
			v.errs = append(v.errs, e)
		}
	}
}

func (v *validator) required() {
	need := func(path, value string) {
		if value == "" {
			v.add(path, "", "missing; want %s", field(path).Allowed)
		}
	}
	need("apiVersion", v.c.APIVersion)
	need("kind", v.c.Kind)
	need("metadata.name", v.c.Metadata.Name)
	for i, s := range v.c.Spec.Sites {
		at := fmt.Sprintf("spec.sites[%d]", i)
		need(at+".name", s.Name)
		need(at+".account", s.Account)
		if !s.Block.IsValid() {
			v.add(at+".block", "", "missing, and no /16 of %s is free; want %s", siteRange, field("spec.sites[].block").Allowed)
		}
	}
	for i, w := range v.c.Spec.Workers {
		at := fmt.Sprintf("spec.workers[%d]", i)
		need(at+".name", w.Name)
		need(at+".site", w.Site)
		for j, t := range w.Taints {
			need(fmt.Sprintf("%s.taints[%d].key", at, j), t.Key)
			need(fmt.Sprintf("%s.taints[%d].effect", at, j), t.Effect)
		}
	}
}

func (v *validator) sites() {
	if len(v.c.Spec.Sites) == 0 {
		v.add("spec.sites", "", "missing; want %s", field("spec.sites").Allowed)
	}
	first := map[string]int{}
	for i, s := range v.c.Spec.Sites {
		if j, twice := first[s.Name]; twice && s.Name != "" {
			v.add(fmt.Sprintf("spec.sites[%d].name", i), strconv.Quote(s.Name), "spec.sites[%d] has that name already; want another", j)
		} else {
			first[s.Name] = i
		}
	}
}

// siteName checks a reference to a site.
func (v *validator) siteName(path, name string) {
	if _, ok := v.c.Site(name); ok || name == "" || len(v.c.Spec.Sites) == 0 { // without sites that is the problem
		return
	}
	var names []string
	for _, s := range v.c.Spec.Sites {
		if s.Name != "" && !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	hint := ""
	if n := nearest(name, names); n != "" {
		hint = "; did you mean " + n + "?"
	}
	v.add(path, strconv.Quote(name), "no site has that name; want one of %s%s", strings.Join(names, ", "), hint)
}

func (v *validator) controlPlane() {
	seen := map[string]bool{}
	for i, name := range v.c.Spec.ControlPlane.Sites {
		at := fmt.Sprintf("spec.controlPlane.sites[%d]", i)
		v.siteName(at, name)
		if seen[name] {
			v.add(at, strconv.Quote(name), "named twice; want each site once")
		}
		seen[name] = true
	}
}

func (v *validator) workers() {
	first := map[string]int{}
	for i, w := range v.c.Spec.Workers {
		at := fmt.Sprintf("spec.workers[%d]", i)
		if j, twice := first[w.Name]; twice && w.Name != "" {
			v.add(at+".name", strconv.Quote(w.Name), "spec.workers[%d] has that name already; want another", j)
		} else {
			first[w.Name] = i
		}
		v.siteName(at+".site", w.Site)
		seen := map[Taint]bool{}
		for j, t := range w.Taints {
			key := Taint{Key: t.Key, Effect: t.Effect}
			if seen[key] && t.Key != "" && t.Effect != "" {
				v.add(fmt.Sprintf("%s.taints[%d]", at, j), strconv.Quote(t.Key), "there is a taint with that key and effect already; want one")
			}
			seen[key] = true
		}
		numbers := map[int]bool{}
		for j, n := range w.Exclude {
			if numbers[n] {
				v.add(fmt.Sprintf("%s.exclude[%d]", at, j), strconv.Itoa(n), "given twice; want each number once")
			}
			numbers[n] = true
		}
	}
}

func (v *validator) overlaps() {
	type side struct {
		path  string
		block netip.Prefix
	}
	n := v.c.Spec.Network
	sides := []side{{"spec.network.pods", n.Pods}, {"spec.network.services", n.Services}}
	for i, s := range v.c.Spec.Sites {
		sides = append(sides, side{fmt.Sprintf("spec.sites[%d].block", i), s.Block})
	}
	for i, b := range sides {
		for _, a := range sides[:i] {
			if a.block.IsValid() && b.block.IsValid() && a.block.Overlaps(b.block) {
				v.add(b.path, b.block.String(), "overlaps with %s, %s; want ranges that share no address", a.path, a.block)
			}
		}
	}
}

// nodes checks what can only be seen when every node has its name and place.
func (v *validator) nodes() {
	if len(v.errs) > 0 {
		return
	}
	wanted := wantedNodes(v.c)
	if blocks := podBlocks(v.c.Spec.Network.Pods); len(wanted) > blocks {
		v.add("spec.network.pods", v.c.Spec.Network.Pods.String(), "holds /24 blocks for %d nodes, and the spec wants %d; want a larger range or fewer nodes", blocks, len(wanted))
	}
	perSite, names := map[string]int{}, map[string]string{}
	for _, n := range wanted {
		perSite[n.Site]++
		if len(n.Name) > 63 {
			v.add(n.path, "", "the node's name %s has %d letters; want at most 63: shorten the names of the cluster, site or group", n.Name, len(n.Name))
		}
		if other, twice := names[n.Name]; twice {
			v.add(n.path, "", "the node's name %s is the same as one of %s; want another name for the group", n.Name, other)
		}
		names[n.Name] = n.path
	}
	for i, s := range v.c.Spec.Sites {
		if room := hostsIn(ZoneBlock(s.Block, 0)); perSite[s.Name] > room {
			v.add(fmt.Sprintf("spec.sites[%d].block", i), s.Block.String(), "holds %d nodes a zone, and the spec wants %d at the site; want fewer", room, perSite[s.Name])
		}
	}
}

// field returns the table's field of a path with or without indices.
func field(path string) Field {
	f, _, _ := Explain(path)
	return f
}
