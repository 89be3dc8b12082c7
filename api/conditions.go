package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/store"
)

// Conditional are the headers that say in which state a cluster must be.
type Conditional struct {
	IfMatch string `header:"If-Match" maxLength:"1000" doc:"the ETag of the cluster as it was seen: where something else was asked of it since, the answer is 412 and says what; * for any that is there"`
}

// Creating are those of a request that may make a cluster.
type Creating struct {
	Conditional
	IfNoneMatch string `header:"If-None-Match" maxLength:"1000" doc:"* for a cluster that must not be there yet"`
}

// bind returns a context whose writes are bound to the headers.
func (c Conditional) bind(ctx context.Context) (context.Context, error) {
	terms := store.TermsOf(ctx)
	var err error
	if terms.Match, terms.Exists, err = parseIfMatch(c.IfMatch); err != nil {
		return ctx, &engine.Problem{Kind: engine.BadInput, Field: "header.If-Match", Message: err.Error()}
	}
	return store.WithTerms(ctx, terms), nil
}

func (c Creating) bind(ctx context.Context) (context.Context, error) {
	ctx, err := c.Conditional.bind(ctx)
	if err != nil || c.IfNoneMatch == "" {
		return ctx, err
	}
	if strings.TrimSpace(c.IfNoneMatch) != "*" {
		return ctx, &engine.Problem{Kind: engine.BadInput, Field: "header.If-None-Match", Message: fmt.Sprintf("found %q: want *", c.IfNoneMatch)}
	}
	terms := store.TermsOf(ctx)
	terms.New = true
	return store.WithTerms(ctx, terms), nil
}

// etag is a cluster's entity tag: its generation, and the last change that waits to make another of it.
func etag(v store.Version) string {
	if v.Change == 0 {
		return fmt.Sprintf("%q", strconv.FormatInt(v.Generation, 10))
	}
	return fmt.Sprintf("%q", fmt.Sprintf("%d+%d", v.Generation, v.Change))
}

// parseIfMatch reads the header If-Match (RFC 9110, 13.1.1). A tag that isn't of the form that etag writes, or is a weak one,
// is like no cluster's.
func parseIfMatch(header string) (match []store.Version, any bool, err error) {
	rest := strings.Trim(header, " \t")
	if rest == "" {
		return nil, false, nil
	}
	if rest == "*" {
		return nil, true, nil
	}
	bad := fmt.Errorf("found %q: want * or tags like \"3\", as the header ETag of an answer has them", header)
	for {
		weak := strings.HasPrefix(rest, "W/")
		rest = strings.TrimPrefix(rest, "W/")
		tag, after, ok := strings.Cut(strings.TrimPrefix(rest, `"`), `"`)
		if !strings.HasPrefix(rest, `"`) || !ok || strings.ContainsFunc(tag, func(r rune) bool { return r < 0x21 || r == 0x7f }) {
			return nil, false, bad
		}
		v := parseTag(tag)
		if weak {
			v = store.Version{Generation: -1}
		}
		match = append(match, v)
		rest = strings.TrimLeft(after, " \t")
		if rest == "" {
			return match, false, nil
		}
		if !strings.HasPrefix(rest, ",") {
			return nil, false, bad
		}
		rest = strings.TrimLeft(rest, ", \t")
		if rest == "" {
			return match, false, nil
		}
	}
}

// parseTag reads what stands between the quotes of an etag; what can't be one is generation -1, which there never is.
func parseTag(tag string) store.Version {
	generation, change, waits := strings.Cut(tag, "+")
	g, err := strconv.ParseUint(generation, 10, 63)
	v := store.Version{Generation: int64(g)}
	if waits && err == nil {
		var c uint64
		c, err = strconv.ParseUint(change, 10, 63)
		v.Change = int64(c)
	}
	if err != nil || etag(v) != `"`+tag+`"` {
		return store.Version{Generation: -1}
	}
	return v
}

// Edit is one thing that was asked of a cluster meanwhile.
type Edit struct {
	// Generation is that of the spec it led to; one that waits has none yet, and is the change of that number.
	Generation int64     `json:"generation,omitempty"`
	Change     int64     `json:"change,omitempty"`
	Who        string    `json:"who"`
	Time       time.Time `json:"time"`
	Summary    string    `json:"summary"`
	// Fields are the first of those that it changed.
	Fields []string `json:"fields,omitempty"`
}

// mostFields is how many fields of an edit are named.
const mostFields = 20

// stale says of a write that was refused because the cluster isn't as it was what has happened to it.
func (s *Server) stale(ctx context.Context, err error) error {
	old, ok := errors.AsType[*store.Stale](err)
	if !ok {
		return err
	}
	if old.Cluster == "" {
		return newProblem(http.StatusPreconditionFailed, "there is no cluster of this name, and the request is for one that is there", &huma.ErrorDetail{Location: "header.If-Match", Message: "there is no cluster"})
	}
	if len(old.Asked) == 0 {
		return newProblem(http.StatusPreconditionFailed, "there is a cluster of this name already, and the request is for a new one: choose another name", &huma.ErrorDetail{Location: "header.If-None-Match", Message: "there is such a cluster"})
	}
	edits, err := s.engine.EditsSince(ctx, old.Cluster, old.Asked[len(old.Asked)-1])
	if err != nil {
		return err
	}
	var out []Edit
	var words []string
	for _, e := range edits {
		one := Edit{Generation: e.Generation, Change: e.Change, Who: e.Who, Time: e.When, Summary: e.Summary, Fields: changedFields(e)}
		what := fmt.Sprintf("generation %d", e.Generation)
		if e.Generation == 0 {
			what = fmt.Sprintf("change %d, which waits", e.Change)
		}
		words = append(words, fmt.Sprintf("%s by %s at %s (%s)", what, e.Who, e.When.UTC().Format("2006-01-02 15:04:05 MST"), e.Summary))
		out = append(out, one)
	}
	detail := fmt.Sprintf("the cluster is not as it was seen, it is %s now", etag(old.Now))
	if len(words) > 0 {
		detail += ": " + strings.Join(words, "; ")
	}
	p := newProblem(http.StatusPreconditionFailed, detail+". Nothing was done: look at it again, and ask again", &huma.ErrorDetail{Location: "header.If-Match", Message: "the cluster was changed since"})
	p.Edits = out
	return huma.ErrorWithHeaders(p, http.Header{"Etag": {etag(old.Now)}})
}

// changedFields are the paths of the first fields of a spec that an edit changed.
func changedFields(e engine.Edit) []string {
	was, is := map[string]any{}, map[string]any{}
	flatten(was, "", map[string]any{"spec": e.Before.Spec})
	flatten(is, "", map[string]any{"spec": e.After.Spec})
	changed := map[string]bool{}
	for k, v := range is {
		if old, ok := was[k]; !ok || old != v {
			changed[k] = true
		}
	}
	for k := range was {
		if _, ok := is[k]; !ok {
			changed[k] = true
		}
	}
	names := slices.Sorted(maps.Keys(changed))
	return names[:min(len(names), mostFields)]
}

// If is a client whose writes are only done where the cluster is as it was when it had that ETag.
func (c *Client) If(etag string) *Client {
	bound := *c
	bound.ifMatch = etag
	return &bound
}

// IfNew is a client whose Apply only makes clusters, and changes none.
func (c *Client) IfNew() *Client {
	bound := *c
	bound.ifNew = true
	return &bound
}

// OnLatency is a client that plans and applies files with a choice for spec.network.onLatency; empty for the file's own.
func (c *Client) OnLatency(choice string) *Client {
	bound := *c
	bound.onLatency = choice
	return &bound
}

// WithKey is a client whose next write has that key: sent again with it, it is done once.
func (c *Client) WithKey(key string) *Client {
	bound := *c
	bound.key = key
	return &bound
}
