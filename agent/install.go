package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/agent/bundle"
	"github.com/skyweld/skyweld/agent/firewall"
	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/agent/tunnel"
	"github.com/skyweld/skyweld/node"
)

// answerWithin bounds how long a started agent may take until it answers.
const answerWithin = 30 * time.Second

// install makes this program the machine's agent and waits until it answers as that.
func install(ctx context.Context, m *host.Machine) ([]string, error) {
	if _, err := trusted(m); err != nil {
		return nil, fmt.Errorf("install agent: %w", err)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("install agent: %w", err)
	}
	digest, err := programDigest()
	if err != nil {
		return nil, fmt.Errorf("install agent: %w", err)
	}
	changed, err := m.EnsureService(ctx, agentUnit(program))
	words, err := report(changed, err, "set up service "+agentService)
	if err != nil {
		return words, fmt.Errorf("install agent: %w", err)
	}
	var status node.Status
	if !changed {
		err := call(ctx, m, "GET", "/v1/status", nil, &status)
		if err == nil && status.Agent == digest {
			return words, nil
		}
		if err := m.RestartService(ctx, agentService); err != nil {
			return words, fmt.Errorf("install agent: %w", err)
		}
		words = append(words, "restarted service "+agentService)
	}
	return words, waitAgent(ctx, m, digest)
}

// waitAgent waits until an agent with this program answers.
func waitAgent(ctx context.Context, m *host.Machine, digest string) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var status node.Status
		err := call(ctx, m, "GET", "/v1/status", nil, &status)
		if err == nil && status.Agent == digest {
			return nil
		}
		if err == nil {
			err = errors.New("an older program answers")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("install agent: it doesn't answer after %s: %w", answerWithin, err)
		case <-tick.C:
		}
	}
}

// ours are the files and folders that go with the agent, besides what the bundle brought.
var ours = []string{
	cniFile, networkdFile, containerdConfigFile, "/var/lib/cni", "/var/lib/containerd", "/run/containerd", "/run/nri/nri.sock",
	"/var/lib/kubelet", "/var/lib/etcd", "/etc/kubernetes", "/var/log/pods", "/var/log/containers", host.StateDir, host.RunDir, host.ConfigDir, filepath.Dir(host.ProgramDir),
}

// shared are folders that may be somebody else's too: they go when nothing is left in them.
var shared = []string{
	cniFolder, filepath.Dir(cniFolder), cniBins, filepath.Dir(cniBins), filepath.Dir(containerdConfigFile),
	"/opt/containerd/bin", "/opt/containerd/lib", "/opt/containerd", filepath.Dir(networkdFile), "/run/wireguard", "/run/nri", "/run/netns",
	volumePlugins + "/volume/exec", volumePlugins + "/volume", volumePlugins, filepath.Dir(volumePlugins),
}

// volumePlugins is where the kubelet looks for programs that mount volumes; it makes the folder.
const volumePlugins = "/usr/libexec/kubernetes/kubelet-plugins"

// uninstall takes away all that the agent ever made on the machine, itself included. What cannot be done is said at the
// end; the rest is done all the same.
func uninstall(ctx context.Context, m *host.Machine, output io.Writer) error {
	var problems []error
	try := func(err error) { problems = append(problems, err) }
	if slices.ContainsFunc(traces, m.Exists) {
		try(reset(ctx, m, output))
	}
	for _, name := range []string{kubeletService, containerdService, agentService} {
		_, err := m.RemoveService(ctx, name)
		try(err)
	}
	try(endShims(m))
	try(removeSlices(ctx, m))
	try(removePodNetworks(m))
	try(unmountBelow(m.Path("/run/containerd"), m.Path("/var/lib/kubelet"), m.Path("/var/lib/containerd")))
	if key, err := tunnelKey(m); err == nil {
		device := tunnel.NewLinux(key, m.Log)
		_, err := tunnel.Remove(ctx, device)
		try(err)
	} else {
		try(err)
	}
	_, err := firewall.Remove(ctx, m)
	try(err)
	try(m.RestoreSysctls())
	try(removeHosts(m))
	try(bundle.Remove(m))
	for _, name := range ours {
		_, err := m.Remove(name)
		try(err)
	}
	for _, name := range shared {
		err := unix.Rmdir(m.Path(name))
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) { // busy: ip(8) mounts it
			try(err)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	return nil
}

func removeHosts(m *host.Machine) error {
	old, err := m.Read(hostsFile)
	if err != nil || old == nil {
		return err
	}
	_, err = m.Write(hostsFile, []byte(withHosts(string(old), nil)), 0o644)
	return err
}

// endShims ends the processes that keep containers: they outlive containerd, and their containers end with them.
func endShims(m *host.Machine) error {
	shim := m.Path(host.ProgramDir + "/containerd-shim-runc-v2")
	all, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return err
	}
	var problems []error
	for _, link := range all {
		program, err := os.Readlink(link)
		if err != nil || strings.TrimSuffix(program, " (deleted)") != shim {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(link, "/proc/%d/exe", &pid); err != nil {
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			problems = append(problems, fmt.Errorf("end container shim %d: %w", pid, err))
		}
	}
	return errors.Join(problems...)
}

// removePodNetworks takes away the network namespaces of pods that containerd did not get to the end of; their devices go
// with them.
func removePodNetworks(m *host.Machine) error {
	all, err := m.PodNamespaces()
	if err != nil {
		return err
	}
	var problems []error
	for _, name := range all {
		if err := unix.Unmount(name, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			problems = append(problems, fmt.Errorf("unmount %s: %w", name, err))
			continue
		}
		problems = append(problems, os.Remove(name))
	}
	return errors.Join(problems...)
}

// podSlices is the unit of systemd that holds the control groups of all pods. The kubelet has it made, and leaves it.
const podSlices = "kubepods.slice"

// removeSlices takes away the pods' control groups; it ends what still runs in them.
func removeSlices(ctx context.Context, m *host.Machine) error {
	if !m.Facts.Systemd || !m.Exists("/run/systemd/transient/"+podSlices) {
		return nil
	}
	_, err := m.Tools.Run(ctx, host.Command{Name: "systemctl", Args: []string{"stop", podSlices}})
	if err != nil {
		return fmt.Errorf("remove control groups of pods: %w", err)
	}
	return nil
}

// unmountBelow takes away every mount in the given folders, the innermost first.
func unmountBelow(folders ...string) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	var points []string
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := strings.ReplaceAll(fields[4], `\040`, " ")
		if slices.ContainsFunc(folders, func(folder string) bool { return point == folder || strings.HasPrefix(point, folder+"/") }) {
			points = append(points, point)
		}
	}
	slices.Reverse(points) // the table has them in the order they were made
	var problems []error
	for _, point := range points {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			problems = append(problems, fmt.Errorf("unmount %s: %w", point, err))
		}
	}
	return errors.Join(problems...)
}
