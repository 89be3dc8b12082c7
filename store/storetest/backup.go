package storetest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/store"
)

// newKeeper returns who a backup is for, and how they read it.
func newKeeper(t *testing.T) (secret.Keeper, secret.Reader) {
	t.Helper()
	key := get[*age.X25519Identity](t)(age.GenerateX25519Identity())
	return secret.Keeper{Recipients: []string{key.Recipient().String()}}, secret.Reader{Identities: "# a comment\n" + key.String() + "\n"}
}

// stocked fills a database with a little of everything.
func stocked(t *testing.T, s *store.Store) store.Fence {
	t.Helper()
	ctx := t.Context()
	fence := claimed(t, s, "demo")
	change := queued(t, s, fence.Cluster, "alice", store.Apply, withWorkers(2))
	get[store.Queue](t)(s.TakeChanges(ctx, fence, get[store.Queue](t)(s.GetQueue(ctx, fence.Cluster)), []store.Move{{ID: change.ID, State: store.Applying, Spec: withWorkers(2)}}))
	run := get[store.Run](t)(s.CreateRun(ctx, fence, "r", 2, []store.Step{{ID: "a", Depends: []string{"b"}}, {ID: "b"}}))
	must(t, s.SetStep(ctx, fence, run.ID, "b", store.StepDone, ""))
	intent := get[store.Intent](t)(s.OpenIntent(ctx, fence, store.Intent{Key: "k", Action: "create"}))
	must(t, s.ResolveIntent(ctx, fence, intent.ID, store.Resolution{State: store.IntentDone, ObjectID: "vpc-1", Put: &store.Resource{Key: "k", ID: "vpc-1", Object: json.RawMessage(`{"ü":"\u0000<\n"}`)}}))
	get[store.Intent](t)(s.OpenIntent(ctx, fence, store.Intent{Key: "k2", Action: "create"}))
	must(t, s.PutNode(ctx, fence, store.Node{Name: "n", Facts: json.RawMessage(`{"revision":9007199254740993}`)}))
	must(t, s.PutSecret(ctx, fence, "keys", []byte("hush-keys\x00\xff")))
	must(t, s.PutSecret(ctx, fence, "empty", nil))
	get[store.Event](t)(s.AddEvent(ctx, store.Event{Cluster: fence.Cluster, Type: store.Normal, Reason: "R", Message: "two\nlines, \"ü\" and 😀"}))
	get[store.User](t)(s.AddUser(ctx, store.User{Name: "ada", Role: "admin", Password: "$argon2id$"}))
	must(t, s.AddSession(ctx, store.Session{Hash: "h", Person: "ada", Created: at(0), Seen: at(0)}, at(0), at(0)))
	must(t, s.AddAPIToken(ctx, store.APIToken{Name: "ci", Hash: "h", Person: "ada", Expires: at(9)}))
	get[store.AuditEntry](t)(s.AddAudit(ctx, store.AuditEntry{Who: "ada", Operation: "POST /clusters", After: json.RawMessage(`{"a":1}`)}))
	return fence
}

func backup(t *testing.T, s *store.Store, keeper secret.Keeper) []byte {
	t.Helper()
	var file bytes.Buffer
	must(t, s.Backup(t.Context(), &file, keeper))
	return file.Bytes()
}

func reopened(file []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil }
}

func restore(t *testing.T, d Database, file []byte, reader secret.Reader) *store.Store {
	t.Helper()
	checked := get[store.Backup](t)(store.CheckBackup(bytes.NewReader(file), reader))
	must(t, store.Restore(t.Context(), d.Where, OtherBox(), checked, reopened(file), reader))
	s, err := store.Open(t.Context(), d.Where, OtherBox())
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// OtherBox is that of another machine.
func OtherBox() *secret.Box {
	b, err := secret.New([]byte("another-key-another-key-another-"), "another machine")
	if err != nil {
		panic(err)
	}
	return b
}

// contents is what is in a backup beside what a restore changes.
func contents(t *testing.T, file []byte, reader secret.Reader) []string {
	t.Helper()
	plain := get[io.Reader](t)(reader.Decrypt(bytes.NewReader(file)))
	unpacked := get[*gzip.Reader](t)(gzip.NewReader(plain))
	text := string(get[[]byte](t)(io.ReadAll(unpacked)))
	table := ""
	var out []string
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if name, ok := strings.CutPrefix(line, `{"table":"`); ok {
			table, _, _ = strings.Cut(name, `"`)
		}
		if i > 0 && !strings.HasPrefix(line, `{"rows"`) && !(table == "clusters" && line[0] == '[') && !strings.HasPrefix(line, `["restored"`) {
			out = append(out, line)
		}
	}
	return out
}

// testBackup moves everything to an empty database, and to one of SQLite.
func testBackup(t *testing.T, d, other Database) {
	s, ctx := open(t, d), t.Context()
	fence := stocked(t, s)
	keeper, reader := newKeeper(t)
	file := backup(t, s, keeper)
	if bytes.Contains(file, []byte("hush")) || bytes.Contains(file, []byte("demo")) {
		t.Error("something can be read in the backup")
	}
	before := contents(t, file, reader)
	if !slices.ContainsFunc(before, func(l string) bool { return strings.Contains(l, "9007199254740993") }) {
		t.Error("a large number isn't in the backup as it is")
	}
	was := get[store.Cluster](t)(s.GetCluster(ctx, "demo"))
	path := filepath.Join(t.TempDir(), "skyweld.db")
	for _, target := range []Database{other, {Where: path}} {
		back := restore(t, target, file, reader)
		equal(t, "restored", contents(t, backup(t, back, keeper), reader), before)
		c := get[store.Cluster](t)(back.GetCluster(ctx, "demo"))
		if c.Lease.Owner != "" || c.Lease.Epoch != fence.Epoch+1 || c.Paused == nil || c.Paused.By != store.RestoredBy || !strings.Contains(c.Paused.Reason, "the engine of then will not run again") {
			t.Errorf("restored cluster: %+v, %+v", c.Lease, c.Paused)
		}
		c.Lease, c.Paused = was.Lease, was.Paused
		equal(t, "cluster", c, was)
		if at := get[time.Time](t)(back.Restored(ctx)); at.IsZero() {
			t.Error("it isn't noted that it was restored")
		}
		if v := get[[]byte](t)(back.GetSecret(ctx, fence.Cluster, "keys")); string(v) != "hush-keys\x00\xff" {
			t.Errorf("secret %q", v)
		}
		if a := get[store.Account](t)(back.GetAccount(ctx, "acme")); a.Secrets["secretAccessKey"] != "hush-hush-acme" {
			t.Error("an account's secret is another one")
		}
		wantError(t, back.Check(ctx, fence), store.ErrFenced)
		// What is given out from now on is new.
		last := get[[]store.Event](t)(back.LastEvents(ctx, "", 1))[0].ID
		if e := get[store.Event](t)(back.AddEvent(ctx, store.Event{Type: store.Normal, Reason: "R"})); e.ID <= last {
			t.Errorf("event %d after %d", e.ID, last)
		}
		err := store.Restore(ctx, target.Where, OtherBox(), get[store.Backup](t)(store.CheckBackup(bytes.NewReader(file), reader)), reopened(file), reader)
		wantError(t, err, store.ErrInUse, "nothing is restored over what is there")
	}
	if at := get[time.Time](t)(s.Restored(ctx)); !at.IsZero() {
		t.Error("a database that was never restored says it was")
	}
	info := get[store.Backup](t)(store.CheckBackup(bytes.NewReader(file), reader))
	if !slices.Equal(info.Clusters, []string{"demo"}) || !slices.Equal(info.Accounts, []string{"acme"}) || info.Rows == 0 || info.Made.IsZero() {
		t.Errorf("the backup says %+v", info)
	}
}

// testDamagedBackup cuts backups off and alters them: none is taken, and nothing of it is written.
func testDamagedBackup(t *testing.T, d, other Database) {
	s, ctx := open(t, d), t.Context()
	stocked(t, s)
	keeper, reader := newKeeper(t)
	file := backup(t, s, keeper)
	checked := get[store.Backup](t)(store.CheckBackup(bytes.NewReader(file), reader))
	bad := map[string][]byte{"nothing": nil, "text": []byte("hello"), "twice": slices.Concat(file, file), "a byte more": append(slices.Clone(file), 0)}
	for i := 0; i < len(file); i += max(1, len(file)/60) {
		flipped := slices.Clone(file)
		flipped[i] ^= 1
		bad[fmt.Sprint("flipped at ", i)], bad[fmt.Sprint("cut off at ", i)] = flipped, file[:i]
	}
	bad["cut off by one"] = file[:len(file)-1]
	for what, data := range bad {
		if _, err := store.CheckBackup(bytes.NewReader(data), reader); err == nil {
			t.Errorf("%s: it was taken", what)
		}
	}
	// Also where only the writing sees it: a file that was whole when it was checked.
	for _, what := range []string{"cut off by one", "a byte more"} {
		err := store.Restore(ctx, other.Where, OtherBox(), checked, reopened(bad[what]), reader)
		wantError(t, err, store.ErrDamaged)
	}
	for what, text := range map[string]string{
		"no end":         `{"skyweldBackup":1,"schema":1,"made":"2026-01-02T15:04:05Z"}` + "\n",
		"another format": `{"skyweldBackup":2}` + "\n",
		"a wrong sum":    `{"skyweldBackup":1,"schema":1,"made":"2026-01-02T15:04:05Z"}` + "\n" + `{"rows":0,"sha256":"00"}` + "\n",
		"a bad name":     `{"skyweldBackup":1,"schema":1,"made":"2026-01-02T15:04:05Z"}` + "\n" + `{"table":"a; DROP TABLE b","columns":["c"]}` + "\n",
	} {
		if _, err := store.CheckBackup(bytes.NewReader(sealedText(t, keeper, text)), reader); err == nil {
			t.Errorf("%s: it was taken", what)
		}
	}
	empty := open(t, Database{Where: filepath.Join(t.TempDir(), "skyweld.db")})
	_, err := empty.GetCluster(ctx, "demo")
	wantError(t, err, store.ErrNotFound)
	restore(t, other, file, reader) // nothing of the tries is in the way
}

func sealedText(t *testing.T, keeper secret.Keeper, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := get[io.WriteCloser](t)(keeper.Encrypt(&out))
	z := gzip.NewWriter(w)
	_, err := z.Write([]byte(text))
	must(t, errors.Join(err, z.Close(), w.Close()))
	return out.Bytes()
}

// testBackupMeanwhile backs up while others write: what is in it fits together.
func testBackupMeanwhile(t *testing.T, d, other Database) {
	s, ctx := open(t, d), t.Context()
	fence := stocked(t, s)
	keeper, reader := newKeeper(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			// Each writes more than one table.
			if _, err := s.CreateRun(ctx, fence, "r", 2, []store.Step{{ID: "a"}}); err != nil {
				t.Error(err)
				return
			}
			intent, err := s.OpenIntent(ctx, fence, store.Intent{Key: fmt.Sprint("m", i), Action: "create"})
			if err == nil {
				err = s.ResolveIntent(ctx, fence, intent.ID, store.Resolution{State: store.IntentDone, ObjectID: "x", Put: &store.Resource{Key: intent.Key, ID: "x"}})
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	var file []byte
	for range 5 {
		file = backup(t, s, keeper)
	}
	close(stop)
	wg.Wait()
	back := restore(t, other, file, reader)
	open := map[string]bool{}
	for _, i := range get[[]store.Intent](t)(back.ListOpenIntents(ctx, fence.Cluster)) {
		open[i.Key] = true
	}
	for _, r := range get[[]store.Resource](t)(back.ListResources(ctx, fence.Cluster)) {
		if open[r.Key] {
			t.Errorf("%s is on the ledger and its intent is open", r.Key)
		}
	}
	for _, r := range get[[]store.Run](t)(back.ListRuns(ctx, fence.Cluster, 1000)) {
		if _, steps, err := back.GetRun(ctx, r.ID); err != nil || len(steps) == 0 {
			t.Errorf("run %d has %d steps, error %v", r.ID, len(steps), err)
		}
	}
}

// testOldBackup restores what a program with an older schema has written, and refuses that of a newer one.
func testOldBackup(t *testing.T, d, other Database) {
	keeper, reader := newKeeper(t)
	made := func(schema int) []byte {
		text := fmt.Sprintf(`{"skyweldBackup":1,"schema":%d,"made":"2026-01-02T15:04:05Z"}`+"\n"+`{"table":"ids","columns":["one","last"]}`+"\n[1,4711]\n", schema)
		return sealedText(t, keeper, text+fmt.Sprintf(`{"rows":1,"sha256":"%x"}`+"\n", sha256.Sum256([]byte(text))))
	}
	// One database has had the newest schema before, the other none.
	s, err := store.Open(t.Context(), d.Where, OtherBox())
	must(t, err)
	must(t, s.Close())
	for _, target := range []Database{d, other} {
		file := made(99)
		checked := get[store.Backup](t)(store.CheckBackup(bytes.NewReader(file), reader))
		if err := store.Restore(t.Context(), target.Where, OtherBox(), checked, reopened(file), reader); err == nil || !strings.Contains(err.Error(), "schema 99, and this program knows up to") {
			t.Errorf("a newer schema: %v", err)
		}
		back := restore(t, target, made(2), reader)
		if e := get[store.Event](t)(back.AddEvent(t.Context(), store.Event{Type: store.Normal, Reason: "R"})); e.ID != 4712 {
			t.Errorf("the next id is %d", e.ID)
		}
		must(t, back.PutAccount(t.Context(), account("acme")))
		get[store.Cluster](t)(back.CreateCluster(t.Context(), wanted("demo", "acme"), "alice"))
	}
}
