//go:build linux

package fabric

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func FuzzParse(f *testing.F) {
	f.Add(udpFrame("198.18.1.1", "198.18.2.1", 1000, 2000, 10))
	f.Add(make([]byte, vnetHeader))
	f.Fuzz(func(t *testing.T, frame []byte) {
		p, ok := parse(frame)
		if ok && (p.count < 1 || p.size < uint64(len(frame)-vnetHeader)) {
			t.Errorf("%x: %+v", frame, p)
		}
	})
}

// udpFrame is a UDP packet with its virtio header; checksums are left out.
func udpFrame(from, to string, sport, dport uint16, payload int) []byte {
	frame := make([]byte, vnetHeader+28+payload)
	ip := frame[vnetHeader:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	src, dst := netip.MustParseAddr(from).As4(), netip.MustParseAddr(to).As4()
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	binary.BigEndian.PutUint16(ip[20:], sport)
	binary.BigEndian.PutUint16(ip[22:], dport)
	binary.BigEndian.PutUint16(ip[24:], uint16(8+payload))
	return frame
}

func TestParseCountsSegments(t *testing.T) {
	frame := udpFrame("198.18.1.1", "198.18.2.1", 40000, 53, 3000)
	frame[1] = 5 // VIRTIO_NET_HDR_GSO_UDP_L4
	binary.NativeEndian.PutUint16(frame[4:], 1400)
	p, ok := parse(frame)
	if want := uint64(3000 + 3*28); !ok || p.count != 3 || p.size != want || p.port != 53 || p.protocol != 17 {
		t.Errorf("%+v, want 3 packets with %d bytes for port 53", p, want)
	}
	// A later fragment has no ports, whatever its first bytes look like.
	frame = udpFrame("198.18.1.1", "198.18.2.1", 40000, 53, 100)
	frame[vnetHeader+7] = 1
	if p, ok := parse(frame); !ok || p.port != 0 {
		t.Errorf("fragment: %+v", p)
	}
}

func TestCountersAreBounded(t *testing.T) {
	c := counters{all: map[crossingKey]*tally{}}
	for i := range 65536 {
		c.find(crossingKey{protocol: 17, port: uint16(i)}).packets.Add(1)
	}
	if len(c.all) != maxCrossings+1 {
		t.Errorf("%d kinds", len(c.all))
	}
	var total uint64
	for _, traffic := range c.snapshot() {
		total += traffic.Packets
	}
	if total != 65536 {
		t.Errorf("%d packets", total)
	}
	if got := c.snapshot()[Crossing{Protocol: "other"}].Packets; got != 65536-maxCrossings {
		t.Errorf("%d others", got)
	}
}

func TestQueueIsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		var model []time.Duration
		for i, push := range rapid.SliceOf(rapid.Bool()).Draw(t, "pushes") {
			if push {
				q.push(flight{due: time.Duration(i)})
				model = append(model, time.Duration(i))
			} else if len(model) > 0 {
				if got := q.pop().due; got != model[0] {
					t.Fatalf("got %d, want %d", got, model[0])
				}
				model = slices.Delete(model, 0, 1)
			}
			if q.len() != len(model) || q.len() > 0 && q.front().due != model[0] {
				t.Fatalf("length %d, want %d", q.len(), len(model))
			}
		}
	})
}

// switchOf is an internet of two ports whose devices are ends of packet sockets; a and b are the other ends.
func switchOf(t testing.TB, delay time.Duration) (a, b *os.File, left, right *port) {
	t.Helper()
	n := newInternet(func(from, to place) time.Duration { return delay })
	ends := make([]*os.File, 2)
	ports := make([]*port, 2)
	for i := range ends {
		near, far := packetPair(t)
		ends[i] = near
		ports[i] = n.attach(fmt.Sprintf("port %d", i), place{cloud: fmt.Sprint(i)}, far)
		if err := n.announce(ports[i], []netip.Addr{netip.AddrFrom4([4]byte{198, 18, byte(i + 1), 1})}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			near.Close()
			if err := n.detach(ports[i]); err != nil {
				t.Error(err)
			}
		})
	}
	return ends[0], ends[1], ports[0], ports[1]
}

func TestSwitch(t *testing.T) {
	const delay = 20 * time.Millisecond
	a, b, left, right := switchOf(t, delay)
	start := time.Now()
	send := func(frame []byte) {
		t.Helper()
		if _, err := a.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	send(udpFrame("198.18.9.9", "198.18.2.1", 1, 1, 1)) // not from here
	send(udpFrame("198.18.1.1", "198.18.9.9", 2, 2, 1)) // to nobody
	send([]byte("rubbish"))
	const count = 200
	for i := range count {
		send(udpFrame("198.18.1.1", "198.18.2.1", uint16(1000+i), 53, i*300))
	}
	frame := make([]byte, maxPacket)
	for i := range count {
		if err := b.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := b.Read(frame)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 && time.Since(start) < delay-lineSlack {
			t.Errorf("came after %v", time.Since(start))
		}
		if n != vnetHeader+28+i*300 || binary.BigEndian.Uint16(frame[vnetHeader+20:]) != uint16(1000+i) {
			t.Fatalf("packet %d came as one of %d bytes from port %d", i, n, binary.BigEndian.Uint16(frame[vnetHeader+20:]))
		}
	}
	if got := left.net.counters.snapshot()[Crossing{FromCloud: "0", ToCloud: "1", Protocol: "udp", Port: 53}].Packets; got != count {
		t.Errorf("counted %d", got)
	}
	if err := left.net.announce(right, []netip.Addr{netip.MustParseAddr("198.18.1.1")}); err == nil {
		t.Error("an address has two owners")
	}
}
