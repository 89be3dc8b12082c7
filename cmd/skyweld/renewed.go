package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// renewed is the certificate of --tls-cert as its files have it: whoever renews it puts others in their place.
type renewed struct {
	listening
	dir string
	log *slog.Logger

	mu   sync.Mutex
	pair *tls.Certificate
	seen [2]fileState
}

// fileState tells a file from what it was before.
type fileState struct {
	time time.Time
	size int64
}

// changed is how the files of the certificate and its key are now.
func (l listening) changed() (out [2]fileState) {
	for i, name := range []string{l.cert, l.key} {
		if info, err := os.Stat(name); err == nil {
			out[i] = fileState{info.ModTime(), info.Size()}
		}
	}
	return out
}

// current is what to serve a new connection with. Files that can't be read, or don't belong together, may be in the middle of
// being replaced: the certificate stays then, and they are read again when they have changed once more.
func (r *renewed) current() *tls.Certificate {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.changed()
	if now == r.seen {
		return r.pair
	}
	r.seen = now
	pair, err := tls.LoadX509KeyPair(r.cert, r.key)
	if err == nil {
		err = noteServing(r.dir, pair)
	}
	if err != nil {
		r.log.Error("the files of --tls-cert and --tls-key have changed, and can't be used: the certificate from before stays", "error", err)
		return r.pair
	}
	r.pair = &pair
	r.log.Info("another certificate is served", "until", pair.Leaf.NotAfter.Format(time.RFC3339), "sha256", fingerprint(pair.Certificate[0]))
	return r.pair
}
