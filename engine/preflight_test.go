package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/store"
)

// changed counts the calls that changed something in the clouds.
func (s *scene) changed() int {
	n := 0
	for _, c := range s.clouds {
		for _, call := range c.Calls() {
			if call.Effect {
				n++
			}
		}
	}
	return n
}

func wantAll(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in:\n%s", p, text)
		}
	}
}

// TestRefused asks for what two accounts would refuse for three reasons: the plan tells all, a run does nothing.
func TestRefused(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	aws, gcp := s.clouds[cloud.AWS], s.clouds[cloud.GCP]
	aws.SetQuota(cloudtest.KindNetwork, 1) // a foreign one is there
	aws.Deny("create subnet")
	gcp.SetTypes(map[string][]string{"us-east4-a": {"t4", "t8"}, "us-east4-b": {"t4", "t8"}, "us-east4-c": {"t4", "t8"}})
	all := []string{
		"nothing was begun", "site one (account acc-aws, us-east-1): permission create subnet: the account lacks it",
		"site one (account acc-aws, us-east-1): quota network: the limit is 1 of kind network, of which 1 are used, and this needs 1 more",
		"site two (account acc-gcp, us-east4): spec.workers[0].size: found \"small\": machine type t2: us-east4 has no such type; the nearest are t4, t8",
	}
	_, err := s.engine.Plan(t.Context(), []byte(smallFile))
	if refused, ok := errors.AsType[*Refused](err); !ok || len(refused.Problems()) != 3 {
		t.Fatalf("the plan: %v", err)
	}
	wantAll(t, err.Error(), all...)
	uid := s.apply(smallFile)
	s.turn(uid)
	c, err := s.engine.store.GetClusterByUID(t.Context(), uid)
	if err != nil || c.Phase != store.Degraded {
		t.Fatalf("the cluster is %s: %v", c.Phase, err)
	}
	wantAll(t, c.Conditions[0].Message, all...)
	if n := s.changed(); n > 0 {
		t.Errorf("%d calls changed something", n)
	}
	if got := s.events(uid, "Refused"); len(got) != 3 {
		t.Errorf("events: %v", got)
	}
	runs, err := s.engine.store.ListRuns(t.Context(), uid, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, steps, err := s.engine.store.GetRun(t.Context(), runs[0].ID)
	if err != nil || runs[0].Outcome != OutcomeFailed || slices.ContainsFunc(steps, func(s store.Step) bool { return s.State != store.StepState("skipped") }) {
		t.Errorf("the run %s: %v %v", runs[0].Outcome, steps, err)
	}
	aws.SetQuota(cloudtest.KindNetwork, -1)
	aws.Deny()
	gcp.SetTypes(nil)
	s.ready(uid)
	s.delete(uid)
	s.asBefore()
}

// TestReplacedMakesRoom has a full quota, and a machine that is made again in the place of another.
func TestReplacedMakesRoom(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	s.clouds[cloud.GCP].SetQuota(cloudtest.KindMachine, 1)
	c, o := s.find(uid, "two-node-demo-web-1")
	c.Terminate(o.ID)
	s.turn(uid)
	s.ready(uid)
	c, o = s.find(uid, "two-node-demo-web-1")
	c.Tamper(o.ID, func(spec any) { spec.(*cloudtest.MachineSpec).Type = "t4" })
	s.turn(uid)
	s.ready(uid)
	if _, now := s.find(uid, "two-node-demo-web-1"); now.ID == o.ID {
		t.Error("the machine was not replaced")
	}
	s.delete(uid)
	s.asBefore()
}

// TestUnforeseen lets the look ahead fail: a note, and nothing else.
func TestUnforeseen(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	s.clouds[cloud.AWS].Inject(cloudtest.Fault{Op: cloudtest.OpPreflight, Class: cloud.Denied, Message: "not for you"})
	s.clouds[cloud.GCP].SetQuota(cloudtest.KindMachine, 9)
	s.clouds[cloud.GCP].Deny("list quotas")
	p, err := s.engine.Plan(t.Context(), []byte(smallFile))
	if err != nil {
		t.Fatal(err)
	}
	wantAll(t, fmt.Sprint(p.Graph.Notes), "what account acc-aws would refuse could not be found out in advance: preflight: not for you", "account acc-gcp: limits were not looked at")
	uid := s.apply(smallFile)
	s.ready(uid)
	s.clouds[cloud.AWS].ForgetCalls()
	s.turn(uid) // nothing is made, so nothing is asked
	for _, c := range s.clouds[cloud.AWS].Calls() {
		if c.Op == cloudtest.OpPreflight {
			t.Errorf("an idle run looked ahead: %s", c)
		}
	}
	s.delete(uid)
}

// TestUnmadeDriver has an account of which no driver can be made: its site is unknown, the other one is repaired.
func TestUnmadeDriver(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	whole := s.engine.opts.Drivers[cloud.AWS]
	s.engine.opts.Drivers[cloud.AWS] = func(context.Context, cloud.Account, cloud.Transport) (cloud.Driver, error) {
		return nil, &cloud.Error{Class: cloud.Invalid, Message: "the key is no key"}
	}
	clear(s.engine.drivers)
	c, o := s.find(uid, "two-net")
	c.Tamper(o.ID, func(spec any) { spec.(*cloudtest.NetworkSpec).DNS = false })
	s.turn(uid)
	at, err := s.engine.store.GetClusterByUID(t.Context(), uid)
	if err != nil || at.Phase != store.Degraded {
		t.Fatalf("the cluster is %s: %v", at.Phase, err)
	}
	wantAll(t, at.Conditions[0].Message, "site one (account acc-aws, us-east-1) could not be observed", "the key is no key")
	if _, o := s.find(uid, "two-net"); !o.Spec.(*cloudtest.NetworkSpec).DNS {
		t.Error("the other site was not repaired")
	}
	s.engine.opts.Drivers[cloud.AWS] = whole
	clear(s.engine.drivers)
	s.ready(uid)
	s.delete(uid)
	s.asBefore()
}

// TestNoBundle starts an engine that has nothing to install: nodes that have theirs keep it.
func TestNoBundle(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	bundle := s.engine.opts.Bundle
	s.engine.opts.Bundle = node.Bundle{}
	s.world.Fail = func(node, command string) error { return fmt.Errorf("%s was reached: %s", node, command) }
	s.turn(uid)
	at, err := s.engine.store.GetClusterByUID(t.Context(), uid)
	if err != nil || at.Phase != store.Degraded {
		t.Fatalf("the cluster is %s: %v", at.Phase, err)
	}
	wantAll(t, at.Conditions[0].Message, "without --bundle")
	if strings.Contains(at.Conditions[0].Message, "was reached") {
		t.Error("a node was reached")
	}
	s.engine.opts.Bundle, s.world.Fail = bundle, nil
	s.ready(uid)
	s.engine.opts.Bundle = node.Bundle{}
	s.delete(uid) // needs none
	s.asBefore()
}

// TestUpdateAccount gives an account other credentials while a cluster uses it.
func TestUpdateAccount(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	gcp := s.clouds[cloud.GCP]
	good := "new-" + canary
	whole := s.engine.opts.Drivers[cloud.GCP]
	s.engine.opts.Drivers[cloud.GCP] = func(_ context.Context, a cloud.Account, _ cloud.Transport) (cloud.Driver, error) {
		if a.Secrets["key"].Reveal() == good {
			return gcp, nil
		}
		other := cloudtest.New(cloudtest.Options{Provider: cloud.GCP, Account: "another", Regions: map[string][]string{"us-east4": {"us-east4-a"}}})
		other.Revoke(a.Secrets["key"].Reveal() != "another")
		return other, nil
	}
	clear(s.engine.drivers)
	s.turn(uid) // the old credentials are refused
	at, err := s.engine.store.GetClusterByUID(t.Context(), uid)
	if err != nil || at.Phase != store.Degraded {
		t.Fatalf("the cluster is %s: %v", at.Phase, err)
	}
	wantAll(t, at.Conditions[0].Message, "'skyweld account update acc-gcp --from-env'")
	update := func(secret string) error {
		_, err := s.engine.UpdateAccount(t.Context(), cloud.Account{Name: "acc-gcp", Secrets: map[string]cloud.Secret{"key": cloud.Secret(secret)}})
		return err
	}
	for secret, want := range map[string]string{"wrong": "was not changed", "another": "leads to another account"} {
		if err := update(secret); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("credentials %q: %v", secret, err)
		}
	}
	if _, err := s.engine.UpdateAccount(t.Context(), cloud.Account{Name: "acc-none"}); err == nil || !strings.Contains(err.Error(), "there is no account named") {
		t.Errorf("an account that isn't there: %v", err)
	}
	<-time.After(2 * time.Millisecond) // the time of an account's change is its version
	if err := update(good); err != nil {
		t.Fatal(err)
	}
	stored, err := s.engine.store.GetAccount(t.Context(), "acc-gcp")
	if err != nil || stored.Settings[SettingEgress] != "198.51.100.7" {
		t.Errorf("settings after the update: %v %v", stored.Settings, err)
	}
	s.ready(uid)
	s.engine.opts.Drivers[cloud.GCP] = whole
	s.delete(uid)
	s.asBefore()
}
