package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/skyweld/skyweld/store"
)

// SessionCookie is the cookie that holds a session's secret.
const SessionCookie = "skyweld_session"

const (
	// sessionIdle is how long a session lasts unused, sessionLife how long at all.
	sessionIdle = 12 * time.Hour
	sessionLife = 7 * 24 * time.Hour
	// touchEvery is how exactly it is noted when sessions and tokens are used.
	touchEvery = time.Minute
)

// Session is somebody signed in with a browser.
type Session struct {
	Principal Principal
	Began     time.Time
	hash      string
	secret    string
}

// CSRF is what a form of a session must bring along, in the field CSRFField or the header CSRFHeader; a stranger's page can't know it.
func CSRF(v Session) string {
	if v.secret == "" {
		return ""
	}
	m := hmac.New(sha256.New, []byte(v.secret))
	m.Write([]byte("skyweld csrf"))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// Where a request has a session's CSRF token.
const (
	CSRFField  = "csrf"
	CSRFHeader = "Skyweld-CSRF"
)

// CheckCSRF says whether a text is a session's CSRF token.
func CheckCSRF(v Session, given string) bool {
	want := CSRF(v)
	return want != "" && hmac.Equal([]byte(want), []byte(given))
}

type sessionKey struct{}

// WithSession notes a session, and its principal.
func WithSession(ctx context.Context, v Session) context.Context {
	return context.WithValue(With(ctx, v.Principal), sessionKey{}, v)
}

// SessionFrom is the session that was noted; one without a principal where none was.
func SessionFrom(ctx context.Context) Session {
	v, _ := ctx.Value(sessionKey{}).(Session)
	return v
}

// begin begins a session with a secret of its own: none that was there before is ever taken over.
func (s *Service) begin(ctx context.Context, v store.Session) (secret string, err error) {
	now := time.Now()
	secret = newSecret()
	v.Hash, v.Created, v.Seen = hashed(secret), now, now
	err = s.store.AddSession(ctx, v, now.Add(-sessionIdle), now.Add(-sessionLife))
	if errors.Is(err, store.ErrNotFound) { // removed or disabled this moment
		return "", refused(http.StatusUnauthorized, "the name or the password is wrong")
	}
	return secret, err
}

// errNoSession is the end of a session, or that there never was one.
func errNoSession() error {
	return refused(http.StatusUnauthorized, "nobody is signed in here any more: sign in again")
}

// FindSession returns the session with a secret, which a peer shows.
func (s *Service) FindSession(ctx context.Context, secret, peer string) (Session, error) {
	if !isSecret(secret) {
		return Session{}, errNoSession()
	}
	v, err := s.store.GetSession(ctx, hashed(secret))
	if errors.Is(err, store.ErrNotFound) {
		return Session{}, errNoSession()
	}
	if err != nil {
		return Session{}, err
	}
	now := time.Now()
	if !now.Before(v.Seen.Add(sessionIdle)) || !now.Before(v.Created.Add(sessionLife)) {
		return Session{}, errNoSession()
	}
	p := Principal{Name: v.Name, Role: Role(v.Role), User: v.Person, Via: v.Via, From: peer}
	if v.Person != "" {
		u, err := s.store.GetUser(ctx, v.Person)
		if errors.Is(err, store.ErrNotFound) || err == nil && !u.Disabled.IsZero() {
			return Session{}, errNoSession()
		}
		if err != nil {
			return Session{}, err
		}
		p.Role = Role(u.Role) // as it is now
	}
	if now.Sub(v.Seen) >= touchEvery {
		if err := s.store.TouchSession(ctx, v.Hash, now); err != nil {
			s.log.Warn("it can't be noted that a session is used", "error", err)
		}
	}
	return Session{Principal: p, Began: v.Created, hash: v.Hash, secret: secret}, nil
}

// Logout ends a session.
func (s *Service) Logout(ctx context.Context, secret string) error {
	if !isSecret(secret) {
		return nil
	}
	return s.store.DeleteSession(ctx, hashed(secret))
}

// SignOut is Logout as somebody asked for it, who is at a peer: it is on record.
func (s *Service) SignOut(ctx context.Context, secret, peer string) error {
	v, known := s.FindSession(ctx, secret, peer)
	err := s.Logout(ctx, secret)
	if err == nil && known == nil { // a session that was over already ends no more
		p := v.Principal
		s.Record(ctx, store.AuditEntry{Who: p.Name, Role: string(p.Role), Via: p.Via, Source: peer, Operation: "logout", Status: http.StatusOK})
	}
	return err
}

// LinkLife is how long a link to sign in with is good for.
const LinkLife = time.Hour

// MakeLink returns the secret of a link that signs somebody in once.
func (s *Service) MakeLink(ctx context.Context, name string, role Role) (secret string, expires time.Time, err error) {
	now := time.Now()
	secret, expires = newSecret(), now.Add(LinkLife)
	return secret, expires, s.store.AddLink(ctx, store.Link{Hash: hashed(secret), Name: name, Role: string(role), Created: now, Expires: expires})
}

// FirstLink makes a link for an admin while there is no user; without one it is empty.
func (s *Service) FirstLink(ctx context.Context) (secret string, err error) {
	users, err := s.store.ListUsers(ctx)
	if err != nil || len(users) > 0 {
		return "", err
	}
	secret, _, err = s.MakeLink(ctx, "first admin", Admin)
	return secret, err
}

// UseLink begins a session by a link.
func (s *Service) UseLink(ctx context.Context, link, peer string) (secret string, err error) {
	gone := refused(http.StatusUnauthorized, "the link was used already, or is older than an hour: 'skyweld open' makes a new one")
	if !isSecret(link) {
		return "", gone
	}
	l, err := s.store.TakeLink(ctx, hashed(link))
	if errors.Is(err, store.ErrNotFound) || err == nil && !time.Now().Before(l.Expires) {
		return "", gone
	}
	if err != nil {
		return "", err
	}
	secret, err = s.begin(ctx, store.Session{Name: l.Name, Role: l.Role, Via: "link", Address: Address(peer)})
	if err == nil {
		s.Record(ctx, store.AuditEntry{Who: l.Name, Role: l.Role, Via: "link", Source: peer, Operation: "login", Status: http.StatusOK})
	}
	return secret, err
}
