package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpWidth is how wide help is at most; it is as wide elsewhere as in a terminal, and fits a usual one.
const helpWidth = 80

// help writes everything about a command. It stands in for cobra's, whose lines are as long as they come.
func help(c *cobra.Command) {
	out := c.OutOrStdout()
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	fmt.Fprintln(out, wrap(text, helpWidth, ""))
	fmt.Fprintln(out)
	_ = usage(c)
}

// usage writes how a command is called. It goes to where the help goes.
func usage(c *cobra.Command) error {
	out := c.OutOrStdout()
	fmt.Fprintln(out, "Usage:")
	if runsItself(c) {
		fmt.Fprintln(out, "  "+c.UseLine())
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintln(out, "  "+c.CommandPath()+" [command]")
	}
	if len(c.Aliases) > 0 {
		fmt.Fprintf(out, "\nAliases:\n  %s\n", c.NameAndAliases())
	}
	if c.Example != "" {
		fmt.Fprintf(out, "\nExamples:\n%s\n", c.Example)
	}
	if c.HasAvailableSubCommands() {
		commandsHelp(out, c)
	}
	flagsHelp(out, "Flags", ownFlags(c))
	flagsHelp(out, "Flags of all commands", c.InheritedFlags())
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(out, "\nUse '%s [command] --help' for more about a command.\n", c.CommandPath())
	}
	return nil
}

// runsItself says that a command does something, and doesn't only hold others: of those that do both the use names arguments.
func runsItself(c *cobra.Command) bool {
	return c.Runnable() && (!c.HasAvailableSubCommands() || strings.Contains(c.Use, " "))
}

// commandsHelp lists the commands below one, by their groups where it has some.
func commandsHelp(out io.Writer, c *cobra.Command) {
	list := func(id string) {
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && sub.GroupID == id || sub.Name() == "help" && id == groupOther {
				fmt.Fprintf(out, "  %-*s %s\n", c.Commands()[0].NamePadding(), sub.Name(), sub.Short)
			}
		}
	}
	if len(c.Groups()) == 0 {
		fmt.Fprintln(out, "\nAvailable Commands:")
		list("")
	}
	for _, g := range c.Groups() {
		fmt.Fprintf(out, "\n%s\n", g.Title)
		list(g.ID)
	}
}

// ownFlags are a command's flags without those it has from above; on the root they are those that all have.
func ownFlags(c *cobra.Command) *pflag.FlagSet {
	c.InitDefaultHelpFlag()
	c.Flags().Lookup("help").Usage = "show this help"
	if f := c.Flags().Lookup("version"); f != nil && c == c.Root() {
		f.Usage = "show the version of this program"
	}
	return c.LocalFlags()
}

func flagsHelp(out io.Writer, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(out, "\n%s:\n", title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		name, usage := flagText(f)
		if len(name) <= flagColumn-2 {
			fmt.Fprintf(out, "%-*s%s\n", flagColumn, name, strings.TrimLeft(wrap(usage, helpWidth, strings.Repeat(" ", flagColumn)), " "))
			return
		}
		fmt.Fprintf(out, "%s\n%s\n", name, wrap(usage, helpWidth, strings.Repeat(" ", flagColumn)))
	})
}

// flagColumn is where the texts of flags begin.
const flagColumn = 26

// flagText is a flag as it is written, and what it is for with its default.
func flagText(f *pflag.Flag) (name, usage string) {
	kind, usage := pflag.UnquoteUsage(f)
	name = "      --" + f.Name
	if f.Shorthand != "" {
		name = "  -" + f.Shorthand + ", --" + f.Name
	}
	switch kind {
	case "string", "int", "duration", "strings", "stringSlice":
		kind = strings.ToUpper(strings.TrimPrefix(kind, "string"))
		if kind == "" || kind == "S" || kind == "SLICE" {
			kind = "TEXT"
		}
	}
	if f.Value.Type() != "bool" {
		name += " " + kind
	}
	switch f.DefValue {
	case "", "0", "0s", "false", "[]":
	default:
		usage += " (default: " + f.DefValue + ")"
	}
	return name, usage
}

// wrap breaks the paragraphs of a text into lines of a width. A paragraph ends at an empty line; lines that begin with a
// space stay as they are.
func wrap(text string, width int, indent string) string {
	var out []string
	at := "" // the line that words are added to
	flush := func() {
		if at != "" {
			out = append(out, indent+at)
		}
		at = ""
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || strings.HasPrefix(line, " ") {
			flush()
			out = append(out, strings.TrimRight(indent+line, " "))
			continue
		}
		for word := range strings.FieldsSeq(line) {
			if at != "" && utf8.RuneCountInString(indent+at)+1+utf8.RuneCountInString(word) > width {
				flush()
			}
			if at != "" {
				at += " "
			}
			at += word
		}
	}
	flush()
	return strings.Join(out, "\n")
}
