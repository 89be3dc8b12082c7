package spec

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// foreign are the words of libraries and of Go that no message for a person holds.
var foreign = []string{"yaml:", "json:", "unmarshal", "strconv.", "netip.", "time:", "parsing", "%!", "did not find", "cannot unmarshal"}

// checkErrors makes sure that every problem of a file is inside it, on one line, and in our words.
func checkErrors(t *testing.T, data []byte, errs Errors) {
	t.Helper()
	lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) + strings.Count(string(data), "\u0085") + strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029") + 1
	last := 0
	for _, e := range errs {
		text := e.Error()
		if e.Message == "" || e.Line < 0 || e.Line > lines {
			t.Fatalf("the file has %d lines, and a problem is %#v", lines, e)
		}
		if e.Line != 0 && e.Line < last {
			t.Fatalf("the problems are not in the order of the lines: %v", errs)
		}
		last = max(last, e.Line)
		if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("not on one line: %q", text)
		}
		// What was found is repeated, and may hold anything.
		words := strings.ReplaceAll(e.Message, e.Value, "")
		for _, f := range foreign {
			if strings.Contains(words, f) && !bytes.Contains(data, []byte(f)) {
				t.Fatalf("not in our words: %s", text)
			}
		}
	}
}

// FuzzUpdate applies one file after another to a cluster: the second is taken whole, or every problem of it is said; what
// is taken changes nothing that is fixed, and can be applied again as it is written.
func FuzzUpdate(f *testing.F) {
	f.Add([]byte(smallest), []byte(smallest))
	f.Add([]byte(example), []byte(strings.Replace(example, "count: 2", "count: 5", 1)))
	f.Add([]byte(example), []byte(strings.Replace(example, "metro: us-east", "metro: us-west", 1)))
	f.Add([]byte(example), []byte(strings.Replace(example, "replicas: 3", "replicas: 5", 1)))
	f.Add([]byte(example), []byte(smallest))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		old, err := Load(first)
		if err != nil {
			errs, ok := errors.AsType[Errors](err)
			if !ok || len(errs) == 0 {
				t.Fatalf("no problems, but an error: %v", err)
			}
			checkErrors(t, first, errs)
			return
		}
		before := asText(t, old)
		c, err := LoadUpdate(old, second)
		if asText(t, old) != before {
			t.Fatal("the cluster in force was changed by reading a file")
		}
		if err != nil {
			errs, ok := errors.AsType[Errors](err)
			if !ok || len(errs) == 0 || c != nil {
				t.Fatalf("error %#v with cluster %v", err, c)
			}
			checkErrors(t, second, errs)
			return
		}
		if c.Metadata.Name != old.Metadata.Name || c.Spec.ControlPlane.Replicas != old.Spec.ControlPlane.Replicas || c.Spec.Network.Pods != old.Spec.Network.Pods ||
			!slices.Equal(c.Spec.ControlPlane.Sites, old.Spec.ControlPlane.Sites) {
			t.Fatalf("what is fixed changed from\n%s\nto\n%s", before, asText(t, c))
		}
		for _, s := range old.Spec.Sites {
			if is, ok := c.Site(s.Name); !ok || is != s {
				t.Fatalf("site %+v became %+v", s, is)
			}
		}
		again, err := LoadUpdate(c, []byte(asText(t, c)))
		if err != nil || asText(t, again) != asText(t, c) {
			t.Fatalf("what was taken can't be applied again: %v\n%s", err, asText(t, c))
		}
	})
}
