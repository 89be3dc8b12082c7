package tables_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/lab/internal/tables"
)

func TestUnpack(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte("text")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := tables.Unpack(b.Bytes()); err != nil || string(got) != "text" {
		t.Errorf("unpacked %q, error %v", got, err)
	}
	for _, broken := range [][]byte{nil, []byte("text"), b.Bytes()[:b.Len()-3]} {
		if _, err := tables.Unpack(broken); err == nil {
			t.Errorf("%q is unpacked", broken)
		}
	}
}

func TestRead(t *testing.T) {
	var got [][]string
	err := tables.Read([]byte("# head\nregion,a,\"b, c\"\n\noffer,d\n"), func(row []string) error {
		got = append(got, slices.Clone(row))
		return nil
	})
	if diff := cmp.Diff([][]string{{"region", "a", "b, c"}, {"offer", "d"}}, got); err != nil || diff != "" {
		t.Errorf("error %v, lines (- want, + got):\n%s", err, diff)
	}
	wrong := errors.New("wrong")
	if err := tables.Read([]byte("a\nb\n"), func([]string) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("error %v", err)
	}
	if err := tables.Read([]byte("a,\"b\n"), func([]string) error { return nil }); err == nil {
		t.Error("no error of a table that is cut off")
	}
}

// TestOffers has three places of which something is known, and a fourth.
func TestOffers(t *testing.T) {
	var put, parsed tables.Offers
	for place, names := range [][]string{{"everywhere", "first"}, {"everywhere"}, {"everywhere", "last"}} {
		for _, name := range names {
			put.Put(name, place)
		}
	}
	for _, name := range []string{"everywhere", "first", "last"} {
		if err := parsed.Parse(name, put.Text(name)); err != nil {
			t.Error(err)
		}
	}
	if put.Text("everywhere") != "7" || put.Text("nowhere") != "" {
		t.Errorf("the texts are %q and %q", put.Text("everywhere"), put.Text("nowhere"))
	}
	for name, want := range map[string][]bool{
		"everywhere": {true, true, true, true}, "first": {true, false, false, false}, "last": {false, false, true, false}, "nowhere": {false, false, false, false},
	} {
		for place, has := range want {
			if put.Has(name, place) != has || parsed.Has(name, place) != has {
				t.Errorf("place %d has %s: %t, %t; want %t", place, name, put.Has(name, place), parsed.Has(name, place), has)
			}
		}
	}
	if err := parsed.Parse("x", "xyz"); err == nil {
		t.Error("no error of a set that is none")
	}
}
