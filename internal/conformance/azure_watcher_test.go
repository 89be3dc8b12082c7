package conformance_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/lab/world"
)

// watched is a subscription in which sites without machines come and go, and what becomes of Azure's Network Watchers.
type watched struct {
	*testing.T
	d    cloud.Driver
	hand azureHand
}

func newWatched(t *testing.T, wrap cloud.Transport) *watched {
	t.Helper()
	lab := newAzureLab(t, world.Instant)
	return &watched{t, lab.wrapped(t, wrap), lab.hand(t)}
}

// watchers are those that the subscription has, by region, with "group" for the group that they are in.
func (w *watched) watchers() []string {
	w.Helper()
	items, err := w.d.Inventory(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	found := []string{}
	for _, i := range items {
		switch {
		case i.Kind == "network-watcher":
			found = append(found, i.Region)
		case i.Kind == "resource-group" && i.Name == "networkwatcherrg":
			found = append(found, "group")
		}
	}
	slices.Sort(found)
	return found
}

func (w *watched) want(when string, watchers ...string) {
	w.Helper()
	if d := cmp.Diff(append([]string{}, watchers...), w.watchers()); d != "" {
		w.Fatalf("network watchers %s (-want +got):\n%s", when, d)
	}
}

// up makes a site's network with all that it needs; down deletes it, and its group last.
func (w *watched) up(owner cloud.Owner, name, region string) (down func()) {
	w.Helper()
	site := cloudtest.DefaultSite(name, region, []string{region + "-1"})
	site.Machines = nil
	b, err := cloudtest.Build(w.Context(), w.d, owner, site)
	if err != nil {
		w.Fatal(err)
	}
	return func() {
		w.Helper()
		for _, r := range slices.Backward(b.Resources) {
			if err := w.d.Delete(w.Context(), owner, b.Objects[r.Key]); err != nil {
				w.Fatal(err)
			}
		}
	}
}

// theirs makes a network as somebody else does, in a group of its own; gone takes both away.
func (w *watched) theirs(region string) (gone func()) {
	w.Helper()
	ctx := w.Context()
	check := func(err error) {
		w.Helper()
		if err != nil {
			w.Fatal(err)
		}
	}
	_, err := w.hand.groups.CreateOrUpdate(ctx, "theirs", armresources.ResourceGroup{Location: &region}, nil)
	check(err)
	p, err := w.hand.networks.BeginCreateOrUpdate(ctx, "theirs", "net", armnetwork.VirtualNetwork{
		Location:   &region,
		Properties: &armnetwork.VirtualNetworkPropertiesFormat{AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{to.Ptr("172.30.0.0/24")}}},
	}, nil)
	check(azureDone(ctx, p, err))
	return func() {
		w.Helper()
		p, err := w.hand.groups.BeginDelete(ctx, "theirs", nil)
		check(azureDone(ctx, p, err))
	}
}

// TestAzureWatcher has Azure make a Network Watcher with the first network of a region: it goes with the last of ours if it
// wasn't there before, and stays if it was, or if somebody uses it by then.
func TestAzureWatcher(t *testing.T) {
	us, other := cloudtest.TestOwner, cloud.Owner{UID: "0123456789abcdef", Name: "other"}
	const more = "westus2"
	t.Run("not there before", func(t *testing.T) {
		w := newWatched(t, nil)
		w.want("before")
		down := w.up(us, "conf", azureRegion)
		w.want("with our network", azureRegion, "group")
		down()
		w.want("afterwards")
	})
	t.Run("there before", func(t *testing.T) {
		w := newWatched(t, nil)
		w.theirs(azureRegion)()
		w.want("left by somebody's network", azureRegion, "group")
		w.up(us, "conf", azureRegion)()
		w.want("afterwards", azureRegion, "group")
	})
	t.Run("there in another region", func(t *testing.T) {
		w := newWatched(t, nil)
		w.theirs(more)()
		w.up(us, "conf", azureRegion)()
		w.want("afterwards", "group", more)
	})
	t.Run("used by somebody's network since", func(t *testing.T) {
		w := newWatched(t, nil)
		down := w.up(us, "conf", azureRegion)
		w.theirs(azureRegion)
		down()
		w.want("afterwards", azureRegion, "group")
	})
	t.Run("with a flow log since", func(t *testing.T) {
		w := newWatched(t, func(next http.RoundTripper) http.RoundTripper { return flowLog{next} })
		w.up(us, "conf", azureRegion)()
		w.want("afterwards", azureRegion, "group")
	})
	t.Run("of two regions", func(t *testing.T) {
		w := newWatched(t, nil)
		first, second := w.up(us, "conf", azureRegion), w.up(us, "more", more)
		w.want("with both", azureRegion, "group", more)
		first()
		w.want("with one", "group", more)
		second()
		w.want("afterwards")
	})
	t.Run("of two clusters", func(t *testing.T) {
		w := newWatched(t, nil)
		first, second := w.up(us, "conf", azureRegion), w.up(other, "conf", azureRegion)
		first()
		w.want("with one", azureRegion, "group")
		second()
		w.want("afterwards")
	})
}

// flowLog answers for a lab whose watchers do nothing: somebody has set up a flow log.
type flowLog struct{ next http.RoundTripper }

func (f flowLog) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/flowLogs") {
		return f.next.RoundTrip(r)
	}
	const body = `{"value":[{"name":"theirs","properties":{"enabled":true}}]}`
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
	}, context.Cause(r.Context())
}
