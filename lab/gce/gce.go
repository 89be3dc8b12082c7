// Package gce is the lab's Google Compute Engine: the v1 REST API with the token endpoint of a service account and the
// metadata service, over the machines and wires of a world.Physical. It is not for talking to Google, and it keeps no
// secret of a real account.
package gce

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/skyweld/skyweld/lab/internal/backend"
	"github.com/skyweld/skyweld/lab/world"
)

// Config is what a Service needs.
type Config struct {
	// Physical runs the machines.
	Physical world.Physical
	// Dir is an existing folder for the records, one JSON file.
	Dir string
	// Project is the project's id, ProjectNumber its number.
	Project       string
	ProjectNumber uint64
	// ServiceAccountKey is the key file of the project's service account, in Google's form (see NewServiceAccountKey).
	ServiceAccountKey []byte
	// AccessToken is accepted like a token from the token endpoint and doesn't expire; empty for none.
	AccessToken string
	// RefreshToken is accepted by the token endpoint, for key files of the type authorized_user; empty for none.
	RefreshToken string
	// BaseURL returns the server's URL without a slash at the end, for self-links.
	BaseURL func() string
	Profile world.Profile
	// Pool returns the public addresses of a region; it gives the same pool for the same region.
	Pool func(region string) *world.Pool
	// Quotas overrides limits: by metric ("NETWORKS", "CPUS"), or for one region only ("us-east1/CPUS").
	Quotas map[string]float64
	// Denied says whether the caller lacks the permission for a method ("compute.instances.insert"); nil for none lacking.
	// It is what testIamPermissions answers by.
	Denied func(method string) bool
	Logger *slog.Logger
}

// Service is one project of the emulated cloud. It implements world.API.
type Service struct {
	cfg         Config
	log         *slog.Logger
	cat         *catalog
	key         *accountKey
	table       methodTable
	collections map[string]collection

	mu sync.Mutex
	st state
	// busy holds the resources that an insert or a delete is working on: path → verb.
	busy map[string]string
	// changed is closed and replaced at every change of the records.
	changed   chan struct{}
	exhausted map[string]bool
	// freed are public addresses that go back to their pools when the routers have let go of them.
	freed  []publicAddress
	closed bool

	locks    backend.Locks // one at a time per machine
	networks *backend.Networks

	wg      sync.WaitGroup
	ctx     context.Context // ends when Close has waited for what was going on
	cancel  context.CancelFunc
	closing chan struct{}
}

var _ world.API = (*Service)(nil)

// New opens the project in cfg.Dir, or makes a fresh one with its default network. Resume brings the machines up.
func New(cfg Config) (*Service, error) {
	if cfg.Physical == nil || cfg.Project == "" || cfg.BaseURL == nil || cfg.Pool == nil {
		return nil, errors.New("gce: Physical, Project, BaseURL and Pool are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	key, err := parseKey(cfg.ServiceAccountKey)
	if err != nil {
		return nil, fmt.Errorf("gce: service account key: %w", err)
	}
	s := &Service{
		cfg: cfg, log: cfg.Logger, cat: loadCatalog(), key: key, st: newState(), busy: map[string]string{},
		changed: make(chan struct{}), closing: make(chan struct{}), exhausted: map[string]bool{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.networks = backend.NewNetworks(cfg.Physical, s.projected)
	s.collections = s.readable()
	s.table = s.routes()
	if err := world.LoadRecord(s.recordPath(), &s.st); err != nil {
		return nil, fmt.Errorf("gce: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.st.ProjectCreated == "" {
		s.st.ProjectCreated = stamp()
		s.makeDefaultNetwork()
	}
	s.reserveAddresses()
	return s, s.saveErr()
}

func (s *Service) recordPath() string { return filepath.Join(s.cfg.Dir, "gce.json") }

func (s *Service) number() string { return strconv.FormatUint(s.cfg.ProjectNumber, 10) }

// saveErr writes the records. The caller holds the lock.
func (s *Service) saveErr() error {
	close(s.changed)
	s.changed = make(chan struct{})
	return world.SaveRecord(s.recordPath(), &s.st)
}

type publicAddress struct{ region, address string }

// save writes the records; a failure is logged, and the next change tries again.
func (s *Service) save() {
	if err := s.saveErr(); err != nil {
		s.log.Error("records not written", "err", err)
	}
}

// reserveAddresses tells the pools which public addresses are taken.
func (s *Service) reserveAddresses() {
	for _, a := range s.st.Addresses {
		if ip, err := netip.ParseAddr(a.Address); err == nil && a.AddressType != "INTERNAL" {
			s.cfg.Pool(base(a.Region)).Reserve(ip)
		}
	}
	for _, i := range s.st.Instances {
		for _, nic := range i.NetworkInterfaces {
			for _, ac := range nic.AccessConfigs {
				if ip, err := netip.ParseAddr(ac.NatIP); err == nil {
					s.cfg.Pool(zoneToRegion(base(i.Zone))).Reserve(ip)
				}
			}
		}
	}
}

// Resume brings the physical world to the recorded state: the networks, and the machines that were running or on their
// way. Operations that a crash cut off are finished.
func (s *Service) Resume(ctx context.Context) error {
	s.mu.Lock()
	gone := s.settle()
	var start []world.Machine
	for _, i := range sorted(s.st.Instances) {
		switch i.Status {
		case statusProvisioning, statusStaging, statusRunning:
			start = append(start, s.machine(i))
		case statusStopping:
			i.Status = statusTerminated
		}
	}
	s.save()
	s.mu.Unlock()
	return s.networks.Restore(ctx, gone, start, func(id string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, i := range s.st.Instances {
			if formatID(i.Id) == id {
				i.Status = statusRunning
			}
		}
		s.save()
	})
}

// settle finishes the operations that were under way when the process ended: what was inserted stays, what was being
// deleted goes. It returns the ids of machines that must go too. The caller holds the lock.
func (s *Service) settle() (gone []string) {
	for _, op := range s.st.Operations {
		if op.Status == "DONE" {
			continue
		}
		var failure *opError
		if op.OperationType == "delete" {
			if i := s.st.Instances[op.TargetLink]; i != nil {
				gone = append(gone, formatID(i.Id))
			}
			failure = s.remove(op.TargetLink)
		}
		finish(op, failure)
	}
	for _, d := range s.st.Disks {
		if d.Status == "CREATING" {
			d.Status = "READY"
		}
	}
	return gone
}

// remove takes a resource out of the records for good, if nothing uses it. The caller holds the lock.
func (s *Service) remove(path string) *opError {
	parts := strings.Split(path, "/")
	if len(parts) < 5 {
		return nil
	}
	var err *apiError
	switch parts[len(parts)-2] {
	case "networks":
		err = s.removeNetwork(path)
	case "subnetworks":
		err = s.removeSubnetwork(path)
	case "firewalls":
		delete(s.st.Firewalls, path)
	case "routes":
		delete(s.st.Routes, path)
	case "addresses":
		err = s.removeAddress(path)
	case "disks":
		err = s.removeDisk(path)
	case "instances":
		s.removeInstance(path)
	}
	if err != nil {
		return err.asOpError()
	}
	return nil
}

// Close waits for what is going on, without the cloud's delays, and writes the records. The machines keep running.
func (s *Service) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.wg.Wait()
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saveErr()
}
