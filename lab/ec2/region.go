package ec2

import (
	"slices"
	"strings"
)

type describeRegions struct {
	Names   []string `q:"RegionName"`
	All     bool     `q:"AllRegions"`
	Filters []filter `q:"Filter"`
}

type regionView struct {
	Name     string        `xml:"regionName"`
	Endpoint string        `xml:"regionEndpoint"`
	OptIn    string        `xml:"optInStatus"`
	Where    set[nameView] `xml:"geographySet"`
}

type nameView struct {
	Name string `xml:"name"`
}

type describeRegionsAnswer struct {
	meta
	Regions set[regionView] `xml:"regionInfo"`
}

// optIn is the account's relation to a region.
func (s *Service) optIn(r Region) string {
	switch {
	case !r.OptIn:
		return "opt-in-not-required"
	case s.enabled(r):
		return "opted-in"
	}
	return "not-opted-in"
}

func (c *call) describeRegions(in *describeRegions) (*describeRegionsAnswer, error) {
	all := map[string]regionView{}
	for _, r := range c.cfg.Catalogue.Regions {
		if in.All || c.enabled(r) {
			all[r.Name] = regionView{Name: r.Name, Endpoint: "ec2." + r.Name + ".amazonaws.com", OptIn: c.optIn(r), Where: setOf([]nameView{{r.City}})}
		}
	}
	var unknown []string
	for _, name := range in.Names {
		if _, ok := all[name]; !ok {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return nil, apiErrorf("InvalidParameterValue", "Invalid region names: [%s]", strings.Join(unknown, ","))
	}
	list, err := search[regionView]{kind{}, all, in.Names, in.Filters, fields[regionView]{
		"endpoint":      func(v regionView) []string { return one(v.Endpoint) },
		"opt-in-status": func(v regionView) []string { return one(v.OptIn) },
		"region-name":   func(v regionView) []string { return one(v.Name) },
	}, nil}.run()
	return &describeRegionsAnswer{Regions: setOf(list)}, err
}

type describeZones struct {
	Names   []string `q:"ZoneName"`
	IDs     []string `q:"ZoneId"`
	All     bool     `q:"AllAvailabilityZones"`
	Filters []filter `q:"Filter"`
}

type zoneView struct {
	Name     string        `xml:"zoneName"`
	State    string        `xml:"zoneState"`
	Region   string        `xml:"regionName"`
	ID       string        `xml:"zoneId"`
	Group    string        `xml:"groupName"`
	Long     string        `xml:"groupLongName"`
	Border   string        `xml:"networkBorderGroup"`
	OptIn    string        `xml:"optInStatus"`
	Type     string        `xml:"zoneType"`
	Messages set[struct{}] `xml:"messageSet"`
}

type describeZonesAnswer struct {
	meta
	Zones set[zoneView] `xml:"availabilityZoneInfo"`
}

func (c *call) describeZones(in *describeZones) (*describeZonesAnswer, error) {
	all := map[string]zoneView{}
	for _, z := range c.where.Zones {
		all[z.Name] = zoneView{Name: z.Name, State: "available", Region: c.region.Name, ID: z.ID, Group: c.region.Name + "-zg-1",
			Long: c.where.longName() + " 1", Border: c.region.Name, OptIn: "opt-in-not-required", Type: "availability-zone"}
	}
	var names []string
	for _, want := range slices.Concat(in.IDs, in.Names) {
		z, ok := c.where.zone(want)
		if !ok {
			return nil, apiErrorf("InvalidParameterValue", "Invalid availability zones: [%s]", want)
		}
		names = append(names, z.Name)
	}
	none := func(zoneView) []string { return nil }
	list, err := search[zoneView]{kind{}, all, names, in.Filters, fields[zoneView]{
		"group-name": func(v zoneView) []string { return one(v.Group) }, "group-long-name": func(v zoneView) []string { return one(v.Long) },
		"message": none, "parent-zone-id": none, "parent-zone-name": none,
		"opt-in-status": func(v zoneView) []string { return one(v.OptIn) },
		"region-name":   func(v zoneView) []string { return one(v.Region) },
		"state":         func(v zoneView) []string { return one(v.State) },
		"zone-id":       func(v zoneView) []string { return one(v.ID) },
		"zone-name":     func(v zoneView) []string { return one(v.Name) },
		"zone-type":     func(v zoneView) []string { return one(v.Type) },
	}, nil}.run()
	return &describeZonesAnswer{Zones: setOf(list)}, err
}

type describeAccount struct {
	Names []string `q:"AttributeName"`
}

type accountValue struct {
	Value string `xml:"attributeValue"`
}

type accountAttribute struct {
	Name   string            `xml:"attributeName"`
	Values set[accountValue] `xml:"attributeValueSet"`
}

type describeAccountAnswer struct {
	meta
	Attributes set[accountAttribute] `xml:"accountAttributeSet"`
}

func (c *call) describeAccount(in *describeAccount) (*describeAccountAnswer, error) {
	def := "none"
	if v := c.region.defaultVPC(); v != nil {
		def = v.ID
	}
	values := map[string]string{"supported-platforms": "VPC", "default-vpc": def, "max-instances": "20",
		"vpc-max-security-groups-per-interface": itoa(maxGroupsOfInterface),
		"max-elastic-ips":                       itoa(c.cfg.Limits.Addresses), "vpc-max-elastic-ips": itoa(c.cfg.Limits.Addresses)}
	names := in.Names
	if len(names) == 0 {
		names = sortedKeys(values)
	}
	out := &describeAccountAnswer{}
	for _, name := range names {
		v, ok := values[name]
		if !ok {
			return nil, invalidValue(name, "attributeName", "Unknown attribute.")
		}
		out.Attributes.Items = append(out.Attributes.Items, accountAttribute{name, setOf([]accountValue{{v}})})
	}
	return out, nil
}
