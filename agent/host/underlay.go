package host

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// Underlays are the names of the devices that lead out of the machine: the one with its private address and those with a
// default route.
func Underlays(address netip.Addr) ([]string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list network devices: %w", err)
	}
	outward, err := defaultRoutes()
	if err != nil {
		return nil, err
	}
	found := false
	var names []string
	for _, link := range links {
		has, err := hasAddress(link, address)
		if err != nil {
			return nil, err
		}
		found = found || has
		if has || slices.Contains(outward, link.Attrs().Index) {
			names = append(names, link.Attrs().Name)
		}
	}
	if !found {
		return nil, fmt.Errorf("no network device has the node's address %s", address)
	}
	slices.Sort(names)
	return names, nil
}

// UnderlayMTU is the MTU, in bytes, of the device with the default route, of several the smallest; 0 when there is none.
func UnderlayMTU() (int, error) {
	outward, err := defaultRoutes()
	if err != nil {
		return 0, err
	}
	smallest := 0
	for _, index := range outward {
		link, err := netlink.LinkByIndex(index)
		if err != nil {
			return 0, fmt.Errorf("read device of the default route: %w", err)
		}
		if mtu := link.Attrs().MTU; smallest == 0 || mtu < smallest {
			smallest = mtu
		}
	}
	return smallest, nil
}

func defaultRoutes() ([]int, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var devices []int
	for _, route := range routes {
		if isDefault(route.Dst) && route.LinkIndex > 0 {
			devices = append(devices, route.LinkIndex)
		}
	}
	return devices, nil
}

func isDefault(destination *net.IPNet) bool {
	if destination == nil {
		return true
	}
	bits, _ := destination.Mask.Size()
	return bits == 0
}

func hasAddress(link netlink.Link, address netip.Addr) (bool, error) {
	addresses, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return false, fmt.Errorf("list addresses of %s: %w", link.Attrs().Name, err)
	}
	return slices.ContainsFunc(addresses, func(a netlink.Addr) bool { return a.IP.Equal(address.AsSlice()) }), nil
}
