package digitalocean

import (
	"net/http"
	"testing"
	"time"

	"github.com/skyweld/skyweld/lab/fault"
	"github.com/skyweld/skyweld/lab/world"
)

// TestRate runs into the limits of a minute and of an hour, and out of them.
func TestRate(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := newRate(Limits{PerHour: 5, PerMinute: 3}, func() time.Time { return now })
	admit := func(want bool, remaining, retry string) {
		t.Helper()
		h := http.Header{}
		if got := r.admit(h); got != want || h.Get("Ratelimit-Remaining") != remaining || h.Get("Retry-After") != retry || h.Get("Ratelimit-Limit") != "5" {
			t.Errorf("admitted %v, headers %v", got, h)
		}
	}
	admit(true, "4", "")
	now = now.Add(10 * time.Second)
	admit(true, "3", "")
	admit(true, "2", "")
	admit(false, "0", "50")
	now = now.Add(50 * time.Second)
	admit(true, "1", "")
	admit(false, "0", "10")
	now = now.Add(10 * time.Minute)
	admit(true, "0", "")
	admit(false, "0", "")
	now = now.Add(49 * time.Minute)
	admit(true, "0", "")
}

// TestAuthentication lets in nobody without the token, and gives each answer its headers.
func TestAuthentication(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Limits = Limits{PerHour: 4, PerMinute: 4} })
	_, _, err := l.client("another").Account.Get(ctx)
	l.refused(err, http.StatusUnauthorized, "Unable to authenticate you.")
	account, resp, err := l.Account.Get(ctx)
	if err != nil || account.DropletLimit != 25 || account.ReservedIPLimit != 3 || account.Status != "active" {
		t.Fatalf("account %+v, error %v", account, err)
	}
	if resp.Rate.Limit != 4 || resp.Rate.Remaining != 3 || time.Until(resp.Rate.Reset.Time) < 59*time.Minute || resp.Header.Get("X-Request-Id") == "" {
		t.Errorf("rate %+v", resp.Rate)
	}
	for range 3 {
		if _, _, err := l.Sizes.List(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	_, resp, err = l.Regions.List(ctx, nil)
	l.refused(err, http.StatusTooManyRequests, "API Rate limit exceeded.")
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestLimits(t *testing.T) {
	if l := (Limits{}).withDefaults(world.RealTime); l != (Limits{25, 3, 100, 5000, 250}) {
		t.Errorf("limits %+v", l)
	}
}

// TestFaults has each kind of fault strike, in DigitalOcean's words.
func TestFaults(t *testing.T) {
	l := newLab(t)
	d := l.droplet("a", "")
	set := fault.NewSet()
	l.server.Config.Handler = set.Handler(cloudName, l.service.Dialect(), l.service)
	for _, c := range []struct {
		rule    fault.Rule
		do      func() error
		status  int
		message string
	}{
		{fault.Rule{Kind: fault.Throttle}, l.get, 429, "API Rate limit exceeded."},
		{fault.Rule{Kind: fault.Deny, Action: "account:read"}, l.get, 403, "You are not authorized to perform this operation"},
		{fault.Rule{Kind: fault.Expire}, l.get, 401, "Unable to authenticate you."},
		{fault.Rule{Kind: fault.Error}, l.get, 500, "Unexpected server-side error"},
		{fault.Rule{Kind: fault.Quota, Action: "*:create"}, l.create, 422, "creating this/these droplet(s) will exceed your droplet limit"},
		{fault.Rule{Kind: fault.Capacity, Region: testRegion}, l.create, 422, "Size is not available in this region."},
		{fault.Rule{Kind: fault.Deny, Region: testRegion, Action: "droplet:delete"}, func() error { _, err := l.Droplets.Delete(ctx, d.ID); return err }, 403, "You are not authorized to perform this operation"},
	} {
		c.rule.Cloud = cloudName
		if _, err := set.Add(c.rule); err != nil {
			t.Fatal(err)
		}
		l.refused(c.do(), c.status, c.message)
		set.Clear()
	}
	for _, r := range []fault.Rule{{Kind: fault.Quota}, {Kind: fault.Deny, Region: "fra1"}, {Kind: fault.Capacity}} {
		r.Cloud = cloudName
		if _, err := set.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.get(); err != nil {
		t.Errorf("a fault about something else: %v", err)
	}
}

func (l *lab) get() error {
	_, _, err := l.Account.Get(ctx)
	return err
}

func (l *lab) create() error {
	_, _, err := l.Droplets.Create(ctx, request("b", ""))
	return err
}
