package azure

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud/cloudtest"
)

// sdkModules are those whose sources say which paths and versions of the API there are.
var sdkModules = []string{
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v8",
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7",
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3",
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions",
}

// route is one call that the SDK can make.
type route struct {
	client, method, verb, path, version string
	pattern                             *regexp.Regexp
}

var (
	routeStart   = regexp.MustCompile(`(?m)^func \(client \*(\w+)\) (\w+)CreateRequest\(`)
	routePath    = regexp.MustCompile(`urlPath := "([^"]+)"`)
	routeVerb    = regexp.MustCompile(`http\.Method(\w+)`)
	routeVersion = regexp.MustCompile(`"api-version", "([^"]+)"`)
	routeParam   = regexp.MustCompile(`\\\{[^}]*\\\}`)
)

// sdkRoutes reads the table of routes from the SDK's sources.
func sdkRoutes(t *testing.T) []route {
	t.Helper()
	var out []route
	for _, module := range sdkModules {
		dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			t.Skipf("the SDK's sources can't be found: %v", err)
		}
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*client.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, routesIn(string(text))...)
		}
	}
	if len(out) < 500 {
		t.Fatalf("only %d routes were found in the SDK", len(out))
	}
	return out
}

func routesIn(text string) []route {
	var out []route
	starts := routeStart.FindAllStringSubmatchIndex(text, -1)
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		body := text[at[0]:end]
		path, verb, version := routePath.FindStringSubmatch(body), routeVerb.FindStringSubmatch(body), routeVersion.FindStringSubmatch(body)
		if path == nil || verb == nil || version == nil {
			continue
		}
		pattern := routeParam.ReplaceAllString(regexp.QuoteMeta(path[1]), "[^/]+")
		out = append(out, route{
			client: text[at[2]:at[3]], method: text[at[4]:at[5]], verb: strings.ToUpper(verb[1]), path: path[1], version: version[1],
			pattern: regexp.MustCompile("(?i)^" + pattern + "$"),
		})
	}
	return out
}

// TestRoutes holds every call of a site's whole life against the SDK's routes and versions.
func TestRoutes(t *testing.T) {
	routes := sdkRoutes(t)
	a, d := newFake(t)
	seen := map[string]bool{}
	a.watch = func(r *http.Request) {
		if strings.Contains(r.URL.Path, "/get/fake/") || strings.Contains(r.URL.Path, "page_") {
			return // of the fake servers themselves
		}
		seen[r.Method+" "+r.URL.Path+" "+r.URL.Query().Get("api-version")] = true
	}
	b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, cloudtest.DefaultSite("conf", fakeRegion, fakeZones))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Inventory(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := d.Check(t.Context(), fakeRegion); err != nil {
		t.Error(err)
	}
	for _, r := range slices.Backward(b.Resources) {
		if err := d.Delete(t.Context(), cloudtest.TestOwner, b.Objects[r.Key]); err != nil {
			t.Error(err)
		}
	}
	if len(seen) < 40 {
		t.Errorf("only %d calls were seen", len(seen))
	}
	for call := range seen {
		verb, rest, _ := strings.Cut(call, " ")
		path, version, _ := strings.Cut(rest, " ")
		if !slices.ContainsFunc(routes, func(r route) bool { return r.verb == verb && r.version == version && r.pattern.MatchString(path) }) {
			t.Errorf("%s is in no table of the SDK", call)
		}
	}
}
