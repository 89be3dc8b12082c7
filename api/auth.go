package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/engine"
)

// Option changes how a server finds out who asks.
type Option func(*Server)

// Auth has a service find out who asks, in place of one that knows the token and what is in the engine's store.
func Auth(service *auth.Service) Option { return func(s *Server) { s.auth = service } }

// Hosts has the server answer by other names than this machine's own for itself: by any address, and by these names, for
// requests from elsewhere.
func Hosts(names ...string) Option {
	return func(s *Server) { s.hosts = append([]string{}, names...) }
}

// Proxies are whose word about where a request comes from is taken.
func Proxies(trusted ...netip.Prefix) Option { return func(s *Server) { s.proxies = trusted } }

// Auth is what finds out who asks.
func (s *Server) Auth() *auth.Service { return s.auth }

// Console has a handler answer everything that is neither the API nor signing in. Its requests are for a host that is this
// engine, and auth.SessionFrom says who is signed in, if anybody is; it must lead others to auth.LoginURL, and check what its forms
// send by SameOrigin.
func (s *Server) Console(h http.Handler) { s.console = h }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = auth.Forwarded(r, s.proxies)
	secure(w, r)
	if s.operates(w, r) {
		return
	}
	if !s.ours(r.Host) {
		refuse(w, r, http.StatusMisdirectedRequest, s.notOurs(r.Host))
		return
	}
	switch {
	case auth.SignsIn(r):
		s.signIn.ServeHTTP(w, r)
	case s.console == nil, strings.HasPrefix(r.URL.Path, "/api/"), strings.HasPrefix(r.URL.Path, "/openapi"):
		s.known(s.inner).ServeHTTP(w, r)
	case strings.HasPrefix(r.URL.Path, "/assets/"):
		s.console.ServeHTTP(w, r)
	default:
		if v, err := s.auth.Session(r); err == nil {
			r = r.WithContext(auth.WithSession(r.Context(), v))
		}
		s.console.ServeHTTP(w, r)
	}
}

// known lets only requests of somebody through, and none from a page of a stranger.
func (s *Server) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.guard(next, w, r) })
}

func (s *Server) guard(next http.Handler, w http.ResponseWriter, r *http.Request) {
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || !s.ours(u.Host) {
			refuse(w, r, http.StatusForbidden, fmt.Sprintf("the request comes from a page of another host: its Origin is %q", origin))
			return
		}
	}
	ctx, err := s.identify(r)
	if err == nil {
		next.ServeHTTP(w, r.WithContext(ctx))
		return
	}
	own, ok := errors.AsType[*auth.Error](err)
	if !ok {
		if r.Context().Err() == nil {
			slog.Error("it can't be found out who asks", "error", err)
		}
		own = &auth.Error{Status: http.StatusServiceUnavailable, Message: "it can't be found out who asks: the engine's log says why"}
	}
	if own.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="skyweld"`)
	}
	refuse(w, r, own.Status, own.Message)
}

var errNoToken = &auth.Error{Status: http.StatusUnauthorized, Message: "the request has no token; want the header Authorization: Bearer, with what is in the file token of the engine's folder"}

// identify finds out who asks: by a token, or by the cookie of a session.
func (s *Server) identify(r *http.Request) (context.Context, error) {
	if given := r.Header.Get("Authorization"); given != "" {
		token, ok := strings.CutPrefix(given, "Bearer ")
		if !ok {
			return nil, errNoToken
		}
		name, err := whoOf(r)
		if err != nil {
			return nil, &auth.Error{Status: http.StatusBadRequest, Message: err.Error()}
		}
		p, err := s.auth.FindToken(r.Context(), token, name, r.RemoteAddr)
		return auth.With(r.Context(), p), err
	}
	if _, err := r.Cookie(auth.SessionCookie); err != nil {
		return nil, errNoToken
	}
	v, err := s.auth.Session(r)
	if err != nil {
		return nil, err
	}
	// A browser sends the cookie along whoever's page it is that asks.
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !auth.CheckCSRF(v, r.Header.Get(auth.CSRFHeader)) {
		if err := auth.SameOrigin(r); err != nil {
			return nil, err
		}
	}
	return auth.WithSession(r.Context(), v), nil
}

// whoHeader is where a client with the engine's own token says who asks. Nobody makes sure of it: whoever has that token is
// trusted.
const whoHeader = "Skyweld-Who"

// longestWho is how much of a name is taken.
const longestWho = 64

// whoOf is who a request says that asks.
func whoOf(r *http.Request) (string, error) {
	name := r.Header.Get(whoHeader)
	if !utf8.ValidString(name) || len(name) > longestWho || strings.ContainsFunc(name, unicode.IsControl) {
		return "", fmt.Errorf("header.%s: want a name of at most %d bytes", whoHeader, longestWho)
	}
	return strings.TrimSpace(name), nil
}

// who is who asks, as far as it is known.
func who(ctx context.Context) string {
	return cmp.Or(auth.From(ctx).Name, engine.Somebody)
}

// ours says whether a host is this engine by a name that nobody else can answer for: a page in a browser must not reach it by
// a name that it made resolve to this machine.
func (s *Server) ours(host string) bool {
	if s.hosts == nil || loopbackHost(host) {
		return loopbackHost(host)
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if _, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")); err == nil {
		return true
	}
	return slices.ContainsFunc(s.hosts, func(known string) bool { return strings.EqualFold(known, strings.TrimSuffix(name, ".")) })
}

func (s *Server) notOurs(host string) string {
	if s.hosts == nil {
		return fmt.Sprintf("the engine serves loopback only, and the request's Host is %q; want 127.0.0.1, [::1] or localhost", host)
	}
	return fmt.Sprintf("the engine doesn't answer by the name in the request's Host, %q; 'skyweld serve --host' gives it names", host)
}

// loopbackHost says whether a host, with or without a port, is this machine by a name that nobody else can answer for.
func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && a.IsLoopback()
}

// tokenPrefix makes a token recognizable to programs that look for leaked secrets.
const tokenPrefix = "skyweld_local_"

// LocalToken returns the token in the file, making it (mode 0600) when there is none.
func LocalToken(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(data)) == "" {
		return "", fmt.Errorf("the engine's token: %s is empty; remove it, and a new one is made", path)
	}
	if err == nil {
		return strings.TrimSpace(string(data)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the engine's token: %w", err)
	}
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("make the engine's token: %w", err)
	}
	token := tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("the engine's token: %w", err)
	}
	return token, os.WriteFile(path, []byte(token+"\n"), 0o600)
}
