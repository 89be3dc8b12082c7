package lab

import (
	"crypto/tls"
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
	"github.com/skyweld/skyweld/lab/arm"
	"github.com/skyweld/skyweld/lab/digitalocean"
	"github.com/skyweld/skyweld/lab/ec2"
	"github.com/skyweld/skyweld/lab/fault"
	"github.com/skyweld/skyweld/lab/gce"
	"github.com/skyweld/skyweld/lab/world"
)

// clouds are the lab's names of the clouds it emulates.
var clouds = []string{"aws", "gcp", "azure", "digitalocean"}

// emulated is a cloud's API that can go wrong on request.
type emulated interface {
	world.API
	Dialect() fault.Dialect
}

// clouds makes the emulated clouds and serves each on a port of its own.
func (l *Lab) clouds() error {
	tlsConfig, err := serverTLS(l.opts.Dir)
	if err != nil {
		return err
	}
	// All ports come first: a cloud's credentials may name its own.
	listeners := map[string]net.Listener{}
	defer func() {
		for _, unused := range listeners {
			unused.Close()
		}
	}()
	for _, cloud := range clouds {
		at := l.info.port(cloud)
		if listeners[cloud], err = listenAgain(*at); err != nil {
			delete(listeners, cloud)
			return err
		}
		*at = port(listeners[cloud])
	}
	if err := l.info.credentials(l.opts.Dir); err != nil {
		return err
	}
	for _, cloud := range clouds {
		api, err := l.open(cloud)
		if err != nil {
			return err
		}
		l.apis[cloud] = api
		listener, err := l.faults.Listener(cloud, listeners[cloud])
		delete(listeners, cloud)
		if err != nil {
			return err
		}
		server := &http.Server{
			Handler: l.faults.Handler(cloud, api.Dialect(), api), ConnContext: fault.ConnContext, TLSConfig: tlsConfig.Clone(),
			ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(l.opts.Log.Handler(), slog.LevelDebug),
		}
		if cloud == "aws" {
			server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // EC2's endpoints speak HTTP/1.1 only
		}
		l.serve(func() error { return server.ServeTLS(listener, "", "") }, server)
	}
	return nil
}

// open makes one cloud, with what its folder remembers.
func (l *Lab) open(cloud string) (emulated, error) {
	phys := faulty{l.physical(cloud), l.suffering, cloud}
	switch cloud {
	case "aws":
		return ec2.New(ec2.Config{
			Physical: phys, Dir: l.opts.Dir, AccountID: l.info.AWSAccount, AccessKeyID: l.info.AWSKey, SecretAccessKey: l.info.AWSSecret,
			Profile: l.opts.Profile, Pools: newPools(cloud).region, Logger: l.opts.Log,
		})
	case "gcp":
		key, err := os.ReadFile(filepath.Join(l.opts.Dir, keyFile))
		if err != nil {
			return nil, fmt.Errorf("the lab's service account key: %w", err)
		}
		return gce.New(gce.Config{
			Physical: phys, Dir: l.opts.Dir, Project: l.info.GCPProject, ProjectNumber: l.info.GCPNumber, ServiceAccountKey: key,
			AccessToken: l.info.GCPToken, BaseURL: l.info.gcpURL, Profile: l.opts.Profile, Pool: newPools(cloud).region, Logger: l.opts.Log,
			Denied: func(method string) bool { return l.faults.Denies(cloud, method) },
		})
	case "azure":
		return arm.New(arm.Config{
			Physical: phys, Dir: l.opts.Dir, Subscription: l.info.AzureSubscription, Tenant: l.info.AzureTenant, ClientID: l.info.AzureClient, ClientSecret: l.info.AzureSecret,
			BaseURL: l.info.azureURL, Profile: l.opts.Profile, Pool: newPools(cloud).region, Logger: l.opts.Log,
			Denied: func(operation string) bool { return l.faults.Denies(cloud, operation) },
		})
	case "digitalocean":
		return digitalocean.New(digitalocean.Config{
			Physical: phys, Dir: l.opts.Dir, Token: l.info.DigitalOceanToken, Profile: l.opts.Profile, Pools: newPools(cloud).region, Logger: l.opts.Log,
		})
	}
	return nil, fmt.Errorf("the lab has no cloud %q", cloud)
}

// firstPool is which /24 of 198.18.0.0/15, after the lab's own, a cloud's regions begin with.
var firstPool = map[string]int{"aws": 0, "gcp": 100, "azure": 200, "digitalocean": 300}

// pools are the public addresses of a cloud: a /24 of 198.18.0.0/15 for each of its regions.
type pools struct {
	mu    sync.Mutex
	cloud string
	first int
	known map[string]*world.Pool
}

func newPools(cloud string) *pools {
	return &pools{cloud: cloud, first: firstPool[cloud], known: map[string]*world.Pool{}}
}

func (p *pools) region(region string) *world.Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pool := p.known[region]; pool != nil {
		return pool
	}
	n := 99 // regions that geo doesn't know share one
	for i, r := range geo.Regions(p.cloud) {
		if r.ID == region {
			n = i
		}
	}
	n += p.first + 1
	pool := world.NewPool(netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18 + byte(n>>8), byte(n), 0}), 24))
	p.known[region] = pool
	return pool
}
