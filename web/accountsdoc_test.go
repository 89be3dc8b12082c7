package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestAccountDocs: what the console takes out of the pages of docs/accounts is there, and says nothing that is true only
// beside a terminal.
func TestAccountDocs(t *testing.T) {
	docs := accountDocs()
	for _, id := range clouds {
		doc, ok := docs[id]
		if !ok {
			t.Fatalf("%s has no page", id)
		}
		onDisk, err := os.ReadFile(filepath.Join("..", "docs", "accounts", doc.file))
		if err != nil || string(onDisk) != doc.policy {
			t.Errorf("%s: the policy isn't the file's: %v", id, err)
		}
		if len(doc.intro()) == 0 || len(doc.section(docMissing)) == 0 || doc.blocks[0].kind != title {
			t.Errorf("%s: a part is missing", id)
		}
		steps := doc.steps()
		if len(steps) != 1 || len(steps[0].items) < 3 {
			t.Fatalf("%s: the steps are %v", id, steps)
		}
		var have, want strings.Builder
		for _, b := range doc.section(docSteps) {
			writeBlock(&want, b)
		}
		writeBlock(&have, steps[0])
		if !strings.Contains(want.String(), docAdding) || strings.Contains(have.String(), docAdding) {
			t.Errorf("%s: the step %q isn't left out, or there is none", id, docAdding)
		}
		for _, word := range []string{"repository", "docs/accounts", "--from-env", "```", "**"} {
			if strings.Contains(have.String(), word) {
				t.Errorf("%s: the steps say %q:\n%s", id, word, have.String())
			}
		}
		if !strings.Contains(doc.policy, "\n") || !strings.Contains(have.String()+plainText(doc.intro()[0].text), doc.file) && id != "digitalocean" {
			t.Errorf("%s: nothing says where %s goes", id, doc.file)
		}
		checkLinks(t, id, doc.blocks)
	}
}

func writeBlock(w *strings.Builder, b block) {
	w.WriteString(plainText(b.text) + b.code + "\n")
	for _, item := range b.items {
		for _, one := range item {
			writeBlock(w, one)
		}
	}
}

func checkLinks(t *testing.T, id string, list []block) {
	t.Helper()
	check := func(text []words) {
		for _, w := range text {
			if name, ok := strings.CutPrefix(w.href, "/account-help/"); ok && !slices.Contains(clouds, name) {
				t.Errorf("%s links to %s", id, w.href)
			}
			if name, ok := strings.CutPrefix(w.href, "/account-files/"); ok && name != policyFiles[id] {
				t.Errorf("%s links to %s", id, w.href)
			}
		}
	}
	for _, b := range list {
		check(b.text)
		for _, item := range b.items {
			checkLinks(t, id, item)
		}
		for _, row := range b.rows {
			for _, cell := range row {
				check(cell)
			}
		}
	}
}

// TestReadBlocks holds the reader of pages.
func TestReadBlocks(t *testing.T) {
	text := "# A *b*\n\nOne `two`\nthree.\n```\n$ x\n```\n- i\n  goes on\n\n  ```\n  y\n  ```\n- j\n\n| a | b |\n| --- | --- |\n| [c](aws.md) | **d** |\n\n## E\n1. f\n2. g, [h](https://h.example), [k](../k.md), [l](aws-policy.json)"
	b := readBlocks(strings.Split(text, "\n"))
	var kinds []blockKind
	for _, one := range b {
		kinds = append(kinds, one.kind)
	}
	if !slices.Equal(kinds, []blockKind{title, paragraph, terminal, bulleted, grid, heading, numbered}) {
		t.Fatal(kinds)
	}
	if got := b[1].text; len(got) != 3 || got[1] != (words{style: codeWords, text: "two"}) || got[2].text != " three." {
		t.Errorf("the paragraph is %+v", got)
	}
	if item := b[3].items[0]; len(b[3].items) != 2 || len(item) != 2 || item[1].code != "y" || plainText(item[0].text) != "i goes on" {
		t.Errorf("the list is %+v", b[3].items)
	}
	if rows := b[4].rows; len(rows) != 2 || rows[1][0][0].href != "/account-help/aws" || rows[1][1][0].style != strongWords {
		t.Errorf("the table is %+v", rows)
	}
	last := b[6].items[1][0].text
	if last[1].href != "https://h.example" || last[3].href != "" || last[5].href != "/account-files/aws-policy.json" {
		t.Errorf("the links are %+v", last)
	}
}

func FuzzReadBlocks(f *testing.F) {
	for _, id := range clouds {
		f.Add(docFile(id + ".md"))
	}
	f.Add("1. \n- \n|\n```")
	f.Fuzz(func(t *testing.T, text string) {
		for _, b := range readBlocks(strings.Split(text, "\n")) {
			writeBlock(&strings.Builder{}, b)
		}
	})
}

// TestFieldsOfDrivers: the form has a field for each setting and each secret that a cloud's driver documents, and no other.
func TestFieldsOfDrivers(t *testing.T) {
	for _, id := range clouds {
		var want []string
		files, err := filepath.Glob(filepath.Join("..", "cloud", id, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				if !ok || len(spec.Values) != 1 {
					return true
				}
				value, ok := spec.Values[0].(*ast.BasicLit)
				if !ok {
					return true
				}
				text, _ := strconv.Unquote(value.Value)
				switch constant := spec.Names[0].Name; {
				case strings.HasPrefix(constant, "Setting"):
					want = append(want, "settings."+text)
				case strings.HasPrefix(constant, "Secret"):
					want = append(want, "secrets."+text)
				}
				return true
			})
		}
		want = append(want, "settings.egress", "ca", "proxy")
		slices.Sort(want)
		want = slices.Compact(want)
		var have []string
		for _, f := range fieldsOfCloud(id) {
			have = append(have, f.name)
			if secret := strings.HasPrefix(f.name, "secrets."); secret != f.secret() || secret != (f.kind == secretLine || f.kind == secretLines) {
				t.Errorf("%s: %s is shown as if it were no secret, or the other way round", id, f.name)
			}
		}
		slices.Sort(have)
		if !slices.Equal(have, want) {
			t.Errorf("%s: the form has\n%v\nand the driver\n%v", id, have, want)
		}
	}
}
