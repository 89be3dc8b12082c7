package gce

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/api/compute/v1"
)

// FuzzBody decodes anything as the bodies of the resources that are made: an error is a 400 in the API's words; what is
// taken says the same when it is written and read again, and a patch with it changes only what it names.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"name":"x","description":"y"}`, `{"allowed":[{"IPProtocol":"tcp","ports":["22","80-90"]}],"priority":1000,"sourceRanges":["10.0.0.0/8"]}`,
		`{"ipCidrRange":"10.0.0.0/16","privateIpGoogleAccess":true,"network":"global/networks/x"}`, `{"labels":{"a":"b"},"labelFingerprint":"YQ=="}`,
		`{"disks":[{"boot":true,"initializeParams":{"diskSizeGb":"10"}}],"metadata":{"items":[{"key":"a","value":"b"}]},"canIpForward":true}`,
		`{"priority":"5"}`, `{"priority":5.5}`, `{"id":"18446744073709551615"}`, `{"x":null}`, `{"name":null}`, `{"sourceRanges":"10.0.0.0/8"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		checkBody[compute.Firewall](t, body)
		checkBody[compute.Subnetwork](t, body)
		checkBody[compute.Instance](t, body)
	})
}

func checkBody[T any](t *testing.T, body []byte) {
	v := new(T)
	given, apiErr := decode(body, v)
	if apiErr != nil {
		if apiErr.code != http.StatusBadRequest || apiErr.message == "" || strings.Contains(apiErr.message, "Go value") || strings.Contains(apiErr.message, "Go struct") {
			t.Fatalf("%q: %+v", body, apiErr)
		}
		return
	}
	written, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%q was taken and can't be written: %v", body, err)
	}
	again := new(T)
	if _, apiErr := decode(written, again); apiErr != nil {
		t.Fatalf("%q was taken, and what was written of it isn't: %s: %s", body, written, apiErr.message)
	}
	if twice, err := json.Marshal(again); err != nil || string(twice) != string(written) {
		t.Fatalf("%q became %s, and that %s: %v", body, written, twice, err)
	}
	// Patched onto nothing it says the same, and names the same fields.
	patched, named, apiErr := patch(new(T), body)
	if apiErr != nil {
		t.Fatalf("%q is a body and no patch: %s", body, apiErr.message)
	}
	if now, err := json.Marshal(patched); err != nil || string(now) != string(written) || !reflect.DeepEqual(named, given) {
		t.Fatalf("%q is %s, and as a patch of nothing %s: %v", body, written, now, err)
	}
}

// FuzzNot turns filters around: what a filter matches, its opposite doesn't.
func FuzzNot(f *testing.F) {
	for _, s := range []string{`name = x`, `(name eq ".*") (labels.a ne b)`, `a:* OR b >= 3`, `-a.b.c != "\""`, `NOT list:y`, `list = 1 AND labels.a = b`} {
		f.Add(s)
	}
	item := map[string]any{"name": "x", "labels": map[string]any{"a": "b"}, "list": []any{json.Number("1"), "y"}}
	f.Fuzz(func(t *testing.T, text string) {
		plain, err := parseFilter(text)
		if err != nil || strings.TrimSpace(text) == "" {
			return
		}
		turned, err := parseFilter("NOT (" + text + ")")
		if err != nil {
			return // one level too deep
		}
		links := []string{"http://x/", ""}
		if plain.match(item, links) == turned.match(item, links) {
			t.Fatalf("both %q and its opposite match, or neither", text)
		}
	})
}
