package spec

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Parse reads a cluster file, in YAML or JSON. The error is an Errors with every problem that can be seen field by field;
// defaults and what fields have to do with each other are for Default and Validate.
func Parse(data []byte) (*Cluster, error) {
	c, errs := parse(data)
	if len(errs) > 0 {
		return nil, errs.sorted()
	}
	return c, nil
}

// Load reads the file of a new cluster, fills in defaults and validates it. The error is an Errors with every problem, each
// with its line.
func Load(data []byte) (*Cluster, error) { return LoadUpdate(nil, data) }

// LoadUpdate is Load for a file that changes an existing cluster: what the file leaves out and cannot change stays as it is
// in old, and what it would change that can't is among the errors.
func LoadUpdate(old *Cluster, data []byte) (*Cluster, error) {
	c, errs := Read(data)
	if c == nil {
		return nil, errs
	}
	if old != nil {
		Inherit(old, c)
	}
	Default(c)
	if errs = errs.With(Locate(data, append(Validate(c), Immutable(old, c)...))); len(errs) > 0 {
		return nil, errs
	}
	return c, nil
}

// Read is Parse for who has more to check: it returns what could be read of a file even where something is wrong with it,
// and no cluster when nothing could. With joins the errors with those that are found in it later.
func Read(data []byte) (*Cluster, Errors) {
	c, errs := parse(data)
	return c, errs.sorted()
}

// parse returns what could be read together with the errors; no cluster when nothing could.
func parse(data []byte) (*Cluster, Errors) {
	root, errs := document(data)
	if len(errs) > 0 {
		return nil, errs
	}
	w := walker{}
	value, ok := w.walk(schema, "", root)
	if w.more > 0 {
		w.errs = append(w.errs, Error{Message: fmt.Sprintf("and %d more", w.more)})
	}
	if !ok {
		return nil, w.errs
	}
	delete(value.(map[string]any), "status")
	encoded, err := json.Marshal(value)
	var c Cluster
	if err == nil {
		err = json.Unmarshal(encoded, &c)
	}
	if err != nil {
		return nil, append(w.errs, Error{Message: "cannot be read: " + err.Error()})
	}
	return &c, w.errs
}

// node is one field of the table with the fields in it.
type node struct {
	Field
	names    []string
	children map[string]*node
	element  *node
}

var schema = buildSchema()

func buildSchema() *node {
	root := &node{Field: Field{kind: object}, children: map[string]*node{}}
	all := map[string]*node{"": root}
	for _, f := range fields {
		n := &node{Field: f, children: map[string]*node{}}
		all[f.Path] = n
		if holder, is := strings.CutSuffix(strings.TrimSuffix(f.Path, "{}"), "[]"); is || strings.HasSuffix(f.Path, "{}") {
			all[holder].element = n
			continue
		}
		holder, name := "", f.Path
		if i := strings.LastIndexByte(f.Path, '.'); i >= 0 {
			holder, name = f.Path[:i], f.Path[i+1:]
		}
		all[holder].children[name] = n
		all[holder].names = append(all[holder].names, name)
	}
	return root
}

// maxErrors is how many problems of a file are told one by one: more help nobody.
const maxErrors = 100

// walker turns nodes of YAML into plain values by the table, and collects what is wrong.
type walker struct {
	errs Errors
	more int
}

func (w *walker) fail(path string, n *yaml.Node, value, format string, args ...any) {
	if len(w.errs) == maxErrors {
		w.more++
		return
	}
	w.errs = append(w.errs, Error{Path: path, Line: n.Line, Value: shorten(value), Message: fmt.Sprintf(format, args...)})
}

func (w *walker) walk(f *node, path string, n *yaml.Node) (any, bool) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		w.fail(path, n, "", "anchors and aliases are not read; write the value out")
		return nil, false
	}
	switch f.kind {
	case anything:
		return nil, true
	case object:
		return w.object(f, path, n)
	case mapping:
		return w.mapping(f, path, n)
	case list:
		return w.list(f, path, n)
	}
	return w.scalar(f, path, n)
}

func (w *walker) object(f *node, path string, n *yaml.Node) (any, bool) {
	out := map[string]any{}
	ok := w.pairs(f, path, n, func(key *yaml.Node, at string, value *yaml.Node) {
		child := f.children[key.Value]
		if child == nil {
			w.fail(at, key, "", "unknown field%s%s; known here: %s", suggestion(f, key.Value), stranger("; ", key.Value), strings.Join(f.names, ", "))
			return
		}
		if value.ShortTag() == "!!null" {
			return // as in Kubernetes, null is the same as left out
		}
		if v, ok := w.walk(child, at, value); ok {
			out[key.Value] = v
		}
	})
	return out, ok
}

func (w *walker) mapping(f *node, path string, n *yaml.Node) (any, bool) {
	out := map[string]any{}
	if most := limits[f.Path]; n.Kind == yaml.MappingNode && len(n.Content)/2 > most {
		w.fail(path, n, fmt.Sprintf("%d entries", len(n.Content)/2), "want at most %d", most)
		return nil, false
	}
	ok := w.pairs(f, path, n, func(key *yaml.Node, at string, value *yaml.Node) {
		if good, hint := labelKey(key.Value); !good {
			w.fail(at, key, strconv.Quote(key.Value), "%s%s", want(labelKeyAllowed, hint), stranger("; ", key.Value))
			return
		}
		if v, ok := w.walk(f.element, at, value); ok {
			out[key.Value] = v
		}
	})
	return out, ok
}

// pairs calls each for every key of a map that isn't there twice.
func (w *walker) pairs(f *node, path string, n *yaml.Node, each func(key *yaml.Node, at string, value *yaml.Node)) bool {
	if n.Kind != yaml.MappingNode && path == "" {
		w.fail(path, n, found(n), "want a cluster: "+clusterParts)
		return false
	}
	if n.Kind != yaml.MappingNode {
		wanted := "a map, like {team: data}"
		if f.kind == object {
			wanted = "an object with " + strings.Join(f.names, ", ")
		}
		w.fail(path, n, found(n), "want %s", wanted)
		return false
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			w.fail(path, key, found(key), "want a name before the ':'")
			continue
		}
		if key.ShortTag() == "!!merge" {
			w.fail(join(f, path, key.Value), key, "", "merge keys are not read; write the fields out")
			continue
		}
		at := join(f, path, key.Value)
		if line, twice := first[key.Value]; twice {
			w.fail(at, key, "", "given twice, first in line %d; want it once", line)
			continue
		}
		first[key.Value] = key.Line
		each(key, at, value)
	}
	return true
}

func join(f *node, path, key string) string {
	key = shorten(key)
	if f.kind == mapping {
		return path + "[" + key + "]"
	}
	if key == "" {
		key = `""`
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func (w *walker) list(f *node, path string, n *yaml.Node) (any, bool) {
	if n.Kind != yaml.SequenceNode {
		w.fail(path, n, found(n), "want a list")
		return nil, false
	}
	if most := limits[f.Path]; len(n.Content) > most {
		w.fail(path, n, fmt.Sprintf("%d elements", len(n.Content)), "want %s", f.Allowed)
		return nil, false // what is wrong with so many of them helps nobody
	}
	out := []any{}
	for i, e := range n.Content {
		v, ok := w.walk(f.element, fmt.Sprintf("%s[%d]", path, i), e)
		if !ok && f.element.kind == object {
			v = map[string]any{}
		} else if !ok && f.element.kind == integer {
			v = 0
		} else if !ok {
			v = ""
		}
		out = append(out, v) // a bad one too, so that the others keep their numbers
	}
	return out, true
}

func (w *walker) scalar(f *node, path string, n *yaml.Node) (any, bool) {
	tag := n.ShortTag()
	right := n.Kind == yaml.ScalarNode && tag == "!!str"
	switch f.kind {
	case integer:
		right = n.Kind == yaml.ScalarNode && tag == "!!int"
	case timestamp:
		right = right || tag == "!!timestamp"
	}
	if !right {
		hint := ""
		switch {
		case n.Style&yaml.TaggedStyle != 0:
			hint = ": leave out the tag " + shorten(n.Tag)
		case f.kind == text && n.Kind == yaml.ScalarNode && tag != "!!null":
			hint = ": put it in quotes if it is meant"
		case f.kind == integer && tag == "!!str" && isNumber(n.Value):
			hint = ": write it without quotes"
		}
		wanted := f.Allowed
		if f.kind == text || f.kind == integer {
			wanted = kindNames[f.kind] + " (" + f.Allowed + ")"
		}
		w.fail(path, n, found(n), "want %s%s%s", wanted, hint, stranger("; ", n.Value))
		return nil, false
	}
	ok, hint := f.check(n.Value)
	// Readers of YAML differ in what 010 is; one that is written in one way only is meant as it is read.
	if plain, err := strconv.ParseInt(n.Value, 0, 64); f.kind == integer && err == nil && strconv.FormatInt(plain, 10) != n.Value {
		ok, hint = false, "write it as a decimal number without leading zeros"
	}
	if !ok {
		value := n.Value
		if f.kind == text || value == "" {
			value = strconv.Quote(value)
		}
		w.fail(path, n, value, "%s%s", want(f.Allowed, hint), stranger("; ", n.Value))
		return nil, false
	}
	switch f.kind {
	case integer:
		v, err := strconv.ParseInt(n.Value, 10, 64)
		return v, err == nil
	case timestamp:
		v, err := time.Parse(time.RFC3339Nano, n.Value)
		return v.UTC(), err == nil
	}
	return n.Value, true
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

func want(allowed, hint string) string {
	if hint == "" {
		return "want " + allowed
	}
	return "want " + allowed + "; " + hint
}

// found says in words what a node is.
func found(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return "the truth value " + n.Value
	case "!!timestamp":
		return "the time " + n.Value
	}
	return strconv.Quote(n.Value)
}

// suggestion names the known field that was probably meant, here or elsewhere.
func suggestion(f *node, name string) string {
	if n := nearest(name, f.names); n != "" {
		return "; did you mean " + n + "?"
	}
	var elsewhere []string
	for _, g := range fields {
		if strings.HasSuffix(g.Path, "."+name) {
			elsewhere = append(elsewhere, g.Path)
		}
	}
	slices.Sort(elsewhere)
	if len(elsewhere) > 0 {
		return "; did you mean " + strings.Join(elsewhere, " or ") + "?"
	}
	return ""
}

// Locate fills in the lines of errors that have a path and no line, from the file they are about.
func Locate(data []byte, errs Errors) Errors {
	root, failed := document(data)
	if len(failed) > 0 {
		return errs
	}
	for i := range errs {
		if errs[i].Line == 0 && errs[i].Path != "" {
			errs[i].Line = lineOf(root, errs[i].Path)
		}
	}
	return errs.sorted()
}

var pathPart = regexp.MustCompile(`[^.\[\]]+|\[[^\]]*\]`)

// lineOf returns the line of the field at the path, or of the innermost field around it that is in the file.
func lineOf(n *yaml.Node, path string) int {
	line := n.Line
	for _, part := range pathPart.FindAllString(path, -1) {
		part = strings.Trim(part, "[]")
		next := (*yaml.Node)(nil)
		switch n.Kind {
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(n.Content) {
				next, line = n.Content[i], n.Content[i].Line
			}
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == part {
					next, line = n.Content[i+1], n.Content[i].Line
				}
			}
		}
		if next == nil {
			return line
		}
		n = next
	}
	return line
}
