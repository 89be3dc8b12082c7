package gce

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/api/compute/v1"
)

// TestRefusals goes through wrong requests: each is refused with the status, reason and words of the real API.
func TestRefusals(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Quotas = map[string]float64{"NETWORKS": 3} })
	l.makeNetwork("sky", "10.64.0.0/20")
	l.done(l.api.Instances.Insert(testProject, testZone, instance("node", "sky")).Do())
	l.done(l.api.Addresses.Insert(testProject, testRegion, &compute.Address{Name: "held"}).Do())
	l.done(l.api.Networks.Insert(testProject, &compute.Network{Name: "third", AutoCreateSubnetworks: true}).Do())
	const (
		p    = "/compute/v1/projects/skyweld-lab"
		zone = p + "/zones/us-east4-b"
	)
	nic := func(s string) string {
		return `{"name":"i2","machineType":"zones/us-east4-b/machineTypes/e2-medium","disks":[{"boot":true,"initializeParams":{"sourceImage":"projects/debian-cloud/global/images/family/debian-12"}}],"networkInterfaces":[` + s + `]}`
	}
	tests := []struct {
		name, method, path, body string
		code                     int
		reason, text             string
	}{
		{"unknown path", "GET", p + "/global/nonsense", "", 404, "notFound", "Not Found"},
		{"other project", "GET", "/compute/v1/projects/somebody/global/networks", "", 404, "notFound", "The resource 'projects/somebody' was not found"},
		{"unsupported method", "POST", zone + "/instances/node/suspend", "", 501, "notImplemented", "compute.instances.suspend"},
		{"unknown zone", "GET", p + "/zones/us-east9-b/instances", "", 400, "invalid", "Unknown zone."},
		{"unknown region", "GET", p + "/regions/us-east9/subnetworks", "", 400, "invalid", "Unknown region."},
		{"no such network", "GET", p + "/global/networks/x", "", 404, "notFound", "The resource 'projects/skyweld-lab/global/networks/x' was not found"},
		{"not JSON", "POST", p + "/global/networks", "{", 400, "invalid", "Invalid JSON payload received."},
		{"unknown field", "POST", p + "/global/networks", `{"name":"x","autoCreateSubnetwork":false}`, 400, "invalid", `Unknown name "autoCreateSubnetwork" at 'resource': Cannot find field.`},
		{"unknown field below", "POST", p + "/global/networks", `{"name":"x","routingConfig":{"mode":1}}`, 400, "invalid", `Unknown name "mode" at 'resource.routingConfig'`},
		{"wrong type", "POST", p + "/global/networks", `{"name":7}`, 400, "invalid", "Invalid value at 'resource.name' (TYPE_STRING), 7"},
		{"wrong case", "POST", p + "/global/networks", `{"Name":"x"}`, 400, "invalid", `Unknown name "Name"`},
		{"name", "POST", p + "/global/networks", `{"name":"Sky","autoCreateSubnetworks":false}`, 400, "invalid", "Invalid value for field 'resource.name': 'Sky'. Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'"},
		{"no name", "POST", p + "/global/networks", `{"autoCreateSubnetworks":false}`, 400, "required", "resource.name"},
		{"legacy network", "POST", p + "/global/networks", `{"name":"x"}`, 400, "invalid", "resource.IPv4Range"},
		{"mtu", "POST", p + "/global/networks", `{"name":"x","autoCreateSubnetworks":false,"mtu":900}`, 400, "invalid", "resource.mtu"},
		{"network twice", "POST", p + "/global/networks", `{"name":"sky","autoCreateSubnetworks":false}`, 409, "alreadyExists", "The resource 'projects/skyweld-lab/global/networks/sky' already exists"},
		{"network quota", "POST", p + "/global/networks", `{"name":"fourth","autoCreateSubnetworks":false}`, 403, "quotaExceeded", "Quota 'NETWORKS' exceeded.  Limit: 3.0 globally."},
		{"request id", "POST", p + "/global/networks?requestId=abc", `{"name":"x","autoCreateSubnetworks":false}`, 400, "invalid", "requestId"},
		{"zero request id", "POST", p + "/global/networks?requestId=00000000-0000-0000-0000-000000000000", `{"name":"x","autoCreateSubnetworks":false}`, 400, "invalid", "requestId"},

		{"subnet of no network", "POST", p + "/regions/us-east4/subnetworks", `{"name":"a","network":"global/networks/x","ipCidrRange":"10.1.0.0/16"}`, 404, "notFound", "The resource 'projects/skyweld-lab/global/networks/x' was not found"},
		{"subnet of a bare name", "POST", p + "/regions/us-east4/subnetworks", `{"name":"a","network":"sky","ipCidrRange":"10.1.0.0/16"}`, 400, "invalid", "The URL is malformed."},
		{"overlap", "POST", p + "/regions/us-west1/subnetworks", `{"name":"a","network":"global/networks/sky","ipCidrRange":"10.64.8.0/24"}`, 400, "invalid", "Invalid IPCidrRange: 10.64.8.0/24 conflicts with existing subnetwork 'sky' in region 'us-east4'."},
		{"overlap auto", "POST", p + "/regions/us-west1/subnetworks", `{"name":"a","network":"global/networks/third","ipCidrRange":"10.200.0.0/16"}`, 400, "invalid", "cannot overlap with 10.128.0.0/9"},
		{"unaligned", "POST", p + "/regions/us-west1/subnetworks", `{"name":"a","network":"global/networks/sky","ipCidrRange":"10.1.0.1/16"}`, 400, "invalid", "resource.ipCidrRange"},
		{"too small", "POST", p + "/regions/us-west1/subnetworks", `{"name":"a","network":"global/networks/sky","ipCidrRange":"10.1.0.0/30"}`, 400, "invalid", "prefix length"},
		{"auto subnet", "DELETE", p + "/regions/us-west1/subnetworks/third", "", 400, "invalidResourceUsage", "Cannot delete auto subnetwork"},
		{"subnet in use", "DELETE", p + "/regions/us-east4/subnetworks/sky", "", 400, "resourceInUseByAnotherResource", "already being used by 'projects/skyweld-lab/zones/us-east4-b/instances/node'"},
		{"subnet fingerprint", "PATCH", p + "/regions/us-east4/subnetworks/sky", `{"privateIpGoogleAccess":true,"fingerprint":"AAAA"}`, 412, "conditionNotMet", "fingerprint"},

		{"firewall without rule", "POST", p + "/global/firewalls", `{"name":"f","network":"global/networks/sky"}`, 400, "required", "resource.allowed"},
		{"firewall priority", "POST", p + "/global/firewalls", `{"name":"f","priority":70000,"allowed":[{"IPProtocol":"tcp"}]}`, 400, "invalid", "resource.priority"},
		{"firewall ports", "POST", p + "/global/firewalls", `{"name":"f","allowed":[{"IPProtocol":"icmp","ports":["1"]}]}`, 400, "invalid", "resource.allowed[0].ports"},
		{"firewall port range", "POST", p + "/global/firewalls", `{"name":"f","allowed":[{"IPProtocol":"tcp","ports":["9-1"]}]}`, 400, "invalid", "resource.allowed[0].ports[0]"},
		{"firewall source", "POST", p + "/global/firewalls", `{"name":"f","sourceRanges":["10.0.0.0/33"],"allowed":[{"IPProtocol":"tcp"}]}`, 400, "invalid", "resource.sourceRanges[0]"},
		{"firewall egress source", "POST", p + "/global/firewalls", `{"name":"f","direction":"EGRESS","sourceRanges":["10.0.0.0/8"],"allowed":[{"IPProtocol":"tcp"}]}`, 400, "invalid", "resource.sourceRanges"},
		{"firewall of no network", "POST", p + "/global/firewalls", `{"name":"f","network":"global/networks/nope","allowed":[{"IPProtocol":"tcp"}]}`, 404, "notFound", "global/networks/nope"},

		{"route hides subnet", "POST", p + "/global/routes", `{"name":"r","network":"global/networks/sky","destRange":"10.64.1.0/24","nextHopIp":"10.64.0.2"}`, 400, "invalid", "hides the address space"},
		{"route without hop", "POST", p + "/global/routes", `{"name":"r","network":"global/networks/sky","destRange":"10.9.0.0/16"}`, 400, "badRequest", "next hop"},
		{"route to no machine", "POST", p + "/global/routes", `{"name":"r","network":"global/networks/sky","destRange":"10.9.0.0/16","nextHopInstance":"zones/us-east4-b/instances/x"}`, 400, "invalid", "resource.nextHopInstance"},

		{"address label", "POST", p + "/regions/us-east4/addresses", `{"name":"a","labels":{"Upper":"x"}}`, 400, "invalid", "resource.labels"},
		{"address labels unseen", "POST", p + "/regions/us-east4/addresses/held/setLabels", `{"labels":{"a":"b"}}`, 412, "conditionNotMet", "Labels fingerprint either invalid or resource labels have changed"},
		{"address of a stranger", "POST", p + "/regions/us-east4/addresses", `{"name":"a","address":"198.18.0.60"}`, 400, "invalid", "resource.address"},
		{"global address", "POST", p + "/global/addresses", `{"name":"a"}`, 501, "notImplemented", "globalAddresses.insert"},

		{"instance twice", "POST", zone + "/instances", strings.Replace(nic(`{"subnetwork":"regions/us-east4/subnetworks/sky"}`), `"i2"`, `"node"`, 1), 409, "alreadyExists", "instances/node"},
		{"custom network alone", "POST", zone + "/instances", nic(`{"network":"global/networks/sky"}`), 400, "invalid", "Network interface must specify a subnet if the network resource is in custom subnet mode."},
		{"subnet elsewhere", "POST", zone + "/instances", nic(`{"subnetwork":"regions/us-west1/subnetworks/third"}`), 400, "invalid", "not in region 'us-east4'"},
		{"no subnet", "POST", zone + "/instances", nic(`{"subnetwork":"regions/us-east4/subnetworks/x"}`), 400, "invalid", "The referenced subnetwork resource cannot be found."},
		{"address outside", "POST", zone + "/instances", nic(`{"subnetwork":"regions/us-east4/subnetworks/sky","networkIP":"10.65.0.1"}`), 400, "invalid", "outside the subnetwork CIDR range"},
		{"gateway's address", "POST", zone + "/instances", nic(`{"subnetwork":"regions/us-east4/subnetworks/sky","networkIP":"10.64.0.1"}`), 400, "invalid", "outside the subnetwork CIDR range"},
		{"public address unknown", "POST", zone + "/instances", nic(`{"subnetwork":"regions/us-east4/subnetworks/sky","accessConfigs":[{"natIP":"198.18.0.61"}]}`), 400, "invalid", "was not found in region 'us-east4'"},
		{"public address elsewhere", "POST", p + "/zones/us-west1-b/instances", strings.ReplaceAll(nic(`{"subnetwork":"regions/us-west1/subnetworks/third","accessConfigs":[{"natIP":"projects/skyweld-lab/regions/us-east4/addresses/held"}]}`), "us-east4-b", "us-west1-b"), 400, "invalid", "was not found in region 'us-west1'"},
		{"no machine type", "POST", zone + "/instances", strings.Replace(nic(`{}`), "e2-medium", "e2-giant", 1), 400, "invalid", "Machine type with name 'e2-giant' does not exist in zone 'us-east4-b'."},
		{"no image", "POST", zone + "/instances", strings.Replace(nic(`{}`), "debian-12", "debian-1", 1), 404, "notFound", "projects/debian-cloud/global/images/family/debian-1"},
		{"wrong architecture", "POST", zone + "/instances", strings.Replace(nic(`{}`), "debian-12", "debian-12-arm64", 1), 400, "invalid", "architecture"},
		{"small disk", "POST", zone + "/instances", strings.Replace(nic(`{}`), `"initializeParams":{`, `"initializeParams":{"diskSizeGb":"5",`, 1), 400, "invalid", "smaller than the image size"},
		{"no interface", "POST", zone + "/instances", nic(``), 400, "required", "networkInterfaces"},
		{"gpu", "POST", zone + "/instances", strings.Replace(nic(`{}`), `{"name"`, `{"guestAccelerators":[{"acceleratorCount":1}],"name"`, 1), 400, "unsupportedOperation", "guestAccelerators"},
		{"tags unseen", "POST", zone + "/instances/node/setTags", `{"items":["a"]}`, 412, "conditionNotMet", "fingerprint"},
		{"metadata unseen", "POST", zone + "/instances/node/setMetadata", `{"items":[{"key":"a","value":"b"}],"fingerprint":"x"}`, 412, "conditionNotMet", "fingerprint"},
		{"type while running", "POST", zone + "/instances/node/setMachineType", `{"machineType":"zones/us-east4-b/machineTypes/e2-small"}`, 400, "invalidResourceUsage", "TERMINATED"},
		{"boot disk in use", "DELETE", zone + "/disks/node", "", 400, "resourceInUseByAnotherResource", "The disk resource"},
		{"filter", "GET", p + "/global/networks?filter=name", "", 400, "invalid", "Invalid list filter expression."},
		{"page size", "GET", p + "/global/networks?maxResults=501", "", 400, "invalid", "maxResults"},
		{"page token", "GET", p + "/global/networks?pageToken=x", "", 400, "invalid", "pageToken"},
		{"order", "GET", p + "/global/networks?orderBy=id", "", 400, "invalid", "orderBy"},
		{"fields", "GET", p + "/global/networks?fields=a(", "", 400, "invalidParameter", "Invalid field selection"},
		{"no operation", "GET", zone + "/operations/operation-1", "", 404, "notFound", "operations/operation-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, body := l.raw(tt.method, tt.path, tt.body)
			if code != tt.code || !strings.Contains(body, `"reason": "`+tt.reason+`"`) || !strings.Contains(unescape(body), tt.text) {
				t.Errorf("answer %d %s\nwant %d %s with %q", code, body, tt.code, tt.reason, tt.text)
			}
		})
	}
}

func unescape(s string) string {
	return strings.NewReplacer(`\"`, `"`, `\u003c`, "<", `\u003e`, ">", `\u0026`, "&", `\\`, `\`).Replace(s)
}

// TestAuth holds the door: without a token, with a wrong one, and with each kind of right one.
func TestAuth(t *testing.T) {
	l := newLab(t)
	get := func(authorization string) (int, string) {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", l.srv.URL+"/compute/v1/projects/skyweld-lab", nil)
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b := make([]byte, 4096)
		n, _ := resp.Body.Read(b)
		return resp.StatusCode, string(b[:n])
	}
	for _, tt := range []struct {
		auth   string
		code   int
		reason string
	}{{"", 401, "required"}, {"Basic eA==", 401, "required"}, {"Bearer nonsense", 401, "authError"}, {"Bearer a.b.c", 401, "authError"}} {
		if code, body := get(tt.auth); code != tt.code || !strings.Contains(body, `"reason": "`+tt.reason+`"`) || !strings.Contains(body, "UNAUTHENTICATED") {
			t.Errorf("%q: %d %s", tt.auth, code, body)
		}
	}
	if code, body := get("Bearer " + fixedToken); code != 200 {
		t.Errorf("fixed token: %d %s", code, body)
	}
	token := func(form string) (int, string) {
		resp, err := http.Post(l.srv.URL+"/token", "application/x-www-form-urlencoded", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b := make([]byte, 4096)
		n, _ := resp.Body.Read(b)
		return resp.StatusCode, string(b[:n])
	}
	for form, want := range map[string]string{
		"grant_type=refresh_token&refresh_token=1//refresh":                                         "access_token",
		"grant_type=refresh_token&refresh_token=other":                                              "invalid_grant",
		"grant_type=password":                                                                       "unsupported_grant_type",
		"grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=eyJhbGciOiJub25lIn0.e30.": "invalid_grant",
	} {
		if _, body := token(form); !strings.Contains(body, want) {
			t.Errorf("%s: %s, want %s", form, body, want)
		}
	}
	// A key of another lab has a valid form and a wrong signature.
	other, err := NewServiceAccountKey(testProject, l.srv.URL+"/token")
	if err != nil {
		t.Fatal(err)
	}
	l.cfg.ServiceAccountKey = other
	if _, err := l.client().Projects.Get(testProject).Do(); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("a foreign key gave %v", err)
	}
}
