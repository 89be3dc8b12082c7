package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/store"
)

// Message is one message of the stream.
type Message struct {
	// ID is where the stream goes on after it; it is the message's id field and no part of its data.
	ID string `json:"-"`
	// Type is the message's event field, too. A begin is the first message of a stream that isn't resumed, a reset of one that
	// can't be: whoever gets either loads what it shows, and misses nothing from then on.
	Type string `json:"type" enum:"begin,reset,change,run,step,event,cluster,deleted"`
	// Time is when it happened.
	Time time.Time `json:"time,omitzero"`
	// Cluster and UID are missing for what is about no cluster.
	Cluster string `json:"cluster,omitempty"`
	UID     string `json:"uid,omitempty"`
	// Each type has one of these, as it was then; a run has no steps, and a step names its run.
	Change *Change       `json:"change,omitempty"`
	Run    *Run          `json:"run,omitempty"`
	RunID  int64         `json:"runId,omitempty"`
	Step   *RunStep      `json:"step,omitempty"`
	Event  *Event        `json:"event,omitempty"`
	State  *ClusterState `json:"state,omitempty"`
}

// ClusterState is how a cluster is.
type ClusterState struct {
	Phase      string      `json:"phase"`
	Generation int64       `json:"generation"`
	Conditions []Condition `json:"conditions,omitempty"`
	Paused     *Pause      `json:"paused,omitempty"`
	Created    time.Time   `json:"created"`
	NextRun    time.Time   `json:"nextRun,omitzero"`
	// Deleting is since when it is being deleted, Deleted when it was gone.
	Deleting time.Time `json:"deleting,omitzero"`
	Deleted  time.Time `json:"deleted,omitzero"`
}

// The types of messages that say to load what is shown.
const (
	messageBegin = "begin"
	messageReset = "reset"
)

const (
	// heartbeat is how long a stream is silent at most.
	heartbeat = 15 * time.Second
	// writePatience is how long a reader may take for what it is sent; one that takes longer is cut off and comes back.
	writePatience = 20 * time.Second
	// streamLife is how long a stream lasts. Then it ends, and its reader resumes it: whoever has lost the right to it since
	// doesn't go on reading.
	streamLife = 10 * time.Minute
	// streamPage is how many messages are read and sent at once.
	streamPage = 256
)

type streamIn struct {
	Cluster string `query:"cluster" maxLength:"63" doc:"only what is about the cluster of this name"`
	Last    string `header:"Last-Event-ID" maxLength:"64" doc:"the id of the last message that was received: the stream goes on after it"`
	After   string `query:"after" maxLength:"64" doc:"the same, for readers that can't send the header at first; the header goes before"`
}

// position is a place in the feed. A restored database gives ids anew; the epoch tells them from those before.
type position struct {
	epoch string
	id    int64
}

func (p position) String() string { return p.epoch + "-" + strconv.FormatInt(p.id, 10) }

// parsePosition reads what String wrote.
func parsePosition(text string) (position, error) {
	epoch, digits, ok := strings.Cut(text, "-")
	id, err := strconv.ParseUint(digits, 10, 63)
	if !ok || err != nil || len(epoch) == 0 || len(epoch) > 16 || strings.Trim(epoch, "0123456789abcdefghijklmnopqrstuvwxyz") != "" || digits != strconv.FormatUint(id, 10) {
		return position{}, fmt.Errorf("found %q: want the id of a message of this stream", text)
	}
	return position{epoch, int64(id)}, nil
}

func (s *Server) stream(api huma.API) {
	get(api, "/stream", "Follow changes, runs, steps, events and the state of clusters as they happen", func(ctx context.Context, in *streamIn) (*huma.StreamResponse, error) {
		r, err := s.newReader(ctx, in)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(answer huma.Context) {
			_, w := humago.Unwrap(answer)
			h := w.Header()
			h.Set("Content-Type", streamType)
			h.Set("Cache-Control", "no-store")
			h.Set("X-Accel-Buffering", "no") // a proxy in between must not hold messages back
			r.serve(answer.Context(), w)
		}}, nil
	}, answers(streamType, "Server-sent events: the field event is the type of a message, data the message as JSON, id where the stream goes on after it. Every 15 seconds there is something.",
		api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Message](), true, "")))
}

// streamType is what a stream is to HTTP.
const streamType = "text/event-stream"

// reader is one stream that is being read.
type reader struct {
	s       *Server
	cluster string
	at      position
	// first is what is sent before all else.
	first []byte
}

func (s *Server) newReader(ctx context.Context, in *streamIn) (*reader, error) {
	r := &reader{s: s, cluster: in.Cluster}
	epoch, err := s.epoch(ctx)
	if err != nil {
		return nil, err
	}
	text, where := in.Last, "header.Last-Event-ID"
	if text == "" {
		text, where = in.After, "query.after"
	}
	if text != "" {
		if r.at, err = parsePosition(text); err != nil {
			return nil, &engine.Problem{Kind: engine.BadInput, Field: where, Message: err.Error()}
		}
		if r.at.epoch == epoch {
			_, err = s.engine.Store().ReadFeed(ctx, in.Cluster, r.at.id, 1)
			if !errors.Is(err, store.ErrPruned) {
				return r, err
			}
		}
		return r, r.restart(ctx, messageReset)
	}
	if in.Cluster != "" {
		if _, err := s.engine.Cluster(ctx, in.Cluster); err != nil {
			return nil, err
		}
	}
	return r, r.restart(ctx, messageBegin)
}

// restart goes on from now, with a message that says to load.
func (r *reader) restart(ctx context.Context, kind string) error {
	epoch, err := r.s.epoch(ctx)
	if err != nil {
		return err
	}
	end, err := r.s.engine.Store().FeedEnd(ctx)
	if err != nil {
		return err
	}
	r.at = position{epoch, end}
	r.first = frameOf(Message{ID: r.at.String(), Type: kind})
	return nil
}

// epoch tells the ids of this database from those that it had before it was restored.
func (s *Server) epoch(ctx context.Context) (string, error) {
	if e := s.restored.Load(); e != nil {
		return *e, nil
	}
	at, err := s.engine.Store().Restored(ctx)
	if err != nil {
		return "", err
	}
	e := "0"
	if !at.IsZero() {
		e = strconv.FormatInt(at.UnixMicro(), 36)
	}
	s.restored.Store(&e)
	return e, nil
}

// serve sends messages until nobody reads on.
func (r *reader) serve(ctx context.Context, w http.ResponseWriter) {
	r.s.pump.join()
	defer r.s.pump.leave()
	out := http.NewResponseController(w)
	send := func(data []byte) bool {
		_ = out.SetWriteDeadline(time.Now().Add(writePatience)) // in this process there is none
		_, err := w.Write(data)
		return err == nil && out.Flush() == nil
	}
	defer func() { _ = out.SetWriteDeadline(time.Time{}) }() // the connection may be used again
	if !send(append([]byte("retry: 1000\n\n"), r.first...)) {
		return
	}
	life := time.NewTimer(streamLife)
	defer life.Stop()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		more := r.s.pump.more()
		data, err := r.next(ctx)
		if err != nil {
			return // it is resumed where it ended
		}
		if len(data) > 0 {
			if !send(data) {
				return
			}
			beat.Reset(heartbeat)
			if ctx.Err() == nil && r.s.ending.Err() == nil {
				continue
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-r.s.ending.Done():
			return
		case <-life.C:
			return
		case <-more:
		case <-beat.C:
			// An id without data is no message, and moves the place that the stream is resumed from.
			if !send([]byte(": \nid: " + r.at.String() + "\n\n")) {
				return
			}
		}
	}
}

// next is what is to be sent next, from what is kept for all, or, for who is too far behind, from the database.
func (r *reader) next(ctx context.Context) ([]byte, error) {
	var data []byte
	for {
		frames, end, ok := r.s.pump.after(r.at.id, streamPage)
		if !ok {
			break
		}
		for _, f := range frames {
			if r.cluster == "" || f.cluster == r.cluster {
				data = append(data, f.data...)
			}
		}
		if r.at.id = end; len(data) > 0 || len(frames) < streamPage {
			return data, nil
		}
	}
	end, err := r.s.engine.Store().FeedEnd(ctx)
	if err != nil {
		return nil, err
	}
	lines, err := r.s.engine.Store().ReadFeed(ctx, r.cluster, r.at.id, streamPage)
	if errors.Is(err, store.ErrPruned) {
		err = r.restart(ctx, messageReset)
		return r.first, err
	}
	if err != nil {
		return nil, err
	}
	frames, err := r.s.frames(ctx, lines)
	if err != nil {
		return nil, err
	}
	for _, f := range frames {
		data = append(data, f.data...)
	}
	r.at.id = max(reached(lines, end), r.at.id)
	return data, nil
}

// reached is how far the feed was read by a page of it, where its end was asked for before: what came in between may be in
// the page, too.
func reached(lines []store.FeedLine, end int64) int64 {
	switch n := len(lines); {
	case n == 0:
		return end
	case n == streamPage:
		return lines[n-1].ID
	default:
		return max(end, lines[n-1].ID)
	}
}

// frame is a message as it is sent.
type frame struct {
	id      int64
	cluster string
	data    []byte
}

// frameOf is a message in the form of server-sent events.
func frameOf(m Message) []byte {
	data, err := json.Marshal(m)
	if err != nil { // it is made of plain values
		panic(fmt.Sprintf("a message that can't be written: %v", err))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "id: %s\nevent: %s\ndata: %s\n\n", m.ID, m.Type, data)
	return b.Bytes()
}

// frames makes messages of lines of the feed.
func (s *Server) frames(ctx context.Context, lines []store.FeedLine) ([]frame, error) {
	epoch, err := s.epoch(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]frame, 0, len(lines))
	for _, l := range lines {
		m := Message{ID: position{epoch, l.ID}.String(), Type: string(l.Kind), Time: l.Time, Cluster: l.Name, UID: l.Cluster}
		if err := s.fill(ctx, &m, l); err != nil {
			return nil, fmt.Errorf("line %d of the feed: %w", l.ID, err)
		}
		out = append(out, frame{l.ID, l.Name, frameOf(m)})
	}
	return out, nil
}

func (s *Server) fill(ctx context.Context, m *Message, l store.FeedLine) error {
	switch l.Kind {
	case store.FeedChange:
		v, err := of[store.Change](l)
		if err != nil {
			return err
		}
		at := store.Cluster{Name: l.Name}
		if v.State == store.Queued || v.State == store.Applying { // what holds it now is newer than what did then
			if at, err = s.engine.Store().GetClusterByUID(ctx, l.Cluster); err != nil {
				return err
			}
		}
		m.Change = new(changeOf(at, v))
	case store.FeedRun:
		v, err := of[store.FeedOfRun](l)
		m.Run = new(runOf(v.Run, nil, l.Name))
		m.Run.Total, m.Run.Done = v.Total, v.Done
		return err
	case store.FeedStep:
		v, err := of[store.Step](l)
		m.RunID, m.Step = v.Run, new(stepOf(v))
		return err
	case store.FeedEvent:
		v, err := of[store.Event](l)
		m.Event = new(eventOf(v))
		return err
	case store.FeedCluster, store.FeedDeleted:
		v, err := of[store.FeedOfCluster](l)
		phase, conditions := engine.HealthOf(store.Cluster{Name: l.Name, Phase: v.Phase, Conditions: v.Conditions, Paused: v.Paused}, v.Seen)
		m.State = &ClusterState{
			Phase: string(phase), Generation: v.Generation, Conditions: conditions, Paused: pauseOf(v.Paused), Created: v.Created, Deleting: v.DeleteRequested, Deleted: v.Deleted,
		}
		if v.Deleted.IsZero() && (v.Paused == nil || !v.DeleteRequested.IsZero()) {
			m.State.NextRun = v.NextRun
		}
		return err
	}
	return nil
}

func of[T any](l store.FeedLine) (T, error) {
	var v T
	err := json.Unmarshal(l.Data, &v)
	return v, err
}
