package fault

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// Handler puts the rules about a cloud in front of its own handler. The server must have ConnContext as its hook of
// that name, for connections to be cut as a broken line does.
func (s *Set) Handler(cloud string, d Dialect, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.Down(cloud) {
			cut(r)
		}
		if s.quiet() {
			next.ServeHTTP(w, r)
			return
		}
		what := d.Request(r)
		var tried []int
		for {
			rule, ok := s.hit(cloud, what, tried)
			if !ok {
				next.ServeHTTP(w, r)
				return
			}
			if s.apply(rule, d, what, next, w, r) {
				return
			}
			s.missed(rule.ID)
			tried = append(tried, rule.ID)
		}
	})
}

// quiet says that there is no rule at all.
func (s *Set) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rules) == 0
}

// apply does to a request what a rule says; false when the rule means nothing to it.
func (s *Set) apply(rule Rule, d Dialect, what Request, next http.Handler, w http.ResponseWriter, r *http.Request) bool {
	switch rule.Kind {
	case Down:
		cut(r)
	case Hang:
		s.release(r.Context(), rule.ID)
		cut(r)
	case Delay:
		t := time.NewTimer(time.Duration(rule.Delay))
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return true
		}
		next.ServeHTTP(w, r)
	case Duplicate:
		return twice(next, w, r)
	case ListLag:
		return what.List && s.serveOld(rule, next, w, r)
	case Stuck:
		a := record(next, r)
		changed := d.Unfinished(r, a)
		a.give(w)
		if !changed {
			s.missed(rule.ID)
		}
	case DropAnswer:
		// The client may go before it is done: the request is carried out all the same.
		next.ServeHTTP(&lost{header: http.Header{}}, r.WithContext(context.WithoutCancel(r.Context())))
		cut(r)
	default:
		return d.Refuse(w, r, what, rule.Kind)
	}
	return true
}

// release waits until a rule is taken away, or its time has passed, or the context ends.
func (s *Set) release(ctx context.Context, id int) {
	for {
		changed := s.Changed()
		if !s.Holds(id) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// lost is an answer that nobody gets.
type lost struct{ header http.Header }

func (l *lost) Header() http.Header         { return l.header }
func (l *lost) Write(b []byte) (int, error) { return len(b), nil }
func (l *lost) WriteHeader(int)             {}

type connKey struct{}

// ConnContext remembers a request's connection: it is a hook of http.Server.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// cut ends a request's connection without an answer, and the handler with it.
func cut(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		reset(c)
	}
	panic(http.ErrAbortHandler)
}

// reset closes a connection at once and says so to the other side, without TLS' good-bye.
func reset(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(interface{ SetLinger(seconds int) error }); ok {
		_ = t.SetLinger(0) // then it is closed in the usual way, which cuts it too
	}
	_ = c.Close()
}
