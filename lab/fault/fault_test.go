package fault

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// plain is the dialect of a cloud whose action is the path, its region the host's query, and which has no quotas.
type plain struct{}

func (plain) Request(r *http.Request) Request {
	return Request{Action: "plain:" + strings.Trim(r.URL.Path, "/"), Region: r.URL.Query().Get("region"), DryRun: r.URL.Query().Has("dry"), List: strings.HasPrefix(r.URL.Path, "/List")}
}

func (plain) Unfinished(_ *http.Request, a *Answer) bool {
	done := string(a.Body) == "done"
	if done {
		a.Body = []byte("going on")
	}
	return done
}

func (plain) Refuse(w http.ResponseWriter, _ *http.Request, _ Request, k Kind) bool {
	if k == Quota {
		return false
	}
	http.Error(w, string(k), http.StatusTeapot)
	return true
}

// cloudServer is a server behind a set of rules.
type cloudServer struct {
	*Set
	*httptest.Server
	t      *testing.T
	served chan string
}

func newCloud(t *testing.T) *cloudServer {
	c := &cloudServer{Set: NewSet(), t: t, served: make(chan string, 100)}
	c.Server = httptest.NewUnstartedServer(c.Handler("c", plain{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.served <- r.URL.Path
		io.WriteString(w, "fine")
	})))
	c.Config.ConnContext = ConnContext
	c.Config.ErrorLog = log.New(io.Discard, "", 0)
	var err error
	if c.Server.Listener, err = c.Set.Listener("c", c.Server.Listener); err != nil {
		t.Fatal(err)
	}
	c.EnableHTTP2 = true
	c.StartTLS()
	t.Cleanup(func() { c.Clear(); c.Server.Close() })
	return c
}

func (c *cloudServer) add(r Rule) Rule {
	c.t.Helper()
	r.Cloud = "c"
	r, err := c.Add(r)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *cloudServer) get(path string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return c.getIn(ctx, path)
}

func (c *cloudServer) getIn(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := c.Client().Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(b)), err
}

func (c *cloudServer) want(path, want string) {
	c.t.Helper()
	if got, err := c.get(path); got != want || err != nil {
		c.t.Errorf("%s: %q, %v; want %q", path, got, err, want)
	}
}

func TestRefusals(t *testing.T) {
	c := newCloud(t)
	c.want("/Run", "fine")
	twice := c.add(Rule{Kind: Throttle, Action: "run*", Times: 2})
	c.add(Rule{Kind: Deny, Action: "plain:Stop"})
	c.add(Rule{Kind: Error, Region: "east"})
	c.want("/Run", "throttle")
	c.want("/Stop", "deny")
	c.want("/Other", "fine")
	c.want("/Other?region=east", "error")
	c.want("/RunAll", "throttle")
	c.want("/Run", "fine")
	list := c.List()
	if list[0].Hits != 2 || !list[0].Over || list[1].Hits != 1 || list[1].Over {
		t.Errorf("rules %+v", list)
	}
	if !c.Remove(twice.ID) || c.Remove(twice.ID) || len(c.List()) != 2 {
		t.Errorf("removal: %+v", c.List())
	}
	if n := c.Clear(); n != 2 || len(c.List()) != 0 {
		t.Errorf("cleared %d", n)
	}
	c.want("/Stop", "fine")
}

func TestAfter(t *testing.T) {
	c := newCloud(t)
	c.add(Rule{Kind: Deny, Action: "Run", After: 2, Times: 1})
	c.want("/Run", "fine")
	c.want("/Other", "fine")
	if c.Denies("c", "plain:Run") {
		t.Error("denied before its time")
	}
	c.want("/Run", "fine")
	c.want("/Run", "deny")
	c.want("/Run", "fine")
}

// TestNothingMeant holds that a kind which the cloud has no error for is no strike, and that a later rule has its turn.
func TestNothingMeant(t *testing.T) {
	c := newCloud(t)
	c.add(Rule{Kind: Quota, Times: 1})
	c.want("/Run", "fine")
	c.add(Rule{Kind: Throttle})
	c.want("/Run", "throttle")
	c.Clear()
	c.add(Rule{Kind: Capacity})
	c.want("/Run?dry", "fine")
	c.want("/Run", "capacity")
	c.Clear()
	c.add(Rule{Kind: Deny})
	c.want("/Run?dry", "deny")
}

func TestDropAnswer(t *testing.T) {
	for _, http2 := range []bool{true, false} {
		c := newCloud(t)
		if !http2 {
			c.Client().Transport.(*http.Transport).TLSClientConfig.NextProtos = []string{"http/1.1"}
			c.Client().Transport.(*http.Transport).ForceAttemptHTTP2 = false
		}
		c.add(Rule{Kind: DropAnswer, Action: "Run", Times: 1})
		if got, err := c.get("/Run"); err == nil {
			t.Errorf("HTTP/2 %v: answered %q", http2, got)
		}
		if done := <-c.served; done != "/Run" {
			t.Errorf("carried out %q", done)
		}
		c.want("/Run", "fine")
	}
}

func TestDelayAndHang(t *testing.T) {
	c := newCloud(t)
	c.add(Rule{Kind: Delay, Action: "Slow", Delay: Duration(30 * time.Millisecond)})
	start := time.Now()
	c.want("/Slow", "fine")
	if took := time.Since(start); took < 30*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	hang := c.add(Rule{Kind: Hang, Action: "Never", Times: 1})
	ended := make(chan error, 1)
	go func() {
		_, err := c.get("/Never")
		ended <- err
	}()
	for c.List()[1].Hits == 0 {
		select {
		case err := <-ended:
			t.Fatal("answered: ", err)
		case <-time.After(time.Millisecond):
		}
	}
	c.want("/Never", "fine") // it struck its one time
	select {
	case err := <-ended:
		t.Error("let go: ", err)
	default:
	}
	c.Remove(hang.ID)
	if err := <-ended; err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("removed, it ended with %v", err)
	}
	c.add(Rule{Kind: Hang, Action: "Never"})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.getIn(ctx, "/Never"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hung until %v", err)
	}
}

func TestDown(t *testing.T) {
	c := newCloud(t)
	c.want("/Run", "fine") // and a connection stays open
	for range 3 {
		down := c.add(Rule{Kind: Down})
		refused := false
		for range 50 { // the first may find the connection that is open
			_, err := c.get("/Run")
			if err == nil {
				t.Fatal("a cloud that is down answered")
			}
			if refused = errors.Is(err, syscall.ECONNREFUSED); refused {
				break
			}
		}
		if !refused {
			t.Error("connections are not refused")
		}
		c.Remove(down.ID)
		ok := false
		for range 200 {
			if _, err := c.get("/Run"); err == nil {
				ok = true
				break
			}
		}
		if !ok {
			t.Error("it is up again and doesn't answer")
		}
	}
	c.add(Rule{Kind: Down, Region: "east"})
	c.want("/Run?region=west", "fine")
	if _, err := c.get("/Run?region=east"); err == nil {
		t.Error("a region that is down answered")
	}
}

// TestCutOff holds that networks are cut off by cloud or region, and that no request suffers from it.
func TestCutOff(t *testing.T) {
	c := newCloud(t)
	all := c.add(Rule{Kind: CutOff})
	c.want("/Run", "fine")
	if cloud := all.Cloud; !c.Cut(cloud, "east") || !c.Cut(cloud, "west") || c.Cut("another", "east") {
		t.Error("want all networks of that cloud to be cut off, and no others")
	}
	c.Remove(all.ID)
	one := c.add(Rule{Kind: CutOff, Region: "east"})
	c.want("/Run?region=east", "fine")
	if !c.Cut(one.Cloud, "east") || c.Cut(one.Cloud, "west") {
		t.Error("want the networks of that region to be cut off, and no others")
	}
}

// TestFar holds that networks are farther by cloud or region, that what is added adds up, and that no request suffers from it.
func TestFar(t *testing.T) {
	c := newCloud(t)
	one := c.add(Rule{Kind: Far, Region: "east", Delay: Duration(20 * time.Millisecond)})
	c.add(Rule{Kind: Far, Delay: Duration(time.Millisecond)})
	c.want("/Run?region=east", "fine")
	if got := c.Farther(one.Cloud, "east"); got != 21*time.Millisecond {
		t.Errorf("east is farther by %s", got)
	}
	if got := c.Farther(one.Cloud, "west"); got != time.Millisecond {
		t.Errorf("west is farther by %s", got)
	}
	if got := c.Farther("another", "east"); got != 0 {
		t.Errorf("another cloud is farther by %s", got)
	}
	for _, bad := range []Rule{{Cloud: "c", Kind: Far}, {Cloud: "c", Kind: Far, Delay: 1, Rate: 0.5}, {Cloud: "c", Kind: Far, Delay: 1, Machine: "x"}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func TestFor(t *testing.T) {
	s := NewSet()
	now := time.Unix(1e9, 0)
	s.clock = func() time.Time { return now }
	r, err := s.Add(Rule{Cloud: "c", Kind: Down, For: Duration(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Down("c") || s.Down("d") || !s.Holds(r.ID) {
		t.Error("not down")
	}
	now = now.Add(time.Minute)
	if s.Down("c") || s.Holds(r.ID) || !s.List()[0].Over {
		t.Error("still down")
	}
}

// TestChance holds that a seed says all: the same one strikes the same requests.
func TestChance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := Rule{Cloud: "c", Kind: Error, Rate: rapid.Float64Range(0.05, 0.95).Draw(t, "rate"), Seed: rapid.Uint64Min(1).Draw(t, "seed")}
		row := func() []bool {
			s := NewSet()
			if _, err := s.Add(rule); err != nil {
				t.Fatal(err)
			}
			var out []bool
			for range 200 {
				_, hit := s.hit("c", Request{Action: "a:b"}, nil)
				out = append(out, hit)
			}
			return out
		}
		if diff := cmp.Diff(row(), row()); diff != "" {
			t.Fatalf("two rows of one seed differ:\n%s", diff)
		}
	})
	s := NewSet()
	r, err := s.Add(Rule{Cloud: "c", Kind: Error, Rate: 0.5})
	if err != nil || r.Seed == 0 {
		t.Errorf("no seed was chosen: %+v %v", r, err)
	}
	hits := 0
	for range 1000 {
		if _, hit := s.hit("c", Request{}, nil); hit {
			hits++
		}
	}
	if hits < 400 || hits > 600 {
		t.Errorf("%d of 1000 by half a chance (seed %d)", hits, r.Seed)
	}
}

func TestMachines(t *testing.T) {
	s := NewSet()
	for _, r := range []Rule{{Kind: NoSSH, Machine: "demo-web-*", Times: 1}, {Kind: NoInternet, Machine: "i-1"}, {Kind: Throttle}} {
		r.Cloud = "c"
		if _, err := s.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	kinds := func(names ...string) string {
		var out []string
		for _, r := range s.Machine("c", names...) {
			out = append(out, string(r.Kind))
		}
		return strings.Join(out, " ")
	}
	for _, c := range [][2]string{{"demo-cp-1", ""}, {"demo-web-1", "no-ssh no-internet"}, {"demo-web-2", "no-internet"}} {
		id := "i-2"
		if c[1] != "" {
			id = "i-1"
		}
		if got := kinds(id, "", c[0]); got != c[1] {
			t.Errorf("%s: %q; want %q", c[0], got, c[1])
		}
	}
	if got := s.Machine("d", "demo-web-1"); got != nil {
		t.Errorf("another cloud's: %v", got)
	}
}

func TestDenies(t *testing.T) {
	s := NewSet()
	for _, r := range []Rule{{Kind: Deny, Action: "run*"}, {Kind: Deny, Action: "stop", Region: "east"}, {Kind: Throttle, Action: "list"}, {Kind: Deny, Action: "read", Rate: 0.5}} {
		r.Cloud = "c"
		if _, err := s.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	for action, want := range map[string]bool{"x:Run": true, "x:RunAll": true, "x:Stop": true, "x:List": false, "x:Read": false} {
		if s.Denies("c", action) != want || s.Denies("d", action) {
			t.Errorf("%s: %v; want %v", action, !want, want)
		}
	}
	if s.List()[0].Hits != 0 {
		t.Error("it counted as a strike")
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, action string
		want            bool
	}{
		{"RunInstances", "ec2:RunInstances", true},
		{"runinstances", "ec2:RunInstances", true},
		{"ec2:RunInstances", "ec2:RunInstances", true},
		{"Run*", "ec2:RunInstances", true},
		{"*", "ec2:RunInstances", true},
		{"Instances", "ec2:RunInstances", false},
		{"sts:*", "ec2:RunInstances", false},
		{"compute.instances.insert", "compute.instances.insert", true},
		{"instances.insert", "compute.instances.insert", true},
		{"*.insert", "compute.instances.insert", true},
		{"insert", "compute.instances.insert", false},
		{"token", "oauth2.token", true},
		{"*", "", false},
	} {
		if got := matches(c.pattern, c.action); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.action, got)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{Kind: "boom"}, `kind: found "boom": want one of throttle, deny, `},
		{Rule{Kind: NoSSH}, "kind: no-ssh is a fault of machines: name them with --machine"},
		{Rule{Kind: Deny, Machine: "x"}, "--machine: deny is a fault of requests; those of machines are no-boot, no-ssh, kubeadm-fails, no-internet"},
		{Rule{Kind: NoSSH, Machine: "x", Action: "y"}, "takes neither --action nor --region"},
		{Rule{Kind: Deny, Action: "[x"}, `--action: found "[x": want a pattern with * and ?`},
		{Rule{Kind: Delay}, "delay needs a time above zero: delay 2s"},
		{Rule{Kind: ListLag}, "list-lag needs a time above zero: list-lag 2s"},
		{Rule{Kind: Deny, Delay: 1}, "kind: deny takes no time"},
		{Rule{Kind: Stuck, Delay: 1}, "kind: stuck takes no time"},
		{Rule{Kind: Down, Times: 1}, "takes no --action, --after, --times or --rate"},
		{Rule{Kind: Deny, After: -1}, "--after: found -1: want 1 or more"},
		{Rule{Kind: Deny, Times: -1}, "--times: found -1: want 1 or more"},
		{Rule{Kind: Deny, For: -1}, "--for: "},
		{Rule{Kind: Deny, Rate: 1.5}, "--rate: found 1.5: want a number above 0 and at most 1"},
		{Rule{Kind: Deny, Seed: 1}, "--seed: only a rule with --rate has one"},
	} {
		if err := c.rule.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want %q", c.rule, err, c.want)
		}
	}
	for _, a := range Kinds {
		r := Rule{Kind: a.Kind}
		if a.Machine {
			r.Machine = "*"
		}
		if a.Kind == Delay || a.Kind == ListLag || a.Kind == Far {
			r.Delay = 1
		}
		if err := r.Check(); err != nil {
			t.Errorf("%s: %v", a.Kind, err)
		}
	}
}

func TestMany(t *testing.T) {
	s := NewSet()
	for range maxRules {
		if _, err := s.Add(Rule{Kind: Deny, Cloud: "c"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Add(Rule{Kind: Deny, Cloud: "c"}); err == nil {
		t.Error("one too many")
	}
}
