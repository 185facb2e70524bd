package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
)

// Errors of opening; test with [errors.Is].
var (
	// ErrLocked says that another process has the store open.
	ErrLocked = errors.New("store is in use by another process")
	// ErrNewer says that a newer program has written the store.
	ErrNewer = errors.New("store was written by a newer version; this one must not touch it")
	// ErrDamaged says that the file fails its check.
	ErrDamaged = errors.New("store is damaged; restore a backup and reconcile")
	// ErrNetworkFile says that the file is on a network file system, where
	// neither locks nor fsync can be relied on.
	ErrNetworkFile = errors.New("store is on a network file system; use a local disk")
)

// Config says where the store is. DSN is required.
type Config struct {
	// DSN is "sqlite:" and the path of the database file.
	DSN string
	// BusyTimeout is how long a transaction waits for another process that
	// holds the file; zero is 5 s.
	BusyTimeout time.Duration
	// Patience bounds a write from call to answer; zero is 15 s.
	Patience time.Duration
	// Batch bounds the operations of one transaction; zero is 256.
	Batch int
	// Readers bounds the connections that read; zero is 4.
	Readers int
	// CommitDelay is added to every commit, to measure what a slow disk does.
	CommitDelay time.Duration

	Now    func() time.Time
	Logger *slog.Logger
}

func (c *Config) path() (string, error) {
	path, ok := strings.CutPrefix(c.DSN, "sqlite:")
	switch {
	case !ok:
		return "", fmt.Errorf("sqlstore: Config.DSN %q does not begin with the engine and a colon, as in sqlite:paywall.db", strings.SplitN(c.DSN, ":", 2)[0])
	case path == "" || strings.HasPrefix(path, ":memory:"):
		return "", errors.New("sqlstore: Config.DSN names no file")
	}
	if c.BusyTimeout < 0 || c.Patience < 0 || c.Batch < 0 || c.Readers < 0 || c.CommitDelay < 0 {
		return "", errors.New("sqlstore: Config has a negative limit")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.BusyTimeout = orDefault(c.BusyTimeout, 5*time.Second)
	c.Patience = orDefault(c.Patience, 15*time.Second)
	c.Batch = orDefault(c.Batch, 256)
	c.Readers = orDefault(c.Readers, 4)
	return path, nil
}

func orDefault[T time.Duration | int](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

// Store is a [payment.Store] over one SQLite file that this process owns. It
// also counts receipt uses (Take) and keeps idempotency keys (Remember).
type Store struct {
	Reader

	w    *writer
	lock io.Closer
	now  func() time.Time
}

// Open takes the file for this process alone, creates or migrates it, checks it,
// and starts the writer. Errors are one line that says what to do.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	path, err := cfg.path()
	if err != nil {
		return nil, err
	}
	lock, err := own(path)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, cfg, path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.lock = lock
	return s, nil
}

// own makes sure that the file is private, local and nobody else's.
func own(path string) (io.Closer, error) {
	lock, err := lockFile(path + ".lock")
	if err != nil {
		if errors.Is(err, ErrLocked) {
			return nil, fmt.Errorf("%s: %w; stop it, or use its admin listener", path, ErrLocked)
		}
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the store: %w", err), lock.Close())
	}
	err = errors.Join(localFile(f), f.Chmod(0o600), f.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), lock.Close())
	}
	return lock, nil
}

func open(ctx context.Context, cfg Config, path string) (*Store, error) {
	db, err := openWriter(ctx, cfg, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	reads, err := openPool(path, cfg.BusyTimeout, true, cfg.Readers)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s := &Store{
		Reader: Reader{db: reads},
		now:    cfg.Now,
		w: &writer{
			db: db, log: cfg.Logger, batch: cfg.Batch, delay: cfg.CommitDelay, patience: cfg.Patience,
			queue: make(chan *request, 4*cfg.Batch), quit: make(chan struct{}), stopped: make(chan struct{}),
		},
	}
	go s.w.loop() //nolint:contextcheck // the writer outlives the call that opens it
	return s, nil
}

// Stats says what the writer has done.
func (s *Store) Stats() Stats { return s.w.stats() }

// Close commits what is queued, waits for the writer and gives up the file.
func (s *Store) Close() error {
	s.w.close()
	return errors.Join(s.Reader.Close(), s.w.db.Close(), s.lock.Close())
}

// OpenReader opens the file to look at, also while a server has it. It never
// changes or creates it.
func OpenReader(ctx context.Context, cfg Config) (*Reader, error) {
	path, err := cfg.path()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	db, err := openPool(path, cfg.BusyTimeout, true, cfg.Readers)
	if err != nil {
		return nil, err
	}
	if err := checkSchema(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return &Reader{db: db}, nil
}
