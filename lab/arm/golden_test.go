package arm_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/skyweld/skyweld/lab/arm"
)

// exchange is one request to the real Azure with its answer.
type exchange struct {
	Request struct {
		Body    string
		Headers http.Header
		URL     string
		Method  string
	}
	Response struct {
		Body    string
		Headers http.Header
		Code    int
	}
}

// goldens is the folder with the recordings.
func goldens() string {
	dir := os.Getenv("SKYWELD_GOLDENS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "goldens")
	}
	return filepath.Join(dir, "azure")
}

// recordings reads a recording of the real API.
func recordings(t *testing.T, name string) []exchange {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(goldens(), name+".yaml"))
	if err != nil {
		t.Skipf("needs recordings of Azure: set SKYWELD_GOLDENS to a folder that has azure/%s.yaml (from kubernetes-sigs/cloud-provider-azure)", name)
	}
	var file struct{ Interactions []exchange }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Interactions
}

const masked = "00000000-0000-0000-0000-000000000000"

// windows is what the recorded machine is made of; the lab's machines are Debian's.
var windows = strings.NewReplacer(
	`"offer":"WindowsServer","publisher":"MicrosoftWindowsServer","sku":"2019-Datacenter"`, `"offer":"debian-12","publisher":"Debian","sku":"12-gen2"`,
	`{PASSWORD}`, `Sup3r-Secret`,
)

// TestGolden sends the requests of recordings to the lab: what it answers must have the same status, the same members and,
// where they don't depend on time and place, the same values.
func TestGolden(t *testing.T) {
	sent, refused := 0, 0
	for _, name := range []string{
		"resourcegroup", "subnet", "routetable", "interface", "disk", "virtualmachine", "natgateway",
		"localnetworkgateway_create", "virtualnetworkgateway_create", "virtualnetworkgateway_delete", "vpnconnection_delete",
	} {
		t.Run(name, func(t *testing.T) {
			all := recordings(t, name)
			l := open(t, func(c *arm.Config) { c.Subscription = masked })
			r := replay{l: l, token: l.token(t), states: map[string][]string{}, seen: map[string][]string{}}
			if name == "natgateway" { // its group and address were there when it was recorded
				for _, x := range all[:2] {
					r.make(t, x.Request.URL, x.Request.Body)
				}
			}
			for i, x := range all {
				at := fmt.Sprintf("%s %d: %s %s", name, i, x.Request.Method, x.Request.URL)
				switch {
				case operations.MatchString(x.Request.URL):
					r.learn(t, at, x) // the lab's operations have other names; they are waited for below
				case lacking.MatchString(x.Request.URL) && !strings.Contains(x.Response.Body, "ResourceGroupNotFound"):
					r.refuse(t, at, x)
					refused++
				case madeBefore.MatchString(x.Request.URL):
					// made by hand, and so isn't in the recording
				default:
					r.send(t, at, x)
					sent++
				}
			}
			for at, members := range r.seen {
				if want := r.states[at]; want != nil && !slices.Equal(members, want) {
					t.Errorf("the state of an operation at %s has %v, recorded with %v", at, members, want)
				}
			}
		})
	}
	t.Logf("%d answers compared, %d requests for what the lab doesn't have", sent, refused)
}

var (
	operations = regexp.MustCompile(`(?i)(/operationresults/|operations/[0-9a-f-]{36}\?)`)
	// lacking are the kinds that the lab can't make.
	lacking    = regexp.MustCompile(`/providers/Microsoft\.Network/(natGateways|localNetworkGateways|virtualNetworkGateways|connections)\b`)
	madeBefore = regexp.MustCompile(`/resourceGroups/xplat-test-.*/(virtualNetworks|publicIPAddresses)/`)
	place      = regexp.MustCompile(`/providers/([^/]+)/locations/[^/]+/(\w+)/`)
)

// make writes a resource and waits for it.
func (r *replay) make(t *testing.T, at, body string) {
	t.Helper()
	u, err := url.Parse(at)
	must(t, err)
	resp, answer := r.do(t, http.MethodPut, r.l.server.URL+u.RequestURI(), body, http.Header{"Content-Type": {"application/json"}})
	if resp.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s: status %d\n%s", at, resp.StatusCode, answer)
	}
	r.wait(t, resp)
}

var groupOf = regexp.MustCompile(`^https://[^/]+/subscriptions/[^/]+/resourceGroups/[^/]+`)

// refuse wants the lab to say that it hasn't what was asked for.
func (r *replay) refuse(t *testing.T, at string, x exchange) {
	t.Helper()
	u, err := url.Parse(x.Request.URL)
	must(t, err)
	if group := groupOf.FindString(x.Request.URL); strings.Contains(group, "xplat-test-") {
		r.make(t, group+"?api-version=2021-04-01", `{"location":"westus"}`)
	}
	resp, body := r.do(t, x.Request.Method, r.l.server.URL+u.RequestURI(), x.Request.Body, http.Header{"Content-Type": {"application/json"}})
	if resp.StatusCode != http.StatusBadRequest || !bytes.Contains(body, []byte(`"OperationNotSupported"`)) {
		t.Errorf("%s: status %d: want 400 OperationNotSupported\n%s", at, resp.StatusCode, body)
	}
}

// learn keeps which members the state of an operation has that succeeded, by provider and kind.
func (r *replay) learn(t *testing.T, at string, x exchange) {
	t.Helper()
	m := place.FindStringSubmatch(x.Request.URL)
	var state map[string]any
	if m == nil || x.Response.Body == "" {
		return
	}
	must(t, json.Unmarshal([]byte(x.Response.Body), &state))
	if state["status"] == "Succeeded" {
		r.states[m[1]+"/"+m[2]] = slices.Sorted(maps.Keys(state))
	}
}

type replay struct {
	l     *lab
	token string
	// states and seen are the members of operations' states, recorded and of the lab.
	states, seen map[string][]string
}

func (r *replay) do(t *testing.T, method, to, body string, header http.Header) (*http.Response, []byte) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, to, strings.NewReader(body))
	must(t, err)
	q.Header = header.Clone()
	if q.Header == nil {
		q.Header = http.Header{}
	}
	q.Header.Set("Authorization", "Bearer "+r.token)
	resp, err := r.l.server.Client().Do(q)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp, text
}

func (r *replay) send(t *testing.T, at string, x exchange) {
	t.Helper()
	u, err := url.Parse(x.Request.URL)
	must(t, err)
	header := http.Header{}
	for _, name := range []string{"If-Match", "If-None-Match", "Content-Type"} {
		if v := x.Request.Headers.Get(name); v != "" {
			header.Set(name, v)
		}
	}
	resp, body := r.do(t, x.Request.Method, r.l.server.URL+u.RequestURI(), windows.Replace(x.Request.Body), header)
	quick := resp.StatusCode == http.StatusAccepted && x.Response.Code == http.StatusOK && x.Request.Method == http.MethodDelete
	if resp.StatusCode != x.Response.Code && !quick {
		t.Errorf("%s: status %d, want %d\n%s", at, resp.StatusCode, x.Response.Code, body)
		return
	}
	for _, name := range []string{"Azure-AsyncOperation", "Location"} {
		if had := resp.Header.Get(name) != ""; had != (x.Response.Headers.Get(name) != "") && x.Response.Headers.Get("Azure-Asyncoperation") != "" {
			t.Errorf("%s: header %s: %t, want the opposite", at, name, had)
		}
	}
	r.wait(t, resp)
	if x.Response.Body == "" {
		if len(bytes.TrimSpace(body)) != 0 {
			t.Errorf("%s: answer %s, want none", at, body)
		}
		return
	}
	var want, got any
	must(t, json.Unmarshal([]byte(x.Response.Body), &want))
	if err := json.Unmarshal(body, &got); err != nil {
		t.Errorf("%s: answer %s: %v", at, body, err)
		return
	}
	// The first answer of a disk shows only what the request did.
	first := x.Response.Code == http.StatusAccepted
	for _, d := range differences("", want, got, first) {
		t.Errorf("%s: %s", at, d)
	}
}

// wait follows an operation to its end.
func (r *replay) wait(t *testing.T, resp *http.Response) {
	t.Helper()
	for _, name := range []string{"Azure-AsyncOperation", "Location"} {
		at := resp.Header.Get(name)
		for range 1000 {
			if at == "" {
				break
			}
			next, body := r.do(t, http.MethodGet, at, "", nil)
			if next.StatusCode != http.StatusAccepted && !bytes.Contains(body, []byte(`"InProgress"`)) {
				var state map[string]any
				if m := place.FindStringSubmatch(at); m != nil && json.Unmarshal(body, &state) == nil && state["status"] == "Succeeded" {
					r.seen[m[1]+"/"+m[2]] = slices.Sorted(maps.Keys(state))
				}
				break
			}
		}
	}
}

// own are members whose values are of a time or place, etags are such values in texts; elsewhere are those of the recorded machine's other system, and the
// disk that isn't made yet when the real Azure answers.
var (
	own       = regexp.MustCompile(`(^|\.)(etag|resourceGuid|uniqueId|vmId|timeCreated|provisioningState|exactVersion|internalDomainNameSuffix|macAddress|ipAddress)$`)
	etags     = regexp.MustCompile(`W/"[0-9a-f-]{36}"`)
	elsewhere = regexp.MustCompile(`managedDisk\.id$|windowsConfiguration|linuxConfiguration|imageReference|osType|diskSizeGB$|tags`)
)

// differences compares an answer with a recorded one.
func differences(at string, want, got any, more bool) []string {
	if at != ".properties.diskSizeGB" && elsewhere.MatchString(at) || own.MatchString(at) && got != nil {
		return nil
	}
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s: found %v, want an object", at, got)}
		}
		var out []string
		for _, name := range slices.Sorted(maps.Keys(w)) {
			inner, ok := g[name]
			if !ok && !elsewhere.MatchString(at+"."+name) {
				out = append(out, fmt.Sprintf("%s.%s is missing, recorded as %v", at, name, w[name]))
				continue
			}
			out = append(out, differences(at+"."+name, w[name], inner, more)...)
		}
		for _, name := range slices.Sorted(maps.Keys(g)) {
			if _, ok := w[name]; !ok && !more && !elsewhere.MatchString(at+"."+name) {
				out = append(out, fmt.Sprintf("%s.%s is %v, recorded without", at, name, g[name]))
			}
		}
		return out
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return []string{fmt.Sprintf("%s: found %v, want %v", at, got, want)}
		}
		var out []string
		for i := range w {
			out = append(out, differences(fmt.Sprintf("%s[%d]", at, i), w[i], g[i], more)...)
		}
		return out
	}
	if etags.ReplaceAllString(fmt.Sprint(want), "etag") != etags.ReplaceAllString(fmt.Sprint(got), "etag") {
		return []string{fmt.Sprintf("%s: found %v, want %v", at, got, want)}
	}
	return nil
}

// token logs in without the SDK.
func (l *lab) token(t *testing.T) string {
	t.Helper()
	resp, err := l.server.Client().PostForm(l.server.URL+"/"+tenant+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {clientID}, "client_secret": {secret}, "scope": {l.server.URL + "/.default"},
	})
	must(t, err)
	defer resp.Body.Close()
	var v struct {
		Token string `json:"access_token"`
	}
	must(t, json.NewDecoder(resp.Body).Decode(&v))
	return v.Token
}
