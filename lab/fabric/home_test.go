//go:build linux

package fabric

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/lab/world"
)

// onlyConn dials with a connection that is there already.
func onlyConn(c net.Conn) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return c, nil }
}

// proxy starts the fabric's SOCKS5 proxy and returns its address.
func proxy(t *testing.T, f *Fabric) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- f.ServeSOCKS(l) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// exchange sends bytes in hex to the proxy and returns as many in hex as are wanted.
func exchange(t *testing.T, c net.Conn, send string, want int) string {
	t.Helper()
	raw, err := hex.DecodeString(strings.ReplaceAll(send, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(raw); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, want)
	n, _ := io.ReadFull(c, got)
	return hex.EncodeToString(got[:n])
}

func TestProxy(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	aws := site("aws")
	aws.NICs[1].Inbound = []world.Rule{allowPort("tcp", 7000, "198.18.0.0/24")}
	set(t, f, aws)
	serve(t, f, "aws2", 7000)
	at := proxy(t, f)

	const greeting = "05 01 00"
	tests := []struct{ name, send, want string }{
		{"allowed", greeting + "05 01 00 01 c612010c 1b58", "0500" + "05000001" + "c6120002"},
		{"as a name", greeting + "05 01 00 03 0b" + hex.EncodeToString([]byte("198.18.1.12")) + "1b58", "0500" + "05000001" + "c6120002"},
		{"refused", greeting + "05 01 00 01 c612010b 1b58", "0500" + "05050001" + "00000000"},
		{"a name", greeting + "05 01 00 03 07" + hex.EncodeToString([]byte("example")) + "1b58", "0500" + "05040001" + "00000000"},
		{"not ours", greeting + "05 01 00 01 08080808 1b58", "0500" + "05020001" + "00000000"},
		{"loopback", greeting + "05 01 00 01 7f000001 0016", "0500" + "05020001" + "00000000"},
		{"IPv6", greeting + "05 01 00 04 20010db8000000000000000000000001 1b58", "0500" + "05080001" + "00000000"},
		{"mapped IPv4", greeting + "05 01 00 04 00000000000000000000ffffc612010c 1b58", "0500" + "05000001" + "c6120002"},
		{"bind", greeting + "05 02 00 01 c612010c 1b58", "0500" + "05070001" + "00000000"},
		{"unknown type", greeting + "05 01 00 09 c612", "0500" + "05080001" + "00000000"},
		{"password", "05 01 02", "05ff"},
		{"SOCKS4", "04 01 1b58 c612010c 00", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := net.Dial("tcp4", at)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := exchange(t, c, test.send, max(len(test.want)/2, 1)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}

	t.Run("data", func(t *testing.T) {
		c, err := net.Dial("tcp4", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// What is sent before the proxy has answered must not be lost.
		exchange(t, c, greeting+"05 01 00 01 c612010c 1b58"+hex.EncodeToString([]byte("early ")), 12)
		if _, err := c.Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "198.18.0.2\nearly late" {
			t.Errorf("got %q, error %v", got, err)
		}
	})
}

func TestCloseEndsProxied(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	set(t, f, site("aws"))
	serve(t, f, "aws2", 7000)
	c, err := net.Dial("tcp4", proxy(t, f))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := exchange(t, c, "05 01 00 05 01 00 01 c612010c 1b58", 12); !strings.HasPrefix(got, "050005000001") {
		t.Fatalf("got %s", got)
	}
	if _, err := f.ListenHome("tcp", "198.18.0.3:80"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the proxied connection ends with %v", err)
	}
}

func TestMirror(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	set(t, f, site("gcp"))
	l, err := f.ListenHome("tcp", "198.18.0.3:80")
	if err != nil {
		t.Fatal(err)
	}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) })}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	within(t, f, "gcp2", func() error {
		conn, err := net.DialTimeout("tcp4", "198.18.0.3:80", patient)
		if err != nil {
			return err
		}
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: onlyConn(conn)}}).Get("http://198.18.0.3/")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if !bytes.HasPrefix(body, []byte("198.18.2.12:")) {
			return fmt.Errorf("got %q, error %w", body, err)
		}
		return nil
	})
	for _, at := range []string{"198.18.1.3:80", "0.0.0.0:80", "198.18.0.3", "mirror:80"} {
		if l, err := f.ListenHome("tcp", at); err == nil {
			l.Close()
			t.Errorf("listens on %s", at)
		}
	}
	if l, err := f.ListenHome("udp", "198.18.0.3:80"); err == nil {
		l.Close()
		t.Error("listens on UDP")
	}
}

func TestCounters(t *testing.T) {
	needRoot(t)
	f := testFabric(t, t.TempDir())
	set(t, f, site("aws"))
	set(t, f, site("gcp"))
	serve(t, f, "aws2", 51820)
	serve(t, f, "gcp1", 51820)
	wantAnswer(t, f, "aws1", "udp4", "198.18.2.11:51820", "198.18.1.11")
	wantAnswer(t, f, "aws1", "udp4", "10.64.0.12:51820", "10.64.0.11") // stays inside, and out of the count
	wantSilence(t, f, "aws1", "tcp4", "198.18.9.9:51820")              // goes nowhere
	const port = 51820
	// The client's port may be lower than the server's.
	got := map[Crossing]Traffic{}
	for kind, traffic := range f.Counters() {
		if kind.Port < 30000 || kind.Port > port {
			t.Errorf("%+v", kind)
		}
		kind.Port = 0
		got[kind] = traffic
	}
	want := map[Crossing]Traffic{
		{FromCloud: "aws", FromRegion: "aws-region", ToCloud: "gcp", ToRegion: "gcp-region", Protocol: "udp"}: {Packets: 1, Bytes: 28 + 1},
		{FromCloud: "gcp", FromRegion: "gcp-region", ToCloud: "aws", ToRegion: "aws-region", Protocol: "udp"}: {Packets: 1, Bytes: 28 + 12},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte{5, 1, 0, 5, 1, 0, 1, 198, 18, 1, 12, 0, 22})
	f.Add([]byte{5, 2, 2, 0, 5, 1, 0, 3, 3, 'a', '.', 'b', 0, 22})
	f.Add([]byte{5, 1, 0, 5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 22})
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		to, code, err := request(bufio.NewReader(bytes.NewReader(in)), &out)
		if err == nil && code == socksSucceeded && !to.Addr().Is4() {
			t.Errorf("%x: accepted for %s", in, to)
		}
		if out.Len() > 2 {
			t.Errorf("%x: %d bytes before the request's answer", in, out.Len())
		}
	})
}
