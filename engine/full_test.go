package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skyweld/skyweld/cloud/cloudtest"
	"github.com/skyweld/skyweld/store"
)

// smallDisk moves a scene's database to a disk of a few MiB, which is gone with the test. fill leaves no room on it, and
// free gives it back.
func (s *scene) smallDisk() (fill, free func()) {
	s.t.Helper()
	s.crash()
	small := s.t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=8m"); errors.Is(err, unix.EPERM) {
		s.t.Skip("a small disk can only be made as root: ", err)
	} else if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		s.crash()
		if err := unix.Unmount(small, unix.MNT_DETACH); err != nil {
			s.t.Errorf("the small disk stays at %s: %v", small, err)
		}
	})
	if err := os.CopyFS(small, os.DirFS(s.dir)); err != nil {
		s.t.Fatal(err)
	}
	s.dir = small
	s.start()
	ballast := filepath.Join(small, "ballast")
	fill = func() {
		f, err := os.Create(ballast)
		for block := make([]byte, 4096); err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, unix.ENOSPC) {
			s.t.Errorf("the disk isn't full: %v", err)
		}
		f.Close()
	}
	return fill, func() {
		if err := os.Remove(ballast); err != nil {
			s.t.Error(err)
		}
	}
}

// TestFullDisk fills the disk under the database in the middle of a creation, when things are being made whose record can't be
// written, and again in the middle of the deletion. The engine says so, and goes on by itself when there is room: each thing
// is there once, nothing is left, and what was asked for is done.
func TestFullDisk(t *testing.T) {
	for _, victim := range []string{"two-subnet", "one-node-demo-one-cp-1"} {
		t.Run(victim, func(t *testing.T) {
			s := newScene(t, cloudtest.Options{})
			fill, free := s.smallDisk()
			full := false
			at := func(op cloudtest.Op) {
				s.hookMu.Lock()
				defer s.hookMu.Unlock()
				s.point = func(_ int, after bool, call cloudtest.Call) bool {
					if !full && !after && call.Op == op && call.Key == victim {
						fill()
						full = true
					}
					return false
				}
			}
			trouble := func(uid string) {
				t.Helper()
				for range 5 {
					s.turn(uid)
				}
				if !full {
					t.Fatalf("%s was not reached", victim)
				}
				if !strings.Contains(s.logs.tail(1<<20), "the disk that holds the database is full") {
					t.Error("the engine doesn't say that the disk is full")
				}
				free()
				full = false
				s.hookMu.Lock()
				s.point = nil
				s.hookMu.Unlock()
			}
			at(cloudtest.OpCreate)
			uid := s.apply(smallFile)
			trouble(uid)
			s.ready(uid)
			fill()
			if _, err := s.engine.Reconcile(context.Background(), "demo", "tester"); !errors.Is(err, store.ErrFull) {
				t.Errorf("what is asked for on a full disk: %v", err)
			}
			free()
			at(cloudtest.OpDelete)
			if _, err := s.engine.Delete(context.Background(), "demo", "tester"); err != nil {
				t.Fatal(err)
			}
			trouble(uid)
			s.gone(uid)
			s.asBefore()
		})
	}
}
