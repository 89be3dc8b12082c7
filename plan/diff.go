package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"
)

// Difference is one top-level field of a spec that is not as wanted.
type Difference struct {
	Field string
	// Have and Want are short texts for people.
	Have, Want string
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
			out = append(out, Difference{Field: name, Have: short(h[name]), Want: short(w[name])})
		}
	}
	return out, nil
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
	if len(data) > 160 {
		return string(data[:157]) + "…"
	}
	return string(data)
}

func reasons(diffs []Difference) string {
	parts := make([]string, len(diffs))
	for i, d := range diffs {
		if d.Field == failedField {
			parts[i] = "it is given up: " + d.Have
			continue
		}
		parts[i] = fmt.Sprintf("%s differs: have %s, want %s", d.Field, d.Have, d.Want)
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
