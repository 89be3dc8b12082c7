package api

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// The paths for whoever operates an engine. They are no part of the API.
const (
	pathHealth  = "/healthz"
	pathReady   = "/readyz"
	pathMetrics = "/metrics"
)

// Metrics has a handler answer Prometheus.
func Metrics(h http.Handler) Option { return func(s *Server) { s.metrics = h } }

// Operating answers whether the engine lives and is at work, and its metrics, to everybody: it is for a listener of its own.
func (s *Server) Operating() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathHealth, s.health)
	mux.HandleFunc("GET "+pathReady, s.ready)
	if s.metrics != nil {
		mux.Handle("GET "+pathMetrics, s.metrics)
	}
	return mux
}

// operates answers requests of whoever operates the engine, and says whether this was one. That it lives and is at work
// anybody may know who reaches it; its metrics only who is on this machine, or has a token or a session.
func (s *Server) operates(w http.ResponseWriter, r *http.Request) bool {
	var answer http.Handler
	switch r.URL.Path {
	case pathHealth:
		answer = http.HandlerFunc(s.health)
	case pathReady:
		answer = http.HandlerFunc(s.ready)
	case pathMetrics:
		answer = s.metrics
	}
	if answer == nil {
		return false
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, r, http.StatusMethodNotAllowed, "want GET")
		return true
	}
	if r.URL.Path == pathMetrics && !s.ours(r.Host) {
		refuse(w, r, http.StatusMisdirectedRequest, s.notOurs(r.Host))
		return true
	}
	if r.URL.Path == pathMetrics && !fromHere(r) {
		s.known(answer).ServeHTTP(w, r)
		return true
	}
	answer.ServeHTTP(w, r)
	return true
}

// fromHere says whether a request comes from this machine, and not by way of a proxy on it.
func fromHere(r *http.Request) bool {
	for header := range r.Header {
		if header == "Forwarded" || header == "Via" || strings.HasPrefix(header, "X-Forwarded-") || header == "X-Real-Ip" {
			return false
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback() && loopbackHost(r.Host)
}

// health says that the process is alive: it answers.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "alive") }

// ready says whether the engine is at work, and if not, why.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if why := s.engine.NotReady(r.Context()); len(why) > 0 {
		plain(w, http.StatusServiceUnavailable, strings.Join(why, "\n"))
		return
	}
	plain(w, http.StatusOK, "ready")
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // who went away needn't know
}
