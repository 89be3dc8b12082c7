package webtest

import (
	"context"
	"net/http"

	"github.com/skyweld/skyweld/auth"
)

// Password is that of every user of a scene.
const Password = "correct horse battery staple"

// AddUsers adds a user for each role, of the role's name.
func (s *Scene) AddUsers(ctx context.Context) error {
	for _, role := range auth.Roles {
		if _, err := s.API.Auth().AddUser(ctx, string(role), role, Password); err != nil {
			return err
		}
	}
	return nil
}

// SignIn signs somebody with a role in, and returns the cookie of the session and the token that its forms carry.
func (s *Scene) SignIn(ctx context.Context, role auth.Role) (*http.Cookie, string, error) {
	service := s.API.Auth()
	link, _, err := service.MakeLink(ctx, "Ada", role)
	if err != nil {
		return nil, "", err
	}
	secret, err := service.UseLink(ctx, link, "127.0.0.1:4711")
	if err != nil {
		return nil, "", err
	}
	session, err := service.FindSession(ctx, secret, "127.0.0.1:4711")
	return &http.Cookie{Name: auth.SessionCookie, Value: secret, Path: "/", HttpOnly: true}, auth.CSRF(session), err
}
