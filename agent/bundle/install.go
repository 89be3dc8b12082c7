package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skyweld/skyweld/agent/host"
	"github.com/skyweld/skyweld/node"
)

const (
	recordFile = host.StateDir + "/bundle.json"
	downloads  = host.StateDir + "/downloads"
	parallel   = 4
	// namespace is containerd's for what Kubernetes sees.
	namespace = "k8s.io"
)

// record is what is installed, as bundle.json holds it.
type record struct {
	// Manifest is the last one, with the digest it came by and its URL, so that a machine that is as wanted asks nobody.
	SHA256   string          `json:"sha256"`
	URL      string          `json:"url"`
	Manifest json.RawMessage `json:"manifest"`
	// Files are by the path of the manifest and name; Images the archives' digests, with what they brought.
	Files  map[string]installed `json:"files"`
	Images map[string][]string  `json:"images"`
}

type installed struct {
	SHA256  string   `json:"sha256"`
	Links   []string `json:"links,omitempty"`
	Entries []entry  `json:"entries"`
}

// entry is one file on the disk. A file with the same size and time as when it was written is taken to be the same.
type entry struct {
	Path string    `json:"path"`
	Size int64     `json:"size"`
	Time time.Time `json:"time"`
}

// Installer installs one bundle.
type Installer struct {
	machine  *host.Machine
	role     string
	manifest Manifest
	fetch    *fetcher
	record   record
}

// Open gets the manifest that a node config names, from the machine when it has it, and makes ready for installing.
func Open(ctx context.Context, m *host.Machine, wanted node.Bundle, role string) (*Installer, error) {
	installer := &Installer{machine: m, role: role}
	var err error
	if installer.record, err = readRecord(m); err != nil {
		return nil, err
	}
	if installer.fetch, err = newFetcher(wanted.Proxy); err != nil {
		return nil, err
	}
	if installer.record.SHA256 != wanted.SHA256 || installer.record.URL != wanted.URL {
		data, err := installer.fetch.manifest(ctx, wanted.URL, wanted.SHA256)
		if err != nil {
			return nil, err
		}
		installer.record.SHA256, installer.record.URL, installer.record.Manifest = wanted.SHA256, wanted.URL, data
	}
	installer.manifest, err = Parse(installer.record.Manifest, wanted.URL)
	return installer, err
}

// Manifest is the opened one.
func (i *Installer) Manifest() Manifest { return i.manifest }

// Close ends the connections of the downloads.
func (i *Installer) Close() { i.fetch.close() }

// Files puts all files in place and fetches the images that were never imported, all at once, and says in words what was
// changed.
func (i *Installer) Files(ctx context.Context) ([]string, error) {
	var missing []File
	for _, file := range i.manifest.Files {
		if !i.has(file) {
			missing = append(missing, file)
		}
	}
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(parallel)
	done := make([]installed, len(missing))
	for n, file := range missing {
		all.Go(func() (err error) {
			done[n], err = i.place(ctx, file)
			return err
		})
	}
	for _, image := range i.manifest.Images {
		if _, imported := i.record.Images[image.SHA256]; image.For(i.role) && !imported {
			all.Go(func() error { return i.fetchImage(ctx, image) })
		}
	}
	err := all.Wait()
	var changed []string
	for n, file := range missing {
		if len(done[n].Entries) > 0 {
			i.record.Files[file.key()] = done[n]
			changed = append(changed, "installed "+file.Name)
		}
	}
	gone, removeErr := i.removeOld()
	changed = append(changed, gone...)
	return changed, errors.Join(err, removeErr, i.save())
}

func (f File) key() string { return f.Path + " " + f.Name }

// has says whether a file is there as it was installed.
func (i *Installer) has(file File) bool {
	known, ok := i.record.Files[file.key()]
	if !ok || known.SHA256 != file.SHA256 || !slices.Equal(known.Links, file.Links) || len(known.changed(i.machine)) > 0 {
		return false
	}
	for _, link := range file.Links {
		if target, err := os.Readlink(i.machine.Path(link)); err != nil || target != file.Path {
			return false
		}
	}
	return true
}

// Changed lists the installed files that somebody changed or took away.
func Changed(m *host.Machine) ([]string, error) {
	known, err := readRecord(m)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, file := range known.Files {
		out = append(out, file.changed(m)...)
	}
	slices.Sort(out)
	return out, nil
}

func (f installed) changed(m *host.Machine) []string {
	var out []string
	for _, e := range f.Entries {
		info, err := os.Stat(m.Path(e.Path))
		if err != nil || info.Size() != e.Size || !info.ModTime().Equal(e.Time) {
			out = append(out, e.Path)
		}
	}
	return out
}

// place downloads a file and puts it where it belongs. A plain one is downloaded beside its place, so that a rename does it.
func (i *Installer) place(ctx context.Context, file File) (installed, error) {
	result := installed{SHA256: file.SHA256, Links: file.Links}
	var paths []string
	if file.Unpack == archive {
		download := i.machine.Path(path.Join(downloads, file.SHA256))
		if err := i.fetch.file(ctx, file.Name, file.URL, file.SHA256, download); err != nil {
			return installed{}, err
		}
		var err error
		if paths, err = unpack(i.machine, download, file.Path, file.Strip); err != nil {
			return installed{}, fmt.Errorf("unpack %s: %w", file.Name, err)
		}
		if err := os.Remove(download); err != nil {
			return installed{}, fmt.Errorf("unpack %s: %w", file.Name, err)
		}
	} else {
		mode, err := file.mode()
		if err != nil {
			return installed{}, err
		}
		target := i.machine.Path(file.Path)
		download := filepath.Join(filepath.Dir(target), ".skyweld-"+file.SHA256[:16])
		if err := i.fetch.file(ctx, file.Name, file.URL, file.SHA256, download); err != nil {
			return installed{}, err
		}
		if err := errors.Join(os.Chmod(download, os.FileMode(mode)), os.Rename(download, target)); err != nil {
			return installed{}, fmt.Errorf("install %s: %w", file.Name, err)
		}
		paths = []string{file.Path}
	}
	for _, link := range file.Links {
		if _, err := i.machine.Link(link, file.Path); err != nil {
			return installed{}, fmt.Errorf("install %s: %w", file.Name, err)
		}
	}
	for _, place := range paths {
		info, err := os.Stat(i.machine.Path(place))
		if err != nil {
			return installed{}, fmt.Errorf("install %s: %w", file.Name, err)
		}
		result.Entries = append(result.Entries, entry{Path: place, Size: info.Size(), Time: info.ModTime()})
	}
	return result, nil
}

// removeOld takes away what an earlier bundle brought and this one doesn't.
func (i *Installer) removeOld() ([]string, error) {
	kept, wanted := map[string]bool{}, map[string]bool{}
	for _, file := range i.manifest.Files {
		wanted[file.key()] = true
		for _, place := range i.record.Files[file.key()].paths() {
			kept[place] = true
		}
	}
	var changed []string
	var problems []error
	for key, old := range i.record.Files {
		if wanted[key] {
			continue
		}
		for _, place := range old.paths() {
			if kept[place] {
				continue
			}
			removed, err := i.machine.Remove(place)
			problems = append(problems, err)
			if removed {
				changed = append(changed, "removed "+place)
			}
		}
		delete(i.record.Files, key)
	}
	slices.Sort(changed)
	return changed, errors.Join(problems...)
}

func (f installed) paths() []string {
	paths := slices.Clone(f.Links)
	for _, e := range f.Entries {
		paths = append(paths, e.Path)
	}
	return paths
}

func imageFile(image Image) string { return path.Join(downloads, image.SHA256+".tar") }

func (i *Installer) fetchImage(ctx context.Context, image Image) error {
	return i.fetch.file(ctx, "image "+image.Name, image.URL, image.SHA256, i.machine.Path(imageFile(image)))
}

// Images imports the images that containerd, which must be running, doesn't have, and says in words what was changed.
func (i *Installer) Images(ctx context.Context) ([]string, error) {
	wanted := slices.DeleteFunc(slices.Clone(i.manifest.Images), func(image Image) bool { return !image.For(i.role) })
	if len(wanted) == 0 {
		return nil, nil
	}
	listed, err := i.ctr(ctx, "images", "list", "-q")
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	present := map[string]bool{}
	for ref := range strings.FieldsSeq(listed) {
		present[ref] = true
	}
	var changed []string
	for _, image := range wanted {
		_, imported := i.record.Images[image.SHA256]
		if imported && !slices.ContainsFunc(image.Refs, func(ref string) bool { return !present[ref] }) {
			continue
		}
		if err := i.importImage(ctx, image); err != nil {
			return changed, err
		}
		changed = append(changed, "imported image "+image.Name)
	}
	return changed, nil
}

// pinned is the label by which containerd tells the kubelet that an image must stay, however full the disk is: what was
// imported may be nowhere to be pulled from.
const pinned = "io.cri-containerd.pinned=pinned"

func (i *Installer) importImage(ctx context.Context, image Image) error {
	if err := i.fetchImage(ctx, image); err != nil {
		return err
	}
	if _, err := i.ctr(ctx, "images", "import", "--local", i.machine.Path(imageFile(image))); err != nil {
		return fmt.Errorf("import image %s: %w", image.Name, err)
	}
	for _, ref := range image.Refs {
		if _, err := i.ctr(ctx, "images", "label", ref, pinned); err != nil {
			return fmt.Errorf("pin image %s: %w", ref, err)
		}
	}
	i.record.Images[image.SHA256] = image.Refs
	if err := i.save(); err != nil {
		return err
	}
	_, err := i.machine.Remove(imageFile(image))
	return err
}

func (i *Installer) ctr(ctx context.Context, args ...string) (string, error) {
	return i.machine.Tools.Run(ctx, host.Command{Name: "ctr", Args: append([]string{"--namespace", namespace}, args...)})
}

// Remove takes away every file of the bundle that is installed. Images go with containerd's own folder.
func Remove(m *host.Machine) error {
	known, err := readRecord(m)
	if err != nil {
		return err
	}
	var problems []error
	for _, file := range known.Files {
		for _, place := range file.paths() {
			_, err := m.Remove(place)
			problems = append(problems, err)
		}
	}
	for _, place := range []string{downloads, recordFile} {
		_, err := m.Remove(place)
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

func readRecord(m *host.Machine) (record, error) {
	known := record{Files: map[string]installed{}, Images: map[string][]string{}}
	data, err := m.Read(recordFile)
	if err != nil || data == nil {
		return known, err
	}
	if err := json.Unmarshal(data, &known); err != nil {
		return known, fmt.Errorf("read %s: %w", recordFile, err)
	}
	return known, nil
}

func (i *Installer) save() error {
	data, err := json.Marshal(i.record)
	if err != nil {
		return err
	}
	_, err = i.machine.Write(recordFile, data, 0o644)
	return err
}
