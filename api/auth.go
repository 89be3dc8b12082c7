package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/engine"
)

// guard lets only requests with the token through, and only those that name this machine as their host and come from no
// page of a stranger: a page in a browser must not reach the engine by a name that it made resolve to loopback.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopbackHost(r.Host) {
			refuse(w, http.StatusMisdirectedRequest, fmt.Sprintf("the engine serves loopback only, and the request's Host is %q; want 127.0.0.1, [::1] or localhost", r.Host))
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			if u, err := url.Parse(origin); err != nil || !loopbackHost(u.Host) {
				refuse(w, http.StatusForbidden, fmt.Sprintf("the request comes from a page of another host: its Origin is %q", origin))
				return
			}
		}
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			refuse(w, http.StatusUnauthorized, "the request has no token; want the header Authorization: Bearer, with what is in the file token of the engine's folder")
			return
		}
		if subtle.ConstantTimeCompare([]byte(given), []byte(s.token)) != 1 {
			refuse(w, http.StatusUnauthorized, "the request's token is not this engine's; it is in the file token of the engine's folder")
			return
		}
		name, err := whoOf(r)
		if err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		p := auth.Principal{Name: name, Role: auth.Admin, Via: "local token", From: r.RemoteAddr}
		next.ServeHTTP(w, r.WithContext(auth.With(r.Context(), p)))
	})
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
