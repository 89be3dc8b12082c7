package agent

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/node"
)

const (
	kubeletPKI    = "/var/lib/kubelet/pki"
	kubeletClient = kubeletPKI + "/kubelet-client-current.pem"
	kubeletMade   = kubeletPKI + "/kubelet-client-skyweld.pem"
)

// certificateFiles are where a node has certificates of its own.
var certificateFiles = []string{"/etc/kubernetes/pki/*.crt", "/etc/kubernetes/pki/etcd/*.crt", "/etc/kubernetes/*.conf", kubeletClient}

// inKubeconfig finds the client certificate inside a kubeconfig.
var inKubeconfig = regexp.MustCompile(`(?m)^\s*client-certificate-data:\s*(\S+)\s*$`)

// certificates lists when the node's certificates expire. Those of authorities are not the node's.
func certificates(m *host.Machine) ([]node.Certificate, error) {
	var out []node.Certificate
	for _, pattern := range certificateFiles {
		files, err := filepath.Glob(m.Path(pattern))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			data, err := os.ReadFile(filepath.Clean(file))
			if err != nil {
				return nil, fmt.Errorf("read certificate %s: %w", file, err)
			}
			if found := inKubeconfig.FindSubmatch(data); found != nil {
				if data, err = base64.StdEncoding.DecodeString(string(found[1])); err != nil {
					return nil, fmt.Errorf("read certificate in %s: %w", file, err)
				}
			}
			block, _ := pem.Decode(data)
			for rest := data; block != nil && block.Type != "CERTIFICATE"; {
				block, rest = pem.Decode(rest)
			}
			if block == nil { // a kubeconfig that names a file
				continue
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("read certificate %s: %w", file, err)
			}
			if !cert.IsCA {
				out = append(out, node.Certificate{File: "/" + strings.TrimPrefix(strings.TrimPrefix(file, m.Path("/")), "/"), Expires: cert.NotAfter.UTC()})
			}
		}
	}
	return out, nil
}

// controlPlanePrograms are what kubeadm runs on a control-plane node, in the order in which they are started again: an API
// server without its etcd takes minutes to end.
var controlPlanePrograms = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"}

// renew makes the node's certificates anew: the kubelet's is sent, those of the control plane are kubeadm's work, which has
// the authorities' keys there. Who uses them is started again.
func (d *daemon) renew(ctx context.Context, r node.Renewal) error {
	d.joining.Lock()
	defer d.joining.Unlock()
	m := d.machine
	if block, _ := pem.Decode([]byte(r.Kubelet)); block == nil {
		return errors.New("renew certificates: the kubelet's is not PEM")
	}
	if err := writeSecret(m, kubeletMade, r.Kubelet); err != nil {
		return err
	}
	if _, err := m.Link(kubeletClient, kubeletMade); err != nil {
		return err
	}
	if err := m.RestartService(ctx, kubeletService); err != nil || !m.Exists(etcdManifest) {
		return err
	}
	if _, err := m.Tools.Run(ctx, host.Command{Name: "kubeadm", Args: []string{"certs", "renew", "all"}}); err != nil {
		return err
	}
	for _, name := range controlPlanePrograms {
		if err := startAgain(ctx, m, name); err != nil {
			return fmt.Errorf("start %s again: %w", name, err)
		}
	}
	return nil
}

// How long a program may take to end before it is made to, and the kubelet to start it again.
const (
	endPatience   = 20 * time.Second
	startPatience = 2 * time.Minute
)

// startAgain ends the processes of a program and waits until the kubelet has started it again.
func startAgain(ctx context.Context, m *host.Machine, name string) error {
	ctx, cancel := context.WithTimeout(ctx, endPatience+startPatience)
	defer cancel()
	old, err := processes(m, name)
	if err != nil || len(old) == 0 {
		return err
	}
	signal, hard := unix.SIGTERM, time.Now().Add(endPatience)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := processes(m, name)
		if err != nil {
			return err
		}
		left := slices.DeleteFunc(slices.Clone(now), func(p process) bool {
			return !slices.ContainsFunc(old, func(o process) bool { return o.pid == p.pid })
		})
		if len(left) == 0 && len(now) > 0 {
			return nil
		}
		if signal == 0 && time.Now().After(hard) {
			signal, hard = unix.SIGKILL, time.Now().Add(startPatience)
		}
		for _, p := range left {
			if pid, err := strconv.Atoi(p.pid); err != nil {
				return err
			} else if err := unix.Kill(pid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		signal = 0
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
