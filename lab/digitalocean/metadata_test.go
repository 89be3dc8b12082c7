package digitalocean

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/digitalocean/godo"
)

// TestMetadata reads what a Droplet is told of itself, in both forms.
func TestMetadata(t *testing.T) {
	l := newLab(t)
	v := l.vpc("sw-test", testRegion, "10.64.0.0/20")
	d := l.droplet("demo-cp-1", v.ID, "web")
	ip := must[*godo.ReservedIP](t)(l.ReservedIPs.Create(ctx, &godo.ReservedIPCreateRequest{DropletID: d.ID}))
	l.soon("the reserved IP is assigned", func() bool { return must[*godo.ReservedIP](t)(l.ReservedIPs.Get(ctx, ip.IP)).Droplet != nil })
	public, _ := d.PublicIPv4()
	ask := func(from, path string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, "http://169.254.169.254"+path, nil)
		r.RemoteAddr = from + ":1234"
		w := httptest.NewRecorder()
		l.service.Metadata(v.ID).ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for path, want := range map[string]string{
		"/metadata/v1/":                                        "auth-key\ndns/\nfloating_ip/\nhostname\nid\ninterfaces/\npublic-keys\nregion\nreserved_ip/\ntags\nuser-data\nvendor-data",
		"/metadata/v1/id":                                      machineID(d.ID),
		"/metadata/v1/hostname":                                "demo-cp-1",
		"/metadata/v1/region":                                  testRegion,
		"/metadata/v1/tags":                                    "web",
		"/metadata/v1/user-data":                               "#cloud-config\n",
		"/metadata/v1/interfaces/":                             "private/\npublic/",
		"/metadata/v1/interfaces/public/":                      "0/",
		"/metadata/v1/interfaces/public/0/":                    "anchor_ipv4/\nipv4/\nmac\ntype",
		"/metadata/v1/interfaces/public/0/ipv4/address":        public,
		"/metadata/v1/interfaces/public/0/anchor_ipv4/":        "address\ngateway\nnetmask",
		"/metadata/v1/interfaces/public/0/anchor_ipv4/address": "10.17.0.5",
		"/metadata/v1/interfaces/public/0/anchor_ipv4/gateway": "10.17.0.1",
		"/metadata/v1/interfaces/private/0/ipv4/address":       "10.64.0.2",
		"/metadata/v1/interfaces/private/0/ipv4/netmask":       "255.255.240.0",
		"/metadata/v1/reserved_ip/ipv4/active":                 "true",
		"/metadata/v1/reserved_ip/ipv4/ip_address":             ip.IP,
	} {
		if code, got := ask(public, path); code != http.StatusOK || got != want {
			t.Errorf("%s: %d %q; want %q", path, code, got, want)
		}
	}
	for _, c := range [][2]string{{"10.64.0.9", "/metadata/v1/id"}, {public, "/metadata/v1/nothing"}, {public, "/latest/meta-data/"}} {
		if code, got := ask(c[0], c[1]); code != http.StatusNotFound {
			t.Errorf("%s from %s: %d %q", c[1], c[0], code, got)
		}
	}
	code, text := ask("10.64.0.2", "/metadata/v1.json")
	var doc struct {
		ID         int    `json:"droplet_id"`
		UserData   string `json:"user_data"`
		VendorData string `json:"vendor_data"`
		Interfaces struct {
			Public []struct {
				MAC    string
				Anchor struct {
					Address string `json:"ip_address"`
				} `json:"anchor_ipv4"`
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || code != http.StatusOK {
		t.Fatalf("%d %v: %s", code, err, text)
	}
	nics := l.drawing.Networks()[v.ID].NICs
	if doc.ID != d.ID || doc.UserData != "#cloud-config\n" || !strings.HasPrefix(doc.VendorData, "#cloud-config") || len(doc.Interfaces.Public) != 1 ||
		doc.Interfaces.Public[0].MAC != nics[0].MAC || doc.Interfaces.Public[0].Anchor.Address != "10.17.0.5" {
		t.Errorf("v1.json: %s", text)
	}
}

// TestPrivateOnly makes a Droplet without public networking.
func TestPrivateOnly(t *testing.T) {
	l := newLab(t)
	no := false
	in := request("a", "")
	in.PublicNetworking = &no
	d := l.active(must[*godo.Droplet](t)(l.Droplets.Create(ctx, in)).ID)
	if public, _ := d.PublicIPv4(); public != "" || len(d.Networks.V4) != 1 {
		t.Errorf("networks %+v", d.Networks)
	}
	if nics := l.drawing.Networks()[d.VPCUUID].NICs; len(nics) != 1 || nics[0].NoDefault || nics[0].Internet {
		t.Errorf("interfaces %+v", nics)
	}
	ip := must[*godo.ReservedIP](t)(l.ReservedIPs.Create(ctx, &godo.ReservedIPCreateRequest{Region: testRegion}))
	_, _, err := l.ReservedIPActions.Assign(ctx, ip.IP, d.ID)
	l.refused(err, http.StatusUnprocessableEntity, "Droplet doesn't have an anchor IP.")
}
