package probe

import (
	"bytes"
	"crypto/ecdh"
	"net/netip"
	"testing"
)

func pair(t testing.TB, a, b byte) (own *ecdh.PrivateKey, shared []byte) {
	t.Helper()
	make32 := func(n byte) *ecdh.PrivateKey {
		key, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{n}, 32))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	own = make32(a)
	shared, err := sharedKey(own, make32(b).PublicKey().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return own, shared
}

func TestSharedKey(t *testing.T) {
	_, there := pair(t, 1, 2)
	_, back := pair(t, 2, 1)
	_, other := pair(t, 1, 3)
	if !bytes.Equal(there, back) || bytes.Equal(there, other) {
		t.Error("two nodes must have the same key, and no other the same")
	}
	own, _ := pair(t, 1, 2)
	if _, err := sharedKey(own, make([]byte, 32)); err == nil {
		t.Error("a key of zeros is none")
	}
}

func TestFrame(t *testing.T) {
	_, key := pair(t, 1, 2)
	keys := func(from uint64) []byte {
		if from != 7 {
			return nil
		}
		return key
	}
	sent := frame{kind: ask, length: 100, from: 7, number: 8, probe: 9}
	good := sent.seal(key)
	got, rest, err := open(append(bytes.Clone(good), good...), keys)
	if err != nil || got != sent || !bytes.Equal(rest, good) {
		t.Errorf("opened %+v, %v", got, err)
	}
	change := func(at int, to byte) []byte {
		bad := bytes.Clone(good)
		bad[at] = to
		return bad
	}
	stranger := sent
	stranger.from = 6
	for name, bad := range map[string][]byte{
		"empty": nil, "short": good[:frameSize-1], "cut off": good[:99], "mark": change(0, 1), "kind": change(4, 3), "zero": change(5, 1),
		"length": change(7, 99), "no length": change(7, 1), "probe": change(31, 0), "code": change(head, good[head]+1), "stranger": stranger.seal(key),
	} {
		if f, _, err := open(bad, keys); err == nil {
			t.Errorf("%s: opened as %+v", name, f)
		}
	}
}

func TestDatagram(t *testing.T) {
	from, to := netip.MustParseAddrPort("10.64.0.11:51820"), netip.MustParseAddrPort("198.18.1.12:40000")
	for _, payload := range []string{"even", "odd", ""} {
		out := datagram(from, to, []byte(payload))
		packet := append([]byte{0x45, 0, 0, byte(20 + len(out)), 0, 0, 0, 0, 64, 17, 0, 0, 10, 64, 0, 11, 198, 18, 1, 12}, out...)
		source, destination, port, got := dissect(packet)
		if source != from.Addr() || destination != to.Addr() || port != from.Port() || string(got) != payload {
			t.Errorf("%q came back as %q from %s to %s port %d", payload, got, source, destination, port)
		}
		// Over a right checksum the sum of everything is all ones.
		again := datagram(from, to, []byte(payload))
		if !bytes.Equal(again, out) || again[6] == 0 && again[7] == 0 {
			t.Error("no checksum")
		}
	}
}

// FuzzOpenFrame: nothing crashes it, and what opens was sealed with the key.
func FuzzOpenFrame(f *testing.F) {
	_, key := pair(f, 1, 2)
	good := frame{kind: ask, length: 100, from: 7, number: 8, probe: 9}.seal(key)
	f.Add(good)
	f.Add(append([]byte{0x45, 0, 0, 128, 0, 0, 0, 0, 64, 17, 0, 0, 10, 64, 0, 11, 198, 18, 1, 12, 0, 1, 0, 2, 0, 108, 0, 0}, good...))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _, _, payload := dissect(data)
		for _, all := range [][]byte{data, payload} {
			for rest := all; len(rest) > 0; {
				opened, after, err := open(rest, func(uint64) []byte { return key })
				if err != nil {
					break
				}
				if len(after) >= len(rest) {
					t.Fatal("no end")
				}
				sealed := opened.seal(key)
				if !bytes.Equal(sealed[:frameSize], rest[:frameSize]) {
					t.Fatalf("%+v isn't what was sealed", opened)
				}
				rest = after
			}
		}
	})
}
