package strangers_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// shell is a cloud's own command line, in one process for many commands: a program that reads a JSON list of arguments from
// each line, and answers with a line of JSON.
type shell struct {
	t *testing.T
	// name is what a user types before the words of a line, prefix what of it the program wants to be told.
	name    string
	prefix  []string
	in      io.WriteCloser
	answers *bufio.Reader
	// refusals returns what the lab refused since the last time.
	refusals func() []string
	// ran counts the command lines.
	ran int
}

// newShell starts the program. It ends with the test.
func newShell(t *testing.T, cmd *exec.Cmd, name string, prefix []string, refusals func() []string) *shell {
	t.Helper()
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s took %.1f s of CPU", name, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	})
	return &shell{t: t, name: name, prefix: prefix, in: in, answers: bufio.NewReader(out), refusals: refusals}
}

// answer is what a command line ended with.
type answer struct {
	Code     int
	Out, Err string
}

// run runs a line's words; those in single quotes may hold blanks.
func (g *shell) run(line string) answer {
	g.t.Helper()
	request, err := json.Marshal(append(append([]string{}, g.prefix...), words(line)...))
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := g.in.Write(append(request, '\n')); err != nil {
		g.t.Fatalf("%s is gone: %v", g.name, err)
	}
	text, err := g.answers.ReadBytes('\n')
	if err != nil {
		g.t.Fatalf("%s %s: no answer: %v", g.name, line, err)
	}
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		g.t.Fatalf("%s %s: answer %q: %v", g.name, line, text, err)
	}
	g.ran++
	return a
}

// words cuts a line at blanks that aren't between single quotes.
func words(line string) []string {
	var out []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 0 {
			out = append(out, strings.Fields(part)...)
			continue
		}
		if n := len(out) - 1; n >= 0 && strings.HasSuffix(out[n], "=") {
			out[n] += part
		} else {
			out = append(out, part)
		}
	}
	return out
}

// step is a command line with what it must end with.
type step struct {
	line string
	// want is the whole output, without the blanks around it; "*" for any.
	want string
	// refused is the status and reason of the answer that must make the line fail ("404 notFound"), "-" where the program
	// fails by itself; message is part of what it then says.
	refused, message string
}

// steps runs a part of a script.
func (g *shell) steps(part string, list []step) {
	g.t.Helper()
	for _, s := range list {
		a := g.run(s.line)
		got := "-"
		for _, r := range g.refusals() {
			got = r
		}
		switch {
		case s.refused == "" && a.Code != 0:
			g.t.Errorf("%s: %s %s: exit code %d:\n%s", part, g.name, s.line, a.Code, a.Err)
		case s.refused == "" && s.want != "*" && strings.TrimSpace(a.Out) != s.want:
			g.t.Errorf("%s: %s %s: output\n%s\nwant\n%s\nerrors: %s", part, g.name, s.line, a.Out, s.want, a.Err)
		case s.refused != "" && a.Code == 0:
			g.t.Errorf("%s: %s %s: it worked, want it refused with %s; output:\n%s", part, g.name, s.line, s.refused, a.Out)
		case s.refused != "" && (got != s.refused || !strings.Contains(a.Err, s.message)):
			g.t.Errorf("%s: %s %s: refused with %s, want %s and %q in\n%s", part, g.name, s.line, got, s.refused, s.message, a.Err)
		}
	}
}
