package geo

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func slots(words string) []Slot {
	var out []Slot
	for w := range strings.FieldsSeq(words) {
		cloud, region, _ := strings.Cut(w, "/")
		out = append(out, Slot{Cloud: cloud, Region: region})
	}
	return out
}

func names(c Combination) string {
	var out []string
	for _, p := range c.Regions {
		out = append(out, p.ID)
	}
	return strings.Join(out, " ")
}

func TestChoose(t *testing.T) {
	point := func(text string) *Point {
		p, err := Find(text)
		if err != nil {
			t.Fatal(err)
		}
		return &p
	}
	cheapIn := func(country string) func(int, Place) (float64, bool) {
		return func(_ int, p Place) (float64, bool) {
			return map[bool]float64{true: 0.1, false: 0.2}[p.Country == country], true
		}
	}
	for _, c := range []struct {
		name string
		ask  Ask
		want string
	}{
		{"four clouds", Ask{Slots: slots("aws gcp azure digitalocean")}, "ap-southeast-1 asia-southeast1 southeastasia sgp1"},
		{"ties go by price", Ask{Slots: slots("aws gcp azure digitalocean"), Price: cheapIn("GB")}, "eu-west-2 europe-west2 uksouth lon1"},
		{"a price that isn't known comes last", Ask{Slots: slots("aws gcp azure digitalocean"), Price: func(_ int, p Place) (float64, bool) { return 9, p.Country == "DE" }}, "eu-central-1 europe-west3 germanywestcentral fra1"},
		{"a metro", Ask{Slots: slots("aws gcp azure digitalocean"), Metro: "us-east"}, "us-east-1 us-east4 eastus nyc1"},
		{"near a city", Ask{Slots: slots("aws gcp"), Near: point("munich")}, "eu-central-1 europe-west3"},
		{"near a city, with what has to be switched on", Ask{Slots: slots("aws gcp"), Near: point("Bern"), OptIn: true}, "eu-central-2 europe-west6"},
		{"near coordinates", Ask{Slots: slots("azure digitalocean"), Near: point("-33,151")}, "australiaeast syd1"},
		{"a region that is given", Ask{Slots: slots("aws/eu-west-1 gcp azure")}, "eu-west-1 europe-west2 northeurope"},
		{"a given one that would have to be switched on", Ask{Slots: slots("aws/eu-south-1 gcp")}, "eu-south-1 europe-west8"},
		{"excluded regions", Ask{Slots: slots("aws digitalocean"), Exclude: []string{"aws/ap-southeast-1", "lon1", "fra1", "syd1"}, Price: cheapIn("US")}, "us-west-1 sfo3"},
		{"one cloud twice", Ask{Slots: slots("digitalocean digitalocean")}, "nyc1 nyc3"},
		{"one cloud twice, one given", Ask{Slots: slots("aws aws/us-east-1")}, "us-east-2 us-east-1"},
		{"one cloud twice in one region, as both are given", Ask{Slots: slots("aws/us-east-1 aws/us-east-1")}, "us-east-1 us-east-1"},
		{"one site", Ask{Slots: slots("gcp"), Price: cheapIn("BE")}, "europe-west1"},
		{"one site near a place", Ask{Slots: slots("gcp"), Near: point("tokyo")}, "asia-northeast1"},
	} {
		best, exact, err := Choose(c.ask)
		if err != nil || !exact || len(best) != 1 || names(best[0]) != c.want {
			t.Errorf("%s: %v (%v); want %s", c.name, best, err, c.want)
			continue
		}
		if b := best[0]; len(b.Regions) > 1 && b.Worst != Between(b.Regions[b.A], b.Regions[b.B]) {
			t.Errorf("%s: the worst pair is %+v", c.name, b)
		}
	}
}

func TestChooseNothing(t *testing.T) {
	for _, c := range []struct {
		ask  Ask
		want string
	}{
		{Ask{Slots: slots("aws nobody")}, "nobody has no region"},
		{Ask{Slots: slots("aws/us-east-9")}, "aws has no region us-east-9"},
		{Ask{Slots: slots("digitalocean/nyc2")}, "digitalocean has no region nyc2"},
		{Ask{Slots: slots("aws digitalocean"), Metro: "dublin"}, "digitalocean has no region in the metro dublin"},
		{Ask{Slots: slots("aws"), Metro: "nowhere"}, "there is no metro nowhere"},
		{Ask{Slots: slots("aws gcp"), Metro: "milan"}, "aws has no region that needs no switching on"},
		{Ask{Slots: slots("aws"), Metro: "dublin", Exclude: []string{"eu-west-1"}}, "aws has no region that isn't excluded"},
		{Ask{Slots: slots("aws aws"), Metro: "dublin"}, "aws has one region that may be taken, and 2 are wanted"},
		{Ask{Slots: []Slot{{Cloud: "azure", Sizes: []string{"small"}}}, Metro: "warsaw", Exclude: []string{"polandcentral"}}, "azure has no region that isn't excluded"},
	} {
		if best, _, err := Choose(c.ask); err == nil || err.Error() != c.want {
			t.Errorf("%+v: %v, %v; want %s", c.ask, best, err, c.want)
		}
	}
	_, exact, err := Choose(Ask{Slots: slots("aws gcp azure digitalocean"), Limit: time.Millisecond})
	if none, ok := errors.AsType[*Nowhere](err); !ok || none.Slot != -1 || !exact || err.Error() != "no regions of these clouds are within 1ms of each other" {
		t.Errorf("within 1ms: %v", err)
	}
	if best, exact, err := Choose(Ask{}); len(best) > 0 || !exact || err != nil {
		t.Errorf("nothing asked: %v, %v", best, err)
	}
}

// TestChooseSize: a region that lacks a size isn't taken, one of which nobody says that is.
func TestChooseSize(t *testing.T) {
	lacking := 0
	for _, p := range Catalogue() {
		for _, size := range sizeNames {
			if p.Has(size) || p.Restricted || p.OptIn {
				continue
			}
			lacking++
			ask := Ask{Slots: []Slot{{Cloud: p.Cloud, Sizes: []string{size}}, {Cloud: p.Cloud, Region: p.ID}}}
			best, _, err := Choose(ask)
			if err != nil || best[0].Regions[0].ID == p.ID || !best[0].Regions[0].Has(size) {
				t.Errorf("%s lacks %s: %v, %v", p, size, best, err)
			}
		}
		if !p.Has("t3.large") {
			t.Errorf("%s is said to lack a type of which nothing is known", p)
		}
	}
	if lacking == 0 {
		t.Error("no region lacks anything: the test shows nothing")
	}
}

func TestWhy(t *testing.T) {
	berlin, err := Find("Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ask  Ask
		want []string
	}{
		{Ask{Slots: slots("aws gcp digitalocean"), More: 10}, []string{"as near and as cheap; by name it comes later", " are ", "apart, "}},
		{Ask{Slots: slots("aws gcp"), More: 10, Near: &berlin}, []string{" from Berlin, "}},
		{Ask{Slots: slots("aws gcp"), More: 40, Price: func(_ int, p Place) (float64, bool) { return float64(len(p.City)), p.Country != "JP" }}, []string{"as near, and $", "as near, and no price is known of aws ap-northeast-3, gcp asia-northeast2"}},
	} {
		best, _, err := Choose(c.ask)
		if err != nil || len(best) != c.ask.More+1 || best[0].Why != "" {
			t.Fatalf("%d, %v", len(best), err)
		}
		text := ""
		for _, b := range best[1:] {
			if b.Why == "" {
				t.Errorf("%s: nothing says why it is worse", names(b))
			}
			text += b.Why + "\n"
		}
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
}

// TestKnown: what somebody measured himself is preferred to the catalogue.
func TestKnown(t *testing.T) {
	slow := func(a, b Place) (Trip, bool) {
		return Trip{RTT: 99 * time.Millisecond, Source: Measured}, a.Country == "SG" && b.Country == "SG"
	}
	best, _, err := Choose(Ask{Slots: slots("aws gcp azure digitalocean"), Known: slow})
	if err != nil || best[0].Regions[0].Country == "SG" {
		t.Errorf("%v, %v", best, err)
	}
	best, _, err = Choose(Ask{Slots: slots("aws/ap-southeast-1 gcp/asia-southeast1"), Known: slow})
	if err != nil || best[0].Worst.RTT != 99*time.Millisecond || best[0].Worst.Source != Measured {
		t.Errorf("%v, %v", best, err)
	}
}

var seed = flag.Uint64("seed", 0, "of TestChooseIsExact; 0 for one of this day")

// TestChooseIsExact compares the choice with trying everything.
func TestChooseIsExact(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", *seed)
	r := rand.New(rand.NewPCG(*seed, 1))
	for n := range 1000 {
		ask := randomAsk(r)
		want, wantErr := tryAll(ask)
		got, exact, err := Choose(ask)
		if (err == nil) != wantErr || err == nil && !exact {
			t.Fatalf("-seed %d, case %d: %+v: %v; tried: %v", *seed, n, ask, err, wantErr)
		}
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || names(got[i]) != names(want[i]) {
				t.Fatalf("-seed %d, case %d, %+v: number %d differs:\n%s\nwant\n%s", *seed, n, ask, i, lines(got), lines(want))
			}
		}
	}
}

func lines(list []Combination) string {
	var out strings.Builder
	for _, c := range list {
		fmt.Fprintf(&out, "%s: %s, far %s, $%.4f, unknown %v\n", names(c), c.Worst.RTT, c.FarTrip.RTT, c.USD, c.Unpriced)
	}
	return out.String()
}

// randomAsk has up to five sites, and as many regions left as can be tried in a moment.
func randomAsk(r *rand.Rand) Ask {
	clouds := Clouds()
	ask := Ask{More: r.IntN(12), OptIn: r.IntN(2) == 0}
	count := 1 + r.IntN(5)
	left := []int{60, 40, 16, 8, 5}[count-1]
	for range count {
		cloud := clouds[r.IntN(len(clouds))]
		slot := Slot{Cloud: cloud}
		switch r.IntN(6) {
		case 0:
			all := Regions(cloud)
			slot.Region = all[r.IntN(len(all))].ID
		case 1:
			slot.Sizes = []string{sizeNames[r.IntN(3)]}
		}
		ask.Slots = append(ask.Slots, slot)
	}
	for _, cloud := range clouds {
		all := Regions(cloud)
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, p := range all[min(left, len(all)):] {
			ask.Exclude = append(ask.Exclude, p.Cloud+"/"+p.ID)
		}
	}
	if r.IntN(4) == 0 {
		ask.Limit = time.Duration(r.IntN(100_000)) * time.Microsecond
	}
	if r.IntN(3) == 0 {
		ask.Near = &Point{"somewhere", r.Float64()*180 - 90, r.Float64()*360 - 180}
	}
	if r.IntN(5) == 0 {
		all := Metros()
		ask.Metro = all[r.IntN(len(all))]
	}
	if r.IntN(3) > 0 {
		salt, steps := r.IntN(1000), 1+r.IntN(4)
		ask.Price = func(slot int, p Place) (float64, bool) {
			h := salt + 7*len(ask.Slots[slot].Sizes)
			for _, c := range p.Cloud + p.ID {
				h = (h*31 + int(c)) % 100_003
			}
			return float64(h%steps) / 10, h%7 != 0
		}
	}
	return ask
}

// trips are those between all regions, by their indices.
var trips = sync.OnceValue(func() [][]Trip {
	places := Catalogue()
	out := make([][]Trip, len(places))
	for i, a := range places {
		for _, b := range places {
			out[i] = append(out[i], Between(a, b))
		}
	}
	return out
})

// tryAll is Choose by trying everything, in the plainest way.
func tryAll(ask Ask) (best []Combination, ok bool) {
	type one struct {
		Combination
		far   time.Duration
		index []int
	}
	var all []one
	places, trips := Catalogue(), trips()
	same := make([][]bool, len(ask.Slots))
	for i := range same {
		for j := range same {
			same[i] = append(same[i], alike(ask, places, i, j))
		}
	}
	var next func(chosen []int)
	next = func(chosen []int) {
		slot := len(chosen)
		if slot == len(ask.Slots) {
			o := one{index: slices.Clone(chosen)}
			for i, p := range chosen {
				o.Regions = append(o.Regions, places[p])
				if ask.Near != nil {
					o.far = max(o.far, ask.Near.To(places[p]).RTT)
				}
				if ask.Price != nil {
					usd, known := ask.Price(i, places[p])
					if !known {
						o.Unpriced, usd = append(o.Unpriced, i), 0
					}
					o.USD += usd
				}
			}
			for i := range chosen {
				for _, j := range chosen[:i] {
					if t := trips[j][chosen[i]]; t.RTT > o.Worst.RTT {
						o.Worst = t
					}
				}
			}
			o.far = max(o.far, o.Worst.RTT)
			if ask.Limit == 0 || o.Worst.RTT <= ask.Limit {
				all = append(all, o)
			}
			return
		}
		s := ask.Slots[slot]
		for i, p := range places {
			if !mayTake(ask, s, p) {
				continue
			}
			bad := false
			for j, other := range chosen {
				o := ask.Slots[j]
				bad = bad || other == i && (o.Region == "" || s.Region == "")
				bad = bad || other > i && same[j][slot] // the same set in another order
			}
			if !bad {
				next(append(chosen, i))
			}
		}
	}
	next(nil)
	slices.SortFunc(all, func(a, b one) int {
		key := func(o one) []int64 {
			return []int64{int64(o.far), int64(o.Worst.RTT), int64(len(o.Unpriced)), int64(o.USD*1e6 + 0.5)}
		}
		if c := slices.Compare(key(a), key(b)); c != 0 {
			return c
		}
		return slices.Compare(a.index, b.index)
	})
	for _, o := range all[:min(len(all), ask.More+1)] {
		best = append(best, o.Combination)
	}
	return best, len(all) > 0
}

func mayTake(ask Ask, s Slot, p Place) bool {
	if p.Cloud != s.Cloud || p.Restricted {
		return false
	}
	if s.Region != "" {
		return s.Region == p.ID
	}
	lacks := slices.ContainsFunc(s.Sizes, func(size string) bool { return !p.Has(size) })
	m, _ := Metro(ask.Metro)
	outside := ask.Metro != "" && !slices.ContainsFunc(m.Regions, func(q Place) bool { return q.String() == p.String() })
	return !lacks && !outside && (!p.OptIn || ask.OptIn) && !slices.Contains(ask.Exclude, p.Cloud+"/"+p.ID)
}

// alike says whether two slots could change their regions without a difference.
func alike(ask Ask, places []Place, a, b int) bool {
	x, y := ask.Slots[a], ask.Slots[b]
	if x.Region != "" || y.Region != "" {
		return false
	}
	for _, p := range places {
		if mayTake(ask, x, p) != mayTake(ask, y, p) {
			return false
		}
		if ask.Price == nil || !mayTake(ask, x, p) {
			continue
		}
		priceX, okX := ask.Price(a, p)
		priceY, okY := ask.Price(b, p)
		if priceX != priceY || okX != okY {
			return false
		}
	}
	return true
}

func BenchmarkChoose(b *testing.B) {
	for _, words := range []string{"aws gcp", "aws gcp azure digitalocean", "aws gcp azure digitalocean aws gcp"} {
		b.Run(fmt.Sprintf("%d regions", len(strings.Fields(words))), func(b *testing.B) {
			ask := Ask{Slots: slots(words), OptIn: true, More: 10, Price: func(_ int, p Place) (float64, bool) { return float64(len(p.ID)), p.Cloud != "aws" }}
			fastest := time.Duration(math.MaxInt64) // a busy machine makes others slow
			for b.Loop() {
				began := time.Now()
				if best, exact, err := Choose(ask); err != nil || !exact || len(best) != 11 {
					b.Fatal(len(best), exact, err)
				}
				fastest = min(fastest, time.Since(began))
			}
			if len(ask.Slots) <= 4 && fastest > 10*time.Millisecond {
				b.Errorf("a choice takes %s; want at most 10 ms", fastest)
			}
		})
	}
}
