package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/skyweld/skyweld/bundle/internal/elflibs"
	"github.com/skyweld/skyweld/bundle/internal/image"
	"github.com/skyweld/skyweld/bundle/internal/manifest"
)

// An imageRecipe says what one image archive holds.
type imageRecipe struct {
	name       string
	refs       []string
	needs      []string // programs whose files go in
	host       []string // programs of this machine that go in, each with its loader and libraries
	fill       func(ctx context.Context, l *image.Layer, in inputs) error
	entrypoint []string
	command    []string
	user       string
	roles      []string // of the nodes that need it
}

// inputs are the files an image is made from: paths on this machine.
type inputs struct {
	program func(file string) string // of a built program's file
	host    hostFiles
}

// hostFiles are programs of the build machine and what they load.
type hostFiles struct {
	programs  map[string]string // path by name
	libraries []string
}

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func images() []imageRecipe {
	// Nearly all go everywhere: control-plane nodes run pods too, and kube-proxy, which workers need, shares its layer
	// with the control plane.
	both := []string{manifest.ControlPlane, manifest.Worker}
	return []imageRecipe{
		{
			name: "kube", refs: kubeRefs(), needs: []string{"hyperkube"}, host: []string{"conntrack", "nft"}, fill: fillKube,
			entrypoint: []string{"/usr/local/bin/hyperkube"}, roles: both,
		},
		{
			name: "etcd", refs: []string{registry + "etcd:" + etcdImageTag}, needs: []string{"etcd"}, fill: fillEtcd,
			entrypoint: []string{"/usr/local/bin/etcd"}, roles: []string{manifest.ControlPlane},
		},
		{
			// Root, unlike upstream's: the pod drops every right but binding low ports, and a right to do that as
			// another user would need extended attributes to survive each step from here to the node's disk.
			name: "coredns", refs: []string{registry + "coredns/coredns:" + corednsVersion}, needs: []string{"coredns"},
			fill: fillOne("coredns", "/coredns"), entrypoint: []string{"/coredns"}, roles: both,
		},
		{
			name: "pause", refs: []string{registry + "pause:" + pauseVersion}, needs: []string{"pause"},
			fill: fillOne("pause", "/pause"), entrypoint: []string{"/pause"}, user: "65535:65535", roles: both,
		},
		{
			name: "agnhost", refs: []string{registry + "e2e-test-images/agnhost:" + agnhostVersion}, needs: []string{"agnhost"},
			host: []string{"busybox", "curl"}, fill: fillAgnhost, roles: both,
			entrypoint: []string{"/agnhost"}, command: []string{"pause"},
		},
	}
}

// kubePrograms are the parts of Kubernetes that run as pods.
var kubePrograms = []string{"kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler"}

func kubeRefs() []string {
	refs := make([]string, len(kubePrograms))
	for i, name := range kubePrograms {
		refs[i] = registry + name + ":" + kubernetesVersion
	}
	return refs
}

func fillKube(_ context.Context, l *image.Layer, in inputs) error {
	base(l)
	l.File("/usr/local/bin/hyperkube", in.program("hyperkube"), 0o755)
	for _, name := range kubePrograms {
		l.Link("/usr/local/bin/"+name, "hyperkube")
	}
	// kube-proxy writes its rules with nft, and clears stale connections with conntrack.
	in.host.add(l)
	return nil
}

func fillEtcd(_ context.Context, l *image.Layer, in inputs) error {
	base(l)
	l.File("/usr/local/bin/etcd", in.program("etcd"), 0o755)
	l.Link("/usr/local/bin/etcdctl", "etcd")
	l.Link("/usr/local/bin/etcdutl", "etcd")
	return nil
}

func fillOne(file, place string) func(context.Context, *image.Layer, inputs) error {
	return func(_ context.Context, l *image.Layer, in inputs) error {
		l.File(place, in.program(file), 0o755)
		return nil
	}
}

// fillAgnhost adds a shell, the usual small tools and curl, since checks run commands inside these pods.
func fillAgnhost(ctx context.Context, l *image.Layer, in inputs) error {
	base(l)
	l.File("/agnhost", in.program("agnhost"), 0o755)
	in.host.add(l)
	busybox := in.host.programs["busybox"]
	applets, err := output(ctx, "", os.Environ(), busybox, "--list-full")
	if err != nil {
		return err
	}
	for applet := range strings.Lines(applets) {
		applet = path.Clean("/" + strings.TrimSpace(applet))
		if applet != "/" && path.Dir(applet) != "/" && !l.Has(applet) {
			l.Link(applet, busybox)
		}
	}
	if !l.Has("/bin/sh") {
		return fmt.Errorf("%s has no sh", busybox)
	}
	return nil
}

// base adds what programs expect of any root.
func base(l *image.Layer) {
	l.Folder("/tmp", 0o1777)
	l.Folder("/root", 0o700)
	l.Data("/etc/passwd", []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"), 0o644)
	l.Data("/etc/group", []byte("root:x:0:\nnogroup:x:65534:\n"), 0o644)
	l.Data("/etc/nsswitch.conf", []byte("passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\n"), 0o644)
	// nft translates the names of protocols with this.
	l.Data("/etc/protocols", []byte("ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nesp 50 ESP\nah 51 AH\n"+
		"ipv6-icmp 58 IPv6-ICMP icmpv6\nsctp 132 SCTP\nudplite 136 UDPLite\n"), 0o644)
}

// findHostFiles looks for the programs where distributions put them, and for what they load.
func findHostFiles(names []string) (hostFiles, error) {
	found := hostFiles{programs: map[string]string{}}
	var paths []string
	for _, name := range names {
		place, err := findProgram(name)
		if err != nil {
			return hostFiles{}, err
		}
		found.programs[name] = place
		paths = append(paths, place)
	}
	resolver, err := elflibs.NewResolver("")
	if err != nil {
		return hostFiles{}, err
	}
	found.libraries, err = resolver.Closure(paths...)
	if err != nil {
		return hostFiles{}, fmt.Errorf("libraries of %s: %w", strings.Join(names, ", "), err)
	}
	return found, nil
}

// findProgram doesn't ask PATH: where the program lies is part of the image.
func findProgram(name string) (string, error) {
	for _, folder := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		place := filepath.Join(folder, name)
		if info, err := os.Stat(place); err == nil && info.Mode().IsRegular() {
			return place, nil
		}
	}
	return "", fmt.Errorf("program %s not found on this machine (packages.txt lists what a build needs)", name)
}

// add puts every file at its own path.
func (h hostFiles) add(l *image.Layer) {
	for _, place := range h.programs {
		l.File(place, place, 0o755)
	}
	for _, library := range h.libraries {
		l.File(library, library, 0o755)
	}
}

// imageKey is the key of an image archive: the keys of its programs, the content of this machine's files, and how it
// is put together, which is this file and the package that writes it.
func imageKey(source string, r imageRecipe, host hostFiles, programKeys map[string]string) (string, error) {
	k := newKeyer("image", r.name)
	k.add(r.refs...)
	k.add(runtime.GOARCH)
	for _, name := range r.needs {
		k.add(programKeys[name])
	}
	for _, name := range r.host {
		if err := k.addFile(host.programs[name], host.programs[name]); err != nil {
			return "", fmt.Errorf("key of image %s: %w", r.name, err)
		}
	}
	for _, library := range host.libraries {
		if err := k.addFile(library, library); err != nil {
			return "", fmt.Errorf("key of image %s: %w", r.name, err)
		}
	}
	if err := k.addSources(filepath.Join(source, "internal", "image")); err != nil {
		return "", fmt.Errorf("key of image %s: %w", r.name, err)
	}
	if err := k.addFile("images.go", filepath.Join(source, "images.go")); err != nil {
		return "", fmt.Errorf("key of image %s: %w", r.name, err)
	}
	return k.sum(), nil
}

// writeImage makes the image's archive at name.
func writeImage(ctx context.Context, r imageRecipe, in inputs, name string) error {
	layer := &image.Layer{}
	if err := r.fill(ctx, layer, in); err != nil {
		return fmt.Errorf("image %s: %w", r.name, err)
	}
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("image %s: %w", r.name, err)
	}
	defer file.Close()
	content := image.Image{
		Refs: r.refs, Architecture: runtime.GOARCH, Layer: layer, Entrypoint: r.entrypoint, Command: r.command,
		User: r.user, Env: []string{"PATH=" + searchPath},
	}
	if err := content.WriteArchive(file); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("image %s: %w", r.name, err)
	}
	return nil
}
