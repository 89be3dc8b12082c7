package ec2

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skyweld/skyweld/lab/ec2/internal/query"
)

// The model is Amazon's own description of the API, as botocore carries it. Where botocore is installed, every answer
// that any test here gets is walked against it.

type modelMember struct {
	Shape        string `json:"shape"`
	LocationName string `json:"locationName"`
	QueryName    string `json:"queryName"`
}

type modelShape struct {
	Type     string                 `json:"type"`
	Members  map[string]modelMember `json:"members"`
	Member   modelMember            `json:"member"`
	Required []string               `json:"required"`
	Enum     []string               `json:"enum"`
}

type apiModel struct {
	Operations map[string]struct {
		Input, Output struct {
			Shape string `json:"shape"`
		}
	} `json:"operations"`
	Shapes map[string]modelShape `json:"shapes"`
}

const readModel = `import glob, gzip, os, sys, botocore
name = glob.glob(os.path.join(os.path.dirname(botocore.__file__), "data/ec2/2016-11-15/service-2.json*"))[0]
sys.stdout.buffer.write((gzip.open if name.endswith(".gz") else open)(name, "rb").read())`

// botocore returns the model, or nil and why there is none.
var botocore = sync.OnceValues(func() (*apiModel, error) {
	out, err := exec.Command("python3", "-c", readModel).Output()
	if err != nil {
		return nil, fmt.Errorf("needs botocore (pip install botocore): %w", err)
	}
	m := new(apiModel)
	return m, json.Unmarshal(out, m)
})

// judged serves a handler and walks its answers.
func judged(t *testing.T, h http.Handler) http.Handler {
	model, _ := botocore()
	if model == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		form, _ := url.ParseQuery(string(body))
		if action := form.Get("Action"); rec.Code == http.StatusOK && form.Get("Version") == ec2Version {
			for _, complaint := range model.walkAnswer(action, rec.Body.Bytes()) {
				t.Errorf("answer to %s: %s", action, complaint)
			}
		}
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes())
	})
}

type element struct {
	XMLName xml.Name
	Text    string    `xml:",chardata"`
	Kids    []element `xml:",any"`
}

// walkAnswer returns what an answer has that the model hasn't.
func (m *apiModel) walkAnswer(action string, body []byte) []string {
	var root element
	if err := xml.Unmarshal(body, &root); err != nil {
		return []string{err.Error()}
	}
	if root.XMLName.Local != action+"Response" || root.XMLName.Space != ec2XMLSpace {
		return []string{"root element " + root.XMLName.Local}
	}
	root.Kids = slices.DeleteFunc(root.Kids, func(e element) bool {
		return e.XMLName.Local == "requestId" || e.XMLName.Local == "return" && m.Operations[action].Output.Shape == ""
	})
	shape := m.Operations[action].Output.Shape
	if shape == "" {
		if len(root.Kids) > 0 {
			return []string{"has " + root.Kids[0].XMLName.Local + ", should be empty"}
		}
		return nil
	}
	if _, ok := m.Shapes[shape].Members["Return"]; !ok { // the real one has it here and there too
		root.Kids = slices.DeleteFunc(root.Kids, func(e element) bool { return e.XMLName.Local == "return" })
	}
	return m.walk(root, shape, "")
}

func (m *apiModel) walk(e element, shapeName, path string) []string {
	shape := m.Shapes[shapeName]
	path += "/" + e.XMLName.Local
	text := strings.TrimSpace(e.Text)
	bad := func(what string) []string { return []string{fmt.Sprintf("%s: %q is no %s", path, text, what)} }
	switch shape.Type {
	case "structure":
		var all []string
		for _, kid := range e.Kids {
			name := ""
			for member, d := range shape.Members {
				if d.LocationName == kid.XMLName.Local || d.LocationName == "" && member == kid.XMLName.Local {
					name = d.Shape
				}
			}
			if name == "" {
				all = append(all, path+"/"+kid.XMLName.Local+": unknown element")
				continue
			}
			all = append(all, m.walk(kid, name, path)...)
		}
		if text != "" {
			all = append(all, path+": text in a structure")
		}
		return all
	case "list":
		var all []string
		for _, kid := range e.Kids {
			if want := shape.Member.LocationName; kid.XMLName.Local != want {
				all = append(all, path+"/"+kid.XMLName.Local+": the list has "+want)
			}
			all = append(all, m.walk(kid, shape.Member.Shape, path)...)
		}
		return all
	case "boolean":
		if text != "true" && text != "false" {
			return bad("boolean")
		}
	case "integer", "long":
		if _, err := strconv.ParseInt(text, 10, 64); err != nil {
			return bad(shape.Type)
		}
	case "timestamp":
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return bad("timestamp")
		}
	case "string":
		// Instance types come faster than releases of botocore.
		if len(shape.Enum) > 0 && shapeName != "InstanceType" && !slices.Contains(shape.Enum, text) && text != "" {
			return bad("value of " + shapeName)
		}
	}
	if len(e.Kids) > 0 {
		return []string{path + ": elements in a " + shape.Type}
	}
	return nil
}

// TestParametersByModel sends every parameter that the model has to every action that the lab has: it may be refused as
// unsupported or wrong, but never as unknown.
func TestParametersByModel(t *testing.T) {
	model, err := botocore()
	if model == nil {
		t.Skip(err)
	}
	l := newLab(t)
	for name, run := range actions {
		input := model.Shapes[model.Operations[name].Input.Shape]
		if model.Operations[name].Output.Shape == "" && input.Type == "" {
			t.Errorf("%s: the model has no such action", name)
		}
		for member := range input.Members {
			if member == "DryRun" {
				continue
			}
			form := url.Values{}
			for _, need := range append(input.Required, member) {
				model.example(form, "", input.Members[need], need, 0)
			}
			tree, err := query.ParseForm(form, func(string) bool { return false })
			if err != nil {
				t.Fatal(err)
			}
			where, _ := l.cfg.Catalogue.region(testRegion)
			l.mu.Lock()
			_, err = run(&call{Service: l.Service, region: l.Service.region(testRegion), where: where, dryRun: true, now: time.Now()}, tree)
			l.mu.Unlock()
			var e *apiError
			if errors.As(err, &e) && e.Code == "UnknownParameter" {
				t.Errorf("%s with %s: %s", name, member, e.Message)
			}
		}
	}
}

// example adds a parameter of every name at or below a member of an input.
func (m *apiModel) example(form url.Values, path string, d modelMember, member string, depth int) {
	name := d.QueryName
	if name == "" {
		name = member
		if d.LocationName != "" {
			name = strings.ToUpper(d.LocationName[:1]) + d.LocationName[1:]
		}
	}
	m.fill(form, strings.TrimPrefix(path+"."+name, "."), d.Shape, depth)
}

func (m *apiModel) fill(form url.Values, path, shapeName string, depth int) {
	switch shape := m.Shapes[shapeName]; shape.Type {
	case "structure":
		for member, d := range shape.Members {
			if depth < 5 {
				m.example(form, path, d, member, depth+1)
			}
		}
	case "list":
		m.fill(form, path+".1", shape.Member.Shape, depth+1)
	case "integer", "long":
		form.Set(path, "1")
	case "boolean":
		form.Set(path, "true")
	default:
		form.Set(path, "x")
	}
}
