package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	computefake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7/fake"
	networkfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8/fake"
	resourcesfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3/fake"
	subscriptionsfake "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions/fake"

	"github.com/skyweld/skyweld/cloud"
)

// azureSpoken counts the driver's requests that the SDK's fake servers took apart, by method of the SDK, and knows the tests
// that made any.
var azureSpoken = struct {
	mu      sync.Mutex
	methods map[string]int
	tests   map[string]bool
	polls   int
}{methods: map[string]int{}, tests: map[string]bool{}}

// speaking puts the SDK's fake servers behind a test's own transport, which may be nil: each request of the driver is taken
// apart by that of its method, by the official path and types, before it goes on.
func speaking(t *testing.T, wrap cloud.Transport) cloud.Transport {
	test, _, _ := strings.Cut(t.Name(), "/")
	return func(next http.RoundTripper) http.RoundTripper {
		out := http.RoundTripper(reading(next, func(r *http.Request, body []byte) *http.Response {
			name, _ := r.Context().Value(runtime.CtxAPINameKey{}).(string)
			azureSpoken.mu.Lock()
			azureSpoken.tests[test] = true
			switch {
			case name != "":
				azureSpoken.methods[name]++
			case strings.HasPrefix(r.URL.Path, "/subscriptions/"):
				azureSpoken.polls++ // of an operation, where an answer said that it is
			}
			azureSpoken.mu.Unlock()
			if name == "" {
				return nil
			}
			r = r.Clone(context.WithoutCancel(r.Context())) // a fake server breaks when a request is called off
			r.Body = io.NopCloser(bytes.NewReader(body))
			if err := decodes(name, r); err != nil {
				t.Errorf("%s %s: the SDK's fake server of %s can't take it: %v", r.Method, r.URL.Path, name, err)
			}
			return nil
		}))
		if wrap != nil {
			out = wrap(out)
		}
		return out
	}
}

// errTaken is the answer of a fake method: it got the request's parts.
var errTaken = errors.New("taken")

// decodes sends a request to a fake server that has one method only, by whose name it was made.
func decodes(name string, r *http.Request) error {
	client, method, _ := strings.Cut(name, ".")
	factory, transport := azureFactory(strings.ToLower(r.URL.Path))
	field := reflect.ValueOf(factory).Elem().FieldByName(strings.TrimSuffix(client, "Client") + "Server")
	if field.IsValid() {
		field = field.FieldByName(method)
	}
	if !field.IsValid() {
		return fmt.Errorf("%T has no such method", factory)
	}
	field.Set(reflect.MakeFunc(field.Type(), func([]reflect.Value) []reflect.Value {
		out := make([]reflect.Value, field.Type().NumOut())
		for i := range out {
			p := reflect.New(field.Type().Out(i))
			for _, say := range []string{"SetError", "AddError"} {
				if m := p.MethodByName(say); m.IsValid() {
					m.Call([]reflect.Value{reflect.ValueOf(errTaken)})
				}
			}
			out[i] = p.Elem()
		}
		return out
	}))
	_, err := transport.Do(r)
	if errors.Is(err, errTaken) {
		return nil
	}
	return fmt.Errorf("it says %w", err)
}

// azureFactory makes the fake servers that a path is for.
func azureFactory(path string) (any, policy.Transporter) {
	switch {
	case strings.Contains(path, "/providers/microsoft.network/"):
		f := &networkfake.ServerFactory{}
		return f, networkfake.NewServerFactoryTransport(f)
	case strings.Contains(path, "/providers/microsoft.compute/"):
		f := &computefake.ServerFactory{}
		return f, computefake.NewServerFactoryTransport(f)
	case strings.Count(path, "/") == 2, strings.HasSuffix(path, "/locations"):
		f := &subscriptionsfake.ServerFactory{}
		return f, subscriptionsfake.NewServerFactoryTransport(f)
	}
	f := &resourcesfake.ServerFactory{}
	return f, resourcesfake.NewServerFactoryTransport(f)
}

// TestAzureFakes asks the fake servers whether they refuse what is wrong.
func TestAzureFakes(t *testing.T) {
	const disk, put = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d?api-version=2025-01-02", "DisksClient.BeginCreateOrUpdate"
	for _, c := range []struct {
		name, path, body string
		ok               bool
	}{
		{put, disk, `{"location": "eastus"}`, true},
		{put, disk, `["eastus"]`, false},
		{put, disk, `{"location": 7}`, false},
		{put, strings.Replace(disk, "/disks/", "/discs/", 1), `{"location": "eastus"}`, false},
		{"DisksClient.BeginToMake", disk, "", false},
		{"InterfacesClient.Get", disk, "", false},
	} {
		ctx := context.WithValue(t.Context(), runtime.CtxAPINameKey{}, c.name)
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, "https://management.invalid"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if err := decodes(c.name, r); (err == nil) != c.ok {
			t.Errorf("%s %s %s: %v, want it taken: %v", c.name, c.path, c.body, err, c.ok)
		}
	}
}

// TestAzureWords holds that the other tests of this package let the driver make every call that it has, so that each was
// taken apart by the SDK's fake servers and held against its models. It comes after them in the order of files.
func TestAzureWords(t *testing.T) {
	azureSpoken.mu.Lock()
	defer azureSpoken.mu.Unlock()
	for _, test := range []string{"TestAzureOnTheLab", "TestAzureDrift", "TestAzureLostAnswers", "TestAzureKeptDisk", "TestAzureRestart"} {
		if !azureSpoken.tests[test] {
			t.Skipf("needs the calls of %s: run all tests of the package, in order", test)
		}
	}
	has := azureDriverMethods(t)
	total := 0
	var counts []string
	for _, name := range has {
		n := azureSpoken.methods[name]
		total += n
		counts = append(counts, fmt.Sprintf("%s %d", name, n))
		if n == 0 {
			t.Errorf("the driver has the call %s, and no test made it", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(azureSpoken.methods)) {
		if !slices.Contains(has, name) {
			t.Errorf("the driver called %s, which its source doesn't show", name)
		}
	}
	t.Logf("%d requests of %d methods, and %d looks at operations (%s)", total, len(has), azureSpoken.polls, strings.Join(counts, ", "))
}

var (
	azureClients = regexp.MustCompile(`(?m)^\t(?:if )?((?:d\.\w+(?:, )?)+)(?:err)? = (.*New\w*Client\(.*)$`)
	azureNew     = regexp.MustCompile(`New(\w*Client)\(`)
	azureCall    = regexp.MustCompile(`\bd\.([a-z]\w*)\.([A-Z]\w+)\(`)
)

// azureDriverMethods are the methods of the SDK that the driver's source names: "VirtualMachinesClient.BeginStart".
func azureDriverMethods(t *testing.T) []string {
	t.Helper()
	clients, calls := map[string]string{}, [][]string{}
	for _, text := range driverSource(t, "azure") {
		for _, line := range azureClients.FindAllStringSubmatch(text, -1) {
			kinds := azureNew.FindAllStringSubmatch(line[2], -1)
			for i, field := range strings.Split(strings.TrimSuffix(line[1], ", "), ", ") {
				clients[strings.TrimPrefix(field, "d.")] = kinds[i][1]
			}
		}
		calls = append(calls, azureCall.FindAllStringSubmatch(text, -1)...)
	}
	found := map[string]bool{}
	for _, c := range calls {
		if client := clients[c[1]]; client != "" {
			found[client+"."+c[2]] = true
		}
	}
	if len(clients) < 15 || len(found) < 30 {
		t.Fatalf("the driver's source shows %d clients and %d methods: it is written in another way now", len(clients), len(found))
	}
	return slices.Sorted(maps.Keys(found))
}
