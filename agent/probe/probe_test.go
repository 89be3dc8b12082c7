package probe

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	here  = netip.MustParseAddr("127.51.82.1")
	there = netip.MustParseAddr("127.51.82.2")
)

func newEcho(t *testing.T, from string) {
	t.Helper()
	e := NewEcho(slog.New(slog.DiscardHandler))
	if changed, err := e.Set(there, []netip.Prefix{netip.MustParsePrefix(from)}); err != nil || len(changed) != 1 {
		t.Fatal(changed, err)
	}
	if changed, err := e.Set(there, []netip.Prefix{netip.MustParsePrefix(from)}); err != nil || len(changed) != 0 {
		t.Fatal(changed, err)
	}
	t.Cleanup(e.Close)
}

func TestMeasure(t *testing.T) {
	newEcho(t, "127.51.82.0/24")
	results, err := Measure(context.Background(), here, []Target{{Peer: "b", Address: there}, {Peer: "c", Address: here}}, 5)
	if err != nil {
		t.Fatal(err)
	}
	if r := results[0]; r.Peer != "b" || r.Sent != 5 || r.Received != 5 || r.Min <= 0 && r.P99 <= 0 || r.P50 > r.P99 || r.Min > r.P50 {
		t.Errorf("measured %+v", r)
	}
	if r := results[1]; r.Received != 0 || r.P50 != 0 {
		t.Errorf("nobody is there, and yet %+v", r)
	}
}

func TestStranger(t *testing.T) {
	newEcho(t, "10.0.0.0/8")
	results, err := Measure(context.Background(), here, []Target{{Address: there}}, 1)
	if err != nil || results[0].Received != 0 {
		t.Errorf("a stranger was answered: %+v, %v", results, err)
	}
}

func TestNotAProbe(t *testing.T) {
	newEcho(t, "127.0.0.0/8")
	c, err := net.Dial("udp4", netip.AddrPortFrom(there, Port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("anything of thirty-two bytes !!!")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 100)); err == nil {
		t.Errorf("it was answered with %d bytes", n)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Measure(ctx, here, []Target{{Address: there}}, 100); err == nil {
		t.Error("no error")
	}
}

func TestSummary(t *testing.T) {
	var trips []time.Duration
	for i := 100; i >= 1; i-- {
		trips = append(trips, time.Duration(i)*time.Millisecond)
	}
	got := summary(Target{Peer: "b"}, 100, trips)
	if got.Min != 1000 || got.P50 != 50_000 || got.P99 != 99_000 {
		t.Errorf("summary is %+v", got)
	}
	if got := summary(Target{}, 3, trips[:1]); got.P50 != 100_000 || got.P99 != 100_000 || got.Min != 100_000 || got.Received != 1 {
		t.Errorf("summary of one is %+v", got)
	}
}
