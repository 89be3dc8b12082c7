package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "write docs/openapi.json anew")

const documentFile = "../docs/openapi.json"

// TestDocument holds docs/openapi.json against what the API says of itself: go test ./api -run TestDocument -update
func TestDocument(t *testing.T) {
	w := ask(newServer(t), http.MethodGet, "/openapi.json", fuzzToken, "")
	var got bytes.Buffer
	if err := json.Indent(&got, w.Body.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if *update {
		if err := os.WriteFile(documentFile, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(documentFile)
	if err != nil || !bytes.Equal(want, got.Bytes()) {
		t.Errorf("%s is not what the API says of itself: go test ./api -run TestDocument -update (%v)", documentFile, err)
	}
	var doc struct {
		OpenAPI string
		Tags    []struct{ Name string }
		Paths   map[string]map[string]struct {
			Summary, OperationID string
			Tags                 []string
			Responses            map[string]struct {
				Content map[string]any
			}
		}
	}
	if err := json.Unmarshal(got.Bytes(), &doc); err != nil || doc.OpenAPI[:4] != "3.1." {
		t.Fatalf("version %s, %v", doc.OpenAPI, err)
	}
	seen := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.Summary == "" || len(op.Tags) != 1 || !slices.ContainsFunc(doc.Tags, func(tag struct{ Name string }) bool { return tag.Name == op.Tags[0] }) || seen[op.OperationID] {
				t.Errorf("%s %s: %+v", method, path, op)
			}
			seen[op.OperationID] = true
			for status, r := range op.Responses {
				if _, ok := r.Content["application/problem+json"]; status >= "400" && !ok {
					t.Errorf("%s %s: %s has %v", method, path, status, r.Content)
				}
			}
			for _, must := range []string{"401", "403", "500"} {
				if _, ok := op.Responses[must]; !ok {
					t.Errorf("%s %s: %s is not told of", method, path, must)
				}
			}
		}
	}
}
