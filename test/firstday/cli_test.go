package firstday_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// cliCommands are the commands of the scripts cli-*.txtar, which are about the command line itself.
var cliCommands = map[string]func(*testscript.TestScript, bool, []string){"terminal": inTerminal}

// screenPatience is how long a command in a terminal may take.
const screenPatience = 90 * time.Second

// inTerminal runs a command in a terminal of its own, 80 columns wide, and keeps what it shows in the file screen:
// terminal [-type TEXT] [-ctrl-c REGEXP] CODE COMMAND... The texts are typed at once, each with Enter after it; Ctrl-C when the
// screen matches.
func inTerminal(ts *testscript.TestScript, neg bool, args []string) {
	var text string
	var when *regexp.Regexp
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-type":
			text += args[1] + "\r"
		case "-ctrl-c":
			when = regexp.MustCompile(`(?m)` + args[1])
		default:
			ts.Fatalf("terminal: unknown flag %s", args[0])
		}
		args = args[2:]
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: terminal [-type TEXT] [-ctrl-c REGEXP] CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	keyboard, screen, err := openTerminal()
	ts.Check(err)
	defer keyboard.Close()
	program := args[1]
	if program == "skyweld" {
		program = binary
	}
	c := exec.Command(program, args[2:]...)
	c.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TERM", "NO_COLOR", "SKYWELD_DIR", "SKYWELD_LAB_DIR"} {
		if v := ts.Getenv(name); v != "" {
			c.Env = append(c.Env, name+"="+v)
		}
	}
	c.Stdin, c.Stdout, c.Stderr = screen, screen, screen
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	ts.Check(c.Start())
	screen.Close()
	_, err = io.WriteString(keyboard, text)
	ts.Check(err)
	late := time.AfterFunc(screenPatience, func() { _ = c.Process.Kill() })
	defer late.Stop()
	shown := read(keyboard, when)
	err = c.Wait()
	ts.Logf("[screen]\n%s", shown)
	ts.Check(os.WriteFile(ts.MkAbs("screen"), shown, 0o644))
	got := 0
	if ee, ok := errors.AsType[*exec.ExitError](err); ok {
		got = ee.ExitCode()
	} else if err != nil {
		ts.Fatalf("%s: %v", program, err)
	}
	if got != want {
		ts.Fatalf("exit code %d; want %d", got, want)
	}
}

// read collects what is shown until the other side closes, and presses Ctrl-C once when it matches.
func read(terminal *os.File, when *regexp.Regexp) []byte {
	var all bytes.Buffer
	buf := make([]byte, 4096)
	for {
		n, err := terminal.Read(buf)
		all.Write(bytes.ReplaceAll(buf[:n], []byte("\r"), nil))
		if when != nil && when.Match(all.Bytes()) {
			_, _ = terminal.Write([]byte{3})
			when = nil
		}
		if err != nil { // EIO, when nobody has the other side open any more: pty(7)
			return all.Bytes()
		}
	}
}

// openTerminal makes a pseudo terminal, ptmx(4).
func openTerminal() (keyboard, screen *os.File, err error) {
	keyboard, err = os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		return nil, nil, err
	}
	screen, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	return keyboard, screen, err
}
