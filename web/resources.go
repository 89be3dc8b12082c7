package web

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
)

var resourcePages = []page{
	{path: "/clusters/{name}/resources", needs: auth.Viewer, show: showResources},
}

// resourceGroup is what a cluster has at one site.
type resourceGroup struct {
	site site
	list []api.Resource
}

func showResources(a *call) (view, error) {
	var c api.Cluster
	var list []api.Resource
	err := a.together(
		into(&c, func(ctx context.Context) (api.Cluster, error) { return a.api.Cluster(ctx, a.arg("name")) }),
		into(&list, func(ctx context.Context) ([]api.Resource, error) { return a.api.Resources(ctx, a.arg("name")) }),
	)
	if err != nil {
		return view{}, err
	}
	return clusterView(c, "Resources", resourcesPage(c, grouping(sitesOf(c, nil), list))), nil
}

// grouping puts resources under their sites.
func grouping(sites []site, list []api.Resource) []resourceGroup {
	var out []resourceGroup
	for _, s := range sites {
		g := resourceGroup{site: s}
		for _, r := range list {
			if r.Site == s.name {
				g.list = append(g.list, r)
			}
		}
		slices.SortStableFunc(g.list, func(x, y api.Resource) int {
			return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Key, y.Key))
		})
		out = append(out, g)
	}
	return out
}

// shortID is a cloud's id without what is around it: of Google's path, and Azure's, the name.
func shortID(id string) string {
	id, _, _ = strings.Cut(id, "#")
	return id[strings.LastIndex(id, "/")+1:]
}

// awsPages are where Amazon's console shows a thing of each kind: behind "#", with the id at the end.
var awsPages = map[string]string{
	"vpc": "vpcconsole/home#VpcDetails:VpcId=", "subnet": "vpcconsole/home#SubnetDetails:subnetId=", "internet-gateway": "vpcconsole/home#InternetGateway:internetGatewayId=",
	"route-table": "vpcconsole/home#RouteTableDetails:RouteTableId=", "security-group": "ec2/home#SecurityGroup:groupId=", "address": "ec2/home#ElasticIpDetails:AllocationId=",
	"instance": "ec2/home#InstanceDetails:instanceId=", "volume": "ec2/home#VolumeDetails:volumeId=", "network-interface": "ec2/home#NetworkInterface:networkInterfaceId=",
}

// googlePages are those of Google's console, with %s for where a thing is.
var googlePages = map[string]string{"networks": "networking/networks/details/", "subnetworks": "networking/subnetworks/details/", "firewalls": "networking/firewalls/details/", "instances": "compute/instancesDetail/", "disks": "compute/disksDetail/", "addresses": "networking/addresses/list"}

// consoleURL is where a cloud's own console shows a thing, empty where that isn't known.
func consoleURL(provider string, r api.Resource) string {
	id, _, _ := strings.Cut(r.ID, "#")
	switch provider {
	case "aws":
		page, ok := awsPages[r.Kind]
		if !ok || !plainID(id) {
			return ""
		}
		before, after, _ := strings.Cut(page, "#")
		region := url.QueryEscape(r.Region)
		return "https://" + region + ".console.aws.amazon.com/" + before + "?region=" + region + "#" + after + id
	case "gcp":
		return googleURL(id)
	case "azure":
		if !strings.HasPrefix(id, "/subscriptions/") {
			return ""
		}
		return "https://portal.azure.com/#resource" + (&url.URL{Path: id}).EscapedPath()
	case "digitalocean":
		switch {
		case !plainID(id):
		case r.Kind == "droplet":
			return "https://cloud.digitalocean.com/droplets/" + id
		case r.Kind == "firewall":
			return "https://cloud.digitalocean.com/networking/firewalls/" + id
		case r.Kind == "vpc":
			return "https://cloud.digitalocean.com/networking/vpc/" + id
		case r.Kind == "reserved-ip":
			return "https://cloud.digitalocean.com/networking/reserved_ips"
		}
	}
	return ""
}

// googleURL is Google's page for a path "projects/P/zones/Z/instances/NAME".
func googleURL(path string) string {
	parts := strings.Split(path, "/")
	if len(parts) < 5 || parts[0] != "projects" {
		return ""
	}
	page, ok := googlePages[parts[len(parts)-2]]
	if !ok {
		return ""
	}
	project := "?project=" + url.QueryEscape(parts[1])
	if !strings.HasSuffix(page, "/") {
		return "https://console.cloud.google.com/" + page + project
	}
	var at []string
	if len(parts) == 6 {
		at = append(at, parts[2], url.PathEscape(parts[3]))
	}
	return "https://console.cloud.google.com/" + page + strings.Join(append(at, url.PathEscape(parts[len(parts)-1])), "/") + project
}

// plainID says that an id has nothing in it that means something in an address.
func plainID(id string) bool {
	return id != "" && !strings.ContainsFunc(id, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
	})
}
