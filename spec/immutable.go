package spec

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Immutable says which fields of an existing cluster would change that can't, and what to do instead. Both clusters have
// gone through Default, the new one through Inherit before it.
func Immutable(old, c *Cluster) Errors {
	if old == nil {
		return nil
	}
	was, is := flatten(old), flatten(c)
	var errs Errors
	for _, v := range is {
		before, existed := find(was, v.key)
		if v.fixed != "" && existed && before.value != v.value {
			errs = append(errs, Error{Path: v.path, Value: v.value, Message: fmt.Sprintf("it is %s and cannot be changed: %s", before.value, v.fixed)})
		}
		if v.key == "metadata.generation" && existed && before.value != v.value {
			errs = append(errs, Error{Path: v.path, Value: v.value, Message: fmt.Sprintf("the cluster is at generation %s: it was changed meanwhile, or a change is queued; get it again when that is done, or leave the field out to overwrite", before.value)})
		}
	}
	for i, n := range old.Spec.ControlPlane.Sites {
		if i >= len(c.Spec.ControlPlane.Sites) {
			errs = append(errs, Error{Path: "spec.controlPlane.sites", Message: fmt.Sprintf("%s is missing; the list cannot be changed: %s", n, otherCluster)})
		}
	}
	if len(c.Spec.ControlPlane.Sites) > len(old.Spec.ControlPlane.Sites) {
		errs = append(errs, Error{Path: "spec.controlPlane.sites", Message: fmt.Sprintf("it is %q and cannot be changed: %s", old.Spec.ControlPlane.Sites, otherCluster)})
	}
	if old.Spec.Metro == "" && c.Spec.Metro != "" {
		errs = append(errs, Error{Path: "spec.metro", Value: strconv.Quote(c.Spec.Metro), Message: "the cluster was made without one and it cannot be changed: leave it out, and name the region of a new site"})
	}
	if !old.Measures() && c.Measures() {
		errs = append(errs, Error{Path: "spec.measure.for", Value: c.Spec.Measure.For.String(), Message: "the cluster was made without it and it cannot be changed: " + otherCluster})
	}
	for _, s := range old.Spec.Sites {
		if _, ok := c.Site(s.Name); !ok {
			errs = append(errs, Error{Path: "spec.sites", Message: fmt.Sprintf("site %s is missing, and sites cannot be removed: set the count of its workers to 0 and leave it in, or make another cluster without it", s.Name)})
		}
	}
	return errs
}

// leaf is one value: the key has the names of sites and groups where the path has their indices. fixed is the field's
// Fixed.
type leaf struct{ key, path, value, fixed string }

func find(leaves []leaf, key string) (leaf, bool) {
	for _, l := range leaves {
		if l.key == key {
			return l, true
		}
	}
	return leaf{}, false
}

// flatten lists a cluster's values in the order of the fields' table.
func flatten(c *Cluster) []leaf {
	data, err := json.Marshal(c.Clone())
	var value map[string]any
	if err == nil {
		err = json.Unmarshal(data, &value)
	}
	if err != nil {
		panic("spec: a cluster always goes through JSON: " + err.Error())
	}
	var leaves []leaf
	flattenInto(&leaves, schema, "", "", value)
	return leaves
}

func flattenInto(leaves *[]leaf, f *node, key, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		if f.kind == mapping {
			return // no map is fixed
		}
		for _, n := range f.names {
			if inner, ok := v[n]; ok {
				flattenInto(leaves, f.children[n], join(f, key, n), join(f, path, n), inner)
			}
		}
	case []any:
		for i, e := range v {
			index := strconv.Itoa(i)
			name := index
			if m, ok := e.(map[string]any); ok {
				if s, ok := m["name"].(string); ok {
					name = s
				}
			}
			flattenInto(leaves, f.element, key+"["+name+"]", path+"["+index+"]", e)
		}
	default:
		data, err := json.Marshal(v)
		if err != nil {
			panic("spec: a value always goes through JSON: " + err.Error())
		}
		*leaves = append(*leaves, leaf{key, path, string(data), f.Fixed})
	}
}
