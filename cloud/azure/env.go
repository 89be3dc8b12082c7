package azure

import (
	"fmt"

	"github.com/skyweld/skyweld/cloud"
)

// FromEnv makes an account of what Azure's own tools read: AZURE_SUBSCRIPTION_ID, AZURE_TENANT_ID, AZURE_CLIENT_ID,
// AZURE_CLIENT_SECRET, AZURE_AUTHORITY_HOST and the PEM file REQUESTS_CA_BUNDLE. AZURE_TOKEN_CREDENTIALS set to
// AzureCLICredential or ManagedIdentityCredential logs in without a secret, on the engine's machine. For clouds of one's own
// there are AZURE_RESOURCE_MANAGER_ENDPOINT, AZURE_RESOURCE_MANAGER_AUDIENCE and AZURE_DISABLE_INSTANCE_DISCOVERY.
// SKYWELD_PROXY becomes the account's proxy and SKYWELD_EGRESS its setting of that name.
func FromEnv(src cloud.Source) (cloud.Account, error) {
	a, err := fromEnv(src)
	if err != nil {
		return cloud.Account{}, &cloud.Error{Class: cloud.Invalid, Op: "read the Azure environment", Err: err}
	}
	return a, nil
}

// variables are those that become settings as they are.
var variables = []struct{ name, setting string }{
	{"AZURE_SUBSCRIPTION_ID", SettingSubscription},
	{"AZURE_TENANT_ID", SettingTenant},
	{"AZURE_CLIENT_ID", SettingClient},
	{"AZURE_AUTHORITY_HOST", SettingAuthority},
	{"AZURE_RESOURCE_MANAGER_ENDPOINT", SettingEndpoint},
	{"AZURE_RESOURCE_MANAGER_AUDIENCE", SettingAudience},
	{"AZURE_DISABLE_INSTANCE_DISCOVERY", SettingNoDiscovery},
	{"SKYWELD_EGRESS", SettingEgress},
}

func fromEnv(src cloud.Source) (cloud.Account, error) {
	a := cloud.Account{
		Provider: cloud.Azure, Settings: map[string]string{}, Secrets: map[string]cloud.Secret{}, Proxy: src.Getenv("SKYWELD_PROXY"),
	}
	for _, v := range variables {
		if value := src.Getenv(v.name); value != "" {
			a.Settings[v.setting] = value
		}
	}
	switch kind := src.Getenv("AZURE_TOKEN_CREDENTIALS"); kind {
	case "", "prod", "dev", "EnvironmentCredential":
		secret := src.Getenv("AZURE_CLIENT_SECRET")
		if secret == "" {
			return a, fmt.Errorf("no credentials: set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET to a service principal's, " +
				"or AZURE_TOKEN_CREDENTIALS to AzureCLICredential or ManagedIdentityCredential")
		}
		for name, other := range map[string]string{"AZURE_TENANT_ID": "AZURE_CLIENT_ID", "AZURE_CLIENT_ID": "AZURE_TENANT_ID"} {
			if src.Getenv(name) == "" {
				return a, fmt.Errorf("%s is not set: it belongs together with %s and AZURE_CLIENT_SECRET", name, other)
			}
		}
		a.Settings[SettingLogin], a.Secrets[SecretClient] = LoginSecret, cloud.Secret(secret)
	case "AzureCLICredential":
		a.Settings[SettingLogin] = LoginCLI
	case "ManagedIdentityCredential":
		a.Settings[SettingLogin] = LoginIdentity
	default:
		return a, fmt.Errorf("AZURE_TOKEN_CREDENTIALS %q: want EnvironmentCredential, AzureCLICredential or ManagedIdentityCredential", kind)
	}
	if a.Settings[SettingSubscription] == "" {
		return a, fmt.Errorf("no subscription: set AZURE_SUBSCRIPTION_ID ('az account show --query id' tells it)")
	}
	if path := src.Getenv("REQUESTS_CA_BUNDLE"); path != "" {
		pem, err := src.ReadFile(path)
		if err != nil {
			return a, fmt.Errorf("read the CA certificates: %w", err)
		}
		a.CA = string(pem)
	}
	// What New would refuse is refused here, where the user can see it.
	if _, err := open(a, nil); err != nil {
		return a, err
	}
	return a, nil
}
