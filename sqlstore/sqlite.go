package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// oldestEngine has the fix for the WAL-reset fault that could lose commits.
const oldestEngine = "3.51.3"

// Primary result codes of SQLite.
const (
	corrupt      = 11
	notADatabase = 26
)

// openPool opens connections with everything durability and hostile files ask for.
func openPool(path string, busy time.Duration, readOnly bool, conns int) (*sql.DB, error) {
	q := url.Values{"_pragma": {
		"busy_timeout(" + strconv.FormatInt(busy.Milliseconds(), 10) + ")",
		"foreign_keys(1)", "trusted_schema(0)", "cell_size_check(1)", "mmap_size(0)", "synchronous(FULL)",
	}, "_txlock": {"immediate"}}
	if readOnly {
		q.Set("mode", "ro")
		q.Add("_pragma", "query_only(1)")
	} else {
		q.Set("mode", "rw")
		q.Add("_pragma", "journal_mode(WAL)")
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: escape(path), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// escape keeps a path with "?", "#" or "%" one path in a file: URI.
func escape(path string) string { return strings.ReplaceAll(url.PathEscape(path), "%2F", "/") }

// openWriter opens, migrates and checks. The pool has one connection, which the
// writer keeps.
func openWriter(ctx context.Context, cfg Config, path string) (*sql.DB, error) {
	db, err := openPool(path, cfg.BusyTimeout, false, 1)
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, cfg, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func prepare(ctx context.Context, cfg Config, db *sql.DB) error {
	var version, check string
	if err := db.QueryRowContext(ctx, "select sqlite_version()").Scan(&version); err != nil {
		if e, ok := errors.AsType[*sqlite.Error](err); ok && (e.Code()&0xff == corrupt || e.Code()&0xff == notADatabase) {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return fmt.Errorf("open the store: %w", err)
	}
	if olderEngine(version, oldestEngine) {
		return fmt.Errorf("SQLite %s is older than %s", version, oldestEngine)
	}
	if err := db.QueryRowContext(ctx, "pragma quick_check(1)").Scan(&check); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if check != "ok" {
		return fmt.Errorf("%w: %s", ErrDamaged, check)
	}
	if err := migrate(ctx, db, cfg.Logger); err != nil {
		return err
	}
	// A receipt is refused a minute after it ends at the latest; an hour is safe.
	if _, err := db.ExecContext(ctx, forgetUses, millis(cfg.Now().Add(-time.Hour))); err != nil {
		return fmt.Errorf("forget ended receipts: %w", err)
	}
	return nil
}

func olderEngine(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, _ := strconv.Atoi(x[i])
		n, _ := strconv.Atoi(y[i])
		if m != n {
			return m < n
		}
	}
	return len(x) < len(y)
}

func provider(db *sql.DB, log *slog.Logger) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithSlog(log), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	return p, nil
}

func migrate(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	p, err := provider(db, log)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	if current > target {
		return fmt.Errorf("schema %d, known up to %d: %w", current, target, ErrNewer)
	}
	if current == target {
		return nil
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate from %d to %d: %w", current, target, err)
	}
	return nil
}

// checkSchema is for readers, which migrate nothing.
func checkSchema(ctx context.Context, db *sql.DB) error {
	p, err := provider(db, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	var target, current int64
	for _, s := range p.ListSources() {
		target = max(target, s.Version)
	}
	if err := db.QueryRowContext(ctx, "select coalesce(max(version_id), 0) from goose_db_version where is_applied").Scan(&current); err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	switch {
	case current > target:
		return fmt.Errorf("schema %d, known up to %d: %w", current, target, ErrNewer)
	case current < target:
		return fmt.Errorf("schema %d is older than %d; start the server once to migrate it", current, target)
	}
	return nil
}
