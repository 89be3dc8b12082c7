package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/auth"
)

// User is a person who may sign in.
type User = auth.User

// NewUser is a user as one is added.
type NewUser struct {
	Name     string `json:"name" maxLength:"64" doc:"1 to 64 of a-z, 0-9 and . _ @ + -, beginning with a letter or digit"`
	Role     string `json:"role" doc:"viewer, operator or admin"`
	Password string `json:"password" maxLength:"1000" doc:"12 bytes or more"`
}

// UserUpdate is what changes of a user; what isn't given stays.
type UserUpdate struct {
	Role     *string `json:"role,omitempty" doc:"viewer, operator or admin"`
	Disabled *bool   `json:"disabled,omitempty" doc:"true ends all sessions, and nobody signs in as this user any more"`
	Password *string `json:"password,omitempty" maxLength:"1000" doc:"12 bytes or more; all sessions end but that of who asks"`
}

// OwnPassword is a new password of who asks.
type OwnPassword struct {
	Current  string `json:"current" maxLength:"1000"`
	Password string `json:"password" maxLength:"1000" doc:"12 bytes or more"`
}

// Token is an API token without itself.
type Token = auth.Token

// NewToken is a token as one is asked for.
type NewToken struct {
	Name    string    `json:"name" maxLength:"64" doc:"1 to 64 of a-z, 0-9 and . _ -, beginning with a letter or digit"`
	Role    string    `json:"role" doc:"viewer, operator or admin; not more than one's own"`
	Expires time.Time `json:"expires,omitzero" doc:"never when it isn't given"`
}

// MadeToken is a token that was just made.
type MadeToken struct {
	Token
	// Secret is the token itself. It isn't shown again.
	Secret string `json:"secret"`
}

// Me is who asks, as the engine knows them.
type Me struct {
	Name string    `json:"name"`
	Role auth.Role `json:"role"`
	User string    `json:"user,omitempty"`
	Via  string    `json:"via"`
}

// Link signs in once.
type Link struct {
	// Path is to be added to the engine's address.
	Path    string    `json:"path"`
	Expires time.Time `json:"expires"`
}

func (u NewUser) object() string  { return "user/" + u.Name }
func (k NewToken) object() string { return "token/" + k.Name }

func (u UserUpdate) tells() map[string]any {
	if u.Password == nil {
		return nil
	}
	return map[string]any{"password": "changed"}
}

func (OwnPassword) tells() map[string]any { return map[string]any{"password": "changed"} }

func (s *Server) people(api huma.API) {
	get(api, "/me", "Say who asks", func(ctx context.Context, _ *struct{}) (*body[Me], error) {
		p := auth.From(ctx)
		return &body[Me]{Me{Name: who(ctx), Role: p.Role, User: p.User, Via: p.Via}}, nil
	})
	post(api, "/me/password", "Change one's own password", http.StatusOK, func(ctx context.Context, in *body[OwnPassword]) (*body[User], error) {
		u, err := s.auth.ChangeOwnPassword(ctx, in.Body.Current, in.Body.Password)
		return &body[User]{u}, err
	})
	get(api, "/users", "List users", func(ctx context.Context, _ *struct{}) (*list[User], error) {
		all, err := s.auth.Users(ctx)
		return listOf(all), err
	})
	post(api, "/users", "Add a user", http.StatusCreated, func(ctx context.Context, in *body[NewUser]) (*body[User], error) {
		u, err := s.auth.AddUser(ctx, in.Body.Name, auth.Role(in.Body.Role), in.Body.Password)
		return &body[User]{u}, err
	})
	get(api, "/users/{name}", "Get a user", func(ctx context.Context, in *byName) (*body[User], error) {
		u, err := s.auth.User(ctx, in.Name)
		return &body[User]{u}, err
	})
	post(api, "/users/{name}", "Change a user's role or password, or whether they may sign in", http.StatusOK, func(ctx context.Context, in *struct {
		Name string `path:"name"`
		Body UserUpdate
	}) (*body[User], error) {
		u, err := s.updateUser(ctx, in.Name, in.Body)
		return &body[User]{u}, err
	})
	remove(api, "/users/{name}", "Remove a user, with all sessions and tokens", http.StatusNoContent, func(ctx context.Context, in *byName) (*struct{}, error) {
		return nil, s.auth.RemoveUser(ctx, in.Name)
	})
	s.tokens(api)
}

func (s *Server) updateUser(ctx context.Context, name string, change UserUpdate) (User, error) {
	u, err := s.auth.User(ctx, name)
	if err == nil && change.Role != nil {
		u, err = s.auth.SetRole(ctx, name, auth.Role(*change.Role))
	}
	if err == nil && change.Disabled != nil {
		u, err = s.auth.SetDisabled(ctx, name, *change.Disabled)
	}
	if err == nil && change.Password != nil {
		u, err = s.auth.SetPassword(ctx, name, *change.Password)
	}
	return u, err
}

func (s *Server) tokens(api huma.API) {
	get(api, "/tokens", "List API tokens", func(ctx context.Context, _ *struct{}) (*list[Token], error) {
		all, err := s.auth.Tokens(ctx)
		return listOf(all), err
	})
	post(api, "/tokens", "Make an API token", http.StatusCreated, func(ctx context.Context, in *body[NewToken]) (*body[MadeToken], error) {
		secret, t, err := s.auth.MakeToken(ctx, in.Body.Name, auth.Role(in.Body.Role), in.Body.Expires)
		return &body[MadeToken]{MadeToken{Token: t, Secret: secret}}, err
	})
	remove(api, "/tokens/{name}", "Revoke an API token", http.StatusNoContent, func(ctx context.Context, in *byName) (*struct{}, error) {
		return nil, s.auth.RevokeToken(ctx, in.Name)
	})
	post(api, "/links", "Make a link that signs in once, with the rights of who asks", http.StatusCreated, func(ctx context.Context, _ *struct{}) (*body[Link], error) {
		p := auth.From(ctx)
		if p.Via != viaLocal {
			return nil, &auth.Error{Status: http.StatusForbidden, Message: "a link is made with the engine's own token only, which lies in its folder: others sign in as a user"}
		}
		link, expires, err := s.auth.MakeLink(ctx, who(ctx), p.Role)
		return &body[Link]{Link{Path: auth.WelcomeURL("", link), Expires: expires}}, err
	})
}

// viaLocal is how who has the engine's own token is known.
const viaLocal = "local token"

// Me says who this client is to the engine.
func (c *Client) Me(ctx context.Context) (Me, error) { return fetch[Me](ctx, c, "/me") }

// ChangeOwnPassword changes the password of who asks.
func (c *Client) ChangeOwnPassword(ctx context.Context, p OwnPassword) error {
	return c.call(ctx, http.MethodPost, "/me/password", p, nil)
}

// Users lists users.
func (c *Client) Users(ctx context.Context) ([]User, error) { return fetchList[User](ctx, c, "/users") }

// AddUser adds a user.
func (c *Client) AddUser(ctx context.Context, u NewUser) (User, error) {
	var out User
	err := c.call(ctx, http.MethodPost, "/users", u, &out)
	return out, err
}

// UpdateUser changes a user.
func (c *Client) UpdateUser(ctx context.Context, name string, u UserUpdate) (User, error) {
	var out User
	err := c.call(ctx, http.MethodPost, userPath(name), u, &out)
	return out, err
}

// RemoveUser removes a user.
func (c *Client) RemoveUser(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, userPath(name), nil, nil)
}

func userPath(name string) string { return "/users/" + url.PathEscape(name) }

// Tokens lists API tokens.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	return fetchList[Token](ctx, c, "/tokens")
}

// MakeToken makes an API token.
func (c *Client) MakeToken(ctx context.Context, k NewToken) (MadeToken, error) {
	var out MadeToken
	err := c.call(ctx, http.MethodPost, "/tokens", k, &out)
	return out, err
}

// RevokeToken ends an API token.
func (c *Client) RevokeToken(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/tokens/"+url.PathEscape(name), nil, nil)
}

// MakeLink makes a link that signs in once, and returns its whole address.
func (c *Client) MakeLink(ctx context.Context) (address string, expires time.Time, err error) {
	var l Link
	err = c.call(ctx, http.MethodPost, "/links", nil, &l)
	return strings.TrimSuffix(c.Base, "/") + l.Path, l.Expires, err
}
