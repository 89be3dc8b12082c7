package arm_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"
	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/lab/arm"
	"github.com/skyweld/skyweld/lab/fault"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

// oneNetwork is the only network that a world has.
func oneNetwork(t *testing.T, w *paper.World) world.Network {
	t.Helper()
	networks := w.Networks()
	if len(networks) != 1 {
		t.Fatalf("%d networks, want one", len(networks))
	}
	for _, n := range networks {
		return n
	}
	return world.Network{}
}

// TestPhysical checks what a machine's interface is like: private, with its public address mapped to it.
func TestPhysical(t *testing.T) {
	real := paper.New()
	l := open(t, func(c *arm.Config) { c.Physical = real })
	l.site(t)
	ctx := t.Context()
	n := oneNetwork(t, real)
	if n.Cloud != "azure" || n.Region != location || len(n.NICs) != 1 {
		t.Fatalf("network %+v", n)
	}
	nic := n.NICs[0]
	public, err := l.addresses.Get(ctx, "site", "one", nil)
	must(t, err)
	if nic.Address != netip.MustParsePrefix("10.64.0.4/20") || nic.Gateway != netip.MustParseAddr("10.64.0.1") || nic.Device != "eth0" || nic.MTU != 1500 ||
		!nic.Internet || nic.Public.String() != *public.Properties.IPAddress || !nic.Forwarding || len(nic.Routed) != 0 || !strings.HasPrefix(nic.MAC, "00:0d:3a:") {
		t.Errorf("interface %+v", nic)
	}
	for _, m := range real.Machines() {
		if diff := cmp.Diff(world.Machine{ID: nic.Machine, Hostname: "one", Name: "one", Datasource: "Azure", VCPUs: 2, MemoryMiB: 4096}, m); diff != "" {
			t.Error(diff)
		}
	}
	// A user-defined route counts when the machines' subnet has it.
	done[armnetwork.RouteTablesClientCreateOrUpdateResponse](t)(l.tables.BeginCreateOrUpdate(ctx, "site", "rt", armnetwork.RouteTable{
		Location: ptr(location),
		Properties: &armnetwork.RouteTablePropertiesFormat{Routes: []*armnetwork.Route{{Name: ptr("pods"), Properties: &armnetwork.RoutePropertiesFormat{
			AddressPrefix: ptr("10.216.0.0/24"), NextHopType: ptr(armnetwork.RouteNextHopTypeVirtualAppliance), NextHopIPAddress: ptr("10.64.0.4"),
		}}}},
	}, nil))
	done[armnetwork.SubnetsClientCreateOrUpdateResponse](t)(l.subnets.BeginCreateOrUpdate(ctx, "site", "net", "nodes", armnetwork.Subnet{Properties: &armnetwork.SubnetPropertiesFormat{
		AddressPrefix: ptr("10.64.0.0/20"), RouteTable: &armnetwork.RouteTable{ID: ptr(prefix + "Microsoft.Network/routeTables/rt")},
	}}, nil))
	if got := oneNetwork(t, real).NICs[0].Routed; len(got) != 1 || got[0] != netip.MustParsePrefix("10.216.0.0/24") {
		t.Errorf("routed ranges %v", got)
	}
	_, err = l.tables.BeginDelete(ctx, "site", "rt", nil)
	refused(t, err, 400, "InUseRouteTableCannotBeDeleted")
	done[armcompute.VirtualMachinesClientDeleteResponse](t)(l.machines.BeginDelete(ctx, "site", "one", nil))
	if len(real.Networks()) != 0 || real.MachineState(nic.Machine) != world.Stopped {
		t.Errorf("left over: %+v", real.Networks())
	}
}

// ask makes one request of the first machine to its services.
func ask(t *testing.T, l *lab, network, method, path string, header http.Header) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = "10.64.0.4:40000"
	r.Header = header
	w := httptest.NewRecorder()
	l.Metadata(network).ServeHTTP(w, r)
	body, err := io.ReadAll(w.Body)
	must(t, err)
	return w.Code, string(body)
}

func TestMetadata(t *testing.T) {
	real := paper.New()
	l := open(t, func(c *arm.Config) { c.Physical = real })
	l.site(t)
	network := oneNetwork(t, real).ID
	yes := http.Header{"Metadata": {"true"}}
	code, body := ask(t, l, network, "GET", "/metadata/instance?api-version=2021-08-01&extended=true", yes)
	var v struct {
		Compute struct {
			Name, Location, VMSize, VMID string
			OSProfile                    struct{ ComputerName string }
			PublicKeys                   []struct{ KeyData string }
			CustomData                   string
		}
		Network struct {
			Interface []struct {
				MACAddress string
				IPv4       struct {
					IPAddress []struct{ PrivateIPAddress, PublicIPAddress string }
				}
			}
		}
	}
	must(t, json.Unmarshal([]byte(body), &v))
	if code != 200 || v.Compute.Name != "one" || v.Compute.Location != location || v.Compute.OSProfile.ComputerName != "one" || len(v.Compute.PublicKeys) != 1 || v.Compute.CustomData != "" ||
		len(v.Network.Interface) != 1 || v.Network.Interface[0].IPv4.IPAddress[0].PrivateIPAddress != "10.64.0.4" || len(v.Network.Interface[0].MACAddress) != 12 {
		t.Errorf("%d %s", code, body)
	}
	for path, want := range map[string]string{
		"/metadata/instance/compute/location?api-version=2021-02-01&format=text":                                      "200 eastus",
		"/metadata/instance/network/interface/0/ipv4/ipAddress/0/privateIpAddress?api-version=2021-02-01&format=text": "200 10.64.0.4",
		"/metadata/instance/compute/nothing?api-version=2021-02-01&format=text":                                       "404",
		"/metadata/instance":                                                                "400",
		"/metadata/instance?api-version=1999-01-01":                                         "400",
		"/metadata/scheduledevents?api-version=2020-07-01":                                  "200 {\"DocumentIncarnation\":1,\"Events\":[]}",
		"/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://m.invalid": "400",
	} {
		code, body := ask(t, l, network, "GET", path, yes)
		status, text, _ := strings.Cut(want, " ")
		if status != strconv.Itoa(code) || text != "" && strings.TrimSpace(body) != text {
			t.Errorf("%s: %d %s, want %s", path, code, body, want)
		}
	}
	if code, _ := ask(t, l, network, "GET", "/metadata/instance?api-version=2021-08-01", http.Header{}); code != 400 {
		t.Errorf("without the header: %d", code)
	}
	if code, _ := ask(t, l, "another", "GET", "/metadata/instance?api-version=2021-08-01", yes); code != 404 {
		t.Errorf("from another network: %d", code)
	}
	wire := http.Header{"X-Ms-Version": {"2012-11-30"}}
	if code, body := ask(t, l, network, "GET", "/machine/?comp=goalstate", wire); code != 200 || !strings.Contains(body, "<ExpectedState>Started</ExpectedState>") || !strings.Contains(body, "<ContainerId>") {
		t.Errorf("goal state: %d %s", code, body)
	}
	if code, _ := ask(t, l, network, "POST", "/machine?comp=health", wire); code != 200 {
		t.Errorf("health: %d", code)
	}
	if code, body := ask(t, l, network, "GET", "/machine/?comp=ovfenv", wire); code != 200 || !strings.Contains(body, "<CustomData>I2Nsb3VkLWNvbmZpZwo=</CustomData>") {
		t.Errorf("provisioning document: %d %s", code, body)
	}
}

func TestScheduledEvents(t *testing.T) {
	real := paper.New()
	l := open(t, func(c *arm.Config) { c.Physical = real })
	l.site(t)
	id, err := l.Schedule(prefix+"Microsoft.Compute/virtualMachines/one", "Reboot", time.Minute)
	must(t, err)
	code, body := ask(t, l, oneNetwork(t, real).ID, "GET", "/metadata/scheduledevents?api-version=2020-07-01", http.Header{"Metadata": {"true"}})
	if code != 200 || !strings.Contains(body, id) || !strings.Contains(body, `"EventType":"Reboot"`) {
		t.Errorf("%d %s", code, body)
	}
	if _, err := l.Schedule("nothing", "Reboot", time.Minute); err == nil {
		t.Error("an event of no machine")
	}
}

// TestFaults has the API fail in each way that it can.
func TestFaults(t *testing.T) {
	l := open(t, nil)
	l.site(t)
	set := fault.NewSet()
	inner := l.Service
	front := set.Handler("azure", inner.Dialect(), inner)
	l.server.Config.Handler = front
	l.server.Config.ConnContext = fault.ConnContext
	ctx := t.Context()
	strike := func(r fault.Rule) {
		t.Helper()
		set.Clear()
		r.Cloud = "azure"
		_, err := set.Add(r)
		must(t, err)
	}
	strike(fault.Rule{Kind: fault.Throttle, Action: "VirtualNetworks.Get"})
	_, err := l.networks.Get(ctx, "site", "net", nil)
	refused(t, err, 429, "TooManyRequests")
	strike(fault.Rule{Kind: fault.Deny, Action: "network.Subnets.*", Region: location})
	_, err = l.subnets.Get(ctx, "site", "net", "nodes", nil)
	refused(t, err, 403, "AuthorizationFailed")
	if !strings.Contains(err.Error(), "Microsoft.Network/virtualNetworks/subnets/read") {
		t.Errorf("the action isn't named: %v", err)
	}
	strike(fault.Rule{Kind: fault.Quota})
	_, err = l.machines.BeginCreateOrUpdate(ctx, "site", "two", machine("two", "Standard_B2s"), nil)
	refused(t, err, 409, "OperationNotAllowed")
	_, err = l.addresses.BeginCreateOrUpdate(ctx, "site", "two", address(), nil)
	refused(t, err, 400, "PublicIPCountLimitReached")
	strike(fault.Rule{Kind: fault.Capacity})
	_, err = l.machines.BeginCreateOrUpdate(ctx, "site", "two", machine("two", "Standard_B2s"), nil)
	refused(t, err, 409, "SkuNotAvailable")
	strike(fault.Rule{Kind: fault.Expire})
	_, err = l.networks.Get(ctx, "site", "net", nil)
	refused(t, err, 401, "ExpiredAuthenticationToken")
	strike(fault.Rule{Kind: fault.Error})
	_, err = l.networks.Get(ctx, "site", "net", nil)
	refused(t, err, 500, "InternalServerError")
	set.Clear()
	_, err = l.networks.Get(ctx, "site", "net", nil)
	must(t, err)
}

// TestBootLog reads a machine's boot log by its link.
func TestBootLog(t *testing.T) {
	l := open(t, nil)
	l.site(t)
	ctx := t.Context()
	_, err := l.machines.RetrieveBootDiagnosticsData(ctx, "site", "one", nil)
	refused(t, err, http.StatusConflict, "OperationNotAllowed")
	done[armcompute.VirtualMachinesClientDeleteResponse](t)(l.machines.BeginDelete(ctx, "site", "one", nil))
	m := machine("one", "Standard_B2s")
	m.Properties.DiagnosticsProfile = &armcompute.DiagnosticsProfile{BootDiagnostics: &armcompute.BootDiagnostics{Enabled: ptr(true)}}
	done[armcompute.VirtualMachinesClientCreateOrUpdateResponse](t)(l.machines.BeginCreateOrUpdate(ctx, "site", "one", m, nil))
	links, err := l.machines.RetrieveBootDiagnosticsData(ctx, "site", "one", nil)
	must(t, err)
	read := func(link string) (int, string) {
		resp, err := l.server.Client().Get(link)
		must(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		must(t, err)
		return resp.StatusCode, string(text)
	}
	if code, text := read(*links.SerialConsoleLogBlobURI); code != 200 || !strings.Contains(text, "login:") {
		t.Errorf("%d %s", code, text)
	}
	if code, _ := read(strings.Replace(*links.SerialConsoleLogBlobURI, "sig=", "sig=a", 1)); code != 403 {
		t.Errorf("with a wrong signature: %d", code)
	}
}
