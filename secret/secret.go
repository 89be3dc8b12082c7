// Package secret seals what must not be read from a copy of the database: every value under a data key of its own, every
// data key under the master key. It is not for keeping secrets from the engine's own machine, which holds the master key.
//
// A sealed value is, in this order:
//
//	1 byte   version of the format, 1
//	8 bytes  id of the master key: the first 8 of SHA-256("skyweld master key id" + key)
//	12 bytes nonce of the data key
//	48 bytes data key (32) sealed with the master key by AES-256-GCM
//	12 bytes nonce of the value
//	n+16     value sealed with the data key by AES-256-GCM
//
// Both seals have the same associated data: "skyweld.dev/sealed/v1", then table, row and column, each after its length as 4
// bytes, big end first. A value that is moved to another place doesn't open there.
package secret

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
)

// KeySize is the length of the master key in bytes.
const KeySize = 32

const (
	version   = 1
	idSize    = 8
	nonceSize = 12
	tagSize   = 16
	headSize  = 1 + idSize + nonceSize + KeySize + tagSize + nonceSize
)

// ErrKey is wrapped by the errors of values that were sealed with another master key.
var ErrKey = errors.New("sealed with another master key")

// Box seals and opens values with one master key. It may be used from many goroutines, and doesn't show its key when it
// is printed or logged.
type Box struct {
	master cipher.AEAD
	id     [idSize]byte
	origin string
}

// New returns a box for a master key of KeySize bytes. origin says where the key is from, for errors: "file
// /var/lib/skyweld/master-key".
func New(master []byte, origin string) (*Box, error) {
	if len(master) != KeySize {
		return nil, fmt.Errorf("master key from %s: it has %d bytes; want %d", origin, len(master), KeySize)
	}
	aead, err := newAEAD(master)
	if err != nil {
		return nil, fmt.Errorf("master key from %s: %w", origin, err)
	}
	b := &Box{master: aead, origin: origin}
	sum := sha256.Sum256(append([]byte("skyweld master key id"), master...))
	copy(b.id[:], sum[:])
	return b, nil
}

// ID names the master key without telling it: 16 of 0-9 a-f.
func (b *Box) ID() string { return hex.EncodeToString(b.id[:]) }

// Origin says where the master key is from.
func (b *Box) Origin() string { return b.origin }

func (b *Box) String() string { return "secret.Box(" + b.ID() + ")" }

// GoString is what %#v prints: the key's id alone.
func (b *Box) GoString() string { return b.String() }

// LogValue is what slog writes: the key's id alone.
func (b *Box) LogValue() slog.Value { return slog.StringValue(b.String()) }

// Seal returns the sealed form of a value for its place in the database.
func (b *Box) Seal(table, row, column string, plain []byte) ([]byte, error) {
	dataKey := make([]byte, KeySize)
	rand.Read(dataKey)
	defer clear(dataKey)
	aead, err := newAEAD(dataKey)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", place(table, row, column), err)
	}
	nonces := make([]byte, 2*nonceSize)
	rand.Read(nonces)
	data := associated(table, row, column)

	out := make([]byte, 0, headSize+len(plain)+tagSize)
	out = append(out, version)
	out = append(out, b.id[:]...)
	out = append(out, nonces[:nonceSize]...)
	out = b.master.Seal(out, nonces[:nonceSize], dataKey, data)
	out = append(out, nonces[nonceSize:]...)
	return aead.Seal(out, nonces[nonceSize:], plain, data), nil
}

// Open returns the value that was sealed for this place in the database. The error wraps ErrKey when that was with
// another master key, and says which one is needed.
func (b *Box) Open(table, row, column string, sealed []byte) ([]byte, error) {
	at := place(table, row, column)
	if len(sealed) > 0 && sealed[0] != version {
		return nil, fmt.Errorf("open %s: it is sealed in format %d and this program reads %d: use a newer version of Skyweld", at, sealed[0], version)
	}
	if len(sealed) < headSize+tagSize {
		return nil, fmt.Errorf("open %s: it is damaged: %d bytes are too few for a sealed value", at, len(sealed))
	}
	rest := sealed[1:]
	if id := rest[:idSize]; !bytes.Equal(id, b.id[:]) {
		return nil, fmt.Errorf("open %s: %w: that was %x, and the one from %s is %s: start Skyweld with the key the database was made with", at, ErrKey, id, b.origin, b.ID())
	}
	rest = rest[idSize:]
	data := associated(table, row, column)
	dataKey, err := b.master.Open(nil, rest[:nonceSize], rest[nonceSize:nonceSize+KeySize+tagSize], data)
	if err != nil {
		return nil, fmt.Errorf("open %s: it is damaged or was sealed for another place", at)
	}
	defer clear(dataKey)
	rest = rest[nonceSize+KeySize+tagSize:]
	aead, err := newAEAD(dataKey)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", at, err)
	}
	plain, err := aead.Open([]byte{}, rest[:nonceSize], rest[nonceSize:], data)
	if err != nil {
		return nil, fmt.Errorf("open %s: it is damaged", at)
	}
	return plain, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func associated(table, row, column string) []byte {
	data := []byte("skyweld.dev/sealed/v1")
	for _, s := range []string{table, row, column} {
		data = binary.BigEndian.AppendUint32(data, uint32(len(s)))
		data = append(data, s...)
	}
	return data
}

func place(table, row, column string) string {
	return fmt.Sprintf("%s of %s %q", column, table, row)
}
