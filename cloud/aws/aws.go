// Package aws is the driver for Amazon Web Services: EC2, STS and Service Quotas by the official SDK. It holds what is Amazon's own and
// nothing of the engine; what all clouds share is in package cloud.
package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/skyweld/skyweld/cloud"
)

// The names in Account.Settings.
const (
	// SettingRegion is where calls go that concern no region of a site: STS, and the list of regions. Default us-east-1.
	SettingRegion = "region"
	// SettingEndpoint is the URL of all services, the others of one each, for clouds other than Amazon's own. The default
	// is each region's official endpoint.
	SettingEndpoint       = "endpoint"
	SettingEndpointEC2    = "endpoint-ec2"
	SettingEndpointSTS    = "endpoint-sts"
	SettingEndpointQuotas = "endpoint-service-quotas"
	// SettingImageOwner is the account that publishes Ubuntu, where it isn't Canonical's usual one: 837727238323 in
	// China, 513442679011 in GovCloud.
	SettingImageOwner = "image-owner"
)

// The names in Account.Secrets.
const (
	SecretAccessKeyID     = "access-key-id"
	SecretAccessKey       = "secret-access-key"
	SecretSessionToken    = "session-token" // optional
	defaultRegion         = "us-east-1"
	canonical             = "099720109477"
	imageName             = "ubuntu/images/hvm-ssd*/ubuntu-noble-24.04-amd64-server-*"
	imageArchitecture     = "x86_64"
	imageMemory           = time.Hour
	responseHeaderTimeout = 90 * time.Second
)

// Driver is one account at AWS. It implements cloud.Driver and cloud.Consoler.
type Driver struct {
	config                                   sdk.Config
	endpointEC2, endpointSTS, endpointQuotas string
	imageOwner                               string

	mu     sync.Mutex
	ec2    map[string]*ec2.Client  // by region
	images map[string]image        // by region
	types  map[string]instanceType // by region and name
}

var (
	_ cloud.Driver   = (*Driver)(nil)
	_ cloud.Consoler = (*Driver)(nil)
)

// New returns the driver of an account; it makes no call. The transport, when not nil, wraps the one that all calls
// go through. Calls that change something are tried once: retrying is the caller's business.
func New(_ context.Context, account cloud.Account, wrap cloud.Transport) (*Driver, error) {
	id, secret := account.Secrets[SecretAccessKeyID].Reveal(), account.Secrets[SecretAccessKey].Reveal()
	if id == "" || secret == "" {
		return nil, invalidAccount(account, fmt.Errorf("the secrets %q and %q are needed", SecretAccessKeyID, SecretAccessKey))
	}
	transport, err := cloud.NewTransport(account, responseHeaderTimeout)
	if err != nil {
		return nil, invalidAccount(account, err)
	}
	set := func(name, fallback string) string {
		if v := account.Settings[name]; v != "" {
			return v
		}
		return fallback
	}
	all := set(SettingEndpoint, "")
	return &Driver{
		config: sdk.Config{
			Region:      set(SettingRegion, defaultRegion),
			Credentials: credentials.NewStaticCredentialsProvider(id, secret, account.Secrets[SecretSessionToken].Reveal()),
			HTTPClient:  &http.Client{Transport: wrap.Around(wire(inMemory{transport}))},
			Retryer:     func() sdk.Retryer { return sdk.NopRetryer{} },
			AppID:       "skyweld",
		},
		endpointEC2:    set(SettingEndpointEC2, all),
		endpointSTS:    set(SettingEndpointSTS, all),
		endpointQuotas: set(SettingEndpointQuotas, all),
		imageOwner:     set(SettingImageOwner, canonical),
		ec2:            map[string]*ec2.Client{},
		images:         map[string]image{},
		types:          map[string]instanceType{},
	}, nil
}

// Provider returns cloud.AWS.
func (*Driver) Provider() cloud.Provider { return cloud.AWS }

// inMemory sends requests with bodies that the HTTP client knows to be in memory, and so sends in one piece with the
// headers. The SDK's own bodies go in a second piece, and the SDK closes them as soon as the answer begins; a client
// that is just about to look for their end then takes that for a failure and drops the connection, answer and all.
type inMemory struct{ next http.RoundTripper }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return m.next.RoundTrip(r)
	}
	data, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(data))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	return m.next.RoundTrip(r)
}

func invalidAccount(account cloud.Account, err error) error {
	return &cloud.Error{Class: cloud.Invalid, Op: "open aws account " + account.Name, Err: err}
}

// in returns the EC2 client of a region.
func (d *Driver) in(region string) *ec2.Client {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok := d.ec2[region]
	if !ok {
		c = ec2.NewFromConfig(d.config, func(o *ec2.Options) {
			o.Region = region
			if d.endpointEC2 != "" {
				o.BaseEndpoint = sdk.String(d.endpointEC2)
			}
			o.APIOptions = append(o.APIOptions, readAgain)
		})
		d.ec2[region] = c
	}
	return c
}

func (d *Driver) sts() *sts.Client {
	return sts.NewFromConfig(d.config, func(o *sts.Options) {
		if d.endpointSTS != "" {
			o.BaseEndpoint = sdk.String(d.endpointSTS)
		}
	})
}

// marks are the filters that find what carries a cluster's mark.
func marks(cluster string) filters { return filters{"tag:" + cloud.TagCluster: {cluster}} }

// poll calls done until it says so, more and more slowly.
func poll(ctx context.Context, done func() (bool, error)) error {
	pause := 100 * time.Millisecond
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if err := cloud.Pause(ctx, pause); err != nil {
			return err
		}
		pause = min(pause*3/2, 5*time.Second)
	}
}

// How long settle waits for a new thing itself, and for anything else.
const (
	settleNew   = 10 * time.Second
	settleOther = 3 * time.Second
)

// settle repeats a call about a thing that was just made while EC2, which is consistent only after a while, says that
// there is no such thing. What the new thing refers to may be almost as new.
func settle(ctx context.Context, id string, call func() error) error {
	start := time.Now()
	return poll(ctx, func() (bool, error) {
		err := call()
		if err == nil || classify(err).Class != cloud.NotFound {
			return true, err
		}
		limit := settleOther
		if strings.Contains(err.Error(), id) {
			limit = settleNew
		}
		if time.Since(start) < limit {
			return false, nil
		}
		return true, err
	})
}
