package conformance_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	labarm "github.com/skyweld/skyweld/lab/arm"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

// azureCalls counts what drivers ask Azure to change, by method and the name in the path, and tells about each answer.
type azureCalls struct {
	mu    sync.Mutex
	calls map[string]int
	// heard is called with every call that was answered; nil for nobody.
	heard func(call string)
}

func (c *azureCalls) transport(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if err != nil || isLogin(r) {
			return resp, err
		}
		call := r.Method + " " + r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		c.mu.Lock()
		c.calls[call]++
		heard := c.heard
		c.mu.Unlock()
		if heard != nil {
			heard(call)
		}
		return resp, nil
	})
}

func (c *azureCalls) listen(heard func(call string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls, c.heard = map[string]int{}, heard
}

func (c *azureCalls) count(call string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[call]
}

// TestAzureRestart ends the engine as soon as Azure has accepted to make something, or to delete it. Another engine, which
// knows no more than what is on record, begins the same again: everything is asked for once only.
func TestAzureRestart(t *testing.T) {
	lab := newAzureLab(t, world.Quick)
	c := &azureCalls{calls: map[string]int{}}
	list, err := lab.wrapped(t, c.transport).Blueprint(cloudtest.TestOwner, azureSite())
	if err != nil {
		t.Fatal(err)
	}
	// One of each kind will do: the first machine comes after what it needs.
	last := slices.IndexFunc(list, func(r cloud.Resource) bool { return r.Kind == "virtual-machine" })
	b := &cloudtest.Built{Resources: list[:last+1], Objects: map[string]cloud.Object{}}
	// twice runs something with an engine that ends with the answer to a call, and then with another.
	twice := func(call string, do func(context.Context, cloud.Driver) error) {
		t.Helper()
		ctx, end := context.WithCancel(t.Context())
		defer end()
		c.listen(func(heard string) {
			if heard == call {
				end()
			}
		})
		if err := do(ctx, lab.wrapped(t, c.transport)); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: %v", call, err)
		}
		if n := c.count(call); n != 1 {
			t.Fatalf("%s: called %d times before the restart", call, n)
		}
		if err := do(t.Context(), lab.wrapped(t, c.transport)); err != nil {
			t.Fatalf("%s: after the restart: %v", call, err)
		}
		if n := c.count(call); n != 1 {
			t.Errorf("%s: called %d times, want the first to be taken up", call, n)
		}
	}
	for _, r := range b.Resources {
		twice("PUT "+cloudtest.TestOwner.ResourceName(r.Key), func(ctx context.Context, d cloud.Driver) error {
			o, err := d.Create(ctx, b.Request(d, cloudtest.TestOwner, r, 1))
			if err == nil {
				b.Objects[r.Key] = o
			}
			return err
		})
	}
	d := lab.wrapped(t, c.transport)
	wantBuilt(t, d, b, "each made with a restart")
	for _, r := range slices.Backward(b.Resources) {
		twice("DELETE "+cloudtest.TestOwner.ResourceName(r.Key), func(ctx context.Context, d cloud.Driver) error {
			return d.Delete(ctx, cloudtest.TestOwner, b.Objects[r.Key])
		})
	}
	left, err := d.Inventory(t.Context())
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v (error %v)", left, err)
	}
}

// gatedWorld makes what is done to machines wait.
type gatedWorld struct {
	*paper.World
	mu      sync.Mutex
	gate    chan struct{} // closed when things may go on
	outcome error         // of the first that goes on
}

// shut lets things wait, and says how the first of them will end.
func (w *gatedWorld) shut(outcome error) (open func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	gate := make(chan struct{})
	w.gate, w.outcome = gate, outcome
	return sync.OnceFunc(func() { close(gate) })
}

func (w *gatedWorld) pass(ctx context.Context) error {
	w.mu.Lock()
	gate := w.gate
	w.mu.Unlock()
	select {
	case <-gate:
	case <-ctx.Done():
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.outcome
	w.outcome = nil
	return err
}

func (w *gatedWorld) StartMachine(ctx context.Context, m world.Machine) error {
	if err := w.pass(ctx); err != nil {
		return err
	}
	return w.World.StartMachine(ctx, m)
}

func (w *gatedWorld) DestroyMachine(ctx context.Context, id string) error {
	if err := w.pass(ctx); err != nil {
		return err
	}
	return w.World.DestroyMachine(ctx, id)
}

// TestAzureRestartInTheMiddle ends the engine while a machine is being made or deleted, and lets that go on only when
// another engine has looked: what was begun ends well, or has failed meanwhile.
func TestAzureRestartInTheMiddle(t *testing.T) {
	for _, test := range []struct {
		name    string
		outcome error
		want    int // how often each is asked for
	}{
		{"ends well", nil, 1},
		{"has failed", errors.New("the host is on fire"), 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newAzureRestart(t)
			machine := s.resources[len(s.resources)-1]
			name := cloudtest.TestOwner.ResourceName(machine.Key)
			err := s.middle(name, http.MethodPut, test.outcome, func(ctx context.Context, d cloud.Driver) error {
				o, err := d.Create(ctx, s.b.Request(d, cloudtest.TestOwner, machine, 1))
				s.b.Objects[machine.Key] = o
				return err
			})
			if n := s.calls.count("PUT " + name); err != nil || n != test.want {
				t.Fatalf("the machine was asked for %d times (error %v), want %d", n, err, test.want)
			}
			if o := observedIn(t, s.driver(), azureRegion)[machine.Key]; o.State != cloud.Ready || o.ID != s.b.Objects[machine.Key].ID {
				t.Errorf("it is %s and %s, want %s and ready", o.ID, o.State, s.b.Objects[machine.Key].ID)
			}
			err = s.middle(name, http.MethodDelete, test.outcome, func(ctx context.Context, d cloud.Driver) error {
				return d.Delete(ctx, cloudtest.TestOwner, s.b.Objects[machine.Key])
			})
			if n := s.calls.count("DELETE " + name); err != nil || n != test.want {
				t.Errorf("its end was asked for %d times (error %v), want %d", n, err, test.want)
			}
			for key, o := range observedIn(t, s.driver(), azureRegion) {
				if o.Kind == "virtual-machine" || o.Kind == "disk" {
					t.Errorf("%s is left: %s", key, o.ID)
				}
			}
		})
	}
}

// azureRestart is a site but for its one machine, which can be kept waiting.
type azureRestart struct {
	t         *testing.T
	lab       *azureLab
	world     *gatedWorld
	calls     *azureCalls
	resources []cloud.Resource
	b         *cloudtest.Built
}

func newAzureRestart(t *testing.T) *azureRestart {
	t.Helper()
	s := &azureRestart{t: t, world: &gatedWorld{World: paper.New()}, calls: &azureCalls{calls: map[string]int{}}}
	s.lab = newAzureLab(t, world.Instant, func(c *labarm.Config) { c.Physical = s.world })
	site := azureSite()
	site.Machines = site.Machines[:1]
	d := s.driver()
	var err error
	if s.resources, err = d.Blueprint(cloudtest.TestOwner, site); err != nil {
		t.Fatal(err)
	}
	s.b = &cloudtest.Built{Resources: s.resources, Objects: map[string]cloud.Object{}}
	for _, r := range s.resources[:len(s.resources)-1] {
		if s.b.Objects[r.Key], err = d.Create(t.Context(), s.b.Request(d, cloudtest.TestOwner, r, 1)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// driver is another engine's.
func (s *azureRestart) driver() cloud.Driver { return s.lab.wrapped(s.t, s.calls.transport) }

// middle ends one engine with the answer to its call, and lets the cloud go on when the next has looked twice.
func (s *azureRestart) middle(name, method string, outcome error, do func(context.Context, cloud.Driver) error) error {
	s.t.Helper()
	open := s.world.shut(outcome)
	s.t.Cleanup(open) // before the lab is closed, which waits for what it does
	ctx, end := context.WithCancel(s.t.Context())
	defer end()
	looks, ended := 0, false
	s.calls.listen(func(heard string) {
		s.calls.mu.Lock()
		defer s.calls.mu.Unlock()
		switch {
		case heard == method+" "+name && !ended:
			ended = true
			end()
		case heard == "GET "+name && ended:
			if looks++; looks == 2 {
				open()
			}
		}
	})
	if err := do(ctx, s.driver()); !errors.Is(err, context.Canceled) {
		s.t.Fatalf("%s %s: the engine that was ended says: %v", method, name, err)
	}
	return do(s.t.Context(), s.driver())
}
