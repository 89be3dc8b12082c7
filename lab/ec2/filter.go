package ec2

import (
	"encoding/base64"
	"strings"

	"github.com/skyweld/skyweld/lab/ec2/internal/query"
)

// filter is one criterion of a Describe action.
type filter struct {
	Name   string   `q:"Name,required"`
	Values []string `q:"Value"`
}

// fields says what values a resource has under each filter name.
type fields[T any] map[string]func(T) []string

const maxFilterValues = 200

// matcher returns the test that a list of filters is: every filter must match one of its values. tagsOf is nil for what
// has no tags.
func matcher[T any](filters []filter, by fields[T], tagsOf func(T) tags) (func(T) bool, error) {
	values := 0
	for _, f := range filters {
		values += len(f.Values)
		if values > maxFilterValues {
			return nil, apiErrorf("FilterLimitExceeded", "The maximum number of filter values specified on a single call is %d", maxFilterValues)
		}
		if len(f.Values) == 0 {
			return nil, apiErrorf("InvalidParameterValue", "The filter '%s' must have at least one value", f.Name)
		}
		tagged := tagsOf != nil && (f.Name == "tag-key" || f.Name == "tag-value" || strings.HasPrefix(f.Name, "tag:"))
		if by[f.Name] == nil && !tagged {
			return nil, apiErrorf("InvalidParameterValue", "The filter '%s' is invalid", f.Name)
		}
	}
	return func(v T) bool {
		for _, f := range filters {
			if !f.matches(fieldValues(v, f.Name, by, tagsOf)) {
				return false
			}
		}
		return true
	}, nil
}

func fieldValues[T any](v T, name string, by fields[T], tagsOf func(T) tags) []string {
	if get := by[name]; get != nil {
		return get(v)
	}
	set := tagsOf(v)
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		if value, ok := set[key]; ok {
			return []string{value}
		}
		return nil
	}
	var list []string
	for k, value := range set {
		if name == "tag-key" {
			list = append(list, k)
		} else {
			list = append(list, value)
		}
	}
	return list
}

func (f filter) matches(values []string) bool {
	for _, pattern := range f.Values {
		for _, v := range values {
			if query.Wildcard(pattern, v) {
				return true
			}
		}
	}
	return false
}

// paging are the parameters of a Describe action that answers in pages.
type paging struct {
	MaxResults *int   `q:"MaxResults"`
	NextToken  string `q:"NextToken"`
}

// cut returns the page of a list that is sorted by key, and the token of the next one: the last key handed out, so that
// a page stays right when things are made or deleted meanwhile. low and high bound MaxResults.
func cut[T any](p paging, list []T, key func(T) string, low, high int) ([]T, string, error) {
	if p.MaxResults != nil && (*p.MaxResults < low || *p.MaxResults > high) {
		return nil, "", apiErrorf("InvalidParameterValue",
			"Value ( %d ) for parameter maxResults is invalid. Expecting a value between %d and %d.", *p.MaxResults, low, high)
	}
	if p.NextToken != "" {
		raw, err := base64.RawURLEncoding.DecodeString(p.NextToken)
		last, ok := strings.CutPrefix(string(raw), tokenPrefix)
		if err != nil || !ok {
			return nil, "", apiErrorf("InvalidParameterValue", "Unable to parse pagination token")
		}
		for len(list) > 0 && key(list[0]) <= last {
			list = list[1:]
		}
	}
	if p.MaxResults == nil || len(list) <= *p.MaxResults {
		return list, "", nil
	}
	list = list[:*p.MaxResults]
	return list, base64.RawURLEncoding.EncodeToString([]byte(tokenPrefix + key(list[len(list)-1]))), nil
}

const tokenPrefix = "after "

// one wraps a value for a filter table; an empty one is no value.
func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func yesNo(b bool) []string {
	if b {
		return []string{"true"}
	}
	return []string{"false"}
}
