package agent

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/mesh"
)

const (
	hostsFile = "/etc/hosts"
	hostsTop  = "# skyweld: begin"
	hostsEnd  = "# skyweld: end"

	cniFolder = "/etc/cni/net.d"
	cniFile   = cniFolder + "/10-skyweld.conflist"
	cniBins   = "/opt/cni/bin"
)

// withHosts puts names into the text of a hosts file, between our markers, and leaves the rest alone.
func withHosts(text string, names map[string][]netip.Addr) string {
	var kept []string
	inside := false
	for line := range strings.Lines(text) {
		switch strings.TrimSpace(line) {
		case hostsTop:
			inside = true
			continue
		case hostsEnd:
			inside = false
			continue
		}
		if !inside {
			kept = append(kept, strings.TrimSuffix(line, "\n"))
		}
	}
	if len(names) > 0 {
		kept = append(kept, hostsTop)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			for _, address := range names[name] {
				kept = append(kept, address.String()+" "+name)
			}
		}
		kept = append(kept, hostsEnd)
	}
	if len(kept) == 0 {
		return ""
	}
	return strings.Join(kept, "\n") + "\n"
}

// cniConfig is the pod network of a node, as the reference plugins read it (CNI spec 1.0). Each pod has a routed link of
// its own: over a bridge, answers of a Service's pod on the same node would go past the kernel's address translation.
func cniConfig(t mesh.Config) ([]byte, error) {
	type object = map[string]any
	config := object{
		"cniVersion": "1.0.0",
		"name":       "skyweld",
		"plugins": []object{
			{
				"type": "ptp", "mtu": t.MTU, "ipMasq": false,
				"ipam": object{
					"type":   "host-local",
					"ranges": [][]object{{{"subnet": t.Pods.String(), "gateway": t.Address.Addr().String()}}},
					"routes": []object{{"dst": "0.0.0.0/0"}},
				},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}, "snat": true, "backend": "nftables"},
			{"type": "bandwidth", "capabilities": object{"bandwidth": true}},
		},
	}
	data, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode pod network: %w", err)
	}
	return append(data, '\n'), nil
}
