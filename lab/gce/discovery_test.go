package gce

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/skyweld/skyweld/internal/discovery"
)

// judged holds every answer that a test gets against Google's discovery document, and with it every request that the lab
// took for right: what the lab accepts, the API must know.
func judged(t *testing.T, next http.RoundTripper) http.RoundTripper {
	t.Helper()
	doc, err := discovery.Load()
	if err != nil {
		t.Fatal(err)
	}
	judge := discovery.NewJudge(doc, false, func(call, problem string) { t.Errorf("%s: %s", call, problem) })
	return judge.Transport(next)
}

// TestTimes holds that times are in the API's own form: milliseconds, and the Pacific's offset.
func TestTimes(t *testing.T) {
	form := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}-0[78]:00$`)
	for _, text := range []string{stamp(), catalogTime, publicImages[0].item().CreationTimestamp} {
		if !form.MatchString(text) {
			t.Errorf("%q is no time in the API's form", text)
		}
	}
}

// notInDocument are what sure recordings have and the discovery document doesn't know, each with the reason.
var notInDocument = map[string]string{
	`Instance: unknown field "shieldedVmConfig"`:          "an old name that the API still shows",
	`Instance: unknown field "shieldedVmIntegrityPolicy"`: "an old name that the API still shows",
	`Disk: unknown field "locked"`:                        "of the beta version",
	`Disk: unknown field "multiWriter"`:                   "of the beta version",
	`Image: unknown field "rolloutOverride"`:              "of the beta version",
}

var hiddenNumber = regexp.MustCompile(`"(id|targetId|sourceImageId)": *"\$\{\w+\}"`)

// TestRecordingsAreValid holds the real API's own answers against the discovery document by the same look as the lab's: it
// must not want more than the real API gives.
func TestRecordingsAreValid(t *testing.T) {
	doc, err := discovery.Load()
	if err != nil {
		t.Fatal(err)
	}
	judged, seen := 0, map[string]bool{}
	for _, r := range readRecordings(t, "sure") {
		if r.elsewhere {
			continue
		}
		query, err := url.ParseQuery(r.query)
		if err != nil {
			t.Fatal(err)
		}
		answer := hiddenNumber.ReplaceAllString(r.raw, `"$1": "1"`)
		judged++
		for _, problem := range doc.Answer(&discovery.Call{Verb: r.method, Path: r.path, Query: query, Code: r.code, Answer: []byte(placeholder.ReplaceAllString(answer, "p"))}) {
			if notInDocument[problem] == "" {
				t.Errorf("%s: %s %s: %s", r.file, r.method, r.path, problem)
			}
			seen[problem] = true
		}
	}
	for problem := range notInDocument {
		if !seen[problem] {
			t.Errorf("no recording has %q: strike it off the list", problem)
		}
	}
	t.Logf("%d recorded answers, %d differences allowed", judged, len(notInDocument))
}
