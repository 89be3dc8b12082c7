package labtest

import (
	"fmt"
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
	state["cgroups"] = cgroups("/sys/fs/cgroup")
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

// cgroups are the topmost control groups of every hierarchy, where the lab's are. Those further down come and go with
// other programs.
func cgroups(root string) (out []string) {
	pattern := filepath.Join(root, "*", "*") // a hierarchy for each controller
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		pattern = filepath.Join(root, "*")
	}
	paths, _ := filepath.Glob(pattern) // the pattern is a good one
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			out = append(out, path)
		}
	}
	return out
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
