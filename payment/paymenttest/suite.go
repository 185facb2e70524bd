package paymenttest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paywall/money"
	"paywall/payment"
)

// began is when the suite's payments are made.
var began = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// Sample returns a rightful claim, different for each n: payments with a higher
// n have later ids.
func Sample(tb testing.TB, n int) payment.Payment {
	tb.Helper()
	amount, err := money.New(int64(100+n), "USD", 2)
	if err != nil {
		tb.Fatal(err)
	}
	at := began.Add(time.Duration(n) * time.Second)
	return payment.Payment{
		ID: fmt.Sprintf("pay_%032d", n), Revision: 1, State: payment.StatePending, Delivery: payment.DeliveryNone,
		Protocol: "mpp", Method: "fake", Account: "acct_1", Description: "one report",
		ChallengeID: fmt.Sprintf("challenge-%d", n), CredentialHash: fmt.Sprintf("hash-%d", n), Instrument: fmt.Sprintf("instrument-%d", n),
		Scope:  payment.Scope{Tenant: "shop", Route: "report", Method: "GET", Target: "/v1/reports/1?x=%20", Digest: "sha-256=:AA==:"},
		Amount: amount, Key: fmt.Sprintf("key-%d", n), Intent: []byte{0, 1, 255},
		WindowEnds: at.Add(15 * time.Minute), Redeliver: true,
		Owner: "one", Epoch: 1, LeaseUntil: at.Add(time.Minute), Attempts: 1, CreatedAt: at, UpdatedAt: at,
	}
}

// Step returns p as its next revision in another position.
func Step(p payment.Payment, s payment.State, d payment.Delivery) payment.Payment {
	p.Revision++
	p.State, p.Delivery = s, d
	p.UpdatedAt = p.UpdatedAt.Add(time.Second)
	if s == payment.StateSettled && p.SettledAt.IsZero() {
		p.SettledAt, p.Reference, p.Intent = p.UpdatedAt, "charge-"+p.ID, nil
	}
	return p
}

// SettleEntry is the entry of a first settlement.
func SettleEntry(p payment.Payment) payment.Entry {
	return payment.Entry{
		Payment: p.ID, Kind: "settle", Debit: payment.AccountReceivable + p.Method, Credit: payment.AccountUndelivered,
		Amount: p.Amount, At: p.UpdatedAt,
	}
}

// RunStore checks the contract of [payment.Store], races included. open returns
// an empty store each time and closes it through t.Cleanup.
func RunStore(t *testing.T, open func(t *testing.T) payment.Store) {
	t.Helper()
	for _, part := range []struct {
		name string
		run  func(t *testing.T, s payment.Store)
	}{
		{"what is claimed is found as it was", claimFound},
		{"a used challenge, a held instrument and a pause refuse", claimRefused},
		{"I1 racers for one challenge", raceChallenge},
		{"I2 racers for one instrument", raceInstrument},
		{"racers for one revision", raceUpdate},
		{"an update stores everything or nothing", updateWhole},
		{"a stale owner is fenced", fenced},
		{"fixed fields stay", fixedStay},
		{"the state table, and no other", stateTable},
		{"the state table of held payments", heldTable},
		{"how much is taken of a held payment", heldAmount},
		{"what is due, and in which order", dueOrder},
		{"pages of payments", listPages},
		{"pages of ledger and outbox", ledgerPages},
		{"settings", settings},
		{"an event is new once", seenOnce},
		{"mixed work at once", mixed},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, open(t)) })
	}
}

// RunReopen checks that what was acknowledged is there after closing and
// opening again. open opens the same place each time.
func RunReopen(t *testing.T, open func(t *testing.T) (s payment.Store, closed func())) {
	t.Helper()
	s, closed := open(t)
	p := claim(t, s, 1)
	p = settle(t, s, p)
	if err := s.SetSetting(t.Context(), payment.SettingClock, "2026-11-02T09:00:00Z"); err != nil {
		t.Fatal(err)
	}
	see(t, s, "evt_1", true)
	closed()

	s, closed = open(t)
	defer closed()
	wantPayment(t, s, p)
	if got, err := s.Setting(t.Context(), payment.SettingClock); err != nil || got != "2026-11-02T09:00:00Z" {
		t.Errorf("setting = %q, %v", got, err)
	}
	see(t, s, "evt_1", false)
	if es, err := s.Entries(t.Context(), 0, 10); err != nil || len(es) != 1 || es[0].Entry != SettleEntry(p) {
		t.Errorf("entries = %v, %v", es, err)
	}
	if err := s.Claim(t.Context(), Sample(t, 1)); !errors.Is(err, payment.ErrChallengeUsed) {
		t.Errorf("claim again = %v, want ErrChallengeUsed", err)
	}
}

// SampleHeld is a [Sample] whose money is held first.
func SampleHeld(tb testing.TB, n int) payment.Payment {
	tb.Helper()
	p := Sample(tb, n)
	p.Held, p.Protocol, p.Payer, p.Network = true, "x402", fmt.Sprintf("0x%040x", n), "eip155:84532"
	return p
}

func claimHeld(t *testing.T, s payment.Store, n int) payment.Payment {
	t.Helper()
	p := SampleHeld(t, n)
	if err := s.Claim(t.Context(), p); err != nil {
		t.Fatalf("claim %d: %v", n, err)
	}
	return p
}

func claim(t *testing.T, s payment.Store, n int) payment.Payment {
	t.Helper()
	p := Sample(t, n)
	if err := s.Claim(t.Context(), p); err != nil {
		t.Fatalf("claim %d: %v", n, err)
	}
	return p
}

func update(t *testing.T, s payment.Store, p payment.Payment, entries ...payment.Entry) payment.Payment {
	t.Helper()
	if err := s.Update(t.Context(), p, entries, nil); err != nil {
		t.Fatalf("update %s to %s/%s: %v", p.ID, p.State, p.Delivery, err)
	}
	return p
}

func settle(t *testing.T, s payment.Store, p payment.Payment) payment.Payment {
	t.Helper()
	p = Step(p, payment.StateSettled, payment.DeliveryOpen)
	return update(t, s, p, SettleEntry(p))
}

func see(t *testing.T, s payment.Store, id string, want bool) {
	t.Helper()
	if fresh, err := s.Seen(t.Context(), "stripe", id, began); err != nil || fresh != want {
		t.Errorf("seen %s = %v, %v; want %v", id, fresh, err, want)
	}
}

func wantPayment(t *testing.T, s payment.Store, want payment.Payment) {
	t.Helper()
	got, err := s.Get(t.Context(), want.ID)
	if err != nil {
		t.Errorf("get %s: %v", want.ID, err)
		return
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b money.Amount) bool { return a == b })); d != "" {
		t.Errorf("stored payment differs (-want +got):\n%s", d)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

// race lets n callers loose at once and returns how many got no error. Every
// other error must be lost.
func race(t *testing.T, n int, lost error, run func(i int) error) int {
	t.Helper()
	var (
		won   atomic.Int64
		wg    sync.WaitGroup
		start = make(chan struct{})
	)
	for i := range n {
		wg.Go(func() {
			<-start
			err := run(i)
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, lost):
				t.Errorf("racer %d: %v, want %v", i, err, lost)
			}
		})
	}
	close(start)
	wg.Wait()
	return int(won.Load())
}

func ids(ps []payment.Payment) []string {
	var out []string
	for _, p := range ps {
		out = append(out, p.ID)
	}
	return out
}

func wantIDs(t *testing.T, what string, got []payment.Payment, want ...payment.Payment) {
	t.Helper()
	if !slices.Equal(ids(got), ids(want)) {
		t.Errorf("%s = %v, want %v", what, ids(got), ids(want))
	}
}
