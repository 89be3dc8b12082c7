//go:build linux

package stock_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	"golang.org/x/oauth2"

	"github.com/skyweld/skyweld/lab"
	"github.com/skyweld/skyweld/lab/fabric"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/mesh"
	"github.com/skyweld/skyweld/remote"
)

// hulls are a lab's machines with nothing in them but somebody who answers on every port of a node, at all addresses:
// what isn't reached is kept out by the cloud's own firewall.
type hulls struct {
	namespace func(machine string) string

	mu      sync.Mutex
	byID    map[string]*hull
	closers []func() error
}

// hull is one machine.
type hull struct{ id, name, cloud, namespace string }

// The ports of what runs on nodes: SSH, the API server and the balancer, etcd, kubelet, controller manager, scheduler,
// kube-proxy's health, and node ports.
var (
	nodePorts = []int{22, 6443, 6444, 2379, 2380, 10248, 10250, 10255, 10256, 10257, 10259, 30000, 31234, 32767}
	udpPorts  = []int{mesh.DefaultPort, 10250, 30000}
)

func (h *hulls) start(cloud string, m world.Machine) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byID[m.ID] != nil {
		return nil
	}
	u := &hull{id: m.ID, name: m.Hostname, cloud: cloud, namespace: h.namespace(m.ID)}
	if m.Name != "" {
		u.name = m.Name
	}
	h.byID[m.ID] = u
	return fabric.Within(u.namespace, func() error {
		for _, port := range nodePorts {
			l, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port))
			if err != nil {
				return err
			}
			h.closers = append(h.closers, l.Close)
			go hangUp(l)
		}
		all, err := addressesHere()
		if err != nil {
			return err
		}
		// On each address by itself, so that the answer comes from where the question went.
		for _, a := range slices.Concat(slices.Collect(maps.Values(all))...) {
			for _, port := range udpPorts {
				p, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, uint16(port))))
				if err != nil {
					return err
				}
				h.closers = append(h.closers, p.Close)
				go echo(p)
			}
		}
		return nil
	})
}

func hangUp(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.Close()
	}
}

func echo(p net.PacketConn) {
	b := make([]byte, 64)
	for {
		n, from, err := p.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = p.WriteTo(b[:n], from) // who asks and goes gets no answer
	}
}

// addressesHere are those of the calling thread's namespace, by device.
func addressesHere() (map[string][]netip.Addr, error) {
	out := map[string][]netip.Addr{}
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		all, err := link.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range all {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && link.Name != "lo" {
				out[link.Name] = append(out[link.Name], p.Addr())
			}
		}
	}
	return out, nil
}

func (h *hulls) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.closers {
		_ = c() // with the machines
	}
}

// hullsOf are the machines of one cloud.
type hullsOf struct {
	*hulls
	cloud string
}

func (h hullsOf) StartMachine(_ context.Context, m world.Machine) error { return h.start(h.cloud, m) }
func (h hullsOf) StopMachine(context.Context, string) error             { return nil }
func (h hullsOf) DestroyMachine(context.Context, string) error          { return nil }
func (h hullsOf) Console(string) []byte                                 { return nil }

func (h hullsOf) MachineState(id string) world.MachineState {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byID[id] != nil {
		return world.Running
	}
	return world.Stopped
}

func (h *hulls) all() []*hull {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []*hull
	for _, u := range h.byID {
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b *hull) int { return strings.Compare(a.cloud+a.name, b.cloud+b.name) })
	return out
}

// addresses are the machine's own: those that the internet knows, and the one that it has in its site.
func (u *hull) addresses(t *testing.T) (public []netip.Addr, private netip.Addr) {
	t.Helper()
	var all map[string][]netip.Addr
	err := fabric.Within(u.namespace, func() (err error) {
		all, err = addressesHere()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	inner := slices.Max(slices.Collect(maps.Keys(all))) // eth1 where there is one
	for device, list := range all {
		for _, a := range list {
			switch {
			case fabric.Internet.Contains(a):
				public = append(public, a)
			case device == inner:
				private = a
			}
		}
	}
	return public, private
}

// reaches says whether somebody answers at an address, as seen from the machine. Silence is known soon.
func (u *hull) reaches(network string, to netip.AddrPort, patience time.Duration) bool {
	err := fabric.Within(u.namespace, func() error {
		c, err := net.DialTimeout(network, to.String(), patience)
		if err != nil {
			return err
		}
		defer c.Close()
		if network == "tcp4" {
			return nil
		}
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := c.Write([]byte("?")); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 8))
		return err
	})
	return err == nil || errors.Is(err, syscall.ECONNREFUSED)
}

const outsideFile = `
apiVersion: skyweld.dev/v1alpha1
kind: Cluster
metadata: {name: out}
spec:
  metro: us-east
  sites:
    - {name: aws, account: my-aws}
    - {name: gcp, account: my-gcp}
    - {name: azure, account: my-azure}
    - {name: do, account: my-do}
  controlPlane: {replicas: 5, size: small}
  workers:
    - {name: a, site: aws, size: small, count: 1}
    - {name: b, site: gcp, size: small, count: 1}
    - {name: c, site: azure, size: small, count: 1}
    - {name: d, site: do, size: small, count: 1}
`

// TestOutside makes machines at all four clouds with the engine and its drivers, and looks at them as a stranger on the
// internet, as the engine, and as their own neighbours: only the tunnel's port is open to the world, at every public
// address that a machine has; SSH and the API are open to the engine; neighbours reach everything. Then it asks each
// machine, as the agent does, where its network leads out and what that carries.
func TestOutside(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: machines are Linux namespaces")
	}
	s := &scene{t: t, dir: workDir(t), began: time.Now(), targets: map[string]remote.Target{}, first: map[string]remote.Target{}}
	log := s.log()
	machines := &hulls{byID: map[string]*hull{}}
	t.Cleanup(machines.close)
	l := s.lab(world.Instant, emptyBundle(t), log, func(cloud string, namespace func(string) string) lab.Runtime {
		machines.namespace = namespace
		return hullsOf{machines, cloud}
	})
	stranger := s.stranger(l, machines)
	dialed := make(chan remote.Target, 64)
	s.onDial = func(target remote.Target) {
		select {
		case dialed <- target:
		default: // it was dialed before
		}
	}
	s.startEngine("/nonexistent", l, log)
	if _, err := s.engine.Apply(t.Context(), []byte(outsideFile), "test"); err != nil {
		t.Fatal(err)
	}
	public := map[string]remote.Target{}
	for len(public) < 9 {
		select {
		case target := <-dialed:
			public[target.Name] = target
		case <-time.After(2 * time.Minute):
			t.Fatalf("the engine knows %d of 9 machines after two minutes", len(public))
		}
	}
	s.time("the engine knows all machines")
	v := newView(t, stranger, machines.all(), public)
	v.open()
	v.closed()
	s.time("seen from the internet")
	v.engine(s.env(l)["SKYWELD_PROXY"])
	v.neighbours()
	s.time("seen by the engine, and from beside")
	v.underlays()
}

// stranger is a machine of somebody else's.
func (s *scene) stranger(l *lab.Lab, machines *hulls) *hull {
	s.t.Helper()
	env := s.env(l)
	pem, err := os.ReadFile(env["SKYWELD_DIGITALOCEAN_CA"])
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	over := context.WithValue(s.t.Context(), oauth2.HTTPClient, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}})
	client, err := godo.New(oauth2.NewClient(over, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: env["DIGITALOCEAN_TOKEN"]})), godo.SetBaseURL(env["DIGITALOCEAN_API_URL"]+"/"))
	if err != nil {
		s.t.Fatal(err)
	}
	_, _, err = client.Droplets.Create(s.t.Context(), &godo.DropletCreateRequest{
		Name: "stranger", Region: "ams3", Size: "s-1vcpu-1gb", Image: godo.DropletCreateImage{Slug: "ubuntu-24-04-x64"}, SSHKeys: []godo.DropletCreateSSHKey{},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if all := machines.all(); len(all) == 1 {
			return all[0]
		}
		if time.Now().After(end) {
			s.t.Fatal("the stranger doesn't start")
		}
	}
}
