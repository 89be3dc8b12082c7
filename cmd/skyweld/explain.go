package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/spec"
)

// exampleFile is a cluster file to begin with.
const exampleFile = `apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: demo}
spec:
  metro: us-east      # gives each site its region; without it the nearest are chosen
  sites:
    - {name: aws, account: my-aws}
    - {name: gcp, account: my-gcp}
  controlPlane: {replicas: 3, size: medium}
  workers:
    - {name: web, site: aws, size: small, count: 2}
    - {name: batch, site: gcp, size: small, count: 1, labels: {team: data}}
`

func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}

func explainCommand(s *settings) *cobra.Command {
	var recursive, example bool
	c := &cobra.Command{
		Use: "explain [FIELD]", Short: "Describe the fields of the cluster file", Args: args("[FIELD]"),
		Long: `Describe a field of the cluster file: its type, its default, what is allowed, whether it can change once the cluster exists, and an example. Without FIELD it shows the tree of all fields. A field that has others lists them; the size of machines shows what small, medium and large are at each cloud.

FIELD is a path like spec.workers.count, with or without indices, or the end of one that only one field has. It asks no engine.

A cluster file to begin with, as --example prints it:

` + indented(exampleFile),
		Example: "  skyweld explain --example > cluster.yaml\n  skyweld explain\n  skyweld explain spec.controlPlane.replicas\n  skyweld explain spec.controlPlane.size\n  skyweld explain spec.workers --recursive\n  skyweld explain maxRTT",
		ValidArgsFunction: func(_ *cobra.Command, before []string, _ string) (out []string, _ cobra.ShellCompDirective) {
			if len(before) == 0 {
				for _, f := range spec.Fields() {
					if at := plainPath(f.Path); !element(f) {
						out = append(out, at+"\t"+f.Doc)
					}
				}
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, a []string) error {
			out := c.OutOrStdout()
			e := explainer{out: out, paint: s.painter(out), wide: min(100, max(screenWidth(out), helpWidth))}
			if example {
				_, err := io.WriteString(out, exampleFile)
				return err
			}
			if len(a) == 0 {
				return e.all(recursive)
			}
			path, err := fieldPath(a[0])
			if err != nil {
				return err
			}
			return e.field(path, recursive)
		},
	}
	c.Flags().BoolVar(&example, "example", false, "print a cluster file to begin with, and nothing else")
	c.Flags().BoolVar(&recursive, "recursive", false, "also what is below the fields of FIELD; without FIELD, each field with all that is said of it")
	return c
}

// element says whether a field is one element of a list or map, which is explained with it.
func element(f spec.Field) bool {
	return strings.HasSuffix(f.Path, "]") || strings.HasSuffix(f.Path, "}")
}

var withoutIndices = strings.NewReplacer("[]", "", "{}", "")

func plainPath(path string) string { return withoutIndices.Replace(path) }

// fieldPath finds the field that a user means: by its path, or by the end of it.
func fieldPath(given string) (string, error) {
	given = strings.TrimPrefix(strings.Trim(given, "."), "cluster.")
	if f, _, ok := spec.Explain(given); ok {
		return plainPath(f.Path), nil
	}
	var ends []string
	for _, f := range spec.Fields() {
		if at := plainPath(f.Path); !element(f) && strings.HasSuffix(strings.ToLower(at), "."+strings.ToLower(given)) {
			ends = append(ends, at)
		}
	}
	if len(ends) == 1 {
		return ends[0], nil
	}
	if len(ends) > 1 {
		return "", usageError{fmt.Errorf("FIELD: found %q, which several fields end with: %s", given, strings.Join(ends, ", "))}
	}
	hint := ""
	if near := spec.Nearest(given); near != "" {
		hint = "; did you mean " + near + "?"
	}
	return "", usageError{fmt.Errorf("FIELD: found %q: the cluster file has no such field%s\n'skyweld explain' shows all there are", given, hint)}
}

// explainer writes what is known about fields.
type explainer struct {
	out   io.Writer
	paint painter
	wide  int
}

// all writes the tree of all fields, or everything about each.
func (e explainer) all(recursive bool) error {
	if !recursive {
		fmt.Fprintln(e.out, "The fields of a cluster file. * is required, ! can't change once the cluster\nexists. 'skyweld explain FIELD' says more about one.")
		fmt.Fprintln(e.out)
		return e.tree(spec.Fields(), 0)
	}
	for i, f := range spec.Fields() {
		if element(f) {
			continue
		}
		if i > 0 {
			fmt.Fprintln(e.out)
		}
		if err := e.facts(f); err != nil {
			return err
		}
	}
	return nil
}

// field writes what is known about one field, and which it has below it.
func (e explainer) field(path string, recursive bool) error {
	f, within, _ := spec.Explain(path)
	if err := e.facts(f); err != nil {
		return err
	}
	if strings.HasSuffix(path, ".size") {
		return e.sizes()
	}
	if len(within) == 0 {
		return nil
	}
	if recursive {
		within = nil
		for _, b := range spec.Fields() {
			if strings.HasPrefix(plainPath(b.Path), path+".") {
				within = append(within, b)
			}
		}
	}
	fmt.Fprintf(e.out, "\n%s\n", e.paint.paint(bold, "FIELDS:"))
	return e.tree(within, strings.Count(path, ".")+1)
}

// tree lists fields by their depth below one.
func (e explainer) tree(fields []spec.Field, depth int) error {
	var lines [][3]string
	wide := [2]int{}
	for _, f := range fields {
		if element(f) {
			continue
		}
		at := plainPath(f.Path)
		name := strings.Repeat("  ", strings.Count(at, ".")-depth+1) + e.paint.paint(bold, at[strings.LastIndexByte(at, '.')+1:])
		if f.Required {
			name += "*"
		}
		if f.Fixed != "" {
			name += "!"
		}
		l := [3]string{name, kindOf(f), f.Doc}
		wide[0], wide[1] = max(wide[0], width(l[0])), max(wide[1], width(l[1]))
		lines = append(lines, l)
	}
	indent := strings.Repeat(" ", wide[0]+wide[1]+2*len(gap))
	for _, l := range lines {
		text := strings.TrimLeft(wrap(l[2], e.wide, indent), " ")
		_, err := fmt.Fprintf(e.out, "%s%*s%s%*s%s\n", l[0], wide[0]-width(l[0])+len(gap), "", l[1], wide[1]-width(l[1])+len(gap), "", text)
		if err != nil {
			return err
		}
	}
	return nil
}

// kindOf is a field's type without its article.
func kindOf(f spec.Field) string {
	return strings.TrimPrefix(strings.TrimPrefix(f.Type, "an "), "a ")
}

// facts writes what is known about one field.
func (e explainer) facts(f spec.Field) error {
	line := func(head, text string) {
		const indent = "             "
		text = strings.TrimLeft(wrap(text, e.wide, indent), " ")
		fmt.Fprintf(e.out, "%s%s%s\n", e.paint.paint(bold, head+":"), indent[len(head)+1:], text)
	}
	line("FIELD", plainPath(f.Path))
	line("TYPE", kindOf(f))
	line("DESCRIPTION", f.Doc)
	switch {
	case f.Required:
		line("DEFAULT", "none: it is required")
	case f.Default != "":
		line("DEFAULT", f.Default)
	}
	if f.Allowed != "" {
		line("ALLOWED", f.Allowed)
	}
	if inner, ok := elementOf(f); ok && inner.Allowed != "" {
		line("EACH", inner.Allowed)
	}
	switch {
	case f.Fixed != "":
		line("CHANGE", "fixed once the cluster exists: "+f.Fixed)
	case f.Example != "":
		line("CHANGE", "at any time")
	}
	if f.Example != "" {
		at := plainPath(f.Path)
		line("EXAMPLE", at[strings.LastIndexByte(at, '.')+1:]+": "+f.Example)
	}
	return nil
}

// elementOf describes the elements of a list or map.
func elementOf(f spec.Field) (spec.Field, bool) {
	for _, inner := range spec.Fields() {
		if inner.Path == f.Path+"[]" || inner.Path == f.Path+"{}" {
			return inner, true
		}
	}
	return spec.Field{}, false
}
