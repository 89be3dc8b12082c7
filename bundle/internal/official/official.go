// Package official makes the manifest of a bundle that consists of what the projects release themselves, each digest
// taken from the checksum file that the project publishes beside the artefact. It downloads no artefact.
package official

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/skyweld/skyweld/bundle/internal/manifest"
)

// Options say what the manifest is for.
type Options struct {
	Kubernetes, Containerd, Runc, CNI string // versions with their "v"

	Architecture string // Go's name

	// BaseURL is that of a mirror which has each site's files under the site's name, as in
	// https://mirror.example/dl.k8s.io/release/… Empty means the sites themselves, over HTTPS.
	BaseURL string

	ProgramFolder string // on the node, for all but the pod network's plugins
	CNIFolder     string // on the node, for those
}

const (
	// requestTimeout bounds one small file, redirects included.
	requestTimeout = time.Minute
	// maxChecksumFile is far more than any checksum file has, in bytes.
	maxChecksumFile = 1 << 20
)

var version = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$`)

// source is one artefact, its place on the node, and its checksum file.
type source struct {
	file     manifest.File // without digest and size
	checksum string        // URL of a file with the digest
}

// Manifest asks the publishers for the digests and sizes and gives the whole manifest. Its images are none: a node's
// container runtime pulls them from registry.k8s.io by itself.
func Manifest(ctx context.Context, options Options) (*manifest.Manifest, error) {
	for _, v := range []string{options.Kubernetes, options.Containerd, options.Runc, options.CNI} {
		if !version.MatchString(v) {
			return nil, fmt.Errorf("official manifest: %q is not a version like v1.2.3", v)
		}
	}
	m := &manifest.Manifest{
		APIVersion: manifest.APIVersion, KubernetesVersion: options.Kubernetes, OS: "linux",
		Architecture: options.Architecture, Images: []manifest.Image{},
	}
	client := &http.Client{Timeout: requestTimeout}
	for _, s := range options.sources() {
		file := s.file
		var err error
		if file.SHA256, err = publishedDigest(ctx, client, s.checksum, path.Base(file.URL)); err != nil {
			return nil, fmt.Errorf("official manifest: %s: %w", file.Name, err)
		}
		if file.Size, err = publishedSize(ctx, client, file.URL); err != nil {
			return nil, fmt.Errorf("official manifest: %s: %w", file.Name, err)
		}
		m.Files = append(m.Files, file)
	}
	return m, nil
}

// site gives the start of the URLs of one publisher.
func (o Options) site(name string) string {
	if o.BaseURL == "" {
		return "https://" + name
	}
	return strings.TrimSuffix(o.BaseURL, "/") + "/" + name
}

func (o Options) sources() []source {
	var all []source
	for _, name := range []string{"kubeadm", "kubectl", "kubelet"} {
		url := fmt.Sprintf("%s/release/%s/bin/linux/%s/%s", o.site("dl.k8s.io"), o.Kubernetes, o.Architecture, name)
		all = append(all, source{checksum: url + ".sha256", file: o.program(name, url)})
	}
	github := o.site("github.com")
	archive := fmt.Sprintf("%s/containerd/containerd/releases/download/%s/containerd-%s-linux-%s.tar.gz",
		github, o.Containerd, strings.TrimPrefix(o.Containerd, "v"), o.Architecture)
	all = append(all, source{checksum: archive + ".sha256sum", file: manifest.File{
		Name: "containerd", URL: archive, Path: o.ProgramFolder, Unpack: manifest.TarGz, Strip: 1, // all is in bin/
	}})
	runc := fmt.Sprintf("%s/opencontainers/runc/releases/download/%s", github, o.Runc)
	all = append(all, source{checksum: runc + "/runc.sha256sum", file: o.program("runc", runc+"/runc."+o.Architecture)})
	plugins := fmt.Sprintf("%s/containernetworking/plugins/releases/download/%s/cni-plugins-linux-%s-%s.tgz",
		github, o.CNI, o.Architecture, o.CNI)
	return append(all, source{checksum: plugins + ".sha256", file: manifest.File{
		Name: "cni", URL: plugins, Path: o.CNIFolder, Unpack: manifest.TarGz,
	}})
}

func (o Options) program(name, url string) manifest.File {
	return manifest.File{Name: name, URL: url, Path: path.Join(o.ProgramFolder, name), Mode: "0755"}
}

// publishedDigest reads the checksum file at url and gives the digest of the artefact called name.
func publishedDigest(ctx context.Context, client *http.Client, url, name string) (string, error) {
	response, err := request(ctx, client, http.MethodGet, url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	digest, err := findDigest(io.LimitReader(response.Body, maxChecksumFile), name)
	if err != nil {
		return "", fmt.Errorf("checksum file %s: %w", url, err)
	}
	return digest, nil
}

// findDigest reads a checksum file: either a bare digest, or lines as sha256sum(1) writes them, "digest  name" or
// "digest *name". Two different digests for one name are an error, as is none.
func findDigest(r io.Reader, name string) (string, error) {
	found := ""
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || len(fields) > 2 || !isDigest(fields[0]) {
			continue
		}
		if len(fields) == 2 && path.Base(strings.TrimPrefix(fields[1], "*")) != name {
			continue
		}
		digest := strings.ToLower(fields[0])
		if found != "" && found != digest {
			return "", fmt.Errorf("two digests for %s", name)
		}
		found = digest
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	if found == "" {
		return "", fmt.Errorf("no digest for %s", name)
	}
	return found, nil
}

func isDigest(text string) bool {
	decoded, err := hex.DecodeString(text)
	return err == nil && len(decoded) == 32
}

// publishedSize asks for the size of what is at url, in bytes; 0 when the publisher doesn't say. It also proves that
// the artefact is there.
func publishedSize(ctx context.Context, client *http.Client, url string) (int64, error) {
	response, err := request(ctx, client, http.MethodHead, url)
	if err != nil {
		return 0, err
	}
	response.Body.Close()
	return max(response.ContentLength, 0), nil
}

// request does one request and gives an answer whose status is 200.
func request(ctx context.Context, client *http.Client, method, url string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, errors.New(strings.ToLower(method) + " " + url + ": " + response.Status)
	}
	return response, nil
}
