package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/engine/traffic"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/remote"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// cachedDriver is a driver with the version of the account it was made from; without a driver none could be made.
type cachedDriver struct {
	account store.Account
	driver  cloud.Driver
}

// driver returns the account and its driver, made anew when the account was changed: then its calls begin anew, too.
func (e *Engine) driver(ctx context.Context, name string) (cloud.Account, cloud.Driver, error) {
	account, err := e.store.GetAccount(ctx, name)
	if err != nil {
		return cloud.Account{}, nil, err
	}
	e.driverMu.Lock()
	defer e.driverMu.Unlock()
	c, tried := e.drivers[name]
	tried = tried && c.account.Updated.Equal(account.Updated)
	if tried && c.driver != nil {
		return c.account.Account, c.driver, nil
	}
	t := e.trafficLocked(name)
	if !tried {
		t.Reset()
	}
	d, err := e.open(ctx, account.Account, t)
	e.drivers[name] = cachedDriver{account: account, driver: d}
	if err != nil {
		return account.Account, nil, err
	}
	return account.Account, d, nil
}

// open makes a driver for an account that needn't be stored yet.
func (e *Engine) open(ctx context.Context, account cloud.Account, t *traffic.Account) (cloud.Driver, error) {
	factory := e.opts.Drivers[account.Provider]
	if factory == nil {
		return nil, Invalidf("provider", "%q is not supported; want one of %s", account.Provider, strings.Join(e.Providers(), ", "))
	}
	t.Tell(func(family, outcome string) { e.opts.Meter.Call(account.Provider, family, outcome) })
	d, err := factory(ctx, account, t.Transport())
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", account.Name, err)
	}
	return d, nil
}

// Providers lists the clouds the engine can speak to.
func (e *Engine) Providers() []string {
	var names []string
	for p := range e.opts.Drivers {
		names = append(names, string(p))
	}
	sort.Strings(names)
	return names
}

// AddAccount checks that an account's credentials work, and stores it.
func (e *Engine) AddAccount(ctx context.Context, account cloud.Account) (cloud.Report, error) {
	if err := cloud.CheckKey(account.Name); err != nil {
		return cloud.Report{}, Invalidf("name", "found %q: want 1 to %d of a-z, 0-9 and '-', beginning with a letter and not ending with '-'", account.Name, cloud.MaxKey)
	}
	if err := usable(account); err != nil {
		return cloud.Report{}, err
	}
	if _, err := e.store.GetAccount(ctx, account.Name); err != nil && !errors.Is(err, store.ErrNotFound) {
		return cloud.Report{}, err
	} else if err == nil {
		return cloud.Report{}, &Problem{Kind: Taken, Message: fmt.Sprintf("an account named %s exists already: choose another name, or remove it first with 'skyweld account remove %s'", account.Name, account.Name)}
	}
	d, err := e.open(ctx, account, traffic.New())
	if err != nil {
		return cloud.Report{}, &Problem{Kind: BadInput, Message: err.Error()} // it has asked nobody yet
	}
	report, err := d.Check(ctx)
	if err != nil {
		return report, fmt.Errorf("account %s was not added, because its check failed: %w", account.Name, err)
	}
	return report, e.store.PutAccount(ctx, account)
}

// UpdateAccount gives an account other credentials and settings, also while clusters use it: they must lead to the same
// account at the same cloud, since what the clusters have is there. They are checked first. Where no secrets are given
// those on record stay, with all settings that aren't given; egress and proxy stay unless they are given.
func (e *Engine) UpdateAccount(ctx context.Context, account cloud.Account) (cloud.Report, error) {
	old, err := e.store.GetAccount(ctx, account.Name)
	if err != nil {
		return cloud.Report{}, e.noAccount(ctx, account.Name, err)
	}
	account = renewed(old.Account, account)
	if account.Provider != old.Provider {
		return cloud.Report{}, Invalidf("provider", "account %s is one at %s and can't become one at %s: add another account", account.Name, old.Provider, account.Provider)
	}
	if err := usable(account); err != nil {
		return cloud.Report{}, err
	}
	d, err := e.open(ctx, account, traffic.New())
	if err != nil {
		return cloud.Report{}, err
	}
	report, err := d.Check(ctx)
	if err != nil {
		return report, fmt.Errorf("account %s was not changed, because the check of what was given failed: %w", account.Name, err)
	}
	if err := e.sameAccount(ctx, account.Name, d); err != nil {
		return cloud.Report{}, err
	}
	if err := e.store.PutAccount(ctx, account); err != nil {
		return cloud.Report{}, err
	}
	return report, e.wakeUsers(ctx, account.Name)
}

// renewed is an account as it was, with what is given anew.
func renewed(old, given cloud.Account) cloud.Account {
	if given.Provider == "" {
		given.Provider = old.Provider
	}
	if given.Proxy == "" {
		given.Proxy = old.Proxy
	}
	settings := maps.Clone(old.Settings)
	if len(given.Secrets) == 0 {
		given.Secrets, given.CA = old.Secrets, old.CA
	} else {
		maps.DeleteFunc(settings, func(name, _ string) bool { return name != SettingEgress })
	}
	if settings == nil {
		settings = map[string]string{}
	}
	maps.Copy(settings, given.Settings)
	given.Settings = settings
	return given
}

// sameAccount refuses to point an account that clusters use at another one of the cloud's: everything there would seem
// lost. The account must show what the clusters have on record in it, whatever the old credentials can still tell.
func (e *Engine) sameAccount(ctx context.Context, name string, d cloud.Driver) error {
	clusters, err := e.users(ctx, name)
	if err != nil {
		return err
	}
	for _, c := range clusters {
		lines, err := e.store.ListResources(ctx, c.UID)
		if err != nil {
			return err
		}
		for _, s := range c.Spec.Spec.Sites {
			recorded := slices.ContainsFunc(lines, func(l store.Resource) bool { return l.Site == s.Name })
			if s.Account != name || !recorded {
				continue
			}
			objects, err := d.Observe(ctx, c.UID, s.Region)
			if err != nil {
				return fmt.Errorf("account %s was not changed, because what was given can't show what cluster %s has there: %w", name, c.Name, err)
			}
			if len(objects) == 0 {
				return Invalidf("name", "account %s is used by cluster %s, of which what was given shows nothing in %s: it leads to another account; add it under another name", name, c.Name, s.Region)
			}
		}
	}
	return nil
}

// users are the clusters that use an account.
func (e *Engine) users(ctx context.Context, name string) ([]store.Cluster, error) {
	all, err := e.store.ListClusters(ctx, false)
	return slices.DeleteFunc(all, func(c store.Cluster) bool {
		return !slices.ContainsFunc(c.Spec.Spec.Sites, func(s spec.Site) bool { return s.Account == name })
	}), err
}

// wakeUsers lets the clusters of an account be looked at now.
func (e *Engine) wakeUsers(ctx context.Context, name string) error {
	clusters, err := e.users(ctx, name)
	if err != nil {
		return err
	}
	for _, c := range clusters {
		if err := e.store.Wake(ctx, c.UID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// usable says what is wrong with an account's own settings.
func usable(account cloud.Account) error {
	if text := account.Settings[SettingEgress]; text != "" {
		if _, err := ParsePrefixes(text); err != nil {
			return Invalidf("egress", "%s", err)
		}
	}
	if _, err := remote.Dialer(account.Proxy); err != nil {
		return Invalidf("proxy", "%s", err)
	}
	return nil
}

// Accounts lists the accounts; their secrets are in them, redacted by their type.
func (e *Engine) Accounts(ctx context.Context) ([]store.Account, error) {
	return e.store.ListAccounts(ctx)
}

// CheckAccount says whether an account can be used. It asks the cloud whatever was learned of the account before.
func (e *Engine) CheckAccount(ctx context.Context, name string) (cloud.Report, error) {
	_, d, err := e.driver(ctx, name)
	if err != nil {
		return cloud.Report{}, e.noAccount(ctx, name, err)
	}
	e.trafficOf(name).Reset()
	report, err := d.Check(ctx)
	if err != nil {
		return report, fmt.Errorf("account %s: %w", name, withAdvice(err, name))
	}
	return report, nil
}

// RemoveAccount forgets an account that no cluster uses.
func (e *Engine) RemoveAccount(ctx context.Context, name string) error {
	if err := e.store.DeleteAccount(ctx, name); err != nil {
		return e.noAccount(ctx, name, err)
	}
	e.driverMu.Lock()
	defer e.driverMu.Unlock()
	delete(e.drivers, name)
	delete(e.traffics, name)
	return nil
}

// noAccount turns the error of a name that no account has into a problem that says which there are.
func (e *Engine) noAccount(ctx context.Context, name string, err error) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return &Problem{Kind: Missing, Message: fmt.Sprintf("there is no account named %q; %s", name, e.knownAccounts(ctx, name))}
}

// Inventory lists all that an account holds of the types Skyweld ever makes.
func (e *Engine) Inventory(ctx context.Context, name string, regions []string) ([]cloud.Item, error) {
	account, d, err := e.driver(ctx, name)
	if err != nil {
		return nil, e.noAccount(ctx, name, err)
	}
	if err := checkRegions(account.Provider, regions); err != nil {
		return nil, err
	}
	items, err := d.Inventory(traffic.Eager(ctx), regions...)
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", name, withAdvice(err, name))
	}
	return items, nil
}

// checkRegions says which region a cloud doesn't have.
func checkRegions(provider cloud.Provider, regions []string) error {
	names := regionNames(string(provider))
	for _, r := range regions {
		if !slices.Contains(names, r) {
			return Invalidf("region", "found %q: %s has no such region; want one of %s", r, provider, strings.Join(names, ", "))
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func sortNodes(nodes []plan.Node) {
	sort.Slice(nodes, func(i, j int) bool { return nodes[i].Name < nodes[j].Name })
}

// ProblemKind says what sort of mistake a request is.
type ProblemKind string

// The kinds of problems.
const (
	BadInput ProblemKind = "bad-input"
	Missing  ProblemKind = "missing"
	Taken    ProblemKind = "taken"
	NotNow   ProblemKind = "not-now"
)

// Problem is a request that can't be met as it is; its message is for the person who made it.
type Problem struct {
	Kind ProblemKind
	// Field is what is wrong, empty for the request as a whole.
	Field   string
	Message string
}

func (p *Problem) Error() string {
	if p.Field == "" {
		return p.Message
	}
	return p.Field + ": " + p.Message
}

// Invalidf makes the problem of a field.
func Invalidf(field, format string, args ...any) error {
	return &Problem{Kind: BadInput, Field: field, Message: fmt.Sprintf(format, args...)}
}
