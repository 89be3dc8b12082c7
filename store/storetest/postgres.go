package storetest

import (
	"bufio"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Postgres is a PostgreSQL server of a test's own.
type Postgres struct {
	port     int
	password string
}

// URL is the address of one of its databases.
func (p Postgres) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("skyweld", p.password), Host: fmt.Sprint("127.0.0.1:", p.port), Path: "/" + database}
	return u.String()
}

// Fresh makes an empty database and returns its address.
func (p Postgres) Fresh(t *testing.T, name string) string {
	t.Helper()
	admin, err := sql.Open("pgx", p.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	return p.URL(name)
}

// StartPostgres starts a server of the test's own on loopback, as an ordinary user, which ends with the test. Without
// PostgreSQL's programs the test is skipped.
func StartPostgres(t *testing.T) Postgres {
	t.Helper()
	initdb, server := tool("initdb"), tool("postgres")
	if initdb == "" || server == "" {
		t.Skip("needs PostgreSQL's initdb and postgres: on the path or in /usr/lib/postgresql")
	}
	dir, err := os.MkdirTemp("", "skyweld-postgres-") // not t.TempDir, into which only its owner can look
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	as := ordinaryUser(t, dir)
	p := Postgres{password: "only-for-this-test"}
	data, passwords := filepath.Join(dir, "data"), filepath.Join(dir, "password")
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGINT}
		return cmd
	}
	if err := os.WriteFile(passwords, []byte(p.password+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := run(initdb, "-D", data, "-U", "skyweld", "-A", "scram-sha-256", "--pwfile", passwords, "-E", "UTF8", "--locale=C", "-N").CombinedOutput()
	if err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	for range 3 { // somebody else may take the free port before the server does
		p.port = freePort(t)
		cmd := run(server, "-D", data, "-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(p.port),
			"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=300")
		if serve(t, cmd) {
			return p
		}
	}
	t.Fatal("PostgreSQL doesn't start")
	return p
}

// serve starts the server and returns when it is ready, or false when it ended.
func serve(t *testing.T, cmd *exec.Cmd) bool {
	t.Helper()
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	started, done := make(chan error), make(chan struct{})
	go func() {
		// The kernel stops the server when the thread that started it ends, so the thread stays until the server has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		started <- cmd.Start()
		ready := false
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if !ready && strings.Contains(lines.Text(), "ready to accept connections") {
				ready = true
				started <- nil
			}
		}
		cmd.Wait()
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	select {
	case <-started:
	case <-done:
		return false
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGINT) // ends connections, then itself
		<-done
	})
	return true
}

func tool(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// ordinaryUser returns somebody else than root, who gets the folder; nil when the test doesn't run as root.
func ordinaryUser(t *testing.T, dir string) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 != nil || err2 != nil {
			continue
		}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	t.Skip("needs a user postgres or nobody: PostgreSQL doesn't run as root")
	return nil
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
