package flow

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"
)

func TestFlow(t *testing.T) {
	here := netip.MustParseAddr("127.0.0.1")
	for _, c := range []struct {
		name string
		from string
		ok   bool
	}{
		{"from the cluster", "127.0.0.0/8", true},
		{"from elsewhere", "10.0.0.0/8", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewSink(slog.New(slog.DiscardHandler))
			defer s.Close()
			if did, err := s.set(here, []netip.Prefix{netip.MustParsePrefix(c.from)}, 0); err != nil || len(did) != 1 {
				t.Fatalf("%q, %v", did, err)
			}
			to := netip.MustParseAddrPort(s.listener.Addr().String())
			got, err := send(t.Context(), here, to, 20*time.Millisecond)
			if (err == nil) != c.ok || c.ok && (got.Bytes == 0 || got.Micros < 20_000) {
				t.Errorf("sent %+v, %v", got, err)
			}
			if did, err := s.set(here, nil, 0); err != nil || len(did) > 0 {
				t.Errorf("the same again: %q, %v", did, err)
			}
			if did, err := s.set(netip.Addr{}, nil, 0); err != nil || len(did) != 1 {
				t.Errorf("stopped: %q, %v", did, err)
			}
			if _, err := send(t.Context(), here, to, time.Millisecond); err == nil {
				t.Error("it still takes what is sent")
			}
		})
	}
}
