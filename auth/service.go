package auth

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/skyweld/skyweld/store"
)

// Store is what the service remembers things by; *store.Store is one.
type Store interface {
	AddUser(ctx context.Context, u store.User) (store.User, error)
	GetUser(ctx context.Context, name string) (store.User, error)
	GetUserBySubject(ctx context.Context, issuer, subject string) (store.User, error)
	ListUsers(ctx context.Context) ([]store.User, error)
	ChangeUser(ctx context.Context, name, keep string, change func(*store.User) error) (before, after store.User, err error)
	RehashPassword(ctx context.Context, name, old, hash string) error
	DeleteUser(ctx context.Context, name string) (store.User, error)

	AddSession(ctx context.Context, v store.Session, idle, oldest time.Time) error
	GetSession(ctx context.Context, hash string) (store.Session, error)
	TouchSession(ctx context.Context, hash string, at time.Time) error
	DeleteSession(ctx context.Context, hash string) error
	AddLink(ctx context.Context, l store.Link) error
	TakeLink(ctx context.Context, hash string) (store.Link, error)

	AddAPIToken(ctx context.Context, k store.APIToken) error
	GetAPIToken(ctx context.Context, hash string) (store.APIToken, error)
	ListAPITokens(ctx context.Context) ([]store.APIToken, error)
	TouchAPIToken(ctx context.Context, hash string, at time.Time) error
	DeleteAPIToken(ctx context.Context, name string) (store.APIToken, error)

	ChangeLoginFailures(ctx context.Context, subjects []string, stale time.Time, change func(map[string]store.LoginFailures) error) error
	AddAudit(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error)
}

// Options are what a service is made of.
type Options struct {
	Store Store
	// LocalToken is the engine's own: whoever has it is an admin.
	LocalToken string
	Log        *slog.Logger
	// OIDC is where people may sign in too; nil for nowhere.
	OIDC *OIDC
}

// Service finds out who asks.
type Service struct {
	store Store
	local string
	log   *slog.Logger
	oidc  *OIDC
	cost  cost
	// hashing holds how many passwords are hashed at once: each takes memory.
	hashing chan struct{}
	// nobody is a hash that no password has, for users that there aren't.
	nobody func() string
	// held are the pauses that the audit log has already.
	held held
}

// New returns a service.
func New(o Options) *Service {
	s := &Service{store: o.Store, local: o.LocalToken, log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)), oidc: o.OIDC, cost: owasp, hashing: make(chan struct{}, max(1, runtime.NumCPU()/2))}
	s.nobody = sync.OnceValue(func() string { return s.cost.hash(newSecret()) })
	return s
}

// Error is a refusal, in words for who asked.
type Error struct {
	// Status is HTTP's.
	Status  int
	Message string
	// After is when to try again; 0 where that doesn't help.
	After time.Duration
}

func (e *Error) Error() string { return e.Message }

func refused(status int, format string, args ...any) error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

// plain is an error of the store in words for who asked, where it is about what they asked for.
func plain(err error, what, name string) error {
	switch own := (*Error)(nil); {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.Is(err, store.ErrNotFound):
		return refused(http.StatusNotFound, "there is no %s named %q", what, name)
	case errors.Is(err, store.ErrExists):
		return refused(http.StatusConflict, "there is a %s named %q already", what, name)
	case errors.Is(err, store.ErrLastAdmin):
		return refused(http.StatusConflict, "%s is the last admin who may sign in: make somebody else one first", name)
	}
	return err
}

// newSecret returns 256 bits that nobody can guess.
func newSecret() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// hashed is what of such a secret is stored. They can't be guessed, so that one round is enough.
func hashed(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// isSecret says whether a text has the form of one of newSecret's: what hasn't needn't be looked for.
func isSecret(text string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(b) == 32 && !strings.ContainsAny(text, "\r\n")
}

// printable is a text that anybody may have made up, as it can be stored and shown.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r):
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(text, string(utf8.RuneError)))
}

// auditPatience is how long an entry may take to be written: whoever asked may be gone meanwhile.
const auditPatience = 30 * time.Second

// Record writes an entry into the audit log. Who isn't said is who asks by the context; that it ended doesn't matter.
func (s *Service) Record(ctx context.Context, e store.AuditEntry) {
	if p := From(ctx); e.Who == "" && e.Via == "" {
		e.Who, e.Role, e.Via = p.Name, string(p.Role), p.Via
		e.Source = cmp.Or(e.Source, p.From)
	}
	e.Source = Address(e.Source)
	for _, text := range []*string{&e.Who, &e.Role, &e.Via, &e.Source, &e.Operation, &e.Object, &e.Error} {
		*text = printable(*text)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditPatience)
	defer cancel()
	if _, err := s.store.AddAudit(ctx, e); err != nil {
		s.log.Error("the audit log can't be written", "who", e.Who, "operation", e.Operation, "object", e.Object, "status", e.Status, "error", err)
	}
}
