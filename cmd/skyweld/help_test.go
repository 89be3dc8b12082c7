package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/spec"
)

// TestHelp walks all commands: each says what it does and shows how, in lines that fit a terminal, and what it shows can be
// typed.
func TestHelp(t *testing.T) {
	root, _ := newRoot()
	root.InitDefaultHelpCmd()
	walk(root, func(c *cobra.Command) {
		name := c.CommandPath()
		if c.Name() == "help" {
			return
		}
		if len(c.Short) > 66 || strings.HasSuffix(c.Short, ".") || c.Short == "" {
			t.Errorf("%s: the short text is %q; want one of at most 66 letters without a full stop", name, c.Short)
		}
		if c.Example == "" {
			t.Errorf("%s has no examples", name)
		}
		// Where a name says all, the short text is enough.
		if c.Long == "" && !strings.HasPrefix(name, "skyweld lab fault") {
			t.Errorf("%s has no long text", name)
		}
		for _, line := range strings.Split(helpOf(c), "\n") {
			if n := utf8.RuneCountInString(line); n > helpWidth && !strings.Contains(c.Example, line) && !strings.Contains(c.Long, line) {
				t.Errorf("%s --help: a line of %d letters: %s", name, n, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("%s --help: spaces at the end of %q", name, line)
			}
		}
		ownFlags(c).VisitAll(func(f *pflag.Flag) {
			if _, usage := flagText(f); usage == "" || strings.HasSuffix(usage, ".") {
				t.Errorf("%s --%s: the text is %q", name, f.Name, usage)
			}
		})
		for _, line := range exampleCalls(c.Example) {
			if err := parses(line); err != nil {
				t.Errorf("%s: the example %q is not accepted: %v", name, strings.Join(line, " "), err)
			}
		}
	})
}

func helpOf(c *cobra.Command) string {
	var b bytes.Buffer
	c.SetOut(&b)
	help(c)
	return b.String()
}

var call = regexp.MustCompile(`(?:^|[ (|])skyweld ([^|;)>&]*)`)

// exampleCalls are the arguments of every call of skyweld in an example.
func exampleCalls(example string) [][]string {
	var out [][]string
	for line := range strings.SplitSeq(example, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		line = quoted.ReplaceAllStringFunc(line, func(s string) string { return strings.NewReplacer("'", "", "|", "", " ", "_").Replace(s) })
		for _, m := range call.FindAllStringSubmatch(line, -1) {
			text, _, _ := strings.Cut(m[1], "  #")
			text, _, _ = strings.Cut(text, " <")
			out = append(out, strings.Fields(strings.ReplaceAll(text, `"$(sha256sum`, "digest")))
		}
	}
	return out
}

var quoted = regexp.MustCompile(`'[^']*'`)

// parses says whether a command line would be run.
func parses(line []string) error {
	root, _ := newRoot()
	c, rest, err := root.Find(line)
	if err != nil {
		return err
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	if !runsItself(c) && c.Flags().NArg() > 0 {
		return group(c, c.Flags().Args())
	}
	return c.ValidateArgs(c.Flags().Args())
}

func TestExampleCallsAreFound(t *testing.T) {
	got := exampleCalls("  # skyweld none\n  (umask 077; skyweld kubeconfig demo > f)\n  skyweld get x -o yaml | sed 's/a: 2/b/' | skyweld apply -f -   # why")
	want := "kubeconfig demo/get x -o yaml/apply -f -"
	var text []string
	for _, l := range got {
		text = append(text, strings.Join(l, " "))
	}
	if s := strings.Join(text, "/"); s != want {
		t.Errorf("found %s; want %s", s, want)
	}
	for _, wrong := range []string{"get clusters --wide", "node add", "explain a b", "aply"} {
		if parses(strings.Fields(wrong)) == nil {
			t.Errorf("skyweld %s is accepted", wrong)
		}
	}
}

func TestExampleFile(t *testing.T) {
	if _, err := spec.Load([]byte(exampleFile)); err != nil {
		t.Error(err)
	}
}

func TestWrap(t *testing.T) {
	const text = "one two\nthree four five\n\n  as it  is, however long\nsix"
	if got, want := wrap(text, 12, ""), "one two\nthree four\nfive\n\n  as it  is, however long\nsix"; got != want {
		t.Errorf("%q; want %q", got, want)
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 125 * time.Second: "2m5s", 59 * time.Minute: "59m",
		3*time.Hour + 4*time.Minute: "3h4m", 8 * time.Hour: "8h", 47 * time.Hour: "47h", 49 * time.Hour: "2d1h", 8 * 24 * time.Hour: "8d", 400 * 24 * time.Hour: "400d",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%s) = %s; want %s", d, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	tab := &table{out: &b}
	p := painter(true)
	row(tab, "NAME", "STATUS", "MESSAGE")
	row(tab, "a", p.status("Ready"), "")
	row(tab, "ü-long", p.status("Degraded"), "two\nlines")
	row(tab, "", "x", "   ")
	if _, err := tab.Write([]byte("Note: plain text  \nA\tB\n")); err != nil {
		t.Fatal(err)
	}
	if err := tab.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "NAME     STATUS     MESSAGE\n" +
		"a        \x1b[32mReady\x1b[0m      -\n" +
		"ü-long   \x1b[31mDegraded\x1b[0m   two lines\n" +
		"-        x\n" +
		"Note: plain text  \nA   B\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTableIsCutToTheScreen(t *testing.T) {
	var b bytes.Buffer
	tab := &table{out: &b, cut: 40}
	row(tab, "NAME", "MESSAGE")
	row(tab, "a-node", "a message that is a good deal longer than the screen is wide")
	if err := tab.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := "NAME     MESSAGE\na-node   a message that is a good deal …\n"; b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestTableBreaksItsText(t *testing.T) {
	for lines, want := range map[int]string{
		2: "NAME     MESSAGE\na-node   a message that is a good deal\n         longer than the screen is wide…\n",
		3: "NAME     MESSAGE\na-node   a message that is a good deal\n         longer than the screen is wide,\n         in-words-of-which-one-is-longe…\n",
	} {
		var b bytes.Buffer
		tab := &table{out: &b, cut: 40, lines: lines}
		row(tab, "NAME", "MESSAGE")
		row(tab, "a-node", "a message that is a good deal longer than the screen is wide, in-words-of-which-one-is-longer-than-a-line")
		if err := tab.Flush(); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("%d lines: got\n%s\nwant\n%s", lines, b.String(), want)
		}
	}
}

// TestColors: none where nobody sees them, whatever the environment says.
func TestColors(t *testing.T) {
	t.Setenv("TERM", "xterm")
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, c := range []struct {
		mode colorMode
		want painter
	}{{colorAuto, false}, {"", false}, {colorNever, false}, {colorAlways, true}} {
		s := &settings{color: c.mode}
		if got := s.painter(file); got != c.want {
			t.Errorf("--color=%s in a file: %v; want %v", c.mode, got, c.want)
		}
		if got := s.painter(&bytes.Buffer{}); got != c.want {
			t.Errorf("--color=%s in memory: %v; want %v", c.mode, got, c.want)
		}
	}
	if got := painter(false).status("Ready"); got != "Ready" {
		t.Errorf("without colours Ready is %q", got)
	}
}

func TestFirstLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"one line":                       "one line",
		"one line\n":                     "one line",
		"one\r\ntwo":                     "one …",
		"kubeadm failed:\n[preflight] a": "kubeadm failed: …",
		"refused:\n  site a: no":         "refused: site a: no",
		"refused:\n  site a: no\n  b":    "refused: site a: no …",
	} {
		if got := firstLine(text); got != want {
			t.Errorf("%q is cut to %q, want %q", text, got, want)
		}
	}
}

func TestPlanSummary(t *testing.T) {
	p := api.Plan{Cluster: "demo", Steps: []plan.Step{{Action: plan.Create, Kind: "vpc"}, {Action: plan.Join, Kind: plan.NodeKind}}}
	if got, want := planSummary(p), "\n2 steps: 1 to create, 1 step on nodes"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	p.More = true
	if got := planSummary(p); !strings.Contains(got, "on nodes\nThat isn't all: ") {
		t.Errorf("a plan with more passes says %q", got)
	}
}

func TestNodesShowFailures(t *testing.T) {
	nodes := []api.Node{{Name: "demo-web-1", Status: "Failed", Machine: "projects/p/zones/z/instances/sw-1#22", Failure: "kubeadm join failed"}}
	for _, tt := range []struct {
		form form
		l    listing[api.Node]
		want bool
	}{{formTable, nodeListing, false}, {formWide, nodeListing, true}, {formTable, withFailure(nodeListing), true}, {formWide, withFailure(nodeListing), true}} {
		var out bytes.Buffer
		if err := show(&settings{output: tt.form}, &out, nodes, tt.l); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "FAILURE") && strings.Contains(out.String(), "kubeadm join failed\n"); got != tt.want {
			t.Errorf("-o %s shows the failure: %v, want %v:\n%s", tt.form, got, tt.want, &out)
		}
		if strings.Contains(out.String(), "#22") || tt.form == formWide && !strings.Contains(out.String(), " sw-1") {
			t.Errorf("-o %s shows the machine as\n%s", tt.form, &out)
		}
	}
}
