package console_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/web/webtest"
)

// firstLoad is what the first load of a page may move, in bytes.
const firstLoad = 150_000

// looks are the ways in which every page is looked at: dark differs in nothing but colours.
var looks = []struct {
	Name    string `json:"-"`
	Width   int    `json:"width"`
	Height  int    `json:"height"`
	Scheme  string `json:"scheme"`
	Colours bool   `json:"-"` // judged for its colours only
}{
	{"light", 1440, 900, "light", false},
	{"dark", 1440, 900, "dark", true},
	{"narrow", 360, 780, "light", false},
	{"narrow-dark", 360, 780, "dark", true},
}

// visit is one page to look at.
type visit struct {
	name, path string
	role       auth.Role
	status     int
	empty      bool // in the scene where there is nothing
}

// visits are the pages in the states that look different. Those of the console's own list that none of these is are looked
// at as well: see whole.
func (s *scene) visits() []visit {
	running := s.run(webtest.Growing, func(r api.Run) bool { return r.Outcome == "running" })
	failed := s.run(webtest.Degraded, func(r api.Run) bool { return r.Outcome == "failed" })
	admin := []struct{ name, path string }{
		{"clusters", "/clusters"},
		{"clusters-filtered", "/clusters?only=ill"},
		{"clusters-none-fits", "/clusters?q=nothing-has-this-name"},
		{"cluster", "/clusters/" + webtest.Healthy},
		{"cluster-degraded", "/clusters/" + webtest.Degraded},
		{"cluster-growing", "/clusters/" + webtest.Growing},
		{"cluster-stuck", "/clusters/" + webtest.Stuck},
		{"cluster-paused", "/clusters/" + webtest.Paused},
		{"nodes-degraded", "/clusters/" + webtest.Degraded + "/nodes"},
		{"nodes-growing", "/clusters/" + webtest.Growing + "/nodes"},
		{"run-running", "/clusters/" + webtest.Growing + "/runs/" + running},
		{"run-failed", "/clusters/" + webtest.Degraded + "/runs/" + failed},
		{"runs-failed", "/clusters/" + webtest.Degraded + "/runs"},
		{"changes-waiting", "/clusters/" + webtest.Growing + "/changes"},
		{"resources-stuck", "/clusters/" + webtest.Stuck + "/resources"},
		{"resume", "/clusters/" + webtest.Paused + "/resume"},
	}
	var out []visit
	for _, a := range admin {
		out = append(out, visit{name: a.name, path: a.path, role: auth.Admin, status: http.StatusOK})
	}
	return append(out,
		visit{name: "cluster-viewer", path: "/clusters/" + webtest.Healthy, role: auth.Viewer, status: http.StatusOK},
		visit{name: "nodes-viewer", path: "/clusters/" + webtest.Healthy + "/nodes", role: auth.Viewer, status: http.StatusOK},
		visit{name: "forbidden", path: "/clusters/" + webtest.Healthy + "/delete", role: auth.Viewer, status: http.StatusForbidden},
		visit{name: "not-found", path: "/clusters/there-is-none", role: auth.Admin, status: http.StatusNotFound},
		visit{name: "sign-in", path: auth.FormPath, status: http.StatusOK},
	)
}

// whole adds the pages that the console has and none of the visits is, with what they are about taken from the scene.
func (s *scene) whole(list []visit) []visit {
	s.t.Helper()
	known := map[string]string{
		"clusters/{name}": webtest.Healthy, "accounts/{name}": "my-aws", "users/{name}": string(auth.Viewer), "tokens/{name}": token, "nodes/{node}": webtest.Healthy + "-web-1", "receipts/{uid}": s.receipt(), "runs/{id}": s.run(webtest.Healthy, func(r api.Run) bool { return r.Total > 0 }),
		"add-account/{cloud}": "aws", "account-help/{cloud}": "aws",
	}
	special := map[string]string{"/clusters/{name}/changes/{id}/cancel": "/clusters/" + webtest.Growing + "/changes/" + s.waiting() + "/cancel"}
	for _, pattern := range s.Console.Pages() {
		mux := http.NewServeMux()
		mux.Handle("GET "+pattern, http.NotFoundHandler())
		if slices.ContainsFunc(list, func(v visit) bool { return matches(mux, v.path) }) {
			continue
		}
		path := special[pattern]
		if path == "" {
			parts := strings.Split(pattern, "/")
			for i := range parts {
				if strings.HasPrefix(parts[i], "{") {
					kind := strings.Split(pattern, "/")[i-1] + "/" + parts[i]
					if parts[i] = known[kind]; parts[i] == "" {
						s.t.Errorf("page %s: nothing is known that could stand for %s: say it in whole", pattern, kind)
					}
				}
			}
			path = strings.Join(parts, "/")
		}
		list = append(list, visit{name: strings.Trim(strings.NewReplacer("/", "-", "{", "", "}", "").Replace(pattern), "-"), path: path, role: auth.Admin, status: http.StatusOK})
	}
	return list
}

// emptyVisits are the pages without a part in their address, where there is nothing yet.
func (s *scene) emptyVisits() []visit {
	var out []visit
	for _, pattern := range s.Console.Pages() {
		if !strings.Contains(pattern, "{") {
			out = append(out, visit{name: "empty-" + strings.Trim(strings.ReplaceAll(pattern, "/", "-"), "-"), path: pattern, role: auth.Admin, status: http.StatusOK, empty: true})
		}
	}
	return out
}

func matches(mux *http.ServeMux, path string) bool {
	r, err := http.NewRequest(http.MethodGet, path, nil)
	if err != nil {
		return false
	}
	_, pattern := mux.Handler(r)
	return pattern != ""
}

// run is the number of the newest run of a cluster that is as wanted.
func (s *scene) run(cluster string, ok func(api.Run) bool) string {
	s.t.Helper()
	runs, err := s.admin().Runs(s.t.Context(), cluster, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range runs {
		if ok(r) {
			return strconv.FormatInt(r.ID, 10)
		}
	}
	s.t.Fatalf("cluster %s has no such run", cluster)
	return ""
}

// waiting is the number of a change that waits.
func (s *scene) waiting() string {
	s.t.Helper()
	c, err := s.admin().Cluster(s.t.Context(), webtest.Growing)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, ch := range c.PendingChanges {
		if ch.State == "queued" {
			return strconv.FormatInt(ch.ID, 10)
		}
	}
	s.t.Fatal("no change waits")
	return ""
}

// TestPages goes through every page of the console, in all its states, in light and dark, wide and narrow.
func TestPages(t *testing.T) {
	b := newBrowser(t)
	s := newScene(t, true)
	none := newScene(t, false)
	tabs := map[string]*tab{} // one for each scene and role: opening a tab takes longer than a page
	for _, v := range append(s.whole(s.visits()), none.emptyVisits()...) {
		t.Run(v.name, func(t *testing.T) {
			at := s
			if v.empty {
				at = none
			}
			who := at.url + string(v.role)
			if tabs[who] == nil {
				tabs[who] = b.open(t, at.as(v.role))
			}
			p := &tab{b, t, tabs[who].id}
			l := p.load(v.path)
			if l.Status != v.status {
				t.Errorf("GET %s: %d, want %d", v.path, l.Status, v.status)
			}
			if l.Bytes > firstLoad || l.Bytes == 0 {
				t.Errorf("the first load moved %.0f bytes, want at most %d", l.Bytes, firstLoad)
			}
			for _, k := range looks {
				p.do("look", k, nil)
				p.shot(v.name + "-" + k.Name)
				var wide string
				if p.do("wide", nil, &wide); wide != "" {
					t.Errorf("%s: wider than the screen: %s", k.Name, wide)
				}
				var found []string
				p.do("axe", map[string]bool{"colours": k.Colours}, &found)
				for _, f := range found {
					t.Errorf("%s: axe: %s", k.Name, f)
				}
			}
			p.do("look", looks[0], nil)
			stops := p.walk()
			t.Logf("%.1f kB, %d stops for Tab", l.Bytes/1000, stops)
			if v.status == http.StatusOK {
				p.fine(v.path)
			} else {
				p.do("trouble", nil, nil) // Chromium says that such an answer is an error
			}
		})
	}
	t.Run("as wide as can be", func(t *testing.T) {
		p := b.open(t, s.as(auth.Admin))
		defer p.close()
		for name, path := range map[string]string{"clusters": "/clusters", "cluster": "/clusters/" + webtest.Healthy, "nodes": "/clusters/" + webtest.Healthy + "/nodes"} {
			p.load(path)
			p.do("look", map[string]int{"width": 2560, "height": 1440}, nil)
			p.shot(name + "-2560")
			p.fine(path)
		}
	})
}

// stop is a control that Tab came by.
type stop struct {
	Name             string
	At               int
	Outlined, InView bool
	Covered          string
}

// walk goes through the page by Tab: everything that can be used is reached, in the order of the page, and can be seen to be
// where the keyboard is. It says at how many controls it came by.
func (p *tab) walk() int {
	p.t.Helper()
	var w struct {
		Stops  []stop
		Missed []string
	}
	p.do("walk", nil, &w)
	for _, m := range w.Missed {
		p.t.Errorf("Tab never reaches %s", m)
	}
	turns, last := 0, -1
	for _, st := range w.Stops {
		if !st.Outlined {
			p.t.Errorf("focus can't be seen on %s", st.Name)
		}
		if !st.InView {
			p.t.Errorf("out of view when it has the focus: %s", st.Name)
		}
		if st.Covered != "" {
			p.t.Errorf("covered by %s when it has the focus: %s", st.Covered, st.Name)
		}
		if st.At < 0 {
			continue // a box that scrolls
		}
		if st.At < last {
			turns++
		}
		last = st.At
	}
	if turns > 1 { // once where the page begins with its focus elsewhere
		var names []string
		for _, st := range w.Stops {
			names = append(names, fmt.Sprintf("%d %s", st.At, st.Name))
		}
		p.t.Errorf("Tab doesn't follow the order of the page: %s", strings.Join(names, "; "))
	}
	return len(w.Stops)
}
