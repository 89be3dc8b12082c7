package prism

import "testing"

func TestComplete(t *testing.T) {
	const text = "enum:\n  - sfo3\n  - syd1\nother: syd1\n"
	if got, want := string(complete([]byte(text))), "enum:\n  - sfo3\n  - syd1\n  - atl1\nother: syd1\n"; got != want {
		t.Errorf("completed to %q, want %q", got, want)
	}
}

func TestProblem(t *testing.T) {
	for answer, want := range map[string]string{
		`{"id": "not_found", "message": "no"}`: "",
		`no JSON`:                              "",
		`{"type": "https://x/prism/errors#A", "title": "T", "detail": "D"}`:                                                                                                  "T: D",
		`{"type": "https://x/prism/errors#A", "title": "T", "validation": [{"location": ["response", "body"], "message": "M"}, {"location": ["response"], "message": "N"}]}`: "T: [response body]: M; [response]: N",
	} {
		if got := Problem([]byte(answer)); got != want {
			t.Errorf("%s: %q, want %q", answer, got, want)
		}
	}
}

func TestViolation(t *testing.T) {
	const about = `[{"location": ["response"], "message": "R"}, {"location": ["request", "body"], "message": "Q"}]`
	const path = `{"type": "https://x/prism/errors#NO_PATH_MATCHED_ERROR", "title": "T"}`
	const own = `{"type": "https://x/prism/errors#VIOLATIONS", "title": "T"}`
	for _, c := range []struct{ header, answer, want string }{
		{"", "{}", ""}, {"", own, ""}, {"", path, "T"}, {about, "{}", "[request body]: Q"}, {about, path, "[request body]: Q; T"},
		{"broken", "{}", "prism's violations can't be read: broken"},
	} {
		if got := Violation(c.header, []byte(c.answer)); got != c.want {
			t.Errorf("%s, %s: %q, want %q", c.header, c.answer, got, c.want)
		}
	}
}

func TestShape(t *testing.T) {
	for path, want := range map[string]string{
		"/v2/droplets": "/droplets", "/v2/droplets/12/actions": "/droplets/{id}/actions", "/v2/tags/skyweld:cluster/resources": "/tags/{id}/resources",
	} {
		if got := Shape(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
