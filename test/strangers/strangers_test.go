// Package strangers_test lets programs that others wrote judge the lab: the clouds' own command lines, and their clients
// for Python and JavaScript. They run against the lab's services in this process, and every answer is held against the
// cloud's own description of its API. docs/referees.md tells what each of them judges.
//
// It is not for clusters (test/life), nor for our drivers (internal/conformance).
package strangers_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program returns the path of a program, or skips the test, saying how to get it.
func program(t *testing.T, name, how string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("needs %s: %s", name, how)
	}
	return path
}

// nodeModules returns the folder with the packages of package.json, which scripts/strangers.sh filled, or skips the test.
// It has node_modules; a script loads them by createRequire(folder + "/").
func nodeModules(t *testing.T) string {
	t.Helper()
	program(t, "node", "version 20 or newer, https://nodejs.org")
	data, err := os.ReadFile("package.json")
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(data)
	cache, err := os.UserCacheDir() // as the script: XDG_CACHE_HOME, or .cache at home
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "skyweld", "strangers", hex.EncodeToString(digest[:])[:16])
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("needs the packages of test/strangers/package.json in %s: run scripts/strangers.sh", dir)
	}
	return dir
}
