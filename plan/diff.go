package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"

	"github.com/skyweld/skyweld/cloud"
)

// Difference is one top-level field of a spec that is not as wanted.
type Difference struct {
	Field string
	// Have and Want are short texts for people. Of a list they have only the members that the other one lacks.
	Have, Want string
	// list: the field is one, and its members are what differs.
	list bool
}

// Diff compares two specs of one kind by their JSON form, field by field. A field that the wanted one leaves out is not
// compared.
func Diff(want, have any) ([]Difference, error) {
	w, err := fields(want)
	if err != nil {
		return nil, err
	}
	h, err := fields(have)
	if err != nil {
		return nil, err
	}
	var out []Difference
	for _, name := range sortedKeys(w) {
		if same := reflect.DeepEqual(w[name], h[name]) || empty(w[name]) && empty(h[name]); !same {
			out = append(out, difference(name, h[name], w[name]))
		}
	}
	return out, nil
}

func difference(field string, have, want any) Difference {
	h, isList := have.([]any)
	w, both := want.([]any)
	if !isList || !both {
		return Difference{Field: field, Have: short(have), Want: short(want)}
	}
	without := func(list, other []any) string {
		var texts []string
		for _, v := range list {
			if !slices.ContainsFunc(other, func(o any) bool { return reflect.DeepEqual(v, o) }) {
				texts = append(texts, member(v))
			}
		}
		return limited(strings.Join(texts, ", "))
	}
	return Difference{Field: field, Have: without(h, w), Want: without(w, h), list: true}
}

// member is a list's member in a few words: an object as "from 22, to 22, protocol tcp" in brackets.
func member(v any) string {
	object, ok := v.(map[string]any)
	if !ok {
		return short(v)
	}
	var parts []string
	for _, name := range sortedKeys(object) {
		if !empty(object[name]) {
			parts = append(parts, name+" "+short(object[name]))
		}
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

func fields(spec any) (map[string]any, error) {
	if spec == nil {
		return map[string]any{}, nil
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	out := map[string]any{}
	if err := dec.Decode(&out); err != nil {
		return nil, fmt.Errorf("a spec must be a JSON object: %w", err)
	}
	return out, nil
}

// empty holds for null and for a list or object with nothing in it: they mean the same.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func short(v any) string {
	if v == nil {
		return "nothing"
	}
	if s, ok := v.(string); ok && s != "" {
		return s
	}
	data, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return limited(string(data))
}

// limited is a text of at most 160 characters.
func limited(text string) string {
	if r := []rune(text); len(r) > 160 {
		return string(r[:159]) + "…"
	}
	return text
}

func reasons(diffs []Difference) string {
	parts := make([]string, len(diffs))
	for i, d := range diffs {
		switch {
		case d.Field == failedField:
			parts[i] = "it is given up: " + d.Have
		case d.Field == cloud.FieldMark:
			parts[i] = "somebody took its owner mark"
		case d.list && d.Have == "" && d.Want == "":
			parts[i] = d.Field + " differs in order or number"
		case d.list && d.Have == "":
			parts[i] = fmt.Sprintf("%s lacks %s", d.Field, d.Want)
		case d.list && d.Want == "":
			parts[i] = fmt.Sprintf("%s has %s too many", d.Field, d.Have)
		default:
			parts[i] = fmt.Sprintf("%s differs: have %s, want %s", d.Field, d.Have, d.Want)
		}
	}
	return strings.Join(parts, "; ")
}

// referenceTo finds the top-level fields of a spec that name a key, for when the resource under that key is replaced.
func referenceTo(spec any, key string) []Difference {
	f, err := fields(spec)
	if err != nil {
		return nil
	}
	var out []Difference
	for name, v := range f {
		if mentions(v, key) {
			out = append(out, Difference{Field: name, Have: "the old " + key, Want: "the new one"})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Field < out[j].Field })
	if len(out) == 0 {
		out = append(out, Difference{Field: "dependency", Have: "the old " + key, Want: "the new one"})
	}
	return out
}

func mentions(v any, key string) bool {
	switch v := v.(type) {
	case string:
		return v == key
	case []any:
		for _, x := range v {
			if mentions(x, key) {
				return true
			}
		}
	case map[string]any:
		for _, x := range v {
			if mentions(x, key) {
				return true
			}
		}
	}
	return false
}
