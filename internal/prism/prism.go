// Package prism runs Stoplight's prism, a program that holds calls of an API against its OpenAPI document, with
// DigitalOcean's own document; and reads what it says. It is for tests, in folders two below the module's.
package prism

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Start starts prism on a free port until the test's end and returns its URL: as a "mock" that answers by itself, or as a
// "proxy" in front of a server, whose URL follows. It skips the test where prism or the document isn't there.
func Start(t testing.TB, mode string, server ...string) string {
	t.Helper()
	name, document := program(t), Document(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	_, port, err := net.SplitHostPort(at)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	var output bytes.Buffer
	cmd := exec.Command(name, append([]string{mode, "--errors", "--host", "127.0.0.1", "--port", port, document}, server...)...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("end prism: %v", err)
		}
		<-ended
	})
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		c, err := net.Dial("tcp", at)
		if err == nil {
			c.Close()
			return "http://" + at
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("prism ended: %v\n%s", err, output.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("prism didn't begin to listen in three minutes")
		}
	}
}

// program is on the path, or among the packages that scripts/strangers.sh installs.
func program(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("prism"); err == nil {
		return path
	}
	data, err := os.ReadFile(filepath.Join("..", "..", "test", "strangers", "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("needs prism: %v", err)
	}
	digest := sha256.Sum256(data)
	path := filepath.Join(cache, "skyweld", "strangers", hex.EncodeToString(digest[:])[:16], "node_modules", ".bin", "prism")
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs prism (npm install -g @stoplight/prism-cli, or scripts/strangers.sh)")
	}
	return path
}

// Document is a file with DigitalOcean's description of its API; the test is skipped where there is none.
func Document(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SKYWELD_GOLDENS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "goldens")
	}
	packed, err := os.Open(filepath.Join(dir, "digitalocean", "openapi.yaml.gz"))
	if err != nil {
		t.Skip("needs DigitalOcean's OpenAPI document: set SKYWELD_GOLDENS to a folder that has digitalocean/openapi.yaml.gz (from github.com/digitalocean/openapi)")
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "openapi.yaml")
	if err := os.WriteFile(path, complete(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var lastRegion = regexp.MustCompile(`(?m)^( *)- syd1\n`)

// complete adds to the document's list of regions one that the API has had for a while.
func complete(document []byte) []byte {
	return lastRegion.ReplaceAll(document, []byte("$1- syd1\n$1- atl1\n"))
}

// finding is one thing that prism has against a request or an answer.
type finding struct {
	Location []any
	Message  string
}

// problem is what prism puts in the place of an answer.
type problem struct {
	Type, Title, Detail string
	Validation          []finding
}

func readProblem(answer []byte) (problem, bool) {
	var p problem
	err := json.Unmarshal(answer, &p)
	return p, err == nil && strings.Contains(p.Type, "prism/errors")
}

// Problem is what a prism in between has against an answer, in whose place it puts that; empty when it has let it pass.
func Problem(answer []byte) string {
	p, is := readProblem(answer)
	if !is {
		return ""
	}
	if len(p.Validation) == 0 {
		return p.Title + ": " + p.Detail
	}
	return p.Title + ": " + text(p.Validation)
}

// refusals are the problems that are about a request, and not about what prism itself would have answered.
var refusals = []string{"NO_PATH_MATCHED", "NO_METHOD_MATCHED", "INVALID_CONTENT_TYPE", "UNAUTHORIZED", "UNPROCESSABLE_ENTITY"}

// Violation is what a prism that answers by itself has against a request: in a header, the value of which is violations, as
// what it answers then is DigitalOcean's own form of an error; or in a problem where the request fits no method. What it has
// against its own examples is not about the request.
func Violation(violations string, answer []byte) string {
	var found, against []finding
	if violations != "" {
		if err := json.Unmarshal([]byte(violations), &found); err != nil {
			return "prism's violations can't be read: " + violations
		}
	}
	for _, v := range found {
		if len(v.Location) > 0 && v.Location[0] == "request" {
			against = append(against, v)
		}
	}
	out := text(against)
	if p, is := readProblem(answer); is {
		for _, kind := range refusals {
			if strings.Contains(p.Type, kind) {
				out = strings.TrimPrefix(out+"; "+p.Title, "; ")
			}
		}
	}
	return out
}

// ViolationsHeader is the header with what prism has against a request.
const ViolationsHeader = "sl-violations"

func text(findings []finding) string {
	var out []string
	for _, f := range findings {
		out = append(out, fmt.Sprintf("%v: %s", f.Location, f.Message))
	}
	return strings.Join(out, "; ")
}

// Shape is a path without what is different for each thing: DigitalOcean's words are short and have no digits.
func Shape(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/v2/"), "/")
	for i, part := range parts {
		if strings.ContainsAny(part, "0123456789:") {
			parts[i] = "{id}"
		}
	}
	return "/" + strings.Join(parts, "/")
}
