package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/sqlstore"
)

// outside is another program's connection to the file.
func outside(t *testing.T, path string) *sql.Conn {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func exec(t *testing.T, c *sql.Conn, text string) {
	t.Helper()
	if _, err := c.ExecContext(t.Context(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func plain(t *testing.T) sqlstore.Config {
	t.Helper()
	return sqlstore.Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "paywall.db")}
}

func TestI160_RefusingDiskAcknowledgesNothingAndRecovers(t *testing.T) {
	cfg := plain(t)
	s, err := sqlstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	kept := paymenttest.Sample(t, 1)
	if err := s.Claim(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	// A trigger that fails stands for the disk: the statement ends with an error
	// of the engine in the middle of the transaction.
	c := outside(t, strings.TrimPrefix(cfg.DSN, "sqlite:"))
	exec(t, c, `create trigger broken before insert on payments begin select raise(rollback, 'disk is full'); end`)
	lost := paymenttest.Sample(t, 2)
	if err := s.Claim(t.Context(), lost); err == nil || errors.Is(err, payment.ErrChallengeUsed) {
		t.Errorf("claim on a refusing disk = %v, want its error", err)
	}
	if _, err := s.Get(t.Context(), lost.ID); !errors.Is(err, payment.ErrNotFound) {
		t.Errorf("get what was refused: %v", err)
	}
	if _, err := s.Get(t.Context(), kept.ID); err != nil {
		t.Errorf("reads must go on: %v", err)
	}
	if s.Stats().Failures == 0 {
		t.Error("no failure counted")
	}
	exec(t, c, `drop trigger broken`)
	if err := s.Claim(t.Context(), lost); err != nil {
		t.Errorf("claim after the disk came back: %v", err)
	}
}

func TestI161_OutsideLockWaitsThenFails(t *testing.T) {
	cfg := plain(t)
	cfg.BusyTimeout = 50 * time.Millisecond
	s, err := sqlstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := outside(t, strings.TrimPrefix(cfg.DSN, "sqlite:"))
	exec(t, c, "begin exclusive")
	if err := s.Claim(t.Context(), paymenttest.Sample(t, 1)); err == nil {
		t.Error("a claim got through an exclusive lock")
	}
	exec(t, c, "rollback")
	if err := s.Claim(t.Context(), paymenttest.Sample(t, 1)); err != nil {
		t.Errorf("claim after the lock: %v", err)
	}
}

func TestI162_DamageIsNotSilent(t *testing.T) {
	cfg := plain(t)
	s, err := sqlstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		if err := s.Claim(t.Context(), paymenttest.Sample(t, n+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(cfg.DSN, "sqlite:")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 8 * 4096; i < len(data); i += 37 { // beyond the schema, in the rows and indexes
		data[i] ^= 0xff
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := sqlstore.Open(t.Context(), cfg); !errors.Is(err, sqlstore.ErrDamaged) {
		t.Errorf("open of a damaged file: %v, %v; want ErrDamaged", s != nil, err)
	}
}

func TestI163_SecondProcessGetsOneClearLine(t *testing.T) {
	cfg := plain(t)
	s, err := sqlstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Claim(t.Context(), paymenttest.Sample(t, 1)); err != nil {
		t.Fatal(err)
	}
	_, err = sqlstore.Open(t.Context(), cfg)
	if !errors.Is(err, sqlstore.ErrLocked) || strings.Contains(err.Error(), "\n") {
		t.Errorf("second open: %v, want one line of ErrLocked", err)
	}
	r, err := sqlstore.OpenReader(t.Context(), cfg)
	if err != nil {
		t.Fatalf("reader beside the server: %v", err)
	}
	if ps, err := r.List(t.Context(), payment.Filter{}, "", 10); err != nil || len(ps) != 1 {
		t.Errorf("reader lists %d payments, %v", len(ps), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Claim(t.Context(), paymenttest.Sample(t, 2)); !errors.Is(err, sqlstore.ErrClosed) {
		t.Errorf("claim after close: %v", err)
	}
	s, err = sqlstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("open after the first is gone: %v", err)
	}
	s.Close()
}

func TestI170_NewerSchemaIsRefused(t *testing.T) {
	cfg := plain(t)
	s, err := sqlstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	c := outside(t, strings.TrimPrefix(cfg.DSN, "sqlite:"))
	exec(t, c, "insert into goose_db_version (version_id, is_applied) values (99, 1)")
	if _, err := sqlstore.Open(t.Context(), cfg); !errors.Is(err, sqlstore.ErrNewer) {
		t.Errorf("open of a newer store: %v, want ErrNewer", err)
	}
	if _, err := sqlstore.OpenReader(t.Context(), cfg); !errors.Is(err, sqlstore.ErrNewer) {
		t.Errorf("reader of a newer store: %v, want ErrNewer", err)
	}
}

func TestI174_FilesArePrivate(t *testing.T) {
	s, path := open(t, nil)
	if err := s.Claim(t.Context(), paymenttest.Sample(t, 1)); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(path + end)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want 0600", path+end, info, err)
		}
	}
}

func TestEntriesAreNeverChanged(t *testing.T) {
	s, path := open(t, nil)
	p := paymenttest.Sample(t, 1)
	if err := s.Claim(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	p = paymenttest.Step(p, payment.StateSettled, payment.DeliveryOpen)
	if err := s.Update(t.Context(), p, []payment.Entry{paymenttest.SettleEntry(p)}, nil); err != nil {
		t.Fatal(err)
	}
	c := outside(t, "file:"+strings.NewReplacer("%", "%25", "#", "%23", "?", "%3f", " ", "%20").Replace(path))
	for _, text := range []string{"update entries set units = 1", "delete from entries"} {
		if _, err := c.ExecContext(t.Context(), text); err == nil || !strings.Contains(err.Error(), "never") {
			t.Errorf("%s: %v, want a refusal", text, err)
		}
	}
}

func TestGivenUpInTheQueueIsNeverDone(t *testing.T) {
	cfg := plain(t)
	cfg.CommitDelay = 100 * time.Millisecond
	s, err := sqlstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first := make(chan error, 1)
	go func() { first <- s.SetSetting(t.Context(), "a", "1") }()
	for s.Stats().Queued > 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err = s.Claim(ctx, paymenttest.Sample(t, 1))
	if ferr := <-first; ferr != nil {
		t.Fatal(ferr)
	}
	_, gerr := s.Get(t.Context(), paymenttest.Sample(t, 1).ID)
	if stored := gerr == nil; stored != (err == nil) {
		t.Errorf("claim said %v, but stored is %v", err, stored)
	}
}

func TestOpenRefusesWhatItCannotServe(t *testing.T) {
	for _, dsn := range []string{"", "paywall.db", "sqlite:", "sqlite::memory:", "postgres://x"} {
		if _, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: dsn}); err == nil {
			t.Errorf("%q opened", dsn)
		}
	}
	if _, err := sqlstore.OpenReader(t.Context(), plain(t)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reader of a missing file: %v", err)
	}
}
