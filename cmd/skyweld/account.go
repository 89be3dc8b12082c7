package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/engine"
)

func accountCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "account", DisableFlagsInUseLine: true, RunE: group, Aliases: []string{"accounts"}, Short: "Add, list, check, update and remove cloud accounts",
		Long:    `Accounts are the credentials that Skyweld makes clusters with, under names that cluster files use. They are read once from where the cloud's own tools have them, checked, and kept encrypted by the engine.`,
		Example: "  skyweld account add aws my-aws --from-env\n  skyweld account list\n  skyweld account check my-aws",
	}
	c.AddCommand(accountAdd(s), accountList(s, "list", "ls"), accountCheck(s), accountUpdate(s), accountRemove(s))
	return c
}

func accountAdd(s *settings) *cobra.Command {
	var fromEnv bool
	var egress, proxy string
	c := &cobra.Command{
		Use: "add CLOUD NAME --from-env", Short: "Add an account, with the credentials that are set up here", Args: args("CLOUD", "NAME"),
		ValidArgsFunction: func(_ *cobra.Command, before []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(before) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return providerNames(), cobra.ShellCompDirectiveNoFileComp
		},
		Long: `Add an account under a NAME of your choice, with the credentials that the cloud's own tools would use here. CLOUD is one of

  aws           the AWS_* variables, or the profile in ~/.aws
  gcp           the application default credentials, and the project
  azure         AZURE_SUBSCRIPTION_ID with AZURE_TENANT_ID, AZURE_CLIENT_ID and
                AZURE_CLIENT_SECRET, or what az is logged in with
  digitalocean  DIGITALOCEAN_TOKEN or DIGITALOCEAN_ACCESS_TOKEN

They are checked with the cloud, encrypted, and kept by the engine; nothing is made in the account.

What permissions they need is in docs/accounts; 'skyweld account check' names those that are missing.`,
		Example: "  AWS_PROFILE=work skyweld account add aws my-aws --from-env\n  GOOGLE_CLOUD_PROJECT=my-project skyweld account add gcp my-gcp --from-env\n  AZURE_SUBSCRIPTION_ID=… skyweld account add azure my-azure --from-env\n  DIGITALOCEAN_TOKEN=dop_v1_… skyweld account add digitalocean my-do --from-env",
		RunE: func(c *cobra.Command, a []string) error {
			if !fromEnv {
				return usageError{errors.New("--from-env is missing: it says that the credentials are to be read from the environment and the cloud's usual files")}
			}
			if sources[cloud.Provider(a[0])] == nil {
				return usageError{fmt.Errorf("CLOUD: found %q: want one of %s", a[0], strings.Join(providerNames(), ", "))}
			}
			given, err := accountFromEnv(a[0], egress, proxy)
			if err != nil {
				return err
			}
			add := api.NewAccount{Name: a[1], Provider: a[0], Settings: given.Settings, CA: given.CA, Proxy: given.Proxy, Secrets: given.Secrets}
			client, err := s.client()
			if err != nil {
				return err
			}
			report, err := client.AddAccount(c.Context(), add)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "account %s added: %s, %s\n", a[1], report.Account, report.Identity)
			for _, m := range report.Missing {
				fmt.Fprintf(c.OutOrStdout(), "  missing permission: %s %s\n", m.Action, m.Detail)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&fromEnv, "from-env", false, "read the credentials from the environment and the cloud's usual files")
	c.Flags().StringVar(&egress, "egress", os.Getenv("SKYWELD_EGRESS"), "`ADDRESSES` or ranges from which this engine reaches the account's machines, by commas ($SKYWELD_EGRESS; default: found out)")
	c.Flags().Lookup("egress").DefValue = "" // the usage says it
	c.Flags().StringVar(&proxy, "proxy", "", "`URL` of a proxy to the account's machines, socks5:// or http:// (default: $SKYWELD_PROXY)")
	return c
}

// accountFromEnv reads an account as the cloud's own tools would.
func accountFromEnv(provider, egress, proxy string) (api.AccountUpdate, error) {
	read := sources[cloud.Provider(provider)]
	if read == nil {
		return api.AccountUpdate{}, fmt.Errorf("this program can't read credentials of the cloud %q; it knows %s", provider, strings.Join(providerNames(), ", "))
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return api.AccountUpdate{}, err
	}
	account, err := read(cloud.Source{Getenv: os.Getenv, ReadFile: os.ReadFile, Home: home})
	if err != nil {
		return api.AccountUpdate{}, err
	}
	given := api.AccountUpdate{Provider: provider, Settings: account.Settings, CA: account.CA, Proxy: account.Proxy, Secrets: map[string]string{}}
	for k, v := range account.Secrets {
		given.Secrets[k] = v.Reveal()
	}
	if given.Settings == nil {
		given.Settings = map[string]string{}
	}
	if egress != "" {
		given.Settings[engine.SettingEgress] = egress
	}
	if proxy != "" {
		given.Proxy = proxy
	}
	return given, nil
}

func accountUpdate(s *settings) *cobra.Command {
	var fromEnv bool
	var egress, proxy string
	c := &cobra.Command{
		Use: "update NAME", Short: "Give an account new credentials, or another egress or proxy", Args: args("NAME"), ValidArgsFunction: s.completeArgs(accountNames),
		Long:    `Give an account new credentials with --from-env, read as 'skyweld account add' reads them, or another egress address or proxy. They are checked first. Clusters that use the account go on with them at once; the credentials must lead to the same account at the cloud.`,
		Example: "  AWS_PROFILE=skyweld skyweld account update my-aws --from-env\n  skyweld account update my-aws --egress 203.0.113.7",
		RunE: func(c *cobra.Command, a []string) error {
			if !fromEnv && egress == "" && proxy == "" {
				return usageError{errors.New("nothing to change: give --from-env for new credentials, --egress or --proxy")}
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			given := api.AccountUpdate{Proxy: proxy}
			if egress != "" {
				given.Settings = map[string]string{engine.SettingEgress: egress}
			}
			if fromEnv {
				list, err := client.Accounts(c.Context())
				if err != nil {
					return err
				}
				at := slices.IndexFunc(list, func(x api.Account) bool { return x.Name == a[0] })
				if at < 0 {
					return fmt.Errorf("there is no account named %q: 'skyweld account list' shows those there are", a[0])
				}
				if given, err = accountFromEnv(list[at].Provider, egress, proxy); err != nil {
					return err
				}
			}
			report, err := client.UpdateAccount(c.Context(), a[0], given)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "account %s updated: %s, %s\n", a[0], report.Account, report.Identity)
			for _, m := range report.Missing {
				fmt.Fprintf(c.OutOrStdout(), "  missing permission: %s %s\n", m.Action, m.Detail)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&fromEnv, "from-env", false, "read the credentials from the environment and the cloud's usual files")
	c.Flags().StringVar(&egress, "egress", "", "`ADDRESSES` or ranges from which this engine reaches the account's machines, by commas")
	c.Flags().StringVar(&proxy, "proxy", "", "`URL` of a proxy to the account's machines, socks5:// or http://")
	return c
}

func providerNames() []string {
	var names []string
	for p := range sources {
		names = append(names, string(p))
	}
	sort.Strings(names)
	return names
}

var accountListing = listing[api.Account]{
	columns: []column[api.Account]{
		{head: "NAME", cell: func(a api.Account) string { return a.Name }},
		{head: "CLOUD", cell: func(a api.Account) string { return a.Provider }},
		{head: "STATUS", cell: func(a api.Account) string { return a.State }, status: true},
		{head: "SINCE", show: ifAny, cell: func(a api.Account) string { return ageOf(a.Since) }},
		{head: "CALLS/MIN", cell: func(a api.Account) string { return strconv.FormatInt(a.Calls, 10) }},
		{head: "CLUSTERS", show: ifNarrow, cell: func(a api.Account) string { return firstOf(a.Clusters) }},
		{head: "CLUSTERS", show: onlyWide, cell: func(a api.Account) string { return strings.Join(a.Clusters, ", ") }},
		{head: "AGE", cell: func(a api.Account) string { return age(a.Created) }},
		{head: "PROXY", show: wideIfAny, cell: func(a api.Account) string { return a.Proxy }},
		{head: "SETTINGS", show: onlyWide, cell: func(a api.Account) string {
			var list []string
			for k, v := range a.Settings {
				list = append(list, k+"="+v)
			}
			sort.Strings(list)
			return strings.Join(list, " ")
		}},
		{head: "TOKENS", show: onlyWide, cell: tokensLeft},
		{head: "LAST-ERROR", show: wideIfAny, cell: func(a api.Account) string {
			if a.LastError == "" {
				return ""
			}
			return ageOf(a.LastErrorAt) + " ago: " + firstLine(a.LastError)
		}},
		{head: "MESSAGE", show: ifAny, cell: func(a api.Account) string { return firstLine(a.Message) }},
	},
	text: true, lines: 4,
	name:  func(a api.Account) string { return "account/" + a.Name },
	empty: "No accounts. Add one with 'skyweld account add CLOUD NAME --from-env'.",
}

// firstOf names some of many.
func firstOf(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most-1], ", "), len(names)-most+1)
}

// tokensLeft is how many calls each region and family of an account has left at once.
func tokensLeft(a api.Account) string {
	var list []string
	for _, b := range a.Buckets {
		list = append(list, fmt.Sprintf("%s %s: %d", b.Region, b.Family, b.Tokens))
	}
	return strings.Join(list, ", ")
}

// ageOf is how long ago a time is that may be none.
func ageOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return age(*t)
}

// accountList is 'account list', and 'get accounts' for those who look there.
func accountList(s *settings, use string, alias string) *cobra.Command {
	c := &cobra.Command{
		Use: use, Aliases: []string{alias}, Short: "List the accounts", Args: args(),
		Long: `List the accounts that the engine knows, and how their calls fare. STATUS is Ready; Throttled while the cloud has had too many calls, and fewer are made; CircuitOpen while a part of the cloud has failed so often in a row that it is only tried again from time to time; CredentialsRefused while nobody is let in with the credentials: 'skyweld account check' tries them again at once, 'skyweld account update' gives the account others.

-o wide adds proxies and settings, how many calls each region and family of calls has left at once, and the last error. Secrets are never shown.`,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			list, err := client.Accounts(c.Context())
			if err != nil {
				return err
			}
			return show(s, c.OutOrStdout(), list, accountListing)
		},
	}
	at := "account list"
	if use != "list" {
		at = "get " + use
	}
	c.Example = "  skyweld " + at + "\n  skyweld " + at + " -o wide"
	listFlags(c, s)
	return c
}

func accountCheck(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "check NAME", Short: "Check that an account can be used, and with what quota", Args: args("NAME"), ValidArgsFunction: s.completeArgs(accountNames),
		Long:    `Ask the cloud who the credentials are, which of the permissions that Skyweld needs they lack, and what of the quotas is used. It makes nothing. The exit code is 1 when a permission is missing.`,
		Example: "  skyweld account check my-aws\n  skyweld account check my-aws -o json | jq .missing",
		RunE: func(c *cobra.Command, a []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			r, err := client.CheckAccount(c.Context(), a[0])
			if err != nil {
				return err
			}
			if err := s.print(c.OutOrStdout(), r, func(w io.Writer) { reportTable(w, r) }); err != nil {
				return err
			}
			if len(r.Missing) > 0 {
				return fmt.Errorf("account %s lacks %s: the policies in docs/accounts have all that Skyweld needs", a[0], counted(len(r.Missing), "permission"))
			}
			return nil
		},
	}
	outputFlag(c, s)
	return c
}

// manyQuotas is how many are shown whether used or not: Google has five for each of its regions.
const manyQuotas = 20

// reportTable writes what a check has found. What the cloud itself said about each missing permission is long and says
// little more than its name; the other forms of output have it.
func reportTable(w io.Writer, r cloud.Report) {
	fmt.Fprintf(w, "account:\t%s\nidentity:\t%s\nregions:\t%d\n", r.Account, r.Identity, len(r.Regions))
	if len(r.Missing) == 0 {
		fmt.Fprintln(w, "permissions:\tnone is missing")
	}
	for _, m := range r.Missing {
		text := m.Action
		if m.Region != "" {
			text += " in " + m.Region
		}
		if m.Advice != "" {
			text += " (" + m.Advice + ")"
		}
		fmt.Fprintf(w, "missing:\t%s\n", text)
	}
	shown := r.Quotas
	if len(shown) > manyQuotas {
		shown = slices.DeleteFunc(slices.Clone(shown), func(q cloud.Quota) bool { return q.Region != "" && q.Used == 0 })
	}
	if hidden := len(r.Quotas) - len(shown); hidden > 0 {
		fmt.Fprintf(w, "quotas:\t%d, of which %d aren't shown, as nothing of them is used (-o json has all)\n", len(r.Quotas), hidden)
	}
	if len(shown) > 0 {
		fmt.Fprintln(w) // columns of their own
		row(w, "USED", "LIMIT", "REGION", "QUOTA")
	}
	for _, q := range shown {
		used := "?"
		if q.Used >= 0 {
			used = fmt.Sprintf("%g", q.Used)
		}
		row(w, used, q.Limit, q.Region, q.Name)
	}
}

func accountRemove(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Forget an account that no cluster uses", Args: args("NAME"), ValidArgsFunction: s.completeArgs(accountNames),
		SuggestFor: []string{"delete"},
		Long:       "Forget an account and its credentials. Nothing changes at the cloud. An account that a cluster uses stays: delete the cluster first.",
		Example:    "  skyweld account remove my-aws",
		RunE: func(c *cobra.Command, a []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			if err := client.RemoveAccount(c.Context(), a[0]); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "account %s removed\n", a[0])
			return nil
		},
	}
}
