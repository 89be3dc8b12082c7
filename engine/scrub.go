package engine

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strings"
	"sync"

	"github.com/skyweld/skyweld/cloud"
)

const scrubbed = "[redacted]"

// scrubber takes secrets out of texts that are kept or shown. Nothing should put one in; but errors repeat what machines
// and clouds wrote, and those know secrets too. The zero value knows none.
type scrubber struct {
	mu      sync.Mutex
	secrets map[string]bool
}

// A shorter text is too likely to be part of something harmless.
const (
	shortestSecret = 8
	shortestLine   = 24
)

// add makes a secret known, as a whole and by the lines of the keys in it.
func (s *scrubber) add(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secrets == nil {
		s.secrets = map[string]bool{}
	}
	if len(secret) >= shortestSecret {
		s.secrets[secret] = true
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(secret, `\n`, "\n"), "\n") {
		line = strings.TrimSpace(line)
		if len(line) >= shortestLine && !strings.HasPrefix(line, "-----") && !strings.ContainsAny(line, " \":{}") {
			s.secrets[line] = true
		}
	}
}

func (s *scrubber) addAccount(a cloud.Account) {
	for _, v := range a.Secrets {
		s.add(v.Reveal())
	}
}

func (s *scrubber) addKeys(k *keys) {
	if k == nil {
		return
	}
	s.add(k.SSH)
	s.add(base64.StdEncoding.EncodeToString(k.Signing))
	s.add(hex.EncodeToString(k.Signing))
	for path, content := range k.PKI.Files() {
		if strings.HasSuffix(path, ".key") {
			s.add(content)
		}
	}
}

// A private key in PEM, whole or cut off at the end, with line ends as they are or escaped.
var privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`)

// clean returns the text without the secrets that are known, and without private keys.
func (s *scrubber) clean(text string) string {
	text = privateKey.ReplaceAllString(text, scrubbed)
	s.mu.Lock()
	defer s.mu.Unlock()
	for secret := range s.secrets {
		if strings.Contains(text, secret) {
			text = strings.ReplaceAll(text, secret, scrubbed)
		}
	}
	return text
}

// cleanError is an error that shows itself without secrets.
type cleanError struct {
	err  error
	text string
}

func (e *cleanError) Error() string { return e.text }
func (e *cleanError) Unwrap() error { return e.err }

func (s *scrubber) error(err error) error {
	if err == nil {
		return nil
	}
	return &cleanError{err, s.clean(err.Error())}
}
