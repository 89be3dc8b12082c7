package store_test

import (
	"database/sql"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/skyweld/skyweld/store/storetest"
)

func TestPostgres(t *testing.T) {
	t.Parallel()
	server := storetest.StartPostgres(t)
	var count atomic.Int32
	storetest.Run(t, func(t *testing.T) storetest.Database {
		where := server.Fresh(t, fmt.Sprint("test", count.Add(1)))
		return storetest.Database{
			Where: where,
			Exec: func(t *testing.T, statement string) {
				t.Helper()
				if _, err := connect(t, where).Exec(statement); err != nil {
					t.Fatal(err)
				}
			},
			Try: func(t *testing.T, statement string) error {
				_, err := connect(t, where).Exec(statement)
				return err
			},
			Dump: func(t *testing.T) string { return dump(t, connect(t, where)) },
		}
	})
}

func connect(t *testing.T, where string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

var hexBytes = regexp.MustCompile(`\\x([0-9a-f]+)`)

// dump returns all rows of all tables as text, and what stands in hex also as bytes.
func dump(t *testing.T, db *sql.DB) string {
	t.Helper()
	column := func(query string) []string {
		rows, err := db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var all []string
		for rows.Next() {
			var v string
			if err := rows.Scan(&v); err != nil {
				t.Fatal(err)
			}
			all = append(all, v)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	var out strings.Builder
	for _, table := range column("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") {
		for _, row := range column("SELECT CAST(r AS TEXT) FROM " + table + " r") {
			out.WriteString(row + "\n")
			for _, m := range hexBytes.FindAllStringSubmatch(row, -1) {
				b, err := hex.DecodeString(m[1])
				if err != nil {
					t.Fatal(err)
				}
				out.Write(b)
			}
		}
	}
	return out.String()
}
