package botocore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// checkJSON returns what a body of the JSON protocol has that a shape doesn't allow; of a request, also what it lacks.
func (m *Model) checkJSON(body []byte, name string, request bool) []string {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return []string{"the body is no JSON: " + err.Error()}
	}
	return m.walkJSON(v, name, "", request)
}

func (m *Model) walkJSON(v any, name, path string, request bool) []string {
	s := m.Shapes[name]
	switch v := v.(type) {
	case nil:
		if request {
			return []string{path + ": is null"}
		}
		return nil
	case map[string]any:
		return m.walkObject(v, s, path, request)
	case []any:
		if s.Type != "list" {
			return []string{path + ": is a list, want a " + s.Type}
		}
		var all []string
		for i, item := range v {
			all = append(all, m.walkJSON(item, s.Member.Shape, fmt.Sprintf("%s[%d]", path, i), request)...)
		}
		return all
	}
	if complaint := checkScalar(v, name, s, request); complaint != "" {
		return []string{path + ": " + complaint}
	}
	return nil
}

func (m *Model) walkObject(v map[string]any, s shape, path string, request bool) []string {
	if s.Type != "structure" {
		return []string{path + ": is an object, want a " + s.Type}
	}
	var all []string
	for _, key := range slices.Sorted(maps.Keys(v)) {
		d, ok := s.Members[key]
		if !ok {
			all = append(all, path+"."+key+": unknown")
			continue
		}
		all = append(all, m.walkJSON(v[key], d.Shape, path+"."+key, request)...)
	}
	for _, key := range s.Required {
		if _, ok := v[key]; !ok && request {
			all = append(all, path+"."+key+": required, and missing")
		}
	}
	return all
}

// checkScalar returns what is wrong with a value that is neither an object nor a list.
func checkScalar(v any, name string, s shape, request bool) string {
	text, ok := "", false
	switch v := v.(type) {
	case string:
		text, ok = v, s.Type == "string" || s.Type == "blob"
	case bool:
		text, ok = fmt.Sprint(v), s.Type == "boolean"
	case json.Number:
		switch text = v.String(); s.Type {
		case "timestamp": // seconds since 1970
			return ""
		case "integer", "long", "float", "double":
			ok = true
		}
	}
	switch {
	case !ok:
		return fmt.Sprintf("%v is no %s", v, s.Type)
	case request:
		return checkValue(text, name, s)
	}
	return checkText(text, name, s)
}

// checkJSONError returns the code of a refusal of the JSON protocol, and what is wrong with its form. Not every refusal has
// a message.
func checkJSONError(body []byte) (code string, complaints []string) {
	var v struct {
		Type string `json:"__type"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return "", []string{"error: " + err.Error()}
	}
	if v.Type == "" {
		complaints = append(complaints, "error: has no __type")
	}
	return v.Type, complaints
}
