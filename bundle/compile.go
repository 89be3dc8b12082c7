package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// heartbeat is how often a long compilation says that it lives.
const heartbeat = 20 * time.Second

// buildArgs are the arguments of "go build", without the place of the output, which no result depends on.
func (p program) buildArgs() []string {
	linker := []string{"-s", "-w"}
	if p.cgo {
		linker = append(linker, "-linkmode=external", "-extldflags=-static")
	}
	for _, symbol := range p.symbols {
		linker = append(linker, "-X", symbol)
	}
	args := []string{"build", "-v", "-trimpath", "-buildvcs=false", "-ldflags=" + strings.Join(linker, " ")}
	if len(p.tags) > 0 {
		args = append(args, "-tags="+strings.Join(p.tags, ","))
	}
	return args
}

// environment is this process' own, with everything fixed that would change what is built. GOFLAGS is set to
// something, since an empty one falls back to the user's "go env -w".
func (p program) environment() []string {
	cgo := "CGO_ENABLED=0"
	if p.cgo {
		cgo = "CGO_ENABLED=1"
	}
	return append(os.Environ(), append(p.fixed(), cgo)...)
}

func (p program) fixed() []string {
	return []string{
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GOOS=linux", "GOARCH=" + runtime.GOARCH,
		"GOAMD64=v1", "GOARM64=v8.0", "CGO_CFLAGS=-O2", "CGO_LDFLAGS=-O2",
	}
}

// compile builds p from the sources below source into the folder out.
func compile(ctx context.Context, source string, p program, out string, say func(string, ...any)) error {
	args := append(p.buildArgs(), "-o", out+string(filepath.Separator))
	command := exec.CommandContext(ctx, "go", append(args, p.packages...)...)
	command.Dir = filepath.Join(source, "programs", p.module)
	command.Env = p.environment()
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	output := &compilerOutput{}
	command.Stdout, command.Stderr = output, output
	stop := make(chan struct{})
	var talker sync.WaitGroup
	talker.Go(func() {
		ticker := time.NewTicker(heartbeat)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				say("%s: %s", p.name, output.progress())
			}
		}
	})
	err := command.Run()
	close(stop)
	talker.Wait()
	if err != nil {
		return fmt.Errorf("compile %s: %w\n%s", p.name, err, output.tail())
	}
	return nil
}

// compilerOutput reads what "go build -v" prints: one line for each package that it compiles, one for each module
// that it fetches, and whatever is wrong.
type compilerOutput struct {
	mu       sync.Mutex
	rest     []byte // of a line that isn't whole yet
	packages int
	modules  int
	last     []string // of the lines that are neither
}

const keptLines = 40

func (o *compilerOutput) Write(data []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rest = append(o.rest, data...)
	for {
		line, rest, whole := bytes.Cut(o.rest, []byte("\n"))
		if !whole {
			return len(data), nil
		}
		o.take(string(line))
		o.rest = rest
	}
}

func (o *compilerOutput) take(line string) {
	switch {
	case strings.HasPrefix(line, "go: downloading "):
		o.modules++
	case line != "" && !strings.ContainsAny(line, " \t:"):
		o.packages++
	default:
		o.last = append(o.last, line)
		if len(o.last) > keptLines {
			o.last = o.last[1:]
		}
	}
}

func (o *compilerOutput) progress() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return fmt.Sprintf("compiling, %d packages and %d downloads so far", o.packages, o.modules)
}

func (o *compilerOutput) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(append(o.last[:len(o.last):len(o.last)], string(o.rest)), "\n")
}
