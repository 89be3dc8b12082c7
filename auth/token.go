package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/skyweld/skyweld/store"
)

// TokenPrefix begins every API token, so that programs that look for leaked secrets know it.
const TokenPrefix = "skyweld_pat_"

// Token is an API token as it is shown: without itself.
type Token struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
	// User is whose it is; it ends with that user. None for one made with the engine's own token.
	User    string    `json:"user,omitempty"`
	Maker   string    `json:"maker"`
	Created time.Time `json:"created"`
	// Expires is zero for one that doesn't.
	Expires time.Time `json:"expires,omitzero"`
	// Used is when it was used last, to about a minute.
	Used time.Time `json:"used,omitzero"`
}

func tokenOf(k store.APIToken) Token {
	return Token{Name: k.Name, Role: Role(k.Role), User: k.Person, Maker: k.Maker, Created: k.Created, Expires: k.Expires, Used: k.Used}
}

// tokenName is what a token may be called.
var tokenName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// Tokens lists all API tokens by name.
func (s *Service) Tokens(ctx context.Context) ([]Token, error) {
	all, err := s.store.ListAPITokens(ctx)
	out := make([]Token, len(all))
	for i, k := range all {
		out[i] = tokenOf(k)
	}
	return out, err
}

// Token returns an API token as it is shown.
func (s *Service) Token(ctx context.Context, name string) (Token, error) {
	all, err := s.store.ListAPITokens(ctx)
	if err != nil {
		return Token{}, err
	}
	for _, k := range all {
		if k.Name == name {
			return tokenOf(k), nil
		}
	}
	return Token{}, plain(store.ErrNotFound, "token", name)
}

// MakeToken makes an API token for who asks, and returns it with itself: that is shown once.
func (s *Service) MakeToken(ctx context.Context, name string, role Role, expires time.Time) (secret string, t Token, err error) {
	by := From(ctx)
	now := time.Now()
	switch err := CheckRole(role); {
	case !tokenName.MatchString(name):
		return "", Token{}, refused(http.StatusUnprocessableEntity, "found the name %q: want 1 to 64 of a-z, 0-9 and . _ -, beginning with a letter or digit", name)
	case err != nil:
		return "", Token{}, err
	case !by.Role.Includes(role):
		return "", Token{}, refused(http.StatusForbidden, "a token can't have more rights than its maker: you have the role %s, and it would have %s", by.Role, role)
	case !expires.IsZero() && !expires.After(now):
		return "", Token{}, refused(http.StatusUnprocessableEntity, "the token would have expired already, at %s", expires.UTC().Format(time.RFC3339))
	}
	secret = TokenPrefix + newSecret()
	k := store.APIToken{Name: name, Hash: hashed(secret), Role: string(role), Person: by.User, Maker: by.Name, Created: now, Expires: expires}
	if err := s.store.AddAPIToken(ctx, k); err != nil {
		return "", Token{}, plain(err, "token", name)
	}
	return secret, tokenOf(k), nil
}

// RevokeToken ends an API token.
func (s *Service) RevokeToken(ctx context.Context, name string) error {
	err := store.ErrNotFound
	if tokenName.MatchString(name) {
		_, err = s.store.DeleteAPIToken(ctx, name)
	}
	return plain(err, "token", name)
}

// FindToken returns who shows a token: the engine's own, whose bearer says who it is, or an API token.
func (s *Service) FindToken(ctx context.Context, given, who, peer string) (Principal, error) {
	if s.local != "" && subtle.ConstantTimeCompare([]byte(given), []byte(s.local)) == 1 {
		return Principal{Name: who, Role: Admin, Via: "local token", From: peer}, nil
	}
	rest, ours := strings.CutPrefix(given, TokenPrefix)
	if !ours {
		return Principal{}, refused(http.StatusUnauthorized, "the request's token is not this engine's; it is in the file token of the engine's folder")
	}
	unknown := refused(http.StatusUnauthorized, "the request's token is unknown, was revoked or has expired")
	if !isSecret(rest) {
		return Principal{}, unknown
	}
	k, err := s.store.GetAPIToken(ctx, hashed(given))
	if errors.Is(err, store.ErrNotFound) {
		return Principal{}, unknown
	}
	if err != nil {
		return Principal{}, err
	}
	now := time.Now()
	if !k.Expires.IsZero() && !now.Before(k.Expires) {
		return Principal{}, unknown
	}
	p := Principal{Name: k.Maker, Role: Role(k.Role), User: k.Person, Via: "token " + k.Name, From: peer}
	if k.Person != "" {
		u, err := s.store.GetUser(ctx, k.Person)
		if errors.Is(err, store.ErrNotFound) || err == nil && !u.Disabled.IsZero() {
			return Principal{}, unknown
		}
		if err != nil {
			return Principal{}, err
		}
		if !Role(u.Role).Includes(p.Role) { // its maker had more rights then
			p.Role = Role(u.Role)
		}
	}
	if now.Sub(k.Used) >= touchEvery {
		if err := s.store.TouchAPIToken(ctx, k.Hash, now); err != nil {
			s.log.Warn("it can't be noted that a token is used", "token", k.Name, "error", err)
		}
	}
	return p, nil
}
