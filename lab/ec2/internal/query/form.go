// Package query is the wire side of the EC2 query API: flattened parameters into structs, Signature Version 4, wildcards,
// and errors. It knows no action and no resource.
package query

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a request's form, so that a hostile one costs no more than a large honest one.
const (
	maxParameters = 20000
	maxDepth      = 10
)

// Node is one level of a flattened parameter name: "Filter.1.Name" is the path Filter, 1, Name.
type Node struct {
	value string
	set   bool // a value was given for exactly this name
	used  bool // a field took it
	kids  map[string]*Node
}

// ParseForm turns the flattened parameters of a query request into a tree. Parameters in skip are left out.
func ParseForm(values url.Values, skip func(string) bool) (*Node, error) {
	root := &Node{}
	if len(values) > maxParameters {
		return nil, Errorf("RequestEntityTooLarge", "The request has more than %d parameters", maxParameters)
	}
	for name, vs := range values {
		if skip(name) {
			continue
		}
		parts := strings.Split(name, ".")
		if len(parts) > maxDepth {
			return nil, Unknown(name)
		}
		if len(vs) != 1 {
			return nil, Errorf("InvalidParameterValue", "The parameter %s was given more than once", name)
		}
		n := root
		for _, p := range parts {
			if p == "" {
				return nil, Unknown(name)
			}
			if n.kids == nil {
				n.kids = map[string]*Node{}
			}
			if n.kids[p] == nil {
				n.kids[p] = &Node{}
			}
			n = n.kids[p]
		}
		n.value, n.set = vs[0], true
	}
	return root, nil
}

// Unknown says that nothing has a parameter of that name.
func Unknown(name string) error {
	return Errorf("UnknownParameter", "The parameter %s is not recognized", name)
}

// Decode fills a struct from a tree. A field's tag q names the parameter ("Filter"); ",required" makes its absence a
// MissingParameter error; ",unsupported" is for parameters that the real API has and the lab hasn't: giving one is an
// UnsupportedOperation. Lists are 1-based name.N. What no field takes is an UnknownParameter error.
func Decode(root *Node, into any) error {
	if err := decodeStruct(root, reflect.ValueOf(into).Elem(), ""); err != nil {
		return err
	}
	if name := root.leftover(""); name != "" {
		return Unknown(name)
	}
	return nil
}

// leftover returns the alphabetically first name that nothing used.
func (n *Node) leftover(path string) string {
	if n.set && !n.used {
		return path
	}
	first := ""
	for k, kid := range n.kids {
		name := kid.leftover(strings.TrimPrefix(path+"."+k, "."))
		if name != "" && (first == "" || name < first) {
			first = name
		}
	}
	return first
}

func decodeStruct(n *Node, v reflect.Value, path string) error {
	t := v.Type()
	for i := range t.NumField() {
		field := t.Field(i)
		if field.Anonymous {
			if err := decodeStruct(n, v.Field(i), path); err != nil {
				return err
			}
			continue
		}
		tag, ok := field.Tag.Lookup("q")
		if !ok {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		if option == "unsupported" {
			for _, each := range strings.Fields(name) {
				if n.kids[each] != nil {
					return Errorf("UnsupportedOperation", "The parameter %s is not supported here", join(path, each))
				}
			}
			continue
		}
		kid := n.kids[name]
		if kid == nil {
			if option == "required" {
				return Missing(join(path, name))
			}
			continue
		}
		if err := decodeValue(kid, v.Field(i), join(path, name)); err != nil {
			return err
		}
		if option == "required" && v.Field(i).IsZero() && v.Field(i).Kind() == reflect.String {
			return Missing(join(path, name))
		}
	}
	return nil
}

func join(path, name string) string { return strings.TrimPrefix(path+"."+name, ".") }

func decodeValue(n *Node, v reflect.Value, path string) error {
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		if err := decodeValue(n, p.Elem(), path); err != nil {
			return err
		}
		v.Set(p)
		return nil
	case reflect.Slice:
		return decodeList(n, v, path)
	case reflect.Struct:
		return decodeStruct(n, v, path)
	}
	if !n.set {
		return Unknown(path + "." + anyKid(n))
	}
	n.used = true
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.value)
	case reflect.Bool:
		b, err := strconv.ParseBool(n.value)
		if err != nil {
			return Errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. Expected: true or false", n.value, path)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(n.value, 10, 32)
		if err != nil {
			return Errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. Expected an integer", n.value, path)
		}
		v.SetInt(i)
	default:
		panic(fmt.Sprintf("request field %s has the kind %s", path, v.Kind()))
	}
	return nil
}

func decodeList(n *Node, v reflect.Value, path string) error {
	indexes := make([]int, 0, len(n.kids))
	for k := range n.kids {
		i, err := strconv.Atoi(k)
		if err != nil || i < 0 || strconv.Itoa(i) != k {
			return Unknown(path + "." + k)
		}
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	list := reflect.MakeSlice(v.Type(), len(indexes), len(indexes))
	for at, i := range indexes {
		k := strconv.Itoa(i)
		if err := decodeValue(n.kids[k], list.Index(at), path+"."+k); err != nil {
			return err
		}
	}
	v.Set(list)
	if n.set && n.value == "" {
		n.used = true // an empty list is sent as its bare name
	}
	return nil
}

func anyKid(n *Node) string {
	first := ""
	for k := range n.kids {
		if first == "" || k < first {
			first = k
		}
	}
	return first
}

// Take marks all at or below a name as used and returns the first value there, empty when there is nothing.
func (n *Node) Take(name string) string {
	kid := n.kids[name]
	if kid == nil {
		return ""
	}
	kid.take()
	return kid.first()
}

func (n *Node) take() {
	n.used = true
	for _, kid := range n.kids {
		kid.take()
	}
}

func (n *Node) first() string {
	if n.set {
		return n.value
	}
	return n.kids[anyKid(n)].first()
}
