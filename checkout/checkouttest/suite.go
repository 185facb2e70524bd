package checkouttest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paywall/checkout"
)

var began = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

// Session is one with something in every field.
func Session(id string) checkout.Session {
	return checkout.Session{
		ID: id, Kind: checkout.KindCheckout, Revision: 1, Status: checkout.Ready, Owner: "profile:https://agent.example/p",
		Platform: checkout.Platform{Profile: "https://agent.example/p", Version: "2026-08-25", Webhook: "https://agent.example/hook", Extensions: []string{"x"}},
		Desired: checkout.Desired{
			Lines: []checkout.WantedLine{{Variant: "report", Quantity: 2}}, Buyer: checkout.Buyer{Email: "ada@example.com", Consent: map[string]checkout.Consent{"a": {Granted: true}}},
			Codes: []string{"TEN"}, Attribution: map[string]string{"a": "b"},
			Fulfillment: []checkout.WantedMethod{{Type: "shipping", Destinations: []checkout.Destination{{ID: "home", Address: checkout.Address{Street: "1 Way", Country: "US"}}}}},
		},
		Priced: checkout.Priced{
			Shop: "v1", Currency: "USD", Scale: 2, Lines: []checkout.Line{{ID: "li_1", Variant: "report", Title: "Report", Price: 500, Quantity: 2, Subtotal: 1000, Total: 1000}},
			Totals: []checkout.Total{{Type: checkout.TotalSubtotal, Amount: 1000}, {Type: checkout.TotalTotal, Amount: 1000}},
		},
		Notice:    []checkout.Message{{Type: checkout.TypeWarning, Code: "price_changed", Content: "…"}},
		CreatedAt: began, UpdatedAt: began, ExpiresAt: began.Add(time.Hour),
	}
}

// Order is that of a session.
func Order(id, session, payment string) checkout.Order {
	return checkout.Order{
		ID: id, Revision: 1, Session: session, Owner: "profile:https://agent.example/p", Payment: payment, Currency: "USD", Scale: 2,
		Lines:  []checkout.OrderLine{{Line: Session("x").Priced.Lines[0], Current: 2}},
		Totals: Session("x").Priced.Totals, Buyer: checkout.Buyer{Email: "ada@example.com"}, CreatedAt: began, UpdatedAt: began,
	}
}

// Delivery is one about an order.
func Delivery(id, order string) *checkout.Delivery {
	return &checkout.Delivery{ID: id, Order: order, URL: "https://agent.example/hook", At: began, Body: []byte(`{"id":"` + id + `"}`), Profile: "p", Version: "v", State: checkout.DeliveryPending, Next: began}
}

// Both is a store with its memory of requests.
type Both interface {
	checkout.Store
	checkout.Requests
}

// RunStore holds a store against its contract. open makes an empty one.
func RunStore(t *testing.T, open func(t *testing.T) Both) {
	t.Helper()
	for name, test := range map[string]func(t *testing.T, s Both){
		"sessions": sessions, "carts": carts, "holds": holds, "the last one": lastOne, "one revision": oneRevision, "all or nothing": allOrNothing,
		"working": working, "purge": purge, "orders": orders, "deliveries": deliveries, "requests": requests, "one of twenty": oneOfTwenty,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%v, want %v", err, target)
	}
}

func equal[T any](t *testing.T, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return strings.HasSuffix(p.String(), ".alone") }, cmp.Ignore())); diff != "" {
		t.Error(diff)
	}
}

// next is the session's next revision.
func next(s checkout.Session, change func(*checkout.Session)) checkout.Session {
	s.Revision++
	s.UpdatedAt = s.UpdatedAt.Add(time.Second)
	if change != nil {
		change(&s)
	}
	return s
}

func sessions(t *testing.T, s Both) {
	t.Helper()
	ctx := t.Context()
	_, err := s.Session(ctx, "chk_1")
	want(t, err, checkout.ErrNotFound)
	x := Session("chk_1")
	must(t, s.CreateSession(ctx, x, nil))
	got, err := s.Session(ctx, "chk_1")
	must(t, err)
	equal(t, x, got)
	want(t, s.CreateSession(ctx, x, nil), checkout.ErrConflict)
	y := next(x, func(s *checkout.Session) {
		s.Status, s.Attempt, s.Challenge, s.CompleteKey = checkout.InProgress, 1, "c", "k"
	})
	must(t, s.UpdateSession(ctx, y, checkout.Change{}))
	got, err = s.Session(ctx, "chk_1")
	must(t, err)
	equal(t, y, got)
	want(t, s.UpdateSession(ctx, y, checkout.Change{}), checkout.ErrConflict)
	want(t, s.UpdateSession(ctx, next(next(y, nil), nil), checkout.Change{}), checkout.ErrConflict)
	want(t, s.UpdateSession(ctx, next(Session("chk_2"), nil), checkout.Change{}), checkout.ErrNotFound)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Session(ended, "chk_1"); err == nil {
		t.Error("a read goes on after its caller has gone")
	}
}

func carts(t *testing.T, s Both) {
	t.Helper()
	ctx := t.Context()
	cart := Session("cart_1")
	cart.Kind, cart.Status = checkout.KindCart, checkout.Incomplete
	must(t, s.CreateSession(ctx, cart, nil))
	_, err := s.SessionByCart(ctx, "cart_1", began)
	want(t, err, checkout.ErrNotFound)
	x := Session("chk_1")
	x.Desired.Cart = "cart_1"
	must(t, s.CreateSession(ctx, x, nil))
	got, err := s.SessionByCart(ctx, "cart_1", began)
	must(t, err)
	equal(t, x, got)
	second := Session("chk_2")
	second.Desired.Cart = "cart_1"
	want(t, s.CreateSession(ctx, second, nil), checkout.ErrConflict)
	_, err = s.SessionByCart(ctx, "cart_1", x.ExpiresAt)
	want(t, err, checkout.ErrNotFound)
	must(t, s.UpdateSession(ctx, next(x, func(s *checkout.Session) { s.Status = checkout.Canceled }), checkout.Change{SetHolds: true}))
	must(t, s.CreateSession(ctx, second, nil))
}

func hold(quantity, limit int64, until time.Time) checkout.Hold {
	return checkout.Hold{Variant: "shirt", Quantity: quantity, Limit: limit, Until: until}
}

func holds(t *testing.T, s Both) {
	t.Helper()
	ctx := t.Context()
	level := func(session string, now time.Time, sold, held int64) {
		t.Helper()
		got, err := s.Stock(ctx, []string{"shirt", "other"}, session, now)
		must(t, err)
		equal(t, map[string]checkout.Level{"shirt": {Sold: sold, Held: held}, "other": {}}, got)
	}
	soon := began.Add(time.Minute)
	a, b := Session("chk_a"), Session("chk_b")
	must(t, s.CreateSession(ctx, a, []checkout.Hold{hold(3, 5, soon)}))
	level("", began, 0, 3)
	level("chk_a", began, 0, 0)
	level("", soon, 0, 0)
	err := s.CreateSession(ctx, b, []checkout.Hold{hold(3, 5, soon)})
	var se *checkout.StockError
	if !errors.As(err, &se) || se.Variant != "shirt" || se.Left != 2 {
		t.Errorf("%v", err)
	}
	_, err = s.Session(ctx, "chk_b")
	want(t, err, checkout.ErrNotFound)
	must(t, s.CreateSession(ctx, b, []checkout.Hold{hold(2, 5, soon)}))
	// Its own hold does not stand in a session's way, and nothing changes without one.
	a = next(a, nil)
	must(t, s.UpdateSession(ctx, a, checkout.Change{Holds: []checkout.Hold{hold(2, 5, soon)}, SetHolds: true}))
	a = next(a, nil)
	must(t, s.UpdateSession(ctx, a, checkout.Change{}))
	level("", began, 0, 4)
	want(t, s.UpdateSession(ctx, next(a, nil), checkout.Change{Holds: []checkout.Hold{hold(4, 5, soon)}, SetHolds: true}), checkout.ErrStock)
	level("", began, 0, 4)
	// Two lines of one variant are held together.
	want(t, s.UpdateSession(ctx, next(a, nil), checkout.Change{Holds: []checkout.Hold{hold(2, 5, soon), hold(2, 5, soon)}, SetHolds: true}), checkout.ErrStock)
	// Sold is sold, even of a hold that is over.
	a = next(a, func(s *checkout.Session) { s.UpdatedAt = soon.Add(time.Hour) })
	must(t, s.UpdateSession(ctx, a, checkout.Change{Sold: true}))
	level("", began, 2, 2)
	b = next(b, nil)
	must(t, s.UpdateSession(ctx, b, checkout.Change{SetHolds: true}))
	level("", began, 2, 0)
}

func lastOne(t *testing.T, s Both) {
	t.Helper()
	ctx := t.Context()
	var wg sync.WaitGroup
	won := make(chan string, 20)
	for i := range 20 {
		wg.Go(func() {
			id := fmt.Sprintf("chk_%d", i)
			err := s.CreateSession(ctx, Session(id), []checkout.Hold{hold(1, 1, began.Add(time.Minute))})
			if err == nil {
				won <- id
			} else if !errors.Is(err, checkout.ErrStock) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d have the last one", len(won))
	}
}

func oneRevision(t *testing.T, s Both) {
	t.Helper()
	ctx := t.Context()
	x := Session("chk_1")
	must(t, s.CreateSession(ctx, x, nil))
	var wg sync.WaitGroup
	won := make(chan int, 20)
	for i := range 20 {
		wg.Go(func() {
			err := s.UpdateSession(ctx, next(x, func(s *checkout.Session) { s.CompleteKey = strconv.Itoa(i) }), checkout.Change{})
			if err == nil {
				won <- i
			} else if !errors.Is(err, checkout.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d changes of one revision", len(won))
	}
	got, err := s.Session(ctx, "chk_1")
	must(t, err)
	if got.CompleteKey != strconv.Itoa(<-won) {
		t.Errorf("stored is %s", got.CompleteKey)
	}
}

func allOrNothing(t *testing.T, s Both) {
	t.Helper()
	ctx := t.Context()
	x, y := Session("chk_1"), Session("chk_2")
	must(t, s.CreateSession(ctx, x, []checkout.Hold{hold(1, 5, began.Add(time.Minute))}))
	must(t, s.CreateSession(ctx, y, nil))
	o := Order("ord_1", "chk_1", "pay_1")
	x = next(x, func(s *checkout.Session) { s.Status, s.Order, s.Closing = checkout.Completed, "ord_1", true })
	must(t, s.UpdateSession(ctx, x, checkout.Change{Sold: true, Order: &o, Delivery: Delivery("whk_1", "ord_1")}))
	// A second order of a session, or of a payment, is refused with all that comes with it.
	for _, second := range []checkout.Order{Order("ord_2", "chk_1", "pay_2"), Order("ord_2", "chk_2", "pay_1"), Order("ord_1", "chk_2", "pay_2")} {
		changed := next(y, func(s *checkout.Session) { s.Status = checkout.Completed })
		want(t, s.UpdateSession(ctx, changed, checkout.Change{Order: &second, Delivery: Delivery("whk_2", "ord_2")}), checkout.ErrConflict)
	}
	got, err := s.Session(ctx, "chk_2")
	must(t, err)
	equal(t, y, got)
	list, err := s.Deliveries(ctx, "", "", 10)
	must(t, err)
	if len(list) != 1 {
		t.Errorf("%d deliveries", len(list))
	}
	// Nothing was to be paid: such orders are many.
	for _, id := range []string{"chk_3", "chk_4"} {
		z := Session(id)
		must(t, s.CreateSession(ctx, z, nil))
		free := Order("ord_"+id, id, "")
		must(t, s.UpdateSession(ctx, next(z, func(s *checkout.Session) { s.Status, s.Order = checkout.Completed, free.ID }), checkout.Change{Order: &free}))
	}
	_, err = s.OrderByPayment(ctx, "")
	want(t, err, checkout.ErrNotFound)
}

func working(t *testing.T, s Both) {
	t.Helper()
	ctx := t.Context()
	for i, change := range []func(*checkout.Session){
		func(s *checkout.Session) { s.Status = checkout.InProgress },
		func(s *checkout.Session) { s.Status, s.Closing = checkout.Completed, true },
		func(s *checkout.Session) { s.Status = checkout.Completed },
		func(s *checkout.Session) { s.Status = checkout.Ready },
		func(s *checkout.Session) { s.Status, s.UpdatedAt = checkout.InProgress, began.Add(time.Hour) },
	} {
		x := Session(fmt.Sprintf("chk_%d", i))
		must(t, s.CreateSession(ctx, x, nil))
		must(t, s.UpdateSession(ctx, next(x, change), checkout.Change{}))
	}
	ids := func(before time.Time, limit int) string {
		t.Helper()
		list, err := s.Working(ctx, before, limit)
		must(t, err)
		var out []string
		for _, x := range list {
			out = append(out, x.ID)
		}
		return strings.Join(out, " ")
	}
	later := began.Add(time.Minute)
	if got := ids(later, 10); got != "chk_0 chk_1" {
		t.Error(got)
	}
	if got := ids(began, 10); got != "" {
		t.Error(got)
	}
	if got := ids(began.Add(2*time.Hour), 2); got != "chk_0 chk_1" {
		t.Error(got)
	}
}

func purge(t *testing.T, s Both) {
	t.Helper()
	ctx := t.Context()
	later := began.Add(10 * time.Hour)
	for id, change := range map[string]func(*checkout.Session){
		"goes_canceled": func(s *checkout.Session) { s.Status, s.ExpiresAt = checkout.Canceled, later.Add(time.Hour) },
		"goes_expired":  nil,
		"stays_order":   func(s *checkout.Session) { s.Status, s.Order = checkout.Completed, "ord_1" },
		"stays_working": func(s *checkout.Session) { s.Status = checkout.InProgress },
		"stays_alive":   func(s *checkout.Session) { s.ExpiresAt = later.Add(time.Hour) },
	} {
		x := Session(id)
		must(t, s.CreateSession(ctx, x, []checkout.Hold{{Variant: id, Quantity: 1, Limit: 1, Until: later.Add(time.Hour)}}))
		must(t, s.UpdateSession(ctx, next(x, change), checkout.Change{}))
	}
	n, err := s.Purge(ctx, later)
	must(t, err)
	if n != 2 {
		t.Errorf("%d went", n)
	}
	for _, id := range []string{"stays_order", "stays_working", "stays_alive"} {
		_, err := s.Session(ctx, id)
		must(t, err)
	}
	for _, id := range []string{"goes_canceled", "goes_expired"} {
		_, err := s.Session(ctx, id)
		want(t, err, checkout.ErrNotFound)
		level, err := s.Stock(ctx, []string{id}, "", later)
		must(t, err)
		if level[id].Held != 0 {
			t.Errorf("%s holds %d", id, level[id].Held)
		}
	}
}

func orders(t *testing.T, s Both) {
	t.Helper()
	ctx := t.Context()
	_, err := s.Order(ctx, "ord_0")
	want(t, err, checkout.ErrNotFound)
	for i := range 3 {
		x, o := Session(fmt.Sprintf("chk_%d", i)), Order(fmt.Sprintf("ord_%d", i), fmt.Sprintf("chk_%d", i), fmt.Sprintf("pay_%d", i))
		must(t, s.CreateSession(ctx, x, nil))
		must(t, s.UpdateSession(ctx, next(x, func(s *checkout.Session) { s.Order = o.ID }), checkout.Change{Order: &o}))
	}
	o := Order("ord_1", "chk_1", "pay_1")
	got, err := s.Order(ctx, "ord_1")
	must(t, err)
	equal(t, o, got)
	got, err = s.OrderByPayment(ctx, "pay_1")
	must(t, err)
	equal(t, o, got)
	o.Revision, o.Adjustments = 2, []checkout.Adjustment{{ID: "adj_1", Type: "refund", Status: "pending", Amount: 1000, At: began}}
	must(t, s.UpdateOrder(ctx, o, Delivery("whk_1", "ord_1")))
	got, err = s.Order(ctx, "ord_1")
	must(t, err)
	equal(t, o, got)
	want(t, s.UpdateOrder(ctx, o, nil), checkout.ErrConflict)
	want(t, s.UpdateOrder(ctx, Order("ord_9", "chk_9", ""), nil), checkout.ErrNotFound)
	first, err := s.Orders(ctx, "", 2)
	must(t, err)
	rest, err := s.Orders(ctx, first[len(first)-1].ID, 2)
	must(t, err)
	if len(first) != 2 || first[0].ID != "ord_2" || first[1].ID != "ord_1" || len(rest) != 1 || rest[0].ID != "ord_0" {
		t.Errorf("%d and %d orders", len(first), len(rest))
	}
}

func deliveries(t *testing.T, s Both) {
	t.Helper()
	ctx := t.Context()
	for i := range 2 {
		id := fmt.Sprintf("chk_%d", i)
		x, o := Session(id), Order(fmt.Sprintf("ord_%d", i), id, "pay_"+id)
		must(t, s.CreateSession(ctx, x, nil))
		must(t, s.UpdateSession(ctx, next(x, nil), checkout.Change{Order: &o, Delivery: Delivery(fmt.Sprintf("whk_%d_1", i), o.ID)}))
		o.Revision = 2
		must(t, s.UpdateOrder(ctx, o, Delivery(fmt.Sprintf("whk_%d_2", i), o.ID)))
	}
	due := func(now time.Time) string {
		t.Helper()
		list, err := s.DueDeliveries(ctx, now, 10)
		must(t, err)
		var out []string
		for _, d := range list {
			out = append(out, d.ID)
		}
		return strings.Join(out, " ")
	}
	if got := due(began.Add(-time.Second)); got != "" {
		t.Error(got)
	}
	if got := due(began); got != "whk_0_1 whk_1_1" {
		t.Error(got)
	}
	d := Delivery("whk_0_1", "ord_0")
	d.Attempts, d.Next, d.Note = 1, began.Add(time.Hour), "500"
	must(t, s.SaveDelivery(ctx, *d))
	if got := due(began); got != "whk_1_1" { // what is behind it waits
		t.Error(got)
	}
	list, err := s.DueDeliveries(ctx, began.Add(time.Hour), 10)
	must(t, err)
	equal(t, *d, list[0])
	d.State = checkout.DeliverySent
	must(t, s.SaveDelivery(ctx, *d))
	if got := due(began); got != "whk_0_2 whk_1_1" {
		t.Error(got)
	}
	want(t, s.SaveDelivery(ctx, *Delivery("whk_9", "ord_0")), checkout.ErrNotFound)
	one, err := s.Delivery(ctx, "whk_0_1")
	must(t, err)
	equal(t, *d, one)
	_, err = s.Delivery(ctx, "whk_9")
	want(t, err, checkout.ErrNotFound)
	sent, err := s.Deliveries(ctx, checkout.DeliverySent, "", 10)
	must(t, err)
	if len(sent) != 1 || sent[0].ID != "whk_0_1" {
		t.Errorf("%+v", sent)
	}
	all, err := s.Deliveries(ctx, "", "whk_1_2", 2)
	must(t, err)
	if len(all) != 2 || all[0].ID != "whk_1_1" || all[1].ID != "whk_0_2" {
		t.Errorf("%+v", all)
	}
	must(t, s.DropDeliveries(ctx, "ord_0"))
	if got := due(began); got != "whk_1_1" {
		t.Error(got)
	}
	dead, err := s.Deliveries(ctx, checkout.DeliveryDead, "", 10)
	must(t, err)
	if len(dead) != 1 || len(dead[0].Body) != 0 {
		t.Errorf("%+v", dead)
	}
}

func requests(t *testing.T, s Both) {
	t.Helper()
	ctx := t.Context()
	k := checkout.RequestKey{Caller: "profile:a", Operation: "complete chk_1", Key: "0123456789abcdef"}
	lease := began.Add(time.Minute)
	begin := func(k checkout.RequestKey, hash string, now time.Time, state checkout.RequestState) checkout.Answer {
		t.Helper()
		a, got, err := s.Begin(ctx, k, hash, now, now.Add(time.Minute))
		must(t, err)
		if got != state {
			t.Errorf("%v at %s: %d, want %d", k, now, got, state)
		}
		return a
	}
	begin(k, "h", began, checkout.RequestNew)
	begin(k, "h", began, checkout.RequestRunning)
	begin(k, "other", began, checkout.RequestConflict)
	for _, o := range []checkout.RequestKey{{Caller: "profile:b", Operation: k.Operation, Key: k.Key}, {Caller: k.Caller, Operation: "create", Key: k.Key}, {Caller: k.Caller, Operation: k.Operation, Key: "x"}} {
		begin(o, "other", began, checkout.RequestNew)
	}
	begin(k, "h", lease, checkout.RequestNew) // whoever had it is gone
	want := checkout.Answer{Status: 200, Body: []byte(`{"a":1}`)}
	must(t, s.Finish(ctx, k, want, lease.Add(time.Hour)))
	equal(t, want, begin(k, "h", lease.Add(time.Minute*59), checkout.RequestDone))
	begin(k, "other", lease.Add(time.Minute*59), checkout.RequestConflict)
	must(t, s.Forget(ctx, k)) // what is answered stays
	equal(t, want, begin(k, "h", lease, checkout.RequestDone))
	begin(k, "other", lease.Add(time.Hour), checkout.RequestNew)
	must(t, s.Forget(ctx, k))
	begin(k, "third", lease.Add(time.Hour), checkout.RequestNew)
	done := checkout.RequestKey{Caller: k.Caller, Operation: "done", Key: k.Key}
	begin(done, "h", lease, checkout.RequestNew)
	must(t, s.Finish(ctx, done, want, lease.Add(3*time.Hour)))
	must(t, s.EndLeases(ctx, lease.Add(time.Hour)))
	begin(k, "fourth", lease.Add(time.Hour), checkout.RequestConflict)
	begin(k, "third", lease.Add(time.Hour), checkout.RequestNew)
	equal(t, want, begin(done, "h", lease.Add(time.Hour), checkout.RequestDone))
}

func oneOfTwenty(t *testing.T, s Both) {
	t.Helper()
	var wg sync.WaitGroup
	states := make(chan checkout.RequestState, 20)
	for range 20 {
		wg.Go(func() {
			_, state, err := s.Begin(t.Context(), checkout.RequestKey{Caller: "a", Operation: "b", Key: "c"}, "h", began, began.Add(time.Minute))
			if err != nil {
				t.Error(err)
			}
			states <- state
		})
	}
	wg.Wait()
	close(states)
	first := 0
	for state := range states {
		if state == checkout.RequestNew {
			first++
		} else if state != checkout.RequestRunning {
			t.Errorf("state %d", state)
		}
	}
	if first != 1 {
		t.Errorf("%d carry it out", first)
	}
}
