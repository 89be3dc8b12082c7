package ec2

import (
	"slices"
	"strings"
)

// tagPair is a tag in requests and answers.
type tagPair struct {
	Key   string  `q:"Key" xml:"key"`
	Value *string `q:"Value" xml:"value"`
}

// tagSpec are tags to put on what a create action makes.
type tagSpec struct {
	ResourceType string    `q:"ResourceType"`
	Tags         []tagPair `q:"Tag"`
}

// tagSpecs is embedded in every create action.
type tagSpecs struct {
	Specs []tagSpec `q:"TagSpecification"`
}

const maxTags = 50

// of returns the tags for a kind; it refuses tags for kinds that the action doesn't make.
func (t tagSpecs) of(k kind, others ...kind) (tags, error) {
	set := tags{}
	for _, spec := range t.Specs {
		if spec.ResourceType == "" {
			return nil, apiErrorf("MissingParameter", "Tag specification resource type must have a value")
		}
		if !slices.ContainsFunc(append(others, k), func(o kind) bool { return o.tagType == spec.ResourceType }) {
			if !slices.ContainsFunc(taggable, func(o kind) bool { return o.tagType == spec.ResourceType }) {
				return nil, apiErrorf("InvalidParameterValue", "'%s' is not a valid taggable resource type.", spec.ResourceType)
			}
			return nil, apiErrorf("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", spec.ResourceType)
		}
		if len(spec.Tags) == 0 {
			return nil, apiErrorf("InvalidParameterValue", "Tag specification must have at least one tag")
		}
		if spec.ResourceType != k.tagType {
			continue
		}
		for _, p := range spec.Tags {
			if _, twice := set[p.Key]; twice {
				return nil, apiErrorf("InvalidParameterValue", "Duplicate tag key '%s' specified.", p.Key)
			}
			set[p.Key] = deref(p.Value)
		}
	}
	return set, set.check()
}

// check holds a resource's tags to EC2's limits.
func (t tags) check() error {
	if len(t) > maxTags {
		return apiErrorf("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
	}
	for k, v := range t {
		switch {
		case k == "" || len([]rune(k)) > 127:
			return apiErrorf("InvalidParameterValue", "Tag key exceeds the maximum length of 127 characters or is empty: '%s'", k)
		case len([]rune(v)) > 255:
			return apiErrorf("InvalidParameterValue", "Tag value exceeds the maximum length of 255 characters")
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return apiErrorf("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		}
	}
	return nil
}

func (t tags) view() set[tagPair] {
	var list []tagPair
	for _, k := range sortedKeys(t) {
		v := t[k]
		list = append(list, tagPair{k, &v})
	}
	return setOf(list)
}

// setTags puts tags on a new resource.
func (r *region) setTags(id string, t tags) {
	if len(t) > 0 {
		r.Tags[id] = t
	}
}

// kindOf returns the kind of an existing resource that can be tagged.
func (r *region) kindOf(id string) (kind, error) {
	for _, k := range taggable {
		if strings.HasPrefix(id, k.prefix) {
			if !r.exists(k, id) {
				return k, k.missing(id)
			}
			return k, nil
		}
	}
	return kind{}, apiErrorf("InvalidID", "The ID '%s' is not valid", id)
}

func (r *region) exists(k kind, id string) bool {
	var ok bool
	switch k {
	case kindVPC:
		_, ok = r.VPCs[id]
	case kindSubnet:
		_, ok = r.Subnets[id]
	case kindGateway:
		_, ok = r.Gateways[id]
	case kindRouteTable:
		_, ok = r.RouteTables[id]
	case kindGroup:
		_, ok = r.Groups[id]
	case kindGroupRule:
		_, _, ok = r.ruleByID(id)
	case kindACL:
		ok = slices.ContainsFunc(sorted(r.VPCs), func(v *vpc) bool { return v.ACL == id })
	case kindDHCP:
		ok = r.DHCPOptions == id
	case kindKeyPair:
		_, ok = r.KeyPairs[id]
	case kindAddress:
		_, ok = r.Addresses[id]
	case kindInterface:
		_, ok = r.Interfaces[id]
	case kindInstance:
		_, ok = r.Instances[id]
	case kindVolume:
		_, ok = r.Volumes[id]
	}
	return ok
}

type changeTags struct {
	Resources []string  `q:"ResourceId,required"`
	Tags      []tagPair `q:"Tag"`
}

func (c *call) createTags(in *changeTags) (*doneAnswer, error) {
	if len(in.Tags) == 0 {
		return nil, missingParameter("Tag")
	}
	merged := map[string]tags{}
	for _, id := range in.Resources {
		if _, err := c.region.kindOf(id); err != nil {
			return nil, err
		}
		all := tags{}
		for k, v := range c.region.Tags[id] {
			all[k] = v
		}
		for _, p := range in.Tags {
			all[p.Key] = deref(p.Value)
		}
		if err := all.check(); err != nil {
			return nil, err
		}
		merged[id] = all
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	for id, all := range merged {
		c.region.Tags[id] = all
	}
	return done()
}

func (c *call) deleteTags(in *changeTags) (*doneAnswer, error) {
	for _, id := range in.Resources {
		if _, err := c.region.kindOf(id); err != nil {
			return nil, err
		}
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	for _, id := range in.Resources {
		set := c.region.Tags[id]
		if len(in.Tags) == 0 {
			delete(c.region.Tags, id)
		}
		for _, p := range in.Tags {
			if v, ok := set[p.Key]; ok && (p.Value == nil || *p.Value == v) {
				delete(set, p.Key)
			}
		}
	}
	return done()
}

type describeTags struct {
	paging
	Filters []filter `q:"Filter"`
}

type tagView struct {
	ResourceID   string `xml:"resourceId"`
	ResourceType string `xml:"resourceType"`
	Key          string `xml:"key"`
	Value        string `xml:"value"`
}

type describeTagsAnswer struct {
	meta
	Tags set[tagView] `xml:"tagSet"`
	Next string       `xml:"nextToken,omitempty"`
}

func (c *call) describeTags(in *describeTags) (*describeTagsAnswer, error) {
	match, err := matcher(in.Filters, fields[tagView]{
		"key":           func(t tagView) []string { return one(t.Key) },
		"resource-id":   func(t tagView) []string { return one(t.ResourceID) },
		"resource-type": func(t tagView) []string { return one(t.ResourceType) },
		"value":         func(t tagView) []string { return []string{t.Value} },
	}, func(t tagView) tags { return tags{t.Key: t.Value} })
	if err != nil {
		return nil, err
	}
	var list []tagView
	for _, id := range sortedKeys(c.region.Tags) {
		k, err := c.region.kindOf(id)
		if err != nil {
			continue
		}
		for _, key := range sortedKeys(c.region.Tags[id]) {
			t := tagView{id, k.tagType, key, c.region.Tags[id][key]}
			if match(t) {
				list = append(list, t)
			}
		}
	}
	page, next, err := cut(in.paging, list, func(t tagView) string { return t.ResourceID + " " + t.Key }, 5, 1000)
	return &describeTagsAnswer{Tags: setOf(page), Next: next}, err
}

func deref[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}
