package firewall

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/agent/host"
)

// kubeletRules is what the kubelet has iptables make in a table that others use too, and in one that nobody else uses.
const kubeletRules = `
table ip nat {
	chain KUBE-MARK-MASQ {
		meta mark set meta mark or 0x4000
	}
	chain KUBE-POSTROUTING {
		meta mark & 0x4000 == 0 return
		jump KUBE-MARK-MASQ
		masquerade
	}
	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
		counter jump KUBE-POSTROUTING
		ip saddr 192.0.2.0/24 masquerade
	}
}
table ip6 mangle {
	chain KUBE-KUBELET-CANARY {
	}
	chain PREROUTING {
		type filter hook prerouting priority mangle; policy accept;
		goto KUBE-KUBELET-CANARY
	}
}
table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
}
`

const othersRules = `table ip nat {
	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 192.0.2.0/24 masquerade
	}
}
table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
	}
}
`

// elsewhere runs tools in another process's network namespace.
type elsewhere struct{ pid int }

func (e elsewhere) Run(_ context.Context, c host.Command) (string, error) {
	command := exec.Command("nsenter", append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", e.pid), c.Name}, c.Args...)...)
	command.Stdin = strings.NewReader(c.Stdin)
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %v: %w", c.Name, c.Args, err)
	}
	return string(out), nil
}

func TestRemoveTakesKubernetesChains(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and nft: it makes rules in a network namespace of its own")
	}
	holder := exec.Command("unshare", "--net", "sh", "-c", "echo; exec sleep 600")
	holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ready, err := holder.StdoutPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait() // it was killed
	})
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	m := &host.Machine{Root: t.TempDir(), Tools: elsewhere{holder.Process.Pid}}
	if _, err := m.Tools.Run(ctx, host.Command{Name: "nft", Args: []string{"-f", "-"}, Stdin: kubeletRules}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{2, 0} {
		if changed, err := Remove(ctx, m); err != nil || len(changed) != want {
			t.Errorf("removed %q, %v: want %d changes", changed, err, want)
		}
	}
	left, err := m.Tools.Run(ctx, host.Command{Name: "nft", Args: []string{"list", "ruleset"}})
	if diff := cmp.Diff(othersRules, strings.ReplaceAll(left, "\n\n", "\n")); diff != "" || err != nil {
		t.Errorf("left (-want +got): %v\n%s", err, diff)
	}
}
