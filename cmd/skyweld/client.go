package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/skyweld/skyweld/api"
)

// defaultListen is where an engine serves when nothing else is said.
const defaultListen = "127.0.0.1:8420"

// The files in an engine's folder.
const (
	tokenFile   = "token"
	addressFile = "address"
	keyFile     = "master.key"
)

// defaultDir is where an engine keeps its data: $SKYWELD_DIR, else by the XDG base directory specification.
func defaultDir() string {
	if d := os.Getenv("SKYWELD_DIR"); d != "" {
		return d
	}
	if d := os.Getenv("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "skyweld")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "skyweld-data"
	}
	return filepath.Join(home, ".local", "share", "skyweld")
}

// notFound says that an error is the engine's answer that it has no such thing.
func notFound(err error) bool {
	p, ok := errors.AsType[*api.Problem](err)
	return ok && p.Status == http.StatusNotFound
}

// client finds the engine by its folder.
func (s *settings) client() (*api.Client, error) {
	base := s.engine
	if base != "" {
		if u, err := url.Parse(base); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, usageError{fmt.Errorf("--engine: found %q: want an address like http://%s", base, defaultListen)}
		}
	} else {
		data, err := os.ReadFile(filepath.Join(s.dir, addressFile))
		if err == nil {
			base = strings.TrimSpace(string(data))
		} else {
			base = "http://" + defaultListen
		}
	}
	token, err := os.ReadFile(filepath.Join(s.dir, tokenFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w at %s: none was ever started with the folder %s", api.ErrNoEngine, base, s.dir)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("the engine's folder %s belongs to another user: be that user, like with sudo, or name the folder of an engine of yours with --dir", s.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the engine's token: %w", err)
	}
	return &api.Client{Base: strings.TrimSuffix(base, "/"), Token: strings.TrimSpace(string(token)), Who: userName(), HTTP: &http.Client{Timeout: 5 * time.Minute}}, nil
}

// userName is who asks: the user of this machine, and of one who is root by sudo the one behind it. It is for people to
// read; the engine trusts whoever has its token.
func userName() string {
	if name := os.Getenv("SUDO_USER"); name != "" && os.Getuid() == 0 {
		return name
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return strconv.Itoa(os.Getuid())
}
