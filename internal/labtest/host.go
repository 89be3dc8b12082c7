package labtest

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// HostState is all of this machine that a lab could leave something in.
func HostState(t *testing.T) map[string][]string {
	t.Helper()
	state := map[string][]string{
		"network namespaces": names("/run/netns"),
		"links":              names("/sys/class/net"),
		"mounts":             nil, "cgroups": nil, "sysctls": nil, "nftables": nil, "rules": nil,
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		state["mounts"] = append(state["mounts"], strings.TrimSpace(line))
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			state["cgroups"] = append(state["cgroups"], path)
		}
		return nil
	})
	for _, dir := range []string{"/proc/sys/kernel", "/proc/sys/vm", "/proc/sys/net/ipv4", "/proc/sys/net/netfilter", "/proc/sys/fs/inotify"} {
		for _, name := range names(dir) {
			path := filepath.Join(dir, name)
			if changing.MatchString(path) {
				continue
			}
			if data, err := os.ReadFile(path); err == nil {
				state["sysctls"] = append(state["sysctls"], fmt.Sprintf("%s = %s", path, strings.TrimSpace(string(data))))
			}
		}
	}
	for what, command := range map[string][]string{"nftables": {"nft", "list", "ruleset"}, "rules": {"ip", "rule"}, "routes": {"ip", "route"}} {
		out, err := exec.Command(command[0], command[1:]...).Output()
		if err != nil {
			t.Logf("SKIPPED: comparing %s: %v", what, err)
		}
		state[what] = strings.Split(string(out), "\n")
	}
	return state
}

// changing are values under /proc/sys that change by themselves.
var changing = regexp.MustCompile(`/(random|pty|ns_last_pid|nf_conntrack_count|drop_caches|compact_memory|perf_event_max_sample_rate|stat_refresh)`)

func names(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
