package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is returned for writes to a closed store.
var ErrClosed = errors.New("store is closed")

// Stats counts what the writer did since the store was opened.
type Stats struct {
	// Commits are transactions that were made durable, Operations what they
	// held: the two together say how well commits are shared.
	Commits, Operations int64
	// Retries are transactions run again because one operation had to be taken
	// back; Failures are transactions that the database refused.
	Retries, Failures int64
	// Queued is how many operations wait now.
	Queued int
}

// undo wraps an answer given after something was written: the transaction is
// rolled back and run again without the operation.
type undo struct{ error }

func (u undo) Unwrap() error { return u.error }

// refused marks an answer of the domain: nothing was written and the rest of
// the transaction stands.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

// Stages of a request. The writer and a caller that gives up race for it, so
// that what is given up in the queue is never carried out.
const (
	waiting int32 = iota
	taken
	abandoned
)

type request struct {
	run   func(*session) error
	stage atomic.Int32
	err   error
	done  chan struct{}
}

// writer is the one goroutine that changes the database.
type writer struct {
	db       *sql.DB
	log      *slog.Logger
	batch    int
	delay    time.Duration
	patience time.Duration

	queue   chan *request
	quit    chan struct{}
	stopped chan struct{}
	once    sync.Once
	s       *session // of the goroutine alone; nil after a failure

	commits, operations, retries, failures atomic.Int64
}

func (w *writer) stats() Stats {
	return Stats{w.commits.Load(), w.operations.Load(), w.retries.Load(), w.failures.Load(), len(w.queue)}
}

// do queues run and waits until it is durable or refused. When ctx or the
// store's patience ends first and the writer has not begun, run never happens;
// after that the outcome is unknown and the error says so.
func (w *writer) do(ctx context.Context, run func(*session) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	r := &request{run: run, done: make(chan struct{})}
	timer := time.NewTimer(w.patience)
	defer timer.Stop()
	select {
	case <-w.quit: // looked at alone first: a select among many picks by chance
		return ErrClosed
	default:
	}
	select {
	case w.queue <- r:
	case <-w.quit:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("nothing was written: %w", ctx.Err())
	case <-timer.C:
		return fmt.Errorf("nothing was written: the queue is full: %w", context.DeadlineExceeded)
	}
	var cause error
	select {
	case <-r.done:
		return r.err
	case <-w.stopped:
		// The writer went; it may have answered before.
		select {
		case <-r.done:
			return r.err
		default:
			return ErrClosed
		}
	case <-ctx.Done():
		cause = ctx.Err()
	case <-timer.C:
		cause = context.DeadlineExceeded
	}
	if r.stage.CompareAndSwap(waiting, abandoned) {
		return fmt.Errorf("nothing was written: %w", cause)
	}
	// A transaction is under way, and it is bounded by the busy time-out.
	<-r.done
	return r.err
}

func (w *writer) close() {
	w.once.Do(func() { close(w.quit) })
	<-w.stopped
}

// loop gathers and commits until close, and then what is still queued.
func (w *writer) loop() {
	defer close(w.stopped)
	defer w.drop()
	for {
		select {
		case r := <-w.queue:
			w.commit(w.gather(r))
		case <-w.quit:
			for {
				select {
				case r := <-w.queue:
					w.commit(w.gather(r))
				default:
					return
				}
			}
		}
	}
}

// gather takes what is queued, lets others run, and takes again until nobody
// comes. Without the yield a single processor stays in the fsync and every
// commit carries one operation.
func (w *writer) gather(first *request) []*request {
	batch := append(make([]*request, 0, w.batch), first)
	for quiet := false; len(batch) < w.batch; {
		select {
		case r := <-w.queue:
			batch = append(batch, r)
			quiet = false
		default:
			if quiet {
				return w.take(batch)
			}
			quiet = true
			runtime.Gosched()
		}
	}
	return w.take(batch)
}

// take drops what its callers gave up.
func (w *writer) take(batch []*request) []*request {
	kept := batch[:0]
	for _, r := range batch {
		if r.stage.CompareAndSwap(waiting, taken) {
			kept = append(kept, r)
		}
	}
	return kept
}

// commit runs the batch in one transaction and answers it afterwards, never
// before. An operation that had to be taken back is answered and left out, and
// the others run again.
func (w *writer) commit(batch []*request) {
	for len(batch) > 0 {
		bad, err := w.transact(batch)
		switch {
		case err == nil:
			w.commits.Add(1)
			w.operations.Add(int64(len(batch)))
		case bad >= 0:
			r := batch[bad]
			r.err = err
			close(r.done)
			w.retries.Add(1)
			batch = append(batch[:bad], batch[bad+1:]...)
			continue
		default:
			w.failures.Add(1)
			w.log.Error("transaction refused", "operations", len(batch), "err", err)
			for _, r := range batch {
				r.err = err
			}
		}
		for _, r := range batch {
			close(r.done)
		}
		return
	}
}

// transact returns the index of the operation to blame, or -1 when it is the
// database. Money must not depend on a client's connection, so nothing in here
// has a caller's context; the busy time-out bounds it.
func (w *writer) transact(batch []*request) (bad int, err error) {
	ctx := context.Background()
	if w.s == nil {
		if w.s, err = newSession(ctx, w.db); err != nil {
			return -1, err
		}
	}
	if err := w.s.exec("begin immediate"); err != nil {
		w.drop()
		return -1, fmt.Errorf("begin: %w", err)
	}
	for i, r := range batch {
		r.err = r.run(w.s)
		if r.err == nil {
			continue
		}
		if no, ok := errors.AsType[refused](r.err); ok {
			r.err = no.error
			continue
		}
		w.rollback()
		if u, ok := errors.AsType[undo](r.err); ok {
			return i, u.error
		}
		return -1, r.err
	}
	if w.delay > 0 {
		time.Sleep(w.delay)
	}
	if err := w.s.exec("commit"); err != nil {
		w.rollback()
		return -1, fmt.Errorf("commit: %w", err)
	}
	return 0, nil
}

// rollback leaves no transaction open. After errors such as a full disk SQLite
// may have ended it already, so a connection in doubt is thrown away.
func (w *writer) rollback() {
	if err := w.s.exec("rollback"); err != nil {
		w.drop()
	}
}

func (w *writer) drop() {
	if w.s != nil {
		w.s.close()
		w.s = nil
	}
}

// session is the writer's connection with its prepared statements.
type session struct {
	ctx   context.Context //nolint:containedctx // never ends: it stands for "no caller"
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	texts map[position]string
	claim string
}

func newSession(ctx context.Context, db *sql.DB) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &session{ctx: ctx, conn: conn, stmts: map[string]*sql.Stmt{}, texts: updates(), claim: insertPayment()}, nil
}

// close throws the connection away rather than back to the pool, where a
// half-finished transaction would wait for the next user.
func (s *session) close() {
	for _, st := range s.stmts {
		_ = st.Close()
	}
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = s.conn.Close()
}

func (s *session) stmt(text string) (*sql.Stmt, error) {
	if st, ok := s.stmts[text]; ok {
		return st, nil
	}
	st, err := s.conn.PrepareContext(s.ctx, text)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	s.stmts[text] = st
	return st, nil
}

func (s *session) exec(text string, args ...any) error {
	_, err := s.changed(text, args...)
	return err
}

// changed runs a statement and returns how many rows it changed.
func (s *session) changed(text string, args ...any) (int64, error) {
	st, err := s.stmt(text) //nolint:sqlclosecheck // closed with the session
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(s.ctx, args...)
	if err != nil {
		return 0, err //nolint:wrapcheck // named by the operation
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("count rows: %w", err)
	}
	return n, nil
}

func (s *session) row(text string, args ...any) row {
	st, err := s.stmt(text) //nolint:sqlclosecheck // closed with the session
	if err != nil {
		return failed{err}
	}
	return st.QueryRowContext(s.ctx, args...)
}

type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }
