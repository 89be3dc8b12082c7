package console_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// browser is a Chromium of the test's own, by way of browser/driver.mjs.
type browser struct {
	t    *testing.T
	mu   sync.Mutex
	in   io.WriteCloser
	out  *bufio.Reader
	tabs int
	// shots is the folder of the test's pictures.
	shots string
}

// newBrowser starts one, or skips the test where it can't be.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	var chromium string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			chromium = path
			break
		}
	}
	if chromium == "" {
		t.Skip("needs chromium: apt-get install chromium")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs node: version 20 or newer, https://nodejs.org")
	}
	b := &browser{t: t, shots: t.ArtifactDir()}
	cmd := exec.Command(node, "--no-warnings", filepath.Join("browser", "driver.mjs"))
	cmd.Env = append(os.Environ(), "BROWSER_PACKAGES="+packages(t), "BROWSER_CHROMIUM="+chromium)
	cmd.Stderr = os.Stderr
	if b.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	b.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.in.Close() // it closes Chromium and ends
		_ = cmd.Wait()
	})
	return b
}

// packages is the folder with the packages of browser/package.json, which scripts/strangers.sh filled.
func packages(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("browser", "package.json"))
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
		t.Skipf("needs the packages of test/console/browser/package.json in %s: run 'scripts/strangers.sh browser'", dir)
	}
	return dir
}

// tab is one tab, with cookies and a cache of its own.
type tab struct {
	b  *browser
	t  *testing.T
	id string
}

// tabOptions say what a tab is like.
type tabOptions struct {
	Base      string  `json:"base"`
	Cookie    *cookie `json:"cookie,omitempty"`
	NoScripts bool    `json:"-"`
	Width     int     `json:"width,omitempty"`
	Height    int     `json:"height,omitempty"`
	Scheme    string  `json:"scheme,omitempty"`
}

type cookie struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func cookieOf(c *http.Cookie) *cookie {
	if c == nil {
		return nil
	}
	return &cookie{c.Name, c.Value}
}

// open opens a tab.
func (b *browser) open(t *testing.T, o tabOptions) *tab {
	t.Helper()
	b.mu.Lock()
	b.tabs++
	p := &tab{b, t, strconv.Itoa(b.tabs)}
	b.mu.Unlock()
	p.do("open", struct {
		tabOptions
		Scripts bool `json:"scripts"`
	}{o, !o.NoScripts}, nil)
	return p
}

// try lets the driver do something in the tab; out takes what it says.
func (p *tab) try(op string, args, out any) (problem string) {
	p.t.Helper()
	line := map[string]any{}
	if args != nil {
		data, err := json.Marshal(args)
		if err != nil {
			p.t.Fatal(err)
		}
		if err := json.Unmarshal(data, &line); err != nil {
			p.t.Fatal(err)
		}
	}
	line["op"], line["tab"] = op, p.id
	data, err := json.Marshal(line)
	if err != nil {
		p.t.Fatal(err)
	}
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	if _, err := p.b.in.Write(append(data, '\n')); err != nil {
		p.t.Fatalf("the browser's driver has ended: %v", err)
	}
	answer, err := p.b.out.ReadBytes('\n')
	if err != nil {
		p.t.Fatalf("the browser's driver has ended at %s: %v", data, err)
	}
	var a struct {
		Value json.RawMessage
		Error string
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		p.t.Fatalf("%s: %v", answer, err)
	}
	if a.Error == "" && out != nil {
		if err := json.Unmarshal(a.Value, out); err != nil {
			p.t.Fatalf("%s: %s: %v", op, a.Value, err)
		}
	}
	return a.Error
}

// do is try for what has to work.
func (p *tab) do(op string, args, out any) {
	p.t.Helper()
	if problem := p.try(op, args, out); problem != "" {
		p.t.Fatalf("%s %v: %s", op, args, problem)
	}
}

func (p *tab) close() { p.try("close", nil, nil) }

// loaded is what came for a page.
type loaded struct {
	Status int
	Bytes  float64
}

// load opens an address.
func (p *tab) load(path string) loaded {
	p.t.Helper()
	var l loaded
	p.do("go", map[string]string{"path": path}, &l)
	return l
}

// shot keeps a picture of the whole page.
func (p *tab) shot(name string) {
	p.t.Helper()
	p.do("shot", map[string]string{"file": filepath.Join(p.b.shots, name+".png")}, nil)
}

// fine wants nothing to have gone wrong in the tab since it was asked last.
func (p *tab) fine(where string) {
	p.t.Helper()
	var list []string
	p.do("trouble", nil, &list)
	for _, l := range list {
		p.t.Errorf("%s: %s", where, l)
	}
}
