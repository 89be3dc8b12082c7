package arm_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// TestLogin logs in by the directory's three forms, and with what is wrong.
func TestLogin(t *testing.T) {
	l := open(t, nil)
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {clientID}, "client_secret": {secret}, "resource": {l.server.URL}}
	try := func(path string, change func(url.Values), status int, want string) {
		t.Helper()
		f := url.Values{}
		for name, v := range form {
			f[name] = v
		}
		change(f)
		resp, err := l.server.Client().PostForm(l.server.URL+path, f)
		must(t, err)
		defer resp.Body.Close()
		var v map[string]any
		must(t, json.NewDecoder(resp.Body).Decode(&v))
		got, _ := v["error"].(string)
		if got == "" {
			got, _ = v["token_type"].(string)
		}
		if resp.StatusCode != status || got != want {
			t.Errorf("%s: %d %s, want %d %s: %v", path, resp.StatusCode, got, status, want, v)
		}
	}
	none := func(url.Values) {}
	try("/adfs/oauth2/token", none, 200, "Bearer")
	try("/"+tenant+"/oauth2/token", none, 200, "Bearer")
	try("/"+tenant+"/oauth2/v2.0/token", func(f url.Values) { f.Set("scope", l.server.URL+"/.default") }, 200, "Bearer")
	try("/"+tenant+"/oauth2/token", func(f url.Values) { f.Set("client_secret", "other") }, 401, "invalid_client")
	try("/"+tenant+"/oauth2/token", func(f url.Values) { f.Set("client_id", tenant) }, 400, "unauthorized_client")
	try("/"+subscription+"/oauth2/token", none, 400, "invalid_tenant")
	try("/adfs/oauth2/token", func(f url.Values) { f.Set("grant_type", "password") }, 400, "unsupported_grant_type")
}

// TestDiscovery logs in as the SDK does when it asks for the directory first.
func TestDiscovery(t *testing.T) {
	l := open(t, nil)
	for _, path := range []string{"/adfs/.well-known/openid-configuration", "/" + tenant + "/v2.0/.well-known/openid-configuration"} {
		resp, err := l.server.Client().Get(l.server.URL + path)
		must(t, err)
		var v struct {
			Endpoint string `json:"token_endpoint"`
		}
		err = json.NewDecoder(resp.Body).Decode(&v)
		resp.Body.Close()
		must(t, err)
		if !strings.HasPrefix(v.Endpoint, l.server.URL) {
			t.Errorf("%s: token endpoint %q", path, v.Endpoint)
		}
	}
	wrong, err := azidentity.NewClientSecretCredential(tenant, clientID, "wrong", &azidentity.ClientSecretCredentialOptions{ClientOptions: l.options().ClientOptions, DisableInstanceDiscovery: true})
	must(t, err)
	l.connect(t, wrong)
	if _, err := l.groups.Get(t.Context(), "site", nil); err == nil || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Errorf("a wrong secret: %v", err)
	}
}

func TestTokens(t *testing.T) {
	l := open(t, nil)
	r := replay{l: l, token: l.token(t)}
	list := l.server.URL + "/subscriptions?api-version=2016-06-01"
	if resp, _ := r.do(t, http.MethodGet, list, "", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("an old api-version: %s", resp.Status)
	}
	if resp, body := r.do(t, http.MethodGet, l.server.URL+"/subscriptions", "", nil); resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "MissingApiVersionParameter") {
		t.Errorf("no api-version: %s %s", resp.Status, body)
	}
	l.restart(t)
	if resp, _ := r.do(t, http.MethodGet, list, "", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("after a restart: %s", resp.Status)
	}
	r.token += "x"
	resp, body := r.do(t, http.MethodGet, list, "", nil)
	if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), "InvalidAuthenticationToken") || !strings.Contains(resp.Header.Get("WWW-Authenticate"), "Bearer authorization_uri=") {
		t.Errorf("a broken token: %s %s", resp.Status, body)
	}
}
