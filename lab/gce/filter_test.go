package gce

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"
)

func TestFilter(t *testing.T) {
	var item map[string]any
	d := json.NewDecoder(strings.NewReader(`{
		"name": "node-1", "status": "RUNNING", "priority": 1000, "disabled": false, "sizeGb": "20",
		"labels": {"env": "prod", "skyweld.io": "x"}, "tags": {"items": ["web", "node"]},
		"network": "http://lab/compute/v1/projects/p/global/networks/sky",
		"disks": [{"boot": true, "source": "http://lab/compute/v1/projects/p/zones/z/disks/a"}, {"boot": false}],
		"creationTimestamp": "2026-11-22T03:30:42.486-08:00", "description": "a \"quoted\" text"
	}`))
	d.UseNumber()
	if err := d.Decode(&item); err != nil {
		t.Fatal(err)
	}
	links := []string{"http://lab/compute/v1/", "https://www.googleapis.com/compute/v1/", ""}
	for text, want := range map[string]bool{
		``: true, `name = node-1`: true, `name=node-1`: true, `name="node-1"`: true, `name = 'node-1'`: true, `name = node`: false, `name != node`: true,
		`name != node-1`: false, `name:node`: true, `name:NODE*`: true, `name:*-1`: true, `name:n*d*1`: true, `name:x*`: false,
		`name eq node-1`: true, `name eq node`: false, `name eq "node-.*"`: true, `name ne node-.*`: false, `name eq .*`: true, `missing ne a`: true, `missing eq a`: false,
		`name eq ".*(^node-1$).*"`: true, `name eq ".*\bnode\b.*"`: true,
		`(name eq node-1) (status eq RUNNING)`: true, `(name eq node-1)(status eq STOPPED)`: false,
		`status = RUNNING AND name = node-1`: true, `status = RUNNING name = x`: false, `name = x OR status = RUNNING`: true,
		`(name = x OR name = node-1) AND (status != TERMINATED)`: true, `NOT name = x`: true, `-name = node-1`: false, `NOT (name = x OR status = RUNNING)`: false,
		`labels.env = prod`: true, `labels.env:*`: true, `labels.none:*`: false, `labels.skyweld.io = x`: true, `labels.env != dev`: true, `labels.env eq "prod|dev"`: true,
		`tags.items = web`: true, `tags.items:nod`: true, `tags.items = db`: false, `disks.boot = true`: true,
		`priority = 1000`: true, `priority > 999`: true, `priority < 1000`: false, `priority <= 1000`: true, `sizeGb >= 9`: true, `disabled = false`: true,
		`network = "https://www.googleapis.com/compute/v1/projects/p/global/networks/sky"`: true, `network = projects/p/global/networks/sky`: true,
		`network eq .*/networks/sky`: true, `network:networks/sky`: true, `network = http://lab/compute/v1/projects/p/global/networks/sky`: true,
		`disks.source eq .*/disks/a`: true, `creationTimestamp > 2026-11-01T00:00:00-08:00`: true, `creationTimestamp < "2026-11-01"`: false,
		`description = "a \"quoted\" text"`: true,
	} {
		e, err := parseFilter(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := e.match(item, links); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{`name`, `= x`, `name =`, `(name = x`, `name = x)`, `name eq "["`, `name = "x`, `name x y`, `AND`, `name = a AND`, `()`, strings.Repeat("(", 500) + "a=b" + strings.Repeat(")", 500), strings.Repeat("NOT ", 500) + "a=b"} {
		if _, err := parseFilter(text); err == nil {
			t.Errorf("%.40s: no error", text)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{`name = x`, `(name eq ".*") (labels.a ne b)`, `NOT (a:* OR b >= 3)`, `-a.b.c != "\""`, `network = http://x/y`} {
		f.Add(s)
	}
	item := map[string]any{"name": "x", "labels": map[string]any{"a": "b"}, "list": []any{json.Number("1"), "y"}}
	f.Fuzz(func(_ *testing.T, text string) {
		if e, err := parseFilter(text); err == nil {
			e.match(item, []string{"http://x/", ""})
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"name":"x"}`, `{"disks":[{"initializeParams":{"diskSizeGb":5}}]}`, `{"labels":{"a":null}}`, `{"tags":[]}`, `[]`, `{"scheduling":{"automaticRestart":true}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, body []byte) {
		var i compute.Instance
		if _, err := decode(body, &i); err == nil {
			_ = checkInstance(&i)
		}
		_, _, _ = patch(&compute.Firewall{Name: "x", LogConfig: &compute.FirewallLogConfig{}}, body)
	})
}

func FuzzMask(f *testing.F) {
	for _, s := range []string{"a,b/c", "items(name,disks/source),kind", "*", "a((", ")"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		if m, ok := parseMask(text); ok {
			m.apply(map[string]any{"items": []any{map[string]any{"name": "x"}}, "kind": "k"})
		}
	})
}

func TestLists(t *testing.T) {
	l := newLab(t)
	for i := range 5 {
		l.done(l.api.Addresses.Insert(testProject, testRegion, &compute.Address{Name: fmt.Sprintf("a%d", i), Labels: map[string]string{"n": fmt.Sprint(i % 2)}}).Do())
	}
	l.done(l.api.Addresses.Insert(testProject, "us-west1", &compute.Address{Name: "b"}).Do())
	var names []string
	pages := 0
	err := l.api.Addresses.List(testProject, testRegion).MaxResults(2).Pages(t.Context(), func(p *compute.AddressList) error {
		pages++
		for _, a := range p.Items {
			names = append(names, a.Name)
		}
		return nil
	})
	if got := strings.Join(names, " "); err != nil || pages != 3 || got != "a0 a1 a2 a3 a4" {
		t.Errorf("%d pages with %s: %v", pages, got, err)
	}
	list, err := l.api.Addresses.List(testProject, testRegion).Filter("labels.n=1").OrderBy("name desc").Do()
	if err != nil || len(list.Items) != 2 || list.Items[0].Name != "a3" {
		t.Errorf("filtered list %v: %v", list, err)
	}
	agg, err := l.api.Addresses.AggregatedList(testProject).Do(googleapi.QueryParameter("returnPartialSuccess", "true"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(agg.Items["regions/us-east4"].Addresses); n != 5 || len(agg.Items["regions/us-west1"].Addresses) != 1 {
		t.Errorf("aggregated list has %d in us-east4", n)
	}
	if w := agg.Items["regions/us-west2"].Warning; w == nil || w.Code != "NO_RESULTS_ON_PAGE" {
		t.Errorf("an empty scope shows %+v", w)
	}
	a, err := l.api.Addresses.Get(testProject, testRegion, "a1").Do()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := l.api.Addresses.Get("424242424242", testRegion, formatID(a.Id)).Do(); err != nil || b.Name != "a1" {
		t.Errorf("get by number: %v %v", b, err)
	}
	code, body := l.raw("GET", "/compute/v1/projects/skyweld-lab/regions/us-east4/addresses?fields=items(name,labels/n)&prettyPrint=false&filter="+url.QueryEscape("name=a1"), "")
	if code != 200 || body != `{"items":[{"labels":{"n":"1"},"name":"a1"}]}`+"\n" {
		t.Errorf("fields: %d %s", code, body)
	}
	for _, path := range []string{
		"regions", "regions/us-east4", "zones", "zones/us-east4-b", "zones/us-east4-b/machineTypes?maxResults=40", "zones/us-east4-b/machineTypes/e2-medium",
		"zones/us-east4-b/machineTypes/e2-custom-4-8192", "zones/us-east4-b/diskTypes", "aggregated/diskTypes", "aggregated/operations", "aggregated/instances", "aggregated/disks",
		"aggregated/subnetworks", "aggregated/machineTypes?maxResults=20", "aggregated/routers", "aggregated/forwardingRules", "aggregated/healthChecks",
		"aggregated/backendServices", "aggregated/instanceGroups", "aggregated/targetPools", "aggregated/vpnGateways", "aggregated/vpnTunnels", "aggregated/acceleratorTypes",
		"global/addresses", "global/routes", "global/firewalls", "global/images", "global/snapshots", "regions/us-east4/routers", "regions/us-east4/operations",
		"zones/us-east4-b/acceleratorTypes", "global/operations",
	} {
		code, _ := l.raw("GET", "/compute/v1/projects/skyweld-lab/"+path, "")
		if want := 200; code != want && !strings.Contains(path, "custom") {
			t.Errorf("%s: %d", path, code)
		}
	}
	if code, body := l.raw("GET", "/compute/v1/projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64", ""); code != 200 || !strings.Contains(body, "noble") {
		t.Errorf("family: %d %s", code, body)
	}
	if code, _ := l.raw("GET", "/compute/v1/projects/debian-cloud/zones/-/imageFamilyViews/debian-12", ""); code != 200 {
		t.Errorf("family view: %d", code)
	}
}
