package gcp

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/skyweld/skyweld/cloud"
)

// permissionOf is what a method of the SDK needs, by its service and name.
func permissionOf(service, method string) string {
	resource := string(unicode.ToLower(rune(service[0]))) + service[1:]
	verb := map[string]string{"Insert": "create", "AggregatedList": "list", "Patch": "update", "Wait": "get"}[method]
	if verb == "" {
		verb = string(unicode.ToLower(rune(method[0]))) + method[1:]
	}
	return "compute." + resource + "." + verb
}

// along are permissions that Google asks for beside that of the method, as the reference of each method lists them.
var along = []string{
	"compute.networks.updatePolicy", "compute.subnetworks.use", "compute.subnetworks.useExternalIp", "compute.addresses.use",
	"compute.disks.create", "compute.disks.setLabels", "compute.instances.setLabels",
	"compute.instances.setDeletionProtection", "compute.instances.setMetadata", "compute.instances.setTags", "compute.instances.setScheduling",
}

// TestPermissionsAreComplete holds the list of permissions against the calls in the source, and the role for users
// against the list.
func TestPermissionsAreComplete(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	calls := regexp.MustCompile(`\bapi\.([A-Z]\w+)\.([A-Z]\w+)\(`)
	needed := map[string]string{}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range calls.FindAllStringSubmatch(string(text), -1) {
			needed[permissionOf(m[1], m[2])] = f
		}
	}
	if len(needed) < 30 {
		t.Fatalf("only %d methods were found in the source", len(needed))
	}
	for p, f := range needed {
		if _, ok := permissions[p]; !ok {
			t.Errorf("%s: a call needs %s, which isn't in the list", f, p)
		}
	}
	role := roleOf(t)
	for p, makes := range permissions {
		if needed[p] == "" && !slices.Contains(along, p) {
			t.Errorf("%s is in the list, and no call needs it", p)
		}
		if !slices.Contains(role, p) {
			t.Errorf("docs/accounts/gcp-role.yaml lacks %s", p)
		}
		for _, k := range makes {
			if !slices.ContainsFunc((*Driver)(nil).Kinds(), func(i cloud.KindInfo) bool { return i.Kind == k }) {
				t.Errorf("%s is for the creation of %s, which is no kind", p, k)
			}
		}
	}
	for _, p := range role {
		if _, ok := permissions[p]; !ok {
			t.Errorf("docs/accounts/gcp-role.yaml has %s, which nothing needs", p)
		}
	}
	if len(permissions) > 100 {
		t.Errorf("%d permissions: Cloud Resource Manager takes 100 at once", len(permissions))
	}
}

func roleOf(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/accounts/gcp-role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "- "); ok {
			out = append(out, p)
		}
	}
	return out
}
