package query

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzForm decodes anything into a request of every kind of field: an error is one of EC2's with a code and a message that
// names no Go type; a request that is taken is taken again from its own parameters, the same, and every parameter was used.
func FuzzForm(f *testing.F) {
	f.Add("Count=1&Name.2=b&Name.10=c&Name.1=a&On=true&Max=7&Nested.Pair.1.Key=k&Nested.Pair.1.Value=x")
	f.Add("Count=1&Name=")
	f.Add("Count=1&Nested.Pair.3.Key=k&Nested.Pair.1.Key=j&Secret.1=a")
	f.Add("Count=-0&On=1&Max=%2B5")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		read := func() (sample, error) {
			var s sample
			tree, err := ParseForm(values, func(string) bool { return false })
			if err == nil {
				err = Decode(tree, &s)
			}
			return s, err
		}
		first, err := read()
		again, errAgain := read()
		if (err == nil) != (errAgain == nil) {
			t.Fatalf("%q: once %v, once %v", text, err, errAgain)
		}
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Code == "" || e.Message == "" || strings.ContainsAny(e.Code, " .:") {
				t.Fatalf("%q: not an error of the API: %#v", text, err)
			}
			return
		}
		if diff := cmp.Diff(first, again, cmp.AllowUnexported(sample{}, paged{})); diff != "" {
			t.Fatalf("%q is read in two ways: %s", text, diff)
		}
		if first.Count == nil {
			t.Fatalf("%q was taken without what is required", text)
		}
		for _, p := range first.Nested.Pairs {
			if p.Key == "" {
				t.Fatalf("%q was taken with a pair without its key", text)
			}
		}
		values.Set("Stranger", "1")
		if _, err := read(); err == nil {
			t.Fatalf("%q with a parameter that nothing knows was taken", text)
		}
	})
}
