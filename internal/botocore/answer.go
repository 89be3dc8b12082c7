package botocore

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

type element struct {
	XMLName xml.Name
	Text    string    `xml:",chardata"`
	Kids    []element `xml:",any"`
}

func (e *element) drop(name string) {
	e.Kids = slices.DeleteFunc(e.Kids, func(kid element) bool { return kid.XMLName.Local == name })
}

func (e *element) kid(name string) *element {
	if i := slices.IndexFunc(e.Kids, func(kid element) bool { return kid.XMLName.Local == name }); i >= 0 {
		return &e.Kids[i]
	}
	return nil
}

// CheckAnswer returns what a successful answer to an action has that the model doesn't: unknown elements, values of the
// wrong type or outside of their enumeration, another form than the protocol's.
func (m *Model) CheckAnswer(action string, body []byte) []string {
	op, ok := m.Operations[action]
	if !ok {
		return []string{fmt.Sprintf("the service has no action %q", action)}
	}
	var root element
	if err := xml.Unmarshal(body, &root); err != nil {
		return []string{err.Error()}
	}
	if root.XMLName.Local != action+"Response" || strings.TrimSuffix(root.XMLName.Space, "/") != strings.TrimSuffix(m.Metadata.XMLNamespace, "/") {
		return []string{fmt.Sprintf("root element {%s}%s", root.XMLName.Space, root.XMLName.Local)}
	}
	if m.Metadata.Protocol == protocolQuery {
		return m.checkWrapped(root, op)
	}
	if root.kid("requestId") == nil {
		return []string{"has no requestId"}
	}
	root.drop("requestId")
	// The real one has "return" here and there where the model hasn't.
	if _, ok := m.Shapes[op.Output.Shape].Members["Return"]; !ok {
		root.drop("return")
	}
	return m.checkOutput(root, op)
}

// checkWrapped checks an answer of the query protocol, which has its result one element deeper.
func (m *Model) checkWrapped(root element, op operation) []string {
	if meta := root.kid("ResponseMetadata"); meta == nil || meta.kid("RequestId") == nil {
		return []string{"has no ResponseMetadata/RequestId"}
	}
	root.drop("ResponseMetadata")
	if op.Output.Wrapper == "" {
		return m.checkOutput(root, op)
	}
	result := root.kid(op.Output.Wrapper)
	if result == nil || len(root.Kids) != 1 {
		return []string{"has not " + op.Output.Wrapper + " alone"}
	}
	return m.checkOutput(*result, op)
}

func (m *Model) checkOutput(e element, op operation) []string {
	if op.Output.Shape != "" {
		return m.walk(e, op.Output.Shape, "")
	}
	if len(e.Kids) > 0 {
		return []string{"has " + e.Kids[0].XMLName.Local + ", should be empty"}
	}
	return nil
}

func (m *Model) walk(e element, name, path string) []string {
	s := m.Shapes[name]
	path += "/" + e.XMLName.Local
	text := strings.TrimSpace(e.Text)
	switch s.Type {
	case "structure":
		all := m.walkStructure(e, s, path)
		if text != "" {
			all = append(all, path+": text in a structure")
		}
		return all
	case "list":
		return m.walkList(e, s, path)
	}
	if len(e.Kids) > 0 {
		return []string{path + ": elements in a " + s.Type}
	}
	if complaint := checkText(text, name, s); complaint != "" {
		return []string{path + ": " + complaint}
	}
	return nil
}

func (m *Model) walkStructure(e element, s shape, path string) []string {
	shapes := map[string]string{}
	for name, d := range s.Members {
		if d.LocationName != "" {
			name = d.LocationName
		}
		shapes[name] = d.Shape
	}
	var all []string
	seen := map[string]bool{}
	for _, kid := range e.Kids {
		name := kid.XMLName.Local
		of, ok := shapes[name]
		switch {
		case !ok:
			all = append(all, path+"/"+name+": unknown element")
		case seen[name] && !m.Shapes[of].Flattened:
			all = append(all, path+"/"+name+": is there twice")
		default:
			all = append(all, m.walk(kid, of, path)...)
		}
		seen[name] = true
	}
	return all
}

func (m *Model) walkList(e element, s shape, path string) []string {
	want := s.Member.LocationName
	if want == "" {
		want = "member"
	}
	var all []string
	for _, kid := range e.Kids {
		if kid.XMLName.Local != want {
			all = append(all, path+"/"+kid.XMLName.Local+": the list has "+want)
		}
		all = append(all, m.walk(kid, s.Member.Shape, path)...)
	}
	return all
}

// CheckError returns the code of a refusal, and what its form has that the protocol's hasn't: EC2 wraps its errors in
// another way than the services of the query protocol.
func (m *Model) CheckError(body []byte) (code string, complaints []string) {
	var root element
	if err := xml.Unmarshal(body, &root); err != nil {
		return "", []string{"error: " + err.Error()}
	}
	wrapper, id, list := "ErrorResponse", "RequestId", &root
	if m.Metadata.Protocol == protocolEC2 {
		wrapper, id, list = "Response", "RequestID", root.kid("Errors")
	}
	if root.XMLName.Local != wrapper {
		return "", []string{fmt.Sprintf("error: root element %s, want %s", root.XMLName.Local, wrapper)}
	}
	if root.kid(id) == nil {
		complaints = append(complaints, "error: has no "+id)
	}
	if list == nil || list.kid("Error") == nil {
		return "", append(complaints, "error: has no Error")
	}
	e := list.kid("Error")
	for _, name := range []string{"Code", "Message"} {
		if kid := e.kid(name); kid == nil || kid.Text == "" {
			return "", append(complaints, "error: has no "+name)
		}
	}
	return e.kid("Code").Text, complaints
}
