package remote

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/proxy"
)

// DialFunc opens a connection.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// ProxyError is why a proxy didn't open a connection, or wasn't there to.
type ProxyError struct {
	Proxy string // its URL without the password
	Err   error
}

func (e *ProxyError) Error() string { return "proxy " + e.Proxy + ": " + e.Err.Error() }

func (e *ProxyError) Unwrap() error { return e.Err }

// Dialer returns how to open connections through the proxy with the given URL (socks5, socks5h or http; empty for none).
func Dialer(proxyURL string) (DialFunc, error) {
	direct := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	if proxyURL == "" {
		return direct.DialContext, nil
	}
	u, err := url.Parse(proxyURL)
	if err != nil || u.Host == "" {
		return nil, errors.New("the proxy's URL cannot be read; want one like socks5://127.0.0.1:1080") // it may hold a password
	}
	switch u.Scheme {
	case "socks5", "socks5h":
		d, err := proxy.FromURL(u, direct)
		if err != nil {
			return nil, fmt.Errorf("proxy %s: %w", u.Redacted(), err)
		}
		return func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := d.(proxy.ContextDialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, &ProxyError{u.Redacted(), err}
			}
			return c, nil
		}, nil
	case "http":
		return func(ctx context.Context, _, address string) (net.Conn, error) {
			return connect(ctx, direct, u, address)
		}, nil
	}
	return nil, fmt.Errorf("proxy %s: scheme %q is not supported; want socks5, socks5h or http", u.Redacted(), u.Scheme)
}

// connect asks an HTTP proxy for a tunnel (RFC 9110, section 9.3.6).
func connect(ctx context.Context, d *net.Dialer, u *url.URL, address string) (net.Conn, error) {
	c, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, &ProxyError{u.Redacted(), err}
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if pw, ok := u.User.Password(); ok {
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+pw)))
	}
	err = req.Write(c)
	var resp *http.Response
	r := bufio.NewReader(c)
	if err == nil {
		resp, err = http.ReadResponse(r, req)
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("CONNECT %s: %s", address, resp.Status)
	}
	if err != nil {
		c.Close()
		return nil, &ProxyError{u.Redacted(), err}
	}
	return buffered{c, r}, nil
}

// buffered is a connection of which the first bytes may have been read already.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }
