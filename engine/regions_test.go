package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/geo"
)

func TestRegions(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	ids := func(c geo.Combination) string {
		var out []string
		for _, p := range c.Regions {
			out = append(out, p.ID)
		}
		return strings.Join(out, " ")
	}
	four := []string{"aws", "gcp", "azure", "digitalocean"}
	for _, c := range []struct {
		name  string
		asked RegionsAsked
		metro string // the first
		want  string // the best of all
	}{
		{"four clouds", RegionsAsked{Clouds: four}, "", ""},
		{"in a metro", RegionsAsked{Clouds: four, Metro: "us-east"}, "us-east", "us-east-1 us-east4 eastus nyc1"},
		{"the accounts' clouds", RegionsAsked{}, "us-east", "us-east-1 us-east4"},
		{"accounts by name, a region given", RegionsAsked{Clouds: []string{"acc-gcp/europe-west2", "acc-aws"}}, "london", "europe-west2 eu-west-2"},
		{"near a place", RegionsAsked{Clouds: four, Near: "Nürnberg"}, "frankfurt", "eu-central-1 europe-west3 germanywestcentral fra1"},
		{"near a place, within a limit", RegionsAsked{Clouds: []string{"aws", "digitalocean"}, Near: "milan", Limit: 5 * time.Millisecond}, "frankfurt", "eu-central-1 fra1"},
		{"one cloud", RegionsAsked{Clouds: []string{"aws"}}, "us-east", "us-east-1"},
		{"one cloud twice", RegionsAsked{Clouds: []string{"digitalocean", "digitalocean"}}, "us-east", "nyc1 nyc3"},
		{"sizes", RegionsAsked{Clouds: []string{"aws", "azure"}, Sizes: []string{"large"}, Metro: "madrid", OptIn: true}, "-", ""},
	} {
		found, err := s.engine.Regions(t.Context(), c.asked)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if c.metro == "-" {
			if len(found.Metros)+len(found.Combinations) > 0 || found.Nothing == "" {
				t.Errorf("%s: %+v", c.name, found)
			}
			continue
		}
		if c.metro != "" && (len(found.Metros) == 0 || found.Metros[0].Metro != c.metro) {
			t.Errorf("%s: the metros are %+v; want %s first", c.name, found.Metros, c.metro)
		}
		if len(found.Combinations) == 0 || c.want != "" && ids(found.Combinations[0]) != c.want || !found.Exact {
			t.Errorf("%s: %+v; want %s first", c.name, found.Combinations, c.want)
		}
		last := time.Duration(0)
		for _, m := range found.Metros {
			if way := max(m.Worst.RTT, m.FarTrip.RTT); way < last || c.asked.Limit > 0 && m.Worst.RTT > c.asked.Limit {
				t.Errorf("%s: %s with %s comes after %s", c.name, m.Metro, way, last)
			} else {
				last = way
			}
		}
	}
	found, err := s.engine.Regions(t.Context(), RegionsAsked{Clouds: four, Limit: time.Millisecond})
	if err != nil || len(found.Metros)+len(found.Combinations) > 0 || !strings.Contains(found.Nothing, "within 1ms of each other: ") || !strings.Contains(found.Nothing, " have 1.5ms (estimated, ") {
		t.Errorf("%+v, %v", found, err)
	}
	for _, c := range []struct {
		asked RegionsAsked
		want  string
	}{
		{RegionsAsked{Metro: "us-eats"}, `metro: found "us-eats": there is no such metro; want one of amsterdam, auckland, `},
		{RegionsAsked{Near: "Atlantis"}, `near: found "Atlantis": no place of that name is known: want a city, `},
		{RegionsAsked{Near: "91,0"}, `near: found "91,0": coordinates: "91" is no number of degrees from -90 to 90`},
		{RegionsAsked{Exclude: []string{"us-east-9"}}, `exclude: found "us-east-9": no cloud has such a region`},
		{RegionsAsked{Sizes: []string{"huge"}}, `size: found "huge": want small, medium, large`},
		{RegionsAsked{Clouds: []string{"ibm"}}, `clouds: found "ibm": want a cloud (aws, azure, digitalocean, gcp) or the name of an account`},
		{RegionsAsked{Clouds: []string{"aws/mars"}}, `clouds: found "aws/mars": aws has no such region; want one of `},
		{RegionsAsked{Clouds: strings.Fields(strings.Repeat("aws ", 17))}, "want at most 16"},
	} {
		if _, err := s.engine.Regions(t.Context(), c.asked); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want %s", c.asked, err, c.want)
		}
	}
}
