package conformance_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	labarm "github.com/skyweld/skyweld/lab/arm"
	labdo "github.com/skyweld/skyweld/lab/digitalocean"
	"github.com/skyweld/skyweld/lab/world"
	"github.com/skyweld/skyweld/sizes"
)

// sized is a site with the sizes of its machines changed, as far as they go.
func sized(site cloud.Site, sizes ...string) cloud.Site {
	site.Machines = slices.Clone(site.Machines)
	for i, size := range sizes {
		site.Machines[i].Size = size
	}
	return site
}

// TestTypesByZone asks each cloud for types that one of the site's zones, or the whole region, doesn't have, and for what no
// machine can be of. What the lab offers where is what the clouds offer, or what the test withholds.
func TestTypesByZone(t *testing.T) {
	aws, gcp := newAWSLab(t, world.Instant), newGCPLab(t, world.Instant)
	azure := newAzureLab(t, world.Instant, func(c *labarm.Config) {
		c.Withheld = map[string][]string{
			"eastus":   {"Standard_D4s_v3"},
			"eastus/2": {"Standard_D4as_v5", "Standard_D2s_v5"}, "eastus/1": {"Standard_D2s_v5"}, "eastus/3": {"Standard_D2s_v5"},
		}
	})
	ocean := newDOLab(t, world.Instant, func(c *labdo.Config) { c.Withheld = map[string][]string{doRegion: {"g-4vcpu-16gb"}} })
	for _, c := range []struct {
		name  string
		d     cloud.Driver
		site  cloud.Site
		sizes []string
		want  []string // one of each problem's line
	}{
		{"AWS, one zone", aws.driver(t, awsSecret), awsSite(), []string{"m8a.xlarge", "m8a.xlarge", "m8a.xlarge"}, []string{
			"invalid instance type m8a.xlarge: it is not offered in us-east-1b, only in us-east-1a, us-east-1c, us-east-1d; the nearest there are t3a.xlarge, t3.xlarge, m5a.xlarge, m6a.xlarge, ",
		}},
		{"AWS, the region", aws.driver(t, awsSecret), awsSite(), []string{"m6i.xlarge", "p6-b300.48xlarge", "small"}, []string{
			"invalid instance type p6-b300.48xlarge: us-east-1 has no such type; the nearest are p",
		}},
		{"AWS, arm", aws.driver(t, awsSecret), awsSite(), []string{"m6i.xlarge", "m6i.xlarge", "m7g.large"}, []string{
			"invalid instance type m7g.large: it is for arm64; Skyweld's machines are amd64; the nearest are t3a.large, t3.large, m5a.large",
		}},
		{"AWS, too small", aws.driver(t, awsSecret), awsSite(), []string{"t3.nano", "t2.micro", "t3.nano"}, []string{
			"invalid instance type t2.micro: it has 1 vCPU; a control-plane machine needs at least 2 vCPUs and 2 GiB of memory; the nearest are ",
			"invalid instance type t3.nano: it has 0.5 GiB of memory; a control-plane machine needs at least 2 vCPUs and 2 GiB; the nearest are t3a.small, t3.small, ",
		}},
		{"Google, one zone", gcp.driver(t, nil), cloudtest.DefaultSite("conf", "europe-west2", []string{"europe-west2-a", "europe-west2-b"}), []string{"c2d-standard-4", "c2d-standard-4", "c2d-standard-4"}, []string{
			"invalid machine type c2d-standard-4: it is not offered in europe-west2-a, only in europe-west2-b, europe-west2-c; the nearest there are e2-standard-4, ",
		}},
		{"Google, the region", gcp.driver(t, nil), gcpSite(), []string{"a2-ultragpu-8g", "e2-standard-4"}, []string{"invalid machine type a2-ultragpu-8g: "}},
		{"Google, too small", gcp.driver(t, nil), gcpSite(), []string{"e2-micro", "e2-micro", "e2-micro"}, []string{
			"invalid machine type e2-micro: it has 1 GiB of memory; a control-plane machine needs at least 2 vCPUs and 2 GiB; the nearest are e2-small, ",
		}},
		{"Azure, one zone", azure.driver(t, azureSecret), azureSite(), []string{"medium", "medium", "medium"}, []string{
			"invalid machine type Standard_D4as_v5: it is not offered in eastus-2, only in eastus-1, eastus-3; the nearest there are Standard_B4s_v2, Standard_B4ms, Standard_B4as_v2, ",
		}},
		{"Azure, all zones", azure.driver(t, azureSecret), azureSite(), []string{"large", "large", "Standard_D2s_v5"}, []string{
			"invalid machine type Standard_D2s_v5: it is not offered in eastus now; the nearest there are Standard_B2",
		}},
		{"Azure, not for the subscription", azure.driver(t, azureSecret), azureSite(), []string{"large", "large", "Standard_D4s_v3"}, []string{
			"invalid machine type Standard_D4s_v3: the subscription can't have it in eastus (NotAvailableForSubscription); the nearest are Standard_B4s_v2, Standard_B4ms, ",
		}},
		{"Azure, too small", azure.driver(t, azureSecret), azureSite(), []string{"Standard_B1s", "large", "Standard_B1s"}, []string{
			"invalid machine type Standard_B1s: it has 1 vCPU; a control-plane machine needs at least 2 vCPUs and 2 GiB of memory; the nearest are ",
		}},
		{"Azure, a region without zones", azure.driver(t, azureSecret), cloudtest.DefaultSite("conf", "westus", []string{"westus"}), []string{"large", "Standard_D3s_v5"}, []string{
			"invalid machine type Standard_D3s_v5: westus has no such type; the nearest are Standard_D",
		}},
		{"DigitalOcean, the region", ocean.driver(t, nil), cloudtest.DefaultSite("conf", doRegion, []string{doRegion}), []string{"medium", "large", "small"}, []string{
			"invalid droplet size g-4vcpu-16gb: it is not offered in nyc3 now; the nearest there are s-4vcpu-16gb-amd, s-4vcpu-16gb-320gb-intel, gd-4vcpu-16gb, ",
		}},
		{"DigitalOcean, too small", ocean.driver(t, nil), cloudtest.DefaultSite("conf", doRegion, []string{doRegion}), []string{"s-1vcpu-2gb", "large", "s-1vcpu-512mb-10gb"}, []string{
			"invalid droplet size s-1vcpu-2gb: it has 1 vCPU; a control-plane machine needs at least 2 vCPUs and 2 GiB of memory; the nearest are s-2vcpu-2gb, ",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			problems, notes := ahead(t, c.d, sized(c.site, c.sizes...))
			if notes != "" {
				t.Errorf("notes: %s", notes)
			}
			holds(t, problems, c.want...)
			if n := strings.Count(problems, "\n") + 1; n != len(c.want) {
				t.Errorf("%d problems, want %d:\n%s", n, len(c.want), problems)
			}
			if strings.Count(problems, "ask for another size") != len(c.want) {
				t.Errorf("no advice:\n%s", problems)
			}
		})
	}
}

// TestOwnTypes has the four clouds take their own types where a size is wanted, and each size in the lab's regions of the
// metro that prices are of.
func TestOwnTypes(t *testing.T) {
	for _, c := range []struct {
		d     cloud.Driver
		site  cloud.Site
		sizes []string
	}{
		{newAWSLab(t, world.Instant).driver(t, awsSecret), awsSite(), []string{"t3.large", "c5.xlarge", "t3.nano"}},
		{newGCPLab(t, world.Instant).driver(t, nil), gcpSite(), []string{"e2-standard-4", "n2-standard-2", "e2-micro"}},
		{newAzureLab(t, world.Instant).driver(t, azureSecret), azureSite(), []string{"Standard_D4as_v5", "Standard_D2s_v3", "Standard_B1s"}},
		{newDOLab(t, world.Instant).driver(t, nil), cloudtest.DefaultSite("conf", doRegion, []string{doRegion}), []string{"s-4vcpu-8gb", "c-2", "s-1vcpu-512mb-10gb"}},
	} {
		for _, list := range [][]string{c.sizes, sizes.Names()} {
			if problems, notes := ahead(t, c.d, sized(c.site, list...)); problems != "" || notes != "" {
				t.Errorf("%s %v: problems %s\nnotes %s", c.d.Provider(), list, problems, notes)
			}
		}
	}
}

// TestLimitsAhead asks Azure and DigitalOcean for more than their limits allow.
func TestLimitsAhead(t *testing.T) {
	azure := newAzureLab(t, world.Instant, func(c *labarm.Config) {
		c.Quotas = map[string]int{"eastus/cores": 20, "standardDASv5Family": 10, "StandardSkuPublicIpAddresses": 2}
	})
	d := azure.driver(t, azureSecret)
	const where = " (eastus in subscription " + azureSubscription + ", at https://"
	problems, _ := ahead(t, d, sized(azureSite(), "large", "medium", "large"))
	holds(t, problems,
		"quota quota StandardSkuPublicIpAddresses: the limit is 2 of it, of which 0 are used, and this needs 3 more; ask for a limit of 3 or more"+where,
		"quota quota standardDASv5Family: the limit is 10 vCPUs, of which 0 are used, and this needs 20 more; ask for a limit of 20 or more"+where)
	if strings.Count(problems, "\n") != 1 {
		t.Errorf("the regional vCPUs suffice:\n%s", problems)
	}
	problems, _ = ahead(t, d, sized(azureSite(), "large", "large", "Standard_D8s_v5"))
	holds(t, problems, "quota quota cores: the limit is 20 vCPUs, of which 0 are used, and this needs 24 more", "standardDASv5Family: the limit is 10 vCPUs, of which 0 are used, and this needs 16 more")

	ocean := newDOLab(t, world.Instant, func(c *labdo.Config) { c.Limits.Droplets, c.Limits.ReservedIPs = 2, 1 })
	site := cloudtest.DefaultSite("conf", doRegion, []string{doRegion})
	problems, _ = ahead(t, ocean.driver(t, nil), site)
	holds(t, problems, "quota droplet limit: the limit is 2 droplets, of which 0 are used, and this needs 3 more", "quota reserved IP limit: the limit is 1 reserved addresses, of which 0 are used, and this needs 2 more",
		"ask for a limit of 3 or more (https://cloud.digitalocean.com/account/team/droplet_limit_increase, or a support ticket)")
	rep, err := ocean.driver(t, nil).Check(t.Context(), doRegion)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, q := range rep.Quotas {
		names = append(names, q.Name)
	}
	if want := []string{"droplet limit", "reserved IP limit", "volume limit"}; !slices.Equal(names, want) {
		t.Errorf("the check tells %v, want %v", names, want)
	}
}
