package web_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/geo"
)

// TestRegionsPage looks at what is asked for, at maps and at the tables that say the same.
func TestRegionsPage(t *testing.T) {
	b := as(t, scene(t), auth.Viewer)
	for _, c := range []struct {
		name, path string
		maps       int
		want       []string
	}{
		{"the accounts' clouds", "/regions", 2, []string{"Near each other", "All regions of"}},
		{"two clouds in a metro", "/regions?cloud=aws&cloud=gcp&metro=frankfurt", 2, []string{"eu-central-1", "europe-west3", "aws/eu-central-1 and gcp/europe-west3"}},
		{"near a place", "/regions?cloud=aws&cloud=digitalocean&near=munich", 2, []string{"eu-central-1", "fra1"}},
		{"one cloud", "/regions?cloud=aws", 1, []string{"Near each other"}},
		{"a limit nobody keeps", "/regions?cloud=aws&cloud=gcp&max-rtt=1us", 0, []string{"No regions"}},
		{"no place", "/regions?near=atlantis", 0, []string{"atlantis"}},
		{"no limit", "/regions?max-rtt=fast", 0, []string{"want a duration like 10ms"}},
		{"no cloud of ours", "/regions?cloud=%3Cscript%3E", 2, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := b.get(c.path)
			if a.Code != http.StatusOK {
				t.Fatalf("%d %s", a.Code, firstWords(a))
			}
			for _, f := range flaws(a) {
				t.Error(f)
			}
			maps := 0
			each(a.page, func(n *html.Node) {
				if n.Data == "svg" && attr(n, "class") == "map" {
					maps++
				}
			})
			if maps != c.maps {
				t.Errorf("%d maps, want %d", maps, c.maps)
			}
			for _, want := range c.want {
				if !strings.Contains(text(a.page), want) {
					t.Errorf("%q isn't there", want)
				}
			}
		})
	}
}

// TestMaps wants the names of all that a metro has on its map.
func TestMaps(t *testing.T) {
	b := as(t, scene(t), auth.Viewer)
	for _, metro := range geo.Metros() {
		a := b.get("/regions?cloud=aws&cloud=gcp&cloud=azure&cloud=digitalocean&metro=" + metro)
		each(a.page, func(svg *html.Node) {
			var width, height float64
			if n, _ := fmt.Sscanf(attr(svg, "viewbox")+attr(svg, "viewBox"), "0 0 %f %f", &width, &height); svg.Data != "svg" || attr(svg, "class") != "map" {
				return
			} else if n != 2 {
				t.Fatalf("%s: a map without a size", metro)
			}
			each(svg, func(n *html.Node) {
				x, errX := strconv.ParseFloat(attr(n, "x"), 64)
				y, errY := strconv.ParseFloat(attr(n, "y"), 64)
				if n.Data == "text" && (errX != nil || errY != nil || x < 0 || x > width || y < 10 || y > height) {
					t.Errorf("%s: %s is at %s, %s on %.0f × %.0f", metro, text(n), attr(n, "x"), attr(n, "y"), width, height)
				}
			})
		})
	}
}
