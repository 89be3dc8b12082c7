package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

// What the tests of all clouds have in common that meddle with a site behind the driver's back, or with the driver's way to
// the cloud.

// observedIn lists what isn't gone in a region, by key; several under one key fail the test.
func observedIn(t *testing.T, d cloud.Driver, region string) map[string]cloud.Object {
	t.Helper()
	list, err := d.Observe(t.Context(), cloudtest.TestOwner.UID, region)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]cloud.Object{}
	for _, o := range list {
		if o.State == cloud.Gone {
			continue
		}
		if twin, ok := out[o.Key]; ok {
			t.Errorf("%s is there twice: %s and %s", o.Key, twin.ID, o.ID)
		}
		out[o.Key] = o
	}
	return out
}

// handmade is a change of one thing by hand, and the one field in which the driver must see it.
type handmade struct {
	name, key, field string
	change           func(context.Context) error
}

// testHandmade makes one change after the other: the driver must see each in the right field, and mend it.
func testHandmade(t *testing.T, d cloud.Driver, b *cloudtest.Built, changes []handmade) {
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			if err := c.change(t.Context()); err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(b.Resources, func(r cloud.Resource) bool { return r.Key == c.key })
			want := b.Resources[i]
			got := observedIn(t, d, want.Region)[c.key]
			if diff, err := cloudtest.Differences(want.Spec, got.Spec); err != nil || !slices.Equal(diff, []string{c.field}) {
				t.Fatalf("the driver sees a difference in %v (error %v), want %q", diff, err, c.field)
			}
			mended, err := d.Update(t.Context(), cloud.UpdateRequest{
				Owner: cloudtest.TestOwner, Resource: want, Object: got, Fields: []string{c.field}, Refs: b.Objects,
			})
			if err != nil {
				t.Fatal(err)
			}
			got = observedIn(t, d, want.Region)[c.key]
			if diff, err := cloudtest.Differences(want.Spec, got.Spec); err != nil || len(diff) > 0 {
				t.Errorf("after the update %v differ (error %v):\n%s", diff, err, cmp.Diff(want.Spec, got.Spec))
			}
			if diff := cmp.Diff(got.Spec, mended.Spec); diff != "" {
				t.Errorf("the update returned another state than what is observed (-observed +returned):\n%s", diff)
			}
		})
	}
}

// cutter breaks off the nth call that isn't a question, after it has had its effect.
type cutter struct {
	next http.RoundTripper
	// asks tells questions from changes; nil for those that don't say it by their method alone.
	asks func(r *http.Request, body []byte) bool
	mu   sync.Mutex
	left int
}

var errCut = errors.New("the answer was lost")

func (c *cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	res, err := c.next.RoundTrip(r)
	if err != nil || r.Method == http.MethodGet || c.asks != nil && c.asks(r, body) {
		return res, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left != 0 {
		return res, nil
	}
	res.Body.Close()
	return nil, errCut
}

// testLostAnswers loses the answer to each changing call in turn; trying again with the same token must end with everything
// there once and as wanted. Open makes a fresh account and a driver of it.
func testLostAnswers(t *testing.T, site cloud.Site, least int, asks func(*http.Request, []byte) bool, open func(*testing.T, cloud.Transport) cloud.Driver) {
	t.Helper()
	lost := 0
	for n := 1; ; n++ {
		cut := &cutter{left: n, asks: asks}
		d := open(t, func(next http.RoundTripper) http.RoundTripper { cut.next = next; return cut })
		b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, site)
		if err != nil {
			t.Fatalf("call %d lost: %v", n, err)
		}
		wantBuilt(t, d, b, "call %d lost", n)
		if cut.left > 0 {
			break // fewer calls than n
		}
		lost++
	}
	if lost < least {
		t.Errorf("only %d calls were lost, want %d at least", lost, least)
	}
}

// testLostDeletions loses the answer to each changing call of a teardown in turn; trying again must end with nothing there.
func testLostDeletions(t *testing.T, site cloud.Site, least int, asks func(*http.Request, []byte) bool, open func(*testing.T, cloud.Transport) cloud.Driver) {
	t.Helper()
	lost := 0
	for n := 1; ; n++ {
		cut := &cutter{asks: asks}
		d := open(t, func(next http.RoundTripper) http.RoundTripper { cut.next = next; return cut })
		b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, site)
		if err != nil {
			t.Fatal(err)
		}
		cut.left = n
		for _, r := range slices.Backward(b.Resources) {
			err := d.Delete(t.Context(), cloudtest.TestOwner, b.Objects[r.Key])
			for try := 1; err != nil && try < 10 && cloud.ClassOf(err).Retryable(); try++ {
				err = d.Delete(t.Context(), cloudtest.TestOwner, b.Objects[r.Key])
			}
			if err != nil {
				t.Fatalf("call %d lost: %v", n, err)
			}
		}
		for key, o := range observedIn(t, d, site.Region) {
			t.Errorf("call %d lost: %s is left: %s", n, key, o.ID)
		}
		if cut.left > 0 {
			break // fewer calls than n
		}
		lost++
	}
	if lost < least {
		t.Errorf("only %d calls were lost, want %d at least", lost, least)
	}
}

// wantBuilt wants everything of a site there once, as asked for, and nothing else.
func wantBuilt(t *testing.T, d cloud.Driver, b *cloudtest.Built, when string, args ...any) {
	t.Helper()
	there := observedIn(t, d, b.Resources[0].Region)
	for _, r := range b.Resources {
		if diff, err := cloudtest.Differences(r.Spec, there[r.Key].Spec); err != nil || len(diff) > 0 || there[r.Key].ID != b.Objects[r.Key].ID {
			t.Errorf(when+": %s has id %s (want %s), differs in %v (error %v)", append(args, r.Key, there[r.Key].ID, b.Objects[r.Key].ID, diff, err)...)
		}
	}
	if len(there) != len(b.Resources) {
		t.Errorf(when+": %d things for %d resources", append(args, len(there), len(b.Resources))...)
	}
}
