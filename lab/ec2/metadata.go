package ec2

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// metadataVersions are the versions of the instance metadata service, "latest" apart. They differ in what they have;
// this one has the same for all.
var metadataVersions = []string{"1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01",
	"2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19", "2016-06-30",
	"2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03", "2021-03-23", "2021-07-15",
	"2022-09-24", "2024-04-11"}

const (
	tokenHeader    = "X-Aws-Ec2-Metadata-Token"
	tokenTTLHeader = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	maxTokenTTL    = 21600
)

// Metadata serves the instance metadata service of a VPC: who asks is known by the private address.
func (s *Service) Metadata(network string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "EC2ws")
		w.Header().Set("Connection", "close")
		who, ok := s.whoAsks(network, r.RemoteAddr)
		switch {
		case !ok:
			metadataError(w, http.StatusNotFound)
		case who.options.Endpoint == "disabled":
			metadataError(w, http.StatusForbidden)
		case r.Method == http.MethodPut:
			s.giveToken(w, r, who)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "OPTIONS, GET, HEAD")
			metadataError(w, http.StatusMethodNotAllowed)
		case !s.admitted(r, who):
			metadataError(w, http.StatusUnauthorized)
		default:
			serveMetadata(w, r, who)
		}
	})
}

// metadataError answers with a status and a short page, as the service does.
func metadataError(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<html><head><title>%d - %s</title></head><body><h1>%[1]d - %[2]s</h1></body></html>\n", status, http.StatusText(status))
}

// asker is what the metadata service knows of an instance, copied from the records.
type asker struct {
	id       string
	options  metadataOptions
	tree     *leaf
	userData []byte
}

// whoAsks finds the instance with an address.
func (s *Service) whoAsks(network, remote string) (asker, bool) {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return asker{}, false
	}
	addr := from.Addr().Unmap()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rec.Regions {
		if r.VPCs[network] == nil {
			continue
		}
		for _, n := range r.Interfaces {
			if n.VPC != network || n.Address != addr || n.Attachment == nil {
				continue
			}
			i := r.Instances[n.Attachment.Instance]
			where, _ := s.cfg.Catalogue.region(r.Name)
			c := &call{Service: s, region: r, where: where}
			return asker{id: i.ID, options: i.Metadata, tree: c.metadataTree(i), userData: i.UserData}, true
		}
	}
	return asker{}, false
}

// giveToken answers PUT /latest/api/token. A token is its end and a code over that and the instance.
func (s *Service) giveToken(w http.ResponseWriter, r *http.Request, who asker) {
	seconds, err := strconv.Atoi(r.Header.Get(tokenTTLHeader))
	switch {
	case r.URL.Path != "/latest/api/token":
		metadataError(w, http.StatusNotFound)
	case r.Header.Get("X-Forwarded-For") != "":
		metadataError(w, http.StatusForbidden)
	case err != nil || seconds < 1 || seconds > maxTokenTTL:
		metadataError(w, http.StatusBadRequest)
	default:
		end := s.cfg.Clock().Add(time.Duration(seconds) * time.Second).Unix()
		w.Header().Set(tokenTTLHeader, strconv.Itoa(seconds))
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, s.token(who.id, end))
	}
}

func (s *Service) token(id string, end int64) string {
	mac := hmac.New(sha256.New, s.tokenKey[:])
	fmt.Fprintf(mac, "%s %d", id, end)
	return base64.URLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%x", end, mac.Sum(nil)[:20]))
}

// admitted checks the session token, which only instances with optional tokens may leave out.
func (s *Service) admitted(r *http.Request, who asker) bool {
	given := r.Header.Get(tokenHeader)
	if given == "" {
		return who.options.Tokens != "required"
	}
	raw, err := base64.URLEncoding.DecodeString(given)
	head, _, _ := strings.Cut(string(raw), ".")
	end, err2 := strconv.ParseInt(head, 10, 64)
	if err != nil || err2 != nil || s.cfg.Clock().Unix() >= end {
		return false
	}
	return hmac.Equal([]byte(given), []byte(s.token(who.id, end)))
}

func serveMetadata(w http.ResponseWriter, r *http.Request, who asker) {
	path := strings.Trim(r.URL.Path, "/")
	if path == "" {
		plain(w, []byte(strings.Join(metadataVersions, "\n")+"\nlatest"))
		return
	}
	version, rest, _ := strings.Cut(path, "/")
	known := version == "latest"
	for _, v := range metadataVersions {
		known = known || v == version
	}
	if !known {
		metadataError(w, http.StatusNotFound)
		return
	}
	if rest == "user-data" {
		if who.userData == nil {
			metadataError(w, http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(who.userData) // the machine may be gone
		return
	}
	l := who.tree
	for part := range strings.SplitSeq(rest, "/") {
		if part != "" && l != nil {
			l = l.kids[part]
		}
	}
	if l == nil {
		metadataError(w, http.StatusNotFound)
		return
	}
	plain(w, []byte(l.content()))
}

func plain(w http.ResponseWriter, data []byte) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // the machine may be gone
}

// leaf is a value, or a folder when it has kids.
type leaf struct {
	value string
	label string // in the listing of its folder, when that isn't its name
	kids  map[string]*leaf
}

// at makes the leaf at a path and the folders above it.
func (l *leaf) at(path string) *leaf {
	for part := range strings.SplitSeq(path, "/") {
		if l.kids == nil {
			l.kids = map[string]*leaf{}
		}
		if l.kids[part] == nil {
			l.kids[part] = &leaf{}
		}
		l = l.kids[part]
	}
	return l
}

// put sets values; those that are empty are left out.
func (l *leaf) put(values map[string]string) {
	for path, v := range values {
		if v != "" {
			l.at(path).value = v
		}
	}
}

// content is the value, or the listing: folders end with a slash.
func (l *leaf) content() string {
	if l.kids == nil {
		return l.value
	}
	var lines []string
	for _, name := range sortedKeys(l.kids) {
		switch kid := l.kids[name]; {
		case kid.label != "":
			lines = append(lines, kid.label)
		case kid.kids != nil:
			lines = append(lines, name+"/")
		default:
			lines = append(lines, name)
		}
	}
	return strings.Join(lines, "\n")
}

// metadataTree is all that an instance is told of itself.
func (c *call) metadataTree(i *instance) *leaf {
	root := &leaf{}
	name, zone := privateName(c.region.Name, i.Address), c.zoneID(i.Zone)
	view := c.instanceView(i)
	root.put(map[string]string{
		"meta-data/ami-id": i.Image, "meta-data/ami-launch-index": itoa(i.LaunchIndex), "meta-data/ami-manifest-path": "(unknown)",
		"meta-data/block-device-mapping/ami": i.RootDevice, "meta-data/block-device-mapping/root": i.RootDevice,
		"meta-data/events/maintenance/history": "[]", "meta-data/events/maintenance/scheduled": "[]",
		"meta-data/hostname": name, "meta-data/instance-action": "none", "meta-data/instance-id": i.ID, "meta-data/instance-life-cycle": "on-demand",
		"meta-data/instance-type": i.Type, "meta-data/local-hostname": name, "meta-data/local-ipv4": text(i.Address),
		"meta-data/placement/availability-zone": i.Zone, "meta-data/placement/availability-zone-id": zone, "meta-data/placement/region": c.region.Name,
		"meta-data/profile": "default-hvm", "meta-data/public-hostname": view.PublicName, "meta-data/public-ipv4": view.Public,
		"meta-data/reservation-id": i.Reservation, "meta-data/services/domain": "amazonaws.com", "meta-data/services/partition": "aws",
		"meta-data/system": "nitro", "dynamic/instance-identity/document": c.identityDocument(i),
	})
	ebs := 0
	for _, v := range c.region.volumesOf(i.ID) {
		if v.Device != i.RootDevice {
			ebs++
			root.at("meta-data/block-device-mapping/ebs" + itoa(ebs)).value = strings.TrimPrefix(v.Device, "/dev/")
		}
	}
	for _, n := range c.region.interfacesOf(i.ID) {
		c.interfaceTree(root, i, n)
	}
	if i.Key != "" {
		root.at("meta-data/public-keys/0/openssh-key").value = i.KeyMaterial + " " + i.Key
		root.at("meta-data/public-keys/0").label = "0=" + i.Key
	}
	if i.Metadata.Tags == "enabled" {
		for k, v := range c.region.Tags[i.ID] {
			if !strings.ContainsAny(k, " /") {
				root.at("meta-data/tags/instance").put(map[string]string{k: v})
			}
		}
	}
	if i.UserData != nil {
		root.at("user-data")
	}
	return root
}

// interfaceTree adds what is told of one interface.
func (c *call) interfaceTree(root *leaf, i *instance, n *netInterface) {
	var ids, names []string
	for _, g := range c.groupIDs(n.Groups).Items {
		ids, names = append(ids, g.ID), append(names, g.Name)
	}
	s, v := c.region.Subnets[n.Subnet], c.region.VPCs[n.VPC]
	public := c.association(n, false)
	values := map[string]string{
		"device-number": itoa(n.Attachment.Device), "interface-id": n.ID, "local-hostname": privateName(c.region.Name, n.Address),
		"local-ipv4s": text(n.Address), "mac": n.MAC, "owner-id": c.cfg.AccountID, "security-group-ids": strings.Join(ids, "\n"),
		"security-groups": strings.Join(names, "\n"), "subnet-id": s.ID, "subnet-ipv4-cidr-block": s.CIDR, "vpc-id": v.ID,
		"vpc-ipv4-cidr-block": v.CIDR, "vpc-ipv4-cidr-blocks": v.CIDR,
	}
	if public != nil {
		values["public-hostname"], values["public-ipv4s"] = public.Name, public.Public
		values["ipv4-associations/"+public.Public] = text(n.Address)
	}
	root.at("meta-data/network/interfaces/macs/" + n.MAC).put(values)
	if n.Attachment.Device == 0 {
		root.put(map[string]string{"meta-data/mac": n.MAC, "meta-data/security-groups": strings.Join(names, "\n")})
	}
}

// identityDocument is the instance identity document. Its signatures are Amazon's alone and aren't served.
func (c *call) identityDocument(i *instance) string {
	doc := struct {
		Account      string  `json:"accountId"`
		Arch         string  `json:"architecture"`
		Zone         string  `json:"availabilityZone"`
		Billing      *string `json:"billingProducts"`
		DevPay       *string `json:"devpayProductCodes"`
		Marketplace  *string `json:"marketplaceProductCodes"`
		Image        string  `json:"imageId"`
		ID           string  `json:"instanceId"`
		Type         string  `json:"instanceType"`
		Kernel       *string `json:"kernelId"`
		Pending      string  `json:"pendingTime"`
		Private      string  `json:"privateIp"`
		Ramdisk      *string `json:"ramdiskId"`
		Region       string  `json:"region"`
		FormatNumber string  `json:"version"`
	}{Account: c.cfg.AccountID, Arch: i.Arch, Zone: i.Zone, Image: i.Image, ID: i.ID, Type: i.Type,
		Pending: i.Launched.UTC().Format("2006-01-02T15:04:05Z"), Private: text(i.Address), Region: c.region.Name, FormatNumber: "2017-09-30"}
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic(err) // a struct of strings
	}
	return string(data)
}
