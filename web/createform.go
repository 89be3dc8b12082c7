package web

import (
	"bytes"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/skyweld/skyweld/spec"
)

// clusterForm is a new cluster as its form has it: texts as they were entered, so that what is wrong with them is said by
// who checks files. It becomes a file by file, and is made of one by formOf. Both are pure.
type clusterForm struct {
	name, version, metro string
	sites                []siteRow
	// control are the rows of the sites that control-plane nodes are dealt to, in order. Where it is all of them, the file
	// leaves open where the nodes stand, unless named is set.
	control                              []int
	named                                bool
	replicas                             string
	size, machineType                    string
	workers                              []groupRow
	mode, maxRTT, onLatency              string
	pods, services                       string
	api, ssh                             string // ranges, by commas
	failed, notReady, notReadyAfterwards string
}

// siteRow is an account that a cluster may have a site in.
type siteRow struct {
	on                    bool
	account, name, region string
	block                 string
}

// groupRow is a group of workers. Its key stays when others before it go.
type groupRow struct {
	key  int
	name string
	// site is a row of the sites, -1 for none.
	site              int
	size, machineType string
	count             string
	labels, taints    string
}

// mostRows is how many groups and sites are read of a form: more than a file may have, so that it is said that there are too
// many.
const mostRows = 120

// The names of fields that aren't those of a file's.
const (
	machineTypeField = "spec.controlPlane.type"
	namedField       = "spec.controlPlane.named"
	shownField       = "shown" // the rows of sites that were ticked when the form was made
	doField          = "do"    // which button was pressed
)

func siteField(row int, name string) string  { return fmt.Sprintf("spec.sites[%d].%s", row, name) }
func groupField(key int, name string) string { return fmt.Sprintf("spec.workers[%d].%s", key, name) }

var groupKey = regexp.MustCompile(`^spec\.workers\[(\d{1,6})\]\.name$`)

// plainFields are the fields with one value each, and where the form has them.
func (f *clusterForm) plainFields() []struct {
	name string
	at   *string
} {
	return []struct {
		name string
		at   *string
	}{
		{"metadata.name", &f.name}, {"spec.kubernetesVersion", &f.version}, {"spec.metro", &f.metro},
		{"spec.controlPlane.replicas", &f.replicas}, {"spec.controlPlane.size", &f.size}, {machineTypeField, &f.machineType},
		{"spec.network.mode", &f.mode}, {"spec.network.maxRTT", &f.maxRTT}, {"spec.network.onLatency", &f.onLatency}, {"spec.network.pods", &f.pods}, {"spec.network.services", &f.services},
		{"spec.access.api", &f.api}, {"spec.access.ssh", &f.ssh},
		{"spec.repair.failedMachines", &f.failed}, {"spec.repair.notReadyWorkers", &f.notReady}, {"spec.repair.notReadyAfter", &f.notReadyAfterwards},
	}
}

// readForm reads the fields of a form.
func readForm(values url.Values) clusterForm {
	var f clusterForm
	get := func(name string) string { return strings.TrimSpace(strings.ToValidUTF8(values.Get(name), "\uFFFD")) }
	for _, p := range f.plainFields() {
		*p.at = get(p.name)
	}
	for i := 0; i < mostRows && values.Has(siteField(i, "account")); i++ {
		f.sites = append(f.sites, siteRow{on: get(siteField(i, "on")) != "", account: get(siteField(i, "account")), name: get(siteField(i, "name")), region: get(siteField(i, "region")), block: get(siteField(i, "block"))})
	}
	f.control, f.named = f.rows(values["spec.controlPlane.sites"]), get(namedField) != ""
	var keys []int
	for name := range values {
		if m := groupKey.FindStringSubmatch(name); m != nil {
			if key, err := strconv.Atoi(m[1]); err == nil && strconv.Itoa(key) == m[1] {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	for _, key := range keys[:min(len(keys), mostRows)] {
		g := groupRow{key: key, site: -1, name: get(groupField(key, "name")), size: get(groupField(key, "size")), machineType: get(groupField(key, "type")), count: get(groupField(key, "count")),
			labels: get(groupField(key, "labels")), taints: get(groupField(key, "taints"))}
		if at := f.rows([]string{get(groupField(key, "site"))}); len(at) == 1 {
			g.site = at[0]
		}
		f.workers = append(f.workers, g)
	}
	f.follow(f.rows(values[shownField]))
	return f
}

// rows are those of the sites that some values name, each once.
func (f *clusterForm) rows(values []string) []int {
	var out []int
	for _, v := range values {
		if i, err := strconv.Atoi(v); err == nil && i >= 0 && i < len(f.sites) && !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

// follow brings the rest in line with accounts that were ticked or not since the form was shown: a new one gets its share of
// the control plane, and a group of workers; from one that is out the group goes again, unless somebody has changed it.
func (f *clusterForm) follow(shown []int) {
	inOrder := slices.IsSorted(f.control)
	f.control = slices.DeleteFunc(f.control, func(i int) bool { return !f.sites[i].on })
	for i, s := range f.sites {
		was := slices.Contains(shown, i)
		switch {
		case s.on && !was:
			if !slices.Contains(f.control, i) {
				f.control = append(f.control, i)
			}
			if !slices.ContainsFunc(f.workers, func(g groupRow) bool { return g.site == i }) {
				f.addGroup(i)
			}
		case !s.on && was:
			f.workers = slices.DeleteFunc(f.workers, func(g groupRow) bool {
				plain := groupOf(s)
				plain.key, plain.site = g.key, i
				return g == plain
			})
		}
	}
	if inOrder {
		slices.Sort(f.control)
	}
}

// groupOf is the group that a site gets by itself.
func groupOf(s siteRow) groupRow {
	return groupRow{name: "workers-" + s.name, size: "small", count: "1"}
}

// addGroup adds a group of workers at a row of the sites.
func (f *clusterForm) addGroup(row int) {
	g := groupRow{size: "small", count: "1", name: "workers"}
	if row >= 0 && row < len(f.sites) {
		g = groupOf(f.sites[row])
	}
	g.site = row
	base := g.name
	for n := 2; slices.ContainsFunc(f.workers, func(o groupRow) bool { return o.name == g.name }); n++ {
		g.name = fmt.Sprintf("%s-%d", base, n)
	}
	for _, o := range f.workers {
		g.key = max(g.key, o.key+1)
	}
	f.workers = append(f.workers, g)
}

// shortNames are what sites are called at each cloud.
var shortNames = map[string]string{"aws": "aws", "gcp": "gcp", "azure": "azure", "digitalocean": "do"}

// addSite adds a row for an account.
func (f *clusterForm) addSite(account, provider string, on bool) {
	base := shortNames[provider]
	if base == "" {
		base = "site"
	}
	name := base
	for n := 2; slices.ContainsFunc(f.sites, func(s siteRow) bool { return s.name == name }); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	f.sites = append(f.sites, siteRow{on: on, account: account, name: name})
}

// values are the form's fields as readForm reads them.
func (f *clusterForm) values() url.Values {
	out := url.Values{}
	for _, p := range f.plainFields() {
		out.Set(p.name, *p.at)
	}
	for i, s := range f.sites {
		if s.on {
			out.Set(siteField(i, "on"), "1")
			out.Add(shownField, strconv.Itoa(i))
		}
		for name, v := range map[string]string{"account": s.account, "name": s.name, "region": s.region, "block": s.block} {
			out.Set(siteField(i, name), v)
		}
	}
	for _, i := range f.control {
		out.Add("spec.controlPlane.sites", strconv.Itoa(i))
	}
	if f.named {
		out.Set(namedField, "1")
	}
	for _, g := range f.workers {
		site := ""
		if g.site >= 0 {
			site = strconv.Itoa(g.site)
		}
		for name, v := range map[string]string{"name": g.name, "site": site, "size": g.size, "type": g.machineType, "count": g.count, "labels": g.labels, "taints": g.taints} {
			out.Set(groupField(g.key, name), v)
		}
	}
	return out
}

// file is the cluster file that the form makes. What is empty is left out.
func (f *clusterForm) file() []byte {
	network := flow(pairs{}.text("mode", otherThan(f.mode, spec.Modes[0])).text("maxRTT", f.maxRTT).text("onLatency", f.onLatency).text("pods", f.pods).text("services", f.services))
	access := flow(pairs{}.list("api", split(f.api)).list("ssh", split(f.ssh)))
	repair := flow(pairs{}.text("failedMachines", f.failed).text("notReadyWorkers", f.notReady).text("notReadyAfter", f.notReadyAfterwards))
	var sites, workers []*yaml.Node
	for _, s := range f.sites {
		if s.on {
			sites = append(sites, flow(pairs{}.text("name", s.name).text("account", s.account).text("region", s.region).text("block", s.block)))
		}
	}
	for _, g := range f.workers {
		workers = append(workers, flow(pairs{}.text("name", g.name).text("site", f.siteName(g.site)).text("size", oneOf(g.machineType, g.size)).number("count", g.count).
			node("labels", labelsNode(g.labels)).node("taints", taintsNode(g.taints))))
	}
	doc := pairs{}.text("apiVersion", spec.APIVersion).text("kind", spec.Kind).node("metadata", flow(pairs{}.text("name", f.name)))
	body := pairs{}.text("kubernetesVersion", f.version).text("metro", f.metro).node("network", network).node("sites", sequence(sites, 0)).node("access", access).
		node("controlPlane", flow(pairs{}.number("replicas", f.replicas).text("size", oneOf(f.machineType, f.size)).list("sites", f.controlNames()))).
		node("workers", sequence(workers, 0)).node("repair", repair)
	doc = doc.node("spec", &yaml.Node{Kind: yaml.MappingNode, Content: body})
	var text bytes.Buffer
	e := yaml.NewEncoder(&text)
	e.SetIndent(2)
	if err := e.Encode(&yaml.Node{Kind: yaml.MappingNode, Content: doc}); err != nil {
		panic("web: texts can always be written: " + err.Error())
	}
	return text.Bytes()
}

// siteName is the name of the site of a row, empty where the row is none.
func (f *clusterForm) siteName(row int) string {
	if row < 0 || row >= len(f.sites) || !f.sites[row].on {
		return ""
	}
	return f.sites[row].name
}

// ticked are the rows of the sites that the cluster has.
func (f *clusterForm) ticked() []int {
	var out []int
	for i, s := range f.sites {
		if s.on {
			out = append(out, i)
		}
	}
	return out
}

// controlNames are the sites of the control plane, none where they are left open.
func (f *clusterForm) controlNames() []string {
	if !f.named && slices.Equal(f.control, f.ticked()) {
		return nil
	}
	var out []string
	for _, i := range f.control {
		out = append(out, f.siteName(i))
	}
	return out
}

// row finds the row of the nth site of the file.
func (f *clusterForm) row(n int) int {
	if on := f.ticked(); n >= 0 && n < len(on) {
		return on[n]
	}
	return -1
}

// pairs are the keys and values of a map in YAML.
type pairs []*yaml.Node

func (p pairs) node(key string, value *yaml.Node) pairs {
	if value == nil || value.Kind != yaml.ScalarNode && len(value.Content) == 0 {
		return p
	}
	return append(p, scalar(key), value)
}

func (p pairs) text(key, value string) pairs {
	if value == "" {
		return p
	}
	return p.node(key, scalar(value))
}

func (p pairs) list(key string, values []string) pairs {
	var items []*yaml.Node
	for _, v := range values {
		items = append(items, scalar(v))
	}
	return p.node(key, sequence(items, yaml.FlowStyle))
}

var wholeNumber = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,17})$`)

// number writes a number as one, and anything else as it was entered: who reads it says what is wrong with that.
func (p pairs) number(key, value string) pairs {
	if wholeNumber.MatchString(value) {
		return p.node(key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: value})
	}
	return p.text(key, value)
}

func flow(p pairs) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle, Content: p}
}

func sequence(items []*yaml.Node, style yaml.Style) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Style: style, Content: items}
}

// scalar is a text; the writer puts it in quotes where it could be read as something else.
func scalar(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	if strings.ContainsAny(text, "\n\r\u0085\u2028\u2029") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// split parts a list at commas and spaces.
func split(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
}

func oneOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// otherThan is a text unless it is the usual one.
func otherThan(text, usual string) string {
	if text == usual {
		return ""
	}
	return text
}

// labelsNode reads labels as kubectl takes them: "team=data, tier=batch".
func labelsNode(text string) *yaml.Node {
	var p pairs
	for _, one := range split(text) {
		key, value, _ := strings.Cut(one, "=")
		p = append(p, scalar(key), scalar(value))
	}
	return flow(p)
}

// taintsNode reads taints as kubectl takes them: "dedicated=data:NoSchedule, spot:NoExecute".
func taintsNode(text string) *yaml.Node {
	var items []*yaml.Node
	for _, one := range split(text) {
		left, effect := one, ""
		if at := strings.LastIndexByte(one, ':'); at >= 0 {
			left, effect = one[:at], one[at+1:]
		}
		key, value, _ := strings.Cut(left, "=")
		items = append(items, flow(pairs{}.text("key", key).text("value", value).text("effect", effect)))
	}
	return sequence(items, yaml.FlowStyle)
}
