package conformance_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	azlog "github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/azure"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/lab/world"
)

// with is the lab's account with other settings; an empty one is taken out.
func (l *azureLab) with(settings ...string) cloud.Account {
	a := l.account
	a.Settings, a.Secrets = map[string]string{}, map[string]cloud.Secret{azure.SecretClient: azureSecret}
	for k, v := range l.account.Settings {
		a.Settings[k] = v
	}
	for i := 0; i+1 < len(settings); i += 2 {
		a.Settings[settings[i]] = settings[i+1]
		if settings[i+1] == "" {
			delete(a.Settings, settings[i])
		}
	}
	return a
}

// tokens notes where a driver asks for tokens, by path, and lets the lab answer for what it stands for: the directory of
// Microsoft's public cloud, which is asked about others, and the metadata service of a machine.
type tokens struct {
	lab     *azureLab
	machine http.Handler // of the metadata service; nil where the engine runs elsewhere
	mu      sync.Mutex
	asked   []string
}

func (x *tokens) transport(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(r.URL.Path, "/subscriptions") {
			return next.RoundTrip(r)
		}
		x.mu.Lock()
		x.asked = append(x.asked, r.URL.Host+r.URL.Path)
		x.mu.Unlock()
		switch r.URL.Host {
		case "login.microsoftonline.com":
			here, err := url.Parse(x.lab.server.URL)
			if err != nil {
				return nil, err
			}
			r = r.Clone(r.Context())
			r.URL.Host, r.Host = here.Host, here.Host
		case "169.254.169.254":
			if x.machine == nil {
				return nil, errors.New("there is no such machine")
			}
			w := httptest.NewRecorder()
			x.machine.ServeHTTP(w, r)
			return w.Result(), nil
		}
		return next.RoundTrip(r)
	})
}

// wantLogin wants the account to be let in, as somebody.
func (x *tokens) wantLogin(t *testing.T, a cloud.Account, as string) {
	t.Helper()
	d, err := azure.New(t.Context(), a, x.transport)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := d.Check(t.Context(), azureRegion)
	if err != nil || rep.Identity != as || rep.Account != azureSubscription || len(rep.Missing) > 0 {
		t.Errorf("check: %+v, error %v; want identity %s", rep, err, as)
	}
	if _, err := d.Observe(t.Context(), cloudtest.TestOwner.UID, azureRegion); err != nil {
		t.Error(err)
	}
}

// wantRefused wants it refused for its credentials, in words that say what to do.
func (x *tokens) wantRefused(t *testing.T, a cloud.Account, words ...string) {
	t.Helper()
	d, err := azure.New(t.Context(), a, x.transport)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Check(t.Context(), azureRegion)
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok || e.Class != cloud.Denied || !e.Credentials {
		t.Fatalf("%v, want a refusal of the credentials", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q lacks %q", err, w)
		}
	}
	for _, secret := range []string{azureSecret, a.Secrets[azure.SecretClient].Reveal()} {
		if secret != "" && (strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) || strings.Contains(fmt.Sprint(errors.Unwrap(e)), secret)) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}

func (x *tokens) count(what string) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(x.asked), func(a string) bool { return !strings.Contains(a, what) }))
}

// TestAzureLoginSecret logs in with a client's secret: where the directory is looked up first, where it isn't, and in the
// form of clouds of one's own. The SDK's log and all errors are searched for the secret and for tokens.
func TestAzureLoginSecret(t *testing.T) {
	var mu sync.Mutex
	var logged strings.Builder
	azlog.SetListener(func(e azlog.Event, text string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(&logged, e, text)
	})
	defer azlog.SetListener(nil)
	lab := newAzureLab(t, world.Instant)
	for _, c := range []struct {
		name              string
		account           cloud.Account
		discovered        bool
		endpoint, another string // of tokens
	}{
		{"without discovery", lab.with(), false, "/" + azureTenant + "/oauth2/v2.0/token", ""},
		{"with discovery", lab.with(azure.SettingNoDiscovery, ""), true, "/" + azureTenant + "/oauth2/v2.0/token", ""},
		{"adfs", lab.with(azure.SettingTenant, "adfs"), false, "/adfs/oauth2/token", "/adfs/.well-known/openid-configuration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := &tokens{lab: lab}
			x.wantLogin(t, c.account, azureClient)
			if x.count(c.endpoint) != 1 || x.count(c.another) == 0 || x.count("login.microsoftonline.com/common/discovery/instance") > 0 != c.discovered {
				t.Errorf("asked: %q", x.asked)
			}
		})
	}
	x := &tokens{lab: lab}
	wrong := lab.with()
	wrong.Secrets = map[string]cloud.Secret{azure.SecretClient: "not-this-one-either"}
	x.wantRefused(t, wrong, "AADSTS7000215", "Take the secret's value, not its id")
	wrong.Settings[azure.SettingTenant] = "adfs"
	x.wantRefused(t, wrong, "AADSTS7000215")
	x.wantRefused(t, lab.with(azure.SettingClient, azureTenant), "AADSTS700016", "client id and tenant")
	mu.Lock()
	defer mu.Unlock()
	if text := logged.String(); !strings.Contains(text, "/subscriptions/") || strings.Contains(text, azureSecret) || strings.Contains(text, "not-this-one-either") || strings.Contains(text, "eyJ") {
		t.Error("the SDK's log lacks the calls, or shows a secret or a token")
	}
}

// TestAzureLoginEnvironment takes the account from the environment, as Azure's own tools read it.
func TestAzureLoginEnvironment(t *testing.T) {
	lab := newAzureLab(t, world.Instant)
	env := map[string]string{
		"AZURE_SUBSCRIPTION_ID": azureSubscription, "AZURE_TENANT_ID": azureTenant, "AZURE_CLIENT_ID": azureClient, "AZURE_CLIENT_SECRET": azureSecret,
		"AZURE_AUTHORITY_HOST": lab.server.URL, "AZURE_RESOURCE_MANAGER_ENDPOINT": lab.server.URL, "AZURE_DISABLE_INSTANCE_DISCOVERY": "true",
		"REQUESTS_CA_BUNDLE": "/etc/lab.pem",
	}
	a, err := azure.FromEnv(cloud.Source{
		Getenv: func(name string) string { return env[name] },
		ReadFile: func(path string) ([]byte, error) {
			if path != env["REQUESTS_CA_BUNDLE"] {
				return nil, os.ErrNotExist
			}
			return []byte(lab.account.CA), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	(&tokens{lab: lab}).wantLogin(t, a, azureClient)
}

// azureToken is an access token of the lab.
func azureToken(t *testing.T, lab *azureLab) string {
	t.Helper()
	resp, err := lab.server.Client().PostForm(lab.server.URL+"/"+azureTenant+"/oauth2/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {azureClient}, "client_secret": {azureSecret}, "resource": {lab.server.URL},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var v struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || v.Token == "" {
		t.Fatalf("no token: %v", err)
	}
	return v.Token
}

// TestAzureLoginCLI lets the driver call an "az" that answers as the Azure CLI does: with a token, that nobody is logged in,
// with a token that is not good any more, and not at all.
func TestAzureLoginCLI(t *testing.T) {
	lab := newAzureLab(t, world.Instant)
	a := lab.with(azure.SettingLogin, azure.LoginCLI, azure.SettingTenant, "", azure.SettingClient, "")
	a.Secrets = nil
	dir := t.TempDir()
	t.Setenv("PATH", dir+string(os.PathListSeparator)+"/usr/bin"+string(os.PathListSeparator)+"/bin")
	program := func(script string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "az"), []byte("#!/bin/sh\necho \"$@\" >> "+dir+"/asked\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	says := func(token string) string {
		until := time.Now().Add(time.Hour)
		return fmt.Sprintf("cat <<'END'\n{\"accessToken\": %q, \"expiresOn\": %q, \"expires_on\": %d, \"subscription\": %q, \"tenant\": %q, \"tokenType\": \"Bearer\"}\nEND\n",
			token, until.Format("2006-01-02 15:04:05.000000"), until.Unix(), azureSubscription, azureTenant)
	}
	x := &tokens{lab: lab}
	program(says(azureToken(t, lab)))
	x.wantLogin(t, a, azureClient)
	asked, err := os.ReadFile(filepath.Join(dir, "asked"))
	line, _, _ := strings.Cut(string(asked), "\n")
	if want := "account get-access-token -o json --resource " + lab.server.URL + " --subscription " + azureSubscription; err != nil || line != want {
		t.Errorf("az was asked %q (error %v), want %q", line, err, want)
	}
	if x.count("") != 0 {
		t.Errorf("beside az, the driver asked %q", x.asked)
	}
	program("echo \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1\n")
	x.wantRefused(t, a, "az login")
	stale := azureToken(t, lab) + "x"
	program(says(stale))
	x.wantRefused(t, a, "the credentials are not valid")
	d, err := azure.New(t.Context(), a, x.transport)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Observe(t.Context(), cloudtest.TestOwner.UID, azureRegion); err == nil || strings.Contains(fmt.Sprintf("%+v", err), stale[:20]) {
		t.Errorf("with a stale token: %v, want a refusal that doesn't show it", err)
	}
	if err := os.Remove(filepath.Join(dir, "az")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	x.wantRefused(t, a, "not found on path", "The Azure CLI must be installed on the engine's machine")
}

// TestAzureLoginIdentity runs the engine on a machine of the lab, as far as its metadata service can tell: the machine's own
// identity is let in, another one and a machine without are not.
func TestAzureLoginIdentity(t *testing.T) {
	s := newAzureStage(t)
	ctx := t.Context()
	group, name := azureName(s.Objects[azureNode])
	_, network := azureName(s.Objects["conf-network"])
	v, err := s.hand.networks.Get(ctx, group, network, nil)
	if err != nil {
		t.Fatal(err)
	}
	service := s.lab.service.Metadata(*v.Properties.ResourceGUID)
	x := &tokens{lab: s.lab, machine: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		r.RemoteAddr = s.Objects[azureNode].Machine.Private.String() + ":40000"
		service.ServeHTTP(w, r)
	})}
	a := s.lab.with(azure.SettingLogin, azure.LoginIdentity, azure.SettingTenant, "", azure.SettingClient, "", azure.SettingAuthority, "")
	a.Secrets = nil
	x.wantRefused(t, a, "Identity not found", "The engine's machine must be one of Azure's")
	p, err := s.hand.machines.BeginUpdate(ctx, group, name, armcompute.VirtualMachineUpdate{
		Identity: &armcompute.VirtualMachineIdentity{Type: to.Ptr(armcompute.ResourceIdentityTypeSystemAssigned)},
	}, nil)
	if err := azureDone(ctx, p, err); err != nil {
		t.Fatal(err)
	}
	m, err := s.hand.machines.Get(ctx, group, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	x.wantLogin(t, a, azureClient)
	if x.count("169.254.169.254/metadata/identity/oauth2/token") == 0 || x.count("/token") != x.count("169.254.169.254") {
		t.Errorf("asked: %q", x.asked)
	}
	a.Settings[azure.SettingClient] = azureTenant
	x.wantRefused(t, a, "Identity not found", "with the managed identity assigned to it")
	a.Settings[azure.SettingClient] = *m.Identity.PrincipalID
	x.wantLogin(t, a, azureClient)
	wantBuilt(t, s.d, s.Built, "with an identity")
}
