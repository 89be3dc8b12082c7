package geo

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPlaceMembers(t *testing.T) {
	for _, c := range []struct {
		places   string
		members  int
		sites    []int
		majority int
	}{
		{"aws/us-east-1", 3, []int{0}, 0},
		{"aws/us-east-1 gcp/us-east4", 1, []int{0}, 0},
		{"aws/us-east-1 gcp/us-east4", 3, []int{0, 1}, 0},
		{"aws/us-east-1 gcp/us-east4 azure/eastus", 3, []int{0, 1, 2}, -1},
		// New York is farther away than Ashburn's three are from each other.
		{"aws/us-east-1 gcp/us-east4 azure/eastus digitalocean/nyc1", 3, []int{0, 1, 2}, -1},
		{"digitalocean/nyc1 aws/us-east-1 gcp/us-east4 azure/eastus", 3, []int{1, 2, 3}, -1},
		{"digitalocean/nyc1 aws/us-east-1 gcp/us-east4", 5, []int{1, 2, 0}, -1},
		{"aws/us-east-1 gcp/us-east4", 5, []int{0, 1}, 0},
		{"aws/eu-west-1 gcp/us-east4 azure/eastus digitalocean/nyc1 aws/us-east-1", 3, []int{1, 2, 4}, -1},
	} {
		var places []Place
		for name := range strings.FieldsSeq(c.places) {
			places = append(places, place(t, name))
		}
		got := PlaceMembers(places, c.members, nil)
		sum := 0
		for _, n := range got.Members {
			sum += n
		}
		if !slices.Equal(got.Sites, c.sites) || got.Majority != c.majority || sum != c.members {
			t.Errorf("%d at %s: %+v; want %v, %d", c.members, c.places, got, c.sites, c.majority)
		}
		for i, n := range got.Members { // dealt in turn, it comes to the same
			dealt := 0
			for m := range c.members {
				if got.Sites[m%len(got.Sites)] == i {
					dealt++
				}
			}
			if dealt != n {
				t.Errorf("%d at %s: dealing gives %s %d; want %d", c.members, c.places, places[i], dealt, n)
			}
		}
	}
	if got := PlaceMembers(nil, 3, nil); len(got.Sites) > 0 || got.Majority != -1 {
		t.Errorf("no places: %+v", got)
	}
}

// TestQuorum: with three members it is the way to the nearer of the others, from where that is farthest.
func TestQuorum(t *testing.T) {
	places := []Place{place(t, "aws/us-east-1"), place(t, "gcp/us-east4"), place(t, "digitalocean/nyc1")}
	near, _ := RTT(places[0], places[2])
	if other, _ := RTT(places[1], places[2]); other < near {
		near = other
	}
	if got := PlaceMembers(places, 3, nil); got.Quorum != near {
		t.Errorf("%s; want %s", got.Quorum, near)
	}
	if got := PlaceMembers(places[:1], 3, nil); got.Quorum != time.Millisecond {
		t.Errorf("in one region: %s", got.Quorum)
	}
	if got := PlaceMembers(places[:1], 1, nil); got.Quorum != 0 {
		t.Errorf("one member: %s", got.Quorum)
	}
}
