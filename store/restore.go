package store

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skyweld/skyweld/secret"
)

// ErrDamaged is wrapped by the errors of backups that were cut off or altered, or are none.
var ErrDamaged = errors.New("it is damaged: it was cut off or altered")

// CheckBackup reads a whole backup without writing anything, and says what is in it.
func CheckBackup(file io.Reader, reader secret.Reader) (Backup, error) {
	b, err := readBackup(file, reader, func(backupTable, []any) error { return nil })
	if err != nil {
		return b, fmt.Errorf("read the backup: %w", err)
	}
	return b, nil
}

// RestoredBy is who pauses the clusters of a database that was restored.
const RestoredBy = "restore"

// Restore writes a backup that was checked into a database that holds nothing yet, with secrets sealed by the box, or leaves
// it as it was. open begins the file anew. The clusters in it are paused: only a person can know that the engine the backup
// is from will not work on them, too.
func Restore(ctx context.Context, where string, box *secret.Box, checked Backup, open func() (io.ReadCloser, error), reader secret.Reader) error {
	s, err := connect(where, box)
	if err != nil {
		return err
	}
	defer s.db.Close()
	if err := s.restore(ctx, checked, open, reader); err != nil {
		return fmt.Errorf("restore into database %s: %w", Redact(where), plainly(err))
	}
	return nil
}

func (s *Store) restore(ctx context.Context, checked Backup, open func() (io.ReadCloser, error), reader secret.Reader) error {
	if err := s.schemaAt(ctx, checked.Schema); err != nil {
		return err
	}
	if err := s.checkKey(ctx); err != nil {
		return err
	}
	err := s.write(ctx, "write all rows", func(t *tx) error {
		if err := t.empty(); err != nil {
			return err
		}
		file, err := open()
		if err != nil {
			return err
		}
		defer file.Close()
		written, err := readBackup(file, reader, t.insert)
		if err != nil {
			return err
		}
		if written.Schema != checked.Schema || !written.Made.Equal(checked.Made) {
			return errors.New("the file is another one now than it was when it was checked")
		}
		return t.afterRestore(written)
	})
	if err != nil {
		return err
	}
	return s.migrate(ctx)
}

// schemaAt gives an empty database the schema of a backup, which may be older than this program's.
func (s *Store) schemaAt(ctx context.Context, version int64) error {
	p, err := s.migrations()
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("read the schema's version: %w", err)
	case version > target:
		return fmt.Errorf("the backup is of a database with schema %d, and this program knows up to %d: use the newer version of Skyweld that it was made with", version, target)
	case current > target:
		return fmt.Errorf("its schema has version %d and this program knows up to %d: use the newer version of Skyweld that it was last used with", current, target)
	case current > 0:
		if err := s.write(ctx, "look whether it is empty", (*tx).empty); err != nil {
			return err
		}
	}
	if current > version {
		_, err = p.DownTo(ctx, version)
	} else if current < version {
		_, err = p.UpTo(ctx, version)
	}
	if err != nil {
		return fmt.Errorf("bring the schema from version %d to %d: %w", current, version, err)
	}
	return nil
}

// empty makes sure that nothing would be mixed with what is restored.
func (t *tx) empty() error {
	tables, err := t.s.tablesOf(t.ctx, t)
	if err != nil {
		return err
	}
	for _, name := range tables {
		var n int64
		where := ""
		switch name {
		case "ids":
			continue
		case "meta":
			where = " WHERE name <> 'check'"
		}
		if err := t.row("SELECT COUNT(*) FROM " + name + where).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%w: its table %s has %d rows: nothing is restored over what is there; name another database, or an empty folder", ErrInUse, name, n)
		}
	}
	return nil
}

func (t *tx) insert(h backupTable, values []any) error {
	if h.Table == "ids" {
		_, err := t.exec("UPDATE ids SET last = $1 WHERE one = 1", h.value(values, "last"))
		return err
	}
	if err := h.seal(t.s.box, values); err != nil {
		return err
	}
	_, err := t.exec("INSERT INTO "+h.Table+" ("+strings.Join(h.Columns, ", ")+") VALUES ("+placeholders(1, len(h.Columns))+")", values...)
	return err
}

// afterRestore ends what the engine of the backup held, and lets nobody work on a cluster before a person says so.
func (t *tx) afterRestore(b Backup) error {
	if _, err := t.exec("UPDATE clusters SET lease_owner = '', lease_until = 0, lease_epoch = lease_epoch + 1, scheduled = $1", t.now); err != nil {
		return err
	}
	reason := "restored from the backup of " + b.Made.UTC().Format(time.RFC3339) + ": resume it once it is certain that the engine of then will not run again"
	if _, err := t.exec("UPDATE clusters SET paused = $1, paused_by = $2, pause_reason = $3 WHERE deleted = 0 AND delete_requested = 0 AND paused = 0", t.now, RestoredBy, reason); err != nil {
		return err
	}
	sealed, err := t.s.box.Seal("meta", restoredRow, "value", []byte(strconv.FormatInt(t.now, 10)))
	if err != nil {
		return err
	}
	_, err = t.exec("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", restoredRow, sealed)
	return err
}

// restoredRow is where it is noted that, and when, a database was restored.
const restoredRow = "restored"

// Restored returns when the database was restored from a backup, the zero time for one that never was.
func (s *Store) Restored(ctx context.Context) (time.Time, error) {
	sealed, err := first(ctx, s.db, func(r row) (v []byte, err error) { err = r.Scan(&v); return v, err }, "SELECT value FROM meta WHERE name = $1", restoredRow)
	if errors.Is(err, ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("ask when the database was restored: %w", err)
	}
	text, err := s.box.Open("meta", restoredRow, "value", sealed)
	if err != nil {
		return time.Time{}, err
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask when the database was restored: %w", err)
	}
	return fromMicros(n), nil
}

// backupLines reads lines, and adds them up.
type backupLines struct {
	r   *bufio.Reader
	sum hash.Hash
	// before is the sum without the last line.
	before []byte
}

func (l *backupLines) next() ([]byte, error) {
	line, err := l.r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	l.before = l.sum.Sum(nil)
	l.sum.Write(line)
	return line, nil
}

// readBackup reads a backup from its beginning to its end; each gets every row. Only when there is no error was it whole.
func readBackup(file io.Reader, reader secret.Reader, each func(backupTable, []any) error) (Backup, error) {
	var b Backup
	plain, err := reader.Decrypt(file)
	if err != nil {
		return b, err
	}
	unpacked, err := gzip.NewReader(plain)
	if err != nil {
		return b, fmt.Errorf("%w (%w)", ErrDamaged, err)
	}
	l := &backupLines{r: bufio.NewReader(unpacked), sum: sha256.New()}
	line, err := l.next()
	if err == nil {
		err = json.Unmarshal(line, &b)
	}
	if err != nil || b.Format == 0 {
		return b, fmt.Errorf("%w, or it is no backup of Skyweld", ErrDamaged)
	}
	if b.Format > backupFormat {
		return b, fmt.Errorf("it has format %d, and this program reads up to %d: use a newer version of Skyweld", b.Format, backupFormat)
	}
	var table backupTable
	for {
		line, err := l.next()
		if err != nil {
			return b, fmt.Errorf("%w (%w)", ErrDamaged, err)
		}
		if line[0] == '[' {
			values, err := table.values(line)
			if err != nil {
				return b, fmt.Errorf("%w: table %s: %w", ErrDamaged, table.Table, err)
			}
			b.note(table, values)
			if err := each(table, values); err != nil {
				return b, fmt.Errorf("table %s: %w", table.Table, err)
			}
			continue
		}
		table = backupTable{}
		if err := json.Unmarshal(line, &table); err == nil && table.Table != "" {
			if err := table.check(); err != nil {
				return b, err
			}
			continue
		}
		return b, l.end(b, line)
	}
}

// end checks the last line, and that nothing comes after it.
func (l *backupLines) end(b Backup, line []byte) error {
	var end backupEnd
	if err := json.Unmarshal(line, &end); err != nil || end.Rows != b.Rows || end.SHA256 != hex.EncodeToString(l.before) {
		return fmt.Errorf("%w: its checksum is not that of what it holds", ErrDamaged)
	}
	if _, err := l.r.ReadByte(); !errors.Is(err, io.EOF) { // the envelope's own end is read with it
		return fmt.Errorf("%w: something comes after its end (%w)", ErrDamaged, err)
	}
	return nil
}

// note takes down what a person wants to know of a backup.
func (b *Backup) note(h backupTable, values []any) {
	b.Rows++
	name, _ := h.value(values, "name").(string)
	switch deleted, _ := h.value(values, "deleted").(int64); {
	case h.Table == "accounts":
		b.Accounts = append(b.Accounts, name)
	case h.Table == "clusters" && deleted == 0:
		b.Clusters = append(b.Clusters, name)
	}
}

// check refuses names that are none: they become a part of statements.
func (h backupTable) check() error {
	for _, name := range append([]string{h.Table}, h.Columns...) {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			return fmt.Errorf("%w: %q is no name of a table or column", ErrDamaged, name)
		}
	}
	return nil
}

// values reads a row.
func (h backupTable) values(line []byte) ([]any, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var values []any
	if err := d.Decode(&values); err != nil || len(values) != len(h.Columns) {
		return nil, fmt.Errorf("a row doesn't have its %d columns", len(h.Columns))
	}
	for i, v := range values {
		switch v := v.(type) {
		case json.Number:
			n, err := v.Int64()
			if err != nil {
				return nil, fmt.Errorf("column %s: %w", h.Columns[i], err)
			}
			values[i] = n
		case string:
			if !slices.Contains(h.Bytes, h.Columns[i]) {
				continue
			}
			data, err := base64.StdEncoding.DecodeString(v)
			if err != nil {
				return nil, fmt.Errorf("column %s: %w", h.Columns[i], err)
			}
			values[i] = data
		}
	}
	return values, nil
}
