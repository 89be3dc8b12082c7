package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/store"
)

const (
	localToken = "skyweld_local_test"
	good       = "a good password"
	peer       = "192.0.2.1:4711"
)

// cheap is what hashing costs in tests.
var cheap = cost{memory: 8, time: 1, threads: 1}

func openStore(tb testing.TB) *store.Store {
	tb.Helper()
	box, err := secret.New(make([]byte, secret.KeySize), "a test")
	if err != nil {
		tb.Fatal(err)
	}
	st, err := store.Open(context.Background(), filepath.Join(tb.TempDir(), "skyweld.db"), box)
	if err != nil {
		tb.Fatal(err)
	}
	return st
}

// withService runs a test over time: the service's clock is the test's.
func withService(t *testing.T, f func(t *testing.T, s *Service, st *store.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		st := openStore(t)
		defer st.Close()
		s := New(Options{Store: st, LocalToken: localToken})
		s.cost = cheap
		f(t, s, st)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantStatus checks that something was refused, and how.
func wantStatus(t *testing.T, err error, status int, says ...string) {
	t.Helper()
	own, ok := errors.AsType[*Error](err)
	if !ok || own.Status != status {
		t.Fatalf("error %v; want a refusal with status %d", err, status)
	}
	for _, text := range says {
		if !strings.Contains(own.Message, text) {
			t.Errorf("refused with %q; want %q in it", own.Message, text)
		}
	}
}

func addUser(t *testing.T, s *Service, name string, role Role) {
	t.Helper()
	_, err := s.AddUser(t.Context(), name, role, good)
	must(t, err)
}

func TestUsers(t *testing.T) {
	withService(t, func(t *testing.T, s *Service, st *store.Store) {
		ctx := t.Context()
		for name, status := range map[string]int{"": 422, "Ada": 422, "a b": 422, "-a": 422, "ada\n": 422, strings.Repeat("a", 65): 422, "a/b": 422, "ä": 422} {
			_, err := s.AddUser(ctx, name, Viewer, good)
			wantStatus(t, err, status, "want 1 to 64")
		}
		for _, password := range []string{"", "short", "aaaaaaaaaaaaaaaa", strings.Repeat("ab", 501), "\xff\xfe\xfd and some more", "A.Lovelace@example.com"} {
			_, err := s.AddUser(ctx, "a.lovelace@example.com", Viewer, password)
			wantStatus(t, err, 422, "the password")
		}
		_, err := s.AddUser(ctx, "ada", "root", good)
		wantStatus(t, err, 422, "root", "want viewer, operator or admin")
		addUser(t, s, "ada", Admin)
		_, err = s.AddUser(ctx, "ada", Viewer, good)
		wantStatus(t, err, 409, "ada")
		_, err = s.SetRole(ctx, "ada", Viewer)
		wantStatus(t, err, 409, "the last admin")
		_, err = s.SetDisabled(ctx, "ada", true)
		wantStatus(t, err, 409, "the last admin")
		wantStatus(t, s.RemoveUser(ctx, "ada"), 409, "the last admin")
		wantStatus(t, s.RemoveUser(ctx, "bob"), 404, "bob")
		_, err = s.SetPassword(ctx, "bob", good)
		wantStatus(t, err, 404, "bob")
		if _, err := st.AddUser(ctx, store.User{Name: "eve", Role: "viewer", Issuer: "https://id.example", Subject: "1"}); err != nil {
			t.Fatal(err)
		}
		_, err = s.SetPassword(ctx, "eve", good)
		wantStatus(t, err, 409, "https://id.example")
		_, err = s.Login(ctx, "eve", "", peer)
		wantStatus(t, err, 401)
		all, err := s.Users(ctx)
		must(t, err)
		if len(all) != 2 || !all[0].Password || all[1].Password || all[1].Issuer == "" {
			t.Errorf("users %+v", all)
		}
	})
}

func TestLogin(t *testing.T) {
	withService(t, func(t *testing.T, s *Service, st *store.Store) {
		ctx := t.Context()
		addUser(t, s, "ada", Admin)
		addUser(t, s, "bob", Operator)
		for _, wrong := range [][2]string{{"ada", "another password"}, {"nobody", good}, {"", ""}, {"ada", strings.Repeat("x", 1<<20)}, {"a\x00da", good}} {
			_, err := s.Login(ctx, wrong[0], wrong[1], peer)
			wantStatus(t, err, 401, "the name or the password is wrong")
		}
		secret, err := s.Login(ctx, " ADA ", good, peer)
		must(t, err)
		v, err := s.FindSession(ctx, secret, peer)
		must(t, err)
		if v.Principal != (Principal{Name: "ada", Role: Admin, User: "ada", Via: "session", From: peer}) {
			t.Errorf("signed in as %+v", v.Principal)
		}
		// A session has the user's role of the moment, and ends with the right to sign in.
		second, err := s.Login(ctx, "bob", good, peer)
		must(t, err)
		_, err = s.SetRole(ctx, "bob", Viewer)
		must(t, err)
		if v, err = s.FindSession(ctx, second, peer); err != nil || v.Principal.Role != Viewer {
			t.Errorf("after another role: %+v, %v", v.Principal, err)
		}
		_, err = s.SetDisabled(ctx, "bob", true)
		must(t, err)
		_, err = s.FindSession(ctx, second, peer)
		wantStatus(t, err, 401)
		_, err = s.Login(ctx, "bob", good, peer)
		wantStatus(t, err, 401, "the name or the password is wrong")
		_, err = s.SetDisabled(ctx, "bob", false)
		must(t, err)
		_, err = s.FindSession(ctx, second, peer)
		wantStatus(t, err, 401)
		if _, err = s.Login(ctx, "bob", good, peer); err != nil {
			t.Error(err)
		}
		entries, err := st.ListAudit(ctx, store.AuditQuery{Limit: 100, Text: "login"})
		must(t, err)
		var got []string
		for _, e := range entries {
			got = append(got, fmt.Sprintf("%s %d %s", e.Who, e.Status, e.Source))
		}
		if want := "bob 200 192.0.2.1"; len(got) != 9 || got[4] != "a\ufffdda 401 192.0.2.1" || got[0] != want {
			t.Errorf("the audit log says %q", got)
		}
	})
}

// TestHashes: what is stored can't be used, and other parameters lead to a new hash.
func TestHashes(t *testing.T) {
	withService(t, func(t *testing.T, s *Service, st *store.Store) {
		ctx := t.Context()
		addUser(t, s, "ada", Admin)
		before, err := st.GetUser(ctx, "ada")
		must(t, err)
		if strings.Contains(before.Password, good) || !strings.HasPrefix(before.Password, "$argon2id$v=19$m=8,t=1,p=1$") {
			t.Errorf("stored is %q", before.Password)
		}
		secret, err := s.Login(ctx, "ada", good, peer)
		must(t, err)
		if u, _ := st.GetUser(ctx, "ada"); u.Password != before.Password {
			t.Error("the same parameters, and another hash")
		}
		s.cost = cost{memory: 16, time: 2, threads: 1}
		_, err = s.Login(ctx, "ada", good, peer)
		must(t, err)
		after, err := st.GetUser(ctx, "ada")
		must(t, err)
		if !strings.HasPrefix(after.Password, "$argon2id$v=19$m=16,t=2,p=1$") {
			t.Errorf("after other parameters: %q", after.Password)
		}
		if _, err := s.FindSession(ctx, secret, peer); err != nil {
			t.Errorf("a new hash ends a session: %v", err)
		}
		if _, err := s.Login(ctx, "ada", good, peer); err != nil {
			t.Errorf("with the new hash: %v", err)
		}
	})
	if owasp != (cost{memory: 19 << 10, time: 2, threads: 1}) {
		t.Errorf("passwords are hashed with %+v", owasp)
	}
}

// TestThrottle: guesses become slower and slower, for one user from anywhere and from one place for anybody; the right
// password isn't even looked at meanwhile.
func TestThrottle(t *testing.T) {
	withService(t, func(t *testing.T, s *Service, st *store.Store) {
		ctx := t.Context()
		addUser(t, s, "ada", Admin)
		addUser(t, s, "bob", Viewer)
		from := func(i int) string { return fmt.Sprintf("198.51.%d.%d:1", i/250, i%250) }
		n := 0
		guess := func(name string) error { n++; _, err := s.Login(ctx, name, "not the password", from(n)); return err }
		for _, name := range []string{"ada", "who is not there"} {
			if name != "ada" {
				name = "nobody"
			}
			for range byUser.free {
				wantStatus(t, guess(name), 401)
			}
			for _, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
				pause *= time.Second
				wantStatus(t, guess(name), 401)
				err := guess(name)
				wantStatus(t, err, 429, "too many tries")
				if own, _ := errors.AsType[*Error](err); own.After != pause {
					t.Errorf("%s: wait %s; want %s", name, own.After, pause)
				}
				if name == "ada" {
					_, err = s.Login(ctx, name, good, from(10_000))
					wantStatus(t, err, 429)
				}
				time.Sleep(pause)
			}
		}
		if _, err := s.Login(ctx, "bob", good, peer); err != nil {
			t.Errorf("another user: %v", err)
		}
		if _, err := s.Login(ctx, "ada", good, peer); err != nil {
			t.Errorf("after the pause: %v", err)
		}
		wantStatus(t, guess("ada"), 401) // and all begins anew
		wantStatus(t, guess("ada"), 401)

		// One place, many names; a /64 is one place.
		place := func(i int) string { return fmt.Sprintf("[2001:db8::%x]:1", i) }
		for i := range int(byAddress.free) + 1 {
			_, err := s.Login(ctx, fmt.Sprint("user", i), good, place(i))
			wantStatus(t, err, 401)
		}
		_, err := s.Login(ctx, "bob", good, place(5000))
		wantStatus(t, err, 429, "wait a second")
		if _, err := s.Login(ctx, "bob", good, "[2001:db8:0:1::1]:1"); err != nil {
			t.Errorf("from another place: %v", err)
		}
		// Whoever has an account there gets no more guesses by it.
		time.Sleep(time.Second)
		_, err = s.Login(ctx, "bob", good, place(1))
		must(t, err)
		_, err = s.Login(ctx, "userx", good, place(1))
		wantStatus(t, err, 401)
		_, err = s.Login(ctx, "bob", good, place(1))
		wantStatus(t, err, 429, "wait 2 seconds")
		time.Sleep(forgetFailures + time.Minute)
		for range byUser.free {
			wantStatus(t, guess("ada"), 401)
		}
		wantStatus(t, guess("ada"), 401)
	})
}

// TestThrottleAtOnce: a hundred guesses at once are no way around it.
func TestThrottleAtOnce(t *testing.T) {
	withService(t, func(t *testing.T, s *Service, st *store.Store) {
		addUser(t, s, "ada", Admin)
		results := make(chan error)
		for i := range 100 {
			go func() {
				_, err := s.Login(t.Context(), "ada", "not the password", fmt.Sprintf("198.51.100.%d:1", i))
				results <- err
			}()
		}
		tried := 0
		for range 100 {
			if own, ok := errors.AsType[*Error](<-results); ok && own.Status == http.StatusUnauthorized {
				tried++
			}
		}
		if want := int(byUser.free) + 1; tried != want {
			t.Errorf("%d guesses were looked at; want %d", tried, want)
		}
		// The pause is on record once, not each of those that it held off.
		entries, err := st.ListAudit(t.Context(), store.AuditQuery{Limit: 200, Text: "login"})
		must(t, err)
		held := 0
		for _, e := range entries {
			if e.Status == http.StatusTooManyRequests && e.Who == "ada" && e.Error != "" {
				held++
			}
		}
		if held != 1 || len(entries) != tried+1 {
			t.Errorf("of %d entries %d say that somebody was held off; want one beside the %d guesses", len(entries), held, tried)
		}
	})
}

func TestSessionEnds(t *testing.T) {
	withService(t, func(t *testing.T, s *Service, st *store.Store) {
		ctx := t.Context()
		addUser(t, s, "ada", Admin)
		begin := func() string {
			secret, err := s.Login(ctx, "ada", good, peer)
			must(t, err)
			return secret
		}
		alive := func(secret string) bool {
			_, err := s.FindSession(ctx, secret, peer)
			if err != nil {
				wantStatus(t, err, 401)
			}
			return err == nil
		}
		idle, used := begin(), begin()
		start := time.Now()
		for time.Since(start) < sessionIdle-time.Minute {
			time.Sleep(time.Hour - time.Minute)
			alive(used)
		}
		time.Sleep(sessionIdle - time.Since(start) - time.Second)
		used, idle = idle, used
		if alive(begin()); !alive(idle) {
			t.Error("a used session ended")
		}
		time.Sleep(2 * time.Second)
		if alive(used) {
			t.Error("an idle session goes on")
		}
		for time.Since(start) < sessionLife {
			if !alive(idle) {
				t.Fatalf("a session in use ended after %s", time.Since(start))
			}
			time.Sleep(time.Hour)
		}
		if alive(idle) {
			t.Error("a session outlives its week")
		}
		// A new password ends all sessions but the one that asks for it.
		one, two := begin(), begin()
		v, err := s.FindSession(ctx, one, peer)
		must(t, err)
		_, err = s.ChangeOwnPassword(WithSession(ctx, v), "not it, for sure", "a new password")
		wantStatus(t, err, 401)
		_, err = s.ChangeOwnPassword(WithSession(ctx, v), good, "a new password")
		must(t, err)
		if !alive(one) || alive(two) {
			t.Errorf("after a new password: %v, %v; want the first only", alive(one), alive(two))
		}
		_, err = s.Login(ctx, "ada", good, peer)
		wantStatus(t, err, 401)
		_, err = s.SetPassword(ctx, "ada", good) // somebody else does it
		must(t, err)
		if alive(one) {
			t.Error("a session outlives a password that somebody else changed")
		}
		three := begin()
		must(t, s.Logout(ctx, three))
		must(t, s.Logout(ctx, "nonsense"))
		if alive(three) {
			t.Error("a session outlives its end")
		}
		_, err = s.ChangeOwnPassword(With(ctx, Principal{Role: Admin, Via: "local token"}), good, good)
		wantStatus(t, err, 409)
	})
}

func TestTokens(t *testing.T) {
	withService(t, func(t *testing.T, s *Service, st *store.Store) {
		addUser(t, s, "ada", Admin)
		addUser(t, s, "bob", Operator)
		local := With(t.Context(), Principal{Name: "root", Role: Admin, Via: "local token"})
		bob := With(t.Context(), Principal{Name: "bob", User: "bob", Role: Operator, Via: "session"})
		find := func(secret string) (Principal, error) { return s.FindToken(t.Context(), secret, "somebody", peer) }
		_, _, err := s.MakeToken(bob, "too-much", Admin, time.Time{})
		wantStatus(t, err, 403, "you have the role operator", "admin")
		_, _, err = s.MakeToken(bob, "No Name", Viewer, time.Time{})
		wantStatus(t, err, 422, "want 1 to 64")
		_, _, err = s.MakeToken(bob, "late", Viewer, time.Now())
		wantStatus(t, err, 422, "expired already")
		_, _, err = s.MakeToken(bob, "a", "", time.Time{})
		wantStatus(t, err, 422, "role")

		secret, made, err := s.MakeToken(bob, "ci", Operator, time.Now().Add(time.Hour))
		must(t, err)
		if !strings.HasPrefix(secret, "skyweld_pat_") || len(secret) != len(TokenPrefix)+43 || made.User != "bob" {
			t.Errorf("made %q, %+v", secret, made)
		}
		_, _, err = s.MakeToken(local, "ci", Viewer, time.Time{})
		wantStatus(t, err, 409, "ci")
		p, err := find(secret)
		must(t, err)
		if p != (Principal{Name: "bob", Role: Operator, User: "bob", Via: "token ci", From: peer}) {
			t.Errorf("the token is %+v", p)
		}
		used, err := s.Token(t.Context(), "ci")
		must(t, err)
		if !used.Used.Equal(time.Now()) {
			t.Errorf("used at %s, now is %s", used.Used, time.Now())
		}
		// Its rights are never more than its user's.
		_, err = s.SetRole(t.Context(), "bob", Viewer)
		must(t, err)
		if p, err = find(secret); err != nil || p.Role != Viewer {
			t.Errorf("of a viewer: %+v, %v", p, err)
		}
		_, err = s.SetRole(t.Context(), "bob", Admin)
		must(t, err)
		if p, err = find(secret); err != nil || p.Role != Operator {
			t.Errorf("of an admin: %+v, %v", p, err)
		}
		_, err = s.SetDisabled(t.Context(), "bob", true)
		must(t, err)
		_, err = find(secret)
		wantStatus(t, err, 401)
		_, err = s.SetDisabled(t.Context(), "bob", false)
		must(t, err)
		time.Sleep(time.Hour)
		_, err = find(secret)
		wantStatus(t, err, 401, "expired")

		forever, _, err := s.MakeToken(local, "forever", Viewer, time.Time{})
		must(t, err)
		bobs, _, err := s.MakeToken(bob, "bobs", Viewer, time.Time{})
		must(t, err)
		time.Sleep(10 * 365 * 24 * time.Hour)
		if p, err = find(forever); err != nil || p.User != "" || p.Name != "root" {
			t.Errorf("years later: %+v, %v", p, err)
		}
		must(t, s.RemoveUser(t.Context(), "bob"))
		_, err = find(bobs)
		wantStatus(t, err, 401)
		must(t, s.RevokeToken(t.Context(), "forever"))
		_, err = find(forever)
		wantStatus(t, err, 401, "revoked")
		wantStatus(t, s.RevokeToken(t.Context(), "forever"), 404, "forever")

		if p, err = find(localToken); err != nil || p.Role != Admin || p.Name != "somebody" {
			t.Errorf("the engine's own: %+v, %v", p, err)
		}
		for _, wrong := range []string{"", "x", localToken + "x", TokenPrefix, TokenPrefix + "x", strings.TrimPrefix(forever, TokenPrefix), strings.ToUpper(forever)} {
			_, err := find(wrong)
			wantStatus(t, err, 401)
		}
		// Without a token of its own there is nothing that fits.
		_, err = New(Options{Store: st}).FindToken(t.Context(), "", "", peer)
		wantStatus(t, err, 401)
	})
}

func TestLinks(t *testing.T) {
	withService(t, func(t *testing.T, s *Service, st *store.Store) {
		ctx := t.Context()
		link, err := s.FirstLink(ctx)
		must(t, err)
		secret, err := s.UseLink(ctx, link, peer)
		must(t, err)
		v, err := s.FindSession(ctx, secret, peer)
		must(t, err)
		if v.Principal.Role != Admin || v.Principal.Via != "link" || v.Principal.User != "" {
			t.Errorf("the first admin is %+v", v.Principal)
		}
		for _, wrong := range []string{link, "", "x", secret} {
			_, err = s.UseLink(ctx, wrong, peer)
			wantStatus(t, err, 401, "used already")
		}
		link, _, err = s.MakeLink(ctx, "root", Admin)
		must(t, err)
		time.Sleep(LinkLife)
		_, err = s.UseLink(ctx, link, peer)
		wantStatus(t, err, 401, "older than an hour")
		addUser(t, s, "ada", Admin)
		if link, err = s.FirstLink(ctx); link != "" || err != nil {
			t.Errorf("with a user there: %q, %v", link, err)
		}
	})
}

// TestNothingReadable: what is stored gives nobody a session or a token.
func TestNothingReadable(t *testing.T) {
	withService(t, func(t *testing.T, s *Service, st *store.Store) {
		ctx := t.Context()
		addUser(t, s, "ada", Admin)
		session, err := s.Login(ctx, "ada", good, peer)
		must(t, err)
		token, _, err := s.MakeToken(With(ctx, Principal{Role: Admin}), "ci", Admin, time.Time{})
		must(t, err)
		if _, err := st.GetSession(ctx, session); err == nil {
			t.Error("a session is stored by its secret")
		}
		if _, err := st.GetAPIToken(ctx, token); err == nil {
			t.Error("a token is stored by itself")
		}
	})
}
