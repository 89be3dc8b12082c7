package node

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/mesh"
)

func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func testConfig(t testing.TB) Config {
	t.Helper()
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	tunnelKey := func(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }
	tunnel, err := mesh.For(
		mesh.Network{Mode: mesh.CrossSite, Pods: prefix("10.216.0.0/14"), Services: prefix("10.96.0.0/16"), Port: mesh.DefaultPort, MTU: 1420},
		map[string]netip.Prefix{"aws": prefix("10.64.0.0/16"), "gcp": prefix("10.65.0.0/16")},
		[]mesh.Node{
			{Name: "a", Site: "aws", Address: addr("10.64.0.11"), Public: addr("198.18.1.11"), Pods: prefix("10.216.1.0/24"), PublicKey: tunnelKey(1)},
			{Name: "b", Site: "gcp", Address: addr("10.65.0.11"), Public: addr("198.18.2.11"), Pods: prefix("10.216.2.0/24"), PublicKey: tunnelKey(2)},
		}, "a")
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		APIVersion: APIVersion, Revision: 7, Cluster: "0b5e", ClusterName: "demo", Name: "a", Role: ControlPlane, Site: "aws",
		Address: addr("10.64.0.11"), Tunnel: tunnel,
		Hosts:    map[string][]netip.Addr{"api.demo.skyweld.internal": {addr("127.0.0.1")}},
		Balancer: Balancer{Listen: netip.MustParseAddrPort("127.0.0.1:6444"), Backends: []netip.AddrPort{netip.MustParseAddrPort("10.64.0.11:6443")}},
		Bundle:   Bundle{URL: "https://example.org/manifest.json", SHA256: strings.Repeat("0a", 32)},
		Kubelet:  Kubelet{NodeIP: addr("10.64.0.11"), ProviderID: "aws:///us-east-1a/i-0123", Labels: map[string]string{"topology.kubernetes.io/region": "us-east-1"}},
	}
}

var comparable = []cmp.Option{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestRoundTrip(t *testing.T) {
	want := testConfig(t)
	data, err := Sign(testKey(1), want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Open(public(testKey(1)), data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, comparable...); diff != "" {
		t.Errorf("config changed on its way (-want +got):\n%s", diff)
	}
	if Digest(got) != Digest(want) {
		t.Error("digest changed on its way")
	}
	want.Revision++
	if Digest(got) == Digest(want) {
		t.Error("digest doesn't see the revision")
	}
}

// resign makes an envelope over any payload, by the given signer.
func resign(payload []byte, sign func([]byte) []byte) []byte {
	data, err := json.Marshal(envelope{Payload: payload, Signature: sign(payload)})
	if err != nil {
		panic(err)
	}
	return data
}

func TestOpenRefuses(t *testing.T) {
	right := testKey(1)
	signed := func(payload []byte) []byte {
		signature, err := right.Sign(nil, payload, &ed25519.Options{Context: domain})
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	payload, err := encode(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*Config)) []byte {
		c := testConfig(t)
		change(&c)
		data, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return resign(data, signed)
	}
	good := resign(payload, signed)
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"other key", resign(payload, func(p []byte) []byte { return ed25519.Sign(testKey(2), p) }), "signature"},
		{"no domain", resign(payload, func(p []byte) []byte { return ed25519.Sign(right, p) }), "signature"},
		{"changed payload", resign(bytes.Replace(payload, []byte("demo"), []byte("dome"), 1), func([]byte) []byte { return signed(payload) }), "signature"},
		{"no signature", resign(payload, func([]byte) []byte { return nil }), "signature"},
		{"empty", nil, "envelope"},
		{"unknown field in the envelope", append([]byte(`{"x":1,`), good[1:]...), `unknown field "x"`},
		{"something after the envelope", append(bytes.Clone(good), good...), "follows after its end"},
		{"unknown field", resign(append([]byte(`{"surprise":1,`), payload[1:]...), signed), `unknown field "surprise"`},
		{"something after the config", resign(append(bytes.Clone(payload), '1'), signed), "follows after its end"},
		{"version", with(func(c *Config) { c.APIVersion = "v2" }), "apiVersion"},
		{"revision", with(func(c *Config) { c.Revision = 0 }), "revision 0"},
		{"role", with(func(c *Config) { c.Role = "king" }), `role is "king"`},
		{"name", with(func(c *Config) { c.Name = "a b" }), "no name has"},
		{"cluster", with(func(c *Config) { c.Cluster = "" }), "cluster is missing"},
		{"hosts", with(func(c *Config) { c.Hosts["a\nb"] = c.Hosts["api.demo.skyweld.internal"] }), "hosts"},
		{"balancer on all interfaces", with(func(c *Config) { c.Balancer.Listen = netip.MustParseAddrPort("0.0.0.0:6444") }), "loopback"},
		{"balancer to itself", with(func(c *Config) { c.Balancer.Backends[0] = c.Balancer.Listen }), "not the address of an API server"},
		{"bundle digest", with(func(c *Config) { c.Bundle.SHA256 = "12" }), "64 hex digits"},
		{"label", with(func(c *Config) { c.Kubelet.Labels["a"] = "$(reboot)" }), "not allowed"},
		{"provider id", with(func(c *Config) { c.Kubelet.ProviderID = "a b" }), "not allowed"},
		{"tunnel MTU", with(func(c *Config) { c.Tunnel.MTU = 1 }), "MTU 1"},
		{"peer", with(func(c *Config) { c.Tunnel.Peers[0].PublicKey = "" }), "not complete"},
		{"probes", with(func(c *Config) { c.Probes.Window = -1 }), "a window of -1 s"},
		{"no pods", with(func(c *Config) { c.Tunnel.Pods = netip.Prefix{} }), "pods"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(public(right), c.data)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
			if c.want == "signature" && !errors.Is(err, ErrSignature) {
				t.Errorf("%v is not ErrSignature", err)
			}
		})
	}
}

func TestSignRefusesInvalid(t *testing.T) {
	c := testConfig(t)
	c.Name = ""
	if _, err := Sign(testKey(1), c); err == nil {
		t.Error("a config without a name was signed")
	}
	if _, err := Sign(nil, testConfig(t)); err == nil {
		t.Error("no key, and yet signed")
	}
}

// FuzzOpen: nothing crashes it, nothing but the key's own signature opens, and what opens can be signed again.
func FuzzOpen(f *testing.F) {
	key := testKey(1)
	good, err := Sign(key, testConfig(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"payload":"e30=","signature":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := Open(public(key), data); err == nil && !bytes.Equal(data, good) {
			var sealed envelope
			if strict(data, &sealed) != nil {
				t.Fatal("opened, but not an envelope")
			}
		}
		signature, err := key.Sign(nil, data, &ed25519.Options{Context: domain})
		if err != nil {
			t.Fatal(err)
		}
		c, err := Open(public(key), resign(data, func([]byte) []byte { return signature }))
		if err != nil {
			return
		}
		again, err := Sign(key, c)
		if err != nil {
			t.Fatalf("opened, but cannot be signed: %v", err)
		}
		back, err := Open(public(key), again)
		if err != nil || Digest(back) != Digest(c) {
			t.Fatalf("not the same after a round trip: %v", err)
		}
	})
}
