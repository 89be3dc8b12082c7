package auth

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/skyweld/skyweld/store"
)

// User is a person who may sign in, as it is shown.
type User struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Password says that there is one to sign in with.
	Password bool `json:"password"`
	// Issuer is the OIDC server that the user signs in at, Subject who it is there.
	Issuer    string    `json:"issuer,omitempty"`
	Subject   string    `json:"subject,omitempty"`
	Disabled  time.Time `json:"disabled,omitzero"`
	Created   time.Time `json:"created"`
	LastLogin time.Time `json:"lastLogin,omitzero"`
}

func userOf(u store.User) User {
	return User{Name: u.Name, Role: Role(u.Role), Password: u.Password != "", Issuer: u.Issuer, Subject: u.Subject, Disabled: u.Disabled, Created: u.Created, LastLogin: u.LastLogin}
}

// userName is what a user may be called: also an address of e-mail, in small letters.
var userName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,63}$`)

// cleanName is how a name is looked for.
func cleanName(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// CheckRole says what is wrong with a role.
func CheckRole(r Role) error {
	if !r.Valid() {
		return refused(http.StatusUnprocessableEntity, "found the role %q: want viewer, operator or admin", r)
	}
	return nil
}

// Users lists all users by name.
func (s *Service) Users(ctx context.Context) ([]User, error) {
	all, err := s.store.ListUsers(ctx)
	out := make([]User, len(all))
	for i, u := range all {
		out[i] = userOf(u)
	}
	return out, err
}

// User returns a user.
func (s *Service) User(ctx context.Context, name string) (User, error) {
	u, err := s.userNamed(ctx, name)
	return userOf(u), plain(err, "user", name)
}

// userNamed finds a user. What can't be a name isn't asked for: databases differ in what they make of it.
func (s *Service) userNamed(ctx context.Context, name string) (store.User, error) {
	if !userName.MatchString(name) {
		return store.User{}, store.ErrNotFound
	}
	return s.store.GetUser(ctx, name)
}

// AddUser adds a local user.
func (s *Service) AddUser(ctx context.Context, name string, role Role, password string) (User, error) {
	if !userName.MatchString(name) {
		return User{}, refused(http.StatusUnprocessableEntity, "found the name %q: want 1 to 64 of a-z, 0-9 and . _ @ + -, beginning with a letter or digit", name)
	}
	if err := CheckRole(role); err != nil {
		return User{}, err
	}
	if err := CheckPassword(name, password); err != nil {
		return User{}, err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return User{}, err
	}
	u, err := s.store.AddUser(ctx, store.User{Name: name, Role: string(role), Password: hash})
	return userOf(u), plain(err, "user", name)
}

// SetRole gives a user another role.
func (s *Service) SetRole(ctx context.Context, name string, role Role) (User, error) {
	if err := CheckRole(role); err != nil {
		return User{}, err
	}
	return s.change(ctx, name, "", func(u *store.User) error { u.Role = string(role); return nil })
}

// SetDisabled takes from a user the right to sign in, with all sessions, or gives it back. The user's tokens rest meanwhile.
func (s *Service) SetDisabled(ctx context.Context, name string, disabled bool) (User, error) {
	return s.change(ctx, name, "", func(u *store.User) error {
		switch {
		case !disabled:
			u.Disabled = time.Time{}
		case u.Disabled.IsZero():
			u.Disabled = time.Now()
		}
		return nil
	})
}

// SetPassword gives a user another password, and ends all sessions of that user but the one who asks.
func (s *Service) SetPassword(ctx context.Context, name, password string) (User, error) {
	if err := CheckPassword(name, password); err != nil {
		return User{}, err
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return User{}, err
	}
	return s.change(ctx, name, SessionFrom(ctx).hash, func(u *store.User) error {
		if u.Issuer != "" {
			return refused(http.StatusConflict, "%s signs in at %s, and has no password here", name, u.Issuer)
		}
		u.Password = hash
		return nil
	})
}

// ChangeOwnPassword is SetPassword for the user who asks, who must know the one there is. Guesses count as those at the login do.
func (s *Service) ChangeOwnPassword(ctx context.Context, current, password string) (User, error) {
	p := From(ctx)
	if p.User == "" {
		return User{}, refused(http.StatusConflict, "who came by %s is no user, and has no password", p.Via)
	}
	if _, err := s.prove(ctx, p.User, current, p.From); err != nil {
		return User{}, err
	}
	return s.SetPassword(ctx, p.User, password)
}

// RemoveUser removes a user with all sessions and tokens.
func (s *Service) RemoveUser(ctx context.Context, name string) error {
	_, err := s.userNamed(ctx, name)
	if err == nil {
		_, err = s.store.DeleteUser(ctx, name)
	}
	return plain(err, "user", name)
}

func (s *Service) change(ctx context.Context, name, keep string, f func(*store.User) error) (User, error) {
	u, err := s.userNamed(ctx, name)
	if err == nil {
		_, u, err = s.store.ChangeUser(ctx, name, keep, f)
	}
	if err != nil {
		return User{}, plain(err, "user", name)
	}
	return userOf(u), nil
}

// String says who it is, for logs.
func (p Principal) String() string { return fmt.Sprintf("%s (%s, by %s)", p.Name, p.Role, p.Via) }
