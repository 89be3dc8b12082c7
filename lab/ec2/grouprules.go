package ec2

import "slices"

type describeRules struct {
	describe
	IDs []string `q:"SecurityGroupRuleId"`
}

type describeRulesAnswer struct {
	meta
	Rules set[ruleView] `xml:"securityGroupRuleSet"`
	Next  string        `xml:"nextToken,omitempty"`
}

func (c *call) describeRules(in *describeRules) (*describeRulesAnswer, error) {
	all := map[string]ownedRule{}
	for _, g := range c.region.Groups {
		for _, r := range g.Rules {
			all[r.ID] = ownedRule{r, g}
		}
	}
	list, next, err := search[ownedRule]{kindGroupRule, all, in.IDs, in.Filters, fields[ownedRule]{
		"group-id":               func(r ownedRule) []string { return one(r.owner.ID) },
		"security-group-rule-id": func(r ownedRule) []string { return one(r.ID) },
	}, func(r ownedRule) tags { return c.region.Tags[r.ID] }}.page(in.paging, func(r ownedRule) string { return r.ID })
	return &describeRulesAnswer{Rules: views(list, c.ruleView), Next: next}, err
}

type ruleRequest struct {
	Protocol    string  `q:"IpProtocol"`
	From        *int    `q:"FromPort"`
	To          *int    `q:"ToPort"`
	CIDR4       string  `q:"CidrIpv4"`
	CIDR6       string  `q:"CidrIpv6"`
	Group       string  `q:"ReferencedGroupId"`
	Description *string `q:"Description"`
	_           string  `q:"PrefixListId,unsupported"`
}

type ruleUpdate struct {
	ID   string      `q:"SecurityGroupRuleId,required"`
	Rule ruleRequest `q:"SecurityGroupRule"`
}

type modifyRules struct {
	Group string       `q:"GroupId,required"`
	Rules []ruleUpdate `q:"SecurityGroupRule,required"`
}

// modifyRules replaces rules as a whole; their ids stay.
func (c *call) modifyRules(in *modifyRules) (*doneAnswer, error) {
	g, err := get(kindGroup, c.region.Groups, in.Group)
	if err != nil {
		return nil, err
	}
	after := slices.Clone(g.Rules)
	for _, u := range in.Rules {
		at := slices.IndexFunc(after, func(r groupRule) bool { return r.ID == u.ID })
		if at < 0 {
			return nil, kindGroupRule.missing(u.ID)
		}
		q := u.Rule
		p := permission{Protocol: q.Protocol, From: q.From, To: q.To}
		if q.CIDR4 != "" {
			p.Ranges = []rangeInput{{CIDR: q.CIDR4}}
		}
		if q.CIDR6 != "" {
			p.Ranges6 = []range6Input{{CIDR: q.CIDR6}}
		}
		if q.Group != "" {
			p.Groups = []groupPairInput{{ID: q.Group}}
		}
		rules, err := c.rules(g, []permission{p}, after[at].Egress)
		if err != nil {
			return nil, err
		}
		if len(rules) != 1 {
			return nil, apiErrorf("InvalidParameterCombination", "Exactly one of CidrIpv4, CidrIpv6, and ReferencedGroupId must be specified for %s", u.ID)
		}
		rule := rules[0]
		rule.ID, rule.Description = u.ID, after[at].Description
		if q.Description != nil {
			rule.Description = *q.Description
		}
		for i, other := range after {
			if i != at && other.same(rule) {
				return nil, apiErrorf("InvalidPermission.Duplicate", "the specified rule \"%s\" already exists", rule)
			}
		}
		after[at] = rule
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	g.Rules = after
	return done()
}

type ruleDescription struct {
	ID          string `q:"SecurityGroupRuleId,required"`
	Description string `q:"Description"`
}

type updateDescriptions struct {
	groupRef
	Permissions  []permission      `q:"IpPermissions"`
	Descriptions []ruleDescription `q:"SecurityGroupRuleDescription"`
}

func (c *call) updateIngress(in *updateDescriptions) (*doneAnswer, error) {
	return c.updateDescriptions(in, false)
}
func (c *call) updateEgress(in *updateDescriptions) (*doneAnswer, error) {
	return c.updateDescriptions(in, true)
}

func (c *call) updateDescriptions(in *updateDescriptions, egress bool) (*doneAnswer, error) {
	g, err := c.group(in.groupRef)
	if err != nil {
		return nil, err
	}
	if (len(in.Permissions) == 0) == (len(in.Descriptions) == 0) {
		return nil, apiErrorf("InvalidParameterCombination", "Exactly one of ipPermissions and securityGroupRuleDescriptions must be specified")
	}
	texts := map[string]string{}
	for _, d := range in.Descriptions {
		if !slices.ContainsFunc(g.Rules, func(r groupRule) bool { return r.ID == d.ID && r.Egress == egress }) {
			return nil, kindGroupRule.missing(d.ID)
		}
		texts[d.ID] = d.Description
	}
	wanted, err := c.rules(g, in.Permissions, egress)
	if err != nil {
		return nil, err
	}
	for _, w := range wanted {
		at := slices.IndexFunc(g.Rules, w.same)
		if at < 0 {
			return nil, apiErrorf("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
		}
		texts[g.Rules[at].ID] = w.Description
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	for i := range g.Rules {
		if text, ok := texts[g.Rules[i].ID]; ok {
			g.Rules[i].Description = text
		}
	}
	return done()
}
