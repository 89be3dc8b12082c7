// Package tunnel brings a machine's WireGuard device, its peers, and the routes and rules that lead into it to a wanted
// state. What that state is, package mesh says.
package tunnel

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/mesh"
)

// Kind is where a tunnel device runs.
type Kind string

// The kinds of a device.
const (
	Absent Kind = ""
	Kernel Kind = "kernel"
	User   Kind = "user space"
)

// State is what a machine's tunnel is.
type State struct {
	Kind      Kind
	Up        bool
	MTU, Port int
	// PublicKey is in base64.
	PublicKey string
	Addresses []netip.Prefix
	Peers     []Peer
	// Routes are those over the device, and all of the tunnel's own table; Rules those that lead there.
	Routes []mesh.Route
	Rules  []mesh.Rule
}

// Peer is a peer as the device has it.
type Peer struct {
	mesh.Peer
	// Handshake is the time of the last one, zero for none.
	Handshake time.Time
}

// Action is what a step does.
type Action string

// The actions; the words are those of the reports.
const (
	Create        Action = "created"
	Delete        Action = "deleted"
	SetKey        Action = "set key of"
	SetPort       Action = "set port of"
	SetMTU        Action = "set MTU of"
	SetUp         Action = "switched on"
	AddPeer       Action = "added peer"
	ChangePeer    Action = "changed peer"
	RemovePeer    Action = "removed peer"
	AddAddress    Action = "added address"
	RemoveAddress Action = "removed address"
	AddRoute      Action = "added route"
	ChangeRoute   Action = "changed route"
	RemoveRoute   Action = "removed route"
	AddRule       Action = "added rule"
	RemoveRule    Action = "removed rule"
)

// Step is one change. Which fields count depends on the action.
type Step struct {
	Action  Action
	Kind    Kind
	Number  int // an MTU or a port
	Address netip.Prefix
	Peer    mesh.Peer
	Route   mesh.Route
	Rule    mesh.Rule
}

// String says in words what the step did.
func (s Step) String() string {
	words := string(s.Action)
	switch s.Action {
	case Create, Delete:
		return fmt.Sprintf("%s tunnel %s (%s)", words, mesh.Device, s.Kind)
	case SetMTU, SetPort:
		return fmt.Sprintf("%s tunnel to %d", words, s.Number)
	case SetKey, SetUp:
		return words + " tunnel"
	case AddPeer, ChangePeer:
		return fmt.Sprintf("%s %s at %s", words, s.Peer.Name, s.Peer.Endpoint)
	case RemovePeer:
		return fmt.Sprintf("%s %s", words, strings.TrimSpace(s.Peer.Name+" "+s.Peer.PublicKey))
	case AddAddress, RemoveAddress:
		return fmt.Sprintf("%s %s of tunnel", words, s.Address)
	case AddRoute, ChangeRoute, RemoveRoute:
		return words + " " + routeWords(s.Route)
	}
	return fmt.Sprintf("%s from %s to table %d", words, s.Rule.From, s.Rule.Table)
}

func routeWords(r mesh.Route) string {
	words := "to " + r.To.String()
	if r.Source.IsValid() {
		words += " from " + r.Source.String()
	}
	if r.Table != 0 {
		words += fmt.Sprintf(" in table %d", r.Table)
	}
	return words
}

// fresh is for how long after a handshake a peer is surely there: WireGuard makes a new one every two minutes while there
// is traffic, and our keepalives are traffic.
const fresh = 3 * time.Minute

// Plan says what to change, in order. A machine that is as wanted needs nothing. publicKey is the machine's own.
func Plan(want mesh.Config, publicKey string, kind Kind, have State, now time.Time) []Step {
	var steps []Step
	add := func(s Step) { steps = append(steps, s) }
	if have.Kind != Absent && have.Kind != kind {
		add(Step{Action: Delete, Kind: have.Kind})
		have = gone(have)
	}
	if have.Kind == Absent {
		add(Step{Action: Create, Kind: kind, Number: want.MTU})
		have.MTU = want.MTU
	}
	if have.PublicKey != publicKey {
		add(Step{Action: SetKey})
	}
	if have.Port != want.Port {
		add(Step{Action: SetPort, Number: want.Port})
	}
	steps = append(steps, planPeers(want.Peers, have.Peers, now)...)
	if have.MTU != want.MTU {
		add(Step{Action: SetMTU, Number: want.MTU})
	}
	for _, address := range have.Addresses {
		if address != want.Address {
			add(Step{Action: RemoveAddress, Address: address})
		}
	}
	if !slices.Contains(have.Addresses, want.Address) {
		add(Step{Action: AddAddress, Address: want.Address})
	}
	if !have.Up {
		add(Step{Action: SetUp})
	}
	steps = append(steps, planRoutes(want.Routes, have.Routes)...)
	return append(steps, planRules(want.Rules, have.Rules)...)
}

// gone is what is left of a state when the device is deleted: routes over it go with it.
func gone(have State) State { return State{Rules: have.Rules} }

// Clear says what to change for nothing of the tunnel to be left.
func Clear(have State) []Step {
	var steps []Step
	for _, rule := range have.Rules {
		steps = append(steps, Step{Action: RemoveRule, Rule: rule})
	}
	for _, route := range have.Routes {
		steps = append(steps, Step{Action: RemoveRoute, Route: route})
	}
	if have.Kind != Absent {
		steps = append(steps, Step{Action: Delete, Kind: have.Kind})
	}
	return steps
}

func planPeers(want []mesh.Peer, have []Peer, now time.Time) []Step {
	var steps []Step
	wanted, known := map[string]bool{}, map[string]Peer{}
	for _, peer := range want {
		wanted[peer.PublicKey] = true
	}
	// Removals come first: an address of a peer that goes may belong to one that comes.
	for _, peer := range have {
		known[peer.PublicKey] = peer
		if !wanted[peer.PublicKey] {
			steps = append(steps, Step{Action: RemovePeer, Peer: peer.Peer})
		}
	}
	for _, peer := range want {
		old, ok := known[peer.PublicKey]
		switch {
		case !ok:
			steps = append(steps, Step{Action: AddPeer, Peer: peer})
		case !samePeer(peer, old, now):
			steps = append(steps, Step{Action: ChangePeer, Peer: peer})
		}
	}
	return steps
}

// samePeer leaves an endpoint alone that WireGuard found to work by itself.
func samePeer(want mesh.Peer, have Peer, now time.Time) bool {
	allowed := slices.Equal(sorted(want.AllowedIPs, comparePrefixes), sorted(have.AllowedIPs, comparePrefixes))
	roamed := now.Sub(have.Handshake) < fresh
	return allowed && want.Keepalive == have.Keepalive && (want.Endpoint == have.Endpoint || roamed)
}

func planRoutes(want, have []mesh.Route) []Step {
	var steps []Step
	type place struct {
		to    netip.Prefix
		table int
	}
	wanted, known := map[place]bool{}, map[place]mesh.Route{}
	for _, route := range want {
		wanted[place{route.To, route.Table}] = true
	}
	for _, route := range have {
		known[place{route.To, route.Table}] = route
		if !wanted[place{route.To, route.Table}] {
			steps = append(steps, Step{Action: RemoveRoute, Route: route})
		}
	}
	for _, route := range want {
		old, ok := known[place{route.To, route.Table}]
		switch {
		case !ok:
			steps = append(steps, Step{Action: AddRoute, Route: route})
		case old != route:
			steps = append(steps, Step{Action: ChangeRoute, Route: route})
		}
	}
	return steps
}

func planRules(want, have []mesh.Rule) []Step {
	var steps []Step
	for _, rule := range want {
		if !slices.Contains(have, rule) {
			steps = append(steps, Step{Action: AddRule, Rule: rule})
		}
	}
	for _, rule := range have {
		if !slices.Contains(want, rule) {
			steps = append(steps, Step{Action: RemoveRule, Rule: rule})
		}
	}
	return steps
}

func sorted[T any](all []T, compare func(a, b T) int) []T {
	return slices.SortedFunc(slices.Values(all), compare)
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
