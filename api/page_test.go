package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/store"
)

// pages reads a list in pages of two, and lets something happen between them.
func pages[T any](t *testing.T, read func(PageQuery) (Page[T], error), name func(T) string, between func()) []string {
	t.Helper()
	var out []string
	for q := (PageQuery{Limit: 2}); ; {
		p, err := read(q)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Items) > 2 || len(p.Items) == 0 && p.Next != "" {
			t.Fatalf("a page of %d with next %q", len(p.Items), p.Next)
		}
		var names []string
		for _, v := range p.Items {
			names = append(names, name(v))
		}
		out = append(out, strings.Join(names, " "))
		if q.Cursor = p.Next; p.Next == "" {
			return out
		}
		between()
	}
}

// TestPages: what is added or goes while a list is read shifts nothing of it.
func TestPages(t *testing.T) {
	s := newServer(t)
	ctx := t.Context()
	var ids []string
	for _, name := range []string{"a", "c", "e", "g", "i"} {
		ids = append(ids, storedCluster(t, s, name).UID)
	}
	c := s.As(auth.Principal{Name: "ada", Role: auth.Operator})
	extra := []string{"b", "h"} // before and behind what was read
	got := pages(t, func(q PageQuery) (Page[Cluster], error) { return c.ClustersPage(ctx, q) }, func(v Cluster) string { return v.Name }, func() {
		if len(extra) > 0 {
			storedCluster(t, s, extra[0])
			extra = extra[1:]
		}
	})
	if want := []string{"a c", "e g", "h i"}; !slices.Equal(got, want) {
		t.Errorf("clusters %q, want %q", got, want)
	}
	for i := range 5 {
		say(t, s, ids[0], fmt.Sprint(i))
	}
	got = pages(t, func(q PageQuery) (Page[Event], error) { return c.EventsPage(ctx, "a", q) }, func(v Event) string { return v.Reason }, func() { say(t, s, ids[0], "new") })
	if want := []string{"3 4", "1 2", "0"}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	for i := range 5 {
		if _, err := s.engine.Store().AddChange(ctx, store.Change{Cluster: ids[0], Kind: store.Reconcile, Summary: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	got = pages(t, func(q PageQuery) (Page[Change], error) { return c.ChangesPage(ctx, "a", q) }, func(v Change) string { return v.Summary }, func() {})
	if want := []string{"0 1", "2 3", "4"}; !slices.Equal(got, want) {
		t.Errorf("changes %q, want %q", got, want)
	}
	fence := store.Fence{}
	for fence.Cluster != ids[0] { // the first that is asked for something
		claim, err := s.engine.Store().ClaimCluster(ctx, "engine", 1e9)
		if err != nil || claim == nil {
			t.Fatal(err)
		}
		fence = claim.Fence
	}
	for i := range 5 {
		if _, err := s.engine.Store().CreateRun(ctx, fence, fmt.Sprint(i), 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	got = pages(t, func(q PageQuery) (Page[Run], error) { return c.RunsPage(ctx, "a", q) }, func(v Run) string { return v.Reason }, func() {
		if _, err := s.engine.Store().CreateRun(ctx, fence, "new", 1, nil); err != nil {
			t.Fatal(err)
		}
	})
	if want := []string{"4 3", "2 1", "0"}; !slices.Equal(got, want) {
		t.Errorf("runs %q, want %q", got, want)
	}
	for _, key := range []string{"k1", "k2", "k3"} {
		if err := s.engine.Store().PutResource(ctx, fence, store.Resource{Cluster: ids[0], Key: key, Kind: "vpc", Site: "one", Region: "r", ID: key}); err != nil {
			t.Fatal(err)
		}
	}
	got = pages(t, func(q PageQuery) (Page[Resource], error) { return c.ResourcesPage(ctx, "a", q) }, func(v Resource) string { return v.Key }, func() {})
	if want := []string{"k1 k2", "k3"}; !slices.Equal(got, want) {
		t.Errorf("resources %q, want %q", got, want)
	}
	if all, err := c.Clusters(ctx); err != nil || len(all) != 7 {
		t.Errorf("%d clusters, %v", len(all), err)
	}
	first, err := c.ChangesPage(ctx, "a", PageQuery{Limit: 1})
	if err != nil || first.Next == "" {
		t.Fatal(first, err)
	}
	for _, cursor := range []string{"x", "!!!", "ü", first.Next + "=", first.Next[1:], cursorOf("changes/"+ids[1], "1"), cursorOf("changes/"+ids[0], "-1"), cursorOf("changes/"+ids[0], "01"), cursorOf("changes/"+ids[0], ""), strings.Repeat("x", 5000)} {
		_, err := c.ChangesPage(ctx, "a", PageQuery{Cursor: cursor})
		p, ok := errors.AsType[*Problem](err)
		if !ok || p.Status != http.StatusUnprocessableEntity || len(p.Errors) != 1 || p.Errors[0].Location != "query.cursor" {
			t.Errorf("the cursor %.20q: %v", cursor, err)
		}
	}
}

// FuzzCursor: a cursor that is taken is one that was given.
func FuzzCursor(f *testing.F) {
	f.Add(cursorOf("runs/x", "17"))
	f.Add("AAAA")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if key, err := parseCursor("runs/x", text); err == nil && key != "" && cursorOf("runs/x", key) != text {
			t.Errorf("%q is read as %q", text, key)
		}
		if id, err := parseIDCursor("runs/x", text); err == nil && (id < 0 || text != "" && cursorOf("runs/x", idKey(id)) != text) {
			t.Errorf("%q is read as %d", text, id)
		}
	})
}
