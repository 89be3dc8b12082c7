package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/web/webtest"
)

// filled are the fields of the page's form to an address, as a browser sends them without any button.
func filled(a answer, action string) url.Values {
	out := url.Values{}
	each(a.page, func(form *html.Node) {
		if form.Data != "form" || attr(form, "action") != action || len(out) > 0 {
			return
		}
		each(form, func(n *html.Node) {
			name := attr(n, "name")
			switch {
			case name == "":
			case n.Data == "textarea":
				out.Add(name, rawText(n))
			case n.Data == "select":
				chosen, first := "", true
				each(n, func(o *html.Node) {
					if o.Data == "option" && (first || marked(o, "selected")) {
						chosen, first = attr(o, "value"), false
					}
				})
				out.Add(name, chosen)
			case n.Data == "input" && ((attr(n, "type") != "checkbox" && attr(n, "type") != "radio") || marked(n, "checked")):
				out.Add(name, attr(n, "value"))
			}
		})
	})
	return out
}

func rawText(n *html.Node) string {
	if n.FirstChild == nil {
		return ""
	}
	return n.FirstChild.Data
}

// element finds an element by its id.
func element(a answer, id string) *html.Node {
	var found *html.Node
	each(a.page, func(n *html.Node) {
		if attr(n, "id") == id {
			found = n
		}
	})
	return found
}

// press sends what the form has, with a button.
func press(b *browser, form url.Values, button string, pairs ...string) answer {
	b.t.Helper()
	a := b.post("/new", with(form, append([]string{"do", button}, pairs...)...))
	if a.page != nil {
		for _, what := range flaws(a) {
			b.t.Errorf("%s: %s", button, what)
		}
	}
	return a
}

// TestNewCluster goes the whole way: the form as it is, the review, and the cluster.
func TestNewCluster(t *testing.T) {
	s := fresh(t)
	b := as(t, s, auth.Operator)
	a := b.get("/new")
	if a.Code != http.StatusOK || len(flaws(a)) > 0 {
		t.Fatalf("%d %v", a.Code, flaws(a))
	}
	file := rawText(element(a, "made").FirstChild)
	if !strings.Contains(file, "metadata: {name: demo}") || strings.Count(file, "account: my-") != 4 {
		t.Errorf("it makes\n%s", file)
	}
	form := filled(a, "/new")
	a = press(b, form, "review", "metadata.name", "new-one")
	if a.Code != http.StatusOK {
		t.Fatalf("%d %s", a.Code, firstWords(a))
	}
	page := text(a.page)
	for _, want := range []string{"Review new-one", "10.64.0.0/16", "new-one-aws-cp-1", "10.216.1.0/24", "us-east4", "Cost a month", "What will be done", "The accounts would take it", "traffic: to the internet"} {
		if !strings.Contains(page, want) {
			t.Errorf("the review doesn't say %q", want)
		}
	}
	reviewed := filled(a, "/new")
	if back := press(b, reviewed, "edit"); back.Code != http.StatusOK || attr(input(back, "metadata.name"), "value") != "new-one" {
		t.Errorf("back from the review: %d", back.Code)
	}
	a = press(b, reviewed, "create")
	if a.Code != http.StatusSeeOther || !strings.HasPrefix(a.Header().Get("Location"), "/clusters/new-one?change=") {
		t.Fatalf("%d %s %s", a.Code, a.Header().Get("Location"), firstWords(a))
	}
	c, err := s.Store.GetCluster(t.Context(), "new-one")
	if err != nil || len(c.Spec.Spec.Sites) != 4 || c.Spec.Spec.Sites[0].Block.String() != "10.64.0.0/16" {
		t.Errorf("%v %+v", err, c.Spec)
	}
	if again := press(b, reviewed, "create"); again.Code != http.StatusSeeOther || again.Header().Get("Location") != a.Header().Get("Location") {
		t.Errorf("sent twice: %d %s", again.Code, firstWords(again))
	}
	for _, button := range []string{"review", "create"} {
		if a := press(b, reviewed, button, "once", "another"); a.Code != http.StatusConflict || !strings.Contains(wrongs(a, "metadata.name"), "already") {
			t.Errorf("%s with a name that is taken: %d %q", button, a.Code, wrongs(a, "metadata.name"))
		}
	}
	if a := b.get("/clusters/new-one"); a.Code != http.StatusOK {
		t.Errorf("its page: %d", a.Code)
	}
}

// TestNewClusterWrong: what is wrong stands beside the field, with everything that was entered.
func TestNewClusterWrong(t *testing.T) {
	s := fresh(t)
	b := as(t, s, auth.Operator)
	form := filled(b.get("/new"), "/new")
	tests := []struct {
		field, value, beside, says string
	}{
		{"metadata.name", "<script>alert(1)</script>", "", "want 2 to 50"},
		{"metadata.name", "", "", "missing"},
		{"metadata.name", strings.Repeat("x", 10_000), "", "want 2 to 50"},
		{"spec.metro", "atlantis", "", "no such metro"},
		{"spec.metro", "us-ohio", "", "no region there"},
		{"spec.sites[1].region", "mars-1", "", "no such region"},
		{"spec.sites[0].region", "eu-central-1", "spec.network.maxRTT", "round trip"},
		{"spec.controlPlane.replicas", "two", "", "want"},
		{"spec.controlPlane.type", "z9", "", ""},
		{"spec.network.pods", "10.64.0.0/12", "", ""},
		{"spec.access.ssh", "0.0.0.0/0", "", "never everybody"},
		{"spec.workers[2].count", "-1", "", "0 to 500"},
		{"spec.workers[2].labels", "a=b=c", "", "found"},
		{"spec.workers[0].site", "", "", "missing"},
		{"spec.sites[0].account", "nobody", "spec.sites", "no account has this name"},
	}
	for _, test := range tests {
		if test.beside == "" {
			test.beside = test.field
		}
		t.Run(test.field, func(t *testing.T) {
			a := press(b, form, "review", test.field, test.value)
			if a.Code != http.StatusUnprocessableEntity && test.says != "" || !strings.Contains(strings.ToLower(wrongs(a, test.beside)), test.says) {
				t.Errorf("%q: %d, beside %s: %q; %s", test.value, a.Code, test.beside, wrongs(a, test.beside), text(element(a, "main"))[:200])
			}
			if strings.Contains(a.Body.String(), "<script>alert") {
				t.Error("a script isn't escaped")
			}
			if got := filled(a, "/new").Get(test.field); a.Code == http.StatusUnprocessableEntity && got != test.value && test.field != "spec.controlPlane.replicas" {
				t.Errorf("%q became %q", test.value, got)
			}
		})
	}
	s.Clouds[cloud.AWS].SetTypes(map[string][]string{"us-east-1a": {"m6i.xlarge"}, "us-east-1b": {"m6i.xlarge"}, "us-east-1c": {"m6i.xlarge"}})
	if a := press(b, form, "review"); a.Code != http.StatusConflict || wrongs(a, "spec.workers[0].size") == "" {
		t.Errorf("a type that the region lacks: %d %q %s", a.Code, wrongs(a, "spec.workers[0].size"), firstWords(a))
	}
}

// TestNewClusterButtons: groups and sites come and go, also without the script.
func TestNewClusterButtons(t *testing.T) {
	b := as(t, fresh(t), auth.Operator)
	form := filled(b.get("/new"), "/new")
	a := press(b, form, "add-group", "spec.workers[1].count", "7")
	if got := filled(a, "/new"); got.Get("spec.workers[4].name") != "workers-aws-2" || got.Get("spec.workers[1].count") != "7" {
		t.Errorf("a group more: %v", got)
	}
	a = press(b, filled(a, "/new"), "remove-group:1")
	got := filled(a, "/new")
	if got.Has("spec.workers[1].name") || got.Get("spec.workers[4].name") != "workers-aws-2" || !strings.Contains(rawText(element(a, "made").FirstChild), "workers-aws-2, site: aws") {
		t.Errorf("a group less: %v", got)
	}
	a = press(b, got, "add-site", "add-site", "my-gcp")
	if got := filled(a, "/new"); got.Get("spec.sites[4].name") != "gcp-2" || got.Get("spec.sites[4].on") != "1" || got.Get("spec.workers[5].name") != "workers-gcp-2" {
		t.Errorf("a site more: %v", got)
	}
	for _, button := range []string{"remove-group:77", "remove-group", "add-site", "dance", "", "preview"} {
		if a := press(b, form, button); a.Code != http.StatusOK || len(filled(a, "/new")) < 20 {
			t.Errorf("%s: %d", button, a.Code)
		}
	}
	a = press(b, form, "take", "file", "apiVersion: skyweld.dev/v1alpha1\r\nkind: Cluster\r\nmetadata: {name: taken, uid: 0123456789abcdef}\r\nspec:\r\n  metro: london\r\n  sites: [{name: here, account: my-azure}]\r\n")
	if got := filled(a, "/new"); got.Get("metadata.name") != "taken" || got.Get("spec.metro") != "london" || got.Get("spec.sites[0].account") != "my-azure" || !got.Has("spec.sites[3].account") || !strings.Contains(text(a.page), "engine wrote into metadata") {
		t.Errorf("a file: %v", got)
	}
	const bad = "spec: {sites: 7, <b>: [}"
	a = press(b, form, "take", "file", bad)
	if got := filled(a, "/new"); wrongs(a, "file") == "" || got.Get("file") != bad || got.Get("metadata.name") != form.Get("metadata.name") {
		t.Errorf("a bad file: %q %q", wrongs(a, "file"), got.Get("file"))
	}
}

// TestNewClusterLive is what the script asks for: the page without what is around it.
func TestNewClusterLive(t *testing.T) {
	b := as(t, scene(t), auth.Operator)
	form := filled(b.get("/new"), "/new")
	form.Del("spec.sites[0].on")
	r := httptest.NewRequest(http.MethodPost, "/new", strings.NewReader(form.Encode()))
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Skyweld-Live", "1")
	a := b.send(r)
	if a.Code != http.StatusOK || strings.Contains(a.Body.String(), "<header") || strings.Contains(rawText(element(a, "made").FirstChild), "my-aws") || element(a, "create-fields") == nil {
		t.Errorf("%d %s", a.Code, a.Body.String())
	}
}

// TestNewClusterRights: who may make none sees no way to; without an account there is nothing to make one in; a session that
// ends in between costs nothing.
func TestNewClusterRights(t *testing.T) {
	s := scene(t)
	if a := as(t, s, auth.Viewer).get("/new"); a.Code != http.StatusForbidden {
		t.Errorf("a viewer: %d", a.Code)
	}
	if a := as(t, s, auth.Viewer).post("/new", url.Values{"do": {"create"}}); a.Code != http.StatusForbidden {
		t.Errorf("a viewer: %d", a.Code)
	}
	b := as(t, s, auth.Operator)
	form := filled(b.get("/new"), "/new")
	if form.Get("metadata.name") != "demo" {
		t.Errorf("the name is %q", form.Get("metadata.name"))
	}
	if a := press(b, form, "create", "csrf", "of another session", "metadata.name", "kept"); a.Code != http.StatusForbidden || filled(a, "/new").Get("metadata.name") != "kept" {
		t.Errorf("with the token of another session: %d", a.Code)
	}
	if a := press(b, form, "review", "metadata.name", webtest.Healthy); a.Code != http.StatusConflict || wrongs(a, "metadata.name") == "" {
		t.Errorf("a name that is taken: %d", a.Code)
	}
	cookies := b.cookies
	b.cookies = nil
	b.post("/new", with(form, "do", "create", "metadata.name", "kept", "spec.workers[1].count", "9"))
	b.cookies = append(b.cookies, cookies...)
	if got := filled(b.get("/new"), "/new"); got.Get("metadata.name") != "kept" || got.Get("spec.workers[1].count") != "9" {
		t.Errorf("after the session's end it has %v", got)
	}
	if _, err := s.Store.GetCluster(t.Context(), "kept"); err == nil {
		t.Error("the cluster was made")
	}
}

// marked says that an element has an attribute, with or without a value.
func marked(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}
