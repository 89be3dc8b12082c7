package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/remote"
	"github.com/skyweld/skyweld/store"
)

// SettingEgress is the account setting that names the addresses from which the engine reaches machines of the account: one
// or more ranges, separated by commas.
const SettingEgress = "egress"

// cachedDriver is a driver with the version of the account it was made from.
type cachedDriver struct {
	account store.Account
	driver  cloud.Driver
	egress  []netip.Prefix
}

// driver returns the account and its driver, made anew when the account was changed.
func (e *Engine) driver(ctx context.Context, name string) (cloud.Account, cloud.Driver, error) {
	account, err := e.store.GetAccount(ctx, name)
	if err != nil {
		return cloud.Account{}, nil, err
	}
	e.driverMu.Lock()
	defer e.driverMu.Unlock()
	if c, ok := e.drivers[name]; ok && c.account.Updated.Equal(account.Updated) {
		return c.account.Account, c.driver, nil
	}
	d, err := e.open(ctx, account.Account)
	if err != nil {
		return cloud.Account{}, nil, err
	}
	e.drivers[name] = cachedDriver{account: account, driver: d}
	return account.Account, d, nil
}

// open makes a driver for an account that needn't be stored yet.
func (e *Engine) open(ctx context.Context, account cloud.Account) (cloud.Driver, error) {
	factory := e.opts.Drivers[account.Provider]
	if factory == nil {
		return nil, Invalidf("provider", "%q is not supported; want one of %s", account.Provider, strings.Join(e.Providers(), ", "))
	}
	d, err := factory(ctx, account, newLimiter().transport())
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

// egress returns the addresses that machines of an account see the engine come from.
func (e *Engine) egress(ctx context.Context, account cloud.Account) ([]netip.Prefix, error) {
	if text := account.Settings[SettingEgress]; text != "" {
		return ParsePrefixes(text)
	}
	if len(e.opts.Egress) > 0 {
		return e.opts.Egress, nil
	}
	e.driverMu.Lock()
	cached := e.drivers[account.Name].egress
	e.driverMu.Unlock()
	if cached != nil {
		return cached, nil
	}
	found, err := askEgress(ctx, account.Proxy)
	if err != nil {
		return nil, fmt.Errorf("account %s: the address from which the engine reaches the internet could not be found out (%w): set it with --egress", account.Name, err)
	}
	e.driverMu.Lock()
	defer e.driverMu.Unlock()
	if c, ok := e.drivers[account.Name]; ok {
		c.egress = found
		e.drivers[account.Name] = c
	}
	return found, nil
}

// egressURL answers with the caller's address (a service of Amazon's, for exactly this).
const egressURL = "https://checkip.amazonaws.com/"

func askEgress(ctx context.Context, proxy string) ([]netip.Prefix, error) {
	dial, err := remote.Dialer(proxy)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, egressURL, nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 100))
	if err != nil {
		return nil, err
	}
	return ParsePrefixes(strings.TrimSpace(string(body)))
}

// ParsePrefixes reads addresses and ranges separated by commas.
func ParsePrefixes(text string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		p, err := netip.ParsePrefix(part)
		if a, aerr := netip.ParseAddr(part); aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a range like 203.0.113.0/24", part)
		}
		if p.Bits() == 0 {
			return nil, fmt.Errorf("%s is everybody, which is never allowed", p)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// AddAccount checks that an account's credentials work, and stores it.
func (e *Engine) AddAccount(ctx context.Context, account cloud.Account) (cloud.Report, error) {
	if err := cloud.CheckKey(account.Name); err != nil {
		return cloud.Report{}, Invalidf("name", "found %q: want 1 to %d of a-z, 0-9 and '-', beginning with a letter and not ending with '-'", account.Name, cloud.MaxKey)
	}
	if text := account.Settings[SettingEgress]; text != "" {
		if _, err := ParsePrefixes(text); err != nil {
			return cloud.Report{}, Invalidf("egress", "%s", err)
		}
	}
	if _, err := remote.Dialer(account.Proxy); err != nil {
		return cloud.Report{}, Invalidf("proxy", "%s", err)
	}
	if _, err := e.store.GetAccount(ctx, account.Name); err == nil {
		return cloud.Report{}, &Problem{Kind: Taken, Message: fmt.Sprintf("an account named %s exists already: choose another name, or remove it first with 'skyweld account remove %s'", account.Name, account.Name)}
	}
	d, err := e.open(ctx, account)
	if err != nil {
		return cloud.Report{}, err
	}
	report, err := d.Check(ctx)
	if err != nil {
		return report, fmt.Errorf("account %s was not added, because its check failed: %w", account.Name, err)
	}
	return report, e.store.PutAccount(ctx, account)
}

// Accounts lists the accounts; their secrets are in them, redacted by their type.
func (e *Engine) Accounts(ctx context.Context) ([]store.Account, error) {
	return e.store.ListAccounts(ctx)
}

// CheckAccount says whether an account can be used.
func (e *Engine) CheckAccount(ctx context.Context, name string) (cloud.Report, error) {
	_, d, err := e.driver(ctx, name)
	if err != nil {
		return cloud.Report{}, e.noAccount(ctx, name, err)
	}
	report, err := d.Check(ctx)
	if err != nil {
		return report, fmt.Errorf("account %s: %w", name, err)
	}
	return report, nil
}

// RemoveAccount forgets an account that no cluster uses.
func (e *Engine) RemoveAccount(ctx context.Context, name string) error {
	return e.noAccount(ctx, name, e.store.DeleteAccount(ctx, name))
}

// noAccount turns the error of a name that no account has into a problem that says which there are.
func (e *Engine) noAccount(ctx context.Context, name string, err error) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return &Problem{Kind: Missing, Message: fmt.Sprintf("there is no account named %q; %s", name, e.knownAccounts(ctx))}
}

// Inventory lists all that an account holds of the types Skyweld ever makes.
func (e *Engine) Inventory(ctx context.Context, name string, regions []string) ([]cloud.Item, error) {
	account, d, err := e.driver(ctx, name)
	if err != nil {
		return nil, e.noAccount(ctx, name, err)
	}
	names := regionNames(string(account.Provider))
	for _, r := range regions {
		if !slices.Contains(names, r) {
			return nil, Invalidf("region", "found %q: %s has no such region; want one of %s", r, account.Provider, strings.Join(names, ", "))
		}
	}
	return d.Inventory(ctx, regions...)
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
