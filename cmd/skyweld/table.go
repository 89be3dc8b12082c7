package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table aligns the cells of lines in columns, and knows that colours take no room. Lines without tabs are written as they
// are, and end a block: every block has columns of its own.
type table struct {
	out io.Writer
	buf bytes.Buffer
	// cut is the width to which the last column is shortened, 0 for none; its text is broken into that many lines before.
	cut, lines int
	// keep lets later blocks have at least the widths of the ones before.
	keep   bool
	widths []int
}

// gap is what stands between two columns, as in kubectl's tables.
const gap = "   "

// Write collects lines until Flush.
func (t *table) Write(p []byte) (int, error) { return t.buf.Write(p) }

// Flush writes what was collected.
func (t *table) Flush() error {
	var out strings.Builder
	var block [][]string
	for line := range strings.Lines(t.buf.String()) {
		line = strings.TrimSuffix(line, "\n")
		if strings.Contains(line, "\t") {
			block = append(block, strings.Split(line, "\t"))
			continue
		}
		t.align(&out, block)
		block = nil
		out.WriteString(line + "\n")
	}
	t.align(&out, block)
	t.buf.Reset()
	_, err := io.WriteString(t.out, out.String())
	return err
}

func (t *table) align(out *strings.Builder, block [][]string) {
	if len(block) == 0 {
		return
	}
	if !t.keep {
		t.widths = nil
	}
	for _, cells := range block {
		for i, c := range cells {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], width(c))
		}
	}
	for _, cells := range block {
		var line strings.Builder
		used := 0
		for i, c := range cells {
			if i == len(cells)-1 {
				if room := max(t.cut-used, shortest); t.cut > 0 && i > 0 && width(c) > room {
					c = strings.Join(fold(c, room, max(t.lines, 1)), "\n"+strings.Repeat(" ", used))
				}
				line.WriteString(c)
				break
			}
			line.WriteString(c + strings.Repeat(" ", t.widths[i]-width(c)) + gap)
			used += t.widths[i] + len(gap)
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// shortest is what is left of a shortened cell at least.
const shortest = 20

func width(text string) int { return utf8.RuneCountInString(visible(text)) }

// row writes one line of a table. What is empty is shown as "-".
func row(w io.Writer, cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		text[i] = oneLine(fmt.Sprint(c))
		if text[i] == "" {
			text[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(text, "\t"))
}

var lineEnds = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\t", " ")

func oneLine(text string) string { return lineEnds.Replace(text) }

// firstLine is a text's first line, and "…" where there are more: a console's output is no cell of a table. A line that only
// announces a list takes the first of the list with it.
func firstLine(text string) string {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if strings.HasSuffix(strings.TrimSpace(first), ":") && strings.HasPrefix(rest, "  ") {
		var item string
		item, rest, _ = strings.Cut(rest, "\n")
		first += " " + strings.TrimSpace(item)
	}
	first = strings.TrimSpace(first)
	if strings.TrimSpace(rest) != "" {
		first += " …"
	}
	return oneLine(first)
}

// fold breaks a text between words into lines of a width, and shortens the last that there may be.
func fold(text string, width, most int) []string {
	text = strings.Join(strings.Fields(text), " ")
	var out []string
	for len(out) < most-1 && utf8.RuneCountInString(text) > width {
		first, _, _ := strings.Cut(wrap(text, width, ""), "\n")
		if utf8.RuneCountInString(first) > width { // a word that has no room
			break
		}
		out = append(out, first)
		text = strings.TrimLeft(strings.TrimPrefix(text, first), " ")
	}
	return append(out, truncate(text, width))
}

func truncate(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// column is one column of a list.
type column[T any] struct {
	head string
	cell func(T) string
	show shown
	// status: the cell is a word that gets a colour.
	status bool
	// least is how wide the column is at least in a list that is watched, whose later rows aren't known yet.
	least int
}

// shown says when a column is there.
type shown int

const (
	always shown = iota
	onlyWide
	ifAny     // when a row has something in it
	wideIfAny // both
	ifNarrow  // when not wide
)

// listing is how lists of one kind of thing are shown.
type listing[T any] struct {
	columns []column[T]
	// name is what -o name prints: "cluster/demo".
	name func(T) string
	// empty is said of a list with nothing in it, with what to do about it.
	empty string
	// text: the last column is free text, and is shortened to a terminal's width unless the table is wide.
	text bool
	// lines is over how many lines that text goes at most before it is shortened; 0 is one.
	lines int
	// newestFirst is the order of the list; watched, the newest come last.
	newestFirst bool
}

// show writes a list in the form asked for.
func show[T any](s *settings, out io.Writer, list []T, l listing[T]) error {
	switch s.output {
	case formJSON, formYAML:
		return s.print(out, items(list), nil)
	case formName:
		for _, v := range list {
			fmt.Fprintln(out, l.name(v))
		}
		return nil
	}
	if len(list) == 0 {
		fmt.Fprintln(s.aside(out), l.empty)
		return nil
	}
	t, columns := l.table(s, out, list)
	if !s.noHeaders {
		heads(t, columns)
	}
	l.rows(s, t, columns, list)
	return t.Flush()
}

// table prepares a table for a list.
func (l listing[T]) table(s *settings, out io.Writer, list []T) (*table, []column[T]) {
	wide := s.output == formWide
	t := &table{out: out}
	if l.text && !wide {
		t.cut, t.lines = screenWidth(out), l.lines
	}
	var columns []column[T]
	for _, c := range l.columns {
		any := false
		for _, v := range list {
			any = any || c.cell(v) != ""
		}
		if c.show == always || c.show == onlyWide && wide || c.show == ifAny && any || c.show == wideIfAny && wide && any || c.show == ifNarrow && !wide {
			columns = append(columns, c)
		}
	}
	return t, columns
}

func heads[T any](t *table, columns []column[T]) {
	var head []any
	for _, c := range columns {
		head = append(head, c.head)
	}
	row(t, head...)
}

func (l listing[T]) rows(s *settings, t *table, columns []column[T], list []T) {
	p := s.painter(t.out)
	for _, v := range list {
		var cells []any
		for _, c := range columns {
			text := c.cell(v)
			if c.status {
				text = p.status(text)
			}
			cells = append(cells, text)
		}
		row(t, cells...)
	}
}
