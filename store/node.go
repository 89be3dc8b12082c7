package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Node is what is known of a node.
type Node struct {
	Cluster, Name, Site, Role string
	// Facts are the engine's own document.
	Facts   json.RawMessage
	Updated time.Time
}

const nodeColumns = "cluster, name, site, role, facts, updated"

// PutNode stores a node in place of one with the same name.
func (s *Store) PutNode(ctx context.Context, fence Fence, n Node) error {
	facts, err := asJSON(n.Facts)
	if err != nil {
		return fmt.Errorf("store node %s: %w", n.Name, err)
	}
	err = s.fenced(ctx, "store node "+n.Name, fence, func(t *tx) error {
		_, err := t.exec("INSERT INTO nodes ("+nodeColumns+`) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (cluster, name) DO UPDATE SET site = excluded.site, role = excluded.role, facts = excluded.facts, updated = excluded.updated`,
			fence.Cluster, n.Name, n.Site, n.Role, facts, t.now)
		return err
	})
	if err == nil {
		s.hub.notify(fence.Cluster, Nodes)
	}
	return err
}

// GetNodes returns a cluster's nodes by name.
func (s *Store) GetNodes(ctx context.Context, cluster string) ([]Node, error) {
	all, err := query(ctx, s.db, scanNode, "SELECT "+nodeColumns+" FROM nodes WHERE cluster = $1 ORDER BY name", cluster)
	if err != nil {
		return nil, fmt.Errorf("list nodes of cluster %s: %w", cluster, err)
	}
	return all, nil
}

func scanNode(r row) (Node, error) {
	var n Node
	var facts string
	var updated int64
	err := r.Scan(&n.Cluster, &n.Name, &n.Site, &n.Role, &facts, &updated)
	n.Facts, n.Updated = raw(facts), fromMicros(updated)
	return n, err
}

// DeleteNode forgets a node. Forgetting one that isn't there is success.
func (s *Store) DeleteNode(ctx context.Context, fence Fence, name string) error {
	err := s.fenced(ctx, "forget node "+name, fence, func(t *tx) error {
		_, err := t.exec("DELETE FROM nodes WHERE cluster = $1 AND name = $2", fence.Cluster, name)
		return err
	})
	if err == nil {
		s.hub.notify(fence.Cluster, Nodes)
	}
	return err
}

// PutSecret seals and stores a value under a name, in place of one that has it already.
func (s *Store) PutSecret(ctx context.Context, fence Fence, name string, plain []byte) error {
	sealed, err := s.box.Seal("secrets", fence.Cluster+"/"+name, "value", plain)
	if err != nil {
		return fmt.Errorf("store secret %s of cluster %s: %w", name, fence.Cluster, err)
	}
	return s.fenced(ctx, "store secret "+name, fence, func(t *tx) error {
		_, err := t.exec(`INSERT INTO secrets (cluster, name, value, updated) VALUES ($1, $2, $3, $4)
			ON CONFLICT (cluster, name) DO UPDATE SET value = excluded.value, updated = excluded.updated`, fence.Cluster, name, sealed, t.now)
		return err
	})
}

// GetSecret returns a value; the error wraps ErrNotFound when there is none under the name.
func (s *Store) GetSecret(ctx context.Context, cluster, name string) ([]byte, error) {
	sealed, err := first(ctx, s.db, func(r row) ([]byte, error) {
		var v []byte
		err := r.Scan(&v)
		return v, err
	}, "SELECT value FROM secrets WHERE cluster = $1 AND name = $2", cluster, name)
	if err != nil {
		return nil, fmt.Errorf("secret %s of cluster %s: %w", name, cluster, err)
	}
	return s.box.Open("secrets", cluster+"/"+name, "value", sealed)
}

// ListSecretNames returns the names of a cluster's secrets in order.
func (s *Store) ListSecretNames(ctx context.Context, cluster string) ([]string, error) {
	names, err := query(ctx, s.db, scanString, "SELECT name FROM secrets WHERE cluster = $1 ORDER BY name", cluster)
	if err != nil {
		return nil, fmt.Errorf("list secrets of cluster %s: %w", cluster, err)
	}
	return names, nil
}

// DeleteSecrets forgets the secrets of these names; those that aren't there are no error.
func (s *Store) DeleteSecrets(ctx context.Context, fence Fence, names ...string) error {
	return s.fenced(ctx, "forget secrets", fence, func(t *tx) error {
		for _, name := range names {
			if _, err := t.exec("DELETE FROM secrets WHERE cluster = $1 AND name = $2", fence.Cluster, name); err != nil {
				return err
			}
		}
		return nil
	})
}
