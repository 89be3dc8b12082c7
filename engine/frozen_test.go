package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skyweld/skyweld/cloud/cloudtest"
)

// fate is what becomes of an engine that was frozen, when its call has landed.
type fate string

const (
	hears fate = "it hears the answer"
	loses fate = "the answer is lost"
	dies  fate = "it is killed"
)

// frozen is a point at which an engine is frozen: at a call to a cloud, when it has made sure of its lease.
type frozen struct {
	crash
	fate fate
	// deleted says that the cluster is deleted before the call lands.
	deleted bool
}

func (f frozen) String() string {
	return fmt.Sprintf("%s, %s, deleted: %v", f.crash, f.fate, f.deleted)
}

// TestFrozen freezes an engine just before each of its calls to a cloud, or just after. Another one takes over and does all
// there is to do; then the call lands, and the first engine hears of it or not, and must see that its time is over. What
// landed late is found.
func TestFrozen(t *testing.T) {
	creation, deletion := lives[0], lives[len(lives)-1]
	for name, o := range map[string]cloudtest.Options{"tokens": {}, "no tokens": {NoTokens: true}} {
		var all []frozen
		for _, c := range crashes(t, []life{creation, deletion}, o) {
			if strings.HasPrefix(c.what, "aws: ") || strings.HasPrefix(c.what, "gcp: ") {
				all = append(all, frozen{c, hears, false}, frozen{c, loses, false}, frozen{c, dies, false})
			}
			// What lands after a deletion when nobody hears of it is waited for by the deletion, as long as lists may lag.
			if c.name == creation.name && strings.Contains(c.what, ": create ") {
				all = append(all, frozen{c, hears, true}, frozen{c, loses, true})
			}
		}
		t.Logf("%s: %d crash points of a frozen engine", name, len(all))
		for _, f := range chosen(t, all, 20) {
			t.Run(name+"/"+f.String(), func(t *testing.T) {
				t.Parallel()
				reaching(t, func() bool { return f.live(t) })
			})
		}
	}
}

// live says whether the engine came to its point.
func (f frozen) live(t *testing.T) bool {
	s := f.begin(t, f.shot)
	first, tap := s.engine, s.listen(&f.point)
	tap.freeze, tap.lost = true, f.fate == loses
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.work(s, first, tap.reached)
	}()
	select {
	case <-tap.reached:
	case <-ended:
		return false
	case <-time.After(20 * time.Second):
		t.Fatal("the engine doesn't come there")
	}
	s.start() // the lease of the first has run out
	f.lead(s)
	if f.deleted {
		s.delete(s.uidNow())
	}
	first.dead.Store(f.fate == dies)
	close(first.ice)
	<-ended
	first.cancel()
	first.store.Close()
	s.unhook()
	if f.nodes == nil || f.deleted {
		s.asBefore()
		return true
	}
	s.turn(s.uidNow())
	s.ready(s.uidNow())
	f.holds(s)
	return true
}

// work is what the engine does that is frozen: it asks and runs, and takes up nothing more once it was frozen.
func (f frozen) work(s *scene, w *worker, reached <-chan struct{}) {
	// What is asked may be on record by another engine meanwhile: then this one is told so.
	_ = f.ask(w.ctx, w.Engine)
	for range 10 {
		select {
		case <-reached:
			return
		default:
		}
		c, err := w.existing(context.Background(), "demo")
		if err != nil || c == nil {
			return
		}
		s.uid.Store(c.UID)
		w.turn(c.UID)
	}
}
