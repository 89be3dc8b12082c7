package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
)

var auditListing = listing[api.AuditEntry]{
	columns: []column[api.AuditEntry]{
		{head: "TIME", cell: func(e api.AuditEntry) string { return e.Time.Local().Format(time.DateTime) }},
		{head: "WHO", cell: func(e api.AuditEntry) string { return e.Who }},
		{head: "FROM", cell: func(e api.AuditEntry) string { return e.From }},
		{head: "VIA", show: onlyWide, cell: func(e api.AuditEntry) string { return e.Via }},
		{head: "ROLE", show: onlyWide, cell: func(e api.AuditEntry) string { return e.Role }},
		{head: "STATUS", cell: func(e api.AuditEntry) string { return strconv.Itoa(e.Status) }},
		{head: "OPERATION", cell: func(e api.AuditEntry) string { return e.Operation }},
		{head: "OBJECT", cell: func(e api.AuditEntry) string { return e.Object }},
		{head: "WHAT", show: ifAny, cell: whatChanged},
	},
	name:  func(e api.AuditEntry) string { return "audit/" + strconv.FormatInt(e.ID, 10) },
	empty: "Nothing was found in the audit log.",
	text:  true, lines: 2,
	newestFirst: true,
}

// whatChanged is an entry's error, or its changes as "field: before → after".
func whatChanged(e api.AuditEntry) string {
	if e.Error != "" {
		return e.Error
	}
	names := maps.Clone(e.After)
	if names == nil {
		names = map[string]any{}
	}
	maps.Copy(names, e.Before)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		before, had := e.Before[name]
		after, has := e.After[name]
		switch {
		case had && has:
			parts = append(parts, fmt.Sprintf("%s: %s → %s", name, valueText(before), valueText(after)))
		case has:
			parts = append(parts, fmt.Sprintf("%s: %s", name, valueText(after)))
		default:
			parts = append(parts, fmt.Sprintf("%s: %s → none", name, valueText(before)))
		}
	}
	return strings.Join(parts, "; ")
}

func valueText(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

func auditCommand(s *settings) *cobra.Command {
	var q api.AuditQuery
	var since time.Duration
	var limit int
	c := &cobra.Command{
		Use: "audit", Short: "Search the log of who changed what", Args: args(), SuggestFor: []string{"log", "history"},
		Long: `Show who changed what, from where and how it ended, the newest first: every write, by this command line, the console or a program, every kubeconfig given out, and who signed in or failed to. STATUS is HTTP's: below 400 it was done or taken on. WHAT is what changed, without secrets, or why it was refused.

Entries are only ever added: the database itself refuses to change or remove one. -o json has all of an entry.`,
		Example: `  skyweld audit
  skyweld audit --since 24h --who ada
  skyweld audit --object cluster/demo        # and all that is below it
  skyweld audit --text kubeconfig -o json`,
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 1 {
				return usageError{fmt.Errorf("--limit: found %d: want 1 or more", limit)}
			}
			if since < 0 {
				return usageError{fmt.Errorf("--since: found %s: want how long ago, like 24h", since)}
			}
			if since > 0 {
				q.Since = time.Now().Add(-since)
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			var all []api.AuditEntry
			for len(all) < limit {
				q.Limit = min(limit-len(all), 1000)
				page, err := client.Audit(c.Context(), q)
				if err != nil {
					return err
				}
				all = append(all, page.Items...)
				if q.Cursor = page.Next; q.Cursor == "" {
					break
				}
			}
			return show(s, c.OutOrStdout(), all, auditListing)
		},
	}
	c.Flags().StringVar(&q.Who, "who", "", "only what somebody with this `NAME` did")
	c.Flags().StringVar(&q.Object, "object", "", "only what was done to this `OBJECT` and below it, like cluster/demo, account/my-aws or user/ada")
	c.Flags().StringVar(&q.Text, "text", "", "only entries that have this `TEXT` somewhere")
	c.Flags().DurationVar(&since, "since", 0, "only the last while, like 90m or 24h")
	c.Flags().IntVar(&limit, "limit", 100, "how many entries at most")
	listFlags(c, s)
	return c
}

func openCommand(s *settings) *cobra.Command {
	var quiet bool
	c := &cobra.Command{
		Use: "open", Short: "Open the console in a browser, signed in", Args: args(), SuggestFor: []string{"console", "dashboard", "ui", "web"},
		Long: `Print a link to the console that signs in, once and within an hour, and open it in a browser where there is a display. Whoever has the link is an admin: it is made with the token in the engine's folder.

With --engine and a token there is no such link: users sign in there with their password.`,
		Example: "  skyweld open\n  skyweld open --print",
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			link, _, err := client.MakeLink(c.Context())
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), link)
			if !quiet {
				browse(link)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&quiet, "print", false, "print the link only, and open nothing")
	return c
}
