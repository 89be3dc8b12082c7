package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/skyweld/skyweld/auth"
)

// TestForms shows what is wrong with a form beside the field that it is about, with what was entered.
func TestForms(t *testing.T) {
	s := scene(t)
	b := as(t, s, auth.Admin)
	const evil = `"><script>alert(1)</script>`
	for _, c := range []struct {
		path   string
		form   url.Values
		status int
		want   []string
	}{
		{"/clusters/shop/nodes", url.Values{"group": {"web"}, "count": {"21"}}, 422, []string{`value="21"`, "whole number from 1 to 20", `id="count-wrong"`}},
		{"/clusters/shop/nodes", url.Values{"group": {"web"}, "count": {evil}}, 422, []string{"&lt;script&gt;"}},
		{"/clusters/shop/nodes", url.Values{"group": {"nobody"}, "count": {"1"}}, 422, []string{"nobody"}},
		{"/clusters/shop/pause", url.Values{"reason": {" "}}, 422, []string{`id="reason-wrong"`}},
		{"/clusters/shop/delete", url.Values{"confirm": {"shopp"}}, 422, []string{`value="shopp"`, `id="confirm-wrong"`}},
		{"/clusters/shop/file", url.Values{"cluster": {"kind: Nothing\n"}, "tag": {`"1"`}}, 422, []string{"kind: Nothing"}},
		{"/clusters/shop/file", url.Values{"cluster": {"metadata: {name: other}\n"}, "tag": {`"1"`}}, 422, []string{"the cluster of this page"}},
		{"/users", url.Values{"name": {evil}, "role": {"viewer"}, "password": {"secret-canary"}}, 422, []string{"&lt;script&gt;"}},
	} {
		a := b.post(c.path, c.form)
		if a.Code != c.status || len(flaws(a)) > 0 || strings.Contains(a.Body.String(), "<script>alert") || strings.Contains(a.Body.String(), "secret-canary") {
			t.Errorf("%s %v: %d %v", c.path, c.form, a.Code, flaws(a))
		}
		for _, w := range c.want {
			if !strings.Contains(a.Body.String(), w) {
				t.Errorf("%s %v: there is no %q in it: %s", c.path, c.form, w, firstWords(a))
			}
		}
	}
}

// TestStaleFile shows whoever edits a file what others have asked for meanwhile, and lets them go on.
func TestStaleFile(t *testing.T) {
	s := scene(t)
	b := as(t, s, auth.Operator)
	c, err := s.Store.GetCluster(t.Context(), "edge") // it is paused: what is asked of it waits
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Engine.AddNodes(t.Context(), c.Name, "web", 1, "grace"); err != nil {
		t.Fatal(err)
	}
	file := ""
	each(b.get("/clusters/edge/file").page, func(n *html.Node) {
		if n.Data == "textarea" {
			file = strings.Replace(n.FirstChild.Data, "failedMachines: keep", "failedMachines: replace", 1)
		}
	})
	a := b.post("/clusters/edge/file", url.Values{"cluster": {file}, "tag": {`"1"`}, "ask": {"apply"}})
	if a.Code != http.StatusPreconditionFailed || !strings.Contains(a.Body.String(), "grace") || !strings.Contains(a.Body.String(), "Apply mine all the same") || !strings.Contains(a.Body.String(), "failedMachines: replace") || len(flaws(a)) > 0 {
		said := ""
		each(a.page, func(n *html.Node) {
			if c := attr(n, "class"); strings.HasPrefix(c, "note") || c == "wrong" {
				said += text(n) + "; "
			}
		})
		t.Fatalf("%d %s %v", a.Code, said, flaws(a))
	}
}
