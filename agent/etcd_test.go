package agent

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/kube"
	"github.com/skyweld/skyweld/node"
)

const manifest = `apiVersion: v1
kind: Pod
spec:
  containers:
  - command:
    - etcd
    - --advertise-client-urls=https://10.64.0.11:2379
    image: registry.k8s.io/etcd:3.6.8-0
    name: etcd
`

func put(t *testing.T, m *host.Machine, name, content string) {
	t.Helper()
	if _, err := m.Write(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLoneEtcd has nobody start etcd: the manifest must not stay changed, however it ends.
func TestLoneEtcd(t *testing.T) {
	lone, err := withForceNew(manifest)
	if err != nil || !strings.Contains(lone, "    - etcd\n    - --force-new-cluster=true\n    - --advertise") {
		t.Errorf("changed to %s, %v", lone, err)
	}
	if _, err := withForceNew("kind: Pod\n"); err == nil {
		t.Error("a manifest that isn't kubeadm's was changed")
	}
	d, _ := newDaemon(t)
	if err := d.loneEtcd(context.Background()); err == nil || !strings.Contains(err.Error(), "has no etcd") {
		t.Errorf("without etcd: %v", err)
	}
	put(t, d.machine, etcdManifest, manifest)
	put(t, d.machine, "/proc/7/cmdline", "etcd\x00--advertise-client-urls=x\x00")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := d.loneEtcd(ctx); err == nil {
		t.Error("nothing ran with the flag, and yet it is done")
	}
	same := func(when string) {
		t.Helper()
		if data, _ := d.machine.Read(etcdManifest); string(data) != manifest || d.machine.Exists(etcdKept) {
			t.Errorf("%s the manifest is %s", when, data)
		}
	}
	same("after a failure")
	put(t, d.machine, etcdKept, manifest)
	put(t, d.machine, etcdManifest, lone)
	if err := d.mend(context.Background(), false); err != nil {
		t.Fatal(err)
	}
	same("after an agent that ended in the middle")
}

func TestRestore(t *testing.T) {
	d, fake := newDaemon(t)
	ctx := context.Background()
	if _, err := d.apply(ctx, signed(t, testConfig())); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write([]byte("the data")); err != nil || zip.Close() != nil {
		t.Fatal(err)
	}
	put(t, d.machine, node.SnapshotFile, packed.String())
	fake.calls = nil
	fake.say = map[string]string{"kubeadm config images list": "registry.k8s.io/pause:3.10\nregistry.k8s.io/etcd:3.6.8-0\n"}
	fake.on = func(c host.Command) {
		switch {
		case slices.Contains(c.Args, "mount"):
			put(t, d.machine, host.RunDir+"/etcd-image/usr/local/bin/etcdutl", "the tool")
		case c.Name == "etcdutl":
			data, err := os.ReadFile(c.Args[2])
			tool, _ := d.machine.Read(host.ProgramDir + "/etcdutl")
			if err != nil || string(data) != "the data" || string(tool) != "the tool" {
				t.Errorf("restores %q with %q, %v", data, tool, err)
			}
		}
	}
	b := node.Bootstrap{Action: "init", Config: "kind: InitConfiguration\n", Snapshot: &node.Snapshot{File: node.SnapshotFile, Member: "demo-aws-cp-1", Peer: "https://10.64.0.11:2380"}}
	if err := d.bootstrap(ctx, b, new(bytes.Buffer)); err != nil {
		t.Fatal(err)
	}
	root := d.machine.Path("/")
	want := []string{
		"kubeadm config images list --config " + d.machine.Path(kubeadmConfigFile),
		"ctr --namespace k8s.io images list -q name==registry.k8s.io/etcd:3.6.8-0",
		"ctr --namespace k8s.io images pull registry.k8s.io/etcd:3.6.8-0",
		"ctr --namespace k8s.io images mount registry.k8s.io/etcd:3.6.8-0 " + root + "/run/skyweld/etcd-image",
		"ctr --namespace k8s.io images unmount --rm " + root + "/run/skyweld/etcd-image",
		"etcdutl snapshot restore " + root + "/var/lib/skyweld/etcd-snapshot.db --data-dir " + root + "/var/lib/etcd --name demo-aws-cp-1" +
			" --initial-cluster demo-aws-cp-1=https://10.64.0.11:2380 --initial-advertise-peer-urls https://10.64.0.11:2380 --bump-revision 1000000000 --mark-compacted",
		"kubeadm init --config /run/skyweld/kubeadm.yaml --skip-token-print --skip-certificate-key-print --ignore-preflight-errors SystemVerification,DirAvailable--var-lib-etcd",
	}
	if diff := cmp.Diff(want, fake.calls); diff != "" {
		t.Error(diff)
	}
	for _, left := range []string{node.SnapshotFile, "/var/lib/skyweld/etcd-snapshot.db", host.ProgramDir + "/etcdutl"} {
		if d.machine.Exists(left) {
			t.Errorf("%s is left", left)
		}
	}
}

func TestCertificates(t *testing.T) {
	d, fake := newDaemon(t)
	now := time.Now().UTC().Truncate(time.Second)
	pki, err := kube.NewPKI(now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := pki.CA.Client("somebody", nil, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	put(t, d.machine, "/etc/kubernetes/pki/ca.crt", pki.CA.Cert)
	put(t, d.machine, "/etc/kubernetes/pki/apiserver.crt", pair.Cert)
	put(t, d.machine, "/etc/kubernetes/admin.conf", "users:\n- user:\n    client-certificate-data: "+base64.StdEncoding.EncodeToString([]byte(pair.Cert))+"\n")
	put(t, d.machine, "/etc/kubernetes/kubelet.conf", "users:\n- user:\n    client-certificate: "+kubeletClient+"\n")
	put(t, d.machine, kubeletClient, pair.Key+pair.Cert)
	got, err := certificates(d.machine)
	if err != nil {
		t.Fatal(err)
	}
	var want []node.Certificate
	for _, file := range []string{"/etc/kubernetes/pki/apiserver.crt", "/etc/kubernetes/admin.conf", kubeletClient} {
		want = append(want, node.Certificate{File: file, Expires: now.Add(time.Hour)})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	put(t, d.machine, etcdManifest, manifest)
	if err := d.renew(context.Background(), node.Renewal{Kubelet: "no PEM"}); err == nil {
		t.Error("no certificate, and yet taken")
	}
	if err := d.renew(context.Background(), node.Renewal{Kubelet: pair.Cert + pair.Key}); err != nil {
		t.Fatal(err)
	}
	data, err := d.machine.Read(kubeletMade)
	if to, linked := os.Readlink(d.machine.Path(kubeletClient)); string(data) != pair.Cert+pair.Key || to != kubeletMade || err != nil || linked != nil {
		t.Errorf("the kubelet has %q through %s, %v, %v", data, to, err, linked)
	}
	if !slices.Contains(fake.calls, "kubeadm certs renew all") {
		t.Errorf("ran %q", fake.calls)
	}
}
