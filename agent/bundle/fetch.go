package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

const (
	manifestLimit = 4 << 20 // bytes; a manifest has a few thousand
	stall         = time.Minute
	attempts      = 4
	firstPause    = 500 * time.Millisecond
)

// MismatchError means that something downloaded is not what the manifest promised.
type MismatchError struct{ Name, URL, Want, Got string }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s from %s: its SHA-256 is %s, want %s", e.Name, e.URL, e.Got, e.Want)
}

// fetcher downloads.
type fetcher struct{ client *http.Client }

func newFetcher(proxy string) (*fetcher, error) {
	transport := &http.Transport{
		Proxy:                 nil,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: stall,
		DisableCompression:    true, // the digests are those of what the server holds
	}
	if proxy != "" {
		address, err := url.Parse(proxy)
		if err != nil {
			return nil, fmt.Errorf("bundle proxy: %w", err)
		}
		transport.Proxy = http.ProxyURL(address)
	}
	return &fetcher{client: &http.Client{Transport: transport}}, nil
}

func (f *fetcher) close() { f.client.CloseIdleConnections() }

// manifest downloads a manifest and checks its digest.
func (f *fetcher) manifest(ctx context.Context, address, want string) ([]byte, error) {
	var data []byte
	err := retry(ctx, func() error {
		response, err := f.get(ctx, address, 0)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		data, err = io.ReadAll(io.LimitReader(response.Body, manifestLimit))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("fetch bundle manifest: %w", err)
	}
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); got != want {
		return nil, &MismatchError{Name: "bundle manifest", URL: address, Want: want, Got: got}
	}
	return data, nil
}

// file downloads to place what has the digest want. It goes on where an earlier try ended. When it returns an error the
// file is not there, or only in part beside it.
func (f *fetcher) file(ctx context.Context, name, address, want, place string) error {
	if got, err := sum(place); err == nil && got == want {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return fmt.Errorf("fetch %s: %w", name, err)
	}
	part := place + ".part"
	got := ""
	err := retry(ctx, func() error {
		resumed, digest, err := f.download(ctx, address, part)
		if err == nil && resumed && digest != want {
			// The first half may have been of something else.
			if err := os.Remove(part); err != nil {
				return err
			}
			_, digest, err = f.download(ctx, address, part)
		}
		got = digest
		return err
	})
	if err != nil {
		return fmt.Errorf("fetch %s: %w", name, err)
	}
	if got != want {
		return errors.Join(&MismatchError{Name: name, URL: address, Want: want, Got: got}, os.Remove(part))
	}
	return os.Rename(part, place)
}

// download writes what the URL serves to place, from where the file there ends if the server can, and says whether it did
// so, and what the digest of the whole is.
func (f *fetcher) download(ctx context.Context, address, place string) (resumed bool, digest string, err error) {
	file, err := os.OpenFile(place, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return false, "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	hash := sha256.New()
	have, err := io.Copy(hash, file)
	if err != nil {
		return false, "", err
	}
	response, err := f.get(ctx, address, have)
	if err != nil {
		return false, "", err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusPartialContent:
		resumed = true
	case http.StatusRequestedRangeNotSatisfiable: // there is no more than we have
		return true, hex.EncodeToString(hash.Sum(nil)), nil
	default:
		hash.Reset()
		if err := file.Truncate(0); err != nil {
			return false, "", err
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return false, "", err
		}
	}
	_, err = io.Copy(io.MultiWriter(file, hash), response.Body)
	return resumed, hex.EncodeToString(hash.Sum(nil)), err
}

// get asks for what a URL serves, from an offset on. What is not a success is an error.
func (f *fetcher) get(ctx context.Context, address string, offset int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, permanent{err}
	}
	if offset > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	response, err := f.client.Do(request)
	if err != nil {
		return nil, err
	}
	switch {
	case response.StatusCode == http.StatusOK, response.StatusCode == http.StatusPartialContent && offset > 0,
		response.StatusCode == http.StatusRequestedRangeNotSatisfiable && offset > 0:
		body := response.Body
		response.Body = &patient{ReadCloser: body, timer: time.AfterFunc(stall, func() { _ = body.Close() })}
		return response, nil
	}
	_ = response.Body.Close() // its status says enough
	err = fmt.Errorf("%s answers %s", address, response.Status)
	if response.StatusCode >= 400 && response.StatusCode < 500 && response.StatusCode != http.StatusTooManyRequests {
		err = permanent{err}
	}
	return nil, err
}

// patient ends a download from which nothing has come for a while; a slow one may take as long as it needs.
type patient struct {
	io.ReadCloser
	timer *time.Timer
}

func (p *patient) Read(data []byte) (int, error) {
	n, err := p.ReadCloser.Read(data)
	p.timer.Reset(stall)
	return n, err
}

func (p *patient) Close() error {
	p.timer.Stop()
	return p.ReadCloser.Close()
}

// permanent is an error that trying again won't change.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

func retry(ctx context.Context, try func() error) error {
	pause := firstPause
	for left := attempts; ; left-- {
		err := try()
		var final permanent
		if err == nil || left == 1 || errors.As(err, &final) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// sum is the SHA-256 of a file in hex.
func sum(place string) (string, error) {
	file, err := os.Open(place)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
