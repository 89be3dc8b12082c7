package strangers_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/skyweld/skyweld/lab/world"
)

// azVersion is the az that scripts/strangers.sh unpacks into the cache folder.
const azVersion = "az-2.45.0"

// newAZ starts Azure's command line, with a configuration of its own; or skips the test where there is none.
func newAZ(t *testing.T, l *azureLab) *shell {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	packages := filepath.Join(cache, "skyweld", "strangers", azVersion, "root", "usr", "lib", "python3", "dist-packages")
	if _, err := os.Stat(packages); err != nil {
		t.Skipf("needs Azure's command line in %s: run 'scripts/strangers.sh az' on Debian 12", packages)
	}
	const python = "/usr/bin/python3" // Debian's own, which its packages are for
	if _, err := os.Stat(python); err != nil {
		t.Skipf("needs Debian's Python: %v", err)
	}
	cmd := exec.Command(python, filepath.Join("azure", "az.py"))
	cmd.Env = append(os.Environ(), "PYTHONPATH="+packages, "REQUESTS_CA_BUNDLE="+l.ca, "AZURE_CONFIG_DIR="+t.TempDir(),
		"AZURE_CORE_COLLECT_TELEMETRY=false", "AZURE_CORE_NO_COLOR=true", "AZURE_CORE_OUTPUT=json", "AZURE_CORE_ONLY_SHOW_ERRORS=true", "NO_PROXY=*")
	return newShell(t, cmd, "az", nil, l.refusals)
}

// TestAZ goes through what somebody does by hand with az: logs in at a cloud that it must be told of, looks around, makes all
// that a machine needs, with mistakes in between, and takes it away in the wrong order and in the right one. Debian's package
// lacks a part of the library for networks, so what az can't do itself goes through its commands for resources of any kind.
func TestAZ(t *testing.T) {
	t.Parallel()
	l := newAzureLab(t, world.Instant)
	az := newAZ(t, l)
	az.steps("log in", azLogin(l))
	for _, part := range []struct {
		name  string
		steps []step
	}{{"look around", azCatalogue}, {"network", azNetwork}, {"machine", azMachine}, {"power", azPower}, {"list", azList}, {"wrong order", azWrongOrder}, {"right order", azRightOrder}} {
		az.steps(part.name, part.steps)
	}
	t.Logf("%d command lines", az.ran)
}

var azCatalogue = []step{
	{line: "account show --query [tenantId,state] -o tsv", want: azureTenant + "\nEnabled"},
	{line: "account list-locations --query sort_by([?contains(name,`\"switz\"`)],&name)[].[name,displayName] -o tsv", want: "switzerlandnorth\tSwitzerland North\nswitzerlandwest\tSwitzerland West"},
	{line: "provider show -n Microsoft.Compute --query registrationState -o tsv", want: "Registered"},
	{line: "provider register -n Microsoft.Network"},
	{line: "vm list-sizes -l westeurope --query length([?name==`\"Standard_D4s_v5\"`]) -o tsv", want: "1"},
	{line: "vm list-usage -l westeurope --query [?name.value==`\"cores\"`].currentValue -o tsv", want: "0"},
	{line: "vm image list-publishers -l westeurope --query length([?name==`\"Debian\"`]) -o tsv", want: "1"},
	{line: "vm image list-skus -l westeurope -p Debian -f debian-12 --query sort([].name) -o tsv", want: "12\n12-arm64\n12-gen2"},
	{line: "group list -o tsv"},
	{line: "group create -n day -l atlantis", refused: "400 LocationNotAvailableForResourceGroup", message: "atlantis"},
	{line: "group create -n day -l westeurope --tags owner=strangers --query properties.provisioningState -o tsv", want: "Succeeded"},
	{line: "group exists -n day", want: "true"},
	{line: "group list --tag OWNER=strangers --query [].name -o tsv", want: "day"},
	{line: "group list --tag owner=nobody --query [].name -o tsv"},
	{line: "group update -n day --set tags.team=data --query tags.team -o tsv", want: "data"},
	{line: "group show -n none", refused: "404 ResourceGroupNotFound", message: "Resource group 'none' could not be found."},
}

var azNetwork = []step{
	{line: "network nsg create -g day -n fw --query NewNSG.defaultSecurityRules[].name -o tsv",
		want: "AllowVnetInBound\nAllowAzureLoadBalancerInBound\nDenyAllInBound\nAllowVnetOutBound\nAllowInternetOutBound\nDenyAllOutBound"},
	{line: "network nsg rule create -g day --nsg-name fw -n ssh --priority 100 --access Allow --protocol Tcp --destination-port-ranges 22 --source-address-prefixes 203.0.113.7/32 --query provisioningState -o tsv", want: "Succeeded"},
	{line: "network nsg rule create -g day --nsg-name fw -n tunnel --priority 110 --access Allow --protocol Udp --destination-port-ranges 51820 51821 --query destinationPortRanges -o tsv", want: "51820\n51821"},
	{line: "network nsg rule create -g day --nsg-name fw -n twice --priority 100 --access Allow --protocol Tcp --destination-port-ranges 23", refused: "400 SecurityRuleConflict", message: "conflicts with rule ssh"},
	{line: "network nsg rule list -g day --nsg-name fw --query [].[name,priority,protocol] -o tsv", want: "ssh\t100\tTcp\ntunnel\t110\tUdp"},
	{line: "network nsg rule list -g day --nsg-name fw --include-default --query length(@) -o tsv", want: "8"},
	{line: "network nsg list -g day --query [].name -o tsv", want: "fw"},
	{line: "network vnet create -g day -n net --address-prefixes 10.9.0.0/16 --tags a=b --query newVNet.addressSpace.addressPrefixes -o tsv", want: "10.9.0.0/16"},
	{line: "network vnet subnet create -g day --vnet-name net -n nodes --address-prefixes 10.9.0.0/24 --network-security-group fw --query addressPrefix -o tsv", want: "10.9.0.0/24"},
	{line: "network vnet subnet create -g day --vnet-name net -n twice --address-prefixes 10.9.0.0/25", refused: "400 NetcfgSubnetRangesOverlap", message: "overlaps"},
	{line: "network vnet subnet create -g day --vnet-name net -n out --address-prefixes 10.10.0.0/25", refused: "400 NetcfgSubnetRangeOutsideVnet", message: "outside"},
	{line: "network vnet subnet list -g day --vnet-name net --query [].[name,addressPrefix] -o tsv", want: "nodes\t10.9.0.0/24"},
	{line: "network vnet check-ip-address -g day -n net --ip-address 10.9.0.4 --query available -o tsv", want: "true"},
	{line: "network public-ip create -g day -n ip --sku Standard --allocation-method Static --query publicIp.[sku.name,publicIpAllocationMethod] -o tsv", want: "Standard\nStatic"},
	{line: "network public-ip create -g day -n old --sku Basic --allocation-method Dynamic", refused: "400 IPv4BasicSkuPublicIpCountLimitReached", message: "Basic SKU"},
	{line: "network nic create -g day -n nic --vnet-name net --subnet nodes --public-ip-address ip --ip-forwarding true --query NewNIC.[enableIpForwarding,ipConfigurations[0].privateIpAddress] -o tsv", want: "true\n10.9.0.4"},
	{line: "network nic create -g day -n lost --vnet-name net --subnet nowhere", refused: "400 InvalidResourceReference", message: "nowhere"},
	{line: "network nic ip-config list -g day --nic-name nic --query [].[name,privateIpAllocationMethod] -o tsv", want: "ipconfig1\tDynamic"},
}

// azMachineBody is a machine as the API takes it: az's own command for machines deploys a template, which the lab doesn't know.
const azMachineBody = `{"location":"westeurope","tags":{"a":"b"},"properties":{"hardwareProfile":{"vmSize":"Standard_B2s"},` +
	`"networkProfile":{"networkInterfaces":[{"id":"/subscriptions/` + azureSubscription + `/resourceGroups/day/providers/Microsoft.Network/networkInterfaces/nic"}]},` +
	`"storageProfile":{"imageReference":{"publisher":"Debian","offer":"debian-12","sku":"12-gen2","version":"latest"},"osDisk":{"name":"os","createOption":"FromImage","deleteOption":"Delete"}},` +
	`"osProfile":{"computerName":"vm","adminUsername":"stranger","adminPassword":"Str4nge-Enough"}}}`

var azMachine = []step{
	{line: "disk create -g day -n data --size-gb 8 --sku Standard_LRS --query [diskSizeGb,sku.name,diskState] -o tsv", want: "8\nStandard_LRS\nUnattached"},
	{line: "disk update -g day -n data --size-gb 16 --query diskSizeGb -o tsv", want: "16"},
	{line: "disk update -g day -n data --size-gb 4", refused: "409 OperationNotAllowed", message: "only supported to a larger size"},
	{line: "disk list -g day --query [].name -o tsv", want: "data"},
	{line: "resource create -g day -n vm --resource-type Microsoft.Compute/virtualMachines --is-full-object --properties '" + azMachineBody + "' --query properties.provisioningState -o tsv", want: "*"},
	{line: "vm wait -g day -n vm --created"},
	{line: "vm show -g day -n vm --query [name,hardwareProfile.vmSize,storageProfile.osDisk.deleteOption,tags.a] -o tsv", want: "vm\nStandard_B2s\nDelete\nb"},
	{line: "vm show -g day -n none", refused: "404 ResourceNotFound", message: "'Microsoft.Compute/virtualMachines/none'"},
	{line: "vm get-instance-view -g day -n vm --query instanceView.statuses[].code -o tsv", want: "ProvisioningState/succeeded\nPowerState/running"},
	{line: "vm update -g day -n vm --set tags.c=d --query tags.c -o tsv", want: "d"},
	{line: "vm list-usage -l westeurope --query [?name.value==`\"cores\"`].currentValue -o tsv", want: "2"},
}

var azPower = []step{
	{line: "vm stop -g day -n vm"},
	{line: "vm get-instance-view -g day -n vm --query instanceView.statuses[1].code -o tsv", want: "PowerState/stopped"},
	{line: "vm deallocate -g day -n vm"},
	{line: "vm get-instance-view -g day -n vm --query instanceView.statuses[1].code -o tsv", want: "PowerState/deallocated"},
	{line: "vm resize -g day -n vm --size Standard_D2s_v5 --query hardwareProfile.vmSize -o tsv", want: "Standard_D2s_v5"},
	{line: "vm start -g day -n vm"},
	{line: "vm restart -g day -n vm"},
	{line: "vm get-instance-view -g day -n vm --query instanceView.statuses[1].code -o tsv", want: "PowerState/running"},
}

var azList = []step{
	{line: "resource list -g day --query sort_by(@,&name)[].[name,type] -o tsv", want: "data\tMicrosoft.Compute/disks\nfw\tMicrosoft.Network/networkSecurityGroups\nip\tMicrosoft.Network/publicIPAddresses\n" +
		"net\tMicrosoft.Network/virtualNetworks\nnic\tMicrosoft.Network/networkInterfaces\nos\tMicrosoft.Compute/disks\nvm\tMicrosoft.Compute/virtualMachines"},
	{line: "resource list --tag a=b --query sort([].name) -o tsv", want: "net\nos\nvm"}, // a disk made with a machine has its tags
	{line: "resource list --resource-type Microsoft.Network/networkWatchers --query [].[name,resourceGroup] -o tsv", want: "NetworkWatcher_westeurope\tNetworkWatcherRG"},
	{line: "resource show -g day -n ip --resource-type Microsoft.Network/publicIPAddresses --query properties.publicIPAllocationMethod -o tsv", want: "Static"},
	{line: "network vnet list --query [].name -o tsv", want: "net"},
	{line: "network nic list --query [].name -o tsv", want: "nic"},
	{line: "vm list -g day --query [].[name,provisioningState] -o tsv", want: "vm\tSucceeded"},
}

var azWrongOrder = []step{
	{line: "network vnet delete -g day -n net", refused: "400 InUseSubnetCannotBeDeleted", message: "Subnet nodes is in use by"},
	{line: "network vnet subnet delete -g day --vnet-name net -n nodes", refused: "400 InUseSubnetCannotBeDeleted", message: "Subnet nodes is in use by"},
	{line: "network nsg delete -g day -n fw", refused: "400 InUseNetworkSecurityGroupCannotBeDeleted", message: "in use by"},
	{line: "resource delete -g day -n ip --resource-type Microsoft.Network/publicIPAddresses", refused: "400 PublicIPAddressCannotBeDeleted"},
	{line: "resource delete -g day -n nic --resource-type Microsoft.Network/networkInterfaces", refused: "400 NicInUse"},
	{line: "disk delete -g day -n os --yes", refused: "409 OperationNotAllowed"},
}

var azRightOrder = []step{
	{line: "vm delete -g day -n vm --yes"},
	{line: "disk list -g day --query [].name -o tsv", want: "data"}, // the other one went with the machine
	{line: "disk delete -g day -n data --yes"},
	{line: "resource delete -g day -n nic --resource-type Microsoft.Network/networkInterfaces"},
	{line: "resource delete -g day -n ip --resource-type Microsoft.Network/publicIPAddresses"},
	{line: "network vnet subnet delete -g day --vnet-name net -n nodes"},
	{line: "network vnet delete -g day -n net"},
	{line: "network nsg rule delete -g day --nsg-name fw -n ssh"},
	{line: "network nsg delete -g day -n fw"},
	{line: "resource list -g day -o tsv"},
	{line: "group delete -n day --yes"},
	{line: "group exists -n day", want: "false"},
	{line: "group list --query [].name -o tsv", want: "NetworkWatcherRG"},
}
