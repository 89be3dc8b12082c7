package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Moment says when an inventory was taken.
type Moment string

// The moments of a cluster's life for which inventories are kept.
const (
	Before Moment = "before" // anything of it was made there
	After  Moment = "after"  // the last of it was removed
)

// Inventory is what an account held in a region, and outside any region.
type Inventory struct {
	Cluster, Account, Region string
	Moment                   Moment
	Taken                    time.Time
	// Items are in the engine's own form.
	Items json.RawMessage
}

// Abandonment is a site of a cluster that a user has given up: what is there is left there.
type Abandonment struct {
	Cluster, Site, Account, Region string
	Who, Reason                    string
	// Asked is when it was given up, Settled when the engine wrote down what is there; zero until then.
	Asked, Settled time.Time
	// Items are what is left there, in the engine's own form.
	Items json.RawMessage
}

// Receipt is the last word about a cluster, signed. It is never changed.
type Receipt struct {
	Cluster, Name string
	// Summary is its one line for people.
	Summary string
	Closed  time.Time
	// Document is the whole of it, byte by byte as it was signed and handed in.
	Document string
}

const (
	inventoryColumns = "cluster, account, region, moment, taken, items"
	abandonedColumns = "cluster, site, account, region, who, reason, asked, settled, items"
	receiptColumns   = "cluster, name, summary, closed, document"
)

// PutInventory keeps an inventory. The first one from before is never replaced; of those afterwards the last counts.
func (s *Store) PutInventory(ctx context.Context, fence Fence, v Inventory) error {
	items, err := asJSON(v.Items)
	if err != nil {
		return fmt.Errorf("store the inventory of account %s in %s: %w", v.Account, v.Region, err)
	}
	return s.fenced(ctx, "store the inventory of account "+v.Account+" in "+v.Region, fence, func(t *tx) error {
		_, err := t.exec("INSERT INTO inventories ("+inventoryColumns+`) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (cluster, account, region, moment) DO UPDATE SET
			items = CASE WHEN inventories.moment = 'before' THEN inventories.items ELSE excluded.items END,
			taken = CASE WHEN inventories.moment = 'before' THEN inventories.taken ELSE excluded.taken END`,
			fence.Cluster, v.Account, v.Region, string(v.Moment), t.now, items)
		return err
	})
}

// ListInventories returns a cluster's inventories, by account, region and moment (after, before).
func (s *Store) ListInventories(ctx context.Context, cluster string) ([]Inventory, error) {
	all, err := query(ctx, s.db, func(r row) (Inventory, error) {
		var v Inventory
		var taken int64
		var items string
		err := r.Scan(&v.Cluster, &v.Account, &v.Region, &v.Moment, &taken, &items)
		v.Taken, v.Items = fromMicros(taken), raw(items)
		return v, err
	}, "SELECT "+inventoryColumns+" FROM inventories WHERE cluster = $1 ORDER BY account, region, moment", cluster)
	if err != nil {
		return nil, fmt.Errorf("list the inventories of cluster %s: %w", cluster, err)
	}
	return all, nil
}

// Made is one thing that was made for a cluster.
type Made struct{ Site, Kind, ID string }

// ListMade returns everything that was ever made for a cluster, also what is long gone.
func (s *Store) ListMade(ctx context.Context, cluster string) ([]Made, error) {
	all, err := query(ctx, s.db, func(r row) (m Made, err error) { err = r.Scan(&m.Site, &m.Kind, &m.ID); return m, err },
		`SELECT site, kind, object_id FROM intents WHERE cluster = $1 AND action = 'create' AND state = 'done'
		UNION SELECT site, kind, id FROM resources WHERE cluster = $1 ORDER BY 1, 2, 3`, cluster)
	if err != nil {
		return nil, fmt.Errorf("list what was made for cluster %s: %w", cluster, err)
	}
	return all, nil
}

// LastRemovals returns when something was removed last at each site of a cluster where something was.
func (s *Store) LastRemovals(ctx context.Context, cluster string) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	_, err := query(ctx, s.db, func(r row) (struct{}, error) {
		var site string
		var last int64
		err := r.Scan(&site, &last)
		out[site] = fromMicros(last)
		return struct{}{}, err
	}, "SELECT site, MAX(resolved) FROM intents WHERE cluster = $1 AND action = 'delete' AND state = 'done' GROUP BY site", cluster)
	if err != nil {
		return nil, fmt.Errorf("ask when cluster %s was last made smaller: %w", cluster, err)
	}
	return out, nil
}

// AbandonSite notes that a user gives a site up, and wakes the cluster. Asking again changes nothing. Of the argument all but
// the times and the items is used.
func (s *Store) AbandonSite(ctx context.Context, a Abandonment) error {
	err := s.write(ctx, "abandon site "+a.Site+" of cluster "+a.Cluster, func(t *tx) error {
		if err := t.lockCluster(a.Cluster); err != nil {
			return err
		}
		_, err := t.exec("INSERT INTO abandoned ("+abandonedColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, '[]') ON CONFLICT (cluster, site) DO NOTHING`,
			a.Cluster, a.Site, a.Account, a.Region, a.Who, a.Reason, t.now)
		if err != nil {
			return err
		}
		return t.wake(a.Cluster)
	})
	if err == nil {
		s.hub.notify(a.Cluster, Clusters)
	}
	return err
}

// SettleAbandoned writes down, for ever, what is left at a site that was given up, and takes it out of the ledger and out
// of the intents, in one transaction.
func (s *Store) SettleAbandoned(ctx context.Context, fence Fence, site string, items json.RawMessage) error {
	err := s.fenced(ctx, "settle the abandoned site "+site, fence, func(t *tx) error {
		text, err := asJSON(items)
		if err != nil {
			return err
		}
		if err := t.one("UPDATE abandoned SET settled = $3, items = $4 WHERE cluster = $1 AND site = $2 AND settled = 0", fence.Cluster, site, t.now, text); err != nil {
			return err
		}
		if _, err := t.exec("DELETE FROM resources WHERE cluster = $1 AND site = $2", fence.Cluster, site); err != nil {
			return err
		}
		_, err = t.exec("UPDATE intents SET state = $3, resolved = $4 WHERE cluster = $1 AND site = $2 AND state = 'open'", fence.Cluster, site, string(IntentFailed), t.now)
		return err
	})
	if err == nil {
		s.hub.notify(fence.Cluster, Resources)
	}
	return err
}

// ListAbandoned returns the sites of a cluster that were given up, by name.
func (s *Store) ListAbandoned(ctx context.Context, cluster string) ([]Abandonment, error) {
	all, err := query(ctx, s.db, func(r row) (Abandonment, error) {
		var a Abandonment
		var asked, settled int64
		var items string
		err := r.Scan(&a.Cluster, &a.Site, &a.Account, &a.Region, &a.Who, &a.Reason, &asked, &settled, &items)
		a.Asked, a.Settled, a.Items = fromMicros(asked), fromMicros(settled), raw(items)
		return a, err
	}, "SELECT "+abandonedColumns+" FROM abandoned WHERE cluster = $1 ORDER BY site", cluster)
	if err != nil {
		return nil, fmt.Errorf("list the abandoned sites of cluster %s: %w", cluster, err)
	}
	return all, nil
}

// putReceipt keeps a cluster's receipt; there is one for each life, so it is written once.
func (t *tx) putReceipt(cluster string, r Receipt) error {
	_, err := t.exec("INSERT INTO receipts ("+receiptColumns+") VALUES ($1, $2, $3, $4, $5) ON CONFLICT (cluster) DO NOTHING",
		cluster, r.Name, r.Summary, t.now, r.Document)
	return err
}

// GetReceipt returns the receipt of a cluster by its uid, or the last one of a cluster of that name.
func (s *Store) GetReceipt(ctx context.Context, nameOrUID string) (Receipt, error) {
	r, err := first(ctx, s.db, scanReceipt, "SELECT "+receiptColumns+` FROM receipts WHERE cluster = $1 OR name = $1
		ORDER BY CASE WHEN cluster = $1 THEN 0 ELSE 1 END, closed DESC LIMIT 1`, nameOrUID)
	if err != nil {
		return r, fmt.Errorf("receipt of cluster %s: %w", nameOrUID, err)
	}
	return r, nil
}

// ListReceipts returns all receipts, the newest first, without their documents.
func (s *Store) ListReceipts(ctx context.Context) ([]Receipt, error) {
	all, err := query(ctx, s.db, scanReceipt, "SELECT cluster, name, summary, closed, '' FROM receipts ORDER BY closed DESC, cluster")
	if err != nil {
		return nil, fmt.Errorf("list receipts: %w", err)
	}
	return all, nil
}

func scanReceipt(r row) (Receipt, error) {
	var v Receipt
	var closed int64
	err := r.Scan(&v.Cluster, &v.Name, &v.Summary, &closed, &v.Document)
	v.Closed = fromMicros(closed)
	return v, err
}

// EngineKey returns the value that all engines of this database keep sealed under a name; the first that asks makes it.
func (s *Store) EngineKey(ctx context.Context, name string, fresh func() ([]byte, error)) ([]byte, error) {
	read := func(q querier) ([]byte, error) {
		sealed, err := first(ctx, q, func(r row) (v []byte, err error) { err = r.Scan(&v); return v, err }, "SELECT value FROM meta WHERE name = $1", "key/"+name)
		if err != nil {
			return nil, err
		}
		return s.box.Open("meta", "key/"+name, "value", sealed)
	}
	if key, err := read(s.db); err == nil || !errors.Is(err, ErrNotFound) {
		return key, err
	}
	var key []byte
	err := s.write(ctx, "make the engine's "+name+" key", func(t *tx) error {
		plain, err := fresh()
		if err != nil {
			return err
		}
		sealed, err := s.box.Seal("meta", "key/"+name, "value", plain)
		if err != nil {
			return err
		}
		if _, err := t.exec("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING", "key/"+name, sealed); err != nil {
			return err
		}
		key, err = read(t)
		return err
	})
	return key, err
}
