package ec2

import (
	"slices"
	"strings"
)

type createGroup struct {
	tagSpecs
	Name        string `q:"GroupName,required"`
	Description string `q:"GroupDescription,required"`
	VPC         string `q:"VpcId"`
}

type createGroupAnswer struct {
	meta
	ID   string        `xml:"groupId"`
	ARN  string        `xml:"securityGroupArn"`
	Tags *set[tagPair] `xml:"tagSet"` // not there without any
}

// Limits of EC2 for security groups, by default.
const (
	maxGroups            = 2500 // of a region
	maxRules             = 60   // of a group, in each direction
	maxGroupsOfInterface = 5
)

func (c *call) createGroup(in *createGroup) (*createGroupAnswer, error) {
	vpcID := in.VPC
	if vpcID == "" {
		v := c.region.defaultVPC()
		if v == nil {
			return nil, apiErrorf("VPCIdNotSpecified", "No default VPC for this user")
		}
		vpcID = v.ID
	}
	v, err := get(kindVPC, c.region.VPCs, vpcID)
	if err != nil {
		return nil, err
	}
	if err := checkGroupName(in.Name, in.Description); err != nil {
		return nil, err
	}
	for _, g := range c.region.Groups {
		if g.VPC == v.ID && g.Name == in.Name {
			return nil, apiErrorf("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", in.Name, v.ID)
		}
	}
	if len(c.region.Groups) >= maxGroups {
		return nil, apiErrorf("SecurityGroupLimitExceeded", "The maximum number of security groups has been reached.")
	}
	set, err := in.of(kindGroup)
	if err != nil {
		return nil, err
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	g := &group{ID: newID(kindGroup.prefix), Name: in.Name, Description: in.Description, VPC: v.ID}
	g.Rules = []groupRule{{ID: newID(kindGroupRule.prefix), Egress: true, Protocol: "-1", From: -1, To: -1, CIDR4: "0.0.0.0/0"}}
	c.region.Groups[g.ID] = g
	c.region.setTags(g.ID, set)
	out := &createGroupAnswer{ID: g.ID, ARN: c.arn("security-group/" + g.ID)}
	if len(set) > 0 {
		view := set.view()
		out.Tags = &view
	}
	return out, nil
}

// groupCharacters are those that names and descriptions may have beside letters and digits.
const groupCharacters = " ._-:/()#,@[]+=&;{}!$*"

func checkGroupName(name, description string) error {
	for parameter, text := range map[string]string{"GroupName": name, "GroupDescription": description} {
		bad := strings.IndexFunc(text, func(r rune) bool {
			letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
			return !letter && !strings.ContainsRune(groupCharacters, r)
		})
		if bad >= 0 {
			return invalidValue(text, parameter, "Invalid characters. Valid characters are a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$*")
		}
		if len(text) > 255 {
			return invalidValue(text, parameter, "Character count must be at most 255.")
		}
	}
	switch {
	case strings.HasPrefix(name, kindGroup.prefix):
		return invalidValue(name, "groupName", "Group names may not be in the format sg-*.")
	case strings.EqualFold(name, "default"):
		return apiErrorf("InvalidGroup.Reserved", "The security group 'default' is reserved")
	}
	return nil
}

type groupRef struct {
	ID   string `q:"GroupId"`
	Name string `q:"GroupName"`
}

// group finds a group by id, or by name in the default VPC.
func (c *call) group(ref groupRef) (*group, error) {
	switch {
	case ref.ID != "":
		return get(kindGroup, c.region.Groups, ref.ID)
	case ref.Name == "":
		return nil, missingParameter("groupId")
	}
	v := c.region.defaultVPC()
	if v == nil {
		return nil, apiErrorf("InvalidParameterValue", "Invalid value '%s' for groupName. You may not reference Amazon VPC security groups by name. Please use the corresponding id for this operation.", ref.Name)
	}
	for _, g := range c.region.Groups {
		if g.VPC == v.ID && g.Name == ref.Name {
			return g, nil
		}
	}
	return nil, apiErrorf("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", ref.Name, v.ID)
}

type deleteGroupAnswer struct {
	meta
	Return bool   `xml:"return"`
	ID     string `xml:"groupId"`
}

func (c *call) deleteGroup(in *groupRef) (*deleteGroupAnswer, error) {
	g, err := c.group(*in)
	if err != nil {
		return nil, err
	}
	if g.Name == "default" {
		return nil, apiErrorf("CannotDelete", "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", g.ID)
	}
	used := false
	for _, n := range c.region.Interfaces {
		used = used || slices.Contains(n.Groups, g.ID)
	}
	for _, other := range c.region.Groups {
		used = used || other != g && slices.ContainsFunc(other.Rules, func(r groupRule) bool { return r.Group == g.ID })
	}
	if used {
		return nil, apiErrorf("DependencyViolation", "resource %s has a dependent object", g.ID)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	for _, rule := range g.Rules {
		delete(c.region.Tags, rule.ID)
	}
	delete(c.region.Groups, g.ID)
	delete(c.region.Tags, g.ID)
	return &deleteGroupAnswer{Return: true, ID: g.ID}, nil
}

type rangeView struct {
	CIDR        string `xml:"cidrIp"`
	Description string `xml:"description,omitempty"`
}

type range6View struct {
	CIDR        string `xml:"cidrIpv6"`
	Description string `xml:"description,omitempty"`
}

type groupPair struct {
	User        string `xml:"userId"`
	Group       string `xml:"groupId"`
	Description string `xml:"description,omitempty"`
}

type permissionView struct {
	Protocol string          `xml:"ipProtocol"`
	From     *int            `xml:"fromPort"`
	To       *int            `xml:"toPort"`
	Groups   set[groupPair]  `xml:"groups"`
	Ranges   set[rangeView]  `xml:"ipRanges"`
	Ranges6  set[range6View] `xml:"ipv6Ranges"`
	Lists    set[struct{}]   `xml:"prefixListIds"`
}

type groupView struct {
	ID          string              `xml:"groupId"`
	Name        string              `xml:"groupName"`
	Description string              `xml:"groupDescription"`
	VPC         string              `xml:"vpcId"`
	Owner       string              `xml:"ownerId"`
	ARN         string              `xml:"securityGroupArn"`
	In          set[permissionView] `xml:"ipPermissions"`
	Out         set[permissionView] `xml:"ipPermissionsEgress"`
	Tags        set[tagPair]        `xml:"tagSet"`
}

func (c *call) groupView(g *group) groupView {
	return groupView{ID: g.ID, Name: g.Name, Description: g.Description, VPC: g.VPC, Owner: c.cfg.AccountID,
		ARN: c.arn("security-group/" + g.ID), In: setOf(c.permissions(g, false)), Out: setOf(c.permissions(g, true)),
		Tags: c.region.Tags[g.ID].view()}
}

// permissions shows a group's rules in EC2's older form: one entry for each protocol and port range, with all its peers.
func (c *call) permissions(g *group, egress bool) []permissionView {
	var list []permissionView
	for _, r := range g.Rules {
		if r.Egress != egress {
			continue
		}
		at := slices.IndexFunc(list, func(p permissionView) bool {
			return p.Protocol == r.Protocol && (p.From == nil || *p.From == r.From && *p.To == r.To)
		})
		if at < 0 {
			p := permissionView{Protocol: r.Protocol}
			if r.Protocol != "-1" {
				p.From, p.To = &r.From, &r.To
			}
			list, at = append(list, p), len(list)
		}
		p := &list[at]
		switch {
		case r.CIDR4 != "":
			p.Ranges.Items = append(p.Ranges.Items, rangeView{r.CIDR4, r.Description})
		case r.CIDR6 != "":
			p.Ranges6.Items = append(p.Ranges6.Items, range6View{r.CIDR6, r.Description})
		default:
			p.Groups.Items = append(p.Groups.Items, groupPair{c.cfg.AccountID, r.Group, r.Description})
		}
	}
	return list
}

type describeGroups struct {
	describe
	IDs   []string `q:"GroupId"`
	Names []string `q:"GroupName"`
}

type describeGroupsAnswer struct {
	meta
	Groups set[groupView] `xml:"securityGroupInfo"`
	Next   string         `xml:"nextToken,omitempty"`
}

func (c *call) describeGroups(in *describeGroups) (*describeGroupsAnswer, error) {
	ids := in.IDs
	for _, name := range in.Names {
		g, err := c.group(groupRef{Name: name})
		if err != nil {
			return nil, err
		}
		ids = append(ids, g.ID)
	}
	by := fields[*group]{
		"description": func(g *group) []string { return one(g.Description) },
		"group-id":    func(g *group) []string { return one(g.ID) },
		"group-name":  func(g *group) []string { return one(g.Name) },
		"owner-id":    func(*group) []string { return one(c.cfg.AccountID) },
		"vpc-id":      func(g *group) []string { return one(g.VPC) },
	}
	c.addRuleFields(by, "ip-permission.", false)
	c.addRuleFields(by, "egress.ip-permission.", true)
	list, next, err := search[*group]{kindGroup, c.region.Groups, ids, in.Filters, by,
		func(g *group) tags { return c.region.Tags[g.ID] }}.page(in.paging, func(g *group) string { return g.ID })
	return &describeGroupsAnswer{Groups: views(list, c.groupView), Next: next}, err
}

func (c *call) addRuleFields(by fields[*group], prefix string, egress bool) {
	for name, field := range map[string]func(groupRule) string{
		"cidr":           func(r groupRule) string { return r.CIDR4 },
		"ipv6-cidr":      func(r groupRule) string { return r.CIDR6 },
		"from-port":      func(r groupRule) string { return itoa(r.From) },
		"to-port":        func(r groupRule) string { return itoa(r.To) },
		"protocol":       func(r groupRule) string { return r.Protocol },
		"group-id":       func(r groupRule) string { return r.Group },
		"prefix-list-id": func(groupRule) string { return "" },
		"group-name": func(r groupRule) string {
			if g := c.region.Groups[r.Group]; g != nil {
				return g.Name
			}
			return ""
		},
		"user-id": func(r groupRule) string {
			if r.Group == "" {
				return ""
			}
			return c.cfg.AccountID
		},
	} {
		by[prefix+name] = func(g *group) []string {
			var list []string
			for _, r := range g.Rules {
				if r.Egress == egress {
					list = append(list, one(field(r))...)
				}
			}
			return list
		}
	}
}

type groupsForVPC struct {
	describe
	VPC string `q:"VpcId,required"`
}

type groupForVPC struct {
	Description string       `xml:"description"`
	Name        string       `xml:"groupName"`
	Owner       string       `xml:"ownerId"`
	ID          string       `xml:"groupId"`
	Tags        set[tagPair] `xml:"tagSet"`
	VPC         string       `xml:"primaryVpcId"`
}

type groupsForVPCAnswer struct {
	meta
	Groups set[groupForVPC] `xml:"securityGroupForVpcSet"`
	Next   string           `xml:"nextToken,omitempty"`
}

func (c *call) groupsForVPC(in *groupsForVPC) (*groupsForVPCAnswer, error) {
	v, err := get(kindVPC, c.region.VPCs, in.VPC)
	if err != nil {
		return nil, err
	}
	all := map[string]*group{}
	for id, g := range c.region.Groups {
		if g.VPC == v.ID {
			all[id] = g
		}
	}
	list, next, err := search[*group]{kindGroup, all, nil, in.Filters, fields[*group]{
		"description":    func(g *group) []string { return one(g.Description) },
		"group-id":       func(g *group) []string { return one(g.ID) },
		"group-name":     func(g *group) []string { return one(g.Name) },
		"owner-id":       func(*group) []string { return one(c.cfg.AccountID) },
		"primary-vpc-id": func(g *group) []string { return one(g.VPC) },
	}, func(g *group) tags { return c.region.Tags[g.ID] }}.page(in.paging, func(g *group) string { return g.ID })
	return &groupsForVPCAnswer{Next: next, Groups: views(list, func(g *group) groupForVPC {
		return groupForVPC{g.Description, g.Name, c.cfg.AccountID, g.ID, c.region.Tags[g.ID].view(), g.VPC}
	})}, err
}
