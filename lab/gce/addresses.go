package gce

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"google.golang.org/api/compute/v1"
)

func formatID(id uint64) string { return strconv.FormatUint(id, 10) }

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

// addressView is an address as answers show it, with who uses it.
func (s *Service) addressView(a *compute.Address) *compute.Address {
	v := clone(a)
	v.Status = "RESERVED"
	if s.busy[a.SelfLink] == "insert" {
		v.Status = "RESERVING"
	}
	if by := s.addressUser(a); by != "" {
		v.Status, v.Users = "IN_USE", []string{by}
	}
	return v
}

// addressUser returns the instance that uses an address.
func (s *Service) addressUser(a *compute.Address) string {
	for _, i := range sorted(s.st.Instances) {
		if zoneToRegion(base(i.Zone)) != base(a.Region) {
			continue
		}
		for _, nic := range i.NetworkInterfaces {
			if a.AddressType == "INTERNAL" {
				if nic.Subnetwork == a.Subnetwork && nic.NetworkIP == a.Address {
					return i.SelfLink
				}
				continue
			}
			for _, ac := range nic.AccessConfigs {
				if ac.NatIP == a.Address {
					return i.SelfLink
				}
			}
		}
	}
	return ""
}

func (s *Service) insertAddress(c *call) (any, *apiError) {
	var in compute.Address
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	if err := checkName("resource.name", in.Name); err != nil {
		return nil, err
	}
	if err := checkLabels("resource.labels", in.Labels); err != nil {
		return nil, err
	}
	if in.AddressType == "" {
		in.AddressType = "EXTERNAL"
	}
	if in.IpVersion == "IPV6" || in.PrefixLength != 0 || in.Ipv6EndpointType != "" {
		return nil, unsupportedField("resource.ipVersion")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.regional(c.region, "addresses", in.Name)
	if s.st.Addresses[path] != nil {
		return nil, alreadyExists(path)
	}
	a := &compute.Address{
		Kind: "compute#address", Id: newID(), Name: in.Name, Description: in.Description, CreationTimestamp: stamp(), SelfLink: path,
		Region: "projects/" + s.cfg.Project + "/regions/" + c.region, AddressType: in.AddressType, Labels: in.Labels, LabelFingerprint: fingerprint(in.Labels),
		NetworkTier: in.NetworkTier,
	}
	var err *apiError
	switch in.AddressType {
	case "EXTERNAL":
		err = s.reserveExternal(a, &in)
	case "INTERNAL":
		err = s.reserveInternal(a, &in)
	default:
		err = invalidField("resource.addressType", in.AddressType, "Must be EXTERNAL or INTERNAL.")
	}
	if err != nil {
		return nil, err
	}
	s.st.Addresses[path] = a
	return s.start(c, job{verb: "insert", target: path, targetID: a.Id, took: 3 * time.Second})
}

// reserveExternal takes a free public address, or makes one that an instance holds for the time of its life a lasting one.
func (s *Service) reserveExternal(a, in *compute.Address) *apiError {
	if in.Subnetwork != "" || in.Network != "" || in.Purpose != "" {
		return invalidField("resource.subnetwork", in.Subnetwork, "A subnetwork, network or purpose can only be specified for INTERNAL addresses.")
	}
	switch in.NetworkTier {
	case "":
		a.NetworkTier = "PREMIUM"
	case "PREMIUM", "STANDARD":
	default:
		return invalidField("resource.networkTier", in.NetworkTier, "Must be PREMIUM or STANDARD.")
	}
	region := base(a.Region)
	if err := s.checkQuota(region, "STATIC_ADDRESSES", 1); err != nil {
		return err
	}
	if in.Address != "" {
		a.Address = in.Address
		taken := false
		for _, other := range s.st.Addresses {
			taken = taken || other.AddressType == "EXTERNAL" && other.Address == in.Address
		}
		if taken || s.addressUser(a) == "" {
			return invalidField("resource.address", in.Address, "Specified IP address is not allocated to the project or does not belong to the specified scope.")
		}
		return nil
	}
	ip, err := s.cfg.Pool(region).Take()
	if err != nil {
		return &apiError{code: 503, reason: "backendError", message: fmt.Sprintf("No external address is free in region '%s': %v.", region, err)}
	}
	a.Address = ip.String()
	return nil
}

func (s *Service) reserveInternal(a, in *compute.Address) *apiError {
	if in.Purpose != "" && in.Purpose != "GCE_ENDPOINT" && in.Purpose != "SHARED_LOADBALANCER_VIP" {
		return unsupportedField("resource.purpose")
	}
	a.Purpose, a.NetworkTier = in.Purpose, "PREMIUM"
	if a.Purpose == "" {
		a.Purpose = "GCE_ENDPOINT"
	}
	subnet := in.Subnetwork
	if subnet == "" {
		subnet = s.regional(base(a.Region), "subnetworks", "default")
	}
	path, err := s.resolve("resource.subnetwork", subnet, "subnetworks")
	if err != nil {
		return err
	}
	sub := s.st.Subnetworks[path]
	if sub == nil || s.busy[path] == "insert" {
		return s.gone("resource.subnetwork", subnet, "subnetwork", path)
	}
	if sub.Region != a.Region {
		return invalidField("resource.subnetwork", subnet, fmt.Sprintf("The subnetwork is not in region '%s'.", base(a.Region)))
	}
	a.Subnetwork = path
	ip, ok := s.freeAddress(sub)
	if in.Address != "" {
		var parseErr error
		if ip, parseErr = netip.ParseAddr(in.Address); parseErr != nil || !usable(sub, ip) {
			return invalidField("resource.address", in.Address, "Requested internal IP address is outside the subnetwork CIDR range.")
		}
		if by := s.usedAddresses(sub.Network)[ip]; by != "" {
			// An address that an instance holds may be made a lasting one; another reservation may not.
			if s.st.Instances[by] == nil {
				return invalidField("resource.address", in.Address, "Specified IP address is already reserved.")
			}
		}
		ok = true
	}
	if !ok {
		return ipSpaceExhausted(sub)
	}
	a.Address = ip.String()
	return nil
}

func ipSpaceExhausted(sub *compute.Subnetwork) *apiError {
	return badRequest("IP space of '%s' is exhausted. Insufficient free IP addresses in the IP range '%s'.", sub.SelfLink, sub.IpCidrRange)
}

func (s *Service) deleteAddress(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, a, err := find(s, s.st.Addresses, c)
	if err != nil {
		return nil, err
	}
	if by := s.addressUser(a); by != "" {
		return nil, inUse("address", path, by)
	}
	return s.startDelete(c, path, a.Id, 3*time.Second)
}

func (s *Service) removeAddress(path string) *apiError {
	a := s.st.Addresses[path]
	if a == nil {
		return nil
	}
	if by := s.addressUser(a); by != "" {
		return inUse("address", path, by)
	}
	delete(s.st.Addresses, path)
	if a.AddressType == "EXTERNAL" {
		s.putPublic(base(a.Region), a.Address)
	}
	return nil
}

// putPublic gives a public address back to its pool, unless a reservation or an instance still holds it.
func (s *Service) putPublic(region, address string) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return
	}
	for _, a := range s.st.Addresses {
		if a.AddressType == "EXTERNAL" && a.Address == address {
			return
		}
	}
	for _, i := range s.st.Instances {
		for _, nic := range i.NetworkInterfaces {
			for _, ac := range nic.AccessConfigs {
				if ac.NatIP == address {
					return
				}
			}
		}
	}
	s.cfg.Pool(region).Put(ip)
}

var (
	labelKey   = regexp.MustCompile(`^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$`)
	labelValue = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$`)
)

// checkLabels holds labels to the rules of Google's documentation of labels.
func checkLabels(field string, labels map[string]string) *apiError {
	if len(labels) > 64 {
		return invalidField(field, strconv.Itoa(len(labels)), "Must not have more than 64 labels.")
	}
	for k, v := range labels {
		if !labelKey.MatchString(k) {
			return invalidField(field, k, "Label keys begin with a lowercase letter and hold only lowercase letters, digits, '_' and '-', at most 63.")
		}
		if !labelValue.MatchString(v) {
			return invalidField(field+"."+k, v, "Label values hold only lowercase letters, digits, '_' and '-', at most 63.")
		}
	}
	return nil
}

const labelsChanged = "Labels fingerprint either invalid or resource labels have changed"

func (s *Service) setAddressLabels(c *call) (any, *apiError) {
	var in compute.RegionSetLabelsRequest
	if _, err := decode(c.body, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path, a, err := find(s, s.st.Addresses, c)
	if err != nil {
		return nil, err
	}
	if err := setLabels(&a.Labels, &a.LabelFingerprint, in.Labels, in.LabelFingerprint); err != nil {
		return nil, err
	}
	return s.start(c, job{verb: "setLabels", target: path, targetID: a.Id, took: 2 * time.Second})
}

// setLabels replaces labels, if the caller has seen the present ones.
func setLabels(labels *map[string]string, print *string, next map[string]string, seen string) *apiError {
	if seen != *print {
		return conditionNotMet(labelsChanged)
	}
	if err := checkLabels("labels", next); err != nil {
		return err
	}
	*labels, *print = next, fingerprint(next)
	return nil
}
