// Package probe measures round trips between nodes: inside the tunnel a UDP echo on every node, and the asking side; between sites
// all the time, outside the tunnel too, with the largest packet that passes there. It is for seeing distance, not for
// deciding whether a node is healthy.
package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Port is the UDP port of the echo.
const Port = 51821

// A probe is 32 bytes: the magic, the number of the measurement, and the probe's own number. The answer is the same bytes.
const (
	magic  = "skyweld-probe-1\n"
	length = len(magic) + 16
)

// Echo answers probes.
type Echo struct {
	log *slog.Logger

	mu      sync.Mutex
	from    []netip.Prefix
	address netip.Addr
	socket  net.PacketConn
	running sync.WaitGroup
}

// NewEcho makes an echo that does nothing yet.
func NewEcho(log *slog.Logger) *Echo { return &Echo{log: log} }

// Set listens on an address, on Port, and answers only what comes from the given ranges. It says in words what was different.
func (e *Echo) Set(address netip.Addr, from []netip.Prefix) ([]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.from = slices.Clone(from)
	if e.socket != nil && e.address == address {
		return nil, nil
	}
	if e.socket != nil {
		_ = e.socket.Close() // the loop that reads it ends
		e.socket = nil
	}
	socket, err := listen(address, Port)
	if err != nil {
		return nil, fmt.Errorf("latency echo: %w", err)
	}
	e.socket, e.address = socket, address
	e.running.Go(func() { e.serve(socket) })
	return []string{"started latency echo on " + socket.LocalAddr().String()}, nil
}

// Close stops the echo.
func (e *Echo) Close() {
	e.mu.Lock()
	if e.socket != nil {
		_ = e.socket.Close() // the loop that reads it ends
		e.socket = nil
	}
	e.mu.Unlock()
	e.running.Wait()
}

// listen opens a UDP socket, also before the machine has the address: after a restart that may take a moment.
func listen(address netip.Addr, port uint16) (net.PacketConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) {
			inner = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		})
		return errors.Join(err, inner)
	}}
	return config.ListenPacket(context.Background(), "udp4", netip.AddrPortFrom(address, port).String())
}

func (e *Echo) serve(socket net.PacketConn) {
	packet := make([]byte, length+1)
	for {
		n, from, err := socket.ReadFrom(packet)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n != length || !bytes.HasPrefix(packet, []byte(magic)) || !e.answers(from) {
			continue
		}
		if _, err := socket.WriteTo(packet[:n], from); err != nil {
			e.log.Debug("latency echo", "to", from, "error", err)
		}
	}
}

func (e *Echo) answers(from net.Addr) bool {
	udp, ok := from.(*net.UDPAddr)
	if !ok {
		return false
	}
	address := udp.AddrPort().Addr().Unmap()
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.from, func(p netip.Prefix) bool { return p.Contains(address) })
}

// Result is what was measured to one peer. Times are in microseconds, 0 when nothing came back.
type Result struct {
	Peer     string     `json:"peer"`
	Address  netip.Addr `json:"address"`
	Sent     int        `json:"sent"`
	Received int        `json:"received"`
	P50      int64      `json:"p50"`
	P99      int64      `json:"p99"`
	Min      int64      `json:"min"`
}

// Target is one peer to measure.
type Target struct {
	Peer    string     `json:"peer"`
	Address netip.Addr `json:"address"`
}

// Between probes of one peer, and after the last one until it is taken for lost.
const (
	interval = 20 * time.Millisecond
	patience = time.Second
)

// Measure sends count probes to each target, all targets at once, from a source address. The source decides which way
// they go: an address of the node's own pod block leads into the tunnel.
func Measure(ctx context.Context, source netip.Addr, targets []Target, count int) ([]Result, error) {
	return measure(ctx, source, targets, count, Port)
}

func measure(ctx context.Context, source netip.Addr, targets []Target, count int, port uint16) ([]Result, error) {
	results := make([]Result, len(targets))
	problems := make([]error, len(targets))
	var all sync.WaitGroup
	for i, target := range targets {
		all.Go(func() {
			trips, err := trips(ctx, source, netip.AddrPortFrom(target.Address, port), count)
			problems[i] = err
			results[i] = summary(target, count, trips)
		})
	}
	all.Wait()
	return results, errors.Join(problems...)
}

// trips measures one target.
func trips(ctx context.Context, source netip.Addr, to netip.AddrPort, count int) ([]time.Duration, error) {
	socket, err := listen(source, 0)
	if err != nil {
		return nil, fmt.Errorf("measure latency to %s: %w", to, err)
	}
	defer socket.Close()
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() }) // ends the read below
	defer stop()
	request := make([]byte, length)
	copy(request, magic)
	if _, err := rand.Read(request[len(magic) : len(magic)+8]); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	sent := make([]time.Time, 0, count)
	var sending sync.WaitGroup
	sending.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for i := range count {
			binary.BigEndian.PutUint64(request[length-8:], uint64(i))
			mu.Lock()
			sent = append(sent, time.Now())
			mu.Unlock()
			// A probe that cannot be sent is a lost one.
			_, _ = socket.WriteTo(request, net.UDPAddrFromAddrPort(to))
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
	measured := receive(socket, request[:length-8], count, func(i int) (time.Time, bool) {
		mu.Lock()
		defer mu.Unlock()
		if i >= len(sent) {
			return time.Time{}, false
		}
		return sent[i], true
	})
	sending.Wait()
	return measured, ctx.Err()
}

// receive collects answers until all have come, or the last one is overdue.
func receive(socket net.PacketConn, prefix []byte, count int, sentAt func(int) (time.Time, bool)) []time.Duration {
	deadline := time.Now().Add(time.Duration(count)*interval + patience)
	prefix = bytes.Clone(prefix)
	seen := map[uint64]bool{}
	var measured []time.Duration
	packet := make([]byte, length+1)
	if socket.SetReadDeadline(deadline) != nil {
		return nil
	}
	for len(measured) < count {
		n, _, err := socket.ReadFrom(packet)
		now := time.Now()
		if err != nil {
			var timeout net.Error
			if errors.Is(err, net.ErrClosed) || errors.As(err, &timeout) && timeout.Timeout() {
				return measured
			}
			continue
		}
		if n != length || !bytes.HasPrefix(packet, prefix) {
			continue
		}
		i := binary.BigEndian.Uint64(packet[length-8:])
		if at, ok := sentAt(int(i)); ok && i < uint64(count) && !seen[i] {
			seen[i] = true
			measured = append(measured, now.Sub(at))
		}
	}
	return measured
}

func summary(target Target, sent int, trips []time.Duration) Result {
	result := Result{Peer: target.Peer, Address: target.Address, Sent: sent, Received: len(trips)}
	if len(trips) == 0 {
		return result
	}
	ordered := slices.Sorted(slices.Values(trips))
	at := func(percent int) int64 { return nearestRank(ordered, percent).Microseconds() }
	result.Min, result.P50, result.P99 = ordered[0].Microseconds(), at(50), at(99)
	return result
}
