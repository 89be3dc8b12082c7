package firstday_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/digitalocean/godo"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/oauth2"
)

// foreignCommands are the commands of the scripts about what others put beside our things.
var foreignCommands = map[string]func(*testscript.TestScript, bool, []string){"foreign": foreign}

// foreign makes a machine as somebody else would who has no idea of Skyweld, or takes it away again:
//
//	foreign aws NAME VPC           in a VPC in us-east-1
//	foreign azure NAME GROUP       with a network of its own, in a resource group in eastus
//	foreign digitalocean NAME VPC  in a VPC
//	foreign gone aws|azure|digitalocean NAME PLACE
func foreign(ts *testscript.TestScript, neg bool, args []string) {
	gone := len(args) > 0 && args[0] == "gone"
	if gone {
		args = args[1:]
	}
	if neg || len(args) != 3 {
		ts.Fatalf("usage: foreign [gone] aws|azure|digitalocean NAME PLACE")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client, err := labClient(ts.Getenv("LAB"))
	ts.Check(err)
	switch args[0] {
	case "aws":
		if gone {
			ts.Check(dropInstance(ctx, awsClient(ts, client), args[1]))
		} else {
			ts.Check(putInstance(ctx, awsClient(ts, client), args[1], args[2]))
		}
	case "azure":
		a, err := newAzureREST(ctx, ts, client, args[2])
		ts.Check(err)
		if gone {
			ts.Check(a.dropMachine(ctx, args[1]))
		} else {
			ts.Check(a.putMachine(ctx, args[1]))
		}
	case "digitalocean":
		over := context.WithValue(ctx, oauth2.HTTPClient, client)
		c, err := godo.New(oauth2.NewClient(over, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: ts.Getenv("DIGITALOCEAN_TOKEN")})), godo.SetBaseURL(ts.Getenv("DIGITALOCEAN_API_URL")+"/"))
		ts.Check(err)
		if gone {
			ts.Check(dropDroplet(ctx, c, args[1]))
		} else {
			ts.Check(putDroplet(ctx, c, args[1], args[2]))
		}
	default:
		ts.Fatalf("there is no foreign machine at %s", args[0])
	}
}

// object is JSON that is put together by hand, as by somebody with curl.
type object = map[string]any

// azureREST is one resource group at the lab's Resource Manager, by plain requests.
type azureREST struct {
	client             *http.Client
	root, group, token string
}

// versions are the api-versions of the types of resources.
var versions = map[string]string{"Microsoft.Network": "2024-05-01", "Microsoft.Compute": "2024-07-01"}

func newAzureREST(ctx context.Context, ts *testscript.TestScript, client *http.Client, group string) (*azureREST, error) {
	a := &azureREST{
		client: client, root: ts.Getenv("AZURE_RESOURCE_MANAGER_ENDPOINT"),
		group: "/subscriptions/" + ts.Getenv("AZURE_SUBSCRIPTION_ID") + "/resourceGroups/" + group,
	}
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {ts.Getenv("AZURE_CLIENT_ID")}, "client_secret": {ts.Getenv("AZURE_CLIENT_SECRET")}, "scope": {a.root + "/.default"},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, ts.Getenv("AZURE_AUTHORITY_HOST")+"/"+ts.Getenv("AZURE_TENANT_ID")+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var login struct {
		Token string `json:"access_token"`
	}
	switch status, err := a.send(r, &login); {
	case err != nil:
		return nil, fmt.Errorf("log in at Azure: %w", err)
	case status != http.StatusOK:
		return nil, fmt.Errorf("log in at Azure: status %d", status)
	}
	a.token = login.Token
	return a, nil
}

// send sends a request and reads the answer, which may be empty.
func (a *azureREST) send(r *http.Request, out any) (status int, err error) {
	resp, err := a.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil && err != io.EOF {
		return resp.StatusCode, err
	}
	return resp.StatusCode, nil
}

// do sends a request about a resource of the group ("Microsoft.Compute/virtualMachines/a").
func (a *azureREST) do(ctx context.Context, method, path string, body object) (status int, out object, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	provider, _, _ := strings.Cut(path, "/")
	r, err := http.NewRequestWithContext(ctx, method, a.root+a.group+"/providers/"+path+"?api-version="+versions[provider], bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	status, err = a.send(r, &out)
	return status, out, err
}

// settled sends a request and asks until the resource is as it is to be.
func (a *azureREST) settled(ctx context.Context, method, path string, body object, is func(status int, state any) bool) error {
	status, out, err := a.do(ctx, method, path, body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if status >= 300 {
		return fmt.Errorf("%s %s: status %d %v", method, path, status, out)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		status, out, err := a.do(ctx, http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		properties, _ := out["properties"].(object)
		if is(status, properties["provisioningState"]) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s %s: status %d %v: %w", method, path, status, out, ctx.Err())
		}
	}
}

func (a *azureREST) put(ctx context.Context, path string, body object) error {
	body["location"] = "eastus"
	return a.settled(ctx, http.MethodPut, path, body, func(_ int, state any) bool { return state == "Succeeded" })
}

func (a *azureREST) drop(ctx context.Context, path string) error {
	return a.settled(ctx, http.MethodDelete, path, nil, func(status int, _ any) bool { return status == http.StatusNotFound })
}

const (
	azureNetworks = "Microsoft.Network/virtualNetworks/"
	azureNICs     = "Microsoft.Network/networkInterfaces/"
	azureMachines = "Microsoft.Compute/virtualMachines/"
)

func (a *azureREST) putMachine(ctx context.Context, name string) error {
	if err := a.put(ctx, azureNetworks+name, object{"properties": object{
		"addressSpace": object{"addressPrefixes": []string{"172.30.0.0/24"}}, "subnets": []object{{"name": "a", "properties": object{"addressPrefix": "172.30.0.0/24"}}},
	}}); err != nil {
		return err
	}
	if err := a.put(ctx, azureNICs+name, object{"properties": object{"ipConfigurations": []object{{
		"name": "a", "properties": object{"subnet": object{"id": a.group + "/providers/" + azureNetworks + name + "/subnets/a"}},
	}}}}); err != nil {
		return err
	}
	return a.put(ctx, azureMachines+name, object{"properties": object{
		"hardwareProfile": object{"vmSize": "Standard_B2s"},
		"storageProfile": object{
			"imageReference": object{"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"},
			"osDisk":         object{"name": name + "-os", "createOption": "FromImage", "deleteOption": "Delete"},
		},
		"osProfile":      object{"computerName": name, "adminUsername": "somebody", "adminPassword": "Not-a-secret-1"},
		"networkProfile": object{"networkInterfaces": []object{{"id": a.group + "/providers/" + azureNICs + name}}},
	}})
}

func (a *azureREST) dropMachine(ctx context.Context, name string) error {
	for _, path := range []string{azureMachines + name, azureNICs + name, azureNetworks + name} {
		// Deleting what isn't there is success, at Azure: what is taken away must have been left alone until now.
		status, _, err := a.do(ctx, http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("%s isn't there any more: status %d", path, status)
		}
		if err := a.drop(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

// droplets waits until those of a name are as they are to be.
func droplets(ctx context.Context, c *godo.Client, name string, are func([]godo.Droplet) bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		list, _, err := c.Droplets.ListByName(ctx, name, nil)
		if err != nil || are(list) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("droplets called %s: %v: %w", name, list, ctx.Err())
		}
	}
}

// putDroplet makes a droplet in a VPC.
func putDroplet(ctx context.Context, c *godo.Client, name, vpc string) error {
	vpcs, _, err := c.VPCs.List(ctx, nil)
	if err != nil {
		return err
	}
	in := &godo.DropletCreateRequest{Name: name, Size: "s-1vcpu-1gb", Image: godo.DropletCreateImage{Slug: "ubuntu-24-04-x64"}, SSHKeys: []godo.DropletCreateSSHKey{}}
	for _, v := range vpcs {
		if v.Name == vpc {
			in.Region, in.VPCUUID = v.RegionSlug, v.ID
		}
	}
	if in.VPCUUID == "" {
		return fmt.Errorf("there is no VPC %s", vpc)
	}
	if _, _, err := c.Droplets.Create(ctx, in); err != nil {
		return err
	}
	return droplets(ctx, c, name, func(list []godo.Droplet) bool { return len(list) == 1 && list[0].Status == "active" })
}

// dropDroplet deletes the one droplet of a name, which must have been left alone until now.
func dropDroplet(ctx context.Context, c *godo.Client, name string) error {
	list, _, err := c.Droplets.ListByName(ctx, name, nil)
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return fmt.Errorf("%d droplets are called %s, want one", len(list), name)
	}
	if _, err := c.Droplets.Delete(ctx, list[0].ID); err != nil {
		return err
	}
	return droplets(ctx, c, name, func(list []godo.Droplet) bool { return len(list) == 0 })
}
