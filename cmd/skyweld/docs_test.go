package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/skyweld/skyweld/sizes"
)

var update = flag.Bool("update", false, "write docs/cli.md anew")

// TestReference holds docs/cli.md against the commands themselves.
func TestReference(t *testing.T) {
	name := filepath.Join("..", "..", "docs", "cli.md")
	got := reference()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/cli.md is out of date; go test ./cmd/skyweld -run TestReference -update writes it (- is, + should be):\n%s", diff)
	}
}

// about is what the reference says that no command does.
const about = `# The command line

This page is made from the commands' own help; ` + "`skyweld COMMAND --help`" + ` says the same. A test holds it against them.

## Exit codes

| code | meaning |
| --- | --- |
| 0 | done; ` + "`plan`" + ` and ` + "`--dry-run`" + `: planned, whether there is something to do or not; ` + "`-w`" + `: ended by Ctrl-C, or the cluster is gone |
| 1 | failed: standard error says what, and what to do |
| 2 | a command line that makes no sense; nothing was asked of the engine |
| 3 | ` + "`--timeout`" + ` was over before the work: it goes on in the engine |
| 130, 143 | ended by Ctrl-C, by SIGTERM: work that was asked for goes on in the engine, and ` + "`skyweld wait`" + ` waits for it again. ` + "`serve`" + ` and ` + "`lab start`" + ` end with 0 |
| any | ` + "`skyweld ssh`" + `: that of the command or shell on the node; 1 also when the node can't be reached |

What a command answers goes to standard output, all else to standard error: progress, questions, errors.

## Environment variables

| variable | meaning |
| --- | --- |
| ` + "`SKYWELD_DIR`" + ` | the engine's folder, in place of ` + "`--dir`" + ` |
| ` + "`XDG_DATA_HOME`" + ` | where the engine's folder is without the two, as ` + "`$XDG_DATA_HOME/skyweld`" + `; without it too: ` + "`~/.local/share/skyweld`" + ` |
| ` + "`SKYWELD_TOKEN`" + ` | the token to show the engine, in place of the one in its folder; ` + "`--token-file`" + ` goes before it |
| ` + "`SKYWELD_OIDC_CLIENT_SECRET`" + ` | for ` + "`serve`" + `, in place of ` + "`--oidc-client-secret-file`" + ` |
| ` + "`SKYWELD_LAB_DIR`" + ` | the lab's folder, in place of ` + "`skyweld lab --dir`" + ` |
| ` + "`SKYWELD_BUNDLE`, `SKYWELD_BUNDLE_SHA256`" + ` | for ` + "`serve`" + `, in place of ` + "`--bundle`" + ` and ` + "`--bundle-sha256`" + ` |
| ` + "`SKYWELD_EGRESS`, `SKYWELD_PROXY`" + ` | for ` + "`account add`" + `, in place of ` + "`--egress`" + ` and ` + "`--proxy`" + ` |
| ` + "`SKYWELD_MASTER_KEY`" + ` | for ` + "`serve`" + `: the master key itself, in place of the file ` + "`master.key`" + `; systemd's credential ` + "`skyweld-master-key`" + ` goes before both |
| ` + "`NO_COLOR`" + ` | when set and not empty: no colours, unless ` + "`--color=always`" + ` is given |
| ` + "`TERM`" + ` | ` + "`dumb`" + ` or not set: no colours |

` + "`account add`" + ` reads what the clouds' own tools read: ` + "`AWS_*`" + ` and the files that they name, ` + "`GOOGLE_APPLICATION_CREDENTIALS`, `GOOGLE_CLOUD_PROJECT`" + ` and gcloud's files, ` + "`AZURE_*`" + `, and ` + "`DIGITALOCEAN_TOKEN`" + `. ` + "`skyweld lab env`" + ` sets what the lab needs of all of these.

## Files

| file in the engine's folder | content |
| --- | --- |
| ` + "`skyweld.db`" + ` | everything the engine knows: clusters, accounts, the ledger, runs, events; secrets in it are encrypted |
| ` + "`master.key`" + ` | the key that secrets are encrypted with; without it they are lost |
| ` + "`token`" + ` | what the command line shows the engine: who can read it may do everything |
| ` + "`address`" + ` | where the engine serves |
| ` + "`tls.crt`, `tls.key`" + ` | off loopback: the engine's own certificate and its key; when they are removed, others are made at the next start |
| ` + "`certificate`" + ` | off loopback: the certificate that the engine serves with, by which this command line knows it |
| ` + "`name`" + ` | the engine's own name, locked while it runs |

The command line keeps no files of its own.
`

// markdownSizes is the table of the sizes.
func markdownSizes(b *bytes.Buffer) {
	b.WriteString("\n## Sizes of machines\n\n" + ofSizes + "\n\n")
	row := func(cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }
	row(sizeColumns)
	row(slices.Repeat([]string{"---"}, len(sizeColumns)))
	for _, cells := range sizeRows() {
		row(cells)
	}
	b.WriteString("\n" + strings.Join(sizes.Sources(), " ") + "\n")
}

func reference() []byte {
	var b bytes.Buffer
	b.WriteString(about)
	markdownSizes(&b)
	b.WriteString("\n## Commands\n\n")
	root, _ := newRoot()
	root.InitDefaultHelpCmd()
	walk(root, func(c *cobra.Command) {
		fmt.Fprintf(&b, "- [%s](#%s): %s\n", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), c.Short)
	})
	fmt.Fprint(&b, "\n### Flags of all commands\n")
	markdownFlags(&b, root.PersistentFlags())
	walk(root, func(c *cobra.Command) { markdown(&b, c) })
	return b.Bytes()
}

// walk calls f for a command and all below it that the help shows, each after the one that holds it.
func walk(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			walk(sub, f)
		}
	}
}

func markdown(b *bytes.Buffer, c *cobra.Command) {
	fmt.Fprintf(b, "\n### %s\n\n", c.CommandPath())
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	b.WriteString(markdownText(text) + "\n")
	var calls []string
	if runsItself(c) {
		calls = append(calls, c.UseLine())
	}
	if c.HasAvailableSubCommands() {
		calls = append(calls, c.CommandPath()+" [command]")
	}
	fmt.Fprintf(b, "\n```\n%s\n```\n", strings.Join(calls, "\n"))
	if len(c.Aliases) > 0 {
		fmt.Fprintf(b, "\nAlso called: %s.\n", strings.Join(c.Aliases, ", "))
	}
	if c.Example != "" {
		var lines []string
		for line := range strings.SplitSeq(c.Example, "\n") {
			lines = append(lines, strings.TrimPrefix(line, "  "))
		}
		fmt.Fprintf(b, "\nExamples:\n\n```sh\n%s\n```\n", strings.Join(lines, "\n"))
	}
	if c.HasParent() {
		markdownFlags(b, c.LocalNonPersistentFlags())
		markdownFlags(b, c.PersistentFlags())
	}
}

// markdownText makes paragraphs of a help text, and code of its indented lines.
func markdownText(text string) string {
	var out []string
	var code []string
	flush := func() {
		if len(code) > 0 {
			out = append(out, "```\n"+strings.Join(code, "\n")+"\n```")
			code = nil
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, " ") {
			code = append(code, strings.TrimPrefix(line, "  "))
			continue
		}
		flush()
		out = append(out, strings.NewReplacer("*", "\\*", "<", "&lt;", "_", "\\_").Replace(line))
	}
	flush()
	return strings.TrimSpace(strings.Join(out, "\n"))
}

func markdownFlags(b *bytes.Buffer, flags *pflag.FlagSet) {
	any := false
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if !any {
			b.WriteString("\n| flag | |\n| --- | --- |\n")
		}
		any = true
		name, usage := flagText(f)
		fmt.Fprintf(b, "| `%s` | %s |\n", strings.TrimSpace(name), strings.ReplaceAll(usage, "|", "\\|"))
	})
}
