package firewall

import (
	"context"
	"errors"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/mesh"
)

var update = flag.Bool("update", false, "write the golden files anew")

func config() mesh.Config {
	p := netip.MustParsePrefix
	return mesh.Config{
		MTU: 1420, Pods: p("10.216.1.0/24"), Internal: []netip.Prefix{p("10.64.0.0/16"), p("10.65.0.0/16"), p("10.96.0.0/16"), p("10.216.0.0/14")},
		Routes: []mesh.Route{{To: p("10.65.0.11/32")}, {To: p("10.216.2.0/24")}, {To: p("10.64.0.12/32"), Table: mesh.Table}},
	}
}

func TestRules(t *testing.T) {
	for name, rules := range map[string]string{
		"two-devices": Rules(config(), []string{"eth0", "eth1"}),
		"alone":       Rules(mesh.Config{MTU: 1380, Pods: config().Pods, Internal: config().Internal}, []string{"ens5"}),
	} {
		golden := "testdata/" + name + ".nft"
		if *update {
			if err := os.WriteFile(golden, []byte(rules), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), rules); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		loads(t, rules)
	}
}

// loads asks the real nft whether it takes the rules, in a namespace where they harm nobody.
func loads(t *testing.T, rules string) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil || os.Geteuid() != 0 {
		t.Log("needs root and nft: the rules were not loaded")
		return
	}
	for range 2 { // the second time, the table is there
		c := exec.Command("unshare", "--net", "nft", "-f", "-")
		c.Stdin = strings.NewReader(rules)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("nft refuses the rules: %v\n%s", err, out)
		}
	}
}

// tools is an nft that keeps one table.
type tools struct {
	table string
	calls []string
}

func (n *tools) Run(_ context.Context, c host.Command) (string, error) {
	n.calls = append(n.calls, c.Name+" "+strings.Join(c.Args, " "))
	switch {
	case c.Args[0] == "-f":
		n.table = c.Stdin
	case c.Args[0] == "delete" && c.Args[3] == table:
		n.table = ""
	case slices.Equal(c.Args, []string{"list", "tables"}):
		if n.table != "" {
			return "table ip6 other\ntable ip skyweld\ntable ip kube-proxy\n", nil
		}
		return "table ip6 other\n", nil
	case n.table == "" && c.Args[0] != "delete":
		return "", errors.New("no such table")
	}
	return n.table, nil
}

func TestApply(t *testing.T) {
	nft := &tools{}
	m := &host.Machine{Root: t.TempDir(), Tools: nft}
	apply := func(name string, c mesh.Config, want bool) {
		t.Helper()
		nft.calls = nil
		changed, err := Apply(context.Background(), m, c, []string{"eth0"})
		if err != nil {
			t.Fatal(err)
		}
		if len(changed) > 0 != want || slices.Contains(nft.calls, "nft -f -") != want {
			t.Errorf("%s: changed %v by %v", name, changed, nft.calls)
		}
	}
	apply("first", config(), true)
	apply("again", config(), false)
	nft.table = strings.Replace(nft.table, "drop", "accept", 1)
	apply("changed by somebody", config(), true)
	nft.table = ""
	apply("gone", config(), true)
	other := config()
	other.MTU = 1380
	apply("other config", other, true)
	changed, err := Remove(context.Background(), m)
	if err != nil || len(changed) != 2 || nft.table != "" {
		t.Errorf("remove: %v, %v", changed, err)
	}
	if changed, err := Remove(context.Background(), m); err != nil || len(changed) != 0 {
		t.Errorf("remove again: %v, %v", changed, err)
	}
	apply("after removal", other, true)
}
