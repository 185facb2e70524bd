package checkout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"paywall/checkout"
	"paywall/checkout/checkouttest"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

// market is a shop whose store, books and rail outlive any process.
type market struct {
	store *checkouttest.Memory
	books payment.Store
	rail  *paymenttest.Method
	shop  *checkout.Shop
	point func(string)
	// opens opens credit; nil is a shop that sells none.
	opens func(context.Context, payment.Payment, time.Time) error
}

func newMarket(t testing.TB) *market {
	t.Helper()
	s := sample()
	s.Taxes, s.Shipping = nil, s.Shipping[:1]
	s.Products[1].Variants[0].Digital = true
	made, err := checkout.NewShop(s)
	if err != nil {
		t.Fatal(err)
	}
	return &market{store: &checkouttest.Memory{}, books: paymenttest.NewStore(), rail: &paymenttest.Method{}, shop: made}
}

// reprice is the next version of the catalog.
func (m *market) reprice(t testing.TB, change func(*checkout.Shop)) {
	t.Helper()
	s := *m.shop
	s.Products = append([]checkout.Product{}, s.Products...)
	for i := range s.Products {
		s.Products[i].Variants = append([]checkout.Variant{}, s.Products[i].Variants...)
	}
	change(&s)
	s.Version += "+"
	made, err := checkout.NewShop(s)
	if err != nil {
		t.Fatal(err)
	}
	m.shop = made
}

// process is a process on the market's stores.
type process struct {
	*checkout.Service
	payments *payment.Processor
}

type fataler interface {
	Helper()
	Fatal(args ...any)
}

func (m *market) open(ctx context.Context, t fataler) process {
	t.Helper()
	point := func(name string) {
		if m.point != nil {
			m.point(name)
		}
	}
	p, err := payment.New(ctx, payment.Config{
		Store: m.books, Methods: []payment.Method{m.rail}, Key: []byte(strings.Repeat("k", 32)), Sole: true,
		Backoff: time.Second, Patience: 3 * time.Second, Point: point,
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := checkout.New(checkout.Config{
		Store: m.store, Shop: func() *checkout.Shop { return m.shop }, Payments: p, Tenant: "shop.example",
		Build: func(o checkout.Order) (*checkout.Delivery, error) {
			return &checkout.Delivery{ID: fmt.Sprintf("whk_%s_%d", o.ID, o.Revision), Order: o.ID, State: checkout.DeliveryPending, Body: []byte("{}")}, nil
		},
		Point: point, OpenCredit: m.opens,
	})
	if err != nil {
		t.Fatal(err)
	}
	return process{s, p}
}

var agent = checkout.Caller{Principal: "profile:https://agent.example/p", Platform: checkout.Platform{Profile: "https://agent.example/p", Version: "2026-08-25"}}

// by pays with a token through the rail.
func (m *market) by(token string) checkout.Pay {
	return func(d checkout.Due) (payment.Credential, error) {
		o, err := m.rail.Offer(d.Quote)
		if err != nil {
			return payment.Credential{}, checkout.Refuse(checkout.KindPayment, "payment_failed", "it cannot be paid", "", checkout.Recoverable)
		}
		return payment.Credential{
			Protocol: "ucp", ChallengeID: d.Challenge, Offer: o, Scope: d.Scope, Payload: json.RawMessage(fmt.Sprintf(`{"token":%q}`, token)),
			Hash: d.Challenge + token, Expires: d.Session.ExpiresAt,
		}, nil
	}
}

func unpayable(checkout.Due) (payment.Credential, error) { panic("nothing is to be paid") }

func kindOf(err error) checkout.ErrorKind {
	if e, ok := errors.AsType[*checkout.Error](err); ok {
		return e.Kind
	}
	return 255
}

func session(t *testing.T, p process, wants ...any) checkout.Session {
	t.Helper()
	x, err := p.Create(t.Context(), agent, checkout.Desired{Lines: lines(wants...)})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// settled holds the promise: what was charged has one order and is delivered, or is
// returned, and nothing is ordered that was not paid.
func (m *market) settled(t interface {
	Helper()
	Errorf(format string, args ...any)
},
) {
	t.Helper()
	ctx := context.Background()
	pays, err := m.books.List(ctx, payment.Filter{}, "", 1000)
	if err != nil {
		t.Errorf("%v", err)
	}
	for _, p := range pays {
		_, err := m.store.OrderByPayment(ctx, p.ID)
		ordered := err == nil
		switch p.State {
		case payment.StateSettled:
			if !ordered || p.Delivery != payment.DeliveryDelivered {
				t.Errorf("%s is %s/%s, ordered %v", p.ID, p.State, p.Delivery, ordered)
			}
		case payment.StateRefunded, payment.StateFailed, payment.StateVoided:
		default:
			t.Errorf("%s is still %s", p.ID, p.State)
		}
	}
	orders, err := m.store.Orders(ctx, "", 1000)
	if err != nil {
		t.Errorf("%v", err)
	}
	for _, o := range orders {
		x, err := m.store.Session(ctx, o.Session)
		if err != nil || x.Order != o.ID || x.Status != checkout.Completed || x.Closing {
			t.Errorf("order %s of %+v, %v", o.ID, x, err)
		}
		if o.Payment == "" {
			continue
		}
		p, err := m.books.Get(ctx, o.Payment)
		if err != nil || p.SettledAt.IsZero() || p.Amount.Units() != x.Priced.Total() {
			t.Errorf("order %s is paid by %+v, %v", o.ID, p, err)
		}
	}
	report, err := payment.Audit(ctx, m.books, time.Now(), 0)
	if err != nil {
		t.Errorf("%v", err)
	}
	for _, f := range report.Breaks {
		t.Errorf("the books: %+v", f)
	}
}

func TestBuy(t *testing.T) {
	m := newMarket(t)
	p := m.open(t.Context(), t)
	x := session(t, p, "report", 2, "shirt-m", 1)
	if x.Status != checkout.Ready || x.Priced.Total() != 2900 || !strings.HasPrefix(x.ID, "chk_") || len(x.ID) < 30 {
		t.Fatalf("%+v", x)
	}
	done, err := p.Complete(t.Context(), agent, x.ID, "key-1", m.by("tok"))
	if err != nil || done.Status != checkout.Completed || done.Order == "" || done.Closing {
		t.Fatalf("%+v, %v", done, err)
	}
	o, err := p.Order(t.Context(), agent, done.Order)
	if err != nil || o.Payment != done.Payment || len(o.Lines) != 2 || o.Lines[0].Status() != "fulfilled" || len(o.Events) != 1 || len(o.Totals) == 0 {
		t.Errorf("%+v, %v", o, err)
	}
	pay, err := p.payments.Get(t.Context(), done.Payment)
	if err != nil || pay.Scope.Route != checkout.Route || !strings.Contains(pay.Scope.Target, x.ID) || pay.Description != "2 x Market report, Shirt, Medium" {
		t.Errorf("%+v, %v", pay, err)
	}
	// The answer was lost: the same key is answered with what there is, another is told.
	again, err := p.Complete(t.Context(), agent, x.ID, "key-1", unpayable)
	if err != nil || again.Order != done.Order {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := p.Complete(t.Context(), agent, x.ID, "key-2", unpayable); kindOf(err) != checkout.KindState {
		t.Errorf("%v", err)
	}
	if level, err := m.store.Stock(t.Context(), []string{"shirt-m"}, "", time.Now()); err != nil || level["shirt-m"] != (checkout.Level{Sold: 1}) {
		t.Errorf("%+v, %v", level, err)
	}
	m.settled(t)
}

func TestBuy_Free(t *testing.T) {
	m := newMarket(t)
	p := m.open(t.Context(), t)
	x := session(t, p, "free", 1)
	done, err := p.Complete(t.Context(), agent, x.ID, "", unpayable)
	if err != nil || done.Status != checkout.Completed || done.Payment != "" || done.Closing {
		t.Fatalf("%+v, %v", done, err)
	}
	m.settled(t)
}

func TestG132_OthersSeeNothing(t *testing.T) {
	m := newMarket(t)
	p := m.open(t.Context(), t)
	x := session(t, p, "report", 1)
	done, err := p.Complete(t.Context(), agent, session(t, p, "report", 1).ID, "", m.by("tok"))
	if err != nil {
		t.Fatal(err)
	}
	other := checkout.Caller{Principal: "profile:https://evil.example/p"}
	buyer := checkout.Caller{Buyer: true}
	ctx := t.Context()
	for name, err := range map[string]error{
		"get":            second(p.Get(ctx, other, x.ID)),
		"update":         second(p.Update(ctx, other, x.ID, checkout.Desired{Lines: lines("report", 1)})),
		"complete":       second(p.Complete(ctx, other, x.ID, "", unpayable)),
		"cancel":         second(p.Cancel(ctx, other, x.ID)),
		"order":          second(p.Order(ctx, other, done.Order)),
		"as a cart":      second(p.GetCart(ctx, agent, x.ID)),
		"nothing":        second(p.Get(ctx, agent, "chk_none")),
		"buyer's update": second(p.Update(ctx, buyer, x.ID, checkout.Desired{Lines: lines("report", 1)})),
		"buyer's cancel": second(p.Cancel(ctx, buyer, x.ID)),
	} {
		if kindOf(err) != checkout.KindNotFound || err.Error() != "not_found: There is no such thing here." && name != "nothing" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if seen, err := p.Get(ctx, buyer, x.ID); err != nil || seen.ID != x.ID {
		t.Errorf("the buyer sees %+v, %v", seen, err)
	}
	if paid, err := p.Complete(ctx, buyer, x.ID, "", m.by("tok2")); err != nil || paid.Status != checkout.Completed {
		t.Errorf("the buyer pays %+v, %v", paid, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestUpdateAndCancel(t *testing.T) {
	m := newMarket(t)
	p := m.open(t.Context(), t)
	ctx := t.Context()
	x := session(t, p, "report", 1, "shirt-m", 3)
	y, err := p.Update(ctx, agent, x.ID, checkout.Desired{Lines: []checkout.WantedLine{{ID: x.Priced.Lines[0].ID, Variant: "report", Quantity: 4}}})
	if err != nil || y.Priced.Total() != 2000 || y.Priced.Lines[0].ID != x.Priced.Lines[0].ID || y.Revision != 2 {
		t.Fatalf("%+v, %v", y, err)
	}
	// The shirts are free again.
	z := session(t, p, "shirt-m", 3)
	if _, err := p.Create(ctx, agent, checkout.Desired{Lines: lines("shirt-m", 1)}); kindOf(err) != checkout.KindUnavailable {
		t.Errorf("%v", err)
	}
	if z, err = p.Cancel(ctx, agent, z.ID); err != nil || z.Status != checkout.Canceled {
		t.Errorf("%+v, %v", z, err)
	}
	session(t, p, "shirt-m", 1)
	for name, err := range map[string]error{
		"cancel again": second(p.Cancel(ctx, agent, z.ID)), "update": second(p.Update(ctx, agent, z.ID, checkout.Desired{Lines: lines("report", 1)})),
		"complete": second(p.Complete(ctx, agent, z.ID, "", unpayable)),
	} {
		if kindOf(err) != checkout.KindState {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := p.Update(ctx, agent, x.ID, checkout.Desired{}); kindOf(err) != checkout.KindInvalid {
		t.Errorf("%v", err)
	}
	if now, err := p.Get(ctx, agent, x.ID); err != nil || now.Revision != 2 {
		t.Errorf("a refused update changed %+v, %v", now, err)
	}
}

func TestCarts(t *testing.T) {
	m := newMarket(t)
	p := m.open(t.Context(), t)
	ctx := t.Context()
	cart, err := p.CreateCart(ctx, agent, checkout.Desired{Lines: lines("shirt-m", 3, "report", 1), Codes: []string{"TEN"}, Buyer: checkout.Buyer{Email: "a@example.com"}})
	if err != nil || !strings.HasPrefix(cart.ID, "cart_") || cart.Status != checkout.Incomplete {
		t.Fatalf("%+v, %v", cart, err)
	}
	if _, err := p.UpdateCart(ctx, agent, cart.ID, checkout.Desired{Lines: lines("report", 2), Codes: []string{"TEN"}, Buyer: checkout.Buyer{Email: "a@example.com"}}); err != nil {
		t.Fatal(err)
	}
	x, err := p.Create(ctx, agent, checkout.Desired{Cart: cart.ID, Lines: lines("gold", 1)})
	if err != nil || x.Priced.Total() != 900 || x.Desired.Buyer.Email == "" || len(x.Priced.Lines) != 1 {
		t.Fatalf("%+v, %v", x, err)
	}
	again, err := p.Create(ctx, agent, checkout.Desired{Cart: cart.ID})
	if err != nil || again.ID != x.ID {
		t.Errorf("%+v, %v", again, err)
	}
	if cart, err = p.CancelCart(ctx, agent, cart.ID); err != nil || cart.Status != checkout.Canceled {
		t.Errorf("%+v, %v", cart, err)
	}
	for name, err := range map[string]error{
		"get": second(p.GetCart(ctx, agent, cart.ID)), "update": second(p.UpdateCart(ctx, agent, cart.ID, checkout.Desired{})), "cancel": second(p.CancelCart(ctx, agent, cart.ID)),
		"checkout": second(p.Create(ctx, agent, checkout.Desired{Cart: cart.ID})), "as a checkout": second(p.Get(ctx, agent, cart.ID)),
	} {
		if kindOf(err) != checkout.KindNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMarket(t)
		p := m.open(t.Context(), t)
		x := session(t, p, "shirt-m", 3)
		time.Sleep(16 * time.Minute)
		other := session(t, p, "shirt-m", 3) // what was held is free
		if got, err := p.Complete(t.Context(), agent, x.ID, "", m.by("a")); err == nil && got.Status == checkout.Completed {
			t.Errorf("what another holds was sold: %+v", got)
		}
		time.Sleep(6 * time.Hour)
		got, err := p.Get(t.Context(), agent, other.ID)
		if err != nil || got.Status != checkout.Canceled {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := p.Complete(t.Context(), agent, other.ID, "", unpayable); kindOf(err) != checkout.KindState {
			t.Errorf("%v", err)
		}
		// However often it changes, it ends within a day.
		y := session(t, p, "report", 1)
		for range 6 {
			time.Sleep(5 * time.Hour)
			if y, err = p.Update(t.Context(), agent, y.ID, checkout.Desired{Lines: lines("report", 2)}); err != nil {
				break
			}
		}
		if kindOf(err) != checkout.KindState {
			t.Errorf("it lives on: %+v, %v", y, err)
		}
		m.settled(t)
	})
}

func TestDeclines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMarket(t)
		p := m.open(t.Context(), t)
		x := session(t, p, "report", 1)
		m.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "card_declined"}})
		got, err := p.Complete(t.Context(), agent, x.ID, "k1", m.by("bad"))
		if err != nil || got.Status != checkout.Ready || got.Notice[0].Code != "payment_failed" || got.Notice[0].Severity != checkout.Recoverable || got.Attempt != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		m.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Kind: payment.KindActionRequired, Reason: "authentication_required"}})
		got, err = p.Complete(t.Context(), agent, x.ID, "k2", m.by("3ds"))
		if err != nil || got.Status != checkout.RequiresEscalation || got.Notice[0].Code != "requires_3ds" || got.Notice[0].Severity != checkout.RequiresBuyerReview {
			t.Fatalf("%+v, %v", got, err)
		}
		refuse := func(checkout.Due) (payment.Credential, error) {
			return payment.Credential{}, checkout.Refuse(checkout.KindPayment, "payment_failed", "The credential has expired.", "", checkout.Recoverable)
		}
		if got, err = p.Complete(t.Context(), agent, x.ID, "k3", refuse); err != nil || got.Notice[0].Content != "The credential has expired." {
			t.Errorf("%+v, %v", got, err)
		}
		got, err = p.Complete(t.Context(), agent, x.ID, "k4", m.by("good"))
		if err != nil || got.Status != checkout.Completed || got.Attempt != 3 {
			t.Fatalf("%+v, %v", got, err)
		}
		if charges, refunds := m.rail.Total(); charges != 1 || refunds != 0 {
			t.Errorf("%d charges, %d refunds", charges, refunds)
		}
		m.settled(t)
	})
}

func TestG138_NothingIsChargedThatWasNotShown(t *testing.T) {
	m := newMarket(t)
	p := m.open(t.Context(), t)
	ctx := t.Context()
	x := session(t, p, "report", 1, "shirt-m", 2)
	m.reprice(t, func(s *checkout.Shop) { s.Products[0].Variants[0].Price = 700 })
	got, err := p.Complete(ctx, agent, x.ID, "k1", unpayable)
	if err != nil || got.Status != checkout.Ready || got.Priced.Total() != 4500 || got.Notice[0].Code != "price_changed" {
		t.Fatalf("%+v, %v", got, err)
	}
	m.reprice(t, func(s *checkout.Shop) { s.Products[1].Variants[0].Stock = new(int64(1)) })
	got, err = p.Complete(ctx, agent, x.ID, "k2", unpayable)
	if err != nil || got.Priced.Total() != 2600 || got.Priced.Lines[1].Quantity != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	m.reprice(t, func(s *checkout.Shop) { s.Products = s.Products[1:] })
	got, err = p.Complete(ctx, agent, x.ID, "k3", unpayable)
	if err != nil || got.Status != checkout.Incomplete || got.Priced.Total() != 1900 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err = p.Complete(ctx, agent, x.ID, "k4", unpayable); err != nil || got.Status != checkout.Incomplete || got.Notice[0].Code != "not_ready" {
		t.Fatalf("%+v, %v", got, err)
	}
	if charges, _ := m.rail.Total(); charges != 0 {
		t.Errorf("%d charges", charges)
	}
}

func TestG137_OneOrderOneCharge(t *testing.T) {
	m := newMarket(t)
	p := m.open(t.Context(), t)
	x := session(t, p, "report", 1)
	var wg sync.WaitGroup
	won := make(chan string, 20)
	for i := range 20 {
		wg.Go(func() {
			got, err := p.Complete(t.Context(), agent, x.ID, fmt.Sprintf("key-%d", i), m.by(fmt.Sprintf("tok-%d", i)))
			switch {
			case err == nil && got.Status == checkout.Completed:
				won <- got.Order
			case kindOf(err) != checkout.KindState:
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	wg.Wait()
	if charges, _ := m.rail.Total(); len(won) != 1 || charges != 1 {
		t.Errorf("%d orders, %d charges", len(won), charges)
	}
	m.settled(t)
}

// While it is not known whether the money has moved, nothing moves again.
func TestInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMarket(t)
		p := m.open(t.Context(), t)
		x := session(t, p, "report", 1)
		lost := paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeUnknown, Err: errLost}}
		m.rail.Script("charge", lost, lost, lost, lost, lost)
		m.rail.Script("lookup", lost)
		got, err := p.Complete(t.Context(), agent, x.ID, "k1", m.by("tok"))
		if err != nil || got.Status != checkout.InProgress {
			t.Fatalf("%+v, %v", got, err)
		}
		if same, err := p.Complete(t.Context(), agent, x.ID, "k1", unpayable); err != nil || same.Status != checkout.InProgress {
			t.Errorf("%+v, %v", same, err)
		}
		if _, err := p.Complete(t.Context(), agent, x.ID, "k2", unpayable); kindOf(err) != checkout.KindState {
			t.Errorf("%v", err)
		}
		if now, err := p.Update(t.Context(), agent, x.ID, checkout.Desired{Lines: lines("gold", 1)}); err != nil || now.Priced.Total() != 500 || now.Notice[0].Code != "complete_in_progress" {
			t.Errorf("%+v, %v", now, err)
		}
		if _, err := p.Cancel(t.Context(), agent, x.ID); kindOf(err) != checkout.KindState {
			t.Errorf("%v", err)
		}
		m.rail.Heal()
		for range 60 {
			time.Sleep(5 * time.Second)
			if _, err := p.payments.Recover(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Recover(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got, err = p.Get(t.Context(), agent, x.ID); err != nil || got.Status == checkout.InProgress {
			t.Errorf("%+v, %v", got, err)
		}
		m.settled(t)
	})
}

// crash stops a process at a point, as a kill would: nothing of it runs on.
type crash struct{ at string }

func TestCrashes(t *testing.T) {
	points := append(checkout.Points(), payment.PointVerified, payment.PointIntent, payment.PointSend, payment.PointAnswered, payment.PointSettled, payment.PointDispatched, payment.PointDelivered)
	for _, at := range points {
		for name, away := range map[string]time.Duration{"at once": time.Second, "after an hour": time.Hour} {
			t.Run(at+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newMarket(t)
					reached := false
					m.point = func(name string) {
						if name == at && !reached {
							reached = true
							panic(crash{at})
						}
					}
					p := m.open(t.Context(), t)
					x := session(t, p, "report", 1, "shirt-m", 2)
					dead := false
					func() {
						defer func() {
							if r := recover(); r != nil {
								if _, ok := r.(crash); !ok {
									panic(r)
								}
								dead = true
							}
						}()
						_, err := p.Complete(t.Context(), agent, x.ID, "k1", m.by("tok"))
						if err != nil {
							t.Fatal(err)
						}
					}()
					if !dead {
						t.Fatalf("%s was not reached", at)
					}
					m.point = nil
					time.Sleep(away)
					next := m.open(t.Context(), t)
					for i := range 40 {
						if _, err := next.RecoverNow(t.Context()); err != nil {
							t.Fatal(err)
						}
						if _, err := next.payments.Recover(t.Context(), i == 0); err != nil {
							t.Fatal(err)
						}
						time.Sleep(30 * time.Second)
					}
					got, err := next.Get(t.Context(), agent, x.ID)
					if err != nil || got.Status == checkout.InProgress || got.Closing {
						t.Errorf("%+v, %v", got, err)
					}
					m.settled(t)
					// Whatever became of it, the buyer has what was bought, once, or can buy.
					if got.Status == checkout.Ready {
						if got, err = next.Complete(t.Context(), agent, x.ID, "k2", m.by("tok2")); err != nil || got.Status != checkout.Completed {
							t.Errorf("%+v, %v", got, err)
						}
						m.settled(t)
					}
					if level, err := m.store.Stock(t.Context(), []string{"shirt-m"}, "", time.Now()); err != nil || got.Status == checkout.Completed && level["shirt-m"].Sold != 2 {
						t.Errorf("%+v, %v", level, err)
					}
				})
			})
		}
	}
}

// TestCreditIsOpenedFirst buys credit in a shop: by itself, without tax, owed until it is
// used, and open before its payment counts as delivered, through a store that fails.
func TestCreditIsOpenedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMarket(t)
		m.reprice(t, func(s *checkout.Shop) {
			s.Products[0].Variants[0].Digital = true
			s.Products[0].Variants[0].Grants = []checkout.Grant{{Route: "quotes", Pass: payment.Pass{Credit: true, For: time.Hour}}}
			s.Taxes = []checkout.TaxRule{{Rate: 100_000}}
		})
		failing, opened := true, map[string]time.Time{}
		m.opens = func(ctx context.Context, pack payment.Payment, ends time.Time) error {
			stored, err := m.books.Get(ctx, pack.ID)
			if err != nil || stored.Delivery == payment.DeliveryDelivered || !stored.Pack {
				t.Errorf("opened for %+v, %v", stored, err)
			}
			if failing {
				return errors.New("no store")
			}
			opened[pack.ID] = ends
			return nil
		}
		p := m.open(t.Context(), t)
		mixed, err := p.Create(t.Context(), agent, checkout.Desired{Lines: lines("report", 1, "shirt-m", 1), Context: checkout.Context{Country: "US"}})
		if err != nil || mixed.Status != checkout.Incomplete || mixed.Priced.Messages[0].Code != "credit_alone" {
			t.Errorf("%+v, %v", mixed, err)
		}
		x, err := p.Create(t.Context(), agent, checkout.Desired{Lines: lines("report", 2)})
		if err != nil || x.Status != checkout.Ready {
			t.Fatalf("%+v, %v", x, err)
		}
		for _, total := range x.Priced.Totals {
			if total.Type == checkout.TotalTax {
				t.Errorf("credit is taxed: %+v", total)
			}
		}
		x, err = p.Complete(t.Context(), agent, x.ID, "k1", m.by("tok"))
		if err != nil || x.Status != checkout.Completed || !x.Closing || len(opened) != 0 {
			t.Fatalf("%+v, %v, opened %v", x, err, opened)
		}
		failing = false
		time.Sleep(time.Minute) // what is being served is not taken out of anybody's hands
		if n, err := p.Recover(t.Context()); err != nil || n != 1 {
			t.Errorf("recovered %d, %v", n, err)
		}
		paid, err := m.books.Get(t.Context(), x.Payment)
		if err != nil || opened[paid.ID] != paid.SettledAt.Add(time.Hour) {
			t.Errorf("opened %v for %+v, %v", opened, paid, err)
		}
		m.settled(t)
	})
}

// TestRecoveryLeavesWorkAlone looks for what an earlier process has left at each point
// of a completion that goes on: it is not taken out of its hands, however long it takes.
func TestRecoveryLeavesWorkAlone(t *testing.T) {
	for _, at := range checkout.Points() {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMarket(t)
				var p process
				looked := 0
				m.point = func(name string) {
					if name != at {
						return
					}
					time.Sleep(10 * time.Minute)
					n, err := p.Recover(t.Context())
					if looked++; err != nil || n != 0 {
						t.Errorf("recovery moved %d, %v", n, err)
					}
				}
				p = m.open(t.Context(), t)
				x := session(t, p, "report", 1)
				x, err := p.Complete(t.Context(), agent, x.ID, "k1", m.by("tok"))
				if err != nil || x.Status != checkout.Completed || looked != 1 {
					t.Errorf("looked %d times, and it is %s, %v", looked, x.Status, err)
				}
			})
		})
	}
}

// With faults at any call of the store and any answer of the rail, the promise holds
// once the faults are over.
func TestFaults_Property(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type plan struct{ fails, charges []int }
		var pl plan
		pl.fails = rapid.SliceOfN(rapid.IntRange(0, 3), 30, 30).Draw(rt, "fails")
		pl.charges = rapid.SliceOfN(rapid.IntRange(0, 4), 0, 6).Draw(rt, "charges")
		buys := rapid.IntRange(1, 4).Draw(rt, "buys")
		synctest.Test(t, func(t *testing.T) {
			m := newMarket(t)
			p := m.open(t.Context(), t)
			for _, c := range pl.charges {
				m.rail.Script("charge", []paymenttest.Reply{
					{Outcome: payment.Outcome{Class: payment.OutcomeUnknown, Err: errLost}},
					{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "x"}},
					{Outcome: payment.Outcome{Class: payment.OutcomeNotNow}},
					{Outcome: payment.Outcome{Class: payment.OutcomeUnknown, Err: errLost}, Moves: true},
					{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Kind: payment.KindActionRequired, Reason: "y"}},
				}[c])
			}
			x := session(t, p, "report", 1)
			var mu sync.Mutex
			n, on := 0, true
			m.store.Fail = func(string) error {
				mu.Lock()
				defer mu.Unlock()
				n++
				if on && n < len(pl.fails) && pl.fails[n] == 0 {
					return errors.New("the disk is away")
				}
				return nil
			}
			for i := range buys {
				got, err := p.Complete(t.Context(), agent, x.ID, strconv.Itoa(i), m.by(strconv.Itoa(i)))
				if err != nil && kindOf(err) != checkout.KindBusy && kindOf(err) != checkout.KindState {
					t.Errorf("%+v, %v", got, err)
				}
				time.Sleep(time.Second)
			}
			mu.Lock()
			on = false
			mu.Unlock()
			m.rail.Heal()
			for range 80 {
				_, _ = p.payments.Recover(t.Context(), false)
				if _, err := p.Recover(t.Context()); err != nil {
					t.Error(err)
				}
				time.Sleep(20 * time.Second)
			}
			m.settled(t)
		})
	})
}

func TestOrders(t *testing.T) {
	m := newMarket(t)
	p := m.open(t.Context(), t)
	ctx := t.Context()
	x, err := p.Create(ctx, agent, checkout.Desired{Lines: lines("shirt-l", 2, "report", 1), Buyer: checkout.Buyer{Email: "a@example.com"}, Fulfillment: california()})
	if err != nil {
		t.Fatal(err)
	}
	x, err = p.Complete(ctx, agent, x.ID, "", m.by("tok"))
	if err != nil || x.Status != checkout.Completed {
		t.Fatalf("%+v, %v", x, err)
	}
	shirts := x.Priced.Lines[0].ID
	o, err := p.Ship(ctx, x.Order, checkout.FulfillmentEvent{Type: "shipped", Lines: []checkout.Moved{{Line: shirts, Quantity: 1}}, Tracking: "1Z"})
	if err != nil || o.Lines[0].Status() != "partial" || len(o.Events) != 2 || o.Revision != 2 {
		t.Fatalf("%+v, %v", o, err)
	}
	for name, e := range map[string]checkout.FulfillmentEvent{
		"too many": {Lines: []checkout.Moved{{Line: shirts, Quantity: 2}}}, "none": {Lines: []checkout.Moved{{Line: shirts}}}, "no line": {Lines: []checkout.Moved{{Line: "x", Quantity: 1}}},
	} {
		if _, err := p.Ship(ctx, x.Order, e); kindOf(err) != checkout.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if o, err = p.Ship(ctx, x.Order, checkout.FulfillmentEvent{}); err != nil || o.Lines[0].Status() != "fulfilled" {
		t.Fatalf("%+v, %v", o, err)
	}
	if _, err := p.Ship(ctx, x.Order, checkout.FulfillmentEvent{}); kindOf(err) != checkout.KindInvalid {
		t.Errorf("%v", err)
	}
	if _, err := p.payments.Dispute(ctx, o.Payment, true); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing new
		if err := p.PaymentChanged(ctx, o.Payment); err != nil {
			t.Fatal(err)
		}
	}
	if o, err = p.Order(ctx, agent, x.Order); err != nil || len(o.Adjustments) != 1 || o.Adjustments[0].Type != "dispute" || o.Adjustments[0].Status != "pending" {
		t.Errorf("%+v, %v", o.Adjustments, err)
	}
	revision := o.Revision
	if _, err := p.payments.Refund(ctx, o.Payment, "asked"); err != nil {
		t.Fatal(err)
	}
	if err := p.PaymentChanged(ctx, o.Payment); err != nil {
		t.Fatal(err)
	}
	if o, err = p.Order(ctx, agent, x.Order); err != nil || len(o.Adjustments) != 2 || o.Adjustments[1].Status != "completed" || o.Adjustments[1].Amount != x.Priced.Total() || o.Revision != revision+1 {
		t.Errorf("%+v, %v", o, err)
	}
	list, err := m.store.Deliveries(ctx, "", "", 100)
	if err != nil || len(list) != int(o.Revision) {
		t.Errorf("%d messages for %d revisions, %v", len(list), o.Revision, err)
	}
	if err := p.PaymentChanged(ctx, "pay_of_a_route"); err != nil {
		t.Errorf("%v", err)
	}
	if o, err = p.Erase(ctx, x.Order); err != nil || !o.Erased {
		t.Fatalf("%+v, %v", o, err)
	}
	s, err := m.store.Session(ctx, x.ID)
	data, _ := json.Marshal([]any{o, s})
	list, lerr := m.store.Deliveries(ctx, "", "", 100)
	for _, d := range list {
		data = append(data, d.Body...)
	}
	if err != nil || lerr != nil || strings.Contains(string(data), "a@example.com") || strings.Contains(string(data), `"home"`) {
		t.Errorf("G140: after the erasure there is %s, %v", data, err)
	}
}

var errLost = errors.New("the answer was lost")
