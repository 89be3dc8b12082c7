package digitalocean

import (
	"errors"
	"fmt"
	"strings"

	"github.com/skyweld/skyweld/cloud"
)

// FromEnv makes an account of what DigitalOcean's tools read: the token from DIGITALOCEAN_TOKEN, else from
// DIGITALOCEAN_ACCESS_TOKEN, as doctl and the Terraform provider have it; the endpoint from DIGITALOCEAN_API_URL.
// None of them reads a CA certificate of its own: the PEM file that SKYWELD_DIGITALOCEAN_CA names is trusted beside the
// system's. SKYWELD_PROXY becomes the account's proxy and SKYWELD_EGRESS its setting of that name.
func FromEnv(src cloud.Source) (cloud.Account, error) {
	a, err := fromEnv(src)
	if err != nil {
		return cloud.Account{}, &cloud.Error{Class: cloud.Invalid, Op: "read the DigitalOcean environment", Err: err}
	}
	return a, nil
}

// The environment variables.
const (
	envToken       = "DIGITALOCEAN_TOKEN"
	envAccessToken = "DIGITALOCEAN_ACCESS_TOKEN"
	envEndpoint    = "DIGITALOCEAN_API_URL"
	envCA          = "SKYWELD_DIGITALOCEAN_CA"
)

func fromEnv(src cloud.Source) (cloud.Account, error) {
	a := cloud.Account{
		Provider: cloud.DigitalOcean, Settings: map[string]string{}, Secrets: map[string]cloud.Secret{}, Proxy: src.Getenv("SKYWELD_PROXY"),
	}
	name := envToken
	if src.Getenv(name) == "" {
		name = envAccessToken
	}
	token := src.Getenv(name)
	token = strings.TrimSpace(token)
	if token == "" {
		return a, errors.New("no token: set " + envToken + " or " + envAccessToken + " to a personal access token (docs/accounts/digitalocean.md says which scopes it needs)")
	}
	if err := checkToken(token); err != nil {
		return a, fmt.Errorf("%s: %w", name, err)
	}
	a.Secrets[SecretToken] = cloud.Secret(token)
	if v := src.Getenv(envEndpoint); v != "" {
		endpoint, err := endpointOf(v)
		if err != nil {
			return a, fmt.Errorf("%s: %w", envEndpoint, err)
		}
		a.Settings[SettingEndpoint] = endpoint
	}
	if v := src.Getenv("SKYWELD_EGRESS"); v != "" {
		a.Settings[SettingEgress] = v
	}
	if path := src.Getenv(envCA); path != "" {
		pem, err := src.ReadFile(path)
		if err != nil {
			return a, fmt.Errorf("read the CA certificates: %w", err)
		}
		a.CA = string(pem)
	}
	return a, nil
}
