package node

import "time"

// LatencyAnnotation is the annotation of a Node object of Kubernetes under which the node's agent publishes a Latency.
const LatencyAnnotation = "skyweld.dev/latency"

const (
	// DefaultWindow is how long a window is unless the config says otherwise.
	DefaultWindow = time.Minute
	// PublishedWindows is how many of each site's windows are in the annotation: the newest.
	PublishedWindows = 15
	// MendedKept is how many of its own repairs an agent remembers.
	MendedKept = 10
)

// Probes says how a node measures the ways to other sites.
type Probes struct {
	// Window is the length of a window in seconds; 0 is DefaultWindow.
	Window int `json:"window,omitempty"`
}

// Length is how long a window is.
func (p Probes) Length() time.Duration {
	if p.Window == 0 {
		return DefaultWindow
	}
	return time.Duration(p.Window) * time.Second
}

// Latency is what one node measured, window by window.
type Latency struct {
	// Site is the node's own.
	Site string `json:"site"`
	// Windows are in order of time, and of one time in order of their sites.
	Windows []Window `json:"windows"`
	// Mended are the last few things in its network that the node's agent brought back by itself, the newest last.
	Mended []Mended `json:"mended,omitempty"`
}

// Mended is something that an agent brought back because somebody had changed it.
type Mended struct {
	// At is in seconds since 1970, What says it in words.
	At   int64  `json:"at"`
	What string `json:"what"`
}

// Window is what was measured to another site in one stretch of time. Windows start at multiples of their length, so that
// those of two nodes can be laid side by side.
type Window struct {
	// Start is in seconds since 1970.
	Start   int64 `json:"start"`
	Seconds int   `json:"seconds"`
	// To is the other site, Peer the node there.
	To   string `json:"to"`
	Peer string `json:"peer"`
	// Inside is through the tunnel between private addresses, Outside beside it between public ones.
	Inside  Trips `json:"inside"`
	Outside Trips `json:"outside"`
	// Handshake is how old the tunnel's last one with the peer was at the window's end, in seconds; -1 when there was none.
	Handshake int `json:"handshake"`
	// MTU is the largest IPv4 packet, in bytes with its headers, that was seen to pass outside the tunnel both ways; 0 when
	// that isn't known.
	MTU int `json:"mtu,omitempty"`
}

// Trips are round trips. Times are in microseconds, 0 when nothing came back.
type Trips struct {
	Sent int `json:"sent"`
	Lost int `json:"lost"`
	// Min is the shortest; P50 and P99 are nearest-rank percentiles.
	Min int64 `json:"min"`
	P50 int64 `json:"p50"`
	P99 int64 `json:"p99"`
	// Jitter is the mean of how much each one differs from the one before it (the D of RFC 3550, section 6.4.1, which smooths
	// it instead).
	Jitter int64 `json:"jitter"`
}
