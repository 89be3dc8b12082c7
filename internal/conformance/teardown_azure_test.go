package conformance_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/teardown"
	"github.com/skyweld/skyweld/lab/world"
)

// Keys of the site that the acts are about, beside those of the drift tests.
const azureSiteGroup, azureNetwork, azureNodeRules, azureIP = "conf-group", "conf-network", "conf-nsg-node", "conf-ip-conf-web-1"

func azureTeardownStage(t *testing.T, profile world.Profile) *stage {
	s := &stage{T: t, az: newAzureLab(t, profile), region: azureRegion}
	s.d = s.az.driver(t, azureSecret)
	return s.set(azureSite())
}

// TestAzureTeardown holds the driver against each row about Azure.
func TestAzureTeardown(t *testing.T) {
	play(t, teardown.Azure, azureActs(), azureTeardownStage)
}

func azureActs() acts {
	return acts{
		"azure-network-watcher": whole, "azure-security-rule": whole, "azure-machine-disk": whole,
		// azure-make-interface-free takes the private address again, too, and azure-make-machine-gone the interface.
		"azure-make-interface-private": whole, "azure-make-machine-free": whole,

		"azure-group-machine":           azureHolds(azureNode),
		"azure-group-interface":         azureHolds(azureNIC),
		"azure-group-address":           azureHolds(azureIP),
		"azure-group-network":           azureHolds(azureNetwork),
		"azure-group-security":          azureHolds(azureNodeRules),
		"azure-group-foreign":           azureForeignDisk,
		"azure-network-subnet":          azureForeignSubnet,
		"azure-network-busy":            azureBusyNetwork,
		"azure-security-subnet":         azureSubnetRules,
		"azure-interface-reserved":      azureReserved,
		"azure-machine-disk-kept":       azureDiskKept,
		"azure-machine-data":            azureData(armcompute.DiskDeleteOptionTypesDetach),
		"azure-machine-data-taken":      azureData(armcompute.DiskDeleteOptionTypesDelete),
		"azure-machine-interface-taken": azureInterfaceTaken,
		"azure-disk-machine":            azureDiskInUse,
		"azure-make-group-gone":         azureGroupGoing(azureSiteGroup),
		"azure-make-network-going":      azureGroupGoing(azureNetwork),
		"azure-make-subnet-network":     whole,
		"azure-make-interface-ready":    atOnce(azureNIC),
		"azure-make-interface-free":     again(azureNIC),
		"azure-make-machine-gone":       again(azureNode),
		"azure-make-machine-reserved":   azureMakeReserved,
		"azure-make-machine-disk":       azureDiskInTheWay,
	}
}

// place is the group and the name of what was made.
func (s *stage) place(key string) (group, name string) { return azureName(s.there[key]) }

// path is where Resource Manager has it.
func (s *stage) path(key string) string {
	path, _, _ := strings.Cut(s.there[key].ID, "#")
	return path
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// azureHolds asks for the deletion of the group while something of ours is in it: Azure would take it along, the driver
// refuses.
func azureHolds(key string) act {
	return func(s *stage, _ teardown.Row) {
		s.make(key)
		_, name := s.place(key)
		s.conflict(s.remove(s.there[azureSiteGroup]), name)
		if _, ok := s.observed()[key]; !ok {
			s.Errorf("%s went along", key)
		}
		s.clear()
	}
}

// putDisk makes somebody's disk in our group and returns its path.
func (s *stage) putDisk(name string) string {
	s.Helper()
	group, _ := s.place(azureSiteGroup)
	p, err := s.az.hand(s.T).disks.BeginCreateOrUpdate(s.Context(), group, name, armcompute.Disk{
		Location: to.Ptr(azureRegion), Zones: []*string{to.Ptr("1")}, Tags: map[string]*string{"owner": to.Ptr("somebody")},
		Properties: &armcompute.DiskProperties{CreationData: &armcompute.CreationData{CreateOption: to.Ptr(armcompute.DiskCreateOptionEmpty)}, DiskSizeGB: to.Ptr(int32(8))},
	}, nil)
	s.must(azureDone(s.Context(), p, err))
	return s.path(azureSiteGroup) + "/providers/Microsoft.Compute/disks/" + name
}

// dropDisk deletes it, which succeeds without it as well: so it is looked for first.
func (s *stage) dropDisk(name string) {
	s.Helper()
	group, _ := s.place(azureSiteGroup)
	disks := s.az.hand(s.T).disks
	_, err := disks.Get(s.Context(), group, name, nil)
	s.must(err)
	p, err := disks.BeginDelete(s.Context(), group, name, nil)
	s.must(azureDone(s.Context(), p, err))
}

func azureForeignDisk(s *stage, _ teardown.Row) {
	s.make(azureSiteGroup)
	s.putDisk("somebodys-data")
	s.conflict(s.remove(s.there[azureSiteGroup]), "somebodys-data")
	s.dropDisk("somebodys-data")
	s.clear()
}

// changeNetwork changes the driver's network by hand.
func (s *stage) changeNetwork(change func(*armnetwork.VirtualNetworkPropertiesFormat)) {
	s.Helper()
	group, name := s.place(azureNetwork)
	networks := s.az.hand(s.T).networks
	n, err := networks.Get(s.Context(), group, name, nil)
	s.must(err)
	change(n.Properties)
	p, err := networks.BeginCreateOrUpdate(s.Context(), group, name, n.VirtualNetwork, nil)
	s.must(azureDone(s.Context(), p, err))
}

// azureForeignSubnet puts somebody's range and subnet into the network: Azure would take it along, the driver refuses.
func azureForeignSubnet(s *stage, _ teardown.Row) {
	s.make(azureNetwork)
	s.changeNetwork(func(p *armnetwork.VirtualNetworkPropertiesFormat) {
		p.AddressSpace.AddressPrefixes = append(p.AddressSpace.AddressPrefixes, to.Ptr("172.30.0.0/24"))
		p.Subnets = append(p.Subnets, &armnetwork.Subnet{Name: to.Ptr("somebodys"), Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: to.Ptr("172.30.0.0/24")}})
	})
	s.conflict(s.remove(s.there[azureNetwork]), "somebodys")
	s.changeNetwork(func(p *armnetwork.VirtualNetworkPropertiesFormat) {
		if p.Subnets = p.Subnets[:1]; *p.Subnets[0].Name == "somebodys" {
			s.Fatal("the driver's own subnet isn't the first any more")
		}
		p.AddressSpace.AddressPrefixes = p.AddressSpace.AddressPrefixes[:1]
	})
	s.clear()
}

// azureBusyNetwork deletes the network while somebody changes it.
func azureBusyNetwork(s *stage, row teardown.Row) {
	networks := s.az.hand(s.T).networks
	s.meanwhile(row, func() error {
		s.make(azureNetwork)
		group, name := s.place(azureNetwork)
		n, err := networks.Get(s.Context(), group, name, nil)
		s.must(err)
		p, err := networks.BeginCreateOrUpdate(s.Context(), group, name, n.VirtualNetwork, nil)
		s.must(err)
		refusal := s.remove(s.there[azureNetwork])
		s.must(azureDone(s.Context(), p, nil))
		s.drop(azureNetwork)
		return refusal
	})
	s.clear()
}

// azureSubnetRules puts the subnet under a security group of ours.
func azureSubnetRules(s *stage, row teardown.Row) {
	s.make(azureNetwork, azureNodeRules)
	s.changeNetwork(func(p *armnetwork.VirtualNetworkPropertiesFormat) {
		p.Subnets[0].Properties.NetworkSecurityGroup = &armnetwork.SecurityGroup{ID: to.Ptr(s.path(azureNodeRules))}
	})
	s.refused(s.there[azureNodeRules], row)
	s.changeNetwork(func(p *armnetwork.VirtualNetworkPropertiesFormat) { p.Subnets[0].Properties.NetworkSecurityGroup = nil })
	s.clear()
}

// reserve has somebody begin a machine on our interface and think better of it.
func (s *stage) reserve() {
	s.Helper()
	group, _ := s.place(azureSiteGroup)
	machines := s.az.hand(s.T).machines
	_, err := machines.BeginCreateOrUpdate(s.Context(), group, "somebodys-own", azureMachine("somebodys-own", s.path(azureNIC)), nil)
	s.must(err)
	p, err := machines.BeginDelete(s.Context(), group, "somebodys-own", nil)
	s.must(azureDone(s.Context(), p, err))
}

// azureMachine is somebody's machine, whose disk goes with it.
func azureMachine(name, nic string) armcompute.VirtualMachine {
	return armcompute.VirtualMachine{
		Location: to.Ptr(azureRegion), Tags: map[string]*string{"owner": to.Ptr("somebody")},
		Properties: &armcompute.VirtualMachineProperties{
			HardwareProfile: &armcompute.HardwareProfile{VMSize: to.Ptr(armcompute.VirtualMachineSizeTypes("Standard_B2s"))},
			StorageProfile: &armcompute.StorageProfile{
				ImageReference: &armcompute.ImageReference{Publisher: to.Ptr("Canonical"), Offer: to.Ptr("ubuntu-24_04-lts"), SKU: to.Ptr("server"), Version: to.Ptr("latest")},
				OSDisk: &armcompute.OSDisk{
					Name: to.Ptr(name + "-os"), CreateOption: to.Ptr(armcompute.DiskCreateOptionTypesFromImage), DeleteOption: to.Ptr(armcompute.DiskDeleteOptionTypesDelete),
				},
			},
			OSProfile:      &armcompute.OSProfile{ComputerName: &name, AdminUsername: to.Ptr("somebody"), AdminPassword: to.Ptr("Not-a-secret-1")},
			NetworkProfile: &armcompute.NetworkProfile{NetworkInterfaces: []*armcompute.NetworkInterfaceReference{{ID: &nic}}},
		},
	}
}

// soon tries again what was refused, until it succeeds.
func (s *stage) soon(try func() error) {
	s.Helper()
	var err error
	s.must(errors.Join(cloudtest.Await(s.Context(), func() bool { err = try(); return err == nil }), err))
}

func azureReserved(s *stage, row teardown.Row) {
	s.make(azureNIC)
	s.reserve()
	s.refused(s.there[azureNIC], row)
	s.soon(func() error { return s.remove(s.there[azureNIC]) })
	delete(s.there, azureNIC)
	s.clear()
}

func azureMakeReserved(s *stage, row teardown.Row) {
	s.make(azureNIC)
	s.reserve()
	s.tries[azureNode]++
	s.refusal(s.create(azureNode), cloud.Conflict, row)
	s.soon(func() error { return s.create(azureNode) })
	s.clear()
}

// changeMachine changes the worker's machine by hand.
func (s *stage) changeMachine(change func(*armcompute.VirtualMachine)) {
	s.Helper()
	group, name := s.place(azureNode)
	machines := s.az.hand(s.T).machines
	m, err := machines.Get(s.Context(), group, name, nil)
	s.must(err)
	change(&m.VirtualMachine)
	p, err := machines.BeginCreateOrUpdate(s.Context(), group, name, m.VirtualMachine, nil)
	s.must(azureDone(s.Context(), p, err))
}

func keepDisk(m *armcompute.VirtualMachine) {
	m.Properties.StorageProfile.OSDisk.DeleteOption = to.Ptr(armcompute.DiskDeleteOptionTypesDetach)
}

func azureDiskKept(s *stage, _ teardown.Row) {
	s.make(azureNode)
	s.changeMachine(keepDisk)
	s.clear()
}

// azureData attaches somebody's disk to a machine of ours: it stays, whatever becomes of the machine.
func azureData(option armcompute.DiskDeleteOptionTypes) act {
	return func(s *stage, _ teardown.Row) {
		s.make(azureNode)
		disk := s.putDisk("somebodys-data")
		s.changeMachine(func(m *armcompute.VirtualMachine) {
			m.Properties.StorageProfile.DataDisks = []*armcompute.DataDisk{{
				Lun: to.Ptr(int32(0)), CreateOption: to.Ptr(armcompute.DiskCreateOptionTypesAttach), DeleteOption: &option, ManagedDisk: &armcompute.ManagedDiskParameters{ID: &disk},
			}}
		})
		if option == armcompute.DiskDeleteOptionTypesDelete {
			s.conflict(s.remove(s.there[azureNode]), "somebodys-data")
			s.changeMachine(func(m *armcompute.VirtualMachine) { m.Properties.StorageProfile.DataDisks = []*armcompute.DataDisk{} })
		}
		s.drop(azureNode)
		s.dropDisk("somebodys-data")
		s.clear()
	}
}

// azureInterfaceTaken has the interface go with its machine: its own step then finds nothing to do.
func azureInterfaceTaken(s *stage, _ teardown.Row) {
	s.make(azureNode)
	s.changeMachine(func(m *armcompute.VirtualMachine) {
		m.Properties.NetworkProfile.NetworkInterfaces[0].Properties = &armcompute.NetworkInterfaceReferenceProperties{DeleteOption: to.Ptr(armcompute.DeleteOptionsDelete)}
	})
	s.drop(azureNode)
	if _, ok := s.observed()[azureNIC]; ok {
		s.Error("the interface stayed")
	}
	s.clear()
}

// azureDiskInUse deletes the disk of a machine, as if it had outlived it.
func azureDiskInUse(s *stage, row teardown.Row) {
	s.make(azureNode)
	group, name := s.place(azureNode)
	hand := s.az.hand(s.T)
	m, err := hand.machines.Get(s.Context(), group, name, nil)
	s.must(err)
	d, err := hand.disks.Get(s.Context(), group, *m.Properties.StorageProfile.OSDisk.Name, nil)
	s.must(err)
	s.refused(cloud.Object{Kind: "disk", Key: "conf-disk-conf-web-1", Region: azureRegion, ID: *d.ID + "#" + *d.Properties.UniqueID}, row)
	s.clear()
}

// azureGroupGoing makes something while somebody deletes the group.
func azureGroupGoing(key string) act {
	return func(s *stage, row teardown.Row) {
		s.meanwhile(row, func() error {
			s.make(azureSiteGroup)
			group, _ := s.place(azureSiteGroup)
			p, err := s.az.hand(s.T).groups.BeginDelete(s.Context(), group, nil)
			s.must(err)
			s.tries[key]++
			refusal := s.create(key)
			s.must(azureDone(s.Context(), p, nil))
			clear(s.there)
			return refusal
		})
		s.make(key)
		s.clear()
	}
}

// azureDiskInTheWay makes a machine again whose disk has outlived it: that has another name.
func azureDiskInTheWay(s *stage, _ teardown.Row) {
	s.make(azureNode)
	s.changeMachine(keepDisk)
	group, name := s.place(azureNode)
	p, err := s.az.hand(s.T).machines.BeginDelete(s.Context(), group, name, nil)
	s.must(azureDone(s.Context(), p, err))
	s.tries[azureNode]++
	s.must(s.create(azureNode))
	for key, o := range s.observed() {
		if o.Kind == "disk" {
			s.there[key] = o
			s.drop(key)
		}
	}
	s.clear()
}
