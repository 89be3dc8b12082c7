package console_test

import (
	"bytes"
	"flag"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/web/webtest"
)

var update = flag.Bool("update", false, "take the pictures of docs/images anew")

// largestPicture is what one of the README's pictures may have, in bytes.
const largestPicture = 150_000

// TestPictures takes the README's pictures, and wants those that are there to be small.
func TestPictures(t *testing.T) {
	folder := filepath.Join("..", "..", "docs", "images")
	names := []string{"cluster-light.png", "cluster-dark.png", "new-cluster.png", "run.png"}
	if *update {
		takePictures(t, folder, names)
	}
	for _, name := range names {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil {
			t.Errorf("%v: run this test with -update", err)
		} else if info.Size() > largestPicture {
			t.Errorf("%s has %d bytes, want at most %d", name, info.Size(), largestPicture)
		}
	}
}

func takePictures(t *testing.T, folder string, names []string) {
	t.Helper()
	b := newBrowser(t)
	s := newSceneOf(t, webtest.Options{Call: 400 * time.Millisecond, Boot: 3 * time.Second}, func(s *scene) error {
		if err := s.AddAccounts(t.Context()); err != nil {
			return err
		}
		return s.Apply(t.Context(), webtest.HealthyFile)
	})
	s.settled(webtest.Healthy)
	take := func(name string, width, height int, scheme string, show func(*tab)) {
		o := s.as(auth.Admin)
		o.Scheme, o.Width, o.Height = scheme, width, height
		p := b.open(t, o)
		defer p.close()
		show(p)
		raw := filepath.Join(t.TempDir(), name)
		p.do("sharp", map[string]any{"file": raw, "width": width, "height": height}, nil)
		small(t, raw, filepath.Join(folder, name))
	}
	cluster := func(p *tab) {
		p.load("/clusters/" + webtest.Healthy)
		p.seesExactly("Kubernetes API", ".drawing-wide .api.good", time.Minute)
	}
	take(names[0], 1280, 800, "light", cluster)
	take(names[1], 1280, 800, "dark", cluster)
	take(names[2], 1280, 800, "light", func(p *tab) {
		p.load("/clusters")
		m := mouse{p}
		m.follow("link", "New cluster")
		m.follow("button", "Review plan and cost")
		p.sees("Cost", "main", time.Minute)
	})
	take(names[3], 1280, 800, "light", func(p *tab) {
		p.load("/clusters/" + webtest.Healthy + "/runs/" + s.run(webtest.Healthy, func(r api.Run) bool { return r.Total > 0 }))
	})
}

// small writes a picture with the 256 colours that it has most of: pages have few, and letters' edges many that are alike.
func small(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	b := whole.Bounds()
	counts := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(whole.At(x, y)).(color.RGBA) }
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			counts[at(x, y)]++
		}
	}
	var all []color.RGBA
	for c := range counts {
		all = append(all, c)
	}
	slices.SortFunc(all, func(x, y color.RGBA) int { return counts[y] - counts[x] })
	var palette color.Palette
	for _, c := range all[:min(256, len(all))] {
		palette = append(palette, c)
	}
	out := image.NewPaletted(b, palette)
	known := map[color.RGBA]uint8{}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := at(x, y)
			i, ok := known[c]
			if !ok {
				i = uint8(palette.Index(c))
				known[c] = i
			}
			out.SetColorIndex(x, y, i)
		}
	}
	var packed bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&packed, out); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d colours, %d bytes", filepath.Base(to), len(all), packed.Len())
}
