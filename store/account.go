package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// Account is a stored account.
type Account struct {
	cloud.Account
	Created time.Time
	Updated time.Time
}

const accountColumns = "name, provider, settings, secrets, ca, proxy, created, updated"

// PutAccount stores an account under its name, in place of one that has it already. The provider of an account that a
// cluster uses cannot be changed.
func (s *Store) PutAccount(ctx context.Context, a cloud.Account) error {
	plain := make(map[string]string, len(a.Secrets))
	for name, value := range a.Secrets {
		plain[name] = value.Reveal()
	}
	text, err := json.Marshal(plain)
	if err != nil {
		return fmt.Errorf("store account %s: %w", a.Name, err)
	}
	settings, err := asJSON(a.Settings)
	if err != nil {
		return fmt.Errorf("store account %s: %w", a.Name, err)
	}
	secrets, err := s.box.Seal("accounts", a.Name, "secrets", text)
	if err != nil {
		return fmt.Errorf("store account %s: %w", a.Name, err)
	}
	// A proxy's URL may hold a password.
	proxy, err := s.box.Seal("accounts", a.Name, "proxy", []byte(a.Proxy))
	if err != nil {
		return fmt.Errorf("store account %s: %w", a.Name, err)
	}
	err = s.write(ctx, "store account "+a.Name, func(t *tx) error {
		users, err := t.accountUsers(a.Name)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			var provider string
			if err := t.row("SELECT provider FROM accounts WHERE name = $1", a.Name).Scan(&provider); err != nil {
				return err
			}
			if provider != string(a.Provider) {
				return fmt.Errorf("%w: it is an account of %s, used by %s; add the new one under another name", ErrInUse, provider, strings.Join(users, ", "))
			}
		}
		_, err = t.exec(`INSERT INTO accounts (`+accountColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
			ON CONFLICT (name) DO UPDATE SET provider = excluded.provider, settings = excluded.settings,
			secrets = excluded.secrets, ca = excluded.ca, proxy = excluded.proxy, updated = excluded.updated`,
			a.Name, string(a.Provider), settings, secrets, a.CA, proxy, t.now)
		return err
	})
	if err == nil {
		s.hub.notify("", Accounts)
	}
	return err
}

// GetAccount returns an account with its secrets.
func (s *Store) GetAccount(ctx context.Context, name string) (Account, error) {
	a, err := first(ctx, s.db, s.scanAccount, "SELECT "+accountColumns+" FROM accounts WHERE name = $1", name)
	if err != nil {
		return Account{}, fmt.Errorf("account %s: %w", name, err)
	}
	return a, nil
}

// ListAccounts returns all accounts with their secrets, by name.
func (s *Store) ListAccounts(ctx context.Context) ([]Account, error) {
	all, err := query(ctx, s.db, s.scanAccount, "SELECT "+accountColumns+" FROM accounts ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return all, nil
}

// DeleteAccount removes an account. The error wraps ErrInUse and names the clusters while some use it.
func (s *Store) DeleteAccount(ctx context.Context, name string) error {
	err := s.write(ctx, "remove account "+name, func(t *tx) error {
		users, err := t.accountUsers(name)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return fmt.Errorf("%w by cluster %s; delete that first", ErrInUse, strings.Join(users, ", "))
		}
		err = t.one("DELETE FROM accounts WHERE name = $1", name)
		if _, reference := violates(err); reference {
			return fmt.Errorf("%w by a cluster that was made this moment", ErrInUse)
		}
		return err
	})
	if err == nil {
		s.hub.notify("", Accounts)
	}
	return err
}

// accountUsers returns the names of the clusters that use an account.
func (t *tx) accountUsers(account string) ([]string, error) {
	return query(t.ctx, t, scanString, `SELECT c.name FROM cluster_accounts a JOIN clusters c ON c.uid = a.cluster
		WHERE a.account = $1 ORDER BY c.name`, account)
}

func (s *Store) scanAccount(r row) (Account, error) {
	var a Account
	var settings string
	var secrets, proxy []byte
	var created, updated int64
	if err := r.Scan(&a.Name, &a.Provider, &settings, &secrets, &a.CA, &proxy, &created, &updated); err != nil {
		return a, err
	}
	a.Created, a.Updated = fromMicros(created), fromMicros(updated)
	if err := json.Unmarshal([]byte(settings), &a.Settings); err != nil {
		return a, fmt.Errorf("settings of account %s: %w", a.Name, err)
	}
	text, err := s.box.Open("accounts", a.Name, "secrets", secrets)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(text, &a.Secrets); err != nil {
		return a, fmt.Errorf("secrets of account %s are damaged", a.Name) // the cause might repeat one
	}
	text, err = s.box.Open("accounts", a.Name, "proxy", proxy)
	a.Proxy = string(text)
	return a, err
}

func scanString(r row) (string, error) {
	var v string
	err := r.Scan(&v)
	return v, err
}
