package probe

import (
	"context"
	"crypto/ecdh"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// wires are the ways of a real machine.
type wires struct {
	beside *beside
	// socket is inside the tunnel: its address leads there.
	socket  net.PacketConn
	request [length]byte
	running sync.WaitGroup
}

func openWays(private *ecdh.PrivateKey, tunnel netip.Addr, port uint16, answered func(uint64, time.Time), log *slog.Logger) (*wires, error) {
	w := &wires{}
	copy(w.request[:], magic)
	binary.BigEndian.PutUint64(w.request[len(magic):], rand.Uint64())
	var err error
	if w.socket, err = listen(tunnel, 0); err != nil {
		return nil, err
	}
	if w.beside, err = newBeside(private, port, answered, log); err != nil {
		return nil, errors.Join(err, w.socket.Close())
	}
	prefix := w.request[:length-8]
	w.running.Go(func() {
		packet := make([]byte, length+1)
		for {
			n, _, err := w.socket.ReadFrom(packet)
			now := time.Now()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil && n == length && [length - 8]byte(packet) == [length - 8]byte(prefix) {
				answered(binary.BigEndian.Uint64(packet[length-8:]), now)
			}
		}
	})
	return w, nil
}

func (w *wires) inside(to Member, probe uint64) error {
	request := w.request
	binary.BigEndian.PutUint64(request[length-8:], probe)
	_, err := w.socket.WriteTo(request[:], net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.Private, Port)))
	return err
}

func (w *wires) outside(to Member, probe uint64) error {
	return w.beside.send(w.beside.socket, to, w.beside.number, probe, headers+frameSize)
}

func (w *wires) carries(ctx context.Context, to Member, size int) bool {
	return w.beside.carries(ctx, to, size)
}

func (w *wires) know(members []Member) error { return w.beside.know(members) }

func (w *wires) close() {
	_ = w.socket.Close() // the loop that reads it ends
	w.running.Wait()
	w.beside.close()
}
