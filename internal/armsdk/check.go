package armsdk

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
)

// openEnums are enumerations that Azure extends faster than the SDK appears, so any value will do.
var openEnums = []string{"VirtualMachineSizeTypes"}

// undocumented are members of answers that Azure shows and its description lacks, with their types: the first five are in
// recordings of the real API, the others in what Microsoft's tools and manuals print.
var undocumented = map[string]map[string]string{
	"Interface":                     {"kind": "string"},
	"InterfacePropertiesFormat":     {"allowPort25Out": "bool"},
	"NatGatewayPropertiesFormat":    {"type": "string"},
	"NatGatewaySKU":                 {"tier": "string"},
	"VPNClientConfiguration":        {"vpnClientConnectionHealth": "any"},
	"SubscriptionListResult":        {"count": "any"},
	"GenericResourceExpanded":       {"zones": "[]string"},
	"OSDiskImage":                   {"sizeInGb": "int32"},
	"VirtualMachineImageProperties": {"replicaType": "string"},
	"WatcherPropertiesFormat":       {"runningOperationIds": "[]string"},
}

// check holds a JSON value against a type and returns what is wrong. A request's value must also have what is required.
func (s *service) check(at, typ string, value any, request bool) []string {
	if value == nil {
		return nil // as good as absent, for the SDK and for Azure
	}
	typ = strings.TrimPrefix(typ, "*")
	switch {
	case typ == "any":
		return nil
	case typ == "[]byte":
		if text, ok := value.(string); ok {
			if _, err := base64.StdEncoding.DecodeString(text); err == nil {
				return nil
			}
		}
		return wrong(at, value, "base64")
	case strings.HasPrefix(typ, "[]"):
		list, ok := value.([]any)
		if !ok {
			return wrong(at, value, "a list")
		}
		var out []string
		for i, v := range list {
			out = append(out, s.check(fmt.Sprintf("%s[%d]", at, i), typ[2:], v, request)...)
		}
		return out
	case strings.HasPrefix(typ, "map[string]"):
		object, ok := value.(map[string]any)
		if !ok {
			return wrong(at, value, "an object")
		}
		var out []string
		for _, name := range slices.Sorted(maps.Keys(object)) {
			out = append(out, s.check(at+"."+name, typ[len("map[string]"):], object[name], request)...)
		}
		return out
	}
	if values, ok := s.enums[typ]; ok {
		text, ok := value.(string)
		if !ok {
			return wrong(at, value, typ)
		}
		if !slices.Contains(values, text) && !slices.Contains(openEnums, typ) {
			return wrong(at, value, typ+": "+strings.Join(values, ", "))
		}
		return nil
	}
	if m := s.models[typ]; m != nil {
		return s.checkObject(at, typ, m, value, request)
	}
	return checkScalar(at, typ, value)
}

// checkObject holds an object against its model.
func (s *service) checkObject(at, typ string, m *model, value any, request bool) []string {
	object, ok := value.(map[string]any)
	if !ok {
		return wrong(at, value, typ+", an object")
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(object)) {
		f, ok := m.fields[name]
		if typ := undocumented[typ][name]; !ok && !request && typ != "" {
			f.typ, ok = typ, true
		}
		if !ok {
			out = append(out, fmt.Sprintf("%s.%s is no member of %s", at, name, typ))
			continue
		}
		out = append(out, s.check(at+"."+name, f.typ, object[name], request)...)
	}
	for _, name := range slices.Sorted(maps.Keys(m.fields)) {
		if request && m.fields[name].required && object[name] == nil {
			out = append(out, fmt.Sprintf("%s.%s is missing, which %s requires", at, name, typ))
		}
	}
	return out
}

// checkScalar holds a value against one of Go's own types. Numbers come as json.Number.
func checkScalar(at, typ string, value any) []string {
	number, isNumber := value.(json.Number)
	text, isText := value.(string)
	switch typ {
	case "string":
		if isText {
			return nil
		}
	case "bool":
		if _, ok := value.(bool); ok {
			return nil
		}
	case "int32", "int64":
		n, err := number.Int64()
		if isNumber && err == nil && (typ == "int64" || n == int64(int32(n))) {
			return nil
		}
	case "float32", "float64":
		if n, err := number.Float64(); isNumber && err == nil && !math.IsInf(n, 0) {
			return nil
		}
	case "time.Time":
		if _, err := time.Parse(time.RFC3339, text); isText && err == nil {
			return nil
		}
	default: // an interface of several models: the SDK's own "Classification"
		if _, ok := value.(map[string]any); ok {
			return nil
		}
	}
	return wrong(at, value, typ)
}

func wrong(at string, value any, want string) []string {
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte(err.Error())
	}
	if len(text) > 60 {
		text = append(text[:60], "…"...)
	}
	return []string{fmt.Sprintf("%s is %s: want %s", at, text, want)}
}

// decode reads one JSON value with numbers as they are written.
func decode(text []byte) (any, error) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, fmt.Errorf("something follows the value")
	}
	return v, nil
}

// errorMembers are those of Azure's one form of errors, with whether they are required:
// https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md#handling-errors
var errorMembers = map[string]bool{"code": true, "message": true, "target": false, "details": false, "innererror": false, "additionalInfo": false}

// checkError holds the object of an error against Azure's form, and returns its code.
func checkError(at string, value any) (code string, out []string) {
	object, ok := value.(map[string]any)
	if !ok {
		return "", wrong(at, value, "an error")
	}
	code, _ = object["code"].(string)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if _, ok := errorMembers[name]; !ok {
			out = append(out, fmt.Sprintf("%s.%s is no member of an error", at, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(errorMembers)) {
		if text, _ := object[name].(string); errorMembers[name] && text == "" {
			out = append(out, fmt.Sprintf("%s.%s is missing or no text", at, name))
		}
	}
	if details, ok := object["details"].([]any); ok {
		for i, d := range details {
			_, inner := checkError(fmt.Sprintf("%s.details[%d]", at, i), d)
			out = append(out, inner...)
		}
	} else if object["details"] != nil {
		out = append(out, wrong(at+".details", object["details"], "a list")...)
	}
	return code, out
}

// operationStates are those of long operations that clients know to go on, or to be at an end.
var operationStates = []string{"InProgress", "Succeeded", "Failed", "Canceled"}

// operationMembers are those of the state of a long operation:
// https://github.com/microsoft/api-guidelines/blob/vNext/azure/ConsiderationsForServiceDesign.md#long-running-operations
var operationMembers = map[string]string{
	"id": "string", "name": "string", "status": "string", "startTime": "time.Time", "endTime": "time.Time", "percentComplete": "float64", "properties": "any", "error": "any",
}

var operationID = regexp.MustCompile(`(?i)^/subscriptions/[^/]+/(providers/[^/]+/locations/[^/]+/(\w*operations|operationresults)|operationresults)/[^/]+$`)

// checkOperation holds the state of a long operation, where Azure-AsyncOperation points to, against the form of it.
func checkOperation(value any) []string {
	object, ok := value.(map[string]any)
	if !ok {
		return wrong("answer", value, "the state of an operation")
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(object)) {
		switch typ := operationMembers[name]; typ {
		case "":
			out = append(out, fmt.Sprintf("answer.%s is no member of an operation's state", name))
		case "any":
		default:
			out = append(out, checkScalar("answer."+name, typ, object[name])...)
		}
	}
	status, _ := object["status"].(string)
	if !slices.Contains(operationStates, status) {
		out = append(out, wrong("answer.status", object["status"], strings.Join(operationStates, ", "))...)
	}
	if failure := object["error"]; failure != nil || status == "Failed" {
		_, inner := checkError("answer.error", failure)
		out = append(out, inner...)
		if status == "Succeeded" || status == "InProgress" {
			out = append(out, "answer.error is there, of an operation that has "+status)
		}
	}
	return out
}
