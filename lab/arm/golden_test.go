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

// recordings reads a recording of the real API.
func recordings(t *testing.T, name string) []exchange {
	t.Helper()
	dir := os.Getenv("SKYWELD_GOLDENS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "goldens")
	}
	text, err := os.ReadFile(filepath.Join(dir, "azure", name+".yaml"))
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
	for _, name := range []string{"resourcegroup", "subnet", "routetable", "interface", "disk", "virtualmachine"} {
		t.Run(name, func(t *testing.T) {
			all := recordings(t, name)
			l := open(t, func(c *arm.Config) { c.Subscription = masked })
			r := replay{l: l, token: l.token(t)}
			for i, x := range all {
				if strings.Contains(x.Request.URL, "/operationresults/") || strings.Contains(x.Request.URL, "perations/"+masked) {
					continue // the lab's operations have other names; they are waited for below
				}
				r.send(t, fmt.Sprintf("%s %d: %s %s", name, i, x.Request.Method, x.Request.URL), x)
			}
		})
	}
}

type replay struct {
	l     *lab
	token string
}

func (r replay) do(t *testing.T, method, to, body string, header http.Header) (*http.Response, []byte) {
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

func (r replay) send(t *testing.T, at string, x exchange) {
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
func (r replay) wait(t *testing.T, resp *http.Response) {
	t.Helper()
	for _, name := range []string{"Azure-AsyncOperation", "Location"} {
		at := resp.Header.Get(name)
		for range 1000 {
			if at == "" {
				break
			}
			next, body := r.do(t, http.MethodGet, at, "", nil)
			if next.StatusCode != http.StatusAccepted && !bytes.Contains(body, []byte(`"InProgress"`)) {
				break
			}
		}
	}
}

// own are members whose values are of a time or place; elsewhere are those of the recorded machine's other system, and the
// disk that isn't made yet when the real Azure answers.
var (
	own       = regexp.MustCompile(`(^|\.)(etag|resourceGuid|uniqueId|vmId|timeCreated|provisioningState|exactVersion|internalDomainNameSuffix|message|macAddress)$`)
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
	if fmt.Sprint(want) != fmt.Sprint(got) {
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
