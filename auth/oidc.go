package auth

// OIDC is a server that people sign in at.
type OIDC struct{}

func (o *OIDC) host() string { return "" }
