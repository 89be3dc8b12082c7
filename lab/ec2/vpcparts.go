package ec2

// What EC2 makes with every VPC or region and the lab doesn't let be changed: network ACLs and DHCP options.

type aclAssociation struct {
	ID     string `xml:"networkAclAssociationId"`
	ACL    string `xml:"networkAclId"`
	Subnet string `xml:"subnetId"`
}

type aclEntry struct {
	Number   int    `xml:"ruleNumber"`
	Protocol string `xml:"protocol"`
	Action   string `xml:"ruleAction"`
	Egress   bool   `xml:"egress"`
	CIDR     string `xml:"cidrBlock"`
}

type aclView struct {
	ID           string              `xml:"networkAclId"`
	VPC          string              `xml:"vpcId"`
	Default      bool                `xml:"default"`
	Entries      set[aclEntry]       `xml:"entrySet"`
	Associations set[aclAssociation] `xml:"associationSet"`
	Tags         set[tagPair]        `xml:"tagSet"`
	Owner        string              `xml:"ownerId"`
}

type describeACLs struct {
	describe
	IDs []string `q:"NetworkAclId"`
}

type describeACLsAnswer struct {
	meta
	ACLs set[aclView] `xml:"networkAclSet"`
	Next string       `xml:"nextToken,omitempty"`
}

func (c *call) aclView(v *vpc) aclView {
	view := aclView{ID: v.ACL, VPC: v.ID, Default: true, Owner: c.cfg.AccountID, Tags: c.region.Tags[v.ACL].view()}
	for _, egress := range []bool{true, false} {
		view.Entries.Items = append(view.Entries.Items,
			aclEntry{100, "-1", "allow", egress, "0.0.0.0/0"}, aclEntry{32767, "-1", "deny", egress, "0.0.0.0/0"})
	}
	for _, s := range sortedKeys(v.ACLAssociations) {
		view.Associations.Items = append(view.Associations.Items, aclAssociation{v.ACLAssociations[s], v.ACL, s})
	}
	return view
}

func (c *call) describeACLs(in *describeACLs) (*describeACLsAnswer, error) {
	all := map[string]*vpc{}
	for _, v := range c.region.VPCs {
		all[v.ACL] = v
	}
	list, next, err := search[*vpc]{kindACL, all, in.IDs, in.Filters, fields[*vpc]{
		"association.association-id": func(v *vpc) []string {
			var ids []string
			for _, id := range v.ACLAssociations {
				ids = append(ids, id)
			}
			return ids
		},
		"association.network-acl-id": func(v *vpc) []string { return one(v.ACL) },
		"association.subnet-id":      func(v *vpc) []string { return sortedKeys(v.ACLAssociations) },
		"default":                    func(*vpc) []string { return yesNo(true) },
		"network-acl-id":             func(v *vpc) []string { return one(v.ACL) },
		"owner-id":                   func(*vpc) []string { return one(c.cfg.AccountID) },
		"vpc-id":                     func(v *vpc) []string { return one(v.ID) },
	}, func(v *vpc) tags { return c.region.Tags[v.ACL] }}.page(in.paging, func(v *vpc) string { return v.ACL })
	return &describeACLsAnswer{ACLs: views(list, c.aclView), Next: next}, err
}

type attributeValue struct {
	Value string `xml:"value"`
}

type dhcpConfiguration struct {
	Key    string              `xml:"key"`
	Values set[attributeValue] `xml:"valueSet"`
}

type dhcpView struct {
	ID            string                 `xml:"dhcpOptionsId"`
	Owner         string                 `xml:"ownerId"`
	Configuration set[dhcpConfiguration] `xml:"dhcpConfigurationSet"`
	Tags          set[tagPair]           `xml:"tagSet"`
}

type describeDHCP struct {
	describe
	IDs []string `q:"DhcpOptionsId"`
}

type describeDHCPAnswer struct {
	meta
	Options set[dhcpView] `xml:"dhcpOptionsSet"`
	Next    string        `xml:"nextToken,omitempty"`
}

func (c *call) describeDHCP(in *describeDHCP) (*describeDHCPAnswer, error) {
	domain := dhcpConfiguration{"domain-name", setOf([]attributeValue{{privateDomain(c.region.Name)}})}
	servers := dhcpConfiguration{"domain-name-servers", setOf([]attributeValue{{"AmazonProvidedDNS"}})}
	view := dhcpView{ID: c.region.DHCPOptions, Owner: c.cfg.AccountID, Tags: c.region.Tags[c.region.DHCPOptions].view(),
		Configuration: setOf([]dhcpConfiguration{domain, servers})}
	list, next, err := search[dhcpView]{kindDHCP, map[string]dhcpView{view.ID: view}, in.IDs, in.Filters, fields[dhcpView]{
		"dhcp-options-id": func(v dhcpView) []string { return one(v.ID) },
		"key":             func(dhcpView) []string { return []string{domain.Key, servers.Key} },
		"value":           func(dhcpView) []string { return []string{domain.Values.Items[0].Value, "AmazonProvidedDNS"} },
		"owner-id":        func(v dhcpView) []string { return one(v.Owner) },
	}, func(v dhcpView) tags { return c.region.Tags[v.ID] }}.page(in.paging, func(v dhcpView) string { return v.ID })
	return &describeDHCPAnswer{Options: setOf(list), Next: next}, err
}

// privateDomain is the domain of a region's private host names.
func privateDomain(region string) string {
	if region == "us-east-1" {
		return "ec2.internal"
	}
	return region + ".compute.internal"
}
