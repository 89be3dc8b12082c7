package gcp

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
)

const (
	scope           = "https://www.googleapis.com/auth/cloud-platform"
	defaultTokenURI = "https://oauth2.googleapis.com/token"
)

// The types of credential files that work when nobody is logged in and no other program runs.
const (
	typeServiceAccount = "service_account"
	typeUser           = "authorized_user"
)

// credentials is a credential file, in the form that Google's documentation of Application Default Credentials gives.
type credentials struct {
	Type     string `json:"type"`
	TokenURI string `json:"token_uri"`

	// Of service accounts.
	ProjectID      string `json:"project_id"`
	PrivateKeyID   string `json:"private_key_id"`
	PrivateKey     string `json:"private_key"`
	ClientEmail    string `json:"client_email"`
	UniverseDomain string `json:"universe_domain"`

	// Of users.
	ClientID       string `json:"client_id"`
	ClientSecret   string `json:"client_secret"`
	RefreshToken   string `json:"refresh_token"`
	QuotaProjectID string `json:"quota_project_id"`
	Account        string `json:"account"`
}

func parseCredentials(data []byte) (*credentials, error) {
	var c credentials
	if err := json.Unmarshal(data, &c); err != nil {
		// The decoder's error may quote the file, which is secret.
		return nil, errors.New("the credentials are not the JSON of a credential file")
	}
	if c.TokenURI == "" {
		c.TokenURI = defaultTokenURI
	}
	switch c.Type {
	case typeServiceAccount:
		return &c, c.checkKey()
	case typeUser:
		if c.ClientID == "" || c.ClientSecret == "" || c.RefreshToken == "" {
			return nil, errors.New("the user's credentials lack client_id, client_secret or refresh_token")
		}
		return &c, nil
	case "":
		return nil, errors.New("the credentials have no type: want a service account's key, or the file that 'gcloud auth application-default login' writes")
	}
	return nil, fmt.Errorf("credentials of type %q can't be used: Skyweld needs a service account's key (service_account) or a user's "+
		"login (authorized_user), as it works when nobody is logged in", c.Type)
}

// checkKey finds a broken key before the first call does.
func (c *credentials) checkKey() error {
	if c.ClientEmail == "" || c.PrivateKey == "" {
		return errors.New("the service account's key lacks client_email or private_key")
	}
	block, _ := pem.Decode([]byte(c.PrivateKey))
	if block == nil {
		return errors.New("the service account's private_key is not PEM")
	}
	if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		return nil
	}
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
		return errors.New("the service account's private_key is neither PKCS #8 nor PKCS #1")
	}
	return nil
}

// project is the one the credentials belong to, empty when they don't say.
func (c *credentials) project() string {
	if c.ProjectID != "" {
		return c.ProjectID
	}
	return c.QuotaProjectID
}

// identity is who the credentials are for.
func (c *credentials) identity() string {
	switch {
	case c.ClientEmail != "":
		return c.ClientEmail
	case c.Account != "":
		return c.Account
	}
	return "a user of OAuth client " + c.ClientID
}

// fetch gets a token; its requests end with the context. An error of the way is returned as it is: the jwt package keeps
// its text only.
func (c *credentials) fetch(ctx context.Context, base http.RoundTripper) (*oauth2.Token, error) {
	var way error
	t, err := c.source(ctx, bound{ctx, base, &way}).Token()
	if err != nil && way != nil {
		err = &url.Error{Op: "Post", URL: c.TokenURI, Err: way}
	}
	return t, err
}

func (c *credentials) source(ctx context.Context, base http.RoundTripper) oauth2.TokenSource {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: base})
	if c.Type == typeUser {
		config := oauth2.Config{
			ClientID: c.ClientID, ClientSecret: c.ClientSecret, Scopes: []string{scope},
			Endpoint: oauth2.Endpoint{TokenURL: c.TokenURI, AuthStyle: oauth2.AuthStyleInParams},
		}
		return config.TokenSource(ctx, &oauth2.Token{RefreshToken: c.RefreshToken})
	}
	config := jwt.Config{
		Email: c.ClientEmail, PrivateKey: []byte(c.PrivateKey), PrivateKeyID: c.PrivateKeyID, Scopes: []string{scope}, TokenURL: c.TokenURI,
	}
	return config.TokenSource(ctx)
}

// bound puts a context into requests that are made without one, as the jwt package does, and keeps the error of the last.
type bound struct {
	ctx  context.Context
	base http.RoundTripper
	err  *error
}

func (b bound) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.base.RoundTrip(r.WithContext(b.ctx))
	*b.err = err
	return resp, err
}

// bearer adds an access token to requests. Unlike the SDK's own transport it lets a request that waits for a token end
// with its context.
type bearer struct {
	creds *credentials
	base  http.RoundTripper
	// turn is held by the one request that fetches a token.
	turn chan struct{}

	mu    sync.Mutex
	token *oauth2.Token
}

func newBearer(creds *credentials, base http.RoundTripper) *bearer {
	return &bearer{creds: creds, base: base, turn: make(chan struct{}, 1)}
}

func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := b.fetch(r.Context())
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("get an access token: %w", err)
	}
	r = r.Clone(r.Context())
	token.SetAuthHeader(r)
	answer, err := b.base.RoundTrip(r)
	if err == nil && answer.StatusCode == http.StatusUnauthorized {
		b.forget(token)
	}
	return answer, err
}

// forget drops a token that was refused, however long our clock would have it last: the clock may have been set back, or the
// token withdrawn.
func (b *bearer) forget(token *oauth2.Token) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.token == token {
		b.token = nil
	}
}

func (b *bearer) valid() *oauth2.Token {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.token.Valid() {
		return b.token
	}
	return nil
}

func (b *bearer) fetch(ctx context.Context) (*oauth2.Token, error) {
	if t := b.valid(); t != nil {
		return t, nil
	}
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if t := b.valid(); t != nil {
		return t, nil
	}
	t, err := b.creds.fetch(ctx, b.base)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err() // the jwt package doesn't wrap it
		}
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.token = t
	return t, nil
}
