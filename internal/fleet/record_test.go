package fleet_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/engine/enginetest"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/spec"
	"github.com/skyweld/skyweld/store"
)

// original is all that is on record about the recorded cluster, and what its Kubernetes says.
type original struct {
	role
	Accounts  []account
	Spec      *spec.Cluster
	Status    json.RawMessage
	Resources []store.Resource
	Nodes     []store.Node
	Secrets   map[string][]byte
	Members   map[string]string
	Machines  []enginetest.Machine
	Kube      map[string]kube.NodeInfo
	// Sent is the config that each node was given last, Agent the digest of the agents' program.
	Sent  map[string]sent
	Agent string
}

// account is an account with its secrets, which cloud.Account keeps to itself.
type account struct {
	Account cloud.Account
	Plain   map[string]string
}

func (a account) whole() cloud.Account {
	a.Account.Secrets = map[string]cloud.Secret{}
	for k, v := range a.Plain {
		a.Account.Secrets[k] = cloud.Secret(v)
	}
	return a.Account
}

// world is the inside of the recorded cluster.
func (o *original) world() *enginetest.World {
	w := enginetest.New(func() []enginetest.Machine { return o.Machines })
	w.Nodes, w.Members = o.Kube, o.Members
	return w
}

// recordCluster makes a cluster at the lab's APIs and records what a run without drift is answered.
func recordCluster(b *testing.B, nodes int) (*original, map[string]*tape) {
	b.Helper()
	o, tapes := &original{Secrets: map[string][]byte{}, Sent: map[string]sent{}}, map[string]*tape{}
	m := &machines{by: map[string]enginetest.Machine{}, data: map[string][]byte{}}
	w := enginetest.New(m.list)
	counter := &lineCounter{}
	e, st, err := newEngine(b.Context(), b.TempDir(), m.watched(), (&stage{world: w}).nodeside(), counter)
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	addresses := pools()
	for _, p := range providers {
		t := &tape{Answers: map[string]answer{}}
		l := newLab(b, p, addresses, t.record)
		t.URL = l.server.URL
		l.account.Settings[engine.SettingEgress] = "198.51.100.7"
		plain := map[string]string{}
		for k, v := range l.account.Secrets {
			plain[k] = v.Reveal()
		}
		tapes[string(p)], o.Accounts = t, append(o.Accounts, account{l.account, plain})
		if err := st.PutAccount(b.Context(), l.account); err != nil {
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(b.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- e.Run(ctx) }()
	made, err := e.Apply(ctx, []byte(clusterFile(nodes)), "fleet")
	if err != nil {
		b.Fatal(err)
	}
	awaitChange(b, st, made.ID, counter)
	again, err := e.Reconcile(ctx, template, "fleet")
	if err != nil {
		b.Fatal(err)
	}
	awaitChange(b, st, again.ID, counter)
	cancel()
	if err := <-stopped; err != nil {
		b.Fatal(err)
	}
	if err := o.load(context.WithoutCancel(ctx), st, made.Cluster); err != nil {
		b.Fatal(err)
	}
	o.Members, o.Machines, o.Kube = w.Members, m.list(), w.Nodes
	for name, cfg := range w.Configs() {
		o.Sent[name] = sent{cfg.Revision, node.Digest(cfg)}
	}
	sum := sha256.Sum256([]byte(agentProgram))
	o.Agent = hex.EncodeToString(sum[:])
	return o, tapes
}

// load takes all that is on record about the cluster.
func (o *original) load(ctx context.Context, st *store.Store, uid string) error {
	c, err := st.GetClusterByUID(ctx, uid)
	if err != nil {
		return err
	}
	o.role, o.Spec, o.Status = role{UID: uid, Name: c.Name}, c.Spec, c.Status
	if o.Resources, err = st.ListResources(ctx, uid); err != nil {
		return err
	}
	if o.Nodes, err = st.GetNodes(ctx, uid); err != nil {
		return err
	}
	names, err := st.ListSecretNames(ctx, uid)
	if err != nil {
		return err
	}
	for _, name := range names {
		if o.Secrets[name], err = st.GetSecret(ctx, uid, name); err != nil {
			return err
		}
	}
	return nil
}

func awaitChange(b *testing.B, st *store.Store, id int64, log *lineCounter) {
	b.Helper()
	watch := st.Watch()
	defer watch.Close()
	for start := time.Now(); ; {
		c, err := st.GetChange(b.Context(), id)
		switch {
		case err != nil:
			b.Fatal(err)
		case c.State == store.Applied:
			return
		case c.State == store.Failed || c.Tries > 0 || time.Since(start) > 10*time.Minute:
			b.Fatalf("change %d is %s: %s\n%s", id, c.State, c.Error, log.odd())
		}
		select {
		case <-watch.Ready():
			watch.Take()
		case <-time.After(time.Minute): // it may be too long
		}
	}
}
