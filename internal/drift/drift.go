// Package drift is the table of docs/drift.md: what strangers change by hand in each kind of resource, what becomes of it,
// and what that costs. The table is written by the test run that makes the changes (TestDrift… of internal/conformance): a
// row is what was seen there, nothing of it is typed in. It is for tests only; nothing that runs knows the table.
//
// A cloud's rows come from its scenes, each a change by hand. Holes says what they leave out: every kind that the driver
// knows has a row for being deleted and for losing its mark, every machine one for being stopped, and every field of every
// spec in the blueprint one for being changed, lists one for each way a list can change. Hold compares a cloud's section of
// the page with what was seen, or writes it.
package drift

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/cloud"
)

// What may be done to a resource, for the column of that name.
const (
	Deleted  = "deleted"   // the whole resource
	MarkGone = "mark gone" // its owner mark
	Stopped  = "stopped"   // a machine
	Changed  = "changed"   // a field, or an element of a list
	Added    = "added"     // an element of a list
	Removed  = "removed"
)

// Outcome is what became of a change.
type Outcome string

// The outcomes, as the page's head explains them.
const (
	Updated  Outcome = "updated in place"
	Replaced Outcome = "replaced"
	Made     Outcome = "made again"
	Dropped  Outcome = "removed"
	Refused  Outcome = "can't be changed"
	Left     Outcome = "left alone"
)

// Row is one row of the table.
type Row struct {
	Kind cloud.Kind
	// Field is the JSON name of a field of the kind's spec ("ingress", "metadata.hopLimit"), empty for what is done to the
	// whole resource.
	Field  string
	Change string
	// Command is what a person types. Ids and names of the cluster's resources stand in it, and in Reason, as "<key>".
	Command string
	// Once is what has to be done before, in words ("all machines in it are stopped"); empty for nothing.
	Once    string
	Outcome Outcome
	// Reason is the plan's, of the refused the API's own answer, of what is left alone the reason for that.
	Reason string
	// Also are the plan's other steps.
	Also []string
	// Find and Mend count the calls to the cloud's API: until the plan stood, and for its steps.
	Find, Mend int
}

// what is the row's first cell.
func (r Row) what() string {
	if r.Field == "" {
		return r.Change
	}
	return "`" + r.Field + "` " + r.Change
}

// Holes says what the rows leave out of what a driver sets, by its kinds and the resources of a blueprint that has all that
// the driver lays out. Kinds that no blueprint has, what outlives another resource, need just any row.
func Holes(kinds []cloud.KindInfo, blueprint []cloud.Resource, rows []Row) []string {
	var out []string
	for _, k := range kinds {
		var specs []reflect.Value
		for _, r := range blueprint {
			if r.Kind == k.Kind {
				specs = append(specs, reflect.ValueOf(r.Spec).Elem())
			}
		}
		need := func(field string, changes ...string) {
			for _, change := range changes {
				if !slices.ContainsFunc(rows, func(r Row) bool { return r.Kind == k.Kind && r.Field == field && r.Change == change }) {
					out = append(out, strings.TrimSpace(fmt.Sprintf("%s: no row for %s %s", k.Kind, field, change)))
				}
			}
		}
		if len(specs) == 0 {
			if !slices.ContainsFunc(rows, func(r Row) bool { return r.Kind == k.Kind }) {
				out = append(out, fmt.Sprintf("%s: no row at all", k.Kind))
			}
			continue
		}
		need("", Deleted, MarkGone)
		if k.Machine {
			need("", Stopped)
		}
		fieldsOf(specs[0].Type(), "", specs, need)
	}
	return out
}

// fieldsOf asks for the rows of all fields of a struct, of which specs are the values.
func fieldsOf(t reflect.Type, prefix string, specs []reflect.Value, need func(string, ...string)) {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		var values []reflect.Value
		for _, s := range specs {
			values = append(values, s.Field(i))
		}
		used := slices.ContainsFunc(values, func(v reflect.Value) bool { return !v.IsZero() && (!isList(v.Type()) || v.Len() > 0) })
		switch ft := t.Field(i).Type; {
		case isList(ft) && used && ft.Elem().Kind() == reflect.Struct, ft.Kind() == reflect.Map && used:
			need(prefix+name, Added, Removed, Changed)
		case isList(ft) && used:
			need(prefix+name, Added, Removed)
		case isList(ft):
			need(prefix+name, Added)
		case ft.Kind() == reflect.Struct && !isText(ft):
			fieldsOf(ft, prefix+name+".", values, need)
		default:
			need(prefix+name, Changed)
		}
	}
}

func isList(t reflect.Type) bool { return t.Kind() == reflect.Slice || t.Kind() == reflect.Map }

func isText(t reflect.Type) bool { return t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) }
