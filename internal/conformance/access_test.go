package conformance_test

import (
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/plan"
)

// mended plans from what a driver observes, with every machine to be contacted and one more to be made, and holds that
// who may reach machines is decided first. It carries these steps out and returns them.
func mended(t *testing.T, d cloud.Driver, site cloud.Site) []string {
	t.Helper()
	want, err := d.Blueprint(cloudtest.TestOwner, site)
	if err != nil {
		t.Fatal(err)
	}
	list, err := d.Observe(t.Context(), cloudtest.TestOwner.UID, site.Region)
	if err != nil {
		t.Fatal(err)
	}
	in := plan.Input{Kinds: map[string][]cloud.KindInfo{site.Name: d.Kinds()}, Want: want, Initialized: true}
	objects := map[string]cloud.Object{}
	for _, o := range list {
		objects[o.Key] = o
		in.Got = append(in.Got, plan.Observed{Object: o, Site: site.Name, Recorded: true})
	}
	for _, m := range site.Machines {
		in.Nodes = append(in.Nodes, plan.Node{Name: m.Name, Site: site.Name, Role: m.Role, Machine: machineKey(want, m.Name), Wanted: true})
	}
	g, err := plan.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	var access []plan.Step
	for _, s := range g.Steps {
		if s.Want != nil && isAccess(d, s.Kind) {
			access = append(access, s)
		}
	}
	var done []string
	for i, s := range access {
		if g.Steps[i].ID != s.ID {
			t.Errorf("step %d is %s, before the access step %s", i, g.Steps[i].ID, s.ID)
		}
		refs := map[string]cloud.Object{}
		for _, k := range s.Want.DependsOn {
			refs[k] = objects[k]
		}
		if s.Action == plan.Create {
			_, err = d.Create(t.Context(), cloud.CreateRequest{Owner: cloudtest.TestOwner, Resource: *s.Want, Refs: refs, Token: strings.Repeat("5", 32)})
		} else {
			_, err = d.Update(t.Context(), cloud.UpdateRequest{Owner: cloudtest.TestOwner, Resource: *s.Want, Object: *s.Got, Fields: s.Fields, Refs: refs})
		}
		if err != nil {
			t.Fatalf("%s: %v", s.ID, err)
		}
		done = append(done, s.ID)
	}
	for _, s := range g.Steps {
		if s.Kind == plan.NodeKind && (s.Action == plan.Prepare || s.Action == plan.Configure) {
			for _, a := range access {
				if !slices.Contains(s.DependsOn, a.ID) {
					t.Errorf("%s doesn't wait for %s", s.ID, a.ID)
				}
			}
		}
	}
	return done
}

func machineKey(want []cloud.Resource, machine string) string {
	for _, r := range want {
		if r.Machine == machine && (r.Kind == "instance" || r.Kind == cloudtest.KindMachine) {
			return r.Key
		}
	}
	return ""
}

func isAccess(d cloud.Driver, kind cloud.Kind) bool {
	return slices.ContainsFunc(d.Kinds(), func(k cloud.KindInfo) bool { return k.Kind == kind && k.Access })
}

// oneMore adds a worker to a site, so that there is something to make beside what is mended.
func oneMore(site cloud.Site) cloud.Site {
	m := site.Machines[len(site.Machines)-1]
	m.Name, m.Address = "conf-web-2", m.Address.Next()
	site.Machines = append(slices.Clone(site.Machines), m)
	return site
}

// TestAWSLostAccess takes the rules for SSH and the API away by hand.
func TestAWSLostAccess(t *testing.T) {
	lab := newAWSLab(t, world.Instant)
	d, c := lab.driver(t, awsSecret), lab.client()
	b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, awsSite())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"conf-sg-nodes", "conf-sg-control-plane"} {
		out, err := c.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{GroupIds: []string{b.Objects[key].ID}})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range out.SecurityGroups[0].IpPermissions {
			if sdk.ToString(p.IpProtocol) != "tcp" {
				continue
			}
			in := &ec2.RevokeSecurityGroupIngressInput{GroupId: out.SecurityGroups[0].GroupId, IpPermissions: []types.IpPermission{p}}
			if _, err := c.RevokeSecurityGroupIngress(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
	}
	if done := mended(t, d, oneMore(awsSite())); !slices.Equal(done, []string{"update/conf-sg-control-plane", "update/conf-sg-nodes"}) {
		t.Errorf("mended: %v", done)
	}
	for _, r := range b.Resources {
		if r.Kind == "security-group" {
			if diffs, err := plan.Diff(r.Spec, observed(t, d)[r.Key].Spec); err != nil || len(diffs) > 0 {
				t.Errorf("%s still differs: %v %v", r.Key, diffs, err)
			}
		}
	}
	if s, ok := observed(t, d)["conf-sg-nodes"].Spec.(*aws.SecurityGroupSpec); !ok || !slices.ContainsFunc(s.Ingress, func(r aws.Rule) bool { return r.From == 22 }) {
		t.Errorf("SSH is closed: %+v", s)
	}
}

// TestGCPLostAccess deletes the whole rule for SSH, and empties the one for the API.
func TestGCPLostAccess(t *testing.T) {
	lab := newGCPLab(t, world.Instant)
	d, api := lab.driver(t, nil), lab.client(t)
	b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, gcpSite())
	if err != nil {
		t.Fatal(err)
	}
	_, name := gcpName(b.Objects["conf-fw-ssh"])
	op, err := api.Firewalls.Delete(gcpProject, name).Context(t.Context()).Do()
	gcpDone(t, api, op, err)
	_, name = gcpName(b.Objects["conf-fw-api"])
	rule, err := api.Firewalls.Get(gcpProject, name).Context(t.Context()).Do()
	if err != nil {
		t.Fatal(err)
	}
	rule.SourceRanges = []string{"192.0.2.77/32"}
	op, err = api.Firewalls.Patch(gcpProject, name, rule).Context(t.Context()).Do()
	gcpDone(t, api, op, err)
	done := mended(t, d, oneMore(gcpSite()))
	slices.Sort(done)
	if !slices.Equal(done, []string{"create/conf-fw-ssh", "update/conf-fw-api"}) {
		t.Errorf("mended: %v", done)
	}
	now := gcpObserved(t, d)
	for _, r := range b.Resources {
		if r.Kind == "firewall" {
			if diffs, err := plan.Diff(r.Spec, now[r.Key].Spec); err != nil || len(diffs) > 0 {
				t.Errorf("%s still differs: %v %v", r.Key, diffs, err)
			}
		}
	}
}
