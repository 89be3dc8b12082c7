package armsdk

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func load(t *testing.T) *Document {
	t.Helper()
	d, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOperations(t *testing.T) {
	d := load(t)
	if len(d.Operations) < 1000 {
		t.Errorf("%d operations were found in the SDK, want 1000 or more", len(d.Operations))
	}
	for _, c := range []struct{ verb, path, id, body, answer string }{
		{"GET", "/subscriptions/s", "subscriptions.Get", "", "Subscription"},
		{"PUT", "/subscriptions/s/resourcegroups/G", "resources.ResourceGroups.CreateOrUpdate", "ResourceGroup", "ResourceGroup"},
		{"GET", "/subscriptions/s/RESOURCEGROUPS/g/resources", "resources.ListByResourceGroup", "", "ResourceListResult"},
		{"DELETE", "/subscriptions/s/resourceGroups/g/providers/microsoft.network/virtualNetworks/n/subnets/a", "network.Subnets.Delete", "", ""},
		{"POST", "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/m/start", "compute.VirtualMachines.Start", "", ""},
		{"GET", "/subscriptions/s/providers/Microsoft.Compute/locations/eastus/publishers/p/artifacttypes/vmimage/offers/o/skus/k/versions", "compute.VirtualMachineImages.List", "", "[]*VirtualMachineImageResource"},
	} {
		o := d.Operation(c.verb, c.path)
		if o == nil || o.ID != c.id || o.Body != c.body || o.Answer != c.answer {
			t.Errorf("%s %s: found %+v, want %s with %q and %q", c.verb, c.path, o, c.id, c.body, c.answer)
		}
	}
	if o := d.Operation("DELETE", "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/planets/p"); o != nil {
		t.Errorf("found %s for a planet", o.ID)
	}
}

const (
	group  = "/subscriptions/s/resourceGroups/g"
	subnet = group + "/providers/Microsoft.Network/virtualNetworks/n/subnets/a?api-version=2025-03-01"
	disk   = group + "/providers/Microsoft.Compute/disks/d?api-version=2025-01-02"
	ongoes = "https://lab.invalid/subscriptions/s/providers/Microsoft.Network/locations/eastus/operations/1?api-version=2025-03-01"
)

// judged lets a judge hear one call, and returns what it says.
func judged(t *testing.T, strict bool, verb, path, body string, status int, header map[string]string, answer string) []string {
	t.Helper()
	var out []string
	j := NewJudge(load(t), strict, func(_, problem string) { out = append(out, problem) })
	server := j.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		for name, v := range header {
			w.Header().Set(name, v)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	server.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(verb, path, strings.NewReader(body)))
	slices.Sort(out)
	return out
}

// TestJudge has one call that is right, and each of its like with one thing wrong.
func TestJudge(t *testing.T) {
	state := strings.TrimPrefix(ongoes, "https://lab.invalid")
	for _, c := range []struct {
		name, verb, path, body string
		status                 int
		header                 map[string]string
		answer                 string
		want                   []string
	}{
		{"right", "PUT", subnet, `{"properties":{"addressPrefix":"10.0.0.0/24"}}`, 201, map[string]string{"Azure-AsyncOperation": ongoes, "Retry-After": "10"}, `{"name":"a","properties":{"provisioningState":"Updating"}}`, nil},
		{"a member too many", "PUT", subnet, `{"properties":{}}`, 200, nil, `{"nome":"a"}`, []string{"answer.nome is no member of Subnet"}},
		{"a member of the request", "PUT", subnet, `{"propertys":{}}`, 200, nil, `{}`, []string{"request: body.propertys is no member of Subnet"}},
		{"a request of no use that is refused", "PUT", subnet, `{"propertys":{}}`, 400, nil, `{"error":{"code":"A","message":"b"}}`, nil},
		{"an enumeration", "PUT", subnet, `{}`, 200, nil, `{"properties":{"provisioningState":"Done"}}`,
			[]string{`answer.properties.provisioningState is "Done": want ProvisioningState: Canceled, Creating, Deleting, Failed, Succeeded, Updating`}},
		{"a type", "PUT", subnet, `{}`, 200, nil, `{"properties":{"addressPrefixes":"10.0.0.0/24"}}`, []string{`answer.properties.addressPrefixes is "10.0.0.0/24": want a list`}},
		{"a time", "GET", disk, ``, 200, nil, `{"location":"eastus","properties":{"timeCreated":"yesterday"}}`, []string{`answer.properties.timeCreated is "yesterday": want time.Time`}},
		{"a number", "GET", disk, ``, 200, nil, `{"location":"eastus","properties":{"diskSizeGB":1.5}}`, []string{`answer.properties.diskSizeGB is 1.5: want int32`}},
		{"no body", "GET", disk, ``, 200, nil, ``, []string{"the answer has no body, want Disk"}},
		{"a body", "DELETE", subnet, ``, 200, nil, `{}`, []string{"answer is {}: want no body"}},
		{"a status", "GET", disk, ``, 201, nil, `{"location":"eastus"}`, []string{"status 201, the SDK takes [200] for success"}},
		{"nothing to ask", "DELETE", subnet, ``, 202, nil, ``, []string{"accepted, but there is nothing to ask for how it goes on"}},
		{"a wrong place to ask", "DELETE", subnet, ``, 202, map[string]string{"Location": "/subscriptions/s/operations/1"}, ``, []string{"Location: /subscriptions/s/operations/1: want the whole URL of an operation"}},
		{"a time to ask again", "DELETE", subnet, ``, 202, map[string]string{"Location": ongoes, "Retry-After": "soon"}, ``, []string{"Retry-After: soon: want seconds"}},
		{"a parameter", "GET", disk + "&$expand=all", ``, 200, nil, `{"location":"eastus"}`, []string{"request: compute.Disks.Get has no parameter $expand"}},
		{"no version", "GET", strings.TrimSuffix(disk, "?api-version=2025-01-02"), ``, 200, nil, `{"location":"eastus"}`, []string{`request: api-version "", the SDK's is 2025-01-02`}},
		{"no such call", "GET", group + "/providers/Microsoft.Network/planets/p", ``, 200, nil, `{}`, []string{"it is accepted, and the SDK has no such call"}},
		{"an error's form", "GET", disk, ``, 404, nil, `{"code":"NotFound","message":"none"}`, []string{`answer is {"code":"NotFound","message":"none"}: want an error in Azure's form`}},
		{"an error's members", "GET", disk, ``, 404, nil, `{"error":{"code":"NotFound","cause":"none"}}`, []string{"answer.error.cause is no member of an error", "answer.error.message is missing or no text"}},
		{"a content type", "GET", disk, ``, 200, map[string]string{"Content-Type": "text/plain"}, `{"location":"eastus"}`, []string{`the answer's content type is "text/plain"`}},
		{"a state", "GET", state, ``, 200, nil, `{"status":"InProgress"}`, nil},
		{"a state's word", "GET", state, ``, 200, nil, `{"status":"Running"}`, []string{`answer.status is "Running": want InProgress, Succeeded, Failed, Canceled`}},
		{"a failure", "GET", state, ``, 200, nil, `{"status":"Failed"}`, []string{"answer.error is null: want an error"}},
		{"not for us", "POST", "/tenant/oauth2/token", ``, 200, nil, `{"anything":1}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, judged(t, false, c.verb, c.path, c.body, c.status, c.header, c.answer)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestStrict has what is wrong in requests of ours only: of a wrong version, without what is required, and refused.
func TestStrict(t *testing.T) {
	got := judged(t, true, "PUT", strings.Replace(disk, "2025-01-02", "2019-01-01", 1), `{"properties":{"creationData":{}}}`, 400, nil, `{"error":{"code":"A","message":"b"}}`)
	want := []string{
		`request: api-version "2019-01-01", the SDK's is 2025-01-02`, "request: body.location is missing, which Disk requires",
		"request: body.properties.creationData.createOption is missing, which CreationData requires",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTally(t *testing.T) {
	j := NewJudge(load(t), false, func(call, problem string) { t.Errorf("%s: %s", call, problem) })
	client := &http.Client{Transport: j.Transport(roundTripper(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(404)
		_, _ = w.WriteString(`{"error":{"code":"ResourceNotFound","message":"no disk"}}`)
		return w.Result(), nil
	}))}
	resp, err := client.Get("https://lab.invalid" + disk)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if diff := cmp.Diff("1 calls of 1 actions, 1 of them refused with 1 codes\ncalls: compute.Disks.Get 1\nrefusals: ResourceNotFound 1", j.Tally.String()+"\n"+j.Tally.Detail()); diff != "" {
		t.Error(diff)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
