package sqlstore_test

import (
	"database/sql"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"paywall/payment"
	"paywall/payment/paymenttest"
	"paywall/sqlstore"
)

// TestRowsOfTheFirstSchema: what the first program wrote is read as it was, and its
// payments go on as if nothing had changed.
func TestRowsOfTheFirstSchema(t *testing.T) {
	cfg, want := plain(t), paymenttest.Sample(t, 1)
	first(t, strings.TrimPrefix(cfg.DSN, "sqlite:"), want)
	s, err := sqlstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := s.Get(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Scope != want.Scope || got.Amount != want.Amount || got.Held || got.Payer != "" || got.Network != "" ||
		got.RefundsFailed != 0 || got.LeaseUntil != want.LeaseUntil || got.CreatedAt != want.CreatedAt {
		t.Errorf("read as %+v", got)
	}
	if due, err := s.Due(t.Context(), want.LeaseUntil, 9); err != nil || len(due) != 1 {
		t.Errorf("due %v, %v", due, err)
	}
	next := paymenttest.Step(got, payment.StateSettled, payment.DeliveryOpen)
	if err := s.Update(t.Context(), next, []payment.Entry{paymenttest.SettleEntry(next)}, nil); err != nil {
		t.Errorf("settle a payment of the first schema: %v", err)
	}
	if report, err := payment.Audit(t.Context(), s, want.CreatedAt, time.Minute); err != nil || len(report.Breaks) > 0 {
		t.Errorf("breaks %v, %v", report.Breaks, err)
	}
	if err := s.Claim(t.Context(), paymenttest.SampleHeld(t, 2)); err != nil {
		t.Errorf("claim beside it: %v", err)
	}
}

// first makes a store of the first schema with one claim in it.
func first(t *testing.T, path string, p payment.Payment) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	g, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations/sqlite"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), `insert into payments (id, revision, state, delivery, dispatches, protocol, method, account,
		challenge_id, credential_hash, instrument, tenant, route, http_method, target, digest, units, currency, scale, description,
		rail_key, fixed, intent, reference, refund_reference, receipt_id, reason, disputed, window_ends, redeliver, owner, epoch,
		lease_until, attempts, created_at, settled_at, delivered_at, refunded_at, updated_at, due_at)
		values ($1, 1, 'pending', 'none', 0, 'mpp', 'fake', 'acct_1', $2, $3, $4, $5, $6, $7, $8, $9, $10, 'USD', 2, 'one report',
		$11, $12, $13, '', '', '', '', 0, $14, 1, 'one', 1, $15, 1, $16, 0, 0, 0, $16, $15)`,
		p.ID, p.ChallengeID, p.CredentialHash, p.Instrument, p.Scope.Tenant, p.Scope.Route, p.Scope.Method, p.Scope.Target, p.Scope.Digest,
		p.Amount.Units(), p.Key,
		"nFcTmQpaHt47gQKIBxadSdhHiqgaPLY6hz8iGTbvKOI", // what the first program made of this sample
		p.Intent, p.WindowEnds.UnixMilli(), p.LeaseUntil.UnixMilli(), p.CreatedAt.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
}

// TestPayerHasAnIndex: whoever asks for one payer's payments does not read all.
func TestPayerHasAnIndex(t *testing.T) {
	s, path := open(t, nil)
	if _, err := s.List(t.Context(), payment.Filter{Payer: "0xabc", State: payment.StateSettled}, "", 9); err != nil {
		t.Fatal(err)
	}
	conn := outside(t, "file:"+strings.NewReplacer("%", "%25", "#", "%23", "?", "%3f", " ", "%20").Replace(path))
	var id, parent, unused int
	var plan string
	err := conn.QueryRowContext(t.Context(), `explain query plan select id from payments
		where ($1 = '' or state = $1) and payer <> '' and payer = $2 order by id desc limit 9`, "settled", "0xabc").Scan(&id, &parent, &unused, &plan)
	if err != nil || !strings.Contains(plan, "payments_payer") {
		t.Errorf("plan %q, %v", plan, err)
	}
}
