//go:build linux

// Package fabric is the lab's wires: it makes networks, interfaces, firewalls and an internet with distances out of
// Linux namespaces, as plain desired state (world.Network) says. It runs no machine, knows no cloud's vocabulary and
// changes nothing outside the namespaces it made.
package fabric

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/skyweld/skyweld/lab/world"
)

// Config says how to make a fabric.
type Config struct {
	// Name is short and unique among the labs of this computer: lower-case letters and digits, at most 12. All
	// namespaces carry it.
	Name string
	// Dir is a folder for the record of what was made; it is made if missing.
	Dir string
	// Delay returns how long a packet takes in one direction between two regions. It is asked again about once a second
	// for regions that talk to each other, must return at once, and may be nil for no delay. Home has no distance.
	Delay func(fromCloud, fromRegion, toCloud, toRegion string) time.Duration
	// Metadata returns the metadata service of a network: a request's RemoteAddr is the private address of the machine
	// that asks, which the fabric guarantees. Nil, also as a result, stands for none.
	Metadata func(cloud, network string) http.Handler
	// Logger gets what goes wrong in the background; nil for nothing.
	Logger *slog.Logger
}

// Fabric is all wires of one lab. Its methods are safe for concurrent use.
type Fabric struct {
	config Config
	record *record
	net    *internet
	home   *home

	mu       sync.Mutex
	closed   bool
	routers  map[string]*router
	serial   int
	machines map[string]*machine
	off      map[string]bool
}

// machine is a machine's network namespace and the interfaces that keep it.
type machine struct {
	ns   *namespace
	nics map[nicKey]bool
}

type nicKey struct{ network, nic string }

var nameForm = regexp.MustCompile(`^[a-z0-9]{1,12}$`)

// New makes a fabric with nothing but a home. What a killed lab left in the same folder is removed first; a lab that
// still runs there is an error.
func New(config Config) (*Fabric, error) {
	if !nameForm.MatchString(config.Name) {
		return nil, fmt.Errorf("fabric: name %q is not 1 to 12 lower-case letters and digits", config.Name)
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("fabric: %w", err)
	}
	rec, err := openRecord(config.Dir)
	if err != nil {
		return nil, err
	}
	if err := rec.clean(); err != nil {
		return nil, errors.Join(fmt.Errorf("fabric: remove what was left in %s: %w", config.Dir, err), rec.close())
	}
	f := &Fabric{config: config, record: rec, routers: map[string]*router{}, machines: map[string]*machine{}, off: map[string]bool{}}
	f.net = newInternet(f.distance)
	if f.home, err = newHome(f); err != nil {
		return nil, errors.Join(fmt.Errorf("fabric: home: %w", err), rec.clean(), rec.close())
	}
	return f, nil
}

// distance is the one-way delay between two ports.
func (f *Fabric) distance(from, to place) time.Duration {
	if f.config.Delay == nil || from.cloud == HomeCloud || to.cloud == HomeCloud {
		return 0
	}
	return f.config.Delay(from.cloud, from.region, to.cloud, to.region)
}

// Close removes everything the fabric made.
func (f *Fabric) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	routers := slices.Collect(maps.Values(f.routers))
	f.mu.Unlock()

	var failed error
	for _, r := range routers {
		r.mu.Lock()
		failed = errors.Join(failed, r.remove())
		r.mu.Unlock()
	}
	failed = errors.Join(failed, f.home.close())
	return errors.Join(failed, f.record.clean(), f.record.close())
}

// Clean removes what a killed lab left, by the record in its folder and nothing else. A lab that still runs there is
// an error. Programs that still run in a machine's namespace keep it alive without a name; ending them is not
// this package's part.
func Clean(dir string) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	rec, err := openRecord(dir)
	if err != nil {
		return err
	}
	return errors.Join(rec.clean(), rec.close())
}

// SetNetwork brings a network to the given state (see world.Physical). A state that is the same as the last one
// changes nothing; a change touches only the interfaces it is about and leaves connections alone. After an error the
// same call may be repeated.
func (f *Fabric) SetNetwork(ctx context.Context, n world.Network) error {
	if err := validate(n); err != nil {
		return fmt.Errorf("set network %s: %w", n.ID, err)
	}
	r, err := f.router(n)
	if err != nil {
		return fmt.Errorf("set network %s: %w", n.ID, err)
	}
	defer r.mu.Unlock()
	if err := r.set(ctx, n); err != nil {
		return fmt.Errorf("set network %s: %w", n.ID, err)
	}
	return nil
}

// router returns a network's router, locked; it makes one if needed.
func (f *Fabric) router(n world.Network) (*router, error) {
	for {
		f.mu.Lock()
		if f.closed {
			f.mu.Unlock()
			return nil, errors.New("the fabric is closed")
		}
		r := f.routers[n.ID]
		if r == nil {
			f.serial++
			r = &router{fabric: f, id: n.ID, at: place{n.Cloud, n.Region}, serial: f.serial, wires: map[string]*wire{}}
			f.routers[n.ID] = r
		}
		f.mu.Unlock()
		r.mu.Lock()
		if !r.removed {
			if r.at != (place{n.Cloud, n.Region}) {
				r.mu.Unlock()
				return nil, fmt.Errorf("it stands in %s %s and cannot move to %s %s", r.at.cloud, r.at.region, n.Cloud, n.Region)
			}
			return r, nil
		}
		r.mu.Unlock()
	}
}

// RemoveNetwork takes a network away with everything SetNetwork made for it. One that isn't there is fine.
func (f *Fabric) RemoveNetwork(_ context.Context, id string) error {
	f.mu.Lock()
	r := f.routers[id]
	f.mu.Unlock()
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.removed {
		return nil
	}
	if err := r.remove(); err != nil {
		return fmt.Errorf("remove network %s: %w", id, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.routers, id)
	return nil
}

// SetPower says whether a machine is on, as every machine is at first. One that is off answers nobody and has no network
// namespace; when it comes on again it has a fresh one, without what its programs had set up, as after any boot. End
// its programs first. It may be called before the machine has an interface.
func (f *Fabric) SetPower(ctx context.Context, machineID string, on bool) error {
	f.mu.Lock()
	if on {
		delete(f.off, machineID)
	} else {
		f.off[machineID] = true
	}
	routers := slices.Collect(maps.Values(f.routers))
	f.mu.Unlock()
	var failed error
	for _, r := range routers {
		if err := r.repower(ctx, machineID); err != nil {
			failed = errors.Join(failed, fmt.Errorf("set power of machine %s: network %s: %w", machineID, r.id, err))
		}
	}
	return failed
}

func (f *Fabric) isOff(machineID string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.off[machineID]
}

// Counters returns what has crossed the internet since New, by kind. What never left its network isn't in it.
func (f *Fabric) Counters() map[Crossing]Traffic { return f.net.counters.snapshot() }

var unsafeInName = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// MachineNamespace returns the path of a machine's network namespace, for setns(2) and ip(8). It exists while an
// interface of any network names the machine and the machine is on.
func (f *Fabric) MachineNamespace(machineID string) string {
	name := unsafeInName.ReplaceAllString(machineID, "-")
	if name != machineID || len(name) > 100 {
		sum := sha256.Sum256([]byte(machineID))
		name = name[:min(len(name), 100)] + "-" + hex.EncodeToString(sum[:4])
	}
	return f.namespacePath("m-" + name)
}

func (f *Fabric) namespacePath(suffix string) string {
	return filepath.Join(namespaceDir, f.config.Name+"-"+suffix)
}

// plugIn returns the namespace of an interface's machine, made if needed, and how many interfaces it has; unplug
// undoes it.
func (f *Fabric) plugIn(machineID string, key nicKey) (*namespace, int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.machines[machineID]
	if m == nil {
		ns, err := f.record.makeNamespace(f.MachineNamespace(machineID))
		if err != nil {
			return nil, 0, err
		}
		// lo keeps ::1, as on any machine; there is no IPv6 on what comes later.
		if err := ns.sysctl("?ipv6/conf/default/disable_ipv6=1"); err != nil {
			return nil, 0, errors.Join(err, f.record.removeNamespace(ns))
		}
		m = &machine{ns: ns, nics: map[nicKey]bool{}}
		f.machines[machineID] = m
	}
	m.nics[key] = true
	return m.ns, len(m.nics), nil
}

func (f *Fabric) unplug(machineID string, key nicKey) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.machines[machineID]
	if m == nil {
		return nil
	}
	delete(m.nics, key)
	if len(m.nics) > 0 {
		return nil
	}
	if err := f.record.removeNamespace(m.ns); err != nil {
		return err
	}
	delete(f.machines, machineID)
	return nil
}
