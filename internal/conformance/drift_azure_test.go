package conformance_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/internal/drift"
	"github.com/skyweld/skyweld/lab/world"
)

// azureIDs are Azure's own numbers, which differ from run to run.
var azureIDs = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)

// azurePolls is a request for the state of something that goes on: how often that is asked depends on the time it takes.
func azurePolls(r *http.Request) bool {
	path := strings.ToLower(r.URL.Path)
	return strings.Contains(path, "/operations/") || strings.Contains(path, "operationresults") || strings.Contains(path, "/diskoperations/")
}

func TestDriftAzure(t *testing.T) {
	lab := newAzureLab(t, world.Instant)
	z := newAzShell(t, lab)
	s := &driftSite{
		site:  azureSite(),
		shell: func(s *driftSite, command string) error { return z.run(s, command) },
		name:  func(o cloud.Object) string { _, name := azureName(o); return name },
		plain: func(text string) string {
			return azureIDs.ReplaceAllString(strings.ReplaceAll(text, "/subscriptions/"+azureSubscription, ""), "…")
		},
	}
	s.d = lab.wrapped(t, func(next http.RoundTripper) http.RoundTripper {
		counted := s.count(next)
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if isLogin(r) || azurePolls(r) {
				return next.RoundTrip(r)
			}
			return counted.RoundTrip(r)
		})
	})
	playDrift(t, s, slices.Concat(azureGroupScenes(), azureSecurityScenes(), azureNetworkScenes(), azureAddressScenes(), azureInterfaceScenes(), azureMachineScenes(z), azureDiskScenes()))
}

// azTag is a command that takes a resource's mark or writes another.
func azTag(words, key, change string) driftScene {
	return driftScene{key: key, change: drift.MarkGone, command: "az " + words + " update -g <conf-group> -n <" + key + "> " + change}
}

// azUnused is a scene of a resource that is deleted when nothing uses it any more.
func azUnused(words, key string, users ...string) driftScene {
	return driftScene{key: key, change: drift.Deleted, command: "az " + words + " delete -g <conf-group> -n <" + key + ">", before: gone(users...)}
}

// azInUse is the scene of the same while something uses it.
func azInUse(words, key, code string) driftScene {
	return driftScene{key: key, change: drift.Deleted + ", in use", command: "az " + words + " delete -g <conf-group> -n <" + key + ">", refused: code}
}

// azRun is a command before or after a scene.
func azRun(command string) func(*driftSite) error {
	return func(s *driftSite) error { return s.shell(s, s.fill(command)) }
}

func azureGroupScenes() []driftScene {
	return []driftScene{
		{key: azureSiteGroup, change: drift.Deleted, command: "az group delete -n <conf-group> --yes"},
		{key: azureSiteGroup, change: drift.MarkGone, command: "az group update -n <conf-group> --remove tags"},
		{
			key: azureSiteGroup, field: "location", change: drift.Changed, command: "az group update -n <conf-group> --set location=westus",
			refused: "InvalidResourceGroupLocation",
		},
	}
}

func azureSecurityScenes() []driftScene {
	const rule, in = "az network nsg rule ", " -g <conf-group> --nsg-name <conf-nsg-node> -n "
	return []driftScene{
		azInUse("network nsg", azureNodeRules, "InUseNetworkSecurityGroupCannotBeDeleted"),
		azUnused("network nsg", azureNodeRules, azureNode, azureNIC),
		azTag("network nsg", azureNodeRules, "--remove tags.skyweld-cluster"),
		{key: azureNodeRules, field: "rules", change: drift.Added, command: rule + "create" + in + "theirs --priority 300 --access Allow --protocol Tcp --destination-port-ranges 8080"},
		{key: azureNodeRules, field: "rules", change: drift.Removed, command: rule + "delete" + in + "ssh"},
		{key: azureNodeRules, field: "rules", change: drift.Changed, command: rule + "update" + in + "ssh --source-address-prefixes Internet"},
	}
}

func azureNetworkScenes() []driftScene {
	const update, subnet = "az network vnet update -g <conf-group> -n <conf-network> ", "az network vnet subnet update -g <conf-group> --vnet-name <conf-network> -n nodes "
	return []driftScene{
		azInUse("network vnet", azureNetwork, "InUseSubnetCannotBeDeleted"),
		{
			key: azureNetwork, change: drift.Deleted, command: "az network vnet delete -g <conf-group> -n <conf-network>",
			before: func(s *driftSite) error {
				return gone(s.but("virtual-network", "resource-group", "network-security-group", "public-ip-address")...)(s)
			},
		},
		azTag("network vnet", azureNetwork, "--set tags.skyweld-key=another"),
		{key: azureNetwork, field: "addressSpace", change: drift.Added, command: update + "--address-prefixes 10.64.0.0/16 172.20.0.0/16"},
		{key: azureNetwork, field: "addressSpace", change: drift.Removed, command: update + "--address-prefixes 172.20.0.0/16", refused: "NetcfgSubnetRangeOutsideVnet"},
		{key: azureNetwork, field: "subnet", change: drift.Changed, command: subnet + "--address-prefixes 10.64.0.0/17", refused: "InUsePrefixCannotBeDeleted"},
		{key: azureNetwork, field: "defaultOutbound", change: drift.Changed, command: subnet + "--default-outbound-access true"},
		{
			key: azureNetwork, field: "routeTable", change: drift.Changed, command: subnet + "--route-table theirs",
			before: azRun("az network route-table create -g <conf-group> -n theirs"), after: azRun("az network route-table delete -g <conf-group> -n theirs"),
		},
		{
			key: azureNetwork, field: "securityGroup", change: drift.Changed, command: subnet + "--network-security-group theirs",
			before: azRun("az network nsg create -g <conf-group> -n theirs"), after: azRun("az network nsg delete -g <conf-group> -n theirs"),
		},
	}
}

func azureAddressScenes() []driftScene {
	const update = "az network public-ip update -g <conf-group> -n <conf-ip-conf-web-1> "
	return []driftScene{
		azInUse("network public-ip", azureIP, "PublicIPAddressCannotBeDeleted"),
		{
			key: azureIP, change: drift.Deleted,
			command: "az network nic update -g <conf-group> -n <conf-nic-conf-web-1> --remove ipConfigurations[0].publicIPAddress && " +
				"az network public-ip delete -g <conf-group> -n <conf-ip-conf-web-1>",
		},
		azTag("network public-ip", azureIP, "--remove tags"),
		{key: azureIP, field: "sku", change: drift.Changed, command: update + "--sku Basic", refused: "Sku property is set at creation time"},
		{key: azureIP, field: "allocation", change: drift.Changed, command: update + "--allocation-method Dynamic", refused: "StandardSkuPublicIPAddressesMustBeStatic"},
		{key: azureIP, field: "deleteWithMachine", change: drift.Changed, command: update + "--set deleteOption=Delete"},
	}
}

func azureInterfaceScenes() []driftScene {
	const update = "az network nic update -g <conf-group> -n <conf-nic-conf-web-1> "
	changed := func(field, how string) driftScene {
		return driftScene{key: azureNIC, field: field, change: drift.Changed, command: update + how}
	}
	elsewhere := changed("network", "--set ipConfigurations[0].subnet.id="+azurePath("theirs", "Microsoft.Network/virtualNetworks/subnets", "theirs/a"))
	elsewhere.refused = "SubnetsNotInSameVnet"
	elsewhere.before = azRun("az group create -n theirs && az network vnet create -g theirs -n theirs --address-prefixes 172.21.0.0/16 && " +
		"az network vnet subnet create -g theirs --vnet-name theirs -n a --address-prefixes 172.21.0.0/24")
	elsewhere.after = azRun("az group delete -n theirs --yes")
	return []driftScene{
		azInUse("network nic", azureNIC, "NicInUse"),
		azUnused("network nic", azureNIC, azureNode),
		azTag("network nic", azureNIC, "--remove tags.skyweld-key"),
		elsewhere,
		changed("privateAddress", "--set ipConfigurations[0].privateIPAddress=10.64.0.99"),
		changed("allocation", "--set ipConfigurations[0].privateIPAllocationMethod=Dynamic"),
		changed("publicAddress", "--remove ipConfigurations[0].publicIPAddress"),
		changed("securityGroup", "--network-security-group ''"),
		changed("ipForwarding", "--ip-forwarding false"),
	}
}

func azureMachineScenes(z *azShell) []driftScene {
	const machine = " -g <conf-group> -n <conf-node-conf-web-1> "
	const update, deallocate = "az vm update" + machine, "az vm deallocate" + machine + "&& "
	changed := func(field, command string) driftScene {
		return driftScene{key: azureNode, field: field, change: drift.Changed, command: command}
	}
	kept := func(field, how, code string) driftScene {
		c := changed(field, update+how)
		c.refused = code
		return c
	}
	disk := func(field, command string) driftScene {
		c := changed(field, command)
		c.do = func(s *driftSite) error {
			name, err := z.systemDisk(s.Context(), s.fill("<conf-group>"), s.fill("<conf-node-conf-web-1>"))
			if err != nil {
				return err
			}
			return s.shell(s, s.fill(strings.ReplaceAll(command, "<its disk>", name)))
		}
		return c
	}
	another := changed("interface", deallocate+update+"--set networkProfile.networkInterfaces[0].id="+azurePath("<conf-group>", "Microsoft.Network/networkInterfaces", "theirs"))
	another.before = azRun("az network nic create -g <conf-group> -n theirs --vnet-name <conf-network> --subnet nodes")
	another.after = azRun("az network nic delete -g <conf-group> -n theirs")
	return []driftScene{
		{key: azureNode, change: drift.Deleted, command: "az vm delete" + machine + "--yes"},
		azTag("vm", azureNode, "--remove tags"),
		{key: azureNode, change: drift.Stopped, command: "az vm deallocate" + strings.TrimSuffix(machine, " ")},
		{key: azureNode, change: "stopped, its host kept", command: "az vm stop" + strings.TrimSuffix(machine, " ")},
		another,
		kept("zone", `--set zones=["2"]`, "PropertyChangeNotAllowed"),
		changed("type", "az vm resize"+machine+"--size Standard_D2s_v5"),
		kept("securityType", "--set securityProfile.securityType=ConfidentialVM", "PropertyChangeNotAllowed"),
		changed("secureBoot", deallocate+update+"--set securityProfile.uefiSettings.secureBootEnabled=false"),
		changed("tpm", deallocate+update+"--set securityProfile.uefiSettings.vTpmEnabled=false"),
		disk("diskGiB", "az disk update -g <conf-group> -n <its disk> --size-gb 64"),
		disk("diskType", deallocate+"az disk update -g <conf-group> -n <its disk> --sku StandardSSD_LRS"),
		changed("diskDelete", update+"--set storageProfile.osDisk.deleteOption=Detach"),
		changed("interfaceDelete", update+"--set networkProfile.networkInterfaces[0].deleteOption=Delete"),
		changed("extensions", update+"--set osProfile.allowExtensionOperations=true"),
		changed("bootDiagnostics", update+"--set diagnosticsProfile.bootDiagnostics.enabled=false"),
	}
}

func azureDiskScenes() []driftScene {
	const machine = " -g <conf-group> -n <conf-node-conf-web-1> "
	return []driftScene{{
		kind: "disk", change: "outlives its machine",
		command: "az vm update" + machine + "--set storageProfile.osDisk.deleteOption=Detach && az vm delete" + machine + "--yes",
	}}
}

// systemDisk is the name of the disk that a machine boots from.
func (z *azShell) systemDisk(ctx context.Context, group, name string) (string, error) {
	var machine struct {
		Properties struct {
			StorageProfile struct{ OSDisk struct{ Name string } }
		}
	}
	if err := z.call(ctx, http.MethodGet, azurePath(group, "Microsoft.Compute/virtualMachines", name), nil, &machine); err != nil {
		return "", err
	}
	if machine.Properties.StorageProfile.OSDisk.Name == "" {
		return "", fmt.Errorf("machine %s has no disk", name)
	}
	return machine.Properties.StorageProfile.OSDisk.Name, nil
}
