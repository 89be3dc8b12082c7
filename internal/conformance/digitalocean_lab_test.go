package conformance_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	"golang.org/x/oauth2"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/cloud/digitalocean"
	labdo "github.com/skyweld/skyweld/lab/digitalocean"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

const (
	doRegion = "nyc3"
	doToken  = "dop_v1_for_tests"
)

// doLab is the lab's DigitalOcean behind TLS, with a driver's account for it.
type doLab struct {
	*gate
	account cloud.Account
}

func newDOLab(t *testing.T, profile world.Profile, change ...func(*labdo.Config)) *doLab {
	t.Helper()
	cfg := labdo.Config{Physical: paper.New(), Dir: t.TempDir(), Token: doToken, Profile: profile, Pools: paper.Pools()}
	cfg.Limits.PerHour, cfg.Limits.PerMinute = 1_000_000, 1_000_000
	for _, c := range change {
		c(&cfg)
	}
	service, err := labdo.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := &doLab{gate: newGate()}
	l.dialect = service.Dialect()
	l.open(t, "DigitalOcean", service, service.Close)
	l.account = cloud.Account{
		Name: "lab", Provider: cloud.DigitalOcean,
		Settings: map[string]string{digitalocean.SettingEndpoint: l.server.URL},
		Secrets:  map[string]cloud.Secret{digitalocean.SecretToken: doToken},
		CA:       l.ca(),
	}
	return l
}

// driver opens the account.
func (l *doLab) driver(t *testing.T, wrap cloud.Transport) cloud.Driver {
	t.Helper()
	d, err := digitalocean.New(t.Context(), l.account, counting(t, cloud.DigitalOcean, doNeeds, wrap))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// wrong is a driver with a token that was withdrawn.
func (l *doLab) wrong(t *testing.T) cloud.Driver {
	t.Helper()
	account := l.account
	account.Secrets = map[string]cloud.Secret{digitalocean.SecretToken: "dop_v1_withdrawn"}
	d, err := digitalocean.New(t.Context(), account, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// client is a client of the API that goes behind the driver's back.
func (l *doLab) client(t *testing.T) *godo.Client {
	t.Helper()
	c, err := godo.New(&http.Client{Transport: &oauth2.Transport{
		Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: doToken}), Base: l.server.Client().Transport,
	}}, godo.SetBaseURL(l.server.URL+"/"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// someDroplet is the id of one of the account's droplets, empty when it has none.
func (l *doLab) someDroplet() string {
	r, err := http.NewRequest(http.MethodGet, l.server.URL+"/v2/droplets", nil)
	if err != nil {
		return ""
	}
	r.Header.Set("Authorization", "Bearer "+doToken)
	resp, err := l.server.Client().Do(r)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var list struct{ Droplets []struct{ ID int } }
	if json.NewDecoder(resp.Body).Decode(&list) != nil || len(list.Droplets) == 0 {
		return ""
	}
	return strconv.Itoa(list.Droplets[0].ID)
}

func doID(t *testing.T, o cloud.Object) int {
	t.Helper()
	id, err := strconv.Atoi(o.ID)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// doUntil waits until a droplet is as wanted; nil stands for one that is gone.
func doUntil(t *testing.T, c *godo.Client, id int, ok func(*godo.Droplet) bool) {
	t.Helper()
	if err := cloudtest.Await(t.Context(), func() bool {
		x, resp, err := c.Droplets.Get(t.Context(), id)
		if err != nil && (resp == nil || resp.StatusCode != http.StatusNotFound) {
			t.Fatal(err)
		}
		return ok(x)
	}); err != nil {
		t.Fatal(err)
	}
}

func doHarness(lab func(t *testing.T) *doLab, wrap func(t *testing.T) cloud.Transport) cloudtest.Harness {
	var l *doLab // of the test that runs
	return cloudtest.Harness{
		New: func(t *testing.T) cloud.Driver {
			l = lab(t)
			if wrap == nil {
				return l.driver(t, nil)
			}
			return l.driver(t, wrap(t))
		},
		Region: doRegion, Zones: []string{doRegion}, UnknownSize: "s-3vcpu-5gb", TinySize: "s-1vcpu-2gb", TooMany: true,
		Blocked: []cloud.Kind{"tag", "vpc"},
		Change: func(r cloud.Resource, field string) any {
			if s, ok := r.Spec.(*digitalocean.FirewallSpec); ok && field == "droplets" {
				c := *s
				c.Droplets = []string{l.someDroplet()}
				return &c
			}
			return doChange(r, field)
		},
		WrongCredentials: func(t *testing.T) cloud.Driver { return lab(t).wrong(t) },
		Terminate: func(t *testing.T, _ cloud.Driver, m cloud.Object) {
			c, id := l.client(t), doID(t, m)
			if _, err := c.Droplets.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			doUntil(t, c, id, func(x *godo.Droplet) bool { return x == nil })
		},
		Stop: func(t *testing.T, _ cloud.Driver, m cloud.Object) {
			c, id := l.client(t), doID(t, m)
			if _, _, err := c.DropletActions.PowerOff(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			doUntil(t, c, id, func(x *godo.Droplet) bool { return x != nil && x.Status == "off" })
		},
		Stall:   func(*testing.T, cloud.Driver) func() { return l.stall() },
		Timeout: 90 * time.Second,
	}
}

func TestDigitalOceanOnTheLab(t *testing.T) {
	for _, profile := range []world.Profile{world.Instant, world.Quick} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			cloudtest.Run(t, doHarness(func(t *testing.T) *doLab { return newDOLab(t, profile) }, nil))
		})
	}
}

// doChange makes the changes that the suite can't make by itself.
func doChange(r cloud.Resource, field string) any {
	switch s := r.Spec.(type) {
	case *digitalocean.FirewallSpec:
		c := *s
		other := []digitalocean.Rule{{Protocol: "tcp", Ports: "8000-9000", Peers: []string{"203.0.113.0/24"}}}
		switch field {
		case "inbound":
			c.Inbound = other
		case "outbound":
			c.Outbound = other
		default:
			return nil
		}
		return &c
	case *digitalocean.VPCSpec:
		return &digitalocean.VPCSpec{Name: "another", Range: s.Range}
	case *digitalocean.DropletSpec:
		c := *s
		if field == "name" {
			c.Name = "another-" + s.Name
			return &c
		}
		if len(s.Tags) == 1 { // a worker becomes one of the control plane's, as far as firewalls go
			c.Tags = []string{r.Site + "-tag-control-plane", s.Tags[0]}
			return &c
		}
	case *digitalocean.ReservedSpec:
		return &digitalocean.ReservedSpec{Droplet: r.Site + "-node-conf-web-1"}
	}
	return nil
}
