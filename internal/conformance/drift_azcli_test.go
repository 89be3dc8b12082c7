package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/armsdk"
)

// azWords are az's words for the types of resources, with the option that names what a part is a part of.
var azWords = []struct{ words, typ, of string }{
	{"group", "", ""},
	{"network nsg", "Microsoft.Network/networkSecurityGroups", ""},
	{"network nsg rule", "Microsoft.Network/networkSecurityGroups/securityRules", "nsg-name"},
	{"network vnet", "Microsoft.Network/virtualNetworks", ""},
	{"network vnet subnet", "Microsoft.Network/virtualNetworks/subnets", "vnet-name"},
	{"network route-table", "Microsoft.Network/routeTables", ""},
	{"network public-ip", "Microsoft.Network/publicIPAddresses", ""},
	{"network nic", "Microsoft.Network/networkInterfaces", ""},
	{"vm", "Microsoft.Compute/virtualMachines", ""},
	{"disk", "Microsoft.Compute/disks", ""},
}

// azOptions are the places that options stand for, in the form of az's --set; a type's name after the place says that the
// option is a resource of the same group.
var azOptions = map[string]string{
	"network nsg rule/priority": "priority", "network nsg rule/access": "access", "network nsg rule/protocol": "protocol",
	"network nsg rule/source-address-prefixes": "sourceAddressPrefix", "network nsg rule/destination-port-ranges": "destinationPortRange",
	"network vnet/address-prefixes": "addressSpace.addressPrefixes", "network vnet subnet/address-prefixes": "addressPrefix",
	"network vnet subnet/default-outbound-access": "defaultOutboundAccess",
	"network vnet subnet/route-table":             "routeTable.id Microsoft.Network/routeTables",
	"network vnet subnet/network-security-group":  "networkSecurityGroup.id Microsoft.Network/networkSecurityGroups",
	"network public-ip/allocation-method":         "publicIPAllocationMethod", "network public-ip/sku": "sku.name",
	"network nic/ip-forwarding":          "enableIPForwarding",
	"network nic/network-security-group": "networkSecurityGroup.id Microsoft.Network/networkSecurityGroups",
	"vm/size":                            "hardwareProfile.vmSize",
	"disk/sku":                           "sku.name", "disk/size-gb": "diskSizeGB",
}

// azShell does what lines of az say, joined by " && ": an update reads the resource, changes it and puts it, as az does.
type azShell struct {
	t      *testing.T
	lab    *azureLab
	doc    *armsdk.Document
	bearer string
}

func newAzShell(t *testing.T, lab *azureLab) *azShell {
	t.Helper()
	doc, err := armsdk.Load()
	if err != nil {
		t.Fatal(err)
	}
	options := azcore.ClientOptions{Transport: lab.server.Client(), Cloud: azcloud.Configuration{ActiveDirectoryAuthorityHost: lab.server.URL}}
	login, err := azidentity.NewClientSecretCredential(azureTenant, azureClient, azureSecret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: options, DisableInstanceDiscovery: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	token, err := login.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{lab.server.URL + "/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	return &azShell{t: t, lab: lab, doc: doc, bearer: token.Token}
}

func (z *azShell) run(s *driftSite, command string) error {
	for line := range strings.SplitSeq(command, " && ") {
		if err := z.line(s.Context(), line); err != nil {
			return err
		}
	}
	return nil
}

// azCommand is a line taken apart.
type azCommand struct {
	words, typ, path, verb, group string
	options                       map[string][]string
}

func (z *azShell) parse(line string) (azCommand, error) {
	words := strings.Fields(line)
	n := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "-") })
	if len(words) < 3 || words[0] != "az" || n < 3 {
		return azCommand{}, fmt.Errorf("%q is no command of az", line)
	}
	c := azCommand{words: strings.Join(words[1:n-1], " "), verb: words[n-1], options: map[string][]string{}}
	for name := ""; n < len(words); n++ {
		if strings.HasPrefix(words[n], "-") {
			name = strings.TrimLeft(words[n], "-")
			c.options[name] = append(c.options[name], "")[:len(c.options[name])]
			continue
		}
		c.options[name] = append(c.options[name], strings.Trim(words[n], "'"))
	}
	one := func(name string) string { return strings.Join(c.options[name], " ") }
	at := slices.IndexFunc(azWords, func(w struct{ words, typ, of string }) bool { return w.words == c.words })
	if at < 0 {
		return c, fmt.Errorf("%s: no such things", c.words)
	}
	c.typ, c.group = azWords[at].typ, one("g")
	if c.words == "group" {
		c.group, c.path = one("n"), azurePath(one("n"), "", "")
		return c, nil
	}
	names := one("n")
	if of := azWords[at].of; of != "" {
		names = one(of) + "/" + names
	}
	c.path = azurePath(c.group, c.typ, names)
	return c, nil
}

// azurePath is the path of a resource, or of a group where the type is empty.
func azurePath(group, typ, names string) string {
	path := "/subscriptions/" + azureSubscription + "/resourceGroups/" + group
	if typ == "" {
		return path
	}
	parts := strings.Split(typ, "/")
	path += "/providers/" + parts[0]
	for i, name := range strings.Split(names, "/") {
		path += "/" + parts[i+1] + "/" + name
	}
	return path
}

func (z *azShell) line(ctx context.Context, line string) error {
	c, err := z.parse(line)
	if err != nil {
		return err
	}
	switch c.verb {
	case "delete":
		return z.call(ctx, http.MethodDelete, c.path, nil, nil)
	case "stop":
		return z.call(ctx, http.MethodPost, c.path+"/powerOff", nil, nil)
	case "deallocate", "start":
		return z.call(ctx, http.MethodPost, c.path+"/"+c.verb, nil, nil)
	}
	thing := map[string]any{"properties": map[string]any{}}
	switch {
	case c.verb == "create" && c.words == "network nsg rule":
		thing["properties"] = map[string]any{"direction": "Inbound", "sourcePortRange": "*", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*"}
	case c.verb == "create" && c.words == "network nic":
		subnet := azurePath(c.group, "Microsoft.Network/virtualNetworks/subnets", c.options["vnet-name"][0]+"/"+c.options["subnet"][0])
		thing = map[string]any{"location": azureRegion, "properties": map[string]any{"ipConfigurations": []any{
			map[string]any{"name": "ipconfig1", "properties": map[string]any{"subnet": map[string]any{"id": subnet}}},
		}}}
	case c.verb == "create" && c.words == "group":
		thing = map[string]any{"location": azureRegion}
	case c.verb == "create" && c.words == "network vnet subnet":
	case c.verb == "create":
		thing["location"] = azureRegion
	default:
		if err := z.call(ctx, http.MethodGet, c.path, nil, &thing); err != nil {
			return err
		}
	}
	method, body := http.MethodPut, thing
	if c.words == "disk" { // which az changes by PATCH
		method, body = http.MethodPatch, map[string]any{"properties": map[string]any{}}
	}
	delete(body, "kind") // answers have it, and az's models don't
	if p, ok := body["properties"].(map[string]any); ok {
		delete(p, "allowPort25Out")
	}
	if err := c.change(body); err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	return z.call(ctx, method, c.path, body, nil)
}

// change does to a resource what the options say.
func (c azCommand) change(thing map[string]any) error {
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range c.options {
			if !yield(n) {
				return
			}
		}
	}) {
		values := c.options[name]
		switch name {
		case "g", "n", "nsg-name", "vnet-name", "subnet", "yes":
		case "set":
			for _, v := range values {
				place, value, _ := strings.Cut(v, "=")
				if err := azPut(thing, place, azValue(value)); err != nil {
					return err
				}
			}
		case "remove":
			for _, v := range values {
				if err := azPut(thing, v, nil); err != nil {
					return err
				}
			}
		default:
			place, typ, _ := strings.Cut(azOptions[c.words+"/"+name], " ")
			if place == "" {
				return fmt.Errorf("no option --%s", name)
			}
			value := azValue(strings.Join(values, " "))
			switch {
			case strings.HasSuffix(place, "Prefixes"):
				value = values
			case strings.HasSuffix(place, "PortRange"):
				value = values[0]
			case typ != "" && len(values) == 1 && values[0] == "":
				place, value = strings.TrimSuffix(place, ".id"), nil
			case typ != "":
				value = azurePath(c.group, typ, values[0])
			}
			if err := azPut(thing, place, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func azValue(text string) any {
	var v any
	if json.Unmarshal([]byte(text), &v) == nil {
		return v
	}
	return text
}

var azSegment = regexp.MustCompile(`^(\w+|"[^"]+")(?:\[(\d+)\])?$`)

// azPut sets what a place like "ipConfigurations[0].subnet.id" stands for, nil to take it away. To az what is in a resource's
// properties is in itself.
func azPut(thing map[string]any, place string, value any) error {
	head, rest, deeper := strings.Cut(place, ".")
	m := azSegment.FindStringSubmatch(strings.ReplaceAll(head, "-", "_"))
	if m == nil {
		return fmt.Errorf("%q is no place", place)
	}
	name, _, _ := strings.Cut(head, "[")
	in := thing
	if inner, ok := thing["properties"].(map[string]any); ok && thing[name] == nil && name != "tags" && name != "sku" {
		in = inner
	}
	if list, ok := in[name].([]any); ok && m[2] != "" {
		i, err := strconv.Atoi(m[2])
		element, isObject := list[min(i, len(list)-1)].(map[string]any)
		if err != nil || i >= len(list) || !isObject || !deeper {
			return fmt.Errorf("%q isn't there", place)
		}
		return azPut(element, rest, value)
	}
	switch {
	case deeper:
		next, ok := in[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			in[name] = next
		}
		return azPut(next, rest, value)
	case value == nil:
		delete(in, name)
	default:
		in[name] = value
	}
	return nil
}

// call makes a call in the form of the SDK, and waits for what it begins.
func (z *azShell) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	o := z.doc.Operation(method, path)
	if o == nil {
		return fmt.Errorf("no such call: %s %s", method, path)
	}
	header, err := z.send(ctx, method, z.lab.server.URL+path+"?api-version="+o.Version, body, out)
	if err != nil {
		return err
	}
	if header.Get("Azure-AsyncOperation") == "" {
		return nil
	}
	var state struct {
		Status string
		Error  *struct{ Code, Message string }
	}
	return errors.Join(cloudtest.Await(ctx, func() bool {
		state.Status = ""
		_, err = z.send(ctx, http.MethodGet, header.Get("Azure-AsyncOperation"), nil, &state)
		return err != nil || state.Status != "InProgress"
	}), err, func() error {
		if state.Error != nil {
			return fmt.Errorf("%s: %s", state.Error.Code, state.Error.Message)
		}
		return nil
	}())
}

// send makes one request. A refusal is what it says, and its details where it has some.
func (z *azShell) send(ctx context.Context, method, url string, body []byte, out any) (http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+z.bearer)
	r.Header.Set("Content-Type", "application/json")
	resp, err := z.lab.server.Client().Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		var refusal struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal(answer, &refusal); err != nil {
			return nil, fmt.Errorf("%s: %s", resp.Status, answer)
		}
		return nil, fmt.Errorf("%s: %s", refusal.Error.Code, refusal.Error.Message)
	}
	if out != nil {
		return resp.Header, json.Unmarshal(answer, out)
	}
	return resp.Header, nil
}
