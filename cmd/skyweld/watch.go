package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
)

const (
	// watchEvery is how often a watched list is asked for.
	watchEvery = time.Second
	// mostEvents is how many events the engine gives at once.
	mostEvents = 1000
)

func watchFlag(c *cobra.Command, watch *bool) {
	c.Flags().BoolVarP(watch, "watch", "w", false, "after the list, show what is new or changed, until Ctrl-C")
}

// showOrWatch shows a list, and with watch what changes in it, until Ctrl-C.
func showOrWatch[T any](s *settings, c *cobra.Command, watch bool, fetch func(context.Context) ([]T, error), l listing[T]) error {
	list, err := fetch(c.Context())
	if err != nil {
		return err
	}
	if !watch {
		return show(s, c.OutOrStdout(), list, l)
	}
	st := newStream(s, c, l)
	seen := map[string]string{}
	var away outage
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if err := st.write(changed(seen, list, l)); err != nil {
			return err
		}
		select {
		case <-c.Context().Done():
			return nil
		case <-tick.C:
		}
		next, err := fetch(c.Context())
		if notFound(err) {
			fmt.Fprintln(os.Stderr, "it is gone")
			return nil
		}
		if err = away.bear(c.Context(), err); err != nil {
			return err
		}
		if next != nil {
			list = next
		}
	}
}

// changed are the members of a list that aren't as they were seen last, the newest at the end.
func changed[T any](seen map[string]string, list []T, l listing[T]) []T {
	var out []T
	for _, v := range list {
		data, err := json.Marshal(v)
		if name := l.name(v); err == nil && seen[name] != string(data) {
			seen[name] = string(data)
			out = append(out, v)
		}
	}
	if l.newestFirst {
		slices.Reverse(out)
	}
	return out
}

// outage bears an engine that doesn't answer for a while, and says so once.
type outage struct{ said bool }

func (o *outage) bear(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, api.ErrNoEngine):
		if !o.said {
			fmt.Fprintf(os.Stderr, "%s; waiting for it to come back\n", err)
		}
		o.said = true
		return nil
	}
	o.said = false
	return err
}

// stream writes members of a list as they come, in the form asked for, under one line of headings.
type stream[T any] struct {
	s       *settings
	c       *cobra.Command
	listing listing[T]
	table   *table
	columns []column[T]
}

func newStream[T any](s *settings, c *cobra.Command, l listing[T]) *stream[T] {
	return &stream[T]{s: s, c: c, listing: l}
}

func (st *stream[T]) write(list []T) error {
	out := st.c.OutOrStdout()
	switch st.s.output {
	case formJSON, formYAML, formName: // one after the other: the list never ends
		for _, v := range list {
			switch st.s.output {
			case formYAML:
				fmt.Fprintln(out, "---")
			case formName:
				fmt.Fprintln(out, st.listing.name(v))
				continue
			}
			if err := st.s.print(out, v, nil); err != nil {
				return err
			}
		}
		return nil
	}
	if len(list) == 0 {
		return nil
	}
	if st.table == nil {
		// What may appear later has its column from the beginning.
		l := st.listing
		l.columns = nil
		for _, col := range st.listing.columns {
			switch col.show {
			case ifAny:
				col.show = always
			case wideIfAny:
				col.show = onlyWide
			}
			l.columns = append(l.columns, col)
		}
		st.table, st.columns = l.table(st.s, out, list)
		st.table.keep = true
		for _, col := range st.columns {
			st.table.widths = append(st.table.widths, col.least)
		}
		if !st.s.noHeaders {
			heads(st.table, st.columns)
		}
	}
	st.listing.rows(st.s, st.table, st.columns, list)
	return st.table.Flush()
}

var eventListing = listing[api.Event]{
	columns: []column[api.Event]{
		{head: "AGE", show: ifNarrow, least: 4, cell: func(e api.Event) string { return age(e.Time) }},
		{head: "TIME", show: onlyWide, cell: func(e api.Event) string { return e.Time.UTC().Format(time.RFC3339) }},
		{head: "TYPE", least: 7, cell: func(e api.Event) string { return e.Type }, status: true},
		{head: "REASON", least: 11, cell: func(e api.Event) string { return e.Reason }},
		{head: "OBJECT", least: 18, cell: func(e api.Event) string { return strings.Replace(e.Object, " ", "/", 1) }},
		{head: "MESSAGE", show: ifNarrow, cell: func(e api.Event) string { return firstLine(e.Message) }},
		{head: "MESSAGE", show: onlyWide, cell: func(e api.Event) string { return oneLine(e.Message) }},
	},
	name:  func(e api.Event) string { return fmt.Sprintf("event/%d", e.ID) },
	empty: "No events. 'skyweld get events -w' waits for new ones.",
	text:  true,
}

func getEvents(s *settings) *cobra.Command {
	var watch bool
	var since time.Duration
	var limit int
	c := &cobra.Command{
		Use: "events [CLUSTER]", Aliases: []string{"event", "ev"}, Short: "Show what happened to a cluster", Args: args("[CLUSTER]"), ValidArgsFunction: s.completeArgs(clusterNames),
		Long: `Show what happened to a cluster, the last at the end. TYPE is Normal, or Warning for what needs attention or is tried again. A message is cut at its first line, and in a terminal to what fits; -o wide shows them whole, with times.

With -w it goes on to show events as they happen, until Ctrl-C or until the cluster is gone; both end it with exit code 0. While the engine is away it waits for it.`,
		Example: "  skyweld get events demo\n  skyweld get events demo --since 10m -o wide\n  skyweld get events demo -w --limit 1",
		RunE: func(c *cobra.Command, a []string) error {
			if limit < 1 || limit > mostEvents {
				return usageError{fmt.Errorf("--limit: found %d: want 1 to %d", limit, mostEvents)}
			}
			if since < 0 {
				return usageError{fmt.Errorf("--since: found %s: want how long ago, like 10m", since)}
			}
			if since > 0 && !c.Flags().Changed("limit") {
				limit = mostEvents
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			name, err := onlyCluster(c.Context(), client, a)
			if err != nil {
				return err
			}
			cluster, err := client.Cluster(c.Context(), name)
			if err != nil {
				return err
			}
			list, err := client.Events(c.Context(), name, api.EventQuery{Limit: limit})
			if err != nil {
				return err
			}
			last := int64(0)
			if len(list) > 0 {
				last = list[len(list)-1].ID
			}
			list = younger(list, since)
			if !watch {
				return show(s, c.OutOrStdout(), list, eventListing)
			}
			return followEvents(s, c, client, cluster, list, last)
		},
	}
	c.Flags().IntVar(&limit, "limit", 100, "how many at most, the last ones, 1 to 1000; with --since 1000")
	c.Flags().DurationVar(&since, "since", 0, "only those of the last time, like 90s, 10m or 1h30m")
	listFlags(c, s)
	watchFlag(c, &watch)
	return c
}

// younger are the events of the last time, all when it is 0.
func younger(list []api.Event, since time.Duration) []api.Event {
	for i, e := range list {
		if since == 0 || time.Since(e.Time) <= since {
			return list[i:]
		}
	}
	return nil
}

// followEvents shows events as they happen, until Ctrl-C or until the cluster is gone. Those that came before the stream, or
// while it was away for too long, are asked for.
func followEvents(s *settings, c *cobra.Command, client *api.Client, cluster api.Cluster, list []api.Event, last int64) error {
	w := &watched{st: newStream(s, c, eventListing), client: client, cluster: cluster}
	if err := w.show(list); err != nil {
		return endOfWatch(c.Context(), err)
	}
	w.last = max(w.last, last) // of what was left out, too
	var away outage
	q := api.StreamQuery{Cluster: cluster.Name, Lost: func(err error) { _ = away.bear(c.Context(), err) }}
	for {
		err := client.Stream(c.Context(), q, func(m api.Message) error {
			if err := w.take(c.Context(), m); err != nil {
				return err
			}
			q.After = m.ID
			return nil
		})
		if notFound(err) { // it is gone since it was asked for; its events are on record
			return endOfWatch(c.Context(), errors.Join(w.rest(c.Context()), errGone))
		}
		if err = away.bear(c.Context(), err); err != nil || c.Context().Err() != nil {
			return endOfWatch(c.Context(), err)
		}
		select {
		case <-c.Context().Done():
		case <-time.After(watchEvery):
		}
	}
}

// errGone ends a watch: there is no more to come.
var errGone = errors.New("it is gone")

// endOfWatch is the error that a watch ends with, nil where it ends as it should.
func endOfWatch(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, errGone) {
		return nil
	}
	return err
}

// watched are a cluster's events as far as they were shown.
type watched struct {
	st      *stream[api.Event]
	client  *api.Client
	cluster api.Cluster
	last    int64
}

// take shows what a message of the stream brings.
func (w *watched) take(ctx context.Context, m api.Message) error {
	switch {
	case m.Event != nil && m.UID == w.cluster.UID:
		return w.show([]api.Event{*m.Event})
	case m.Type == "begin", m.Type == "reset":
		return w.rest(ctx)
	}
	return nil
}

// rest shows all that is on record and wasn't shown.
func (w *watched) rest(ctx context.Context) error {
	for {
		list, err := w.client.Events(ctx, w.cluster.Name, api.EventQuery{Watch: true, After: w.last, UID: w.cluster.UID, Limit: mostEvents})
		if err == nil {
			err = w.show(list)
		}
		if err != nil || len(list) < mostEvents {
			return err
		}
	}
}

// show shows events, but those that were shown before; the error after the last one of all is errGone.
func (w *watched) show(list []api.Event) error {
	list = slices.DeleteFunc(slices.Clone(list), func(e api.Event) bool { return e.ID <= w.last })
	if err := w.st.write(list); err != nil {
		return err
	}
	for _, e := range list {
		w.last = max(w.last, e.ID)
		if e.Reason == "Deleted" && e.Object == "cluster "+w.cluster.Name {
			return errGone
		}
	}
	return nil
}
