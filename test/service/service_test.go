// Package service_test runs the engine as a service is run: it says when it is ready, answers whether it is, and stops in
// order. Where systemd is in charge of the machine it does so as the unit in deploy.
package service_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "skyweld-service-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // the unit runs it as another user
	}
	if err == nil {
		binary, err = build(dir)
	}
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// build makes the program, or takes the one that SKYWELD_BIN names.
func build(dir string) (string, error) {
	if made := os.Getenv("SKYWELD_BIN"); made != "" {
		return made, nil
	}
	to := filepath.Join(dir, "skyweld")
	c := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", to, "./cmd/skyweld")
	c.Dir = filepath.Join("..", "..")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return to, nil
}

// within does something again and again until it is well.
func within(t *testing.T, d time.Duration, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(d)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func get(url string) (int, string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

// open asks for what has no end.
func open(t *testing.T, url, token string) io.ReadCloser {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s is answered %s", url, resp.Status)
	}
	return resp.Body
}

// freePort is a port of this machine that nobody listens on, a moment ago at least.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestLife starts the engine as systemd starts a service, asks what a machine's keeper asks, and stops it while somebody
// waits for an answer.
func TestLife(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "notify")
	heard, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	said := func() string {
		buf := make([]byte, 100)
		_ = heard.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := heard.Read(buf)
		if err != nil {
			t.Fatalf("the engine says nothing to systemd: %v", err)
		}
		return string(buf[:n])
	}
	address, figures := freePort(t), freePort(t)
	c := exec.Command(binary, "serve", "--dir", filepath.Join(dir, "engine"), "--listen", address, "--metrics-listen", figures)
	c.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	log, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	lines := make(chan []string, 1)
	go func() {
		var all []string
		for s := bufio.NewScanner(log); s.Scan(); {
			all = append(all, s.Text())
		}
		lines <- all
	}()
	if got := said(); got != "READY=1" {
		t.Errorf("it says %q", got)
	}
	for _, base := range []string{"http://" + address, "http://" + figures} {
		for path, want := range map[string]string{"/healthz": "alive\n", "/metrics": "skyweld_ready 1"} {
			if status, text, err := get(base + path); err != nil || status != 200 || !strings.Contains(text, want) {
				t.Errorf("%s%s is answered %d, %v: %.200s", base, path, status, err, text)
			}
		}
		within(t, 10*time.Second, "it becomes ready", func() error {
			status, text, err := get(base + "/readyz")
			if err == nil && (status != 200 || text != "ready\n") {
				err = fmt.Errorf("%d: %s", status, text)
			}
			return err
		})
	}
	if status, _, err := get("http://" + figures + "/api/v1/clusters"); err != nil || status != 404 {
		t.Errorf("the API is answered where only metrics are: %d, %v", status, err)
	}
	token, err := os.ReadFile(filepath.Join(dir, "engine", "token"))
	if err != nil {
		t.Fatal(err)
	}
	stream := open(t, "http://"+address+"/api/v1/stream", strings.TrimSpace(string(token)))
	defer stream.Close()
	if _, err := io.ReadFull(stream, make([]byte, 1)); err != nil {
		t.Fatalf("a stream doesn't begin: %v", err)
	}
	began := time.Now()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := said(); got != "STOPPING=1" {
		t.Errorf("it says %q", got)
	}
	if _, err := io.Copy(io.Discard, stream); err != nil {
		t.Errorf("the stream was cut in the middle: %v", err)
	}
	all := <-lines
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v\n%s", err, strings.Join(all, "\n"))
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("with nothing to do it took %s to end", took)
	}
	if !slices.ContainsFunc(all, func(line string) bool { return strings.Contains(line, "stopping: what is going on comes to its end") }) {
		t.Errorf("its log doesn't say that it stops:\n%s", strings.Join(all, "\n"))
	}
}

const unitName = "skyweld-test.service"

// unit is the unit of deploy with this program, and a folder and port of the test.
func unit(t *testing.T, program, listen string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "skyweld.service"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for from, to := range map[string]string{
		"/usr/local/bin/skyweld serve --dir /var/lib/skyweld": program + " serve --dir /var/lib/skyweld-test --listen " + listen,
		"StateDirectory=skyweld":                              "StateDirectory=skyweld-test",
		"/etc/skyweld/":                                       "/etc/skyweld-test/",
	} {
		if strings.Count(text, from) != 1 {
			t.Fatalf("the unit doesn't have %q once", from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	return text
}

func run(t *testing.T, name string, arg ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, arg...).CombinedOutput()
	if err != nil {
		err = errors.Join(err, errors.New(string(out)))
	}
	return string(out), err
}

// TestUnit holds the unit against systemd's own reading of it.
func TestUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze, of the package systemd")
	}
	path := filepath.Join(t.TempDir(), unitName)
	if err := os.WriteFile(path, []byte(unit(t, binary, "127.0.0.1:0")), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, "systemd-analyze", "verify", "--man=no", path)
	if err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("systemd says: %v\n%s", err, out)
	}
}

// TestInstalled installs the unit, starts it, asks whether it is ready, stops and removes it.
func TestInstalled(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		t.Skip("needs systemd as the first process of the machine")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: it installs a unit")
	}
	program, listen := "/usr/local/bin/skyweld-test", freePort(t)
	data, err := os.ReadFile(binary)
	if err == nil {
		err = os.WriteFile(program, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("/run/systemd/system", unitName) // gone with the next boot at the latest
	t.Cleanup(func() {
		for _, err := range []error{os.Remove(path), os.Remove(program), os.RemoveAll("/var/lib/private/skyweld-test"), os.RemoveAll("/var/lib/skyweld-test")} {
			if err != nil {
				t.Errorf("what was installed: %v", err)
			}
		}
		_, _ = exec.Command("systemctl", "daemon-reload").CombinedOutput()
	})
	if err := os.WriteFile(path, []byte(unit(t, program, listen)), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = exec.Command("systemctl", "stop", unitName).CombinedOutput() })
	for _, args := range [][]string{{"daemon-reload"}, {"start", unitName}} {
		if _, err := run(t, "systemctl", args...); err != nil {
			out, _ := run(t, "journalctl", "-u", unitName, "-n", "50", "--no-pager")
			t.Fatalf("systemctl %v: %v\n%s", args, err, out)
		}
	}
	within(t, 20*time.Second, "it becomes ready", func() error {
		status, text, err := get("http://" + listen + "/readyz")
		if err == nil && status != 200 {
			err = fmt.Errorf("%d: %s", status, text)
		}
		return err
	})
	if _, err := run(t, "systemctl", "stop", unitName); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, "systemctl", "show", unitName, "--property=Result,ExecMainStatus,ActiveState")
	if err != nil || !strings.Contains(out, "Result=success") || !strings.Contains(out, "ExecMainStatus=0") || !strings.Contains(out, "ActiveState=inactive") {
		t.Errorf("it ended as %s, %v", out, err)
	}
}
