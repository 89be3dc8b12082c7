package gce

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"sort"
	"strconv"
	"strings"

	"google.golang.org/api/compute/v1"
)

// The tree is made of dirs and lists. Any other value is a leaf: a text, a number, or a []string.
type (
	dir  map[string]any
	list []any
)

func isDir(v any) bool {
	switch v.(type) {
	case dir, list:
		return true
	}
	return false
}

func etagOf(v any) string {
	text, _ := json.Marshal(jsonForm(v, true))
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func names(v any) []string {
	out := []string{}
	switch v := v.(type) {
	case dir:
		for k, item := range v {
			if strings.HasPrefix(k, verbatimMark) {
				continue
			}
			if isDir(item) {
				k += "/"
			}
			out = append(out, k)
		}
		sort.Strings(out)
	case list:
		for i := range v {
			out = append(out, strconv.Itoa(i)+"/")
		}
	}
	return out
}

// verbatimMark, as a key, says that a dir's other keys are the users' own.
const verbatimMark = "\x00verbatim"

func userDir() dir { return dir{verbatimMark: true} }

// jsonForm is the tree in JSON: keys become camel case, except those that users chose.
func jsonForm(v any, camel bool) any {
	switch v := v.(type) {
	case dir:
		_, asIs := v[verbatimMark]
		out := map[string]any{}
		for k, item := range v {
			switch {
			case k == verbatimMark:
			case asIs || !camel:
				out[k] = jsonForm(item, camel)
			default:
				out[camelCase(k)] = jsonForm(item, camel)
			}
		}
		return out
	case list:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = jsonForm(item, camel)
		}
		return out
	}
	return v
}

func camelCase(k string) string {
	parts := strings.Split(k, "-")
	for i := 1; i < len(parts); i++ {
		if parts[i] != "" {
			parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
		}
	}
	return strings.Join(parts, "")
}

func textForm(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []string:
		text, _ := json.Marshal(v)
		return string(text)
	}
	return fmt.Sprint(v)
}

func flatten(b *strings.Builder, prefix string, v any) {
	switch v := v.(type) {
	case dir:
		for _, k := range names(v) {
			k = strings.TrimSuffix(k, "/")
			flatten(b, strings.TrimPrefix(prefix+"/"+k, "/"), v[k])
		}
	case list:
		for i, item := range v {
			flatten(b, strings.TrimPrefix(prefix+"/"+strconv.Itoa(i), "/"), item)
		}
	default:
		fmt.Fprintf(b, "%s %s\n", prefix, textForm(v))
	}
}

func upper(b bool) string { return strings.ToUpper(strconv.FormatBool(b)) }

func attributes(m *compute.Metadata) dir {
	d := userDir()
	if m != nil {
		for _, item := range m.Items {
			if item.Value != nil {
				d[item.Key] = *item.Value
			}
		}
	}
	return d
}

func (s *Service) projectTree() dir {
	return dir{"attributes": attributes(s.st.Metadata), "numeric-project-id": s.cfg.ProjectNumber, "project-id": s.cfg.Project}
}

// instanceTree is what a machine reads about itself.
func (s *Service) instanceTree(i *compute.Instance) dir {
	project := "projects/" + s.number()
	zone := base(i.Zone)
	tags := tagsOf(i)
	if tags == nil {
		tags = []string{}
	}
	d := dir{
		"attributes": attributes(i.Metadata), "cpu-platform": i.CpuPlatform, "description": i.Description, "guest-attributes": s.guestTree(i.SelfLink),
		"hostname": s.hostname(i), "id": i.Id, "image": "", "licenses": list{}, "machine-type": project + "/machineTypes/" + base(i.MachineType),
		"maintenance-event": "NONE", "name": i.Name, "preempted": "FALSE", "remaining-cpu-time": -1, "tags": tags,
		"virtual-clock": dir{"drift-token": "0"}, "zone": project + "/zones/" + zone, "service-accounts": accountsTree(i),
		"scheduling": dir{
			"automatic-restart": upper(i.Scheduling.AutomaticRestart == nil || *i.Scheduling.AutomaticRestart), "on-host-maintenance": i.Scheduling.OnHostMaintenance,
			"preemptible": upper(i.Scheduling.Preemptible),
		},
	}
	var disks, nics list
	for _, a := range i.Disks {
		if disk := s.st.Disks[a.Source]; disk != nil && a.Boot {
			d["image"] = disk.SourceImage
		}
		kind := "PERSISTENT-BALANCED"
		if disk := s.st.Disks[a.Source]; disk != nil {
			kind = map[string]string{"pd-standard": "PERSISTENT", "pd-ssd": "PERSISTENT-SSD"}[base(disk.Type)]
			if kind == "" {
				kind = "PERSISTENT-BALANCED"
			}
		}
		disks = append(disks, dir{"device-name": a.DeviceName, "index": a.Index, "interface": a.Interface, "mode": a.Mode, "type": kind})
	}
	for _, nic := range i.NetworkInterfaces {
		nics = append(nics, s.nicTree(nic, project))
	}
	d["disks"], d["network-interfaces"] = disks, nics
	return d
}

func (s *Service) nicTree(nic *compute.NetworkInterface, project string) dir {
	ip, _ := netip.ParseAddr(nic.NetworkIP)
	d := dir{
		"ip": nic.NetworkIP, "mac": macOf(ip), "network": project + "/networks/" + base(nic.Network), "dns-servers": []string{"169.254.169.254"},
		"forwarded-ips": list{}, "ip-aliases": list{}, "target-instance-ips": list{}, "mtu": defaultMTU,
	}
	if n := s.st.Networks[nic.Network]; n != nil && n.Mtu != 0 {
		d["mtu"] = n.Mtu
	}
	if sub := s.st.Subnetworks[nic.Subnetwork]; sub != nil {
		d["gateway"] = sub.GatewayAddress
		d["subnetmask"] = net.IP(net.CIDRMask(netip.MustParsePrefix(sub.IpCidrRange).Bits(), 32)).String()
	}
	access := list{}
	for _, ac := range nic.AccessConfigs {
		access = append(access, dir{"external-ip": ac.NatIP, "type": "ONE_TO_ONE_NAT"})
	}
	d["access-configs"] = access
	return d
}

func accountsTree(i *compute.Instance) dir {
	d := dir{}
	if len(i.ServiceAccounts) == 0 {
		return d
	}
	d = userDir()
	for _, a := range i.ServiceAccounts {
		entry := dir{"aliases": []string{"default"}, "email": a.Email, "scopes": a.Scopes}
		d["default"], d[a.Email] = entry, entry
	}
	return d
}

func (s *Service) guestTree(path string) dir {
	d := userDir()
	for k, v := range s.st.Guest[path] {
		namespace, key, _ := strings.Cut(k, "/")
		sub, ok := d[namespace].(dir)
		if !ok {
			sub = userDir()
			d[namespace] = sub
		}
		sub[key] = v
	}
	return d
}
