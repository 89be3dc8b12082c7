package remote

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// answering takes connections and does something with each.
func answering(t *testing.T, answer func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			answer(c)
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestKnock(t *testing.T) {
	says := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = c.Write([]byte(text))
			c.Close()
		}
	}
	for _, tt := range []struct {
		name string
		at   netip.AddrPort
		want string // empty for no error
	}{
		{"sshd", answering(t, says("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")), ""},
		{"too short", answering(t, says("SSH-")), "said nothing (4 bytes)"},
		{"something else", answering(t, says("HTTP/1.1 400 Bad Request\r\n")), `no sshd: it said "HTTP/1.1"`},
		{"nobody", netip.MustParseAddrPort("127.0.0.1:1"), "refused"},
	} {
		err := Knock(t.Context(), tt.at, "")
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := Knock(t.Context(), netip.MustParseAddrPort("127.0.0.1:1"), "ftp://x"); err == nil || !strings.Contains(err.Error(), "not supported") {
		t.Errorf("with a wrong proxy: %v", err)
	}
}

func TestKnockGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	taken := make(chan struct{})
	at := answering(t, func(net.Conn) { close(taken) })
	go func() {
		<-taken
		cancel()
	}()
	begin := time.Now()
	if err := Knock(ctx, at, ""); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("a silent machine, after %v: %v", time.Since(begin), err)
	}
}
