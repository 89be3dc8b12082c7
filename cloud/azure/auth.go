package azure

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/skyweld/skyweld/cloud"
)

var (
	idPattern     = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	tenantPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*$`)
)

// login gets access tokens for an account. It is the SDK's credential with one thing mended: that keeps only the text of
// what went wrong on the way, so that the engine couldn't tell a cancelled call or a closed port from a wrong secret.
type login struct {
	credential azcore.TokenCredential
	scope      string
	// name is who we are, as far as the settings say.
	name string
	// needs is what must be so on the engine's machine, for whoever is refused; empty when nothing.
	needs string
}

func newLogin(account cloud.Account, config azcloud.Configuration, client *http.Client) (*login, error) {
	set := account.Settings
	noDiscovery, err := truth(SettingNoDiscovery, set[SettingNoDiscovery])
	if err != nil {
		return nil, err
	}
	l := &login{scope: config.Services[azcloud.ResourceManager].Audience + "/.default"}
	options := azcore.ClientOptions{Cloud: config, Transport: remembering{client}, Retry: policy.RetryOptions{MaxRetries: -1}}
	tenant := set[SettingTenant]
	if tenant != "" && !tenantPattern.MatchString(tenant) {
		return nil, fmt.Errorf("tenant %q: want a directory's id or domain", tenant)
	}
	switch set[SettingLogin] {
	case "", LoginSecret:
		secret := account.Secrets[SecretClient].Reveal()
		switch {
		case tenant == "":
			return nil, fmt.Errorf("the setting %q is needed: the directory that the client belongs to", SettingTenant)
		case set[SettingClient] == "":
			return nil, fmt.Errorf("the setting %q is needed: the application's client id", SettingClient)
		case secret == "":
			return nil, fmt.Errorf("the secret %q is needed", SecretClient)
		}
		l.name = set[SettingClient]
		l.credential, err = azidentity.NewClientSecretCredential(tenant, set[SettingClient], secret, &azidentity.ClientSecretCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: noDiscovery,
		})
	case LoginCLI:
		l.needs = "The Azure CLI must be installed on the engine's machine, and logged in as the engine's user: 'az login'."
		l.credential, err = azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: tenant, Subscription: set[SettingSubscription]})
	case LoginIdentity:
		l.needs = "The engine's machine must be one of Azure's, with the managed identity assigned to it."
		o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if set[SettingClient] != "" {
			o.ID = azidentity.ClientID(set[SettingClient])
		}
		l.name = set[SettingClient]
		l.credential, err = azidentity.NewManagedIdentityCredential(o)
	default:
		return nil, fmt.Errorf("%s %q: want %s, %s or %s", SettingLogin, set[SettingLogin], LoginSecret, LoginCLI, LoginIdentity)
	}
	if err != nil {
		return nil, fmt.Errorf("set up the login: %w", err)
	}
	return l, nil
}

// GetToken implements azcore.TokenCredential.
func (l *login) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	var way error
	t, err := l.credential.GetToken(context.WithValue(ctx, wayKey{}, &way), o)
	switch {
	case err == nil:
		return t, nil
	case ctx.Err() != nil:
		err = ctx.Err()
	case way != nil:
		err = way
	}
	return azcore.AccessToken{}, &loginError{err, l.needs}
}

// loginError is why there is no access token. The SDK's pipeline must not try again: its own retries are off already, and
// this keeps it so.
type loginError struct {
	err   error
	needs string
}

func (e *loginError) Error() string { return "get an access token: " + e.err.Error() }
func (e *loginError) Unwrap() error { return e.err }
func (*loginError) NonRetriable()   {}

// wayKey is where a call for a token finds the place for the error of its last request's way.
type wayKey struct{}

// remembering keeps how requests for tokens failed on their way.
type remembering struct{ client *http.Client }

func (r remembering) Do(req *http.Request) (*http.Response, error) {
	resp, err := r.client.Do(req)
	if way, ok := req.Context().Value(wayKey{}).(*error); ok {
		*way = err
	}
	return resp, err
}

// identity is who the cloud says we are: what is in the access token, else what the settings say.
func (l *login) identity(ctx context.Context) (string, error) {
	// Tokens are kept by what they may do: this one must be the one that calls are made with.
	t, err := l.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{l.scope}, EnableCAE: true})
	if err != nil {
		return "", err
	}
	var claims struct {
		User   string `json:"upn"`
		Name   string `json:"unique_name"`
		App    string `json:"appid"`
		Client string `json:"azp"`
		Object string `json:"oid"`
	}
	parts := strings.Split(t.Token, ".")
	if len(parts) == 3 {
		text, derr := base64.RawURLEncoding.DecodeString(parts[1])
		if err := errors.Join(derr, json.Unmarshal(text, &claims)); err != nil {
			claims.App = "" // not a token that says who it is for
		}
	}
	for _, name := range []string{claims.User, claims.Name, claims.App, claims.Client, l.name, claims.Object} {
		if name != "" {
			return name, nil
		}
	}
	return "unknown", nil
}
