package conformance_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/cloud/digitalocean"
	labdo "github.com/skyweld/skyweld/lab/digitalocean"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

// limitedDO is the lab's DigitalOcean with its limits on, without a network in between: in a bubble hours pass at once.
type limitedDO struct {
	t       *testing.T
	service *labdo.Service

	mu      sync.Mutex
	calls   int
	refused int // answers that there were too many
	under   int // droplets that are being made
	most    int // of those at once
}

// bubble runs a test in its own time on such a lab.
func bubble(t *testing.T, limits labdo.Limits, run func(*testing.T, *limitedDO)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		service, err := labdo.New(labdo.Config{Physical: paper.New(), Dir: dir, Token: doToken, Profile: world.RealTime, Pools: paper.Pools(), Limits: limits})
		if err != nil {
			t.Fatal(err)
		}
		run(t, &limitedDO{t: t, service: service})
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
}

// driver opens the account once more: each driver knows only what the answers tell it.
func (l *limitedDO) driver() cloud.Driver {
	l.t.Helper()
	d, err := digitalocean.New(l.t.Context(), cloud.Account{
		Name: "lab", Provider: cloud.DigitalOcean, Settings: map[string]string{digitalocean.SettingEndpoint: "https://api.invalid/"},
		Secrets: map[string]cloud.Secret{digitalocean.SecretToken: doToken},
	}, func(http.RoundTripper) http.RoundTripper { return roundTripper(l.roundTrip) })
	if err != nil {
		l.t.Fatal(err)
	}
	return d
}

func (l *limitedDO) roundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+doToken) // what the driver does below
	if r.Body == nil {
		r.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	l.service.ServeHTTP(rec, r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	switch {
	case rec.Code == http.StatusTooManyRequests:
		l.refused++
	case r.Method == http.MethodPost && r.URL.Path == "/v2/droplets":
		l.under++
		l.most = max(l.most, l.under)
	}
	return rec.Result(), nil
}

// elapsed runs something and returns how long it took, in the bubble's time.
func elapsed(run func()) time.Duration {
	start := time.Now()
	run()
	return time.Since(start)
}

// reads makes n calls that only read, as many at once.
func (l *limitedDO) reads(n, atOnce int, drivers ...cloud.Driver) {
	l.t.Helper()
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i := range n {
		g.Go(func() error {
			_, err := drivers[i%len(drivers)].(cloud.BlockRuler).TakenBlocks(l.t.Context())
			return err
		})
	}
	if err := g.Wait(); err != nil {
		l.t.Errorf("a read failed: %v", err)
	}
}

// TestDigitalOceanBurst makes more calls at once than a minute allows: the rest waits for the next minute, and none is
// refused; nor is one in an hour's worth of bursts.
func TestDigitalOceanBurst(t *testing.T) {
	bubble(t, labdo.Limits{}, func(t *testing.T, l *limitedDO) {
		d := l.driver()
		l.reads(1, 1, d) // from here on it knows the limits
		if took := elapsed(func() { l.reads(600, 600, d) }); took < 2*time.Minute || took > 3*time.Minute {
			t.Errorf("600 calls took %v, want a little more than two minutes", took)
		}
		if l.refused > 0 {
			t.Errorf("%d calls were refused", l.refused)
		}
		took := elapsed(func() { l.reads(5400, 8, d) }) // with the first 601 more than an hour's
		if took < 50*time.Minute || took > 2*time.Hour {
			t.Errorf("more than 5,000 calls took %v, want about an hour", took)
		}
		if l.refused > 0 || l.calls != 6001 {
			t.Errorf("%d of %d calls were refused", l.refused, l.calls)
		}
	})
}

// TestDigitalOceanStranger shares the token with somebody who uses up the minute: the driver waits as long as the answer
// says, and goes on with what it was doing, be it a list or a creation. Who can't wait is told what is wrong, at once.
func TestDigitalOceanStranger(t *testing.T) {
	bubble(t, labdo.Limits{}, func(t *testing.T, l *limitedDO) {
		d := l.driver()
		l.reads(1, 1, d)
		use := func() {
			for range 249 {
				r := httptest.NewRequest(http.MethodGet, "https://api.invalid/v2/account", nil)
				if _, err := l.roundTrip(r); err != nil {
					t.Fatal(err)
				}
			}
		}
		use()
		if took := elapsed(func() { l.reads(3, 3, d) }); took < 59*time.Second || took > 62*time.Second {
			t.Errorf("the reads took %v, want the minute that the answer asked for", took)
		}
		time.Sleep(2 * time.Minute)
		use()
		l.reads(1, 1, d)
		list, err := d.Blueprint(cloudtest.TestOwner, cloudtest.DefaultSite("conf", doRegion, []string{doRegion}))
		if err != nil {
			t.Fatal(err)
		}
		made := 0
		took := elapsed(func() {
			for _, r := range list {
				if r.Kind == "tag" {
					if _, err := d.Create(t.Context(), cloud.CreateRequest{Owner: cloudtest.TestOwner, Resource: r, Token: fmt.Sprintf("%032x", 7)}); err != nil {
						t.Errorf("create %s: %v", r.Key, err)
					}
					made++
				}
			}
		})
		if made == 0 || took < 55*time.Second || took > 62*time.Second {
			t.Errorf("%d tags took %v, want the minute that the answer asked for", made, took)
		}
		time.Sleep(2 * time.Minute)
		use()
		l.reads(1, 1, d)
		hasty, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		took = elapsed(func() { _, err = d.Observe(hasty, cloudtest.TestOwner.UID, doRegion) })
		if cloud.ClassOf(err) != cloud.Throttled || took > 10*time.Second {
			t.Errorf("who has ten seconds is told after %v: %v", took, err)
		}
	})
}

// TestDigitalOceanTwoDrivers has two engines use one token, neither of which knows of the other.
func TestDigitalOceanTwoDrivers(t *testing.T) {
	bubble(t, labdo.Limits{}, func(t *testing.T, l *limitedDO) {
		took := elapsed(func() { l.reads(1500, 40, l.driver(), l.driver()) })
		if took < 5*time.Minute || took > 8*time.Minute {
			t.Errorf("1,500 calls took %v, want a little more than five minutes", took)
		}
		t.Logf("%d of %d calls were refused, and made again", l.refused, l.calls)
	})
}

// TestDigitalOceanTenAtOnce makes 25 droplets at once: never more than ten are under way.
func TestDigitalOceanTenAtOnce(t *testing.T) {
	bubble(t, labdo.Limits{Droplets: 30}, func(t *testing.T, l *limitedDO) {
		d := l.driver()
		site := cloudtest.DefaultSite("conf", doRegion, []string{doRegion})
		m := site.Machines[len(site.Machines)-1]
		site.Machines = nil
		for i := range 25 {
			m.Name, m.Address = "conf-web-"+strconv.Itoa(i+1), m.Address.Next()
			site.Machines = append(site.Machines, m)
		}
		list, err := d.Blueprint(cloudtest.TestOwner, site)
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]cloud.Object{}
		var g errgroup.Group
		for _, r := range list {
			req := cloud.CreateRequest{Owner: cloudtest.TestOwner, Resource: r, Refs: have, Token: fmt.Sprintf("%032x", 9)}
			if r.Kind != "droplet" {
				if have[r.Key], err = d.Create(t.Context(), req); err != nil {
					t.Fatal(err)
				}
				continue
			}
			req.UserData = []byte("#cloud-config\n{}\n")
			g.Go(func() error {
				_, err := d.Create(t.Context(), req)
				l.mu.Lock()
				defer l.mu.Unlock()
				l.under--
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if l.most != 10 {
			t.Errorf("%d droplets were under way at once, want ten", l.most)
		}
		t.Logf("%d calls, of which %d were refused", l.calls, l.refused)
	})
}
