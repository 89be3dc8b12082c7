package conformance_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/internal/discovery"
	"github.com/skyweld/skyweld/lab/world"
)

// testDenied takes away each permission that a file for users grants, one at a time: the account's check must name that one
// and no other. What it can't see is in unseen, each with the reason.
func testDenied(t *testing.T, region string, grants []string, unseen map[string]string, open func(without string) cloud.Driver) {
	t.Helper()
	for _, p := range grants {
		rep, err := open(p).Check(t.Context(), region)
		var found []string
		for _, m := range rep.Missing {
			found = append(found, m.Action)
		}
		named := slices.Equal(found, []string{p})
		if err != nil { // without some there is no check at all
			named = cloud.ClassOf(err) == cloud.Denied && strings.Contains(err.Error(), p)
		}
		switch why, ok := unseen[p]; {
		case ok && named:
			t.Errorf("%s is named, and said not to be as %s", p, why)
		case ok && len(found) == 0 && err == nil:
		case !named:
			t.Errorf("without %s the check finds %q missing, error %v", p, found, err)
		}
	}
	for p := range unseen {
		if !slices.Contains(grants, p) {
			t.Errorf("%s is said not to be seen, and isn't granted", p)
		}
	}
	t.Logf("%d permissions, %d of them named when missing", len(grants), len(grants)-len(unseen))
}

// takingAway refuses what needs one permission.
func takingAway(without string, needs func(*http.Request, []byte) []string, refuse func(*http.Request) *http.Response) cloud.Transport {
	return func(next http.RoundTripper) http.RoundTripper {
		return reading(next, func(r *http.Request, body []byte) *http.Response {
			if slices.Contains(needs(r, body), without) {
				return refuse(r)
			}
			return nil
		})
	}
}

// awsUnseen are actions that are done without.
var awsUnseen = map[string]string{
	"ec2:DescribeAccountAttributes":           "it is asked only where Service Quotas can't be",
	"servicequotas:GetAWSDefaultServiceQuota": "EC2's own limits are shown in its place",
	"servicequotas:GetServiceQuota":           "EC2's own limits are shown in its place",
}

func TestAWSDenied(t *testing.T) {
	lab, policy := newAWSLab(t, world.Instant), awsPolicy(t)
	grants := map[string]bool{}
	for _, s := range policy.Statement {
		for _, a := range s.Action {
			grants[a] = true
		}
	}
	testDenied(t, awsRegion, sortedKeys(grants), awsUnseen, func(without string) cloud.Driver {
		d, err := awsNewWith(t, lab.account, counting(t, cloud.AWS, awsNeeds, lab.guarded(policy.without(without), nil)))
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}

// gcpCallNeeds are the permissions of a call, by its method in the discovery document.
func gcpCallNeeds(t *testing.T) func(*http.Request, []byte) []string {
	t.Helper()
	doc, err := discovery.Load()
	if err != nil {
		t.Fatal(err)
	}
	return func(r *http.Request, _ []byte) []string {
		_, path, ok := strings.Cut(r.URL.Path, "/compute/v1/")
		if !ok {
			return nil
		}
		m, _ := doc.Method(r.Method, path)
		if m == nil {
			return nil
		}
		return gcpNeeds(strings.TrimPrefix(m.ID, "compute."))
	}
}

func gcpRefusal(without string) func(*http.Request) *http.Response {
	return func(r *http.Request) *http.Response {
		text := "Required '" + without + "' permission for 'projects/" + gcpProject + "'"
		return answer(r, 403, "application/json", `{"error":{"code":403,"message":"`+text+`","errors":[{"message":"`+text+`","domain":"global","reason":"forbidden"}]}}`)
	}
}

// TestGCPDenied takes permissions away where they can be asked for by name.
func TestGCPDenied(t *testing.T) {
	lab, needs := newGCPLab(t, world.Instant), gcpCallNeeds(t)
	testDenied(t, gcpRegion, gcpRole(t), map[string]string{}, func(without string) cloud.Driver {
		refusing := takingAway(without, needs, gcpRefusal(without))
		return lab.driver(t, func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				resp, err := refusing(next).RoundTrip(r)
				if err != nil || !strings.HasSuffix(r.URL.Path, ":testIamPermissions") {
					return resp, err
				}
				defer resp.Body.Close()
				var held struct {
					Permissions []string `json:"permissions"`
				}
				if err := json.NewDecoder(resp.Body).Decode(&held); err != nil {
					return nil, err
				}
				held.Permissions = slices.DeleteFunc(held.Permissions, func(p string) bool { return p == without })
				text, err := json.Marshal(held)
				if err != nil {
					return nil, err
				}
				resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(string(text))), int64(len(text))
				return resp, nil
			})
		})
	})
}

// azureUnseen are actions that can't be tried without making something first.
var azureUnseen = map[string]string{
	"Microsoft.Network/networkInterfaces/join/action":         "it takes a machine with an interface",
	"Microsoft.Network/networkSecurityGroups/join/action":     "it takes an interface with a group",
	"Microsoft.Network/publicIPAddresses/join/action":         "it takes an interface with an address",
	"Microsoft.Network/virtualNetworks/subnets/join/action":   "it takes an interface in a subnet",
	"Microsoft.Compute/locations/DiskOperations/read":         "an operation is asked for by its own address only",
	"Microsoft.Compute/locations/operations/read":             "an operation is asked for by its own address only",
	"Microsoft.Network/locations/operationResults/read":       "an operation is asked for by its own address only",
	"Microsoft.Network/locations/operations/read":             "an operation is asked for by its own address only",
	"Microsoft.Resources/subscriptions/operationresults/read": "an operation is asked for by its own address only",
}

func TestAzureDenied(t *testing.T) {
	lab := newAzureLab(t, world.Instant)
	testDenied(t, azureRegion, azureRole(t), azureUnseen, func(without string) cloud.Driver {
		return lab.wrapped(t, takingAway(without, azureNeeds, func(r *http.Request) *http.Response {
			text := "The client 'x' with object id 'y' does not have authorization to perform action '" + without + "' over scope '" + r.URL.Path + "' or the scope is invalid."
			return answer(r, 403, "application/json", `{"error":{"code":"AuthorizationFailed","message":"`+text+`"}}`)
		}))
	})
}

func TestDigitalOceanDenied(t *testing.T) {
	lab, scopes := newDOLab(t, world.Instant), doOperations(t)
	needs := func(r *http.Request, _ []byte) []string { return scopes(doNeeds(r, nil)[0]) }
	testDenied(t, doRegion, doScopes(t), map[string]string{}, func(without string) cloud.Driver {
		return lab.driver(t, takingAway(without, needs, func(r *http.Request) *http.Response {
			return answer(r, 403, "application/json", `{"id":"forbidden","message":"You are missing the required permission `+without+`."}`)
		}))
	})
}
