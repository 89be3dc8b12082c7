package gce

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// decode reads a request's JSON body into v, a pointer to one of the SDK's structs, as strictly as the API does: names it
// doesn't know and values of the wrong type are refused. It returns the names that were given at the top.
func decode(body []byte, v any) (map[string]bool, *apiError) {
	raw, err := decodeRaw(body, reflect.TypeOf(v).Elem())
	if err != nil {
		return nil, err
	}
	if err := fromMap(raw, v); err != nil {
		return nil, badJSON("Invalid JSON payload received. %v", err)
	}
	given := map[string]bool{}
	for k := range raw {
		given[k] = true
	}
	return given, nil
}

// decodeRaw reads and checks a body against the type t and returns it as a map in which numbers have the form that the
// SDK's structs expect.
func decodeRaw(body []byte, t reflect.Type) (map[string]any, *apiError) {
	if len(bytes.TrimSpace(body)) == 0 {
		return map[string]any{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var raw any
	if err := d.Decode(&raw); err != nil {
		return nil, badJSON("Invalid JSON payload received. %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, badJSON("Invalid JSON payload received. Unexpected data after the value.")
	}
	m, ok := raw.(map[string]any)
	if !ok {
		return nil, badJSON("Invalid JSON payload received. Root element must be a message.")
	}
	if err := checkStruct(t, m, "resource"); err != nil {
		return nil, err
	}
	return m, nil
}

func badJSON(format string, args ...any) *apiError {
	return &apiError{code: http.StatusBadRequest, reason: "invalid", status: "INVALID_ARGUMENT", message: fmt.Sprintf(format, args...)}
}

func badType(path, want string, v any) *apiError {
	text, _ := json.Marshal(v)
	return badJSON("Invalid value at '%s' (%s), %s", path, want, text)
}

type fieldInfo struct {
	typ    reflect.Type
	quoted bool // numbers that JSON carries as strings
}

var fieldCache sync.Map // reflect.Type → map[string]fieldInfo

func fieldsOf(t reflect.Type) map[string]fieldInfo {
	if f, ok := fieldCache.Load(t); ok {
		return f.(map[string]fieldInfo)
	}
	fields := map[string]fieldInfo{}
	for i := range t.NumField() {
		parts := strings.Split(t.Field(i).Tag.Get("json"), ",")
		if parts[0] != "" && parts[0] != "-" {
			fields[parts[0]] = fieldInfo{t.Field(i).Type, slices.Contains(parts[1:], "string")}
		}
	}
	fieldCache.Store(t, fields)
	return fields
}

func checkStruct(t reflect.Type, m map[string]any, path string) *apiError {
	fields := fieldsOf(t)
	for k, v := range m {
		f, ok := fields[k]
		if !ok {
			return badJSON("Invalid JSON payload received. Unknown name %q at '%s': Cannot find field.", k, path)
		}
		nv, err := checkValue(f.typ, f.quoted, v, path+"."+k)
		if err != nil {
			return err
		}
		if nv == nil {
			delete(m, k)
			continue
		}
		m[k] = nv
	}
	return nil
}

// checkValue checks one value and returns it in the form that the SDK's struct takes; null is taken as not given.
func checkValue(t reflect.Type, quoted bool, v any, path string) (any, *apiError) {
	if v == nil {
		return nil, nil
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		m, ok := v.(map[string]any)
		if !ok {
			return nil, badType(path, "TYPE_MESSAGE", v)
		}
		return m, checkStruct(t, m, path)
	case reflect.Slice:
		// Types with a name read themselves: raw JSON, and lists of numbers in quotes.
		if t.Name() != "" {
			return v, nil
		}
		list, ok := v.([]any)
		if !ok {
			list = []any{v} // a single value stands for a list of one, as in proto JSON
		}
		for i, item := range list {
			nv, err := checkValue(t.Elem(), false, item, fmt.Sprintf("%s[%d]", path, i))
			if err != nil {
				return nil, err
			}
			list[i] = nv
		}
		return list, nil
	case reflect.Map:
		m, ok := v.(map[string]any)
		if !ok {
			return nil, badType(path, "TYPE_MESSAGE", v)
		}
		for k, item := range m {
			nv, err := checkValue(t.Elem(), false, item, path+"."+k)
			if err != nil {
				return nil, err
			}
			m[k] = nv
		}
		return m, nil
	case reflect.String:
		if _, ok := v.(string); !ok {
			return nil, badType(path, "TYPE_STRING", v)
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			return nil, badType(path, "TYPE_BOOL", v)
		}
	case reflect.Int64, reflect.Uint64:
		return checkInt(t, quoted, v, path)
	case reflect.Float64:
		if _, ok := v.(json.Number); !ok {
			return nil, badType(path, "TYPE_DOUBLE", v)
		}
	}
	return v, nil
}

func checkInt(t reflect.Type, quoted bool, v any, path string) (any, *apiError) {
	text := fmt.Sprint(v)
	want, err := "TYPE_INT64", error(nil)
	if t.Kind() == reflect.Uint64 {
		want = "TYPE_UINT64"
		_, err = strconv.ParseUint(text, 10, 64)
	} else {
		_, err = strconv.ParseInt(text, 10, 64)
	}
	if _, isBool := v.(bool); err != nil || isBool {
		return nil, badType(path, want, v)
	}
	if quoted {
		return text, nil
	}
	return json.Number(text), nil
}

// toMap and fromMap go between the SDK's structs and plain maps.
func toMap(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	m := map[string]any{}
	return m, d.Decode(&m)
}

func fromMap(m map[string]any, v any) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// patch applies a body with the meaning of JSON Merge Patch (RFC 7386) to a copy of old, and returns the copy with the
// names that were given at the top.
func patch[T any](old *T, body []byte) (*T, map[string]bool, *apiError) {
	change, apiErr := decodeRaw(body, reflect.TypeFor[T]())
	if apiErr != nil {
		return nil, nil, apiErr
	}
	base, err := toMap(old)
	if err != nil {
		return nil, nil, badJSON("%v", err)
	}
	given := map[string]bool{}
	for k := range change {
		given[k] = true
	}
	merge(base, change)
	out := new(T)
	if err := fromMap(base, out); err != nil {
		return nil, nil, badJSON("%v", err)
	}
	return out, given, nil
}

func merge(base, change map[string]any) {
	for k, v := range change {
		sub, isMap := v.(map[string]any)
		old, wasMap := base[k].(map[string]any)
		switch {
		case v == nil:
			delete(base, k)
		case isMap && wasMap:
			merge(old, sub)
		default:
			base[k] = v
		}
	}
}

// clone copies a record deeply.
func clone[T any](v *T) *T {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("gce: copy of %T: %v", v, err))
	}
	out := new(T)
	if err := json.Unmarshal(text, out); err != nil {
		panic(fmt.Sprintf("gce: copy of %T: %v", v, err))
	}
	return out
}
