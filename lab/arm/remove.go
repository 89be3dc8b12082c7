package arm

import (
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// removable says why a resource can't go: something uses it. What is going too may use it: that is for groups as a whole;
// nil for nothing. The caller holds the lock.
func (s *Service) removable(r record, going func(id string) bool) *apiError {
	keeps := func(id string) bool { return going == nil || !going(id) }
	switch r := r.(type) {
	case *network:
		for _, sub := range r.Properties.Subnets {
			if err := s.subnetRemovable(sub, going); err != nil {
				return err
			}
		}
	case *securityGroup:
		v := s.securityGroupView(r)
		for _, u := range append(v.Properties.NetworkInterfaces, v.Properties.Subnets...) {
			if keeps(u.ID) {
				return inUse("InUseNetworkSecurityGroupCannotBeDeleted", "Network security group %s cannot be deleted because it is in use by the following resources: %s. "+
					"In order to delete the Network security group, remove the association with the resource(s). To learn how to do this, see aka.ms/deletensg.", r.ID, u.ID)
			}
		}
	case *routeTab:
		for _, u := range s.routeTableView(r).Properties.Subnets {
			if keeps(u.ID) {
				return inUse("InUseRouteTableCannotBeDeleted", "Route table %s is in use and cannot be deleted. It is used by %s.", r.Name, u.ID)
			}
		}
	case *publicAddress:
		if n, ip := s.userOfAddress(r); ip != nil && keeps(n.ID) {
			return inUse("PublicIPAddressCannotBeDeleted", "Public IP address %s can not be deleted since it is still allocated to resource %s. "+
				"In order to delete the public IP, disassociate/detach the Public IP address from the resource.  To learn how to do this, see aka.ms/deletepublicip.", r.ID, ip.ID)
		}
	case *nic:
		if m := s.machineOf(r); m != nil && keeps(m.ID) {
			return inUse("NicInUse", "Network Interface %s is used by existing resource %s. In order to delete the network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.", r.ID, m.ID)
		}
		return s.reservedFor(r, "")
	case *disk:
		if m := s.machineWith(r); m != nil && keeps(m.ID) {
			return refuse(http.StatusConflict, "OperationNotAllowed", "Disk %s is attached to VM %s.", r.Name, m.ID)
		}
	}
	return nil
}

// subnetRemovable says why a subnet can't go.
func (s *Service) subnetRemovable(sub *subnet, going func(id string) bool) *apiError {
	for _, u := range s.subnetView(sub).Properties.IPConfigurations {
		if going == nil || !going(parent(u.ID)) {
			return inUse("InUseSubnetCannotBeDeleted", "Subnet %s is in use by %s and cannot be deleted. In order to delete the subnet, delete all the resources within the subnet. See aka.ms/deletesubnet.", sub.Name, u.ID)
		}
	}
	return nil
}

// remove takes a resource out of the records for good, if nothing uses it. The caller holds the lock.
func (s *Service) remove(id string) *apiError {
	r := s.find(id)
	if r == nil {
		return nil
	}
	if err := s.removable(r, nil); err != nil {
		return err
	}
	k := key(id)
	switch r := r.(type) {
	case *network:
		delete(s.st.Networks, k)
	case *securityGroup:
		delete(s.st.SecurityGroups, k)
	case *routeTab:
		delete(s.st.RouteTables, k)
	case *publicAddress:
		s.freeAddress(r)
		delete(s.st.Addresses, k)
	case *nic:
		delete(s.st.Interfaces, k)
	case *watcher:
		delete(s.st.Watchers, k)
	case *disk:
		delete(s.st.Disks, k)
	case *machine:
		delete(s.st.Machines, k)
		delete(s.st.Events, r.Properties.VMID)
		s.removeParts(r)
	}
	return nil
}

// removeParts takes away what goes with a machine by its delete options: interfaces with their public addresses, disks.
func (s *Service) removeParts(m *machine) {
	for _, r := range m.Properties.NetworkProfile.NetworkInterfaces {
		n := s.st.Interfaces[key(r.ID)]
		if n == nil {
			continue
		}
		if !strings.EqualFold(r.Properties.DeleteOption, "Delete") {
			if m.Kept.Unmade {
				n.Reserved = &reservation{m.ID, time.Now()}
			}
			continue
		}
		delete(s.st.Interfaces, key(r.ID))
		for _, ip := range n.Properties.IPConfigurations {
			if p := ip.Properties.PublicIPAddress; p != nil {
				if a := s.st.Addresses[key(p.ID)]; a != nil && strings.EqualFold(a.Properties.DeleteOption, "Delete") {
					s.freeAddress(a)
					delete(s.st.Addresses, key(p.ID))
				}
			}
		}
	}
	for _, d := range m.disks() {
		if strings.EqualFold(d.DeleteOption, "Delete") && d.ManagedDisk != nil {
			delete(s.st.Disks, key(d.ManagedDisk.ID))
		}
	}
}

// freeAddress gives an address back to its pool, as soon as no router maps it any more.
func (s *Service) freeAddress(a *publicAddress) {
	if ip, err := netip.ParseAddr(a.Properties.IPAddress); err == nil {
		s.freed = append(s.freed, freedAddress{a.Location, ip})
	}
}
