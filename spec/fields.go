package spec

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of the address plan.
const (
	// NodePodBits is the length of every node's pod block.
	NodePodBits = 24
	// ZoneBits is the length of the part of a site's block that one zone uses.
	ZoneBits = 20
)

// Field describes one field of the cluster file. The table of all fields is what files are decoded and checked by, and
// what their documentation is made from.
type Field struct {
	// Path names the field: "spec.workers[].count"; "[]" stands for any element of a list, "{}" for any value of a map.
	Path string
	// Type in words.
	Type string
	// Default in words, empty for none.
	Default string
	// Allowed is what is allowed, in words that go on after "want ".
	Allowed string
	// Required fields have no default and must be given.
	Required bool
	// Fixed says what to do instead of changing the field of an existing cluster; empty for fields that can change.
	Fixed string
	// Doc says what the field is for.
	Doc string
	// Example is a value as it stands in a file; empty for objects, and for what isn't written by people.
	Example string

	kind  kind
	check func(string) (ok bool, hint string)
}

type kind int

const (
	object kind = iota
	list
	mapping
	text
	integer
	duration
	prefix
	timestamp
	anything
)

var kindNames = [...]string{"an object", "a list", "a map", "a string", "a whole number", "a duration", "an address range", "a time", "anything"}

const (
	otherCluster = "make another cluster with it, move what runs there, and delete this one"
	engineGiven  = "it is given by the engine: leave it out"
)

// fields is the table. A field stands after the one that holds it.
var fields = []Field{
	{Path: "apiVersion", kind: text, Required: true, Allowed: APIVersion, check: oneOf(APIVersion), Doc: "version of the file's format"},
	{Path: "kind", kind: text, Required: true, Allowed: Kind, check: oneOf(Kind), Doc: "what the file describes"},
	{Path: "metadata", kind: object, Required: true, Doc: "the cluster's name, and what the engine added to it"},
	{Path: "metadata.name", kind: text, Required: true, Allowed: "2 to 50 of a-z, 0-9 and '-', beginning with a letter and not ending with '-'", check: name(50), Fixed: otherCluster, Doc: "the cluster's name, which begins the names of its nodes"},
	{Path: "metadata.uid", kind: text, Allowed: "16 of 0-9 a-f", check: matches(`^[0-9a-f]{16}$`), Fixed: engineGiven, Doc: "the cluster's id, given by the engine"},
	{Path: "metadata.generation", kind: integer, Allowed: "0 or more", check: between(0, 1<<53), Doc: "the number of the spec's revision, given by the engine; a file that has it is refused once the cluster has another"},
	{Path: "metadata.creationTimestamp", kind: timestamp, Allowed: "a time like 2026-01-02T15:04:05Z", check: isTime, Fixed: engineGiven, Doc: "when the cluster was asked for, given by the engine"},
	{Path: "spec", kind: object, Required: true, Doc: "what the cluster should be"},
	{Path: "spec.kubernetesVersion", kind: text, Default: Versions[0], Allowed: strings.Join(Versions, " or "), check: oneOf(Versions...), Fixed: "upgrades in place are not supported yet: " + otherCluster, Doc: "version of Kubernetes on all nodes"},
	{Path: "spec.metro", kind: text, Allowed: "the name of a metro, like us-east", check: matches(`^[a-z][a-z0-9-]{0,30}[a-z0-9]$`), Fixed: otherCluster, Doc: "metro that gives every site without a region its region"},
	{Path: "spec.network", kind: object, Doc: "what all sites have in common"},
	{Path: "spec.network.mode", kind: text, Default: Modes[0], Allowed: strings.Join(Modes, " or "), check: oneOf(Modes...), Fixed: otherCluster, Doc: "how the sites are joined and what is encrypted"},
	{Path: "spec.network.maxRTT", kind: duration, Default: "10ms", Allowed: "a duration from 1ms to 1s, like 10ms", check: durationBetween(time.Millisecond, time.Second), Doc: "longest round trip between two sites that is accepted"},
	{Path: "spec.network.onLatency", kind: text, Default: LatencyChoices[0], Allowed: strings.Join(LatencyChoices[:2], ", ") + " or " + LatencyChoices[2], check: oneOf(LatencyChoices...), Doc: "what becomes of a new cluster whose machines measure a longer round trip between two sites than maxRTT, before Kubernetes is set up: stop and ask, with the machines kept; continue all the same; or remove all of it again. Of a new site of a cluster that is there, remove is like stop"},
	{Path: "spec.network.pods", kind: prefix, Default: "10.216.0.0/14", Allowed: "a private IPv4 range from /9 to /22, of which every node takes a /24", check: privateRange(9, 22), Fixed: otherCluster, Doc: "addresses of pods"},
	{Path: "spec.network.services", kind: prefix, Default: "10.96.0.0/16", Allowed: "a private IPv4 range from /12 to /24", check: privateRange(12, 24), Fixed: otherCluster, Doc: "addresses of services"},
	{Path: "spec.sites", kind: list, Required: true, Allowed: "1 to 16 sites", Doc: "where the cluster's machines are"},
	{Path: "spec.sites[]", kind: object, Doc: "one account and region"},
	{Path: "spec.sites[].name", kind: text, Required: true, Allowed: "2 to 20 of a-z, 0-9 and '-', beginning with a letter and not ending with '-'", check: name(20), Doc: "the site's name, unique in the cluster"},
	{Path: "spec.sites[].account", kind: text, Required: true, Allowed: "the name of an account, as shown by skyweld account list", check: matches(`^[a-z]([a-z0-9-]{0,48}[a-z0-9])?$`), Fixed: "add a site under another name", Doc: "the account its machines are made in"},
	{Path: "spec.sites[].region", kind: text, Default: "by spec.metro, else chosen: the regions nearest to each other, of equally near ones the cheapest ('skyweld regions --combinations')", Allowed: "the name of one of the cloud's regions, like us-east-1", check: matches(`^[a-z][a-z0-9-]{1,40}$`), Fixed: "add a site under another name", Doc: "the cloud's own region"},
	{Path: "spec.sites[].block", kind: prefix, Default: "the next free /16 of 10.64.0.0/12; at DigitalOcean a /20, where networks are small and must not overlap others of the account", Allowed: "a private IPv4 range from /16 to /20", check: privateRange(16, 20), Fixed: "add a site under another name", Doc: "private addresses of the site's machines; zone i takes the i-th /20 of it"},
	{Path: "spec.access", kind: object, Doc: "who may reach the nodes from outside"},
	{Path: "spec.access.api", kind: list, Default: "the engine's own egress address", Allowed: "up to 50 IPv4 ranges", Doc: "who may reach the Kubernetes API"},
	{Path: "spec.access.api[]", kind: prefix, Allowed: "an IPv4 range of /8 or smaller: never everybody", check: accessRange, Doc: "a range, 203.0.113.0/24 or 203.0.113.7/32"},
	{Path: "spec.access.ssh", kind: list, Default: "the engine's own egress address", Allowed: "up to 50 IPv4 ranges", Doc: "who may reach SSH beside the engine"},
	{Path: "spec.access.ssh[]", kind: prefix, Allowed: "an IPv4 range of /8 or smaller: never everybody", check: accessRange, Doc: "a range, 203.0.113.0/24 or 203.0.113.7/32"},
	{Path: "spec.controlPlane", kind: object, Doc: "the nodes that run the API server and etcd, fixed at creation"},
	{Path: "spec.controlPlane.replicas", kind: integer, Default: "3", Allowed: "1, 3, 5 or 7: etcd needs a majority", check: oneOf("1", "3", "5", "7"), Fixed: otherCluster, Doc: "number of control-plane nodes"},
	{Path: "spec.controlPlane.size", kind: text, Default: "medium", Allowed: sizeAllowed, check: matches(sizePattern), Fixed: otherCluster, Doc: "size of their machines"},
	{Path: "spec.controlPlane.sites", kind: list, Default: "as many as there are members, those from which a majority is reached soonest", Allowed: "names of sites", Fixed: otherCluster, Doc: "sites that the members are dealt to in turn"},
	{Path: "spec.controlPlane.sites[]", kind: text, Allowed: "the name of one of spec.sites", check: name(20), Fixed: otherCluster, Doc: "a site's name"},
	{Path: "spec.workers", kind: list, Allowed: "up to 100 groups", Doc: "the nodes that run what users deploy"},
	{Path: "spec.workers[]", kind: object, Doc: "a group of like workers at one site"},
	{Path: "spec.workers[].name", kind: text, Required: true, Allowed: "1 to 30 of a-z, 0-9 and '-', beginning with a letter and not ending with '-'", check: matches(`^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$`), Doc: "the group's name, unique in the cluster"},
	{Path: "spec.workers[].site", kind: text, Required: true, Allowed: "the name of one of spec.sites", check: name(20), Fixed: newGroup, Doc: "the site its machines are made at"},
	{Path: "spec.workers[].size", kind: text, Default: "small", Allowed: sizeAllowed, check: matches(sizePattern), Fixed: newGroup, Doc: "size of its machines"},
	{Path: "spec.workers[].count", kind: integer, Default: "1", Allowed: "0 to 500", check: between(0, 500), Doc: "number of its nodes"},
	{Path: "spec.workers[].labels", kind: mapping, Allowed: "label keys and values by Kubernetes' rules", Doc: "labels of its nodes"},
	{Path: "spec.workers[].labels{}", kind: text, Allowed: labelValueAllowed, check: labelValue, Doc: "a label's value"},
	{Path: "spec.workers[].taints", kind: list, Allowed: "up to 20 taints", Doc: "taints of its nodes"},
	{Path: "spec.workers[].taints[]", kind: object, Doc: "a taint"},
	{Path: "spec.workers[].taints[].key", kind: text, Required: true, Allowed: labelKeyAllowed, check: labelKey, Doc: "the taint's key"},
	{Path: "spec.workers[].taints[].value", kind: text, Allowed: labelValueAllowed, check: labelValue, Doc: "the taint's value"},
	{Path: "spec.workers[].taints[].effect", kind: text, Required: true, Allowed: "NoSchedule, PreferNoSchedule or NoExecute", check: oneOf("NoSchedule", "PreferNoSchedule", "NoExecute"), Doc: "what happens to pods that don't tolerate it"},
	{Path: "spec.workers[].exclude", kind: list, Allowed: "numbers, each once", Doc: "numbers not used for nodes of the group, written when one particular node is removed"},
	{Path: "spec.workers[].exclude[]", kind: integer, Allowed: "1 to 9999", check: between(1, 9999), Doc: "the number at the end of a removed node's name"},
	{Path: "spec.repair", kind: object, Doc: "what is done about what fails by itself"},
	{Path: "spec.repair.failedMachines", kind: text, Default: FailedMachines[0], Allowed: strings.Join(FailedMachines, " or "), check: oneOf(FailedMachines...), Doc: "what becomes of a machine that never answered or on which kubeadm failed: keep it, to look into it while it is tried again, or replace it, at most three times in a row and never where etcd's majority could be lost"},
	{Path: "spec.repair.notReadyWorkers", kind: text, Default: NotReadyChoices[0], Allowed: strings.Join(NotReadyChoices, " or "), check: oneOf(NotReadyChoices...), Doc: "what becomes of a worker that stays NotReady though its machine runs: replace its machine after its config was applied again in vain, one per site at a time, never while its site or the way to it is in doubt or over 40 % of all nodes are NotReady; or keep it"},
	{Path: "spec.repair.notReadyAfter", kind: duration, Default: "10m0s", Allowed: "a duration from 1m to 24h, like 10m", check: durationBetween(time.Minute, 24*time.Hour), Doc: "how long a node has been NotReady before something is done about it"},
	{Path: "spec.measure", kind: object, Doc: "for a cluster that only measures what is between its sites and is deleted again when that is done; 'skyweld regions measure' makes such files"},
	{Path: "spec.measure.for", kind: duration, Allowed: "a duration from 1s to 10m, like 1m", check: durationBetween(time.Second, 10*time.Minute), Fixed: otherCluster, Doc: "how long each way is measured; with it there is no control plane, and Kubernetes isn't set up"},
	{Path: "status", kind: anything, Doc: "what the engine reports; ignored in a file"},
}

const (
	newGroup    = "add a group with it under another name, then set this one's count to 0"
	sizeAllowed = "small, medium, large or one of the cloud's own instance types"
	sizePattern = `^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`
)

// limits are the numbers of elements a list or map may have.
var limits = map[string]int{
	"spec.sites": 16, "spec.access.api": 50, "spec.access.ssh": 50, "spec.controlPlane.sites": 16, "spec.workers": 100,
	"spec.workers[].labels": 50, "spec.workers[].taints": 20, "spec.workers[].exclude": 500,
}

// Fields returns the description of every field, each after the one that holds it.
func Fields() []Field {
	out := slices.Clone(fields)
	for i := range out {
		out[i].Type, out[i].Example = kindNames[out[i].kind], examples[out[i].Path]
	}
	return out
}

// Explain returns the description of the field at a path, with or without indices ("spec.workers[1].count",
// "spec.workers.count"), and of the fields directly in it.
func Explain(path string) (field Field, within []Field, ok bool) {
	want := bare(path)
	for _, f := range Fields() {
		at := bare(f.Path)
		switch {
		case at == want && !ok:
			field, ok = f, true
		case strings.HasPrefix(at, want+".") && !strings.Contains(at[len(want)+1:], ".") && !strings.HasSuffix(f.Path, "]") && !strings.HasSuffix(f.Path, "}"):
			within = append(within, f)
		}
	}
	return field, within, ok
}

var indices = regexp.MustCompile(`\[[^\]]*\]|\{[^}]*\}`)

func bare(path string) string { return indices.ReplaceAllString(path, "") }

func oneOf(values ...string) func(string) (bool, string) {
	return func(s string) (bool, string) {
		if slices.Contains(values, s) {
			return true, ""
		}
		if n := nearest(s, values); len(n) > 3 && len(values) > 1 {
			return false, "did you mean " + n + "?"
		}
		return false, ""
	}
}

func matches(pattern string) func(string) (bool, string) {
	re := regexp.MustCompile(pattern)
	return func(s string) (bool, string) { return re.MatchString(s), "" }
}

func name(longest int) func(string) (bool, string) {
	return matches(fmt.Sprintf(`^[a-z][a-z0-9-]{0,%d}[a-z0-9]$`, longest-2))
}

func between(low, high int) func(string) (bool, string) {
	return func(s string) (bool, string) {
		n, err := strconv.Atoi(s)
		return err == nil && n >= low && n <= high, ""
	}
}

func durationBetween(low, high time.Duration) func(string) (bool, string) {
	return func(s string) (bool, string) {
		d, err := time.ParseDuration(s)
		return err == nil && d >= low && d <= high, ""
	}
}

func isTime(s string) (bool, string) {
	_, err := time.Parse(time.RFC3339Nano, s)
	return err == nil, ""
}

var private = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16")}

func privateRange(shortest, longest int) func(string) (bool, string) {
	return func(s string) (bool, string) {
		if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
			return false, "its length is missing, as in " + s + "/" + strconv.Itoa(max(16, shortest))
		}
		p, hint := parseRange(s)
		if hint != "" || !p.IsValid() {
			return false, hint
		}
		if p.Bits() < shortest || p.Bits() > longest {
			return false, ""
		}
		in := func(r netip.Prefix) bool { return r.Contains(p.Addr()) && r.Bits() <= p.Bits() }
		if !slices.ContainsFunc(private, in) {
			return false, "private are 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16"
		}
		return true, ""
	}
}

func accessRange(s string) (bool, string) {
	p, hint := parseRange(s)
	if wide, err := netip.ParsePrefix(s); err == nil && wide.Bits() < 8 {
		return false, "" // what it was meant to be is too wide as well
	}
	return hint == "" && p.IsValid(), hint
}

// parseRange reads an IPv4 range; the hint says how to mend what almost is one.
func parseRange(s string) (netip.Prefix, string) {
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		return netip.Prefix{}, "did you mean " + s + "/32?"
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() {
		return netip.Prefix{}, ""
	}
	if p != p.Masked() {
		return netip.Prefix{}, "did you mean " + p.Masked().String() + "?"
	}
	return p, ""
}
