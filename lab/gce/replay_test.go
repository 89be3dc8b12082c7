package gce

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unreplayed are recorded sessions that aren't replayed, each with the reason. What the sure ones say of kinds that the lab
// has is held against the lab by TestRecordings all the same.
var unreplayed = map[string]string{
	"likely/computeinstancebasicexample":          "several disks and addresses under one placeholder",
	"sure/computefirewallpolicyrule-egress-full":  "several networks under one placeholder",
	"sure/computefirewallpolicyrule-ingress-full": "several networks under one placeholder",
	"sure/computerouternatprivate":                "several subnets under one placeholder",
	"sure/networkservicesauthzextension-minimal":  "several subnets under one placeholder",
	"sure/osconfigguestpolicy":                    "several machines under one placeholder, from a template",
	"sure/globalcomputeforwardingruletcp-direct":  "load balancers and global addresses only",
	"sure/computerouter":                          "routers only",
	"unclear/computeinstancewithencrypteddisk":    "a disk with a key of the customer's, which the lab refuses",
	"unclear/networkipcomputeinstance":            "names a machine type without its zone, which only a mock takes",
	"unclear/computeexternalvpngateway":           "external VPN gateways only",
	"unclear/computevpngateway":                   "VPN gateways only",
}

// differs are differences of the lab's answers from replayed ones, each with the reason.
var differs = map[string]string{
	"image.description":                  "the lab has newer images",
	"image.family":                       "the lab has newer images",
	"image.licenses[]":                   "the lab has newer images",
	"image.labels":                       "the lab's images have no labels",
	"image.licenseCodes":                 "the lab's images have no licence numbers",
	"image.rolloutOverride":              "the lab's images are everywhere at once",
	"images.get status":                  "an image that the session makes itself, which the lab can't",
	"network.subnetworks":                "the number of regions grows; one recorded network in auto mode shows none at all",
	"network.routingConfig":              "one recorded network shows none, all others do",
	"network.peerings":                   "the lab has no peerings",
	"operation.warnings":                 "about DNS settings, which the lab doesn't have",
	"operation.selfLink":                 "a likely recording names a zone's operation a global one; the sure ones don't",
	"subnetwork.state":                   "in likely recordings only, not in sure ones",
	"subnetwork.gatewayAddress":          "of a default subnet in a likely recording, whose range is no region's",
	"disk.licenses[]":                    "the lab has newer images",
	"disk.licenseCodes":                  "the lab's images have no licence numbers",
	"instance.disks[].licenses[]":        "the lab has newer images",
	"instance.shieldedVmConfig":          "an old name, not in the discovery document of v1",
	"instance.shieldedVmIntegrityPolicy": "an old name, not in the discovery document of v1",
	"disk.locked":                        "not in the discovery document of v1",
	"disk.multiWriter":                   "not in the discovery document of v1",
	"disk.resourcePolicies":              "the lab can't make policies",
	"zone.availableCpuPlatforms":         "of the machine types that the lab offers",
}

// TestReplay sends the requests of recorded sessions to the lab, in their order, and compares the answers: the status, of
// errors reason and message, of all else the fields, their types, and values where they don't differ from run to run.
// Calls that the lab doesn't have are left out.
func TestReplay(t *testing.T) {
	sessions := map[string][]recording{}
	for _, r := range readRecordings(t, "sure", "likely", "unclear") {
		name := r.grade + "/" + strings.TrimSuffix(r.file, ".http.log")
		sessions[name] = append(sessions[name], r)
	}
	seen := map[string]int{}
	compared := 0
	for _, name := range slices.Sorted(maps.Keys(sessions)) {
		if why := unreplayed[name]; why != "" {
			t.Logf("%s: not replayed: %s", name, why)
			continue
		}
		t.Run(name, func(t *testing.T) {
			p := &replay{t: t, l: newLab(t), names: map[string]string{}, differ: map[string]string{}}
			p.has = p.l.svc.handlers()
			for _, r := range sessions[name] {
				p.nameDefaults(r)
			}
			for _, r := range sessions[name] {
				p.nameInsert(sessions[name], r)
			}
			p.run(sessions[name])
			for _, at := range slices.Sorted(maps.Keys(p.differ)) {
				if seen[at]++; differs[at] == "" {
					t.Errorf("%s: %s", at, p.differ[at])
				}
			}
			compared += p.compared
		})
	}
	for _, at := range slices.Sorted(maps.Keys(differs)) {
		if seen[at] == 0 {
			t.Errorf("nothing differs in %s: strike it off the list", at)
		}
	}
	t.Logf("%d sessions of %d, %d answers compared, %d differences allowed", len(sessions)-len(unreplayed), len(sessions), compared, len(differs))
}

// replay is one session on its way through a lab.
type replay struct {
	t *testing.T
	l *lab
	// has are the lab's own methods.
	has map[string]handler
	// names are what placeholders stand for.
	names map[string]string
	// operation is the path of the last one that began.
	operation string
	// differ is where the lab's answers differ from the recorded ones, and how.
	differ   map[string]string
	compared int
}

var placeholder = regexp.MustCompile(`\$\{(\w+)\}`)

// nameDefaults gives the names of networks and subnets that the session finds, but doesn't make: they are the project's
// default ones.
func (p *replay) nameDefaults(r recording) {
	parts := strings.Split(r.path, "/")
	n := len(parts) - 1
	m := placeholder.FindStringSubmatch(parts[n])
	if r.method != "GET" || m == nil || n == 0 || !strings.HasSuffix(parts[n-1], "networks") || p.names[m[1]] != "" {
		return
	}
	p.names[m[1]] = made(m[1])
	if r.code == 200 {
		p.names[m[1]] = "default"
	}
}

// nameInsert joins the name that a request gives to a new thing with the one in paths: where one of them is a placeholder,
// it stands for the other.
func (p *replay) nameInsert(session []recording, r recording) {
	var in struct{ Name string }
	if r.method != "POST" || json.Unmarshal(r.body, &in) != nil || in.Name == "" {
		return
	}
	for _, other := range session {
		name, below := strings.CutPrefix(other.path, r.path+"/")
		if !below || strings.Contains(name, "/") || name == in.Name {
			continue
		}
		if m := placeholder.FindStringSubmatch(name); m != nil && m[0] == name {
			p.names[m[1]] = p.fill(in.Name)
		} else if m := placeholder.FindStringSubmatch(in.Name); m != nil && m[0] == in.Name {
			p.names[m[1]] = p.fill(name)
		}
	}
}

// made is a name for what a placeholder stands for: "networkID" is "networkid-1".
func made(name string) string { return strings.ToLower(name) + "-1" }

var oldImage = regexp.MustCompile(`debian-11-bullseye-v\d+`)

// fill puts names in the place of placeholders, and an image that the lab has in that of an older one.
func (p *replay) fill(text string) string {
	text = strings.ReplaceAll(text, "family/debian-11", "family/debian-12")
	text = oldImage.ReplaceAllString(text, "debian-12-bookworm-v20260810")
	return placeholder.ReplaceAllStringFunc(text, func(m string) string {
		name := placeholder.FindStringSubmatch(m)[1]
		switch {
		case name == "projectId":
			return testProject
		case name == "projectNumber":
			return p.l.svc.number()
		case name == "operationID":
			return base(p.operation)
		case p.names[name] != "":
			return p.names[name]
		}
		return made(name)
	})
}

func (p *replay) run(session []recording) {
	left := map[string]int{}
	for _, r := range session {
		path := p.fill(r.path)
		m := p.l.svc.table.find(r.method, strings.Split(path, "/"))
		switch {
		case r.elsewhere:
			left["of other APIs"]++
			continue
		case strings.Contains(r.path, "/operations/") && p.operation == "":
			left["of operations of these"]++
			continue
		case m == nil:
			p.t.Errorf("%s %s: the API has no such method", r.method, path)
			continue
		case !p.serves(m):
			left[m.id]++
			if r.method != "GET" {
				p.operation = "" // what is asked about next has not begun
			}
			continue
		case strings.HasSuffix(m.resource(), "Operations"):
			path = p.operation // some recordings name another scope's
		}
		if r.query != "" {
			path += "?" + p.fill(r.query)
		}
		code, body := p.l.raw(r.method, "/compute/v1/"+path, p.body(r, m, path))
		p.answer(r, m, code, body)
	}
	p.t.Logf("%d answers compared; calls left out: %v", p.compared, left)
	if p.compared == 0 {
		p.t.Error("no answer was compared")
	}
}

// serves says whether the lab has a method for things that can be in the lab.
func (p *replay) serves(m *apiMethod) bool {
	_, readable := p.l.svc.collections[m.resource()]
	return p.has[m.id] != nil || readable && slices.Contains([]string{"get", "list", "aggregatedList"}, m.id[strings.IndexByte(m.id, '.')+1:])
}

// body is the request's, with the fingerprints of now.
func (p *replay) body(r recording, m *apiMethod, path string) string {
	if len(r.body) == 0 {
		return ""
	}
	var in map[string]any
	if err := json.Unmarshal([]byte(p.fill(string(r.body))), &in); err != nil {
		p.t.Fatalf("the request's body of %s %s: %v", r.method, r.path, err)
	}
	path, _, _ = strings.Cut(path, "?")
	for _, field := range []string{"fingerprint", "labelFingerprint"} {
		if in[field] == nil {
			continue
		}
		if parts := strings.Split(path, "/"); strings.HasPrefix(m.id[strings.IndexByte(m.id, '.'):], ".set") {
			path = strings.Join(parts[:len(parts)-1], "/")
		}
		_, text := p.l.raw("GET", "/compute/v1/"+path, "")
		var now map[string]any
		if err := json.Unmarshal([]byte(text), &now); err != nil {
			p.t.Fatal(err)
		}
		if part, ok := now[map[string]string{"instances.setTags": "tags", "instances.setMetadata": "metadata"}[m.id]].(map[string]any); ok {
			now = part
		}
		in[field] = now[field]
	}
	text, err := json.Marshal(in)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// answer compares an answer with the recorded one.
func (p *replay) answer(r recording, m *apiMethod, code int, body string) {
	call := m.id
	p.compared++
	if code != r.code {
		p.differ[call+" status"] = fmt.Sprintf("%d, recorded %d: %s", code, r.code, body)
		return
	}
	var mine map[string]any
	if err := json.Unmarshal([]byte(body), &mine); err != nil {
		p.t.Fatalf("%s: %v", call, err)
	}
	if mine["kind"] == "compute#operation" {
		link, _ := mine["selfLink"].(string)
		_, p.operation, _ = strings.Cut(link, "/compute/v1/")
		// What follows expects that it is done.
		if code, _ := p.l.raw("POST", "/compute/v1/"+p.operation+"/wait", ""); code != 200 {
			p.t.Errorf("wait for %s: %d", p.operation, code)
		}
	}
	var want map[string]any
	text, err := json.Marshal(r.answer)
	if err == nil {
		err = json.Unmarshal([]byte(p.fill(string(text))), &want)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	at, _ := want["kind"].(string)
	if want["error"] != nil && at == "" {
		at = "error"
	}
	p.compare(strings.TrimPrefix(at, "compute#"), want, mine, r.grade)
}

// ofTheRun are fields whose values differ from run to run, or by what a placeholder hides.
var ofTheRun = []string{
	"id", "targetId", "insertTime", "startTime", "endTime", "creationTimestamp", "lastStartTimestamp", "lastAttachTimestamp", "lastDetachTimestamp",
	"fingerprint", "labelFingerprint", "user", "name", "address", "networkIP", "natIP", "selfLinkWithId", "progress", "status", "sourceImageId", "email",
	"imageSizeBytes", "archiveSizeBytes",
}

func (p *replay) compare(at string, want, got any, grade string) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			p.differ[at] = fmt.Sprintf("is %T, recorded as an object", got)
			return
		}
		for _, k := range slices.Sorted(maps.Keys(w)) {
			if mine, ok := g[k]; ok {
				p.compare(at+"."+k, w[k], mine, grade)
			} else if grade != "unclear" && !(at == "operation" && k == "endTime") {
				p.differ[at+"."+k] = fmt.Sprintf("isn't in the lab's answer, recorded (%s) as %v", grade, w[k])
			}
		}
		for _, k := range slices.Sorted(maps.Keys(g)) {
			if _, ok := w[k]; !ok && grade == "sure" && !(at == "operation" && k == "endTime") {
				p.differ[at+"."+k] = fmt.Sprintf("is %v, not in the recorded (%s) answer", g[k], grade)
			}
		}
	case []any:
		g, ok := got.([]any)
		switch {
		case !ok:
			p.differ[at] = fmt.Sprintf("is %T, recorded as an array", got)
		case len(w) != len(g) && grade != "unclear":
			p.differ[at] = fmt.Sprintf("has %d items, recorded (%s) were %d", len(g), grade, len(w))
		case len(w) > 0 && len(g) > 0:
			p.compare(at+"[]", w[0], g[0], grade)
		}
	default:
		if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
			p.differ[at] = fmt.Sprintf("is %T, recorded (%s) as %T", got, grade, want)
		} else if grade == "unclear" && !strings.HasPrefix(at, "error") {
			return
		} else if k := strings.TrimSuffix(at[strings.LastIndexByte(at, '.')+1:], "[]"); !slices.Contains(ofTheRun, k) && relative(want) != relative(got) {
			p.differ[at] = fmt.Sprintf("is %v, recorded (%s) as %v", got, grade, want)
		}
	}
}

var linkRoot = regexp.MustCompile(`https?://[^/]+/compute/(v1|beta)/`)

// relative is a value without the host of links, whichever API's version they name.
func relative(v any) any {
	if s, ok := v.(string); ok {
		return linkRoot.ReplaceAllString(s, "")
	}
	return v
}
