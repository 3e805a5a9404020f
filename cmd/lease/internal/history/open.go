package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver" // "sqlite3"
)

// The driver is SQLite without C. modernc.org/sqlite is as fast, and its binary smaller by 5 MB, but
// whoever builds the command would download 42 MB for it, where this one is 1.6 MB, and CI would
// compile it for 13 seconds longer with the race detector.

// What tells a file of this program from others, and of which form it is.
const (
	applicationID = 0x6c656173 // "leas"
	formVersion   = 1
)

const schema = `
CREATE TABLE about (place TEXT NOT NULL);
CREATE TABLE name (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE strip (
	id INTEGER PRIMARY KEY, item INTEGER NOT NULL, began INTEGER NOT NULL, ended INTEGER NOT NULL,
	state TEXT NOT NULL, holder INTEGER NOT NULL, token INTEGER NOT NULL, why TEXT NOT NULL,
	before INTEGER NOT NULL, noted INTEGER NOT NULL
);
CREATE INDEX strip_item ON strip (item, began);
CREATE INDEX strip_ended ON strip (ended);
CREATE TABLE event (
	id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, item INTEGER NOT NULL,
	holder INTEGER NOT NULL, origin INTEGER NOT NULL, token INTEGER, wanted_by INTEGER,
	why TEXT NOT NULL
);
CREATE INDEX event_at ON event (at);
CREATE INDEX event_item ON event (item, at);
CREATE TABLE sample (
	holder INTEGER NOT NULL, at INTEGER NOT NULL, items INTEGER NOT NULL, load REAL NOT NULL,
	capacity REAL NOT NULL, PRIMARY KEY (holder, at)
) WITHOUT ROWID;
CREATE TABLE span (
	began INTEGER PRIMARY KEY, ended INTEGER NOT NULL, looks INTEGER NOT NULL, units REAL NOT NULL
);
CREATE TABLE cost (
	at INTEGER PRIMARY KEY, items INTEGER NOT NULL, workers INTEGER NOT NULL, writes REAL NOT NULL,
	reads REAL NOT NULL, looks REAL NOT NULL
);
`

// connect opens the database of a file, or one in memory if there is none. place says which table
// it is about.
func connect(ctx context.Context, file, place string) (*sql.DB, error) {
	db, err := sql.Open("sqlite3", source(file))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // In memory each connection would have a database of its own.
	if err := prepare(ctx, db, file, place); err != nil {
		db.Close()
		return nil, explain(file, err)
	}
	return db, nil
}

func source(file string) string {
	if file == "" {
		return "file::memory:?_pragma=temp_store(memory)"
	}
	path, err := filepath.Abs(file)
	if err != nil {
		path = file
	}
	// It is for one process: that needs no memory to share, which not all systems have.
	u := url.URL{Scheme: "file", Path: path}
	return u.String() + "?_pragma=busy_timeout(500)&_pragma=locking_mode(exclusive)" +
		"&_pragma=journal_mode(wal)&_pragma=synchronous(normal)"
}

func prepare(ctx context.Context, db *sql.DB, file, place string) error {
	id, err := number(ctx, db, "PRAGMA application_id")
	if err != nil {
		return err
	}
	tables, err := number(ctx, db, "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return err
	}
	if id == 0 && tables == 0 {
		return create(ctx, db, place)
	}
	if id != applicationID {
		return fmt.Errorf("it is an SQLite database of another program: name another file")
	}
	return check(ctx, db, place)
}

func number(ctx context.Context, db *sql.DB, query string) (n int, err error) {
	err = db.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}

func create(ctx context.Context, db *sql.DB, place string) error {
	const pragmas = "PRAGMA application_id = %d; PRAGMA user_version = %d;"
	marks := fmt.Sprintf(pragmas, applicationID, formVersion)
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, schema+marks); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO about (place) VALUES (?)", place); err != nil {
		return err
	}
	return tx.Commit()
}

// check makes sure that a file is whole, of a form that this program knows, and about this table.
func check(ctx context.Context, db *sql.DB, place string) error {
	version, err := number(ctx, db, "PRAGMA user_version")
	if err != nil {
		return err
	}
	if version != formVersion {
		return fmt.Errorf("it is of the form %d, and this program knows %d: name another file, "+
			"or take the program that wrote it", version, formVersion)
	}
	var verdict, of string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("it is damaged (%s): move it away", verdict)
	}
	if err := db.QueryRowContext(ctx, "SELECT place FROM about").Scan(&of); err != nil {
		return err
	}
	if of != place {
		return fmt.Errorf("it is about %s, and not about %s: name another file", of, place)
	}
	return nil
}

// explain says what is wrong with a file.
func explain(file string, err error) error {
	if file == "" {
		return fmt.Errorf("what is seen can't be kept: %w", err)
	}
	why := err
	switch {
	case errors.Is(err, sqlite3.NOTADB):
		why = fmt.Errorf("it is no SQLite database: name another file")
	case errors.Is(err, sqlite3.CORRUPT):
		why = fmt.Errorf("it is damaged (%w): move it away", err)
	case errors.Is(err, sqlite3.BUSY):
		why = fmt.Errorf(`another process has it open: each "lease page" needs a file of its own`)
	case errors.Is(err, sqlite3.CANTOPEN):
		why = fmt.Errorf("it can't be opened, or made (%w): is its folder there, "+
			"and writable?", err)
	case errors.Is(err, sqlite3.READONLY):
		why = fmt.Errorf("it can't be written (%w)", err)
	}
	return fmt.Errorf("the file %q can't keep what is seen: %w", file, why)
}
