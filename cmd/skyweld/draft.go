package main

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/spec"
)

// draft is a cluster as it was answered for.
type draft struct {
	name  string
	sites []draftSite
	// metro is empty where each site has its own region.
	metro  string
	maxRTT time.Duration // 0 for the usual one
	// onLatency is empty for the usual choice.
	onLatency string
	replicas  int
	size      string
	workers   []draftWorkers
	// pods, services and api are empty where they are the usual ones.
	pods, services string
	api            []string
}

type draftSite struct{ name, account, cloud, region string }

type draftWorkers struct {
	name, site, size string
	count            int
}

// nameSites names each site by its cloud, or by its account where there are two of a cloud.
func nameSites(sites []draftSite) {
	for i, s := range sites {
		same := 0
		for _, other := range sites {
			if other.cloud == s.cloud {
				same++
			}
		}
		if sites[i].name = s.cloud; same > 1 {
			sites[i].name = s.account
		}
	}
}

// plainWord is what needs no quotes in YAML, but for the words below.
var plainWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

// word writes a name as YAML has it.
func word(text string) string {
	if !plainWord.MatchString(text) || slices.Contains([]string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}, strings.ToLower(text)) {
		return strconv.Quote(text)
	}
	return text
}

// file is the draft as a cluster file.
func (d *draft) file() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("apiVersion: %s\nkind: %s\nmetadata: {name: %s}\nspec:", spec.APIVersion, spec.Kind, word(d.name))
	if d.metro != "" {
		line("  metro: %s", word(d.metro))
	}
	line("  sites:")
	for _, s := range d.sites {
		if d.metro != "" {
			line("    - {name: %s, account: %s}", word(s.name), word(s.account))
		} else {
			line("    - {name: %s, account: %s, region: %s}", word(s.name), word(s.account), word(s.region))
		}
	}
	line("  controlPlane: {replicas: %d, size: %s}", d.replicas, word(d.size))
	if len(d.workers) > 0 {
		line("  workers:")
	}
	for _, w := range d.workers {
		line("    - {name: %s, site: %s, size: %s, count: %d}", word(w.name), word(w.site), word(w.size), w.count)
	}
	var network []string
	if d.maxRTT > 0 {
		network = append(network, "maxRTT: "+d.maxRTT.String())
	}
	if d.onLatency != "" {
		network = append(network, "onLatency: "+word(d.onLatency))
	}
	if d.pods != "" {
		network = append(network, "pods: "+d.pods)
	}
	if d.services != "" {
		network = append(network, "services: "+d.services)
	}
	if len(network) > 0 {
		line("  network: {%s}", strings.Join(network, ", "))
	}
	if len(d.api) > 0 {
		line("  access: {api: [%s]}", strings.Join(d.api, ", "))
	}
	return b.String()
}

// wrong is what the rules of cluster files say against a field of the draft, nil for nothing.
func (d *draft) wrong(path string) error {
	c, errs := spec.Read([]byte(d.file()))
	if c != nil {
		spec.Default(c)
		errs = append(errs, spec.Validate(c)...)
	}
	for _, e := range errs {
		if e.Path == path {
			return fmt.Errorf("found %s: %s", e.Value, e.Message)
		}
	}
	return nil
}

// farthest is the longest of the round trips between the sites' regions.
func (d *draft) farthest() (longest time.Duration, between string) {
	for i, s := range d.sites {
		a, ok := geo.Region(s.cloud, s.region)
		for _, other := range d.sites[:i] {
			b, there := geo.Region(other.cloud, other.region)
			if !ok || !there {
				continue
			}
			if rtt, _ := geo.RTT(a, b); rtt > longest {
				longest, between = rtt, other.region+" and "+s.region
			}
		}
	}
	return longest, between
}

// ranges reads ranges of addresses, or single ones, with commas or spaces between them.
func ranges(text string) ([]string, error) {
	var out []string
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		p, err := netip.ParsePrefix(word)
		if a, single := netip.ParseAddr(word); err != nil && single == nil {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("found %q: want an address, or a range like 203.0.113.0/24", word)
		}
		out = append(out, p.Masked().String())
	}
	return out, nil
}
