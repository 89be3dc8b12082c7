package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
)

func tokenCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "token", DisableFlagsInUseLine: true, RunE: group, Aliases: []string{"tokens"}, Short: "Make, list and revoke tokens for programs",
		Long: `API tokens let programs and this command line ask an engine, from this machine or another. Each has a name, a role and mostly an end. The engine keeps only a hash of it: a token is shown once, when it is made.

A token that a user makes is that user's: it never has more rights, rests while the user is disabled and ends with the user.`,
		Example: "  skyweld token add ci --role operator --days 30 > ci.token\n  skyweld --engine https://engine.example.com --token-file ci.token get clusters\n  skyweld token list",
	}
	c.AddCommand(tokenList(s), tokenAdd(s), tokenRevoke(s))
	return c
}

var tokenListing = listing[api.Token]{
	columns: []column[api.Token]{
		{head: "NAME", cell: func(k api.Token) string { return k.Name }},
		{head: "ROLE", cell: func(k api.Token) string { return string(k.Role) }},
		{head: "USER", show: ifAny, cell: func(k api.Token) string { return k.User }},
		{head: "EXPIRES", cell: func(k api.Token) string {
			switch {
			case k.Expires.IsZero():
				return "never"
			case !time.Now().Before(k.Expires):
				return "expired"
			}
			return until(k.Expires)
		}},
		{head: "LAST-USED", cell: func(k api.Token) string { return ago(k.Used) }},
		{head: "AGE", cell: func(k api.Token) string { return age(k.Created) }},
		{head: "MADE-BY", show: onlyWide, cell: func(k api.Token) string { return k.Maker }},
	},
	name:  func(k api.Token) string { return "token/" + k.Name },
	empty: "No tokens. Make one with 'skyweld token add NAME'.",
}

func tokenList(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the tokens", Args: args(),
		Long:    "List the API tokens, without themselves. LAST-USED is true to about a minute. The engine's own token, in the file token of its folder, isn't among them.",
		Example: "  skyweld token list\n  skyweld token list -o wide",
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			list, err := client.Tokens(c.Context())
			if err != nil {
				return err
			}
			return show(s, c.OutOrStdout(), list, tokenListing)
		},
	}
	listFlags(c, s)
	return c
}

func tokenAdd(s *settings) *cobra.Command {
	var role string
	var days int
	c := &cobra.Command{
		Use: "add NAME", Short: "Make a token, and print it this once", Args: args("NAME"), SuggestFor: []string{"create", "new"},
		Long: "Make an API token and print it to standard output, this once: it is a secret. Its role can't be more than that of who makes it. " + rolesText + `

On another machine, --engine names the engine; the token goes into the file that --token-file names, or into $SKYWELD_TOKEN.`,
		Example: "  (umask 077; skyweld token add ci --role operator --days 30 > ci.token)\n  skyweld token add dashboard --days 0     # for good, to look only",
		RunE: func(c *cobra.Command, a []string) error {
			if err := checkRole("--role", role); err != nil {
				return err
			}
			if days < 0 || days > 3650 {
				return usageError{fmt.Errorf("--days: found %d: want 1 to 3650, or 0 for a token that doesn't end", days)}
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			ask := api.NewToken{Name: a[0], Role: role}
			if days > 0 {
				ask.Expires = time.Now().Add(time.Duration(days) * 24 * time.Hour).UTC().Truncate(time.Second)
			}
			made, err := client.MakeToken(c.Context(), ask)
			if err != nil {
				return err
			}
			end := "it doesn't end by itself"
			if !made.Expires.IsZero() {
				end = "good until " + made.Expires.Format(time.DateOnly)
			}
			fmt.Fprintf(os.Stderr, "token %s made as %s, %s; this is the only time that it is shown:\n", made.Name, withArticle(string(made.Role)), end)
			fmt.Fprintln(c.OutOrStdout(), made.Secret)
			return nil
		},
	}
	c.Flags().StringVar(&role, "role", string(auth.Viewer), "what it may do: viewer, operator or admin")
	c.Flags().IntVar(&days, "days", 90, "for how many days it is good; 0 for good")
	complete(c, "role", fixed(roleNames...))
	return c
}

func tokenRevoke(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME", Aliases: []string{"remove", "rm"}, SuggestFor: []string{"delete"}, Short: "End a token at once", Args: args("NAME"), ValidArgsFunction: s.completeArgs(tokenNames),
		Long:    "End an API token: from now on nobody gets in with it. What was done with it stays in the audit log.",
		Example: "  skyweld token revoke ci",
		RunE: func(c *cobra.Command, a []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			if err := client.RevokeToken(c.Context(), a[0]); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "token %s revoked\n", a[0])
			return nil
		},
	}
}

func tokenNames(ctx context.Context, client *api.Client, _ []string) ([]string, error) {
	all, err := client.Tokens(ctx)
	return each(all, func(k api.Token) string { return k.Name }), err
}
