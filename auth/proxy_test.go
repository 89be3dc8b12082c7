package auth

import (
	"net/http/httptest"
	"net/netip"
	"testing"
)

// TestForwarded: who asks is who the outermost trusted proxy says; what strangers write into the headers counts for nothing.
func TestForwarded(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		what, peer string
		forwarded  []string
		proto      string
		want       string
		tls        bool
	}{
		{"no proxy", "203.0.113.9:5", nil, "", "203.0.113.9", false},
		{"a stranger's headers", "203.0.113.9:5", []string{"192.0.2.1"}, "https", "203.0.113.9", false},
		{"a proxy", "10.0.0.1:5", []string{"203.0.113.9"}, "https", "203.0.113.9", true},
		{"a proxy without TLS", "10.0.0.1:5", []string{"203.0.113.9"}, "http", "203.0.113.9", false},
		{"a proxy that says nothing", "10.0.0.1:5", nil, "", "10.0.0.1", false},
		{"what its client wrote before", "10.0.0.1:5", []string{"127.0.0.1, 192.0.2.1, 203.0.113.9"}, "", "203.0.113.9", false},
		{"two proxies", "127.0.0.1:5", []string{"192.0.2.1, 203.0.113.9", "10.1.2.3"}, "", "203.0.113.9", false},
		{"within", "10.0.0.1:5", []string{"10.0.0.7"}, "", "10.0.0.7", false},
		{"no address behind a proxy", "10.0.0.1:5", []string{"192.0.2.1, unknown, 10.0.0.7"}, "", "10.0.0.7", false},
		{"no address", "10.0.0.1:5", []string{"_hidden"}, "", "10.0.0.1", false},
		{"IPv6", "[fd00::1]:5", []string{"2001:db8::9"}, "", "2001:db8::9", false},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:5", []string{"::ffff:203.0.113.9"}, "", "203.0.113.9", false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.forwarded
		if c.proto != "" {
			r.Header.Set("X-Forwarded-Proto", c.proto)
		}
		got := Forwarded(r, trusted)
		if Address(got.RemoteAddr) != c.want || forwardedTLS(got) != c.tls {
			t.Errorf("%s: from %s, over TLS: %v; want %s, %v", c.what, got.RemoteAddr, forwardedTLS(got), c.want, c.tls)
		}
		if same := Forwarded(r, nil); same != r {
			t.Errorf("%s: with nobody trusted it is from %s", c.what, same.RemoteAddr)
		}
	}
}
