package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/store"
)

var changeListing = listing[api.Change]{
	columns: []column[api.Change]{
		{head: "CHANGE", cell: changeNumber},
		{head: "STATUS", least: 10, cell: func(c api.Change) string { return c.State }, status: true},
		{head: "WHO", cell: func(c api.Change) string { return c.Who }},
		{head: "AGE", cell: func(c api.Change) string { return age(c.Created) }},
		{head: "RUN", cell: func(c api.Change) string { return number(c.Run) }},
		{head: "KIND", show: onlyWide, cell: func(c api.Change) string { return c.Kind }},
		{head: "GENERATION", show: onlyWide, cell: func(c api.Change) string { return number(c.Generation) }},
		{head: "ASKED", show: onlyWide, cell: func(c api.Change) string { return stamp(c.Created) }},
		{head: "BEGUN", show: onlyWide, cell: func(c api.Change) string { return stamp(c.Begun) }},
		{head: "ENDED", show: onlyWide, cell: func(c api.Change) string { return stamp(c.Ended) }},
		{head: "ASKS-FOR", cell: func(c api.Change) string { return c.Summary }},
		{head: "MESSAGE", show: ifAny, cell: func(c api.Change) string { return firstLine(changeMessage(c)) }},
	},
	name:  func(c api.Change) string { return "change/" + changeNumber(c) },
	empty: "Nothing was asked of it yet.",
	text:  true, lines: 3,
}

func changeNumber(c api.Change) string { return strconv.FormatInt(c.ID, 10) }

// number is a number, or nothing for none.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// changeMessage says what is to be known of a change beside its state.
func changeMessage(c api.Change) string {
	switch store.ChangeState(c.State) {
	case store.Superseded:
		by := fmt.Sprintf("by change %d", c.SupersededBy)
		switch {
		case strings.Contains(c.Error, by):
			return c.Error
		case c.Error != "":
			return by + ": " + c.Error
		}
		return by
	case store.Applying:
		if c.Tries == 0 {
			return ""
		}
		text := fmt.Sprintf("try %d failed", c.Tries)
		if !c.NextTry.IsZero() {
			text += ", the next comes " + until(c.NextTry)
		}
		return text + ": " + c.Error
	}
	return c.Error
}

func changeNumbers(ctx context.Context, client *api.Client, before []string) ([]string, error) {
	all, err := client.Changes(ctx, before[0])
	return each(all, func(c api.Change) string { return changeNumber(c) + "\t" + c.State + ": " + c.Summary }), err
}

// queuedNumbers are the changes of all clusters that can be cancelled.
func queuedNumbers(ctx context.Context, client *api.Client, _ []string) (out []string, err error) {
	clusters, err := client.Clusters(ctx)
	if err != nil {
		return nil, err
	}
	for _, cl := range clusters {
		all, err := client.Changes(ctx, cl.Name)
		if err != nil {
			return nil, err
		}
		for _, c := range all {
			if c.State == string(store.Queued) && c.Kind != string(store.Delete) {
				out = append(out, changeNumber(c)+"\t"+cl.Name+": "+c.Summary)
			}
		}
	}
	return out, nil
}

func getChanges(s *settings) *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use: "changes [CLUSTER [CHANGE]]", Aliases: []string{"change"}, Short: "Show what was asked of a cluster, and what became of it", Args: args("[CLUSTER]", "[CHANGE]"),
		ValidArgsFunction: s.completeArgs(clusterNames, changeNumbers),
		Long: `Show what was asked of a cluster, the oldest first: by whom, what it asks for, and what became of it. WHO is the user as their command line named it. Changes share their numbers with runs and events, so a list has gaps.

STATUS is queued while a run is under way that began before it; 'skyweld cancel' takes it back until then. When that run has ended, those in the queue are done in order: those that lead to the same when only the last of them is done are superseded by that, and it carries their wishes with its own, unless MESSAGE says that it asks for something else. A change that can no longer be done when its turn comes, like one with an account that was removed, is failed; those after it go on without it.

From then on it is applying, until everything is as it asks: a run that fails doesn't end it. MESSAGE says what failed and when the next try comes. It is applied once a run has succeeded, or superseded once another change asks for something else. A deletion supersedes all that is queued and can't be cancelled.

With a change's number it shows that one, whole.`,
		Example: "  skyweld get changes demo\n  skyweld get changes demo 12\n  skyweld get changes demo -o wide\n  skyweld get changes demo -w",
		RunE: func(c *cobra.Command, a []string) error {
			if len(a) == 2 {
				return getChange(s, c, watch, a[0], a[1])
			}
			return getList(s, c, a, watch, (*api.Client).Changes, changeListing)
		},
	}
	listFlags(c, s)
	watchFlag(c, &watch)
	return c
}

func getChange(s *settings, c *cobra.Command, watch bool, cluster, id string) error {
	n, err := changeID(id, "skyweld get changes "+cluster)
	if err != nil {
		return err
	}
	if watch {
		return usageError{fmt.Errorf("-w is for lists of changes: leave it out, or the number; 'skyweld wait %s' follows the last one", cluster)}
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	ch, err := client.Change(c.Context(), n)
	if notFound(err) || err == nil && ch.Cluster != cluster {
		return fmt.Errorf("cluster %s has no change %d: 'skyweld get changes %s' shows those it has", cluster, n, cluster)
	}
	if err != nil {
		return err
	}
	if s.output == formName {
		return show(s, c.OutOrStdout(), []api.Change{ch}, changeListing)
	}
	return s.print(c.OutOrStdout(), ch, func(w io.Writer) { changeDetails(w, s.painter(c.OutOrStdout()), ch) })
}

// changeDetails shows all of one change that there is something to say of.
func changeDetails(w io.Writer, paint painter, ch api.Change) {
	for _, line := range []struct{ head, text string }{
		{"CHANGE", changeNumber(ch)}, {"CLUSTER", ch.Cluster}, {"STATUS", paint.status(ch.State)}, {"KIND", ch.Kind}, {"ASKS-FOR", ch.Summary}, {"WHO", ch.Who},
		{"ASKED", stamp(ch.Created)}, {"BEGUN", stamp(ch.Begun)}, {"ENDED", stamp(ch.Ended)},
		{"GENERATION", number(ch.Generation)}, {"RUN", number(ch.Run)}, {"FAILED-TRIES", number(ch.Tries)}, {"NEXT-TRY", until(ch.NextTry)}, {"SUPERSEDED-BY", number(ch.SupersededBy)},
	} {
		if line.text != "" {
			row(w, line.head, line.text)
		}
	}
	if ch.Error != "" {
		fmt.Fprintf(w, "\n%s\n", ch.Error)
	}
}

func changeID(text, where string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, usageError{fmt.Errorf("CHANGE: found %q: want a change's number, as '%s' shows it", text, where)}
	}
	return n, nil
}

func cancelCommand(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "cancel CHANGE [CHANGE...]", Short: "Take back what was asked for and is still queued", Args: args("CHANGE", "[CHANGE...]"),
		SuggestFor: []string{"abort", "undo", "revert", "stop"}, ValidArgsFunction: s.completeArgs(queuedNumbers),
		Long: `Take back changes that are still queued, by their numbers. What is being applied already, or is done, stays: ask for what is wanted instead, and that is done right after it. A deletion can't be cancelled.

Changes that were asked for after a cancelled one stay in the queue, without it: workers that were added get the names that were promised, and a file that was applied says all by itself and stays as it is. Where a later change can't be without the cancelled one, like workers added to a group that only it would have made, nothing is cancelled, and the error names the later one: cancel that first, or both at once.`,
		Example: "  skyweld get changes demo\n  skyweld cancel 12\n  skyweld cancel 12 13",
		RunE: func(c *cobra.Command, a []string) error {
			var ids []int64
			for _, text := range a {
				n, err := changeID(text, "skyweld get changes CLUSTER")
				if err != nil {
					return err
				}
				ids = append(ids, n)
			}
			slices.Sort(ids)
			slices.Reverse(ids) // a later one may build on an earlier one
			client, err := s.client()
			if err != nil {
				return err
			}
			var done []api.Change
			var failed error
			for _, id := range slices.Compact(ids) {
				ch, err := client.CancelChange(c.Context(), id)
				if err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				done = append(done, ch)
			}
			if len(done) == 0 {
				return failed
			}
			return errors.Join(s.print(c.OutOrStdout(), items(done), func(w io.Writer) {
				for _, ch := range done {
					fmt.Fprintf(w, "cluster %s: change %d (%s: %s) is cancelled\n", ch.Cluster, ch.ID, ch.Kind, ch.Summary)
				}
			}), failed)
		},
	}
	outputFlag(c, s)
	return c
}
