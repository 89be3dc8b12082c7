package conformance_test

import (
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/digitalocean/godo"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/internal/drift"
	"github.com/skyweld/skyweld/lab/world"
)

// doCalls are the SDK's words around an answer: where the call went and its number.
var doCalls = regexp.MustCompile(`(GET|POST|PUT|DELETE) https://[^ ]+: (\d+) \(request "[^"]*"\) `)

// looks counts a look at one thing once, however often it is repeated until what goes on there is done.
func (s *driftSite) looks(next http.RoundTripper) http.RoundTripper {
	var mu sync.Mutex
	seen := map[string]bool{}
	counted := s.count(next)
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		if s.calls.Load() == 0 {
			clear(seen)
		}
		again := r.Method == http.MethodGet && seen[r.URL.Path]
		seen[r.URL.Path] = r.Method == http.MethodGet && r.URL.RawQuery == ""
		mu.Unlock()
		if again {
			return next.RoundTrip(r)
		}
		return counted.RoundTrip(r)
	})
}

func TestDriftDigitalOcean(t *testing.T) {
	lab := newDOLab(t, world.Instant)
	c := lab.client(t)
	s := &driftSite{
		site:  cloudtest.DefaultSite("conf", doRegion, []string{doRegion}),
		shell: doctl{c}.run,
		plain: func(text string) string {
			return azureIDs.ReplaceAllString(doCalls.ReplaceAllString(text, "$2: "), "…")
		},
	}
	s.d = lab.driver(t, s.looks)
	h := doHand{c}
	playDrift(t, s, slices.Concat(h.tags(), h.vpcs(), h.firewalls(), h.droplets(), h.reserved()))
}

// doHand makes the scenes for DigitalOcean.
type doHand struct{ c *godo.Client }

// The keys of the site that the scenes are about.
const (
	doWorker          = "conf-node-conf-web-1"
	doWall, doAPIWall = "conf-fw-node", "conf-fw-control-plane"
)

// nobody is the scene of a field that no call can set.
func (doHand) nobody(key, name, change string, service reflect.Type, field string) driftScene {
	const none = "DigitalOcean has no call for it"
	return driftScene{key: key, field: name, change: change, refused: none, do: func(*driftSite) error {
		if call := doNobody(service, field); call != "" {
			return fmt.Errorf("%s takes a %s", call, field)
		}
		return fmt.Errorf("%s: none that changes such a thing takes a %s", none, field)
	}}
}

func (h doHand) tags() []driftScene {
	tags := reflect.TypeFor[godo.TagsService]()
	return []driftScene{
		{key: doTag, change: drift.Deleted, command: "doctl compute tag delete <conf-tag-node> --force"},
		h.nobody(doTag, "", drift.MarkGone, tags, "Name"), // it has nothing but a name
		h.nobody(doTag, "name", drift.Changed, tags, "Name"),
	}
}

func (h doHand) vpcs() []driftScene {
	const vpc = "doctl vpcs "
	return []driftScene{
		{key: doVPC, change: drift.Deleted + ", in use", command: vpc + "delete <conf-vpc> --force", refused: "Can not delete VPC with members"},
		{
			key: doVPC, change: drift.Deleted, command: vpc + "delete <conf-vpc> --force",
			before: func(s *driftSite) error { return gone(s.but("tag", "vpc", "firewall")...)(s) },
		},
		{key: doVPC, change: drift.MarkGone, command: vpc + "update <conf-vpc> --name " + cloudtest.TestOwner.ResourceName(doVPC) + " --description theirs"},
		{key: doVPC, field: "name", change: drift.Changed, command: vpc + "update <conf-vpc> --name theirs"},
		h.nobody(doVPC, "range", drift.Changed, reflect.TypeFor[godo.VPCsService](), "IPRange"),
	}
}

func (h doHand) firewalls() []driftScene {
	const wall = "doctl compute firewall "
	const ssh, other = "--inbound-rules protocol:tcp,ports:22,address:192.0.2.9/32", "--inbound-rules protocol:tcp,ports:22,address:0.0.0.0/0"
	const out, less = "--outbound-rules protocol:tcp,address:0.0.0.0/0", "--outbound-rules protocol:tcp,ports:443,address:0.0.0.0/0"
	changed := func(field, change, command string) driftScene {
		return driftScene{key: doWall, field: field, change: change, command: command}
	}
	theirs := changed("tags", drift.Added, wall+"add-tags <conf-fw-node> --tag-names theirs")
	theirs.before = func(s *driftSite) error {
		_, _, err := h.c.Tags.Create(s.Context(), &godo.TagCreateRequest{Name: "theirs"})
		return err
	}
	theirs.after = func(s *driftSite) error { return s.shell(s, "doctl compute tag delete theirs --force") }
	single := changed("droplets", drift.Added, wall+"add-droplets <conf-fw-control-plane> --droplet-ids <conf-node-conf-web-1>")
	single.key = doAPIWall
	return []driftScene{
		{key: doWall, change: drift.Deleted, command: wall + "delete <conf-fw-node> --force"},
		{key: doWall, change: drift.MarkGone, command: wall + "update <conf-fw-node> --name theirs …", do: h.renameFirewall},
		theirs,
		changed("tags", drift.Removed, wall+"remove-tags <conf-fw-node> --tag-names <conf-tag-node>"),
		single,
		changed("inbound", drift.Added, wall+"add-rules <conf-fw-node> --inbound-rules protocol:tcp,ports:8080,address:0.0.0.0/0"),
		changed("inbound", drift.Removed, wall+"remove-rules <conf-fw-node> "+ssh),
		changed("inbound", drift.Changed, wall+"remove-rules <conf-fw-node> "+ssh+" && "+wall+"add-rules <conf-fw-node> "+other),
		changed("outbound", drift.Added, wall+"add-rules <conf-fw-node> "+less),
		changed("outbound", drift.Removed, wall+"remove-rules <conf-fw-node> "+out),
		changed("outbound", drift.Changed, wall+"remove-rules <conf-fw-node> "+out+" && "+wall+"add-rules <conf-fw-node> "+less),
	}
}

// renameFirewall sends a firewall as it is under another name, as doctl does with all its rules on the line.
func (h doHand) renameFirewall(s *driftSite) error {
	f, _, err := h.c.Firewalls.Get(s.Context(), s.ledger[doWall].ID)
	if err != nil {
		return err
	}
	_, _, err = h.c.Firewalls.Update(s.Context(), f.ID, &godo.FirewallRequest{
		Name: "theirs", InboundRules: f.InboundRules, OutboundRules: f.OutboundRules, DropletIDs: []int{}, Tags: f.Tags,
	})
	return err
}

func (h doHand) droplets() []driftScene {
	const droplet, action, it = "doctl compute droplet ", "doctl compute droplet-action ", " <conf-node-conf-web-1>"
	cluster := "skyweld:cluster:" + cloudtest.TestOwner.UID
	changed := func(field, change, command string) driftScene {
		return driftScene{key: doWorker, field: field, change: change, command: command}
	}
	return []driftScene{
		changed("", drift.Deleted, droplet+"delete"+it+" --force"),
		{key: doNode, change: "deleted, with an address", command: droplet + "delete <conf-node-conf-cp-1> --force"},
		changed("", drift.MarkGone, droplet+"untag"+it+" --tag-name "+cluster),
		{key: doWorker, change: "key's tag gone", command: droplet + "untag" + it + " --tag-name <its tag skyweld:key:…>", do: h.untagKey},
		changed("", "mark gone, of all", "doctl compute tag delete "+cluster+" --force"),
		changed("", drift.Stopped, action+"power-off"+it),
		changed("", "shut down", action+"shutdown"+it),
		changed("name", drift.Changed, action+"rename"+it+" --droplet-name theirs"),
		h.nobody(doWorker, "vpc", drift.Changed, reflect.TypeFor[godo.DropletActionsService](), "VPCUUID"),
		changed("size", drift.Changed, action+"power-off"+it+" && "+action+"resize"+it+" --size s-4vcpu-8gb"),
		changed("tags", drift.Added, droplet+"tag"+it+" --tag-name <conf-tag-control-plane>"),
		changed("tags", drift.Removed, droplet+"untag"+it+" --tag-name <conf-tag-node>"),
	}
}

// untagKey takes the tag off a droplet that says which one it is.
func (h doHand) untagKey(s *driftSite) error {
	x, _, err := h.c.Droplets.Get(s.Context(), doID(s.T, s.ledger[doWorker]))
	if err != nil {
		return err
	}
	for _, tag := range x.Tags {
		if strings.HasPrefix(tag, "skyweld:key:") {
			return s.shell(s, fmt.Sprintf("doctl compute droplet untag %d --tag-name %s", x.ID, tag))
		}
	}
	return fmt.Errorf("droplet %d has no such tag but %v", x.ID, x.Tags)
}

func (h doHand) reserved() []driftScene {
	const action = "doctl compute reserved-ip-action "
	marked := func(s *driftSite) error {
		ip := strings.ReplaceAll(s.ledger[doAddress].ID, ".", "-")
		return s.shell(s, "doctl compute tag delete skyweld:ip:"+cloudtest.TestOwner.UID+":"+doAddress+":"+ip+" --force")
	}
	return []driftScene{
		{key: doAddress, change: drift.Deleted, command: "doctl compute reserved-ip delete <conf-ip-conf-cp-1> --force"},
		{key: doAddress, change: drift.MarkGone, command: "doctl compute tag delete skyweld:ip:" + cloudtest.TestOwner.UID + ":" + doAddress + ":<a-b-c-d> --force", do: marked},
		{key: doAddress, field: "droplet", change: drift.Changed, command: action + "assign <conf-ip-conf-cp-1> <conf-node-conf-web-1>"},
		{key: doAddress, field: "droplet", change: drift.Removed, command: action + "unassign <conf-ip-conf-cp-1>"},
	}
}
