package probe

import (
	"context"
	"crypto/ecdh"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// beside sends and answers probes beside the tunnel. Who asks has an ordinary socket and sends to WireGuard's port. That port is
// WireGuard's, in the kernel or in this process; so who answers has a raw socket, to which the kernel gives a copy of
// what comes there with our mark. No packet is ever split on the way: what is too large is lost.
type beside struct {
	log     *slog.Logger
	private *ecdh.PrivateKey
	self    uint64
	port    uint16
	number  uint64
	socket  *net.UDPConn
	raw     *net.IPConn
	running sync.WaitGroup

	mu sync.Mutex
	// public are the keys of the nodes that may ask, shared the keys that were made of them.
	public map[uint64][]byte
	shared map[uint64][]byte
}

// newBeside opens the sockets. answered is told of answers to what send sends.
func newBeside(private *ecdh.PrivateKey, port uint16, answered func(probe uint64, at time.Time), log *slog.Logger) (*beside, error) {
	b := &beside{
		log: log, private: private, self: sender(private.PublicKey().Bytes()), port: port, number: rand.Uint64(),
		public: map[uint64][]byte{}, shared: map[uint64][]byte{},
	}
	var err error
	if b.socket, err = dial(); err != nil {
		return nil, fmt.Errorf("probe outside the tunnel: %w", err)
	}
	if b.raw, err = listenRaw(port); err != nil {
		_ = b.socket.Close() // it has done nothing yet
		return nil, fmt.Errorf("answer probes outside the tunnel: %w", err)
	}
	b.running.Go(func() { b.collect(b.socket, b.number, answered) })
	b.running.Go(b.answer)
	return b, nil
}

func (b *beside) close() {
	_ = b.socket.Close() // the loops that read them end
	_ = b.raw.Close()
	b.running.Wait()
}

// know says whose probes are answered.
func (b *beside) know(members []Member) error {
	public := map[uint64][]byte{}
	for _, m := range members {
		if m.PublicKey == "" { // the node itself
			continue
		}
		raw, err := decodeKey(m.PublicKey)
		if err != nil {
			return fmt.Errorf("probe outside the tunnel: %s: %w", m.Name, err)
		}
		public[sender(raw)] = raw
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.public = public
	return nil
}

// key is what this node shares with another; nil when it doesn't know that one. It is made when it is needed: of a thousand
// peers few ever ask.
func (b *beside) key(from uint64) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	public := b.public[from]
	if public == nil {
		return nil
	}
	if b.shared[from] == nil {
		shared, err := sharedKey(b.private, public)
		if err != nil {
			return nil
		}
		b.shared[from] = shared
	}
	return b.shared[from]
}

// send sends one probe of a size, in bytes with its headers.
func (b *beside) send(socket *net.UDPConn, to Member, number, probe uint64, size int) error {
	raw, err := decodeKey(to.PublicKey)
	if err != nil {
		return err
	}
	key := b.key(sender(raw))
	if key == nil {
		return fmt.Errorf("no key of %s", to.Name)
	}
	f := frame{kind: ask, length: size - headers, from: b.self, number: number, probe: probe}
	_, err = socket.WriteToUDPAddrPort(f.seal(key), to.Public)
	return err
}

// collect reads answers of one measurement until the socket is closed or its time is over.
func (b *beside) collect(socket *net.UDPConn, number uint64, answered func(probe uint64, at time.Time)) {
	packet := make([]byte, 1<<16)
	for {
		n, _, err := socket.ReadFromUDPAddrPort(packet)
		now := time.Now()
		var timeout net.Error
		if errors.Is(err, net.ErrClosed) || errors.As(err, &timeout) && timeout.Timeout() {
			return
		}
		if err != nil {
			continue
		}
		if f, _, err := open(packet[:n], b.key); err == nil && f.kind == answer && f.number == number {
			answered(f.probe, now)
		}
	}
}

// How often a size is tried, and how long each time.
const (
	tries      = 3
	triesPause = 500 * time.Millisecond
)

// carries says whether packets of a size come to a node, and their answers back.
func (b *beside) carries(ctx context.Context, to Member, size int) bool {
	socket, err := dial()
	if err != nil {
		b.log.Debug("path MTU", "error", err)
		return false
	}
	number, came := rand.Uint64(), make(chan struct{}, tries)
	var reading sync.WaitGroup
	reading.Go(func() {
		b.collect(socket, number, func(uint64, time.Time) {
			select {
			case came <- struct{}{}:
			default:
			}
		})
	})
	defer reading.Wait()
	defer socket.Close()
	for i := range tries {
		err := b.send(socket, to, number, uint64(i), size)
		if errors.Is(err, unix.EMSGSIZE) {
			return false // our own device is too small
		}
		select {
		case <-came:
			return true
		case <-ctx.Done():
			return false
		case <-time.After(triesPause):
		}
	}
	return false
}

// answer sends back what comes to WireGuard's port with our mark, as long as it came and from where it was sent to.
func (b *beside) answer() {
	packet, control := make([]byte, 1<<16), make([]byte, 128)
	for {
		n, _, _, from, err := b.raw.ReadMsgIP(packet, control)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		source, destination, port, payload := dissect(packet[:n])
		for len(payload) > 0 {
			f, rest, err := open(payload, b.key)
			if err != nil || f.kind != ask {
				break
			}
			payload = rest
			key := b.key(f.from)
			f.kind, f.from = answer, b.self
			out := datagram(netip.AddrPortFrom(destination, b.port), netip.AddrPortFrom(source, port), f.seal(key))
			info := unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: destination.As4()})
			if _, _, err := b.raw.WriteMsgIP(out, info, from); err != nil {
				b.log.Debug("probe outside the tunnel is not answered", "from", source, "error", err)
			}
		}
	}
}

// dissect takes an IPv4 packet with a UDP datagram apart; the payload is nil when it is none.
func dissect(packet []byte) (source, destination netip.Addr, port uint16, payload []byte) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return source, destination, 0, nil
	}
	length := int(packet[0]&15) * 4
	if length < 20 || len(packet) < length+8 || packet[9] != unix.IPPROTO_UDP {
		return source, destination, 0, nil
	}
	source, destination = netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20]))
	return source, destination, binary.BigEndian.Uint16(packet[length:]), packet[length+8:]
}

// datagram puts a UDP header before a payload, with the checksum over the pseudo header of RFC 768.
func datagram(from, to netip.AddrPort, payload []byte) []byte {
	length := 8 + len(payload)
	out := make([]byte, length)
	binary.BigEndian.PutUint16(out, from.Port())
	binary.BigEndian.PutUint16(out[2:], to.Port())
	binary.BigEndian.PutUint16(out[4:], uint16(length))
	copy(out[8:], payload)
	source, destination := from.Addr().As4(), to.Addr().As4()
	sum := uint32(unix.IPPROTO_UDP) + uint32(length)
	for _, part := range [][]byte{source[:], destination[:], out} {
		for ; len(part) > 1; part = part[2:] {
			sum += uint32(binary.BigEndian.Uint16(part))
		}
		if len(part) == 1 {
			sum += uint32(part[0]) << 8
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	check := ^uint16(sum)
	if check == 0 { // which would say that there is none
		check = 0xffff
	}
	binary.BigEndian.PutUint16(out[6:], check)
	return out
}

// whole makes a socket send packets in one piece whatever the kernel has heard of the path.
func whole(c syscall.RawConn) error {
	var inner error
	err := c.Control(func(fd uintptr) {
		inner = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	})
	return errors.Join(err, inner)
}

// The UDP ports that is asked from beside the tunnel: next to WireGuard's, so that who looks at packets between the sites sees
// few and known ones. Not all of them are needed: a socket for what is measured all the time, and one for each way whose packet
// size is searched.
const firstAsking, lastAsking = 51822, 51899

// dial opens a socket to ask from.
func dial() (*net.UDPConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return whole(c) }}
	var failure error
	for port := firstAsking; port <= lastAsking; port++ {
		socket, err := config.ListenPacket(context.Background(), "udp4", fmt.Sprintf(":%d", port))
		if err == nil {
			return socket.(*net.UDPConn), nil
		}
		if failure = err; !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	return nil, failure
}

// listenRaw opens a socket that gets what comes to a UDP port and begins with our mark, besides who listens there. The filter is in
// the kernel: the tunnel's own packets are not to pass by here.
func listenRaw(port uint16) (*net.IPConn, error) {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0},                   // x = length of the IPv4 header
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 2},                    // the port it goes to
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: uint32(port)}, //
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_IND, K: 8},                    // the payload's first word
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(mark)}, //
		{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 16},                            // take it
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},                                  // leave it
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) {
			inner = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
		})
		return errors.Join(err, inner, whole(c))
	}}
	socket, err := config.ListenPacket(context.Background(), "ip4:udp", "0.0.0.0")
	if err != nil {
		return nil, err
	}
	return socket.(*net.IPConn), nil
}
