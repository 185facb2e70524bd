package sqlstore

import (
	"errors"
	"path/filepath"
	"testing"

	"paywall/payment"
	"paywall/payment/paymenttest"
)

func TestI160_FullDisk(t *testing.T) {
	s, err := Open(t.Context(), Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "paywall.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// SQLite answers SQLITE_FULL at this size just as it does on a full disk. The
	// limit is the connection's, and rollback of a failed transaction keeps it.
	limit := func(text string) {
		if err := s.w.do(t.Context(), func(x *session) error {
			var pages int64
			return x.row(text).Scan(&pages)
		}); err != nil {
			t.Fatal(err)
		}
	}
	limit("pragma max_page_count = 60")
	n, refusal := 0, error(nil)
	for ; refusal == nil && n < 1000; n++ {
		refusal = s.Claim(t.Context(), paymenttest.Sample(t, n))
	}
	if refusal == nil {
		t.Fatal("the disk never filled")
	}
	for i := range n {
		_, err := s.Get(t.Context(), paymenttest.Sample(t, i).ID)
		if i < n-1 && err != nil {
			t.Errorf("acknowledged claim %d: %v", i, err)
		}
		if i == n-1 && !errors.Is(err, payment.ErrNotFound) {
			t.Errorf("refused claim: %v, want ErrNotFound", err)
		}
	}
	limit("pragma max_page_count = 1000000")
	if err := s.Claim(t.Context(), paymenttest.Sample(t, n-1)); err != nil {
		t.Errorf("claim when there is room again: %v", err)
	}
}

func TestNetworkFileSystems(t *testing.T) {
	for magic, want := range map[uint32]bool{0x6969: true, 0xff534d42: true, 0xfe534d42: true, 0xef53: false, 0x01021994: false} {
		if got := networkFS(magic); got != want {
			t.Errorf("file system %#x: %v, want %v", magic, got, want)
		}
	}
}
