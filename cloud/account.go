package cloud

import (
	"log/slog"
	"net/http"
)

// Secret is a string that doesn't show itself: it prints, logs and marshals as "[redacted]". Use Reveal where the real
// value is needed.
type Secret string

const redacted = "[redacted]"

// Reveal returns the secret's value.
func (s Secret) Reveal() string { return string(s) }

func (Secret) String() string { return redacted }

// GoString redacts %#v.
func (Secret) GoString() string { return redacted }

// LogValue redacts logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts JSON and YAML.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Account is one set of credentials at one cloud, with how to reach it.
type Account struct {
	// Name is what the user calls it.
	Name     string
	Provider Provider
	// Settings are the driver's own, none of them secret: endpoints, project, profile. Each driver documents its names.
	Settings map[string]string
	// Secrets are the driver's own credentials, by the names the driver documents.
	Secrets map[string]Secret
	// CA holds PEM certificates that are trusted for this account's endpoints beside the system's.
	CA string
	// Proxy is the URL of a proxy (socks5://, http://) for SSH and the Kubernetes API of this account's machines; empty
	// for none. The cloud's own API isn't called through it.
	Proxy string
}

// Transport wraps the HTTP transport that a driver uses, a Wire, so that the engine can count and pace calls. The wrapped
// transport must be safe for concurrent use.
type Transport func(http.RoundTripper) http.RoundTripper

// Around wraps a transport; nil leaves it as it is.
func (t Transport) Around(base http.RoundTripper) http.RoundTripper {
	if t == nil {
		return base
	}
	return t(base)
}

// Source is where a driver's constructor for accounts looks for the usual settings of its cloud's own tools.
type Source struct {
	// Getenv reads the environment.
	Getenv func(string) string
	// ReadFile reads a file.
	ReadFile func(string) ([]byte, error)
	// Home is the user's home folder.
	Home string
}
