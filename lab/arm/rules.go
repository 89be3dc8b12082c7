package arm

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// rule is a rule of a security group, and kept in it.
type rule struct {
	Name       string         `json:"name,omitempty"`
	ID         string         `json:"id,omitempty"`
	ETag       string         `json:"etag,omitempty"`
	Type       string         `json:"type,omitempty"`
	Properties ruleProperties `json:"properties"`
}

type ruleProperties struct {
	ProvisioningState          string   `json:"provisioningState,omitempty"`
	Description                string   `json:"description,omitempty"`
	Protocol                   string   `json:"protocol,omitempty"`
	SourcePortRange            string   `json:"sourcePortRange,omitempty"`
	DestinationPortRange       string   `json:"destinationPortRange,omitempty"`
	SourceAddressPrefix        string   `json:"sourceAddressPrefix,omitempty"`
	DestinationAddressPrefix   string   `json:"destinationAddressPrefix,omitempty"`
	Access                     string   `json:"access,omitempty"`
	Priority                   int      `json:"priority"`
	Direction                  string   `json:"direction,omitempty"`
	SourcePortRanges           []string `json:"sourcePortRanges"`
	DestinationPortRanges      []string `json:"destinationPortRanges"`
	SourceAddressPrefixes      []string `json:"sourceAddressPrefixes"`
	DestinationAddressPrefixes []string `json:"destinationAddressPrefixes"`
}

// list joins the one and the several values that a rule may give for a thing.
func list(one string, several []string) []string {
	if one == "" {
		return several
	}
	return append([]string{one}, several...)
}

func (p *ruleProperties) sources() []string {
	return list(p.SourceAddressPrefix, p.SourceAddressPrefixes)
}
func (p *ruleProperties) destinations() []string {
	return list(p.DestinationAddressPrefix, p.DestinationAddressPrefixes)
}
func (p *ruleProperties) ports() []string {
	return list(p.DestinationPortRange, p.DestinationPortRanges)
}

// protocols are the protocols of rules with the number of each, as world.Rule has them.
var protocols = map[string]string{"*": "", "Tcp": "tcp", "Udp": "udp", "Icmp": "icmp", "Esp": "50", "Ah": "51"}

// tags are the service tags that mean something in the lab; others of Azure's name ranges of Azure's own, which aren't in
// the lab's internet.
const (
	tagNetwork      = "VirtualNetwork"
	tagInternet     = "Internet"
	tagLoadBalancer = "AzureLoadBalancer"
)

var otherTags = []string{"AzureCloud", "AzureActiveDirectory", "AzureResourceManager", "AzureMonitor", "AzureContainerRegistry", "AzureKeyVault", "AzureFrontDoor.Backend",
	"AzureTrafficManager", "GatewayManager", "Sql", "Storage", "AzureDevOps", "AzurePlatformDNS", "AzurePlatformIMDS", "MicrosoftContainerRegistry"}

// admitRule checks a rule against the others of its group and completes it. Names of values are taken in any casing.
func admitRule(g *securityGroup, r *rule) *apiError {
	p := &r.Properties
	if r.Name == "" {
		return refuse(http.StatusBadRequest, "InvalidResourceName", "Resource name is invalid: a rule of network security group %s has none.", g.Name)
	}
	bad := func(code, field, value string) *apiError {
		return refuse(http.StatusBadRequest, code, "Security rule has invalid %s. Value provided: %s. Resource: %s/securityRules/%s.", field, value, g.ID, r.Name)
	}
	for field, v := range map[string]*string{"Access": &p.Access, "Direction": &p.Direction, "Protocol": &p.Protocol} {
		known := map[string][]string{"Access": {"Allow", "Deny"}, "Direction": {"Inbound", "Outbound"}, "Protocol": {"*", "Tcp", "Udp", "Icmp", "Esp", "Ah"}}[field]
		i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, *v) })
		if i < 0 {
			return bad("SecurityRuleInvalid"+field, field, *v)
		}
		*v = known[i]
	}
	if p.Priority < 100 || p.Priority > 4096 {
		return refuse(http.StatusBadRequest, "SecurityRuleInvalidPriority", "Security rule %s has invalid priority. Priority must be between 100 and 4096. Value provided: %d.", r.Name, p.Priority)
	}
	for _, other := range g.Properties.SecurityRules {
		if other.Properties.Priority == p.Priority && other.Properties.Direction == p.Direction && !strings.EqualFold(other.Name, r.Name) {
			return refuse(http.StatusBadRequest, "SecurityRuleConflict", "Security rule %s conflicts with rule %s. Rules cannot have the same Priority and Direction. To learn more, see aka.ms/nsgrules.", r.Name, other.Name)
		}
	}
	for _, text := range append(list(p.SourcePortRange, p.SourcePortRanges), p.ports()...) {
		if _, _, ok := portRange(text); !ok {
			return bad("SecurityRuleInvalidPortRange", "Port range", text)
		}
	}
	for _, text := range list(p.SourcePortRange, p.SourcePortRanges) {
		if text != "*" && text != "0-65535" {
			return unsupported("Security rule %s: source port ranges other than * are not supported.", r.Name)
		}
	}
	for field, texts := range map[string][]string{"source address prefix": p.sources(), "destination address prefix": p.destinations(), "port range": p.ports()} {
		if len(texts) == 0 {
			return refuse(http.StatusBadRequest, "SecurityRuleParameterNotSpecified", "Security rule parameter %s for rule with Id %s/securityRules/%s cannot be null or empty.", field, g.ID, r.Name)
		}
	}
	for _, text := range append(slices.Clone(p.sources()), p.destinations()...) {
		if !addressForm(text) {
			return bad("SecurityRuleInvalidAddressPrefix", "Address prefix", text)
		}
	}
	r.ID, r.Type, r.ETag = g.ID+"/securityRules/"+r.Name, securityGroupType+"/securityRules", newETag()
	p.ProvisioningState = stateUpdating
	for _, several := range []*[]string{&p.SourcePortRanges, &p.DestinationPortRanges, &p.SourceAddressPrefixes, &p.DestinationAddressPrefixes} {
		if *several == nil {
			*several = []string{}
		}
	}
	return nil
}

// addressForm says whether a text is something that a rule's address may be.
func addressForm(text string) bool {
	if text == "*" {
		return true
	}
	for _, t := range append([]string{tagNetwork, tagInternet, tagLoadBalancer}, otherTags...) {
		if strings.EqualFold(t, text) || strings.HasPrefix(strings.ToLower(text), strings.ToLower(t)+".") {
			return true
		}
	}
	if _, err := netip.ParsePrefix(text); err == nil {
		return true
	}
	_, err := netip.ParseAddr(text)
	return err == nil
}

// portRange reads "*", "22" or "30000-32767".
func portRange(text string) (from, to uint16, ok bool) {
	if text == "*" {
		return 0, 0, true
	}
	a, b, span := strings.Cut(text, "-")
	if !span {
		b = a
	}
	first, err1 := strconv.ParseUint(strings.TrimSpace(a), 10, 16)
	last, err2 := strconv.ParseUint(strings.TrimSpace(b), 10, 16)
	if err1 != nil || err2 != nil || first > last {
		return 0, 0, false
	}
	return uint16(first), uint16(last), true
}

// defaultRules are those that every security group has.
func defaultRules(g *securityGroup) []*rule {
	make := func(name, about, direction, access, from, to string, priority int) *rule {
		return &rule{
			Name: name, ID: g.ID + "/defaultSecurityRules/" + name, ETag: g.ETag, Type: securityGroupType + "/defaultSecurityRules",
			Properties: ruleProperties{
				ProvisioningState: g.Properties.ProvisioningState, Description: about, Protocol: "*", SourcePortRange: "*", DestinationPortRange: "*",
				SourceAddressPrefix: from, DestinationAddressPrefix: to, Access: access, Priority: priority, Direction: direction,
				SourcePortRanges: []string{}, DestinationPortRanges: []string{}, SourceAddressPrefixes: []string{}, DestinationAddressPrefixes: []string{},
			},
		}
	}
	return []*rule{
		make("AllowVnetInBound", "Allow inbound traffic from all VMs in VNET", "Inbound", "Allow", tagNetwork, tagNetwork, 65000),
		make("AllowAzureLoadBalancerInBound", "Allow inbound traffic from azure load balancer", "Inbound", "Allow", tagLoadBalancer, "*", 65001),
		make("DenyAllInBound", "Deny all inbound traffic", "Inbound", "Deny", "*", "*", 65500),
		make("AllowVnetOutBound", "Allow outbound traffic from all VMs to all VMs in VNET", "Outbound", "Allow", tagNetwork, tagNetwork, 65000),
		make("AllowInternetOutBound", "Allow outbound traffic from all VMs to Internet", "Outbound", "Allow", "*", tagInternet, 65001),
		make("DenyAllOutBound", "Deny all outbound traffic", "Outbound", "Deny", "*", "*", 65500),
	}
}
