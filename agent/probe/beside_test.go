package probe

import (
	"bytes"
	"crypto/ecdh"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testPort stands for WireGuard's; nobody listens there.
const testPort = 51998

// ends opens the sockets of nodes with these keys, all on loopback; each tells of answers by its channel.
func ends(t *testing.T, keys ...byte) (all []*beside, members []Member, answers []chan uint64) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: opens raw sockets")
	}
	for _, n := range keys {
		key, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{n}, 32))
		if err != nil {
			t.Fatal(err)
		}
		came := make(chan uint64, 10)
		b, err := newBeside(key, testPort, func(probe uint64, _ time.Time) { came <- probe }, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.close)
		all, answers = append(all, b), append(answers, came)
		members = append(members, Member{
			Name: string('a' + rune(n)), PublicKey: base64.StdEncoding.EncodeToString(key.PublicKey().Bytes()),
			Public: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 51, 82, n}), testPort),
		})
	}
	return all, members, answers
}

// know makes a node know others.
func know(t *testing.T, b *beside, members ...Member) {
	t.Helper()
	if err := b.know(members); err != nil {
		t.Fatal(err)
	}
}

func TestBeside(t *testing.T) {
	all, members, answers := ends(t, 1, 2)
	know(t, all[0], members[1])
	know(t, all[1], members[0])
	for probe := range uint64(3) {
		if err := all[0].send(all[0].socket, members[1], all[0].number, probe, headers+frameSize); err != nil {
			t.Fatal(err)
		}
		if got := <-answers[0]; got != probe {
			t.Errorf("answer %d, want %d", got, probe)
		}
	}
	// Two that the kernel put together on the way are two.
	key := all[0].key(sender(publicOf(t, members[1])))
	var both []byte
	for probe := range uint64(2) {
		both = append(both, frame{kind: ask, length: 100, from: all[0].self, number: all[0].number, probe: 10 + probe}.seal(key)...)
	}
	if _, err := all[0].socket.WriteToUDPAddrPort(both, members[1].Public); err != nil {
		t.Fatal(err)
	}
	if first, second := <-answers[0], <-answers[0]; first != 10 || second != 11 {
		t.Errorf("answers %d and %d", first, second)
	}
	if !all[0].carries(t.Context(), members[1], 9001) {
		t.Error("loopback carries 9001 bytes")
	}
	if err := all[0].send(all[0].socket, members[1], 0, 0, 1<<16-1); !errors.Is(err, unix.EMSGSIZE) && err != nil {
		t.Errorf("the largest packet: %v", err)
	}
	if len(answers[1]) > 0 {
		t.Error("who didn't ask was answered")
	}
}

// TestBesideStranger: who isn't known gets no answer, and neither does who knows no key or sends an answer.
func TestBesideStranger(t *testing.T) {
	all, members, answers := ends(t, 1, 2, 3)
	know(t, all[0], members[1])
	know(t, all[1], members[0])
	know(t, all[2], members[1])
	send := func(f frame, from int, key []byte) {
		t.Helper()
		f.length, f.from, f.number = 60, all[from].self, all[from].number
		if _, err := all[from].socket.WriteToUDPAddrPort(f.seal(key), members[1].Public); err != nil {
			t.Fatal(err)
		}
	}
	key := func(from int) []byte { return all[from].key(sender(publicOf(t, members[1]))) }
	send(frame{kind: ask, probe: 1}, 2, key(2))
	send(frame{kind: ask, probe: 2}, 0, make([]byte, 32))
	send(frame{kind: ask, probe: 3}, 0, key(2))
	send(frame{kind: answer, probe: 4}, 0, key(0))
	send(frame{kind: ask, probe: 5}, 0, key(0))
	if got := <-answers[0]; got != 5 || len(answers[2]) > 0 {
		t.Errorf("probe %d was answered", got)
	}
	if err := all[0].send(all[0].socket, Member{Name: "c", PublicKey: members[0].PublicKey, Public: members[1].Public}, 1, 1, 100); err == nil {
		t.Error("it was sent to who isn't known")
	}
	if err := all[0].know([]Member{{Name: "x", PublicKey: "x"}}); err == nil {
		t.Error("a key that is none was taken")
	}
}

func publicOf(t *testing.T, m Member) []byte {
	t.Helper()
	raw, err := decodeKey(m.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
