package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/web/webtest"
)

var shared struct {
	once  sync.Once
	scene *webtest.Scene
	err   error
	end   func()
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.end != nil {
		shared.end()
	}
	os.Exit(code)
}

// scene is one with all clusters, for tests that only read.
func scene(t testing.TB) *webtest.Scene {
	t.Helper()
	shared.once.Do(func() { shared.scene, shared.end, shared.err = begin(true) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.scene
}

// begin makes a scene whose engine runs.
func begin(filled bool) (*webtest.Scene, func(), error) {
	dir, err := os.MkdirTemp("", "skyweld-web-")
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	s, err := webtest.New(ctx, webtest.Options{Dir: dir})
	if err != nil {
		cancel()
		return nil, nil, err
	}
	go func() { ran <- s.Engine.Run(ctx) }()
	end := func() {
		cancel()
		<-ran
		s.Store.Close()
		os.RemoveAll(dir)
	}
	if err = s.AddUsers(ctx); err == nil {
		err = s.AddAccounts(ctx)
	}
	if err == nil && filled {
		patient, stop := context.WithTimeout(ctx, 2*time.Minute)
		defer stop()
		err = s.Fill(patient, ctx.Done())
	}
	if err != nil {
		end()
	}
	return s, end, err
}

// fresh is a scene of a test's own, without clusters.
func fresh(t *testing.T) *webtest.Scene {
	t.Helper()
	s, end, err := begin(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	return s
}

// browser is somebody with the console.
type browser struct {
	t       testing.TB
	handler http.Handler
	cookies []*http.Cookie
	csrf    string
}

// as is somebody with a role, or nobody.
func as(t testing.TB, s *webtest.Scene, role auth.Role) *browser {
	t.Helper()
	b := &browser{t: t, handler: s.Handler()}
	if role != "" {
		cookie, csrf, err := s.SignIn(context.Background(), role)
		if err != nil {
			t.Fatal(err)
		}
		b.cookies, b.csrf = []*http.Cookie{cookie}, csrf
	}
	return b
}

// answer is a page that was got.
type answer struct {
	*httptest.ResponseRecorder
	page *html.Node
}

func (b *browser) send(r *http.Request) answer {
	b.t.Helper()
	a := b.raw(r)
	if strings.HasPrefix(a.Header().Get("Content-Type"), "text/html") {
		page, err := html.Parse(strings.NewReader(a.Body.String()))
		if err != nil {
			b.t.Fatalf("%s: %v", r.URL, err)
		}
		a.page = page
	}
	return a
}

// raw is send without reading what comes.
func (b *browser) raw(r *http.Request) answer {
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	r.Host = "127.0.0.1:8420"
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.cookies = slices.DeleteFunc(b.cookies, func(old *http.Cookie) bool { return old.Name == c.Name })
		if c.MaxAge >= 0 {
			b.cookies = append(b.cookies, c)
		}
	}
	return answer{ResponseRecorder: w}
}

func (b *browser) get(path string) answer {
	b.t.Helper()
	return b.send(httptest.NewRequest(http.MethodGet, path, nil))
}

// post sends a form, with the token of the session where it has none.
func (b *browser) post(path string, form url.Values) answer {
	b.t.Helper()
	if !form.Has("csrf") {
		form.Set("csrf", b.csrf)
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.send(r)
}

// each calls f with all elements of a page.
func each(n *html.Node, f func(*html.Node)) {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode {
			f(d)
		}
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// TestEveryPage goes wherever links lead, as everybody: each page is there, and well made.
func TestEveryPage(t *testing.T) {
	s := scene(t)
	for _, role := range auth.Roles {
		t.Run(string(role), func(t *testing.T) {
			b := as(t, s, role)
			seen, todo := map[string]bool{"/clusters": true}, []string{"/clusters"}
			for len(todo) > 0 {
				path := todo[0]
				todo = todo[1:]
				a := b.get(path)
				if a.Code == http.StatusSeeOther {
					a = b.get(a.Header().Get("Location"))
				}
				if a.Code != http.StatusOK {
					t.Errorf("%s: %d %s", path, a.Code, firstWords(a))
					continue
				}
				if a.page == nil {
					continue
				}
				for _, what := range flaws(a) {
					t.Errorf("%s: %s", path, what)
				}
				each(a.page, func(n *html.Node) {
					to, _, _ := strings.Cut(attr(n, "href"), "#")
					if n.Data != "a" || to == "" || !strings.HasPrefix(to, "/") || seen[to] {
						return
					}
					seen[to] = true
					todo = append(todo, to)
				})
			}
			t.Logf("%d pages", len(seen))
		})
	}
}

func firstWords(a answer) string {
	if a.page == nil {
		return a.Body.String()
	}
	words := ""
	each(a.page, func(n *html.Node) {
		if n.Data == "h1" || n.Data == "p" && attr(n, "class") == "lead" {
			words += text(n) + ": "
		}
	})
	return words
}

// flaws are what is wrong with a page, whatever it shows.
func flaws(a answer) []string {
	var out []string
	wrong := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	ids := map[string]int{}
	each(a.page, func(n *html.Node) {
		if id := attr(n, "id"); id != "" {
			ids[id]++
		}
	})
	for id, n := range ids {
		if n > 1 {
			wrong("%d elements have the id %s", n, id)
		}
	}
	labelled := map[string]bool{}
	headings, mains := 0, 0
	each(a.page, func(n *html.Node) {
		switch n.Data {
		case "label":
			labelled[attr(n, "for")] = true
		case "h1":
			headings++
		case "main":
			mains++
		}
	})
	if headings != 1 || mains != 1 {
		wrong("it has %d h1 and %d main", headings, mains)
	}
	each(a.page, func(n *html.Node) {
		for _, at := range n.Attr {
			switch {
			case at.Key == "style", strings.HasPrefix(at.Key, "on"):
				wrong("<%s %s=%q>: the policy forbids it", n.Data, at.Key, at.Val)
			case at.Key == "aria-labelledby", at.Key == "aria-describedby", at.Key == "aria-controls", at.Key == "for":
				for id := range strings.FieldsSeq(at.Val) {
					if ids[id] == 0 {
						wrong("<%s %s=%q>: there is no such element", n.Data, at.Key, at.Val)
					}
				}
			case (at.Key == "href" || at.Key == "src" || at.Key == "action") && !strings.HasPrefix(at.Val, "/") && !strings.HasPrefix(at.Val, "#") && !strings.HasPrefix(at.Val, "https://"):
				wrong("<%s %s=%q> leads nowhere", n.Data, at.Key, at.Val)
			case at.Key == "data-part" && attr(n, "id") == "":
				wrong("<%s data-part> has no id", n.Data)
			}
		}
		switch n.Data {
		case "script":
			if text(n) != "" || attr(n, "src") == "" {
				wrong("an inline script: %s", text(n))
			}
		case "style":
			wrong("an inline style")
		case "input", "select", "textarea":
			if attr(n, "type") == "hidden" {
				return
			}
			inLabel := false
			for p := n.Parent; p != nil; p = p.Parent {
				inLabel = inLabel || p.Data == "label"
			}
			if !inLabel && !labelled[attr(n, "id")] && attr(n, "aria-label") == "" {
				wrong("<%s name=%q> has no label", n.Data, attr(n, "name"))
			}
		case "form":
			if attr(n, "method") != "post" || attr(n, "action") == "/theme" || attr(n, "action") == auth.LoginPath {
				return
			}
			token := false
			each(n, func(f *html.Node) { token = token || attr(f, "name") == "csrf" && attr(f, "value") != "" })
			if !token {
				wrong("the form to %s has no token", attr(n, "action"))
			}
		case "table":
			caption := false
			each(n, func(c *html.Node) {
				caption = caption || c.Data == "caption"
				if c.Data == "th" && attr(c, "scope") == "" {
					wrong("a heading without a scope: %s", text(c))
				}
			})
			if !caption {
				wrong("a table without a caption")
			}
		case "button":
			if text(n) == "" && attr(n, "aria-label") == "" {
				wrong("a button without words")
			}
		case "a":
			if text(n) == "" && attr(n, "aria-label") == "" {
				wrong("a link without words to %s", attr(n, "href"))
			}
		case "svg":
			if attr(n, "aria-hidden") == "" && attr(n, "aria-labelledby") == "" {
				wrong("a picture without a title")
			}
		}
	})
	return out
}

// TestHeaders holds what every page is sent with.
func TestHeaders(t *testing.T) {
	s := scene(t)
	for _, path := range []string{"/clusters", "/nowhere", auth.FormPath, "/clusters/nobody"} {
		a := as(t, s, auth.Viewer).get(path)
		policy := a.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: the policy is %q", path, policy)
		}
		if a.Header().Get("Cache-Control") != "no-store" || a.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, a.Header())
		}
	}
}

// TestSignIn leads whoever isn't signed in to the page for it and back again.
func TestSignIn(t *testing.T) {
	s := scene(t)
	b := as(t, s, "")
	a := b.get("/clusters/shop?x=1")
	if a.Code != http.StatusSeeOther || a.Header().Get("Location") != auth.LoginURL("/clusters/shop?x=1") {
		t.Fatalf("%d %s", a.Code, a.Header().Get("Location"))
	}
	if a = b.get(a.Header().Get("Location")); a.Code != http.StatusOK || len(flaws(a)) > 0 {
		t.Fatalf("%d %v", a.Code, flaws(a))
	}
	a = b.post(auth.LoginPath, url.Values{"name": {"viewer"}, "password": {"wrong"}, auth.NextField: {"/clusters/shop"}})
	if a = b.get(a.Header().Get("Location")); a.Code != http.StatusUnauthorized || len(flaws(a)) > 0 || !strings.Contains(a.Body.String(), "The name or the password is wrong.") || !strings.Contains(a.Body.String(), `value="viewer"`) {
		t.Errorf("%d %s %v", a.Code, firstWords(a), flaws(a))
	}
	a = b.post(auth.LoginPath, url.Values{"name": {"viewer"}, "password": {webtest.Password}, auth.NextField: {"/clusters/shop"}})
	if a.Code != http.StatusSeeOther || a.Header().Get("Location") != "/clusters/shop" {
		t.Fatalf("%d %s", a.Code, a.Header().Get("Location"))
	}
	if a = b.get("/clusters/shop"); a.Code != http.StatusOK {
		t.Errorf("signed in: %d", a.Code)
	}
	if a = b.post(auth.LogoutPath, url.Values{}); a.Code != http.StatusSeeOther || b.get("/clusters/shop").Code != http.StatusSeeOther {
		t.Errorf("signing out: %d", a.Code)
	}
}

// TestKeptForm sends a form whose session is over: after signing in it is shown again with what was entered, and nothing of
// it was done before.
func TestKeptForm(t *testing.T) {
	s := scene(t)
	b := as(t, s, "")
	a := b.post("/clusters/shop/pause", url.Values{"reason": {"moving <b>house</b>"}, "secret.key": {"canary-secret"}})
	if a.Code != http.StatusSeeOther || !strings.HasPrefix(a.Header().Get("Location"), auth.FormPath+"?") {
		t.Fatalf("%d %s", a.Code, a.Header().Get("Location"))
	}
	a = b.get(a.Header().Get("Location"))
	if len(flaws(a)) > 0 || !strings.Contains(a.Body.String(), "Nothing of your form was done yet") || strings.Contains(a.Body.String(), "canary") {
		t.Fatalf("%v %s", flaws(a), a.Body)
	}
	a = b.post(auth.LoginPath, url.Values{"name": {"operator"}, "password": {webtest.Password}, auth.NextField: {"/clusters/shop/pause"}})
	a = b.get(a.Header().Get("Location"))
	if a.Code != http.StatusOK || !strings.Contains(a.Body.String(), `value="moving &lt;b&gt;house&lt;/b&gt;"`) || !strings.Contains(a.Body.String(), "What you entered is still here") || strings.Contains(a.Body.String(), "canary") {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	if a = b.get("/clusters/shop/pause"); strings.Contains(a.Body.String(), "moving") {
		t.Error("the form is shown twice")
	}
	if c, err := s.Store.GetCluster(t.Context(), "shop"); err != nil || c.Paused != nil {
		t.Errorf("the cluster is paused: %v %v", c.Paused, err)
	}
}

// TestStrangers refuses forms of other sites' pages, and of other sessions.
func TestStrangers(t *testing.T) {
	s := scene(t)
	for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}, {"X-Nothing", ""}} {
		for _, path := range []string{"/theme", "/clusters/shop/pause"} {
			b := as(t, s, auth.Operator)
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("theme=dark&reason=evil&csrf="+b.csrf))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set(header[0], header[1])
			if a := b.send(r); len(a.Result().Cookies()) > 0 {
				t.Errorf("%s with %v set %v", path, header, a.Result().Cookies())
			}
		}
	}
	for _, token := range []string{"", "x", as(t, s, auth.Operator).csrf} {
		a := as(t, s, auth.Operator).post("/clusters/shop/pause", url.Values{"reason": {"evil"}, "csrf": {token}})
		if a.Code != http.StatusForbidden || !strings.Contains(a.Body.String(), `value="evil"`) {
			t.Errorf("token %q: %d", token, a.Code)
		}
	}
	if a := as(t, s, auth.Viewer).post("/clusters/shop/pause", url.Values{"reason": {"evil"}}); a.Code != http.StatusForbidden || !strings.Contains(firstWords(a), "operator") {
		t.Errorf("a viewer: %d %s", a.Code, firstWords(a))
	}
	if c, err := s.Store.GetCluster(t.Context(), "shop"); err != nil || c.Paused != nil {
		t.Errorf("the cluster is paused: %v %v", c.Paused, err)
	}
}

// TestErrors are pages in the same layout.
func TestErrors(t *testing.T) {
	s := scene(t)
	for path, want := range map[string]int{"/nowhere": 404, "/clusters/nobody": 404, "/clusters/%00": 404, "/clusters/" + strings.Repeat("x", 300): 404} {
		a := as(t, s, auth.Viewer).get(path)
		if a.Code != want || len(flaws(a)) > 0 {
			t.Errorf("%s: %d %v", path, a.Code, flaws(a))
		}
	}
}

// TestAssets are kept by browsers for as long as they like, and small.
func TestAssets(t *testing.T) {
	s := scene(t)
	a := as(t, s, auth.Viewer).get("/clusters/shop")
	total := 0
	each(a.page, func(n *html.Node) {
		from := attr(n, "src")
		if n.Data == "link" || n.Data == "use" {
			from, _, _ = strings.Cut(attr(n, "href"), "#")
		}
		if from == "" {
			return
		}
		f := as(t, s, "").get(from)
		if f.Code != http.StatusOK || !strings.Contains(f.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", from, f.Code, f.Header())
		}
		if n.Data != "use" {
			total += f.Body.Len()
		}
	})
	if total += a.Body.Len(); total > 150_000 {
		t.Errorf("the first load is %d bytes even before they are compressed", total)
	}
	t.Logf("first load, not compressed: %d bytes", total)
}
