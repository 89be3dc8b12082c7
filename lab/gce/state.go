package gce

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/compute/v1"
)

// state is all that is kept over a restart. Resources are the SDK's structs under their paths; links in them are paths.
// What follows from other resources (users of a disk, subnetworks of a network) is left out and filled in for answers.
type state struct {
	ProjectCreated string                         `json:"projectCreated"`
	Metadata       *compute.Metadata              `json:"metadata"`
	Networks       map[string]*compute.Network    `json:"networks"`
	Subnetworks    map[string]*compute.Subnetwork `json:"subnetworks"`
	Firewalls      map[string]*compute.Firewall   `json:"firewalls"`
	Routes         map[string]*compute.Route      `json:"routes"`
	Addresses      map[string]*compute.Address    `json:"addresses"`
	Disks          map[string]*compute.Disk       `json:"disks"`
	Instances      map[string]*compute.Instance   `json:"instances"`
	Operations     map[string]*compute.Operation  `json:"operations"`
	Requests       map[string]request             `json:"requests"`
	Guest          map[string]map[string]string   `json:"guest"`
}

// request remembers which operation a requestId began.
type request struct {
	Method    string `json:"method"` // the method's id and the path of the request
	Operation string `json:"operation"`
}

func newState() state {
	return state{
		Metadata:    &compute.Metadata{Kind: "compute#metadata"},
		Networks:    map[string]*compute.Network{},
		Subnetworks: map[string]*compute.Subnetwork{},
		Firewalls:   map[string]*compute.Firewall{},
		Routes:      map[string]*compute.Route{},
		Addresses:   map[string]*compute.Address{},
		Disks:       map[string]*compute.Disk{},
		Instances:   map[string]*compute.Instance{},
		Operations:  map[string]*compute.Operation{},
		Requests:    map[string]request{},
		Guest:       map[string]map[string]string{},
	}
}

// sorted returns a table's records in order of their names, then paths.
func sorted[T any](m map[string]*T) []*T {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(strings.Compare(base(a), base(b)), strings.Compare(a, b))
	})
	out := make([]*T, len(keys))
	for i, k := range keys {
		out[i] = m[k]
	}
	return out
}

// cloudZone is the clock of the API's timestamps.
var cloudZone = time.FixedZone("PST", -8*60*60)

func stamp() string { return time.Now().In(cloudZone).Format("2006-01-02T15:04:05.000-07:00") }

// newID returns a resource's numeric id, 19 digits as Google's are.
func newID() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return 1e18 + binary.BigEndian.Uint64(b[:])%8e18
}

// emptyFingerprint is what Google shows for no labels and no tags.
const emptyFingerprint = "42WmSpB8rSM="

// fingerprint is a short hash of a value's content.
func fingerprint(v any) string {
	text, err := json.Marshal(v)
	if err != nil || len(text) <= 4 && (string(text) == "null" || string(text) == "{}" || string(text) == "[]") {
		return emptyFingerprint
	}
	sum := sha256.Sum256(text)
	return base64.URLEncoding.EncodeToString(sum[:8])
}
