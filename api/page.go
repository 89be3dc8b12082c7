package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/skyweld/skyweld/engine"
)

// Paged are the parameters of a list that comes in pages. Pages go on behind the last one of the page before, whatever was
// added or has gone meanwhile.
type Paged struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" doc:"how many at most"`
	Cursor string `query:"cursor" maxLength:"500" doc:"the next of the page before"`
}

// usualPage is how many of a list come where nobody says how many; other lists say so.
const usualPage = 200

// mostPage is how many come at most.
const mostPage = 1000

// cursorOf is a place in a list: behind what has a key.
func cursorOf(list, key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(list + "\x00" + key))
}

// parseCursor returns the key that a place in a list is behind; it is empty at the beginning.
func parseCursor(list, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	of, key, ok := strings.Cut(string(data), "\x00")
	if err != nil || !ok || of != list || key == "" {
		return "", &engine.Problem{Kind: engine.BadInput, Field: "query.cursor", Message: "want the next of the page before, as it was given, in the same list"}
	}
	return key, nil
}

// parseIDCursor is parseCursor for lists by id.
func parseIDCursor(list, text string) (int64, error) {
	key, err := parseCursor(list, text)
	if err != nil || key == "" {
		return 0, err
	}
	id, err := strconv.ParseInt(key, 10, 64)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != key {
		_, err = parseCursor(list, "!")
	}
	return id, err
}

// limit is how many are wanted, at most.
func (p Paged) limit(usual int) int {
	if p.Limit == 0 {
		return usual
	}
	return p.Limit
}

// pageOf is a page of what is there, of which one more than wanted was read.
func pageOf[T, O any](list string, limit int, all []T, key func(T) string, out func(T) (O, error)) (*listed[O], error) {
	l := new(listed[O])
	l.Body.Items = []O{}
	if len(all) > limit {
		all = all[:limit]
		l.Body.Next = cursorOf(list, key(all[limit-1]))
	}
	for _, v := range all {
		o, err := out(v)
		if err != nil {
			return nil, err
		}
		l.Body.Items = append(l.Body.Items, o)
	}
	return l, nil
}

// pageAfter is a page of a list that is there as a whole, in the order of its keys.
func pageAfter[T any](list string, p Paged, usual int, all []T, key func(T) string) (*listed[T], error) {
	after, err := parseCursor(list, p.Cursor)
	if err != nil {
		return nil, err
	}
	for after != "" && len(all) > 0 && key(all[0]) <= after {
		all = all[1:]
	}
	return pageOf(list, p.limit(usual), all, key, func(v T) (T, error) { return v, nil })
}

func idKey(id int64) string { return strconv.FormatInt(id, 10) }

// PageQuery says which part of a list is wanted.
type PageQuery struct {
	// Limit is how many at most, 1 to 1000; 0 leaves it to the engine.
	Limit int
	// Cursor is the Next of the page before.
	Cursor string
}

func (q PageQuery) query() url.Values {
	v := url.Values{}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.Cursor != "" {
		v.Set("cursor", q.Cursor)
	}
	return v
}

// Page is a part of a list.
type Page[T any] struct {
	Items []T `json:"items"`
	// Next is the cursor of the next part; empty at the end.
	Next string `json:"next"`
}

func fetchPage[T any](ctx context.Context, c *Client, path string, q PageQuery) (Page[T], error) {
	if v := q.query().Encode(); v != "" {
		path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + v
	}
	return fetch[Page[T]](ctx, c, path)
}

// fetchAll reads all pages of a list.
func fetchAll[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	var all []T
	for q := (PageQuery{Limit: mostPage}); ; {
		p, err := fetchPage[T](ctx, c, path, q)
		if err != nil {
			return nil, err
		}
		all = append(all, p.Items...)
		if p.Next == "" {
			return all, nil
		}
		if p.Next == q.Cursor {
			return nil, fmt.Errorf("the engine's list at %s has no end", path)
		}
		q.Cursor = p.Next
	}
}

// ClustersPage is a part of the list of clusters, by name.
func (c *Client) ClustersPage(ctx context.Context, q PageQuery) (Page[Cluster], error) {
	return fetchPage[Cluster](ctx, c, "/clusters", q)
}

// NodesPage is a part of a cluster's nodes.
func (c *Client) NodesPage(ctx context.Context, name string, q PageQuery) (Page[Node], error) {
	return fetchPage[Node](ctx, c, cluster(name)+"/nodes", q)
}

// RunsPage is a part of a cluster's runs, the newest first.
func (c *Client) RunsPage(ctx context.Context, name string, q PageQuery) (Page[Run], error) {
	return fetchPage[Run](ctx, c, cluster(name)+"/runs", q)
}

// EventsPage is a part of a cluster's events: the last ones, the oldest first; the next part is that before it.
func (c *Client) EventsPage(ctx context.Context, name string, q PageQuery) (Page[Event], error) {
	return fetchPage[Event](ctx, c, cluster(name)+"/events", q)
}

// ChangesPage is a part of what was asked of a cluster, the oldest first.
func (c *Client) ChangesPage(ctx context.Context, name string, q PageQuery) (Page[Change], error) {
	return fetchPage[Change](ctx, c, cluster(name)+"/changes", q)
}

// ResourcesPage is a part of what a cluster has in its accounts, by key.
func (c *Client) ResourcesPage(ctx context.Context, name string, q PageQuery) (Page[Resource], error) {
	return fetchPage[Resource](ctx, c, cluster(name)+"/resources", q)
}
