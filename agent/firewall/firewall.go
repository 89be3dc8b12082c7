// Package firewall keeps a node's nftables table: what keeps pods' packets unchanged inside the cluster, inside the tunnel,
// and away from the cloud's metadata service. What the cloud lets in is the cloud's own firewall's part.
package firewall

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/mesh"
)

// table is the one nftables table that is ours, of the ip family.
const table = "skyweld"

// appliedFile remembers the last rules that were loaded and how the kernel showed them then: a different look means that
// somebody changed them. It goes with the rules when the machine restarts.
const appliedFile = host.RunDir + "/firewall.json"

type applied struct {
	Rules  string `json:"rules"`
	Listed string `json:"listed"`
}

// metadata are the addresses of the clouds' metadata services: of all four, and Azure's second one. Both also answer DNS
// on some clouds, which pods need.
const metadata = "169.254.169.254, 168.63.129.16"

// headers is what IPv4 and TCP need of a packet, in bytes.
const headers = 40

// Rules is the whole table as nft reads it, replacing what was there. underlays are the devices that lead out of the machine.
func Rules(c mesh.Config, underlays []string) string {
	var out strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	pods, device, out4 := c.Pods.Masked(), mesh.Device, quoted(underlays)
	line("table ip %s", table)
	line("delete table ip %s", table)
	line("table ip %s {", table)
	line("\tset internal {\n\t\ttype ipv4_addr\n\t\tflags interval%s\n\t}", elements(c.Internal))
	line("\tset tunneled {\n\t\ttype ipv4_addr\n\t\tflags interval%s\n\t}", elements(tunneled(c)))
	line("\tchain segments {")
	line("\t\ttype filter hook forward priority mangle; policy accept;")
	for _, direction := range []string{"oifname", "iifname"} {
		line("\t\t%s %q tcp flags syn tcp option maxseg size > %d tcp option maxseg size set %d", direction, device, c.MTU-headers, c.MTU-headers)
	}
	line("\t}")
	line("\tchain guard {")
	line("\t\ttype filter hook postrouting priority filter; policy accept;")
	line("\t\tip saddr %s ip daddr { %s } meta l4proto { tcp, udp } th dport 53 accept", pods, metadata)
	line("\t\tip saddr %s ip daddr { %s } drop", pods, metadata)
	line("\t\toifname != %q ip daddr @tunneled drop", device)
	if len(underlays) > 0 {
		line("\t\toifname { %s } ip saddr %s ip daddr @internal drop", out4, pods)
		line("\t\toifname { %s } ip daddr %s drop", out4, pods)
	}
	line("\t}")
	line("\tchain translate {")
	line("\t\ttype nat hook postrouting priority srcnat; policy accept;")
	line("\t\toifname != %q ip saddr %s ip daddr != @internal masquerade", device, pods)
	line("\t}")
	line("}")
	return out.String()
}

// tunneled are the ranges that must leave by the tunnel or not at all, also while the tunnel is down.
func tunneled(c mesh.Config) []netip.Prefix {
	var ranges []netip.Prefix
	for _, route := range c.Routes {
		if route.Table == 0 {
			ranges = append(ranges, route.To.Masked())
		}
	}
	return ranges
}

func elements(ranges []netip.Prefix) string {
	if len(ranges) == 0 {
		return ""
	}
	texts := make([]string, len(ranges))
	for i, r := range ranges {
		texts[i] = r.String()
	}
	slices.Sort(texts)
	return "\n\t\telements = { " + strings.Join(texts, ", ") + " }"
}

func quoted(names []string) string {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(texts, ", ")
}

// Apply loads the rules if they are not what was loaded last, or not as they were left, and says in words what it changed.
func Apply(ctx context.Context, m *host.Machine, c mesh.Config, underlays []string) ([]string, error) {
	want := Rules(c, underlays)
	last, err := readApplied(m)
	if err != nil {
		return nil, err
	}
	if last.Rules == want {
		if now, err := list(ctx, m); err == nil && now == last.Listed {
			return nil, nil
		}
	}
	if _, err := m.Tools.Run(ctx, host.Command{Name: "nft", Args: []string{"-f", "-"}, Stdin: want}); err != nil {
		return nil, fmt.Errorf("load firewall table %s: %w", table, err)
	}
	listed, err := list(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("list firewall table %s: %w", table, err)
	}
	data, err := json.Marshal(applied{Rules: want, Listed: listed})
	if err != nil {
		return nil, err
	}
	if _, err := m.Write(appliedFile, data, 0o644); err != nil {
		return nil, err
	}
	return []string{"loaded firewall table " + table}, nil
}

// foreign are the tables that Kubernetes and the pod network's plugins make on a node and don't take away.
var foreign = []string{"kube-proxy", "cni_hostport"}

// Remove takes our table away, and what a node's other programs left behind.
func Remove(ctx context.Context, m *host.Machine) ([]string, error) {
	listed, err := m.Tools.Run(ctx, host.Command{Name: "nft", Args: []string{"list", "tables"}})
	if err != nil {
		return nil, fmt.Errorf("list firewall tables: %w", err)
	}
	var changed []string
	for line := range strings.Lines(listed) { // as in "table ip skyweld"
		words := strings.Fields(line)
		if len(words) == 3 && slices.Contains(iptablesTables, words[2]) {
			did, err := removeKube(ctx, m, words[1], words[2])
			if err != nil {
				return changed, err
			}
			if did {
				changed = append(changed, "took Kubernetes' chains out of firewall table "+words[1]+" "+words[2])
			}
			continue
		}
		if len(words) != 3 || words[2] != table && !slices.Contains(foreign, words[2]) {
			continue
		}
		if _, err := m.Tools.Run(ctx, host.Command{Name: "nft", Args: append([]string{"delete"}, words...)}); err != nil {
			return changed, fmt.Errorf("delete firewall table %s: %w", words[2], err)
		}
		changed = append(changed, "deleted firewall table "+words[2])
	}
	_, err = m.Remove(appliedFile)
	return changed, err
}

// list shows the table without the counters that change by themselves.
func list(ctx context.Context, m *host.Machine) (string, error) {
	return m.Tools.Run(ctx, host.Command{Name: "nft", Args: []string{"--stateless", "list", "table", "ip", table}})
}

func readApplied(m *host.Machine) (applied, error) {
	var last applied
	data, err := m.Read(appliedFile)
	if err != nil || data == nil {
		return last, err
	}
	if json.Unmarshal(data, &last) != nil {
		return applied{}, nil // half a file is no memory at all
	}
	return last, nil
}
