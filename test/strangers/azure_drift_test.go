package strangers_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/azure"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/store"
)

// azLogin makes the lab known to az and logs in there.
func azLogin(l *azureLab) []step {
	return []step{
		{line: "cloud register -n lab --endpoint-resource-manager " + l.url + " --endpoint-active-directory " + l.url + "/adfs --endpoint-active-directory-resource-id " + l.url +
			" --endpoint-gallery " + l.url + " --endpoint-vm-image-alias-doc " + l.url + "/aliases.json"},
		{line: "cloud set -n lab"},
		{line: "cloud update -n lab --profile 2020-09-01-hybrid"},
		{line: "login --service-principal -u " + azureClient + " -p wrong --tenant " + azureTenant, refused: "-", message: "AADSTS7000215"},
		{line: "login --service-principal -u " + azureClient + " -p " + azureSecret + " --tenant " + azureTenant + " --query [].state -o tsv", want: "Enabled"},
	}
}

// TestAZDrift has az break one thing of each type of a cluster's, and the engine mend it.
func TestAZDrift(t *testing.T) {
	t.Parallel()
	l := newAzureLab(t, world.Instant)
	az := newAZ(t, l)
	az.steps("log in", azLogin(l))
	ca, err := os.ReadFile(l.ca)
	if err != nil {
		t.Fatal(err)
	}
	k := newKeeper(t, cloud.Account{
		Name: "lab", Provider: cloud.Azure, CA: string(ca), Secrets: map[string]cloud.Secret{azure.SecretClient: azureSecret},
		Settings: map[string]string{
			azure.SettingSubscription: azureSubscription, azure.SettingTenant: azureTenant, azure.SettingClient: azureClient,
			azure.SettingEndpoint: l.url, azure.SettingAuthority: l.url, azure.SettingNoDiscovery: "true",
		},
	}, "eastus", func(ctx context.Context, a cloud.Account, transport cloud.Transport) (cloud.Driver, error) {
		return azure.New(ctx, a, transport)
	})
	l.refusals() // the driver asks for what isn't there
	k.name = func(id string) string {
		path, _, _ := strings.Cut(id, "#")
		return path[strings.LastIndexByte(path, '/')+1:]
	}
	const vm = " -g <conf-group> -n <conf-node-conf-web-1>"
	const generic = "resource update -g <conf-group> --resource-type Microsoft.Network/"
	for _, c := range []struct {
		kind  cloud.Kind
		lines []string
	}{
		{"resource-group", []string{"group update -n <conf-group> --set tags.skyweld-key=theirs"}},
		{"network-security-group", []string{
			"network nsg rule create -g <conf-group> --nsg-name <conf-nsg-node> -n theirs --priority 300 --access Allow --protocol Tcp --destination-port-ranges 8080",
		}},
		{"network-security-group", []string{"network nsg rule delete -g <conf-group> --nsg-name <conf-nsg-control-plane> -n ssh"}},
		{"virtual-network", []string{generic + "virtualNetworks -n <conf-network> --set properties.subnets[0].properties.defaultOutboundAccess=true"}},
		{"public-ip-address", []string{generic + "publicIPAddresses -n <conf-ip-conf-web-1> --set properties.deleteOption=Delete"}},
		{"network-interface", []string{generic + "networkInterfaces -n <conf-nic-conf-web-1> --set properties.enableIPForwarding=false"}},
		{"virtual-machine", []string{"vm deallocate" + vm}},
		{"virtual-machine", []string{"vm delete" + vm + " --yes"}},
		{"disk", []string{"vm update" + vm + " --set storageProfile.osDisk.deleteOption=Detach", "vm delete" + vm + " --yes"}},
	} {
		for _, line := range c.lines {
			filled, ok := k.fill(line)
			if !ok {
				t.Fatalf("az %s: not all of it is on record", line)
			}
			az.steps(string(c.kind), []step{{line: filled, want: "*"}})
		}
		k.mended(c.kind, "az "+strings.Join(c.lines, "; az "))
	}
	t.Logf("%d command lines", az.ran)
}

// mended waits until a change is to be seen, and wants one run to mend it and the next to find nothing to do.
func (k *keeper) mended(kind cloud.Kind, how string) {
	k.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) { // some calls end before what they begin does
		p, err := k.engine.PlanReconcile(k.Context(), "conf")
		if err != nil {
			k.Fatal(err)
		}
		if slices.ContainsFunc(p.Graph.Steps, func(s plan.Step) bool { return s.Kind == kind }) {
			break
		}
		if time.Now().After(deadline) {
			k.Fatalf("%s: the engine doesn't see it, but %v", how, p.Graph.Steps)
		}
	}
	for _, s := range k.reconcile() {
		if s.State != store.StepDone {
			k.Errorf("%s: %s: %s %s", how, s.ID, s.State, s.Error)
		}
	}
	for _, s := range k.reconcile() {
		k.Errorf("%s: there is still something to do: %s, because %s", how, s.ID, s.Reason)
	}
}
