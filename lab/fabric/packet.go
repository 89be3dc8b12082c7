//go:build linux

package fabric

import "encoding/binary"

// address is an IPv4 address as it stands in a packet.
type address [4]byte

// packet is what the switch wants to know of an IPv4 packet (RFC 791).
type packet struct {
	src, dst address
	protocol uint8
	// port is the lower of the two ports, which is the service's in both directions; 0 where there is none.
	port uint16
	// count and size are the packets this one will be on the wire, and their bytes from the IP header on.
	count, size uint64
}

// parse reads a packet with its virtio header; not ok for what isn't a sane IPv4 packet.
func parse(frame []byte) (p packet, ok bool) {
	if len(frame) < vnetHeader+20 {
		return p, false
	}
	virtio, ip := frame[:vnetHeader], frame[vnetHeader:]
	header := int(ip[0]&0x0f) * 4
	if ip[0]>>4 != 4 || header < 20 || len(ip) < header {
		return p, false
	}
	p.src, p.dst, p.protocol = address(ip[12:16]), address(ip[16:20]), ip[9]
	p.count, p.size = 1, uint64(len(ip))

	first := binary.BigEndian.Uint16(ip[6:8])&0x1fff == 0
	body := ip[header:]
	if (p.protocol != 6 && p.protocol != 17) || !first || len(body) < 8 {
		return p, true
	}
	p.port = min(binary.BigEndian.Uint16(body[0:2]), binary.BigEndian.Uint16(body[2:4]))
	transport := 8
	if p.protocol == 6 && len(body) >= 20 {
		transport = int(body[12]>>4) * 4
	}
	// The segment's size is in the byte order of this machine, as the kernel wrote it.
	if segment := int(binary.NativeEndian.Uint16(virtio[4:6])); virtio[1] != 0 && segment > 0 && len(body) > transport {
		segments := (len(body) - transport + segment - 1) / segment
		p.count = uint64(segments)
		p.size += uint64((segments - 1) * (header + transport))
	}
	return p, true
}
