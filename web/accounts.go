package web

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/cloud"
)

// What is about one account is below its name; all else has addresses of its own, since an account may have any name.
var accountPages = []page{
	{path: "/accounts", needs: auth.Viewer, show: showAccounts},
	{path: "/accounts/{name}", needs: auth.Viewer, show: showAccount},
	{path: "/accounts/{name}/check", needs: auth.Operator, show: showCheck},
	{path: "/accounts/{name}/credentials", needs: auth.Admin, show: showUpdate, writes: auth.Admin, do: updateAccount},
	{path: "/accounts/{name}/remove", needs: auth.Admin, show: showRemoveAccount, writes: auth.Admin, do: removeAccount},
	{path: "/add-account", needs: auth.Admin, show: showAddAccount},
	{path: "/add-account/{cloud}", needs: auth.Admin, show: showNewAccount, writes: auth.Admin, do: addAccount},
	{path: "/account-help/{cloud}", needs: auth.Viewer, show: showAccountHelp},
}

var accountDownloads = []download{
	{path: "/account-files/{file}", needs: auth.Viewer, file: accountFile},
}

const accountsSection = "Accounts"

func accountPath(name string, more ...string) string {
	return strings.Join(append([]string{"/accounts/" + url.PathEscape(name)}, more...), "/")
}

func showAccounts(a *call) (view, error) {
	list, err := a.api.Accounts(a.ctx())
	if err != nil {
		return view{}, err
	}
	slices.SortFunc(list, func(x, y api.Account) int { return strings.Compare(x.Name, y.Name) })
	return view{title: "Accounts", section: accountsSection, body: accountsPage(list), live: everyCluster}, nil
}

// account is the one that the address names.
func (a *call) account() (api.Account, error) {
	list, err := a.api.Accounts(a.ctx())
	if err != nil {
		return api.Account{}, err
	}
	for _, one := range list {
		if one.Name == a.arg("name") {
			return one, nil
		}
	}
	return api.Account{}, &api.Problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("there is no account named %q", a.arg("name"))}
}

// accountCrumbs lead to an account.
func accountCrumbs(acc api.Account) []link {
	return []link{{"Accounts", "/accounts"}, {acc.Name, accountPath(acc.Name)}}
}

func showAccount(a *call) (view, error) {
	acc, err := a.account()
	if err != nil {
		return view{}, err
	}
	return view{title: acc.Name, section: accountsSection, crumbs: accountCrumbs(acc)[:1], body: accountPage(acc), live: everyCluster}, nil
}

// checked is the outcome of a check.
type checked struct {
	acc    api.Account
	report api.AccountReport
	// failed says why there is no report.
	failed string
	// quotas are those to show, hidden how many of which nothing is used aren't.
	quotas []cloud.Quota
	hidden int
}

// manyQuotas is how many are shown whether used or not: Google has five for each of its regions.
const manyQuotas = 20

func showCheck(a *call) (view, error) {
	c := checked{}
	var err error
	if c.acc, err = a.account(); err != nil {
		return view{}, err
	}
	if c.report, err = a.api.CheckAccount(a.ctx(), c.acc.Name); err != nil {
		if c.failed = refusal(err); c.failed == "" {
			return view{}, err
		}
	}
	c.quotas = c.report.Quotas
	if len(c.quotas) > manyQuotas {
		c.quotas = slices.DeleteFunc(slices.Clone(c.quotas), func(q cloud.Quota) bool { return q.Region != "" && q.Used == 0 })
	}
	c.hidden = len(c.report.Quotas) - len(c.quotas)
	slices.SortStableFunc(c.quotas, func(x, y cloud.Quota) int { return cmp.Compare(share(y), share(x)) })
	return view{title: "Check of " + c.acc.Name, section: accountsSection, crumbs: accountCrumbs(c.acc), body: checkPage(c)}, nil
}

// share is how much of a limit is used, from 0 to 1; -1 where that isn't known.
func share(q cloud.Quota) float64 {
	if q.Used < 0 || q.Limit < 0 {
		return -1
	}
	if q.Limit == 0 {
		return 1
	}
	return q.Used / q.Limit
}

// nearLimit is from what share on a limit is worth a thought.
const nearLimit = 0.8

func showAddAccount(*call) (view, error) {
	return view{title: "Add an account", section: accountsSection, crumbs: []link{{"Accounts", "/accounts"}}, body: chooseCloudPage()}, nil
}

// cloudNamed is the cloud that the address names.
func (a *call) cloudNamed() (string, accountDoc, error) {
	id := a.arg("cloud")
	doc, ok := accountDocs()[id]
	if !ok {
		return "", doc, &api.Problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("there is no cloud %q; want one of %s", id, strings.Join(clouds, ", "))}
	}
	return id, doc, nil
}

func showNewAccount(a *call) (view, error) {
	id, doc, err := a.cloudNamed()
	if err != nil {
		return view{}, err
	}
	list, err := a.api.Accounts(a.ctx())
	if err != nil {
		return view{}, err
	}
	return view{title: "Add an account at " + providerName(id), section: accountsSection, crumbs: []link{{"Accounts", "/accounts"}, {"Add", "/add-account"}},
		body: newAccountPage(id, freeName(id, list), doc)}, nil
}

// freeName is a name for an account that no other has.
func freeName(id string, list []api.Account) string {
	name := "my-" + id
	for n := 2; slices.ContainsFunc(list, func(a api.Account) bool { return a.Name == name }); n++ {
		name = fmt.Sprintf("my-%s-%d", id, n)
	}
	return name
}

func addAccount(a *call) (string, error) {
	id, _, err := a.cloudNamed()
	if err != nil {
		return "", err
	}
	if err := lacking(id, a.input.values, true); err != nil {
		return "", err
	}
	given := enteredAccount(id, a.input.values)
	if _, err := a.keyed().AddAccount(a.ctx(), given); err != nil {
		return "", accountProblem(id, err)
	}
	return accountPath(given.Name, "check"), nil // which says what it may do and what it lacks
}

func showUpdate(a *call) (view, error) {
	acc, err := a.account()
	if err != nil {
		return view{}, err
	}
	return view{title: "Credentials of " + acc.Name, section: accountsSection, crumbs: accountCrumbs(acc), body: updateAccountPage(acc, accountDocs()[acc.Provider])}, nil
}

// keepCredentials is the choice to let those on record stay.
const keepCredentials = "keep"

func updateAccount(a *call) (string, error) {
	acc, err := a.account()
	if err != nil {
		return "", err
	}
	keep := a.input.value("credentials", "") == keepCredentials
	if err := lacking(acc.Provider, a.input.values, !keep); err != nil {
		return "", err
	}
	given := enteredAccount(acc.Provider, a.input.values)
	if keep {
		if len(given.Secrets) > 0 || given.CA != "" {
			return "", a.input.wrong("credentials", "new ones were entered: choose that they take the place of the old ones, or leave them empty")
		}
		for name, had := range acc.Settings { // there is no way to take one away beside its credentials
			if had != "" && given.Settings[name] == "" {
				return "", a.input.wrong("settings."+name, fmt.Sprintf("found nothing: a setting (it is %s) can be taken away only together with new credentials", had))
			}
		}
	}
	_, err = a.keyed().UpdateAccount(a.ctx(), acc.Name, api.AccountUpdate{Provider: acc.Provider, Settings: given.Settings, Secrets: given.Secrets, CA: given.CA, Proxy: given.Proxy})
	if err != nil {
		return "", accountProblem(acc.Provider, err)
	}
	return accountPath(acc.Name, "check"), nil
}

func showRemoveAccount(a *call) (view, error) {
	acc, err := a.account()
	if err != nil {
		return view{}, err
	}
	return view{title: "Remove " + acc.Name, section: accountsSection, crumbs: accountCrumbs(acc), body: removeAccountPage(acc)}, nil
}

func removeAccount(a *call) (string, error) {
	if err := a.api.RemoveAccount(a.ctx(), a.arg("name")); err != nil {
		return "", err
	}
	return "/accounts", nil
}

func showAccountHelp(a *call) (view, error) {
	id, doc, err := a.cloudNamed()
	if err != nil {
		return view{}, err
	}
	return view{title: "Accounts at " + providerName(id), section: accountsSection, crumbs: []link{{"Accounts", "/accounts"}}, body: accountHelpPage(doc)}, nil
}

func accountFile(a *call) (name, kind string, content []byte, err error) {
	for _, doc := range accountDocs() {
		if doc.file == a.arg("file") {
			return doc.file, "text/plain; charset=utf-8", []byte(doc.policy), nil
		}
	}
	return "", "", nil, &api.Problem{Status: http.StatusNotFound, Detail: fmt.Sprintf("there is no such file; want one of %s", strings.Join(slices.Sorted(maps.Values(policyFiles)), ", "))}
}

// howMany is a figure of a quota.
func howMany(v float64) string {
	if v < 0 {
		return "?"
	}
	return fmt.Sprintf("%g", v)
}

// laneState is how a part of an account's calls fares, in words.
func laneState(b api.Bucket) string {
	if b.Message != "" {
		return sentence(b.Message)
	}
	return wordsOf(cmp.Or(b.State, "Ready"))
}

// settingNames are an account's settings in order.
func settingNames(acc api.Account) []string { return slices.Sorted(maps.Keys(acc.Settings)) }

// settingLabel is what a setting is called in forms.
func settingLabel(acc api.Account, name string) string {
	for _, f := range fieldsOfCloud(acc.Provider) {
		if f.name == "settings."+name {
			return f.label
		}
	}
	return sentence(name)
}

// hasSettings says that one of some fields has a value: it is shown then.
func hasSettings(a *call, acc api.Account, fields []accountField) bool {
	for _, f := range fields {
		name := strings.TrimPrefix(f.name, "settings.")
		if acc.Settings[name] != "" || a.input.value(f.name, "") != "" && f.kind != choiceField || len(a.input.of(f.name)) > 0 {
			return true
		}
	}
	return false
}
