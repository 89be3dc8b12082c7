package arm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// decode reads a request's body. Azure refuses members that a type doesn't have; those that the lab's types don't have are
// refused in the same way, unless they are empty.
func decode[T any](body []byte) (*T, *apiError) {
	out := new(T)
	var raw map[string]any
	if err := json.Unmarshal(body, &raw); err != nil || raw == nil {
		return nil, refuse(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", reason(err))
	}
	if err := json.Unmarshal(body, out); err != nil {
		return nil, refuse(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", reason(err))
	}
	if at := unknown(raw, reflect.TypeFor[T](), ""); at != "" {
		e := refuse(http.StatusBadRequest, "InvalidRequestFormat", "Cannot parse the request.")
		name := at[strings.LastIndexByte(at, '.')+1:]
		e.details = []errorDetail{{Code: "InvalidJson", Message: fmt.Sprintf("Could not find member '%s' on object of type '%s'. Path '%s'.", name, reflect.TypeFor[T]().Name(), at)}}
		return nil, e
	}
	return out, nil
}

func reason(err error) string {
	if err == nil {
		return "a JSON object is required"
	}
	return err.Error()
}

// members returns the fields of a struct by their lower-cased JSON names.
func members(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			for n, inner := range members(f.Type) {
				out[n] = inner
			}
		case name != "" && name != "-":
			out[strings.ToLower(name)] = f.Type
		}
	}
	return out
}

// unknown returns the path of a member that a type doesn't have and that isn't empty; empty when there is none.
func unknown(v any, t reflect.Type, at string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := v.(type) {
	case []any:
		if t.Kind() == reflect.Slice {
			for i, item := range v {
				if found := unknown(item, t.Elem(), fmt.Sprintf("%s[%d]", at, i)); found != "" {
					return found
				}
			}
		}
	case map[string]any:
		if t.Kind() != reflect.Struct || t == reflect.TypeFor[ref]() {
			return ""
		}
		known := members(t)
		for _, name := range slices.Sorted(mapKeys(v)) {
			path := strings.TrimPrefix(at+"."+name, ".")
			inner, ok := known[strings.ToLower(name)]
			if !ok {
				if !hollow(v[name]) {
					return path
				}
				continue
			}
			if found := unknown(v[name], inner, path); found != "" {
				return found
			}
		}
	}
	return ""
}

func mapKeys(m map[string]any) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// hollow says that a value says nothing: it may be given for what the lab doesn't know.
func hollow(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == "" || v == "None" || v == "Disabled"
	case float64:
		return v == 0
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { return !hollow(item) })
	case map[string]any:
		for _, item := range v {
			if !hollow(item) {
				return false
			}
		}
		return true
	}
	return false
}
