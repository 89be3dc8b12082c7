package store

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/skyweld/skyweld/secret"
)

// A backup is a file of age around gzip around lines of JSON, the same for every database:
//
//	{"skyweldBackup":1,"schema":5,"made":"2026-01-02T15:04:05Z"}
//	{"table":"accounts","columns":["name",...],"bytes":["secrets","proxy"]}
//	["my-aws","aws",...]                    one line for each row; columns of bytes in base64
//	...
//	{"rows":1234,"sha256":"..."}            of all bytes before this line
//
// Sealed columns are opened, so that a backup needs no master key: who can open the envelope can read all secrets in it.

// backupFormat is the version of that form.
const backupFormat = 1

// Backup is what a backup says of itself, and its end of what is before it.
type Backup struct {
	Format int `json:"skyweldBackup"`
	// Schema is the version of the database's schema.
	Schema int64     `json:"schema"`
	Made   time.Time `json:"made"`

	// Rows counts all rows, Clusters and Accounts are the names of those in it; they are known once it was read.
	Rows     int64    `json:"-"`
	Clusters []string `json:"-"`
	Accounts []string `json:"-"`
}

type backupTable struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
	Bytes   []string `json:"bytes,omitempty"`
}

type backupEnd struct {
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
}

// sealedColumns are those whose values are sealed, each with the row that they are sealed for.
var sealedColumns = map[string]func(value func(column string) any) string{
	"accounts.secrets": func(v func(string) any) string { return fmt.Sprint(v("name")) },
	"accounts.proxy":   func(v func(string) any) string { return fmt.Sprint(v("name")) },
	"secrets.value":    func(v func(string) any) string { return fmt.Sprint(v("cluster"), "/", v("name")) },
	"meta.value":       func(v func(string) any) string { return fmt.Sprint(v("name")) },
	"snapshots.value": func(v func(string) any) string {
		id, _ := v("id").(int64)
		return snapshotRow(fmt.Sprint(v("cluster")), id)
	},
}

// Others refer to these tables, so they come first.
var firstTables = []string{"ids", "meta", "accounts", "clusters", "runs"}

// Backup writes all that is stored as it is at one moment, encrypted for the keeper, while the engines go on. What is written
// is whole only when there is no error.
func (s *Store) Backup(ctx context.Context, w io.Writer, keeper secret.Keeper) error {
	envelope, err := keeper.Encrypt(w)
	if err != nil {
		return fmt.Errorf("back up the database: %w", err)
	}
	packed := gzip.NewWriter(envelope)
	if err := s.dump(ctx, packed); err != nil {
		return fmt.Errorf("back up the database: %w", plainly(err))
	}
	if err := errors.Join(packed.Close(), envelope.Close()); err != nil {
		return fmt.Errorf("back up the database: %w", err)
	}
	return nil
}

// dumper writes lines, and adds them up.
type dumper struct {
	w    *bufio.Writer
	sum  hash.Hash
	rows int64
}

func (d *dumper) line(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	d.sum.Write(data)
	_, err = d.w.Write(data)
	return err
}

func (s *Store) dump(ctx context.Context, w io.Writer) error {
	// One moment of the database; on SQLite, writers don't wait for it.
	t, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: s.snapshot})
	if err != nil {
		return err
	}
	defer t.Rollback()
	now, err := s.now(ctx, t)
	if err != nil {
		return err
	}
	version, err := s.schemaVersion(ctx, t)
	if err != nil {
		return err
	}
	d := &dumper{w: bufio.NewWriter(w), sum: sha256.New()}
	if err := d.line(Backup{Format: backupFormat, Schema: version, Made: fromMicros(now)}); err != nil {
		return err
	}
	tables, err := s.tablesOf(ctx, t)
	if err != nil {
		return err
	}
	for _, name := range tables {
		if err := s.dumpTable(ctx, t, d, name); err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
	}
	if err := d.line(backupEnd{Rows: d.rows, SHA256: hex.EncodeToString(d.sum.Sum(nil))}); err != nil {
		return err
	}
	return d.w.Flush()
}

// tablesOf lists the tables in an order in which their rows can be written.
func (s *Store) tablesOf(ctx context.Context, q querier) ([]string, error) {
	names, err := query(ctx, q, scanString, s.tables)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, "goose_") || strings.HasPrefix(n, "sqlite_") })
	rank := func(n string) int {
		if i := slices.Index(firstTables, n); i >= 0 {
			return i
		}
		return len(firstTables)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names, nil
}

func (s *Store) schemaVersion(ctx context.Context, q querier) (int64, error) {
	var version int64
	err := q.QueryRowContext(ctx, "SELECT MAX(version_id) FROM goose_db_version WHERE is_applied").Scan(&version)
	return version, err
}

// dumpTable writes a table's rows, with what is sealed opened. The value that the master key is checked by stays here.
func (s *Store) dumpTable(ctx context.Context, t *sql.Tx, d *dumper, name string) error {
	rows, err := t.QueryContext(ctx, "SELECT * FROM "+name+" ORDER BY 1, 2")
	if err != nil {
		return err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	head := backupTable{Table: name}
	for _, c := range types {
		head.Columns = append(head.Columns, c.Name())
		if c.DatabaseTypeName() == "BYTEA" {
			head.Bytes = append(head.Bytes, c.Name())
		}
	}
	if err := d.line(head); err != nil {
		return err
	}
	values := make([]any, len(head.Columns))
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if name == "meta" && head.value(values, "name") == "check" {
			continue
		}
		if err := head.unseal(s.box, values); err != nil {
			return err
		}
		if err := d.line(values); err != nil {
			return err
		}
		d.rows++
	}
	return rows.Err()
}

func (h backupTable) value(values []any, column string) any {
	if i := slices.Index(h.Columns, column); i >= 0 {
		return values[i]
	}
	return nil
}

// unseal opens the sealed values of a row.
func (h backupTable) unseal(box *secret.Box, values []any) error {
	return h.eachSealed(values, func(row, column string, v []byte) ([]byte, error) { return box.Open(h.Table, row, column, v) })
}

// seal seals them again.
func (h backupTable) seal(box *secret.Box, values []any) error {
	return h.eachSealed(values, func(row, column string, v []byte) ([]byte, error) { return box.Seal(h.Table, row, column, v) })
}

func (h backupTable) eachSealed(values []any, f func(row, column string, v []byte) ([]byte, error)) error {
	for i, column := range h.Columns {
		row, sealed := sealedColumns[h.Table+"."+column]
		if !sealed {
			continue
		}
		v, ok := values[i].([]byte)
		if !ok {
			return fmt.Errorf("column %s holds no bytes", column)
		}
		out, err := f(row(func(c string) any { return h.value(values, c) }), column, v)
		if err != nil {
			return err
		}
		values[i] = out
	}
	return nil
}

// Keeper says who can read a backup.
type Keeper = secret.Keeper
