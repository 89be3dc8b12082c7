package geo

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Point is a place on earth.
type Point struct {
	// Name is what it is called: a city, a metro, a region, or its coordinates.
	Name     string
	Lat, Lon float64
}

// place is the point as the end of a way.
func (p Point) place() Place { return Place{City: p.Name, Lat: p.Lat, Lon: p.Lon} }

// To is how long a round trip from there to a region takes by the distance. It is measured for no place that is no region.
func (p Point) To(region Place) Trip { return load().fit.trip(Distance(p.place(), region)) }

// readNames are all names that places are found by; of two places of one name the more particular one comes first: a metro, a
// region, a city that is listed by itself, a region's city.
func (t *catalogue) readNames() map[string]Point {
	out := map[string]Point{}
	add := func(p Point, names ...string) {
		for _, n := range names {
			if _, taken := out[n]; !taken && n != "" {
				out[n] = p
			}
		}
	}
	for _, g := range t.groups {
		add(Point{g.Name, g.Regions[0].Lat, g.Regions[0].Lon}, folded(g.Name), folded(g.Title))
	}
	for _, p := range t.places {
		add(Point{p.ID, p.Lat, p.Lon}, p.ID, p.Cloud+"/"+p.ID)
	}
	for _, r := range records(citiesCSV)[1:] {
		p := Point{r[0], number(r[2]), number(r[3])}
		t.cities = append(t.cities, p)
		add(p, folded(r[0]), folded(r[4]))
	}
	for _, p := range t.places {
		add(Point{p.City, p.Lat, p.Lon}, folded(p.City))
	}
	return out
}

// Find finds a place by what a person may call it: coordinates in degrees ("52.5,13.4", north and east positive, or
// "33.9S 151.2E"), a metro, a region ("us-east-1", "gcp/us-east4"), or a city. Letters may be large or small, with their
// accents or without.
func Find(text string) (Point, error) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > 100 {
		return Point{}, fmt.Errorf("want a place: %s", placesAre)
	}
	if strings.ContainsFunc(text[:1], func(r rune) bool { return unicode.IsDigit(r) || strings.ContainsRune("+-.", r) }) {
		return coordinates(text)
	}
	t := load()
	if p, ok := t.named[strings.ToLower(text)]; ok {
		return p, nil
	}
	if p, ok := t.named[folded(text)]; ok {
		return p, nil
	}
	return Point{}, fmt.Errorf("no place of that name is known: want %s", placesAre)
}

const placesAre = "a city, a metro like us-east, a region like us-east-1, or coordinates like 52.5,13.4"

// Places are all names that Find knows but the regions', in order, as completion offers them.
func Places() []string {
	t := load()
	var out []string
	for _, g := range t.groups {
		out = append(out, g.Name)
	}
	for _, c := range t.cities {
		out = append(out, c.Name)
	}
	for _, p := range t.places {
		out = append(out, p.City)
	}
	slices.Sort(out)
	return slices.CompactFunc(out, func(a, b string) bool { return folded(a) == folded(b) })
}

// coordinates reads "52.5,13.4", "52.5 13.4" and "33.9S, 151.2E".
func coordinates(text string) (Point, error) {
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == ';' })
	if len(parts) != 2 {
		return Point{}, fmt.Errorf("want coordinates like 52.5,13.4: degrees north, then degrees east")
	}
	lat, err := degrees(parts[0], 'n', 's', 90)
	if err != nil {
		return Point{}, err
	}
	lon, err := degrees(parts[1], 'e', 'w', 180)
	if err != nil {
		return Point{}, err
	}
	return Point{fmt.Sprintf("%s,%s", short(lat), short(lon)), lat, lon}, nil
}

func short(v float64) string { return strconv.FormatFloat(math.Round(v*1e4)/1e4+0, 'f', -1, 64) }

func degrees(text string, plus, minus byte, most float64) (float64, error) {
	text = strings.TrimSuffix(strings.ToLower(text), "°")
	sign := 1.0
	if n := len(text) - 1; n > 0 && (text[n] == plus || text[n] == minus) {
		if text[n] == minus {
			sign = -1
		}
		text = strings.TrimSuffix(text[:n], "°")
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.ContainsAny(text, "xpin_e") || !(math.Abs(v) <= most) {
		return 0, fmt.Errorf("coordinates: %q is no number of degrees from -%.0f to %.0f", text, most, most)
	}
	return sign * v, nil
}

// accents are the letters of our own tables that people may type without them.
var accents = strings.NewReplacer("á", "a", "à", "a", "ã", "a", "ä", "a", "å", "a", "ç", "c", "é", "e", "è", "e", "ê", "e", "í", "i", "ó", "o", "ø", "o", "ö", "o", "õ", "o",
	"ú", "u", "ü", "u", "ñ", "n", "-", " ", ".", "", "'", "")

// folded is a name as it is compared.
func folded(name string) string {
	return strings.Join(strings.Fields(accents.Replace(strings.ToLower(name))), " ")
}
