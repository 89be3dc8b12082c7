package probe

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// A probe outside the tunnel goes to WireGuard's own port, the only one that is open to all. WireGuard drops what doesn't begin
// with one of its four types, and never answers it. In order:
//
//	4 bytes   the mark
//	1 byte    what it is: ask or answer
//	1 byte    zero
//	2 bytes   length of all of it, with the zeros that fill it up
//	8 bytes   who sent it
//	8 bytes   the number of the measurement
//	8 bytes   the probe's own number
//	16 bytes  a code over what is before it, under a key that only the two nodes have
//
// An answer is as long as what it answers: nobody gains by having it sent to somebody else.
const (
	mark      = 0x534b5750 // "SKWP"; WireGuard's types are 1 to 4 and three zeros
	head      = 32
	frameSize = head + 16
	headers   = 20 + 8 // of IPv4 and UDP
)

// The kinds of frames.
const (
	ask    = 1
	answer = 2
)

// frame is one probe outside the tunnel.
type frame struct {
	kind   byte
	length int
	from   uint64
	number uint64
	probe  uint64
}

// errFrame means that something is no frame of ours.
var errFrame = errors.New("not a probe")

// seal writes a frame.
func (f frame) seal(key []byte) []byte {
	out := make([]byte, f.length)
	binary.BigEndian.PutUint32(out, mark)
	out[4] = f.kind
	binary.BigEndian.PutUint16(out[6:], uint16(f.length))
	binary.BigEndian.PutUint64(out[8:], f.from)
	binary.BigEndian.PutUint64(out[16:], f.number)
	binary.BigEndian.PutUint64(out[24:], f.probe)
	copy(out[head:], code(key, out[:head]))
	return out
}

// open reads the frame at the beginning of data; more may follow, when the kernel has put several packets together. key gives
// the key that is shared with who sent it, nil when that is nobody we know.
func open(data []byte, key func(from uint64) []byte) (f frame, rest []byte, err error) {
	if len(data) < frameSize || binary.BigEndian.Uint32(data) != mark || data[5] != 0 {
		return f, nil, errFrame
	}
	f = frame{
		kind: data[4], length: int(binary.BigEndian.Uint16(data[6:])), from: binary.BigEndian.Uint64(data[8:]),
		number: binary.BigEndian.Uint64(data[16:]), probe: binary.BigEndian.Uint64(data[24:]),
	}
	if f.kind != ask && f.kind != answer || f.length < frameSize || f.length > len(data) {
		return f, nil, errFrame
	}
	shared := key(f.from)
	if shared == nil || !hmac.Equal(code(shared, data[:head]), data[head:frameSize]) {
		return f, nil, errFrame
	}
	return f, data[f.length:], nil
}

func code(key, data []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(data)
	return mac.Sum(nil)[:frameSize-head]
}

// sender is how frames name a node: by its tunnel's public key.
func sender(publicKey []byte) uint64 {
	sum := sha256.Sum256(publicKey)
	return binary.BigEndian.Uint64(sum[:])
}

// sharedKey is what two nodes alone know: each has the tunnel's private key of its own and the public one of the other.
func sharedKey(private *ecdh.PrivateKey, public []byte) ([]byte, error) {
	peer, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	secret, err := private.ECDH(peer)
	if err != nil {
		return nil, err
	}
	return hkdf.Key(sha256.New, secret, nil, "skyweld.dev/probe/v1", sha256.Size)
}

func decodeKey(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != 32 {
		return nil, fmt.Errorf("public key %q is not 32 bytes in base64", text)
	}
	return raw, nil
}
