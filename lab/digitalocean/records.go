package digitalocean

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// records are all that is kept over a restart.
type records struct {
	Account     string // its UUID; empty before the first start
	LastDroplet int
	LastAction  int
	LastKey     int
	Keys        map[int]*sshKey
	VPCs        map[string]*vpc
	Droplets    map[int]*droplet
	Actions     map[int]*action
	Firewalls   map[string]*firewall
	Tags        map[string]*tag // by the name in small letters
	Reserved    map[string]*reservedIP
	Volumes     map[string]*volume
	Projects    map[string]*project
	// Assigned says which project a resource is in, by its URN; those that aren't here are in the default one.
	Assigned map[string]assignment
}

type sshKey struct {
	ID                           int
	Name, PublicKey, Fingerprint string
}

type vpc struct {
	ID, Name, Description, Region string
	Range                         netip.Prefix
	Default                       bool
	Created                       time.Time
}

type droplet struct {
	ID                      int
	Name, Region, Size, VPC string
	Image                   int
	Status                  string
	// Placed says that the machine has its place and addresses, which show from then on.
	Placed  bool
	Created time.Time
	// Public is the machine's own public address, not valid without public networking; Private is in the VPC; Anchor is
	// where a reserved address arrives.
	Public, Private, Anchor netip.Addr
	PublicMAC, PrivateMAC   string
	UserData                string
	Keys                    []int
	Tags                    []string // as they were written first
	Monitoring, Agent       bool
}

// Statuses of a Droplet.
const (
	statusNew    = "new"
	statusActive = "active"
	statusOff    = "off"
)

type action struct {
	ID                 int
	Type, Status       string
	Started, Completed time.Time
	Region             string
	ResourceType       string
	// Droplet, Reserved and Volume are what it is about.
	Droplet  int
	Reserved string
	Volume   string
	// Size and Name are what a resize and a rename are to end in.
	Size, Name string
}

// Statuses of an action.
const (
	inProgress = "in-progress"
	completed  = "completed"
	errored    = "errored"
)

type firewall struct {
	ID, Name          string
	Created           time.Time
	Inbound, Outbound []rule
	Droplets          []int
	Tags              []string
	// Waiting are the Droplets that don't have the present rules yet, true for those that are being let go.
	Waiting map[int]bool
}

type rule struct {
	Protocol, Ports string
	Peers           peers
}

// peers are the other ends that a rule names.
type peers struct {
	Addresses     []string `json:"addresses,omitempty"`
	Tags          []string `json:"tags,omitempty"`
	Droplets      []int    `json:"droplet_ids,omitempty"`
	LoadBalancers []string `json:"load_balancer_uids,omitempty"`
	Kubernetes    []string `json:"kubernetes_ids,omitempty"`
}

type tag struct {
	Name    string
	Created time.Time
	Last    string // the URI of what was tagged last
	// Ghosts are ids of Droplets that were never there: the API takes them all the same, and counts them.
	Ghosts []string `json:",omitempty"`
}

type reservedIP struct {
	IP      netip.Addr
	Region  string
	Droplet int // 0 for none
	Created time.Time
}

type volume struct {
	ID, Name, Description, Region string
	Size                          int
	Filesystem, Label             string
	Droplet                       int // 0 for none
	Tags                          []string
	Created                       time.Time
}

type project struct {
	ID, Name, Description, Purpose, Environment string
	Default                                     bool
	Created, Updated                            time.Time
}

type assignment struct {
	Project string
	At      time.Time
}

func (r *records) init() {
	makeMap(&r.Keys)
	makeMap(&r.VPCs)
	makeMap(&r.Droplets)
	makeMap(&r.Actions)
	makeMap(&r.Firewalls)
	makeMap(&r.Tags)
	makeMap(&r.Reserved)
	makeMap(&r.Volumes)
	makeMap(&r.Projects)
	makeMap(&r.Assigned)
	r.LastDroplet = max(r.LastDroplet, 520_000_000)
	r.LastAction = max(r.LastAction, 2_900_000_000)
	r.LastKey = max(r.LastKey, 46_000_000)
}

func makeMap[K comparable, V any](m *map[K]V) {
	if *m == nil {
		*m = map[K]V{}
	}
}

// sorted returns a table's records in the order of their keys.
func sorted[K cmp.Ordered, V any](m map[K]V) []V {
	out := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

func contains[T comparable](list []T, v T) bool { return slices.Contains(list, v) }

// without returns a list without some values.
func without[T comparable](list []T, gone ...T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return slices.Contains(gone, v) })
}

// with returns a list with some values more, each once.
func with[T comparable](list []T, more ...T) []T {
	list = slices.Clone(list)
	for _, v := range more {
		if !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list
}

// newUUID returns a random identifier.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newMAC returns a random hardware address of the local kind.
func newMAC() string {
	var b [5]byte
	rand.Read(b[:])
	return fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4])
}

// stamp is a time as the API writes it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// lower is a tag's name for comparisons.
func lower(name string) string { return strings.ToLower(name) }
