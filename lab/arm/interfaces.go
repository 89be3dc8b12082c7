package arm

import (
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// nic is a network interface.
type nic struct {
	head
	Properties nicProperties `json:"properties"`
	Kind       string        `json:"kind,omitempty"`
	// Reserved is for whom it is kept; answers don't show it.
	Reserved *reservation `json:"reserved,omitempty"`
}

// reservation keeps an interface for a machine whose creation came to nothing: should that be made again, Azure has the
// interface's place on a host still.
type reservation struct {
	Machine string    `json:"machine"`
	Since   time.Time `json:"since"`
}

// reservedTime is how long Azure keeps an interface.
const reservedTime = 180 * time.Second

// reservedFor refuses to touch an interface that is kept for another machine than the given one.
func (s *Service) reservedFor(n *nic, machine string) *apiError {
	if n.Reserved == nil || key(n.Reserved.Machine) == key(machine) {
		return nil
	}
	left := s.cfg.Profile.Delay(reservedTime) - time.Since(n.Reserved.Since)
	if left <= 0 {
		return nil
	}
	seconds := int((left + time.Second - 1) / time.Second)
	return inUse("NicReservedForAnotherVm", "Nic(s) in request is reserved for another Virtual Machine for %d seconds. Please provide another nic(s) or retry after %d seconds. Reserved VM: %s",
		seconds, seconds, n.Reserved.Machine)
}

type nicProperties struct {
	ProvisioningState           string             `json:"provisioningState,omitempty"`
	ResourceGUID                string             `json:"resourceGuid,omitempty"`
	IPConfigurations            []*ipConfiguration `json:"ipConfigurations"`
	DNSSettings                 dnsSettings        `json:"dnsSettings"`
	MACAddress                  string             `json:"macAddress,omitempty"`
	Primary                     *bool              `json:"primary,omitempty"`
	EnableAcceleratedNetworking bool               `json:"enableAcceleratedNetworking"`
	VnetEncryptionSupported     bool               `json:"vnetEncryptionSupported"`
	EnableIPForwarding          bool               `json:"enableIPForwarding"`
	DisableTCPStateTracking     bool               `json:"disableTcpStateTracking"`
	NetworkSecurityGroup        *ref               `json:"networkSecurityGroup,omitempty"`
	VirtualMachine              *ref               `json:"virtualMachine,omitempty"`
	HostedWorkloads             []string           `json:"hostedWorkloads"`
	TapConfigurations           []ref              `json:"tapConfigurations"`
	NicType                     string             `json:"nicType,omitempty"`
	AllowPort25Out              bool               `json:"allowPort25Out"`
	DefaultOutbound             bool               `json:"defaultOutboundConnectivityEnabled"`
	AuxiliaryMode               string             `json:"auxiliaryMode,omitempty"`
	AuxiliarySKU                string             `json:"auxiliarySku,omitempty"`
}

type dnsSettings struct {
	DNSServers               []string `json:"dnsServers"`
	AppliedDNSServers        []string `json:"appliedDnsServers"`
	InternalDNSNameLabel     string   `json:"internalDnsNameLabel,omitempty"`
	InternalFQDN             string   `json:"internalFqdn,omitempty"`
	InternalDomainNameSuffix string   `json:"internalDomainNameSuffix,omitempty"`
}

type ipConfiguration struct {
	Name       string                    `json:"name,omitempty"`
	ID         string                    `json:"id,omitempty"`
	ETag       string                    `json:"etag,omitempty"`
	Type       string                    `json:"type,omitempty"`
	Properties ipConfigurationProperties `json:"properties"`
}

type ipConfigurationProperties struct {
	ProvisioningState         string `json:"provisioningState,omitempty"`
	PrivateIPAddress          string `json:"privateIPAddress,omitempty"`
	PrivateIPAllocationMethod string `json:"privateIPAllocationMethod,omitempty"`
	PublicIPAddress           *ref   `json:"publicIPAddress,omitempty"`
	Subnet                    *ref   `json:"subnet,omitempty"`
	Primary                   bool   `json:"primary"`
	PrivateIPAddressVersion   string `json:"privateIPAddressVersion,omitempty"`
}

func (n *nic) state() *string { return &n.Properties.ProvisioningState }

// primary is the configuration whose addresses a machine has.
func (n *nic) primary() *ipConfiguration {
	for _, ip := range n.Properties.IPConfigurations {
		if ip.Properties.Primary {
			return ip
		}
	}
	return n.Properties.IPConfigurations[0]
}

// address is an interface's private address.
func (n *nic) address() netip.Addr {
	a, _ := netip.ParseAddr(n.primary().Properties.PrivateIPAddress) // ours
	return a
}

func (s *Service) interfaceView(n *nic) *nic {
	v := clone(n)
	v.Reserved, v.Properties.VirtualMachine, v.Properties.Primary = nil, nil, nil
	if m := s.machineOf(n); m != nil {
		v.Properties.VirtualMachine = &ref{m.ID}
		primary := key(m.Properties.NetworkProfile.NetworkInterfaces[0].ID) == key(n.ID)
		v.Properties.Primary = &primary
	} else {
		v.Properties.MACAddress = ""
	}
	for _, l := range []*[]string{&v.Properties.DNSSettings.DNSServers, &v.Properties.DNSSettings.AppliedDNSServers, &v.Properties.HostedWorkloads} {
		if *l == nil {
			*l = []string{}
		}
	}
	v.Properties.TapConfigurations = []ref{}
	return v
}

// machineOf returns the machine that has an interface.
func (s *Service) machineOf(n *nic) *machine {
	for _, m := range ordered(s.st.Machines) {
		for _, r := range m.Properties.NetworkProfile.NetworkInterfaces {
			if key(r.ID) == key(n.ID) {
				return m
			}
		}
	}
	return nil
}

func (s *Service) putInterface(c *call) (*answer, *apiError) {
	in, err := decode[nic](c.body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, status := s.st.Interfaces[key(c.id)], http.StatusOK
	var before record
	if old != nil {
		before = old
	}
	if err := s.admit(c, interfaceType, &in.head, before); err != nil {
		return nil, err
	}
	if err := precondition(c, before); err != nil {
		return nil, err
	}
	if err := s.free(in.ID); err != nil {
		return nil, err
	}
	if old == nil {
		status = http.StatusCreated
		if err := s.checkQuota(in.Location, "NetworkInterfaces", 1); err != nil {
			return nil, err
		}
	}
	if err := s.admitInterface(in, old); err != nil {
		return nil, err
	}
	in.ETag = newETag()
	for _, ip := range in.Properties.IPConfigurations {
		ip.ETag = in.ETag
	}
	s.st.Interfaces[key(in.ID)] = in
	if s.machineOf(in) == nil {
		// A loose interface is ready at once, and the answer says so.
		s.save()
		return shown(status, s.view(in)), nil
	}
	in.Properties.ProvisioningState = stateUpdating
	return s.writing(c, in, status, 4*time.Second, nil)
}

// admitInterface checks an interface and completes it.
func (s *Service) admitInterface(in, old *nic) *apiError {
	given := in.Properties
	if len(given.IPConfigurations) == 0 {
		return refuse(http.StatusBadRequest, "NetworkInterfaceMustHaveAtLeastOneIpConfiguration", "Network interface %s must have one or more IP configurations.", in.ID)
	}
	in.Kind, in.Reserved = "Regular", nil
	in.Properties = nicProperties{
		ProvisioningState: stateSucceeded, ResourceGUID: newUUID(), IPConfigurations: given.IPConfigurations, DNSSettings: given.DNSSettings,
		EnableAcceleratedNetworking: given.EnableAcceleratedNetworking, EnableIPForwarding: given.EnableIPForwarding, NetworkSecurityGroup: given.NetworkSecurityGroup,
		NicType: "Standard", AllowPort25Out: true, AuxiliaryMode: "None", AuxiliarySKU: "None",
	}
	in.Properties.DNSSettings.AppliedDNSServers, in.Properties.DNSSettings.InternalFQDN = nil, ""
	if old != nil {
		in.Properties.ResourceGUID, in.Properties.MACAddress, in.Reserved = old.Properties.ResourceGUID, old.Properties.MACAddress, old.Reserved
	}
	in.Properties.DNSSettings.InternalDomainNameSuffix = strings.ReplaceAll(in.Properties.ResourceGUID, "-", "")[:26] + ".bx.internal.cloudapp.net"
	if r := given.NetworkSecurityGroup; r != nil {
		g := s.st.SecurityGroups[key(r.ID)]
		switch {
		case g == nil || g.Location != in.Location:
			return invalidReference(r.ID, in.ID)
		case s.busy[key(g.ID)] != "":
			return notReady(g.ID, g.Properties.ProvisioningState, in.ID)
		}
		r.ID = g.ID
	}
	primaries := 0
	for i, ip := range given.IPConfigurations {
		if ip.Properties.Primary {
			primaries++
		}
		if err := s.admitIPConfiguration(in, ip, i, old); err != nil {
			return err
		}
	}
	switch {
	case primaries > 1:
		return refuse(http.StatusBadRequest, "MultiplePrimaryIpConfigurations", "Network interface %s has more than one primary IP configuration.", in.ID)
	case primaries == 0:
		given.IPConfigurations[0].Properties.Primary = true
	}
	return nil
}

// admitIPConfiguration checks one configuration of an interface and gives it its address.
func (s *Service) admitIPConfiguration(in *nic, ip *ipConfiguration, index int, old *nic) *apiError {
	p := &ip.Properties
	if ip.Name == "" {
		return refuse(http.StatusBadRequest, "InvalidResourceName", "Resource name is invalid: an IP configuration of network interface %s has none.", in.ID)
	}
	ip.ID, ip.Type, p.ProvisioningState = in.ID+"/ipConfigurations/"+ip.Name, interfaceType+"/ipConfigurations", stateSucceeded
	if p.PrivateIPAddressVersion != "" && !strings.EqualFold(p.PrivateIPAddressVersion, "IPv4") {
		return unsupported("Private IP addresses of version '%s' are not supported.", p.PrivateIPAddressVersion)
	}
	p.PrivateIPAddressVersion = "IPv4"
	if p.Subnet == nil {
		return refuse(http.StatusBadRequest, "SubnetNotSpecified", "IP configuration %s does not name a subnet.", ip.ID)
	}
	n, sub := s.findSubnet(p.Subnet.ID)
	switch {
	case sub == nil || n.Location != in.Location:
		return invalidReference(p.Subnet.ID, in.ID)
	case s.busy[key(n.ID)] != "":
		return notReady(sub.ID, sub.Properties.ProvisioningState, in.ID)
	}
	p.Subnet.ID = sub.ID
	if old != nil && parent(key(old.primary().Properties.Subnet.ID)) != key(n.ID) { // an interface stays in the network that it was made in
		return refuse(http.StatusBadRequest, "SubnetsNotInSameVnet", "Subnet %s referenced by resource %s is not in the same Virtual Network %s as the network interface.", sub.ID, in.ID, parent(old.primary().Properties.Subnet.ID))
	}
	if index > 0 {
		if first, _ := s.findSubnet(in.Properties.IPConfigurations[0].Properties.Subnet.ID); first != n {
			return refuse(http.StatusBadRequest, "NicIpConfigurationsMustBeInSameVnet", "All IP configurations of network interface %s must be in the same virtual network.", in.ID)
		}
	}
	if err := s.admitPublic(in, ip); err != nil {
		return err
	}
	return s.giveAddress(sub, ip, old)
}

// admitPublic checks the public address that a configuration names.
func (s *Service) admitPublic(in *nic, ip *ipConfiguration) *apiError {
	r := ip.Properties.PublicIPAddress
	if r == nil {
		return nil
	}
	a := s.st.Addresses[key(r.ID)]
	switch {
	case a == nil || a.Location != in.Location:
		return invalidReference(r.ID, in.ID)
	case s.busy[key(a.ID)] != "":
		return notReady(a.ID, a.Properties.ProvisioningState, in.ID)
	}
	r.ID = a.ID
	if user, used := s.userOfAddress(a); used != nil && key(user.ID) != key(in.ID) {
		return refuse(http.StatusBadRequest, "PublicIPAddressInUse", "Resource %s is referencing public IP address %s that is already allocated to resource %s.", ip.ID, a.ID, used.ID)
	}
	return nil
}

// giveAddress gives a configuration the private address that it asks for, or had, or a free one.
func (s *Service) giveAddress(sub *subnet, ip *ipConfiguration, old *nic) *apiError {
	p := &ip.Properties
	static := strings.EqualFold(p.PrivateIPAllocationMethod, "Static")
	p.PrivateIPAllocationMethod = map[bool]string{true: "Static", false: "Dynamic"}[static]
	if !static && old != nil {
		p.PrivateIPAddress = ""
		for _, before := range old.Properties.IPConfigurations {
			if strings.EqualFold(before.Name, ip.Name) && key(before.Properties.Subnet.ID) == key(sub.ID) {
				p.PrivateIPAddress = before.Properties.PrivateIPAddress
				return nil
			}
		}
	}
	if !static {
		a, err := s.nextFree(sub)
		if err != nil {
			return err
		}
		p.PrivateIPAddress = a.String()
		return nil
	}
	a, parseErr := netip.ParseAddr(p.PrivateIPAddress)
	if parseErr != nil || !a.Is4() {
		return refuse(http.StatusBadRequest, "PrivateIPAddressInvalid", "Private static IP address '%s' of %s is no IPv4 address.", p.PrivateIPAddress, ip.ID)
	}
	return s.checkFree(sub, a, ip.ID)
}

func (s *Service) configurationsOf(id string) (*nic, *apiError) {
	n := s.st.Interfaces[key(parent(id))]
	if n == nil {
		return nil, resourceNotFound(parent(id))
	}
	return n, nil
}

func (s *Service) listIPConfigurations(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.configurationsOf(c.id + "/x")
	if err != nil {
		return nil, err
	}
	var out []any
	for _, ip := range n.Properties.IPConfigurations {
		out = append(out, *ip)
	}
	return s.page(c, out)
}

func (s *Service) getIPConfiguration(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.configurationsOf(c.id)
	if err != nil {
		return nil, err
	}
	for _, ip := range n.Properties.IPConfigurations {
		if strings.EqualFold(ip.Name, lastName(c.id)) {
			return shown(http.StatusOK, *ip), nil
		}
	}
	return nil, childNotFound(c.id)
}
