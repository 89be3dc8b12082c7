package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/engine"
)

func accountCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "account", DisableFlagsInUseLine: true, RunE: group, Short: "Add, list, check and remove cloud accounts"}
	c.AddCommand(accountAdd(s), accountList(s), accountCheck(s), accountRemove(s))
	return c
}

func accountAdd(s *settings) *cobra.Command {
	var fromEnv bool
	var egress, proxy string
	c := &cobra.Command{
		Use: "add CLOUD NAME --from-env", Short: "Add an account with the credentials that the cloud's own tools would use here", Args: args("CLOUD", "NAME"),
		Long: `Add an account with the credentials that the cloud's own tools would use here: for aws the AWS_* variables or the
profile in ~/.aws; for gcp the application default credentials and the project. They are checked, encrypted and kept by the engine.`,
		Example: "  AWS_PROFILE=work skyweld account add aws my-aws --from-env\n  GOOGLE_CLOUD_PROJECT=my-project skyweld account add gcp my-gcp --from-env",
		RunE: func(c *cobra.Command, a []string) error {
			if !fromEnv {
				return usageError{errors.New("--from-env is missing: it says that the credentials are to be read from the environment and the cloud's usual files")}
			}
			read := sources[cloud.Provider(a[0])]
			if read == nil {
				return usageError{fmt.Errorf("CLOUD: found %q: want one of %s", a[0], strings.Join(providerNames(), ", "))}
			}
			home, err := os.UserHomeDir()
			if err != nil {
				return err
			}
			account, err := read(cloud.Source{Getenv: os.Getenv, ReadFile: os.ReadFile, Home: home})
			if err != nil {
				return err
			}
			add := api.NewAccount{Name: a[1], Provider: a[0], Settings: account.Settings, CA: account.CA, Proxy: account.Proxy, Secrets: map[string]string{}}
			for k, v := range account.Secrets {
				add.Secrets[k] = v.Reveal()
			}
			if add.Settings == nil {
				add.Settings = map[string]string{}
			}
			if egress != "" {
				add.Settings[engine.SettingEgress] = egress
			}
			if proxy != "" {
				add.Proxy = proxy
			}
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
	c.Flags().StringVar(&egress, "egress", os.Getenv("SKYWELD_EGRESS"), "address or ranges from which this engine reaches the account's machines ($SKYWELD_EGRESS; default: found out)")
	c.Flags().StringVar(&proxy, "proxy", "", "proxy to the account's machines: socks5:// or http:// (default: $SKYWELD_PROXY)")
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

func accountList(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the accounts", Args: args(),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			list, err := client.Accounts(c.Context())
			if err != nil {
				return err
			}
			return s.print(c.OutOrStdout(), items(list), func(w io.Writer) {
				if len(list) == 0 {
					fmt.Fprintln(w, "No accounts. Add one with 'skyweld account add CLOUD NAME --from-env'.")
					return
				}
				row(w, "NAME", "CLOUD", "AGE", "PROXY")
				for _, a := range list {
					row(w, a.Name, a.Provider, age(a.Created), a.Proxy)
				}
			})
		},
	}
	outputFlag(c, s)
	return c
}

func accountCheck(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "check NAME", Short: "Check that an account can be used, and with what quota", Args: args("NAME"),
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
				return fmt.Errorf("account %s lacks %d permissions", a[0], len(r.Missing))
			}
			return nil
		},
	}
	outputFlag(c, s)
	return c
}

func reportTable(w io.Writer, r cloud.Report) {
	fmt.Fprintf(w, "account:\t%s\nidentity:\t%s\nregions:\t%d\n", r.Account, r.Identity, len(r.Regions))
	for _, m := range r.Missing {
		fmt.Fprintf(w, "missing:\t%s %s %s\n", m.Action, m.Region, m.Detail)
	}
	for _, q := range r.Quotas {
		used := "?"
		if q.Used >= 0 {
			used = fmt.Sprintf("%g", q.Used)
		}
		fmt.Fprintf(w, "quota:\t%s %s\t%s of %g used\n", q.Name, q.Region, used, q.Limit)
	}
}

func accountRemove(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Forget an account that no cluster uses", Args: args("NAME"),
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
