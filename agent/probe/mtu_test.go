package probe

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestLargest(t *testing.T) {
	for _, c := range []struct {
		carried, want, tries int
	}{
		{1500, 1500, 3},
		{9001, 9001, 7},
		{8999, 8896, 7},
		{1400, 1400, 7},
		{1460, 1460, 7},
		{1459, 1450, 7},
		{600, 576, 7},
		{500, 0, 1},
	} {
		tries := 0
		got := largest(Sizes, func(size int) bool {
			tries++
			return size <= c.carried
		})
		if got != c.want || tries > c.tries {
			t.Errorf("a path of %d: found %d in %d tries, want %d in %d", c.carried, got, tries, c.want, c.tries)
		}
	}
	if got := largest(nil, nil); got != 0 {
		t.Errorf("of no sizes %d is carried", got)
	}
}

func TestLargestAlways(t *testing.T) {
	if !slices.IsSorted(Sizes) || !slices.Contains(Sizes, ethernet) || Sizes[0]-headers < frameSize {
		t.Fatal("sizes")
	}
	rapid.Check(t, func(t *rapid.T) {
		sizes := slices.Compact(slices.Sorted(slices.Values(rapid.SliceOf(rapid.IntRange(100, 10_000)).Draw(t, "sizes"))))
		carried := rapid.IntRange(0, 11_000).Draw(t, "carried")
		want := 0
		for _, size := range sizes {
			if size <= carried {
				want = size
			}
		}
		if got := largest(sizes, func(size int) bool { return size <= carried }); got != want {
			t.Fatalf("found %d, want %d", got, want)
		}
	})
}
