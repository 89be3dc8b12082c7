package arm

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// tokenLife is how long an access token is good, as Azure's are.
const tokenLife = 3599 * time.Second

// serveDirectory serves the directory's part of the addresses: discovery and tokens, and what tools ask of a cloud before
// they log in. It returns false for what isn't its part.
func (s *Service) serveDirectory(w http.ResponseWriter, r *http.Request) bool {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch path := strings.ToLower(strings.Join(parts[1:], "/")); {
	case strings.EqualFold(r.URL.Path, "/metadata/endpoints"):
		s.serveEndpoints(w, r)
	case strings.HasPrefix(r.URL.Path, bootLogs):
		s.serveBootLog(w, r)
	case path == "discovery/instance":
		s.serveInstances(w, r)
	case path == "v2.0/.well-known/openid-configuration", path == ".well-known/openid-configuration":
		s.serveConfiguration(w, parts[0], strings.HasPrefix(path, "v2.0"))
	case path == "oauth2/v2.0/token", path == "oauth2/token":
		s.serveToken(w, r, parts[0])
	case path == "discovery/keys", path == "discovery/v2.0/keys":
		writeJSON(w, http.StatusOK, map[string]any{"keys": []any{}})
	default:
		return false
	}
	return true
}

// serveEndpoints says where the cloud's parts are; all of them are here. Old and new versions have different forms.
func (s *Service) serveEndpoints(w http.ResponseWriter, r *http.Request) {
	base := s.cfg.BaseURL()
	login := map[string]any{"loginEndpoint": base, "audiences": []string{base, "https://management.core.windows.net/", "https://management.azure.com/"}, "tenant": "common", "identityProvider": "AAD"}
	v := map[string]any{
		"portal": base, "name": "Lab", "authentication": login, "resourceManager": base + "/", "graph": base, "graphAudience": base, "gallery": base + "/",
		"media": base, "batch": base, "suffixes": map[string]any{"storage": "core.lab.invalid", "keyVaultDns": "vault.lab.invalid"},
	}
	version := r.URL.Query().Get("api-version")
	if version > "2018-05-01" {
		writeJSON(w, http.StatusOK, []any{v})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"galleryEndpoint": base + "/", "graphEndpoint": base + "/", "portalEndpoint": base + "/", "authentication": login})
}

// serveInstances answers whether a directory's address is a known one: its own host only.
func (s *Service) serveInstances(w http.ResponseWriter, r *http.Request) {
	endpoint, err := url.Parse(r.URL.Query().Get("authorization_endpoint"))
	if err != nil || endpoint.Host == "" {
		s.oauthError(w, http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'authorization_endpoint'.")
		return
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(endpoint.Path, "/"), "/")
	writeJSON(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": s.cfg.BaseURL() + "/" + tenant + "/v2.0/.well-known/openid-configuration", "api-version": "1.1",
		"metadata": []any{map[string]any{"preferred_network": endpoint.Host, "preferred_cache": endpoint.Host, "aliases": []string{endpoint.Host}}},
	})
}

// knownTenant says whether a path's first part names the directory.
func (s *Service) knownTenant(tenant string) bool {
	switch strings.ToLower(tenant) {
	case "common", "organizations", "adfs", strings.ToLower(s.cfg.Tenant):
		return true
	}
	return false
}

func (s *Service) serveConfiguration(w http.ResponseWriter, tenant string, newer bool) {
	if !s.knownTenant(tenant) {
		s.unknownTenant(w, tenant)
		return
	}
	base := s.cfg.BaseURL() + "/" + tenant
	oauth, issuer := base+"/oauth2", s.cfg.BaseURL()+"/"+s.cfg.Tenant+"/"
	if strings.EqualFold(tenant, "adfs") {
		issuer = base
	}
	keys := base + "/discovery/keys"
	if newer {
		oauth, keys = base+"/oauth2/v2.0", base+"/discovery/v2.0/keys"
		issuer += "v2.0"
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"token_endpoint": oauth + "/token", "authorization_endpoint": oauth + "/authorize", "device_authorization_endpoint": oauth + "/devicecode", "issuer": issuer, "jwks_uri": keys,
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic"}, "response_modes_supported": []string{"query", "form_post"},
		"subject_types_supported": []string{"pairwise"}, "id_token_signing_alg_values_supported": []string{"RS256"}, "response_types_supported": []string{"code", "token"},
		"scopes_supported": []string{"openid"}, "tenant_region_scope": nil, "cloud_instance_name": "lab.invalid",
	})
}

func (s *Service) unknownTenant(w http.ResponseWriter, tenant string) {
	s.oauthError(w, http.StatusBadRequest, "invalid_tenant", 90002, fmt.Sprintf("Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", tenant))
}

// oauthError is the directory's form of an error: a code in letters, and its own number in the text.
func (s *Service) oauthError(w http.ResponseWriter, status int, kind string, number int, text string) {
	trace, correlation, now := newUUID(), newUUID(), time.Now().UTC().Format("2006-01-02 15:04:05Z")
	writeJSON(w, status, map[string]any{
		"error": kind, "error_codes": []int{number}, "timestamp": now, "trace_id": trace, "correlation_id": correlation,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", number, text, trace, correlation, now),
		"error_uri":         fmt.Sprintf("%s/error?code=%d", s.cfg.BaseURL(), number),
	})
}

// serveToken is the token endpoint, in both versions, for the one grant of applications: their id with a secret.
func (s *Service) serveToken(w http.ResponseWriter, r *http.Request, tenant string) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if r.Method != http.MethodPost || r.ParseForm() != nil {
		s.oauthError(w, http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'grant_type'.")
		return
	}
	f := r.PostForm
	id, secret := f.Get("client_id"), f.Get("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		if decoded, err := url.QueryUnescape(password); err == nil {
			password = decoded
		}
		id, secret = user, password
	}
	scope := f.Get("scope")
	if scope == "" {
		scope = f.Get("resource")
	}
	audience, _ := strings.CutSuffix(strings.Fields(scope + " -")[0], "/.default")
	switch {
	case !s.knownTenant(tenant):
		s.unknownTenant(w, tenant)
	case f.Get("grant_type") != "client_credentials":
		s.oauthError(w, http.StatusBadRequest, "unsupported_grant_type", 70003, fmt.Sprintf("The app requested an unsupported grant type '%s'.", f.Get("grant_type")))
	case !strings.EqualFold(id, s.cfg.ClientID):
		s.oauthError(w, http.StatusBadRequest, "unauthorized_client", 700016, fmt.Sprintf("Application with identifier '%s' was not found in the directory '%s'.", id, s.cfg.Tenant))
	case !same(secret, s.cfg.ClientSecret):
		s.oauthError(w, http.StatusUnauthorized, "invalid_client", 7000215, fmt.Sprintf(
			"Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", id))
	case scope == "":
		s.oauthError(w, http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'scope'.")
	default:
		s.grant(w, audience, s.cfg.ClientID, f.Get("scope") == "")
	}
}

// grant answers with a token; the old version of the endpoint writes numbers as text and says more.
func (s *Service) grant(w http.ResponseWriter, audience, principal string, older bool) {
	now := time.Now()
	token, err := s.issue(now, audience, principal)
	if err != nil {
		s.oauthError(w, http.StatusInternalServerError, "server_error", 90033, "A transient error has occurred. Please try again.")
		return
	}
	w.Header().Set("Cache-Control", "no-store, no-cache")
	if !older {
		life := int(tokenLife.Seconds())
		writeJSON(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token})
		return
	}
	writeJSON(w, http.StatusOK, oldToken(now, audience, token))
}

func oldToken(now time.Time, audience, token string) map[string]any {
	life := fmt.Sprint(int(tokenLife.Seconds()))
	return map[string]any{
		"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "expires_on": fmt.Sprint(now.Add(tokenLife).Unix()),
		"not_before": fmt.Sprint(now.Add(-5 * time.Minute).Unix()), "resource": audience, "access_token": token,
	}
}

// claims are those of a token that tools read.
type claims struct {
	Audience string `json:"aud"`
	Issuer   string `json:"iss"`
	Issued   int64  `json:"iat"`
	Begins   int64  `json:"nbf"`
	Expires  int64  `json:"exp"`
	AppID    string `json:"appid"`
	Type     string `json:"idtyp"`
	ObjectID string `json:"oid"`
	Subject  string `json:"sub"`
	Tenant   string `json:"tid"`
	Version  string `json:"ver"`
}

// issue makes an access token. It is signed with a key made from the application's secret, so that it stays good when the
// lab is restarted: clients keep theirs until it ends.
func (s *Service) issue(now time.Time, audience, principal string) (string, error) {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"HS256"}`))
	c := claims{
		Audience: audience, Issuer: s.cfg.BaseURL() + "/" + s.cfg.Tenant + "/", Issued: now.Unix(), Begins: now.Unix(), Expires: now.Add(tokenLife).Unix(),
		AppID: s.cfg.ClientID, Type: "app", ObjectID: s.objectID(principal), Subject: s.objectID(principal), Tenant: s.cfg.Tenant, Version: "1.0",
	}
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	body := header + "." + base64.RawURLEncoding.EncodeToString(text)
	return body + "." + base64.RawURLEncoding.EncodeToString(s.mac(body)), nil
}

func (s *Service) mac(body string) []byte {
	key := sha256.Sum256([]byte("access tokens\n" + s.cfg.ClientSecret))
	h := hmac.New(sha256.New, key[:])
	h.Write([]byte(body))
	return h.Sum(nil)
}

// objectID is the id of an application's account in the directory; a machine's identity is its own.
func (s *Service) objectID(principal string) string {
	if principal != s.cfg.ClientID {
		return principal
	}
	sum := sha256.Sum256([]byte("account of " + principal))
	return fmt.Sprintf("%x-%x-4%x-8%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])[:36]
}

// read checks a token and returns what it says.
func (s *Service) read(token string) (claims, bool) {
	var c claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, false
	}
	mac, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !hmac.Equal(mac, s.mac(parts[0]+"."+parts[1])) {
		return c, false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	return c, err == nil && json.Unmarshal(text, &c) == nil
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// authenticate refuses requests without a good token.
func (s *Service) authenticate(r *http.Request) *apiError {
	deny := func(code, text string) *apiError {
		return &apiError{status: http.StatusUnauthorized, code: code, message: text, gateway: true}
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		return deny("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return deny("AuthenticationFailedInvalidHeader", "Authentication failed. The 'Authorization' header is provided in an invalid format.")
	}
	c, ok := s.read(strings.TrimSpace(token))
	if !ok {
		return deny("InvalidAuthenticationToken", "The access token is invalid.")
	}
	if now := time.Now(); now.Unix() >= c.Expires {
		return deny("ExpiredAuthenticationToken", fmt.Sprintf("The access token expiry UTC time '%s' is earlier than current UTC time '%s'.",
			time.Unix(c.Expires, 0).UTC().Format("1/2/2006 3:04:05 PM"), now.UTC().Format("1/2/2006 3:04:05 PM")))
	}
	return nil
}
