package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/node"
)

// The node's services.
const (
	agentService      = "skyweld-agent"
	containerdService = "containerd"
	kubeletService    = "kubelet"
)

const (
	containerdConfigFile = "/etc/containerd/config.toml"
	containerdSocket     = "/run/containerd/containerd.sock"
	kubeletConfigFile    = "/var/lib/kubelet/config.yaml"
	kubeletFlagsFile     = "/var/lib/kubelet/kubeadm-flags.env"
)

// agentUnit is the agent's own service. It tells systemd when the network is back after a restart of the machine.
func agentUnit(program string) host.Service {
	return host.Service{
		Name: agentService,
		Unit: fmt.Sprintf(`[Unit]
Description=Skyweld node agent
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
ExecStart=%s agent run
Restart=always
RestartSec=1
TimeoutStartSec=60
KillMode=process
OOMScoreAdjust=-900
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
`, program),
		Script: fmt.Sprintf("exec %s agent run\n", program),
	}
}

// containerdUnit is containerd's service. Its containers outlive it.
func containerdUnit() host.Service {
	return host.Service{
		Name: containerdService,
		Unit: fmt.Sprintf(`[Unit]
Description=containerd container runtime
After=network.target local-fs.target

[Service]
Type=notify
Environment=PATH=%[1]s
ExecStartPre=-/sbin/modprobe overlay
ExecStart=%[2]s/containerd --config %[3]s
Delegate=yes
KillMode=process
Restart=always
RestartSec=1
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
`, host.SearchPath, host.ProgramDir, containerdConfigFile),
		Script: fmt.Sprintf("export PATH=%s\nexec %s/containerd --config %s\n", host.SearchPath, host.ProgramDir, containerdConfigFile),
	}
}

// kubeletUnit is the kubelet's service. It runs only once kubeadm has written its config.
func kubeletUnit(k node.Kubelet) host.Service {
	flags := []string{
		"--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
		"--kubeconfig=/etc/kubernetes/kubelet.conf",
		"--config=" + kubeletConfigFile,
		"$KUBELET_KUBEADM_ARGS",
	}
	if k.NodeIP.IsValid() {
		flags = append(flags, "--node-ip="+k.NodeIP.String())
	}
	if k.ProviderID != "" {
		flags = append(flags, "--provider-id="+k.ProviderID)
	}
	if len(k.Labels) > 0 {
		labels := make([]string, 0, len(k.Labels))
		for _, name := range slices.Sorted(maps.Keys(k.Labels)) {
			labels = append(labels, name+"="+k.Labels[name])
		}
		flags = append(flags, "--node-labels="+strings.Join(labels, ","))
	}
	return host.Service{
		Name: kubeletService,
		Unit: fmt.Sprintf(`[Unit]
Description=Kubernetes kubelet
Wants=network-online.target
After=network-online.target containerd.service %[1]s.service
ConditionPathExists=%[2]s
StartLimitIntervalSec=0

[Service]
Environment=PATH=%[3]s
EnvironmentFile=-%[4]s
ExecStart=%[5]s/kubelet %[6]s
KillMode=process
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
`, agentService, kubeletConfigFile, host.SearchPath, kubeletFlagsFile, host.ProgramDir, strings.Join(flags, " ")),
		Script: fmt.Sprintf(`export PATH=%[1]s
until [ -e %[2]s ] && [ -e %[3]s ]; do sleep 0.2; done
. %[3]s
exec %[4]s/kubelet %[5]s
`, host.SearchPath, kubeletConfigFile, kubeletFlagsFile, host.ProgramDir, strings.Join(flags, " ")),
	}
}

// containerdConfig is containerd's config file, version 3. pause is the image that holds a pod's namespaces, empty for
// containerd's own choice.
func containerdConfig(f host.Facts, pause string) string {
	var out strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	line("version = 3")
	if pause != "" {
		line("[plugins.'io.containerd.cri.v1.images'.pinned_images]")
		line("  sandbox = %q", pause)
	}
	line("[plugins.'io.containerd.cri.v1.runtime']")
	if !f.AppArmor {
		line("  disable_apparmor = true")
	}
	if !f.SysResource {
		// Without the right to lower it, runc would fail on every container that asks for less than containerd's own.
		line("  restrict_oom_score_adj = true")
	}
	line("  [plugins.'io.containerd.cri.v1.runtime'.cni]")
	line("    bin_dirs = [%q]", cniBins)
	line("    conf_dir = %q", cniFolder)
	line("  [plugins.'io.containerd.cri.v1.runtime'.containerd]")
	line("    default_runtime_name = \"runc\"")
	line("    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]")
	line("      runtime_type = \"io.containerd.runc.v2\"")
	line("      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]")
	line("        BinaryName = %q", host.ProgramDir+"/runc")
	line("        SystemdCgroup = %t", f.Systemd)
	return out.String()
}
