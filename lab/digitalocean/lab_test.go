package digitalocean

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	"golang.org/x/oauth2"

	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

const (
	testToken  = "dop_v1_for_tests"
	testRegion = "nyc3"
	testSize   = "s-2vcpu-4gb"
	testImage  = "ubuntu-24-04-x64"
)

var ctx = context.Background()

// drawing is a world on paper on which starting a machine may fail.
type drawing struct {
	*paper.World
	fail error // of StartMachine
}

func (d *drawing) StartMachine(ctx context.Context, m world.Machine) error {
	if d.fail != nil {
		return d.fail
	}
	return d.World.StartMachine(ctx, m)
}

// lab is a service behind TLS with the official client.
type lab struct {
	t       *testing.T
	cfg     Config
	drawing *drawing
	service *Service
	server  *httptest.Server
	*godo.Client
}

func newLab(t *testing.T, change ...func(*Config)) *lab {
	t.Helper()
	l := &lab{t: t, drawing: &drawing{World: paper.New()}}
	l.cfg = Config{Physical: l.drawing, Dir: t.TempDir(), Token: testToken, Profile: world.Instant, Pools: paper.Pools()}
	for _, c := range change {
		c(&l.cfg)
	}
	l.start()
	t.Cleanup(l.stop)
	return l
}

func (l *lab) start() {
	l.t.Helper()
	var err error
	if l.service, err = New(l.cfg); err != nil {
		l.t.Fatal(err)
	}
	if err := l.service.Resume(ctx); err != nil {
		l.t.Fatal(err)
	}
	l.server = httptest.NewTLSServer(l.service)
	l.Client = l.client(testToken)
}

func (l *lab) stop() {
	l.server.Close()
	if err := l.service.Close(); err != nil {
		l.t.Error(err)
	}
}

func (l *lab) client(token string) *godo.Client {
	over := context.WithValue(ctx, oauth2.HTTPClient, l.server.Client())
	c, err := godo.New(oauth2.NewClient(over, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})), godo.SetBaseURL(l.server.URL+"/"))
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// must takes an answer that has to be one.
func must[T any](t *testing.T) func(v T, _ *godo.Response, err error) T {
	return func(v T, _ *godo.Response, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (l *lab) done(_ *godo.Response, err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// refused wants an error with a status and a message.
func (l *lab) refused(err error, status int, message string) {
	l.t.Helper()
	var e *godo.ErrorResponse
	switch {
	case !errors.As(err, &e):
		l.t.Errorf("got %v; want %d %s", err, status, message)
	case e.Response.StatusCode != status || e.Message != message || e.RequestID == "":
		l.t.Errorf("got %d %q (request %q); want %d %q", e.Response.StatusCode, e.Message, e.RequestID, status, message)
	}
}

// soon waits until something is so.
func (l *lab) soon(what string, is func() bool) {
	l.t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("not so in time: %s", what)
		}
	}
}

func (l *lab) vpc(name, region, ipRange string) *godo.VPC {
	l.t.Helper()
	return must[*godo.VPC](l.t)(l.VPCs.Create(ctx, &godo.VPCCreateRequest{Name: name, RegionSlug: region, IPRange: ipRange}))
}

func request(name, vpc string, tags ...string) *godo.DropletCreateRequest {
	return &godo.DropletCreateRequest{Name: name, Region: testRegion, Size: testSize, Image: godo.DropletCreateImage{Slug: testImage},
		SSHKeys: []godo.DropletCreateSSHKey{}, Tags: tags, VPCUUID: vpc, UserData: "#cloud-config\n"}
}

// droplet makes one and waits until it is active.
func (l *lab) droplet(name, vpc string, tags ...string) *godo.Droplet {
	l.t.Helper()
	d := must[*godo.Droplet](l.t)(l.Droplets.Create(ctx, request(name, vpc, tags...)))
	return l.active(d.ID)
}

func (l *lab) active(id int) *godo.Droplet {
	l.t.Helper()
	var d *godo.Droplet
	l.soon("the Droplet is active", func() bool {
		d = must[*godo.Droplet](l.t)(l.Droplets.Get(ctx, id))
		return d.Status == "active" && !d.Locked
	})
	return d
}

// destroy removes a Droplet and waits until it is gone.
func (l *lab) destroy(id int) {
	l.t.Helper()
	l.done(l.Droplets.Delete(ctx, id))
	l.soon("the Droplet is gone", func() bool {
		_, resp, err := l.Droplets.Get(ctx, id)
		return err != nil && resp.StatusCode == http.StatusNotFound
	})
}

func (l *lab) completed(a *godo.Action) {
	l.t.Helper()
	l.soon("the action is completed", func() bool {
		got := must[*godo.Action](l.t)(l.Actions.Get(ctx, a.ID))
		if got.Status == "errored" {
			l.t.Fatalf("action %s: errored", a.Type)
		}
		return got.Status == "completed"
	})
}
