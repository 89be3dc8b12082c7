// Package digitalocean is the driver for DigitalOcean: its v2 API by the official SDK, godo. It holds what is
// DigitalOcean's own and nothing of the engine; what all clouds share is in package cloud.
package digitalocean

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/cloud"
)

// The names in Account.Settings.
const (
	// SettingEndpoint is the URL of the API without its version. The default is https://api.digitalocean.com/.
	SettingEndpoint = "endpoint"
	// SettingEgress holds the addresses the machines see the engine come from, separated by commas. The driver itself
	// doesn't use it.
	SettingEgress = "egress"
)

// SecretToken is the one name in Account.Secrets: a personal access token.
const SecretToken = "token"

const (
	defaultEndpoint = "https://api.digitalocean.com/"
	// image is the slug of what every droplet is made from.
	image = "ubuntu-24-04-x64"
	// responseHeaderTimeout bounds the wait for an answer: nothing in this API waits for an operation to end.
	responseHeaderTimeout = time.Minute
	// dropletsAtOnce is how many droplets DigitalOcean makes for an account at the same time.
	dropletsAtOnce = 10
)

// Driver is one team's account at DigitalOcean. It implements cloud.Driver; droplets have no console output to read.
type Driver struct {
	api *godo.Client
	// making is held by each droplet that is being made.
	making chan struct{}
	// pace is how long the first pause between two looks at something unfinished is.
	pace time.Duration

	mu    sync.Mutex
	sizes sizeList
}

var (
	_ cloud.Driver     = (*Driver)(nil)
	_ cloud.BlockRuler = (*Driver)(nil)
)

// New returns the driver of an account; it makes no call. The transport, when not nil, wraps the one that all calls go
// through. Calls that change something are tried once: retrying is the caller's business.
func New(_ context.Context, account cloud.Account, wrap cloud.Transport) (*Driver, error) {
	d, err := open(account, wrap)
	if err != nil {
		return nil, &cloud.Error{Class: cloud.Invalid, Op: "open digitalocean account " + account.Name, Err: err}
	}
	return d, nil
}

func open(account cloud.Account, wrap cloud.Transport) (*Driver, error) {
	token := account.Secrets[SecretToken]
	if err := checkToken(token.Reveal()); err != nil {
		return nil, fmt.Errorf("the secret %q: %w", SecretToken, err)
	}
	endpoint, err := endpointOf(account.Settings[SettingEndpoint])
	if err != nil {
		return nil, err
	}
	transport, err := cloud.NewTransport(account, responseHeaderTimeout)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: again{newBudget(bearer{token, wrap.Around(wire(transport))})}}
	api, err := godo.New(client, godo.SetBaseURL(endpoint), godo.SetUserAgent("skyweld"))
	if err != nil {
		return nil, fmt.Errorf("set up the SDK: %w", err)
	}
	return &Driver{api: api, making: make(chan struct{}, dropletsAtOnce), pace: 200 * time.Millisecond}, nil
}

// checkToken finds what can't go into a header. The error doesn't show the token.
func checkToken(token string) error {
	if token == "" {
		return errors.New("it is needed: a personal access token")
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("it holds spaces or characters that no token has")
	}
	return nil
}

// endpointOf completes the API's URL. Who gives it with the version, as some tools want it, means the same.
func endpointOf(setting string) (string, error) {
	if setting == "" {
		return defaultEndpoint, nil
	}
	u, err := url.Parse(setting)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("endpoint %q: want a URL like %s", setting, defaultEndpoint)
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/v2") + "/"
	return u.String(), nil
}

// Provider returns cloud.DigitalOcean.
func (*Driver) Provider() cloud.Provider { return cloud.DigitalOcean }

func invalid(format string, args ...any) error {
	return &cloud.Error{Class: cloud.Invalid, Message: fmt.Sprintf(format, args...)}
}

// bearer adds the token to requests.
type bearer struct {
	token cloud.Secret
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token.Reveal())
	return b.next.RoundTrip(r)
}
