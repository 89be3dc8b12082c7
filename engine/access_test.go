package engine

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/store"
)

// lostRule takes the rule for SSH from a site's machines.
func (s *scene) lostRule(uid, key string) {
	s.t.Helper()
	c, o := s.find(uid, key)
	c.Tamper(o.ID, func(spec any) {
		f := spec.(*cloudtest.FirewallSpec)
		f.Rules = slices.DeleteFunc(f.Rules, func(r cloudtest.Rule) bool { return r.From == 22 })
	})
}

// sshSources are who may reach SSH at a site.
func (s *scene) sshSources(uid, key string) []string {
	s.t.Helper()
	_, o := s.find(uid, key)
	for _, r := range o.Spec.(*cloudtest.FirewallSpec).Rules {
		if r.From == 22 {
			return r.Sources
		}
	}
	return nil
}

// TestLostRule deletes the rules for SSH while there is something to do on nodes: they come back before that.
func TestLostRule(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	s.from("198.51.100.7")
	uid := s.apply(smallFile)
	s.ready(uid)
	s.lostRule(uid, "one-fw-nodes")
	s.lostRule(uid, "two-fw-nodes")
	s.apply(strings.Replace(smallFile, "count: 1", "count: 2", 1))
	s.ready(uid)
	if got := s.runs(uid, 2); !strings.Contains(got[0], "apply: succeeded") {
		t.Errorf("one run was not enough: %v", got)
	}
	s.delete(uid)
	s.asBefore()
}

// TestAccessThoughRefused mends who gets in even when the rest of the plan would be refused.
func TestAccessThoughRefused(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	s.lostRule(uid, "two-fw-nodes")
	s.clouds[cloud.GCP].SetQuota(cloudtest.KindMachine, 1)
	s.apply(strings.Replace(smallFile, "count: 1", "count: 2", 1))
	s.turn(uid)
	if got := s.sshSources(uid, "two-fw-nodes"); len(got) != 1 {
		t.Errorf("SSH is open to %v", got)
	}
	if got := s.events(uid, "Refused"); len(got) != 1 {
		t.Errorf("events: %v", got)
	}
	s.clouds[cloud.GCP].SetQuota(cloudtest.KindMachine, -1)
	s.ready(uid)
	s.delete(uid)
}

// TestEgressChanges moves the engine: each run finds out anew where it comes from, and keeps what it knew when it can't.
func TestEgressChanges(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	for _, name := range []string{"acc-aws", "acc-gcp"} {
		a, err := s.engine.store.GetAccount(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		delete(a.Settings, SettingEgress)
		if err := s.engine.store.PutAccount(t.Context(), a.Account); err != nil {
			t.Fatal(err)
		}
	}
	var found []netip.Prefix
	find := func(context.Context, string) ([]netip.Prefix, error) {
		if found == nil {
			return nil, errors.New("nobody answers")
		}
		return found, nil
	}
	s.engine.opts.FindEgress = find
	if _, err := s.engine.Plan(t.Context(), []byte(smallFile)); err == nil || !strings.Contains(err.Error(), "set it with 'skyweld account update acc-aws --egress'") {
		t.Errorf("a first plan with nothing known: %v", err)
	}
	at := func(text string) {
		s.from(text)
		found = []netip.Prefix{netip.MustParsePrefix(text + "/32")}
	}
	at("198.51.100.7")
	uid := s.apply(smallFile)
	s.ready(uid)
	at("198.51.100.8")
	s.apply(strings.Replace(smallFile, "count: 1", "count: 2", 1))
	s.ready(uid)
	for _, key := range []string{"one-fw-nodes", "two-fw-nodes"} {
		if got := s.sshSources(uid, key); !slices.Equal(got, []string{"198.51.100.8/32"}) {
			t.Errorf("%s: SSH is open to %v", key, got)
		}
	}
	found = nil // an engine that starts anew and can't find out
	s.engine.cancel()
	s.engine.store.Close()
	s.start()
	s.engine.opts.FindEgress = find
	s.turn(uid)
	c, err := s.engine.store.GetClusterByUID(t.Context(), uid)
	if err != nil || c.Phase != store.Ready {
		t.Errorf("the cluster is %s: %v %v", c.Phase, c.Conditions, err)
	}
	if got := s.sshSources(uid, "two-fw-nodes"); !slices.Equal(got, []string{"198.51.100.8/32"}) {
		t.Errorf("SSH is open to %v", got)
	}
	s.delete(uid)
	s.asBefore()
}

func TestAgreed(t *testing.T) {
	a, b := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
	for _, test := range []struct {
		answers []netip.Addr
		want    string
	}{
		{[]netip.Addr{{}, {}, {}}, ""},
		{[]netip.Addr{a, {}, {}}, "203.0.113.1/32"},
		{[]netip.Addr{a, b, a}, "203.0.113.1/32"},
		{[]netip.Addr{b, a, {}}, "203.0.113.1/32 203.0.113.2/32"},
	} {
		var got []string
		for _, p := range agreed(test.answers) {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%v: %v, want %s", test.answers, got, test.want)
		}
	}
}

func TestParsePrefixes(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.7":              "203.0.113.7/32",
		"203.0.113.7/24, 10.0.0.1": "203.0.113.0/24 10.0.0.1/32",
		"0.0.0.0/0":                "never everybody",
		"0.0.0.0/1,128.0.0.0/1":    "never everybody",
		"2001:db8::1":              "IPv6",
		"example.com":              "neither an address nor a range",
		"":                         "neither an address nor a range",
	} {
		list, err := ParsePrefixes(text)
		var got []string
		for _, p := range list {
			got = append(got, p.String())
		}
		if shown := strings.Join(got, " "); err == nil && shown != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, error %v; want %q", text, shown, err, want)
		}
	}
}
