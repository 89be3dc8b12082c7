// Package image writes container images as docker-archive tars from files on this machine, byte for byte the same for
// the same content. It builds no image from instructions and talks to no registry.
//
// The format is that of "docker save" (https://github.com/moby/docker-image-spec), which containerd imports.
package image

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// Image is one image: a single layer, how to run it, and its names.
type Image struct {
	Refs         []string // full names with tags; at least one
	Architecture string   // Go's name
	Layer        *Layer
	Entrypoint   []string
	Command      []string
	User         string   // "uid:gid", or empty for root
	Env          []string // KEY=value
}

// The three JSON shapes of the format; only what is needed of them.
type (
	configFile struct {
		Architecture string    `json:"architecture"`
		OS           string    `json:"os"`
		Created      string    `json:"created"`
		Config       runConfig `json:"config"`
		RootFS       rootFS    `json:"rootfs"`
	}
	runConfig struct {
		User       string   `json:"User,omitempty"`
		Env        []string `json:"Env,omitempty"`
		Entrypoint []string `json:"Entrypoint,omitempty"`
		Cmd        []string `json:"Cmd,omitempty"`
		WorkingDir string   `json:"WorkingDir,omitempty"`
	}
	rootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
	archiveItem struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
)

// WriteArchive writes the image to w. The layer is written twice, once only to learn its digest, so its files must
// not change meanwhile; that they did is an error.
func (i *Image) WriteArchive(w io.Writer) error {
	if len(i.Refs) == 0 {
		return fmt.Errorf("image without a name")
	}
	digest, size, err := i.measure()
	if err != nil {
		return fmt.Errorf("image %s: %w", i.Refs[0], err)
	}
	config, err := json.Marshal(configFile{
		Architecture: i.Architecture, OS: "linux", Created: epoch.Format("2006-01-02T15:04:05Z"),
		Config: runConfig{User: i.User, Env: i.Env, Entrypoint: i.Entrypoint, Cmd: i.Command, WorkingDir: "/"},
		RootFS: rootFS{Type: "layers", DiffIDs: []string{"sha256:" + digest}},
	})
	if err != nil {
		return fmt.Errorf("image %s: %w", i.Refs[0], err)
	}
	sum := sha256.Sum256(config)
	configName, layerName := hex.EncodeToString(sum[:])+".json", digest+"/layer.tar"
	items, err := json.Marshal([]archiveItem{{Config: configName, RepoTags: i.Refs, Layers: []string{layerName}}})
	if err != nil {
		return fmt.Errorf("image %s: %w", i.Refs[0], err)
	}
	if err := i.write(w, configName, config, layerName, digest, size, items); err != nil {
		return fmt.Errorf("image %s: %w", i.Refs[0], err)
	}
	return nil
}

func (i *Image) write(w io.Writer, configName string, config []byte, layerName, digest string, size int64, items []byte) error {
	archive := tar.NewWriter(w)
	header := func(name string, size int64) error {
		return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: epoch})
	}
	if err := header(configName, int64(len(config))); err != nil {
		return err
	}
	if _, err := archive.Write(config); err != nil {
		return err
	}
	if err := header(layerName, size); err != nil {
		return err
	}
	hash := sha256.New()
	if err := i.Layer.Write(io.MultiWriter(archive, hash)); err != nil {
		return err
	}
	if again := hex.EncodeToString(hash.Sum(nil)); again != digest {
		return fmt.Errorf("the layer's files changed while it was written")
	}
	if err := header("manifest.json", int64(len(items))); err != nil {
		return err
	}
	if _, err := archive.Write(items); err != nil {
		return err
	}
	return archive.Close()
}

// measure gives the digest and the size of the layer's tar.
func (i *Image) measure() (digest string, size int64, err error) {
	hash := sha256.New()
	counter := &countingWriter{}
	if err := i.Layer.Write(io.MultiWriter(hash, counter)); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(hash.Sum(nil)), counter.count, nil
}

type countingWriter struct{ count int64 }

func (c *countingWriter) Write(data []byte) (int, error) {
	c.count += int64(len(data))
	return len(data), nil
}
