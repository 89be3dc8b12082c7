package armsdk

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// source is what is read of a module before its parts are put together. The sources are generated and all of one form, so
// lines are enough; what doesn't have the form is left out, and Load fails when that is everything.
type source struct {
	*service
	// answers are the types of bodies by the names of the SDK's response types.
	answers map[string]string
	// structs are the models' fields by their Go names.
	structs map[string]map[string]field
}

var (
	structStart = regexp.MustCompile(`^type (\w+) struct \{$`)
	structField = regexp.MustCompile(`^\t(\w+) +(\S+)$`)
	embedded    = regexp.MustCompile(`^\t(?:\w+ +)?(\S+)$`)
	enumType    = regexp.MustCompile(`^type (\w+) string$`)
	enumValue   = regexp.MustCompile(`^\t\w+\s+(\w+)\s+= "(.*)"$`)
	unmarshals  = regexp.MustCompile(`^func \(\w+ \*(\w+)\) UnmarshalJSON\(`)
	memberCase  = regexp.MustCompile(`^\t\tcase "(.*)":$`)
	memberField = regexp.MustCompile(`(?:&|^\t\t\t)\w\.(\w+)\b`)

	request    = regexp.MustCompile(`(?m)^func \(client \*(\w*)Client\) (\w+)CreateRequest\((.*)\) \(\*policy\.Request, error\) \{$`)
	pathLine   = regexp.MustCompile(`urlPath := "([^"]+)"`)
	methodCall = regexp.MustCompile(`http\.Method(\w+)`)
	version    = regexp.MustCompile(`"api-version", "([^"]+)"`)
	parameter  = regexp.MustCompile(`(?:reqQP\.Set|unencodedParams := .*|unencodedParams = append\(unencodedParams, )\(?"([^"=]+)`)
	marshals   = regexp.MustCompile(`runtime\.MarshalAsJSON\(req, (\*?[\w.]+)\)`)
	statuses   = regexp.MustCompile(`runtime\.HasStatusCode\(\w+, ([^)]+)\)`)
)

// httpCodes are the statuses by which the SDK names success.
var httpCodes = map[string]int{"StatusOK": 200, "StatusCreated": 201, "StatusAccepted": 202, "StatusNoContent": 204, "StatusNotFound": 404}

// readStructs reads the models' fields.
func (s *source) readStructs(text string) {
	var fields map[string]field
	required := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := structStart.FindStringSubmatch(line); m != nil {
			fields = map[string]field{}
			s.structs[m[1]] = fields
		} else if strings.HasPrefix(line, "\t// ") {
			required = required || strings.HasPrefix(line, "\t// REQUIRED")
			continue
		} else if m := structField.FindStringSubmatch(line); m != nil && fields != nil {
			fields[m[1]] = field{typ: m[2], required: required}
		}
		required = false
	}
}

// readMembers reads the JSON names of the models' fields, and completes the models. It comes after readStructs.
func (s *source) readMembers(text string) {
	var of *model
	var fields map[string]field
	name := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := unmarshals.FindStringSubmatch(line); m != nil {
			of, fields = &model{fields: map[string]field{}}, s.structs[m[1]]
			s.models[m[1]] = of
		} else if line == "}" {
			of = nil
		} else if of == nil {
			continue
		} else if m := memberCase.FindStringSubmatch(line); m != nil {
			name = m[1]
		} else if m := memberField.FindStringSubmatch(line); m != nil && name != "" {
			of.fields[name] = fields[m[1]]
			name = ""
		}
	}
}

// readEnums reads the types of strings with their values.
func (s *source) readEnums(text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := enumType.FindStringSubmatch(line); m != nil {
			s.enums[m[1]] = []string{}
		} else if m := enumValue.FindStringSubmatch(line); m != nil && s.enums[m[1]] != nil {
			s.enums[m[1]] = append(s.enums[m[1]], m[2])
		}
	}
}

// readAnswers reads the types of answers: each response type of the SDK has the model in it, a list, or nothing.
func (s *source) readAnswers(text string) {
	name := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := structStart.FindStringSubmatch(line); m != nil {
			name = m[1]
			s.answers[name] = ""
		} else if m := embedded.FindStringSubmatch(line); m != nil && name != "" && m[1] != "bool" && !strings.HasPrefix(line, "\t//") {
			s.answers[name] = m[1]
			name = ""
		}
	}
}

// operations reads a client's operations. Those of whole ids as one parameter are left out: their paths are all others'.
func (s *source) operations(text string) []*Operation {
	var out []*Operation
	starts := request.FindAllStringSubmatchIndex(text, -1)
	codes := allCodes(text)
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		body := text[at[0]:end]
		p, m, v := pathLine.FindStringSubmatch(body), methodCall.FindStringSubmatch(body), version.FindStringSubmatch(body)
		if p == nil || m == nil || v == nil || strings.HasPrefix(p[1], "/{") || strings.Contains(p[1], "{parentResourcePath}") {
			continue
		}
		body, _, _ = strings.Cut(body, "\n}\n")
		client, method, args := text[at[2]:at[3]], text[at[4]:at[5]], text[at[6]:at[7]]
		name := strings.ToUpper(method[:1]) + method[1:]
		o := &Operation{
			ID: s.name + "." + client + "." + name, Verb: strings.ToUpper(m[1]), Path: strings.TrimSuffix(p[1], "/"), Version: v[1],
			Answer: s.answers[client+"Client"+name+"Response"], service: s.service,
			Long: strings.Contains(text, "func (client *"+client+"Client) Begin"+name+"("),
		}
		if client == "" {
			o.ID = s.name + "." + name
		}
		for _, q := range parameter.FindAllStringSubmatch(body, -1) {
			if q[1] != "api-version" {
				o.Query = append(o.Query, q[1])
			}
		}
		if b := marshals.FindStringSubmatch(body); b != nil {
			o.Body = typeOf(args, b[1])
		}
		o.Codes = codes[method]
		if o.Codes == nil {
			o.Codes = []int{200} // a list in pages
		}
		out = append(out, o)
	}
	return out
}

var functionStart = regexp.MustCompile(`(?m)^func \(client \*\w*Client\) (\w+)\(`)

// allCodes reads the statuses of success by the name of the request that they answer.
func allCodes(text string) map[string][]int {
	out := map[string][]int{}
	starts := functionStart.FindAllStringSubmatchIndex(text, -1)
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		body := text[at[0]:end]
		call := regexp.MustCompile(`client\.(\w+)CreateRequest\(`).FindStringSubmatch(body)
		found := statuses.FindStringSubmatch(body)
		if call == nil || found == nil {
			continue
		}
		for _, name := range strings.Split(found[1], ", ") {
			if code := httpCodes[strings.TrimPrefix(name, "http.")]; code != 0 {
				out[call[1]] = append(out[call[1]], code)
			} else if code, err := strconv.Atoi(name); err == nil {
				out[call[1]] = append(out[call[1]], code)
			}
		}
		slices.Sort(out[call[1]])
	}
	return out
}

// typeOf is the type of a parameter in a function's list of them; "any" of what isn't in the list.
func typeOf(args, name string) string {
	for _, a := range strings.Split(args, ", ") {
		if n, typ, _ := strings.Cut(a, " "); n == name {
			return typ
		}
	}
	return "any"
}
