package azure

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	computefake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7/fake"
	networkfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8/fake"
	resourcesfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3/fake"
	subscriptionsfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions/fake"
)

const (
	fakeSubscription = "0b1f6471-1bf0-4dda-aec3-111122223333"
	fakeRegion       = "eastus"
)

// fakeAzure is a subscription in memory behind the SDK's fake servers: they take every request apart by the official
// routes and types, so one that Azure wouldn't understand fails here.
type fakeAzure struct {
	mu     sync.Mutex
	serial int
	fault  map[string]string // "PUT virtualmachines" → "409 SkuNotAvailable"; once each
	calls  map[string]int    // by method of the SDK
	lists  []string
	watch  func(*http.Request)
	// failsNow says that what is being made will fail.
	failsNow bool

	shelves
}

// newFake makes an empty subscription and a driver on it.
func newFake(t *testing.T) (*fakeAzure, *Driver) {
	t.Helper()
	a := &fakeAzure{fault: map[string]string{}, calls: map[string]int{}, shelves: newShelves()}
	var network networkfake.ServerFactory
	var compute computefake.ServerFactory
	var resources resourcesfake.ServerFactory
	var subscriptions subscriptionsfake.ServerFactory
	a.serveNetwork(&network)
	a.serveWatchers(&network)
	a.serveCompute(&compute)
	a.serveResources(&resources)
	a.serveSubscriptions(&subscriptions)
	d := &Driver{
		subscription: fakeSubscription, login: &login{credential: &azfake.TokenCredential{}, name: "test"}, offered: map[string]offer{},
		http: &http.Client{Transport: bootLog{}},
	}
	err := d.clientsOn(&arm.ClientOptions{
		DisableRPRegistration: true,
		ClientOptions: azcore.ClientOptions{
			Cloud: azcloud.AzurePublic, Retry: policy.RetryOptions{MaxRetries: -1},
			Transport: &dispatcher{
				a: a, network: networkfake.NewServerFactoryTransport(&network), compute: computefake.NewServerFactoryTransport(&compute),
				resources: resourcesfake.NewServerFactoryTransport(&resources), subscriptions: subscriptionsfake.NewServerFactoryTransport(&subscriptions),
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, d
}

// dispatcher sends each request to the fake server of its module.
type dispatcher struct {
	a                                          *fakeAzure
	lists                                      sync.Mutex
	network, compute, resources, subscriptions policy.Transporter
}

func (x *dispatcher) Do(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	path := strings.ToLower(req.URL.Path)
	x.a.count(req.Method + " " + path)
	if x.a.watch != nil {
		x.a.mu.Lock()
		x.a.watch(req)
		x.a.mu.Unlock()
	}
	base := "/subscriptions/" + fakeSubscription
	switch {
	case strings.Contains(path, "/providers/microsoft.network/"):
		return x.network.Do(req)
	case strings.HasSuffix(path, "/providers/microsoft.compute/virtualmachines"):
		// The fake servers tell lists from each other by their paths only, and there are two with this one.
		x.lists.Lock()
		defer x.lists.Unlock()
		return x.compute.Do(req)
	case strings.Contains(path, "/providers/microsoft.compute/"):
		return x.compute.Do(req)
	case path == base, path == base+"/locations":
		return x.subscriptions.Do(req)
	}
	return x.resources.Do(req)
}

func (a *fakeAzure) count(call string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls[call]++
	if strings.HasPrefix(call, "GET ") {
		a.lists = append(a.lists, call)
	}
}

// failing takes a fault that was set for a call.
func (a *fakeAzure) failing(call string) (status int, code string, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	text, ok := a.fault[call]
	if !ok {
		return 0, "", false
	}
	delete(a.fault, call)
	if _, err := fmt.Sscanf(text, "%d %s", &status, &code); err != nil {
		panic(err)
	}
	return status, code, true
}

// number is what Azure gives each thing anew.
func (a *fakeAzure) number() *string {
	a.serial++
	return ptr(fmt.Sprintf("00000000-0000-0000-0000-%012d", a.serial))
}

// shelf holds the resources of one type by "group/name" in small letters.
type shelf[T any] map[string]*T

func at(group, name string) string { return strings.ToLower(group + "/" + name) }

func (s shelf[T]) sorted() []*T {
	var keys []string
	for k := range s {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var out []*T
	for _, k := range keys {
		out = append(out, s[k])
	}
	return out
}

// refuse is an error in an answer.
type refuse struct {
	status int
	code   string
}

// put makes or changes something: make fills in what Azure fills in, or refuses.
func put[T, R any](a *fakeAzure, kind string, s shelf[T], group, name string, x T, make func(*T, *T) *refuse, wrap func(T) R) (resp azfake.PollerResponder[R], e azfake.ErrorResponder) {
	if status, code, ok := a.failing("PUT " + kind); ok {
		e.SetResponseError(status, code)
		return resp, e
	}
	late, lateCode, fails := a.failing("LATE " + kind)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.groups[at(group, group)] == nil {
		e.SetResponseError(http.StatusNotFound, "ResourceGroupNotFound")
		return resp, e
	}
	a.failsNow = fails
	before := s[at(group, name)]
	if r := make(&x, before); r != nil {
		e.SetResponseError(r.status, r.code)
		return resp, e
	}
	s[at(group, name)] = &x
	resp.AddNonTerminalResponse(http.StatusCreated, nil)
	if fails {
		resp.SetTerminalError(late, lateCode)
		return resp, e
	}
	resp.SetTerminalResponse(http.StatusOK, wrap(x), nil)
	return resp, e
}

func get[T, R any](a *fakeAzure, s shelf[T], group, name string, wrap func(T) R) (resp azfake.Responder[R], e azfake.ErrorResponder) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch x := s[at(group, name)]; {
	case a.groups[at(group, group)] == nil:
		e.SetResponseError(http.StatusNotFound, "ResourceGroupNotFound")
	case x == nil:
		e.SetResponseError(http.StatusNotFound, "ResourceNotFound")
	default:
		resp.SetResponse(http.StatusOK, wrap(*x), nil)
	}
	return resp, e
}

// remove deletes something; used says whether it may not, and then whatever goes along.
func remove[T, R any](a *fakeAzure, kind string, s shelf[T], group, name string, used func(*T) *refuse) (resp azfake.PollerResponder[R], e azfake.ErrorResponder) {
	if status, code, ok := a.failing("DELETE " + kind); ok {
		e.SetResponseError(status, code)
		return resp, e
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var done R
	x := s[at(group, name)]
	switch {
	case a.groups[at(group, group)] == nil:
		e.SetResponseError(http.StatusNotFound, "ResourceGroupNotFound")
		return resp, e
	case x == nil:
		resp.SetTerminalResponse(http.StatusNoContent, done, nil)
		return resp, e
	}
	if r := used(x); r != nil {
		e.SetResponseError(r.status, r.code)
		return resp, e
	}
	delete(s, at(group, name))
	resp.AddNonTerminalResponse(http.StatusAccepted, nil)
	resp.SetTerminalResponse(http.StatusOK, done, nil)
	return resp, e
}

// pages shows things two at a time, so that every list has to be followed.
func pages[T, R any](a *fakeAzure, list []*T, wrap func([]*T) R) (resp azfake.PagerResponder[R]) {
	if status, code, ok := a.failing("LIST"); ok {
		resp.AddResponseError(status, code)
		return resp
	}
	for len(list) > 2 {
		resp.AddPage(http.StatusOK, wrap(list[:2]), nil)
		list = list[2:]
	}
	resp.AddPage(http.StatusOK, wrap(list), nil)
	return resp
}

// bootLog answers for the storage of boot logs.
type bootLog struct{}

func (bootLog) RoundTrip(r *http.Request) (*http.Response, error) {
	body := io.NopCloser(strings.NewReader(strings.Repeat("Booting Linux. ", 10000) + "the end"))
	return &http.Response{StatusCode: http.StatusOK, Body: body, Header: http.Header{}, Request: r}, r.Context().Err()
}
