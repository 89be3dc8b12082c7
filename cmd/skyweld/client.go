package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
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

// client finds the engine by its folder, or by --engine.
func (s *settings) client() (*api.Client, error) {
	base, config := s.engine, (*tls.Config)(nil)
	u, err := url.Parse(base)
	switch {
	case base != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == ""):
		return nil, usageError{fmt.Errorf("--engine: found %q: want an address like http://%s", base, defaultListen)}
	case base != "" && u.Scheme == "http" && !here(u.Hostname()):
		return nil, usageError{fmt.Errorf("--engine: found %q: everybody on the way could read the token: want https://", base)}
	case base == "" && s.ca != "":
		return nil, usageError{errors.New("--ca belongs to --engine: the engine of a folder is known by what is in the folder")}
	case base != "":
		if config, err = trusting(s.ca); err != nil {
			return nil, err
		}
	default:
		base = "http://" + defaultListen
		if data, err := os.ReadFile(filepath.Join(s.dir, addressFile)); err == nil {
			base = strings.TrimSpace(string(data))
		}
		if strings.HasPrefix(base, "https:") {
			if config, err = pinned(filepath.Join(s.dir, servingFile)); err != nil {
				return nil, err
			}
		}
	}
	token, err := s.token(base)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 5 * time.Minute}
	if config != nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = config
		client.Transport = transport
	}
	return &api.Client{Base: strings.TrimSuffix(base, "/"), Token: token, Who: userName(), HTTP: client}, nil
}

// here says that a host is this machine.
func here(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// tokenVariable is where a token may be, too.
const tokenVariable = "SKYWELD_TOKEN"

// token is what the engine is shown: the one in --token-file, in the environment, or in the engine's folder.
func (s *settings) token(base string) (string, error) {
	if s.tokenFile != "" {
		data, err := os.ReadFile(s.tokenFile)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		return wholeToken("--token-file: "+s.tokenFile, string(data))
	}
	if given := os.Getenv(tokenVariable); given != "" {
		return wholeToken("$"+tokenVariable, given)
	}
	token, err := os.ReadFile(filepath.Join(s.dir, tokenFile))
	if errors.Is(err, fs.ErrNotExist) && s.engine != "" {
		return "", fmt.Errorf("there is no token for the engine at %s: make one there with 'skyweld token add', and name its file with --token-file, or set $%s", base, tokenVariable)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w at %s: none was ever started with the folder %s", api.ErrNoEngine, base, s.dir)
	}
	if errors.Is(err, fs.ErrPermission) {
		return "", fmt.Errorf("the engine's folder %s belongs to another user: be that user, like with sudo, or name the folder of an engine of yours with --dir", s.dir)
	}
	if err != nil {
		return "", fmt.Errorf("read the engine's token: %w", err)
	}
	return strings.TrimSpace(string(token)), nil
}

// wholeToken is a token without what is around it. One that can't be sent isn't shown in an error.
func wholeToken(where, text string) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", usageError{fmt.Errorf("%s holds no token: want one like skyweld_pat_…", where)}
	}
	return text, nil
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
