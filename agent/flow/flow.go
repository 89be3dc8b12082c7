// Package flow finds out how much goes through the tunnel between two machines: one sends what the other throws away. Only
// machines that are there to measure take anything; it is not for seeing how far apart they are, which is package probe's.
package flow

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Port is the TCP port that a sink listens on.
const Port = 51821

// Longest is how long one may be sent for.
const Longest = time.Minute

// Sink takes what others send, and says how much it was.
type Sink struct {
	log *slog.Logger

	mu       sync.Mutex
	address  netip.Addr
	from     []netip.Prefix
	listener net.Listener
	running  sync.WaitGroup
}

// NewSink makes a sink that listens nowhere yet.
func NewSink(log *slog.Logger) *Sink { return &Sink{log: log} }

// Set listens on an address, on Port, and takes what comes from the given ranges; the zero address stops it. It says in words
// what was different.
func (s *Sink) Set(address netip.Addr, from []netip.Prefix) ([]string, error) {
	return s.set(address, from, Port)
}

func (s *Sink) set(address netip.Addr, from []netip.Prefix, port uint16) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from = slices.Clone(from)
	if s.address == address && (s.listener != nil) == address.IsValid() {
		return nil, nil
	}
	if s.listener != nil {
		_ = s.listener.Close() // the loop that accepts ends
		s.listener, s.address = nil, netip.Addr{}
	}
	if !address.IsValid() {
		return []string{"stopped taking what others send to measure"}, nil
	}
	listener, err := net.Listen("tcp4", netip.AddrPortFrom(address, port).String())
	if err != nil {
		return nil, fmt.Errorf("take what others send to measure: %w", err)
	}
	s.listener, s.address = listener, address
	s.running.Go(func() { s.serve(listener) })
	return []string{"takes what others send to measure, on " + listener.Addr().String()}, nil
}

// Close stops it.
func (s *Sink) Close() {
	s.mu.Lock()
	if s.listener != nil {
		_ = s.listener.Close() // the loop that accepts ends
		s.listener = nil
	}
	s.mu.Unlock()
	s.running.Wait()
}

func (s *Sink) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Warn("take what others send to measure", "error", err)
			return
		}
		s.running.Go(func() {
			defer conn.Close()
			if err := s.take(conn); err != nil {
				s.log.Debug("take what others send to measure", "from", conn.RemoteAddr(), "error", err)
			}
		})
	}
}

// take throws away what comes, and answers with how many bytes it was.
func (s *Sink) take(conn net.Conn) error {
	remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return err
	}
	s.mu.Lock()
	known := slices.ContainsFunc(s.from, func(p netip.Prefix) bool { return p.Contains(remote.Addr().Unmap()) })
	s.mu.Unlock()
	if !known {
		return errors.New("not from the cluster")
	}
	if err := conn.SetDeadline(time.Now().Add(2 * Longest)); err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, conn)
	if err != nil {
		return err
	}
	return binary.Write(conn, binary.BigEndian, n)
}

// Result is what came of sending.
type Result struct {
	// Bytes arrived in Micros microseconds, until the other side said so.
	Bytes  int64 `json:"bytes"`
	Micros int64 `json:"micros"`
}

// Send sends for some time to the sink of a machine, from a source address, which decides which way it goes.
func Send(ctx context.Context, source, to netip.Addr, length time.Duration) (Result, error) {
	return send(ctx, source, netip.AddrPortFrom(to, Port), length)
}

func send(ctx context.Context, source netip.Addr, to netip.AddrPort, length time.Duration) (Result, error) {
	fail := func(err error) (Result, error) { return Result{}, fmt.Errorf("send to %s: %w", to, err) }
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp4", to.String())
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends what is going on below
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(length + Longest)); err != nil {
		return fail(err)
	}
	block := make([]byte, 64<<10)
	start := time.Now()
	for time.Since(start) < length {
		if _, err := conn.Write(block); err != nil {
			return fail(err)
		}
	}
	if half, ok := conn.(*net.TCPConn); ok {
		if err := half.CloseWrite(); err != nil {
			return fail(err)
		}
	}
	var out Result
	if err := binary.Read(conn, binary.BigEndian, &out.Bytes); err != nil {
		return fail(err)
	}
	out.Micros = time.Since(start).Microseconds()
	return out, nil
}
