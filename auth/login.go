package auth

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/skyweld/skyweld/store"
)

// throttle is how tries to sign in are slowed down. A try counts as a failure from its beginning until it has succeeded, so
// that many at once are no way around it.
type throttle struct {
	// free is how many failures cost nothing; each one more doubles the pause, which begins with a second.
	free    int64
	longest time.Duration
}

// By user it is short, so that nobody can be locked out by others for long; by address it isn't.
var (
	byUser    = throttle{free: 5, longest: time.Minute}
	byAddress = throttle{free: 20, longest: 15 * time.Minute}
)

// forgetFailures is how long after the last failure all are forgotten.
const forgetFailures = time.Hour

func (t throttle) pause(failures int64) time.Duration {
	if failures <= t.free {
		return 0
	}
	return min(t.longest, time.Second<<min(failures-t.free-1, 30))
}

// Address is the address of a peer without its port; of one of IPv6 in a log it stays whole.
func Address(peer string) string {
	if a, err := netip.ParseAddrPort(peer); err == nil {
		return a.Addr().Unmap().WithZone("").String()
	}
	return peer
}

// network is what failures are counted by: of IPv6 everybody has a whole /64.
func network(peer string) string {
	a, err := netip.ParseAddr(Address(peer))
	if err != nil || a.Is4() {
		return Address(peer)
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a.String()
	}
	return p.String()
}

func subjectsOf(name, peer string) map[string]throttle {
	out := map[string]throttle{"address " + network(peer): byAddress}
	if userName.MatchString(name) {
		out["user "+name] = byUser
	}
	return out
}

func keys(m map[string]throttle) []string {
	var out []string
	for _, k := range []string{"user ", "address "} { // in one order
		for subject := range m {
			if len(subject) > len(k) && subject[:len(k)] == k {
				out = append(out, subject)
			}
		}
	}
	return out
}

// admit lets a try in, or says how long to wait.
func (s *Service) admit(ctx context.Context, name, peer string) error {
	now := time.Now()
	subjects := subjectsOf(name, peer)
	var paused string
	var until time.Time
	err := s.store.ChangeLoginFailures(ctx, keys(subjects), now.Add(-forgetFailures), func(known map[string]store.LoginFailures) error {
		paused, until = "", now
		for subject := range subjects {
			if at := known[subject].PausedUntil; at.After(until) {
				paused, until = subject, at
			}
		}
		if wait := until.Sub(now); wait > 0 {
			seconds := int64((wait + time.Second - 1) / time.Second)
			return &Error{Status: http.StatusTooManyRequests, Message: tooOften(seconds), After: time.Duration(seconds) * time.Second}
		}
		for subject, t := range subjects {
			f := known[subject]
			f.Count++
			f.Last, f.PausedUntil = now, time.Time{}
			if pause := t.pause(f.Count); pause > 0 {
				f.PausedUntil = now.Add(pause)
			}
			known[subject] = f
		}
		return nil
	})
	if own, ok := errors.AsType[*Error](err); ok && own.Status == http.StatusTooManyRequests && s.held.first(paused, until) {
		s.Record(ctx, store.AuditEntry{Who: shortened(name), Via: "password", Source: peer, Operation: "login", Object: "user/" + shortened(name), Status: own.Status, Error: own.Message})
	}
	return plain(err, "user", name)
}

// held are pauses whose first refusal is on record, by whom or where from they hold off: there may be thousands a second of
// the others.
type held struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// mostHeld is how many are remembered; beyond that an entry may be written twice.
const mostHeld = 10000

// first says whether a pause holds somebody off for the first time.
func (h *held) first(subject string, until time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until[subject].Equal(until) {
		return false
	}
	if h.until == nil || len(h.until) >= mostHeld {
		h.until = map[string]time.Time{}
	}
	h.until[subject] = until
	return true
}

// succeeded takes back what admit counted; of the user all is forgotten.
func (s *Service) succeeded(ctx context.Context, name, peer string) error {
	subjects := subjectsOf(name, peer)
	return s.store.ChangeLoginFailures(ctx, keys(subjects), time.Now().Add(-forgetFailures), func(known map[string]store.LoginFailures) error {
		for subject, t := range subjects {
			f := known[subject]
			if f.Count--; t == byUser {
				f.Count = 0
			}
			f.PausedUntil = time.Time{}
			known[subject] = f
		}
		return nil
	})
}

// prove makes sure that somebody knows a user's password. It takes as long for users that there aren't.
func (s *Service) prove(ctx context.Context, name, password, peer string) (store.User, error) {
	if err := s.admit(ctx, name, peer); err != nil {
		return store.User{}, err
	}
	u, err := s.userNamed(ctx, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.User{}, err
	}
	known := err == nil && u.Password != ""
	hash := u.Password
	if !known {
		hash = s.nobody()
	}
	if len(password) > LongestPassword {
		password = "" // nobody's, and not worth the work
	}
	right, old, err := s.verify(ctx, password, hash)
	if err != nil {
		return store.User{}, err
	}
	if !known || !right || !u.Disabled.IsZero() {
		return store.User{}, &Error{Status: http.StatusUnauthorized, Message: "the name or the password is wrong"}
	}
	if err := s.succeeded(ctx, name, peer); err != nil {
		return store.User{}, err
	}
	if old {
		fresh, err := s.hash(ctx, password)
		if err == nil {
			err = s.store.RehashPassword(ctx, name, u.Password, fresh)
		}
		if err != nil {
			s.log.Warn("a password can't be hashed anew", "user", name, "error", err)
		}
	}
	return u, nil
}

// Login begins a session for who knows a user's password, and returns its secret.
func (s *Service) Login(ctx context.Context, name, password, peer string) (secret string, err error) {
	name = cleanName(name)
	u, err := s.prove(ctx, name, password, peer)
	entry := store.AuditEntry{Who: shortened(name), Via: "password", Source: peer, Operation: "login", Object: "user/" + shortened(name), Status: http.StatusOK}
	if own, ok := errors.AsType[*Error](err); ok && own.Status == http.StatusUnauthorized {
		entry.Status, entry.Error = own.Status, own.Message
		s.Record(ctx, entry)
	}
	if err != nil {
		return "", err
	}
	entry.Role = u.Role
	secret, err = s.begin(ctx, store.Session{Person: u.Name, Name: u.Name, Via: "session", Address: Address(peer)})
	if err == nil {
		s.Record(ctx, entry)
	}
	return secret, err
}

// shortened is a name that anybody may have made up, as it is recorded.
func shortened(name string) string {
	if r := []rune(name); len(r) > 64 {
		return string(r[:63]) + "…"
	}
	return name
}
