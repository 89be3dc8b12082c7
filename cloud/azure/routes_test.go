package azure

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/armsdk"
)

// TestRoutes holds every call of a site's whole life against the SDK's routes and versions.
func TestRoutes(t *testing.T) {
	doc, err := armsdk.Load()
	if err != nil {
		t.Skipf("the SDK's sources can't be read: %v", err)
	}
	a, d := newFake(t)
	calls := 0
	a.watch = func(r *http.Request) {
		if strings.Contains(r.URL.Path, "/get/fake/") || strings.Contains(r.URL.Path, "page_") {
			return // of the fake servers themselves
		}
		calls++
		if o := doc.Operation(r.Method, r.URL.Path); o == nil || o.Version != r.URL.Query().Get("api-version") {
			t.Errorf("%s %s of version %s is none of the SDK's", r.Method, r.URL.Path, r.URL.Query().Get("api-version"))
		}
	}
	b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, cloudtest.DefaultSite("conf", fakeRegion, fakeZones))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Inventory(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := d.Check(t.Context(), fakeRegion); err != nil {
		t.Error(err)
	}
	for _, r := range slices.Backward(b.Resources) {
		if err := d.Delete(t.Context(), cloudtest.TestOwner, b.Objects[r.Key]); err != nil {
			t.Error(err)
		}
	}
	if calls < 100 {
		t.Errorf("only %d calls were seen", calls)
	}
}
