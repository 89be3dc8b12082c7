package paths

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/store"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

const (
	limit = 10 * time.Millisecond
	ms    = time.Millisecond
)

// window is the i-th minute after noon from aws to gcp, with a median and a shortest round trip, of so many answers to 120.
func window(i int, p50, least time.Duration, answers int) store.Latency {
	return store.Latency{From: "aws", To: "gcp", Start: noon.Add(time.Duration(i) * time.Minute), Step: time.Minute,
		Inside: store.Trips{Sent: 120, Lost: 120 - answers, P50: p50, P99: 2 * p50, Min: least}, Handshake: 20 * time.Second, MTU: 1500}
}

// windows are minutes after noon with the given medians, 0 for one without an answer.
func windows(medians ...time.Duration) []store.Latency {
	var out []store.Latency
	for i, m := range medians {
		answers := 120
		if m == 0 {
			answers = 0
		}
		out = append(out, window(i, m, m, answers))
	}
	return out
}

func TestSlow(t *testing.T) {
	few := windows(7*ms, 14*ms, 14*ms, 14*ms, 14*ms, 14*ms)
	for i := range few {
		few[i].Inside.Lost = 118
	}
	mixed := windows(7*ms, 14*ms, 14*ms, 14*ms, 14*ms, 14*ms)
	mixed[1].Inside.Min = 7 * ms
	for _, tt := range []struct {
		name    string
		windows []store.Latency
		was     bool
		after   time.Duration // of the last window's end
		want    bool
		since   time.Duration // after noon
	}{
		{"nothing is known", nil, false, 0, false, 0},
		{"nothing is known any more", nil, true, 0, true, 0},
		{"well", windows(7*ms, 7*ms, 7*ms, 7*ms, 7*ms, 7*ms), false, 0, false, 0},
		{"over it four times", windows(7*ms, 14*ms, 14*ms, 14*ms, 14*ms), false, 0, false, 0},
		{"over it four times and a little", windows(7*ms, 14*ms, 14*ms, 14*ms, 14*ms), false, 50 * time.Second, false, 0},
		{"over it five times", windows(7*ms, 14*ms, 14*ms, 14*ms, 14*ms, 14*ms), false, 0, true, time.Minute},
		{"the first one half", mixed, false, 10 * time.Second, false, 0},
		{"the first one half, and a little later", mixed, false, 30 * time.Second, true, 90 * time.Second},
		{"at the limit", windows(10*ms, 10*ms, 10*ms, 10*ms, 10*ms, 10*ms), false, 0, false, 0},
		{"a good one between", windows(14*ms, 14*ms, 14*ms, 7*ms, 14*ms, 14*ms), false, 0, false, 0},
		{"a silent one between", windows(14*ms, 14*ms, 0, 14*ms, 14*ms), false, 0, true, 0},
		{"mostly silent ones", windows(14*ms, 0, 0, 0, 0, 14*ms), false, 0, false, 0},
		{"too few answers", few, false, 0, false, 0},
		{"long ago", windows(14*ms, 14*ms, 14*ms, 14*ms, 14*ms, 14*ms), false, 6 * time.Minute, false, 0},
		{"still", windows(14*ms, 14*ms), true, 0, true, 0},
		{"better, but not well", windows(9500*time.Microsecond, 9500*time.Microsecond, 9500*time.Microsecond, 9500*time.Microsecond, 9500*time.Microsecond), true, 0, true, 0},
		{"well for four", windows(14*ms, 7*ms, 7*ms, 7*ms, 7*ms), true, 0, true, 0},
		{"well for five", windows(14*ms, 7*ms, 7*ms, 7*ms, 7*ms, 7*ms), true, 0, false, time.Minute},
		{"silence is not well", windows(14*ms, 0, 0, 0, 0, 0, 0), true, 0, true, 0},
	} {
		now := noon
		if n := len(tt.windows); n > 0 {
			now = tt.windows[n-1].End()
		}
		got, since := Slow(tt.windows, limit, tt.was, now.Add(tt.after))
		if got != tt.want || got != tt.was && since.Sub(noon) != tt.since {
			t.Errorf("%s: slow %v since %s, want %v since %s", tt.name, got, since.Sub(noon), tt.want, tt.since)
		}
	}
}

// TestSlowInTime: whenever a path becomes slow, that is known in five to six minutes by looks half a minute apart, and known
// to be over in about as long.
func TestSlowInTime(t *testing.T) {
	const half = 30 * time.Second
	for at := 10 * time.Minute; at < 12*time.Minute; at += 3 * time.Second {
		const lasts = 20 * time.Minute
		slow := false
		var rose, fell time.Duration
		for look := time.Duration(0); look < 50*time.Minute; look += half {
			var seen []store.Latency
			for i := range int((look - 2*time.Second) / time.Minute) { // it takes two seconds to be told
				start := time.Duration(i) * time.Minute
				part := (min(start+time.Minute, at+lasts) - max(start, at)).Seconds() / 60
				w := window(i, 7*ms, 7*ms, 120)
				if part > 0.5 {
					w.Inside.P50 = 14 * ms
				}
				if part >= 1 {
					w.Inside.Min = 14 * ms
				}
				seen = append(seen, w)
			}
			was := slow
			slow, _ = Slow(seen, limit, was, noon.Add(look))
			if slow && !was {
				rose = look - at
			}
			if was && !slow {
				fell = look - at - lasts
			}
		}
		if rose < 5*time.Minute || rose > 6*time.Minute || fell < 4*time.Minute || fell > 7*time.Minute {
			t.Errorf("slow from %s on: known after %s, and known to be over after %s", at, rose, fell)
		}
	}
}

func TestTunnel(t *testing.T) {
	pair := PairOf("gcp", "aws")
	silent := func(from, to string, i int, handshake time.Duration) store.Latency {
		return store.Latency{From: from, To: to, Start: noon.Add(time.Duration(i) * time.Minute), Step: time.Minute, Inside: store.Trips{Sent: 120, Lost: 120}, Handshake: handshake}
	}
	back := func(i int) store.Latency {
		l := window(i, 7*ms, 7*ms, 120)
		l.From, l.To = "gcp", "aws"
		return l
	}
	for _, tt := range []struct {
		name string
		all  []store.Latency
		want State
	}{
		{"nothing is known", nil, Unproven},
		{"up", windows(7*ms, 7*ms), Up},
		{"up again", []store.Latency{silent("aws", "gcp", 0, 5*time.Minute), window(1, 7*ms, 7*ms, 1)}, Up},
		{"down", []store.Latency{window(0, 7*ms, 7*ms, 120), silent("aws", "gcp", 1, 4*time.Minute), silent("gcp", "aws", 1, store.NoHandshake), silent("gcp", "aws", 2, store.NoHandshake), silent("aws", "gcp", 2, 5*time.Minute)}, Down},
		{"a window alone", []store.Latency{window(0, 7*ms, 7*ms, 120), silent("aws", "gcp", 1, 4*time.Minute), silent("gcp", "aws", 1, store.NoHandshake)}, Unproven},
		{"only one side tells", []store.Latency{silent("aws", "gcp", 1, 4*time.Minute), silent("aws", "gcp", 2, 5*time.Minute)}, Down},
		{"the other side has answers", []store.Latency{silent("aws", "gcp", 1, 4*time.Minute), back(1)}, Up},
		{"the other side had answers long ago", []store.Latency{back(1), silent("aws", "gcp", 7, 4*time.Minute), silent("aws", "gcp", 8, 5*time.Minute)}, Down},
		{"a handshake was just made", []store.Latency{silent("aws", "gcp", 0, 4*time.Minute), silent("aws", "gcp", 1, time.Minute)}, Unproven},
		{"nothing was sent", []store.Latency{{From: "aws", To: "gcp", Start: noon, Step: time.Minute, Handshake: store.NoHandshake}}, Unproven},
		{"another pair's", []store.Latency{silent("aws", "azure", 1, 4*time.Minute)}, Unproven},
	} {
		now := noon
		if n := len(tt.all); n > 0 {
			now = tt.all[n-1].End()
		}
		if got := Tunnel(tt.all, pair, now); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	if got := Tunnel([]store.Latency{silent("aws", "gcp", 0, 4*time.Minute), silent("aws", "gcp", 1, 5*time.Minute)}, pair, noon.Add(10*time.Minute)); got != Unproven {
		t.Errorf("long ago: %d", got)
	}
}

func TestMTU(t *testing.T) {
	// path is what a way carried in each of the last minutes, from the first one's age on.
	path := func(to string, sizes ...int) []store.Latency {
		var out []store.Latency
		for i, size := range sizes {
			l := window(60-len(sizes)+i, 7*ms, 7*ms, 120)
			l.To, l.MTU = to, size
			out = append(out, l)
		}
		return out
	}
	hour := func(size int) (out []int) {
		for range 60 {
			out = append(out, size)
		}
		return out
	}
	join := func(lists ...[]store.Latency) (out []store.Latency) {
		for _, l := range lists {
			out = append(out, l...)
		}
		return out
	}
	for _, tt := range []struct {
		name string
		all  []store.Latency
		want int
	}{
		{"nothing is known", nil, 1460},
		{"not found out", path("gcp", hour(0)...), 1460},
		{"the same", path("gcp", hour(1460)...), 1460},
		{"smaller, at once", path("gcp", 1460, 1400), 1400},
		{"the smallest of all", join(path("gcp", 1500, 1500), path("azure", 1460, 1400), path("digitalocean", 1380)), 1380},
		{"smaller once, and well again", path("gcp", 1380, 1500), 1460},
		{"larger for an hour", path("gcp", hour(1500)...), 1500},
		{"larger for less", path("gcp", hour(1500)[:50]...), 1460},
		{"larger, but not always", path("gcp", append(hour(1500)[:59], 9001)...), 1500},
		{"larger but for one", join(path("gcp", hour(1500)...), path("azure", hour(1480)...)), 1480},
		{"one isn't known for long", join(path("gcp", hour(1500)...), path("azure", 1500)), 1460},
	} {
		if got := MTU(1460, tt.all, noon.Add(time.Hour)); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	if got := MTU(1460, path("gcp", 1400), noon.Add(3*time.Hour)); got != 1460 {
		t.Errorf("long ago: %d", got)
	}
}

func TestFold(t *testing.T) {
	forth, back := window(1, 7*ms, 6*ms, 120), window(1, 9*ms, 5*ms, 60)
	back.From, back.To = "gcp", "aws"
	got := Fold([]store.Latency{window(2, 8*ms, 8*ms, 120), back, forth})
	want := forth
	want.Inside = store.Trips{Sent: 240, Lost: 60, P50: 7 * ms, P99: 18 * ms, Min: 5 * ms}
	if diff := cmp.Diff(map[Pair][]store.Latency{{"aws", "gcp"}: {want, window(2, 8*ms, 8*ms, 120)}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	data, err := json.Marshal(map[Pair]bool{PairOf("gcp", "aws"): true})
	var read map[Pair]bool
	if err != nil || string(data) != `{"aws/gcp":true}` || json.Unmarshal(data, &read) != nil || !read[Pair{"aws", "gcp"}] {
		t.Errorf("as JSON: %s, %v", data, err)
	}
	if json.Unmarshal([]byte(`{"aws":true}`), &read) == nil || PairOf("b", "a").String() != "a–b" {
		t.Error("one site is no pair")
	}
}
