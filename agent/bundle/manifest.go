// Package bundle installs the programs and images of one Kubernetes version on a node, as a manifest of URLs and digests
// says. It doesn't make bundles, and trusts nothing of them but the digests.
package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// APIVersion is the version of the manifest's format. The format is the bundle builder's.
const APIVersion = "skyweld.dev/bundle/v1alpha1"

// archive is the one kind of archive that can be unpacked.
const archive = "tar.gz"

// Manifest is a whole bundle.
type Manifest struct {
	APIVersion        string  `json:"apiVersion"`
	KubernetesVersion string  `json:"kubernetesVersion"`
	OS                string  `json:"os"`
	Architecture      string  `json:"architecture"`
	Files             []File  `json:"files"`
	Images            []Image `json:"images"`
}

// File is one thing to put on the node's disk.
type File struct {
	Name   string `json:"name"`
	URL    string `json:"url"` // absolute, or relative to the manifest's
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"` // in bytes, 0 when unknown
	// Path of the file, or of the folder to unpack into.
	Path string `json:"path"`
	Mode string `json:"mode"` // octal; empty for an archive
	// Unpack is "tar.gz", or empty for a plain file; Strip how many leading path components unpacking drops.
	Unpack string   `json:"unpack"`
	Strip  int      `json:"strip,omitempty"`
	Links  []string `json:"links,omitempty"` // symbolic links to Path
}

// Image is one archive of container images.
type Image struct {
	Name   string   `json:"name"`
	URL    string   `json:"url"`
	SHA256 string   `json:"sha256"`
	Size   int64    `json:"size"`
	Refs   []string `json:"refs"`
	Roles  []string `json:"roles"` // of the nodes that need it; empty for all
}

// Pause is the reference of the image that holds a pod's namespaces, empty when the bundle has none.
func (m Manifest) Pause() string {
	for _, image := range m.Images {
		for _, ref := range image.Refs {
			if name, _, ok := strings.Cut(path.Base(ref), ":"); ok && name == "pause" {
				return ref
			}
		}
	}
	return ""
}

// For says whether a node of a role needs the image.
func (i Image) For(role string) bool { return len(i.Roles) == 0 || slices.Contains(i.Roles, role) }

var digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Parse decodes a manifest, refuses fields it doesn't know, and says everything that is wrong with it. base is the
// manifest's own URL; the URLs of the result are absolute.
func Parse(data []byte, base string) (Manifest, error) {
	var m Manifest
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return Manifest{}, fmt.Errorf("bundle manifest: %w", err)
	}
	origin, err := url.Parse(base)
	if err != nil {
		return Manifest{}, fmt.Errorf("bundle manifest: %w", err)
	}
	var problems []error
	if m.APIVersion != APIVersion {
		problems = append(problems, fmt.Errorf("apiVersion is %q, not %q", m.APIVersion, APIVersion))
	}
	for i := range m.Files {
		f := &m.Files[i]
		if err := errors.Join(source(origin, &f.URL, f.SHA256, f.Size), f.check()); err != nil {
			problems = append(problems, fmt.Errorf("file %q: %w", f.Name, err))
		}
	}
	for i := range m.Images {
		image := &m.Images[i]
		err := source(origin, &image.URL, image.SHA256, image.Size)
		if err == nil && len(image.Refs) == 0 {
			err = errors.New("it has no refs")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("image %q: %w", image.Name, err))
		}
	}
	if len(problems) > 0 {
		return Manifest{}, fmt.Errorf("bundle manifest: %w", errors.Join(problems...))
	}
	return m, nil
}

// source checks where something comes from, and makes its address absolute.
func source(origin *url.URL, address *string, sum string, size int64) error {
	parsed, err := url.Parse(*address)
	if err != nil || *address == "" {
		return fmt.Errorf("url %q is not a URL", *address)
	}
	absolute := origin.ResolveReference(parsed)
	if absolute.Scheme != "http" && absolute.Scheme != "https" {
		return fmt.Errorf("url %q is neither http nor https", absolute)
	}
	*address = absolute.String()
	if !digest.MatchString(sum) {
		return fmt.Errorf("sha256 %q is not 64 hex digits", sum)
	}
	if size < 0 {
		return fmt.Errorf("size %d is negative", size)
	}
	return nil
}

func (f *File) check() error {
	for _, place := range append([]string{f.Path}, f.Links...) {
		if !path.IsAbs(place) || path.Clean(place) != place || place == "/" {
			return fmt.Errorf("path %q is not a clean absolute path", place)
		}
	}
	switch f.Unpack {
	case "":
		if _, err := f.mode(); err != nil {
			return err
		}
	case archive:
		if f.Strip < 0 {
			return fmt.Errorf("strip %d is negative", f.Strip)
		}
	default:
		return fmt.Errorf("unpack %q is not %q", f.Unpack, archive)
	}
	return nil
}

func (f *File) mode() (uint32, error) {
	mode, err := strconv.ParseUint(f.Mode, 8, 32)
	if err != nil || mode > 0o777 {
		return 0, fmt.Errorf("mode %q is not between 0 and 0777", f.Mode)
	}
	return uint32(mode), nil
}
