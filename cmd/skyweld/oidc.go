package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/auth"
)

// oidcFlags say where people may sign in beside the engine itself.
type oidcFlags struct {
	issuer, client, secretFile, roleClaim, otherRole string
	roles, scopes                                    []string
}

// secretVariable is where the client's secret may be, too.
const secretVariable = "SKYWELD_OIDC_CLIENT_SECRET"

func (f *oidcFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.issuer, "oidc-issuer", "", "`URL` of an OpenID Connect server that people sign in at; it sends them back to /login/oidc/callback")
	c.Flags().StringVar(&f.client, "oidc-client-id", "", "`ID` of this engine at that server")
	c.Flags().StringVar(&f.secretFile, "oidc-client-secret-file", "", "`FILE` with the secret that belongs to the id (default: $SKYWELD_OIDC_CLIENT_SECRET; none for a public client)")
	c.Flags().StringSliceVar(&f.scopes, "oidc-scope", []string{"profile", "email"}, "`SCOPES` to ask for beside openid, by commas")
	c.Flags().StringVar(&f.roleClaim, "oidc-role-claim", "", "`CLAIM` that says the role, like groups or realm_access.roles; it then counts at every sign-in")
	c.Flags().StringSliceVar(&f.roles, "oidc-role", nil, "`VALUE=ROLE` pairs of the claim's values and roles, by commas (default: the values are roles); of several the highest counts")
	c.Flags().StringVar(&f.otherRole, "oidc-default-role", string(auth.Viewer), "`ROLE` of who has none by the claim: viewer, operator, admin, or none to keep them out")
	complete(c, "oidc-default-role", fixed("viewer", "operator", "admin", "none"))
}

// oidc is the server that is meant; nil for none.
func (f *oidcFlags) oidc() (*auth.OIDC, error) {
	if f.issuer == "" {
		if f.client != "" || f.secretFile != "" || f.roleClaim != "" || len(f.roles) > 0 {
			return nil, usageError{errors.New("--oidc-issuer is missing: the other flags that begin with --oidc belong to it")}
		}
		return nil, nil
	}
	u, err := url.Parse(f.issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !here(u.Hostname())) {
		return nil, usageError{fmt.Errorf("--oidc-issuer: found %q: want the URL of a server, like https://id.example.com", f.issuer)}
	}
	if f.client == "" {
		return nil, usageError{errors.New("--oidc-client-id is missing: it is what the server calls this engine")}
	}
	o := &auth.OIDC{Issuer: f.issuer, ClientID: f.client, ClientSecret: os.Getenv(secretVariable), Scopes: f.scopes, RoleClaim: f.roleClaim, Roles: map[string]auth.Role{}}
	if f.secretFile != "" {
		data, err := os.ReadFile(f.secretFile)
		if err != nil {
			return nil, fmt.Errorf("--oidc-client-secret-file: %w", err)
		}
		if o.ClientSecret = strings.TrimSpace(string(data)); o.ClientSecret == "" {
			return nil, usageError{fmt.Errorf("--oidc-client-secret-file: %s is empty: want the secret", f.secretFile)}
		}
	}
	for _, pair := range f.roles {
		value, role, ok := strings.Cut(pair, "=")
		if !ok || value == "" || !auth.Role(role).Valid() {
			return nil, usageError{fmt.Errorf("--oidc-role: found %q: want a value of the claim and a role, like platform-team=admin", pair)}
		}
		o.Roles[value] = auth.Role(role)
	}
	if len(f.roles) > 0 && f.roleClaim == "" {
		return nil, usageError{errors.New("--oidc-role belongs to --oidc-role-claim: name the claim that has such values")}
	}
	if f.otherRole != "none" {
		if o.Default = auth.Role(f.otherRole); !o.Default.Valid() {
			return nil, usageError{fmt.Errorf("--oidc-default-role: found %q: want viewer, operator, admin or none", f.otherRole)}
		}
	} else if f.roleClaim == "" {
		return nil, usageError{errors.New("--oidc-default-role none keeps everybody out without --oidc-role-claim")}
	}
	return o, nil
}
