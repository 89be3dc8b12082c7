package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// tinyBuilder is a builder of programs that each are a main.go with this content.
func tinyBuilder(t *testing.T, sources map[string]string) (*builder, func() string) {
	t.Helper()
	var mu sync.Mutex
	var said strings.Builder
	b := &builder{
		source: t.TempDir(), store: testStore(t), keys: map[string]string{}, sums: map[string]map[string]sum{},
		say: func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(&said, format+"\n", args...)
		},
	}
	for name, source := range sources {
		folder := filepath.Join(b.source, "programs", name)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, content := range map[string]string{"go.mod": "module " + name + "\n\ngo 1.26\n", "main.go": source} {
			if err := os.WriteFile(filepath.Join(folder, file), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		p := program{name: name, module: name, packages: []string{"."}}
		b.programs = append(b.programs, p)
		key, err := programKey(context.Background(), b.source, p)
		if err != nil {
			t.Fatal(err)
		}
		b.keys[name] = key
	}
	return b, func() string {
		mu.Lock()
		defer mu.Unlock()
		defer said.Reset()
		return said.String()
	}
}

const emptyMain = "package main\n\nfunc main() {}\n"

// TestOnlyWhatChangedIsBuilt builds two programs twice, with one of them lost in between.
func TestOnlyWhatChangedIsBuilt(t *testing.T) {
	b, said := tinyBuilder(t, map[string]string{"one": emptyMain, "two": emptyMain})
	ctx := context.Background()
	if err := b.buildPrograms(ctx); err != nil {
		t.Fatal(err)
	}
	if log := said(); !strings.Contains(log, "one: built") || !strings.Contains(log, "two: built") {
		t.Errorf("first build said\n%s", log)
	}
	if _, err := os.Stat(b.programFile("one")); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(b.store.artefact("two", b.keys["two"])); err != nil {
		t.Fatal(err)
	}
	if err := b.buildPrograms(ctx); err != nil {
		t.Fatal(err)
	}
	if log := said(); !strings.Contains(log, "one: unchanged") || !strings.Contains(log, "two: built") {
		t.Errorf("second build said\n%s", log)
	}
}

func TestOneFailureIsReportedOnce(t *testing.T) {
	b, _ := tinyBuilder(t, map[string]string{"broken": "package main\n\nfunc main() { oops() }\n"})
	err := b.buildPrograms(context.Background())
	if err == nil || strings.Count(err.Error(), "compile broken") != 1 {
		t.Errorf("got error %v", err)
	}
}

func TestInterruptedBuild(t *testing.T) {
	b, _ := tinyBuilder(t, map[string]string{"one": emptyMain})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.buildPrograms(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
	if sums, err := b.store.finished("one", b.keys["one"]); sums != nil || err != nil {
		t.Errorf("an interrupted build left %v, %v", sums, err)
	}
}
