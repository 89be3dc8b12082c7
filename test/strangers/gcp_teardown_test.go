package strangers_test

import "testing"

// TestGcloudTeardown makes a network with everything in it, looks, changes, and takes it away again: first in the wrong
// order, where each step must be refused as Compute Engine refuses it, then in the right one, after which nothing is left.
func TestGcloudTeardown(t *testing.T) {
	t.Parallel()
	l := newGCPLab(t)
	g := newGcloud(t, l)
	g.steps("before", gcloudNothing)
	g.steps("make", gcloudMake)
	g.steps("list", gcloudList)
	g.steps("modify", gcloudModify)
	g.steps("wrong order", gcloudWrongOrder)
	g.steps("right order", gcloudRightOrder)
	g.steps("after", gcloudNothing)
	t.Logf("%d command lines; %s", g.ran, l.judge.Summary())
}

// gcloudNothing lists what belongs to the network, and what costs money wherever it is.
var gcloudNothing = []step{
	{line: "networks list --filter=name=sky --format=value(name)"},
	{line: "networks subnets list --network=sky --format=value(name)"},
	{line: "firewall-rules list --filter=network:sky --format=value(name)"},
	{line: "routes list --filter=network:sky --format=value(name)"},
	{line: "addresses list --format=value(name)"},
	{line: "disks list --format=value(name)"},
	{line: "instances list --format=value(name)"},
}

var gcloudMake = []step{
	{line: "networks create sky --subnet-mode=custom --format=value(name)", want: "sky"},
	{line: "networks subnets create sky --network=sky --range=10.64.0.0/20 --region=us-east4 --format=value(name)", want: "sky"},
	{line: "networks subnets create spare --network=sky --range=10.66.0.0/24 --region=us-east4 --format=value(name)", want: "spare"},
	{line: "firewall-rules create sky-ssh --network=sky --allow=tcp:22 --source-ranges=203.0.113.7/32 --target-tags=node --format=value(name)", want: "sky-ssh"},
	{line: "addresses create cp --region=us-east4 --format=value(name)", want: "cp"},
	{line: "addresses create inside --region=us-east4 --subnet=sky --addresses=10.64.0.10 --format=value(name)", want: "inside"},
	{line: "addresses create kept --region=us-east4 --subnet=spare --addresses=10.66.0.9 --format=value(name)", want: "kept"},
	{line: "disks create data --zone=us-east4-b --size=200GB --type=pd-balanced --format=value(name)", want: "data"},
	{line: "instances create node --zone=us-east4-b --machine-type=e2-medium --network-interface=subnet=sky,address=cp,private-network-ip=10.64.0.10 --tags=node --can-ip-forward " +
		"--disk=name=data,device-name=data --image-family=debian-12 --image-project=debian-cloud --no-service-account --no-scopes --format=value(status)", want: "RUNNING"},
	{line: "routes create pods --network=sky --destination-range=10.200.0.0/24 --next-hop-instance=node --next-hop-instance-zone=us-east4-b --format=value(name)", want: "pods"},
}

var gcloudList = []step{
	{line: "networks describe sky --format=value(subnetworks.len())", want: "2"},
	{line: "networks subnets list --network=sky --format=value(name,ipCidrRange)", want: "sky\t10.64.0.0/20\nspare\t10.66.0.0/24"},
	{line: "firewall-rules list --filter=network:sky --format=value(name)", want: "sky-ssh"},
	{line: "routes list --filter='network:sky AND nextHopInstance:node' --format=value(name,destRange)", want: "pods\t10.200.0.0/24"},
	{line: "addresses list --sort-by=name --format=value(name,status,users[0].basename())", want: "cp\tIN_USE\tnode\ninside\tIN_USE\tnode\nkept\tRESERVED"},
	{line: "disks list --sort-by=name --format=value(name,users[0].basename())", want: "data\tnode\nnode\tnode"},
	{line: "instances list --format=value(name,status,networkInterfaces[0].networkIP,disks.len())", want: "node\tRUNNING\t10.64.0.10\t2"},
}

var gcloudModify = []step{
	{line: "networks update sky --bgp-routing-mode=global"},
	{line: "networks subnets update sky --region=us-east4 --enable-private-ip-google-access"},
	{line: "firewall-rules update sky-ssh --allow=tcp:22,tcp:6443 --source-ranges=203.0.113.7/32,198.51.100.0/24"},
	{line: "instances add-labels node --zone=us-east4-b --labels=team=data"},
	{line: "instances add-tags node --zone=us-east4-b --tags=web"},
	{line: "instances describe node --zone=us-east4-b --format=value(labels.team,tags.items.list())", want: "data\tnode,web"},
	{line: "firewall-rules describe sky-ssh --format='value(allowed[].ports.flatten(),sourceRanges.list())'", want: "22,6443\t203.0.113.7/32,198.51.100.0/24"},
	{line: "networks subnets describe sky --region=us-east4 --format=value(privateIpGoogleAccess)", want: "True"},
}

const (
	subnetInUse = "The subnetwork resource 'projects/skyweld-lab/regions/us-east4/subnetworks/"
	nodeUsesIt  = "' is already being used by 'projects/skyweld-lab/zones/us-east4-b/instances/node'"
	skyInUse    = "The network resource 'projects/skyweld-lab/global/networks/sky' is already being used by 'projects/skyweld-lab/"
	networkUsed = "400 RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"
	nowInUse    = "400 resourceInUseByAnotherResource"
)

var gcloudWrongOrder = []step{
	{line: "networks delete sky", refused: networkUsed, message: skyInUse},
	{line: "networks subnets delete sky --region=us-east4", refused: nowInUse, message: subnetInUse + "sky" + nodeUsesIt},
	{line: "networks subnets delete spare --region=us-east4", refused: nowInUse, message: subnetInUse + "spare' is already being used by 'projects/skyweld-lab/regions/us-east4/addresses/kept'"},
	{line: "addresses delete cp --region=us-east4", refused: nowInUse, message: "The address resource 'projects/skyweld-lab/regions/us-east4/addresses/cp" + nodeUsesIt},
	{line: "addresses delete inside --region=us-east4", refused: nowInUse, message: "The address resource 'projects/skyweld-lab/regions/us-east4/addresses/inside" + nodeUsesIt},
	{line: "disks delete data --zone=us-east4-b", refused: nowInUse, message: "The disk resource 'projects/skyweld-lab/zones/us-east4-b/disks/data" + nodeUsesIt},
	{line: "disks delete node --zone=us-east4-b", refused: nowInUse, message: "The disk resource 'projects/skyweld-lab/zones/us-east4-b/disks/node" + nodeUsesIt},
	{line: "instances detach-disk node --zone=us-east4-b --disk=node", refused: "400 invalidResourceUsage", message: "boot disk"},
	{line: "instances describe node --zone=us-east4-b --format=value(status,disks.len())", want: "RUNNING\t2"}, // nothing of it has happened
}

var gcloudRightOrder = []step{
	{line: "routes delete pods"},
	{line: "instances delete node --zone=us-east4-b"},
	{line: "disks list --format=value(name,users.len())", want: "data\t0"}, // the boot disk goes with its machine
	{line: "disks delete data --zone=us-east4-b"},
	{line: "networks subnets delete sky --region=us-east4", refused: nowInUse, message: subnetInUse + "sky' is already being used by 'projects/skyweld-lab/regions/us-east4/addresses/inside'"},
	{line: "addresses delete cp inside kept --region=us-east4"},
	{line: "networks delete sky", refused: networkUsed, message: skyInUse},
	{line: "networks subnets delete sky spare --region=us-east4"},
	{line: "networks delete sky", refused: networkUsed, message: skyInUse + "global/firewalls/sky-ssh'"},
	{line: "firewall-rules delete sky-ssh"},
	{line: "networks delete sky"},
	{line: "networks delete sky", refused: "404 notFound", message: "The resource 'projects/skyweld-lab/global/networks/sky' was not found"},
}
