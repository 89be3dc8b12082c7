// Package teardown reads docs/teardown.md, the one table of what is in the way of a deletion and what a creation needs, for
// the tests that hold the lab, the drivers, the in-memory cloud and the plans against it. It is for tests only; nothing
// that runs knows the table.
package teardown

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Path is the table's place in the module.
const Path = "docs/teardown.md"

// The clouds of the table, as its ids begin.
const (
	AWS          = "aws"
	GCP          = "gcp"
	Azure        = "azure"
	DigitalOcean = "digitalocean"
)

// Codes that are no error: what becomes of the other thing.
const (
	GoesAlong = "goes along"
	Stays     = "stays"
)

// Treatment is how the driver gets past a row.
type Treatment string

// The treatments, as the page explains them.
const (
	Order  Treatment = "order"
	Itself Treatment = "itself"
	Waits  Treatment = "waits"
	Relies Treatment = "relies"
	Leaves Treatment = "leaves"
	Never  Treatment = "never"
)

var treatments = []Treatment{Order, Itself, Waits, Relies, Leaves, Never}

// Row is one row of the table.
type Row struct {
	ID    string
	Cloud string
	// Creation says that the row is of the table of what a creation needs.
	Creation bool
	// Resource is the name of what is deleted or made, Call the API's method for it.
	Resource, Call string
	// Other is the name of what is in the way, or needed; When is the rest of that cell.
	Other, When string
	// Code is the error's code as the page has it, or GoesAlong or Stays.
	Code string
	// Sources are addresses.
	Sources []string
	Driver  Treatment
	// Why is what the page says about the treatment beyond its name.
	Why string
}

// Refused says that the call is refused, or fails.
func (r Row) Refused() bool { return r.Code != GoesAlong && r.Code != Stays }

// HTTP splits a code of Google's, Azure's or DigitalOcean's: the HTTP status, the reason, and whether it is the operation that
// fails. Azure's operations on single resources have no status of their own, and it is zero.
func (r Row) HTTP() (status int, reason string, operation bool) {
	text, operation := strings.CutPrefix(r.Code, "operation: ")
	number, reason, _ := strings.Cut(text, " ")
	status, err := strconv.Atoi(number)
	if err != nil {
		return 0, text, operation
	}
	return status, reason, operation
}

// Rows reads the table of the module that a test belongs to; what is wrong with it fails the test.
func Rows(t testing.TB) []Row {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, Path))
	if err != nil {
		t.Fatalf("read the table: %v", err)
	}
	rows, err := Parse(string(page))
	if err != nil {
		t.Fatalf("%s: %v", Path, err)
	}
	return rows
}

// Of picks a cloud's rows.
func Of(rows []Row, cloud string) []Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Cloud != cloud })
}

// Each runs a test for every row. A row without a test fails, and so does a test without a row.
func Each[F any](t *testing.T, rows []Row, tests map[string]F, run func(t *testing.T, row Row, test F)) {
	t.Helper()
	known := map[string]bool{}
	for _, r := range rows {
		known[r.ID] = true
		test, ok := tests[r.ID]
		if !ok {
			t.Errorf("%s: row %s has no test here", Path, r.ID)
			continue
		}
		t.Run(r.ID, func(t *testing.T) { run(t, r, test) })
	}
	for id := range tests {
		if !known[id] {
			t.Errorf("%s: there is a test for %s, and no such row", Path, id)
		}
	}
}

// moduleRoot is the folder above the working one that has a go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("find the module: no go.mod above the working folder")
		}
		dir = up
	}
}

var (
	definition = regexp.MustCompile(`(?m)^\[([^\]]+)\]: (\S+)$`)
	reference  = regexp.MustCompile(`\[([^\]]+)\]`)
	other      = regexp.MustCompile("^`([a-z][a-z0-9-]*)`\\s*(.*)$")
	id         = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)
	awsCode    = regexp.MustCompile(`^[A-Z][A-Za-z]+(\.[A-Za-z]+)?$`)
	gcpCode    = regexp.MustCompile(`^([45][0-9]{2} [a-z][A-Za-z]+|operation: [45][0-9]{2} [A-Z_]+)$`)
	azureCode  = regexp.MustCompile(`^([45][0-9]{2} [A-Z][A-Za-z]+|operation: ([45][0-9]{2} )?[A-Z][A-Za-z]+)$`)
	doCode     = regexp.MustCompile(`^[45][0-9]{2} [a-z]+(_[a-z]+)*$`)
)

// Parse reads the tables of a page.
func Parse(page string) ([]Row, error) {
	links := map[string]string{}
	for _, m := range definition.FindAllStringSubmatch(page, -1) {
		if _, twice := links[m[1]]; twice {
			return nil, fmt.Errorf("the source [%s] is given twice", m[1])
		}
		links[m[1]] = m[2]
	}
	p := parser{links: links, used: map[string]bool{}}
	for n, line := range strings.Split(page, "\n") {
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	for name := range links {
		if !p.used[name] {
			return nil, fmt.Errorf("no row names the source [%s]", name)
		}
	}
	if len(p.rows) == 0 {
		return nil, fmt.Errorf("there is no table")
	}
	return p.rows, nil
}

type parser struct {
	links map[string]string
	used  map[string]bool
	rows  []Row
	// table and cloud are of the headings above.
	table, cloud string
}

func (p *parser) line(line string) error {
	if h, ok := strings.CutPrefix(line, "## "); ok {
		p.table, p.cloud = h, ""
		return nil
	}
	if h, ok := strings.CutPrefix(line, "### "); ok {
		clouds := map[string]string{"AWS": AWS, "Google Cloud": GCP, "Azure": Azure, "DigitalOcean": DigitalOcean}
		if p.cloud = clouds[h]; p.cloud == "" {
			return fmt.Errorf("%q is no cloud of the table", h)
		}
		return nil
	}
	if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| id ") || strings.HasPrefix(line, "| --- ") {
		return nil
	}
	r, err := p.row(line)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(p.rows, func(o Row) bool { return o.ID == r.ID }) {
		return fmt.Errorf("row %s is there twice", r.ID)
	}
	p.rows = append(p.rows, r)
	return nil
}

func (p *parser) row(line string) (Row, error) {
	cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
	if len(cells) != 7 {
		return Row{}, fmt.Errorf("%d cells, want 7", len(cells))
	}
	for i := range cells {
		if cells[i] = strings.TrimSpace(cells[i]); cells[i] == "" {
			return Row{}, fmt.Errorf("row %s: cell %d is empty", cells[0], i+1)
		}
	}
	r := Row{ID: cells[0], Cloud: p.cloud, Creation: p.table == "Creation", Resource: cells[1], Call: cells[2], Code: cells[4]}
	if p.table != "Deletion" && p.table != "Creation" || p.cloud == "" {
		return r, fmt.Errorf("row %s stands under no table and cloud", r.ID)
	}
	m := other.FindStringSubmatch(cells[3])
	if m == nil {
		return r, fmt.Errorf("row %s: %q doesn't begin with a resource's name in backquotes", r.ID, cells[3])
	}
	r.Other, r.When = m[1], m[2]
	name, why, _ := strings.Cut(cells[6], ": ")
	r.Driver, r.Why = Treatment(name), why
	var err error
	if r.Sources, err = p.sources(cells[5]); err != nil {
		return r, fmt.Errorf("row %s: %w", r.ID, err)
	}
	return r, r.check()
}

func (p *parser) sources(cell string) ([]string, error) {
	var out []string
	for _, m := range reference.FindAllStringSubmatch(cell, -1) {
		link, ok := p.links[m[1]]
		if !ok {
			return nil, fmt.Errorf("the source [%s] has no address", m[1])
		}
		if !strings.HasPrefix(link, "https://") {
			return nil, fmt.Errorf("the source [%s] has no address on the web: %s", m[1], link)
		}
		p.used[m[1]] = true
		out = append(out, link)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%q names no source", cell)
	}
	return out, nil
}

func (r Row) check() error {
	code := map[string]*regexp.Regexp{AWS: awsCode, GCP: gcpCode, Azure: azureCode, DigitalOcean: doCode}[r.Cloud]
	switch {
	case !id.MatchString(r.ID) || !strings.HasPrefix(r.ID, r.Cloud+"-"):
		return fmt.Errorf("row %s: the id doesn't begin with %s-", r.ID, r.Cloud)
	case r.Creation != strings.HasPrefix(r.ID, r.Cloud+"-make-"):
		return fmt.Errorf("row %s: ids of creations, and only they, begin with %s-make-", r.ID, r.Cloud)
	case !slices.Contains(treatments, r.Driver):
		return fmt.Errorf("row %s: %q is none of the treatments %v", r.ID, r.Driver, treatments)
	case r.Driver == Never && r.Why == "":
		return fmt.Errorf("row %s: never needs its reason", r.ID)
	case r.Creation && !r.Refused():
		return fmt.Errorf("row %s: a creation is refused with a code", r.ID)
	case r.Refused() && !code.MatchString(r.Code):
		return fmt.Errorf("row %s: %q is no code of this cloud", r.ID, r.Code)
	}
	return nil
}
