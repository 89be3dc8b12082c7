package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// SearchPath is where tools are looked for, ours first.
const SearchPath = ProgramDir + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Command is one run of a tool of the machine. Its arguments are logged, so no secret may be among them.
type Command struct {
	Name  string
	Args  []string
	Stdin string
	// Output, if not nil, gets all that the tool writes, as it writes it.
	Output io.Writer
}

// Tools runs the machine's tools. It is the only way in which the agent starts another program.
type Tools interface {
	// Run runs a tool to its end and returns what it wrote to its standard output. The error of one that fails ends
	// with the last of what it wrote to its standard error.
	Run(ctx context.Context, c Command) (string, error)
}

// Exec is the real Tools.
type Exec struct{ Log *slog.Logger }

const (
	complaint = 2000             // bytes of standard error that go into an error
	grace     = 10 * time.Second // between asking a tool to end and ending it
)

// Run implements Tools.
func (e Exec) Run(ctx context.Context, c Command) (string, error) {
	e.Log.Info("run", "tool", c.Name, "args", c.Args)
	place, err := find(c.Name)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, place, c.Args...)
	command.Env = []string{"PATH=" + SearchPath, "HOME=/root", "LANG=C.UTF-8"}
	command.Stdin = strings.NewReader(c.Stdin)
	command.Stdout, command.Stderr = &stdout, &stderr
	if c.Output != nil {
		both := &shared{out: c.Output}
		command.Stdout, command.Stderr = io.MultiWriter(&stdout, both), io.MultiWriter(&stderr, both)
	}
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = grace
	if err := command.Run(); err != nil {
		return stdout.String(), fmt.Errorf("run %s: %w%s", strings.Join(append([]string{c.Name}, c.Args...), " "), err, last(stderr.String()))
	}
	return stdout.String(), nil
}

// shared lets a tool's two outputs, which are copied at the same time, go to one writer.
type shared struct {
	mu  sync.Mutex
	out io.Writer
}

func (s *shared) Write(data []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(data)
}

func find(name string) (string, error) {
	for _, folder := range filepath.SplitList(SearchPath) {
		place := filepath.Join(folder, name)
		if info, err := os.Stat(place); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return place, nil
		}
	}
	return "", fmt.Errorf("run %s: there is no such program in %s", name, SearchPath)
}

func last(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	if len(text) > complaint {
		text = "…" + text[len(text)-complaint:]
	}
	return ": " + text
}
