// Package ec2 is the lab's Amazon EC2: the query API of 2016-11-15 with GetCallerIdentity of STS, and the instance
// metadata service, over real machines that somebody else makes. It is for any client of EC2 and knows nothing of who
// asks; it is not a whole EC2: what it lacks it refuses with EC2's own errors.
package ec2

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/skyweld/skyweld/lab/internal/backend"
	"github.com/skyweld/skyweld/lab/world"
)

// Config is what a service is made of.
type Config struct {
	// Physical makes machines and networks real.
	Physical world.Physical
	// Dir holds the records, one JSON file.
	Dir string
	// AccountID has 12 digits. The keys are the one pair that may sign requests.
	AccountID, AccessKeyID, SecretAccessKey string
	Profile                                 world.Profile
	// Pools gives each region's public addresses.
	Pools func(region string) *world.Pool
	// Catalogue is the embedded one when nil.
	Catalogue *Catalogue
	// OptIn are the regions with OptIn that the account has switched on.
	OptIn  []string
	Limits Limits
	Logger *slog.Logger
	// Clock is time.Now when nil.
	Clock func() time.Time
}

// Limits are the account's quotas in each region; zero means the default of a new account.
type Limits struct {
	VPCs, InternetGateways, Addresses int // 5 each
	VCPUs                             int // 64, of each group of instance families
}

// Service is the account at Amazon. It implements world.API.
type Service struct {
	cfg      Config
	log      *slog.Logger
	tokenKey [32]byte // signs the metadata service's session tokens
	ctx      context.Context
	cancel   context.CancelFunc
	work     backend.Tasks
	fabric   *fabric
	machines *machines
	watching sync.Once
	images   *images
	file     *backend.File
	mu       sync.Mutex // guards all below
	rec      records
	version  int64 // counts changes of rec
}

var _ world.API = (*Service)(nil)

// New returns a service with what the folder remembers. Resume makes the machines of that real again.
func New(cfg Config) (*Service, error) {
	if cfg.Catalogue == nil {
		c, err := DefaultCatalogue()
		if err != nil {
			return nil, err
		}
		cfg.Catalogue = c
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Physical == nil || cfg.Pools == nil || cfg.AccessKeyID == "" || cfg.SecretAccessKey == "" || len(cfg.AccountID) != 12 {
		return nil, errors.New("EC2 needs a physical world, address pools, an account id of 12 digits and a pair of keys")
	}
	cfg.Limits = cfg.Limits.withDefaults()
	s := &Service{cfg: cfg, log: cfg.Logger}
	rand.Read(s.tokenKey[:])
	var err error
	if s.file, err = backend.OpenFile(cfg.Dir, "ec2.json", "EC2's", &s.rec); err != nil {
		return nil, err
	}
	makeMap(&s.rec.Regions)
	for _, r := range s.rec.Regions {
		r.init()
		s.reserve(r)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.fabric = newFabric(s.ctx, cfg.Physical, s.log, &s.work)
	s.machines = newMachines()
	s.images = newImages()
	return s, nil
}

func (l Limits) withDefaults() Limits {
	for _, v := range []*int{&l.VPCs, &l.InternetGateways, &l.Addresses} {
		if *v == 0 {
			*v = 5
		}
	}
	if l.VCPUs == 0 {
		l.VCPUs = 64
	}
	return l
}

// reserve takes a region's recorded public addresses out of its pool.
func (s *Service) reserve(r *region) {
	pool := s.cfg.Pools(r.Name)
	for _, a := range r.Addresses {
		pool.Reserve(a.Public)
	}
	for _, n := range r.Interfaces {
		if n.Public.IsValid() {
			pool.Reserve(n.Public)
		}
	}
}

// Close stops what is going on, waits for it to end, and writes the records. Machines keep running; what was going on
// goes on after Resume.
func (s *Service) Close() error {
	s.cancel()
	s.work.Close()
	return s.persist()
}

// persist writes the records unless they are written. Those who wait for each other share one write.
func (s *Service) persist() error { return s.file.Save(&s.mu, &s.version, &s.rec) }

// update changes a region's records outside of a request, and brings the physical world up to it. It reports whether
// there was anything to change.
func (s *Service) update(regionName string, change func(*region) bool) bool {
	s.mu.Lock()
	r := s.rec.Regions[regionName]
	changed := r != nil && change(r)
	if changed {
		s.changed(r)
	}
	s.mu.Unlock()
	if changed {
		if err := s.persist(); err != nil {
			s.log.Error("EC2's records are not written", "error", err)
		}
	}
	return changed
}

// changed notes that a region's records have changed. The caller holds the lock, so that the fabric hears of changes in
// their order.
func (s *Service) changed(r *region) {
	s.version++
	s.fabric.set(r.Name, project(r))
}

// enabled says whether the account may use a region.
func (s *Service) enabled(r Region) bool {
	return !r.OptIn || slices.Contains(s.cfg.OptIn, r.Name)
}

// region returns a region's records, with what every account finds in a region it has never used. The caller holds the
// lock and has checked the name.
func (s *Service) region(name string) *region {
	r := s.rec.Regions[name]
	if r == nil {
		r = &region{Name: name}
		r.init()
		s.rec.Regions[name] = r
		where, _ := s.cfg.Catalogue.region(name)
		r.addDefaults(where)
		s.version++
	}
	r.forget(s.cfg.Clock())
	return r
}

// How long things that are over are remembered.
const (
	terminatedVisible = time.Hour
	tokensRemembered  = 24 * time.Hour
)

// forget drops what is over.
func (r *region) forget(now time.Time) {
	for id, i := range r.Instances {
		if i.State == terminated && now.Sub(i.TerminatedAt) > terminatedVisible {
			delete(r.Instances, id)
			delete(r.Tags, id)
		}
	}
	for k, t := range r.Tokens {
		if now.Sub(t.At) > tokensRemembered {
			delete(r.Tokens, k)
		}
	}
}

// takePublic takes a public address from the region's pool.
func (s *Service) takePublic(region string) (netip.Addr, error) {
	a, err := s.cfg.Pools(region).Take()
	if err != nil {
		return a, apiErrorf("InsufficientAddressCapacity", "Not enough addresses available to satisfy the request")
	}
	return a, nil
}
