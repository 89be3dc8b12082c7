//go:build linux

package lab

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// subscription is a plain client of a lab's Azure.
type subscription struct {
	client             *http.Client
	root, group, token string
}

func newSubscription(t *testing.T, l *Lab) *subscription {
	t.Helper()
	env := envOf(l)
	s := &subscription{client: &http.Client{Transport: trusting(t, l)}, root: env["AZURE_RESOURCE_MANAGER_ENDPOINT"]}
	resp, err := s.client.PostForm(env["AZURE_AUTHORITY_HOST"]+"/"+env["AZURE_TENANT_ID"]+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {env["AZURE_CLIENT_ID"]}, "client_secret": {env["AZURE_CLIENT_SECRET"]}, "scope": {s.root + "/.default"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var v struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || v.Token == "" {
		t.Fatalf("no token: %s %v", resp.Status, err)
	}
	s.token, s.group = v.Token, "/subscriptions/"+env["AZURE_SUBSCRIPTION_ID"]+"/resourceGroups/test"
	return s
}

func (s *subscription) do(t *testing.T, method, at string, body any) (*http.Response, map[string]any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, at, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return resp, out
}

// put makes a resource of the group and waits until it is made.
func (s *subscription) put(t *testing.T, path string, body any) map[string]any {
	t.Helper()
	at := s.root + s.group + path + "?api-version=2025-03-01"
	resp, out := s.do(t, http.MethodPut, at, body)
	if resp.StatusCode > 202 {
		t.Fatalf("%s: %s %v", path, resp.Status, out)
	}
	for operation := resp.Header.Get("Azure-AsyncOperation"); operation != ""; time.Sleep(50 * time.Millisecond) {
		_, state := s.do(t, http.MethodGet, operation, nil)
		switch state["status"] {
		case "Failed":
			t.Fatalf("%s: %v", path, state["error"])
		case "Succeeded":
			operation = ""
		}
	}
	_, out = s.do(t, http.MethodGet, at, nil)
	return out
}

type object = map[string]any

// machine makes a machine with an address, and returns that.
func (s *subscription) machine(t *testing.T, name, key string) (public string) {
	t.Helper()
	const network, compute = "/providers/Microsoft.Network/", "/providers/Microsoft.Compute/"
	ip := s.put(t, network+"publicIPAddresses/"+name, object{"location": "eastus", "sku": object{"name": "Standard"}, "properties": object{"publicIPAllocationMethod": "Static"}})
	s.put(t, network+"networkInterfaces/"+name, object{"location": "eastus", "properties": object{
		"networkSecurityGroup": object{"id": s.group + network + "networkSecurityGroups/fw"},
		"ipConfigurations": []any{object{"name": "a", "properties": object{
			"subnet": object{"id": s.group + network + "virtualNetworks/net/subnets/nodes"}, "publicIPAddress": object{"id": s.group + network + "publicIPAddresses/" + name},
		}}},
	}})
	data := "#cloud-config\ndisable_root: false\nruncmd:\n- echo welcome > /run/welcome\n"
	s.put(t, compute+"virtualMachines/"+name, object{"location": "eastus", "properties": object{
		"hardwareProfile": object{"vmSize": "Standard_B1s"},
		"storageProfile":  object{"imageReference": object{"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"}},
		"networkProfile":  object{"networkInterfaces": []any{object{"id": s.group + network + "networkInterfaces/" + name}}},
		"osProfile": object{"computerName": name, "adminUsername": "lab", "customData": base64.StdEncoding.EncodeToString([]byte(data)), "linuxConfiguration": object{
			"disablePasswordAuthentication": true, "ssh": object{"publicKeys": []any{object{"path": "/home/lab/.ssh/authorized_keys", "keyData": key}}},
		}},
	}})
	return ip["properties"].(object)["ipAddress"].(string)
}

// TestAzureMachines boots two machines and looks at them from outside and from within: they have their private address
// only, the public one leads to it, custom data is applied, and both of Azure's services answer.
func TestAzureMachines(t *testing.T) {
	l := startLab(t, nil)
	config, key := rootLogin(t)
	s := newSubscription(t, l)
	s.put(t, "", object{"location": "eastus"})
	s.put(t, "/providers/Microsoft.Network/networkSecurityGroups/fw", object{"location": "eastus", "properties": object{"securityRules": []any{object{"name": "ssh", "properties": object{
		"direction": "Inbound", "access": "Allow", "protocol": "Tcp", "priority": 100, "sourceAddressPrefix": egressAddress, "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "22",
	}}}}})
	s.put(t, "/providers/Microsoft.Network/virtualNetworks/net", object{"location": "eastus", "properties": object{
		"addressSpace": object{"addressPrefixes": []string{"10.64.0.0/16"}}, "subnets": []any{object{"name": "nodes", "properties": object{"addressPrefix": "10.64.0.0/20"}}},
	}})
	a, b := s.machine(t, "a", key), s.machine(t, "b", key)
	for at, want := range map[string]string{a: "a", b: "b"} {
		if got := run(t, l, config, at, "hostname"); got != want {
			t.Errorf("at %s: host %q; want %s", at, got, want)
		}
	}
	get := func(address, path, header string) string {
		return fmt.Sprintf(`timeout 5 bash -c 'exec 3<>/dev/tcp/%s/80; printf "GET %s HTTP/1.0\r\nHost: %s\r\n%s\r\n\r\n" >&3; cat <&3'`, address, path, address, header)
	}
	for command, want := range map[string]string{
		"ip -4 -o addr show dev eth0": "10.64.0.4/20", "ip route show default": "via 10.64.0.1 dev eth0",
		"timeout 5 bash -c 'head -c7 </dev/tcp/10.64.0.5/22'":                                                          "SSH-2.0",
		"for i in $(seq 50); do [ -e /run/welcome ] && break; sleep 0.1; done; cat /run/welcome":                       "welcome",
		get("169.254.169.254", "/metadata/instance/compute/name?api-version=2021-08-01&format=text", "Metadata: true"): "\na",
		get("168.63.129.16", "/machine/?comp=goalstate", "x-ms-version: 2012-11-30"):                                   "<ExpectedState>Started</ExpectedState>",
		get("168.63.129.16", "/?comp=versions", ""):                                                                    "2012-11-30",
	} {
		if got := run(t, l, config, a, command); !strings.Contains(got, want) {
			t.Errorf("%s: %q; want %q", command, got, want)
		}
	}
	if got := run(t, l, config, a, "ip -4 -o addr"); strings.Contains(got, a) {
		t.Errorf("the public address is on the machine: %s", got)
	}
}
