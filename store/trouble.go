package store

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

// ErrFull is wrapped by errors of a disk that is full. What was to be written isn't; it can be tried again.
var ErrFull = errors.New("the disk that holds the database is full: free some space there and try again; the engine's own work goes on by itself then")

// trouble is an error of the database itself, in words that say what to do.
type trouble struct {
	text  string
	cause error
}

func (t *trouble) Error() string { return t.text }
func (t *trouble) Unwrap() error { return t.cause }

// plainly puts errors of the database itself into words that say what to do, and leaves all others as they are.
func plainly(err error) error {
	if _, told := errors.AsType[*trouble](err); err == nil || told || errors.Is(err, ErrFull) {
		return err
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return sqliteTrouble(e, err)
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return postgresTrouble(e, err)
	}
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return &trouble{"the PostgreSQL server can't be reached: " + reason(e) + "; start it, or mend --database", err}
	}
	return err
}

func full(err error) error { return &trouble{ErrFull.Error(), errors.Join(ErrFull, err)} }

// sqliteTrouble knows the codes of SQLite's documentation, "Result and Error Codes"; their lowest byte is the primary one.
func sqliteTrouble(e *sqlite.Error, err error) error {
	const restore = "stop all engines that use it, and put back a copy of it with its master key"
	switch e.Code() & 0xff {
	case sqlitelib.SQLITE_FULL:
		return full(err)
	case sqlitelib.SQLITE_NOTADB:
		return &trouble{"the file is not a database of SQLite, or its beginning is damaged: " + restore, err}
	case sqlitelib.SQLITE_CORRUPT:
		return &trouble{"the file is damaged: " + restore, err}
	case sqlitelib.SQLITE_READONLY:
		return &trouble{"the file can't be written: give this user the right to write it and its folder", err}
	case sqlitelib.SQLITE_CANTOPEN, sqlitelib.SQLITE_PERM:
		return &trouble{"the file can't be opened: give this user the right to read and write it and its folder", err}
	case sqlitelib.SQLITE_BUSY, sqlitelib.SQLITE_LOCKED:
		return &trouble{"another program has locked the file for too long: end that, and try again", err}
	case sqlitelib.SQLITE_IOERR:
		if e.Code() == sqlitelib.SQLITE_IOERR_SHMSIZE { // the file beside the database can't grow
			return full(err)
		}
		return &trouble{fmt.Sprintf("its disk can't be read or written (SQLite's code %d): see whether the disk is full or failing", e.Code()), err}
	}
	return err
}

// postgresTrouble knows the codes of PostgreSQL's documentation, appendix A, that a wrong URL leads to.
func postgresTrouble(e *pgconn.PgError, err error) error {
	switch e.Code {
	case "28P01", "28000":
		return &trouble{"the PostgreSQL server refuses the user or the password: mend --database", err}
	case "3D000":
		return &trouble{"the PostgreSQL server has no such database: create it, or mend --database", err}
	case "42501":
		return &trouble{"the user may not do this at the PostgreSQL server (" + e.Message + "): grant it, or make the user owner of the database", err}
	case "53300":
		return &trouble{"the PostgreSQL server has no connection left: raise its max_connections, or end others", err}
	case "53100":
		return full(err)
	}
	return err
}

// reason is why a server could not be connected to, on one line, without the URL.
func reason(e *pgconn.ConnectError) string {
	if dns, ok := errors.AsType[*net.DNSError](e); ok {
		return "there is no host named " + dns.Name
	}
	if op, ok := errors.AsType[*net.OpError](e); ok && op.Addr != nil {
		return fmt.Sprintf("%s: %s", op.Addr, op.Err)
	}
	lines := strings.Split(strings.TrimSpace(e.Error()), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
