package arm_test

import (
	"maps"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"

	"github.com/skyweld/skyweld/internal/teardown"
)

type scene = teardown.Scene

// scenes are those of all rows about Azure.
func scenes() map[string]func(*stand) scene {
	all := map[string]func(*stand) scene{}
	for _, part := range []map[string]func(*stand) scene{groupScenes, networkScenes, partScenes, machineScenes, makeScenes, makeInterfaceScenes, makeMachineScenes} {
		maps.Copy(all, part)
	}
	return all
}

// whole makes a site with one machine.
func (s *stand) whole() *stand {
	s.t.Helper()
	s.site(s.t)
	return s
}

// bare makes a group with a network that nothing is in.
func (s *stand) bare() *stand {
	s.t.Helper()
	s.do(s.group("site"), s.network("net"), s.subnet("nodes", "10.64.0.0/20"))
	return s
}

// alongWithGroup deletes the group with all that is in it, and looks for one thing.
func alongWithGroup(kind, name string) func(*stand) scene {
	return func(s *stand) scene {
		s.whole()
		return scene{Try: s.drop("resource-group", "site"), Other: s.there(kind, name)}
	}
}

var groupScenes = map[string]func(*stand) scene{
	"azure-group-machine":   alongWithGroup("virtual-machine", "one"),
	"azure-group-interface": alongWithGroup("network-interface", "one"),
	"azure-group-address":   alongWithGroup("public-ip-address", "one"),
	"azure-group-network":   alongWithGroup("virtual-network", "net"),
	"azure-group-security":  alongWithGroup("network-security-group", "fw"),
	"azure-group-foreign":   alongWithGroup("disk", "one-os"),
	"azure-group-used": func(s *stand) scene {
		s.bare()
		s.do(s.group("other"), s.nic("other", "guest"))
		return scene{Try: s.drop("resource-group", "site"), Clear: s.drop("resource-group", "other")}
	},
}

var networkScenes = map[string]func(*stand) scene{
	"azure-network-interface": func(s *stand) scene {
		s.bare().do(s.nic("site", "one"))
		return scene{Try: s.drop("virtual-network", "net"), Clear: s.drop("network-interface", "one")}
	},
	"azure-network-subnet": func(s *stand) scene {
		s.bare()
		return scene{Try: s.drop("virtual-network", "net"), Other: s.there("subnet", "nodes")}
	},
	"azure-network-busy": func(s *stand) scene {
		s.bare()
		hurry := s.slowly()
		must(s.t, errorOf(s.subnets.BeginCreateOrUpdate(s.t.Context(), "site", "net", "more", armnetwork.Subnet{
			Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: ptr("10.64.16.0/20")},
		}, nil)))
		return scene{Try: s.drop("virtual-network", "net"), Clear: hurry}
	},
	"azure-network-watcher": func(s *stand) scene {
		s.bare()
		return scene{Try: s.drop("virtual-network", "net"), Other: s.there("network-watcher", "NetworkWatcher_"+location)}
	},
	"azure-subnet-interface": func(s *stand) scene {
		s.bare().do(s.nic("site", "one"))
		return scene{Try: s.drop("subnet", "nodes"), Clear: s.drop("network-interface", "one")}
	},
}

var partScenes = map[string]func(*stand) scene{
	"azure-security-interface": func(s *stand) scene {
		s.bare().do(s.securityGroup("fw"), s.nic("site", "one", guarded("fw")))
		return scene{Try: s.drop("network-security-group", "fw"), Clear: s.nic("site", "one")}
	},
	"azure-security-subnet": func(s *stand) scene {
		s.bare().do(s.securityGroup("fw"), s.subnet("nodes", "10.64.0.0/20", func(p *armnetwork.SubnetPropertiesFormat) {
			p.NetworkSecurityGroup = &armnetwork.SecurityGroup{ID: ptr(prefix + "Microsoft.Network/networkSecurityGroups/fw")}
		}))
		return scene{Try: s.drop("network-security-group", "fw"), Clear: s.subnet("nodes", "10.64.0.0/20")}
	},
	"azure-security-rule": func(s *stand) scene {
		s.whole().do(s.drop("virtual-machine", "one"), s.drop("network-interface", "one"))
		return scene{Try: s.drop("network-security-group", "fw"), Other: s.there("security-rule", "ssh")}
	},
	"azure-address-interface": func(s *stand) scene {
		s.bare().do(s.address("one"), s.nic("site", "one", addressed("one")))
		return scene{Try: s.drop("public-ip-address", "one"), Clear: s.drop("network-interface", "one")}
	},
	"azure-interface-machine": func(s *stand) scene {
		s.bare().do(s.nic("site", "one"), s.vm("one"))
		return scene{Try: s.drop("network-interface", "one"), Clear: s.drop("virtual-machine", "one")}
	},
	"azure-interface-reserved": func(s *stand) scene {
		s.bare().do(s.nic("site", "one"))
		return scene{Clear: s.nothing("one"), Try: s.drop("network-interface", "one")}
	},
	"azure-disk-machine": func(s *stand) scene {
		s.bare().do(s.nic("site", "one"), s.vm("one", detached))
		s.attach(armcompute.DiskDeleteOptionTypesDetach)
		return scene{Try: s.drop("disk", "data"), Clear: s.detach}
	},
	"azure-table-subnet": func(s *stand) scene {
		s.bare()
		done[armnetwork.RouteTablesClientCreateOrUpdateResponse](s.t)(s.tables.BeginCreateOrUpdate(s.t.Context(), "site", "rt", armnetwork.RouteTable{Location: ptr(location)}, nil))
		s.do(s.subnet("nodes", "10.64.0.0/20", func(p *armnetwork.SubnetPropertiesFormat) {
			p.RouteTable = &armnetwork.RouteTable{ID: ptr(prefix + "Microsoft.Network/routeTables/rt")}
		}))
		return scene{Try: s.drop("route-table", "rt"), Clear: s.subnet("nodes", "10.64.0.0/20")}
	},
}

// withMachine deletes a machine and looks for one thing of it.
func withMachine(kind, name string, change ...func(*armcompute.VirtualMachineProperties)) func(*stand) scene {
	return func(s *stand) scene {
		s.bare().do(s.address("one"), s.nic("site", "one", addressed("one")), s.vm("one", change...))
		return scene{Try: s.drop("virtual-machine", "one"), Other: s.there(kind, name)}
	}
}

func withData(option armcompute.DiskDeleteOptionTypes) func(*stand) scene {
	return func(s *stand) scene {
		s.bare().do(s.nic("site", "one"), s.vm("one"))
		s.attach(option)
		return scene{Try: s.drop("virtual-machine", "one"), Other: s.there("disk", "data")}
	}
}

var machineScenes = map[string]func(*stand) scene{
	"azure-machine-disk":       withMachine("disk", "one-os"),
	"azure-machine-disk-kept":  withMachine("disk", "one-os", detached),
	"azure-machine-data":       withData(armcompute.DiskDeleteOptionTypesDetach),
	"azure-machine-data-taken": withData(armcompute.DiskDeleteOptionTypesDelete),
	"azure-machine-interface":  withMachine("network-interface", "one"),
	"azure-machine-interface-taken": withMachine("network-interface", "one", func(p *armcompute.VirtualMachineProperties) {
		p.NetworkProfile.NetworkInterfaces[0].Properties = &armcompute.NetworkInterfaceReferenceProperties{DeleteOption: ptr(armcompute.DeleteOptionsDelete)}
	}),
	"azure-machine-address": withMachine("public-ip-address", "one"),
}

var makeScenes = map[string]func(*stand) scene{
	"azure-make-group-gone": func(s *stand) scene {
		s.bare()
		hurry := s.slowly()
		must(s.t, errorOf(s.groups.BeginDelete(s.t.Context(), "site", nil)))
		return scene{Try: s.group("site"), Clear: hurry}
	},
	"azure-make-security-group": func(s *stand) scene {
		return scene{Try: s.securityGroup("fw"), Clear: s.group("site")}
	},
	"azure-make-network-group": func(s *stand) scene { return scene{Try: s.network("net"), Clear: s.group("site")} },
	"azure-make-network-going": func(s *stand) scene {
		s.bare()
		hurry := s.slowly()
		must(s.t, errorOf(s.groups.BeginDelete(s.t.Context(), "site", nil)))
		return scene{Try: s.network("more"), Clear: inTurn(hurry, s.group("site"))}
	},
	"azure-make-address-group": func(s *stand) scene { return scene{Try: s.address("one"), Clear: s.group("site")} },
	"azure-make-subnet-network": func(s *stand) scene {
		s.do(s.group("site"))
		return scene{Try: s.subnet("nodes", "10.64.0.0/20"), Clear: s.network("net")}
	},
}

var makeInterfaceScenes = map[string]func(*stand) scene{
	"azure-make-interface-network": func(s *stand) scene {
		s.do(s.group("site"))
		return scene{Try: s.nic("site", "one"), Clear: inTurn(s.network("net"), s.subnet("nodes", "10.64.0.0/20"))}
	},
	"azure-make-interface-security": func(s *stand) scene {
		s.bare()
		return scene{Try: s.nic("site", "one", guarded("fw")), Clear: s.securityGroup("fw")}
	},
	"azure-make-interface-address": func(s *stand) scene {
		s.bare()
		return scene{Try: s.nic("site", "one", addressed("one")), Clear: s.address("one")}
	},
	"azure-make-interface-ready": func(s *stand) scene {
		s.bare()
		hurry := s.slowly()
		must(s.t, errorOf(s.subnets.BeginCreateOrUpdate(s.t.Context(), "site", "net", "more", armnetwork.Subnet{
			Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: ptr("10.64.16.0/20")},
		}, nil)))
		return scene{Try: s.nic("site", "one"), Clear: hurry}
	},
	"azure-make-interface-free": func(s *stand) scene {
		s.bare().do(s.address("one"), s.nic("site", "one", addressed("one")))
		return scene{Try: s.nic("site", "two", addressed("one")), Clear: s.drop("network-interface", "one")}
	},
	"azure-make-interface-private": func(s *stand) scene {
		s.bare().do(s.nic("site", "one", at("10.64.0.9")))
		return scene{Try: s.nic("site", "two", at("10.64.0.9")), Clear: s.drop("network-interface", "one")}
	},
}

// on puts a machine on the interface "one", whatever its own name is.
func on(p *armcompute.VirtualMachineProperties) {
	p.NetworkProfile.NetworkInterfaces[0].ID = ptr(prefix + "Microsoft.Network/networkInterfaces/one")
}

var makeMachineScenes = map[string]func(*stand) scene{
	"azure-make-machine-interface": func(s *stand) scene {
		s.bare()
		return scene{Try: s.vm("one"), Clear: s.nic("site", "one")}
	},
	"azure-make-machine-free": func(s *stand) scene {
		s.bare().do(s.nic("site", "one"), s.vm("one"))
		return scene{Try: s.vm("two", on), Clear: s.drop("virtual-machine", "one")}
	},
	"azure-make-machine-reserved": func(s *stand) scene {
		s.bare().do(s.nic("site", "one"))
		return scene{Clear: s.nothing("one"), Try: s.vm("two", on)}
	},
	"azure-make-machine-disk": func(s *stand) scene {
		s.bare().do(s.nic("site", "one"), s.vm("one", detached), s.drop("virtual-machine", "one"))
		// What has failed stays, and is in the way of its second try.
		return scene{Try: s.vm("one"), Clear: inTurn(s.drop("virtual-machine", "one"), s.drop("disk", "one-os"))}
	},
	"azure-make-machine-gone": func(s *stand) scene {
		s.bare().do(s.nic("site", "one"), s.vm("one"))
		hurry := s.slowly()
		must(s.t, errorOf(s.machines.BeginDelete(s.t.Context(), "site", "one", nil)))
		return scene{Try: s.vm("one"), Clear: hurry}
	},
}
