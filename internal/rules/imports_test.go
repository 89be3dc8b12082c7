// Package rules holds what no single package can hold about itself: which package may import which. It has no code of its
// own, only tests.
package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/skyweld/skyweld"

// everything lets a package import all others: the command that joins them, and tests of several of them together.
const everything = "*"

// mayImport is the map of the module, in the order to read it. A row stands for its package and what is below it, as far
// as no longer row does; packages of one row may import each other. Tests are free, but for the rows of notEvenInTests.
var mayImport = []struct {
	row  string
	rows string // separated by spaces
}{
	{"spec", ""},
	{"geo", ""},
	{"sizes", ""},
	{"cloud", "sizes"},
	{"cloud/aws", "cloud sizes spec"},
	{"cloud/gcp", "cloud sizes"},
	{"cloud/azure", "cloud sizes"},
	{"cloud/digitalocean", "cloud sizes"},
	{"cloud/cloudtest", "cloud"},
	{"price", "cloud"},
	{"plan", "cloud"},
	{"mesh", ""},
	{"node", "mesh"},
	{"remote", ""},
	{"kube", ""},
	{"secret", ""},
	{"store", "cloud internal/memo secret spec"},
	{"engine", "cloud geo internal/memo kube mesh node plan price remote sizes spec store"},
	{"engine/enginetest", "kube node remote"},
	{"agent", "mesh node"},
	{"auth", "store"},
	{"api", "auth cloud engine geo plan price spec store"},
	{"docs/accounts", ""},
	{"web", "api auth cloud docs/accounts geo plan price sizes spec"},
	{"web/webtest", everything},
	{"metrics", "cloud engine store"},
	{"lab", "geo lab/world lab/fault lab/fabric lab/machine lab/ec2 lab/gce lab/arm lab/digitalocean"},
	{"lab/world", ""},
	{"lab/internal", "lab/world"},
	{"lab/fault", ""},
	{"lab/fabric", "lab/world"},
	{"lab/machine", "lab/world"},
	{"lab/ec2", "lab/world lab/internal lab/fault"},
	{"lab/gce", "lab/world lab/internal lab/fault"},
	{"lab/arm", "lab/world lab/internal lab/fault"},
	{"lab/digitalocean", "lab/world lab/internal lab/fault"},
	{"cmd/skyweld", everything},
	{"internal/armsdk", "internal/wiretap"},
	{"internal/botocore", "internal/wiretap"},
	{"internal/canary", "secret store"},
	{"internal/conformance", everything},
	{"internal/discovery", "internal/wiretap"},
	{"internal/drift", "cloud"},
	{"internal/facts", ""},
	{"internal/fleet", everything},
	{"internal/labtest", ""},
	{"internal/memo", ""},
	{"internal/prism", ""},
	{"internal/rules", ""},
	{"internal/teardown", ""},
	{"internal/wiretap", ""},
	{"test", everything},
}

// notEvenInTests are imports that tests may not make either: a driver and the lab meet over HTTP only, in tests that
// belong to neither, so that each can be checked against somebody else's counterpart.
var notEvenInTests = []struct{ row, not string }{
	{"cloud/aws", "lab cloud/gcp"},
	{"cloud/gcp", "lab cloud/aws"},
	{"cloud/azure", "lab cloud/aws cloud/gcp cloud/digitalocean"},
	{"cloud/digitalocean", "lab cloud/aws cloud/gcp"},
	{"cloud/cloudtest", "lab cloud/aws cloud/gcp"},
	{"lab", "cloud engine"},
}

// Paths of imports, each with what is below it.
const (
	awsSDK     = "github.com/aws"
	googleSDK  = "google.golang.org/api"
	azureSDK   = "github.com/Azure github.com/AzureAD"
	oceanSDK   = "github.com/digitalocean"
	kubernetes = "k8s.io"
)

// world is what a pure package does without: the network, files, processes, logs, chance. Values of time and the forms of
// addresses are no part of it; asking a clock is, but imports don't show that.
const world = "net os syscall io/fs io/ioutil log database/sql math/rand crypto/rand embed"

// forbidden says what else packages must not import.
var forbidden = []struct {
	name   string
	rows   string // which packages: rows of mayImport, or everything
	except string // rows that may all the same
	not    string // import paths, each with what is below it
	but    string // import paths that are fine all the same
	deep   bool   // also through others
}{
	{name: "pure packages", rows: "spec plan mesh node", not: world, but: "net/netip"},
	{name: "geo, sizes and price are pure, their tables are compiled in", rows: "geo sizes price", not: world, but: "embed net/netip"},
	{name: "no templates: the linker then keeps every exported method of every SDK", rows: everything, not: "text/template html/template"},
	{name: "a cloud's SDK is for its driver", rows: everything, except: "cloud/aws cloud/gcp cloud/azure lab/gce internal/conformance test", not: awsSDK + " " + googleSDK + " " + azureSDK},
	{name: "Amazon's SDK is Amazon's driver's", rows: "cloud/gcp lab/gce", not: awsSDK},
	{name: "Google's SDK is Google's driver's", rows: "cloud/aws", not: googleSDK},
	{name: "DigitalOcean's SDK is DigitalOcean's driver's", rows: everything, except: "cloud/digitalocean internal/conformance test", not: oceanSDK},
	{name: "Microsoft's SDK is Microsoft's driver's", rows: "cloud/aws cloud/gcp cloud/digitalocean", not: azureSDK},
	{name: "the engine knows clouds by cloud.Driver only", rows: "engine api", not: awsSDK + " " + googleSDK + " " + azureSDK, deep: true},
	{name: "Kubernetes' client is kube's", rows: everything, except: "kube internal/conformance test", not: kubernetes},
	{name: "the node side is small", rows: "agent", not: awsSDK + " " + googleSDK + " " + kubernetes + " database/sql modernc.org", deep: true},
	{name: "the node side runs tools in one place", rows: "agent", except: "agent/host", not: "os/exec"},
	{name: "signing in elsewhere is auth's", rows: everything, except: "auth", not: "github.com/coreos/go-oidc"},
	{name: "a server of OpenID Connect is for tests", rows: everything, not: "github.com/zitadel github.com/go-chi", deep: true},
	{name: "databases are the store's", rows: everything, except: "store", not: "database/sql modernc.org github.com/jackc github.com/pressly"},
}

// pkg is what the go command says of one package.
type pkg struct {
	ImportPath, Name                         string
	Imports, TestImports, XTestImports, Deps []string
}

func (p pkg) path() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

// generator says whether a package is a program that makes tables at development time: it is part of no other program.
func (p pkg) generator() bool { return p.Name == "main" && p.path() != "cmd/skyweld" }

// packages lists the module, as it is built on Linux. It asks the go command once.
var packages = sync.OnceValues(func() ([]pkg, error) {
	if err := openSources("../.."); err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "list", "-tags", "grpcnotrace", "-json=ImportPath,Name,Imports,TestImports,XTestImports,Deps", module+"/...")
	cmd.Env = append(cmd.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = errors.Join(err, errors.New(string(exit.Stderr)))
		}
		return nil, err
	}
	var list []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			return nil, err
		}
		if !p.generator() {
			list = append(list, p)
		}
	}
})

// openSources opens every Go file of the module. The go command remembers a test's success until a file that the test
// opened changes; what another go command read for it doesn't count.
func openSources(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "bundle" && filepath.Dir(path) == root || d.Name() == ".git"):
			return fs.SkipDir
		case filepath.Ext(path) != ".go":
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return f.Close()
	})
}

func modulePackages(t *testing.T) []pkg {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command on the path")
	}
	list, err := packages()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	if len(list) == 0 {
		t.Fatal("go list found no package")
	}
	return list
}

// under says whether a path is one of some roots, or below one.
func under(path, roots string) bool {
	return slices.ContainsFunc(strings.Fields(roots), func(root string) bool {
		return root == everything || path == root || strings.HasPrefix(path, root+"/")
	})
}

// rowOf is the longest row that a path is in, -1 for none.
func rowOf(path string) int {
	best := -1
	for i, r := range mayImport {
		if under(path, r.row) && (best < 0 || len(r.row) > len(mayImport[best].row)) {
			best = i
		}
	}
	return best
}

// ours are those of some imports that are of this module, without its path.
func ours(imports []string) []string {
	var out []string
	for _, i := range imports {
		if path, ok := strings.CutPrefix(i, module+"/"); ok {
			out = append(out, path)
		}
	}
	return out
}

func TestMap(t *testing.T) {
	for _, p := range modulePackages(t) {
		own := rowOf(p.path())
		if own < 0 {
			t.Errorf("%s is not on the map: give it a row in mayImport, and a line in docs/architecture.md", p.path())
			continue
		}
		row := mayImport[own]
		allowed := strings.Fields(row.rows)
		for _, path := range ours(p.Imports) {
			to := rowOf(path)
			if to != own && row.rows != everything && (to < 0 || !slices.Contains(allowed, mayImport[to].row)) {
				t.Errorf("%s imports %s: %s may import only [%s]", p.path(), path, row.row, row.rows)
			}
		}
	}
}

func TestDriversAndLabMeetOverHTTPOnly(t *testing.T) {
	for _, p := range modulePackages(t) {
		for _, rule := range notEvenInTests {
			if !under(p.path(), rule.row) {
				continue
			}
			for _, path := range ours(slices.Concat(p.Imports, p.TestImports, p.XTestImports)) {
				if under(path, rule.not) {
					t.Errorf("%s imports %s, in its tests at least: not even tests may", p.path(), path)
				}
			}
		}
	}
}

func TestForbidden(t *testing.T) {
	all := modulePackages(t)
	for _, rule := range forbidden {
		t.Run(rule.name, func(t *testing.T) {
			seen := false
			for _, p := range all {
				if !under(p.path(), rule.rows) || under(p.path(), rule.except) {
					continue
				}
				seen = true
				imports := p.Imports
				if rule.deep {
					imports = p.Deps
				}
				for _, path := range imports {
					if under(path, rule.not) && !under(path, rule.but) {
						t.Errorf("%s imports %s", p.path(), path)
					}
				}
			}
			if !seen {
				t.Errorf("no package is in [%s]: the rule is about nothing", rule.rows)
			}
		})
	}
}

// TestRows holds that the tables speak of rows that exist, so that a slip of the pen doesn't switch a rule off.
func TestRows(t *testing.T) {
	all := modulePackages(t)
	exists := func(row string) bool {
		return row == everything || slices.ContainsFunc(all, func(p pkg) bool { return under(p.path(), row) })
	}
	known := map[string]bool{everything: true, "agent/host": true}
	for _, r := range mayImport {
		if known[r.row] {
			t.Errorf("the row %s is there twice", r.row)
		}
		known[r.row] = true
		if !exists(r.row) && r.row != "test" { // tests of whole clusters needn't hold a package on every system
			t.Errorf("the row %s stands for no package", r.row)
		}
	}
	for _, r := range mayImport {
		for _, name := range strings.Fields(r.rows) {
			if !known[name] {
				t.Errorf("row %s: %s is no row", r.row, name)
			}
		}
	}
	for _, r := range forbidden {
		for _, name := range strings.Fields(r.rows + " " + r.except) {
			if !known[name] {
				t.Errorf("%s: %s is no row", r.name, name)
			}
		}
	}
}
