package firstday_test

import (
	"bytes"
	"database/sql"
	bytesof "encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// hostCommands are the scripts' commands about the machine that the engine runs on: its files, its database, its network.
var hostCommands = map[string]func(*testscript.TestScript, bool, []string){
	"mistakes": mistakes, "sql": runSQL, "server": startServer, "relay": startRelay, "cut": cutRelay, "bytes": writeBytes,
}

const notValid = "Error: the cluster file is not valid:\n"

// mistakes makes one mistake after another in a cluster file, and has each planned: mistakes BASE TABLE [valid]. BASE itself is
// refused too, unless valid is given. The table is of blocks, with an empty line between two:
//
//   - what is replaced in BASE ("\n" is a new line); nothing when the next is the whole file
//   - what is put in its place
//     = a line of the message, beside those about BASE itself; "==" is a line beside which there are no others
//
// The message must be these lines and no others, each once, in the order of the lines of the file, and the exit code 1.
func mistakes(ts *testscript.TestScript, neg bool, args []string) {
	valid := len(args) == 3 && args[2] == "valid"
	if neg || len(args) != 2 && !valid {
		ts.Fatalf("usage: mistakes BASE TABLE [valid]")
	}
	base := ts.ReadFile(args[0])
	var always []string
	if !valid {
		always = refusal(ts, base)
	}
	var wrong strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(ts.ReadFile(args[1])), "\n\n") {
		file, from, want := base, "", slices.Clone(always)
		for line := range strings.SplitSeq(block, "\n") {
			sign, text, _ := strings.Cut(line, " ")
			written := strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(text)
			switch sign {
			case "-":
				if from = written; !strings.Contains(base, from) {
					ts.Fatalf("%s has no %q", args[0], from)
				}
			case "+":
				if file = written; from != "" {
					file = strings.Replace(base, from, written, 1)
				}
			case "=":
				want = append(want, "  "+text)
			case "==":
				want = append(slices.DeleteFunc(want, func(w string) bool { return slices.Contains(always, w) }), "  "+text)
			case "#", "":
			default:
				ts.Fatalf("%s: line %q begins with none of - + = ==", args[1], line)
			}
		}
		got := refusal(ts, file)
		inOrder := slices.IsSortedFunc(got, func(a, b string) int { return lineOf(a) - lineOf(b) })
		slices.Sort(want)
		if sorted := slices.Sorted(slices.Values(got)); !inOrder || !slices.Equal(sorted, want) {
			fmt.Fprintf(&wrong, "%s\nis refused with\n%s\nwant, in the order of lines,\n%s\n\n", block, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if wrong.Len() > 0 {
		ts.Fatalf("%s", wrong.String())
	}
}

// lineOf is the line of the file that a line of a message is about; those about no line come last.
func lineOf(message string) int {
	n := 1 << 30
	_, _ = fmt.Sscanf(message, "  line %d:", &n)
	return n
}

// refusal plans a file that can't be, and returns the lines that say why.
func refusal(ts *testscript.TestScript, file string) []string {
	var stderr bytes.Buffer
	c := exec.Command(binary, "plan", "-f", "-")
	c.Stdin, c.Stderr = strings.NewReader(file), &stderr
	c.Env = []string{"SKYWELD_DIR=" + ts.Getenv("SKYWELD_DIR"), "HOME=" + ts.Getenv("HOME")}
	err := c.Run()
	lines, ok := strings.CutPrefix(stderr.String(), notValid)
	if exit, is := errors.AsType[*exec.ExitError](err); !is || exit.ExitCode() != 1 || !ok {
		ts.Fatalf("plan of\n%s\n%v: %s", file, err, stderr.String())
	}
	return strings.Split(strings.TrimSuffix(lines, "\n"), "\n")
}

// bytes writes a file of bytes that a script can't hold: bytes FILE TEXT..., each text with Go's escapes, once per text.
func writeBytes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: bytes FILE TEXT...")
	}
	var out bytes.Buffer
	for _, text := range args[1:] {
		times := 1
		if n, rest, ok := strings.Cut(text, "*"); ok {
			if _, err := fmt.Sscanf(n, "%d", &times); err == nil {
				text = rest
			}
		}
		var plain []byte
		for text != "" {
			r, wide, rest, err := strconv.UnquoteChar(text, 0)
			ts.Check(err)
			if text = rest; wide {
				plain = utf8.AppendRune(plain, r)
			} else {
				plain = append(plain, byte(r))
			}
		}
		out.Write(bytes.Repeat(plain, times))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), out.Bytes(), 0o644))
}

// runSQL changes a SQLite database that no engine uses: sql FILE STATEMENT.
func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sql FILE STATEMENT")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(args[1])
	ts.Check(err)
}

// startServer starts something that isn't what the script takes it for, and sets ADDR to its address: server closing is
// one that hangs up, server html answers as a web server does, server postgres CODE is a PostgreSQL server that refuses
// every connection with that error.
func startServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: server closing|html|postgres CODE")
	}
	if args[0] == "html" {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html>It works!</html>")
		}))
		ts.Defer(s.Close)
		ts.Setenv("ADDR", strings.TrimPrefix(s.URL, "http://"))
		return
	}
	ts.Setenv("ADDR", listen(ts, func(c net.Conn) {
		if args[0] == "postgres" && len(args) == 2 {
			refusePostgres(c, args[1])
		}
	}))
}

// listen serves connections one after another until the script ends, and returns the address.
func listen(ts *testscript.TestScript, serve func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

// refusePostgres reads a startup message, says no to TLS, and answers with an error (PostgreSQL's documentation, chapter
// "Frontend/Backend Protocol").
func refusePostgres(c net.Conn, code string) {
	for {
		var length, kind uint32
		if bytesof.Read(c, bytesof.BigEndian, &length) != nil || bytesof.Read(c, bytesof.BigEndian, &kind) != nil || length < 8 || length > 1<<16 {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(length)-8); err != nil {
			return
		}
		if kind != 80877103 { // SSLRequest
			break
		}
		_, _ = c.Write([]byte("N"))
	}
	fields := "SFATAL\x00VFATAL\x00C" + code + "\x00Mno\x00\x00"
	_, _ = c.Write(append(bytesof.BigEndian.AppendUint32([]byte("E"), uint32(4+len(fields))), fields...))
}

// relayOf holds the relays of all scripts by their addresses.
var relayOf sync.Map

// relay is a way to a server that can be cut.
type relay struct {
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
}

// startRelay puts a relay between the script and the server that an environment variable names by a URL: relay VARIABLE.
// The relay's own URL is in the variable from then on.
func startRelay(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: relay VARIABLE")
	}
	u, err := url.Parse(ts.Getenv(args[0]))
	ts.Check(err)
	to := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	r := &relay{listener: l}
	ts.Defer(r.cut)
	go r.run(to)
	u.Host = l.Addr().String()
	relayOf.Store(u.Host, r)
	ts.Setenv(args[0], u.String())
}

// cutRelay ends a relay and all that goes through it; nothing listens at its address any more: cut VARIABLE.
func cutRelay(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: cut VARIABLE")
	}
	u, err := url.Parse(ts.Getenv(args[0]))
	ts.Check(err)
	r, ok := relayOf.Load(u.Host)
	if !ok {
		ts.Fatalf("%s is no relay", u.Host)
	}
	r.(*relay).cut()
}

func (r *relay) run(to string) {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		there, err := net.Dial("tcp", to)
		if err != nil {
			c.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, c, there)
		r.mu.Unlock()
		for from, to := range map[net.Conn]net.Conn{c: there, there: c} {
			go func() {
				_, _ = io.Copy(to, from)
				to.Close()
			}()
		}
	}
}

func (r *relay) cut() {
	r.listener.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
}
