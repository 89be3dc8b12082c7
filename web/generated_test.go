package web_test

import (
	"bytes"
	"go/format"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/a-h/templ/generator"
	"github.com/a-h/templ/parser/v2"
)

// TestGenerated holds the Go files beside the .templ files they are made of.
func TestGenerated(t *testing.T) {
	list, err := filepath.Glob("*.templ")
	if err != nil || len(list) == 0 {
		t.Fatal("there are no .templ files: ", err)
	}
	for _, name := range list {
		parsed, err := parser.Parse(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var b bytes.Buffer
		if _, err := generator.Generate(parsed, &b, generator.WithFileName(name)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want, err := format.Source(b.Bytes())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		have, err := os.ReadFile(strings.TrimSuffix(name, ".templ") + "_templ.go")
		if err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s was changed since its Go file was made (%v): go generate ./web", name, err)
		}
	}
}
