// Package fault makes an emulated cloud misbehave on request: rules say which requests or machines are hit, how, and how
// often. It knows no cloud: each brings a Dialect, which names a request's action and words an error as that cloud does.
// It is no chaos of its own making: without a rule nothing is ever touched, and a rule of chance says its seed.
package fault

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

// Kind is a way of going wrong.
type Kind string

// What can happen to a request.
const (
	Throttle   Kind = "throttle"
	Deny       Kind = "deny"
	Expire     Kind = "expire"
	Quota      Kind = "quota"
	Capacity   Kind = "capacity"
	Error      Kind = "error"
	DropAnswer Kind = "drop-answer"
	Delay      Kind = "delay"
	Hang       Kind = "hang"
	Duplicate  Kind = "duplicate"
	ListLag    Kind = "list-lag"
	Stuck      Kind = "stuck"
	Down       Kind = "down"
)

// What can happen to networks.
const (
	CutOff Kind = "cut-off"
	Far    Kind = "far"
)

// What can happen to a machine.
const (
	NoBoot       Kind = "no-boot"
	NoSSH        Kind = "no-ssh"
	KubeadmFails Kind = "kubeadm-fails"
	NoInternet   Kind = "no-internet"
)

// About is one kind in words.
type About struct {
	Kind Kind
	// Machine says that it happens to machines, not to requests.
	Machine bool
	Text    string
}

// Kinds are all there are, in the order to show them.
var Kinds = []About{
	{Throttle, false, "refuse: too many requests"},
	{Deny, false, "refuse: no permission for the action; dry runs too"},
	{Expire, false, "refuse: the credentials have expired"},
	{Quota, false, "refuse: the account's quota for what is being made is full"},
	{Capacity, false, "refuse: the cloud has none of it left"},
	{Error, false, "refuse: an internal error of the cloud"},
	{DropAnswer, false, "carry the request out, then cut the connection"},
	{Delay, false, "carry the request out, late: delay 2s"},
	{Hang, false, "never answer, until the client or the fault goes"},
	{Duplicate, false, "carry the request out twice, and give the second answer"},
	{ListLag, false, "answer lists as they were up to so long ago: list-lag 1m"},
	{Stuck, false, "tell of what is done that it is still being done"},
	{Down, false, "refuse connections to the whole cloud, or cut those about a --region"},
	{CutOff, false, "the cloud's networks, or those of a --region, reach no other, and nobody reaches them"},
	{Far, false, "round trips between the cloud's networks, or those of a --region, and all others take so much longer: far 20ms"},
	{NoBoot, true, "the machine runs and its system never comes up"},
	{NoSSH, true, "port 22 takes connections, and nothing ever answers there"},
	{KubeadmFails, true, "port 10250, which the kubelet needs, is taken"},
	{NoInternet, true, "nothing that the machine begins reaches the internet"},
}

// Rule is one fault. The first matching rule that strikes decides about a request; a machine suffers all that match.
type Rule struct {
	// ID is given by the set: 1, 2, ….
	ID int `json:"id"`
	// Cloud is the lab's name of one: "aws", "gcp".
	Cloud string `json:"cloud"`
	Kind  Kind   `json:"kind"`
	// Action is a pattern (see path.Match) of a request's action, with or without its service: "ec2:RunInstances",
	// "instances.insert", "*.delete". Empty for all. Upper and lower case are the same.
	Action string `json:"action,omitempty"`
	// Region is the cloud's own region; empty for all. A request about no region, as a list of all is, is in none.
	Region string `json:"region,omitempty"`
	// Machine is a pattern of a machine's id or name.
	Machine string `json:"machine,omitempty"`
	// Delay is how late a delayed answer is, and how far a list lags behind.
	Delay Duration `json:"delay,omitempty"`
	// After is how many requests or machines it lets pass at first.
	After int `json:"after,omitempty"`
	// Times is how often it strikes before it is over; 0 for no end.
	Times int `json:"times,omitempty"`
	// For is how long it lasts from its beginning; 0 for no end.
	For Duration `json:"for,omitempty"`
	// Rate is the chance to strike, above 0 and at most 1; 0 means 1. Seed begins the row of chances; 0 has one chosen.
	Rate float64 `json:"rate,omitempty"`
	Seed uint64  `json:"seed,omitempty"`

	// Began, Hits and Over are the set's to fill in: since when it is there, how often it has struck, and whether it
	// strikes no more.
	Began time.Time `json:"began"`
	Hits  int       `json:"hits"`
	Over  bool      `json:"over"`
}

// Duration is a time.Duration that is written like one ("1m30s").
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the duration as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// Request is what a request is about.
type Request struct {
	// Action is the cloud's name of the call with its service: "ec2:RunInstances", "compute.instances.insert",
	// "oauth2.token". Empty when it isn't known.
	Action string
	// Region is empty for what is about none.
	Region string
	// DryRun says that the request only asks whether it would be permitted.
	DryRun bool
	// List says that it asks what there is of a kind, and not for one thing by its id.
	List bool
}

// Dialect is how a cloud's requests and errors read.
type Dialect interface {
	// Request says what a request is about. It may read the body, and then leaves one in its place.
	Request(*http.Request) Request
	// Refuse answers a request with the cloud's own error of a kind, one of Throttle, Deny, Expire, Quota, Capacity and
	// Error. It returns false, and writes nothing, where the cloud has no such error for that action.
	Refuse(http.ResponseWriter, *http.Request, Request, Kind) bool
	// Unfinished makes of an answer that tells of something done one by which it is still being done. It returns false,
	// and leaves the answer as it is, where it tells of no such thing.
	Unfinished(*http.Request, *Answer) bool
}

// Answer is an answer that wasn't given yet.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Check says what is wrong with a rule; nil for a good one.
func (r Rule) Check() error {
	n := slices.IndexFunc(Kinds, func(a About) bool { return a.Kind == r.Kind })
	if n < 0 {
		return fmt.Errorf("kind: found %q: want one of %s", r.Kind, names(func(About) bool { return true }))
	}
	if machine := Kinds[n].Machine; machine != (r.Machine != "") {
		if machine {
			return fmt.Errorf("kind: %s is a fault of machines: name them with --machine", r.Kind)
		}
		return fmt.Errorf("--machine: %s is a fault of requests; those of machines are %s", r.Kind, names(func(a About) bool { return a.Machine }))
	}
	for flag, pattern := range map[string]string{"--action": r.Action, "--machine": r.Machine} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("%s: found %q: want a pattern with * and ?, like *Instances", flag, pattern)
		}
	}
	switch {
	case (r.Kind == Delay || r.Kind == ListLag || r.Kind == Far) != (r.Delay > 0):
		if r.Delay <= 0 {
			return fmt.Errorf("kind: %s needs a time above zero: %s 2s", r.Kind, r.Kind)
		}
		return fmt.Errorf("kind: %s takes no time", r.Kind)
	case r.Machine != "" && (r.Action != "" || r.Region != ""):
		return fmt.Errorf("--machine: a machine's fault takes neither --action nor --region")
	case (r.Kind == Down || r.Kind == CutOff || r.Kind == Far) && (r.Action != "" || r.After != 0 || r.Times != 0 || r.Rate != 0):
		return fmt.Errorf("kind: %s is about a whole cloud or region, and takes no --action, --after, --times or --rate", r.Kind)
	case r.After < 0:
		return fmt.Errorf("--after: found %d: want 1 or more", r.After)
	case r.Times < 0:
		return fmt.Errorf("--times: found %d: want 1 or more", r.Times)
	case r.For < 0:
		return fmt.Errorf("--for: found %s: want a time above zero", r.For)
	case r.Rate < 0 || r.Rate > 1:
		return fmt.Errorf("--rate: found %g: want a number above 0 and at most 1", r.Rate)
	case r.Seed != 0 && r.Rate == 0:
		return fmt.Errorf("--seed: only a rule with --rate has one")
	}
	return nil
}

func names(want func(About) bool) string {
	var out []string
	for _, a := range Kinds {
		if want(a) {
			out = append(out, string(a.Kind))
		}
	}
	return strings.Join(out, ", ")
}

// about says whether the rule is about a request.
func (r Rule) about(cloud string, what Request) bool {
	return r.Cloud == cloud && r.Machine == "" && r.Kind != CutOff && r.Kind != Far && (r.Region == "" || r.Region == what.Region) && (r.Action == "" || matches(r.Action, what.Action))
}

// matches compares a pattern with an action, and with what follows its service.
func matches(pattern, action string) bool {
	pattern, action = strings.ToLower(pattern), strings.ToLower(action)
	_, short, _ := strings.Cut(strings.ReplaceAll(action, ":", "."), ".")
	for _, name := range []string{action, short} {
		if ok, _ := path.Match(pattern, name); ok && name != "" {
			return true
		}
	}
	return false
}

// aboutMachine says whether the rule is about a machine that has one of these names.
func (r Rule) aboutMachine(cloud string, names []string) bool {
	return r.Cloud == cloud && r.Machine != "" && slices.ContainsFunc(names, func(name string) bool {
		ok, _ := path.Match(r.Machine, name)
		return ok && name != ""
	})
}
