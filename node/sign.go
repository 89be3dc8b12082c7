package node

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/skyweld/skyweld/mesh"
)

// domain separates these signatures from any other that the same key might make: Ed25519ctx, RFC 8032, section 5.1.
const domain = "skyweld.dev/node/v1alpha1 config"

// ErrSignature means that a config was not signed by the trusted key, or changed since.
var ErrSignature = errors.New("signature doesn't fit the trusted key")

// envelope is how a signed config travels: the exact bytes that were signed, and their signature, both in base64.
type envelope struct {
	Payload   []byte `json:"payload"`
	Signature []byte `json:"signature"`
}

// Sign encodes a valid config and signs it.
func Sign(key ed25519.PrivateKey, c Config) ([]byte, error) {
	payload, err := encode(c)
	if err != nil {
		return nil, err
	}
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("sign config of node %q: key has %d bytes, not %d", c.Name, len(key), ed25519.PrivateKeySize)
	}
	signature, err := key.Sign(nil, payload, &ed25519.Options{Hash: crypto.Hash(0), Context: domain})
	if err != nil {
		return nil, fmt.Errorf("sign config of node %q: %w", c.Name, err)
	}
	return json.Marshal(envelope{Payload: payload, Signature: signature})
}

// Open checks the signature of what Sign made and decodes it. It refuses unknown fields, anything after the config, and
// a config that isn't valid. A wrong signature is ErrSignature.
func Open(pub ed25519.PublicKey, data []byte) (Config, error) {
	var sealed envelope
	if err := strict(data, &sealed); err != nil {
		return Config{}, fmt.Errorf("node config: envelope: %w", err)
	}
	if len(pub) != ed25519.PublicKeySize {
		return Config{}, fmt.Errorf("node config: trusted key has %d bytes, not %d", len(pub), ed25519.PublicKeySize)
	}
	if err := ed25519.VerifyWithOptions(pub, sealed.Payload, sealed.Signature, &ed25519.Options{Context: domain}); err != nil {
		return Config{}, fmt.Errorf("node config: %w", ErrSignature)
	}
	var c Config
	if err := strict(sealed.Payload, &c); err != nil {
		return Config{}, fmt.Errorf("node config: %w", err)
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Digest is the SHA-256, in hex, of a config's JSON form. Two configs with the same digest ask for the same.
func Digest(c Config) string {
	payload, err := json.Marshal(c)
	if err != nil {
		panic("a node config cannot fail to encode: " + err.Error())
	}
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:])
}

func encode(c Config) ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode config of node %q: %w", c.Name, err)
	}
	return payload, nil
}

// strict decodes one JSON value and nothing else.
func strict(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows after its end")
	}
	return nil
}

// The roles of a node, in kubeadm's words.
const (
	ControlPlane = "control-plane"
	Worker       = "worker"
)

// Validate says everything that would keep an agent from applying the config.
func (c Config) Validate() error {
	var problems []error
	fail := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if c.APIVersion != APIVersion {
		fail("apiVersion is %q, not %q", c.APIVersion, APIVersion)
	}
	if c.Revision < 1 {
		fail("revision %d is not positive", c.Revision)
	}
	for _, required := range []struct{ field, value string }{{"cluster", c.Cluster}, {"clusterName", c.ClusterName}, {"name", c.Name}, {"site", c.Site}} {
		if required.value == "" {
			fail("%s is missing", required.field)
		}
		if strings.ContainsAny(required.value, " \t\r\n\"'\\#") {
			fail("%s %q has letters that no name has", required.field, required.value)
		}
	}
	if c.Role != ControlPlane && c.Role != Worker {
		fail("role is %q, not %q or %q", c.Role, ControlPlane, Worker)
	}
	if !c.Address.Is4() {
		fail("address %s is not an IPv4 address", c.Address)
	}
	problems = append(problems, tunnelProblems(c.Tunnel)...)
	for name, addresses := range c.Hosts {
		if name == "" || strings.ContainsAny(name, " \t\r\n#") || len(addresses) == 0 {
			fail("hosts: %q is not a name with addresses", name)
		}
	}
	problems = append(problems, c.Balancer.problems()...)
	if c.Bundle.URL != "" {
		if raw, err := hex.DecodeString(c.Bundle.SHA256); err != nil || len(raw) != sha256.Size {
			fail("bundle: sha256 %q is not 64 hex digits", c.Bundle.SHA256)
		}
	}
	problems = append(problems, c.Kubelet.problems()...)
	if c.Probes.Window < 0 || c.Probes.Window > 3600 {
		fail("probes: a window of %d s is not between 0 and 3600", c.Probes.Window)
	}
	if len(problems) > 0 {
		return fmt.Errorf("config of node %q: %w", c.Name, errors.Join(problems...))
	}
	return nil
}

func (b Balancer) problems() []error {
	var problems []error
	if b.Listen.IsValid() && !b.Listen.Addr().IsLoopback() {
		problems = append(problems, fmt.Errorf("balancer: %s is not a loopback address", b.Listen))
	}
	if !b.Listen.IsValid() && len(b.Backends) > 0 {
		problems = append(problems, errors.New("balancer: backends without an address to listen on"))
	}
	for _, backend := range b.Backends {
		if !backend.IsValid() || backend.Port() == 0 || backend == b.Listen {
			problems = append(problems, fmt.Errorf("balancer: %s is not the address of an API server", backend))
		}
	}
	return problems
}

func (k Kubelet) problems() []error {
	var problems []error
	if k.NodeIP.IsValid() && !k.NodeIP.Is4() {
		problems = append(problems, fmt.Errorf("kubelet: nodeIP %s is not an IPv4 address", k.NodeIP))
	}
	plain := func(what, text string) {
		for _, letter := range text {
			if letter <= ' ' || letter > '~' || strings.ContainsRune(`"'\$%,=;&|<>()`+"`", letter) {
				problems = append(problems, fmt.Errorf("kubelet: %s %q has a letter that is not allowed there", what, text))
				return
			}
		}
	}
	plain("providerID", k.ProviderID)
	for name, value := range k.Labels {
		plain("label", name)
		plain("value of label "+name, value)
	}
	return problems
}

func tunnelProblems(t mesh.Config) []error {
	var problems []error
	fail := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("tunnel: "+format, args...))
	}
	if t.Port < 1 || t.Port > 65535 {
		fail("port %d is not between 1 and 65535", t.Port)
	}
	if t.MTU < 576 || t.MTU > 65535 {
		fail("MTU %d is not between 576 and 65535", t.MTU)
	}
	ranges := map[string][]netip.Prefix{"address": {t.Address}, "pods": {t.Pods}, "internal": t.Internal}
	for _, peer := range t.Peers {
		ranges["allowedIPs of "+peer.Name] = peer.AllowedIPs
		if peer.Name == "" || peer.PublicKey == "" || !peer.Endpoint.IsValid() || peer.Keepalive < 0 {
			fail("peer %q is not complete", peer.Name)
		}
	}
	for _, route := range t.Routes {
		ranges["routes"] = append(ranges["routes"], route.To)
	}
	for _, rule := range t.Rules {
		ranges["rules"] = append(ranges["rules"], rule.From)
	}
	for what, prefixes := range ranges {
		for _, prefix := range prefixes {
			if !prefix.IsValid() || !prefix.Addr().Is4() {
				fail("%s: %s is not an IPv4 range", what, prefix)
			}
		}
	}
	return problems
}
