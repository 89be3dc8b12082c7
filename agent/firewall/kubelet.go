package firewall

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/skyweld/skyweld/agent/host"
)

// iptablesTables are the tables that iptables makes in nftables, for everybody who uses it.
var iptablesTables = []string{"filter", "mangle", "nat", "raw", "security"}

// kubeChain begins the names of the chains that the kubelet and kube-proxy keep there and don't take away.
const kubeChain = "KUBE-"

// ruleset is a table as nft shows it in JSON (libnftables-json(5)), as far as it matters here.
type ruleset struct {
	Objects []struct {
		Chain *struct {
			Name, Hook, Policy string
		} `json:"chain"`
		Rule *struct {
			Chain  string
			Handle int
			Expr   []map[string]json.RawMessage
		} `json:"rule"`
		Set *json.RawMessage `json:"set"`
		Map *json.RawMessage `json:"map"`
	} `json:"nftables"`
}

// removeKube takes Kubernetes' chains out of one of iptables' tables, with the rules that lead to them, and the table too
// when nothing is left that does anything. It says whether there was something.
func removeKube(ctx context.Context, m *host.Machine, family, name string) (bool, error) {
	text, err := m.Tools.Run(ctx, host.Command{Name: "nft", Args: []string{"--json", "list", "table", family, name}})
	if err != nil {
		return false, fmt.Errorf("list firewall table %s %s: %w", family, name, err)
	}
	var have ruleset
	if err := json.Unmarshal([]byte(text), &have); err != nil {
		return false, fmt.Errorf("list firewall table %s %s: %w", family, name, err)
	}
	commands := have.withoutKube(family + " " + name)
	if len(commands) == 0 {
		return false, nil
	}
	if _, err := m.Tools.Run(ctx, host.Command{Name: "nft", Args: []string{"-f", "-"}, Stdin: strings.Join(commands, "\n") + "\n"}); err != nil {
		return false, fmt.Errorf("take Kubernetes' chains out of firewall table %s %s: %w", family, name, err)
	}
	return true, nil
}

// withoutKube are nft's commands that take Kubernetes' chains out of a table; none when there are none.
func (r ruleset) withoutKube(table string) []string {
	var jumps, flushes, deletes []string
	used := false // by others
	for _, o := range r.Objects {
		switch {
		case o.Set != nil || o.Map != nil:
			used = true
		case o.Chain != nil && strings.HasPrefix(o.Chain.Name, kubeChain):
			flushes = append(flushes, fmt.Sprintf("flush chain %s %s", table, o.Chain.Name))
			deletes = append(deletes, fmt.Sprintf("delete chain %s %s", table, o.Chain.Name))
		case o.Chain != nil && (o.Chain.Hook == "" || o.Chain.Policy != "accept"):
			used = true
		case o.Rule != nil && strings.HasPrefix(o.Rule.Chain, kubeChain):
		case o.Rule != nil && leadsToKube(o.Rule.Expr):
			jumps = append(jumps, fmt.Sprintf("delete rule %s %s handle %d", table, o.Rule.Chain, o.Rule.Handle))
		case o.Rule != nil:
			used = true
		}
	}
	if len(deletes) == 0 {
		return nil
	}
	if !used {
		return []string{"delete table " + table}
	}
	return append(append(jumps, flushes...), deletes...)
}

// leadsToKube says whether a rule jumps or goes to one of Kubernetes' chains.
func leadsToKube(expressions []map[string]json.RawMessage) bool {
	for _, e := range expressions {
		for _, verb := range []string{"jump", "goto"} {
			var to struct{ Target string }
			if json.Unmarshal(e[verb], &to) == nil && strings.HasPrefix(to.Target, kubeChain) {
				return true
			}
		}
	}
	return false
}
