package strangers_test

import "testing"

// minGcloud is how many command lines the script has at least.
const minGcloud = 80

// TestGcloudScript goes through what a project's owner does by hand with gcloud: look around, make, list, change, delete,
// with mistakes in between. Every answer is held against the discovery document, and gcloud must understand it.
func TestGcloudScript(t *testing.T) {
	t.Parallel()
	l := newGCPLab(t)
	g := newGcloud(t, l)
	for _, part := range []struct {
		name  string
		steps []step
	}{
		{"look around", gcloudCatalogue}, {"networks", gcloudNetworks}, {"subnets", gcloudSubnets}, {"firewall rules", gcloudFirewalls},
		{"addresses and routes", gcloudAddresses}, {"disks", gcloudDisks}, {"instances", gcloudInstances}, {"change an instance", gcloudChanges},
		{"stop and start", gcloudLifecycle}, {"project and operations", gcloudProject},
	} {
		g.steps(part.name, part.steps)
	}
	if g.ran < minGcloud {
		t.Errorf("the script has %d command lines, want %d", g.ran, minGcloud)
	}
	t.Logf("%d command lines; %s", g.ran, l.judge.Summary())
}

var gcloudCatalogue = []step{
	{line: "project-info describe --format=value(name,defaultServiceAccount)", want: "skyweld-lab\t424242424242-compute@developer.gserviceaccount.com"},
	{line: "regions list --filter=name:us-east4 --format=value(name,status)", want: "us-east4\tUP"},
	{line: "regions describe us-east4 --format=value(name,zones.len())", want: "us-east4\t3"},
	{line: "regions describe nowhere-1", refused: "404 notFound", message: "The resource 'projects/skyweld-lab/regions/nowhere-1' was not found"},
	{line: "zones list --filter=region:us-east4 --format=value(name)", want: "us-east4-a\nus-east4-b\nus-east4-c"},
	{line: "zones list --limit=3 --page-size=1 --format=value(name)", want: "africa-south1-a\nafrica-south1-b\nafrica-south1-c"},
	{line: "zones describe us-east4-b --format=value(region.basename(),status)", want: "us-east4\tUP"},
	{line: "machine-types list --zones=us-east4-b --filter='name=e2-medium' --format=value(name,guestCpus,memoryMb)", want: "e2-medium\t2\t4.00"},
	{line: "machine-types describe e2-medium --zone=us-east4-b --format=value(guestCpus)", want: "2"},
	{line: "machine-types describe nothing-8 --zone=us-east4-b", refused: "404 notFound", message: "zones/us-east4-b/machineTypes/nothing-8' was not found"},
	{line: "disk-types list --zones=us-east4-b --sort-by=name --format=value(name)", want: "hyperdisk-balanced\npd-balanced\npd-ssd\npd-standard"},
	{line: "disk-types describe pd-balanced --zone=us-east4-b --format=value(defaultDiskSizeGb)", want: "100"},
	{line: "images list --filter='family~ubuntu-2404' --sort-by=family --format=value(family,architecture)", want: "ubuntu-2404-lts-amd64\tX86_64\nubuntu-2404-lts-arm64\tARM64"},
	{line: "images describe-from-family debian-12 --project=debian-cloud --format=value(family,diskSizeGb)", want: "debian-12\t10"},
	{line: "images describe-from-family debian-1 --project=debian-cloud", refused: "404 notFound", message: "family/debian-1' was not found"},
	{line: "routers list --format=value(name)"}, // kinds that the lab can't make: a project has none
	{line: "target-pools list --format=value(name)"},
	{line: "instance-groups list --format=value(name)"},
	{line: "snapshots list --format=value(name)"},
}

var gcloudNetworks = []step{
	{line: "networks create sky --subnet-mode=custom --bgp-routing-mode=regional --mtu=1460 --description='a network' --format=value(name)", want: "sky"},
	{line: "networks create sky --subnet-mode=custom", refused: "409 alreadyExists", message: "The resource 'projects/skyweld-lab/global/networks/sky' already exists"},
	{line: "networks create Sky --subnet-mode=custom", refused: "400 invalid", message: "Invalid value for field 'resource.name': 'Sky'. Must be a match of regex"},
	{line: "networks describe sky --format=value(routingConfig.routingMode,mtu,description)", want: "REGIONAL\t1460\ta network"},
	{line: "networks describe nothing", refused: "404 notFound", message: "The resource 'projects/skyweld-lab/global/networks/nothing' was not found"},
	{line: "networks update sky --bgp-routing-mode=global", want: ""},
	{line: "networks describe sky --format=value(routingConfig.routingMode)", want: "GLOBAL"},
	{line: "networks create auto --subnet-mode=auto --format=value(name)", want: "auto"},
	{line: "networks subnets list --network=auto --limit=2 --format=value(name,ipCidrRange)", want: "auto\t10.218.0.0/20\nauto\t10.140.0.0/20"},
	{line: "networks update auto --switch-to-custom-subnet-mode", want: ""},
	{line: "networks describe auto --format=value(autoCreateSubnetworks)", want: "False"},
	{line: "networks list --filter='name:(sky auto)' --sort-by=~name --format=value(name)", want: "sky\nauto"},
	{line: "networks list --page-size=1 --format=value(name)", want: "auto\ndefault\nsky"},
	{line: "networks get-effective-firewalls sky", refused: "501 notImplemented", message: "compute.networks.getEffectiveFirewalls"},
}

var gcloudSubnets = []step{
	{line: "networks subnets create sky --network=sky --range=10.64.0.0/20 --region=us-east4 --secondary-range=pods=10.200.0.0/20 --format=value(ipCidrRange)", want: "10.64.0.0/20"},
	{line: "networks subnets create twin --network=sky --range=10.64.0.0/24 --region=us-east4", refused: "400 invalid", message: "conflicts with existing subnetwork 'sky' in region 'us-east4'"},
	{line: "networks subnets create lone --network=nothing --range=10.65.0.0/24 --region=us-east4", refused: "404 notFound", message: "global/networks/nothing' was not found"},
	{line: "networks subnets create west --network=sky --range=10.65.0.0/24 --region=us-west1 --enable-private-ip-google-access --format=value(name)", want: "west"},
	{line: "networks subnets list --network=sky --format=value(name,region.basename(),ipCidrRange)", want: "sky\tus-east4\t10.64.0.0/20\nwest\tus-west1\t10.65.0.0/24"},
	{line: "networks subnets list --regions=us-east4 --filter=network:sky --format=value(name)", want: "sky"},
	{line: "networks subnets describe sky --region=us-east4 --format=value(gatewayAddress,privateIpGoogleAccess)", want: "10.64.0.1\tFalse"},
	{line: "networks subnets update sky --region=us-east4 --enable-private-ip-google-access", want: ""},
	{line: "networks subnets update sky --region=us-east4 --add-secondary-ranges=more=10.201.0.0/20", want: ""},
	{line: "networks subnets describe sky --region=us-east4 --format=value(privateIpGoogleAccess,secondaryIpRanges[].rangeName.list())", want: "True\tpods,more"},
	{line: "networks subnets update sky --region=us-east4 --remove-secondary-ranges=more", want: ""},
	{line: "networks subnets expand-ip-range west --region=us-west1 --prefix-length=22", want: ""},
	{line: "networks subnets expand-ip-range west --region=us-west1 --prefix-length=24", refused: "400 invalid", message: "New IP CIDR range must be larger than and contain the existing range 10.65.0.0/22"},
	{line: "networks subnets describe west --region=us-west1 --format=value(ipCidrRange)", want: "10.65.0.0/22"},
	{line: "networks subnets describe west --region=us-east4", refused: "404 notFound", message: "regions/us-east4/subnetworks/west' was not found"},
}

var gcloudFirewalls = []step{
	{line: "firewall-rules create web --network=sky --allow=tcp:80,tcp:8000-9000,icmp --source-ranges=203.0.113.0/24 --target-tags=web --priority=900 --format=value(name)", want: "web"},
	{line: "firewall-rules create web --network=sky --allow=tcp:80", refused: "409 alreadyExists", message: "global/firewalls/web' already exists"},
	{line: "firewall-rules create deny --network=sky --action=DENY --rules=all --direction=EGRESS --destination-ranges=192.0.2.0/24 --format=value(name)", want: "deny"},
	{line: "firewall-rules create bad --network=sky --allow=tcp:99999", refused: "400 invalid", message: "'99999'. Ports may be an integer or a range, in [0, 65535]"},
	{line: "firewall-rules create inner --network=sky --allow=all --source-tags=web --target-tags=web --format=value(name)", want: "inner"},
	{line: "firewall-rules list --filter=network:sky --format=value(name,direction,priority)", want: "deny\tEGRESS\t1000\ninner\tINGRESS\t1000\nweb\tINGRESS\t900"},
	{line: "firewall-rules list --filter='network:sky AND direction=INGRESS' --page-size=1 --format=value(name)", want: "inner\nweb"},
	{line: "firewall-rules update web --allow=tcp:443 --priority=800 --source-ranges=203.0.113.0/25", want: ""},
	{line: "firewall-rules update web --disabled", want: ""},
	{line: "firewall-rules describe web --format='value(disabled,priority,allowed[].ports.flatten(),sourceRanges.list())'", want: "True\t800\t443\t203.0.113.0/25"},
	{line: "firewall-rules describe nothing", refused: "404 notFound", message: "global/firewalls/nothing' was not found"},
	{line: "firewall-rules delete deny inner", want: ""},
	{line: "firewall-rules delete deny", refused: "404 notFound", message: "global/firewalls/deny' was not found"},
}

var gcloudAddresses = []step{
	{line: "addresses create cp a1 a2 --region=us-east4 --format=value(name)", want: "cp\na1\na2"},
	{line: "addresses create inside --region=us-east4 --subnet=sky --addresses=10.64.0.50 --format=value(name)", want: "inside"},
	{line: "addresses create outside --region=us-east4 --subnet=sky --addresses=10.99.0.50", refused: "400 invalid", message: "'10.99.0.50'. Requested internal IP address is outside the subnetwork CIDR range"},
	{line: "addresses list --filter='region:us-east4 AND addressType=EXTERNAL' --page-size=2 --format=value(name,status)", want: "a1\tRESERVED\na2\tRESERVED\ncp\tRESERVED"},
	{line: "addresses describe inside --region=us-east4 --format=value(address,purpose,status,subnetwork.basename())", want: "10.64.0.50\tGCE_ENDPOINT\tRESERVED\tsky"},
	{line: "addresses delete a1 a2 --region=us-east4", want: ""},
	{line: "addresses describe a1 --region=us-east4", refused: "404 notFound", message: "regions/us-east4/addresses/a1' was not found"},
	{line: "routes list --filter=network:sky --sort-by=destRange --format=value(destRange,nextHopGateway.basename())", want: "0.0.0.0/0\tdefault-internet-gateway\n10.200.0.0/20\t\n10.64.0.0/20\t\n10.65.0.0/22"},
	{line: "routes create out --network=sky --destination-range=198.51.100.0/24 --next-hop-gateway=default-internet-gateway --priority=500 --tags=node --format=value(name)", want: "out"},
	{line: "routes create hides --network=sky --destination-range=10.64.1.0/24 --next-hop-gateway=default-internet-gateway", refused: "400 invalid", message: "destRange hides the address space of the network"},
	{line: "routes describe out --format=value(priority,destRange,tags.list())", want: "500\t198.51.100.0/24\tnode"},
	{line: "routes delete out", want: ""},
}

var gcloudDisks = []step{
	{line: "disks create data --zone=us-east4-b --size=20GB --type=pd-ssd --labels=a=b --format=value(name,sizeGb)", want: "data\t20"},
	{line: "disks create image --zone=us-east4-b --image-family=debian-12 --image-project=debian-cloud --format=value(sizeGb,sourceImage.basename())", want: "10\tdebian-12-bookworm-v20260810"},
	{line: "disks create data --zone=us-east4-b --size=20GB", refused: "409 alreadyExists", message: "zones/us-east4-b/disks/data' already exists"},
	{line: "disks resize data --zone=us-east4-b --size=30GB --format=value(sizeGb)", want: "30"},
	{line: "disks resize data --zone=us-east4-b --size=10GB", refused: "400 invalid", message: "New disk size '10' GB must be larger than existing size '30' GB"},
	{line: "disks add-labels data --zone=us-east4-b --labels=c=d", want: ""},
	{line: "disks remove-labels data --zone=us-east4-b --labels=a", want: ""},
	{line: "disks describe data --zone=us-east4-b --format='value(labels.list(),type.basename(),sizeGb)'", want: "c=d\tpd-ssd\t30"},
	{line: "disks list --filter=zone:us-east4-b --format=value(name,sizeGb,status)", want: "data\t30\tREADY\nimage\t10\tREADY"},
	{line: "disks delete image --zone=us-east4-b", want: ""},
}

var gcloudInstances = []step{
	{line: "instances create node --zone=us-east4-b --machine-type=e2-medium --network-interface=subnet=sky,address=cp,private-network-ip=10.64.0.10 --tags=node,web --can-ip-forward " +
		"--image-family=ubuntu-2404-lts-amd64 --image-project=ubuntu-os-cloud --no-service-account --no-scopes --labels=a=b --metadata=k=v --boot-disk-size=200GB --format=value(name,status)", want: "node\tRUNNING"},
	{line: "instances create node --zone=us-east4-b", refused: "409 alreadyExists", message: "zones/us-east4-b/instances/node' already exists"},
	{line: "instances create bad --zone=us-east4-b --machine-type=e2-nothing --subnet=sky --image-family=debian-12 --image-project=debian-cloud", refused: "400 invalid",
		message: "Machine type with name 'e2-nothing' does not exist in zone 'us-east4-b'"},
	{line: "instances create bad --zone=us-east4-b --subnet=sky --image-family=nothing --image-project=debian-cloud", refused: "404 notFound", message: "family/nothing' was not found"},
	{line: "instances create bad --zone=us-east4-b --network-interface=subnet=sky,private-network-ip=10.64.0.10 --image-family=debian-12 --image-project=debian-cloud",
		refused: "400 IP_IN_USE_BY_ANOTHER_RESOURCE", message: "IP '10.64.0.10' is already being used by another resource"},
	{line: "instances create w1 w2 w3 --zone=us-east4-b --machine-type=e2-small --subnet=sky --no-address --image-family=debian-12 --image-project=debian-cloud --labels=role=worker --format=value(name)", want: "w1\nw2\nw3"},
	{line: "instances list --filter='labels.role=worker' --page-size=1 --format=value(name,networkInterfaces[0].networkIP)", want: "w1\t10.64.0.2\nw2\t10.64.0.3\nw3\t10.64.0.4"},
	{line: "instances list --zones=us-east4-b --sort-by=~name --limit=2 --format=value(name)", want: "w3\nw2"},
	{line: "instances list --filter='status=RUNNING AND zone:us-east4-b AND NOT labels.role:*' --format=value(name)", want: "node"},
	{line: "instances describe node --zone=us-east4-b --format='value(networkInterfaces[0].networkIP,tags.items.list(),canIpForward,labels.a,metadata.items[0].value)'", want: "10.64.0.10\tnode,web\tTrue\tb\tv"},
	{line: "instances describe none --zone=us-east4-b", refused: "404 notFound", message: "zones/us-east4-b/instances/none' was not found"},
	{line: "addresses describe cp --region=us-east4 --format=value(status,users[0].basename())", want: "IN_USE\tnode"},
	{line: "addresses delete cp --region=us-east4", refused: "400 resourceInUseByAnotherResource", message: "is already being used by 'projects/skyweld-lab/zones/us-east4-b/instances/node'"},
	{line: "instances delete w1 w2 w3 --zone=us-east4-b", want: ""},
	{line: "instances list --filter='labels.role=worker' --format=value(name)", want: ""},
}

var gcloudChanges = []step{
	{line: "instances add-labels node --zone=us-east4-b --labels=x=y", want: ""},
	{line: "instances update node --zone=us-east4-b --update-labels=z=1 --remove-labels=a", want: ""},
	{line: "instances add-labels node --zone=us-east4-b --labels=BAD=y", refused: "400 invalid", message: "'BAD'"},
	{line: "instances add-tags node --zone=us-east4-b --tags=extra", want: ""},
	{line: "instances remove-tags node --zone=us-east4-b --tags=web", want: ""},
	{line: "instances add-metadata node --zone=us-east4-b --metadata=k2=v2", want: ""},
	{line: "instances remove-metadata node --zone=us-east4-b --keys=k", want: ""},
	{line: "instances describe node --zone=us-east4-b --format='value(labels.list(),tags.items.list(),metadata.items[].key.list())'", want: "x=y,z=1\textra,node\tk2"},
	{line: "instances attach-disk node --zone=us-east4-b --disk=data --device-name=data", want: ""},
	{line: "disks delete data --zone=us-east4-b", refused: "400 resourceInUseByAnotherResource", message: "The disk resource 'projects/skyweld-lab/zones/us-east4-b/disks/data' is already being used by"},
	{line: "instances set-disk-auto-delete node --zone=us-east4-b --device-name=data --auto-delete", want: ""},
	{line: "instances describe node --zone=us-east4-b --format=value(disks[].deviceName.list(),disks[1].autoDelete)", want: "persistent-disk-0,data\tTrue"},
	{line: "instances detach-disk node --zone=us-east4-b --disk=data", want: ""},
	{line: "instances detach-disk node --zone=us-east4-b --disk=data", refused: "-", message: "is not attached to instance"},
	{line: "instances delete-access-config node --zone=us-east4-b --access-config-name=external-nat", want: ""},
	{line: "addresses describe cp --region=us-east4 --format=value(status)", want: "RESERVED"},
	{line: "instances add-access-config node --zone=us-east4-b --access-config-name=nat", want: ""},
	{line: "instances add-access-config node --zone=us-east4-b --access-config-name=nat2", refused: "400 invalid", message: "At most one access config currently supported"},
	{line: "instances describe node --zone=us-east4-b --format=value(networkInterfaces[0].accessConfigs[0].name)", want: "nat"},
}

var gcloudLifecycle = []step{
	{line: "instances set-machine-type node --zone=us-east4-b --machine-type=e2-small", refused: "400 invalidResourceUsage", message: "must be in TERMINATED state"},
	{line: "instances set-scheduling node --zone=us-east4-b --no-restart-on-failure", want: ""},
	{line: "instances update node --zone=us-east4-b --deletion-protection", want: ""},
	{line: "instances delete node --zone=us-east4-b", refused: "400 invalidResourceUsage", message: "protected against deletion"},
	{line: "instances update node --zone=us-east4-b --no-deletion-protection", want: ""},
	{line: "instances stop node --zone=us-east4-b", want: ""},
	{line: "instances set-machine-type node --zone=us-east4-b --machine-type=e2-small", want: ""},
	{line: "instances set-service-account node --zone=us-east4-b --scopes=compute-ro --service-account=default", want: ""},
	{line: "instances describe node --zone=us-east4-b --format=value(status,machineType.basename(),scheduling.automaticRestart,serviceAccounts[0].email)",
		want: "TERMINATED\te2-small\tFalse\t424242424242-compute@developer.gserviceaccount.com"},
	{line: "instances start node --zone=us-east4-b --format=value(status)", want: "RUNNING"},
	{line: "instances reset node --zone=us-east4-b --format=value(status)", want: "RUNNING"},
	{line: "instances suspend node --zone=us-east4-b", refused: "501 notImplemented", message: "compute.instances.suspend"},
	{line: "instances get-serial-port-output node --zone=us-east4-b", want: "*"},
	{line: "instances get-guest-attributes node --zone=us-east4-b", refused: "404 notFound", message: "was not found"},
	{line: "instances delete node --zone=us-east4-b --keep-disks=all", want: ""},
	{line: "disks list --format=value(name,users.len())", want: "data\t0\nnode\t0"},
	{line: "disks delete data node --zone=us-east4-b", want: ""},
}

var gcloudProject = []step{
	{line: "project-info add-metadata --metadata=team=data,cost=low", want: ""},
	{line: "project-info remove-metadata --keys=cost", want: ""},
	{line: "project-info describe --format='value(commonInstanceMetadata.items[].key.list())'", want: "team"},
	{line: "operations list --filter='operationType=insert AND targetLink:instances/node' --format='value(status,operationType,progress)'", want: "DONE\tinsert\t100"},
	{line: "operations list --zones=us-east4-b --limit=2 --format=value(status)", want: "DONE\nDONE"},
	{line: "operations list --filter='region:us-west1' --format='value(operationType)' --sort-by=insertTime", want: "insert\nexpandIpCidrRange"},
	{line: "operations describe nothing --zone=us-east4-b", refused: "404 notFound", message: "operations/nothing' was not found"},
}
