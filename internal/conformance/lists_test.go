package conformance_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	labarm "github.com/skyweld/skyweld/lab/arm"
	"github.com/skyweld/skyweld/lab/world"
)

// listing counts requests: of each list its first page, and the pages that followed.
type listing struct {
	// name says which list a request is for, with what tells it from others, and whether it asks for a further page; an
	// empty name is for a login.
	name func(*http.Request, []byte) (list string, further bool)
	// short makes a request ask for short pages, where requests say how long they are.
	short func(*http.Request)

	mu           sync.Mutex
	lists, pages map[string]int
}

func (l *listing) transport(next http.RoundTripper) http.RoundTripper {
	return reading(next, func(r *http.Request, body []byte) *http.Response {
		name, further := l.name(r, body)
		l.mu.Lock()
		defer l.mu.Unlock()
		switch {
		case name == "":
		case further:
			l.pages[name]++
		default:
			l.lists[name]++
		}
		if l.short != nil {
			l.short(r)
		}
		return nil
	})
}

// observe counts one observation.
func (l *listing) observe(t *testing.T, d cloud.Driver, region string) (objects int, lists, pages map[string]int) {
	t.Helper()
	l.mu.Lock()
	l.lists, l.pages = map[string]int{}, map[string]int{}
	l.mu.Unlock()
	list, err := d.Observe(t.Context(), cloudtest.TestOwner.UID, region)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range list {
		if o.State != cloud.Gone {
			objects++
		}
	}
	return objects, maps.Clone(l.lists), maps.Clone(l.pages)
}

// query sets a parameter of a request's.
func query(r *http.Request, name, value string) {
	q := r.URL.Query()
	q.Set(name, value)
	u := *r.URL
	u.RawQuery = q.Encode()
	r.URL = &u
}

// listCloud is a cloud whose observations are counted.
type listCloud struct {
	listing
	site cloud.Site
	open func(*testing.T, cloud.Transport) (cloud.Driver, func(*testing.T, *cloudtest.Built))
	want []string
}

func listClouds() map[string]*listCloud {
	return map[string]*listCloud{
		"aws": {
			site: awsSite(),
			listing: listing{name: func(r *http.Request, body []byte) (string, bool) {
				_, _, action, form := awsCall(r, body)
				return action, form.Get("NextToken") != ""
			}},
			open: func(t *testing.T, wrap cloud.Transport) (cloud.Driver, func(*testing.T, *cloudtest.Built)) {
				lab := newAWSLab(t, world.Instant)
				return lab.wrapped(t, wrap), lab.manyGroups
			},
			want: []string{
				"DescribeAddresses", "DescribeInstances", "DescribeInternetGateways", "DescribeNetworkInterfaces", "DescribeRouteTables",
				"DescribeSecurityGroups", "DescribeSubnets", "DescribeVolumes", "DescribeVpcs",
			},
		},
		"gcp": {
			site: gcpSite(),
			listing: listing{
				name: func(r *http.Request, _ []byte) (string, bool) {
					_, path, _ := strings.Cut(r.URL.Path, "/projects/"+gcpProject+"/")
					return path, r.URL.Query().Get("pageToken") != ""
				},
				short: func(r *http.Request) { query(r, "maxResults", "2") },
			},
			open: func(t *testing.T, wrap cloud.Transport) (cloud.Driver, func(*testing.T, *cloudtest.Built)) {
				return newGCPLab(t, world.Instant).driver(t, wrap), nil
			},
			want: []string{"aggregated/disks", "aggregated/instances", "global/firewalls", "global/networks", "global/routes", "regions/us-east4/addresses", "regions/us-east4/subnetworks"},
		},
		"azure": {
			site: cloudtest.DefaultSite("conf", azureRegion, azureZones),
			listing: listing{name: func(r *http.Request, _ []byte) (string, bool) {
				_, path, ok := strings.Cut(r.URL.Path, "/subscriptions/"+azureSubscription+"/")
				if !ok {
					return "", false
				}
				if r.URL.Query().Get("statusOnly") != "" {
					path += " (states)"
				}
				return strings.TrimPrefix(path, "providers/"), r.URL.Query().Get("$skiptoken") != ""
			}},
			open: func(t *testing.T, wrap cloud.Transport) (cloud.Driver, func(*testing.T, *cloudtest.Built)) {
				return newAzureLab(t, world.Instant, func(c *labarm.Config) { c.PageSize = 2 }).wrapped(t, wrap), nil
			},
			want: []string{
				"Microsoft.Compute/disks", "Microsoft.Compute/virtualMachines", "Microsoft.Compute/virtualMachines (states)", "Microsoft.Network/networkInterfaces",
				"Microsoft.Network/networkSecurityGroups", "Microsoft.Network/publicIPAddresses", "Microsoft.Network/virtualNetworks", "resourcegroups",
			},
		},
		"digitalocean": {
			site: cloudtest.DefaultSite("conf", doRegion, []string{doRegion}),
			listing: listing{
				name: func(r *http.Request, _ []byte) (string, bool) {
					page := r.URL.Query().Get("page")
					return strings.TrimPrefix(r.URL.Path, "/v2/"), page != "" && page != "1"
				},
				short: func(r *http.Request) { query(r, "per_page", "2") },
			},
			open: func(t *testing.T, wrap cloud.Transport) (cloud.Driver, func(*testing.T, *cloudtest.Built)) {
				return newDOLab(t, world.Instant).driver(t, wrap), nil
			},
			want: []string{"droplets", "firewalls", "reserved_ips", "tags", "vpcs"},
		},
	}
}

// manyGroups makes more marked security groups than a page holds: EC2's requests are signed with the page's length.
func (l *awsLab) manyGroups(t *testing.T, b *cloudtest.Built) {
	t.Helper()
	for i := range 100 {
		key := fmt.Sprintf("copy-%d", i)
		in := &ec2.CreateSecurityGroupInput{
			GroupName: sdk.String(key), Description: sdk.String(key), VpcId: sdk.String(b.Objects["conf-vpc"].ID),
			TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroup, Tags: []types.Tag{
				{Key: sdk.String(cloud.TagCluster), Value: sdk.String(cloudtest.TestOwner.UID)}, {Key: sdk.String(cloud.TagKey), Value: sdk.String(key)},
			}}},
		}
		if _, err := l.client().CreateSecurityGroup(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
}

// TestObserveLists counts the requests of observations: one list, of as many pages as it takes, for each type of resource,
// and one more for Azure's power states, whatever is there. Nothing is asked for one by one.
func TestObserveLists(t *testing.T) {
	for name, c := range listClouds() {
		t.Run(name, func(t *testing.T) {
			short := c.short
			c.short = nil
			d, many := c.open(t, c.transport)
			once := map[string]int{}
			for _, list := range c.want {
				once[list] = 1
			}
			check := func(what string, least int) (pages map[string]int) {
				t.Helper()
				objects, lists, pages := c.observe(t, d, c.site.Region)
				if diff := cmp.Diff(once, lists); diff != "" {
					t.Errorf("%s: lists (-want +got):\n%s", what, diff)
				}
				if objects < least {
					t.Errorf("%s: %d things were observed, want %d or more", what, objects, least)
				}
				t.Logf("%s: %d things by %d lists and %d further pages %v", what, objects, len(lists), sum(pages), pages)
				return pages
			}
			check("nothing there", 0)
			list, err := d.Blueprint(cloudtest.TestOwner, larger(c.site))
			if err != nil {
				t.Fatal(err)
			}
			c.lists, c.pages = map[string]int{}, map[string]int{}
			b, err := cloudtest.Build(t.Context(), d, cloudtest.TestOwner, larger(c.site))
			if err != nil {
				t.Fatal(err)
			}
			check("a whole site", len(list))
			if many != nil {
				many(t, b)
			}
			c.short = short
			if pages := check("in short pages", len(list)); sum(pages) == 0 {
				t.Errorf("no list had a second page")
			}
			c.short = nil
			for _, r := range slices.Backward(b.Resources) {
				if r.Kind == "security-group" && many != nil {
					break // the copies are in the way of the rest
				}
				if err := d.Delete(t.Context(), cloudtest.TestOwner, b.Objects[r.Key]); err != nil {
					t.Fatal(err)
				}
			}
			check("deleted", 0)
		})
	}
}

// larger is a site with three more workers.
func larger(site cloud.Site) cloud.Site {
	last := site.Machines[len(site.Machines)-1]
	site.Machines = slices.Clone(site.Machines)
	for i := range 3 {
		m := last
		m.Name = fmt.Sprintf("conf-web-%d", i+2)
		for range i + 1 {
			m.Address = m.Address.Next()
		}
		site.Machines = append(site.Machines, m)
	}
	return site
}

func sum(counts map[string]int) (total int) {
	for _, n := range counts {
		total += n
	}
	return total
}
