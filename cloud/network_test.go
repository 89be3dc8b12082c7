package cloud_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// get asks a URL, by a proxy where one is given.
func get(t *testing.T, target, proxy string) error {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, OnProxyConnectResponse: cloud.ProxyAnswer}
	if proxy != "" {
		at, err := url.Parse(proxy)
		if err != nil {
			t.Fatal(err)
		}
		tr.Proxy = http.ProxyURL(at)
	}
	patience := time.Minute
	if strings.HasSuffix(target, "/never") {
		patience = 300 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err == nil {
		resp.Body.Close()
		t.Fatalf("%s answered %s", target, resp.Status)
	}
	return fmt.Errorf("operation error EC2: DescribeVpcs, https response error StatusCode: 0, RequestID: , %w", err)
}

// TestWayError makes real failures of the way, and reads what is said about them.
func TestWayError(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	secure, plain := httptest.NewTLSServer(ok), httptest.NewServer(ok)
	t.Cleanup(secure.Close)
	t.Cleanup(plain.Close)
	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(hang) })
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	t.Cleanup(refusing.Close)
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(cut.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	closed.Close()
	for _, test := range []struct {
		name, target, proxy string
		want                []string
		again               bool
	}{
		{"nobody listens", "http://" + nobody, "", []string{"nothing listens at " + nobody, "connection refused", "check the account's endpoint"}, true},
		{"untrusted", secure.URL, "", []string{"the certificate of " + host(secure), "is not trusted here", "CA certificate"}, false},
		{"HTTP for HTTPS", strings.Replace(plain.URL, "http:", "https:", 1), "", []string{"speaks HTTP, not HTTPS"}, false},
		{"no answer", slow.URL + "/never", "", []string{host(slow) + " did not answer in time"}, true},
		{"cut", cut.URL, "", []string{"the connection to " + host(cut) + " was cut"}, true},
		{"proxy refuses", secure.URL, refusing.URL, []string{"the proxy on the way to " + host(secure) + " refused", "407 Proxy Authentication Required", "HTTPS_PROXY"}, true},
		{"no proxy there", secure.URL, "http://" + nobody, []string{"the proxy on the way", "can't be reached", "connection refused"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			text, again, ok := cloud.WayError(get(t, test.target, test.proxy))
			if !ok || again != test.again {
				t.Errorf("ok %v, again %v", ok, again)
			}
			for _, w := range test.want {
				if !strings.Contains(text, w) {
					t.Errorf("%q is not in %q", w, text)
				}
			}
			if strings.Contains(text, "operation error") || strings.Contains(text, "StatusCode: 0") {
				t.Errorf("the SDK's words are shown: %s", text)
			}
		})
	}
}

func host(s *httptest.Server) string { return s.Listener.Addr().String() }

func TestWayErrorOfOthers(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{&url.Error{Op: "Post", URL: "https://ec2.example/", Err: &net.DNSError{Err: "no such host", Name: "ec2.example", IsNotFound: true}}, "no host is named ec2.example"},
		{&url.Error{Op: "Post", URL: "https://ec2.example/", Err: &net.DNSError{Err: "server misbehaving", Name: "ec2.example"}}, "could not be looked up"},
		{&tls.CertificateVerificationError{Err: errors.New("odd")}, "was not accepted"},
		{errors.New("the body is no XML"), ""},
		{&cloud.Error{Class: cloud.Denied, Message: "no"}, ""},
	} {
		text, _, ok := cloud.WayError(test.err)
		if ok != (test.want != "") || !strings.Contains(text, test.want) {
			t.Errorf("%v: %q, want %q", test.err, text, test.want)
		}
	}
}

func TestNearestTypes(t *testing.T) {
	known := []string{"m6i.large", "m6i.xlarge", "m6i.2xlarge", "m5.xlarge", "m6a.xlarge", "t3.medium", "t3.micro", "c5.large"}
	for name, want := range map[string]string{
		"m6i.xxlarge": "m6i.2xlarge",
		"m6x.xlarge":  "m6a.xlarge",
		"t3.medum":    "t3.medium",
	} {
		got := cloud.NearestTypes(name, ".", known, 3)
		if len(got) != 3 || got[0] != want && got[1] != want {
			t.Errorf("%s: %v, want %s among the first", name, got, want)
		}
	}
	if got := cloud.NearestTypes("x", "-", nil, 3); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestOverQuota(t *testing.T) {
	if p := cloud.OverQuota("r", "q", "vCPUs", "%[1]g", 10, 4, 6, nil); p != nil {
		t.Errorf("what fits: %v", p)
	}
	if p := cloud.OverQuota("r", "q", "vCPUs", "%[1]g", 1, 4, 0, nil); p != nil {
		t.Errorf("nothing needed: %v", p)
	}
	p := cloud.OverQuota("r", "quota q", "vCPUs", "%[1]g or more (ask --value %[1]g)", 10, 4, 8, []string{"k"})
	want := "quota q: the limit is 10 vCPUs, of which 4 are used, and this needs 8 more; ask for a limit of 12 or more (ask --value 12), or ask for less"
	if p == nil || p.String() != want || p.Class != cloud.QuotaExceeded {
		t.Errorf("%v, want %s", p, want)
	}
}
