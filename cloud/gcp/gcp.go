// Package gcp is the driver for Google Cloud: Compute Engine's v1 API by the official SDK. It holds what is Google's own
// and nothing of the engine; what all clouds share is in package cloud.
package gcp

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"google.golang.org/api/cloudresourcemanager/v1"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/option"

	"github.com/skyweld/skyweld/cloud"
)

// The names in Account.Settings.
const (
	// SettingProject is the id of the project in which everything is made. The default is the one in the credentials.
	SettingProject = "project"
	// SettingEndpoint is the URL of the API with its version, "https://compute.googleapis.com/compute/v1/". The default
	// is the official one of the credentials' universe.
	SettingEndpoint = "endpoint"
	// SettingEndpointManager is the URL of the Cloud Resource Manager API, which is asked for permissions. The default is
	// the host of SettingEndpoint where that is set, else the official one.
	SettingEndpointManager = "endpoint-resource-manager"
	// SettingEgress holds the addresses the machines see the engine come from, separated by commas. The driver itself
	// doesn't use it.
	SettingEgress = "egress"
)

// SecretCredentials is the one name in Account.Secrets: the whole JSON of a credential file of type service_account or
// authorized_user.
const SecretCredentials = "credentials"

const (
	imageFamily = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"
	// responseHeaderTimeout is longer than the two minutes that the wait methods of operations block.
	responseHeaderTimeout = 150 * time.Second
)

var projectPattern = regexp.MustCompile(`^([a-z0-9.-]+:)?[a-z0-9][a-z0-9-]{0,62}$`)

// Driver is one project at Google Cloud. It implements cloud.Driver and cloud.Consoler.
type Driver struct {
	api      *compute.Service
	manager  *cloudresourcemanager.Service
	project  string
	identity string

	mu    sync.Mutex
	types map[typeAt]machineKind
}

var (
	_ cloud.Driver   = (*Driver)(nil)
	_ cloud.Consoler = (*Driver)(nil)
)

// New returns the driver of an account; it makes no call. The transport, when not nil, wraps the one that all calls go
// through, those for access tokens too. Calls are tried once: retrying is the caller's business.
func New(ctx context.Context, account cloud.Account, wrap cloud.Transport) (*Driver, error) {
	d, err := open(ctx, account, wrap)
	if err != nil {
		return nil, &cloud.Error{Class: cloud.Invalid, Op: "open gcp account " + account.Name, Err: err}
	}
	return d, nil
}

func open(ctx context.Context, account cloud.Account, wrap cloud.Transport) (*Driver, error) {
	text := account.Secrets[SecretCredentials].Reveal()
	if text == "" {
		return nil, fmt.Errorf("the secret %q is needed", SecretCredentials)
	}
	creds, err := parseCredentials([]byte(text))
	if err != nil {
		return nil, err
	}
	project := account.Settings[SettingProject]
	if project == "" {
		project = creds.project()
	}
	if !projectPattern.MatchString(project) {
		return nil, fmt.Errorf("project %q: want a project's id in the setting %q", project, SettingProject)
	}
	endpoint, err := endpointOf(account.Settings[SettingEndpoint], creds.UniverseDomain)
	if err != nil {
		return nil, err
	}
	transport, err := cloud.NewTransport(account, responseHeaderTimeout)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: cloud.RepeatReads(newBearer(creds, wrap.Around(wire(transport, creds.TokenURI))), cloud.Busy(judge))}
	// The SDK's debug log would show the bodies of requests, and with them user data.
	quiet := option.WithLogger(slog.New(slog.DiscardHandler))
	api, err := compute.NewService(ctx, option.WithHTTPClient(client), option.WithEndpoint(endpoint), quiet)
	if err != nil {
		return nil, fmt.Errorf("set up the SDK: %w", err)
	}
	api.BasePath, api.UserAgent = endpoint, "skyweld"
	at := managerEndpoint(account.Settings[SettingEndpointManager], account.Settings[SettingEndpoint], creds.UniverseDomain)
	manager, err := cloudresourcemanager.NewService(ctx, option.WithHTTPClient(client), option.WithEndpoint(at), quiet)
	if err != nil {
		return nil, fmt.Errorf("set up the SDK: %w", err)
	}
	manager.BasePath, manager.UserAgent = at, "skyweld"
	return &Driver{api: api, manager: manager, project: project, identity: creds.identity(), types: map[typeAt]machineKind{}}, nil
}

// endpointOf completes the API's URL: methods' paths are appended to it.
func endpointOf(setting, universe string) (string, error) {
	if setting == "" {
		if universe == "" {
			universe = "googleapis.com"
		}
		return "https://compute." + universe + "/compute/v1/", nil
	}
	u, err := url.Parse(setting)
	if err != nil || u.Scheme == "" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return "", fmt.Errorf("endpoint %q: want a URL like https://compute.googleapis.com/compute/v1/", setting)
	}
	return strings.TrimSuffix(setting, "/") + "/", nil
}

// Provider returns cloud.GCP.
func (*Driver) Provider() cloud.Provider { return cloud.GCP }

func invalid(format string, args ...any) error {
	return &cloud.Error{Class: cloud.Invalid, Message: fmt.Sprintf(format, args...)}
}
