package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"sigs.k8s.io/yaml"
)

// form is how a command that reads writes its answer. As a flag's value it is checked before anything is asked.
type form string

// The forms.
const (
	formTable form = "table"
	formJSON  form = "json"
	formYAML  form = "yaml"
)

func (f *form) String() string { return string(*f) }
func (f *form) Type() string   { return "string" }

func (f *form) Set(text string) error {
	switch v := form(text); v {
	case formTable, formJSON, formYAML:
		*f = v
		return nil
	}
	return errors.New("want table, json or yaml")
}

// outputFlag gives a command that reads -o.
func outputFlag(c *cobra.Command, s *settings) {
	s.output = formTable
	c.Flags().VarP(&s.output, "output", "o", "output: table, json or yaml")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
}

// print writes a value in the form asked for; table writes it for people.
func (s *settings) print(w io.Writer, v any, table func(io.Writer)) error {
	switch s.output {
	case formTable:
		tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		table(tw)
		return tw.Flush()
	case formJSON:
		data, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(w, string(data))
		return err
	case formYAML:
		data, err := yaml.Marshal(v)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	}
	return fmt.Errorf("print as %q: there is no such form", s.output)
}

// items is how lists are written in JSON and YAML.
func items[T any](list []T) map[string]any {
	if list == nil {
		list = []T{}
	}
	return map[string]any{"items": list}
}

// row writes one line of a table.
func row(w io.Writer, cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		text[i] = fmt.Sprint(c)
		if text[i] == "" {
			text[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(text, "\t"))
}

// age is how long ago something was, as kubectl writes it.
func age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(time.Since(t))
}

func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
