package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/engine"
)

func receiptCommand(s *settings) *cobra.Command {
	var verify string
	c := &cobra.Command{
		Use: "receipt [CLUSTER]", Short: "Show what accounts held before a cluster and after it", Args: args("[CLUSTER]"), ValidArgsFunction: s.completeArgs(receiptNames),
		SuggestFor: []string{"proof", "receipts"},
		Long: `Show the receipt of a cluster, by its name or its uid: what each account held in the cluster's regions before the first thing was made, what it held after the last was removed, and the difference, item by item, with who is behind it. While the cluster lives there is only the first of these. 'skyweld get receipts' lists the receipts of clusters that are gone.

A receipt is signed with the engine's key when it is closed. --verify checks one that was saved with -o json: whether it is as this engine signed it. docs/deletion.md has its form, and how to check it without Skyweld.`,
		Example: `  skyweld receipt demo
  skyweld receipt demo -o json > demo-receipt.json
  skyweld receipt --verify demo-receipt.json`,
		RunE: func(c *cobra.Command, a []string) error {
			client, err := s.client()
			switch {
			case err != nil:
				return err
			case verify != "" && len(a) > 0:
				return usageError{errors.New("--verify is for a file: leave it out, or the cluster")}
			case verify != "":
				return s.verifyReceipt(c, client, verify)
			}
			name := ""
			if len(a) > 0 {
				name = a[0]
			} else if name, err = onlyReceipt(c, client); err != nil {
				return err
			}
			r, err := client.Receipt(c.Context(), name)
			if err != nil {
				return err
			}
			return s.print(c.OutOrStdout(), r, func(w io.Writer) {
				if t, ok := w.(*table); ok { // nothing of it is left out, only broken
					t.cut, t.lines = screenWidth(c.OutOrStdout()), 100
				}
				receiptTable(w, s.painter(c.OutOrStdout()), r)
			})
		},
	}
	c.Flags().StringVar(&verify, "verify", "", "check the signature of the receipt in this `FILE`")
	outputFlag(c, s)
	return c
}

// onlyReceipt is the only cluster there is, or the last one that was deleted.
func onlyReceipt(c *cobra.Command, client *api.Client) (string, error) {
	clusters, err := client.Clusters(c.Context())
	if err != nil {
		return "", err
	}
	receipts, err := client.Receipts(c.Context())
	switch {
	case err != nil:
		return "", err
	case len(clusters) == 1:
		return clusters[0].Name, nil
	case len(clusters) == 0 && len(receipts) > 0:
		return receipts[0].UID, nil
	}
	return onlyCluster(c.Context(), client, nil)
}

// verifyReceipt checks a receipt in a file against the engine's key.
func (s *settings) verifyReceipt(c *cobra.Command, client *api.Client, file string) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--verify: there is no file %s", file)
	}
	if err != nil {
		return fmt.Errorf("--verify: %w", err)
	}
	key, err := client.ReceiptKey(c.Context())
	if err != nil {
		return err
	}
	r, err := engine.VerifyReceipt(data, key)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s is as this engine signed it: cluster %s (%s), %s: %s\n", file, r.Cluster.Name, r.Cluster.UID, r.Cluster.Deleted.Format(time.RFC3339), r.Summary)
	return nil
}

func receiptTable(w io.Writer, paint painter, r api.Receipt) {
	fmt.Fprintf(w, "cluster:\t%s (%s)\nfrom:\t%s\n", r.Cluster.Name, r.Cluster.UID, r.Cluster.Created.Format(time.RFC3339))
	if !r.Cluster.Deleted.IsZero() {
		fmt.Fprintf(w, "until:\t%s\n", r.Cluster.Deleted.Format(time.RFC3339))
	}
	state := map[string]string{engine.ReceiptOpen: going, engine.ReceiptClean: good, engine.ReceiptAbandoned: bad}[r.State]
	fmt.Fprintf(w, "state:\t%s\nsummary:\t%s\n", paint.paint(state, r.State), r.Summary)
	if r.Signature != nil {
		fmt.Fprintf(w, "signed:\t%s with the key %s\n", r.Signature.Algorithm, r.Signature.Key)
	}
	for _, a := range r.Accounts {
		fmt.Fprintf(w, "\nAccount %s (%s), %s: %s\n", a.Name, a.Provider, strings.Join(a.Regions, ", "), beforeAndAfter(a))
		differences(w, a.Differences)
	}
	if len(r.Kubernetes) > 0 {
		fmt.Fprintln(w, "\nMade by controllers in the cluster, and there at its end:")
		row(w, "OBJECT", "HANDLE", "REASON")
		for _, l := range r.Kubernetes {
			row(w, l.Object, l.Handle, l.Why)
		}
	}
	for _, a := range r.Abandoned {
		fmt.Fprintf(w, "\nSite %s was abandoned by %s at %s, and this is left in account %s: %s\n", a.Site, a.Who, a.Asked.Format(time.RFC3339), a.Account, oneLine(a.Reason))
		row(w, "KIND", "REGION", "NAME", "ID", "NOTE")
		for _, i := range a.Items {
			row(w, i.Kind, i.Region, i.Key, i.ID, i.Note)
		}
	}
}

// differences lists what an account has otherwise than before. Of what other clusters did it says only how much it is: they
// have receipts of their own.
func differences(w io.Writer, list []engine.Difference) {
	shown, others := 0, map[engine.Change]int{}
	for _, d := range list {
		if d.By == engine.ByOther {
			others[d.Change]++
			continue
		}
		if shown++; shown == 1 {
			fmt.Fprintln(w)
			row(w, "CHANGE", "BY", "KIND", "REGION", "ID", "REASON")
		}
		reason := d.Reason
		if d.Was != "" {
			reason += ": " + d.Was + " → " + d.Item.Detail
		}
		row(w, d.Change, d.By, d.Item.Kind, d.Item.Region, shortID(d.Item.ID), reason)
	}
	var parts []string
	for _, change := range slices.Sorted(maps.Keys(others)) {
		parts = append(parts, fmt.Sprintf("%d %s", others[change], change))
	}
	if len(parts) > 0 {
		fmt.Fprintf(w, "\nBy other clusters: %s; -o json lists them\n", strings.Join(parts, ", "))
	}
}

// beforeAndAfter says how many things an account held.
func beforeAndAfter(a engine.ReceiptAccount) string {
	switch {
	case a.Before == nil:
		return "no inventory from before; Skyweld takes one before it makes the first thing there"
	case a.After == nil:
		return counted(len(a.Before.Items), "thing") + " before; not looked at afterwards"
	case len(a.Differences) == 0:
		return "the same " + counted(len(a.Before.Items), "thing") + " before and after"
	}
	return fmt.Sprintf("%s before, %d after", counted(len(a.Before.Items), "thing"), len(a.After.Items))
}

var receiptListing = listing[api.ReceiptLine]{
	columns: []column[api.ReceiptLine]{
		{head: "CLUSTER", cell: func(r api.ReceiptLine) string { return r.Cluster }},
		{head: "UID", cell: func(r api.ReceiptLine) string { return r.UID }},
		{head: "AGE", cell: func(r api.ReceiptLine) string { return age(r.Closed) }},
		{head: "SUMMARY", cell: func(r api.ReceiptLine) string { return r.Summary }},
	},
	name:  func(r api.ReceiptLine) string { return "receipt/" + r.UID },
	empty: "No receipts: no cluster has been deleted yet.",
	text:  true, lines: 3,
}

func getReceipts(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "receipts", Aliases: []string{"receipt"}, Short: "Show the receipts of deleted clusters", Args: args(),
		Long:    "Show the receipts of clusters that are deleted, the newest first. They are kept for ever. 'skyweld receipt UID' shows one of them whole.",
		Example: "  skyweld get receipts\n  skyweld get receipts -o name",
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			list, err := client.Receipts(c.Context())
			if err != nil {
				return err
			}
			return show(s, c.OutOrStdout(), list, receiptListing)
		},
	}
	listFlags(c, s)
	return c
}
