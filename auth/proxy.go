package auth

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// forwardedKey notes in a request's context that its browser spoke TLS to a proxy that is trusted.
type forwardedKey struct{}

// Forwarded is a request as it came to the outermost of the proxies that are trusted: from whom that proxy had it, and
// whether over TLS. A proxy appends to X-Forwarded-For who asked it, so that what counts is the last address there that isn't
// a proxy's; all before it anybody may have written. A request that comes from elsewhere stays as it is.
func Forwarded(r *http.Request, trusted []netip.Prefix) *http.Request {
	if !trusts(trusted, r.RemoteAddr) {
		return r
	}
	from := ""
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		a, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		from = net.JoinHostPort(a.Unmap().WithZone("").String(), "0")
		if !trusts(trusted, from) {
			break
		}
	}
	ctx := r.Context()
	if r.Header.Get("X-Forwarded-Proto") == "https" {
		ctx = context.WithValue(ctx, forwardedKey{}, true)
	}
	r = r.WithContext(ctx)
	if from != "" {
		r.RemoteAddr = from
	}
	return r
}

func trusts(trusted []netip.Prefix, peer string) bool {
	a, err := netip.ParseAddr(Address(peer))
	return err == nil && slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

func forwardedTLS(r *http.Request) bool {
	v, _ := r.Context().Value(forwardedKey{}).(bool)
	return v
}
