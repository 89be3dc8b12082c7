package conformance_test

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/internal/prism"
)

// The tests here hold the files of docs/accounts against what the drivers of all other tests have called: nothing is called
// that they don't grant, and nothing is granted that is never called. They come after the others in the order of files.

// TestAWSUsed holds the policy. That it is enough for each single call, with its conditions, the other tests show: it stands
// in front of their labs.
func TestAWSUsed(t *testing.T) {
	called := asked[cloud.AWS].called(t, "TestAWSOnTheLab", "TestAWSDrift", "TestAWSAhead", "TestAWSDenied", "TestAWSTeardown")
	grants := map[string]bool{}
	for _, s := range awsPolicy(t).Statement {
		for _, a := range s.Action {
			grants[a] = true
		}
	}
	granted(t, awsPolicyFile, sortedKeys(grants), called, map[string]string{
		"servicequotas:GetAWSDefaultServiceQuota": "the lab's account has a value of its own for each quota; a real one has none for those that were never changed",
	})
}

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// gcpAlong are permissions that methods need beside the one that is called like them, by the section "IAM Permissions" of
// each method's reference.
var gcpAlong = map[string][]string{
	"firewalls.insert":                     {"compute.networks.updatePolicy"},
	"firewalls.patch":                      {"compute.networks.updatePolicy"},
	"firewalls.delete":                     {"compute.networks.updatePolicy"},
	"subnetworks.insert":                   {"compute.networks.updatePolicy"},
	"subnetworks.delete":                   {"compute.networks.updatePolicy"},
	"subnetworks.setPrivateIpGoogleAccess": {"compute.networks.updatePolicy"},
	"instances.insert": {
		"compute.addresses.use", "compute.disks.create", "compute.disks.setLabels", "compute.instances.setLabels", "compute.instances.setMetadata",
		"compute.instances.setTags", "compute.subnetworks.use", "compute.subnetworks.useExternalIp",
	},
	"instances.addAccessConfig": {"compute.addresses.use", "compute.subnetworks.useExternalIp"},
}

// gcpVerbs are the verbs of permissions that aren't the method's.
var gcpVerbs = map[string]string{"insert": "create", "aggregatedList": "list", "patch": "update", "wait": "get"}

// gcpNeeds are the permissions that a method takes.
func gcpNeeds(method string) []string {
	resource, verb, _ := strings.Cut(method, ".")
	if v, ok := gcpVerbs[verb]; ok {
		verb = v
	}
	return append([]string{"compute." + resource + "." + verb}, gcpAlong[method]...)
}

func TestGCPUsed(t *testing.T) {
	methods, ran := gcpCounts()
	for _, test := range []string{"TestGCPOnTheLab", "TestGCPDrift", "TestGCPSuspended", "TestGCPProbes", "TestGCPTeardown"} {
		if !ran(test) {
			t.Skipf("needs the calls of %s: run all tests of the package, in order", test)
		}
	}
	called := map[string]int{}
	for m, n := range methods {
		for _, p := range gcpNeeds(m) {
			called[p] += n
		}
	}
	granted(t, gcpRoleFile, gcpRole(t), called, map[string]string{})
}

const gcpRoleFile = "../../docs/accounts/gcp-role.yaml"

func gcpRole(t *testing.T) []string {
	t.Helper()
	var role struct {
		IncludedPermissions []string `yaml:"includedPermissions"`
	}
	text, err := os.ReadFile(gcpRoleFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &role); err != nil {
		t.Fatal(err)
	}
	return role.IncludedPermissions
}

// azureJoins are the actions that it takes to refer to something in what is written.
var azureJoins = []struct {
	path   *regexp.Regexp
	action string
}{
	{regexp.MustCompile(`(?i)/virtualNetworks/[^/]+/subnets/[^/]+$`), "Microsoft.Network/virtualNetworks/subnets/join/action"},
	{regexp.MustCompile(`(?i)/networkSecurityGroups/[^/]+$`), "Microsoft.Network/networkSecurityGroups/join/action"},
	{regexp.MustCompile(`(?i)/publicIPAddresses/[^/]+$`), "Microsoft.Network/publicIPAddresses/join/action"},
	{regexp.MustCompile(`(?i)/networkInterfaces/[^/]+$`), "Microsoft.Network/networkInterfaces/join/action"},
}

// azureNeeds are the actions that a call takes: that of its path and method, as Azure forms all of them, and those of what
// it refers to or makes along.
func azureNeeds(r *http.Request, body []byte) []string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) < 2 || !strings.EqualFold(parts[0], "subscriptions") {
		return nil // a login
	}
	var names []string
	namespace := "Microsoft.Resources"
	if at := slices.IndexFunc(parts, func(p string) bool { return strings.EqualFold(p, "providers") }); at >= 0 && at+2 < len(parts) {
		namespace, parts = parts[at+1], parts[at+2:]
	}
	for i := 0; i < len(parts); i += 2 {
		names = append(names, strings.Replace(parts[i], "resourcegroups", "resourceGroups", 1))
	}
	verb := map[string]string{http.MethodPut: "write", http.MethodPatch: "write", http.MethodDelete: "delete", http.MethodPost: "action"}[r.Method]
	if verb == "" {
		verb = "read"
	}
	needs := []string{namespace + "/" + strings.Join(names, "/") + "/" + verb}
	if r.URL.Query().Get("statusOnly") != "" {
		needs = []string{"Microsoft.Compute/virtualMachines/read", "Microsoft.Compute/virtualMachines/instanceView/read"}
	}
	var in struct {
		Properties struct {
			Subnets        []any
			StorageProfile struct{ OSDisk struct{ CreateOption string } }
		}
	}
	var anything any
	if r.Method != http.MethodPut || json.Unmarshal(body, &in) != nil || json.Unmarshal(body, &anything) != nil {
		return needs
	}
	if len(in.Properties.Subnets) > 0 {
		needs = append(needs, "Microsoft.Network/virtualNetworks/subnets/write")
	}
	if in.Properties.StorageProfile.OSDisk.CreateOption == "FromImage" {
		needs = append(needs, "Microsoft.Compute/disks/write")
	}
	return append(needs, azureReferences(anything)...)
}

// azureReferences are the joins that a body asks for by naming other resources.
func azureReferences(v any) (needs []string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			needs = append(needs, azureReferences(e)...)
		}
	case map[string]any:
		for name, e := range v {
			id, ok := e.(string)
			if !ok || !strings.EqualFold(name, "id") {
				needs = append(needs, azureReferences(e)...)
				continue
			}
			for _, j := range azureJoins {
				if j.path.MatchString(id) {
					needs = append(needs, j.action)
				}
			}
		}
	}
	return needs
}

const azureRoleFile = "../../docs/accounts/azure-role.json"

func azureRole(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(azureRoleFile)
	if err != nil {
		t.Fatal(err)
	}
	var role struct{ Actions []string }
	if err := json.Unmarshal(text, &role); err != nil {
		t.Fatal(err)
	}
	return role.Actions
}

func TestAzureUsed(t *testing.T) {
	called := asked[cloud.Azure].called(t, "TestAzureOnTheLab", "TestAzureKeptDisk", "TestAzureDenied", "TestAzureTeardown")
	granted(t, azureRoleFile, azureRole(t), called, map[string]string{
		"Microsoft.Network/locations/operationResults/read": "the lab's operations name an Azure-AsyncOperation each, which goes first; Azure may name a Location alone",
	})
}

// doNeeds counts DigitalOcean's calls by method and path; its own document says later which scopes they take.
func doNeeds(r *http.Request, _ []byte) []string {
	return []string{r.Method + " /v2" + prism.Shape(r.URL.Path)}
}

const doScopesFile = "../../docs/accounts/digitalocean-scopes.txt"

func doScopes(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(doScopesFile)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// doOperations are what a call of a method and path takes, by DigitalOcean's own document.
func doOperations(t *testing.T) func(call string) []string {
	t.Helper()
	text, err := os.ReadFile(prism.Document(t))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]yaml.Node
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return func(call string) []string {
		method, path, _ := strings.Cut(call, " ")
		best := ""
		for pattern := range doc.Paths {
			if _, has := doc.Paths[pattern][strings.ToLower(method)]; has && doFits(pattern, path) && strings.Count(pattern, "{") <= strings.Count(best+"{{{{", "{") {
				best = pattern
			}
		}
		operation := doc.Paths[best][strings.ToLower(method)]
		var about struct {
			Security []map[string][]string
		}
		if err := operation.Decode(&about); err != nil || len(about.Security) != 1 {
			t.Errorf("%s: the document says %v (%v) about who may call it", call, about.Security, err)
			return nil
		}
		// "api:read" and "api:write" are what tokens had before there were scopes.
		return slices.DeleteFunc(about.Security[0]["bearer_auth"], func(s string) bool { return strings.HasPrefix(s, "api:") })
	}
}

func doFits(pattern, path string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	return len(want) == len(got) && !slices.ContainsFunc(want, func(p string) bool {
		g := got[0]
		got = got[1:]
		return p != g && (!strings.HasPrefix(p, "{") || g == "actions")
	})
}

func TestDigitalOceanUsed(t *testing.T) {
	calls := asked[cloud.DigitalOcean].called(t, "TestDigitalOceanOnTheLab", "TestDigitalOceanTeardown")
	scopes := doOperations(t)
	called := map[string]int{}
	for call, n := range calls {
		for _, s := range scopes(call) {
			called[s] += n
		}
	}
	granted(t, doScopesFile, doScopes(t), called, map[string]string{})
}
