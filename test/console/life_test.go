package console_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/azure"
	"github.com/skyweld/skyweld/cloud/digitalocean"
	"github.com/skyweld/skyweld/cloud/gcp"
	"github.com/skyweld/skyweld/internal/labtest"
)

// longest is how long a life may take, from the first page to the receipt.
const longest = 6 * time.Minute

// TestByMouse lives through a cluster at four clouds by mouse only, but for the typing of names and credentials.
func TestByMouse(t *testing.T) {
	newLife(t, "aws", "gcp", "azure", "digitalocean").live(func(p *tab) hands { return mouse{p} })
}

// TestByKeyboard does the same at two clouds by Tab, Enter, Space, arrows and typing.
func TestByKeyboard(t *testing.T) {
	newLife(t, "aws", "gcp").live(func(p *tab) hands { return keyboard{p} })
}

// life is a cluster's, from the first start of the engine on.
type life struct {
	*labtest.World
	t      *testing.T
	clouds []string
	p      *tab
	hands
}

const name = "weld"

// readers read accounts as 'skyweld account add --from-env' does.
var readers = map[string]func(cloud.Source) (cloud.Account, error){"aws": aws.FromEnv, "gcp": gcp.FromEnv, "azure": azure.FromEnv, "digitalocean": digitalocean.FromEnv}

func newLife(t *testing.T, clouds ...string) *life {
	t.Helper()
	b := newBrowser(t)
	l := &life{World: labtest.New(t, "console"), t: t, clouds: clouds}
	l.StartLab()
	l.StartEngine()
	l.p = b.open(t, tabOptions{Base: l.address()})
	return l
}

var linkLine = regexp.MustCompile(`(http://127\.0\.0\.1:\d+)/welcome\?link=\S+`)

// link is the one that a first start prints, address where it leads to.
func (l *life) link() string {
	l.t.Helper()
	data, err := os.ReadFile(l.Log.Name())
	if err != nil {
		l.t.Fatal(err)
	}
	link := linkLine.Find(data)
	if link == nil {
		l.t.Fatalf("a first start prints no link:\n%s", data)
	}
	return string(link)
}

func (l *life) address() string { return linkLine.FindStringSubmatch(l.link())[1] }

func (l *life) live(with func(*tab) hands) {
	t, p := l.t, l.p
	l.hands = with(p)
	begin := time.Now()
	t.Log("signed in by the link")
	p.load(l.link())
	p.sees("No clusters yet", "main", 0)
	p.shot("01-first-page")
	l.follow("link", "Add an account")
	for _, c := range l.clouds {
		l.addAccount(c)
	}
	before := l.Inventory(l.clouds...)

	newCluster(l, p)
	p.sees("steps", "#now", time.Minute)
	p.shot("07-steps")
	p.seesExactly("Ready", "#health", 4*time.Minute)
	t.Logf("Ready after %.0f s", time.Since(begin).Seconds())
	p.sees("of", "#picture-sum", 0)
	p.shot("08-ready")
	l.ready(1 + len(l.clouds))

	t.Log("a worker more, and another one asked for meanwhile")
	groups := l.groups()
	l.more(groups[0])
	l.more(groups[1])
	l.follow("link", "Changes")
	p.sees("Queued", "#queue", 0)
	p.shot("09-queued")
	p.sees("Nothing waits", "#queue", 4*time.Minute)
	p.sees("Applied", "#past", 0)
	p.shot("10-done")
	l.follow("link", "Overview")
	p.seesExactly("Ready", "#health", time.Minute)
	l.ready(3 + len(l.clouds))

	l.heal()

	t.Log("deleted")
	l.follow("link", "Delete…")
	p.sees("There is no way back", "main", 0)
	p.shot("13-delete")
	l.enter("Type the cluster's name to delete it", name)
	l.follow("button", "Delete "+name)
	p.sees("Steps done", "#deletion", time.Minute)
	p.shot("14-deleting")
	p.sees("Receipt of "+name, "h1", 3*time.Minute)
	p.sees("No difference", "main", 0)
	p.shot("15-receipt")
	took := time.Since(begin)
	t.Logf("a life took %.0f s", took.Seconds())
	if took > longest {
		t.Errorf("a life took %s, want at most %s", took, longest)
	}
	l.Same("inventory", before, l.Inventory(l.clouds...))
	p.fine("the whole life")
}

// addAccount adds an account through its form, with the values that the lab has for the clouds' own tools.
func (l *life) addAccount(c string) {
	l.t.Helper()
	getenv := func(name string) string {
		for _, v := range slices.Backward(l.Env) {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return ""
	}
	a, err := readers[c](cloud.Source{Getenv: getenv, ReadFile: os.ReadFile, Home: l.Dir})
	if err != nil {
		l.t.Fatal(err)
	}
	fields := map[string]string{"name": "my-" + c, "proxy": a.Proxy, "ca": a.CA}
	if egress := getenv("SKYWELD_EGRESS"); egress != "" {
		fields["settings.egress"] = egress
	}
	for k, v := range a.Settings {
		fields["settings."+k] = v
	}
	for k, v := range a.Secrets {
		fields["secrets."+k] = v.Reveal()
	}
	l.p.load("/accounts")
	l.follow("link", "Add an account")
	l.follow("link", words[c]+" *")
	l.press("summary", "Advanced: endpoints, certificates, proxy")
	for _, id := range l.p.fields() {
		value := fields[id]
		delete(fields, id)
		switch {
		case value == "":
		case l.p.isChoice(id):
			l.choose(l.p.label(id), value)
		default:
			l.enter(l.p.label(id), value)
		}
	}
	for id, v := range fields {
		if v != "" {
			l.t.Errorf("the form for accounts at %s has no field for %s", c, id)
		}
	}
	l.follow("button", "Check and add")
	l.p.sees("my-"+c, "h1", time.Minute)
	l.p.sees("None is missing", "main", 0)
	l.p.shot("02-account-" + c)
}

// words are the clouds' names for people.
var words = map[string]string{"aws": "AWS", "gcp": "Google Cloud", "azure": "Azure", "digitalocean": "DigitalOcean"}

// fields are the names of the page's fields, in order.
func (p *tab) fields() []string {
	p.t.Helper()
	var out []string
	p.do("fields", nil, &out)
	return out
}

func (p *tab) isChoice(id string) bool {
	p.t.Helper()
	var n int
	p.do("count", map[string]string{"selector": `select[id="` + id + `"]`}, &n)
	return n > 0
}

func (p *tab) label(id string) string {
	p.t.Helper()
	var text string
	p.do("text", map[string]string{"selector": `label[for="` + id + `"]`}, &text)
	return strings.TrimSpace(text)
}

// newCluster makes a cluster with one control-plane node and a worker at each cloud, and says how many clicks that took.
func newCluster(h hands, p *tab) int {
	p.t.Helper()
	p.load("/clusters")
	before := p.clicks()
	h.follow("link", "New cluster")
	p.shot("03-new")
	h.enter("Name", name)
	h.choose("Nodes", "1")
	p.shot("04-filled-in")
	h.follow("button", "Review plan and cost")
	p.sees("Review "+name, "h1", time.Minute)
	p.sees("Cost", "main", 0)
	p.shot("05-review")
	h.follow("button", "Create "+name)
	n := p.clicks() - before
	p.sees(name, "h1", 0)
	p.shot("06-growing")
	return n
}

// mostClicks is how many it may take to make a cluster.
const mostClicks = 12

// groups are the names of the groups of workers, in order.
func (l *life) groups() []string {
	l.t.Helper()
	l.follow("link", "Nodes")
	var out []string
	l.p.do("options", control{Role: "combobox", Name: "Group"}, &out)
	if len(out) < 2 {
		l.t.Fatalf("want two groups of workers, got %v", out)
	}
	return out
}

// more asks for one worker more.
func (l *life) more(group string) {
	l.t.Helper()
	l.follow("link", "Nodes")
	l.choose("Group", group)
	l.enter("How many more", "1")
	l.follow("button", "Add")
	l.p.sees("Change", "#asked", 0)
}

// ready wants so many nodes, all Ready by what Kubernetes says.
func (l *life) ready(want int) {
	l.t.Helper()
	ready := 0
	for _, n := range l.nodes() {
		if n.Status == "Ready" {
			ready++
		}
	}
	if ready != want || len(l.nodes()) != want {
		l.t.Errorf("%d of %d nodes are ready, want %d", ready, len(l.nodes()), want)
	}
}

type nodeLine struct{ Name, Status, Role, Site, Machine string }

func (l *life) nodes() []nodeLine {
	l.t.Helper()
	var list struct{ Items []nodeLine }
	l.JSON(&list, "get", "nodes", name, "-o", "json")
	return list.Items
}

// heal lets somebody end a worker's machine with Amazon's own client, and the engine make it again.
func (l *life) heal() {
	l.t.Helper()
	if _, err := exec.LookPath("aws"); err != nil {
		l.t.Log("SKIPPED: terminating a machine behind the engine's back: aws is not installed (pip install awscli)")
		return
	}
	l.t.Log("a machine terminated behind its back")
	i := slices.IndexFunc(l.nodes(), func(n nodeLine) bool { return n.Role == "worker" && strings.Contains(n.Site, "aws") })
	if i < 0 {
		l.t.Fatalf("there is no worker at AWS: %v", l.nodes())
	}
	was := l.nodes()[i]
	if out, err := l.Command(nil, "aws", "ec2", "terminate-instances", "--instance-ids", was.Machine); err != nil {
		l.t.Fatalf("terminate %s: %s", was.Machine, out)
	}
	l.follow("button", "Reconcile now")
	l.p.sees("Change", "#asked", 0)
	l.p.shot("11-healing")
	l.p.sees("Applied", "#asked", 3*time.Minute)
	l.p.seesExactly("Ready", "#health", time.Minute)
	l.p.shot("12-healed")
	for _, n := range l.nodes() {
		if n.Name == was.Name && (n.Machine == was.Machine || n.Status != "Ready") {
			l.t.Errorf("node %s is not made again: %+v", n.Name, n)
		}
	}
}
