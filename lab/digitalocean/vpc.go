package digitalocean

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

var vpcRoutes = map[string]route{
	"GET /v2/vpcs":                {"vpc:read", (*call).listVPCs},
	"POST /v2/vpcs":               {"vpc:create", (*call).createVPC},
	"GET /v2/vpcs/{vpc}":          {"vpc:read", (*call).getVPC},
	"PUT /v2/vpcs/{vpc}":          {"vpc:update", (*call).changeVPC},
	"PATCH /v2/vpcs/{vpc}":        {"vpc:update", (*call).changeVPC},
	"DELETE /v2/vpcs/{vpc}":       {"vpc:delete", (*call).deleteVPC},
	"GET /v2/vpcs/{vpc}/members":  {"vpc:read", (*call).listMembers},
	"GET /v2/vpcs/{vpc}/peerings": {"vpc_peering:read", (*call).listPeerings},
	"GET /v2/vpc_peerings":        {"vpc_peering:read", (*call).listPeerings},
}

type vpcView struct {
	ID          string `json:"id"`
	URN         string `json:"urn"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Region      string `json:"region"`
	Range       string `json:"ip_range"`
	Default     bool   `json:"default"`
	Created     string `json:"created_at"`
}

func (v *vpc) urn() string { return "do:vpc:" + v.ID }

func (v *vpc) view() vpcView {
	return vpcView{v.ID, v.urn(), v.Name, v.Description, v.Region, v.Range.String(), v.Default, stamp(v.Created)}
}

func (c *call) listVPCs() (answer, *apiError) {
	var all []vpcView
	for _, v := range sorted(c.rec.VPCs) {
		all = append(all, v.view())
	}
	return page(c, "vpcs", all)
}

func (c *call) getVPC() (answer, *apiError) {
	v, err := find(c, c.rec.VPCs, "vpc")
	if err != nil {
		return answer{}, err
	}
	return ok(fields{"vpc": v.view()})
}

// listPeerings answers that there are none: networks can't be peered here.
func (c *call) listPeerings() (answer, *apiError) {
	name := "vpc_peerings"
	if c.r.PathValue("vpc") != "" {
		if _, err := find(c, c.rec.VPCs, "vpc"); err != nil {
			return answer{}, err
		}
		name = "peerings"
	}
	return page(c, name, []fields{})
}

var vpcName = regexp.MustCompile(`^[a-zA-Z0-9\-.]+$`)

func (s *Service) checkVPCName(name, self string) *apiError {
	if !vpcName.MatchString(name) {
		return unprocessable("Name must only contain alphanumeric characters, dashes, and periods")
	}
	for _, v := range s.rec.VPCs {
		if v.ID != self && v.Name == name {
			return unprocessable("Name has already been taken")
		}
	}
	return nil
}

const maxDescription = 255

func (c *call) createVPC() (answer, *apiError) {
	var in struct {
		Name, Region, Description string
		Range                     string `json:"ip_range"`
	}
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	if in.Name == "" {
		return answer{}, unprocessable("Name can't be blank")
	}
	if err := c.checkVPCName(in.Name, ""); err != nil {
		return answer{}, err
	}
	if r, known := c.cat.region(in.Region); !known || !r.open {
		return answer{}, unprocessable("Region is not available")
	}
	if len(in.Description) > maxDescription {
		return answer{}, unprocessable("Description is too long (maximum is %d characters)", maxDescription)
	}
	ip := c.freeRange(in.Region)
	if in.Range != "" {
		var err *apiError
		if ip, err = c.checkRange(in.Region, in.Range); err != nil {
			return answer{}, err
		}
	}
	v := &vpc{ID: newUUID(), Name: in.Name, Description: in.Description, Region: in.Region, Range: ip, Default: c.defaultVPC(in.Region) == nil, Created: c.now()}
	c.rec.VPCs[v.ID] = v
	c.version++
	return created(fields{"vpc": v.view()})
}

// privateRanges are those of RFC 1918.
var privateRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16")}

// The largest and the smallest VPC, in bits of the prefix.
const (
	largestVPC  = 16
	smallestVPC = 28
)

// checkRange holds a range to the rules for VPCs.
func (s *Service) checkRange(region, text string) (netip.Prefix, *apiError) {
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() || p != p.Masked() {
		return p, unprocessable("IP range is not a valid network in CIDR notation")
	}
	if p.Bits() < largestVPC || p.Bits() > smallestVPC {
		return p, unprocessable("IP range must be between /%d and /%d in size", smallestVPC, largestVPC)
	}
	private := false
	for _, r := range privateRanges {
		private = private || r.Overlaps(p) && r.Bits() <= p.Bits()
	}
	if !private {
		return p, unprocessable("IP range must be in a private range as defined in RFC1918")
	}
	for _, r := range append([]netip.Prefix{anchorRange(region)}, taken...) {
		if r.Overlaps(p) {
			return p, unprocessable("This range/size overlaps with the range reserved for DigitalOcean internal use")
		}
	}
	var others []string
	for _, v := range sorted(s.rec.VPCs) {
		if v.Range.Overlaps(p) {
			others = append(others, v.Name+" "+v.Range.String())
		}
	}
	if len(others) > 0 {
		return p, unprocessable("This range/size overlaps with another VPC network in your account: %s.", strings.Join(others, ", "))
	}
	return p, nil
}

// freeRange finds a /20 for a VPC whose maker doesn't mind, beginning with the region's own block.
func (s *Service) freeRange(region string) netip.Prefix {
	first := s.cat.defaultRange(region)
	for i := range 4096 {
		at := first.Addr().As4()
		n := int(at[1])<<4 + int(at[2])>>4 + i
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 4), byte(n << 4), 0}), 20)
		if _, err := s.checkRange(region, p.String()); err == nil {
			return p
		}
	}
	return first
}

// defaultVPC is the one that a region's Droplets go to unless they say otherwise; nil for none.
func (s *Service) defaultVPC(region string) *vpc {
	for _, v := range s.rec.VPCs {
		if v.Region == region && v.Default {
			return v
		}
	}
	return nil
}

// addDefaultVPC makes a region's default VPC. The caller holds the lock.
func (s *Service) addDefaultVPC(region string) *vpc {
	v := &vpc{ID: newUUID(), Name: "default-" + region, Region: region, Range: s.freeRange(region), Default: true, Created: s.now()}
	s.rec.VPCs[v.ID] = v
	s.version++
	return v
}

func (c *call) changeVPC() (answer, *apiError) {
	v, err := find(c, c.rec.VPCs, "vpc")
	if err != nil {
		return answer{}, err
	}
	var in struct {
		Name, Description *string
		Default           json.RawMessage
	}
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	next := *v
	if in.Name != nil && *in.Name != "" {
		if err := c.checkVPCName(*in.Name, v.ID); err != nil {
			return answer{}, err
		}
		next.Name = *in.Name
	}
	if in.Description != nil {
		if len(*in.Description) > maxDescription {
			return answer{}, unprocessable("Description is too long (maximum is %d characters)", maxDescription)
		}
		next.Description = *in.Description
	}
	switch string(in.Default) {
	case "", "null":
	case "true":
		if old := c.defaultVPC(v.Region); old != nil {
			old.Default = false
		}
		next.Default = true
	default:
		if v.Default {
			return answer{}, unprocessable("The default VPC of a region cannot be unset; set another one instead")
		}
	}
	*v = next
	c.version++
	return ok(fields{"vpc": v.view()})
}

func (c *call) deleteVPC() (answer, *apiError) {
	v, err := find(c, c.rec.VPCs, "vpc")
	if err != nil {
		return answer{}, err
	}
	if v.Default {
		return answer{}, forbidden("Can not delete default VPCs")
	}
	if len(c.members(v)) > 0 {
		return answer{}, conflict("Can not delete VPC with members")
	}
	delete(c.rec.VPCs, v.ID)
	delete(c.rec.Assigned, v.urn())
	c.version++
	return nothing()
}

type memberView struct {
	URN     string `json:"urn"`
	Name    string `json:"name"`
	Created string `json:"created_at"`
}

// members are the resources in a VPC: Droplets are the only kind there is here.
func (c *call) members(v *vpc) []memberView {
	var all []memberView
	for _, d := range sorted(c.rec.Droplets) {
		if d.VPC == v.ID {
			all = append(all, memberView{d.urn(), d.Name, stamp(d.Created)})
		}
	}
	return all
}

func (c *call) listMembers() (answer, *apiError) {
	v, err := find(c, c.rec.VPCs, "vpc")
	if err != nil {
		return answer{}, err
	}
	all := c.members(v)
	if kind := c.q.Get("resource_type"); kind != "" && kind != "droplet" {
		all = nil
	}
	return page(c, "members", all)
}

// freePrivate is the lowest address of a VPC that nobody has. The network's own, the gateway's and the last one are kept.
func (s *Service) freePrivate(v *vpc) (netip.Addr, error) {
	used := map[netip.Addr]bool{}
	for _, d := range s.rec.Droplets {
		if d.VPC == v.ID {
			used[d.Private] = true
		}
	}
	for a := v.Range.Addr().Next().Next(); v.Range.Contains(a.Next()); a = a.Next() {
		if !used[a] {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no free address in VPC %s (%s)", v.Name, v.Range)
}

// freeAnchor is the lowest anchor address of a region that nobody has.
func (s *Service) freeAnchor(region string) netip.Addr {
	used := map[netip.Addr]bool{}
	for _, d := range s.rec.Droplets {
		if d.Region == region {
			used[d.Anchor] = true
		}
	}
	a := anchorRange(region).Addr().Next().Next()
	for n := 0; used[a] || n < 3; n++ { // the first few are the network's
		a = a.Next()
	}
	return a
}
