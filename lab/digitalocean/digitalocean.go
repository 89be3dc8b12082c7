// Package digitalocean is the lab's DigitalOcean: the API v2 and the metadata service of Droplets, over real machines that
// somebody else makes. It is for any client of DigitalOcean and knows nothing of who asks; it is not all of DigitalOcean:
// what it lacks is not found there.
package digitalocean

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/skyweld/skyweld/lab/internal/backend"
	"github.com/skyweld/skyweld/lab/world"
)

// cloudName is what the lab calls this cloud.
const cloudName = "digitalocean"

// Config is what a service is made of.
type Config struct {
	// Physical makes machines and networks real.
	Physical world.Physical
	// Dir holds the records, one JSON file.
	Dir string
	// Token is the one that may ask for everything.
	Token   string
	Profile world.Profile
	// Pools gives each region's public addresses; the first of each is the region's gateway.
	Pools func(region string) *world.Pool
	// Fresh are regions that the account has never used: there, the first VPC that somebody makes becomes the default one.
	// Everywhere else the default VPC is there from the beginning.
	Fresh []string
	// Withheld are sizes that a region doesn't have now, by region.
	Withheld map[string][]string
	Limits   Limits
	Logger   *slog.Logger
	// Clock is time.Now when nil.
	Clock func() time.Time
}

// Limits are the account's; zero means the default of an account in good standing.
type Limits struct {
	Droplets    int // 25
	ReservedIPs int // 3
	Volumes     int // 100
	// PerHour and PerMinute are how many requests may be made, 5000 and 250; clouds that are faster than the real ones take
	// more, and where nothing takes time they take all.
	PerHour, PerMinute int
}

// Service is the account at DigitalOcean. It implements world.API.
type Service struct {
	cfg      Config
	log      *slog.Logger
	cat      *catalogue
	mux      *http.ServeMux
	routes   map[string]route // by the mux's pattern
	rate     *rate
	ctx      context.Context
	cancel   context.CancelFunc
	work     backend.Tasks
	plumber  *plumber
	watching sync.Once
	file     *backend.File
	mu       sync.Mutex // guards all below
	rec      records
	version  int64 // counts changes of rec
}

var _ world.API = (*Service)(nil)

// New returns a service with what the folder remembers. Resume makes the machines of that real again.
func New(cfg Config) (*Service, error) {
	cat, err := loadCatalogue()
	if err != nil {
		return nil, err
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Physical == nil || cfg.Pools == nil || cfg.Token == "" {
		return nil, errors.New("DigitalOcean needs a physical world, address pools and a token")
	}
	cfg.Limits = cfg.Limits.withDefaults(cfg.Profile)
	s := &Service{cfg: cfg, log: cfg.Logger, cat: cat, rate: newRate(cfg.Limits, cfg.Clock)}
	s.mux, s.routes = s.newMux()
	if s.file, err = backend.OpenFile(cfg.Dir, "digitalocean.json", "DigitalOcean's", &s.rec); err != nil {
		return nil, err
	}
	s.rec.init()
	s.mu.Lock()
	s.open()
	s.reserve()
	s.mu.Unlock()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.plumber = newPlumber(s.ctx, cfg.Physical, s.log, &s.work)
	return s, s.persist()
}

func (l Limits) withDefaults(p world.Profile) Limits {
	hour, minute := 5000, 250
	switch p {
	case world.Instant:
		hour, minute = 1_000_000_000, 1_000_000_000
	case world.Fast:
		hour, minute = 20*hour, 20*minute
	}
	for v, usual := range map[*int]int{&l.Droplets: 25, &l.ReservedIPs: 3, &l.Volumes: 100, &l.PerHour: hour, &l.PerMinute: minute} {
		if *v == 0 {
			*v = usual
		}
	}
	return l
}

// open gives a new account what every account has: an identity, a project, and default VPCs. The caller holds the lock.
func (s *Service) open() {
	if s.rec.Account != "" {
		return
	}
	s.rec.Account = newUUID()
	p := &project{ID: newUUID(), Name: "first-project", Purpose: "Just trying out DigitalOcean", Description: "Update your project information under Settings",
		Environment: "Development", Default: true, Created: s.now(), Updated: s.now()}
	s.rec.Projects[p.ID] = p
	for _, r := range s.cat.regions {
		if r.open && !contains(s.cfg.Fresh, r.slug) {
			s.addDefaultVPC(r.slug)
		}
	}
	s.version++
}

// reserve takes the recorded public addresses, and the regions' gateways, out of the pools. The caller holds the lock.
func (s *Service) reserve() {
	for _, r := range s.cat.regions {
		if r.open {
			s.cfg.Pools(r.slug).Reserve(s.gateway(r.slug))
		}
	}
	for _, d := range s.rec.Droplets {
		if d.Public.IsValid() {
			s.cfg.Pools(d.Region).Reserve(d.Public)
		}
	}
	for _, r := range s.rec.Reserved {
		s.cfg.Pools(r.Region).Reserve(r.IP)
	}
}

// gateway is the public gateway of a region.
func (s *Service) gateway(region string) netip.Addr {
	return s.cfg.Pools(region).Prefix().Addr().Next()
}

func (s *Service) now() time.Time { return s.cfg.Clock().UTC().Truncate(time.Second) }

// Close stops what is going on, waits for it to end, and writes the records. Machines keep running; what was going on goes
// on after Resume.
func (s *Service) Close() error {
	s.cancel()
	s.work.Close()
	return s.persist()
}

// persist writes the records unless they are written. Those who wait for each other share one write.
func (s *Service) persist() error { return s.file.Save(&s.mu, &s.version, &s.rec) }

// update changes the records outside of a request and returns the version of the networks that follows.
func (s *Service) update(change func()) int64 {
	s.mu.Lock()
	change()
	v := s.changed()
	s.mu.Unlock()
	if err := s.persist(); err != nil {
		s.log.Error("DigitalOcean's records are not written", "error", err)
	}
	return v
}

// changed notes that the records have changed, and has the networks follow; it returns their version, to wait for. The
// caller holds the lock, so that the plumber hears of changes in their order.
func (s *Service) changed() int64 {
	s.version++
	return s.plumber.Set(s.networks())
}
