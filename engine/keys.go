package engine

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/remote"
	"github.com/skyweld/skyweld/store"
)

// keys are a cluster's own secrets, made once and kept sealed in the store.
type keys struct {
	PKI kube.PKI `json:"pki"`
	// SSH is the engine's private key for the machines, in OpenSSH's PEM; Authorized its public line.
	SSH        string `json:"ssh"`
	Authorized string `json:"authorized"`
	// Signing signs node configs.
	Signing ed25519.PrivateKey `json:"signing"`
}

// The names of a cluster's secrets in the store.
const (
	keysSecret    = "keys"
	hostKeyPrefix = "host-key/" // and the node's name
)

// hostKey is the SSH host key a machine is created with, for one creation.
type hostKey struct {
	Token   string `json:"token"`
	Private string `json:"private"`
	Public  string `json:"public"`
}

// loadKeys returns a cluster's keys, nil when it has none yet.
func (e *Engine) loadKeys(ctx context.Context, cluster string) (*keys, error) {
	data, err := e.store.GetSecret(ctx, cluster, keysSecret)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k := new(keys)
	if err := json.Unmarshal(data, k); err != nil {
		return nil, fmt.Errorf("keys of cluster %s: %w", cluster, err)
	}
	return k, nil
}

// ensureKeys makes a cluster's keys before its first run.
func (e *Engine) ensureKeys(ctx context.Context, fence store.Fence, name string) (*keys, error) {
	k, err := e.loadKeys(ctx, fence.Cluster)
	if k != nil || err != nil {
		return k, err
	}
	k = new(keys)
	if k.PKI, err = kube.NewPKI(time.Now()); err != nil {
		return nil, err
	}
	if k.SSH, k.Authorized, err = remote.NewKey("skyweld-" + name); err != nil {
		return nil, err
	}
	if _, k.Signing, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, fmt.Errorf("make the signing key: %w", err)
	}
	data, err := json.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("keys of cluster %s: %w", name, err)
	}
	return k, e.store.PutSecret(ctx, fence, keysSecret, data)
}

// signer is the engine's SSH key for the cluster's machines.
func (k *keys) signer() (ssh.Signer, error) {
	s, err := ssh.ParsePrivateKey([]byte(k.SSH))
	if err != nil {
		return nil, fmt.Errorf("the cluster's ssh key: %w", err)
	}
	return s, nil
}

// hostKey returns the host key of a node's creation with the given token, making it at first; with an empty token it
// returns the one of the last creation.
func (r *run) hostKey(ctx context.Context, node, token string) (hostKey, error) {
	var k hostKey
	data, err := r.e.store.GetSecret(ctx, r.cluster.UID, hostKeyPrefix+node)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return k, err
	}
	if err == nil {
		if err := json.Unmarshal(data, &k); err != nil {
			return k, fmt.Errorf("host key of node %s: %w", node, err)
		}
		if token == "" || k.Token == token {
			return k, nil
		}
	} else if token == "" {
		return k, fmt.Errorf("host key of node %s: its machine was not made by this cluster", node)
	}
	k.Token = token
	if k.Private, k.Public, err = remote.NewKey(node); err != nil {
		return k, err
	}
	if data, err = json.Marshal(k); err != nil {
		return k, fmt.Errorf("host key of node %s: %w", node, err)
	}
	return k, r.e.store.PutSecret(ctx, r.fence, hostKeyPrefix+node, data)
}

// machineUserData is what a machine is created with.
func (r *run) machineUserData(ctx context.Context, node, token string) ([]byte, error) {
	k, err := r.hostKey(ctx, node, token)
	if err != nil {
		return nil, err
	}
	r.scrubber.add(k.Private)
	return userData(node, k.Private, k.Public, r.keys.Authorized)
}
