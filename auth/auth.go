// Package auth is who asks and what they may do: roles, the principal that a request was found to come from, and how that is
// found out: users, sessions, tokens, links and OIDC. It decides nothing about clusters. This file is all that asking for a
// right takes; Service (service.go) finds out who asks, and http.go is how browsers meet it.
package auth

import (
	"context"
	"slices"
)

// Role is what a principal may do. Each includes those before it.
type Role string

// The roles, from the least.
const (
	// Viewer sees everything but secrets: no kubeconfig, no way into a node.
	Viewer Role = "viewer"
	// Operator makes, changes, repairs and deletes clusters, and gets into them.
	Operator Role = "operator"
	// Admin manages accounts, users, tokens and backups too.
	Admin Role = "admin"
)

// Roles are all of them, from the least.
var Roles = []Role{Viewer, Operator, Admin}

// Valid says that there is such a role.
func (r Role) Valid() bool { return slices.Contains(Roles, r) }

// Includes says that whoever has this role has the other's rights. A role that there isn't has none.
func (r Role) Includes(other Role) bool {
	return r.Valid() && other.Valid() && slices.Index(Roles, r) >= slices.Index(Roles, other)
}

// Principal is who asks.
type Principal struct {
	// Name is the user's, for people to see: in changes, events and the audit log.
	Name string
	Role Role
	// User is the user's name where it is one of the engine's; empty for its own token, and for who came by a link.
	User string
	// Via says how that is known: "local token", "token NAME", "session", "oidc", "link".
	Via string
	// From is where the request comes from, an address.
	From string
}

type key struct{}

// With notes who asks.
func With(ctx context.Context, p Principal) context.Context { return context.WithValue(ctx, key{}, p) }

// From is who asks; nobody, who has no role, where nobody was noted.
func From(ctx context.Context) Principal {
	p, _ := ctx.Value(key{}).(Principal)
	return p
}
