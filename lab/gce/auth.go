package gce

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// tokenLife is how long an access token is good, as Google's are.
const tokenLife = time.Hour

// keyFile is the form of a service account's key file, as Google's documentation of service account credentials gives it.
type keyFile struct {
	Type                    string `json:"type"`
	ProjectID               string `json:"project_id"`
	PrivateKeyID            string `json:"private_key_id"`
	PrivateKey              string `json:"private_key"`
	ClientEmail             string `json:"client_email"`
	ClientID                string `json:"client_id"`
	AuthURI                 string `json:"auth_uri"`
	TokenURI                string `json:"token_uri"`
	AuthProviderX509CertURL string `json:"auth_provider_x509_cert_url"`
	ClientX509CertURL       string `json:"client_x509_cert_url"`
	UniverseDomain          string `json:"universe_domain"`
}

// NewServiceAccountKey makes a service account's key file for a project, in Google's form, whose tokens come from tokenURI.
func NewServiceAccountKey(project, tokenURI string) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make service account key for %s: %w", project, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make service account key for %s: %w", project, err)
	}
	var id [20]byte
	rand.Read(id[:])
	email := "skyweld@" + project + ".iam.gserviceaccount.com"
	root := strings.TrimSuffix(tokenURI, "/token")
	return json.MarshalIndent(keyFile{
		Type: "service_account", ProjectID: project, PrivateKeyID: hex.EncodeToString(id[:]),
		PrivateKey:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		ClientEmail: email, ClientID: fmt.Sprintf("1%020d", newID()), AuthURI: root + "/o/oauth2/auth", TokenURI: tokenURI,
		AuthProviderX509CertURL: root + "/oauth2/v1/certs", ClientX509CertURL: root + "/robot/v1/metadata/x509/" + email,
		UniverseDomain: "googleapis.com",
	}, "", "  ")
}

// accountKey is what the service needs of a key file.
type accountKey struct {
	email, id, clientID, tokenURI string
	public                        *rsa.PublicKey
	tokenKey                      []byte // signs access tokens
}

func parseKey(text []byte) (*accountKey, error) {
	var f keyFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(f.PrivateKey))
	if block == nil {
		return nil, errors.New("private_key is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("private_key is a %T, not an RSA key", key)
	}
	tokenKey := sha256.Sum256(append([]byte("access tokens\n"), block.Bytes...))
	return &accountKey{
		email: f.ClientEmail, id: f.PrivateKeyID, clientID: f.ClientID, tokenURI: f.TokenURI, public: &private.PublicKey, tokenKey: tokenKey[:],
	}, nil
}

// claims are those of a JWT that are looked at.
type claims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Scope    string `json:"scope"`
	Issued   int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

// verify checks a JWT's form, signature and times. What is wrong is said in the words of Google's endpoint; empty is good.
func (k *accountKey) verify(jwt string, now time.Time) (claims, string) {
	var c claims
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return c, "not a JWT"
	}
	var raw [3][]byte
	for i, p := range parts {
		b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(p, "="))
		if err != nil {
			return c, "JWT is not base64"
		}
		raw[i] = b
	}
	var header struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
	}
	if json.Unmarshal(raw[0], &header) != nil || header.Alg != "RS256" || header.Kid != "" && header.Kid != k.id {
		return c, "JWT has an unknown algorithm or key"
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(k.public, crypto.SHA256, sum[:], raw[2]); err != nil {
		return c, "Invalid JWT Signature."
	}
	if err := json.Unmarshal(raw[1], &c); err != nil {
		return c, "JWT has no claims"
	}
	const skew = 5 * time.Minute
	expires, issued := time.Unix(c.Expires, 0), time.Unix(c.Issued, 0)
	switch {
	case c.Issuer != k.email:
		return c, "Invalid grant: account not found"
	case now.After(expires), issued.After(now.Add(skew)), expires.Sub(issued) > tokenLife+skew:
		return c, "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."
	}
	return c, ""
}

const tokenPrefix = "ya29.c."

// issue makes an access token. It carries its end and a MAC, so that it stays good when the lab is restarted: clients keep
// theirs until it ends.
func (k *accountKey) issue(now time.Time) string {
	var b [24]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.Add(tokenLife).Unix()))
	rand.Read(b[8:])
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(b[:], k.mac(b[:])...))
}

func (k *accountKey) mac(b []byte) []byte {
	h := hmac.New(sha256.New, k.tokenKey)
	h.Write(b)
	return h.Sum(nil)
}

// left returns how long an access token is good yet, nothing for one that isn't ours.
func (k *accountKey) left(token string, now time.Time) time.Duration {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, tokenPrefix))
	if err != nil || len(raw) != 24+sha256.Size || !hmac.Equal(raw[24:], k.mac(raw[:24])) {
		return 0
	}
	return time.Unix(int64(binary.BigEndian.Uint64(raw[:8])), 0).Sub(now)
}

func oauthError(w http.ResponseWriter, r *http.Request, code int, kind, description string) {
	write(w, r, code, map[string]any{"error": kind, "error_description": description})
}

// serveToken is the OAuth 2.0 token endpoint: the grants of a service account (RFC 7523) and of a refresh token.
func (s *Service) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		oauthError(w, r, http.StatusMethodNotAllowed, "invalid_request", "Only POST is allowed.")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		oauthError(w, r, http.StatusBadRequest, "invalid_request", "Could not parse the form.")
		return
	}
	now := time.Now()
	switch grant := r.PostForm.Get("grant_type"); grant {
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		c, wrong := s.key.verify(r.PostForm.Get("assertion"), now)
		if wrong != "" {
			oauthError(w, r, http.StatusBadRequest, "invalid_grant", wrong)
			return
		}
		own := []string{s.key.tokenURI, s.cfg.BaseURL() + "/token", "https://oauth2.googleapis.com/token"}
		if !slices.Contains(own, c.Audience) {
			oauthError(w, r, http.StatusBadRequest, "invalid_grant", "Invalid JWT: Failed audience check.")
			return
		}
	case "refresh_token":
		if s.cfg.RefreshToken == "" || !same(r.PostForm.Get("refresh_token"), s.cfg.RefreshToken) {
			oauthError(w, r, http.StatusBadRequest, "invalid_grant", "Bad Request")
			return
		}
	default:
		oauthError(w, r, http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: "+grant)
		return
	}
	write(w, r, http.StatusOK, map[string]any{
		"access_token": s.key.issue(now), "expires_in": int(tokenLife.Seconds()), "token_type": "Bearer",
		"scope": "https://www.googleapis.com/auth/cloud-platform",
	})
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// authenticate returns who calls, by the bearer token: an access token, or a JWT that the account's key signed, which
// Google's newer client libraries send without asking for a token first.
func (s *Service) authenticate(r *http.Request) (string, *apiError) {
	const help = "Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token == "" {
		if token = r.URL.Query().Get("access_token"); token != "" {
			scheme = "Bearer"
		}
	}
	if token == "" || !strings.EqualFold(scheme, "Bearer") {
		return "", &apiError{
			code: http.StatusUnauthorized, reason: "required", status: "UNAUTHENTICATED", location: "Authorization", locationType: "header",
			message: "Request is missing required authentication credential. " + help,
		}
	}
	if s.valid(token) {
		return s.key.email, nil
	}
	return "", &apiError{
		code: http.StatusUnauthorized, reason: "authError", status: "UNAUTHENTICATED", location: "Authorization", locationType: "header",
		message: "Request had invalid authentication credentials. " + help,
	}
}

func (s *Service) valid(token string) bool {
	now := time.Now()
	if s.cfg.AccessToken != "" && same(token, s.cfg.AccessToken) || s.key.left(token, now) > 0 {
		return true
	}
	c, wrong := s.key.verify(token, now)
	// A JWT for the token endpoint is an assertion, no token: its audience is the endpoint.
	return wrong == "" && c.Subject == c.Issuer && c.Audience != s.key.tokenURI
}

// serveTokenInfo describes an access token, as gcloud asks.
func (s *Service) serveTokenInfo(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("access_token")
	if token == "" {
		token = r.FormValue("access_token")
	}
	if !s.valid(token) {
		oauthError(w, r, http.StatusBadRequest, "invalid_token", "Invalid Value")
		return
	}
	left := s.key.left(token, time.Now())
	if left <= 0 {
		left = tokenLife
	}
	write(w, r, http.StatusOK, map[string]any{
		"azp": s.key.clientID, "aud": s.key.clientID, "scope": "https://www.googleapis.com/auth/cloud-platform", "email": s.key.email,
		"email_verified": "true", "access_type": "online", "expires_in": fmt.Sprint(int(left.Seconds())), "exp": fmt.Sprint(time.Now().Add(left).Unix()),
	})
}

func (s *Service) serveUserInfo(w http.ResponseWriter, r *http.Request) {
	user, err := s.authenticate(r)
	if err != nil {
		write(w, r, err.code, err.body())
		return
	}
	write(w, r, http.StatusOK, map[string]any{"sub": s.key.clientID, "id": s.key.clientID, "email": user, "email_verified": true})
}
