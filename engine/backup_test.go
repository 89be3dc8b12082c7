package engine

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/store"
)

// moved backs the engine at work up and goes on with one that is made from that in an empty folder; it returns the old one,
// which is still alive.
func (s *scene) moved() (old *worker) {
	s.t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		s.t.Fatal(err)
	}
	var file bytes.Buffer
	if err := s.engine.Backup(s.t.Context(), &file, Keeper{Recipients: []string{key.Recipient().String()}}); err != nil {
		s.t.Fatal(err)
	}
	reader := secret.Reader{Identities: key.String()}
	checked, err := store.CheckBackup(bytes.NewReader(file.Bytes()), reader)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.box, err = secret.New(bytes.Repeat([]byte{9}, 32), "another machine"); err != nil {
		s.t.Fatal(err)
	}
	s.dir = s.t.TempDir()
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file.Bytes())), nil }
	if err := store.Restore(s.t.Context(), filepath.Join(s.dir, "skyweld.db"), s.box, checked, open, reader); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "agent"), []byte("agent"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	old = s.engine
	s.start()
	s.t.Cleanup(func() {
		old.cancel()
		old.store.Close()
	})
	return old
}

// TestRestore makes an engine from a backup on an empty machine: it waits to be told, finds nothing to do, goes on, and the
// one before it, which comes back, sees that and leaves the cluster alone.
func TestRestore(t *testing.T) {
	s := newScene(t, cloudtest.Options{})
	uid := s.apply(smallFile)
	s.ready(uid)
	claim, err := s.engine.store.ClaimCluster(t.Context(), "engine", s.engine.patience.lease)
	if err != nil {
		t.Fatal(err)
	}
	if claim != nil {
		t.Fatal("the cluster is due at once")
	}
	if err := s.engine.store.Wake(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	// It is backed up in the middle of a run, whose lease the new engine must not wait for.
	if claim, err = s.engine.store.ClaimCluster(t.Context(), "engine", 1<<40); err != nil || claim == nil {
		t.Fatalf("claim %v, error %v", claim, err)
	}
	old := s.moved()

	runs := len(s.runs(uid, 100))
	s.turn(uid)
	if got := len(s.runs(uid, 100)); got != runs {
		t.Errorf("%d runs before anybody said that it may go on", got-runs)
	}
	if _, err := s.engine.Resume(t.Context(), "demo", "tester"); err != nil {
		t.Fatal(err)
	}
	s.turn(uid)
	if got := s.runs(uid, 1); len(got) != 1 || !strings.HasSuffix(got[0], ": succeeded, 0 steps") {
		t.Errorf("the first run of the new engine: %v", got)
	}
	s.whole(uid)

	if _, _, err := s.engine.AddNodes(t.Context(), "demo", "web", 1, "tester"); err != nil {
		t.Fatal(err)
	}
	s.ready(uid)
	if err := old.store.Abandon(t.Context(), "engine"); err != nil {
		t.Fatal(err)
	}
	c, _ := s.find(uid, "two-node-demo-web-2")
	calls := len(c.Calls())
	old.turn(uid)
	at, err := old.store.GetCluster(t.Context(), "demo")
	if err != nil || at.Phase != store.Degraded || !strings.Contains(at.Conditions[len(at.Conditions)-1].Message, "from another engine, one that was made from a backup at about 20") {
		t.Errorf("the old engine says %s %v, error %v", at.Phase, at.Conditions, err)
	}
	for _, call := range c.Calls()[calls:] {
		if call.Op == cloudtest.OpCreate || call.Op == cloudtest.OpDelete || call.Op == cloudtest.OpUpdate {
			t.Errorf("the old engine still does %v", call)
		}
	}
	// Nor does it delete the cluster, if somebody asks it to.
	if _, err := old.Delete(t.Context(), "demo", "tester"); err != nil {
		t.Fatal(err)
	}
	before := s.ids()
	for range 3 {
		old.turn(uid)
	}
	at, err = old.store.GetCluster(t.Context(), "demo")
	if err != nil || at.Phase != store.Deleting || !slices.Equal(before, s.ids()) || !slices.ContainsFunc(at.Conditions, func(c store.Condition) bool {
		return c.Type == readyType && strings.Contains(c.Message, "from another engine, one that was made from a backup at about 20")
	}) {
		t.Errorf("the old engine says %s %v, error %v; the machines were %q and are %q", at.Phase, at.Conditions, err, before, s.ids())
	}
	s.ready(uid)
	s.delete(uid)
	s.asBefore()
}
