package main

import (
	"fmt"
	"io"
	"sort"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
)

func latencyCommand(s *settings) *cobra.Command {
	var since time.Duration
	var pair string
	var now bool
	c := &cobra.Command{
		Use: "latency [CLUSTER]", Short: "Show the round trips between a cluster's sites", Args: args("[CLUSTER]"), ValidArgsFunction: s.completeArgs(clusterNames),
		SuggestFor: []string{"ping", "rtt"},
		Long: `Show what the nodes of a cluster measure between its sites all the time: the median round trip through the tunnel, the 99th percentile, the jitter (the mean difference between one round trip and the next), the part that was lost, and the median of the way beside the tunnel, of the last few minutes.

With --since the same of a longer time, and after it line by line how it was: by the minute for up to 3 hours, by ten minutes for up to 36, else by the hour. It is kept for 30 days. Of a longer time the median is one of medians, and the 99th percentile the worst.

With --now every node sends small packets to every other through the tunnel, now; that takes some seconds. It shows the median round trip in milliseconds: rows send, columns answer.`,
		Example: "  skyweld latency demo\n  skyweld latency demo --since 24h --pair aws/gcp\n  skyweld latency demo -o json | jq '.ways[] | select(.inside.p50ms > 10)'\n  skyweld latency demo --now",
		RunE: func(c *cobra.Command, a []string) error {
			if since < 0 || now && (since > 0 || pair != "") {
				return usageError{fmt.Errorf("--since wants a time like 1h, and --now neither --since nor --pair")}
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			name, err := onlyCluster(c.Context(), client, a)
			if err != nil {
				return err
			}
			if now {
				list, err := client.Latency(c.Context(), name)
				if err != nil {
					return err
				}
				return s.print(c.OutOrStdout(), items(list), func(w io.Writer) { latencyTable(w, list) })
			}
			var from time.Time
			if since > 0 {
				from = time.Now().Add(-since)
			}
			m, err := client.Measured(c.Context(), name, from, pair)
			if err != nil {
				return err
			}
			return s.printMeasured(c.OutOrStdout(), name, m, since > 0)
		},
	}
	c.Flags().DurationVar(&since, "since", 0, "of the last while, like 1h or 720h, with its history")
	c.Flags().StringVar(&pair, "pair", "", "only between two sites, like aws/gcp")
	c.Flags().BoolVar(&now, "now", false, "measure between all nodes now")
	outputFlag(c, s)
	return c
}

func (s *settings) printMeasured(out io.Writer, name string, m api.Measured, history bool) error {
	if s.output == formTable && len(m.Ways) == 0 {
		fmt.Fprintf(s.aside(out), "Nothing was measured between the sites of %s in that time: nodes measure by the minute, from when they have joined. 'skyweld latency %s --now' measures now.\n", name, name)
		return nil
	}
	if err := s.print(out, m, func(w io.Writer) { waysTable(w, m) }); err != nil || s.output != formTable {
		return err
	}
	fmt.Fprintf(out, "\nOf %s to %s. The limit (spec.network.maxRTT) is %s.\n", m.Since.Local().Format(time.DateTime), m.Until.Local().Format(time.DateTime), millis(m.Limit))
	if !history {
		return nil
	}
	fmt.Fprintln(out)
	return s.print(out, m, func(w io.Writer) { historyTable(w, m) })
}

// waysTable has a line for each way from one site to another.
func waysTable(w io.Writer, m api.Measured) {
	row(w, "FROM", "TO", "P50", "P99", "JITTER", "LOSS", "BESIDE", "MTU", "HANDSHAKE")
	for _, way := range m.Ways {
		beside, mtu, handshake := "", "", "never"
		if way.Outside != nil {
			beside = medianOf(*way.Outside)
		}
		if way.MTU > 0 {
			mtu = fmt.Sprint(way.MTU)
		}
		if way.Handshake >= 0 {
			handshake = span(time.Duration(way.Handshake)*time.Second) + " old"
		}
		row(w, way.From, way.To, medianOf(way.Inside), millis(way.Inside.P99), millis(way.Inside.Jitter), lossOf(way.Inside), beside, mtu, handshake)
	}
}

// historyTable has a line for each step of each pair of sites.
func historyTable(w io.Writer, m api.Measured) {
	row(w, "FROM WHEN ON", "FOR", "BETWEEN", "P50", "P99", "JITTER", "LOSS", "BESIDE")
	for _, step := range m.History {
		beside := ""
		if step.Outside != nil {
			beside = medianOf(*step.Outside)
		}
		row(w, step.Start.Local().Format(time.DateTime), span(time.Duration(step.Seconds)*time.Second), step.From+"–"+step.To,
			medianOf(step.Inside), millis(step.Inside.P99), millis(step.Inside.Jitter), lossOf(step.Inside), beside)
	}
}

func medianOf(t api.Trips) string {
	if t.Lost == t.Sent {
		return "lost"
	}
	return millis(t.P50)
}

func lossOf(t api.Trips) string { return fmt.Sprintf("%.1f%%", 100*t.Loss()) }

func millis(ms float64) string {
	if ms == 0 {
		return ""
	}
	return fmt.Sprintf("%.1fms", ms)
}

// latencyTable is a matrix: rows measure, columns answer.
func latencyTable(w io.Writer, list []api.Latency) {
	cell := map[[2]string]string{}
	seen := map[string]bool{}
	for _, l := range list {
		text := fmt.Sprintf("%.1f", l.P50)
		if l.Received == 0 {
			text = "lost"
		}
		cell[[2]string{l.From, l.To}] = text
		seen[l.From], seen[l.To] = true, true
	}
	var names []string
	for n := range seen {
		names = append(names, n)
	}
	sort.Strings(names)
	head := []any{"p50, ms"}
	for _, n := range names {
		head = append(head, n)
	}
	row(w, head...)
	for _, from := range names {
		line := []any{from}
		for _, to := range names {
			line = append(line, cell[[2]string{from, to}])
		}
		row(w, line...)
	}
}
