package discovery

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func load(t *testing.T) *Document {
	t.Helper()
	d, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const (
	network  = `{"kind":"compute#network","id":"7","name":"sky","creationTimestamp":"2026-11-22T05:58:37.955-08:00","autoCreateSubnetworks":false,"mtu":1460}`
	notFound = `{"error":{"code":404,"message":"no","errors":[{"message":"no","domain":"global","reason":"notFound"}]}}`
)

func TestMethod(t *testing.T) {
	d := load(t)
	for call, want := range map[string]string{
		"GET projects/p/global/networks":                                          "compute.networks.list",
		"POST projects/p/zones/z/instances/i/setTags":                             "compute.instances.setTags",
		"GET projects/debian-cloud/global/images/family/debian-12":                "compute.images.getFromFamily",
		"GET projects/p/aggregated/instances":                                     "compute.instances.aggregatedList",
		"GET projects/p/global/nothings":                                          "",
		"GET projects//global/networks":                                           "",
		"PUT projects/p/global/networks/n":                                        "",
		"POST projects/p/regions/r/subnetworks/s/setPrivateIpGoogleAccess":        "compute.subnetworks.setPrivateIpGoogleAccess",
		"POST projects/p/regions/r/subnetworks/s/setPrivateIpGoogleAccess/s/more": "",
	} {
		verb, path, _ := strings.Cut(call, " ")
		got := ""
		if m, _ := d.Method(verb, path); m != nil {
			got = m.ID
		}
		if got != want {
			t.Errorf("%s is %q, want %q", call, got, want)
		}
	}
}

func TestRequest(t *testing.T) {
	d := load(t)
	insert := Call{Verb: "POST", Path: "projects/p/global/networks"}
	list := Call{Verb: "GET", Path: "projects/p/zones/us-east4-b/instances"}
	aggregated := Call{Verb: "GET", Path: "projects/p/aggregated/instances"}
	for _, test := range []struct {
		name   string
		call   Call
		query  string
		body   string
		strict bool
		want   string // part of the one problem; empty for none
	}{
		{"fine", insert, "requestId=x&alt=json", `{"name":"sky","autoCreateSubnetworks":false,"mtu":1460}`, true, ""},
		{"unknown field", insert, "", `{"name":"sky","colour":"blue"}`, true, `Network: unknown field "colour"`},
		{"unknown field below", insert, "", `{"name":"sky","routingConfig":{"mode":"x"}}`, true, `Network.routingConfig: unknown field "mode"`},
		{"type", insert, "", `{"name":"sky","autoCreateSubnetworks":"false"}`, true, `Network.autoCreateSubnetworks: is "false", want boolean`},
		{"enumeration", insert, "", `{"name":"sky","routingConfig":{"routingMode":"LOCAL"}}`, true, `"LOCAL" is not in the enumeration`},
		{"pattern", insert, "", `{"name":"Sky"}`, true, `Network.name: "Sky" isn't like`},
		{"range", insert, "", `{"name":"sky","mtu":2147483648}`, true, `"2147483648" is no number of the format "int32"`},
		{"required", insert, "", `{"mtu":1460}`, true, `the field "name" is missing`},
		{"required, not strict", insert, "", `{"mtu":1460}`, false, ""},
		{"null empties", insert, "", `{"name":"sky","description":null}`, true, ""},
		{"not JSON", insert, "", `{"name":`, true, "the body is not JSON"},
		{"two values", insert, "", `{"name":"sky"}{}`, true, "something follows the value"},
		{"unknown parameter", list, "colour=blue", "", true, `unknown parameter "colour"`},
		{"former parameter", list, "returnPartialSuccess=true", "", false, ""},
		{"former parameter, strict", list, "returnPartialSuccess=true", "", true, "unknown parameter"},
		{"parameter's range", list, "maxResults=-1", "", true, `parameter maxResults: "-1" is no number of the format "uint32"`},
		{"parameter twice", list, "filter=a&filter=b", "", true, `"filter" is there 2 times`},
		{"Python's boolean", aggregated, "includeAllScopes=True", "", false, ""},
		{"Python's boolean, strict", aggregated, "includeAllScopes=True", "", true, `"True" is no boolean`},
		{"body of a read", list, "", `{}`, false, "a body where there is none"},
		{"no such method", Call{Verb: "GET", Path: "projects/p/x"}, "", "", true, "no such method"},
		{"place's pattern", Call{Verb: "GET", Path: "projects/p/zones/-/instances"}, "", "", true, `parameter zone: "-" isn't like`},
		{"parameter missing", Call{Verb: "POST", Path: "projects/p/zones/z/instances/i/detachDisk"}, "", "", true, `the parameter "deviceName" is missing`},
	} {
		c := test.call
		c.Body = []byte(test.body)
		var err error
		if c.Query, err = url.ParseQuery(test.query); err != nil {
			t.Fatal(err)
		}
		expect(t, test.name, d.Request(&c, test.strict), test.want)
	}
}

func TestAnswer(t *testing.T) {
	d := load(t)
	swap := func(old, fresh string) string {
		if !strings.Contains(network, old) {
			t.Fatalf("%q isn't in the example", old)
		}
		return strings.Replace(network, old, fresh, 1)
	}
	for _, test := range []struct {
		name string
		code int
		body string
		want string
	}{
		{"fine", 200, network, ""},
		{"unknown field", 200, swap(`"mtu"`, `"colour"`), `unknown field "colour"`},
		{"null", 200, swap(`1460`, `null`), "Network.mtu: is null"},
		{"kind", 200, swap(`#network`, `#route`), `the kind is "compute#route", want "compute#network"`},
		{"no kind", 200, swap(`"kind":"compute#network",`, ``), `the kind "compute#network" is missing`},
		{"number in quotes", 200, swap(`"7"`, `7`), "is the number 7, want string"},
		{"no number", 200, swap(`"7"`, `"seven"`), `"seven" is not of the format "uint64"`},
		{"time", 200, swap(`2026-11-22T05`, `2026-11-22 05`), "is no time in RFC 3339's form"},
		{"list for a text", 200, swap(`"sky"`, `["sky"]`), "is a list, want string"},
		{"not an object", 200, `[]`, "is a list, want object"},
		{"error", 404, notFound, ""},
		{"error's code", 400, notFound, "the error's code is 404, the answer's status 400"},
		{"error without reason", 404, strings.Replace(notFound, `,"reason":"notFound"`, "", 1), `"reason" is missing`},
		{"error of another form", 404, `{"code":404}`, "not an error of Google's form"},
		{"error that is none", 502, `bad gateway`, "the error is not JSON"},
		{"error's list differs", 404, strings.Replace(notFound, `"no"`, `"yes"`, 1), `its message is "no", the error's "yes"`},
		{"error knows more", 404, strings.Replace(notFound, `"code"`, `"hint":1,"code"`, 1), `unknown field "hint"`},
	} {
		expect(t, test.name, d.Answer(&Call{Verb: "GET", Path: "projects/p/global/networks/sky", Code: test.code, Answer: []byte(test.body)}), test.want)
	}
	partial := &Call{Verb: "GET", Path: "projects/p/global/networks/sky", Query: url.Values{"fields": {"name"}}, Code: 200, Answer: []byte(`{"name":"sky"}`)}
	expect(t, "partial", d.Answer(partial), "")
	gone := &Call{Verb: "DELETE", Path: "projects/p/global/operations/o", Code: 204}
	expect(t, "no content", d.Answer(gone), "")
}

func expect(t *testing.T, name string, problems []string, want string) {
	t.Helper()
	if want == "" && len(problems) > 0 || want != "" && (len(problems) != 1 || !strings.Contains(problems[0], want)) {
		t.Errorf("%s: problems %q, want %q", name, problems, want)
	}
}

// api is a server that knows one network.
func api(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	if r.URL.Path != "/compute/v1/projects/p/global/networks/sky" {
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, notFound)
		return
	}
	io.WriteString(w, network)
}

func TestJudge(t *testing.T) {
	var problems []string
	judge := NewJudge(load(t), false, func(call, problem string) { problems = append(problems, call+": "+problem) })
	server := httptest.NewServer(judge.Handler(http.HandlerFunc(api)))
	defer server.Close()
	client := &http.Client{Transport: judge.Transport(http.DefaultTransport)}
	for _, path := range []string{"networks/sky", "networks/none", "networks/sky?colour=blue"} {
		resp, err := client.Get(server.URL + "/compute/v1/projects/p/global/" + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := map[bool]string{true: network, false: notFound}[resp.StatusCode == 200]; err != nil || string(text) != want {
			t.Errorf("%s: the answer came through as %q (%v), want %q", path, text, err, want)
		}
	}
	wrong := `GET projects/p/global/networks/sky: 200: request: unknown parameter "colour"`
	if want := []string{wrong, wrong}; !slices.Equal(problems, want) { // on both sides
		t.Errorf("problems %q, want %q", problems, want)
	}
	if got := judge.Summary(); got != "6 calls of 1 methods (networks.get 6); status 200: 4, 404: 2" {
		t.Errorf("summary %q", got)
	}
}

// TestBatch judges what is in a batch.
func TestBatch(t *testing.T) {
	var in, out bytes.Buffer
	requests, answers := multipart.NewWriter(&in), multipart.NewWriter(&out)
	for i, name := range []string{"sky", "none"} {
		kept := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/compute/v1/projects/p/global/networks/"+name, nil)
		api(kept, r)
		part := func(w *multipart.Writer, id, text string) {
			p, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/http"}, "Content-Id": {id}})
			if err == nil {
				_, err = io.WriteString(p, text)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		part(requests, fmt.Sprintf("<b+%d>", i), fmt.Sprintf("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", r.URL.Path))
		part(answers, fmt.Sprintf("<response-b+%d>", i), fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s", kept.Code, kept.Body.Len(), kept.Body))
	}
	requests.Close()
	answers.Close()
	calls, err := batch("multipart/mixed; boundary="+requests.Boundary(), in.Bytes(), "multipart/mixed; boundary="+answers.Boundary(), out.Bytes())
	if err != nil || len(calls) != 2 {
		t.Fatalf("%d calls: %v", len(calls), err)
	}
	d := load(t)
	for i := range calls {
		expect(t, calls[i].String(), append(d.Request(&calls[i], true), d.Answer(&calls[i])...), "")
	}
	if calls[1].Code != 404 || calls[1].Path != "projects/p/global/networks/none" {
		t.Errorf("the second call is %s", calls[1].String())
	}
	if _, err := batch("text/plain", nil, "multipart/mixed; boundary=x", nil); err == nil {
		t.Error("a batch without a boundary passes")
	}
}
