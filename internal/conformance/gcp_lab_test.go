package conformance_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/option"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/cloud/gcp"
	labgce "github.com/skyweld/skyweld/lab/gce"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

const (
	gcpProject = "skyweld-lab"
	gcpRegion  = "us-east4"
	gcpToken   = "ya29.behind-the-drivers-back"
	gcpRefresh = "1//refresh"
)

var gcpZones = []string{"us-east4-a", "us-east4-b", "us-east4-c"}

// gcpKey is the key of every lab's service account, as making one takes long; its URLs are to be replaced.
var gcpKey = sync.OnceValues(func() ([]byte, error) { return labgce.NewServiceAccountKey(gcpProject, gcpKeyURL+"/token") })

const gcpKeyURL = "https://lab.invalid"

// gcpLab is the lab's Compute Engine behind TLS, with a driver's account for it.
type gcpLab struct {
	*gate
	account cloud.Account
	key     []byte
}

func newGCPLab(t *testing.T, profile world.Profile) *gcpLab {
	t.Helper()
	l := &gcpLab{gate: newGate()}
	pattern, err := gcpKey()
	if err != nil {
		t.Fatal(err)
	}
	l.key = bytes.ReplaceAll(pattern, []byte(gcpKeyURL), []byte(l.server.URL))
	service, err := labgce.New(labgce.Config{
		Physical: paper.New(), Dir: t.TempDir(), Project: gcpProject, ProjectNumber: 424242424242,
		ServiceAccountKey: l.key, AccessToken: gcpToken, RefreshToken: gcpRefresh, BaseURL: func() string { return l.server.URL }, Profile: profile,
		Pool: paper.Pools(),
	})
	if err != nil {
		t.Fatal(err)
	}
	l.dialect = service.Dialect()
	l.open(t, "Compute Engine", service, service.Close)
	l.account = cloud.Account{
		Name: "lab", Provider: cloud.GCP,
		Settings: map[string]string{gcp.SettingEndpoint: l.server.URL + "/compute/v1"},
		Secrets:  map[string]cloud.Secret{gcp.SecretCredentials: cloud.Secret(l.key)},
		CA:       l.ca(),
	}
	return l
}

// driver opens the account; all calls are held against the discovery document.
func (l *gcpLab) driver(t *testing.T, wrap cloud.Transport) cloud.Driver {
	t.Helper()
	d, err := gcp.New(t.Context(), l.account, func(next http.RoundTripper) http.RoundTripper {
		if wrap != nil {
			next = wrap(next)
		}
		return newGCPJudge(t).Transport(next)
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// wrong is a driver with the key of another account.
func (l *gcpLab) wrong(t *testing.T) cloud.Driver {
	t.Helper()
	key, err := labgce.NewServiceAccountKey(gcpProject, l.server.URL+"/token")
	if err != nil {
		t.Fatal(err)
	}
	account := l.account
	account.Secrets = map[string]cloud.Secret{gcp.SecretCredentials: cloud.Secret(key)}
	d, err := gcp.New(t.Context(), account, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// client is a client of the API that goes behind the driver's back.
func (l *gcpLab) client(t *testing.T) *compute.Service {
	t.Helper()
	hc := &http.Client{Transport: &oauth2.Transport{
		Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: gcpToken}), Base: l.server.Client().Transport,
	}}
	api, err := compute.NewService(t.Context(), option.WithHTTPClient(hc), option.WithEndpoint(l.server.URL+"/compute/v1/"))
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// gcpName is the name in an object's id, with the zone or region before it.
func gcpName(o cloud.Object) (location, name string) {
	path, _, _ := strings.Cut(o.ID, "#")
	parts := strings.Split(path, "/")
	return parts[len(parts)-3], parts[len(parts)-1]
}

// gcpDone waits for an operation that a call behind the driver's back has begun.
func gcpDone(t *testing.T, api *compute.Service, op *compute.Operation, err error) {
	t.Helper()
	for err == nil && op.Status != "DONE" {
		switch {
		case op.Zone != "":
			op, err = api.ZoneOperations.Wait(gcpProject, op.Zone[strings.LastIndexByte(op.Zone, '/')+1:], op.Name).Context(t.Context()).Do()
		case op.Region != "":
			op, err = api.RegionOperations.Wait(gcpProject, op.Region[strings.LastIndexByte(op.Region, '/')+1:], op.Name).Context(t.Context()).Do()
		default:
			op, err = api.GlobalOperations.Wait(gcpProject, op.Name).Context(t.Context()).Do()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if op.Error != nil {
		t.Fatalf("%s: %s", op.OperationType, op.Error.Errors[0].Message)
	}
}

func TestGCPOnTheLab(t *testing.T) {
	for _, profile := range []world.Profile{world.Instant, world.Quick} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			var lab *gcpLab // of the test that runs
			cloudtest.Run(t, cloudtest.Harness{
				New: func(t *testing.T) cloud.Driver {
					lab = newGCPLab(t, profile)
					return lab.driver(t, nil)
				},
				Region: gcpRegion, Zones: gcpZones, Change: gcpChange, UnknownSize: "e2-standard-3", TinySize: "e2-micro", TooMany: true,
				WrongCredentials: func(t *testing.T) cloud.Driver { return newGCPLab(t, profile).wrong(t) },
				Terminate: func(t *testing.T, _ cloud.Driver, m cloud.Object) {
					api := lab.client(t)
					zone, name := gcpName(m)
					op, err := api.Instances.Delete(gcpProject, zone, name).Context(t.Context()).Do()
					gcpDone(t, api, op, err)
				},
				Stop: func(t *testing.T, _ cloud.Driver, m cloud.Object) {
					api := lab.client(t)
					zone, name := gcpName(m)
					op, err := api.Instances.Stop(gcpProject, zone, name).Context(t.Context()).Do()
					gcpDone(t, api, op, err)
				},
				Stall:   func(*testing.T, cloud.Driver) func() { return lab.stall() },
				Timeout: 90 * time.Second,
			})
		})
	}
}

// TestGCPUser uses a user's login in place of a service account's key.
func TestGCPUser(t *testing.T) {
	lab := newGCPLab(t, world.Instant)
	for refresh, want := range map[string]cloud.Class{gcpRefresh: "", "1//revoked": cloud.Denied} {
		file, err := json.Marshal(map[string]string{
			"type": "authorized_user", "client_id": "id", "client_secret": "secret", "refresh_token": refresh, "token_uri": lab.server.URL + "/token",
			"account": "somebody@example.com", "quota_project_id": gcpProject,
		})
		if err != nil {
			t.Fatal(err)
		}
		account := lab.account
		account.Secrets = map[string]cloud.Secret{gcp.SecretCredentials: cloud.Secret(file)}
		tokens := 0
		d, err := gcp.New(t.Context(), account, func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/token" {
					tokens++
				}
				return next.RoundTrip(r)
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		rep, err := d.Check(t.Context(), gcpRegion)
		switch {
		case want == "" && (err != nil || rep.Identity != "somebody@example.com" || rep.Account != gcpProject):
			t.Errorf("report %+v, error %v", rep, err)
		case want != "" && cloud.ClassOf(err) != want:
			t.Errorf("error %v, want class %s", err, want)
		}
		if tokens != 1 {
			t.Errorf("the transport saw %d requests for tokens, want 1", tokens)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// gcpChange makes the changes that the suite can't make by itself. It leaves out the MTU, which can be changed only while
// no machine runs.
func gcpChange(r cloud.Resource, field string) any {
	switch s := r.Spec.(type) {
	case *gcp.NetworkSpec:
		c := *s
		switch field {
		case "routingMode":
			c.RoutingMode = "GLOBAL"
			return &c
		case "firewallOrder":
			c.FirewallOrder = "BEFORE_CLASSIC_FIREWALL"
			return &c
		}
	case *gcp.SubnetworkSpec:
		c := *s
		if field == "secondaryRanges" {
			c.SecondaryRanges = []string{"more=10.200.0.0/20"}
			return &c
		}
	case *gcp.FirewallSpec:
		return gcpChangeRule(*s, field)
	case *gcp.InstanceSpec:
		c := *s
		switch field {
		case "publicAddress":
			if c.PublicAddress != "ephemeral" {
				c.PublicAddress = "ephemeral"
			} else {
				c.PublicAddress = ""
			}
			return &c
		case "metadata":
			c.Metadata = map[string]string{"block-project-ssh-keys": "false", "enable-oslogin": "FALSE"}
			return &c
		}
	}
	return nil
}

func gcpChangeRule(c gcp.FirewallSpec, field string) any {
	switch field {
	case "priority":
		c.Priority = 900
	case "allowed":
		c.Allowed = []gcp.Traffic{{Protocol: "icmp", Ports: []string{}}, {Protocol: "tcp", Ports: []string{"443", "8000-9000"}}}
	case "sources":
		c.Sources = []string{"203.0.113.0/24"}
	case "sourceTags":
		c.SourceTags = []string{"bastion"}
	case "destinations":
		c.Destinations = []string{"10.64.0.0/24"}
	default:
		return nil
	}
	return &c
}
