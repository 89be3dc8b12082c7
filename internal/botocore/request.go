package botocore

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parameter is one part of a dotted name, with its value, what is below it, or both in a request that is wrong.
type parameter struct {
	value *string
	below map[string]*parameter
}

// CheckRequest returns what a request has that the model doesn't allow: unknown and missing parameters, values of the
// wrong type, outside of their enumeration or range, lists that don't count from 1.
func (m *Model) CheckRequest(form url.Values) []string {
	action := form.Get("Action")
	op, ok := m.Operations[action]
	if !ok {
		return []string{fmt.Sprintf("the service has no action %q", action)}
	}
	var all []string
	root := &parameter{}
	for name, values := range form {
		if len(values) != 1 {
			all = append(all, fmt.Sprintf("%s: is there %d times", name, len(values)))
		}
		if name != "Action" && name != "Version" && len(values) > 0 {
			root.add(strings.Split(name, "."), values[0])
		}
	}
	all = append(all, m.checkParameter(root, op.Input.Shape, "")...)
	slices.Sort(all)
	return all
}

func (p *parameter) add(path []string, value string) {
	if len(path) == 0 {
		p.value = &value
		return
	}
	if p.below == nil {
		p.below = map[string]*parameter{}
	}
	if p.below[path[0]] == nil {
		p.below[path[0]] = &parameter{}
	}
	p.below[path[0]].add(path[1:], value)
}

func (m *Model) checkParameter(p *parameter, name, path string) []string {
	s := m.Shapes[name]
	switch s.Type {
	case "structure", "":
		return m.checkStructure(p, s, path)
	case "list":
		return m.checkList(p, s, path)
	}
	if len(p.below) > 0 {
		return []string{fmt.Sprintf("%s: has %s below it, and is a %s", path, anyKey(p.below), s.Type)}
	}
	if complaint := checkValue(*p.value, name, s); complaint != "" {
		return []string{path + ": " + complaint}
	}
	return nil
}

func (m *Model) checkStructure(p *parameter, s shape, path string) []string {
	var all []string
	if p.value != nil {
		all = append(all, path+": has a value, and is a structure")
	}
	shapes, required := map[string]string{}, map[string]bool{}
	for member, d := range s.Members {
		wire := m.wireName(member, d)
		shapes[wire] = d.Shape
		required[wire] = slices.Contains(s.Required, member)
	}
	join := func(name string) string { return strings.TrimPrefix(path+"."+name, ".") }
	for name, below := range p.below {
		if of, ok := shapes[name]; ok {
			all = append(all, m.checkParameter(below, of, join(name))...)
		} else {
			all = append(all, join(name)+": unknown parameter")
		}
	}
	for name := range shapes {
		if required[name] && p.below[name] == nil {
			all = append(all, join(name)+": required, and missing")
		}
	}
	return all
}

func (m *Model) checkList(p *parameter, s shape, path string) []string {
	if p.value != nil {
		return []string{path + ": has a value, and is a list"}
	}
	if m.Metadata.Protocol == protocolQuery && !s.Flattened {
		word := s.Member.LocationName
		if word == "" {
			word = "member"
		}
		if len(p.below) != 1 || p.below[word] == nil {
			return []string{fmt.Sprintf("%s: has %s below it, want %s.%s.N", path, anyKey(p.below), path, word)}
		}
		p, path = p.below[word], path+"."+word
	}
	var all []string
	for i := range len(p.below) {
		n := strconv.Itoa(i + 1)
		if p.below[n] == nil {
			return append(all, fmt.Sprintf("%s: has %d items and no %s.%s: lists count from 1, without a gap", path, len(p.below), path, n))
		}
		all = append(all, m.checkParameter(p.below[n], s.Member.Shape, path+"."+n)...)
	}
	if complaint := outside(float64(len(p.below)), s); complaint != "" {
		all = append(all, path+": number of items: "+complaint)
	}
	return all
}

func anyKey(below map[string]*parameter) string {
	return strings.Join(slices.Sorted(maps.Keys(below)), ", ")
}

// checkValue returns what is wrong with a value in a request.
func checkValue(text, name string, s shape) string {
	if complaint := checkText(text, name, s); complaint != "" {
		return complaint
	}
	switch s.Type {
	case "integer", "long", "float", "double":
		number, _ := strconv.ParseFloat(text, 64) // checked
		return outside(number, s)
	case "string":
		if complaint := outside(float64(len(text)), s); complaint != "" {
			return "length: " + complaint
		}
		if text == "" && len(s.Enum) > 0 {
			return "is empty, and an enumeration"
		}
	}
	return ""
}

// outside says that a number is out of a shape's range, "" when it isn't.
func outside(n float64, s shape) string {
	switch {
	case s.Min != nil && n < *s.Min:
		return fmt.Sprintf("%v is less than %v", n, *s.Min)
	case s.Max != nil && n > *s.Max:
		return fmt.Sprintf("%v is more than %v", n, *s.Max)
	}
	return ""
}

// checkText returns what is wrong with the text of a value, in a request or an answer. An empty text is a value of every
// enumeration: EC2 answers so here and there.
func checkText(text, name string, s shape) string {
	ok := true
	var err error
	switch s.Type {
	case "boolean":
		ok = text == "true" || text == "false"
	case "integer":
		_, err = strconv.ParseInt(text, 10, 32)
	case "long":
		_, err = strconv.ParseInt(text, 10, 64)
	case "float", "double":
		_, err = strconv.ParseFloat(text, 64)
	case "timestamp":
		_, err = time.Parse(time.RFC3339, text)
	case "blob":
		_, err = base64.StdEncoding.DecodeString(text)
	case "string":
		if len(s.Enum) > 0 && text != "" && !slices.Contains(s.Enum, text) && !allowed(name, text) {
			return fmt.Sprintf("%q is no value of %s", text, name)
		}
	default:
		return fmt.Sprintf("is a %s, which has no text", s.Type)
	}
	if !ok || err != nil {
		return fmt.Sprintf("%q is no %s", text, s.Type)
	}
	return ""
}

// allowed says whether a value outside of an enumeration is known to be fine.
func allowed(enum, text string) bool {
	open, ok := openEnums[enum]
	return ok && (open.values == nil || slices.Contains(open.values, text))
}
