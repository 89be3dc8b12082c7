package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/skyweld/skyweld/store"
)

// at is a time as a caller gives it.
func at(minutes int) time.Time {
	return time.UnixMicro(1_800_000_000_000_000).UTC().Add(time.Duration(minutes) * time.Minute)
}

func testUsers(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	_, err := s.GetUser(ctx, "ada")
	wantError(t, err, store.ErrNotFound, "user ada")
	ada := get[store.User](t)(s.AddUser(ctx, store.User{Name: "ada", Role: "admin", Password: "hash"}))
	bob := get[store.User](t)(s.AddUser(ctx, store.User{Name: "bob", Role: "viewer", Issuer: "https://id.example", Subject: "4711"}))
	get[store.User](t)(s.AddUser(ctx, store.User{Name: "carl", Role: "viewer"})) // neither is anybody elsewhere
	for _, u := range []store.User{{Name: "ada", Role: "viewer"}, {Name: "robert", Role: "viewer", Issuer: "https://id.example", Subject: "4711"}} {
		_, err := s.AddUser(ctx, u)
		wantError(t, err, store.ErrExists, u.Name)
	}
	equal(t, "ada", get[store.User](t)(open(t, d).GetUser(ctx, "ada")), ada)
	equal(t, "bob", get[store.User](t)(s.GetUserBySubject(ctx, "https://id.example", "4711")), bob)
	for _, who := range [][2]string{{"https://id.example", "1"}, {"https://other.example", "4711"}, {"", ""}} {
		_, err := s.GetUserBySubject(ctx, who[0], who[1])
		wantError(t, err, store.ErrNotFound)
	}
	if all := get[[]store.User](t)(s.ListUsers(ctx)); len(all) != 3 || all[0].Name != "ada" || all[2].Name != "carl" {
		t.Errorf("users %+v", all)
	}
	before, after, err := s.ChangeUser(ctx, "bob", "", func(u *store.User) error { u.Role = "operator"; return nil })
	must(t, err)
	if before.Role != "viewer" || after.Role != "operator" || after.Updated.Before(before.Updated) {
		t.Errorf("changed from %+v to %+v", before, after)
	}
	equal(t, "changed", get[store.User](t)(s.GetUser(ctx, "bob")), after)
	no := errors.New("no")
	_, _, err = s.ChangeUser(ctx, "bob", "", func(*store.User) error { return no })
	wantError(t, err, no)
	_, _, err = s.ChangeUser(ctx, "nobody", "", func(*store.User) error { return nil })
	wantError(t, err, store.ErrNotFound, "nobody")
	must(t, s.RehashPassword(ctx, "ada", "hash", "new hash"))
	must(t, s.RehashPassword(ctx, "ada", "hash", "late hash"))
	if u := get[store.User](t)(s.GetUser(ctx, "ada")); u.Password != "new hash" {
		t.Errorf("password %q", u.Password)
	}
	was := get[store.User](t)(s.DeleteUser(ctx, "bob"))
	equal(t, "removed", was, after)
	_, err = s.DeleteUser(ctx, "bob")
	wantError(t, err, store.ErrNotFound, "bob")
}

// testLastAdmin takes the right to manage users from everybody, also from two at once.
func testLastAdmin(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	add := func(name, role string, disabled time.Time) {
		get[store.User](t)(s.AddUser(ctx, store.User{Name: name, Role: role, Disabled: disabled}))
	}
	add("ada", "admin", time.Time{})
	add("bob", "operator", time.Time{})
	add("carl", "admin", at(0))
	demote := func(u *store.User) error { u.Role = "viewer"; return nil }
	disable := func(u *store.User) error { u.Disabled = at(1); return nil }
	for _, change := range []func(*store.User) error{demote, disable} {
		_, _, err := s.ChangeUser(ctx, "ada", "", change)
		wantError(t, err, store.ErrLastAdmin, "ada")
	}
	_, err := s.DeleteUser(ctx, "ada")
	wantError(t, err, store.ErrLastAdmin, "ada")
	get[store.User](t)(s.DeleteUser(ctx, "carl")) // who was none that counts
	add("dora", "admin", time.Time{})
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i, name := range []string{"ada", "dora"} {
		wg.Go(func() { _, _, errs[i] = s.ChangeUser(ctx, name, "", demote) })
	}
	wg.Wait()
	if refused := errors.Is(errs[0], store.ErrLastAdmin); refused == errors.Is(errs[1], store.ErrLastAdmin) || errs[0] != nil && errs[1] != nil {
		t.Errorf("two admins demoted at once: %v", errs)
	}
}

func testSessions(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	get[store.User](t)(s.AddUser(ctx, store.User{Name: "ada", Role: "admin"}))
	get[store.User](t)(s.AddUser(ctx, store.User{Name: "bob", Role: "viewer"}))
	begin := func(hash, person string, minute int) store.Session {
		v := store.Session{Hash: hash, Person: person, Name: "Ada", Role: "viewer", Via: "session", Address: "192.0.2.1", Created: at(minute), Seen: at(minute)}
		must(t, s.AddSession(ctx, v, at(minute-10), at(minute-100)))
		return v
	}
	has := func(want ...string) {
		t.Helper()
		for _, hash := range []string{"a", "b", "c", "d"} {
			_, err := s.GetSession(ctx, hash)
			found := false
			for _, w := range want {
				found = found || w == hash
			}
			if found != (err == nil) {
				t.Errorf("session %s: %v; want those of %q", hash, err, want)
			}
		}
	}
	a := begin("a", "ada", 0)
	equal(t, "session", get[store.Session](t)(open(t, d).GetSession(ctx, "a")), a)
	if u := get[store.User](t)(s.GetUser(ctx, "ada")); !u.LastLogin.Equal(at(0)) {
		t.Errorf("last login %v", u.LastLogin)
	}
	must(t, s.TouchSession(ctx, "a", at(5)))
	must(t, s.TouchSession(ctx, "a", at(3)))
	if v := get[store.Session](t)(s.GetSession(ctx, "a")); !v.Seen.Equal(at(5)) {
		t.Errorf("seen %v", v.Seen)
	}
	begin("b", "bob", 6)
	begin("c", "", 7)
	has("a", "b", "c")
	must(t, s.TouchSession(ctx, "c", at(20)))
	begin("d", "ada", 25) // neither a nor b was seen for ten minutes
	has("c", "d")
	begin("a", "ada", 26)
	begin("b", "bob", 26)
	_, _, err := s.ChangeUser(ctx, "ada", "d", func(u *store.User) error { u.Role = "operator"; return nil })
	wantError(t, err, store.ErrLastAdmin)
	_, _, err = s.ChangeUser(ctx, "ada", "d", func(u *store.User) error { u.Password = "new"; return nil })
	must(t, err)
	has("b", "c", "d")
	_, _, err = s.ChangeUser(ctx, "bob", "", func(u *store.User) error { u.Disabled = at(30); return nil })
	must(t, err)
	has("c", "d")
	wantError(t, s.AddSession(ctx, store.Session{Hash: "b", Person: "bob", Created: at(31), Seen: at(31)}, at(0), at(0)), store.ErrNotFound)
	wantError(t, s.AddSession(ctx, store.Session{Hash: "b", Person: "nobody", Created: at(31), Seen: at(31)}, at(0), at(0)), store.ErrNotFound)
	must(t, s.DeleteSession(ctx, "d"))
	must(t, s.DeleteSession(ctx, "d"))
	has("c")
	begin("a", "", 120) // c began more than a hundred minutes before
	has("a")
}

func testLinks(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	link := func(hash string, minute int) store.Link {
		return store.Link{Hash: hash, Name: "ada", Role: "admin", Created: at(minute), Expires: at(minute + 60)}
	}
	must(t, s.AddLink(ctx, link("a", 0)))
	must(t, s.AddLink(ctx, link("b", 1)))
	got := make([]store.Link, 8)
	errs := make([]error, len(got))
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i], errs[i] = s.TakeLink(ctx, "a") })
	}
	wg.Wait()
	taken := 0
	for i, err := range errs {
		if err == nil {
			taken++
			equal(t, "link", got[i], link("a", 0))
			continue
		}
		wantError(t, err, store.ErrNotFound)
	}
	if taken != 1 {
		t.Errorf("a link was used %d times", taken)
	}
	must(t, s.AddLink(ctx, link("c", 61))) // b's hour is over
	_, err := s.TakeLink(ctx, "b")
	wantError(t, err, store.ErrNotFound)
}

func testAPITokens(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	get[store.User](t)(s.AddUser(ctx, store.User{Name: "ada", Role: "admin"}))
	get[store.User](t)(s.AddUser(ctx, store.User{Name: "bob", Role: "viewer"}))
	ci := store.APIToken{Name: "ci", Hash: "h1", Role: "operator", Person: "ada", Maker: "ada", Created: at(0), Expires: at(100)}
	must(t, s.AddAPIToken(ctx, ci))
	must(t, s.AddAPIToken(ctx, store.APIToken{Name: "bobs", Hash: "h2", Role: "viewer", Person: "bob", Created: at(0)}))
	wantError(t, s.AddAPIToken(ctx, store.APIToken{Name: "ci", Hash: "h3"}), store.ErrExists, "ci")
	equal(t, "token", get[store.APIToken](t)(open(t, d).GetAPIToken(ctx, "h1")), ci)
	must(t, s.TouchAPIToken(ctx, "h1", at(5)))
	must(t, s.TouchAPIToken(ctx, "h1", at(4)))
	ci.Used = at(5)
	if all := get[[]store.APIToken](t)(s.ListAPITokens(ctx)); len(all) != 2 || all[0].Name != "bobs" || !all[0].Expires.IsZero() || all[1] != ci {
		t.Errorf("tokens %+v", all)
	}
	get[store.User](t)(s.DeleteUser(ctx, "bob"))
	_, err := s.GetAPIToken(ctx, "h2")
	wantError(t, err, store.ErrNotFound)
	equal(t, "revoked", get[store.APIToken](t)(s.DeleteAPIToken(ctx, "ci")), ci)
	_, err = s.GetAPIToken(ctx, "h1")
	wantError(t, err, store.ErrNotFound)
	_, err = s.DeleteAPIToken(ctx, "ci")
	wantError(t, err, store.ErrNotFound, "ci")
}

// testLoginFailures counts from many sides at once: no try is forgotten.
func testLoginFailures(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	const tries = 20
	var wg sync.WaitGroup
	for i := range tries {
		wg.Go(func() {
			// Each in its own order.
			subjects := []string{"user ada", "address 192.0.2.1"}
			must(t, s.ChangeLoginFailures(ctx, subjects, at(-60), func(known map[string]store.LoginFailures) error {
				for _, subject := range subjects {
					f := known[subject]
					known[subject] = store.LoginFailures{Count: f.Count + 1, Last: at(i), PausedUntil: at(100)}
				}
				return nil
			}))
		})
	}
	wg.Wait()
	no := errors.New("no")
	look := func(subject string) (f store.LoginFailures) {
		err := s.ChangeLoginFailures(ctx, []string{subject}, at(-60), func(known map[string]store.LoginFailures) error {
			f = known[subject]
			known[subject] = store.LoginFailures{Count: 1000}
			return no
		})
		wantError(t, err, no)
		return f
	}
	for _, subject := range []string{"user ada", "address 192.0.2.1"} {
		if f := look(subject); f.Count != tries || !f.PausedUntil.Equal(at(100)) {
			t.Errorf("%s: %+v", subject, f)
		}
	}
	if f := look("user bob"); f != (store.LoginFailures{}) {
		t.Errorf("nobody's: %+v", f)
	}
	must(t, s.ChangeLoginFailures(ctx, []string{"user ada"}, at(-60), func(known map[string]store.LoginFailures) error {
		clear(known)
		return nil
	}))
	if f := look("user ada"); f.Count != 0 {
		t.Errorf("after a success: %+v", f)
	}
	must(t, s.ChangeLoginFailures(ctx, nil, at(1000), func(map[string]store.LoginFailures) error { return nil }))
	if f := look("address 192.0.2.1"); f.Count != 0 {
		t.Errorf("long after: %+v", f)
	}
}

func testAudit(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	begin := get[time.Time](t)(s.Now(ctx))
	add := func(e store.AuditEntry) store.AuditEntry { return get[store.AuditEntry](t)(s.AddAudit(ctx, e)) }
	entries := []store.AuditEntry{
		add(store.AuditEntry{Who: "ada", Role: "admin", Via: "session", Source: "192.0.2.1", Operation: "POST /clusters", Object: "cluster/demo", Status: 202, Before: []byte(`{"count":1}`), After: []byte(`{"count":2}`)}),
		add(store.AuditEntry{Who: "bob", Operation: "DELETE /clusters/{name}/nodes/{node}", Object: "cluster/demo/node/demo-web-1", Status: 403, Error: "needs the role operator"}),
		add(store.AuditEntry{Who: "ada", Operation: "POST /clusters", Object: "cluster/demo2", Status: 202}),
		add(store.AuditEntry{Who: "Mallory_", Operation: "login", Object: "user/ada", Status: 401, Error: "100%"}),
	}
	for name, tt := range map[string]struct {
		q    store.AuditQuery
		want []int
	}{
		"all":             {store.AuditQuery{}, []int{3, 2, 1, 0}},
		"a page":          {store.AuditQuery{Limit: 2}, []int{3, 2}},
		"the next":        {store.AuditQuery{Limit: 2, Below: entries[2].ID}, []int{1, 0}},
		"who":             {store.AuditQuery{Who: "ada"}, []int{2, 0}},
		"object":          {store.AuditQuery{Object: "cluster/demo"}, []int{1, 0}},
		"no pattern":      {store.AuditQuery{Object: "cluster/dem_"}, nil},
		"text":            {store.AuditQuery{Text: "MALLORY_"}, []int{3}},
		"no pattern, too": {store.AuditQuery{Text: "1%"}, nil},
		"percent":         {store.AuditQuery{Text: "0%"}, []int{3}},
		"in what changed": {store.AuditQuery{Text: `"count":2`}, []int{0}},
		"since":           {store.AuditQuery{Since: begin}, []int{3, 2, 1, 0}},
		"later":           {store.AuditQuery{Since: begin.Add(time.Hour)}, nil},
		"until":           {store.AuditQuery{Until: begin.Add(-time.Hour)}, nil},
		"both":            {store.AuditQuery{Who: "ada", Text: "demo2"}, []int{2}},
		"quotes":          {store.AuditQuery{Text: `' OR 1=1 --`, Who: `'"\`}, nil},
	} {
		if tt.q.Limit == 0 {
			tt.q.Limit = 100
		}
		var want []store.AuditEntry
		for _, i := range tt.want {
			want = append(want, entries[i])
		}
		equal(t, name, get[[]store.AuditEntry](t)(s.ListAudit(ctx, tt.q)), want)
	}
}

// testAuditStays tries to change the past, behind the store's back too.
func testAuditStays(t *testing.T, d Database) {
	s, ctx := open(t, d), t.Context()
	want := []store.AuditEntry{get[store.AuditEntry](t)(s.AddAudit(ctx, store.AuditEntry{Who: "ada", Operation: "POST /clusters"}))}
	open(t, d) // opening it again changes nothing
	statements := []string{"UPDATE audit SET who = 'bob'", "DELETE FROM audit", fmt.Sprintf("DELETE FROM audit WHERE id = %d", want[0].ID)}
	if s.Dialect() == "postgres" {
		statements = append(statements, "TRUNCATE audit")
	} else {
		statements = append(statements, fmt.Sprintf("REPLACE INTO audit SELECT id, time, 'bob', role, via, source, operation, object, status, error, was, became FROM audit WHERE id = %d", want[0].ID))
	}
	for _, statement := range statements {
		if err := d.Try(t, statement); err == nil {
			t.Errorf("%s was done", statement)
		}
	}
	equal(t, "the log", get[[]store.AuditEntry](t)(s.ListAudit(ctx, store.AuditQuery{Limit: 10})), want)
}
