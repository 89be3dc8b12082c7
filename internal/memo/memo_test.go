package memo

import (
	"errors"
	"strconv"
	"testing"
)

func TestMemo(t *testing.T) {
	m := Memo[string]{Most: 3}
	made := 0
	of := func(key, text string) string {
		t.Helper()
		v, err := m.Of(key, []byte(text), func() (string, error) {
			made++
			return "<" + text + ">", nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		key, text string
		made      int
	}{
		{"a", "one", 1},
		{"a", "one", 1},
		{"b", "one", 2}, // of another key
		{"a", "two", 3}, // of another text
		{"a", "two", 3},
		{"a", "one", 4}, // only the last is remembered
		{"c", "one", 5},
		{"c", "one", 5},
		{"d", "one", 6}, // one too many
		{"d", "one", 6},
		{"a", "one", 7},
	} {
		if got := of(c.key, c.text); got != "<"+c.text+">" || made != c.made {
			t.Errorf("%s of %s is %q, made %d times; want %d", c.key, c.text, got, made, c.made)
		}
	}
	for i := range 100 {
		of(strconv.Itoa(i), "x")
	}
	if len(m.by) > 3 {
		t.Errorf("%d keys are remembered, of at most 3", len(m.by))
	}
}

func TestErrors(t *testing.T) {
	var m Memo[int]
	broken := errors.New("broken")
	if _, err := m.Of("a", nil, func() (int, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	if v, err := m.Of("a", nil, func() (int, error) { return 5, nil }); v != 5 || err != nil {
		t.Errorf("after an error it is %d, %v", v, err)
	}
}
