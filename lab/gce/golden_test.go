package gce

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/api/compute/v1"
)

// recording is one exchange with the real API.
type recording struct {
	// grade says how far to believe it: "sure", "likely" or "unclear".
	grade, file, method string
	// path is what follows the API's root, query what follows that.
	path, query string
	body        []byte
	code        int
	raw         string // the answer as it came
	answer      map[string]any
	elsewhere   bool // with another of the cloud's APIs
}

var (
	exchange    = regexp.MustCompile(`(?s)^\s*(GET|POST|PUT|PATCH|DELETE) https://([^/]+)/(\S+)\n(.*?\n)?(\d{3}) [^\n]*\n(.*)$`)
	computePath = regexp.MustCompile(`^compute/v1/([^?]+)\??(\S*)$`)
)

// readRecordings reads the recordings of the real Compute Engine of some grades.
func readRecordings(t *testing.T, grades ...string) []recording {
	t.Helper()
	dir := os.Getenv("SKYWELD_GOLDENS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "goldens")
	}
	var out []recording
	for _, grade := range grades {
		files, err := filepath.Glob(filepath.Join(dir, "gcp", grade, "*.http.log"))
		if err != nil || len(files) == 0 {
			t.Skipf("needs recordings of Compute Engine: set SKYWELD_GOLDENS to a folder that has gcp/%s/*.http.log (from GoogleCloudPlatform/k8s-config-connector)", grade)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range strings.Split(string(text), "\n---\n") {
				m := exchange.FindStringSubmatch(part)
				if m == nil && strings.TrimSpace(part) != "" && !strings.HasPrefix(part, "\nGRPC ") { // gRPC is for other APIs
					t.Fatalf("%s: no exchange: %.200s", f, part)
				}
				if m != nil {
					out = append(out, newRecording(t, grade, filepath.Base(f), m))
				}
			}
		}
	}
	return out
}

// newRecording makes one of what the form of an exchange has found.
func newRecording(t *testing.T, grade, file string, m []string) recording {
	t.Helper()
	r := recording{grade: grade, file: file, method: m[1]}
	_, body, _ := strings.Cut(m[4], "\n\n")
	_, answer, _ := strings.Cut(m[6], "\n\n")
	r.body = []byte(strings.TrimSpace(body))
	var err error
	if r.code, err = strconv.Atoi(m[5]); err != nil {
		t.Fatal(err)
	}
	where := computePath.FindStringSubmatch(m[3])
	if where == nil {
		r.elsewhere = true
		return r
	}
	r.path, r.query = where[1], where[2]
	if answer = strings.TrimSpace(answer); answer != "" {
		r.raw = answer
		if err := json.Unmarshal([]byte(answer), &r.answer); err != nil {
			t.Fatalf("%s: the answer to %s %s: %v", file, r.method, r.path, err)
		}
	}
	return r
}

// absent are fields that recordings have and the lab's answers don't, each with the reason.
var absent = map[string]string{
	"compute#instance.shieldedVmConfig":                         "an old name, not in the discovery document of v1",
	"compute#instance.shieldedVmIntegrityPolicy":                "an old name, not in the discovery document of v1",
	"compute#instance.resourceStatus.effectiveInstanceMetadata": "about DNS settings, which the lab doesn't have",
	"compute#disk.licenseCodes":                                 "the lab's images have no licence numbers",
}

// TestRecordings holds the lab's answers against recorded ones: what every recorded answer of a kind has, the lab's has
// too, with the same JSON type; operations have the same types and errors the same form.
func TestRecordings(t *testing.T) {
	recordings := readRecordings(t, "sure")
	l := newLab(t)
	l.makeNetwork("sky", "10.64.0.0/20")
	in := instance("node", "sky")
	in.Labels = map[string]string{"a": "b"}
	insert := l.done(l.api.Instances.Insert(testProject, testZone, in).Do())
	l.done(l.api.Addresses.Insert(testProject, testRegion, &compute.Address{Name: "cp"}).Do())
	failed := l.wait(l.api.Networks.Delete(testProject, "sky").Do())
	own := map[string]string{
		"compute#network": "global/networks/sky", "compute#subnetwork": "regions/us-east4/subnetworks/sky", "compute#instance": "zones/us-east4-b/instances/node",
		"compute#disk": "zones/us-east4-b/disks/node", "compute#zone": "zones/us-east4-b", "compute#address": "regions/us-east4/addresses/cp",
	}
	for kind, path := range own {
		_, body := l.raw("GET", "/compute/v1/projects/skyweld-lab/"+path, "")
		compareKind(t, kind, recordings, body)
	}
	_, body := l.raw("GET", "/compute/v1/projects/skyweld-lab/zones/us-east4-b/operations/"+insert.Name, "")
	compareKind(t, "compute#operation", recordings, body)
	_, body = l.raw("GET", "/compute/v1/projects/skyweld-lab/global/operations/"+failed.Name, "")
	var op map[string]any
	if err := json.Unmarshal([]byte(body), &op); err != nil {
		t.Fatal(err)
	}
	errorsSeen := 0
	for _, r := range recordings {
		if r.answer["error"] != nil && r.answer["kind"] == "compute#operation" {
			errorsSeen++
			if r.answer["httpErrorMessage"] != op["httpErrorMessage"] || fmt.Sprint(r.answer["httpErrorStatusCode"]) != fmt.Sprint(op["httpErrorStatusCode"]) {
				t.Errorf("failed operation shows %v %v, recorded %v %v", op["httpErrorMessage"], op["httpErrorStatusCode"], r.answer["httpErrorMessage"], r.answer["httpErrorStatusCode"])
			}
			compareTypes(t, "operation.error", r.answer["error"], op["error"])
		}
		if r.code == 404 {
			_, body := l.raw("GET", "/compute/v1/projects/skyweld-lab/global/networks/none", "")
			var mine map[string]any
			if err := json.Unmarshal([]byte(body), &mine); err != nil {
				t.Fatal(err)
			}
			compareTypes(t, "error", r.answer, mine)
		}
	}
	if errorsSeen == 0 {
		t.Error("no failed operation among the recordings")
	}
}

// compareKind compares what all recorded answers of a kind have in common with one of the lab's.
func compareKind(t *testing.T, kind string, recordings []recording, body string) {
	t.Helper()
	var mine, common map[string]any
	if err := json.Unmarshal([]byte(body), &mine); err != nil {
		t.Fatal(err)
	}
	for _, r := range recordings {
		if r.method != "GET" || r.answer["kind"] != kind || r.answer["error"] != nil || kind == "compute#operation" && r.answer["zone"] == nil {
			continue
		}
		if common == nil {
			common = maps.Clone(r.answer)
		}
		maps.DeleteFunc(common, func(k string, _ any) bool { _, ok := r.answer[k]; return !ok })
	}
	if common == nil {
		t.Errorf("no recording of a %s", kind)
	}
	for _, k := range slices.Sorted(maps.Keys(common)) {
		if absent[kind+"."+k] != "" {
			continue
		}
		v, ok := mine[k]
		if !ok {
			t.Errorf("%s: %q is in every recording and not in the lab's answer", kind, k)
			continue
		}
		compareTypes(t, kind+"."+k, common[k], v)
	}
}

func compareTypes(t *testing.T, at string, want, got any) {
	t.Helper()
	if absent[at] != "" || strings.HasSuffix(at, ".labels") {
		return
	}
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s is %T, recorded as an object", at, got)
			return
		}
		for k, v := range w {
			if mine, ok := g[k]; ok {
				compareTypes(t, at+"."+k, v, mine)
			} else if absent[at+"."+k] == "" {
				t.Errorf("%s.%s is in a recording and not in the lab's answer", at, k)
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok {
			t.Errorf("%s is %T, recorded as an array", at, got)
		} else if len(w) > 0 && len(g) > 0 {
			compareTypes(t, at+"[]", w[0], g[0])
		}
	default:
		if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
			t.Errorf("%s is %T, recorded as %T", at, got, want)
		}
	}
}
