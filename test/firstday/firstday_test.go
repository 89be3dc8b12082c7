// Package firstday_test makes the mistakes of a person's first day, through the real binary: each script in testdata makes
// one, and checks the exit code, the message and that nothing was made. It says nothing about what happens when all is
// right; that is package life's work.
package firstday_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the messages that scripts compare whole anew")

// What TestMain makes for all scripts.
var (
	binary string
	// labEnv is what 'lab env' exports, empty where there is no lab.
	labEnv []string
	labDir string
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	// Not in $TMPDIR: the disks of machines want a real file system.
	dir, err := os.MkdirTemp("/var/tmp", "skyweld-firstday-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { // scripts run the program as nobody, too
		return 1, err
	}
	if binary, err = build(dir); err != nil {
		return 1, err
	}
	if os.Geteuid() == 0 {
		labDir = filepath.Join(dir, "lab")
		defer func() { err = errors.Join(err, skyweld("lab", "stop", "--purge", "--dir", labDir)) }()
		if err := skyweld("lab", "start", "--detach", "--profile", "instant", "--bundle", "", "--dir", labDir); err != nil {
			return 1, err
		}
		if labEnv, err = exportsOf(labDir); err != nil {
			return 1, err
		}
	}
	return m.Run(), nil
}

// build makes the program, or takes the one that SKYWELD_BIN names.
func build(dir string) (string, error) {
	to := filepath.Join(dir, "skyweld")
	if made := os.Getenv("SKYWELD_BIN"); made != "" {
		data, err := os.ReadFile(made)
		if err != nil {
			return "", err
		}
		return to, os.WriteFile(to, data, 0o755)
	}
	c := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", to, "./cmd/skyweld")
	c.Dir = filepath.Join("..", "..")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return to, nil
}

func skyweld(args ...string) error {
	if out, err := exec.Command(binary, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("skyweld %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// exportsOf evaluates what 'lab env' prints of a lab as a shell does, and returns the variables that it sets.
func exportsOf(dir string) ([]string, error) {
	c := exec.Command("sh", "-c", `eval "$("$0" lab env --dir "$1")" && env -0`, binary, dir)
	c.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("skyweld lab env: %w", err)
	}
	var set []string
	for v := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		name, _, _ := strings.Cut(v, "=")
		// Where the lab has no bundle, scripts say themselves what an engine is started with.
		if name != "PATH" && name != "PWD" && name != "SHLVL" && name != "_" && (!strings.HasPrefix(name, "SKYWELD_BUNDLE") || !strings.HasSuffix(v, "=")) {
			set = append(set, v)
		}
	}
	return set, nil
}

func TestScripts(t *testing.T) {
	t.Parallel() // with TestMachines: both mostly wait
	testscript.Run(t, params("testdata"))
}

// params are what all scripts run with.
func params(dir string) testscript.Params {
	return testscript.Params{
		Dir: dir, UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("SKYWELD_DIR", filepath.Join(e.WorkDir, "engine"))
			e.Setenv("SKYWELD_LAB_DIR", filepath.Join(e.WorkDir, "lab"))
			// Nothing is ever fetched from it.
			e.Setenv("SKYWELD_BUNDLE", "http://198.18.0.3/manifest.json")
			e.Setenv("SKYWELD_BUNDLE_SHA256", strings.Repeat("ab", 32))
			e.Setenv("LAB", labDir)
			e.Setenv("BUNDLE", bundleDir())
			return os.Mkdir(filepath.Join(e.WorkDir, "home"), 0o755)
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "lab":
				return len(labEnv) > 0, nil
			case "root":
				return os.Geteuid() == 0, nil
			case "bundle":
				return bundleDir() != "", nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: merged(map[string]func(*testscript.TestScript, bool, []string){"exit": exit, "usinglab": usingLab, "engine": startEngine}, hostCommands, cloudCommands, foreignCommands, cliCommands),
	}
}

// merged joins tables of commands.
func merged(tables ...map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	all := map[string]func(*testscript.TestScript, bool, []string){}
	for _, t := range tables {
		maps.Copy(all, t)
	}
	return all
}

// exit runs a command that must end with an exit code: exit CODE COMMAND...
func exit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if ee, ok := errors.AsType[*exec.ExitError](err); ok {
		got = ee.ExitCode()
	} else if err != nil {
		ts.Fatalf("%s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("exit code %d; want %d", got, want)
	}
}

// usingLab points the script at the lab, as a shell with 'lab env' is: usinglab
func usingLab(ts *testscript.TestScript, _ bool, _ []string) {
	for _, v := range labEnv {
		name, value, _ := strings.Cut(v, "=")
		ts.Setenv(name, value)
	}
}

// startEngine starts an engine on a free port and sets ENGINE to its address: engine [stopped] [FLAG...]. With stopped it
// is ended again at once.
func startEngine(ts *testscript.TestScript, neg bool, args []string) {
	stopped := len(args) > 0 && args[0] == "stopped"
	if stopped {
		args = args[1:]
	}
	c := exec.Command(binary, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	for _, name := range []string{"PATH", "HOME", "SKYWELD_DIR", "SKYWELD_BUNDLE", "SKYWELD_BUNDLE_SHA256"} {
		c.Env = append(c.Env, name+"="+ts.Getenv(name))
	}
	log, err := c.StderrPipe()
	ts.Check(err)
	ts.Check(c.Start())
	lines := bufio.NewScanner(log)
	var said bytes.Buffer
	for lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		if _, rest, ok := strings.Cut(lines.Text(), `msg="the engine is ready" address=`); ok {
			address, _, _ := strings.Cut(rest, " ")
			ts.Setenv("ENGINE", address)
			go func() {
				for lines.Scan() { // what it says must not fill the pipe
				}
			}()
			end := func(how os.Signal) {
				_ = c.Process.Signal(how)
				_ = c.Wait()
			}
			if stopped {
				end(syscall.SIGTERM)
				return
			}
			// Killed, as nobody waits for what it is doing: the lab is thrown away.
			ts.Defer(func() { end(os.Kill) })
			return
		}
	}
	_ = c.Wait()
	ts.Fatalf("the engine did not start:\n%s", said.String())
}

// TestHelp walks all commands: each says how it is used and what it is for, with examples.
func TestHelp(t *testing.T) {
	walked := 0
	var walk func(path []string)
	walk = func(path []string) {
		out, err := exec.Command(binary, append(path, "--help")...).Output()
		text := string(out)
		name := strings.Join(append([]string{"skyweld"}, path...), " ")
		if err != nil || !strings.Contains(text, "\nUsage:\n  "+name) || strings.HasPrefix(text, "\n") || !strings.Contains(text, "\nExamples:\n  ") {
			t.Errorf("%s --help: %v\n%s", name, err, text)
		}
		// The root's commands stand in groups: lists of commands are what stands between the examples and the flags.
		_, rest, _ := strings.Cut(text, "\nExamples:\n")
		_, rest, _ = strings.Cut(rest, "\n\n")
		rest, _, _ = strings.Cut("\n"+rest, "\nFlags:\n")
		for line := range strings.SplitSeq(rest, "\n") {
			if f := strings.Fields(line); strings.HasPrefix(line, "  ") && len(f) > 1 && f[0] != "help" {
				walked++
				walk(append(append([]string{}, path...), f[0]))
			}
		}
	}
	walk(nil)
	if walked < 25 {
		t.Errorf("%d commands were found", walked)
	}
}
