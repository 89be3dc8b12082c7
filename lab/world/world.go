// Package world is what the lab's emulated cloud APIs and its real machines and wires agree on: networks, interfaces,
// rules and machines as plain desired state. It holds no cloud's vocabulary and makes nothing by itself.
package world

import (
	"context"
	"net/http"
	"net/netip"
	"time"
)

// Network is the whole physical state of one cloud network in one region: a router with machines around it.
type Network struct {
	// ID is unique in the lab: the cloud's id of the network, and its region where the network has several.
	ID string
	// Cloud is the lab's name of one ("aws", "gcp", …), Region the cloud's own region: they say where on earth the router
	// stands.
	Cloud, Region string
	// NICs are all interfaces of machines in this network and region.
	NICs []NIC
	// Cut says that nothing leaves for the internet or comes from there, answers neither.
	Cut bool
}

// NIC is one network interface. A network carries only packets whose source and destination are addresses of its
// interfaces, or ranges routed to one of them, unless they leave through or come from the internet.
type NIC struct {
	// ID is the cloud's id of the interface.
	ID string
	// Machine is the id of the machine it is plugged into; empty for a loose interface, which then is only an address.
	Machine string
	// Device is its name inside the machine ("eth0", "ens5").
	Device string
	// MAC in the usual form with colons.
	MAC string
	// Address is the private address, with the prefix the machine sees (Google: /32; AWS: the subnet's).
	Address netip.Prefix
	// Gateway is the router's address that the machine uses as default gateway. It may lie outside Address's prefix,
	// then the route to it is on-link.
	Gateway netip.Addr
	MTU     int
	// Public is mapped one to one to Address by the router; not valid when there is none. Where it is Address itself it is
	// the machine's own, and nothing is mapped; nothing crosses between such interfaces and others.
	Public netip.Addr
	// Others are further addresses of the interface.
	Others []Alias
	// NoDefault says that the machine's way out doesn't lead over this interface: it reaches only Address's range there.
	NoDefault bool
	// Internet says that the cloud's routes lead from here to an internet gateway. Without it or without Public
	// nothing goes to or comes from the internet.
	Internet bool
	// Forwarding: packets with a source that isn't Address are let out of the machine, and packets for one that isn't
	// let in (AWS: the source/dest check is off; Google: canIpForward).
	Forwarding bool
	// Routed are further ranges the cloud's routes send to this interface.
	Routed []netip.Prefix
	// Inbound and Outbound are evaluated in order of Priority (lowest first; on equal priority deny before allow); what no
	// rule matches is denied. They are stateful: answers to what was let through pass.
	Inbound, Outbound []Rule
}

// Alias is a further address of an interface.
type Alias struct {
	// Address is the address, with the prefix the machine sees.
	Address netip.Prefix
	// Public is mapped one to one to Address by the router, for packets from inside the network too; not valid when there
	// is none.
	Public netip.Addr
}

// Rule is one firewall rule.
type Rule struct {
	Priority int
	Allow    bool
	// Protocol is "tcp", "udp", "icmp", a protocol number in decimals, or "" for all.
	Protocol string
	// FromPort and ToPort bound the destination port, for TCP and UDP; both 0 means every port. For ICMP they are unused.
	FromPort, ToPort uint16
	// Remote are the ranges of the other end; empty matches nothing.
	Remote []netip.Prefix
}

// Machine is one machine to run.
type Machine struct {
	// ID is unique in the lab: the cloud's id of the instance.
	ID string
	// Hostname is the name the cloud gives it; user data may change it.
	Hostname string
	// Name is what its owner calls it, where that isn't its host name; people name it by this in the lab.
	Name string
	// Datasource is the metadata service's dialect, as cloud-init calls it: "Ec2", "GCE", "Azure", "DigitalOcean".
	Datasource string
	// VCPUs and MemoryMiB are the size of its type; they become CPU shares and a memory limit.
	VCPUs, MemoryMiB int
}

// MachineState is what a machine does.
type MachineState string

// The states of a machine.
const (
	Running MachineState = "running"
	Stopped MachineState = "stopped"
)

// Physical is the lab's real side. All methods are idempotent and safe for concurrent use.
type Physical interface {
	// SetNetwork brings a network to the given state, making and removing interfaces, rules and mappings.
	SetNetwork(ctx context.Context, n Network) error
	// RemoveNetwork takes a network away with all that SetNetwork made.
	RemoveNetwork(ctx context.Context, id string) error
	// StartMachine boots a machine whose interfaces are set. Its disk is kept between stop and start.
	StartMachine(ctx context.Context, m Machine) error
	// StopMachine ends all processes of a machine; its disk and interfaces stay.
	StopMachine(ctx context.Context, id string) error
	// DestroyMachine stops a machine and removes its disk.
	DestroyMachine(ctx context.Context, id string) error
	// MachineState reports what a machine does; Stopped for one that doesn't exist.
	MachineState(id string) MachineState
	// Console returns the last part of what a machine wrote to its console, at most 64 KiB.
	Console(id string) []byte
}

// API is one emulated cloud.
type API interface {
	// Handler serves the cloud's API over TLS.
	http.Handler
	// Metadata serves the metadata service of one network to its machines: the request's RemoteAddr is the private
	// address of the machine that asks.
	Metadata(network string) http.Handler
	// Resume brings the physical world to the recorded state after a restart of the lab: networks, and machines that
	// were running.
	Resume(ctx context.Context) error
	// Close waits for what is going on and writes the records.
	Close() error
}

// Profile says how slow the clouds are.
type Profile string

// The profiles.
const (
	Instant  Profile = "instant" // no waiting at all
	Fast     Profile = "fast"    // a twentieth of the real time, at most two seconds
	RealTime Profile = "real"    // as slow as the clouds
	// Quick is Fast, ten times faster: for tests that want to see things take their time.
	Quick Profile = "quick"
)

// Delay returns how long something takes that takes d at the real cloud.
func (p Profile) Delay(d time.Duration) time.Duration {
	switch p {
	case Instant:
		return 0
	case Fast:
		return min(d/20, 2*time.Second)
	case Quick:
		return min(d/200, 200*time.Millisecond)
	}
	return d
}
