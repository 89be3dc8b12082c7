package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/node"
)

const (
	kubeadmConfigFile = host.RunDir + "/kubeadm.yaml"
	// joinedFile holds the action that made this machine a node; without it a machine is not one, however it looks.
	joinedFile   = host.StateDir + "/joined"
	kubeletAuth  = "/etc/kubernetes/kubelet.conf"
	resetTimeout = 3 * time.Minute
)

// fileFolders are where a bootstrap may write.
var fileFolders = []string{"/etc/kubernetes/", host.StateDir + "/"}

// traces are what kubeadm leaves when it doesn't end.
var traces = []string{kubeletAuth, "/etc/kubernetes/bootstrap-kubelet.conf", "/etc/kubernetes/admin.conf", kubeletConfigFile, etcdData + "/member"}

// bootstrap makes the machine a member of its cluster. After it was interrupted, it starts anew. A machine that is a member
// stays one, however it became that: what kubeadm did is undone, and the machine's part of etcd with it, only when that is
// asked for.
func (d *daemon) bootstrap(ctx context.Context, b node.Bootstrap, output io.Writer) error {
	if err := checkBootstrap(b); err != nil {
		return err
	}
	d.joining.Lock()
	defer d.joining.Unlock()
	m := d.machine
	done, err := joined(m)
	if err != nil {
		return err
	}
	if b.Action == node.StartKubelet {
		if done == "" {
			return errors.New("this machine is no node yet: there is no kubelet to be started")
		}
		return m.RestartService(ctx, kubeletService)
	}
	if done != "" && !b.Again {
		if m.Exists(kubeletAuth) {
			// A kubelet registers its Node when it starts, and not again when somebody deletes that.
			fmt.Fprintf(output, "kubeadm %s was done before: the kubelet is started again\n", done)
			return m.RestartService(ctx, kubeletService)
		}
		if m.Exists(etcdData + "/member") {
			return fmt.Errorf("kubeadm %s was done before, and the machine has a part of etcd, but %s is gone: put it back, or delete the machine", done, kubeletAuth)
		}
	}
	if done != "" || slices.ContainsFunc(traces, m.Exists) {
		if err := d.startAnew(ctx, output); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Files)) {
		if err := writeSecret(m, name, b.Files[name]); err != nil {
			return err
		}
	}
	if err := writeSecret(m, kubeadmConfigFile, b.Config); err != nil {
		return err
	}
	ignored := ignoredChecks(m.Facts)
	if b.Snapshot != nil {
		if err := d.restoreEtcd(ctx, *b.Snapshot, output); err != nil {
			return err
		}
		ignored = append(ignored, "DirAvailable--var-lib-etcd")
	}
	_, err = m.Tools.Run(ctx, host.Command{Name: "kubeadm", Args: kubeadmArgs(b.Action, ignored), Output: output})
	_, removed := m.Remove(kubeadmConfigFile)
	if err := errors.Join(err, removed); err != nil {
		return err
	}
	_, err = m.Write(joinedFile, []byte(b.Action+"\n"), 0o644)
	return err
}

func kubeadmArgs(action string, ignored []string) []string {
	args := []string{action, "--config", kubeadmConfigFile}
	if action == "init" {
		args = append(args, "--skip-token-print", "--skip-certificate-key-print")
	}
	if len(ignored) > 0 {
		args = append(args, "--ignore-preflight-errors", strings.Join(ignored, ","))
	}
	return args
}

// startAnew makes sure that nothing of an interrupted kubeadm is left.
func (d *daemon) startAnew(ctx context.Context, output io.Writer) error {
	if err := reset(ctx, d.machine, output); err != nil {
		return err
	}
	// kubeadm takes away more than it brought; what belongs to the node comes back.
	report, err := d.reapply(ctx)
	if err != nil {
		return fmt.Errorf("after kubeadm reset: %w", err)
	}
	for _, what := range report.Changed {
		fmt.Fprintln(output, what)
	}
	return d.machine.StartService(ctx, kubeletService)
}

// reset undoes what kubeadm did. The kubelet is stopped, and stays so.
func reset(ctx context.Context, m *host.Machine, output io.Writer) error {
	if _, err := m.Remove(joinedFile); err != nil {
		return err
	}
	if err := m.StopService(ctx, kubeletService); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, resetTimeout)
	defer cancel()
	_, err := m.Tools.Run(limited, host.Command{
		Name: "kubeadm", Args: []string{"reset", "--force", "--cri-socket", "unix://" + containerdSocket}, Output: output,
	})
	if err != nil {
		return err
	}
	for _, left := range []string{"/var/lib/etcd", "/etc/kubernetes/skyweld"} {
		if _, err := m.Remove(left); err != nil {
			return err
		}
	}
	return nil
}

func checkBootstrap(b node.Bootstrap) error {
	if b.Action == node.StartKubelet {
		return nil
	}
	if b.Action != "init" && b.Action != "join" {
		return fmt.Errorf("kubeadm: action is %q, not \"init\" or \"join\"", b.Action)
	}
	if b.Config == "" {
		return fmt.Errorf("kubeadm %s: config is missing", b.Action)
	}
	if b.Snapshot != nil && (b.Action != "init" || b.Snapshot.File != node.SnapshotFile || b.Snapshot.Member == "" || b.Snapshot.Peer == "") {
		return fmt.Errorf("kubeadm %s: snapshot %q of member %q is not one that the engine put here", b.Action, b.Snapshot.File, b.Snapshot.Member)
	}
	for name := range b.Files {
		inside := func(folder string) bool { return strings.HasPrefix(name, folder) && name != folder }
		if path.Clean(name) != name || !slices.ContainsFunc(fileFolders, inside) {
			return fmt.Errorf("kubeadm %s: file %q is not below %s", b.Action, name, strings.Join(fileFolders, " or "))
		}
	}
	return nil
}

// writeSecret writes a file for root alone, in folders for root alone.
func writeSecret(m *host.Machine, name, content string) error {
	if err := os.MkdirAll(filepath.Dir(m.Path(name)), 0o700); err != nil {
		return fmt.Errorf("make folder of %s: %w", name, err)
	}
	_, err := m.Write(name, []byte(content), 0o600)
	return err
}

// joined is the action that made this machine a node, empty when none did.
func joined(m *host.Machine) (string, error) {
	data, err := m.Read(joinedFile)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", joinedFile, err)
	}
	return strings.TrimSpace(string(data)), nil
}

// ignoredChecks are kubeadm's checks that a machine fails and that don't matter there, by name.
func ignoredChecks(f host.Facts) []string {
	if f.CgroupV2 {
		return nil
	}
	// It refuses version 1 of control groups even where the kubelet is told to take it.
	return []string{"SystemVerification"}
}
