//go:build linux

package cgroup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const (
	known  = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\ncpuacct\t1\t1\t1\nmemory\t2\t9\t1\npids\t3\t1\t1\n"
	legacy = `25 1 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/systemd rw,relatime shared:9 - cgroup cgroup rw,xattr,name=systemd
27 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:10 - cgroup cgroup rw,cpu,cpuacct
28 25 0:25 /docker/4f /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
29 1 0:25 / /other\040place rw,relatime - cgroup cgroup rw,memory
30 25 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
31 1 8:1 / / rw - ext4 /dev/sda1 rw
`
)

func TestDetectVersionOne(t *testing.T) {
	host, err := choose(parseMounts(legacy, controllerNames(known)), func(string) string { return "hugetlb" })
	if err != nil {
		t.Fatal(err)
	}
	want := Host{
		{Mount: "/sys/fs/cgroup/systemd", Root: "/", Controllers: []string{"name=systemd"}},
		{Mount: "/sys/fs/cgroup/cpu,cpuacct", Root: "/", Controllers: []string{"cpu", "cpuacct"}},
		{Mount: "/sys/fs/cgroup/memory", Root: "/docker/4f", Controllers: []string{"memory"}},
	}
	if d := cmp.Diff(want, host); d != "" {
		t.Fatalf("(-want +got)\n%s", d)
	}
	own, err := host.own("3:memory:/docker/4f/inner\n2:cpu,cpuacct:/\n1:name=systemd:/user.slice\n0::/user.slice/x\n")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"/sys/fs/cgroup/systemd/user.slice", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory/inner"}, own); d != "" {
		t.Errorf("own groups (-want +got)\n%s", d)
	}
	if d := cmp.Diff([]string{"/sys/fs/cgroup/systemd/a/b", "/sys/fs/cgroup/cpu,cpuacct/a/b", "/sys/fs/cgroup/memory/a/b"}, host.Paths("a/b")); d != "" {
		t.Errorf("paths (-want +got)\n%s", d)
	}
	if host.Unified() {
		t.Error("is taken for version 2")
	}
}

func TestDetectVersionTwo(t *testing.T) {
	for name, table := range map[string]string{"hybrid": legacy, "alone": "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"} {
		host, err := choose(parseMounts(table, controllerNames(known)), func(string) string { return "cpu memory pids" })
		if err != nil || !host.Unified() {
			t.Fatalf("%s: %v, %v", name, host, err)
		}
		own, err := host.own("1:name=systemd:/x\n0::/user.slice/s\n")
		if err != nil || own[0] != filepath.Join(host[0].Mount, "user.slice/s") {
			t.Errorf("%s: own group %v, %v", name, own, err)
		}
	}
}

func TestDetectRefusesHostsWithoutMemory(t *testing.T) {
	if _, err := choose(parseMounts("31 1 8:1 / / rw - ext4 /dev/sda1 rw\n", nil), func(string) string { return "" }); err == nil {
		t.Error("no error")
	}
}

// hosts are the kinds that can be tried here: what the host itself uses, and a version 2 hierarchy even when it has no
// controllers.
func hosts(t *testing.T) map[string]Host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes control groups")
	}
	host, err := Detect()
	if err != nil {
		t.Skipf("needs control groups: %v", err)
	}
	all := map[string]Host{"detected": host}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range parseMounts(string(table), nil) {
		if h.Unified {
			all["version 2"] = Host{h}
		}
	}
	return all
}

func TestGroupsComeAndGo(t *testing.T) {
	for name, host := range hosts(t) {
		t.Run(name, func(t *testing.T) {
			parent := fmt.Sprintf("skyweld-test-%d", os.Getpid())
			group := parent + "/m1"
			missing, err := host.Undelegated()
			if err != nil {
				t.Fatal(err)
			}
			limits := Limits{CPUs: 2, MemoryMiB: 64}
			if name == "version 2" {
				limits = Limits{}
			}
			for range 2 { // Making it twice is making it once.
				if err := host.Create(group, limits); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			paths := host.Paths(group)
			sleep := exec.Command("sleep", "1000")
			if err := sleep.Start(); err != nil {
				t.Fatal(err)
			}
			defer sleep.Process.Kill()
			for _, path := range paths {
				if err := os.Mkdir(filepath.Join(path, "inner"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := write(filepath.Join(path, "inner", "cgroup.procs"), fmt.Sprint(sleep.Process.Pid)); err != nil {
					t.Fatal(err)
				}
			}
			if pids, err := PIDs(paths); err != nil || !cmp.Equal(pids, []int{sleep.Process.Pid}) {
				t.Fatalf("processes %v, %v", pids, err)
			}
			if err := RemoveEmpty(host.Paths(parent)); err != nil {
				t.Fatal(err)
			}
			killed := make(chan error, 1)
			go func() { killed <- Kill(ctx, paths) }()
			sleep.Wait()
			if err := <-killed; err != nil {
				t.Fatal(err)
			}
			if status := sleep.ProcessState.Sys().(interface{ Signal() unix.Signal }); status.Signal() != unix.SIGKILL {
				t.Errorf("the process ended by %v", status.Signal())
			}
			if err := Remove(ctx, paths); err != nil {
				t.Fatal(err)
			}
			if err := RemoveEmpty(host.Paths(parent)); err != nil {
				t.Fatal(err)
			}
			if err := Withdraw(host[0].Mount, missing); err != nil {
				t.Fatal(err)
			}
			if again, err := host.Undelegated(); err != nil || !cmp.Equal(again, missing) {
				t.Errorf("the host passed on all but %v and now all but %v, %v", missing, again, err)
			}
			for _, path := range host.Paths(parent) {
				if _, err := os.Stat(path); err == nil {
					t.Errorf("%s is left", path)
				}
			}
		})
	}
}
