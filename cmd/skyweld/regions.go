package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/geo"
	"github.com/skyweld/skyweld/sizes"
)

// inMs is a time that the API gives in milliseconds, as people read it.
func inMs(ms float64) string { return fmt.Sprintf("%.1fms", ms) }

// ids are the regions' own names in order, without their clouds.
func ids(r api.RegionSet) string {
	return strings.Join(each(r.Regions, func(v api.Region) string { return v.Region }), ", ")
}

// bare is a region without its cloud.
func bare(name string) string { return name[strings.Index(name, "/")+1:] }

var regionSetListing = listing[api.RegionSet]{
	columns: []column[api.RegionSet]{
		{head: "METRO", cell: func(r api.RegionSet) string { return r.Metro }},
		{head: "RTT", cell: func(r api.RegionSet) string { return ofTrip(r.Worst, func(t api.Trip) string { return inMs(t.Ms) }) }},
		{head: "SOURCE", cell: func(r api.RegionSet) string { return ofTrip(r.Worst, func(t api.Trip) string { return t.Source }) }},
		{head: "WORST-PAIR", cell: func(r api.RegionSet) string {
			return ofTrip(r.Worst, func(t api.Trip) string { return bare(t.From) + ", " + bare(t.To) })
		}},
		{head: "FAR", show: ifAny, cell: func(r api.RegionSet) string { return ofTrip(r.Far, func(t api.Trip) string { return inMs(t.Ms) }) }},
		{head: "BAND", show: onlyWide, cell: func(r api.RegionSet) string {
			return ofTrip(r.Worst, func(t api.Trip) string { return inMs(t.LowMs) + " to " + inMs(t.HighMs) })
		}},
		{head: "MEASURED", show: wideIfAny, cell: func(r api.RegionSet) string {
			return ofTrip(r.Worst, func(t api.Trip) string { return strings.TrimSpace(t.Date + " " + t.By) })
		}},
		{head: "PRICE", show: onlyWide, cell: hourPrice},
		{head: "REGIONS", cell: ids},
	},
	name: func(r api.RegionSet) string {
		if r.Metro != "" {
			return "metro/" + r.Metro
		}
		return "regions/" + strings.ReplaceAll(ids(r), " ", "")
	},
}

// combinationListing says also why each is worse than the first.
var combinationListing = func() listing[api.RegionSet] {
	l := regionSetListing
	l.columns = append(slices.Clone(l.columns), column[api.RegionSet]{head: "WHY-NOT", show: ifAny, cell: func(r api.RegionSet) string { return r.Why }})
	l.name = func(r api.RegionSet) string { return "regions/" + strings.ReplaceAll(ids(r), " ", "") }
	l.text = true
	return l
}()

func ofTrip(t *api.Trip, f func(api.Trip) string) string {
	if t == nil {
		return ""
	}
	return f(*t)
}

// hourPrice is what one machine of each size costs at all sites, with the sites that it doesn't know.
func hourPrice(r api.RegionSet) string {
	text := fmt.Sprintf("$%.3f/h", r.USD)
	if n := len(r.Unpriced); n > 0 {
		text += fmt.Sprintf(", %d unknown", n)
	}
	return text
}

var regionListing = listing[api.Region]{
	columns: []column[api.Region]{
		{head: "CLOUD", cell: func(r api.Region) string { return r.Cloud }},
		{head: "REGION", cell: func(r api.Region) string { return r.Region }},
		{head: "CITY", cell: func(r api.Region) string { return r.City }},
		{head: "COUNTRY", show: onlyWide, cell: func(r api.Region) string { return r.Country }},
		{head: "PLACE", show: onlyWide, cell: func(r api.Region) string { return fmt.Sprintf("%.2f,%.2f", r.Lat, r.Lon) }},
		{head: "METRO", cell: func(r api.Region) string { return r.Metro }},
		{head: "ZONES", cell: func(r api.Region) string { return fmt.Sprint(len(r.Zones)) }},
		{head: "SIZES", cell: func(r api.Region) string {
			if !r.SizesKnown {
				return "not listed"
			}
			return strings.Join(r.Sizes, ",")
		}},
		{head: "ACCESS", cell: func(r api.Region) string {
			switch {
			case r.Restricted:
				return "restricted"
			case r.OptIn:
				return "opt-in"
			}
			return "open"
		}},
	},
	name:  func(r api.Region) string { return "region/" + r.Cloud + "/" + r.Region },
	empty: "No regions.",
}

func regionsCommand(s *settings) *cobra.Command {
	var in api.RegionsQuery
	var limit time.Duration
	var combinations, all bool
	c := &cobra.Command{
		Use: "regions", Short: "Show which regions of several clouds are near each other", Args: args(),
		SuggestFor: []string{"region", "metros", "metro", "zones", "locations"},
		Long: `Show the metros that have regions of all clouds asked for, the nearest to each other first: RTT is the longest round trip between two of the regions, and WORST-PAIR which two. SOURCE says whether that was measured, by whom and when (-o wide), or is estimated from the distance, with the band that it may lie in. Of equally near ones the cheapest as far as prices are known comes first; -o wide has the price of a machine of each size asked for.

Each word of --clouds is a site: a cloud (aws, azure, digitalocean, gcp) or the name of an account, with a region after a slash where that is given. A cloud named twice gets two regions. Without --clouds it is the clouds of your accounts.

--near takes a city, a metro, a region, or coordinates: the place counts as one more site, and FAR is the round trip from there to the farthest region. What is known comes from the catalogue; no cloud is asked. A cluster file without metro and regions gets what 'skyweld regions --combinations' has first.`,
		Example: `  skyweld regions --clouds aws,gcp,azure,digitalocean
  skyweld regions --clouds aws,gcp --near munich --max-rtt 5ms
  skyweld regions --clouds my-aws/eu-west-1,my-gcp --combinations    # near a region that is given
  skyweld regions --clouds aws,azure --size large --exclude us-east-1 -o wide
  skyweld regions --all -o json`,
		RunE: func(c *cobra.Command, _ []string) error {
			if all && combinations {
				return usageError{errors.New("--all lists regions one by one, so there are no --combinations: leave one out")}
			}
			if c.Flags().Changed("max-rtt") {
				if limit <= 0 || limit > time.Minute {
					return usageError{fmt.Errorf("--max-rtt: found %s: want more than 0s and at most 1m", limit)}
				}
				in.MaxRTT = limit.String()
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			if all {
				list, err := client.AllRegions(c.Context())
				if err != nil {
					return err
				}
				return show(s, c.OutOrStdout(), list, regionListing)
			}
			found, err := client.Regions(c.Context(), in)
			if err != nil {
				return err
			}
			return showRegions(s, c, found, combinations)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&in.Clouds, "clouds", nil, "`CLOUDS` or accounts, by commas, one for each site (default: those of your accounts)")
	f.StringVar(&in.Metro, "metro", "", "only regions of that `METRO`, like us-east")
	f.StringVar(&in.Near, "near", "", "`PLACE` to be near to: a city, a metro, a region, or coordinates like 52.5,13.4")
	f.StringSliceVar(&in.Exclude, "exclude", nil, "`REGIONS` not to take, by commas")
	f.StringSliceVar(&in.Size, "size", nil, "what each site needs, by commas: small, medium or large (default: medium)")
	f.BoolVar(&in.OptIn, "opt-in", false, "also regions that an account has to switch on first")
	f.DurationVar(&limit, "max-rtt", 0, "leave out what is farther apart, like 10ms")
	f.BoolVar(&combinations, "combinations", false, "show the best regions whatever metros they are in, and why the next ten are worse")
	f.BoolVar(&all, "all", false, "list every public region of all clouds instead")
	complete(c, "clouds", fixed(geo.Clouds()...))
	complete(c, "metro", fixed(geo.Metros()...))
	complete(c, "near", fixed(geo.Places()...))
	complete(c, "exclude", cobra.NoFileCompletions)
	complete(c, "size", fixed(sizes.Names()...))
	complete(c, "max-rtt", cobra.NoFileCompletions)
	listFlags(c, s)
	c.AddCommand(measureCommand(s))
	return c
}

// showRegions shows metros, or combinations; where no metro has all clouds, combinations.
func showRegions(s *settings, c *cobra.Command, found api.Regions, combinations bool) error {
	if s.output == formJSON || s.output == formYAML {
		return s.print(c.OutOrStdout(), found, nil)
	}
	l, list := regionSetListing, found.Items
	if combinations || len(list) == 0 {
		l, list = combinationListing, found.Combinations
	}
	l.empty = "No regions: " + found.Nothing + "."
	if err := show(s, c.OutOrStdout(), list, l); err != nil {
		return err
	}
	if !found.Exact && len(list) > 0 {
		fmt.Fprintln(s.aside(c.OutOrStdout()), "There may be better ones: the search was given up, as there are too many sites.")
	}
	return nil
}
