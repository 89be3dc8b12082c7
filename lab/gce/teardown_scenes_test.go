package gce

import (
	"fmt"
	"maps"

	"google.golang.org/api/compute/v1"
)

// scenes are those of all rows about Google; each gets a name of its own.
func scenes() map[string]func(*lab, string) scene {
	all := map[string]func(*lab, string) scene{}
	for _, part := range []map[string]func(*lab, string) scene{networkScenes, partScenes, instanceScenes, makeScenes, makeMachineScenes} {
		maps.Copy(all, part)
	}
	return all
}

var networkScenes = map[string]func(*lab, string) scene{
	"gcp-network-subnetwork": func(l *lab, name string) scene {
		l.makeNetwork(name, "10.64.0.0/20")
		return scene{try: l.dropNetwork(name), clear: func() { l.done(l.dropSubnet(name)()) }}
	},
	"gcp-network-firewall": func(l *lab, name string) scene {
		l.done(l.network(name)())
		l.done(l.firewall(name, name)())
		return scene{try: l.dropNetwork(name), clear: func() { l.done(l.dropFirewall(name)()) }}
	},
	"gcp-network-route": func(l *lab, name string) scene {
		l.done(l.network(name)())
		gateway := "projects/" + testProject + "/global/gateways/default-internet-gateway"
		in := &compute.Route{Name: name, Network: "global/networks/" + name, DestRange: "203.0.113.0/24", NextHopGateway: gateway}
		l.done(l.api.Routes.Insert(testProject, in).Do())
		return scene{try: l.dropNetwork(name), clear: func() { l.done(l.dropRoute(name)()) }}
	},
	"gcp-network-instance": func(l *lab, name string) scene {
		l.machine(name)
		return scene{try: l.dropNetwork(name), clear: func() {
			l.done(l.dropInstance(name)())
			l.done(l.dropSubnet(name)())
		}}
	},
	"gcp-network-deleting": func(l *lab, name string) scene {
		return l.twice(func(n int) (*compute.Operation, error) { return l.network(numbered(name, n))() },
			func(n int) (*compute.Operation, error) { return l.dropNetwork(numbered(name, n))() })
	},
	"gcp-network-default-route": func(l *lab, name string) scene {
		l.done(l.network(name)())
		return scene{try: l.dropNetwork(name), other: l.hasRoute(name, "0.0.0.0/0")}
	},
	"gcp-network-auto": func(l *lab, name string) scene {
		l.auto(name)
		return scene{try: l.dropNetwork(name), other: func() error { return errorOf(l.api.Subnetworks.Get(testProject, testRegion, name).Do()) }}
	},
	"gcp-auto-subnetwork": func(l *lab, name string) scene {
		l.auto(name)
		return scene{try: l.dropSubnet(name), then: l.dropNetwork(name)}
	},
}

func numbered(name string, n int) string { return fmt.Sprintf("%s-%d", name, n) }

// auto makes a network in auto mode.
func (l *lab) auto(name string) {
	l.t.Helper()
	l.done(l.api.Networks.Insert(testProject, &compute.Network{Name: name, AutoCreateSubnetworks: true}).Do())
}

var partScenes = map[string]func(*lab, string) scene{
	"gcp-subnetwork-instance": func(l *lab, name string) scene {
		l.machine(name)
		return scene{try: l.dropSubnet(name), clear: func() { l.done(l.dropInstance(name)()) }}
	},
	"gcp-subnetwork-address": func(l *lab, name string) scene {
		l.makeNetwork(name, "10.64.0.0/20")
		l.done(l.address(&compute.Address{Name: name, AddressType: "INTERNAL", Subnetwork: "regions/" + testRegion + "/subnetworks/" + name})())
		return scene{try: l.dropSubnet(name), clear: func() { l.done(l.dropAddress(name)()) }}
	},
	"gcp-subnetwork-deleting": func(l *lab, name string) scene {
		l.done(l.network(name)())
		return l.twice(func(n int) (*compute.Operation, error) { return l.subnet(numbered(name, n), name)() },
			func(n int) (*compute.Operation, error) { return l.dropSubnet(numbered(name, n))() })
	},
	"gcp-subnetwork-route": func(l *lab, name string) scene {
		l.makeNetwork(name, "10.64.0.0/20")
		return scene{try: l.dropSubnet(name), other: l.hasRoute(name, "10.64.0.0/20")}
	},
	"gcp-firewall-instance": func(l *lab, name string) scene {
		l.machine(name, func(in *compute.Instance) { in.Tags = &compute.Tags{Items: []string{"node"}} })
		l.done(l.firewall(name, name)())
		return scene{try: l.dropFirewall(name), other: func() error { return errorOf(l.api.Instances.Get(testProject, testZone, name).Do()) }}
	},
	"gcp-firewall-deleting": func(l *lab, name string) scene {
		l.done(l.network(name)())
		return l.twice(func(n int) (*compute.Operation, error) { return l.firewall(numbered(name, n), name)() },
			func(n int) (*compute.Operation, error) { return l.dropFirewall(numbered(name, n))() })
	},
	"gcp-local-route": func(l *lab, name string) scene {
		l.makeNetwork(name, "10.64.0.0/20")
		out, err := l.api.Routes.List(testProject).Filter(fmt.Sprintf(`(network eq ".*/%s") (destRange eq "10.64.0.0/20")`, name)).Do()
		if err != nil || len(out.Items) != 1 {
			l.t.Fatalf("the local route: %v %v", out, err)
		}
		return scene{try: l.dropRoute(out.Items[0].Name), then: l.dropSubnet(name)}
	},
	"gcp-address-instance": func(l *lab, name string) scene {
		l.machine(name, l.withAddress(name))
		return scene{try: l.dropAddress(name), clear: func() { l.done(l.dropInstance(name)()) }}
	},
	"gcp-address-making": func(l *lab, name string) scene {
		remove := func(n int) (*compute.Operation, error) { return l.dropAddress(numbered(name, n))() }
		return l.meanwhile(func(n int) (*compute.Operation, error) { return l.address(&compute.Address{Name: numbered(name, n)})() }, remove, remove)
	},
	"gcp-disk-instance": func(l *lab, name string) scene {
		l.machine(name)
		l.attach(name, false)
		return scene{try: l.dropDisk(name + "-data"), clear: func() { l.done(l.api.Instances.DetachDisk(testProject, testZone, name, "data").Do()) }}
	},
	"gcp-disk-making": func(l *lab, name string) scene {
		remove := func(n int) (*compute.Operation, error) { return l.dropDisk(numbered(name, n))() }
		return l.meanwhile(func(n int) (*compute.Operation, error) {
			return l.api.Disks.Insert(testProject, testZone, &compute.Disk{Name: numbered(name, n), SizeGb: 10}).Do()
		}, remove, remove)
	},
}

var instanceScenes = map[string]func(*lab, string) scene{
	"gcp-instance-protected": func(l *lab, name string) scene {
		l.machine(name, func(in *compute.Instance) { in.DeletionProtection = true })
		return scene{try: l.dropInstance(name), clear: func() {
			l.done(l.api.Instances.SetDeletionProtection(testProject, testZone, name).DeletionProtection(false).Do())
		}}
	},
	"gcp-instance-deleting": func(l *lab, name string) scene {
		l.makeNetwork(name, "10.64.0.0/20")
		return l.twice(func(n int) (*compute.Operation, error) { return l.insert(instance(numbered(name, n), name))() },
			func(n int) (*compute.Operation, error) { return l.dropInstance(numbered(name, n))() })
	},
	"gcp-instance-boot-disk": func(l *lab, name string) scene {
		l.machine(name)
		return scene{try: l.dropInstance(name), other: l.hasDisk(name)}
	},
	"gcp-instance-boot-kept": func(l *lab, name string) scene {
		l.machine(name, func(in *compute.Instance) { in.Disks[0].AutoDelete = false })
		return scene{try: l.dropInstance(name), other: l.hasDisk(name)}
	},
	"gcp-instance-disk": func(l *lab, name string) scene {
		l.machine(name)
		l.attach(name, false)
		return scene{try: l.dropInstance(name), other: l.hasDisk(name + "-data")}
	},
	"gcp-instance-disk-taken": func(l *lab, name string) scene {
		l.machine(name)
		l.attach(name, true)
		return scene{try: l.dropInstance(name), other: l.hasDisk(name + "-data")}
	},
	"gcp-instance-address": func(l *lab, name string) scene {
		l.machine(name, l.withAddress(name))
		return scene{try: l.dropInstance(name), other: func() error { return errorOf(l.api.Addresses.Get(testProject, testRegion, name).Do()) }}
	},
	"gcp-instance-ephemeral": func(l *lab, name string) scene {
		i := l.machine(name)
		return scene{try: l.dropInstance(name), other: l.mapped(i.NetworkInterfaces[0].AccessConfigs[0].NatIP)}
	},
	"gcp-instance-route": func(l *lab, name string) scene {
		l.machine(name, func(in *compute.Instance) { in.CanIpForward = true })
		l.done(l.api.Routes.Insert(testProject, &compute.Route{Name: name, Network: "global/networks/" + name, DestRange: "10.200.0.0/24",
			NextHopInstance: "zones/" + testZone + "/instances/" + name}).Do())
		return scene{try: l.dropInstance(name), other: func() error { return errorOf(l.api.Routes.Get(testProject, name).Do()) }}
	},
}

var makeScenes = map[string]func(*lab, string) scene{
	"gcp-make-subnetwork": func(l *lab, name string) scene {
		return scene{try: l.subnet(name, name), clear: func() { l.done(l.network(name)()) }}
	},
	"gcp-make-subnetwork-ready": func(l *lab, name string) scene {
		second := func(n int) (*compute.Operation, error) { return l.subnet(numbered(name, n), numbered(name, n))() }
		return l.meanwhile(func(n int) (*compute.Operation, error) { return l.network(numbered(name, n))() }, second, second)
	},
	"gcp-make-firewall": func(l *lab, name string) scene {
		return scene{try: l.firewall(name, name), clear: func() { l.done(l.network(name)()) }}
	},
	"gcp-make-firewall-ready": func(l *lab, name string) scene {
		second := func(n int) (*compute.Operation, error) { return l.firewall(numbered(name, n), numbered(name, n))() }
		return l.meanwhile(func(n int) (*compute.Operation, error) { return l.network(numbered(name, n))() }, second, second)
	},
	"gcp-make-route": func(l *lab, name string) scene {
		in := &compute.Route{Name: name, Network: "global/networks/" + name, DestRange: "203.0.113.0/24",
			NextHopGateway: "projects/" + testProject + "/global/gateways/default-internet-gateway"}
		return scene{try: func() (*compute.Operation, error) { return l.api.Routes.Insert(testProject, in).Do() }, clear: func() { l.done(l.network(name)()) }}
	},
	"gcp-make-route-instance": func(l *lab, name string) scene {
		l.makeNetwork(name, "10.64.0.0/20")
		in := &compute.Route{Name: name, Network: "global/networks/" + name, DestRange: "10.200.0.0/24", NextHopInstance: "zones/" + testZone + "/instances/" + name}
		return scene{try: func() (*compute.Operation, error) { return l.api.Routes.Insert(testProject, in).Do() },
			clear: func() { l.done(l.insert(instance(name, name))()) }}
	},
}

var makeMachineScenes = map[string]func(*lab, string) scene{
	"gcp-make-instance-network": func(l *lab, name string) scene {
		in := instance(name, name)
		in.NetworkInterfaces[0].Subnetwork, in.NetworkInterfaces[0].Network = "", "global/networks/"+name
		return scene{try: l.insert(in), clear: func() { l.auto(name) }}
	},
	"gcp-make-instance-subnetwork": func(l *lab, name string) scene {
		return scene{try: l.insert(instance(name, name)), clear: func() { l.makeNetwork(name, "10.64.0.0/20") }}
	},
	"gcp-make-instance-ready": func(l *lab, name string) scene {
		second := func(n int) (*compute.Operation, error) {
			return l.insert(instance(numbered(name, n), numbered(name, n)))()
		}
		return l.meanwhile(func(n int) (*compute.Operation, error) {
			l.done(l.network(numbered(name, n))())
			return l.subnet(numbered(name, n), numbered(name, n))()
		}, second, second)
	},
	"gcp-make-instance-address": func(l *lab, name string) scene {
		l.makeNetwork(name, "10.64.0.0/20")
		in := instance(name, name)
		in.NetworkInterfaces[0].AccessConfigs[0].NatIP = "regions/" + testRegion + "/addresses/" + name
		return scene{try: l.insert(in), clear: func() { l.done(l.address(&compute.Address{Name: name})()) }}
	},
	"gcp-make-instance-disk": func(l *lab, name string) scene {
		l.makeNetwork(name, "10.64.0.0/20")
		in := instance(name, name)
		in.Disks[0] = &compute.AttachedDisk{Boot: true, Source: "zones/" + testZone + "/disks/" + name}
		return scene{try: l.insert(in), clear: func() {
			disk := &compute.Disk{Name: name, SourceImage: "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"}
			l.done(l.api.Disks.Insert(testProject, testZone, disk).Do())
		}}
	},
	"gcp-make-instance-disk-free": func(l *lab, name string) scene {
		l.machine(name, func(in *compute.Instance) { in.Disks[0].AutoDelete = false })
		in := instance(name+"-2", name)
		in.Disks[0] = &compute.AttachedDisk{Boot: true, Source: "zones/" + testZone + "/disks/" + name}
		return scene{try: l.insert(in), clear: func() { l.done(l.dropInstance(name)()) }}
	},
	"gcp-make-instance-name": func(l *lab, name string) scene {
		l.makeNetwork(name, "10.64.0.0/20")
		second := func(n int) (*compute.Operation, error) { return l.insert(instance(numbered(name, n), name))() }
		return l.meanwhile(func(n int) (*compute.Operation, error) {
			l.done(second(n))
			return l.dropInstance(numbered(name, n))()
		}, second, second)
	},
	"gcp-make-instance-private": func(l *lab, name string) scene {
		at := func(in *compute.Instance) { in.NetworkInterfaces[0].NetworkIP = "10.64.0.9" }
		l.machine(name, at)
		in := instance(name+"-2", name)
		at(in)
		return scene{try: l.insert(in), clear: func() { l.done(l.dropInstance(name)()) }}
	},
	"gcp-make-instance-undeleted": func(l *lab, name string) scene {
		l.makeNetwork(name, "10.64.0.0/20")
		return scene{try: func() (*compute.Operation, error) {
			for n := 0; ; n++ {
				made, err := l.insert(instance(name, name))()
				if err != nil {
					return nil, err
				}
				removal, err := l.dropInstance(name)()
				made = l.wait(made, nil)
				l.done(removal, err)
				if made.Error != nil || n == 20 { // else it ran before the deletion began
					return made, nil
				}
			}
		}, then: l.insert(instance(name, name))}
	},
}
