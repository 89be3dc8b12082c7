// Package arm is the lab's Azure: Azure Resource Manager with the token endpoint of a directory, over the machines and
// wires of a world.Physical, and the two services that Azure's machines ask about themselves: the instance metadata
// service and the wire server. It is not for talking to Azure, and it keeps no secret of a real account.
package arm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
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
	// Subscription and Tenant are the account's ids, as Azure's UUIDs.
	Subscription, Tenant string
	// ClientID and ClientSecret are the credentials of the one application that may do everything.
	ClientID, ClientSecret string
	// BaseURL returns the server's URL without a slash at the end: of the API and of the directory.
	BaseURL func() string
	Profile world.Profile
	// Pool returns the public addresses of a location; it gives the same pool for the same location.
	Pool func(location string) *world.Pool
	// Quotas overrides limits by Azure's name of the usage ("cores", "PublicIPAddresses", "standardBSFamily"), or for one
	// location only ("eastus/cores").
	Quotas map[string]int
	// Withheld are sizes that the subscription can't have, by location ("eastus") or by a location's zone ("eastus/2").
	Withheld map[string][]string
	// PageSize is how many resources a page of a list has; 250 when zero.
	PageSize int
	// Denied says whether the caller lacks the permission for an operation ("network.Subnets.Delete"); nil for none
	// lacking. It is what the list of permissions answers by.
	Denied func(operation string) bool
	Logger *slog.Logger
}

// Service is one subscription of the emulated cloud. It implements world.API.
type Service struct {
	cfg   Config
	log   *slog.Logger
	cat   *Catalogue
	table routeTable

	mu sync.Mutex
	st state
	// busy holds what an operation is working on: the lower-cased id → the operation's name.
	busy map[string]string
	// doing are the operations under way, with a channel that closes at the end of each.
	doing map[string]chan struct{}
	// changed is closed and replaced at every change of the records.
	changed chan struct{}
	// freed are public addresses that go back to their pools when the routers have let go of them.
	freed  []freedAddress
	closed bool

	locks    backend.Locks // one at a time per machine
	networks *backend.Networks

	wg      sync.WaitGroup
	ctx     context.Context // ends when Close has waited for what was going on
	cancel  context.CancelFunc
	closing chan struct{}
}

var _ world.API = (*Service)(nil)

// New opens the subscription in cfg.Dir, or makes a fresh one in which nothing is. Resume brings the machines up.
func New(cfg Config) (*Service, error) {
	if cfg.Physical == nil || cfg.BaseURL == nil || cfg.Pool == nil {
		return nil, errors.New("arm: Physical, BaseURL and Pool are required")
	}
	for name, id := range map[string]string{"Subscription": cfg.Subscription, "Tenant": cfg.Tenant, "ClientID": cfg.ClientID} {
		if !uuidForm.MatchString(id) {
			return nil, fmt.Errorf("arm: %s: found %q: want a UUID", name, id)
		}
	}
	if cfg.ClientSecret == "" {
		return nil, errors.New("arm: ClientSecret is required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.PageSize <= 0 {
		cfg.PageSize = 250
	}
	cat, err := DefaultCatalogue()
	if err != nil {
		return nil, fmt.Errorf("arm: %w", err)
	}
	s := &Service{
		cfg: cfg, log: cfg.Logger, cat: cat, st: newState(), busy: map[string]string{}, doing: map[string]chan struct{}{},
		changed: make(chan struct{}), closing: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.networks = backend.NewNetworks(cfg.Physical, s.projected)
	if s.table, err = s.routes(); err != nil {
		return nil, fmt.Errorf("arm: %w", err)
	}
	if err := world.LoadRecord(s.recordPath(), &s.st); err != nil {
		return nil, fmt.Errorf("arm: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st.complete()
	s.reserveAddresses()
	return s, s.saveErr()
}

func (s *Service) recordPath() string { return filepath.Join(s.cfg.Dir, "arm.json") }

// saveErr writes the records. The caller holds the lock.
func (s *Service) saveErr() error {
	close(s.changed)
	s.changed = make(chan struct{})
	return world.SaveRecord(s.recordPath(), &s.st)
}

// save writes the records; a failure is logged, and the next change tries again.
func (s *Service) save() {
	if err := s.saveErr(); err != nil {
		s.log.Error("records not written", "err", err)
	}
}

// Resume brings the physical world to the recorded state: the networks, and the machines that were running or on their
// way. Operations that a crash cut off are finished.
func (s *Service) Resume(ctx context.Context) error {
	s.mu.Lock()
	gone := s.settle()
	var start []world.Machine
	for _, m := range ordered(s.st.Machines) {
		switch m.Kept.Power {
		case powerStarting, powerRunning:
			start = append(start, s.worldMachine(m))
		case powerStopping:
			m.Kept.Power = powerStopped
		case powerDeallocating:
			m.Kept.Power = powerDeallocated
		}
	}
	s.save()
	s.mu.Unlock()
	return s.networks.Restore(ctx, gone, start, func(id string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, own := range s.st.Machines {
			if own.Properties.VMID == id {
				own.Kept.Power = powerRunning
			}
		}
		s.save()
	})
}

// settle finishes the operations that were under way when the process ended: what was written stays, what was being
// deleted goes. It returns the ids of machines that must go too. The caller holds the lock.
func (s *Service) settle() (gone []string) {
	for _, op := range s.st.Operations {
		if op.Status != inProgress {
			continue
		}
		if op.Deletes {
			for _, m := range s.st.Machines {
				if key(m.ID) == key(op.Target) || strings.HasPrefix(key(m.ID), key(op.Target)+"/") {
					gone = append(gone, m.Properties.VMID)
				}
			}
			s.finish(op, s.removeTarget(op.Target))
			continue
		}
		s.finish(op, nil)
	}
	for _, r := range s.st.all() {
		if st := r.state(); *st != stateFailed {
			*st = stateSucceeded
			if m, ok := r.(*machine); ok {
				m.Kept.Unmade = false
			}
		}
	}
	for _, n := range s.st.Networks {
		for _, sub := range n.Properties.Subnets {
			if sub.Properties.ProvisioningState == stateDeleting {
				dropSubnet(n, sub.Name)
			}
			sub.Properties.ProvisioningState = stateSucceeded
		}
	}
	for _, g := range s.st.Groups {
		g.Properties.ProvisioningState = stateSucceeded
	}
	return gone
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
