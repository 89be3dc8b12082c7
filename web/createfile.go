package web

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/sizes"
	"github.com/skyweld/skyweld/spec"
)

// formOf is the form that makes a cluster, and what of the cluster a form for a new one doesn't have. Accounts that it doesn't
// use get rows that aren't ticked.
func formOf(c *spec.Cluster, accounts []api.Account) (f clusterForm, left []string) {
	s := c.Spec
	f = clusterForm{name: c.Metadata.Name, version: s.KubernetesVersion, metro: s.Metro, mode: s.Network.Mode, pods: prefixText(s.Network.Pods), services: prefixText(s.Network.Services),
		api: prefixList(s.Access.API), ssh: prefixList(s.Access.SSH), failed: s.Repair.FailedMachines, notReady: s.Repair.NotReadyWorkers}
	f.onLatency = s.Network.OnLatency
	f.maxRTT, f.notReadyAfterwards = durationText(s.Network.MaxRTT), durationText(s.Repair.NotReadyAfter)
	f.size, f.machineType = sizeOrType(s.ControlPlane.Size)
	if s.ControlPlane.Replicas != 0 {
		f.replicas = strconv.Itoa(s.ControlPlane.Replicas)
	}
	rows := map[string]int{}
	for i, site := range s.Sites {
		f.sites = append(f.sites, siteRow{on: true, account: site.Account, name: site.Name, region: site.Region, block: prefixText(site.Block)})
		if _, twice := rows[site.Name]; !twice {
			rows[site.Name] = i
		}
	}
	for i, name := range s.ControlPlane.Sites {
		if row, ok := rows[name]; ok && !slices.Contains(f.control, row) {
			f.control = append(f.control, row)
		} else {
			left = append(left, fmt.Sprintf("spec.controlPlane.sites[%d]: %s", i, name))
		}
	}
	if f.named = slices.Equal(f.control, f.ticked()); len(f.control) == 0 {
		f.control = f.ticked()
	}
	for i, w := range s.Workers {
		g := groupRow{key: i, name: w.Name, site: -1, labels: labelsText(w.Labels), taints: taintsText(w.Taints)}
		g.size, g.machineType = sizeOrType(w.Size)
		if w.Count != nil {
			g.count = strconv.Itoa(*w.Count)
		}
		if row, ok := rows[w.Site]; ok {
			g.site = row
		} else if w.Site != "" {
			left = append(left, fmt.Sprintf("spec.workers[%d].site: %s", i, w.Site))
		}
		if len(w.Exclude) > 0 {
			left = append(left, fmt.Sprintf("spec.workers[%d].exclude", i))
		}
		f.workers = append(f.workers, g)
	}
	if c.Metadata.UID != "" || c.Metadata.Generation != 0 || !c.Metadata.CreationTimestamp.IsZero() {
		left = append(left, "what the engine wrote into metadata")
	}
	f.addAccounts(accounts)
	return f, left
}

// addAccounts adds rows for accounts that have none.
func (f *clusterForm) addAccounts(accounts []api.Account) {
	for _, a := range accounts {
		if !slices.ContainsFunc(f.sites, func(s siteRow) bool { return s.account == a.Name }) {
			f.addSite(a.Name, a.Provider, false)
		}
	}
}

// sizeOrType tells a size from a cloud's own type.
func sizeOrType(text string) (size, machineType string) {
	if text == "" || slices.Contains(sizes.Names(), text) {
		return text, ""
	}
	return "", text
}

func prefixText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

func prefixList(list []netip.Prefix) string {
	var out []string
	for _, p := range list {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}

func durationText(d spec.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func labelsText(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ", ")
}

func taintsText(taints []spec.Taint) string {
	var out []string
	for _, t := range taints {
		key := t.Key
		if t.Value != "" {
			key += "=" + t.Value
		}
		out = append(out, key+":"+t.Effect)
	}
	return strings.Join(out, ", ")
}

var (
	listedPart = regexp.MustCompile(`^spec\.(sites|workers)\[(\d{1,6})\](\.[A-Za-z]+)?`)
	fileLine   = regexp.MustCompile(`^line \d+: `)
	filePath   = regexp.MustCompile(`\b(?:metadata|spec)\.[A-Za-z]+(?:\[\d{1,6}\])?(?:\.[A-Za-z]+)*`)
)

// fieldOf is the field of the form that a path of the file comes from, empty where there is none.
func (f *clusterForm) fieldOf(path string) string {
	if m := listedPart.FindStringSubmatch(path); m != nil {
		n, _ := strconv.Atoi(m[2])
		name := strings.TrimPrefix(m[3], ".")
		if m[1] == "sites" {
			if row := f.row(n); row >= 0 && slices.Contains([]string{"name", "region", "block"}, name) {
				return siteField(row, name)
			}
			return "spec.sites"
		}
		if n >= len(f.workers) {
			return "spec.workers"
		}
		g := f.workers[n]
		if name == "size" && g.machineType != "" {
			name = "type"
		}
		if !slices.Contains(groupFields, name) {
			name = "name"
		}
		return groupField(g.key, name)
	}
	if path == "spec.controlPlane.size" && f.machineType != "" {
		return machineTypeField
	}
	for _, have := range f.fieldNames() {
		if path == have || strings.HasPrefix(path, have+"[") || strings.HasPrefix(path, have+".") {
			return have
		}
	}
	return ""
}

var groupFields = []string{"name", "site", "size", "type", "count", "labels", "taints"}

// fieldNames are those of all fields that show what is wrong with them.
func (f *clusterForm) fieldNames() []string {
	var out []string
	for _, p := range f.plainFields() {
		out = append(out, p.name)
	}
	out = append(out, "spec.sites", "spec.workers", "spec.controlPlane.sites", "file")
	for i := range f.sites {
		out = append(out, siteField(i, "name"), siteField(i, "region"), siteField(i, "block"))
	}
	for _, g := range f.workers {
		for _, name := range groupFields {
			out = append(out, groupField(g.key, name))
		}
	}
	return out
}

// beside puts the problems of a file beside the fields that they come from.
func (f *clusterForm) beside(err error) error {
	p, ok := errors.AsType[*api.Problem](err)
	if errs, is := errors.AsType[spec.Errors](err); is { // the client looks at the text itself before it sends it
		p, ok = &api.Problem{Status: http.StatusUnprocessableEntity, Detail: errs.Error()}, true
	}
	if !ok {
		return err
	}
	if p.Status == http.StatusPreconditionFailed { // it was made since it was reviewed
		return takenName()
	}
	out := *p
	out.Errors = nil
	for _, e := range p.Errors {
		message := strings.TrimPrefix(fileLine.ReplaceAllString(e.Message, ""), e.Location+": ")
		at := f.fieldOf(e.Location)
		if at == "" {
			at = e.Location
		}
		fieldProblem(&out, at, message)
	}
	if len(p.Errors) > 0 {
		out.Detail = "Something has to be mended first"
		return &out
	}
	// What accounts would refuse comes line by line.
	if first, rest, many := strings.Cut(p.Detail, "\n"); many {
		out.Detail = strings.TrimSuffix(first, ":")
		for line := range strings.Lines(rest) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			at := f.fieldOf(filePath.FindString(line))
			fieldProblem(&out, at, line)
		}
	} else if at := f.fieldOf(filePath.FindString(p.Detail)); at != "" {
		fieldProblem(&out, at, p.Detail)
		out.Detail = "Something has to be mended first"
	}
	return &out
}

// sizesAt are the sizes that a row of the sites must have.
func (f *clusterForm) sizesAt(row int) []string {
	var out []string
	if f.machineType == "" && slices.Contains(f.control, row) {
		out = append(out, f.size)
	}
	for _, g := range f.workers {
		if g.machineType == "" && g.site == row {
			out = append(out, g.size)
		}
	}
	return out
}
