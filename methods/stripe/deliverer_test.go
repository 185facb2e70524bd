package stripe_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paywall/methods/stripe"
	"paywall/money"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

// settleCoin puts a settled payment with stablecoins into the store, of units in
// millionths.
func settleCoin(tb testing.TB, s payment.Store, n int, units int64, change ...func(*payment.Payment)) payment.Payment {
	tb.Helper()
	p := paymenttest.Sample(tb, n)
	var err error
	if p.Amount, err = money.New(units, "USDC", 6); err != nil {
		tb.Fatal(err)
	}
	p.Method, p.Network, p.Payer = "facilitator", "eip155:84532", "0xpayer"
	for _, c := range change {
		c(&p)
	}
	if err := s.Claim(tb.Context(), p); err != nil {
		tb.Fatal(err)
	}
	reference := p.Reference
	p = paymenttest.Step(p, payment.StateSettled, payment.DeliveryOpen)
	p.Reference, p.SettledAt = hashOf(n), began
	if reference != "" {
		p.Reference = reference
	}
	e := payment.Event{ID: fmt.Sprintf("evt_%d", n), Payment: p.ID, Type: "payment.settled", At: began}
	if err := s.Update(tb.Context(), p, nil, []payment.Event{e}); err != nil {
		tb.Fatal(err)
	}
	return p
}

// frail is a store whose settings cannot be written for a while.
type frail struct {
	payment.Store

	broken atomic.Bool
}

var errDisk = errors.New("disk full")

func (f *frail) SetSetting(ctx context.Context, name, value string) error {
	if f.broken.Load() {
		return errDisk
	}
	return f.Store.SetSetting(ctx, name, value) //nolint:wrapcheck // a test's store
}

func deliverer(tb testing.TB, pr *processor, s stripe.Outbox, now func() time.Time) *stripe.Deliverer {
	tb.Helper()
	m, err := stripe.New(stripe.Config{Key: testKey, Profile: "profile_test_shop", BaseURL: pr.URL, Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	r, err := stripe.NewRecorder(stripe.CoinConfig{Rail: m})
	if err != nil {
		tb.Fatal(err)
	}
	d, err := stripe.NewDeliverer(stripe.DelivererConfig{Store: s, Recorder: r, Methods: []string{"facilitator", "upto"}, Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func deliver(tb testing.TB, d *stripe.Deliverer, want int) {
	tb.Helper()
	if n, err := d.Deliver(tb.Context()); err != nil || n != want {
		tb.Fatalf("%d entered, %v; want %d", n, err, want)
	}
}

func transfers(tb testing.TB, d *stripe.Deliverer) stripe.Transfers {
	tb.Helper()
	got, err := d.Transfers(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

func TestDeliver(t *testing.T) {
	pr := newProcessor(t)
	s := paymenttest.NewStore()
	settleCoin(t, s, 0, 1_000_000) // before there were deposit addresses
	d := deliverer(t, pr, s, clock)
	if err := d.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	dollar := settleCoin(t, s, 1, 1_000_000)
	small := settleCoin(t, s, 2, 4_000)
	settleCoin(t, s, 3, 5_000_000, func(p *payment.Payment) { p.Method = "stripe" }) // entered there already
	settleCoin(t, s, 4, 5_000_000, func(p *payment.Payment) { p.Method = "another" })
	whole := settleCoin(t, s, 5, 6_500, func(p *payment.Payment) { p.Method = "upto" })
	for n := range 6 {
		pr.arrive(hashOf(n), 1000)
	}
	if err := d.Begin(t.Context()); err != nil { // a second start changes nothing
		t.Fatal(err)
	}
	deliver(t, d, 2)
	deliver(t, d, 0)
	for _, tt := range []struct {
		id    string
		cents int64
	}{{dollar.ID, 100}, {small.ID, 0}, {whole.ID, 1}, {"", 101}} {
		if cents, _ := pr.entered(tt.id); cents != tt.cents {
			t.Errorf("%d cents for %q, want %d", cents, tt.id, tt.cents)
		}
	}
	got := transfers(t, d)
	if got.Position != 6 || len(got.Dead)+len(got.Waiting) != 0 || len(got.Carry) != 1 || got.Carry["base"].String() != "0.000500 USDC" {
		t.Errorf("transfers %+v", got)
	}
	// Another process goes on where this one was.
	settleCoin(t, s, 6, 9_500)
	pr.arrive(hashOf(6), 1000)
	deliver(t, deliverer(t, pr, s, clock), 1)
	if cents, _ := pr.entered(""); cents != 102 {
		t.Errorf("%d cents in all", cents)
	}
}

// A crash between the processor's answer and the store leaves everything to be done
// again, in the same words.
func TestDeliverIsInterrupted(t *testing.T) {
	pr := newProcessor(t)
	s := &frail{Store: paymenttest.NewStore()}
	d := deliverer(t, pr, s, clock)
	settleCoin(t, s, 1, 7_000)
	settleCoin(t, s, 2, 8_000)
	settleCoin(t, s, 3, 9_000)
	for n := range 4 {
		pr.arrive(hashOf(n), 100)
	}
	s.broken.Store(true)
	if _, err := d.Deliver(t.Context()); !errors.Is(err, errDisk) {
		t.Fatalf("err = %v", err)
	}
	s.broken.Store(false)
	deliver(t, deliverer(t, pr, s, clock), 2)
	if cents, n := pr.entered(""); cents != 2 || n != 2 {
		t.Errorf("%d cents in %d entries, want 2 in 2", cents, n)
	}
	sent := pr.sent("create")
	if len(sent) != 3 || sent[0].Body != sent[1].Body {
		t.Errorf("sent %+v", sent)
	}
	if got := transfers(t, d); got.Carry["base"].Units() != 4_000 {
		t.Errorf("carry %s", got.Carry["base"])
	}
}

// A processor that cannot be asked holds everything up, and loses nothing.
func TestDeliverWhileTheProcessorIsDown(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault fault
	}{
		{"unavailable", answer(503, ``)},
		{"limit", answer(429, `{"error":{"type":"invalid_request_error"}}`)},
		{"key", answer(401, `{"error":{"type":"invalid_request_error","message":"leakme"}}`)},
		{"not approved", answer(400, `{"error":{"type":"invalid_request_error","code":"parameter_unknown"}}`)},
		{"lost", drop(true)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			s := paymenttest.NewStore()
			d := deliverer(t, pr, s, clock)
			settleCoin(t, s, 1, 70_000)
			settleCoin(t, s, 2, 80_000)
			pr.arrive(hashOf(1), 100)
			pr.arrive(hashOf(2), 100)
			pr.play("create", tt.fault)
			n, err := d.Deliver(t.Context())
			if n != 0 || !errors.Is(err, stripe.ErrDelivery) || strings.Contains(err.Error(), "leakme") || len(pr.sent("create")) != 1 {
				t.Fatalf("%d, %v; %d calls", n, err, len(pr.sent("create")))
			}
			if got := transfers(t, d); got.Position != 0 {
				t.Errorf("transfers %+v", got)
			}
			deliver(t, d, 2)
			if cents, n := pr.entered(""); cents != 15 || n != 2 {
				t.Errorf("%d cents in %d entries", cents, n)
			}
		})
	}
}

// The processor follows the chain from behind: what it does not see yet holds up
// nobody, and is tried until it does, or is given up to a person.
func TestDeliverWhatIsNotSeenYet(t *testing.T) {
	pr := newProcessor(t)
	s := paymenttest.NewStore()
	now := began
	d := deliverer(t, pr, s, func() time.Time { return now })
	late := settleCoin(t, s, 1, 70_000)
	settleCoin(t, s, 2, 80_000)
	never := settleCoin(t, s, 3, 90_000)
	pr.arrive(hashOf(2), 100)
	deliver(t, d, 1)
	got := transfers(t, d)
	if got.Position != 3 || len(got.Waiting) != 2 || got.Waiting[0].PaymentID != late.ID || got.Waiting[0].Amount.String() != "0.07 USD" {
		t.Fatalf("transfers %+v", got)
	}
	calls := len(pr.sent("create"))
	deliver(t, d, 0)
	if n := len(pr.sent("create")); n != calls {
		t.Error("it was tried again at once")
	}
	pr.arrive(hashOf(1), 100)
	now = now.Add(2 * time.Second)
	deliver(t, d, 1)
	for range 100 {
		now = now.Add(time.Hour)
		deliver(t, d, 0)
	}
	got = transfers(t, d)
	if len(got.Waiting) != 0 || len(got.Dead) != 1 || got.Dead[0].PaymentID != never.ID || got.Dead[0].Reason != "transaction_not_verified" {
		t.Fatalf("transfers %+v", got)
	}
	if d := got.Dead[0]; d.Transaction != hashOf(3) || d.Network != "base" || d.Amount.String() != "0.09 USD" || d.Tries < 10 {
		t.Errorf("dead %+v", d)
	}
	// A person has found out.
	if err := d.Retry(t.Context(), late.ID); !errors.Is(err, payment.ErrNotFound) {
		t.Errorf("retry of what is not dead: %v", err)
	}
	if err := d.Retry(t.Context(), never.ID); err != nil {
		t.Fatal(err)
	}
	pr.arrive(hashOf(3), 9)
	deliver(t, d, 1)
	if got := transfers(t, d); len(got.Dead)+len(got.Waiting) != 0 {
		t.Errorf("transfers %+v", got)
	}
	if cents, n := pr.entered(""); cents != 24 || n != 3 {
		t.Errorf("%d cents in %d entries", cents, n)
	}
}

func TestDeliverPutsAsideWhatCannotBe(t *testing.T) {
	pr := newProcessor(t)
	s := paymenttest.NewStore()
	d := deliverer(t, pr, s, clock)
	settleCoin(t, s, 1, 4_000)
	network := settleCoin(t, s, 2, 70_000, func(p *payment.Payment) { p.Network = "eip155:8453" })
	hash := settleCoin(t, s, 3, 70_000, func(p *payment.Payment) { p.Reference = "0xshort" })
	euros := settleCoin(t, s, 4, 70_000, func(p *payment.Payment) {
		a, err := money.New(70_000, "EURC", 6)
		if err != nil {
			t.Fatal(err)
		}
		p.Amount = a
	})
	good := settleCoin(t, s, 5, 7_000)
	for n := range 6 {
		pr.arrive(hashOf(n), 100)
	}
	deliver(t, d, 1)
	got := transfers(t, d)
	reasons := map[string]string{}
	for _, dead := range got.Dead {
		reasons[dead.PaymentID] = dead.Reason
	}
	want := map[string]string{network.ID: "network_unusable", hash.ID: "transaction_unusable", euros.ID: "amount_unusable"}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("dead (-want +got):\n%s", diff)
	}
	if cents, _ := pr.entered(good.ID); cents != 1 {
		t.Errorf("%d cents for the good one", cents)
	}
	if err := d.Dismiss(t.Context(), euros.ID); err != nil {
		t.Error(err)
	}
	if err := d.Dismiss(t.Context(), euros.ID); !errors.Is(err, payment.ErrNotFound) {
		t.Errorf("a second time: %v", err)
	}
	if got := transfers(t, d); len(got.Dead) != 2 {
		t.Errorf("transfers %+v", got)
	}
}

// An account that refuses everything must not fill the store; what is not dealt with
// stays in the outbox.
func TestDeliverStopsWhenTooMuchIsPutAside(t *testing.T) {
	pr := newProcessor(t)
	s := paymenttest.NewStore()
	d := deliverer(t, pr, s, clock)
	for n := range 510 {
		settleCoin(t, s, n, 70_000, func(p *payment.Payment) { p.Network = "eip155:1" })
	}
	if _, err := d.Deliver(t.Context()); !errors.Is(err, stripe.ErrBacklog) {
		t.Fatalf("err = %v", err)
	}
	got := transfers(t, d)
	if len(got.Dead) != 500 || got.Position != 500 {
		t.Fatalf("%d dead at %d", len(got.Dead), got.Position)
	}
	for _, one := range got.Dead[:20] {
		if err := d.Dismiss(t.Context(), one.PaymentID); err != nil {
			t.Fatal(err)
		}
	}
	deliver(t, d, 0)
	if got := transfers(t, d); got.Position != 510 || len(got.Dead) != 490 {
		t.Errorf("%d dead at %d", len(got.Dead), got.Position)
	}
}

// Two at once, as during an update, enter everything once.
func TestDeliverTwiceAtOnce(t *testing.T) {
	pr := newProcessor(t)
	s := paymenttest.NewStore()
	sum := int64(0)
	for n := range 20 {
		settleCoin(t, s, n, int64(3_333*n+1))
		pr.arrive(hashOf(n), 1000)
		sum += int64(3_333*n + 1)
	}
	var wg sync.WaitGroup
	for range 3 {
		d := deliverer(t, pr, s, clock)
		for range 2 {
			wg.Go(func() {
				if _, err := d.Deliver(t.Context()); err != nil && !errors.Is(err, stripe.ErrDelivery) { // 409 while the other's is running
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	d := deliverer(t, pr, s, clock)
	if _, err := d.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	cents, _ := pr.entered("")
	if cents != sum/10_000 || transfers(t, d).Carry["base"].Units() != sum%10_000 {
		t.Errorf("%d cents and %s, want %d and %d", cents, transfers(t, d).Carry["base"], sum/10_000, sum%10_000)
	}
}

// Whatever comes in, in whatever order, with faults in between: what is entered and
// what is carried and what is put aside add up to what came in.
func TestNothingIsLostOrEnteredTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		pr := newProcessor(t)
		defer pr.Close()
		s := &frail{Store: paymenttest.NewStore()}
		now := began
		tick := func() time.Time { return now }
		d := deliverer(t, pr, s, tick)
		var sum int64
		for n := range rapid.IntRange(1, 12).Draw(rt, "payments") {
			units := rapid.Int64Range(1, 25_000).Draw(rt, "units")
			settleCoin(t, s, n, units)
			sum += units
			seen := rapid.Bool().Draw(rt, "seen")
			if seen {
				pr.arrive(hashOf(n), 1000)
			}
			switch rapid.IntRange(0, 5).Draw(rt, "fault") {
			case 0:
				pr.play("create", drop(true))
			case 1:
				pr.play("create", answer(503, ``))
			case 2:
				s.broken.Store(true)
			case 3:
				d = deliverer(t, pr, s, tick) // another process
			}
			_, _ = d.Deliver(t.Context()) // what it cannot do now it does later
			s.broken.Store(false)
			if !seen && rapid.Bool().Draw(rt, "seen later") {
				pr.arrive(hashOf(n), 1000)
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(rt, "minutes")) * time.Minute)
		}
		for range 12 { // faults may be left over
			_, _ = d.Deliver(t.Context())
		}
		if _, err := d.Deliver(t.Context()); err != nil {
			rt.Fatal(err)
		}
		got := transfers(t, d)
		entered, _ := pr.entered("")
		have := entered*10_000 + got.Carry["base"].Units()
		for _, u := range append(got.Waiting, got.Dead...) {
			have += u.Amount.Units() * 10_000
		}
		if have != sum {
			rt.Fatalf("%d cents entered, %+v: %d of %d", entered, got, have, sum)
		}
	})
}

func TestRunGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := paymenttest.NewStore()
		m, err := stripe.New(stripe.Config{Key: testKey, Profile: "profile_test_shop", BaseURL: "http://127.0.0.1:1", Transport: failing{errDisk}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := stripe.NewRecorder(stripe.CoinConfig{Rail: m})
		if err != nil {
			t.Fatal(err)
		}
		events := &counting{Store: s}
		d, err := stripe.NewDeliverer(stripe.DelivererConfig{Store: events, Recorder: r, Methods: []string{"facilitator"}})
		if err != nil {
			t.Fatal(err)
		}
		settleCoin(t, s, 1, 70_000)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { d.Run(ctx, 0); close(done) }()
		time.Sleep(time.Hour)
		cancel()
		<-done
		// 4 + 8 + … + 256 seconds, and then every five minutes.
		if n := events.n.Load(); n < 12 || n > 24 {
			t.Errorf("%d passes in an hour of refusals", n)
		}
	})
}

type counting struct {
	payment.Store

	n atomic.Int64
}

func (c *counting) Events(ctx context.Context, after int64, limit int) ([]payment.PositionedEvent, error) {
	c.n.Add(1)
	return c.Store.Events(ctx, after, limit) //nolint:wrapcheck // a test's store
}

func TestDelivererConfig(t *testing.T) {
	pr := newProcessor(t)
	r := recorder(t, pr.rail(t))
	s := paymenttest.NewStore()
	for _, tt := range []struct {
		name string
		cfg  stripe.DelivererConfig
	}{
		{"Store", stripe.DelivererConfig{Recorder: r, Methods: []string{"x"}}},
		{"Recorder", stripe.DelivererConfig{Store: s, Methods: []string{"x"}}},
		{"Methods", stripe.DelivererConfig{Store: s, Recorder: r}},
		{"Methods", stripe.DelivererConfig{Store: s, Recorder: r, Methods: []string{"stripe"}}},
		{"Patience", stripe.DelivererConfig{Store: s, Recorder: r, Methods: []string{"x"}, Patience: -1}},
	} {
		if _, err := stripe.NewDeliverer(tt.cfg); err == nil || !strings.Contains(err.Error(), "DelivererConfig."+tt.name) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := stripe.NewDeposits(stripe.CoinConfig{}); err == nil {
		t.Error("deposits without a rail")
	}
	if _, err := stripe.NewRecorder(stripe.CoinConfig{Rail: pr.rail(t), APIVersion: "today"}); err == nil {
		t.Error("a version that is none")
	}
}

// A state that cannot be read is no reason to begin anew, which would enter
// everything again.
func FuzzTransfersSetting(f *testing.F) {
	f.Add(`{"position":3,"carry":{"base":500}}`)
	f.Add(`{"position":3,"waiting":[{"payment":"pay_1","network":"base","transaction":"0x1","cents":4,"at":"2026-11-02T09:01:00Z","since":"2026-11-02T09:01:00Z","next":"2026-11-02T09:01:00Z","tries":1,"reason":"x"}]}`)
	f.Add(`{"position":-1}`)
	f.Add(`{"position":1,"carry":{"base":10000}}`)
	f.Add(`{}{}`)
	f.Add(`null`)
	m, err := stripe.New(stripe.Config{Key: testKey, Profile: "internal", Transport: failing{errDisk}, Now: clock})
	if err != nil {
		f.Fatal(err)
	}
	r, err := stripe.NewRecorder(stripe.CoinConfig{Rail: m})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		s := paymenttest.NewStore()
		if err := s.SetSetting(t.Context(), stripe.DefaultLedgerSetting, value); err != nil {
			t.Skip()
		}
		d, err := stripe.NewDeliverer(stripe.DelivererConfig{Store: s, Recorder: r, Methods: []string{"facilitator"}, Now: clock})
		if err != nil {
			t.Fatal(err)
		}
		first, err := d.Transfers(t.Context())
		if err != nil {
			if got, _ := s.Setting(t.Context(), stripe.DefaultLedgerSetting); got != value {
				t.Errorf("%q was replaced by %q", value, got)
			}
			return
		}
		for network, a := range first.Carry {
			if a.Units() >= 10_000 || a.Units() < 0 {
				t.Errorf("carry %s of %s is a cent or more", network, a)
			}
		}
		again, err := d.Transfers(t.Context())
		if err != nil || !cmp.Equal(first, again, cmp.Comparer(func(a, b money.Amount) bool { return a == b })) {
			t.Errorf("it reads back as %+v, %v; it was %+v", again, err, first)
		}
	})
}
