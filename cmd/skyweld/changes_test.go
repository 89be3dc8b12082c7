package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/api"
)

func TestChangeListing(t *testing.T) {
	soon := time.Now().Add(90 * time.Second)
	changes := []api.Change{
		{ID: 3, Cluster: "demo", Kind: "apply", State: "applied", Summary: "a new cluster: 1 site, 4 nodes", Who: "alice", Run: 4, Generation: 1},
		{ID: 7, Cluster: "demo", Kind: "node-add", State: "superseded", Summary: "workers web 1 → 2", Who: "bob", SupersededBy: 9},
		{ID: 8, Cluster: "demo", Kind: "node-remove", State: "superseded", Summary: "node demo-web-1 removed", Who: "bob", SupersededBy: 9, Error: "change 9 (apply by eve) asks for something else"},
		{ID: 9, Cluster: "demo", Kind: "apply", State: "applying", Summary: "access.api changed", Who: "eve", Run: 12, Tries: 2, NextTry: soon, Error: "the cloud is away\nmore of it"},
		{ID: 13, Cluster: "demo", Kind: "reconcile", State: "queued", Who: "bob", Summary: "check and repair now"},
		{ID: 14, Cluster: "demo", Kind: "apply", State: "cancelled", Who: "bob", Summary: "nothing new", Error: "by alice"},
	}
	var out bytes.Buffer
	if err := show(&settings{output: formTable}, &out, changes, changeListing); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"CHANGE   STATUS       WHO     AGE", "ASKS-FOR", "by change 9\n", "by change 9: change 9 (apply by eve) asks for something else\n",
		"try 2 failed, the next comes in ", ": the cloud is away …\n", "cancelled    bob", "by alice\n", "check and repair now             -\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the list has no %q:\n%s", want, &out)
		}
	}
	out.Reset()
	tab := &table{out: &out}
	changeDetails(tab, painter(false), changes[3])
	if err := tab.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CHANGE         9\n", "FAILED-TRIES   2\n", "NEXT-TRY       in ", "\nthe cloud is away\nmore of it\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the details have no %q:\n%s", want, &out)
		}
	}
}

// TestOutcome: a wait ends with what is new, and not with a try that had failed before it began.
func TestOutcome(t *testing.T) {
	was := api.Change{ID: 5, Cluster: "demo", Kind: "apply", State: "applying", Tries: 1, Error: "old"}
	p := &progress{said: map[string]string{}}
	for _, tt := range []struct {
		now  api.Change
		over bool
		says string
	}{
		{was, false, ""},
		{api.Change{ID: 5, State: "queued"}, false, ""},
		{api.Change{ID: 5, State: "applied"}, true, ""},
		{api.Change{ID: 5, Cluster: "demo", State: "applying", Tries: 2, Error: "new"}, true, "change 5 is not done: new\nThe engine tries again by itself"},
		{api.Change{ID: 5, Kind: "apply", State: "failed", Error: "no account"}, true, "can't be done, and nothing of it was: no account"},
		{api.Change{ID: 5, Kind: "apply", State: "superseded", SupersededBy: 6, Error: "change 6 asks for something else"}, true, "another took its place: change 6"},
		{api.Change{ID: 5, Kind: "apply", State: "cancelled", Error: "by bob"}, true, "was cancelled: by bob"},
	} {
		over, err := p.outcome(t.Context(), nil, was, tt.now, api.Run{}, nil)
		if over != tt.over || (err != nil) != (tt.says != "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: over %v, %v", tt.now, over, err)
		}
	}
}

func TestWriteBackup(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 10239: "10239 bytes", 10 << 10: "10 KiB", 10 << 20: "10 MiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d is %q; want %q", n, got, want)
		}
	}
}
