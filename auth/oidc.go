package auth

// OIDC is a server that people sign in at.
type OIDC struct {
	Issuer, ClientID, ClientSecret, RoleClaim string
	Roles                                     map[string]Role
	Default                                   Role
}

func (o *OIDC) host() string { return "" }
