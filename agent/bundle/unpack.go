package bundle

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/skyweld/skyweld/agent/host"
)

// unpack writes the files of a .tar.gz into a folder, dropping the first strip components of each name, and lists them.
// Only plain files and folders are taken: a program's archive needs no more, and links could lead out of the folder.
func unpack(m *host.Machine, from, folder string, strip int) (paths []string, err error) {
	file, err := os.Open(from)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	for reader := tar.NewReader(unzipped); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return paths, nil
		}
		if err != nil {
			return paths, err
		}
		name, ok := stripped(header.Name, strip)
		if !ok {
			continue
		}
		if !filepath.IsLocal(name) {
			return paths, fmt.Errorf("%q would leave the folder", header.Name)
		}
		place := path.Join(folder, name)
		switch header.Typeflag {
		case tar.TypeDir:
			if err := os.MkdirAll(m.Path(place), 0o755); err != nil {
				return paths, err
			}
		case tar.TypeReg:
			if err := writeEntry(m.Path(place), reader, header.FileInfo().Mode().Perm()); err != nil {
				return paths, err
			}
			paths = append(paths, place)
		default:
			return paths, fmt.Errorf("%q is neither a file nor a folder", header.Name)
		}
	}
}

// stripped drops leading components of a name, and says whether anything is left.
func stripped(name string, strip int) (string, bool) {
	parts := strings.Split(strings.Trim(strings.TrimPrefix(name, "./"), "/"), "/")
	if len(parts) <= strip {
		return "", false
	}
	rest := strings.Join(parts[strip:], "/")
	return rest, rest != "" && rest != "."
}

// writeEntry writes beside and renames, so that a program that is running can be replaced.
func writeEntry(place string, from io.Reader, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(place), ".skyweld-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	err = errors.Join(err, file.Chmod(mode), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), place)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
