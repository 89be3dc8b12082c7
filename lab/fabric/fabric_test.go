//go:build linux

package fabric

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// namespaces lists the named namespaces of one lab.
func namespaces(t *testing.T, name string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(namespaceDir, name+"-*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestCloseLeavesNothing(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	links, mounts := hostLinks(t), hostMounts(t)
	f := testFabric(t, dir)
	set(t, f, site("aws"))
	set(t, f, site("gcp"))
	if diff := cmp.Diff(links, hostLinks(t)); diff != "" {
		t.Errorf("links on the host while the lab runs (-before +now):\n%s", diff)
	}
	want := []string{"home", "m-aws1", "m-aws2", "m-gcp1", "m-gcp2", "r-1", "r-2"}
	for i := range want {
		want[i] = f.namespacePath(want[i])
	}
	if diff := cmp.Diff(want, namespaces(t, f.config.Name)); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if left := namespaces(t, f.config.Name); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if diff := cmp.Diff(mounts, hostMounts(t)); diff != "" {
		t.Errorf("mounts (-before +after):\n%s", diff)
	}
	if err := f.SetNetwork(context.Background(), site("aws")); err == nil {
		t.Error("a closed fabric makes networks")
	}

	// And again in the same folder.
	f = testFabric(t, dir)
	set(t, f, site("aws"))
}

// hostLinks lists the links on the host with names like ours; others come and go while tests run.
func hostLinks(t *testing.T) (links []string) {
	t.Helper()
	for _, name := range entries(t, "/sys/class/net") {
		if strings.HasPrefix(name, "nic") || strings.HasPrefix(name, "inet") {
			links = append(links, name)
		}
	}
	return links
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// hostMounts lists the mounts of named namespaces of labs like ours.
func hostMounts(t *testing.T) (mounts []string) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, fmt.Sprintf("%s/t%d", namespaceDir, os.Getpid())) {
			mounts = append(mounts, line)
		}
	}
	return mounts
}

// TestMain lets the test program be the lab that is killed, and looks for goroutines left over.
func TestMain(m *testing.M) {
	if dir := os.Getenv("FABRIC_TEST_VICTIM"); dir != "" {
		beVictim(dir)
	}
	goleak.VerifyTestMain(m)
}

func beVictim(dir string) {
	f, err := New(Config{Name: "victim" + os.Getenv("FABRIC_TEST_NAME"), Dir: dir})
	if err == nil {
		err = f.SetNetwork(context.Background(), site("aws"))
	}
	fmt.Println("ready", err)
	select {}
}

func TestCleanAfterKill(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	id := fmt.Sprint(os.Getpid() % 100000)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "FABRIC_TEST_VICTIM="+dir, "FABRIC_TEST_NAME="+id)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready <nil>\n" {
		t.Errorf("the victim says %q, error %v", line, err)
	}
	if err := Clean(dir); err == nil || !strings.Contains(err.Error(), "running lab") {
		t.Errorf("Clean under a running lab: error %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if left := namespaces(t, "victim"+id); len(left) != 4 {
		t.Errorf("a killed lab left %v", left)
	}

	// One of them is somebody else's by now.
	foreign := filepath.Join(namespaceDir, "victim"+id+"-r-1")
	if err := dropNamespace(foreign); err != nil {
		t.Fatal(err)
	}
	ns, err := makeNamespace(foreign)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := ns.remove(); err != nil {
			t.Error(err)
		}
	}()
	if err := Clean(dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{foreign}, namespaces(t, "victim"+id)); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"fabric.lock"}, entries(t, dir)); diff != "" {
		t.Errorf("the lab's folder (-want +got):\n%s", diff)
	}
	if err := Clean(dir); err != nil {
		t.Errorf("Clean of nothing: %v", err)
	}
}

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "wires")
	if err := Clean(dir); err != nil {
		t.Errorf("Clean without a folder: %v", err)
	}
	needRoot(t)
	testFabric(t, dir)
}

func TestTwoLabs(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	if _, err := New(Config{Name: f.config.Name, Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "same name") {
		t.Errorf("a second lab of the same name: error %v", err)
	}
	if _, err := New(Config{Name: "other", Dir: f.config.Dir}); err == nil || !strings.Contains(err.Error(), "running lab") {
		t.Errorf("a second lab in the same folder: error %v", err)
	}
	other, err := New(Config{Name: fmt.Sprintf("u%d", os.Getpid()), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	set(t, f, site("aws"))
	if err := other.SetNetwork(context.Background(), site("aws")); err != nil {
		t.Error(err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	serve(t, f, "aws1", 7000)
	wantAnswer(t, f, "aws2", "tcp4", "10.64.0.11:7000", "10.64.0.12")
}

// The same state again needs no program and no kernel; what fails half-way is finished by the next call.
func TestSetAgain(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	aws := site("aws")
	set(t, f, aws)
	path := os.Getenv("PATH")
	t.Setenv("PATH", "")
	set(t, f, aws)
	aws.NICs[0].Outbound = nil
	if err := f.SetNetwork(context.Background(), aws); err == nil || !strings.Contains(err.Error(), "aws-net: load rules: nft") {
		t.Errorf("error %v", err)
	}
	t.Setenv("PATH", path)
	set(t, f, aws)

	gcp := site("gcp")
	gcp.NICs[1].Public = aws.NICs[0].Public
	if err := f.SetNetwork(context.Background(), gcp); err == nil || !strings.Contains(err.Error(), "198.18.1.11 is in use in network aws-net") {
		t.Errorf("a public address of two networks: error %v", err)
	}
	aws.NICs = aws.NICs[1:]
	set(t, f, aws)
	set(t, f, gcp)
	serve(t, f, "gcp2", 7000)
	wantAnswer(t, f, "aws2", "tcp4", "198.18.1.11:7000", "198.18.1.12")
	for range 2 {
		if err := f.RemoveNetwork(context.Background(), gcp.ID); err != nil {
			t.Fatal(err)
		}
	}
	wantSilence(t, f, "aws2", "tcp4", "198.18.1.11:7000")
	set(t, f, gcp)
	serve(t, f, "gcp2", 7000)
	wantAnswer(t, f, "aws2", "tcp4", "198.18.1.11:7000", "198.18.1.12")
}

func TestMachineNamespaceNames(t *testing.T) {
	f := &Fabric{config: Config{Name: "lab"}}
	if got := f.MachineNamespace("i-0123abc"); got != "/run/netns/lab-m-i-0123abc" {
		t.Errorf("got %s", got)
	}
	a, b := f.MachineNamespace("projects/p/zones/z/instances/vm"), f.MachineNamespace("projects-p/zones/z/instances/vm")
	if a == b || strings.Contains(strings.TrimPrefix(a, namespaceDir+"/"), "/") {
		t.Errorf("got %s and %s", a, b)
	}
	if long := filepath.Base(f.MachineNamespace(strings.Repeat("x", 300))); len(long) > 128 {
		t.Errorf("%d letters", len(long))
	}
}

func TestBadName(t *testing.T) {
	for _, name := range []string{"", "Lab", "a-b", "abcdefghijklm"} {
		if f, err := New(Config{Name: name, Dir: t.TempDir()}); err == nil {
			t.Errorf("%q is accepted", name)
			_ = f.Close()
		}
	}
}

// A thread that was in a machine's namespace must be back before anybody else runs on it.
func TestThreadsComeBack(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	set(t, f, site("aws"))
	host, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for range 8 {
		go func() {
			for range 50 {
				if err := f.home.ns.do(func() error { return nil }); err != nil {
					done <- err
					return
				}
				if now, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || now != host {
					done <- fmt.Errorf("in %s, error %w", now, err)
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	tasks := entries(t, "/proc/self/task")
	for _, task := range tasks {
		now, err := os.Readlink("/proc/self/task/" + task + "/ns/net")
		if err == nil && now != host {
			t.Errorf("thread %s is in %s", task, now)
		} else if err != nil && !errors.Is(err, unix.ENOENT) {
			t.Error(err)
		}
	}
}

func TestDistance(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	set(t, f, site("aws"))
	set(t, f, site("gcp"))
	serve(t, f, "gcp1", 7000)
	serve(t, f, "aws2", 7000)
	measure := func(from, to string) (best time.Duration) {
		within(t, f, from, func() error {
			c, err := (&net.Dialer{}).Dial("udp4", to)
			if err != nil {
				return err
			}
			defer c.Close()
			best = time.Hour
			b := make([]byte, 64)
			for range 40 {
				start := time.Now()
				if err := c.SetDeadline(start.Add(time.Second)); err != nil {
					return err
				}
				if _, err := c.Write(b[:1]); err != nil {
					return err
				}
				if _, err := c.Read(b); err != nil {
					return err
				}
				best = min(best, time.Since(start))
			}
			return nil
		})
		return best
	}
	between := measure("aws1", "198.18.2.11:7000")
	inside := measure("aws1", "10.64.0.12:7000")
	looped := measure("aws1", "198.18.1.12:7000")
	t.Logf("between the regions %v, inside one %v, by its public address %v", between, inside, looped)
	if between < rtt*9/10 || between > rtt*11/10 {
		t.Errorf("%v between the regions, want %v within 10%%", between, rtt)
	}
	if inside > time.Millisecond || looped > 2*time.Millisecond {
		t.Errorf("%v and %v inside a region", inside, looped)
	}
}

// TestCutOff holds that a network that is cut off is heard by nobody else and hears nobody, in what was open before too,
// while its own machines see each other; and that all is as before when it is back.
func TestCutOff(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	n := site("aws")
	set(t, f, n)
	set(t, f, site("gcp"))
	for _, machine := range []string{"aws1", "gcp1"} {
		serve(t, f, machine, 7000)
	}
	within(t, f, "gcp2", func() error {
		c, err := net.Dial("udp4", "198.18.1.11:7000")
		if err != nil {
			return err
		}
		defer c.Close()
		says := func(wait time.Duration) bool {
			_, _ = c.Write([]byte("?"))
			_ = c.SetReadDeadline(time.Now().Add(wait))
			_, err := c.Read(make([]byte, 64))
			return err == nil
		}
		if !says(patient) {
			t.Error("no answer before")
		}
		n.Cut = true
		set(t, f, n)
		if says(impatient) {
			t.Error("what was open is still answered")
		}
		return nil
	})
	for from, to := range map[string]string{"gcp2": "198.18.1.11:7000", "aws2": "198.18.2.11:7000"} {
		wantSilence(t, f, from, "tcp4", to)
	}
	wantAnswer(t, f, "aws2", "tcp4", "10.64.0.11:7000", "10.64.0.12")
	n.Cut = false
	set(t, f, n)
	wantAnswer(t, f, "gcp2", "tcp4", "198.18.1.11:7000", "198.18.2.12")
	wantAnswer(t, f, "aws2", "tcp4", "198.18.2.11:7000", "198.18.1.12")
}
