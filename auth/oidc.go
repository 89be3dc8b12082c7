package auth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/skyweld/skyweld/store"
)

// OIDC is a server of OpenID Connect that people sign in at.
type OIDC struct {
	// Issuer is the server's address, ClientID what it calls this engine, ClientSecret what it knows it by; empty for a
	// public client.
	Issuer, ClientID, ClientSecret string
	// Scopes are asked for beside openid; none means profile and email.
	Scopes []string
	// RoleClaim is the claim that says the role: its values are roles, or are in Roles. Of several the highest counts. When it
	// is empty, new users have the role Default, and an admin gives them others here.
	RoleClaim string
	Roles     map[string]Role
	// Default is the role of who has none by the claim; empty keeps them out.
	Default Role

	mu       sync.Mutex
	provider *oidc.Provider
}

const (
	// oidcCookie holds what belongs to a sign-in that is under way, in the browser that began it.
	oidcCookie = "skyweld_oidc"
	// oidcPatience is how long one may take, oidcTimeout how long the server may for an answer.
	oidcPatience = 10 * time.Minute
	oidcTimeout  = 15 * time.Second
)

// host is what people call the server.
func (o *OIDC) host() string {
	if u, err := url.Parse(o.Issuer); err == nil && u.Host != "" {
		return u.Host
	}
	return o.Issuer
}

var oidcClient = &http.Client{Timeout: oidcTimeout}

// connect asks the server once where its parts are; it needn't be there when the engine starts.
func (o *OIDC) connect(ctx context.Context) (*oidc.Provider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider != nil {
		return o.provider, nil
	}
	// The context is kept for the keys, which are asked for later.
	p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), oidcClient), o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask the OpenID Connect server: %w", err)
	}
	o.provider = p
	return p, nil
}

// config is what the server is asked with, by an engine that the browser calls by a host.
func (o *OIDC) config(p *oidc.Provider, r *http.Request) *oauth2.Config {
	back := url.URL{Scheme: "http", Host: r.Host, Path: callbackPath}
	if overTLS(r) {
		back.Scheme = "https"
	}
	scopes := o.Scopes
	if len(scopes) == 0 {
		scopes = []string{"profile", "email"}
	}
	return &oauth2.Config{ClientID: o.ClientID, ClientSecret: o.ClientSecret, Endpoint: p.Endpoint(), RedirectURL: back.String(), Scopes: append([]string{oidc.ScopeOpenID}, scopes...)}
}

// pending is a sign-in that is under way.
type pending struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Next     string `json:"t"`
	Until    int64  `json:"u"`
}

func (p pending) cookie(r *http.Request) *http.Cookie {
	data, err := json.Marshal(p)
	if err != nil {
		panic("auth: strings that aren't JSON: " + err.Error())
	}
	return &http.Cookie{Name: oidcCookie, Value: base64.RawURLEncoding.EncodeToString(data), Path: oidcPath, MaxAge: int(oidcPatience / time.Second), HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: overTLS(r)}
}

// pendingOf reads a sign-in from its cookie. Whoever has the browser could have written it: that it fits the server's answer
// is what counts.
func pendingOf(value string, now time.Time) (pending, error) {
	var p pending
	data, err := base64.RawURLEncoding.DecodeString(value)
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil || !isSecret(p.State) || !isSecret(p.Nonce) || len(p.Verifier) < 43 || len(p.Verifier) > 128 || now.Unix() >= p.Until {
		return pending{}, errors.New("the browser has no sign-in under way, or it took too long")
	}
	p.Next = SafeNext(p.Next)
	return p, nil
}

func (s *Service) getOIDC(w http.ResponseWriter, r *http.Request) {
	next := r.URL.Query().Get(NextField)
	if s.oidc == nil {
		s.toForm(w, r, url.Values{problemField: {"oidc"}}, next)
		return
	}
	p, err := s.oidc.connect(r.Context())
	if err != nil {
		s.oidcFailed(w, r, err, next)
		return
	}
	begun := pending{State: newSecret(), Nonce: newSecret(), Verifier: oauth2.GenerateVerifier(), Next: SafeNext(next), Until: time.Now().Add(oidcPatience).Unix()}
	if len(begun.Next) > 1000 { // a cookie has an end
		begun.Next = "/"
	}
	http.SetCookie(w, begun.cookie(r))
	http.Redirect(w, r, s.oidc.config(p, r).AuthCodeURL(begun.State, oidc.Nonce(begun.Nonce), oauth2.S256ChallengeOption(begun.Verifier)), http.StatusSeeOther)
}

// oidcFailed leads back to the login form; why is for the log alone.
func (s *Service) oidcFailed(w http.ResponseWriter, r *http.Request, err error, next string) {
	s.log.Warn("somebody can't be signed in by OpenID Connect", "from", Address(r.RemoteAddr), "error", err)
	s.toForm(w, r, url.Values{problemField: {"oidc"}}, next)
}

func (s *Service) getCallback(w http.ResponseWriter, r *http.Request) {
	var begun pending
	c, err := r.Cookie(oidcCookie)
	if err == nil {
		begun, err = pendingOf(c.Value, time.Now())
	}
	http.SetCookie(w, &http.Cookie{Name: oidcCookie, Path: oidcPath, MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: overTLS(r)})
	if err == nil && s.oidc == nil {
		err = errors.New("there is no OpenID Connect server")
	}
	var claims map[string]any
	if err == nil {
		claims, err = s.oidc.redeem(r, begun)
	}
	if err != nil {
		s.oidcFailed(w, r, err, begun.Next)
		return
	}
	secret, err := s.loginOIDC(r.Context(), claims, r.RemoteAddr)
	if err != nil {
		s.backToLogin(w, r, err, "", begun.Next)
		return
	}
	s.signedIn(w, r, secret, begun.Next)
}

// redeem exchanges what the browser brought back for what the server says of the person.
func (o *OIDC) redeem(r *http.Request, begun pending) (map[string]any, error) {
	q := r.URL.Query()
	switch {
	case subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(begun.State)) != 1:
		return nil, errors.New("the answer is not to this browser's sign-in")
	case q.Get("error") != "":
		return nil, fmt.Errorf("the server refuses: %s %s", printable(shortened(q.Get("error"))), printable(shortened(q.Get("error_description"))))
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(r.Context(), oidcClient), 2*oidcTimeout)
	defer cancel()
	p, err := o.connect(ctx)
	if err != nil {
		return nil, err
	}
	tokens, err := o.config(p, r).Exchange(ctx, q.Get("code"), oauth2.VerifierOption(begun.Verifier))
	if err != nil {
		return nil, fmt.Errorf("exchange the code: %w", err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	id, err := p.Verifier(&oidc.Config{ClientID: o.ClientID}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("check the id token: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(begun.Nonce)) != 1 {
		return nil, errors.New("the id token is not of this sign-in")
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return nil, fmt.Errorf("read the id token: %w", err)
	}
	// Many servers say more at another place than in the token.
	if more, err := p.UserInfo(ctx, oauth2.StaticTokenSource(tokens)); err == nil && more.Subject == id.Subject {
		rest := map[string]any{}
		if err := more.Claims(&rest); err != nil {
			return nil, fmt.Errorf("read what the server says of the user: %w", err)
		}
		for k, v := range rest {
			if _, there := claims[k]; !there {
				claims[k] = v
			}
		}
	} else if err != nil && p.UserInfoEndpoint() != "" {
		return nil, fmt.Errorf("ask the server who it is: %w", err)
	}
	claims["iss"], claims["sub"] = id.Issuer, id.Subject
	return claims, nil
}

// role is what the claims say; empty for none.
func (o *OIDC) role(claims map[string]any) Role {
	best := Role("")
	for _, value := range claimed(claims, o.RoleClaim) {
		r := o.Roles[value]
		if r == "" && Role(value).Valid() && len(o.Roles) == 0 {
			r = Role(value)
		}
		if r != "" && (best == "" || r.Includes(best)) {
			best = r
		}
	}
	if best == "" {
		return o.Default
	}
	return best
}

// claimed are the values of a claim: by its whole name, or by the way to it, as in realm_access.roles.
func claimed(claims map[string]any, name string) []string {
	v, whole := claims[name]
	for rest, more := name, !whole; more; {
		var first string
		first, rest, more = strings.Cut(rest, ".")
		v = claims[first]
		claims, _ = v.(map[string]any)
	}
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, x := range v {
			if text, ok := x.(string); ok {
				out = append(out, text)
			}
		}
		return out
	}
	return nil
}

// loginOIDC begins a session for who a server says somebody is, who is made a user at the first time.
func (s *Service) loginOIDC(ctx context.Context, claims map[string]any, peer string) (secret string, err error) {
	issuer, _ := claims["iss"].(string)
	subject, _ := claims["sub"].(string)
	role := s.oidc.role(claims)
	entry := store.AuditEntry{Who: shortened(nameOf(claims)), Via: "oidc", Source: peer, Operation: "login", Status: http.StatusOK}
	u, err := s.store.GetUserBySubject(ctx, issuer, subject)
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return "", err
	case role == "", err == nil && !u.Disabled.IsZero():
		entry.Status, entry.Error = http.StatusForbidden, "may not sign in here"
		s.Record(ctx, entry)
		return "", refused(http.StatusForbidden, "%s may not sign in here", entry.Who)
	case err != nil:
		if u, err = s.addOIDC(ctx, store.User{Role: string(role), Issuer: issuer, Subject: subject}, claims); err != nil {
			return "", err
		}
		entry.After, _ = json.Marshal(userOf(u))
	case s.oidc.RoleClaim != "" && Role(u.Role) != role:
		changed, err := s.SetRole(ctx, u.Name, role)
		if err != nil { // the last admin stays one
			s.log.Warn("a user keeps a role that the OpenID Connect server doesn't give", "user", u.Name, "role", u.Role, "given", role, "error", err)
			break
		}
		entry.Before, _ = json.Marshal(map[string]any{"role": u.Role})
		entry.After, _ = json.Marshal(map[string]any{"role": changed.Role})
		u.Role = string(changed.Role)
	}
	entry.Who, entry.Role, entry.Object = u.Name, u.Role, "user/"+u.Name
	secret, err = s.begin(ctx, store.Session{Person: u.Name, Name: u.Name, Via: "oidc", Address: Address(peer)})
	if err == nil {
		s.Record(ctx, entry)
	}
	return secret, err
}

// addOIDC adds a user under a name that is free: a local user of the same name is somebody else.
func (s *Service) addOIDC(ctx context.Context, u store.User, claims map[string]any) (store.User, error) {
	name := nameOf(claims)
	for try := 1; ; try++ {
		u.Name = name
		if try > 1 {
			u.Name = fmt.Sprintf("%s-%d", name[:min(len(name), 60)], try)
		}
		made, err := s.store.AddUser(ctx, u)
		if !errors.Is(err, store.ErrExists) || try == 50 {
			return made, err
		}
		// The same person may sign in twice at once.
		if there, err := s.store.GetUserBySubject(ctx, u.Issuer, u.Subject); err == nil {
			return there, nil
		}
	}
}

// nameOf is what a person is called here: as they are called there, as far as that is a name.
func nameOf(claims map[string]any) string {
	for _, claim := range []string{"preferred_username", "email", "name", "sub"} {
		text, _ := claims[claim].(string)
		text = strings.Map(func(r rune) rune {
			switch {
			case r >= 'a' && r <= 'z', r >= '0' && r <= '9', strings.ContainsRune("._@+-", r):
				return r
			}
			return '-'
		}, strings.ToLower(strings.TrimSpace(text)))
		if text = strings.TrimLeft(text, "._@+-"); userName.MatchString(text[:min(len(text), 64)]) {
			return text[:min(len(text), 64)]
		}
	}
	return "user"
}
