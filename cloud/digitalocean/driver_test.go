package digitalocean

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
)

const testToken = "dop_v1_f00d"

func testAccount(endpoint string) cloud.Account {
	return cloud.Account{
		Name: "test", Provider: cloud.DigitalOcean, Settings: map[string]string{SettingEndpoint: endpoint},
		Secrets: map[string]cloud.Secret{SecretToken: testToken},
	}
}

// served is a driver on a server of the test's own.
func served(t *testing.T, handle http.HandlerFunc) *Driver {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer "+testToken {
			t.Errorf("%s %s has the authorization %q", r.Method, r.URL, got)
		}
		handle(w, r)
	}))
	t.Cleanup(server.Close)
	d, err := New(t.Context(), testAccount(server.URL), nil)
	if err != nil {
		t.Fatal(err)
	}
	d.pace = time.Millisecond
	return d
}

// answer writes JSON made of a format.
func answer(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, format, args...)
}

// tagPages writes one page of tags, with the links and the total that it is told.
func tagPages(w http.ResponseWriter, names []string, next string, total int) {
	var tags []map[string]string
	for _, n := range names {
		tags = append(tags, map[string]string{"name": n})
	}
	pages := map[string]string{}
	if next != "" {
		pages["next"] = next
	}
	body, err := json.Marshal(map[string]any{"tags": tags, "links": map[string]any{"pages": pages}, "meta": map[string]int{"total": total}})
	if err != nil {
		panic(err)
	}
	answer(w, http.StatusOK, "%s", body)
}

// TestPages reads a list to its end, and again when it changed on the way.
func TestPages(t *testing.T) {
	calls := 0
	d := served(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		switch {
		case r.URL.Query().Get("per_page") != "200":
			t.Errorf("asked for %s", r.URL)
		case calls == 1: // then one of the first page goes, and what was the third comes to be on it
			tagPages(w, []string{"a", "b"}, "https://x/v2/tags?page=2", 3)
		case calls == 2:
			tagPages(w, nil, "", 2)
		case r.URL.Query().Get("page") == "1":
			tagPages(w, []string{"a"}, "https://x/v2/tags?page=2", 2)
		default:
			tagPages(w, []string{"c"}, "", 2)
		}
	})
	tags, err := d.listTags(t.Context())
	if err != nil || len(tags) != 2 {
		t.Errorf("%v, error %v", tags, err)
	}
	never := served(t, func(w http.ResponseWriter, _ *http.Request) { tagPages(w, []string{"a"}, "", 7) })
	if _, err := never.listTags(t.Context()); cloud.ClassOf(err) != cloud.Unavailable {
		t.Errorf("a list that is never whole: %v", err)
	}
}

// TestBusy repeats what only reads while DigitalOcean is in trouble; what makes something only where it is refused for
// being one call too many, and then with all that was in it.
func TestBusy(t *testing.T) {
	var gets, posts, names int
	d := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			if body, err := io.ReadAll(r.Body); err == nil && strings.Contains(string(body), `"x"`) {
				names++
			}
			switch posts++; posts {
			case 1, 2:
				w.Header().Set("Retry-After", "0")
				answer(w, http.StatusTooManyRequests, `{"id": "too_many_requests", "message": "API Rate limit exceeded."}`)
			case 3:
				answer(w, http.StatusCreated, `{"tag": {"name": "x"}}`)
			default:
				answer(w, http.StatusServiceUnavailable, `{}`)
			}
			return
		}
		if gets++; gets < 3 {
			answer(w, http.StatusServiceUnavailable, `{}`)
			return
		}
		tagPages(w, []string{"a"}, "", 1)
	})
	if tags, err := d.listTags(t.Context()); err != nil || len(tags) != 1 || gets != 3 {
		t.Errorf("%v after %d calls, error %v", tags, gets, err)
	}
	if err := d.tagged(t.Context(), "x"); err != nil || posts != 3 || names != 3 {
		t.Errorf("%d calls, %d of them whole, error %v", posts, names, err)
	}
	err := failed("make a tag", d.tagged(t.Context(), "x"))
	if cloud.ClassOf(err) != cloud.Unavailable || posts != 4 {
		t.Errorf("%d calls, error %v", posts-3, err)
	}
}

// TestTenAtOnce makes thirty droplets, of which no more than ten are under way at any time.
func TestTenAtOnce(t *testing.T) {
	var mu sync.Mutex
	var now, most int
	var ids atomic.Int64
	asked := map[string]int{}
	d := served(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		const whole = `{"droplet": {"id": %s, "status": "%s", "vpc_uuid": "v", "networks": {"v4": [
			{"type": "private", "ip_address": "10.64.0.9"}, {"type": "public", "ip_address": "198.51.100.9"}]}}}`
		switch {
		case r.Method == http.MethodPost:
			now++
			most = max(most, now)
			answer(w, http.StatusAccepted, whole, fmt.Sprint(ids.Add(1)), "new")
		case r.URL.Path == "/v2/droplets":
			answer(w, http.StatusOK, `{"droplets": [], "links": {}, "meta": {"total": 0}}`)
		default:
			id := strings.TrimPrefix(r.URL.Path, "/v2/droplets/")
			if asked[id]++; asked[id] < 3 {
				answer(w, http.StatusOK, whole, id, "new")
				return
			}
			now--
			answer(w, http.StatusOK, whole, id, "active")
		}
	})
	var group sync.WaitGroup
	for i := range 30 {
		group.Go(func() {
			key := fmt.Sprintf("do-node-%d", i)
			_, err := d.Create(t.Context(), cloud.CreateRequest{
				Owner: cloudtest.TestOwner, Token: fmt.Sprintf("%032x", i), UserData: []byte("#cloud-config\n"),
				Refs:     map[string]cloud.Object{"do-vpc": {Kind: kindVPC, ID: "v"}},
				Resource: cloud.Resource{Key: key, Kind: kindDroplet, Site: "do", Region: region, Spec: &DropletSpec{VPC: "do-vpc", Size: "s-2vcpu-4gb", Tags: []string{}}},
			})
			if err != nil {
				t.Errorf("%s: %v", key, err)
			}
		})
	}
	group.Wait()
	if most != dropletsAtOnce {
		t.Errorf("%d droplets were under way at once, want %d at most", most, dropletsAtOnce)
	}
}

// TestUserDataIsNotShown refuses a droplet by repeating what was asked for.
func TestUserDataIsNotShown(t *testing.T) {
	const secret = "ssh_host_ed25519_key: AAAAC3NzaC1lZDI1NTE5AAAA"
	d := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			answer(w, http.StatusOK, `{"droplets": [], "links": {}, "meta": {"total": 0}}`)
			return
		}
		answer(w, http.StatusUnprocessableEntity, `{"id": "unprocessable_entity", "message": "can't parse %s"}`, secret)
	})
	_, err := d.Create(t.Context(), cloud.CreateRequest{
		Owner: cloudtest.TestOwner, Token: strings.Repeat("a", 32), UserData: []byte("#cloud-config\n" + secret + "\n"),
		Refs:     map[string]cloud.Object{"do-vpc": {Kind: kindVPC, ID: "v"}},
		Resource: cloud.Resource{Key: "do-node-a", Kind: kindDroplet, Site: "do", Region: region, Spec: &DropletSpec{VPC: "do-vpc", Size: "s-2vcpu-4gb", Tags: []string{}}},
	})
	if cloud.ClassOf(err) != cloud.Invalid || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "AAAAC3") {
		t.Errorf("error %v", err)
	}
}

// TestOtherCreation doesn't take a droplet for one of this creation whose user data, and with it the host key, is another.
func TestOtherCreation(t *testing.T) {
	const key = "do-node-a"
	uid := cloudtest.TestOwner.UID
	d := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Query().Get("tag_name") != clusterTag(uid) {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		answer(w, http.StatusOK, `{"droplets": [{"id": 7, "name": "x", "status": "active", "tags": ["%s", "%s"]}], "links": {}, "meta": {"total": 1}}`,
			clusterTag(uid), keyTag(uid, key, strings.Repeat("b", 32)))
	})
	_, err := d.Create(t.Context(), cloud.CreateRequest{
		Owner: cloudtest.TestOwner, Token: strings.Repeat("a", 32), UserData: []byte("#cloud-config\n"),
		Refs:     map[string]cloud.Object{"do-vpc": {Kind: kindVPC, ID: "v"}},
		Resource: cloud.Resource{Key: key, Kind: kindDroplet, Site: "do", Region: region, Spec: &DropletSpec{VPC: "do-vpc", Size: "s-2vcpu-4gb", Tags: []string{}}},
	})
	if cloud.ClassOf(err) != cloud.AlreadyExists || !strings.Contains(err.Error(), "droplet 7") {
		t.Errorf("error %v", err)
	}
}

// TestDefaultVPCStays never asks for the deletion of one, whatever the ledger says.
func TestDefaultVPCStays(t *testing.T) {
	d := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		answer(w, http.StatusOK, `{"vpc": {"id": "v", "name": "default-nyc1", "region": "nyc1", "default": true}}`)
	})
	err := d.Delete(t.Context(), cloudtest.TestOwner, cloud.Object{Kind: kindVPC, Key: "do-vpc", ID: "v"})
	if cloud.ClassOf(err) != cloud.Conflict || !strings.Contains(err.Error(), "default-nyc1") {
		t.Errorf("error %v", err)
	}
}

// TestUsedTagStays never takes a tag off what still has it.
func TestUsedTagStays(t *testing.T) {
	d := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		answer(w, http.StatusOK, `{"tag": {"name": "x", "resources": {"count": 2}}}`)
	})
	err := d.Delete(t.Context(), cloudtest.TestOwner, cloud.Object{Kind: kindTag, Key: "do-tag-node", ID: roleTag(cloudtest.TestOwner.UID, "do-tag-node")})
	if cloud.ClassOf(err) != cloud.Conflict {
		t.Errorf("error %v", err)
	}
	err = d.Delete(t.Context(), cloudtest.TestOwner, cloud.Object{Kind: kindTag, Key: "do-tag-node", ID: "production"})
	if cloud.ClassOf(err) != cloud.Invalid {
		t.Errorf("a tag of somebody else's: %v", err)
	}
}

// TestNewbornDroplet is one that doesn't tell yet in which VPC it is: it counts as being in its site's, or it would be
// replaced while it is made.
func TestNewbornDroplet(t *testing.T) {
	uid := cloudtest.TestOwner.UID
	s := snapshot{cluster: uid, region: region, vpcs: []*godo.VPC{
		{ID: "v1", Name: cloudtest.TestOwner.ResourceName("do-vpc"), Description: cloudtest.TestOwner.Description("do-vpc"), RegionSlug: region},
		{ID: "v2", Name: cloudtest.TestOwner.ResourceName("do-two-vpc"), Description: cloudtest.TestOwner.Description("do-two-vpc"), RegionSlug: region},
	}}
	for status, keys := range map[string][]string{"new": {"do-node-a", "do-two-node-b"}, "active": {"do-node-c"}} {
		for _, key := range keys {
			s.droplets = append(s.droplets, godo.Droplet{
				ID: len(s.droplets) + 1, Status: status, Region: &godo.Region{Slug: region}, Tags: []string{clusterTag(uid), keyTag(uid, key, strings.Repeat("a", 32))},
			})
		}
	}
	got := map[string]string{}
	for _, o := range s.objects() {
		if d, ok := o.Spec.(*DropletSpec); ok {
			got[o.Key] = d.VPC
		}
	}
	if diff := cmp.Diff(map[string]string{"do-node-a": "do-vpc", "do-two-node-b": "do-two-vpc", "do-node-c": ""}, got); diff != "" {
		t.Errorf("VPCs (-want +got):\n%s", diff)
	}
}

// TestGhosts removes a tag that is counted on a droplet which isn't there, and keeps one that is on one which is.
func TestGhosts(t *testing.T) {
	for droplets, want := range map[string]cloud.Class{"": "", `{"id": 7}`: cloud.Conflict} {
		deleted := false
		d := served(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodDelete:
				deleted = true
				answer(w, http.StatusNoContent, "")
			case r.URL.Path == "/v2/droplets":
				answer(w, http.StatusOK, `{"droplets": [%s], "links": {}}`, droplets)
			case strings.HasPrefix(r.URL.Path, "/v2/tags/"):
				answer(w, http.StatusOK, `{"tag": {"name": "x", "resources": {"count": 1, "droplets": {"count": 1}}}}`)
			case r.URL.Path == "/v2/tags":
				tagPages(w, nil, "", 0)
			default:
				answer(w, http.StatusOK, `{"reserved_ips": [], "links": {}, "meta": {"total": 0}}`)
			}
		})
		err := d.Delete(t.Context(), cloudtest.TestOwner, cloud.Object{Kind: kindTag, Key: "do-tag-node", ID: roleTag(cloudtest.TestOwner.UID, "do-tag-node")})
		if err != nil && cloud.ClassOf(err) != want || deleted != (want == "") {
			t.Errorf("with the droplets [%s]: deleted %v, error %v", droplets, deleted, err)
		}
	}
}
