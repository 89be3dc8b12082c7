package gce

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2/google"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

const (
	testProject = "skyweld-lab"
	testRegion  = "us-east4"
	testZone    = "us-east4-b"
	fixedToken  = "ya29.fixed-for-tests"
)

// slowWorld is a world on paper that starts no machine without an interface, and can take its time or fail.
type slowWorld struct {
	*paper.World
	mu       sync.Mutex
	started  []world.Machine
	failNext error
	// hold, when set, blocks StartMachine until it is closed.
	hold chan struct{}
}

func (w *slowWorld) StartMachine(ctx context.Context, m world.Machine) error {
	if w.hold != nil {
		<-w.hold
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.failNext; err != nil {
		w.failNext = nil
		return err
	}
	plugged := false
	for _, n := range w.Networks() {
		for _, nic := range n.NICs {
			plugged = plugged || nic.Machine == m.ID
		}
	}
	if !plugged {
		return errors.New("machine has no interface yet")
	}
	w.started = append(w.started, m)
	return w.World.StartMachine(ctx, m)
}

// lab is a service with a server and a client of Google's SDK, whose every answer is held against the discovery document.
type lab struct {
	t    *testing.T
	svc  *Service
	phys *slowWorld
	srv  *httptest.Server
	cfg  Config
	api  *compute.Service
}

type labOption func(*Config)

func newLab(t *testing.T, options ...labOption) *lab {
	t.Helper()
	l := &lab{t: t, phys: &slowWorld{World: paper.New()}}
	l.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.svc.ServeHTTP(w, r) }))
	t.Cleanup(l.srv.Close)
	key, err := NewServiceAccountKey(testProject, l.srv.URL+"/token")
	if err != nil {
		t.Fatal(err)
	}
	l.cfg = Config{
		Physical: l.phys, Dir: t.TempDir(), Project: testProject, ProjectNumber: 424242424242, ServiceAccountKey: key,
		AccessToken: fixedToken, RefreshToken: "1//refresh", BaseURL: func() string { return l.srv.URL }, Profile: world.Instant,
		Pool: paper.Pools(),
	}
	for _, o := range options {
		o(&l.cfg)
	}
	l.open()
	l.api = l.client()
	return l
}

// open makes the service anew from its folder, as after a restart.
func (l *lab) open() {
	l.t.Helper()
	svc, err := New(l.cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.svc = svc
	if err := svc.Resume(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { svc.Close() })
}

// client is the SDK's client with the credentials of the key file: it asks the token endpoint by itself.
func (l *lab) client() *compute.Service {
	l.t.Helper()
	conf, err := google.JWTConfigFromJSON(l.cfg.ServiceAccountKey, compute.ComputeScope)
	if err != nil {
		l.t.Fatal(err)
	}
	hc := conf.Client(context.Background())
	hc.Transport = judged(l.t, hc.Transport)
	api, err := compute.NewService(l.t.Context(), option.WithHTTPClient(hc), option.WithEndpoint(l.srv.URL+"/compute/v1/"))
	if err != nil {
		l.t.Fatal(err)
	}
	return api
}

// raw sends a request with the fixed token and returns the answer's code and body.
func (l *lab) raw(method, path, body string) (int, string) {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.srv.URL+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+fixedToken)
	resp, err := (&http.Client{Transport: judged(l.t, http.DefaultTransport)}).Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// wait waits for an operation and returns it.
func (l *lab) wait(op *compute.Operation, err error) *compute.Operation {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
	switch {
	case op.Zone != "":
		op, err = l.api.ZoneOperations.Wait(testProject, base(op.Zone), op.Name).Do()
	case op.Region != "":
		op, err = l.api.RegionOperations.Wait(testProject, base(op.Region), op.Name).Do()
	default:
		op, err = l.api.GlobalOperations.Wait(testProject, op.Name).Do()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	if op.Status != "DONE" {
		l.t.Fatalf("operation %s is %s after wait", op.Name, op.Status)
	}
	return op
}

// done waits for an operation that must succeed.
func (l *lab) done(op *compute.Operation, err error) *compute.Operation {
	l.t.Helper()
	op = l.wait(op, err)
	if op.Error != nil {
		l.t.Fatalf("operation %s of %s failed: %s", op.OperationType, op.TargetLink, op.Error.Errors[0].Message)
	}
	return op
}

// failed waits for an operation that must fail with a code.
func (l *lab) failed(code string, op *compute.Operation, err error) string {
	l.t.Helper()
	op = l.wait(op, err)
	if op.Error == nil {
		l.t.Fatalf("operation %s of %s succeeded, want %s", op.OperationType, op.TargetLink, code)
	}
	if got := op.Error.Errors[0].Code; got != code {
		l.t.Fatalf("operation failed with %s (%s), want %s", got, op.Error.Errors[0].Message, code)
	}
	return op.Error.Errors[0].Message
}

// refused checks the status and reason of an error, and that its message holds a text.
func refused(t *testing.T, err error, code int, reason, text string) {
	t.Helper()
	var ge *googleapi.Error
	if !errors.As(err, &ge) {
		t.Fatalf("error is %v, want %d %s", err, code, reason)
	}
	if ge.Code != code || len(ge.Errors) == 0 || ge.Errors[0].Reason != reason || !strings.Contains(ge.Message, text) {
		t.Fatalf("error is %d %+v %q, want %d %s with %q", ge.Code, ge.Errors, ge.Message, code, reason, text)
	}
}

// makeNetwork makes a custom network with one subnet.
func (l *lab) makeNetwork(name, cidr string) {
	l.t.Helper()
	l.done(l.api.Networks.Insert(testProject, &compute.Network{Name: name, ForceSendFields: []string{"AutoCreateSubnetworks"}}).Do())
	l.done(l.api.Subnetworks.Insert(testProject, testRegion, &compute.Subnetwork{Name: name, Network: "global/networks/" + name, IpCidrRange: cidr}).Do())
}

// instance is a request for a small machine in a subnet.
func instance(name, subnet string) *compute.Instance {
	return &compute.Instance{
		Name: name, MachineType: "zones/" + testZone + "/machineTypes/e2-medium",
		Disks: []*compute.AttachedDisk{{Boot: true, AutoDelete: true, InitializeParams: &compute.AttachedDiskInitializeParams{
			SourceImage: "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64", DiskSizeGb: 20,
			DiskType: "zones/" + testZone + "/diskTypes/pd-balanced",
		}}},
		NetworkInterfaces: []*compute.NetworkInterface{{
			Subnetwork:    "regions/" + testRegion + "/subnetworks/" + subnet,
			AccessConfigs: []*compute.AccessConfig{{Name: "External NAT", Type: "ONE_TO_ONE_NAT"}},
		}},
	}
}
