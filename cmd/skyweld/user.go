package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/auth"
)

var roleNames = []string{string(auth.Viewer), string(auth.Operator), string(auth.Admin)}

// rolesText is what the help says of roles.
const rolesText = `A viewer sees everything but secrets; an operator also makes, changes, repairs and deletes clusters, and gets into them; an admin also manages accounts, users, tokens and backups, and reads the audit log.`

func userCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "user", DisableFlagsInUseLine: true, RunE: group, Aliases: []string{"users"}, Short: "Say who may sign in to the console, and do what",
		Long:    "Users sign in to the console with a name and a password, or at an OpenID Connect server when 'skyweld serve' has --oidc-issuer. " + rolesText,
		Example: "  skyweld user add ada --role admin\n  skyweld user list\n  skyweld user role ada operator",
	}
	c.AddCommand(userList(s), userAdd(s), userPasswd(s), userRole(s), userDisable(s), userEnable(s), userRemove(s))
	return c
}

var userListing = listing[api.User]{
	columns: []column[api.User]{
		{head: "NAME", cell: func(u api.User) string { return u.Name }},
		{head: "ROLE", cell: func(u api.User) string { return string(u.Role) }},
		{head: "STATUS", cell: func(u api.User) string {
			if u.Disabled.IsZero() {
				return "Enabled"
			}
			return "Disabled"
		}},
		{head: "SIGNS-IN", cell: func(u api.User) string {
			if u.Issuer != "" {
				return "elsewhere"
			}
			return "by password"
		}},
		{head: "LAST-LOGIN", cell: func(u api.User) string { return ago(u.LastLogin) }},
		{head: "AGE", cell: func(u api.User) string { return age(u.Created) }},
		{head: "ISSUER", show: wideIfAny, cell: func(u api.User) string { return u.Issuer }},
		{head: "SUBJECT", show: wideIfAny, cell: func(u api.User) string { return u.Subject }},
	},
	name:  func(u api.User) string { return "user/" + u.Name },
	empty: "No users. Add one with 'skyweld user add NAME'; 'skyweld open' signs in without.",
}

// ago is how long ago something was, empty for never.
func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return age(t) + " ago"
}

func userList(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the users", Args: args(),
		Long:    "List the users, with their roles. SIGNS-IN is where: here by a password, or elsewhere, at an OpenID Connect server (-o wide has it).",
		Example: "  skyweld user list\n  skyweld user list -o wide",
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			list, err := client.Users(c.Context())
			if err != nil {
				return err
			}
			return show(s, c.OutOrStdout(), list, userListing)
		},
	}
	listFlags(c, s)
	return c
}

func userAdd(s *settings) *cobra.Command {
	var role, file string
	c := &cobra.Command{
		Use: "add NAME", Short: "Add a user with a password", Args: args("NAME"), SuggestFor: []string{"create", "new"},
		Long: "Add a user, who signs in to the console with a NAME and a password. " + rolesText + `

The password is asked for, without showing it, or read from a file. Users of an OpenID Connect server aren't added: they are there once they have signed in.`,
		Example: "  skyweld user add ada --role admin\n  skyweld user add bob --password-file password.txt\n  pwgen -s 20 1 | tee bob.txt | skyweld user add bob --password-file -",
		RunE: func(c *cobra.Command, a []string) error {
			if err := checkRole("--role", role); err != nil {
				return err
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			password, err := newPassword(c.Context(), a[0], file)
			if err != nil {
				return err
			}
			u, err := client.AddUser(c.Context(), api.NewUser{Name: a[0], Role: role, Password: password})
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "user %s added as %s\n", u.Name, withArticle(string(u.Role)))
			return nil
		},
	}
	c.Flags().StringVar(&role, "role", string(auth.Viewer), "what the user may do: viewer, operator or admin")
	complete(c, "role", fixed(roleNames...))
	passwordFlag(c, &file)
	return c
}

func withArticle(role string) string {
	if strings.ContainsAny(role[:1], "aeiou") {
		return "an " + role
	}
	return "a " + role
}

func checkRole(where, role string) error {
	if !auth.Role(role).Valid() {
		return usageError{fmt.Errorf("%s: found %q: want viewer, operator or admin", where, role)}
	}
	return nil
}

func passwordFlag(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "password-file", "", "`FILE` whose first line is the password; - for standard input")
}

// newPassword reads a new password from a file, or asks for it twice.
func newPassword(ctx context.Context, user, file string) (string, error) {
	if file != "" {
		data, err := os.ReadFile(file)
		if file == "-" {
			data, err = io.ReadAll(io.LimitReader(os.Stdin, 64<<10))
		}
		if err != nil {
			return "", fmt.Errorf("--password-file: %w", err)
		}
		line, _, _ := strings.Cut(string(data), "\n")
		if line = strings.TrimSuffix(line, "\r"); line == "" {
			return "", fmt.Errorf("--password-file: the first line of %s is empty: want the password", file)
		}
		return line, nil
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", usageError{errors.New("there is no terminal to ask for the password: name a file that has it with --password-file, or - for standard input")}
	}
	defer tty.Close()
	first, err := askHidden(ctx, tty, "Password of "+user+": ")
	if err != nil {
		return "", err
	}
	if err := auth.CheckPassword(user, first); err != nil {
		return "", err
	}
	second, err := askHidden(ctx, tty, "Again: ")
	if err == nil && first != second {
		err = errors.New("the two passwords differ: nothing was done")
	}
	return first, err
}

// askHidden asks in a terminal for what it doesn't show. The terminal is as it was afterwards, also when a signal ends it.
func askHidden(ctx context.Context, tty *os.File, question string) (string, error) {
	state, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return "", fmt.Errorf("ask for the password: %w", err)
	}
	fmt.Fprint(tty, question)
	defer fmt.Fprintln(tty)
	type answer struct {
		text []byte
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(int(tty.Fd()))
		answered <- answer{text, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			return "", fmt.Errorf("ask for the password: %w", a.err)
		}
		return string(a.text), nil
	case <-ctx.Done():
		return "", errors.Join(context.Cause(ctx), term.Restore(int(tty.Fd()), state))
	}
}

// updateUser is a command that changes one thing of a user.
func updateUser(s *settings, c *cobra.Command, name string, change api.UserUpdate, done string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	u, err := client.UpdateUser(c.Context(), name, change)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "user %s %s\n", u.Name, done)
	return nil
}

func userPasswd(s *settings) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "passwd NAME", Aliases: []string{"password"}, Short: "Give a user another password", Args: args("NAME"), ValidArgsFunction: s.completeArgs(userNames),
		Long:    "Give a user another password, which is asked for or read from a file. All sessions of the user end; tokens go on.",
		Example: "  skyweld user passwd ada\n  skyweld user passwd ada --password-file password.txt",
		RunE: func(c *cobra.Command, a []string) error {
			password, err := newPassword(c.Context(), a[0], file)
			if err != nil {
				return err
			}
			return updateUser(s, c, a[0], api.UserUpdate{Password: &password}, "has another password")
		},
	}
	passwordFlag(c, &file)
	return c
}

func userRole(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "role NAME ROLE", Short: "Give a user another role", Args: args("NAME", "ROLE"),
		ValidArgsFunction: s.completeArgs(userNames, func(context.Context, *api.Client, []string) ([]string, error) { return roleNames, nil }),
		Long:              "Give a user another role, at once and in all sessions. The user's tokens never have more rights than the user. " + rolesText + "\n\nThe last admin who may sign in stays one.",
		Example:           "  skyweld user role ada operator",
		RunE: func(c *cobra.Command, a []string) error {
			if err := checkRole("ROLE", a[1]); err != nil {
				return err
			}
			return updateUser(s, c, a[0], api.UserUpdate{Role: &a[1]}, "is "+withArticle(a[1]))
		},
	}
}

func userDisable(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "disable NAME", Short: "Let a user sign in no more, until enabled again", Args: args("NAME"), ValidArgsFunction: s.completeArgs(userNames),
		Long:    "Let a user sign in no more. All sessions end, and the user's tokens rest, until 'skyweld user enable'.",
		Example: "  skyweld user disable ada\n  skyweld user enable ada",
		RunE: func(c *cobra.Command, a []string) error {
			return updateUser(s, c, a[0], api.UserUpdate{Disabled: new(true)}, "may not sign in any more")
		},
	}
}

func userEnable(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "enable NAME", Short: "Let a disabled user sign in again", Args: args("NAME"), ValidArgsFunction: s.completeArgs(userNames),
		Long:    "Let a user sign in again who was disabled. The user's tokens are good again; sessions have to begin anew.",
		Example: "  skyweld user enable ada",
		RunE: func(c *cobra.Command, a []string) error {
			return updateUser(s, c, a[0], api.UserUpdate{Disabled: new(false)}, "may sign in")
		},
	}
}

func userRemove(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, SuggestFor: []string{"delete"}, Short: "Remove a user, with all sessions and tokens", Args: args("NAME"), ValidArgsFunction: s.completeArgs(userNames),
		Long:    "Remove a user, with all sessions and tokens. What the user did stays in the audit log. The last admin who may sign in stays.\n\nWho signs in at an OpenID Connect server is there again after the next time: disable such a user.",
		Example: "  skyweld user remove ada",
		RunE: func(c *cobra.Command, a []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			if err := client.RemoveUser(c.Context(), a[0]); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "user %s removed\n", a[0])
			return nil
		},
	}
}

func userNames(ctx context.Context, client *api.Client, _ []string) ([]string, error) {
	all, err := client.Users(ctx)
	return each(all, func(u api.User) string { return u.Name }), err
}
