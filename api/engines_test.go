package api

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/skyweld/skyweld/store/storetest"
)

// TestStreamsOfTwoEngines: of two engines at one PostgreSQL each streams what both write, under the same ids and in the same
// order, so that a reader who is cut off at one resumes at the other without losing anything or getting it twice.
func TestStreamsOfTwoEngines(t *testing.T) {
	const readers, writers, lines = 6, 4, 25
	where := storetest.StartPostgres(t).Fresh(t, "streams")
	var engines []*Server
	var clients []*Client
	for range 2 {
		s := serverAt(t, where)
		h := httptest.NewServer(s)
		t.Cleanup(func() { s.EndWaits(); h.CloseClientConnections(); h.Close() })
		engines = append(engines, s)
		clients = append(clients, &Client{Base: h.URL, Token: fuzzToken, HTTP: h.Client()})
	}
	demo := storedCluster(t, engines[0], "demo")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	var begun, reading sync.WaitGroup
	got := make([][]string, readers)
	for i := range readers {
		begun.Add(1)
		reading.Go(func() {
			last, events := "", 0
			for turn := i; events < writers*lines && ctx.Err() == nil; turn++ {
				left := 1 + turn%7
				err := clients[turn%2].Stream(ctx, StreamQuery{Cluster: "demo", After: last}, func(m Message) error {
					switch {
					case m.Type == messageBegin && last == "":
						begun.Done()
					case m.Event == nil:
						t.Errorf("reader %d gets a %s after %s", i, m.Type, last)
					default:
						events++
						got[i] = append(got[i], m.ID)
					}
					last = m.ID
					if left--; left <= 0 || events == writers*lines {
						return errEnough
					}
					return nil
				})
				if !errors.Is(err, errEnough) {
					t.Errorf("reader %d after %s: %v", i, last, err)
					return
				}
			}
		})
	}
	begun.Wait()
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := range lines {
				say(t, engines[w%2], demo.UID, fmt.Sprintf("From%dN%d", w, n))
			}
		})
	}
	writing.Wait()
	reading.Wait()
	if len(got[0]) != writers*lines {
		t.Errorf("%d messages of %d", len(got[0]), writers*lines)
	}
	for i := range got {
		if !slices.Equal(got[i], got[0]) {
			t.Errorf("reader %d gets\n%v\nand reader 0\n%v", i, got[i], got[0])
		}
	}
}
