// Package manifest is the list of everything that a node needs for one Kubernetes version, each thing with its digest.
// It is not for fetching or installing them: that is the node agent's part, which reads the same JSON.
package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// APIVersion names the format. A reader refuses any other.
const APIVersion = "skyweld.dev/bundle/v1alpha1"

// The roles of a node, in kubeadm's words.
const (
	ControlPlane = "control-plane"
	Worker       = "worker"
)

// TarGz is the one kind of archive that File.Unpack may name.
const TarGz = "tar.gz"

// Manifest is a whole bundle.
type Manifest struct {
	APIVersion        string  `json:"apiVersion"`
	KubernetesVersion string  `json:"kubernetesVersion"` // with its "v", as in v1.36.3
	OS                string  `json:"os"`                // Go's name, always linux
	Architecture      string  `json:"architecture"`      // Go's name, as in amd64
	Files             []File  `json:"files"`
	Images            []Image `json:"images"`
}

// File is one thing to download and put on the node's disk.
type File struct {
	Name   string   `json:"name"`
	URL    string   `json:"url"`             // absolute, or relative to the manifest's own
	SHA256 string   `json:"sha256"`          // of what the URL serves, in hex
	Size   int64    `json:"size"`            // of what the URL serves, in bytes; 0 when the publisher doesn't say
	Path   string   `json:"path"`            // of the file, or of the folder to unpack into
	Mode   string   `json:"mode"`            // octal, as in 0755; empty for an archive, whose entries have their own
	Unpack string   `json:"unpack"`          // "" for a plain file, or TarGz
	Strip  int      `json:"strip,omitempty"` // leading path components that unpacking drops
	Links  []string `json:"links,omitempty"` // absolute paths of symbolic links to Path
}

// Image is one docker-archive to import into the node's container runtime.
type Image struct {
	Name   string   `json:"name"`
	URL    string   `json:"url"`
	SHA256 string   `json:"sha256"`
	Size   int64    `json:"size"`
	Refs   []string `json:"refs"`  // every name the archive carries
	Roles  []string `json:"roles"` // of the nodes that need it
}

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Validate says everything that is wrong with the manifest, or nil.
func (m *Manifest) Validate() error {
	var problems []error
	fail := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if m.APIVersion != APIVersion {
		fail("apiVersion is %q, not %q", m.APIVersion, APIVersion)
	}
	if !strings.HasPrefix(m.KubernetesVersion, "v") {
		fail("kubernetesVersion %q doesn't start with v", m.KubernetesVersion)
	}
	if m.OS == "" || m.Architecture == "" {
		fail("os or architecture is missing")
	}
	seen := map[string]bool{}
	for _, file := range m.Files {
		for _, problem := range file.problems() {
			fail("file %q: %s", file.Name, problem)
		}
		places := file.Links
		if file.Unpack == "" {
			places = append([]string{file.Path}, file.Links...)
		}
		for _, place := range places {
			if seen[place] {
				fail("file %q: %s is taken already", file.Name, place)
			}
			seen[place] = true
		}
	}
	for _, image := range m.Images {
		for _, problem := range image.problems() {
			fail("image %q: %s", image.Name, problem)
		}
	}
	return errors.Join(problems...)
}

func (f *File) problems() []string {
	problems := sourceProblems(f.Name, f.URL, f.SHA256, f.Size)
	for _, place := range append([]string{f.Path}, f.Links...) {
		if !path.IsAbs(place) || path.Clean(place) != place {
			problems = append(problems, fmt.Sprintf("path %q is not a clean absolute path", place))
		}
	}
	switch f.Unpack {
	case "":
		if mode, err := strconv.ParseUint(f.Mode, 8, 32); err != nil || mode > 0o7777 {
			problems = append(problems, fmt.Sprintf("mode %q is not an octal mode", f.Mode))
		}
		if f.Strip != 0 {
			problems = append(problems, "strip without unpack")
		}
	case TarGz:
		if f.Strip < 0 {
			problems = append(problems, "strip is negative")
		}
	default:
		problems = append(problems, fmt.Sprintf("unknown unpack %q", f.Unpack))
	}
	return problems
}

func (i *Image) problems() []string {
	problems := sourceProblems(i.Name, i.URL, i.SHA256, i.Size)
	if len(i.Refs) == 0 {
		problems = append(problems, "no refs")
	}
	for _, role := range i.Roles {
		if role != ControlPlane && role != Worker {
			problems = append(problems, fmt.Sprintf("unknown role %q", role))
		}
	}
	return problems
}

func sourceProblems(name, address, digest string, size int64) []string {
	var problems []string
	if name == "" {
		problems = append(problems, "no name")
	}
	if _, err := url.Parse(address); err != nil || address == "" {
		problems = append(problems, fmt.Sprintf("url %q is not a URL", address))
	}
	if !hexDigest.MatchString(digest) {
		problems = append(problems, fmt.Sprintf("sha256 %q is not 64 hex digits", digest))
	}
	if size < 0 {
		problems = append(problems, "negative size")
	}
	return problems
}

// Encode gives the manifest as indented JSON, the same bytes for the same manifest. It refuses an invalid one.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("bundle manifest for %s: %w", m.KubernetesVersion, err)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(m); err != nil {
		return nil, fmt.Errorf("encode bundle manifest for %s: %w", m.KubernetesVersion, err)
	}
	return out.Bytes(), nil
}

// Read reads and validates the manifest file at name.
func Read(name string) (*Manifest, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read bundle manifest: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	m := &Manifest{}
	if err := decoder.Decode(m); err != nil {
		return nil, fmt.Errorf("read bundle manifest %s: %w", name, err)
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("bundle manifest %s: %w", name, err)
	}
	return m, nil
}

// Sums checks that every file and image whose URL is relative lies in folder with its size and, when whole is set,
// with its digest. It is how a bundle on disk is known to be complete.
func (m *Manifest) Sums(folder string, whole bool) error {
	check := func(address, digest string, size int64) error {
		if parsed, err := url.Parse(address); err != nil || parsed.IsAbs() {
			return err
		}
		name := filepath.Join(folder, filepath.FromSlash(address))
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if info.Size() != size {
			return fmt.Errorf("%s has %d bytes, not %d", name, info.Size(), size)
		}
		if !whole {
			return nil
		}
		got, _, err := Digest(name)
		if err == nil && got != digest {
			err = fmt.Errorf("%s has digest %s, not %s", name, got, digest)
		}
		return err
	}
	for _, file := range m.Files {
		if err := check(file.URL, file.SHA256, file.Size); err != nil {
			return fmt.Errorf("bundle file %s: %w", file.Name, err)
		}
	}
	for _, image := range m.Images {
		if err := check(image.URL, image.SHA256, image.Size); err != nil {
			return fmt.Errorf("bundle image %s: %w", image.Name, err)
		}
	}
	return nil
}

// Digest gives the SHA-256 in hex, and the size in bytes, of the file called name.
func Digest(name string) (digest string, size int64, err error) {
	file, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	hash := sha256.New()
	size, err = io.Copy(hash, file)
	if err != nil {
		return "", 0, fmt.Errorf("digest of %s: %w", name, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), size, nil
}
