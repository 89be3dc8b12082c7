package geo

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFind(t *testing.T) {
	for text, want := range map[string]Point{
		"52.5,13.4":              {"52.5,13.4", 52.5, 13.4},
		" -33.9 , 151.2 ":        {"-33.9,151.2", -33.9, 151.2},
		"33.9S 151.2E":           {"-33.9,151.2", -33.9, 151.2},
		"40.7n;74w":              {"40.7,-74", 40.7, -74},
		"0,0":                    {"0,0", 0, 0},
		"-0,-0":                  {"0,0", 0, 0},
		"48.1°N 11.6°E":          {"48.1,11.6", 48.1, 11.6},
		"Munich":                 {"Munich", 48.14, 11.58},
		"münchen":                {"Munich", 48.14, 11.58},
		"MUNCHEN":                {"Munich", 48.14, 11.58},
		"us-east":                {"us-east", 39.04, -77.49},
		"us east":                {"us-east", 39.04, -77.49},
		"Sao Paulo":              {"sao-paulo", -23.55, -46.63},
		"us-east-1":              {"us-east-1", 39.04, -77.49},
		"gcp/us-east4":           {"us-east4", 39.04, -77.49},
		"ashburn":                {"Ashburn", 39.04, -77.49},
		"ho chi minh city":       {"Ho Chi Minh City", 10.82, 106.63},
		"St Louis":               {"St. Louis", 38.63, -90.20},
		"São  Paulo":             {"sao-paulo", -23.55, -46.63},
		"Kraków":                 {"Kraków", 50.06, 19.94},
		"digitalocean/nyc2":      {"nyc2", 40.71, -74.01},
		"Frankfurt":              {"frankfurt", 50.11, 8.68},
		"washington dc":          {"Washington", 38.91, -77.04},
		"Den Haag":               {"The Hague", 52.08, 4.31},
		"+1.5,  -2.25":           {"1.5,-2.25", 1.5, -2.25},
		"12.345678901,1.0000001": {"12.3457,1", 12.345678901, 1.0000001},
	} {
		got, err := Find(text)
		if err != nil || got.Name != want.Name || math.Abs(got.Lat-want.Lat) > 0.02 || math.Abs(got.Lon-want.Lon) > 0.02 {
			t.Errorf("%q is %+v (%v); want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", "Atlantis", "1", "1,2,3", "91,0", "0,181", "1e400,0", "NaN,0", "-Inf,0", "0x1p3,0", "1_0,2", "5n5,1", strings.Repeat("a", 101), "1e1,2", "1.5e,3n"} {
		if got, err := Find(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
	for _, name := range Places() {
		if _, err := Find(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, text := range []string{"52.5,13.4", "33.9S 151.2E", "munich", "us-east-1", "48.1°N 11.6°E", "-", ".", "+,", "n,e"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Find(text)
		if err != nil {
			if !utf8.ValidString(err.Error()) && utf8.ValidString(text) {
				t.Errorf("the error isn't text: %q", err)
			}
			return
		}
		if !(math.Abs(p.Lat) <= 90) || !(math.Abs(p.Lon) <= 180) || p.Name == "" {
			t.Fatalf("%q is %+v", text, p)
		}
		again, err := Find(p.Name)
		if err != nil || math.Abs(again.Lat-p.Lat) > 1e-4 || math.Abs(again.Lon-p.Lon) > 1e-4 {
			t.Errorf("%q is %+v, and that is %+v (%v)", text, p, again, err)
		}
		if d := Distance(p.place(), load().places[0]); math.IsNaN(d) {
			t.Errorf("%q is nowhere", text)
		}
	})
}
