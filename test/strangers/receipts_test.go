package strangers_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/digitalocean/godo"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/skyweld/skyweld/lab/digitalocean"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/lab/world/paper"
)

const (
	receiptCluster = "00c0ffee00c0ffee"
	otherCluster   = "00decaf000decaf0"
)

// sees returns what scripts/sees.sh, by which the demo gives its receipts, finds of a cluster, sorted.
func sees(t *testing.T, cloud, cluster string, env ...string) []string {
	t.Helper()
	program(t, "curl", "the package curl")
	program(t, "jq", "the package jq")
	cmd := exec.CommandContext(t.Context(), filepath.Join("..", "..", "scripts", "sees.sh"), cloud, cluster)
	cmd.Env = append(append(os.Environ(), "NO_PROXY=*"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sees.sh %s: %v\n%s", cloud, err, out)
	}
	lines := strings.FieldsFunc(string(out), func(c rune) bool { return c == '\n' })
	slices.Sort(lines)
	return lines
}

// TestReceiptsOfAzure makes things of two clusters and of nobody, and wants those of the one to be seen.
func TestReceiptsOfAzure(t *testing.T) {
	t.Parallel()
	l := newAzureLab(t, world.Instant)
	for _, cluster := range []string{receiptCluster, otherCluster, ""} {
		tags := map[string]string{"owner": "strangers"}
		if cluster != "" {
			tags = map[string]string{"skyweld-cluster": cluster, "skyweld-key": "group"}
		}
		name := "of-" + cluster
		l.put(t, "/resourceGroups/"+name+"?api-version=2021-04-01", map[string]any{"location": "westeurope", "tags": tags})
		l.put(t, "/resourceGroups/"+name+"/providers/Microsoft.Network/virtualNetworks/net?api-version=2024-05-01", map[string]any{
			"location": "westeurope", "tags": tags, "properties": map[string]any{"addressSpace": map[string]any{"addressPrefixes": []string{"10.9.0.0/16"}}},
		})
	}
	group := "/subscriptions/" + azureSubscription + "/resourceGroups/of-" + receiptCluster
	env := []string{"AZURE_RESOURCE_MANAGER_ENDPOINT=" + l.url, "AZURE_AUTHORITY_HOST=" + l.url, "REQUESTS_CA_BUNDLE=" + l.ca,
		"AZURE_SUBSCRIPTION_ID=" + azureSubscription, "AZURE_TENANT_ID=" + azureTenant, "AZURE_CLIENT_ID=" + azureClient, "AZURE_CLIENT_SECRET=" + azureSecret}
	got := sees(t, "azure", receiptCluster, env...)
	if diff := cmp.Diff([]string{"resource-groups " + group, "virtualNetworks " + group + "/providers/Microsoft.Network/virtualNetworks/net"}, got); diff != "" {
		t.Error(diff)
	}
	if all := sees(t, "azure", "", env...); len(all) != 8 { // those of the three, and the network watcher with its group
		t.Errorf("without a cluster: %d things, want 8: %v", len(all), all)
	}
}

// put writes a resource, as somebody would by hand.
func (l *azureLab) put(t *testing.T, path string, body any) {
	t.Helper()
	pool, err := os.ReadFile(l.ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pool)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	resp, err := client.PostForm(l.url+"/"+azureTenant+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {azureClient}, "client_secret": {azureSecret}, "scope": {l.url + "/.default"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var login struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&login); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPut, l.url+"/subscriptions/"+azureSubscription+path, strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+login.Token)
	q.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= http.StatusBadRequest {
		t.Fatalf("PUT %s: %s", path, answer.Status)
	}
}

// TestReceiptsOfDigitalOcean does the same where marks are tags, descriptions, and tags that name an address.
func TestReceiptsOfDigitalOcean(t *testing.T) {
	t.Parallel()
	service, err := digitalocean.New(digitalocean.Config{Physical: paper.New(), Dir: t.TempDir(), Token: "dop_v1_test", Profile: world.Instant, Pools: paper.Pools()})
	if err != nil {
		t.Fatal(err)
	}
	lab := httptest.NewServer(service)
	t.Cleanup(func() {
		lab.Close()
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := godo.New(oauth2.NewClient(t.Context(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "dop_v1_test"})), godo.SetBaseURL(lab.URL+"/"))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i, cluster := range []string{receiptCluster, otherCluster} {
		ids := oceanThings(t, c, i, cluster)
		if cluster == receiptCluster {
			want = ids
		}
	}
	if _, _, err := c.ReservedIPs.Create(t.Context(), &godo.ReservedIPCreateRequest{Region: "nyc3"}); err != nil { // nobody's
		t.Fatal(err)
	}
	env := []string{"DIGITALOCEAN_API_URL=" + lab.URL, "DIGITALOCEAN_TOKEN=dop_v1_test", "SKYWELD_DIGITALOCEAN_CA="}
	slices.Sort(want)
	if diff := cmp.Diff(want, sees(t, "digitalocean", receiptCluster, env...)); diff != "" {
		t.Error(diff)
	}
	all := slices.DeleteFunc(sees(t, "digitalocean", "", env...), func(l string) bool { return strings.HasPrefix(l, "vpcs ") }) // every region has one of its own
	if n := 2*len(want) - 2 + 1; len(all) != n {
		t.Errorf("without a cluster: %d things besides networks, want %d: %v", len(all), n, all)
	}
	if none := sees(t, "digitalocean", "0000000000000000", env...); len(none) != 0 {
		t.Errorf("of no cluster: %v", none)
	}
}

// oceanThings makes one thing of each kind with a cluster's mark, and returns how it is to be seen.
func oceanThings(t *testing.T, c *godo.Client, i int, cluster string) []string {
	t.Helper()
	ctx := t.Context()
	mark, role := "skyweld:cluster:"+cluster, "skyweld:role:"+cluster+":site-worker"
	for _, tag := range []string{mark, role} {
		if _, _, err := c.Tags.Create(ctx, &godo.TagCreateRequest{Name: tag}); err != nil {
			t.Fatal(err)
		}
	}
	vpc, _, err := c.VPCs.Create(ctx, &godo.VPCCreateRequest{
		Name: fmt.Sprint("net", i), RegionSlug: "nyc3", IPRange: fmt.Sprintf("10.%d.0.0/20", 90+i), Description: "made by Skyweld: skyweld-cluster=" + cluster + " skyweld-key=site-vpc",
	})
	if err != nil {
		t.Fatal(err)
	}
	droplet, _, err := c.Droplets.Create(ctx, &godo.DropletCreateRequest{
		Name: fmt.Sprint("node", i), Region: "nyc3", Size: "s-1vcpu-1gb", Image: godo.DropletCreateImage{Slug: "ubuntu-24-04-x64"}, VPCUUID: vpc.ID, Tags: []string{mark, role}, SSHKeys: []godo.DropletCreateSSHKey{},
	})
	if err != nil {
		t.Fatal(err)
	}
	firewall, _, err := c.Firewalls.Create(ctx, &godo.FirewallRequest{
		Name: fmt.Sprint("fw", i), Tags: []string{role}, OutboundRules: []godo.OutboundRule{{Protocol: "icmp", Destinations: &godo.Destinations{Addresses: []string{"0.0.0.0/0"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	address, _, err := c.ReservedIPs.Create(ctx, &godo.ReservedIPCreateRequest{Region: "nyc3"})
	if err != nil {
		t.Fatal(err)
	}
	named := "skyweld:ip:" + cluster + ":site-address:" + strings.ReplaceAll(address.IP, ".", "-")
	if _, _, err := c.Tags.Create(ctx, &godo.TagCreateRequest{Name: named}); err != nil {
		t.Fatal(err)
	}
	return []string{
		fmt.Sprint("droplets ", droplet.ID), "firewalls " + firewall.ID, "reserved-ips " + address.IP, "vpcs " + vpc.ID, "tags " + mark, "tags " + role, "tags " + named,
	}
}
