package conformance_test

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/aws"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/cloud/gcp"
	"github.com/skyweld/skyweld/lab/world"
)

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer is a response that no server gave.
func answer(r *http.Request, code int, kind, body string) *http.Response {
	return &http.Response{
		StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// deniedActions refuses some of Amazon's actions, as IAM does.
func deniedActions(actions ...string) cloud.Transport {
	return func(next http.RoundTripper) http.RoundTripper {
		return transport(func(r *http.Request) (*http.Response, error) {
			if target := r.Header.Get("X-Amz-Target"); target != "" && slices.Contains(actions, "servicequotas") {
				return answer(r, 400, "application/x-amz-json-1.1", `{"__type":"AccessDeniedException","message":"User: u is not authorized to perform: servicequotas:GetServiceQuota"}`), nil
			}
			if r.Body == nil {
				return next.RoundTrip(r)
			}
			data, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			r = r.Clone(r.Context())
			r.Body = io.NopCloser(strings.NewReader(string(data)))
			form, err := url.ParseQuery(string(data))
			if err != nil || !slices.Contains(actions, form.Get("Action")) {
				return next.RoundTrip(r)
			}
			return answer(r, 403, "text/xml", `<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized to perform this operation.`+
				` Encoded authorization failure message: AbCdEf</Message></Error></Errors><RequestID>x</RequestID></Response>`), nil
		})
	}
}

func (l *awsLab) wrapped(t *testing.T, wrap cloud.Transport) cloud.Driver {
	t.Helper()
	d, err := aws.New(t.Context(), l.account, counting(t, cloud.AWS, awsNeeds, l.guarded(awsPolicy(t), wrap)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// ahead is what a driver finds about a site, one problem a line.
func ahead(t *testing.T, d cloud.Driver, site cloud.Site) (problems, notes string) {
	t.Helper()
	list, err := d.Blueprint(cloudtest.TestOwner, site)
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.Preflight(t.Context(), cloud.PreflightRequest{Owner: cloudtest.TestOwner, Create: list, Roles: cloudtest.Roles(site)})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range f.Problems {
		lines = append(lines, string(p.Class)+" "+p.String())
	}
	return strings.Join(lines, "\n"), strings.Join(f.Notes, "\n")
}

func holds(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in:\n%s", p, text)
		}
	}
}

// TestAWSAhead asks for what the account can't have, for every reason there is.
func TestAWSAhead(t *testing.T) {
	lab := newAWSLab(t, world.Instant)
	site := awsSite()
	plain := lab.driver(t, awsSecret)
	problems, _ := ahead(t, plain, sized(site, "m6i.xxlarge", "m6g.xlarge", "t3.nano"))
	holds(t, problems, "invalid instance type m6i.xxlarge: us-east-1 has no such type; the nearest are m6i.", "invalid instance type m6g.xlarge: it is for arm64; Skyweld's machines are amd64; the nearest are ")
	problems, _ = ahead(t, plain, sized(site, "m6i.16xlarge", "small"))
	holds(t, problems, "quota quota L-1216C47A (Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances): the limit is 64 vCPUs, of which 0 are used, and this needs 68 more",
		"aws service-quotas request-service-quota-increase --region us-east-1 --service-code ec2 --quota-code L-1216C47A --desired-value 68")
	denied := lab.wrapped(t, deniedActions("RunInstances", "AssociateAddress", "DescribeInstanceTypes", "servicequotas"))
	problems, notes := ahead(t, denied, site)
	holds(t, problems, "denied permission ec2:RunInstances: the account lacks it", "denied permission ec2:AssociateAddress")
	if strings.Count(problems, "\n") != 1 {
		t.Errorf("more was found than is denied:\n%s", problems)
	}
	holds(t, notes, "looking up instance types in us-east-1 was not possible", "ec2:DescribeInstanceTypes", "servicequotas:GetServiceQuota")
	if _, err := cloudtest.Build(t.Context(), plain, cloudtest.TestOwner, site); err != nil {
		t.Fatal(err)
	}
	problems, _ = ahead(t, plain, sized(site, "m6i.8xlarge", "m6i.8xlarge", "small"))
	holds(t, problems, "of which 10 are used, and this needs 66 more")
	// Four more of each address: five is the limit, and two are there.
	more := site
	more.Machines = nil
	for i := range 4 {
		m := site.Machines[0]
		m.Name += "-x" + string(rune('a'+i))
		for range i + 20 {
			m.Address = m.Address.Next()
		}
		more.Machines = append(more.Machines, m)
	}
	problems, _ = ahead(t, plain, more)
	holds(t, problems, "quota quota L-0263D0A3 (EC2-VPC Elastic IPs): the limit is 5 of it, of which 2 are used, and this needs 4 more")
}

// TestAWSRegionOfOthers works in a region that the account hasn't switched on.
func TestAWSRegionOfOthers(t *testing.T) {
	lab := newAWSLab(t, world.Instant)
	d := lab.driver(t, awsSecret)
	want := []string{"the account doesn't have the region af-south-1", "it has ap-northeast-1", "us-east-1", "aws account enable-region --region-name af-south-1"}
	_, err := d.Observe(t.Context(), cloudtest.TestOwner.UID, "af-south-1")
	if err == nil || cloud.ClassOf(err) != cloud.Denied {
		t.Fatalf("observe: %v", err)
	}
	holds(t, err.Error(), want...)
	if _, err = d.Check(t.Context(), "af-south-1"); err == nil {
		t.Fatal("the check passed")
	}
	holds(t, err.Error(), want...)
	account := lab.account
	account.Settings = map[string]string{aws.SettingEndpoint: lab.server.URL, aws.SettingRegion: "af-south-1"}
	away, err := aws.New(t.Context(), account, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = away.Check(t.Context()); err == nil {
		t.Fatal("the check of an account at home in such a region passed")
	}
	holds(t, err.Error(), want...)
}

// TestGCPAhead is TestAWSAhead for Google.
func TestGCPAhead(t *testing.T) {
	lab := newGCPLab(t, world.Instant)
	site := gcpSite()
	plain := lab.driver(t, nil)
	problems, notes := ahead(t, plain, sized(site, "e2-standard-3"))
	holds(t, problems, "invalid machine type e2-standard-3: us-east4 has no such type; the nearest are e2-standard-")
	if notes != "" {
		t.Errorf("notes: %s", notes)
	}
	problems, _ = ahead(t, plain, sized(site, "n1-standard-96"))
	holds(t, problems, "quota quota CPUS: the limit is 72 vCPUs, of which 0 are used, and this needs 102 more", "ask for a limit of 102 or more (us-east4, at https://console.cloud.google.com/iam-admin/quotas?project=skyweld-lab)")
	lacking := func(next http.RoundTripper) http.RoundTripper {
		return transport(func(r *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, ":testIamPermissions") {
				return next.RoundTrip(r)
			}
			data, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			r = r.Clone(r.Context())
			data = []byte(strings.ReplaceAll(string(data), `"compute.instances.create",`, ""))
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(string(data))), int64(len(data))
			return next.RoundTrip(r)
		})
	}
	problems, _ = ahead(t, lab.driver(t, lacking), site)
	if problems != "denied permission compute.instances.create: the account lacks it in project skyweld-lab; add it to the account's role (docs/accounts/gcp-role.yaml lists all that Skyweld needs)" {
		t.Errorf("problems: %s", problems)
	}
	switchedOff := func(next http.RoundTripper) http.RoundTripper {
		return transport(func(r *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, ":testIamPermissions") {
				return next.RoundTrip(r)
			}
			return answer(r, 403, "application/json", `{"error":{"code":403,"message":"Cloud Resource Manager API has not been used in project 1 before or it is disabled.","status":"PERMISSION_DENIED",`+
				`"errors":[{"message":"disabled","domain":"usageLimits","reason":"accessNotConfigured"}]}}`), nil
		})
	}
	off := lab.driver(t, switchedOff)
	problems, notes = ahead(t, off, site)
	if problems != "" || !strings.Contains(notes, "gcloud services enable cloudresourcemanager.googleapis.com") {
		t.Errorf("problems %q, notes %q", problems, notes)
	}
	if rep, err := off.Check(t.Context(), gcpRegion); err != nil || len(rep.Missing) > 0 {
		t.Errorf("the check by trying: %v %v", rep.Missing, err)
	}
	if rep, err := lab.driver(t, lacking).Check(t.Context(), gcpRegion); err != nil || len(rep.Missing) != 1 || rep.Missing[0].Action != "compute.instances.create" {
		t.Errorf("the check by asking: %v %v", rep.Missing, err)
	}
	_, err := plain.Observe(t.Context(), cloudtest.TestOwner.UID, "mars-north1")
	if err == nil {
		t.Fatal("a region that isn't there was observed")
	}
	holds(t, err.Error(), "project skyweld-lab doesn't have the region mars-north1; it has africa-south1", "us-east4")
}

// TestUnreachable has the drivers call where nobody answers, or somebody who isn't trusted.
func TestUnreachable(t *testing.T) {
	away, gone := newAWSLab(t, world.Instant), newGCPLab(t, world.Instant)
	untrusted, other := away.account, gone.account
	untrusted.CA, other.CA = "", ""
	for name, open := range map[string]func() (cloud.Driver, error){
		"aws untrusted": func() (cloud.Driver, error) { return awsNew(t, untrusted) },
		"gcp untrusted": func() (cloud.Driver, error) { return gcpNew(t, other) },
	} {
		d, err := open()
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Observe(t.Context(), cloudtest.TestOwner.UID, map[string]string{"aws untrusted": awsRegion, "gcp untrusted": gcpRegion}[name])
		if err == nil || cloud.ClassOf(err) != cloud.Invalid {
			t.Fatalf("%s: %v, class %s", name, err, cloud.ClassOf(err))
		}
		holds(t, err.Error(), "the certificate of 127.0.0.1:", "is not trusted here")
	}
	away.server.Close()
	gone.server.Close()
	for name, open := range map[string]func() (cloud.Driver, error){
		"aws": func() (cloud.Driver, error) { return awsNew(t, away.account) },
		"gcp": func() (cloud.Driver, error) { return gcpNew(t, gone.account) },
	} {
		d, err := open()
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Check(t.Context())
		if err == nil || cloud.ClassOf(err) != cloud.Unavailable {
			t.Fatalf("%s: %v", name, err)
		}
		holds(t, err.Error(), "nothing listens at 127.0.0.1:", "connection refused")
		if strings.Contains(err.Error(), "operation error") || strings.Contains(err.Error(), "dial tcp") {
			t.Errorf("%s: the SDK's words are shown: %v", name, err)
		}
	}
}

func awsNew(t *testing.T, a cloud.Account) (cloud.Driver, error) { return awsNewWith(t, a, nil) }

func awsNewWith(t *testing.T, a cloud.Account, wrap cloud.Transport) (cloud.Driver, error) {
	t.Helper()
	return aws.New(t.Context(), a, wrap)
}

func gcpNew(t *testing.T, a cloud.Account) (cloud.Driver, error) {
	t.Helper()
	return gcp.New(t.Context(), a, nil)
}
