package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"modernc.org/sqlite" // the driver "sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/skyweld/skyweld/secret"
)

// busyPatience is how long a statement waits for another program that writes to the same SQLite file.
const busyPatience = 20 * time.Second

//go:embed migrations/*.sql
var migrations embed.FS

var (
	sqliteDialect = dialect{
		name:   "sqlite",
		clock:  "CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)",
		tables: "SELECT name FROM sqlite_master WHERE type = 'table'",
		closed: "SELECT COUNT(*) / 3 FROM sqlite_master WHERE type = 'trigger' AND name IN ('audit_update', 'audit_delete', 'audit_replace')", appendOnlyBy: sqliteAppendOnly,
	}
	postgresDialect = dialect{
		name:     "postgres",
		clock:    "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
		lock:     " FOR UPDATE",
		tables:   "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
		snapshot: sql.LevelRepeatableRead,
		closed:   "SELECT COUNT(*) FROM pg_trigger WHERE tgrelid = 'audit'::regclass AND tgname = 'audit_change'", appendOnlyBy: postgresAppendOnly,
	}
)

// Option changes how a store works.
type Option func(*Store)

// Around puts a function around every write. It gets what is being done, in the words of the write's errors, and the whole
// transaction as a function: it may do without it, or do it and keep its outcome back, as it is for an engine that is
// stopped just before or just after. Its error is the write's. It runs outside of the transaction and may wait.
func Around(f func(ctx context.Context, what string, write func() error) error) Option {
	return func(s *Store) { s.around = f }
}

// Open opens a database, makes it when it doesn't exist, brings its schema up to date, and makes sure that the box has the
// master key the database was made with. where is a path of a SQLite file, or a URL beginning "postgres://" or
// "postgresql://".
func Open(ctx context.Context, where string, box *secret.Box, options ...Option) (*Store, error) {
	s, err := connect(where, box)
	if err != nil {
		return nil, err
	}
	for _, o := range options {
		o(s)
	}
	if err = s.migrate(ctx); err == nil {
		err = s.checkKey(ctx)
	}
	if err == nil {
		err = s.appendOnly(ctx)
	}
	if err != nil {
		s.db.Close()
		return nil, fmt.Errorf("open database %s: %w", Redact(where), plainly(err))
	}
	return s, nil
}

// connect opens a database as it is; the schema may be an old one, or none.
func connect(where string, box *secret.Box) (*Store, error) {
	s := &Store{box: box, around: func(_ context.Context, _ string, write func() error) error { return write() }}
	var err error
	switch scheme, _, isURL := strings.Cut(where, "://"); {
	case scheme == "postgres" && isURL, scheme == "postgresql" && isURL:
		s.dialect = postgresDialect
		s.db, err = openPostgres(where)
	case isURL:
		err = fmt.Errorf("%q is no database that Skyweld can use; want postgres://user:password@host:port/database or the path of a SQLite file", scheme)
	default:
		s.dialect = sqliteDialect
		s.db, err = openSQLite(where)
	}
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", Redact(where), err)
	}
	return s, nil
}

// Redact returns where a database is without a password, for logs.
func Redact(where string) string {
	u, err := url.Parse(where)
	if err != nil || u.Scheme == "" {
		if scheme, _, isURL := strings.Cut(where, "://"); isURL {
			return scheme + "://[unreadable]"
		}
		return where
	}
	q := u.Query()
	if q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

func openPostgres(where string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(where)
	if err != nil {
		// The driver's error repeats the URL.
		why := ""
		if cause := errors.Unwrap(err); cause != nil && !strings.Contains(cause.Error(), where) {
			why = " (" + cause.Error() + ")"
		}
		return nil, fmt.Errorf("the URL cannot be read%s; want postgres://user:password@host:port/database", why)
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(4)
	return db, nil
}

// openSQLite opens a file. Writers wait for one another from the beginning of a transaction, so that none fails in the
// middle; every commit is on the disk before the next cloud call.
func openSQLite(path string) (*sql.DB, error) {
	if strings.ContainsAny(path, "?#") {
		return nil, errors.New("a path with '?' or '#' cannot be used")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make its folder %s: %w", filepath.Dir(path), bare(err))
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	switch {
	case errors.Is(err, syscall.EISDIR):
		return nil, errors.New("it is a folder; want the path of a file")
	case errors.Is(err, syscall.ENOSPC):
		return nil, ErrFull
	case errors.Is(err, fs.ErrPermission):
		return nil, errors.New("it can't be read and written: give this user the right to, or name another with --database")
	case err != nil:
		return nil, bare(err)
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", path+"?_txlock=immediate&_busy_timeout="+strconv.FormatInt(busyPatience.Milliseconds(), 10)+"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_dqs=0")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	return db, nil
}

// bare is the cause of an error about a path that the message names already.
func bare(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// migrations returns what changes the schema.
func (s *Store) migrations() (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	kind := goose.DialectSQLite3
	if s.name == "postgres" {
		kind = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // asked for every second
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(kind, s.db, files, options...)
}

func (s *Store) migrate(ctx context.Context) error {
	p, err := s.migrations()
	if err != nil {
		return err
	}
	// Several engines may make or migrate one SQLite file at the same moment: then ours fails, in places at once and without
	// waiting for the lock, and what the other made is there a little later.
	for begin, try := time.Now(), 1; ; try++ {
		what := "read the schema's version"
		current, target, err := p.GetVersions(ctx)
		switch {
		case err != nil:
		case current > target:
			return fmt.Errorf("its schema has version %d and this program knows up to %d: use the newer version of Skyweld that it was last used with", current, target)
		case current == target:
			return nil
		default:
			what = fmt.Sprintf("bring the schema from version %d to %d", current, target)
			_, err = p.Up(ctx)
		}
		if err == nil {
			continue
		}
		patient := try < 5 || s.transient(err) && time.Since(begin) < busyPatience
		if s.name == "postgres" || !patient || ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, plainly(err))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

const checkText = "skyweld"

// checkKey opens a value that was sealed when the database was made.
func (s *Store) checkKey(ctx context.Context) error {
	return s.write(ctx, "check the master key", func(t *tx) error {
		sealed, err := s.box.Seal("meta", "check", "value", []byte(checkText))
		if err != nil {
			return err
		}
		if _, err := t.exec("INSERT INTO meta (name, value) VALUES ('check', $1) ON CONFLICT DO NOTHING", sealed); err != nil {
			return err
		}
		if err := t.row("SELECT value FROM meta WHERE name = 'check'").Scan(&sealed); err != nil {
			return err
		}
		_, err = s.box.Open("meta", "check", "value", sealed)
		return err
	})
}

// transient says whether the same transaction may succeed when it is done again.
func (s *Store) transient(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "40001" || e.Code == "40P01" // serialization failure, deadlock
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()&0xff == sqlitelib.SQLITE_BUSY
	}
	return false
}

// violates says whether an error is that of a unique index (or primary key), or of a reference.
func violates(err error) (unique, reference bool) {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "23505", e.Code == "23503"
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == sqlitelib.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlitelib.SQLITE_CONSTRAINT_PRIMARYKEY,
			e.Code() == sqlitelib.SQLITE_CONSTRAINT_FOREIGNKEY
	}
	return false, false
}
