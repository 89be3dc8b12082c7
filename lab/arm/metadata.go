package arm

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Metadata serves what machines of one network ask about themselves: the instance metadata service at 169.254.169.254 and
// the wire server at 168.63.129.16.
func (s *Service) Metadata(network string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		m := s.caller(r, network)
		if m != nil {
			m = clone(m)
		}
		s.mu.Unlock()
		if m == nil {
			http.Error(w, "no machine has this address", http.StatusNotFound)
			return
		}
		if path := strings.ToLower(strings.Trim(r.URL.Path, "/")); path == "machine" || path == "" && r.URL.Query().Get("comp") != "" {
			s.serveWire(w, r, m)
			return
		}
		s.serveInstanceMetadata(w, r, m)
	})
}

// caller returns the machine that asks, by its private address.
func (s *Service) caller(r *http.Request, network string) *machine {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil
	}
	for _, n := range s.st.Interfaces {
		if n.address() != ip.Unmap() {
			continue
		}
		if net, _ := s.findSubnet(n.primary().Properties.Subnet.ID); net != nil && net.Properties.ResourceGUID == network {
			return s.machineOf(n)
		}
	}
	return nil
}

// metadataVersions are those of the instance metadata service, of which the newest answers.
var metadataVersions = []string{"2017-04-02", "2017-08-01", "2017-12-01", "2018-02-01", "2018-10-01", "2019-02-01", "2019-03-11", "2019-06-01", "2019-06-04", "2019-08-01",
	"2019-11-01", "2020-06-01", "2020-09-01", "2020-10-01", "2020-12-01", "2021-01-01", "2021-02-01", "2021-03-01", "2021-05-01", "2021-08-01", "2021-10-01", "2021-11-01", "2021-12-13", "2023-07-01"}

func (s *Service) serveInstanceMetadata(w http.ResponseWriter, r *http.Request, m *machine) {
	refused := func(status int, text string) { writeJSON(w, status, map[string]any{"error": text}) }
	w.Header().Set("Server", "IMDS/150.870.65.1854")
	q := r.URL.Query()
	path := strings.Trim(r.URL.Path, "/")
	lower := strings.ToLower(path)
	version := q.Get("api-version")
	switch {
	case !strings.EqualFold(r.Header.Get("Metadata"), "true") || r.Header.Get("X-Forwarded-For") != "":
		refused(http.StatusBadRequest, "Bad request. Required metadata header not specified")
	case lower == "metadata/versions":
		writeJSON(w, http.StatusOK, map[string]any{"apiVersions": metadataVersions})
	case lower == "metadata/identity/oauth2/token":
		s.serveIdentity(w, q, m)
	case lower == "metadata/scheduledevents":
		s.serveEvents(w, r, m)
	case r.Method != http.MethodGet:
		refused(http.StatusMethodNotAllowed, "Method not allowed")
	case version == "":
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "Bad request. api-version was not specified in the request. For more information refer to aka.ms/azureimds", "newest-versions": newest(3)})
	case !slices.Contains(metadataVersions, version):
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "Bad request. api-version is invalid or was not specified in the request.", "newest-versions": newest(3)})
	case lower == "metadata/instance" || strings.HasPrefix(lower, "metadata/instance/"):
		s.serveTree(w, q, m, strings.Split(path, "/")[2:])
	default:
		refused(http.StatusNotFound, "Not found")
	}
}

func newest(n int) []string {
	out := slices.Clone(metadataVersions[len(metadataVersions)-n:])
	slices.Reverse(out)
	return out
}

// serveTree answers with a part of what is known of a machine: as JSON, or a leaf as text.
func (s *Service) serveTree(w http.ResponseWriter, q url.Values, m *machine, parts []string) {
	s.mu.Lock()
	var at any = s.instanceTree(m)
	s.mu.Unlock()
	for _, p := range parts {
		switch v := at.(type) {
		case map[string]any:
			at = nil
			for name, inner := range v {
				if strings.EqualFold(name, p) {
					at = inner
				}
			}
		case []any:
			at = nil
			for i, inner := range v {
				if p == fmt.Sprint(i) {
					at = inner
				}
			}
		default:
			at = nil
		}
		if at == nil {
			writeJSON(w, http.StatusNotFound, map[string]any{"error": "Not found"})
			return
		}
	}
	switch v := at.(type) {
	case map[string]any, []any:
		if strings.EqualFold(q.Get("format"), "text") {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			io.WriteString(w, listing(v))
			return
		}
		writeJSON(w, http.StatusOK, v)
	default:
		if !strings.EqualFold(q.Get("format"), "text") {
			writeJSON(w, http.StatusBadRequest, map[string]any{"error": "Bad request. The format json is not supported for a leaf: use format=text"})
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, fmt.Sprint(v))
	}
}

func listing(v any) string {
	var names []string
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			switch inner.(type) {
			case map[string]any, []any:
				name += "/"
			}
			names = append(names, name)
		}
	case []any:
		for i := range v {
			names = append(names, fmt.Sprintf("%d/", i))
		}
	}
	slices.Sort(names)
	return strings.Join(names, "\n")
}

// instanceTree is all that is known of a machine. All leaves are texts, as the service's are. The caller holds the lock.
func (s *Service) instanceTree(m *machine) map[string]any {
	id, p := parseID(m.ID), m.Properties
	image, osDisk := p.StorageProfile.ImageReference, p.StorageProfile.OSDisk
	zone := ""
	if len(m.Zones) > 0 {
		zone = m.Zones[0]
	}
	var keys []any
	if l := p.OSProfile.LinuxConfiguration; l != nil && l.SSH != nil {
		for _, k := range l.SSH.PublicKeys {
			keys = append(keys, map[string]any{"keyData": strings.TrimSpace(k.KeyData), "path": k.Path})
		}
	}
	var tags []string
	tagsList := []any{}
	for _, name := range slices.Sorted(mapNames(m.Tags)) {
		tags = append(tags, name+":"+m.Tags[name])
		tagsList = append(tagsList, map[string]any{"name": name, "value": m.Tags[name]})
	}
	noPassword := fmt.Sprint(p.OSProfile.LinuxConfiguration != nil && p.OSProfile.LinuxConfiguration.DisablePasswordAuthentication)
	compute := map[string]any{
		"azEnvironment": "AzurePublicCloud", "customData": "", "evictionPolicy": "", "isHostCompatibilityLayerVm": "false", "licenseType": "", "location": m.Location,
		"name": m.Name, "offer": image.Offer, "publisher": image.Publisher, "sku": image.SKU, "version": image.ExactVersion, "osType": "Linux",
		"osProfile":        map[string]any{"adminUsername": p.OSProfile.AdminUsername, "computerName": p.OSProfile.ComputerName, "disablePasswordAuthentication": noPassword},
		"placementGroupId": "", "plan": map[string]any{"name": "", "product": "", "publisher": ""}, "platformFaultDomain": "0", "platformUpdateDomain": "0", "priority": "",
		"provider": "Microsoft.Compute", "publicKeys": append([]any{}, keys...), "resourceGroupName": id.group, "resourceId": m.ID, "subscriptionId": s.cfg.Subscription,
		"securityProfile": map[string]any{"secureBootEnabled": "false", "virtualTpmEnabled": "false"},
		"storageProfile": map[string]any{
			"dataDisks": []any{}, "imageReference": map[string]any{"id": "", "offer": image.Offer, "publisher": image.Publisher, "sku": image.SKU, "version": image.Version},
			"osDisk": map[string]any{
				"caching": osDisk.Caching, "createOption": "FromImage", "diffDiskSettings": map[string]any{"option": ""}, "diskSizeGB": fmt.Sprint(osDisk.DiskSizeGB),
				"managedDisk": map[string]any{"id": osDisk.ManagedDisk.ID, "storageAccountType": osDisk.ManagedDisk.StorageAccountType}, "name": osDisk.Name, "osType": "Linux",
			},
			"resourceDisk": map[string]any{"size": "0"},
		},
		"tags": strings.Join(tags, ";"), "tagsList": tagsList, "userData": p.UserData, "virtualMachineScaleSet": map[string]any{"id": ""}, "vmId": p.VMID,
		"vmScaleSetName": "", "vmSize": p.HardwareProfile.VMSize, "zone": zone,
	}
	return map[string]any{"compute": compute, "network": s.networkTree(m)}
}

func mapNames(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range m {
			if !yield(name) {
				return
			}
		}
	}
}

func (s *Service) networkTree(m *machine) map[string]any {
	all := []any{}
	for _, r := range m.Properties.NetworkProfile.NetworkInterfaces {
		n := s.st.Interfaces[key(r.ID)]
		if n == nil {
			continue
		}
		addresses, subnets := []any{}, []any{}
		for _, ip := range n.Properties.IPConfigurations {
			public := ""
			if p := ip.Properties.PublicIPAddress; p != nil && s.st.Addresses[key(p.ID)] != nil {
				public = s.st.Addresses[key(p.ID)].Properties.IPAddress
			}
			addresses = append(addresses, map[string]any{"privateIpAddress": ip.Properties.PrivateIPAddress, "publicIpAddress": public})
			if _, sub := s.findSubnet(ip.Properties.Subnet.ID); sub != nil {
				subnets = append(subnets, map[string]any{"address": sub.prefix().Addr().String(), "prefix": fmt.Sprint(sub.prefix().Bits())})
			}
		}
		all = append(all, map[string]any{
			"ipv4": map[string]any{"ipAddress": addresses, "subnet": subnets}, "ipv6": map[string]any{"ipAddress": []any{}}, "macAddress": strings.ReplaceAll(n.Properties.MACAddress, "-", ""),
		})
	}
	return map[string]any{"interface": all}
}

// serveIdentity gives a machine a token of its own identity.
func (s *Service) serveIdentity(w http.ResponseWriter, q url.Values, m *machine) {
	resource := q.Get("resource")
	switch {
	case resource == "":
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_request", "error_description": "Required query variable 'resource' is missing"})
		return
	case m.Identity == nil, q.Get("client_id") != "" && !strings.EqualFold(q.Get("client_id"), m.Identity.PrincipalID):
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_request", "error_description": "Identity not found"})
		return
	}
	now := time.Now()
	token, err := s.issue(now, strings.TrimSuffix(resource, "/"), m.Identity.PrincipalID)
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, map[string]any{"error": "unknown", "error_description": "Failed to retrieve a token"})
		return
	}
	body := oldToken(now, resource, token)
	body["client_id"] = m.Identity.PrincipalID
	writeJSON(w, http.StatusOK, body)
}

// goalState is what the wire server wants of a machine: to be started.
type goalState struct {
	XMLName     xml.Name `xml:"GoalState"`
	Version     string   `xml:"Version"`
	Incarnation int      `xml:"Incarnation"`
	Machine     struct {
		ExpectedState         string             `xml:"ExpectedState"`
		StopRolesDeadlineHint int                `xml:"StopRolesDeadlineHint"`
		LBProbePorts          struct{ Port int } `xml:"LBProbePorts"`
		ExpectHealthReport    string             `xml:"ExpectHealthReport"`
	} `xml:"Machine"`
	Container struct {
		ContainerID string `xml:"ContainerId"`
		Instance    struct {
			InstanceID string `xml:"InstanceId"`
			State      string `xml:"State"`
		} `xml:"RoleInstanceList>RoleInstance"`
	} `xml:"Container"`
}

const wireVersions = `<?xml version="1.0" encoding="utf-8"?>
<Versions><Preferred><Version>2015-04-05</Version></Preferred><Supported><Version>2015-04-05</Version><Version>2012-11-30</Version></Supported></Versions>
`

// serveWire is the wire server: what a machine's agent asks for and reports. The provisioning document, which Azure puts on
// a disc in the machine's drive, is here too: a machine of the lab has no drive.
func (s *Service) serveWire(w http.ResponseWriter, r *http.Request, m *machine) {
	comp := strings.ToLower(r.URL.Query().Get("comp"))
	if comp == "versions" {
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		io.WriteString(w, wireVersions)
		return
	}
	if r.Header.Get("X-Ms-Version") == "" {
		http.Error(w, "the header x-ms-version is missing", http.StatusBadRequest)
		return
	}
	switch {
	case comp == "goalstate" && r.Method == http.MethodGet:
		g := goalState{Version: cmp.Or(r.Header.Get("X-Ms-Version"), "2012-11-30"), Incarnation: m.Kept.Incarnation}
		g.Machine.ExpectedState, g.Machine.StopRolesDeadlineHint, g.Machine.LBProbePorts.Port, g.Machine.ExpectHealthReport = "Started", 300000, 16001, "FALSE"
		g.Container.ContainerID, g.Container.Instance.InstanceID, g.Container.Instance.State = containerID(m), m.Properties.VMID+"._"+m.Name, "Started"
		writeXML(w, g)
	case comp == "ovfenv" && r.Method == http.MethodGet:
		writeXML(w, provisioning(m))
	case (comp == "health" || comp == "telemetrydata" || comp == "roleproperties") && r.Method == http.MethodPost:
		io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20))
		w.WriteHeader(http.StatusOK)
	default:
		http.Error(w, "there is no such component", http.StatusNotFound)
	}
}

// containerID is the id of what a machine runs in on its host: another one than the machine's.
func containerID(m *machine) string {
	id := []byte(m.Properties.VMID)
	slices.Reverse(id[24:])
	return string(id)
}

// environment is the document with which a machine is provisioned.
type environment struct {
	XMLName xml.Name `xml:"http://schemas.dmtf.org/ovf/environment/1 Environment"`
	Section struct {
		Version string `xml:"Version"`
		Config  struct {
			Type       string `xml:"ConfigurationSetType"`
			HostName   string `xml:"HostName"`
			UserName   string `xml:"UserName"`
			NoPassword bool   `xml:"DisableSshPasswordAuthentication"`
			CustomData string `xml:"CustomData,omitempty"`
		} `xml:"LinuxProvisioningConfigurationSet"`
	} `xml:"http://schemas.microsoft.com/windowsazure ProvisioningSection"`
	Platform struct {
		Version  string `xml:"Version"`
		Settings struct {
			Agent bool `xml:"ProvisionGuestAgent"`
		} `xml:"PlatformSettings"`
	} `xml:"http://schemas.microsoft.com/windowsazure PlatformSettingsSection"`
}

func provisioning(m *machine) environment {
	var e environment
	p := m.Properties.OSProfile
	e.Section.Version, e.Platform.Version, e.Platform.Settings.Agent = "1.0", "1.0", true
	c := &e.Section.Config
	c.Type, c.HostName, c.UserName, c.NoPassword = "LinuxProvisioningConfiguration", p.ComputerName, p.AdminUsername, p.LinuxConfiguration.DisablePasswordAuthentication
	c.CustomData = m.Kept.CustomData
	return e
}

func writeXML(w http.ResponseWriter, v any) {
	text, err := xml.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	io.WriteString(w, xml.Header)
	w.Write(text)
}
