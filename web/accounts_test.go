package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/web/webtest"
)

const hush = "hush-hush-0123456789"

var awsKeys = url.Values{"secrets.access-key-id": {"AKIA" + hush}, "secrets.secret-access-key": {hush}}

// with is a form with more in it.
func with(form url.Values, pairs ...string) url.Values {
	out := url.Values{}
	for name, values := range form {
		out[name] = values
	}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = []string{pairs[i+1]}
	}
	return out
}

// input finds a field by its name.
func input(a answer, name string) *html.Node {
	var found *html.Node
	each(a.page, func(n *html.Node) {
		if found == nil && attr(n, "name") == name {
			found = n
		}
	})
	return found
}

// wrongs are the problems that stand beside a field.
func wrongs(a answer, name string) string {
	words := ""
	each(a.page, func(n *html.Node) {
		if attr(n, "id") == name+"-wrong" {
			words = text(n)
		}
	})
	return words
}

// TestAddAccount goes the way of the form, with everything that can be wrong with it. No secret is ever in an answer.
func TestAddAccount(t *testing.T) {
	s := fresh(t)
	b := as(t, s, auth.Admin)
	send := func(cloud string, form url.Values) answer {
		t.Helper()
		a := b.post("/add-account/"+cloud, form)
		if strings.Contains(a.Body.String(), hush) {
			t.Errorf("%s: the answer has a secret in it", cloud)
		}
		if a.page != nil && a.Code != http.StatusSeeOther {
			for _, what := range flaws(a) {
				t.Errorf("%s: %s", cloud, what)
			}
		}
		return a
	}
	wrong := []struct {
		name, cloud string
		form        url.Values
		status      int
		field, says string
	}{
		{"no key", "aws", with(awsKeys, "name", "one", "secrets.secret-access-key", " "), 422, "secrets.secret-access-key", "needed"},
		{"a name that can't be", "aws", with(awsKeys, "name", "<script>alert(1)</script>"), 422, "name", "want 1 to"},
		{"too long a name", "aws", with(awsKeys, "name", strings.Repeat("x", 5000)), 422, "name", "want 1 to"},
		{"no name", "aws", with(awsKeys, "name", ""), 422, "name", "want 1 to"},
		{"a name that is taken", "aws", with(awsKeys, "name", "my-aws"), 409, "name", "exists already"},
		{"a bad proxy", "aws", with(awsKeys, "name", "one", "proxy", "gopher://x"), 422, "proxy", "want"},
		{"a bad egress", "aws", with(awsKeys, "name", "one", "settings.egress", "everywhere"), 422, "settings.egress", "everywhere"},
		{"no client", "azure", url.Values{"name": {"one"}, "settings.subscription": {"s"}, "settings.tenant": {"t"}, "secrets.client-secret": {hush}}, 422, "settings.client", "needed"},
	}
	for _, test := range wrong {
		t.Run(test.name, func(t *testing.T) {
			a := send(test.cloud, test.form)
			if a.Code != test.status || !strings.Contains(wrongs(a, test.field), test.says) {
				t.Fatalf("%d, beside %s: %q", a.Code, test.field, wrongs(a, test.field))
			}
			if name := test.form.Get("name"); attr(input(a, "name"), "value") != name {
				t.Errorf("the name became %q", attr(input(a, "name"), "value"))
			}
			if attr(input(a, "settings.egress"), "value") != test.form.Get("settings.egress") {
				t.Error("what was entered under Advanced is lost")
			}
		})
	}
	s.Clouds[cloud.AWS].Inject(cloudtest.Fault{Op: cloudtest.OpCheck, Class: cloud.Denied, Code: "AuthFailure", Message: "AWS was not able to validate the provided access credentials", Times: 1})
	if a := send("aws", with(awsKeys, "name", "one")); a.Code != http.StatusBadGateway || !strings.Contains(a.Body.String(), "not able to validate") {
		t.Errorf("refused credentials: %d %s", a.Code, firstWords(a))
	}
	lab := with(awsKeys, "name", "one", "settings.endpoint", "https://127.0.0.1:7000", "ca", "-----BEGIN CERTIFICATE-----\r\nx\r\n-----END CERTIFICATE-----", "proxy", "socks5://u:"+hush+"@127.0.0.1:1080", "settings.egress", "100.64.0.1")
	if a := send("aws", lab); a.Code != http.StatusSeeOther || a.Header().Get("Location") != "/accounts/one/check" {
		t.Fatalf("%d %s %s", a.Code, a.Header().Get("Location"), firstWords(a))
	}
	stored, err := s.Store.GetAccount(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	if stored.Provider != cloud.AWS || stored.Settings["endpoint"] != "https://127.0.0.1:7000" || stored.Settings["egress"] != "100.64.0.1" || stored.Proxy != "socks5://u:"+hush+"@127.0.0.1:1080" ||
		stored.CA != "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n" || stored.Secrets["secret-access-key"].Reveal() != hush || len(stored.Settings) != 2 || len(stored.Secrets) != 2 {
		t.Errorf("kept is %+v", stored)
	}
	for _, path := range []string{"/accounts", "/accounts/one", "/accounts/one/check", "/accounts/one/credentials", "/accounts/one/remove"} {
		a := b.get(path)
		if a.Code != http.StatusOK || strings.Contains(a.Body.String(), hush) {
			t.Errorf("%s: %d, or a secret is in it", path, a.Code)
		}
		for _, what := range flaws(a) {
			t.Errorf("%s: %s", path, what)
		}
	}
}

// TestUpdateAccount gives an account other credentials, and other settings with those it has.
func TestUpdateAccount(t *testing.T) {
	s := fresh(t)
	b := as(t, s, auth.Admin)
	const path = "/accounts/my-aws/credentials"
	if a := b.post(path, with(awsKeys, "credentials", "keep", "settings.egress", "198.51.100.7")); a.Code != 422 || wrongs(a, "credentials") == "" {
		t.Errorf("both: %d %s", a.Code, wrongs(a, "credentials"))
	}
	if a := b.post(path, url.Values{"credentials": {"replace"}}); a.Code != 422 || wrongs(a, "secrets.access-key-id") == "" {
		t.Errorf("none: %d", a.Code)
	}
	if a := b.post(path, url.Values{"credentials": {"keep"}}); a.Code != 422 || !strings.Contains(wrongs(a, "settings.egress"), "198.51.100.7") {
		t.Errorf("a setting taken away: %d %q", a.Code, wrongs(a, "settings.egress"))
	}
	if a := b.post(path, url.Values{"credentials": {"keep"}, "settings.egress": {"198.51.100.8"}}); a.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", a.Code, firstWords(a))
	}
	stored, err := s.Store.GetAccount(t.Context(), "my-aws")
	if err != nil || stored.Settings["egress"] != "198.51.100.8" || stored.Secrets["key"].Reveal() != "secret-of-aws" {
		t.Errorf("%v %+v", err, stored)
	}
	if a := b.post(path, with(awsKeys, "credentials", "replace", "settings.region", "eu-west-1")); a.Code != http.StatusSeeOther || a.Header().Get("Location") != "/accounts/my-aws/check" {
		t.Fatalf("%d %s", a.Code, firstWords(a))
	}
	stored, err = s.Store.GetAccount(t.Context(), "my-aws")
	if err != nil || stored.Secrets["secret-access-key"].Reveal() != hush || stored.Settings["region"] != "eu-west-1" || stored.Secrets["key"] != "" {
		t.Errorf("%v %+v", err, stored)
	}
}

// TestRemoveAccount forgets an account that nobody uses, and says who uses one.
func TestRemoveAccount(t *testing.T) {
	b := as(t, scene(t), auth.Admin)
	a := b.get("/accounts/my-aws/remove")
	button := false
	each(a.page, func(n *html.Node) { button = button || n.Data == "button" && strings.Contains(text(n), "Remove") })
	if a.Code != http.StatusOK || button || !strings.Contains(a.Body.String(), webtest.Healthy) {
		t.Errorf("%d, with a button: %v", a.Code, button)
	}
	if a := b.post("/accounts/my-aws/remove", url.Values{}); a.Code != http.StatusConflict || len(flaws(a)) > 0 {
		t.Errorf("of one in use: %d %v", a.Code, flaws(a))
	}
	b = as(t, fresh(t), auth.Admin)
	if a := b.post("/accounts/my-gcp/remove", url.Values{}); a.Code != http.StatusSeeOther {
		t.Errorf("%d %s", a.Code, firstWords(a))
	}
	if a := b.get("/accounts/my-gcp"); a.Code != http.StatusNotFound {
		t.Errorf("it is still there: %d", a.Code)
	}
}

// TestAccountRights: who may not add accounts sees no way to, and can't.
func TestAccountRights(t *testing.T) {
	s := scene(t)
	for _, role := range []auth.Role{auth.Viewer, auth.Operator} {
		b := as(t, s, role)
		for _, path := range []string{"/add-account", "/add-account/aws", "/accounts/my-aws/credentials", "/accounts/my-aws/remove"} {
			if a := b.get(path); a.Code != http.StatusForbidden || !strings.Contains(firstWords(a), "admin") {
				t.Errorf("%s as %s: %d %s", path, role, a.Code, firstWords(a))
			}
		}
		if a := b.post("/add-account/aws", with(awsKeys, "name", "one")); a.Code != http.StatusForbidden {
			t.Errorf("as %s: %d", role, a.Code)
		}
		if a := b.post("/accounts/my-aws/remove", url.Values{}); a.Code != http.StatusForbidden {
			t.Errorf("as %s: %d", role, a.Code)
		}
	}
	b := as(t, s, auth.Admin)
	for path, want := range map[string]int{"/add-account/hetzner": 404, "/account-help/x": 404, "/account-files/..%2faccounts.go": 404, "/account-files/aws-policy.json": 200, "/accounts/nobody": 404, "/accounts/nobody/check": 404, "/accounts/nobody/remove": 404} {
		if a := b.get(path); a.Code != want {
			t.Errorf("%s: %d", path, a.Code)
		}
	}
	if a := b.post("/add-account/aws", with(awsKeys, "name", "one", "csrf", "another")); a.Code != http.StatusForbidden || strings.Contains(a.Body.String(), hush) || attr(input(a, "name"), "value") != "one" {
		t.Errorf("with the token of another session: %d", a.Code)
	}
}

// TestCheckAccount shows what is missing, and what to do about it.
func TestCheckAccount(t *testing.T) {
	s := fresh(t)
	b := as(t, s, auth.Operator)
	if a := b.get("/accounts/my-azure/check"); a.Code != http.StatusOK || !strings.Contains(a.Body.String(), "tester@account-of-azure") || len(flaws(a)) > 0 {
		t.Errorf("%d %v", a.Code, flaws(a))
	}
	s.Clouds[cloud.Azure].Inject(cloudtest.Fault{Op: cloudtest.OpCheck, Class: cloud.Denied, Code: "AuthFailure", Message: "<b>no</b>", Times: 1})
	if a := b.get("/accounts/my-azure/check"); a.Code != http.StatusOK || !strings.Contains(a.Body.String(), "&lt;b&gt;no") || len(flaws(a)) > 0 {
		t.Errorf("a check that fails: %d %s %v", a.Code, firstWords(a), flaws(a))
	}
	if a := as(t, s, auth.Viewer).get("/accounts/my-azure/check"); a.Code != http.StatusForbidden {
		t.Errorf("as a viewer: %d", a.Code)
	}
}
