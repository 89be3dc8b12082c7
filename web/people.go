package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
)

var peoplePages = []page{
	{path: "/users", needs: auth.Admin, show: showUsers, writes: auth.Admin, do: addUser},
	{path: "/users/{name}", needs: auth.Admin, show: showUser, writes: auth.Admin, do: changeUser},
	{path: "/tokens", needs: auth.Admin, show: showTokens, writes: auth.Admin, do: makeToken},
	{path: "/tokens/{name}/revoke", needs: auth.Admin, show: showRevoke, writes: auth.Admin, do: revokeToken},
	{path: "/me", needs: auth.Viewer, show: showMe, writes: auth.Viewer, do: changePassword},
}

// roleChoices are the roles as choices.
func roleChoices() []option {
	var out []option
	for _, r := range auth.Roles {
		out = append(out, option{string(r), sentence(string(r)) + ": " + strings.TrimPrefix(roleWords(r), "A "+string(r)+" ")})
	}
	for i := range out {
		out[i].text = strings.TrimSuffix(strings.Replace(out[i].text, ": An "+out[i].value+" ", ": ", 1), ".")
	}
	return out
}

func showUsers(a *call) (view, error) {
	list, err := a.api.Users(a.ctx())
	if err != nil {
		return view{}, err
	}
	return view{title: "Users", section: "Users", body: usersPage(list)}, nil
}

func addUser(a *call) (string, error) {
	_, err := a.api.AddUser(a.ctx(), api.NewUser{Name: strings.TrimSpace(a.input.value("name", "")), Role: a.input.value("role", ""), Password: a.input.value("password", "")})
	if err != nil {
		return "", err
	}
	return "/users", nil
}

// user is the one that the address names.
func (a *call) user() (api.User, error) {
	list, err := a.api.Users(a.ctx())
	if err != nil {
		return api.User{}, err
	}
	i := slices.IndexFunc(list, func(u api.User) bool { return u.Name == a.arg("name") })
	if i < 0 {
		return api.User{}, &api.Problem{Status: http.StatusNotFound, Detail: "there is no user " + a.arg("name")}
	}
	return list[i], nil
}

func showUser(a *call) (view, error) {
	u, err := a.user()
	if err != nil {
		return view{}, err
	}
	return view{title: u.Name + " · Users", section: "Users", crumbs: []link{{"Users", "/users"}}, body: userPage(u)}, nil
}

// changeUser does what one of the page's forms asks for.
func changeUser(a *call) (string, error) {
	name := a.arg("name")
	var change api.UserUpdate
	switch a.input.value("ask", "") {
	case "role":
		role := a.input.value("role", "")
		change.Role = &role
	case "disable", "enable":
		disabled := a.input.value("ask", "") == "disable"
		change.Disabled = &disabled
	case "password":
		password := a.input.value("password", "")
		change.Password = &password
	case "remove":
		if a.input.value("confirm", "") != name {
			return "", a.input.wrong("confirm", "want the user's name, "+name)
		}
		return "/users", a.api.RemoveUser(a.ctx(), name)
	default:
		return "", a.input.wrong("", "the form asks for nothing that is known here")
	}
	_, err := a.api.UpdateUser(a.ctx(), name, change)
	return "/users", err
}

// tokensShown is what the page of tokens shows.
type tokensShown struct {
	list []api.Token
	// made is the one that was just made, with itself.
	made *api.MadeToken
}

// tokenDays are the choices of how long a token is good for.
var tokenDays = []option{{"7", "7 days"}, {"30", "30 days"}, {"90", "90 days"}, {"365", "1 year"}, {"0", "For good"}}

func showTokens(a *call) (view, error) {
	list, err := a.api.Tokens(a.ctx())
	if err != nil {
		return view{}, err
	}
	t := tokensShown{list: list}
	if made, ok := a.outcome.(api.MadeToken); ok {
		t.made = &made
		a.input.values = nil // the form is for another one
	}
	return view{title: "Tokens", section: "Tokens", body: tokensPage(t)}, nil
}

func makeToken(a *call) (string, error) {
	days, err := strconv.Atoi(a.input.value("expires", ""))
	if err != nil || days < 0 || days > 3660 {
		return "", a.input.wrong("expires", "want one of the choices")
	}
	k := api.NewToken{Name: strings.TrimSpace(a.input.value("name", "")), Role: a.input.value("role", "")}
	if days > 0 {
		k.Expires = a.now.Add(time.Duration(days) * 24 * time.Hour).UTC().Truncate(time.Second)
	}
	made, err := a.api.MakeToken(a.ctx(), k)
	if err != nil {
		return "", err
	}
	a.outcome = made
	return "", nil
}

func showRevoke(a *call) (view, error) {
	list, err := a.api.Tokens(a.ctx())
	if err != nil {
		return view{}, err
	}
	i := slices.IndexFunc(list, func(k api.Token) bool { return k.Name == a.arg("name") })
	if i < 0 {
		return view{}, &api.Problem{Status: http.StatusNotFound, Detail: "there is no token " + a.arg("name")}
	}
	return view{title: "Revoke " + list[i].Name + " · Tokens", section: "Tokens", crumbs: []link{{"Tokens", "/tokens"}}, body: revokePage(list[i])}, nil
}

func revokeToken(a *call) (string, error) {
	return "/tokens", a.api.RevokeToken(a.ctx(), a.arg("name"))
}

func showMe(a *call) (view, error) {
	me, err := a.api.Me(a.ctx())
	if err != nil {
		return view{}, err
	}
	done, _ := a.outcome.(bool)
	return view{title: "You", body: mePage(me, done)}, nil
}

func changePassword(a *call) (string, error) {
	p := api.OwnPassword{Current: a.input.value("password.current", ""), Password: a.input.value("password", "")}
	if p.Password != a.input.value("password.again", "") {
		return "", a.input.wrong("password.again", "the two don't match")
	}
	if err := a.api.ChangeOwnPassword(a.ctx(), p); err != nil {
		return "", err
	}
	a.outcome = true
	return "", nil
}

// signsInBy is how a user signs in.
func signsInBy(u api.User) string {
	switch {
	case u.Issuer != "" && u.Password:
		return "Password, or " + u.Issuer
	case u.Issuer != "":
		return u.Issuer
	case u.Password:
		return "Password"
	}
	return "Not at all"
}
