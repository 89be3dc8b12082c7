package cloud

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// WayError says in words why a request to a cloud never came to an answer: the host isn't known or reachable, a proxy
// refused, a certificate isn't trusted. ok is false for errors that are about something else. again says that it may work
// later without anybody doing something about it.
func WayError(err error) (message string, again, ok bool) {
	host := hostOf(err)
	if message, ok := certificateError(err, host); ok {
		return message, false, true
	}
	if op, is := errors.AsType[*net.OpError](err); is && op.Op == opProxy {
		return fmt.Sprintf("the proxy on the way to %s refused or can't be reached (%v): check the engine's HTTPS_PROXY", host, root(op.Err)), true, true
	}
	if dns, is := errors.AsType[*net.DNSError](err); is {
		if dns.IsNotFound {
			return fmt.Sprintf("no host is named %s: check the account's endpoint and region, and this machine's DNS", dns.Name), true, true
		}
		return fmt.Sprintf("the name %s could not be looked up (%s): check this machine's network and DNS", dns.Name, dns.Err), true, true
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return fmt.Sprintf("%s speaks HTTP, not HTTPS: check the account's endpoint", host), false, true
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing listens at %s (connection refused): check the account's endpoint and this machine's network", address(err, host)), true, true
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fmt.Sprintf("%s can't be reached from this machine (%v): check its network and routes", address(err, host), root(err)), true, true
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return fmt.Sprintf("%s did not answer in time: check this machine's network, and whether a firewall or proxy is on the way", host), true, true
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("the connection to %s was cut in the middle (%v): check whether a firewall or proxy is on the way", host, root(err)), true, true
	}
	if op, is := errors.AsType[*net.OpError](err); is {
		return fmt.Sprintf("%s can't be reached (%s: %v): check this machine's network", address(err, host), op.Op, root(op.Err)), true, true
	}
	return "", false, false
}

// ProxyAnswer is for http.Transport.OnProxyConnectResponse: it makes a refusal of the proxy one that WayError knows.
func ProxyAnswer(_ context.Context, proxy *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &net.OpError{Op: opProxy, Net: "tcp", Err: fmt.Errorf("%s answered %s", proxy.Redacted(), answer.Status)}
}

// opProxy is what net/http calls the operation of reaching a host through a proxy.
const opProxy = "proxyconnect"

// certificateError puts into words that a server's certificate isn't one to trust.
func certificateError(err error, host string) (string, bool) {
	name := ""
	if v, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(v.UnverifiedCertificates) > 0 {
		if issuer := v.UnverifiedCertificates[0].Issuer.String(); issuer != "" {
			name = " by " + issuer
		}
	}
	const advice = ": check the account's endpoint, or give the account the right CA certificate (AWS_CA_BUNDLE, " +
		"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE, REQUESTS_CA_BUNDLE for Azure, or SKYWELD_DIGITALOCEAN_CA, when it is added or updated)"
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Sprintf("the certificate of %s, signed%s, is not trusted here", host, name) + advice, true
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("the certificate of %s is for other names (%v)", host, e) + advice, true
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return fmt.Sprintf("the certificate of %s is not valid (%v): check this machine's clock and the endpoint", host, e), true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Sprintf("the certificate of %s, signed%s, was not accepted", host, name) + advice, true
	}
	return "", false
}

// hostOf finds the host that a request was for.
func hostOf(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		if parsed, perr := url.Parse(u.URL); perr == nil && parsed.Host != "" {
			return parsed.Host
		}
	}
	return "the cloud's endpoint"
}

// address is the address that was dialled, with the host's name where that is another.
func address(err error, host string) string {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Addr == nil {
		return host
	}
	if at := op.Addr.String(); at != host {
		return host + " (" + at + ")"
	}
	return host
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// root is the innermost error.
func root(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
