package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// form is how a command writes its answer.
type form string

// The forms.
const (
	formTable form = "table"
	formWide  form = "wide"
	formJSON  form = "json"
	formYAML  form = "yaml"
	formName  form = "name"
)

// formValue is a form as a flag, which is checked before anything is asked.
type formValue struct {
	form    *form
	allowed []string
}

func (f formValue) String() string {
	if f.form == nil { // pflag asks the zero value
		return ""
	}
	return string(*f.form)
}

func (f formValue) Type() string { return "FORM" }

func (f formValue) Set(text string) error {
	if !slices.Contains(f.allowed, text) {
		return errors.New("want " + orList(f.allowed))
	}
	*f.form = form(text)
	return nil
}

// outputFlag gives a command that reads one thing -o.
func outputFlag(c *cobra.Command, s *settings) {
	outputForms(c, s, "how the answer is written", formTable, formJSON, formYAML)
}

// listFlags gives a command that shows a list -o, with more forms, and --no-headers.
func listFlags(c *cobra.Command, s *settings) {
	outputForms(c, s, "how the list is written: wide has more columns, name only kinds and names", formTable, formWide, formJSON, formYAML, formName)
	c.Flags().BoolVar(&s.noHeaders, "no-headers", false, "leave out the first line of a table")
}

func outputForms(c *cobra.Command, s *settings, usage string, forms ...form) {
	s.output = formTable
	var allowed []string
	for _, f := range forms {
		allowed = append(allowed, string(f))
	}
	c.Flags().VarP(formValue{&s.output, allowed}, "output", "o", usage+": "+orList(allowed))
	complete(c, "output", fixed(allowed...))
}

func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// print writes a value in the form asked for; people writes it for people.
func (s *settings) print(w io.Writer, v any, people func(io.Writer)) error {
	switch s.output {
	case formTable:
		t := &table{out: w}
		people(t)
		return t.Flush()
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

// aside is where what is said in place of a list goes: not among the lines that a script counts.
func (s *settings) aside(out io.Writer) io.Writer {
	if s.noHeaders {
		return os.Stderr
	}
	return out
}

// items is how lists are written in JSON and YAML.
func items[T any](list []T) map[string]any {
	if list == nil {
		list = []T{}
	}
	return map[string]any{"items": list}
}

// age is how long ago something was, as kubectl writes it.
func age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(time.Since(t))
}

// span is a duration in one or two units, as kubectl writes ages.
func span(d time.Duration) string {
	d = max(d, 0)
	two := func(large, small time.Duration, units string) string {
		text := fmt.Sprintf("%d%c", d/large, units[0])
		if rest := d % large / small; rest > 0 {
			text += fmt.Sprintf("%d%c", rest, units[1])
		}
		return text
	}
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 10*time.Minute:
		return two(time.Minute, time.Second, "ms")
	case d < 3*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 8*time.Hour:
		return two(time.Hour, time.Minute, "hm")
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d < 8*24*time.Hour:
		return two(24*time.Hour, time.Hour, "dh")
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// took is how long something lasted, or has lasted when it isn't over.
func took(from, to time.Time) string {
	switch {
	case from.IsZero():
		return ""
	case to.IsZero():
		to = time.Now()
	}
	if d := to.Sub(from); d >= time.Minute {
		return span(d)
	}
	return fmt.Sprintf("%.1fs", to.Sub(from).Seconds())
}
