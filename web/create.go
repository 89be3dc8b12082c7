package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/sizes"
	"github.com/skyweld/skyweld/spec"
)

// The page for a new cluster is one form with several buttons. Only one of them makes anything.
var createPages = []page{
	{path: "/new", needs: auth.Operator, show: showCreate, writes: auth.Operator, do: create},
}

// creation is what the page for a new cluster shows.
type creation struct {
	form     clusterForm
	accounts []api.Account
	file     string
	// wrong is what is wrong with the file as far as it can be seen without asking anybody.
	wrong []string
	// left is what of a file that was taken over has no place in the form.
	left []string
	// pasted is a file that could not be taken over.
	pasted string
}

// usualName is what a cluster is called unless somebody says otherwise.
const usualName = "demo"

// newForm is the form as it is shown first: a site in the first account of each cloud, where all of them are near each other.
func newForm(accounts []api.Account, clusters []api.Cluster) clusterForm {
	f := clusterForm{name: usualName, version: spec.Versions[0], replicas: "3", size: "medium", mode: spec.Modes[0]}
	for n := 2; slices.ContainsFunc(clusters, func(c api.Cluster) bool { return c.Name == f.name }); n++ {
		f.name = fmt.Sprintf("%s-%d", usualName, n)
	}
	seen := map[string]bool{}
	for _, a := range accounts {
		f.addSite(a.Name, a.Provider, !seen[a.Provider])
		seen[a.Provider] = true
	}
	f.follow(nil)
	if list := metroChoices(f, accounts); len(list.fit) > 0 {
		f.metro = list.fit[0].name
		if slices.ContainsFunc(list.fit, func(m metroChoice) bool { return m.name == usualMetro }) {
			f.metro = usualMetro
		}
	}
	return f
}

// usualMetro is the place to begin with, where all clouds have it.
const usualMetro = "us-east"

// sortedAccounts are the accounts in order of their names.
func (a *call) sortedAccounts(ctx context.Context) ([]api.Account, error) {
	list, err := a.api.Accounts(ctx)
	slices.SortFunc(list, func(x, y api.Account) int { return strings.Compare(x.Name, y.Name) })
	return list, err
}

func showCreate(a *call) (view, error) {
	v := view{title: "New cluster", section: "Clusters", crumbs: []link{{"Clusters", "/clusters"}}}
	if r, ok := a.outcome.(review); ok {
		v.title, v.body = "Review "+r.name, reviewPage(r)
		return v, nil
	}
	c, ok := a.outcome.(creation)
	if !ok {
		var clusters []api.Cluster
		if err := a.together(into(&c.accounts, a.sortedAccounts), into(&clusters, a.api.Clusters)); err != nil {
			return view{}, err
		}
		if a.input.values.Has("metadata.name") {
			c.form = readForm(a.input.values)
			c.form.addAccounts(c.accounts)
		} else {
			c.form = newForm(c.accounts, clusters)
		}
	}
	if len(c.accounts) == 0 && len(c.form.sites) == 0 {
		v.body = noAccountsPage()
		return v, nil
	}
	file := c.form.file()
	c.file, c.wrong = string(file), wrongWith(file)
	a.input.values = c.form.values() // groups may have come and gone since it was sent
	v.body = createPage(c)
	return v, nil
}

// wrongWith is what is wrong with a file.
func wrongWith(file []byte) []string {
	_, err := spec.Load(file)
	var out []string
	if errs, ok := errors.AsType[spec.Errors](err); ok {
		for _, e := range errs {
			out = append(out, sentence(e.Error()))
		}
	}
	return out
}

// create does what the button that was pressed is for.
func create(a *call) (string, error) {
	c := creation{form: readForm(a.input.values)}
	var err error
	if c.accounts, err = a.sortedAccounts(a.ctx()); err != nil {
		return "", err
	}
	c.form.addAccounts(c.accounts)
	what, which, _ := strings.Cut(a.input.values.Get(doField), ":")
	switch what {
	case "add-group":
		row := -1
		if on := c.form.ticked(); len(on) > 0 {
			row = on[0]
		}
		c.form.addGroup(row)
	case "remove-group":
		c.form.workers = slices.DeleteFunc(c.form.workers, func(g groupRow) bool { return strconv.Itoa(g.key) == which })
	case "add-site":
		if i := slices.IndexFunc(c.accounts, func(x api.Account) bool { return x.Name == a.input.values.Get("add-site") }); i >= 0 {
			shown := c.form.ticked()
			c.form.addSite(c.accounts[i].Name, c.accounts[i].Provider, true)
			c.form.follow(shown)
		}
	case "take":
		pasted := []byte(strings.ReplaceAll(a.input.values.Get("file"), "\r\n", "\n"))
		cluster, errs := spec.Read(pasted)
		if len(errs) > 0 {
			p := &api.Problem{Status: http.StatusUnprocessableEntity, Detail: "The file can't be taken over"}
			for _, e := range errs {
				fieldProblem(p, "file", e.Error())
			}
			a.input.take(p)
			c.pasted = string(pasted)
			break
		}
		c.form, c.left = formOf(cluster, c.accounts)
		if len(c.left) == 0 {
			a.input.notice = "The form now has what is in the file."
		}
	case "review":
		r, err := a.review(c.form)
		if err != nil {
			return "", c.form.beside(err)
		}
		a.outcome = r
		return "", nil
	case "create":
		to, err := a.make(c.form)
		return to, c.form.beside(err)
	}
	a.outcome = c
	return "", nil
}

// reviewedField carries the file that was reviewed: with all addresses, so that they are those that were shown.
const reviewedField = "reviewed"

// keyed is the API for what a form asks for: sent twice, it is done once.
func (a *call) keyed() *api.Client { return a.api.WithKey(a.input.values.Get(onceField)) }

// isNew is the problem of a name that a cluster has already: applying the file would change that one.
func (a *call) isNew(name string) error {
	if name == "" {
		return nil // who checks the file says so
	}
	_, err := a.api.Cluster(a.ctx(), name)
	switch {
	case err == nil:
		return takenName()
	case statusOf(err) == http.StatusNotFound:
		return nil
	}
	return err
}

func takenName() error {
	p := &api.Problem{Status: http.StatusConflict, Detail: "There is such a cluster already"}
	fieldProblem(p, "metadata.name", "a cluster of this name is there already; want another name")
	return p
}

// make asks for the cluster that was reviewed.
func (a *call) make(f clusterForm) (string, error) {
	file := []byte(a.input.values.Get(reviewedField))
	c, errs := spec.Read(file)
	if c == nil || len(errs) > 0 || c.Metadata.Name != f.name {
		file = f.file() // it was never reviewed, or tampered with
	}
	ch, err := a.keyed().IfNew().Apply(a.ctx(), file)
	if err != nil {
		return "", err
	}
	return changeShown(ch), nil
}

// metroChoice is a place to choose.
type metroChoice struct {
	name, title string
	worst       time.Duration // between the regions of the clouds that are asked for
}

// words are what a choice says.
func (m metroChoice) words() string {
	text := m.title
	if text == "" {
		text = m.name
	}
	if m.worst > 0 {
		text += ", " + milliseconds(float64(m.worst)/float64(time.Millisecond)) + " apart"
	}
	return text
}

// metroList are the places where all clouds of a form are, and the others.
type metroList struct{ fit, others []metroChoice }

func metroChoices(f clusterForm, accounts []api.Account) metroList {
	var want []string
	for _, i := range f.ticked() {
		if id := providerOf(f.sites[i].account, accounts); id != "" && f.sites[i].region == "" && !slices.Contains(want, id) {
			want = append(want, id)
		}
	}
	var out metroList
	fitting := geo.Metros(want...)
	for _, name := range geo.Metros() {
		group, _ := geo.Metro(name)
		m := metroChoice{name: name, title: group.Title}
		if !slices.Contains(fitting, name) {
			out.others = append(out.others, m)
			continue
		}
		var regions []geo.Place
		for _, id := range want {
			if p, ok := geo.MetroRegion(name, id); ok {
				regions = append(regions, p)
			}
		}
		m.worst = worstTrip(regions)
		out.fit = append(out.fit, m)
	}
	return out
}

// worstTrip is the longest round trip between two of some regions.
func worstTrip(regions []geo.Place) time.Duration {
	var worst time.Duration
	for i, x := range regions {
		for _, y := range regions[:i] {
			d, _ := geo.RTT(x, y)
			worst = max(worst, d)
		}
	}
	return worst
}

// providerOf is the cloud of an account, empty for one that isn't there.
func providerOf(account string, accounts []api.Account) string {
	if i := slices.IndexFunc(accounts, func(a api.Account) bool { return a.Name == account }); i >= 0 {
		return accounts[i].Provider
	}
	return ""
}

// whereOf says which region a row of the sites is in, empty where that isn't known.
func (c creation) whereOf(row int) string {
	s := c.form.sites[row]
	var slots []geo.Slot
	at := -1
	for _, i := range c.form.ticked() {
		if i == row {
			at = len(slots)
		}
		slots = append(slots, geo.Slot{Cloud: providerOf(c.form.sites[i].account, c.accounts), Region: c.form.sites[i].region, Sizes: c.form.sizesAt(i)})
	}
	p := geo.Place{}
	if at >= 0 {
		p = geo.InMetro(c.form.metro, slots)[at]
	}
	switch {
	case p.ID != "":
		return p.ID + ", " + p.City
	case s.region != "":
		return s.region
	case at < 0 || slots[at].Cloud == "":
		return ""
	case c.form.metro != "":
		return "no region there"
	}
	return "chosen at the review"
}

// regionOptions are the regions of a row's cloud.
func (c creation) regionOptions(row int) []option {
	s := c.form.sites[row]
	out := []option{{"", "By the place above"}}
	id := providerOf(s.account, c.accounts)
	for _, p := range geo.Regions(id) {
		out = append(out, option{p.ID, p.ID + " · " + p.City})
	}
	if _, ok := geo.Region(id, s.region); !ok && s.region != "" {
		out = append(out, option{s.region, s.region})
	}
	return out
}

// sizeOptions are the sizes with what they have, and for a machine type what stands in a size's place.
func sizeOptions(size, machineType string) []option {
	var out []option
	for _, s := range sizes.All() {
		if !slices.ContainsFunc(out, func(o option) bool { return o.value == s.Name }) {
			out = append(out, option{s.Name, fmt.Sprintf("%s: %d CPUs, %d GiB", sentence(s.Name), s.VCPUs, s.MemoryMiB/1024)})
		}
	}
	switch {
	case machineType != "":
		out = append([]option{{size, machineType}}, slices.DeleteFunc(out, func(o option) bool { return o.value == size })...)
	case size == "":
		out = append([]option{{"", "The usual one"}}, out...)
	case !slices.ContainsFunc(out, func(o option) bool { return o.value == size }):
		out = append(out, option{size, size})
	}
	return out
}

// siteOptions are the sites that a group can be at.
func (c creation) siteOptions(g groupRow) []option {
	var out []option
	if c.form.siteName(g.site) == "" {
		out = append(out, option{"", "Choose one"})
	}
	for _, i := range c.form.ticked() {
		out = append(out, option{strconv.Itoa(i), cmp.Or(c.form.sites[i].name, c.form.sites[i].account)})
	}
	return out
}

// replicaOptions are how many nodes a control plane can have.
func replicaOptions(have string) []option {
	out := []option{{"1", "1: for trying it out"}, {"3", "3: one may be lost"}, {"5", "5: two may be lost"}, {"7", "7: three may be lost"}}
	if !slices.ContainsFunc(out, func(o option) bool { return o.value == have }) {
		out = append(out, option{have, cmp.Or(have, "The usual number")})
	}
	return out
}

// listed are choices of one word each, the usual one first.
func listed(have string, values []string) []option {
	var out []option
	for i, v := range values {
		text := sentence(v)
		if i == 0 {
			text += " (usual)"
		}
		out = append(out, option{v, text})
	}
	if have == "" {
		out[0].value = ""
	} else if !slices.Contains(values, have) {
		out = append(out, option{have, have})
	}
	return out
}

// controlRows are the rows that can have control-plane nodes: those that have some first, in their order.
func (c creation) controlRows() []int {
	out := slices.Clone(c.form.control)
	for _, i := range c.form.ticked() {
		if !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

// advanced says that something under Advanced is used, or wrong.
func (c creation) advanced(in *input) bool {
	f := c.form
	for _, name := range []string{"spec.kubernetesVersion", "spec.network.mode", "spec.network.maxRTT", "spec.network.onLatency", "spec.network.pods", "spec.network.services", "spec.access.api", "spec.access.ssh", "spec.repair.failedMachines", "spec.repair.notReadyWorkers", "spec.repair.notReadyAfter", machineTypeField} {
		if len(in.of(name)) > 0 {
			return true
		}
	}
	for i, s := range f.sites {
		if s.on && (s.block != "" || s.region != "") || len(in.of(siteField(i, "name"))) > 0 || len(in.of(siteField(i, "block"))) > 0 || len(in.of(siteField(i, "region"))) > 0 {
			return true
		}
	}
	return f.maxRTT+f.onLatency+f.pods+f.services+f.api+f.ssh+f.failed+f.notReady+f.notReadyAfterwards+f.machineType != ""
}

// groupMore says that what only few groups have is used here, or wrong.
func groupMore(g groupRow, in *input) bool {
	return g.labels+g.taints+g.machineType != "" || len(in.of(groupField(g.key, "labels")))+len(in.of(groupField(g.key, "taints")))+len(in.of(groupField(g.key, "type"))) > 0
}

// siteValue is the value of a group's site in its list.
func siteValue(c creation, g groupRow) string {
	if c.form.siteName(g.site) == "" && (g.site < 0 || g.site >= len(c.form.sites) || !c.form.sites[g.site].on) {
		return ""
	}
	return strconv.Itoa(g.site)
}

func knownMetro(name string) bool {
	_, ok := geo.Metro(name)
	return ok
}

func sortedNames(values url.Values) []string { return slices.Sorted(maps.Keys(values)) }

func withPlaceholder(attributes templ.Attributes, text string) templ.Attributes {
	out := maps.Clone(attributes)
	out["placeholder"] = text
	return out
}

// withoutNotes is a plan whose notes are shown elsewhere.
func withoutNotes(p api.Plan) api.Plan {
	p.Notes = nil
	return p
}
