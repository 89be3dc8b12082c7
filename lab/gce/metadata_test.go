package gce

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/api/compute/v1"
)

func TestMetadata(t *testing.T) {
	l := newLab(t)
	l.makeNetwork("sky", "10.64.0.0/20")
	data := "#cloud-config\nhostname: x\n"
	in := instance("node", "sky")
	in.Metadata = &compute.Metadata{Items: []*compute.MetadataItems{{Key: "user-data", Value: &data}, {Key: "my-key", Value: &data}}}
	in.Tags = &compute.Tags{Items: []string{"web"}}
	l.done(l.api.Instances.Insert(testProject, testZone, in).Do())
	i, _ := l.api.Instances.Get(testProject, testZone, "node").Do()

	handler := l.svc.Metadata("sky/us-east4")
	ask := func(method, path, body string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://metadata.google.internal"+path, strings.NewReader(body))
		r.RemoteAddr = i.NetworkInterfaces[0].NetworkIP + ":40000"
		r.Header.Set("Metadata-Flavor", "Google")
		for _, h := range headers {
			k, v, _ := strings.Cut(h, ": ")
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Header().Get("Metadata-Flavor") != "Google" {
			t.Errorf("%s: no Metadata-Flavor in the answer", path)
		}
		return w
	}
	const v1 = "/computeMetadata/v1/"
	for path, want := range map[string]string{
		v1 + "instance/id":                                                  formatID(i.Id),
		v1 + "instance/name":                                                "node",
		v1 + "instance/hostname":                                            "node.us-east4-b.c.skyweld-lab.internal",
		v1 + "instance/zone":                                                "projects/424242424242/zones/us-east4-b",
		v1 + "instance/machine-type":                                        "projects/424242424242/machineTypes/e2-medium",
		v1 + "instance/tags":                                                `["web"]`,
		v1 + "instance/attributes/user-data":                                data,
		v1 + "instance/attributes/":                                         "my-key\nuser-data\n",
		v1 + "instance/network-interfaces/":                                 "0/\n",
		v1 + "instance/network-interfaces/0/ip":                             i.NetworkInterfaces[0].NetworkIP,
		v1 + "instance/network-interfaces/0/mac":                            "42:01:0a:40:00:02",
		v1 + "instance/network-interfaces/0/gateway":                        "10.64.0.1",
		v1 + "instance/network-interfaces/0/mtu":                            "1460",
		v1 + "instance/network-interfaces/0/network":                        "projects/424242424242/networks/sky",
		v1 + "instance/network-interfaces/0/access-configs/0/external-ip":   i.NetworkInterfaces[0].AccessConfigs[0].NatIP,
		v1 + "instance/service-accounts/":                                   "",
		v1 + "instance/scheduling/preemptible":                              "FALSE",
		v1 + "project/project-id":                                           "skyweld-lab",
		v1 + "project/numeric-project-id":                                   "424242424242",
		v1 + "project/attributes/?recursive=True":                           "{}",
		v1 + "instance/attributes/?recursive=True":                          `{"my-key":"#cloud-config\nhostname: x\n","user-data":"#cloud-config\nhostname: x\n"}`,
		v1 + "instance/network-interfaces/0/access-configs/?recursive=true": `[{"externalIp":"` + i.NetworkInterfaces[0].AccessConfigs[0].NatIP + `","type":"ONE_TO_ONE_NAT"}]`,
		v1 + "instance/scheduling/?recursive=true&alt=text":                 "automatic-restart TRUE\non-host-maintenance MIGRATE\npreemptible FALSE\n",
		v1 + "instance/id?alt=json":                                         formatID(i.Id),
		v1 + "instance/name?alt=json":                                       `"node"`,
		"/":                                                                 "computeMetadata/\n",
		"/computeMetadata/":                                                 "v1/\n",
		v1:                                                                  "instance/\noslogin/\nproject/\n",
	} {
		if w := ask("GET", path, ""); w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %q, want %q", path, w.Code, w.Body, want)
		}
	}
	var all map[string]any
	if err := json.Unmarshal(ask("GET", v1+"?recursive=true", "").Body.Bytes(), &all); err != nil || all["project"].(map[string]any)["numericProjectId"] != 424242424242.0 {
		t.Errorf("recursive: %v %v", err, all)
	}
	if w := ask("GET", v1+"instance", ""); w.Code != 301 || w.Header().Get("Location") != "http://metadata.google.internal"+v1+"instance/" {
		t.Errorf("without slash: %d %s", w.Code, w.Header().Get("Location"))
	}
	if w := ask("GET", v1+"instance/nothing", ""); w.Code != 404 {
		t.Errorf("unknown: %d", w.Code)
	}
	if w := ask("GET", v1+"instance/id", "", "Metadata-Flavor: "); w.Code != 403 {
		t.Errorf("without the header: %d", w.Code)
	}
	if w := ask("GET", v1+"instance/id", "", "X-Forwarded-For: 10.0.0.1"); w.Code != 403 {
		t.Errorf("forwarded: %d", w.Code)
	}
	if w := ask("PUT", v1+"instance/guest-attributes/hostkeys/ssh-ed25519", "AAAA"); w.Code != 200 {
		t.Errorf("guest attribute: %d %s", w.Code, w.Body)
	}
	if g, err := l.api.Instances.GetGuestAttributes(testProject, testZone, "node").QueryPath("hostkeys/").Do(); err != nil || len(g.QueryValue.Items) != 1 || g.QueryValue.Items[0].Value != "AAAA" {
		t.Errorf("guest attributes: %+v %v", g, err)
	}
	stranger := httptest.NewRequest("GET", "http://metadata.google.internal"+v1+"instance/id", nil)
	stranger.RemoteAddr = "10.64.9.9:1"
	stranger.Header.Set("Metadata-Flavor", "Google")
	w := httptest.NewRecorder()
	if handler.ServeHTTP(w, stranger); w.Code != 404 {
		t.Errorf("a stranger got %d", w.Code)
	}

	// A request that waits is answered by the change.
	etag := ask("GET", v1+"instance/tags", "").Header().Get("ETag")
	answered := make(chan string)
	go func() {
		answered <- ask("GET", v1+"instance/tags?wait_for_change=true&last_etag="+etag, "").Body.String()
	}()
	l.done(l.api.Instances.SetTags(testProject, testZone, "node", &compute.Tags{Items: []string{"new"}, Fingerprint: i.Tags.Fingerprint}).Do())
	if got := <-answered; got != `["new"]` {
		t.Errorf("waited for %s", got)
	}
	if w := ask("GET", v1+"instance/tags?wait_for_change=true&timeout_sec=0", ""); w.Code != http.StatusOK {
		t.Errorf("timeout: %d", w.Code)
	}
}

func FuzzMetadataPath(f *testing.F) {
	for _, p := range []string{"/computeMetadata/v1/instance/", "/computeMetadata/v1/instance/disks/0/mode", "//", "/computeMetadata/v1/instance/disks/-1/"} {
		f.Add(p)
	}
	s := &Service{st: newState(), cfg: Config{Project: "p"}, cat: loadCatalog()}
	s.st.Instances["i"] = &compute.Instance{Name: "i", Zone: "projects/p/zones/us-east4-b", Scheduling: &compute.Scheduling{}, Disks: []*compute.AttachedDisk{{}}}
	f.Fuzz(func(_ *testing.T, path string) {
		s.lookupMetadata(path, "", false, "i")
		s.lookupMetadata(path, "json", true, "i")
		s.lookupMetadata(path, "text", true, "i")
	})
}
