package console_test

import (
	"testing"
	"time"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/web/webtest"
)

// still is how much a page may move while it is brought up to date, by the measure of the layout shift API: 0.1 is what
// its authors call good.
const still = 0.1

// TestStill looks at pages while things happen to what they show: they tell of it, and nothing on them jumps.
func TestStill(t *testing.T) {
	b := newBrowser(t)
	s := newScene(t, true)
	cluster := "/clusters/" + webtest.Healthy
	pages := map[string]*tab{}
	for _, path := range []string{"/clusters", cluster, cluster + "/nodes", cluster + "/runs", cluster + "/changes", cluster + "/events", cluster + "/resources"} {
		pages[path] = b.open(t, s.as(auth.Admin))
		pages[path].load(path)
	}
	if _, _, err := s.Engine.AddNodes(t.Context(), webtest.Healthy, "edge", 2, "grace"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Engine.Reconcile(t.Context(), webtest.Healthy, "grace"); err != nil {
		t.Fatal(err)
	}
	s.settled(webtest.Healthy)
	run := "/clusters/" + webtest.Growing + "/runs/" + s.run(webtest.Growing, func(api.Run) bool { return true })
	pages[run] = b.open(t, s.as(auth.Admin))
	pages[run].load(run)
	pages[cluster+"/nodes"].sees("shop-edge-5", "#nodes", time.Minute)
	pages[cluster].sees("13 of 13", "main", time.Minute)
	pages["/clusters"].sees("13 / 13", "main", time.Minute)
	events := pages[cluster+"/events"]
	events.sees("new lines", "#fresh", time.Minute)
	for path, p := range pages {
		var moved struct {
			Sum  float64
			What []string
		}
		p.do("shifts", nil, &moved)
		t.Logf("%s moved by %.4f: %q", path, moved.Sum, moved.What)
		if moved.Sum > still {
			t.Errorf("%s jumped by %.3f, want at most %.1f: %v", path, moved.Sum, still, moved.What)
		}
		p.fine(path)
	}
	mouse{events}.press("button", "Show*")
	events.sees("shop-edge-5", "#events", time.Minute)
}

// TestNoScripts does what people do most with JavaScript switched off.
func TestNoScripts(t *testing.T) {
	b := newBrowser(t)
	s := newScene(t, true)
	p := b.open(t, tabOptions{Base: s.url, NoScripts: true})
	m := mouse{p}
	p.load("/clusters")
	p.sees("Sign in", "h1", 0)
	m.enter("Name", "admin")
	m.enter("Password", webtest.Password)
	m.follow("button", "Sign in")
	p.sees("Clusters", "h1", 0)
	p.shot("no-scripts-clusters")
	for _, v := range s.whole(s.visits()) {
		if v.role == auth.Admin && p.load(v.path).Status != v.status {
			t.Errorf("GET %s isn't %d", v.path, v.status)
		}
	}
	t.Log("a worker more")
	p.load("/clusters/" + webtest.Healthy)
	m.follow("link", "Nodes")
	m.choose("Group", "edge")
	m.enter("How many more", "0")
	m.try("button", "Add") // the browser itself doesn't take it
	m.enter("How many more", "1")
	m.follow("button", "Add")
	p.sees("Change", "#asked", 0)
	p.shot("no-scripts-asked")
	s.settled(webtest.Healthy)
	m.follow("link", "Nodes")
	p.sees("shop-edge-4", "#nodes", 0)
	t.Log("a change taken back")
	p.load("/clusters/" + webtest.Growing + "/changes")
	m.follow("link", "Cancel change "+s.waiting())
	m.follow("button", "Cancel this change")
	p.sees("Cancelled", "#past", 0)
	t.Log("paused, resumed")
	p.load("/clusters/" + webtest.Healthy)
	m.follow("link", "Pause…")
	m.enter("Why", "moving the <b>DNS</b> zone")
	m.follow("button", "Pause")
	p.sees("moving the <b>DNS</b> zone", "#troubles", 0)
	m.follow("link", "Resume…")
	m.follow("button", "Resume")
	p.sees("Ready", "#health", 0)
	t.Log("deleted, with a wrong name first")
	m.follow("link", "Delete…")
	m.enter("Type the cluster's name to delete it", "shap")
	m.follow("button", "Delete "+webtest.Healthy)
	p.sees("so that nobody deletes another one by mistake", "main", 0)
	p.shot("no-scripts-wrong-name")
	m.enter("Type the cluster's name to delete it", webtest.Healthy)
	m.follow("button", "Delete "+webtest.Healthy)
	for begin := time.Now(); !p.look("Receipt of "+webtest.Healthy, "h1"); s.moment() {
		if time.Since(begin) > time.Minute {
			t.Fatal("the receipt doesn't come")
		}
		p.load("/clusters/" + webtest.Healthy)
	}
	p.sees("No difference", "main", 0)
	p.shot("no-scripts-receipt")
	t.Log("other colours, and out")
	m.follow("button", "Colours: as the system has them. Switch to light.")
	m.follow("button", "Colours: light. Switch to dark.")
	p.shot("no-scripts-dark")
}

// TestClicks counts how often it takes the mouse to make a cluster in two accounts.
func TestClicks(t *testing.T) {
	b := newBrowser(t)
	s := newSceneOf(t, webtest.Options{}, func(s *scene) error { return s.AddAccounts(t.Context(), cloud.AWS, cloud.GCP) })
	p := b.open(t, s.as(auth.Admin))
	n := newCluster(mouse{p}, p)
	t.Logf("%d clicks from \"New cluster\" to \"Create\"", n)
	if n > mostClicks {
		t.Errorf("%d clicks from \"New cluster\" to \"Create\", want at most %d", n, mostClicks)
	}
	p.seesExactly("Ready", "#health", time.Minute)
	p.fine("a new cluster")
}
