// Package lab is a small cloud world on one Linux machine: it speaks the clouds' own APIs on loopback, and what they
// create is real, made of namespaces. It joins the emulated clouds (ec2, gce, digitalocean) with the wires (fabric) and the machines
// (machine); it knows nothing of Skyweld's engine.
package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/lab/fabric"
	"github.com/skyweld/skyweld/lab/fault"
	"github.com/skyweld/skyweld/lab/machine"
	"github.com/skyweld/skyweld/lab/world"
)

// Options say what a lab is like.
type Options struct {
	// Dir holds everything the lab keeps: records, disks, keys. It is made when it isn't there.
	Dir     string
	Profile world.Profile
	// Bundle is the folder with a bundle's manifest.json and files, served to machines; empty for none.
	Bundle string
	Log    *slog.Logger
	// Runtime gives what runs a cloud's machines ("aws", "gcp", …) instead of the lab; nil, also as a result, stands for the
	// lab's own namespaces. namespace is the path of a machine's network namespace, whose interfaces are the machine's.
	Runtime func(cloud string, namespace func(machine string) string) Runtime
}

// Runtime runs machines: what world.Physical says of them. StopMachine ends all that runs in a machine's network
// namespace, which goes with it.
type Runtime interface {
	StartMachine(ctx context.Context, m world.Machine) error
	StopMachine(ctx context.Context, id string) error
	DestroyMachine(ctx context.Context, id string) error
	MachineState(id string) world.MachineState
	Console(id string) []byte
}

// The addresses of the lab's own servers on its internet.
const (
	mirrorAddress = "198.18.0.3:80"
	egressAddress = "198.18.0.2/32"
)

// Lab is a running lab.
type Lab struct {
	info    Info
	opts    Options
	unlock  func()
	fabric  *fabric.Fabric
	runtime *machine.Runtime
	apis    map[string]world.API
	servers []*http.Server
	faults  *fault.Set
	// suffering is what faults do to machines.
	suffering *suffering
	group     sync.WaitGroup
	closers   []func() error
}

// Start brings a lab up; records of an earlier life of the same folder are taken up, and its machines started again.
func Start(ctx context.Context, o Options) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the lab needs root, because its machines are Linux namespaces: run it with sudo")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	for _, d := range []string{dir, filepath.Join(dir, "machines"), filepath.Join(dir, "wires")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("the lab's folder: %w", err)
		}
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	l := &Lab{opts: o, unlock: unlock, apis: map[string]world.API{}, faults: fault.NewSet()}
	l.suffering = newSuffering(l.faults)
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) start(ctx context.Context) error {
	var err error
	if l.info, err = loadInfo(l.opts.Dir); err != nil {
		return err
	}
	name := shortName(l.opts.Dir)
	if err := inotify.hold(name); err != nil {
		return err
	}
	if l.fabric, err = fabric.New(fabric.Config{Name: name, Dir: filepath.Join(l.opts.Dir, "wires"), Delay: l.delay, Metadata: l.metadata, Logger: l.opts.Log}); err != nil {
		return err
	}
	if l.runtime, err = machine.New(machine.Config{Name: name, Dir: filepath.Join(l.opts.Dir, "machines"), Namespace: l.fabric.MachineNamespace, Broken: l.suffering.broken, Logger: l.opts.Log}); err != nil {
		return err
	}
	if err := l.clouds(); err != nil {
		return err
	}
	if err := l.mirror(); err != nil {
		return err
	}
	socks, err := listenAgain(l.info.ProxyPort)
	if err != nil {
		return err
	}
	l.info.ProxyPort = port(socks)
	l.closers = append(l.closers, socks.Close)
	l.group.Go(func() {
		if err := l.fabric.ServeSOCKS(socks); err != nil && !errors.Is(err, net.ErrClosed) {
			l.opts.Log.Error("the lab's proxy stopped", "err", err)
		}
	})
	for _, cloud := range clouds {
		if err := l.apis[cloud].Resume(ctx); err != nil {
			return fmt.Errorf("take up the records of %s: %w", cloud, err)
		}
	}
	if err := l.control(); err != nil {
		return err
	}
	following, stop := context.WithCancel(context.Background())
	l.closers = append(l.closers, func() error { stop(); return nil })
	l.group.Go(func() {
		l.suffering.follow(following, func(err error) { l.opts.Log.Error("a network is not as its faults want it", "err", err) })
	})
	l.info.Name, l.info.PID, l.info.Profile, l.info.Started = name, os.Getpid(), string(l.opts.Profile), time.Now().UTC()
	return l.info.save(l.opts.Dir)
}

func (l *Lab) serve(run func() error, server *http.Server) {
	l.servers = append(l.servers, server)
	l.group.Go(func() {
		if err := run(); !errors.Is(err, http.ErrServerClosed) {
			l.opts.Log.Error("one of the lab's servers stopped", "err", err)
		}
	})
}

// mirror serves the bundle to machines.
func (l *Lab) mirror() error {
	l.info.BundleURL, l.info.BundleSHA256 = "", ""
	if l.opts.Bundle == "" {
		return nil
	}
	manifest, err := os.ReadFile(filepath.Join(l.opts.Bundle, "manifest.json"))
	if err != nil {
		return fmt.Errorf("the bundle: %w", err)
	}
	sum := sha256.Sum256(manifest)
	l.info.BundleURL, l.info.BundleSHA256 = "http://"+netip.MustParseAddrPort(mirrorAddress).Addr().String()+"/manifest.json", hex.EncodeToString(sum[:])
	listener, err := l.fabric.ListenHome("tcp", mirrorAddress)
	if err != nil {
		return fmt.Errorf("the lab's mirror: %w", err)
	}
	server := &http.Server{Handler: http.FileServerFS(os.DirFS(l.opts.Bundle)), ReadHeaderTimeout: 10 * time.Second}
	l.serve(func() error { return server.Serve(listener) }, server)
	return nil
}

// metadata is asked by the fabric for the metadata service of a network.
func (l *Lab) metadata(cloud, network string) http.Handler {
	if api := l.apis[cloud]; api != nil {
		return api.Metadata(network)
	}
	return nil
}

// Info says how to reach the lab.
func (l *Lab) Info() Info { return l.info }

// Close stops everything and leaves nothing but the folder.
func (l *Lab) Close() error {
	var errs []error
	end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	l.faults.Clear() // lets go of the requests that hang
	for _, s := range l.servers {
		if err := s.Shutdown(end); err != nil {
			errs = append(errs, s.Close())
		}
	}
	for _, c := range l.closers {
		errs = append(errs, c())
	}
	for _, api := range l.apis {
		errs = append(errs, api.Close())
	}
	if l.runtime != nil {
		stop, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		errs = append(errs, l.runtime.Close(stop))
	}
	if l.fabric != nil {
		errs = append(errs, l.fabric.Close())
	}
	l.group.Wait()
	errs = append(errs, inotify.release(shortName(l.opts.Dir)))
	l.info.PID = 0
	if l.info.Name != "" {
		errs = append(errs, l.info.save(l.opts.Dir))
	}
	l.unlock()
	return errors.Join(errs...)
}

// physical is the lab's real side: wires and machines.
type physical struct {
	*fabric.Fabric
	Runtime
}

// physical is the real side of one cloud.
func (l *Lab) physical(cloud string) physical {
	p := physical{Fabric: l.fabric, Runtime: l.runtime}
	if l.opts.Runtime != nil {
		if r := l.opts.Runtime(cloud, l.fabric.MachineNamespace); r != nil {
			p.Runtime = r
		}
	}
	return p
}

// StartMachine plugs a machine in and boots it.
func (p physical) StartMachine(ctx context.Context, m world.Machine) error {
	if err := p.SetPower(ctx, m.ID, true); err != nil {
		return err
	}
	return p.Runtime.StartMachine(ctx, m)
}

// StopMachine ends a machine and pulls its plug: its network namespace goes with what its programs had set up in it.
func (p physical) StopMachine(ctx context.Context, id string) error {
	return errors.Join(p.Runtime.StopMachine(ctx, id), p.SetPower(ctx, id, false))
}

// delay is how long a packet takes one way between two regions: as on earth, and what faults add.
func (l *Lab) delay(fromCloud, fromRegion, toCloud, toRegion string) time.Duration {
	longer := time.Duration(0)
	if fromCloud != toCloud || fromRegion != toRegion {
		longer = l.faults.Farther(fromCloud, fromRegion) + l.faults.Farther(toCloud, toRegion)
	}
	a, okA := geo.Region(fromCloud, fromRegion)
	b, okB := geo.Region(toCloud, toRegion)
	if !okA || !okB {
		return longer / 2
	}
	rtt, _ := geo.RTT(a, b)
	return (rtt + longer) / 2
}

// shortName tells the labs of a computer apart: it is made from the folder's path.
func shortName(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "sw" + hex.EncodeToString(sum[:4])
}
