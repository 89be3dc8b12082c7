package engine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/engine/enginetest"
)

// snapshot is a scene at one moment, from which others can begin.
type snapshot struct {
	database []byte
	clouds   map[cloud.Provider]*cloudtest.Cloud
	world    *enginetest.World
	uid      string
	before   map[cloud.Provider][]cloud.Item
}

// shoot ends a scene and keeps what it has come to.
func (s *scene) shoot() *snapshot {
	s.t.Helper()
	s.engine.cancel()
	if err := s.engine.store.Close(); err != nil { // the last to close the file leaves all in it
		s.t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(s.dir, "skyweld.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	uid, _ := s.uid.Load().(string)
	shot := &snapshot{database: data, clouds: s.clouds, world: s.world, uid: uid, before: s.before}
	for _, c := range s.clouds {
		c.SetHooks(cloudtest.Hooks{})
	}
	return shot
}

// scene goes on from a snapshot.
func (shot *snapshot) scene(t *testing.T, tune func(*Options, *patience)) *scene {
	t.Helper()
	s := &scene{t: t, dir: inMemory(t), box: testBox(t), clouds: map[cloud.Provider]*cloudtest.Cloud{}, before: shot.before, logs: new(syncBuffer), tune: tune, hookMu: newGate()}
	for p, c := range shot.clouds {
		s.clouds[p] = c.Clone()
	}
	s.world = shot.world.Clone(s.machines)
	s.uid.Store(shot.uid)
	if err := os.WriteFile(filepath.Join(s.dir, "skyweld.db"), shot.database, 0o600); err != nil {
		t.Fatal(err)
	}
	s.open()
	return s
}
