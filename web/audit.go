package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
)

var auditPages = []page{
	{path: "/audit", needs: auth.Admin, show: showAudit},
}

// auditShown is what the page of the audit log shows.
type auditShown struct {
	page                            api.AuditPage
	who, object, text, since, until string
	next                            string
	problem                         string
}

func showAudit(a *call) (view, error) {
	s := auditShown{who: strings.TrimSpace(a.query("who")), object: strings.TrimSpace(a.query("object")), text: strings.TrimSpace(a.query("text")), since: a.query("since"), until: a.query("until")}
	q := api.AuditQuery{Who: s.who, Object: s.object, Text: s.text, Limit: 100, Cursor: a.query("cursor")}
	var err1, err2 error
	if s.since != "" {
		q.Since, err1 = time.Parse(time.DateOnly, s.since)
	}
	if s.until != "" {
		if q.Until, err2 = time.Parse(time.DateOnly, s.until); err2 == nil {
			q.Until = q.Until.AddDate(0, 0, 1) // with the day itself
		}
	}
	if err1 != nil || err2 != nil {
		s.problem = "A day is written as in 2026-11-22"
	} else {
		var err error
		if s.page, err = a.api.Audit(a.ctx(), q); err != nil {
			if s.problem = refusal(err); s.problem == "" {
				return view{}, err
			}
		}
	}
	if s.page.Next != "" {
		v := url.Values{"cursor": {s.page.Next}}
		for name, value := range map[string]string{"who": s.who, "object": s.object, "text": s.text, "since": s.since, "until": s.until} {
			if value != "" {
				v.Set(name, value)
			}
		}
		s.next = "/audit?" + v.Encode()
	}
	return view{title: "Audit log", section: "Audit", body: auditPage(s)}, nil
}

// filtered says that not all entries are asked for.
func (s auditShown) filtered() bool { return s.who+s.object+s.text+s.since+s.until != "" }

// auditOutcome is what came of what somebody did.
func auditOutcome(e api.AuditEntry) (tone, string) {
	switch {
	case e.Status < 300:
		return good, "Done"
	case e.Status < 500:
		return warning, fmt.Sprintf("Refused (%d)", e.Status)
	}
	return bad, fmt.Sprintf("Failed (%d)", e.Status)
}

// auditWords are an operation as people read it.
func auditWords(e api.AuditEntry) string {
	method, path, ok := strings.Cut(e.Operation, " ")
	if !ok {
		return sentence(e.Operation)
	}
	verb := map[string]string{"POST": "Send to", "DELETE": "Delete", "PUT": "Set", "PATCH": "Change"}[method]
	if verb == "" {
		verb = method
	}
	return verb + " " + strings.TrimPrefix(path, "/api/v1")
}

// auditChange is one field that changed.
type auditChange struct{ field, before, after string }

func auditChanges(e api.AuditEntry) []auditChange {
	var out []auditChange
	fields := map[string]bool{}
	for f := range e.Before {
		fields[f] = true
	}
	for f := range e.After {
		fields[f] = true
	}
	for _, f := range slices.Sorted(maps.Keys(fields)) {
		out = append(out, auditChange{f, auditValue(e.Before, f), auditValue(e.After, f)})
	}
	return out
}

func auditValue(m map[string]any, field string) string {
	v, ok := m[field]
	if !ok {
		return "–"
	}
	if s, is := v.(string); is {
		return s
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(text)
}
