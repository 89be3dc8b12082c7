//go:build linux

package stock_test

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/engine"
)

//go:embed testdata/state.sh
var stateScript string

// state is what a machine looks like, by section a sorted list of lines.
type state map[string][]string

// look takes a machine's state.
func look(ctx context.Context, m engine.Machine) (state, error) {
	out, err := m.Run(ctx, "bash -s", strings.NewReader(stateScript), nil)
	if err != nil {
		return nil, err
	}
	s, section := state{}, ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "== "); ok {
			section = name
			s[section] = []string{}
		} else if line != "" {
			s[section] = append(s[section], line)
		}
	}
	if len(s["files"]) < 10000 || len(s["sysctls"]) < 500 || len(s["processes"]) < 3 || len(s["routes"]) < 2 {
		return nil, fmt.Errorf("the machine's state is not whole: %d files, %d kernel settings, %d processes, %d routes",
			len(s["files"]), len(s["sysctls"]), len(s["processes"]), len(s["routes"]))
	}
	for _, lines := range s {
		slices.Sort(lines)
	}
	return s, nil
}

// lines is how much a state says.
func (s state) lines() (n int) {
	for _, lines := range s {
		n += len(lines)
	}
	return n
}

// stays is what a machine that was a node keeps, each with its reason.
var stays = map[string]*regexp.Regexp{
	"iptables' lock, which others may hold and which goes with a restart": regexp.MustCompile(`^run: new: /run/xtables\.lock f$`),
	"its host key, which was replaced by one that was never in user data": regexp.MustCompile(`^(content|files): (new|gone): ([0-9a-f]{64} +)?/etc/ssh/ssh_host_ed25519_key(\.pub)?( f 06[04][04] root:root)?$`),
}

// traces is what is in one of two states only, without what may stay.
func traces(before, after state) (left []string) {
	for _, section := range slices.Sorted(maps.Keys(before)) {
		for _, d := range difference(section, before[section], after[section]) {
			if !slices.ContainsFunc(slices.Collect(maps.Values(stays)), func(r *regexp.Regexp) bool { return r.MatchString(d) }) {
				left = append(left, d)
			}
		}
	}
	return left
}

// difference compares two lists. A kernel setting that is new came with a module, and modules stay loaded.
func difference(section string, before, after []string) (out []string) {
	for _, l := range after {
		if _, ok := slices.BinarySearch(before, l); !ok && section != "sysctls" {
			out = append(out, section+": new: "+l)
		}
	}
	for _, l := range before {
		if _, ok := slices.BinarySearch(after, l); !ok {
			out = append(out, section+": gone: "+l)
		}
	}
	return out
}
