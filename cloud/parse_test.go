package cloud_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/cloud"
)

func TestParse(t *testing.T) {
	if got := cloud.ParseAddr("192.0.2.1"); got.String() != "192.0.2.1" {
		t.Errorf("address %s", got)
	}
	if got := cloud.ParseAddr("192.0.2.0/24"); got.IsValid() {
		t.Errorf("a range is taken for %s", got)
	}
	if got, want := cloud.ParseTime("2026-02-03T04:05:06.789-07:00"), time.Date(2026, 2, 3, 11, 5, 6, 0, time.UTC); !got.Equal(want) || got.Location() != time.UTC {
		t.Errorf("time %s, want %s", got, want)
	}
	if got := cloud.ParseTime("yesterday"); !got.IsZero() {
		t.Errorf("no time is taken for %s", got)
	}
}

func TestCompareItems(t *testing.T) {
	want := []cloud.Item{
		{Kind: "address", Region: "west", ID: "1"}, {Kind: "machine", Region: "east", ID: "2"}, {Kind: "machine", Region: "west", ID: "1"}, {Kind: "machine", Region: "west", ID: "2"},
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, cloud.CompareItems)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
