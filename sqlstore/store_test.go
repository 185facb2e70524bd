package sqlstore_test

import (
	"path/filepath"
	"testing"
	"time"

	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/receipts"
	"paywall/receipts/receiptstest"
	"paywall/sqlstore"
)

// open opens a store in a file of its own and closes it at the end.
func open(tb testing.TB, change func(*sqlstore.Config)) (*sqlstore.Store, string) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "a #1?%41.db")
	cfg := sqlstore.Config{DSN: "sqlite:" + path, Now: func() time.Time { return time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC) }}
	if change != nil {
		change(&cfg)
	}
	s, err := sqlstore.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s, path
}

func TestStore(t *testing.T) {
	paymenttest.RunStore(t, func(t *testing.T) payment.Store {
		t.Helper()
		s, _ := open(t, nil)
		return s
	})
}

func TestReopen(t *testing.T) {
	cfg := sqlstore.Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "paywall.db")}
	paymenttest.RunReopen(t, func(t *testing.T) (payment.Store, func()) {
		t.Helper()
		s, err := sqlstore.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return s, func() {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	})
}

func TestUses(t *testing.T) {
	receiptstest.RunUses(t, func(t *testing.T) receipts.Uses {
		t.Helper()
		s, _ := open(t, nil)
		return s
	})
}

func TestRemember(t *testing.T) {
	s, _ := open(t, nil)
	for _, tt := range []struct {
		name, principal, key, fingerprint, value string
		want                                     string
		conflict                                 bool
	}{
		{"first", "alice", "k", "f", "pay_1", "", false},
		{"again", "alice", "k", "f", "pay_2", "pay_1", false},
		{"another request", "alice", "k", "g", "pay_3", "pay_1", true},
		{"another principal", "bob", "k", "g", "pay_4", "", false},
	} {
		got, conflict, err := s.Remember(t.Context(), tt.principal, tt.key, tt.fingerprint, tt.value)
		if err != nil || got != tt.want || conflict != tt.conflict {
			t.Errorf("%s: %q, %v, %v; want %q, %v", tt.name, got, conflict, err, tt.want, tt.conflict)
		}
	}
}
