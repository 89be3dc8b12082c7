package agent

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/node"
)

const (
	etcdManifest = "/etc/kubernetes/manifests/etcd.yaml"
	// etcdKept is the manifest as kubeadm wrote it, while the one in place makes etcd a cluster of one member. It must not stay
	// there: with every start it would take out all other members again.
	etcdKept = host.StateDir + "/etcd.yaml"
	// forceNew makes etcd forget all members but itself, and keep its data (etcd's operations guide, disaster recovery).
	forceNew = "--force-new-cluster=true"
	// etcdReady answers 200 when a majority does: kubeadm has etcd listen there for its probes.
	etcdReady = "http://127.0.0.1:2381/readyz"

	etcdData = "/var/lib/etcd"
	// etcdBump is how far revisions jump when a snapshot is restored, so that nobody who watched the lost data takes an old
	// revision for a new one: more than the changes of a month at hundreds in a second.
	etcdBump = "1000000000"
)

// etcdPatience is how long etcd may take to be back after its manifest has changed.
const etcdPatience = 4 * time.Minute

// loneEtcd makes what etcd has on this machine a cluster of one member. It is for a majority that is lost for good: what
// the others alone had is lost.
func (d *daemon) loneEtcd(ctx context.Context) error {
	d.joining.Lock()
	defer d.joining.Unlock()
	m := d.machine
	kept, err := m.Read(etcdKept)
	if err != nil {
		return err
	}
	if kept == nil {
		if kept, err = m.Read(etcdManifest); err != nil {
			return err
		}
		if kept == nil {
			return fmt.Errorf("this machine has no etcd: there is no %s", etcdManifest)
		}
		if _, err := m.Write(etcdKept, kept, 0o600); err != nil {
			return err
		}
	}
	lone, err := withForceNew(string(kept))
	if err != nil {
		return err
	}
	if _, err := m.Write(etcdManifest, []byte(lone), 0o600); err != nil {
		return err
	}
	failed := d.awaitEtcd(ctx, true)
	if err := d.putBackEtcd(); err != nil || failed != nil {
		return errors.Join(failed, err)
	}
	if err := d.awaitEtcd(ctx, false); err != nil {
		return err
	}
	// An API server that failed for long is started again after minutes only; a new kubelet doesn't know that.
	return m.RestartService(ctx, kubeletService)
}

// endLoneEtcd puts etcd's manifest back that an agent which ended too early left changed.
func (d *daemon) endLoneEtcd() error {
	if !d.machine.Exists(etcdKept) || !d.joining.TryLock() {
		return nil
	}
	defer d.joining.Unlock()
	return d.putBackEtcd()
}

func (d *daemon) putBackEtcd() error {
	kept, err := d.machine.Read(etcdKept)
	if err != nil || kept == nil {
		return err
	}
	if _, err := d.machine.Write(etcdManifest, kept, 0o600); err != nil {
		return err
	}
	_, err = d.machine.Remove(etcdKept)
	return err
}

var etcdCommand = regexp.MustCompile(`(?m)^( *)- etcd$`)

// withForceNew adds the flag to a manifest of kubeadm's.
func withForceNew(manifest string) (string, error) {
	if len(etcdCommand.FindAllString(manifest, -1)) != 1 {
		return "", fmt.Errorf("%s is not as kubeadm writes it: it has no line \"- etcd\"", etcdManifest)
	}
	return etcdCommand.ReplaceAllString(manifest, "$0\n$1- "+forceNew), nil
}

// awaitEtcd waits until etcd runs with the flag, or without it, and its majority answers.
func (d *daemon) awaitEtcd(ctx context.Context, lone bool) error {
	ctx, cancel := context.WithTimeout(ctx, etcdPatience)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		running, err := processes(d.machine, "etcd")
		if err == nil && len(running) == 1 && slices.Contains(running[0].args, forceNew) == lone {
			if err = ready(ctx, etcdReady); err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for etcd to answer, with %s %t (%d of it run): %w", forceNew, lone, len(running), errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

func ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

// process is a program that runs on the machine.
type process struct {
	pid  string
	args []string
}

// processes are those that run a program, by the program's name, in containers too.
func processes(m *host.Machine, name string) ([]process, error) {
	all, err := filepath.Glob(m.Path("/proc/[0-9]*/cmdline"))
	if err != nil {
		return nil, err
	}
	var out []process
	for _, file := range all {
		data, err := os.ReadFile(file)
		if err != nil { // it has ended meanwhile
			continue
		}
		if args := strings.Split(strings.TrimRight(string(data), "\x00"), "\x00"); path.Base(args[0]) == name {
			out = append(out, process{pid: filepath.Base(filepath.Dir(file)), args: args})
		}
	}
	return out, nil
}

// restoreEtcd makes a snapshot the data of an etcd of one member, with etcd's own tool from etcd's own image.
func (d *daemon) restoreEtcd(ctx context.Context, s node.Snapshot, output io.Writer) (err error) {
	m := d.machine
	const plain, tool, mount = host.StateDir + "/etcd-snapshot.db", host.ProgramDir + "/etcdutl", host.RunDir + "/etcd-image"
	if err := unzip(m.Path(s.File), m.Path(plain)); err != nil {
		return err
	}
	image, err := d.etcdImage(ctx)
	if err != nil {
		return err
	}
	defer func() {
		for _, name := range []string{plain, tool, s.File} {
			_, removed := m.Remove(name)
			err = errors.Join(err, removed)
		}
	}()
	if err := d.takeOut(ctx, image, mount, "/usr/local/bin/etcdutl", tool); err != nil {
		return err
	}
	if _, err := m.Remove(etcdData); err != nil {
		return err
	}
	_, err = m.Tools.Run(ctx, host.Command{Name: "etcdutl", Output: output, Args: []string{
		"snapshot", "restore", m.Path(plain), "--data-dir", m.Path(etcdData), "--name", s.Member,
		"--initial-cluster", s.Member + "=" + s.Peer, "--initial-advertise-peer-urls", s.Peer,
		"--bump-revision", etcdBump, "--mark-compacted",
	}})
	return err
}

// etcdImage is the image that kubeadm will run; it is there when this returns.
func (d *daemon) etcdImage(ctx context.Context) (string, error) {
	listed, err := d.machine.Tools.Run(ctx, host.Command{Name: "kubeadm", Args: []string{"config", "images", "list", "--config", d.machine.Path(kubeadmConfigFile)}})
	if err != nil {
		return "", err
	}
	image := ""
	for ref := range strings.FieldsSeq(listed) {
		if strings.Contains(ref, "/etcd:") {
			image = ref
		}
	}
	if image == "" {
		return "", fmt.Errorf("kubeadm names no image of etcd: %s", listed)
	}
	there, err := d.ctr(ctx, "images", "list", "-q", "name=="+image)
	if err == nil && strings.TrimSpace(there) == "" {
		_, err = d.ctr(ctx, "images", "pull", image)
	}
	return image, err
}

// takeOut copies a program out of an image.
func (d *daemon) takeOut(ctx context.Context, image, mount, program, to string) (err error) {
	m := d.machine
	if err := os.MkdirAll(m.Path(mount), 0o700); err != nil {
		return fmt.Errorf("look into image %s: %w", image, err)
	}
	if _, err := d.ctr(ctx, "images", "mount", image, m.Path(mount)); err != nil {
		return err
	}
	defer func() {
		_, undone := d.ctr(ctx, "images", "unmount", "--rm", m.Path(mount))
		err = errors.Join(err, undone)
	}()
	data, err := os.ReadFile(m.Path(mount + program))
	if err != nil {
		return fmt.Errorf("look into image %s: %w", image, err)
	}
	_, err = m.Write(to, data, 0o755)
	return err
}

func (d *daemon) ctr(ctx context.Context, args ...string) (string, error) {
	return d.machine.Tools.Run(ctx, host.Command{Name: "ctr", Args: append([]string{"--namespace", "k8s.io"}, args...)})
}

func unzip(from, to string) (err error) {
	in, err := os.Open(filepath.Clean(from))
	if err != nil {
		return fmt.Errorf("open the snapshot of etcd: %w", err)
	}
	defer in.Close()
	packed, err := gzip.NewReader(in)
	if err != nil {
		return fmt.Errorf("open the snapshot of etcd: %w", err)
	}
	out, err := os.OpenFile(filepath.Clean(to), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the snapshot of etcd: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, packed); err != nil {
		return fmt.Errorf("open the snapshot of etcd: %w", err)
	}
	return nil
}
