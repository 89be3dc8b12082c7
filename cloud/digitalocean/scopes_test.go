package digitalocean

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

// nouns are what the scopes for the SDK's services are called.
var nouns = map[string]string{
	"Account": "account", "Regions": "regions", "Sizes": "sizes", "Images": "image", "VPCs": "vpc", "Firewalls": "firewall", "Tags": "tag",
	"Droplets": "droplet", "DropletActions": "droplet", "ReservedIPs": "reserved_ip", "ReservedIPActions": "reserved_ip", "Storage": "block_storage",
}

// verbs are what the scopes for the SDK's methods end with, where that isn't read.
var verbs = map[string]string{
	"Create": "create", "Update": "update", "Delete": "delete", "TagResources": "create", "UntagResources": "delete", "PowerOn": "update", "Rename": "update",
	"Assign": "update", "Unassign": "update",
}

// TestScopesAreComplete holds the list for users against the calls in the source, and the probes against the list.
func TestScopesAreComplete(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	// A list is handed on as a method without being called.
	calls := regexp.MustCompile(`\bapi\.([A-Z]\w+)\.([A-Z]\w+)\b`)
	var needed []string
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range calls.FindAllStringSubmatch(string(text), -1) {
			noun, verb := nouns[m[1]], verbs[m[2]]
			if noun == "" {
				t.Errorf("%s: the service %s isn't known here", f, m[1])
			}
			if verb == "" {
				verb = "read"
			}
			needed = append(needed, noun+":"+verb)
		}
	}
	needed = cloud.SortedSet(needed)
	if len(needed) < 20 {
		t.Fatalf("only %d scopes were found in the source", len(needed))
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "accounts", "digitalocean-scopes.txt"))
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.Fields(string(text))
	if diff := cmp.Diff(needed, listed); diff != "" {
		t.Errorf("docs/accounts/digitalocean-scopes.txt (-needed +listed):\n%s", diff)
	}
	d, err := open(testAccount("https://api.invalid"), nil)
	if err != nil {
		t.Fatal(err)
	}
	probed := []string{"account:read"} // the check begins with it
	for _, p := range d.probes("word") {
		probed = append(probed, p.scope)
	}
	slices.Sort(probed)
	if diff := cmp.Diff(listed, probed); diff != "" {
		t.Errorf("probes (-listed +probed):\n%s", diff)
	}
}
