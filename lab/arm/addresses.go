package arm

import (
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// publicAddress is a public IP address.
type publicAddress struct {
	head
	Properties publicAddressProperties `json:"properties"`
}

type publicAddressProperties struct {
	ProvisioningState        string        `json:"provisioningState,omitempty"`
	ResourceGUID             string        `json:"resourceGuid,omitempty"`
	IPAddress                string        `json:"ipAddress,omitempty"`
	PublicIPAddressVersion   string        `json:"publicIPAddressVersion,omitempty"`
	PublicIPAllocationMethod string        `json:"publicIPAllocationMethod,omitempty"`
	IdleTimeoutInMinutes     int           `json:"idleTimeoutInMinutes,omitempty"`
	DeleteOption             string        `json:"deleteOption,omitempty"`
	IPTags                   []ref         `json:"ipTags"`
	IPConfiguration          *ref          `json:"ipConfiguration,omitempty"`
	DdosSettings             *ddosSettings `json:"ddosSettings,omitempty"`
}

type ddosSettings struct {
	ProtectionMode string `json:"protectionMode,omitempty"`
}

// freedAddress is an address that goes back to its location's pool.
type freedAddress struct {
	location string
	address  netip.Addr
}

func (a *publicAddress) state() *string { return &a.Properties.ProvisioningState }

func (s *Service) addressView(a *publicAddress) *publicAddress {
	v := clone(a)
	v.Properties.IPTags = []ref{}
	if _, ip := s.userOfAddress(a); ip != nil {
		v.Properties.IPConfiguration = &ref{ip.ID}
	}
	return v
}

// userOfAddress returns the interface with the configuration that has an address.
func (s *Service) userOfAddress(a *publicAddress) (*nic, *ipConfiguration) {
	for _, n := range ordered(s.st.Interfaces) {
		for _, ip := range n.Properties.IPConfigurations {
			if r := ip.Properties.PublicIPAddress; r != nil && key(r.ID) == key(a.ID) {
				return n, ip
			}
		}
	}
	return nil, nil
}

// putAddress makes or changes a public address. The lab has Standard ones, IPv4 and static, as Azure has no other kind for
// new accounts.
func (s *Service) putAddress(c *call) (*answer, *apiError) {
	in, err := decode[publicAddress](c.body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, status := s.st.Addresses[key(c.id)], http.StatusOK
	var before record
	if old != nil {
		before = old
	}
	if err := s.admit(c, publicAddressType, &in.head, before); err != nil {
		return nil, err
	}
	if err := precondition(c, before); err != nil {
		return nil, err
	}
	if err := s.free(in.ID); err != nil {
		return nil, err
	}
	if old != nil && in.SKU != nil && in.SKU.Name != "" && !strings.EqualFold(in.SKU.Name, old.SKU.Name) {
		// The words are Azure's; its code for it is quoted nowhere.
		return nil, refuse(http.StatusBadRequest, "ResourceSkuCannotBeChanged", "Sku property is set at creation time and cannot be changed from %s to %s on resource update for resource %s.", old.SKU.Name, in.SKU.Name, old.ID)
	}
	if err := admitAddress(in); err != nil {
		return nil, err
	}
	if old == nil {
		status = http.StatusCreated
		if err := s.newAddress(in); err != nil {
			return nil, err
		}
	} else {
		if len(in.Zones) > 0 && strings.Join(in.Zones, ",") != strings.Join(old.Zones, ",") {
			return nil, refuse(http.StatusBadRequest, "ResourceAvailabilityZonesCannotBeModified", "Resource %s has an existing availability zone constraint %s and the request has availability zone constraint %s, which do not match.",
				in.ID, strings.Join(old.Zones, ", "), strings.Join(in.Zones, ", "))
		}
		in.Zones, in.Properties.IPAddress, in.Properties.ResourceGUID = old.Zones, old.Properties.IPAddress, old.Properties.ResourceGUID
	}
	in.ETag = newETag()
	s.st.Addresses[key(in.ID)] = in
	return s.writing(c, in, status, 3*time.Second, nil)
}

// admitAddress checks what an address is to be like and completes it.
func admitAddress(in *publicAddress) *apiError {
	p := &in.Properties
	if in.SKU == nil || in.SKU.Name == "" {
		in.SKU = &sku{Name: "Basic"}
	}
	switch {
	case strings.EqualFold(in.SKU.Name, "Basic"):
		return refuse(http.StatusBadRequest, "IPv4BasicSkuPublicIpCountLimitReached", "Cannot create more than 0 IPv4 Basic SKU public IP addresses for this subscription in this region.")
	case !strings.EqualFold(in.SKU.Name, "Standard"):
		return unsupported("Public IP addresses of SKU '%s' are not supported.", in.SKU.Name)
	case in.SKU.Tier != "" && !strings.EqualFold(in.SKU.Tier, "Regional"):
		return unsupported("Public IP addresses of tier '%s' are not supported.", in.SKU.Tier)
	case p.PublicIPAddressVersion != "" && !strings.EqualFold(p.PublicIPAddressVersion, "IPv4"):
		return unsupported("Public IP addresses of version '%s' are not supported.", p.PublicIPAddressVersion)
	case !strings.EqualFold(p.PublicIPAllocationMethod, "Static"):
		return refuse(http.StatusBadRequest, "StandardSkuPublicIPAddressesMustBeStatic", "Standard sku publicIp %s must have AllocationMethod set to Static.", in.ID)
	case p.IdleTimeoutInMinutes != 0 && (p.IdleTimeoutInMinutes < 4 || p.IdleTimeoutInMinutes > 30):
		return refuse(http.StatusBadRequest, "PublicIPAddressIdleTimeoutIsInvalid", "Public IP address %s has an idle timeout of %d minutes; it must be between 4 and 30.", in.ID, p.IdleTimeoutInMinutes)
	}
	in.SKU = &sku{Name: "Standard", Tier: "Regional"}
	*p = publicAddressProperties{
		ProvisioningState: stateUpdating, PublicIPAddressVersion: "IPv4", PublicIPAllocationMethod: "Static", IdleTimeoutInMinutes: max(p.IdleTimeoutInMinutes, 4),
		DeleteOption: p.DeleteOption, DdosSettings: p.DdosSettings,
	}
	if p.DdosSettings == nil {
		p.DdosSettings = &ddosSettings{ProtectionMode: "VirtualNetworkInherited"}
	}
	return nil
}

// newAddress takes an address for a new record.
func (s *Service) newAddress(in *publicAddress) *apiError {
	for _, metric := range []string{"PublicIPAddresses", "StaticPublicIPAddresses"} {
		if limit, over := s.over(in.Location, metric, 1); over {
			return refuse(http.StatusBadRequest, "PublicIPCountLimitReached", "Cannot create more than %d public IP addresses for this subscription in this region.", limit)
		}
	}
	a, err := s.cfg.Pool(in.Location).Take()
	if err != nil {
		return refuse(http.StatusServiceUnavailable, "PublicIPAddressAllocationFailed", "No public IP address is free in location %s.", in.Location)
	}
	in.Properties.IPAddress, in.Properties.ResourceGUID = a.String(), newUUID()
	return nil
}

// reserveAddresses tells the pools which addresses are taken.
func (s *Service) reserveAddresses() {
	for _, a := range s.st.Addresses {
		if ip, err := netip.ParseAddr(a.Properties.IPAddress); err == nil {
			s.cfg.Pool(a.Location).Reserve(ip)
		}
	}
}
