package azure

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"go.yaml.in/yaml/v3"

	"github.com/skyweld/skyweld/cloud"
)

// recording is what the real Azure answered, one after the other.
type recording struct {
	t            *testing.T
	Interactions []struct {
		Request  struct{ Method, URL string }
		Response struct {
			Body    string
			Headers map[string][]string
			Code    int
		}
	}
	used map[int]bool
}

// recorded reads a recording, or skips.
func recorded(t *testing.T, name string) *recording {
	t.Helper()
	dir := os.Getenv("SKYWELD_GOLDENS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "goldens")
	}
	text, err := os.ReadFile(filepath.Join(dir, "azure", name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no recorded answers of Azure here (%s); set SKYWELD_GOLDENS to the folder that has them", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{t: t, used: map[int]bool{}}
	if err := yaml.Unmarshal(text, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// Do answers a request with the next recorded answer to its like. The versions of the API are others than ours.
func (r *recording) Do(req *http.Request) (*http.Response, error) {
	want := req.Method + " " + strings.ToLower(req.URL.Path)
	for i, x := range r.Interactions {
		path, _, _ := strings.Cut(strings.TrimPrefix(x.Request.URL, "https://management.azure.com"), "?")
		if r.used[i] || x.Request.Method+" "+strings.ToLower(path) != want {
			continue
		}
		r.used[i] = true
		return &http.Response{
			StatusCode: x.Response.Code, Status: http.StatusText(x.Response.Code), Header: http.Header(x.Response.Headers).Clone(), Request: req,
			Body: io.NopCloser(strings.NewReader(x.Response.Body)),
		}, req.Context().Err()
	}
	r.t.Errorf("%s was not recorded", want)
	return nil, context.Canceled
}

// driver is a driver of the recorded subscription.
func (r *recording) driver() *Driver {
	r.t.Helper()
	d := &Driver{subscription: "00000000-0000-0000-0000-000000000000", login: &login{credential: &azfake.TokenCredential{}}, offered: map[string]offer{}}
	err := d.clientsOn(&arm.ClientOptions{
		DisableRPRegistration: true,
		ClientOptions:         azcore.ClientOptions{Cloud: azcloud.AzurePublic, Transport: r, Retry: policy.RetryOptions{MaxRetries: -1}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// TestRecordedMachine follows the real headers of long operations: a machine made and removed, with interface and network.
func TestRecordedMachine(t *testing.T) {
	r := recorded(t, "virtualmachine.yaml")
	d := r.driver()
	const group, name = "aks-cit-VirtualMachine", "testResource"
	p, err := d.machines.BeginCreateOrUpdate(t.Context(), group, name, armcompute.VirtualMachine{Location: ptr("eastus2")}, nil)
	made, err := await(t.Context(), p, err)
	if err != nil {
		t.Fatal(err)
	}
	o := join{}.machine(&made.VirtualMachine)
	s, ok := o.Spec.(*MachineSpec)
	if !ok || s.Type != "Standard_D2s_v3" || s.Zone != "eastus2" || o.Region != "eastus2" || !strings.HasSuffix(s.Interface, "/networkInterfaces/nic1") {
		t.Errorf("machine %+v, spec %+v", o, s)
	}
	if want := "azure:///subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/aks-cit-virtualmachine/providers/Microsoft.Compute/virtualMachines/testresource"; o.Machine.ProviderID != want {
		t.Errorf("provider id %s", o.Machine.ProviderID)
	}
	if _, err := d.machines.InstanceView(t.Context(), group, name, nil); !isClass(err, cloud.NotFound) {
		t.Errorf("what wasn't there: %v", err)
	}
	for what, remove := range map[string]func() error{
		"machine": func() error {
			p, err := d.machines.BeginDelete(t.Context(), group, name, nil)
			return done(t.Context(), p, err)
		},
		"interface": func() error {
			p, err := d.interfaces.BeginDelete(t.Context(), group, "nic1", nil)
			return done(t.Context(), p, err)
		},
		"network": func() error {
			p, err := d.networks.BeginDelete(t.Context(), group, "vnet1", nil)
			return done(t.Context(), p, err)
		},
		"group": func() error {
			p, err := d.groups.BeginDelete(t.Context(), group, nil)
			return done(t.Context(), p, err)
		},
	} {
		if err := remove(); err != nil {
			t.Errorf("delete the %s: %v", what, err)
		}
	}
}

// TestRecordedErrors judges the real refusals.
func TestRecordedErrors(t *testing.T) {
	found := map[string]cloud.Class{}
	for _, file := range []string{"virtualmachine.yaml", "interface.yaml", "disk.yaml", "resourcegroup.yaml", "subnet.yaml", "routetable.yaml"} {
		for _, x := range recorded(t, file).Interactions {
			if x.Response.Code < 400 {
				continue
			}
			e := classify(answered(x.Response.Code, x.Response.Body))
			if e.Message == "" || e.Class == cloud.Unknown {
				t.Errorf("%s: %s %s: %+v", file, x.Request.Method, x.Request.URL, e)
			}
			found[e.Code] = e.Class
		}
	}
	for code, want := range map[string]cloud.Class{
		"ResourceNotFound": cloud.NotFound, "ResourceGroupNotFound": cloud.NotFound, "PreconditionFailed": cloud.Conflict,
	} {
		if found[code] != want {
			t.Errorf("%s is %q, want %s", code, found[code], want)
		}
	}
}
