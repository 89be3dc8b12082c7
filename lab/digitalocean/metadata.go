package digitalocean

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Metadata serves the metadata service of a VPC's Droplets: who asks is known by any of its addresses.
func (s *Service) Metadata(network string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		d := s.whoAsks(network, r.RemoteAddr)
		var all map[string]any
		if d != nil {
			all = s.metadata(d)
		}
		s.mu.Unlock()
		path := strings.Trim(r.URL.Path, "/")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case all == nil:
			plain(w, http.StatusNotFound, "not found")
		case path == "metadata/v1.json":
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			_ = json.NewEncoder(w).Encode(all) // the machine may be gone
		case path == "metadata" || path == "":
			plain(w, http.StatusOK, "v1/\nv1.json")
		case path == "metadata/v1" || strings.HasPrefix(path, "metadata/v1/"):
			serveTree(w, tree(all), strings.TrimPrefix(strings.TrimPrefix(path, "metadata/v1"), "/"))
		default:
			plain(w, http.StatusNotFound, "not found")
		}
	})
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the machine may be gone
}

// whoAsks finds the Droplet with an address. The caller holds the lock.
func (s *Service) whoAsks(network, remote string) *droplet {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return nil
	}
	a := from.Addr().Unmap()
	for _, d := range s.rec.Droplets {
		if d.VPC == network && d.Placed && (d.Private == a || d.Public == a || d.Anchor == a) {
			return d
		}
	}
	return nil
}

// vendorData is what the cloud's images do first.
const vendorData = "#cloud-config\nmanage_etc_hosts: true\ndisable_root: false\n"

// metadata is all that a Droplet is told of itself, as v1.json has it. The caller holds the lock.
func (s *Service) metadata(d *droplet) map[string]any {
	keys := []string{}
	for _, id := range d.Keys {
		if k := s.rec.Keys[id]; k != nil {
			keys = append(keys, k.PublicKey)
		}
	}
	reserved := map[string]any{"active": false}
	if ip := s.reservedFor(d.ID); ip.IsValid() {
		reserved = map[string]any{"active": true, "ip_address": ip.String()}
	}
	v := s.rec.VPCs[d.VPC]
	interfaces := map[string]any{"private": []any{map[string]any{
		"mac": d.PrivateMAC, "type": "private",
		"ipv4": map[string]any{"ip_address": d.Private.String(), "netmask": netmask(v.Range), "gateway": "0.0.0.0"},
	}}}
	if d.Public.IsValid() {
		interfaces["public"] = []any{map[string]any{
			"mac": d.PublicMAC, "type": "public",
			"ipv4":        map[string]any{"ip_address": d.Public.String(), "netmask": netmask(s.cfg.Pools(d.Region).Prefix()), "gateway": s.gateway(d.Region).String()},
			"anchor_ipv4": map[string]any{"ip_address": d.Anchor.String(), "netmask": netmask(anchorRange(d.Region)), "gateway": anchorRange(d.Region).Addr().Next().String()},
		}}
	}
	features := map[string]any{"dhcp_enabled": false}
	out := map[string]any{
		"droplet_id": d.ID, "hostname": d.Name, "vendor_data": vendorData, "public_keys": keys, "auth_key": "", "region": d.Region,
		"interfaces": interfaces, "floating_ip": map[string]any{"ipv4": reserved}, "reserved_ip": map[string]any{"ipv4": reserved},
		"dns": map[string]any{"nameservers": []string{"169.254.169.253"}}, "tags": append([]string{}, d.Tags...), "features": features,
	}
	if d.UserData != "" {
		out["user_data"] = d.UserData
	}
	return out
}

// tree is the same as folders and values: names have dashes there, and some are others.
func tree(all map[string]any) map[string]any {
	out := map[string]any{}
	for name, v := range all {
		switch name {
		case "droplet_id":
			name = "id"
		case "floating_ip", "reserved_ip":
		default:
			name = strings.ReplaceAll(name, "_", "-")
		}
		out[name] = v
	}
	delete(out, "features")
	for _, list := range []string{"private", "public"} {
		nics, _ := all["interfaces"].(map[string]any)[list].([]any)
		for _, n := range nics {
			for _, kind := range []string{"ipv4", "anchor_ipv4"} {
				if ip, has := n.(map[string]any)[kind].(map[string]any); has {
					ip["address"] = ip["ip_address"]
					delete(ip, "ip_address")
				}
			}
		}
	}
	return out
}

// serveTree answers with a value, or with a folder's names, those of folders with a slash.
func serveTree(w http.ResponseWriter, at any, path string) {
	for part := range strings.SplitSeq(path, "/") {
		if part == "" {
			continue
		}
		at = child(at, part)
	}
	switch v := at.(type) {
	case nil:
		plain(w, http.StatusNotFound, "not found")
	case map[string]any:
		var names []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			names = append(names, name+slash(v[name]))
		}
		plain(w, http.StatusOK, strings.Join(names, "\n"))
	case []any:
		var names []string
		for i := range v {
			names = append(names, strconv.Itoa(i)+"/")
		}
		plain(w, http.StatusOK, strings.Join(names, "\n"))
	case []string:
		plain(w, http.StatusOK, strings.Join(v, "\n"))
	default:
		plain(w, http.StatusOK, fmt.Sprint(v))
	}
}

func slash(v any) string {
	switch v.(type) {
	case map[string]any, []any:
		return "/"
	}
	return ""
}

func child(at any, name string) any {
	switch v := at.(type) {
	case map[string]any:
		return v[name]
	case []any:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v) {
			return v[i]
		}
	}
	return nil
}
