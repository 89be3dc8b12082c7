package aws

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// called finds the operations that the driver's source calls, as policies name them.
func called(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("the driver's source: %v", err)
	}
	calls := regexp.MustCompile(`\b(ec2|sts|servicequotas)\.([A-Z]\w+)Input\{`)
	out := map[string]bool{}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") || f == "probes.go" {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range calls.FindAllStringSubmatch(string(text), -1) {
			out[m[1]+":"+m[2]] = true
		}
	}
	if len(out) < 40 {
		t.Fatalf("only %d operations were found in the source", len(out))
	}
	return out
}

// tried are the actions that Check makes itself without a probe.
var tried = []string{
	"ec2:DescribeImages", "ec2:DescribeRegions", "sts:GetCallerIdentity", // without these there is no check
	"ec2:DescribeAccountAttributes", "servicequotas:GetServiceQuota", "servicequotas:GetAWSDefaultServiceQuota", // done without
}

// TestProbesAreComplete holds the probes against the calls in the source: each is tried, and nothing else.
func TestProbesAreComplete(t *testing.T) {
	probed := map[string]bool{}
	for _, p := range probes("ami-00000000000000000") {
		if probed[p.action] {
			t.Errorf("%s is tried twice", p.action)
		}
		probed[p.action] = true
	}
	calls := called(t)
	for action := range calls {
		if !probed[action] && !slices.Contains(tried, action) {
			t.Errorf("the driver calls %s, and no probe tries it", action)
		}
	}
	for action := range probed {
		if !calls[action] && action != "ec2:CreateTags" { // needed to tag what is made
			t.Errorf("%s is tried, and the driver never calls it", action)
		}
	}
	for _, k := range (*Driver)(nil).Kinds() {
		if k.Kind == kindVolume || k.Kind == kindInterface {
			continue // never made by themselves
		}
		if !slices.ContainsFunc(probes(""), func(p probe) bool { return slices.Contains(p.makes, k.Kind) }) {
			t.Errorf("no probe is for the creation of %s", k.Kind)
		}
	}
}

// TestPolicyIsComplete holds the policy for users against the calls in the source.
func TestPolicyIsComplete(t *testing.T) {
	data, err := os.ReadFile("../../docs/accounts/aws-policy.json")
	if err != nil {
		t.Fatal(err)
	}
	var policy struct {
		Statement []struct{ Action []string }
	}
	if err := json.Unmarshal(data, &policy); err != nil {
		t.Fatal(err)
	}
	allowed, calls := map[string]bool{}, called(t)
	for _, s := range policy.Statement {
		for _, a := range s.Action {
			allowed[a] = true
			if !calls[a] && a != "ec2:CreateTags" {
				t.Errorf("the policy allows %s, which the driver never calls", a)
			}
		}
	}
	for a := range calls {
		if !allowed[a] && a != "sts:GetCallerIdentity" { // which everybody may ask
			t.Errorf("the driver calls %s, which the policy doesn't allow", a)
		}
	}
}

func TestVCPULimit(t *testing.T) {
	for name, want := range map[string]string{
		"t3.medium": "L-1216C47A", "m6i.xlarge": "L-1216C47A", "is4gen.large": "L-1216C47A", "im4gn.large": "L-1216C47A", "g5.xlarge": "L-DB2E81BA",
		"p4d.24xlarge": "L-417A185B", "x2idn.16xlarge": "L-7295265B", "inf2.xlarge": "L-1945791B", "u-6tb1.56xlarge": "L-43DA4232", "mac2.metal": "",
	} {
		if q, _ := vcpuLimit(name); q.code != want {
			t.Errorf("%s: %s, want %s", name, q.code, want)
		}
	}
}
