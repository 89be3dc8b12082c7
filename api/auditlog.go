package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/auth"
	"github.com/skyweld/skyweld/store"
)

// AuditEntry is one thing that somebody did, or tried to do.
type AuditEntry struct {
	ID   int64     `json:"id"`
	Time time.Time `json:"time"`
	Who  string    `json:"who"`
	Role string    `json:"role,omitempty"`
	// Via says how they were known, From where the request came from.
	Via       string `json:"via,omitempty"`
	From      string `json:"from,omitempty"`
	Operation string `json:"operation" doc:"method and path of an operation of this API, or login"`
	Object    string `json:"object,omitempty" doc:"as in cluster/demo/node/demo-web-1"`
	Status    int    `json:"status"`
	Error     string `json:"error,omitempty"`
	// Before and After have the fields that changed, by their paths and without secrets.
	Before map[string]any `json:"before,omitempty"`
	After  map[string]any `json:"after,omitempty"`
}

// AuditQuery says which entries are wanted; what is empty doesn't matter.
type AuditQuery struct {
	Who, Object, Text string
	Since, Until      time.Time
	// Limit is how many at most, 1 to 1000; 0 means 100.
	Limit int
	// Cursor is where a page before ended.
	Cursor string
}

// AuditPage is a part of the audit log, the newest first.
type AuditPage struct {
	Items []AuditEntry `json:"items"`
	// Next is the cursor of the page after this one; empty at the end.
	Next string `json:"next,omitempty"`
}

func (s *Server) auditLog(api huma.API) {
	get(api, "/audit", "Search the audit log, the newest first", func(ctx context.Context, in *struct {
		Who    string    `query:"who" maxLength:"200" doc:"a whole name"`
		Object string    `query:"object" maxLength:"500" doc:"an object, with all below it: cluster/demo, user/ada"`
		Text   string    `query:"text" maxLength:"500" doc:"something in an entry, in small or large letters"`
		Since  time.Time `query:"since"`
		Until  time.Time `query:"until"`
		Limit  int       `query:"limit" default:"100" minimum:"1" maximum:"1000"`
		Cursor string    `query:"cursor" maxLength:"100" doc:"next of the page before"`
	}) (*body[AuditPage], error) {
		q := store.AuditQuery{Who: in.Who, Object: strings.Trim(in.Object, "/"), Text: in.Text, Since: in.Since, Until: in.Until, Limit: in.Limit + 1}
		if strings.ContainsFunc(in.Who+in.Object+in.Text, unicode.IsControl) || strings.ToValidUTF8(in.Who+in.Object+in.Text, "") != in.Who+in.Object+in.Text {
			return nil, &auth.Error{Status: http.StatusUnprocessableEntity, Message: "what is searched for has letters that no entry has"}
		}
		if in.Cursor != "" {
			id, err := strconv.ParseInt(in.Cursor, 10, 64)
			if err != nil || id < 1 {
				return nil, &auth.Error{Status: http.StatusUnprocessableEntity, Message: "query.cursor: want the next of the page before, as it was given"}
			}
			q.Below = id
		}
		all, err := s.engine.Store().ListAudit(ctx, q)
		if err != nil {
			return nil, err
		}
		out := AuditPage{Items: []AuditEntry{}}
		if len(all) > in.Limit {
			all = all[:in.Limit]
			out.Next = strconv.FormatInt(all[len(all)-1].ID, 10)
		}
		for _, e := range all {
			out.Items = append(out.Items, auditOf(e))
		}
		return &body[AuditPage]{out}, nil
	})
}

func auditOf(e store.AuditEntry) AuditEntry {
	out := AuditEntry{ID: e.ID, Time: e.Time, Who: e.Who, Role: e.Role, Via: e.Via, From: e.Source, Operation: e.Operation, Object: e.Object, Status: e.Status, Error: e.Error}
	for raw, into := range map[*json.RawMessage]*map[string]any{&e.Before: &out.Before, &e.After: &out.After} {
		if len(*raw) > 0 {
			_ = json.Unmarshal(*raw, into) // it was written by this program
		}
	}
	return out
}

// Audit searches the audit log.
func (c *Client) Audit(ctx context.Context, want AuditQuery) (AuditPage, error) {
	q := url.Values{}
	for name, v := range map[string]string{"who": want.Who, "object": want.Object, "text": want.Text, "cursor": want.Cursor} {
		if v != "" {
			q.Set(name, v)
		}
	}
	for name, t := range map[string]time.Time{"since": want.Since, "until": want.Until} {
		if !t.IsZero() {
			q.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	if want.Limit > 0 {
		q.Set("limit", strconv.Itoa(want.Limit))
	}
	return fetch[AuditPage](ctx, c, "/audit?"+q.Encode())
}
