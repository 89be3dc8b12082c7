package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The files of TLS in an engine's folder: the engine's own certificate with its key, and the one that it serves with, by which
// the command line on the same machine knows it.
const (
	ownCertFile = "tls.crt"
	ownKeyFile  = "tls.key"
	servingFile = "certificate"
)

const (
	// ownCertLife is how long the engine's own certificate is good; browsers take none that is good for longer.
	ownCertLife = 825 * 24 * time.Hour
	// ownCertRenew is how long before its end another is made, at a start.
	ownCertRenew = 30 * 24 * time.Hour
)

// listening is where and how an engine serves.
type listening struct {
	listen, cert, key string
	hosts, proxies    []string
}

// trusted are the proxies whose word is taken.
func (l listening) trusted() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range l.proxies {
		p, err := netip.ParsePrefix(text)
		if a, aerr := netip.ParseAddr(text); aerr == nil {
			p, err = a.Unmap().Prefix(a.Unmap().BitLen())
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("--trusted-proxy: found %q: want the address of a proxy, or a range like 10.0.0.0/24", text)}
		}
		if p.Bits() == 0 {
			return nil, usageError{fmt.Errorf("--trusted-proxy: %s is everybody: want the proxies' own addresses", p)}
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// check finds what makes no sense.
func (l listening) check() error {
	host, port, err := net.SplitHostPort(l.listen)
	if err != nil {
		return usageError{fmt.Errorf("--listen: found %q: want an address and port like %s", l.listen, defaultListen)}
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "localhost" && host != "" {
		return usageError{fmt.Errorf("--listen: found %q: want an IP address of this machine, like %s; --host says by which names it is reached", l.listen, defaultListen)}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return usageError{fmt.Errorf("--listen: found %q: want a port from 0 to 65535", l.listen)}
	}
	if (l.cert == "") != (l.key == "") {
		return usageError{errors.New("--tls-cert and --tls-key belong together: only one is set")}
	}
	for _, name := range l.hosts {
		if name == "" || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
			return usageError{fmt.Errorf("--host: found %q: want the name of a host, like engine.example.com", name)}
		}
	}
	_, err = l.trusted()
	return err
}

// loopback says whether only this machine can reach it.
func (l listening) loopback() bool {
	host, _, _ := net.SplitHostPort(l.listen)
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// address is how programs on this machine reach what listens.
func (l listening) address(at net.Addr, secure bool) string {
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	a, err := netip.ParseAddrPort(at.String())
	if err != nil || !a.Addr().IsUnspecified() {
		return scheme + at.String()
	}
	host, _, _ := net.SplitHostPort(l.listen)
	if host == "0.0.0.0" {
		return scheme + netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port()).String()
	}
	return scheme + netip.AddrPortFrom(netip.IPv6Loopback(), a.Port()).String()
}

// public is the address for people who may be elsewhere.
func (l listening) public(address string) string {
	scheme, at, _ := strings.Cut(address, "://")
	if _, port, err := net.SplitHostPort(at); err == nil && len(l.hosts) > 0 {
		return scheme + "://" + net.JoinHostPort(l.hosts[0], port)
	}
	return address
}

// tls is what to serve with; nil for plain HTTP, which is for this machine alone.
func (l listening) tls(dir string, log *slog.Logger) (*tls.Config, error) {
	if l.loopback() && l.cert == "" {
		return nil, nil
	}
	var pair tls.Certificate
	var err error
	if l.cert != "" {
		if pair, err = tls.LoadX509KeyPair(l.cert, l.key); err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
	} else if pair, err = l.ownCertificate(dir); err != nil {
		return nil, fmt.Errorf("the engine's own certificate: %w", err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, fmt.Errorf("--tls-cert: %w", err)
		}
	}
	if err := noteServing(dir, pair); err != nil {
		return nil, err
	}
	log.Info("serving TLS", "own", l.cert == "", "names", strings.Join(pair.Leaf.DNSNames, ","), "until", pair.Leaf.NotAfter.Format(time.RFC3339), "sha256", fingerprint(pair.Certificate[0]))
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if l.cert != "" {
		r := &renewed{listening: l, dir: dir, log: log, pair: &pair, seen: l.changed()}
		config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return r.current(), nil }
		config.Certificates = nil
	}
	return config, nil
}

// noteServing writes down what is served with, for the command line on this machine.
func noteServing(dir string, pair tls.Certificate) error {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	if err := os.WriteFile(filepath.Join(dir, servingFile), text, 0o600); err != nil {
		return fmt.Errorf("the engine's folder: %w", err)
	}
	return nil
}

// fingerprint is a certificate's SHA-256 as browsers show it.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	var out []string
	for _, b := range sum {
		out = append(out, strings.ToUpper(hex.EncodeToString([]byte{b})))
	}
	return strings.Join(out, ":")
}

// ownCertificate is the one in the folder. One is made where there is none, or that one ends soon or lacks a name.
func (l listening) ownCertificate(dir string) (tls.Certificate, error) {
	cert, key := filepath.Join(dir, ownCertFile), filepath.Join(dir, ownKeyFile)
	names, addresses := l.names()
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err == nil && pair.Leaf != nil && time.Until(pair.Leaf.NotAfter) > ownCertRenew && !slices.ContainsFunc(l.hosts, func(h string) bool { return pair.Leaf.VerifyHostname(h) != nil }) {
		return pair, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return pair, fmt.Errorf("%s and %s can't be read: %w: remove both, and others are made", cert, key, err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return pair, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Skyweld engine " + names[0]}, DNSNames: names, IPAddresses: addresses,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(ownCertLife), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return pair, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return pair, err
	}
	for name, block := range map[string]*pem.Block{key: {Type: "PRIVATE KEY", Bytes: secret}, cert: {Type: "CERTIFICATE", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			return pair, err
		}
	}
	return tls.LoadX509KeyPair(cert, key)
}

// names are those of the engine's own certificate: what it was given, what this machine is called, and its addresses of now.
func (l listening) names() ([]string, []net.IP) {
	names := slices.Clone(l.hosts)
	if name, err := os.Hostname(); err == nil && strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" {
		names = append(names, strings.ToLower(name))
	}
	names = append(names, "localhost")
	addresses := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	host, _, _ := net.SplitHostPort(l.listen)
	if a := net.ParseIP(host); a != nil && !a.IsUnspecified() {
		addresses = append(addresses, a)
	} else if all, err := net.InterfaceAddrs(); err == nil {
		for _, a := range all {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
				addresses = append(addresses, n.IP)
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	// The first of those given stays the first.
	if len(l.hosts) > 0 {
		names = append([]string{l.hosts[0]}, slices.DeleteFunc(names, func(n string) bool { return n == l.hosts[0] })...)
	}
	return names, addresses
}

// answersTo are the names that the engine answers by off loopback, beside addresses.
func (l listening) answersTo() []string {
	names, _ := l.names()
	return names
}

// pinned trusts exactly the certificate in a file: that of the engine whose folder it is in.
func pinned(file string) (*tls.Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the engine's certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("the engine's certificate: %s holds none", file)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, // its names and its age don't matter
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 || !bytes.Equal(state.PeerCertificates[0].Raw, block.Bytes) {
				return fmt.Errorf("what answers has another certificate than the engine that uses this folder: its SHA-256 is not %s", fingerprint(block.Bytes))
			}
			return nil
		},
	}, nil
}

// trusting trusts the certificates in a file, or those that this machine trusts when none is named.
func trusting(file string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if file == "" {
		return config, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--ca: %s holds no certificate in PEM", file)
	}
	return config, nil
}
