package ec2

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/lab/ec2/internal/query"
)

type rangeInput struct {
	CIDR        string `q:"CidrIp"`
	Description string `q:"Description"`
}

type range6Input struct {
	CIDR        string `q:"CidrIpv6"`
	Description string `q:"Description"`
}

type groupPairInput struct {
	Description string `q:"Description"`
	User        string `q:"UserId"`
	Name        string `q:"GroupName"`
	ID          string `q:"GroupId"`
	VPC         string `q:"VpcId"`
	_           string `q:"VpcPeeringConnectionId PeeringStatus,unsupported"`
}

type permission struct {
	Protocol string           `q:"IpProtocol"`
	From     *int             `q:"FromPort"`
	To       *int             `q:"ToPort"`
	Groups   []groupPairInput `q:"Groups"`
	Ranges   []rangeInput     `q:"IpRanges"`
	Ranges6  []range6Input    `q:"Ipv6Ranges"`
	_        string           `q:"PrefixListIds,unsupported"`
}

// changeRules is the input of authorize and revoke, in both directions.
type changeRules struct {
	tagSpecs
	groupRef
	Permissions []permission `q:"IpPermissions"`
	RuleIDs     []string     `q:"SecurityGroupRuleId"`
	Protocol    string       `q:"IpProtocol"`
	From        *int         `q:"FromPort"`
	To          *int         `q:"ToPort"`
	CIDR        string       `q:"CidrIp"`
	SourceName  string       `q:"SourceSecurityGroupName"`
	SourceOwner string       `q:"SourceSecurityGroupOwnerId"`
}

// permissions are those given, in either of the two forms.
func (in *changeRules) permissions() ([]permission, error) {
	single := in.Protocol != "" || in.CIDR != "" || in.SourceName != "" || in.From != nil || in.To != nil
	switch {
	case single && len(in.Permissions) > 0:
		return nil, apiErrorf("InvalidParameterCombination", "The parameter ipPermissions may not be used together with ipProtocol, fromPort, toPort, cidrIp or a source group")
	case !single:
		return in.Permissions, nil
	}
	p := permission{Protocol: in.Protocol, From: in.From, To: in.To}
	if in.CIDR != "" {
		p.Ranges = []rangeInput{{CIDR: in.CIDR}}
	}
	if in.SourceName != "" {
		p.Groups = []groupPairInput{{Name: in.SourceName, User: in.SourceOwner}}
		if p.Protocol == "" {
			p.Protocol = "-1"
		}
	}
	return []permission{p}, nil
}

// rules checks permissions and takes them apart into rules with one peer each.
func (c *call) rules(g *group, list []permission, egress bool) ([]groupRule, error) {
	var out []groupRule
	for _, p := range list {
		proto, from, to, err := portsOf(p.Protocol, p.From, p.To)
		if err != nil {
			return nil, err
		}
		rule := groupRule{Egress: egress, Protocol: proto, From: from, To: to}
		if len(p.Groups)+len(p.Ranges)+len(p.Ranges6) == 0 {
			return nil, missingParameter("cidrIp, cidrIpv6 or groupId of every permission")
		}
		for _, r := range p.Ranges {
			cidr, err := parseCIDR(r.CIDR, "cidrIp")
			if err != nil {
				return nil, apiErrorf("InvalidParameterValue", "CIDR block %s is malformed", r.CIDR)
			}
			rule := rule
			rule.CIDR4, rule.Description = cidr.String(), r.Description
			out = append(out, rule)
		}
		for _, r := range p.Ranges6 {
			cidr, err := netip.ParsePrefix(r.CIDR)
			if err != nil || !cidr.Addr().Is6() {
				return nil, apiErrorf("InvalidParameterValue", "CIDR block %s is malformed", r.CIDR)
			}
			rule := rule
			rule.CIDR6, rule.Description = cidr.Masked().String(), r.Description
			out = append(out, rule)
		}
		for _, r := range p.Groups {
			peer, err := c.peerGroup(g, r)
			if err != nil {
				return nil, err
			}
			rule := rule
			rule.Group, rule.Description = peer.ID, r.Description
			out = append(out, rule)
		}
	}
	for i, r := range out {
		if len(r.Description) > 255 {
			return nil, apiErrorf("InvalidParameterValue", "Invalid rule description. Rule descriptions may be up to 255 characters long.")
		}
		if slices.ContainsFunc(out[:i], r.same) {
			return nil, apiErrorf("InvalidParameterValue", "The same permission must not appear multiple times")
		}
	}
	return out, nil
}

// peerGroup finds a referenced group; it must be in the same network.
func (c *call) peerGroup(g *group, in groupPairInput) (*group, error) {
	if in.User != "" && in.User != c.cfg.AccountID {
		return nil, kindGroup.missing(in.ID)
	}
	for _, other := range c.region.Groups {
		if other.ID == in.ID || in.ID == "" && in.Name == other.Name && other.VPC == g.VPC {
			if other.VPC != g.VPC {
				return nil, apiErrorf("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
			}
			return other, nil
		}
	}
	if in.ID == "" {
		return nil, apiErrorf("InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'", in.Name, g.VPC)
	}
	return nil, kindGroup.missing(in.ID)
}

var protocolNumbers = map[string]string{"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": "-1"}

// portsOf normalizes a rule's protocol and checks its ports, or ICMP type and code.
func portsOf(protocol string, from, to *int) (string, int, int, error) {
	proto := strings.ToLower(protocol)
	if name, ok := protocolNumbers[proto]; ok {
		proto = name
	}
	switch proto {
	case "":
		return "", 0, 0, missingParameter("ipProtocol")
	case "tcp", "udp":
		if from == nil || to == nil {
			return "", 0, 0, apiErrorf("InvalidParameterValue", "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
		}
		if *from < 0 || *to > 65535 || *from > *to {
			return "", 0, 0, apiErrorf("InvalidParameterValue", "Invalid TCP/UDP port range (%d,%d)", *from, *to)
		}
		return proto, *from, *to, nil
	case "icmp", "icmpv6":
		kind, code := -1, -1
		if from != nil {
			kind = *from
		}
		if to != nil {
			code = *to
		}
		if kind < -1 || kind > 255 || code < -1 || code > 255 || kind == -1 && code != -1 {
			return "", 0, 0, apiErrorf("InvalidParameterValue", "ICMP code (%d) and type (%d) are not valid", code, kind)
		}
		return proto, kind, code, nil
	}
	number, err := strconv.Atoi(proto)
	if err != nil || number < -1 || number > 255 {
		return "", 0, 0, apiErrorf("InvalidPermission.Malformed", "Unsupported IP protocol \"%s\" - supported: [tcp, udp, icmp, icmpv6, -1 or a number]", protocol)
	}
	return proto, -1, -1, nil
}

// same says whether two rules allow the same thing, whatever their descriptions.
func (r groupRule) same(o groupRule) bool {
	r.ID, r.Description, o.ID, o.Description = "", "", "", ""
	return r == o
}

func (r groupRule) peer() string { return r.CIDR4 + r.CIDR6 + r.Group }

func (r groupRule) String() string {
	if r.Protocol == "-1" {
		return fmt.Sprintf("peer: %s, ALL, ALLOW", r.peer())
	}
	return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", r.peer(), strings.ToUpper(r.Protocol), r.From, r.To)
}

type referencedGroup struct {
	Group string `xml:"groupId"`
	User  string `xml:"userId"`
	VPC   string `xml:"vpcId"`
}

type ruleView struct {
	ID          string           `xml:"securityGroupRuleId"`
	ARN         string           `xml:"securityGroupRuleArn"`
	Group       string           `xml:"groupId"`
	Owner       string           `xml:"groupOwnerId"`
	Egress      bool             `xml:"isEgress"`
	Protocol    string           `xml:"ipProtocol"`
	From        int              `xml:"fromPort"`
	To          int              `xml:"toPort"`
	CIDR4       string           `xml:"cidrIpv4,omitempty"`
	CIDR6       string           `xml:"cidrIpv6,omitempty"`
	Referenced  *referencedGroup `xml:"referencedGroupInfo"`
	Description string           `xml:"description,omitempty"`
	Tags        set[tagPair]     `xml:"tagSet"`
}

// ownedRule is a rule with the group it belongs to.
type ownedRule struct {
	groupRule
	owner *group
}

func (c *call) ruleView(r ownedRule) ruleView {
	v := ruleView{ID: r.ID, ARN: c.arn("security-group-rule/" + r.ID), Group: r.owner.ID, Owner: c.cfg.AccountID, Egress: r.Egress,
		Protocol: r.Protocol, From: r.From, To: r.To, CIDR4: r.CIDR4, CIDR6: r.CIDR6, Description: r.Description, Tags: c.region.Tags[r.ID].view()}
	if r.Group != "" {
		v.Referenced = &referencedGroup{r.Group, c.cfg.AccountID, r.owner.VPC}
	}
	return v
}

type authorizeAnswer struct {
	meta
	Return bool          `xml:"return"`
	Rules  set[ruleView] `xml:"securityGroupRuleSet"`
}

func (c *call) authorizeIngress(in *changeRules) (*authorizeAnswer, error) {
	return c.authorize(in, false)
}
func (c *call) authorizeEgress(in *changeRules) (*authorizeAnswer, error) {
	return c.authorize(in, true)
}

func (c *call) authorize(in *changeRules, egress bool) (*authorizeAnswer, error) {
	g, err := c.group(in.groupRef)
	if err != nil {
		return nil, err
	}
	if len(in.RuleIDs) > 0 {
		return nil, query.Unknown("SecurityGroupRuleId.1")
	}
	list, err := in.permissions()
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, missingParameter("ipPermissions")
	}
	rules, err := c.rules(g, list, egress)
	if err != nil {
		return nil, err
	}
	count := len(rules)
	for _, old := range g.Rules {
		if slices.ContainsFunc(rules, old.same) {
			return nil, apiErrorf("InvalidPermission.Duplicate", "the specified rule \"%s\" already exists", old)
		}
		if old.Egress == egress {
			count++
		}
	}
	if count > maxRules {
		return nil, apiErrorf("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
	}
	set, err := in.of(kindGroupRule)
	if err != nil {
		return nil, err
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	out := &authorizeAnswer{Return: true}
	for _, r := range rules {
		r.ID = newID(kindGroupRule.prefix)
		g.Rules = append(g.Rules, r)
		own := tags{}
		for k, v := range set {
			own[k] = v
		}
		c.region.setTags(r.ID, own)
		out.Rules.Items = append(out.Rules.Items, c.ruleView(ownedRule{r, g}))
	}
	return out, nil
}

type revokedRule struct {
	ID          string `xml:"securityGroupRuleId"`
	Group       string `xml:"groupId"`
	Egress      bool   `xml:"isEgress"`
	Protocol    string `xml:"ipProtocol"`
	From        int    `xml:"fromPort"`
	To          int    `xml:"toPort"`
	CIDR4       string `xml:"cidrIpv4,omitempty"`
	CIDR6       string `xml:"cidrIpv6,omitempty"`
	Referenced  string `xml:"referencedGroupId,omitempty"`
	Description string `xml:"description,omitempty"`
}

type revokeAnswer struct {
	meta
	Return  bool             `xml:"return"`
	Revoked set[revokedRule] `xml:"revokedSecurityGroupRuleSet"`
}

func (c *call) revokeIngress(in *changeRules) (*revokeAnswer, error) { return c.revoke(in, false) }
func (c *call) revokeEgress(in *changeRules) (*revokeAnswer, error)  { return c.revoke(in, true) }

func (c *call) revoke(in *changeRules, egress bool) (*revokeAnswer, error) {
	g, err := c.group(in.groupRef)
	if err != nil {
		return nil, err
	}
	list, err := in.permissions()
	if err != nil {
		return nil, err
	}
	if len(list) == 0 && len(in.RuleIDs) == 0 {
		return nil, missingParameter("ipPermissions or securityGroupRuleIds")
	}
	wanted, err := c.rules(g, list, egress)
	if err != nil {
		return nil, err
	}
	gone := map[string]bool{}
	for _, id := range in.RuleIDs {
		if !slices.ContainsFunc(g.Rules, func(r groupRule) bool { return r.ID == id && r.Egress == egress }) {
			return nil, kindGroupRule.missing(id)
		}
		gone[id] = true
	}
	for _, w := range wanted {
		at := slices.IndexFunc(g.Rules, w.same)
		if at < 0 {
			return nil, apiErrorf("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
		}
		gone[g.Rules[at].ID] = true
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	out := &revokeAnswer{Return: true}
	for _, r := range g.Rules {
		if gone[r.ID] {
			delete(c.region.Tags, r.ID)
			out.Revoked.Items = append(out.Revoked.Items, revokedRule{r.ID, g.ID, r.Egress, r.Protocol, r.From, r.To, r.CIDR4, r.CIDR6, r.Group, r.Description})
		}
	}
	g.Rules = slices.DeleteFunc(g.Rules, func(r groupRule) bool { return gone[r.ID] })
	return out, nil
}

// ruleByID finds a rule and its group.
func (r *region) ruleByID(id string) (*group, int, bool) {
	for _, g := range r.Groups {
		if at := slices.IndexFunc(g.Rules, func(x groupRule) bool { return x.ID == id }); at >= 0 {
			return g, at, true
		}
	}
	return nil, 0, false
}
