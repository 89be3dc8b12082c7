package enginetest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// usualRoundTrip is how long a round trip takes where RoundTrip says nothing.
const usualRoundTrip = time.Millisecond

// latency answers as the agent's prober does: all probes come back, after as long as RoundTrip says; none from a machine that
// is off.
func (c *Conn) latency(arguments string) ([]byte, error) {
	type result struct {
		Peer     string     `json:"peer"`
		Address  netip.Addr `json:"address"`
		Sent     int        `json:"sent"`
		Received int        `json:"received"`
		P50      int64      `json:"p50"`
		P99      int64      `json:"p99"`
		Min      int64      `json:"min"`
	}
	out := []result{}
	words := strings.Fields(arguments)
	if len(words) == 2 && words[0] == "--since" {
		return c.measuredSince(words[1])
	}
	count := 10
	if len(words) > 1 && words[0] == "--count" {
		if _, err := fmt.Sscan(words[1], &count); err != nil {
			return nil, err
		}
		words = words[2:]
	}
	for _, word := range words {
		address, err := netip.ParseAddr(word)
		if err != nil {
			return nil, err
		}
		r := result{Address: address, Sent: count}
		for _, m := range c.w.Machines() {
			h := c.w.hosts[m.ProviderID]
			if h == nil || h.config.Address != address {
				continue
			}
			took := c.w.took(c.name, m.Name)
			if r.Peer = m.Name; took > 0 {
				r.Received, r.P50, r.P99, r.Min = r.Sent, took.Microseconds(), took.Microseconds(), took.Microseconds()
			}
		}
		out = append(out, r)
	}
	return json.Marshal(out)
}
