package web

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/a-h/templ"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/price"
)

// rendered is a part of a page as an admin sees it.
func rendered(t *testing.T, part templ.Component) string {
	t.Helper()
	var b bytes.Buffer
	a := &call{who: auth.Principal{Name: "ada", Role: auth.Admin}}
	if err := part.Render(context.WithValue(t.Context(), callKey{}, a), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestCheckPage: each permission that is missing is there with what to do, and how to get it; quotas that are nearly used up
// stand out.
func TestCheckPage(t *testing.T) {
	c := checked{acc: api.Account{Name: "my-aws", Provider: "aws"}, report: api.AccountReport{
		Account: "123456789012", Identity: "arn:aws:iam::123456789012:user/skyweld", Regions: []string{"us-east-1"},
		Missing: []cloud.Missing{
			{Action: "ec2:RunInstances", Region: "us-east-1", Detail: "You are not <authorized>"},
			{Action: "Microsoft.Compute", Advice: "register the namespace"},
		},
		Quotas: []cloud.Quota{{Name: "VPCs", Region: "us-east-1", Limit: 5, Used: 5}, {Name: "Elastic IPs", Limit: 10, Used: 1}, {Name: "vCPUs", Limit: 32, Used: -1}, {Name: "none at all", Limit: 0}},
	}}
	c.quotas = c.report.Quotas
	page := rendered(t, checkPage(c))
	for _, want := range []string{
		"2 permissions missing", "ec2:RunInstances", "You are not &lt;authorized&gt;", "Grant it", "Register the namespace", "aws-policy.json", "create-policy-version", "100 %", "10 %", "not known",
		"/account-help/aws", "arn:aws:iam::123456789012:user/skyweld",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("it doesn't say %q", want)
		}
	}
	c.failed = "the key <b> is unknown"
	if page := rendered(t, checkPage(c)); !strings.Contains(page, "the key &lt;b&gt; is unknown") || strings.Contains(page, "None is missing") {
		t.Errorf("a check that failed: %s", page)
	}
}

// TestAccountInTrouble: an account whose credentials are refused says so, and what to do.
func TestAccountInTrouble(t *testing.T) {
	acc := api.Account{Name: "my-aws", Provider: "aws", Proxy: "socks5://127.0.0.1:1080", Settings: map[string]string{"endpoint": "https://<x>"}}
	acc.State, acc.Message, acc.LastError = "CredentialsRefused", "nobody is let in", "ec2: <AuthFailure>"
	acc.Buckets = []api.Bucket{{Region: "us-east-1", Family: "ec2", State: "CircuitOpen", Tokens: 3, Rate: 2.5, Limit: 5, Message: "it failed five times"}}
	page := rendered(t, accountPage(acc))
	for _, want := range []string{"Credentials refused", "Nobody is let in", "Replace the credentials", "ec2: &lt;AuthFailure&gt;", "It failed five times", "2.5 of 5", "Endpoint of all services", "https://&lt;x&gt;", "socks5://127.0.0.1:1080"} {
		if !strings.Contains(page, want) {
			t.Errorf("it doesn't say %q", want)
		}
	}
	if page := rendered(t, accountsPage([]api.Account{acc})); !strings.Contains(page, "Nobody is let in") {
		t.Error("the list doesn't say what is wrong")
	}
}

// TestCost: what has no price is unknown, and never free; a sum without it says so.
func TestCost(t *testing.T) {
	use := func(c cloud.Provider, kind string) price.Use {
		return price.Use{Cloud: c, Site: "one", Region: map[cloud.Provider]string{"aws": "us-east-1", "gcp": "us-east4"}[c], Charge: cloud.Charge{Part: cloud.PartMachine, Type: kind}}
	}
	p := api.Plan{Cost: price.Comparison{After: price.EstimateOf([]price.Use{use("aws", "t3.medium"), use("aws", "t3.medium"), use("gcp", "strange-1")})}}
	page := rendered(t, costCard(p))
	aws := p.Cost.After.Clouds[0].Sum
	if aws.Unknown > 0 || aws.PerMonth == 0 {
		t.Fatalf("t3.medium costs %+v", aws)
	}
	for _, want := range []string{"$" + price.Hourly(aws.PerHour), "$" + price.Monthly(aws.PerMonth), "at least $" + price.Monthly(aws.PerMonth), "unknown", "strange-1", "traffic: to the internet", "AWS: " + p.Cost.After.Sources[0].From} {
		if !strings.Contains(page, strings.ReplaceAll(want, "'", "&#39;")) {
			t.Errorf("it doesn't say %q", want)
		}
	}
	if strings.Contains(page, "$0.0000") || strings.Contains(page, fmt.Sprintf("$%s", price.Monthly(0))) {
		t.Error("something is free")
	}
}
