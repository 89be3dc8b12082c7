package gce

import (
	"encoding/json"
	"net/http"
	"strings"
)

// defaults are fields that the API always shows, while the SDK's structs leave out zero values; by kind.
var defaults = map[string]map[string]any{
	"compute#network":      {"autoCreateSubnetworks": false},
	"compute#subnetwork":   {"allowSubnetCidrRoutesOverlap": false, "enableFlowLogs": false, "privateIpGoogleAccess": false, "logConfig": map[string]any{"enable": false}},
	"compute#firewall":     {"disabled": false, "priority": 0, "logConfig": map[string]any{"enable": false}},
	"compute#route":        {"priority": 0},
	"compute#address":      {"description": ""},
	"compute#operation":    {"progress": 0},
	"compute#attachedDisk": {"autoDelete": false, "boot": false, "index": 0},
	"compute#machineType":  {"isSharedCpu": false, "imageSpaceGb": 0},
	"compute#image":        {"enableConfidentialCompute": false},
	"compute#disk":         {"enableConfidentialCompute": false, "satisfiesPzi": false},
	"compute#zone":         {"supportsPzs": false},
	"compute#region":       {"supportsPzs": false},
	"compute#instance": {
		"canIpForward": false, "deletionProtection": false, "startRestricted": false, "satisfiesPzi": false,
		"resourceStatus":                  map[string]any{"scheduling": map[string]any{}},
		"scheduling":                      map[string]any{"preemptible": false},
		"shieldedInstanceConfig":          map[string]any{"enableIntegrityMonitoring": false, "enableSecureBoot": false, "enableVtpm": false},
		"shieldedInstanceIntegrityPolicy": map[string]any{"updateAutoLearnPolicy": false},
	},
}

// linkFields are the names under which records hold paths; answers show them as URLs.
var linkFields = map[string]bool{
	"selfLink": true, "selfLinkWithId": true, "zone": true, "region": true, "zones": true, "network": true, "networks": true,
	"subnetwork": true, "subnetworks": true, "machineType": true, "source": true, "sourceImage": true, "sourceDisk": true,
	"type": true, "users": true, "targetLink": true, "nextHopInstance": true, "nextHopNetwork": true, "nextHopGateway": true,
	"licenses": true, "diskType": true,
}

// render makes an answer's JSON form of a record.
func (s *Service) render(v any) (map[string]any, error) {
	m, err := toMap(v)
	if err != nil {
		return nil, err
	}
	complete(m)
	expand(m, s.linkBase())
	return m, nil
}

func (s *Service) linkBase() string { return s.cfg.BaseURL() + "/compute/v1/" }

// complete adds the fields that are always shown.
func complete(m map[string]any) {
	kind, _ := m["kind"].(string)
	fill(m, defaults[kind])
	for _, v := range m {
		switch v := v.(type) {
		case map[string]any:
			complete(v)
		case []any:
			for _, item := range v {
				if sub, ok := item.(map[string]any); ok {
					complete(sub)
				}
			}
		}
	}
}

func fill(m, with map[string]any) {
	for k, v := range with {
		sub, isMap := v.(map[string]any)
		switch old, given := m[k]; {
		case !given && isMap:
			fresh := map[string]any{}
			fill(fresh, sub)
			m[k] = fresh
		case !given:
			m[k] = v
		case isMap:
			if old, ok := old.(map[string]any); ok {
				fill(old, sub)
			}
		}
	}
}

// expand turns paths into URLs.
func expand(m map[string]any, base string) {
	for k, v := range m {
		switch v := v.(type) {
		case string:
			if linkFields[k] && strings.HasPrefix(v, "projects/") {
				m[k] = base + v
			}
		case map[string]any:
			if k != "labels" {
				expand(v, base)
			}
		case []any:
			for i, item := range v {
				switch item := item.(type) {
				case string:
					if linkFields[k] && strings.HasPrefix(item, "projects/") {
						v[i] = base + item
					}
				case map[string]any:
					expand(item, base)
				}
			}
		}
	}
}

// write sends an answer, cut down to what the fields parameter asks for.
func write(w http.ResponseWriter, r *http.Request, code int, v any) {
	q := r.URL.Query()
	if m, ok := v.(map[string]any); ok && code < 300 {
		mask := q.Get("fields")
		if mask == "" {
			mask = q.Get("$fields")
		}
		if mask != "" {
			tree, ok := parseMask(mask)
			if !ok {
				e := &apiError{code: http.StatusBadRequest, reason: "invalidParameter", message: "Invalid field selection " + mask, location: "fields", locationType: "parameter"}
				code, v = e.code, e.body()
			} else {
				v = tree.apply(m)
			}
		}
	}
	var text []byte
	var err error
	if q.Get("prettyPrint") == "false" {
		text, err = json.Marshal(v)
	} else {
		text, err = json.MarshalIndent(v, "", "  ")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Cache-Control", "private")
	w.Header().Set("Vary", "Origin, X-Origin, Referer")
	w.WriteHeader(code)
	w.Write(append(text, '\n'))
}

// mask is a parsed fields parameter: names with what is wanted below them; empty means everything below.
type mask map[string]mask

// parseMask reads "a,b/c,d(e,f/g)"; "*" stands for any name.
func parseMask(text string) (mask, bool) {
	m, rest, ok := parseMaskList(text, 0)
	return m, ok && rest == ""
}

func parseMaskList(text string, depth int) (mask, string, bool) {
	if depth > 32 {
		return nil, "", false
	}
	m := mask{}
	for {
		at := m
		for {
			n := strings.IndexAny(text, ",/()")
			if n < 0 {
				n = len(text)
			}
			name := strings.TrimSpace(text[:n])
			if name == "" {
				return nil, "", false
			}
			if at[name] == nil {
				at[name] = mask{}
			}
			at, text = at[name], text[n:]
			if !strings.HasPrefix(text, "/") {
				break
			}
			text = text[1:]
		}
		if strings.HasPrefix(text, "(") {
			sub, rest, ok := parseMaskList(text[1:], depth+1)
			if !ok || !strings.HasPrefix(rest, ")") {
				return nil, "", false
			}
			for k, v := range sub {
				at[k] = v
			}
			text = rest[1:]
		}
		if !strings.HasPrefix(text, ",") {
			return m, text, true
		}
		text = text[1:]
	}
}

func (m mask) apply(v any) any {
	if len(m) == 0 {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, item := range v {
			if sub, ok := m[k]; ok {
				out[k] = sub.apply(item)
			} else if sub, ok := m["*"]; ok {
				out[k] = sub.apply(item)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = m.apply(item)
		}
		return out
	case []map[string]any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = m.apply(item)
		}
		return out
	}
	return v
}
