package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// AuditEntry is one thing that somebody did, or tried to do. It is never changed.
type AuditEntry struct {
	// ID rises in the order in which entries can be seen.
	ID   int64
	Time time.Time
	// Who, Role and Via are the principal's, Source the address that the request came from.
	Who, Role, Via, Source string
	// Operation is that of the API, or "login".
	Operation string
	// Object is what it was done to: "cluster/demo", "cluster/demo/node/demo-web-1".
	Object string
	// Status is HTTP's, and Error what was said with it.
	Status int
	Error  string
	// Before and After are what changed of the object, without secrets; nil where nothing did.
	Before, After json.RawMessage
}

// AuditQuery says which entries are wanted; what is empty doesn't matter.
type AuditQuery struct {
	// Who is a whole name.
	Who string
	// Object is one with all that is below it.
	Object string
	// Text is somewhere in an entry, in small or large letters.
	Text         string
	Since, Until time.Time
	// Below asks for entries with smaller ids: those after a page.
	Below int64
	Limit int
}

const auditColumns = "id, time, who, role, via, source, operation, object, status, error, was, became"

// AddAudit writes an entry.
func (s *Store) AddAudit(ctx context.Context, e AuditEntry) (AuditEntry, error) {
	before, err := asJSON(e.Before)
	if err != nil {
		return AuditEntry{}, fmt.Errorf("write into the audit log: %w", err)
	}
	after, err := asJSON(e.After)
	if err != nil {
		return AuditEntry{}, fmt.Errorf("write into the audit log: %w", err)
	}
	err = s.write(ctx, "write into the audit log", func(t *tx) error {
		var err error
		if e.ID, err = t.id(); err != nil {
			return err
		}
		e.Time = fromMicros(t.now)
		_, err = t.exec("INSERT INTO audit ("+auditColumns+") VALUES ("+placeholders(1, 12)+")",
			e.ID, t.now, e.Who, e.Role, e.Via, e.Source, e.Operation, e.Object, e.Status, e.Error, before, after)
		return err
	})
	if err != nil {
		return AuditEntry{}, err
	}
	return e, nil
}

// ListAudit returns entries, the newest first.
func (s *Store) ListAudit(ctx context.Context, q AuditQuery) ([]AuditEntry, error) {
	where, args := []string{"1 = 1"}, []any{}
	add := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		where = append(where, condition)
	}
	if q.Who != "" {
		add("who = ?", q.Who)
	}
	if q.Object != "" {
		add(`(object = ? OR object LIKE ? ESCAPE '\')`, q.Object, like.Replace(q.Object)+"/%")
	}
	if q.Text != "" {
		add(`LOWER(who || ' ' || via || ' ' || source || ' ' || operation || ' ' || object || ' ' || error || ' ' || was || ' ' || became) LIKE ? ESCAPE '\'`,
			"%"+like.Replace(strings.ToLower(q.Text))+"%")
	}
	if !q.Since.IsZero() {
		add("time >= ?", micros(q.Since))
	}
	if !q.Until.IsZero() {
		add("time < ?", micros(q.Until))
	}
	if q.Below > 0 {
		add("id < ?", q.Below)
	}
	args = append(args, q.Limit)
	all, err := query(ctx, s.db, scanAudit, fmt.Sprintf("SELECT %s FROM audit WHERE %s ORDER BY id DESC LIMIT $%d", auditColumns, strings.Join(where, " AND "), len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return all, nil
}

// like makes a text one that LIKE takes as it is.
var like = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func scanAudit(r row) (AuditEntry, error) {
	var e AuditEntry
	var at int64
	var before, after string
	err := r.Scan(&e.ID, &at, &e.Who, &e.Role, &e.Via, &e.Source, &e.Operation, &e.Object, &e.Status, &e.Error, &before, &after)
	e.Time, e.Before, e.After = fromMicros(at), raw(before), raw(after)
	return e, err
}

// sqliteAppendOnly and postgresAppendOnly make the database itself refuse to change or remove entries. They are no part of
// the migrations, which both databases read.
var (
	sqliteAppendOnly = []string{
		"CREATE TRIGGER IF NOT EXISTS audit_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END",
		"CREATE TRIGGER IF NOT EXISTS audit_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END",
		// A statement OR REPLACE removes rows without a word to the trigger above.
		"CREATE TRIGGER IF NOT EXISTS audit_replace BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END",
	}
	postgresAppendOnly = []string{
		"CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the audit log is only added to'; END $$",
		"CREATE TRIGGER audit_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()",
	}
)

// appendOnly makes sure that entries of the audit log stay as they are.
func (s *Store) appendOnly(ctx context.Context) error {
	var n int
	if err := s.db.QueryRowContext(ctx, s.closed).Scan(&n); err != nil || n > 0 {
		return err
	}
	return s.writeAgain(ctx, "close the audit log to changes", func(t *tx) error {
		if s.name == "postgres" {
			if _, err := t.exec("LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE"); err != nil { // other engines begin, too
				return err
			}
		}
		if err := t.row(s.closed).Scan(&n); err != nil || n > 0 {
			return err
		}
		for _, statement := range s.appendOnlyBy {
			if _, err := t.exec(statement); err != nil {
				return err
			}
		}
		return nil
	})
}
