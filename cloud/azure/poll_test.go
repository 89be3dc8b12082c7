package azure

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

// playbook answers one request after the other, each as a line says: the method and the end of the path that are wanted, the
// status, headers and the body.
type playbook struct {
	t     *testing.T
	lines []play
	asked []string // with when
	start time.Time
}

type play struct {
	want   string
	status int
	header http.Header
	body   string
}

func (p *playbook) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(p.lines) == 0 {
		return nil, fmt.Errorf("%s %s: nothing is left to be asked", r.Method, r.URL.Path)
	}
	next := p.lines[0]
	p.lines = p.lines[1:]
	method, end, _ := strings.Cut(next.want, " ")
	if r.Method != method || !strings.HasSuffix(r.URL.Path, end) {
		p.t.Errorf("asked for %s %s, want %s", r.Method, r.URL.Path, next.want)
	}
	p.asked = append(p.asked, fmt.Sprintf("%s at %s", next.want, time.Since(p.start)))
	h := next.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Content-Type", "application/json")
	return &http.Response{StatusCode: next.status, Header: h, Body: io.NopCloser(strings.NewReader(next.body)), Request: r}, nil
}

func (p *playbook) driver() *Driver {
	p.t.Helper()
	d := &Driver{subscription: fakeSubscription, login: &login{credential: &azfake.TokenCredential{}, name: "test"}, offered: map[string]offer{}}
	err := d.clientsOn(&arm.ClientOptions{
		DisableRPRegistration: true,
		ClientOptions: azcore.ClientOptions{
			Cloud: azcloud.AzurePublic, Retry: policy.RetryOptions{MaxRetries: -1}, Transport: &http.Client{Transport: cloud.RepeatReads(p, busy)},
		},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

// TestPolling follows long operations in both of Azure's forms. The first look is at once; after that each is when the
// answer before it asks for it, also where that refused to say anything.
func TestPolling(t *testing.T) {
	const here = "https://management.azure.com/subscriptions/s/providers/Microsoft.Network/locations/eastus/"
	async, location := here+"operations/o?api-version=1", here+"operationResults/o?api-version=1"
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i+1 < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	const running, failure = `{"status":"InProgress"}`, `{"status":"Failed","error":{"code":"ZonalAllocationFailed","message":"Allocation failed."}}`
	for _, c := range []struct {
		name  string
		lines []play
		class cloud.Class // of the error, empty for none
		asked []string
	}{
		{"its own address", []play{
			{"DELETE /n", 202, header("Azure-AsyncOperation", async, "Location", location, "Retry-After", "10"), ""},
			{"GET /operations/o", 200, header("Retry-After", "15"), running},
			{"GET /operations/o", 200, header("Retry-After", "1", "X-Ms-Retry-After-Ms", "250"), running},
			{"GET /operations/o", 200, nil, `{"status":"Succeeded"}`},
		}, "", []string{"DELETE /n at 0s", "GET /operations/o at 0s", "GET /operations/o at 15s", "GET /operations/o at 15.25s"}},
		{"its result's address", []play{
			{"DELETE /n", 202, header("Location", location, "Retry-After", "10"), ""},
			{"GET /operationResults/o", 202, header("Location", location, "Retry-After", "15"), ""},
			{"GET /operationResults/o", 202, header("Location", location, "Retry-After", "20"), ""},
			{"GET /operationResults/o", 204, nil, ""},
		}, "", []string{"DELETE /n at 0s", "GET /operationResults/o at 0s", "GET /operationResults/o at 15s", "GET /operationResults/o at 35s"}},
		{"too busy to say", []play{
			{"DELETE /n", 202, header("Azure-AsyncOperation", async), ""},
			{"GET /operations/o", 429, header("Retry-After", "30"), refused("TooManyRequests", "Later.")},
			{"GET /operations/o", 503, header("Retry-After", "40"), refused("ServerTimeout", "Later.")},
			{"GET /operations/o", 200, nil, `{"status":"Succeeded"}`},
		}, "", []string{"DELETE /n at 0s", "GET /operations/o at 0s", "GET /operations/o at 30s", "GET /operations/o at 1m10s"}},
		{"it fails", []play{
			{"DELETE /n", 202, header("Azure-AsyncOperation", async), ""},
			{"GET /operations/o", 200, nil, failure},
		}, cloud.Capacity, []string{"DELETE /n at 0s", "GET /operations/o at 0s"}},
		{"nobody knows it", []play{
			{"DELETE /n", 202, header("Azure-AsyncOperation", async), ""},
			{"GET /operations/o", 404, nil, refused("OperationNotFound", "The operation was not found.")},
		}, cloud.Unknown, []string{"DELETE /n at 0s", "GET /operations/o at 0s"}},
		{"nobody may ask", []play{
			{"DELETE /n", 202, header("Azure-AsyncOperation", async), ""},
			{"GET /operations/o", 403, nil, refused("AuthorizationFailed", saysMayNot)},
		}, cloud.Denied, []string{"DELETE /n at 0s", "GET /operations/o at 0s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &playbook{t: t, lines: c.lines, start: time.Now()}
				poller, err := p.driver().securities.BeginDelete(t.Context(), "g", "n", nil)
				if err = done(t.Context(), poller, err); (err == nil) != (c.class == "") || err != nil && classify(err).Class != c.class {
					t.Errorf("error %v, want class %q", err, c.class)
				}
				if diff := cmp.Diff(c.asked, p.asked); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
				if len(p.lines) > 0 {
					t.Errorf("%d answers were not asked for", len(p.lines))
				}
			})
		})
	}
}

// TestPollingGivesUp looks at an operation in vain for so long that the caller is to know.
func TestPollingGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &playbook{t: t, start: time.Now(), lines: []play{{"DELETE /n", 202, http.Header{"Azure-Asyncoperation": {"https://management.azure.com/operations/o"}}, ""}}}
		for range mostFailures + 1 {
			p.lines = append(p.lines, play{"GET /operations/o", 429, http.Header{"Retry-After": {"30"}}, refused("TooManyRequests", "Later.")})
		}
		poller, err := p.driver().securities.BeginDelete(t.Context(), "g", "n", nil)
		err = done(t.Context(), poller, err)
		if e := classify(err); err == nil || e.Class != cloud.Throttled || e.RetryAfter != 30*time.Second || len(p.lines) > 0 {
			t.Errorf("error %v, and %d looks are left", err, len(p.lines))
		}
	})
}
