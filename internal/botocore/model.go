// Package botocore holds requests and answers of EC2, STS and Service Quotas against Amazon's own description of those APIs,
// the models that botocore, the core of Amazon's Python clients, is driven by. The driver's requests and the lab's answers are judged
// by it alike, so neither can be wrong in the same way as the other.
//
// It is for tests only. It says what may go over the wire (names, types, enumerations, the way that lists are spelled),
// not what a request does; and it has no model of its own: it reads the one that is installed with Python's botocore.
//
// Sources: botocore's data/SERVICE/VERSION/service-2.json; "AWS EC2 query protocol", "AWS query protocol" and
// "AWS JSON 1.1 protocol" in Smithy's specification.
package botocore

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

// Model is what botocore knows of one version of one service.
type Model struct {
	Metadata struct {
		APIVersion   string `json:"apiVersion"`
		Protocol     string `json:"protocol"`
		XMLNamespace string `json:"xmlNamespace"`
		TargetPrefix string `json:"targetPrefix"`
	} `json:"metadata"`
	Operations map[string]operation `json:"operations"`
	Shapes     map[string]shape     `json:"shapes"`
}

type operation struct {
	Input, Output struct {
		Shape   string `json:"shape"`
		Wrapper string `json:"resultWrapper"`
	}
}

type shape struct {
	Type      string            `json:"type"`
	Members   map[string]member `json:"members"`
	Member    member            `json:"member"`
	Required  []string          `json:"required"`
	Enum      []string          `json:"enum"`
	Flattened bool              `json:"flattened"`
	Min       *float64          `json:"min"`
	Max       *float64          `json:"max"`
}

type member struct {
	Shape        string `json:"shape"`
	LocationName string `json:"locationName"`
	QueryName    string `json:"queryName"`
}

// openEnums are enumerations that a value may be outside of: the values, nil for any, and the reason.
var openEnums = map[string]struct {
	values []string
	why    string
}{
	"InstanceType":           {nil, "instance types come faster than releases of botocore"},
	"AttachmentStatus":       {[]string{"available"}, "the reference of InternetGatewayAttachment: the state is available when attached to a VPC"},
	"NetworkInterfaceStatus": {[]string{"pending"}, "the answer to CreateNetworkInterface has it, as the example in its reference shows"},
}

// The protocols. The first two differ in how lists and answers are written.
const (
	protocolEC2   = "ec2"
	protocolQuery = "query"
	protocolJSON  = "json"
)

const readModels = `import glob, gzip, json, os, sys, botocore
models = []
for service in ("ec2/2016-11-15", "sts/2011-06-15", "service-quotas/2019-06-24"):
    name = glob.glob(os.path.join(os.path.dirname(botocore.__file__), "data", service, "service-2.json*"))[0]
    with (gzip.open if name.endswith(".gz") else open)(name, "rb") as f:
        models.append(json.load(f))
json.dump(models, sys.stdout)`

// Models returns the models by what their requests carry: the version of the API, or with JSON the target's prefix. The
// error says how to get them.
var Models = sync.OnceValues(func() (map[string]*Model, error) {
	out, err := exec.Command("python3", "-c", readModels).Output()
	if err != nil {
		return nil, fmt.Errorf("needs Python's botocore (pip install botocore): %w", err)
	}
	var list []*Model
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, fmt.Errorf("read botocore's models: %w", err)
	}
	all := map[string]*Model{}
	for _, m := range list {
		switch p := m.Metadata.Protocol; p {
		case protocolEC2, protocolQuery:
			all[m.Metadata.APIVersion] = m
		case protocolJSON:
			all[m.Metadata.TargetPrefix] = m
		default:
			return nil, fmt.Errorf("botocore's model of version %s has the protocol %q, which is not known here", m.Metadata.APIVersion, p)
		}
	}
	return all, nil
})

// EC2 returns the model of EC2. The error says how to get it.
func EC2() (*Model, error) {
	all, err := Models()
	if err != nil {
		return nil, err
	}
	return all["2016-11-15"], nil
}

// Has says whether the service has an action.
func (m *Model) Has(action string) bool {
	_, ok := m.Operations[action]
	return ok
}

// Parameters are the names of an action's parameters, sorted.
func (m *Model) Parameters(action string) []string {
	return slices.Sorted(maps.Keys(m.Shapes[m.Operations[action].Input.Shape].Members))
}

// Example is a request with all that an action requires and one of its parameters, with everything in it. Values have the
// right type and no sense.
func (m *Model) Example(action, parameter string) url.Values {
	form := url.Values{}
	input := m.Shapes[m.Operations[action].Input.Shape]
	for _, name := range append(slices.Clone(input.Required), parameter) {
		m.fill(form, m.wireName(name, input.Members[name]), input.Members[name].Shape, 0)
	}
	return form
}

// exampleDepth bounds the examples: some shapes contain themselves.
const exampleDepth = 5

func (m *Model) fill(form url.Values, path, name string, depth int) {
	switch s := m.Shapes[name]; s.Type {
	case "structure":
		for member, d := range s.Members {
			if depth < exampleDepth {
				m.fill(form, path+"."+m.wireName(member, d), d.Shape, depth+1)
			}
		}
	case "list":
		m.fill(form, path+".1", s.Member.Shape, depth+1)
	case "integer", "long", "float", "double":
		form.Set(path, "1")
	case "boolean":
		form.Set(path, "true")
	default:
		form.Set(path, "x")
	}
}

// wireName is how a request spells a member.
func (m *Model) wireName(name string, d member) string {
	switch {
	case m.Metadata.Protocol == protocolEC2 && d.QueryName != "":
		return d.QueryName
	case m.Metadata.Protocol == protocolEC2 && d.LocationName != "":
		return strings.ToUpper(d.LocationName[:1]) + d.LocationName[1:]
	case d.LocationName != "":
		return d.LocationName
	}
	return name
}
