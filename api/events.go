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
	Name  string `path:"name"`
	Limit int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Watch bool   `query:"watch" doc:"wait for events after a given one"`
	After int64  `query:"after" minimum:"0" doc:"with watch: the id of the last event that is known"`
	Wait  int    `query:"wait" minimum:"0" maximum:"60" doc:"with watch: seconds to wait while there are none"`
	UID   string `query:"uid" doc:"the cluster's uid: finds it after its deletion too"`
}

func (s *Server) events(api huma.API) {
	get(api, "/clusters/{name}/events", "List events, the oldest first; or wait for new ones", func(ctx context.Context, in *eventsIn) (*list[Event], error) {
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
		var all []store.Event
		var err error
		if in.Watch {
			all, err = s.newEvents(ctx, uid, in.After, in.Limit, time.Duration(in.Wait)*time.Second)
		} else {
			all, err = s.engine.Store().LastEvents(ctx, uid, in.Limit)
		}
		var out []Event
		for _, v := range all {
			out = append(out, eventOf(v))
		}
		return listOf(out), err
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
