package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/store"
)

// lookAgain is how often a waiting request looks for events that another engine at the same database wrote.
const lookAgain = time.Second

type eventsIn struct {
	Name   string `path:"name"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Watch  bool   `query:"watch" doc:"wait for events after a given one"`
	After  int64  `query:"after" minimum:"0" doc:"with watch: the id of the last event that is known"`
	Wait   int    `query:"wait" minimum:"0" maximum:"60" doc:"with watch: seconds to wait while there are none"`
	Cursor string `query:"cursor" maxLength:"500" doc:"the next of the page after this one in time: what was before it"`
	UID    string `query:"uid" doc:"the cluster's uid: finds it after its deletion too"`
}

func (s *Server) events(api huma.API) {
	get(api, "/clusters/{name}/events", "List events, the oldest first; or wait for new ones", func(ctx context.Context, in *eventsIn) (*listed[Event], error) {
		uid := in.UID
		if uid == "" {
			c, err := s.engine.Cluster(ctx, in.Name)
			if err != nil {
				return nil, err
			}
			uid = c.UID
		} else if c, err := s.engine.Store().GetClusterByUID(ctx, uid); err != nil {
			return nil, err
		} else if c.Name != in.Name {
			return nil, &engine.Problem{Kind: engine.Missing, Message: "the cluster with the uid " + uid + " is not named " + in.Name}
		}
		if in.Watch {
			if in.Cursor != "" {
				return nil, &engine.Problem{Kind: engine.BadInput, Field: "query.cursor", Message: "want none with watch: after says from where on"}
			}
			all, err := s.newEvents(ctx, uid, in.After, in.Limit, time.Duration(in.Wait)*time.Second)
			if err != nil {
				return nil, err
			}
			return pageOf("", len(all), all, nil, func(e store.Event) (Event, error) { return eventOf(e), nil })
		}
		before, err := parseIDCursor("events/"+uid, in.Cursor)
		if err != nil {
			return nil, err
		}
		all, err := s.engine.Store().EventsBefore(ctx, uid, before, in.Limit+1)
		if err != nil {
			return nil, err
		}
		// The page is the end of what is there; what is left of it is before it.
		next := ""
		if len(all) > in.Limit {
			all = all[1:]
			next = cursorOf("events/"+uid, idKey(all[0].ID))
		}
		out, err := pageOf("", len(all), all, nil, func(e store.Event) (Event, error) { return eventOf(e), nil })
		if err == nil {
			out.Body.Next = next
		}
		return out, err
	})
}

func eventOf(v store.Event) Event {
	return Event{ID: v.ID, Time: v.Time, Type: v.Type, Reason: v.Reason, Object: v.Object, Message: v.Message}
}

// newEvents returns a cluster's events after a given one, and waits while there are none.
func (s *Server) newEvents(ctx context.Context, uid string, after int64, limit int, wait time.Duration) ([]store.Event, error) {
	watch := s.engine.Store().Watch()
	defer watch.Close()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	enough := time.NewTimer(wait)
	defer enough.Stop()
	for {
		all, err := s.engine.Store().ListEvents(ctx, uid, after, limit)
		if err != nil || len(all) > 0 {
			return all, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.ending.Done():
			return nil, nil
		case <-enough.C:
			return nil, nil
		case <-tick.C:
		case <-watch.Ready():
			watch.Take()
		}
	}
}
