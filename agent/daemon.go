package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/agent/balancer"
	"github.com/skyweld/skyweld/agent/bundle"
	"github.com/skyweld/skyweld/agent/flow"
	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/agent/probe"
	"github.com/skyweld/skyweld/agent/tunnel"
	"github.com/skyweld/skyweld/node"
)

const (
	socketFile = host.RunDir + "/agent.sock"
	lockFile   = host.RunDir + "/agent.lock"
)

const (
	retryFirst  = 5 * time.Second // while the stored config doesn't take effect; then twice as long, and so on
	repairEvery = time.Minute     // at most, and when all is well
)

// daemon is the agent that stays.
type daemon struct {
	machine  *host.Machine
	tunnel   tunnel.Device
	balancer *balancer.Balancer
	echo     *probe.Echo
	watch    *probe.Watch
	sink     *flow.Sink
	// publish is told what the node of a name has to say of its ways; it doesn't wait.
	publish func(name string, latency node.Latency)
	log     *slog.Logger
	// kernel says whether the tunnel runs in the kernel.
	kernel bool

	// applying is held by whoever changes the machine.
	applying sync.Mutex

	// joining is held while kubeadm runs.
	joining sync.Mutex

	mu sync.Mutex
	// problem is why the last apply failed, empty when it didn't.
	problem string
	// mended are the last things that were put right.
	mended []node.Mended
	// yield ends a mending that runs, so that a new config needn't wait for an old one.
	yield context.CancelFunc
}

// run is the agent's service: it brings the machine back to the last config, keeps what needs a process, and takes new
// configs, until ctx is done.
func run(ctx context.Context, m *host.Machine) error {
	unlock, err := lock(m)
	if err != nil {
		return err
	}
	defer unlock()
	key, err := tunnelKey(m)
	if err != nil {
		return err
	}
	device := tunnel.NewLinux(key, m.Log)
	defer device.Close()
	d := &daemon{
		machine: m, tunnel: device, balancer: balancer.New(m.Log), echo: probe.NewEcho(m.Log), sink: flow.NewSink(m.Log), log: m.Log,
		kernel: device.Kind() == tunnel.Kernel,
	}
	defer d.balancer.Close()
	defer d.echo.Close()
	d.publish = newPublisher(ctx, m).give
	if d.watch, err = probe.NewWatch(key[:], d.handshakes, d.publishLatency, m.Log); err != nil {
		return err
	}
	defer d.watch.Close()
	defer d.sink.Close()
	d.log.Info("agent starts", "tunnel", device.Kind(), "facts", m.Facts)
	// Nobody may be told that the network is back before it is; so the first look at the stored config comes first.
	d.restoreNetwork(ctx)
	listener, err := listen(m.Path(socketFile))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: d.handler(ctx)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if err := notifyReady(); err != nil {
		d.log.Warn("agent", "error", err)
	}
	d.keep(ctx)
	if err := server.Close(); err != nil {
		d.log.Warn("agent stops", "error", err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", socketFile, err)
	}
	return nil
}

// lock makes sure that there is one agent on the machine.
func lock(m *host.Machine) (unlock func(), err error) {
	if err := os.MkdirAll(m.Path(host.RunDir), 0o755); err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	file, err := os.OpenFile(m.Path(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close() // it was only for the lock
		return nil, fmt.Errorf("start agent: another one runs already: lock %s: %w", lockFile, err)
	}
	return func() { _ = file.Close() }, nil
}

// listen opens the agent's socket, for root alone.
func listen(name string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	// The lock says that a socket that is there belongs to nobody.
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen: %w", err)
	}
	listener, err := net.Listen("unix", name)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := os.Chmod(name, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), listener.Close())
	}
	return listener, nil
}

// apply takes a signed config and brings the machine to it.
func (d *daemon) apply(ctx context.Context, envelope []byte) (node.Report, error) {
	key, err := trusted(d.machine)
	if err != nil {
		return node.Report{}, err
	}
	c, err := node.Open(key, envelope)
	if err != nil {
		return node.Report{}, err
	}
	d.mu.Lock()
	if d.yield != nil {
		d.yield()
	}
	d.mu.Unlock()
	d.applying.Lock()
	defer d.applying.Unlock()
	before, err := readAccepted(d.machine)
	if err != nil {
		return node.Report{}, err
	}
	if err := admit(before, c); err != nil {
		return node.Report{}, err
	}
	// It is written down first: after a crash in the middle, the machine goes on towards it.
	if before == nil || before.Config.Revision != c.Revision {
		if err := writeAccepted(d.machine, accepted{Config: c}); err != nil {
			return node.Report{}, err
		}
	}
	changed, err := d.bring(ctx, c)
	return node.Report{Revision: c.Revision, Changed: changed}, err
}

// bring brings the machine to an accepted config; the lock is held.
func (d *daemon) bring(ctx context.Context, c node.Config) ([]string, error) {
	changed, err := d.walk(ctx, append(d.networkSteps(), d.nodeSteps()...), c)
	if err == nil {
		err = writeAccepted(d.machine, accepted{Config: c, Applied: true})
	}
	d.note(err)
	return changed, err
}

func (d *daemon) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.problem = ""
	if err != nil {
		d.problem = err.Error()
	}
}

// restoreNetwork brings the network back that the last config asked for.
func (d *daemon) restoreNetwork(ctx context.Context) {
	d.applying.Lock()
	defer d.applying.Unlock()
	before, err := readAccepted(d.machine)
	if err == nil && before != nil {
		_, err = d.walk(ctx, d.networkSteps(), before.Config)
	}
	if err != nil {
		d.log.Error("the network is not back yet", "error", err)
	}
	d.note(err)
}

// keep brings the machine to the stored config, again until that works, and mends from time to time what others changed
// in the network.
func (d *daemon) keep(ctx context.Context) {
	failures := 0
	for whole := true; ; whole = d.trouble() != "" {
		pause := repairEvery
		if err := d.mend(ctx, whole); err != nil {
			d.log.Error("the node is not as it should be", "error", err)
			pause = min(retryFirst<<min(failures, 4), repairEvery)
			failures++
		} else {
			failures = 0
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// handshakes gives the time of the last one with each peer of the tunnel, by public key.
func (d *daemon) handshakes() (map[string]time.Time, error) {
	state, err := d.tunnel.Read()
	if err != nil {
		return nil, err
	}
	seen := map[string]time.Time{}
	for _, peer := range state.Peers {
		seen[peer.PublicKey] = peer.Handshake
	}
	return seen, nil
}

func (d *daemon) trouble() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.problem
}

// mend does again what the stored config asks for: all of it, or the network and the services; all of it, too, when
// somebody changed a program.
func (d *daemon) mend(ctx context.Context, whole bool) error {
	if err := d.endLoneEtcd(); err != nil {
		return err
	}
	d.applying.Lock()
	defer d.applying.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.mu.Lock()
	d.yield = cancel
	d.mu.Unlock()
	before, err := readAccepted(d.machine)
	if err != nil || before == nil {
		return err
	}
	changed, err := bundle.Changed(d.machine)
	if err != nil {
		return err
	}
	if whole || len(changed) > 0 {
		_, err := d.bring(ctx, before.Config)
		return err
	}
	did, err := d.walk(ctx, append(d.networkSteps(), step{"services", d.keepServices}), before.Config)
	d.remember(before.Config.Name, did)
	return err
}

// remember keeps what was put right, and publishes it: the engine would never hear of it otherwise.
func (d *daemon) remember(name string, did []string) {
	if len(did) == 0 {
		return
	}
	d.mu.Lock()
	for _, what := range did {
		d.mended = append(d.mended, node.Mended{At: time.Now().Unix(), What: what})
	}
	d.mended = d.mended[max(0, len(d.mended)-node.MendedKept):]
	d.mu.Unlock()
	d.publishLatency(name, d.watch.Newest())
}

func (d *daemon) publishLatency(name string, latency node.Latency) {
	d.publish(name, d.withMended(latency))
}

func (d *daemon) withMended(latency node.Latency) node.Latency {
	d.mu.Lock()
	defer d.mu.Unlock()
	latency.Mended = slices.Clone(d.mended)
	return latency
}

// reapply does all of the stored config again.
func (d *daemon) reapply(ctx context.Context) (node.Report, error) {
	d.applying.Lock()
	defer d.applying.Unlock()
	before, err := readAccepted(d.machine)
	if err != nil {
		return node.Report{}, err
	}
	if before == nil {
		return node.Report{}, errors.New("this node has no config yet")
	}
	changed, err := d.bring(ctx, before.Config)
	return node.Report{Revision: before.Config.Revision, Changed: changed}, err
}

func (d *daemon) status() (node.Status, error) {
	digest, err := programDigest()
	if err != nil {
		return node.Status{}, err
	}
	s := node.Status{PID: os.Getpid(), Agent: digest, Peers: []node.PeerStatus{}, Backends: []node.BackendStatus{}}
	s.Problem = d.trouble()
	if s.Certificates, err = certificates(d.machine); err != nil {
		return s, err
	}
	if s.Joined, err = joined(d.machine); err != nil {
		return s, err
	}
	key, err := tunnelKey(d.machine)
	if err != nil {
		return s, err
	}
	s.TunnelKey = key.PublicKey().String()
	state, err := d.tunnel.Read()
	if err != nil {
		return s, err
	}
	s.Tunnel = string(state.Kind)
	before, err := readAccepted(d.machine)
	if err != nil || before == nil {
		return s, err
	}
	s.Cluster, s.Name, s.Revision, s.Applied = before.Config.Cluster, before.Config.Name, before.Config.Revision, before.Applied
	s.Digest = node.Digest(before.Config)
	names := map[string]string{}
	for _, peer := range before.Config.Tunnel.Peers {
		names[peer.PublicKey] = peer.Name
	}
	for _, peer := range state.Peers {
		s.Peers = append(s.Peers, node.PeerStatus{Name: names[peer.PublicKey], Endpoint: peer.Endpoint, Handshake: peer.Handshake})
	}
	health := d.balancer.Health()
	for _, address := range before.Config.Balancer.Backends {
		s.Backends = append(s.Backends, node.BackendStatus{Address: address, Healthy: health[address]})
	}
	return s, nil
}
