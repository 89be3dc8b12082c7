//go:build linux

package fabric

import (
	"strconv"
	"sync"
	"sync/atomic"
)

// HomeCloud stands for the lab's own services in Crossing.
const HomeCloud = "home"

// Crossing is one kind of traffic over the lab's internet, in one direction.
type Crossing struct {
	// FromCloud is HomeCloud, with no region, for the proxy and the mirror; ToCloud likewise.
	FromCloud, FromRegion string
	ToCloud, ToRegion     string
	// Protocol is "tcp", "udp", "icmp", or a protocol number in decimals; "other" when there were too many kinds.
	Protocol string
	// Port is the lower of source and destination port, so that both directions of a conversation carry the
	// service's; 0 for a protocol without ports and for the later fragments of a packet.
	Port uint16
}

// Traffic is how much there was of one kind.
type Traffic struct {
	// Packets as on the wire; Bytes from the IP header on.
	Packets, Bytes uint64
}

// maxCrossings bounds the kinds that are told apart.
const maxCrossings = 8192

// place is where on earth a port of the internet is.
type place struct{ cloud, region string }

type crossingKey struct {
	from, to place
	protocol uint8
	port     uint16
	other    bool
}

type tally struct{ packets, bytes atomic.Uint64 }

// counters count what crosses the internet. Counting takes no lock as long as the kind is known to the caller's cache.
type counters struct {
	mu  sync.Mutex
	all map[crossingKey]*tally
}

// find returns the tally of a kind; past the bound all new kinds between two places share one.
func (c *counters) find(key crossingKey) *tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.all[key]; t != nil {
		return t
	}
	if len(c.all) >= maxCrossings {
		key = crossingKey{from: key.from, to: key.to, other: true}
		if t := c.all[key]; t != nil {
			return t
		}
	}
	t := &tally{}
	c.all[key] = t
	return t
}

func (c *counters) snapshot() map[Crossing]Traffic {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[Crossing]Traffic, len(c.all))
	for key, t := range c.all {
		kind := Crossing{
			FromCloud: key.from.cloud, FromRegion: key.from.region, ToCloud: key.to.cloud, ToRegion: key.to.region,
			Protocol: protocolName(key.protocol), Port: key.port,
		}
		if key.other {
			kind.Protocol = "other"
		}
		out[kind] = Traffic{Packets: t.packets.Load(), Bytes: t.bytes.Load()}
	}
	return out
}

func protocolName(n uint8) string {
	switch n {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	}
	return strconv.Itoa(int(n))
}
