package azure

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

const (
	testTenant = "11111111-2222-3333-4444-555555555555"
	testClient = "66666666-7777-8888-9999-000000000000"
)

func source(env map[string]string) cloud.Source {
	return cloud.Source{
		Getenv:   func(k string) string { return env[k] },
		ReadFile: func(string) ([]byte, error) { return nil, fs.ErrNotExist },
		Home:     "/home/me",
	}
}

func environment(more ...string) map[string]string {
	env := map[string]string{
		"AZURE_TENANT_ID": testTenant, "AZURE_CLIENT_ID": testClient, "AZURE_CLIENT_SECRET": "hunter2", "AZURE_SUBSCRIPTION_ID": fakeSubscription,
	}
	for i := 0; i+1 < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

func TestFromEnv(t *testing.T) {
	a, err := FromEnv(source(environment("AZURE_AUTHORITY_HOST", "https://login.example/", "AZURE_RESOURCE_MANAGER_ENDPOINT", "https://arm.example",
		"AZURE_DISABLE_INSTANCE_DISCOVERY", "true", "SKYWELD_EGRESS", "192.0.2.1", "SKYWELD_PROXY", "socks5://127.0.0.1:1")))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		SettingTenant: testTenant, SettingClient: testClient, SettingSubscription: fakeSubscription, SettingLogin: LoginSecret,
		SettingAuthority: "https://login.example/", SettingEndpoint: "https://arm.example", SettingNoDiscovery: "true", SettingEgress: "192.0.2.1",
	}
	if diff := cmp.Diff(want, a.Settings); diff != "" {
		t.Error(diff)
	}
	if a.Secrets[SecretClient].Reveal() != "hunter2" || a.Proxy != "socks5://127.0.0.1:1" || a.Provider != cloud.Azure {
		t.Errorf("%+v", a)
	}
	if a, err = FromEnv(source(environment("AZURE_TOKEN_CREDENTIALS", "AzureCLICredential"))); err != nil || a.Settings[SettingLogin] != LoginCLI || len(a.Secrets) > 0 {
		t.Errorf("the CLI's login: %+v, error %v", a, err)
	}
	if a, err = FromEnv(source(environment("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential"))); err != nil || a.Settings[SettingLogin] != LoginIdentity {
		t.Errorf("a managed identity: %+v, error %v", a, err)
	}
}

func TestFromEnvRefuses(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"AZURE_CLIENT_SECRET", "", "AZURE_CLIENT_SECRET"},
		{"AZURE_SUBSCRIPTION_ID", "", "AZURE_SUBSCRIPTION_ID"},
		{"AZURE_SUBSCRIPTION_ID", "mine", "subscription"},
		{"AZURE_TENANT_ID", "", "AZURE_TENANT_ID is not set"},
		{"AZURE_TENANT_ID", "a/b", "tenant"},
		{"AZURE_CLIENT_ID", "", "AZURE_CLIENT_ID is not set"},
		{"AZURE_AUTHORITY_HOST", "http://login.example", "https"},
		{"AZURE_RESOURCE_MANAGER_ENDPOINT", "http://arm.example", "https"},
		{"AZURE_DISABLE_INSTANCE_DISCOVERY", "perhaps", "true or false"},
		{"AZURE_TOKEN_CREDENTIALS", "Nothing", "AZURE_TOKEN_CREDENTIALS"},
		{"REQUESTS_CA_BUNDLE", "/no/such", "CA certificates"},
	} {
		_, err := FromEnv(source(environment(c.name, c.value)))
		e, ok := errors.AsType[*cloud.Error](err)
		if !ok || e.Class != cloud.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%q: %v, want %q", c.name, c.value, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the secret is shown: %v", c.name, err)
		}
	}
}

func TestConfiguration(t *testing.T) {
	for _, c := range []struct{ authority, endpoint, audience, wantAuthority, wantEndpoint, wantAudience string }{
		{"", "", "", "https://login.microsoftonline.com/", "https://management.azure.com", "https://management.core.windows.net/"},
		{"login.chinacloudapi.cn", "", "", "https://login.chinacloudapi.cn", "https://management.chinacloudapi.cn", "https://management.core.chinacloudapi.cn/"},
		{"", "https://management.usgovcloudapi.net/", "", "https://login.microsoftonline.us/", "https://management.usgovcloudapi.net", "https://management.core.usgovcloudapi.net/"},
		{"https://l.example", "https://m.example/", "", "https://l.example", "https://m.example", "https://m.example"},
		{"https://l.example", "https://m.example", "https://a.example", "https://l.example", "https://m.example", "https://a.example"},
	} {
		got, err := configuration(map[string]string{SettingAuthority: c.authority, SettingEndpoint: c.endpoint, SettingAudience: c.audience})
		if err != nil {
			t.Fatal(err)
		}
		m := got.Services["resourceManager"]
		if got.ActiveDirectoryAuthorityHost != c.wantAuthority || m.Endpoint != c.wantEndpoint || m.Audience != c.wantAudience {
			t.Errorf("%s %s: %s %s %s", c.authority, c.endpoint, got.ActiveDirectoryAuthorityHost, m.Endpoint, m.Audience)
		}
	}
}

// TestSecretStaysSecret prints an account every way there is.
func TestSecretStaysSecret(t *testing.T) {
	a, err := FromEnv(source(environment()))
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", a, a, a); strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}
