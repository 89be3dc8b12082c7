package enginetest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
	"github.com/skyweld/skyweld/remote"
)

// Conn is a connection to a machine.
type Conn struct {
	w        *World
	name, id string
	host     *host
}

// Close does nothing.
func (c *Conn) Close() error { return nil }

// DialContext leads to the machine's etcd, if EtcdAt asks; nothing else listens.
func (c *Conn) DialContext(_ context.Context, network, _ string) (net.Conn, error) {
	if network == etcdNetwork {
		return &etcdConn{node: c.name}, nil
	}
	return nil, errors.New("nothing listens")
}

// Upload takes the agent's program and the key that configs are signed with.
func (c *Conn) Upload(ctx context.Context, content io.Reader, to string, _ os.FileMode) error {
	data, err := io.ReadAll(content)
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	return c.w.around(ctx, "upload to "+c.name+": "+to, func() error { return c.keep(to, data) })
}

func (c *Conn) keep(to string, data []byte) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	switch {
	case strings.HasSuffix(to, "/skyweld"):
		sum := sha256.Sum256(data)
		c.host.agent = hex.EncodeToString(sum[:])
	case to == node.SnapshotFile:
		c.host.snapshot = data
	case strings.HasSuffix(to, "/trust.pub"):
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
		c.host.trust = key
		return err
	}
	return nil
}

// Run does what the agent's commands do.
func (c *Conn) Run(ctx context.Context, command string, stdin io.Reader, _ io.Writer) (out []byte, err error) {
	err = c.w.around(ctx, "run on "+c.name+": "+command, func() error {
		out, err = c.run(ctx, command, stdin)
		return err
	})
	return out, err
}

func (c *Conn) run(ctx context.Context, command string, stdin io.Reader) ([]byte, error) {
	if c.w.Fail != nil {
		if err := c.w.Fail(c.name, command); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if !c.w.Alive(c.id) {
		return nil, fmt.Errorf("%s: connection reset", c.name)
	}
	_, verb, _ := strings.Cut(command, "/skyweld agent ")
	switch verb {
	case "identity":
		return json.Marshal(node.Identity{TunnelKey: c.host.tunnel, MTU: 1500, KernelWireGuard: true})
	case "hostkey --prepare":
		return c.nextKey()
	case "hostkey --switch":
		c.host.key = c.host.next
		return nil, nil
	case "install":
		return nil, nil
	case "apply":
		return c.apply(stdin)
	case "kubeadm":
		return nil, c.kubeadm(stdin)
	case "status":
		return c.status()
	case "renew":
		delete(c.w.Expiry, c.name)
		c.w.said = append(c.w.said, "renew "+c.name)
		return nil, nil
	case "lone-etcd":
		return nil, c.loneEtcd()
	}
	if strings.HasPrefix(verb, "flow ") {
		return []byte(`{"bytes": 125000000, "micros": 1000000}`), nil
	}
	if arguments, ok := strings.CutPrefix(verb, "latency"); ok {
		return c.latency(arguments)
	}
	if strings.HasPrefix(command, "sha256sum") {
		return []byte(c.host.agent), nil
	}
	return nil, fmt.Errorf("%s: unknown command %q", c.name, command)
}

func (c *Conn) nextKey() ([]byte, error) {
	if c.host.next == "" {
		_, public, err := remote.NewKey(c.name)
		if err != nil {
			return nil, err
		}
		c.host.next = public
	}
	return []byte(c.host.next + "\n"), nil
}

func (c *Conn) apply(stdin io.Reader) ([]byte, error) {
	data, err := io.ReadAll(stdin)
	if err != nil {
		return nil, err
	}
	cfg, err := node.Open(c.host.trust, data)
	if err != nil {
		return nil, err
	}
	if cfg.Revision <= c.host.revision || cfg.Kubelet.ProviderID != c.id {
		return nil, fmt.Errorf("%s: config %d for %s; have %d, am %s", c.name, cfg.Revision, cfg.Kubelet.ProviderID, c.host.revision, c.id)
	}
	c.host.revision, c.host.config = cfg.Revision, cfg
	for _, p := range cfg.Tunnel.Peers { // the device is made as the config says
		delete(c.w.Endpoints, c.name+"/"+p.Name)
	}
	return json.Marshal(node.Report{Revision: cfg.Revision})
}

// kubeadm makes the machine a member, with what etcd and Kubernetes insist on.
func (c *Conn) kubeadm(stdin io.Reader) error {
	var b node.Bootstrap
	if err := json.NewDecoder(stdin).Decode(&b); err != nil {
		return err
	}
	w := c.w
	if b.Action == node.StartKubelet || c.host.joined != "" && !b.Again {
		return c.startKubelet()
	}
	if b.Snapshot != nil {
		return c.restore()
	}
	if n, ok := w.Nodes[c.name]; ok && n.ProviderID != c.id {
		return fmt.Errorf("a Node with name %q exists already, as %s and not %s", c.name, n.ProviderID, c.id)
	}
	if len(b.Files) > 0 { // only control-plane nodes get the PKI
		if b.Action == "join" && !w.Quorum() {
			return errors.New("etcdserver: unhealthy cluster")
		}
		if _, ok := w.Members[c.name]; ok {
			return fmt.Errorf("etcd has a member %q already", c.name)
		}
		if b.Action == "init" && len(w.Members) > 0 {
			return errors.New("a second init")
		}
		w.Members[c.name] = c.id
	}
	c.host.joined = b.Action
	delete(w.Sick, c.name)
	delete(w.Silent, c.name)
	delete(w.Strange, c.name)
	w.Nodes[c.name] = kube.NodeInfo{Name: c.name, ProviderID: c.id}
	w.said = append(w.said, b.Action+" "+c.name)
	return nil
}
