package balancer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skyweld/skyweld/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server says its name to whoever connects, then gives back what it gets.
type server struct {
	address netip.AddrPort
	socket  net.Listener
	done    sync.WaitGroup
}

func newServer(t *testing.T, name string) *server {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{socket: socket, address: socket.Addr().(*net.TCPAddr).AddrPort()}
	s.done.Go(func() {
		for {
			c, err := socket.Accept()
			if err != nil {
				return
			}
			s.done.Go(func() {
				defer c.Close()
				if _, err := io.WriteString(c, name); err == nil {
					_, _ = io.Copy(c, c) // until the other side has said all
				}
			})
		}
	})
	t.Cleanup(func() { s.stop(); s.done.Wait() })
	return s
}

func (s *server) stop() { _ = s.socket.Close() }

func free(t *testing.T) netip.AddrPort {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	return socket.Addr().(*net.TCPAddr).AddrPort()
}

func dial(t *testing.T, to netip.AddrPort) (net.Conn, string) {
	t.Helper()
	c, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	name := make([]byte, 3)
	if _, err := io.ReadFull(c, name); err != nil {
		return c, err.Error()
	}
	return c, string(name)
}

func newBalancer(t *testing.T, listen netip.AddrPort, backends ...netip.AddrPort) *Balancer {
	t.Helper()
	b := New(slog.New(slog.DiscardHandler))
	if _, err := b.Set(node.Balancer{Listen: listen, Backends: backends}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestNearestFirst(t *testing.T) {
	one, two, listen := newServer(t, "one"), newServer(t, "two"), free(t)
	b := newBalancer(t, listen, one.address, two.address)
	c, name := dial(t, listen)
	if name != "one" {
		t.Errorf("the first answer is of %q", name)
	}
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(c); err != nil || string(rest) != "hello" {
		t.Errorf("after our end, %q came, %v", rest, err)
	}
	one.stop()
	if _, name := dial(t, listen); name != "two" {
		t.Errorf("with the first down, %q answers", name)
	}
	if health := b.Health(); health[one.address] || !health[two.address] {
		t.Errorf("health is %v", health)
	}
}

// A backend that went silent loses its connections, so that clients come again and get another one.
func TestUnhealthyLosesConnections(t *testing.T) {
	one, two, listen := newServer(t, "one"), newServer(t, "two"), free(t)
	b := newBalancer(t, listen, one.address, two.address)
	c, _ := dial(t, listen)
	for range patience {
		b.mark(one.address, errors.New("silent"))
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
	b.mark(one.address, nil)
	if _, name := dial(t, listen); name != "one" {
		t.Errorf("after it came back, %q answers", name)
	}
}

func TestCheck(t *testing.T) {
	one, two := newServer(t, "one"), free(t)
	b := newBalancer(t, free(t), one.address, two)
	b.check(context.Background())
	if health := b.Health(); !health[one.address] || health[two] {
		t.Errorf("health is %v", health)
	}
}

func TestNobodyAnswers(t *testing.T) {
	listen := free(t)
	newBalancer(t, listen, free(t), free(t))
	if c, what := dial(t, listen); !strings.Contains(what, "EOF") && !strings.Contains(what, "reset") {
		t.Errorf("%v says %q", c.RemoteAddr(), what)
	}
}

func TestSet(t *testing.T) {
	one, two, listen := newServer(t, "one"), newServer(t, "two"), free(t)
	b := newBalancer(t, listen, one.address)
	kept, _ := dial(t, listen)
	set := func(want bool, c node.Balancer) {
		t.Helper()
		changed, err := b.Set(c)
		if err != nil || len(changed) > 0 != want {
			t.Errorf("set %v: %v, %v", c, changed, err)
		}
	}
	set(false, node.Balancer{Listen: listen, Backends: []netip.AddrPort{one.address}})
	set(true, node.Balancer{Listen: listen, Backends: []netip.AddrPort{two.address, one.address}})
	if _, name := dial(t, listen); name != "two" {
		t.Errorf("%q answers", name)
	}
	if _, err := io.WriteString(kept, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(kept, make([]byte, 1)); err != nil {
		t.Errorf("a connection to a backend that stays was closed: %v", err)
	}
	set(true, node.Balancer{Listen: listen, Backends: []netip.AddrPort{two.address}})
	if _, err := kept.Read(make([]byte, 1)); err == nil {
		t.Error("a connection to a backend that went is open")
	}
	moved := free(t)
	set(true, node.Balancer{Listen: moved, Backends: []netip.AddrPort{two.address}})
	if _, name := dial(t, moved); name != "two" {
		t.Errorf("%q answers at the new address", name)
	}
	if _, err := net.Dial("tcp", listen.String()); err == nil {
		t.Error("the old address still answers")
	}
	set(true, node.Balancer{})
	set(false, node.Balancer{})
}
