//go:build linux

package cloudinit

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// cloud serves a fixed set of paths; what isn't there is 404, and token or flavor are demanded as the clouds do.
type cloud struct {
	paths map[string]string
	// failures is how many requests are answered by an error first.
	failures atomic.Int32
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.failures.Add(-1) >= 0 {
		http.Error(w, "not yet", http.StatusServiceUnavailable)
		return
	}
	path := r.URL.RequestURI()
	google := strings.HasPrefix(path, "/computeMetadata/v1/") && r.Header.Get("Metadata-Flavor") == "Google" && r.Host == "metadata.google.internal"
	amazon := r.Header.Get("X-Aws-Ec2-Metadata-Token") == "tok"
	if path == "/latest/api/token" {
		amazon = r.Method == http.MethodPut && r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != ""
	}
	body, ok := c.paths[path]
	switch {
	case !google && !amazon && path != "/metadata/v1.json" && r.Header.Get("Metadata") != "true" && r.Header.Get("X-Ms-Version") == "":
		http.Error(w, "no", http.StatusForbidden)
	case !ok:
		http.NotFound(w, r)
	default:
		w.Write([]byte(body))
	}
}

func serve(t *testing.T, c *cloud) string {
	t.Helper()
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestFetch(t *testing.T) {
	tests := []struct {
		name, datasource string
		paths            map[string]string
		want             metadata
	}{
		{"EC2", "Ec2", map[string]string{
			"/latest/api/token":                             "tok",
			"/latest/meta-data/instance-id":                 "i-1",
			"/latest/meta-data/local-hostname":              "ip-10-0-0-1.ec2.internal",
			"/latest/meta-data/public-keys/":                "0=one\n1=two",
			"/latest/meta-data/public-keys/0/openssh-key":   "ssh-ed25519 AAAA one\n",
			"/latest/meta-data/public-keys/1/openssh-key":   "ssh-ed25519 BBBB two",
			"/latest/user-data":                             "#cloud-config\n",
			"/latest/dynamic/instance-identity/document":    "{}",
			"/latest/meta-data/placement/availability-zone": "us-east-1a",
		}, metadata{Source: "DataSourceEc2Local", InstanceID: "i-1", Hostname: "ip-10-0-0-1.ec2.internal",
			Keys: []string{"ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two"}, UserData: []byte("#cloud-config\n")}},
		{"EC2 with the least", "Ec2", map[string]string{"/latest/api/token": "tok", "/latest/meta-data/instance-id": "i-1"},
			metadata{Source: "DataSourceEc2Local", InstanceID: "i-1", UserData: []byte{}}},
		{"GCE", "GCE", map[string]string{
			"/computeMetadata/v1/instance/id":       "42",
			"/computeMetadata/v1/instance/hostname": "n1.us-east4-a.c.p.internal",
			"/computeMetadata/v1/instance/attributes/?recursive=true": `{"user-data":"#!/bin/sh\n",
				"ssh-keys":"ubuntu:ssh-ed25519 AAAA u\nops:ssh-ed25519 BBBB o\n# no\nbroken\n"}`,
			"/computeMetadata/v1/project/attributes/?recursive=true": `{"ssh-keys":"ops:ssh-ed25519 BBBB o\nops:ssh-ed25519 CCCC p"}`,
		}, metadata{Source: "DataSourceGCELocal", InstanceID: "42", Hostname: "n1.us-east4-a.c.p.internal",
			Keys:     []string{"ssh-ed25519 AAAA u"},
			UserKeys: map[string][]string{"ops": {"ssh-ed25519 BBBB o", "ssh-ed25519 CCCC p"}},
			UserData: []byte("#!/bin/sh\n")}},
		{"GCE, encoded, without the project's keys", "GCE", map[string]string{
			"/computeMetadata/v1/instance/id":                         "42",
			"/computeMetadata/v1/instance/attributes/?recursive=true": `{"user-data":"aGk=","user-data-encoding":"base64","block-project-ssh-keys":"TRUE"}`,
			"/computeMetadata/v1/project/attributes/?recursive=true":  `{"ssh-keys":"ops:ssh-ed25519 BBBB o"}`,
		}, metadata{Source: "DataSourceGCELocal", InstanceID: "42", UserKeys: map[string][]string{}, UserData: []byte("hi")}},
		{"Azure", "Azure", map[string]string{
			"/metadata/instance?api-version=2021-08-01&extended=true": `{"compute":{"vmId":"1-2","userData":"bm8=","osProfile":{"computerName":"cp-1"},"publicKeys":[{"keyData":"ssh-ed25519 AAAA one\n"}]}}`,
			"/machine/?comp=ovfenv": `<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1"><ProvisioningSection xmlns="http://schemas.microsoft.com/windowsazure">` +
				`<LinuxProvisioningConfigurationSet><CustomData>aGk=</CustomData></LinuxProvisioningConfigurationSet></ProvisioningSection></Environment>`,
		}, metadata{Source: "DataSourceAzure", InstanceID: "1-2", Hostname: "cp-1", Keys: []string{"ssh-ed25519 AAAA one"}, UserData: []byte("hi")}},
		{"Azure without custom data", "Azure", map[string]string{"/metadata/instance?api-version=2021-08-01&extended=true": `{"compute":{"vmId":"1-2","userData":"aGk="}}`},
			metadata{Source: "DataSourceAzure", InstanceID: "1-2", UserData: []byte("hi")}},
		{"DigitalOcean", "DigitalOcean", map[string]string{"/metadata/v1.json": `{"droplet_id":520000001,"hostname":"demo-cp-1","user_data":"#cloud-config\n",
			"vendor_data":"#cloud-config\nmanage_etc_hosts: true\ndisable_root: false\n","public_keys":["ssh-ed25519 AAAA one\n"],"region":"nyc3"}`},
			metadata{Source: "DataSourceDigitalOcean", InstanceID: "520000001", Hostname: "demo-cp-1", Keys: []string{"ssh-ed25519 AAAA one"},
				UserData: []byte("#cloud-config\n"), KeepRoot: true}},
		{"DigitalOcean with the least", "DigitalOcean", map[string]string{"/metadata/v1.json": `{"droplet_id":1}`},
			metadata{Source: "DataSourceDigitalOcean", InstanceID: "1", UserData: []byte{}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &cloud{paths: tt.paths}
			c.failures.Store(2)
			got, err := fetch(context.Background(), tt.datasource, serve(t, c))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestFetchGivesUp(t *testing.T) {
	address := serve(t, &cloud{})
	for _, datasource := range []string{"Ec2", "GCE", "DigitalOcean", "NoCloud"} {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if _, err := fetch(ctx, datasource, address); err == nil {
			t.Errorf("%s: no error", datasource)
		}
		cancel()
	}
}
