package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed assets
var assetFiles embed.FS

// asset is one file that pages load, under an address that changes with what is in it.
type asset struct {
	kind           string
	plain, gzipped []byte
}

var assetKinds = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// assetTable are the assets by address, and their addresses by name. The files are part of the program: a bad one is a bug.
var assetTable = sync.OnceValues(func() (byAddress map[string]asset, addresses map[string]string) {
	byAddress, addresses = map[string]asset{}, map[string]string{}
	list, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(fmt.Sprintf("web: assets: %v", err))
	}
	for _, f := range list {
		content, err := assetFiles.ReadFile("assets/" + f.Name())
		if err != nil {
			panic(fmt.Sprintf("web: assets: %v", err))
		}
		sum := sha256.Sum256(content)
		ext := path.Ext(f.Name())
		address := "/assets/" + strings.TrimSuffix(f.Name(), ext) + "-" + base64.RawURLEncoding.EncodeToString(sum[:9]) + ext
		byAddress[address] = asset{kind: assetKinds[ext], plain: content, gzipped: packed(content, gzip.BestCompression)}
		addresses[f.Name()] = address
	}
	return byAddress, addresses
})

// assetURL is the address of an asset.
func assetURL(name string) string {
	_, addresses := assetTable()
	return addresses[name]
}

// assets serves them, to be kept for as long as browsers like.
var assets = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	all, _ := assetTable()
	a, ok := all[r.URL.Path]
	if !ok {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	body := a.plain
	if h.Set("Vary", "Accept-Encoding"); takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = a.gzipped
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
})

func takesGzip(r *http.Request) bool {
	for one := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(one), ";")
		if name == "gzip" && strings.TrimSpace(weight) != "q=0" {
			return true
		}
	}
	return false
}

func packed(content []byte, level int) []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		panic(fmt.Sprintf("web: gzip: %v", err))
	}
	_, _ = z.Write(content)
	_ = z.Close()
	return b.Bytes()
}

// packers are reused: one has a megabyte of tables.
var packers = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(fmt.Sprintf("web: gzip: %v", err))
	}
	return z
}}

// send answers with a page.
func send(w http.ResponseWriter, r *http.Request, status int, html []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Add("Vary", "Accept-Encoding, Cookie")
	if !takesGzip(r) || len(html) < 1024 {
		h.Set("Content-Length", strconv.Itoa(len(html)))
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = w.Write(html)
		}
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	z := packers.Get().(*gzip.Writer)
	defer packers.Put(z)
	z.Reset(w)
	_, _ = z.Write(html)
	_ = z.Close()
}
