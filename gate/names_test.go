package gate_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"paywall/gate"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

// named is a spoken protocol whose payers are known by X-Payer, name their payments in
// X-Name and come back with "payer nonce" in Sign-In-With-X.
type named struct{ *spoken }

func (n named) Compile(realm string, offers []payment.Offer) (payment.Dialect, error) {
	d, err := n.spoken.Compile(realm, offers)
	if err != nil {
		return nil, err
	}
	s, ok := d.(spokenDialect)
	if !ok {
		return nil, errors.New("another dialect")
	}
	return namedDialect{s}, nil
}

type namedDialect struct{ spokenDialect }

func (d namedDialect) Credential(r *http.Request, s payment.Scope, now time.Time) (payment.Credential, error) {
	c, err := d.spokenDialect.Credential(r, s, now)
	c.Payer, c.Key = r.Header.Get("X-Payer"), r.Header.Get("X-Name")
	return c, err
}

func (d namedDialect) SignedIn(r *http.Request, _ payment.Scope, now time.Time) (payment.Visitor, error) {
	payer, nonce, ok := strings.Cut(r.Header.Get("Sign-In-With-X"), " ")
	switch {
	case payer == "":
		return payment.Visitor{}, payment.ErrNoCredential
	case !ok:
		return payment.Visitor{}, &payment.Error{Kind: payment.KindPaymentRequired, Detail: "no proof"}
	}
	return payment.Visitor{Payer: payer, Nonce: nonce, Expires: now.Add(time.Minute)}, nil
}

var _ payment.SignIn = namedDialect{}

// buy pays for "GET /a" or "POST /a body" with a token, as payer, under a name.
func buy(h *house, router http.Handler, ask, token, payer, name string) *httptest.ResponseRecorder {
	part := strings.SplitN(ask, " ", 3)
	body := ""
	if len(part) == 3 {
		body = part[2]
	}
	r := request(h.t, part[0], part[1], body)
	for field, value := range map[string]string{"X-Spoken": token, "X-Payer": payer, "X-Name": name} {
		if value != "" {
			r.Header.Set(field, value)
		}
	}
	return do(router, r)
}

func TestNames(t *testing.T) {
	h := newHouse(t, speaking(named{&spoken{}}))
	routes := map[string]string{"GET /a": "1.00 USD", "POST /a": "1.00 USD", "GET /b": "1.00 USD"}
	router := h.router(routes)
	if w := buy(h, router, "GET /a", "t1", "0xa", "n1"); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := buy(h, router, "POST /a x", "t2", "0xa", "n2"); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, tt := range []struct {
		name, ask, token, payer, key string
		want                         int
		charged                      bool
	}{
		{name: "the same credential", ask: "GET /a", token: "t1", payer: "0xa", key: "n1", want: 200},
		{name: "another credential of the payer", ask: "GET /a", token: "t3", payer: "0xa", key: "n1", want: 200},
		{name: "of a request with effects", ask: "POST /a x", token: "t4", payer: "0xa", key: "n2", want: 200},
		{name: "another body", ask: "POST /a y", token: "t5", payer: "0xa", key: "n2", want: 409},
		{name: "another route", ask: "GET /b", token: "t6", payer: "0xa", key: "n1", want: 409},
		{name: "another query", ask: "GET /a?q=1", token: "t7", payer: "0xa", key: "n1", want: 409},
		{name: "another payer has names of its own", ask: "GET /a", token: "t8", payer: "0xb", key: "n1", want: 200, charged: true},
		{name: "no name", ask: "GET /a", token: "t9", payer: "0xa", want: 200, charged: true},
		{name: "a payer that nobody knows", ask: "GET /a", token: "t10", key: "n1", want: 200, charged: true},
		{name: "and another one like it", ask: "GET /a", token: "t11", key: "n1", want: 409},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, _ := h.rail.Total()
			ran := h.api.count()
			w := buy(h, router, tt.ask, tt.token, tt.payer, tt.key)
			after, _ := h.rail.Total()
			if w.Code != tt.want || after-before != h.api.count()-ran || (after > before) != tt.charged {
				t.Errorf("%d %s; %d charges, %d runs", w.Code, w.Body, after-before, h.api.count()-ran)
			}
			if strings.HasPrefix(tt.name, "another ") && tt.want == 409 && !strings.Contains(w.Body.String(), "belongs to another request") {
				t.Errorf("%s", w.Body)
			}
			if served := strings.Contains(w.Body.String(), "served"); served != (tt.want == 200) {
				t.Errorf("served %v: %s", served, w.Body)
			}
		})
	}
	h.settled(5, 0)
}

// keysOf keeps names across restarts of a house.
func keysOf(keys gate.Keys) option {
	return func(gc *gate.Config, _ *payment.Config) { gc.Keys = keys }
}

func TestNames_OutliveTheProcess(t *testing.T) {
	opts := []option{speaking(named{&spoken{}}), keysOf(&keysInMemory{})}
	h := newHouse(t, opts...)
	if w := buy(h, h.router(map[string]string{"GET /a": "1.00 USD"}), "GET /a", "t1", "0xa", "n1"); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	h.build(opts...) // the answer is lost, the name is not
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	w := buy(h, router, "GET /a", "t2", "0xa", "n1")
	if w.Code != 409 || !strings.Contains(w.Body.String(), "present its credential") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h.settled(1, 0)
}

func TestNames_AreFreeAfterAFailure(t *testing.T) {
	h := newHouse(t, speaking(named{&spoken{}}))
	router := h.router(map[string]string{"POST /a": "1.00 USD"})
	h.rail.Script("charge", paymenttest.Reply{Outcome: payment.Outcome{Class: payment.OutcomeDeclined, Reason: "no"}})
	if w := buy(h, router, "POST /a x", "t1", "0xa", "n1"); w.Code != 402 {
		t.Fatalf("declined: %d", w.Code)
	}
	if w := buy(h, router, "POST /a x", "t2", "0xa", "n1"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := buy(h, router, "POST /a x", "t3", "0xa", "n1"); w.Code != 200 {
		t.Errorf("the answer of the second: %d %s", w.Code, w.Body)
	}
	h.settled(1, 0)
}

func TestNames_FiftyAtOnce(t *testing.T) {
	h := newHouse(t, speaking(named{&spoken{}}))
	router := h.router(map[string]string{"GET /a": "1.00 USD"})
	codes := make([]int, 50)
	var all sync.WaitGroup
	for i := range codes {
		all.Go(func() { codes[i] = buy(h, router, "GET /a", "t"+strconv.Itoa(i), "0xa", "n1").Code })
	}
	all.Wait()
	served := 0
	for _, c := range codes {
		switch c {
		case 200:
			served++
		case 409:
		default:
			t.Errorf("%d", c)
		}
	}
	if served == 0 {
		t.Error("nobody was served")
	}
	if h.api.count() != 1 {
		t.Errorf("%d runs", h.api.count())
	}
	h.settled(1, 0)
}

func comeBack(h *house, router http.Handler, ask, payer, nonce string) *httptest.ResponseRecorder {
	method, target, _ := strings.Cut(ask, " ")
	r := request(h.t, method, target, "")
	r.Header.Set("Sign-In-With-X", strings.TrimSuffix(payer+" "+nonce, " "))
	return do(router, r)
}

func TestVisit(t *testing.T) {
	h := newHouse(t, speaking(named{&spoken{}}))
	router, err := h.gate.Router([]gate.Route{
		{ID: "once", Pattern: "GET /once", Pricer: usd(t, "1.00 USD"), Handler: h.api},
		{ID: "two", Pattern: "GET /two", Pricer: usd(t, "1.00 USD"), Handler: h.api, Pass: payment.Pass{Uses: 2, For: 3 * time.Hour}},
		{ID: "hour", Pattern: "GET /hour/*", Pricer: usd(t, "1.00 USD"), Handler: h.api, Pass: payment.Pass{For: time.Hour}},
	})
	h.must(err)
	for _, ask := range []string{"GET /once", "GET /two", "GET /hour/1"} {
		if w := buy(h, router, ask, strings.ReplaceAll(ask, "/", "-"), "0xa", ""); w.Code != 200 {
			t.Fatalf("%s: %d %s", ask, w.Code, w.Body)
		}
	}
	for _, tt := range []struct {
		name, ask, payer, nonce string
		want                    int
	}{
		{"what was delivered", "GET /once", "0xa", "1", 402},
		{"a pass of a time", "GET /hour/1", "0xa", "2", 200},
		{"the same proof again", "GET /hour/1", "0xa", "2", 402},
		{"the same proof elsewhere", "GET /two", "0xa", "2", 402},
		{"another resource of the route", "GET /hour/2", "0xa", "3", 402},
		{"first use", "GET /two", "0xa", "4", 200},
		{"second use", "GET /two", "0xa", "5", 200},
		{"no use is left", "GET /two", "0xa", "6", 402},
		{"a stranger", "GET /hour/1", "0xb", "7", 402},
		{"no proof", "GET /hour/1", "0xa", "", 402},
		{"nobody", "GET /hour/1", "", "", 402},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ran := h.api.count()
			w := comeBack(h, router, tt.ask, tt.payer, tt.nonce)
			if w.Code != tt.want || h.api.count()-ran != map[int]int{200: 1}[tt.want] {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if asked := w.Header().Get("X-Asks") != ""; asked != (tt.want == 402) {
				t.Errorf("asked for payment: %v", asked)
			}
		})
	}
	h.clock.add(time.Hour)
	if w := comeBack(h, router, "GET /hour/1", "0xa", "8"); w.Code != 402 {
		t.Errorf("a pass outlived its time: %d", w.Code)
	}
	h.settled(3, 0)
}

// A receipt of uses that ends by itself is not made longer by coming back for it: what
// it counted may be forgotten by then.
func TestVisit_DoesNotProlong(t *testing.T) {
	h := newHouse(t, speaking(named{&spoken{}}))
	router, err := h.gate.Router([]gate.Route{{ID: "two", Pattern: "GET /two", Pricer: usd(t, "1.00 USD"), Handler: h.api, Pass: payment.Pass{Uses: 2}}})
	h.must(err)
	if w := buy(h, router, "GET /two", "t1", "0xa", ""); w.Code != 200 {
		t.Fatalf("%d", w.Code)
	}
	if w := comeBack(h, router, "GET /two", "0xa", "1"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h.clock.add(11 * time.Minute) // receipts live for ten
	if w := comeBack(h, router, "GET /two", "0xa", "2"); w.Code != 402 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// What was paid for and not delivered is collected.
func TestVisit_Collects(t *testing.T) {
	h := newHouse(t, speaking(named{&spoken{}}))
	router, err := h.gate.Router([]gate.Route{{ID: "a", Pattern: "GET /a", Pricer: usd(t, "1.00 USD"), Handler: h.api, Settle: gate.SettleBefore}})
	h.must(err)
	h.api.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	if w := buy(h, router, "GET /a", "t1", "0xa", ""); w.Code == 200 {
		t.Fatalf("%d", w.Code)
	}
	h.api.set(nil)
	if w := comeBack(h, router, "GET /a", "0xb", "1"); w.Code != 402 {
		t.Errorf("a stranger collects: %d", w.Code)
	}
	if w := comeBack(h, router, "GET /a", "0xa", "2"); w.Code != 200 || !strings.Contains(w.Body.String(), "served") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := comeBack(h, router, "GET /a", "0xa", "3"); w.Code != 402 {
		t.Errorf("collected twice: %d", w.Code)
	}
	h.settled(1, 0)
}

// A later payment that was delivered does not stand before an earlier one that was not.
func TestVisit_CollectsTheOlder(t *testing.T) {
	h := newHouse(t, speaking(named{&spoken{}}))
	router, err := h.gate.Router([]gate.Route{{ID: "a", Pattern: "GET /a", Pricer: usd(t, "1.00 USD"), Handler: h.api, Settle: gate.SettleBefore}})
	h.must(err)
	h.api.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	buy(h, router, "GET /a", "t1", "0xa", "")
	h.api.set(nil)
	h.clock.add(time.Second)
	if w := buy(h, router, "GET /a", "t2", "0xa", ""); w.Code != 200 {
		t.Fatalf("%d", w.Code)
	}
	if w := comeBack(h, router, "GET /a", "0xa", "1"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h.settled(2, 0)
}

// One proof lets in once, however many arrive together.
func TestVisit_AtOnce(t *testing.T) {
	h := newHouse(t, speaking(named{&spoken{}}))
	router, err := h.gate.Router([]gate.Route{{ID: "a", Pattern: "GET /a", Pricer: usd(t, "1.00 USD"), Handler: h.api, Pass: payment.Pass{For: time.Hour}}})
	h.must(err)
	if w := buy(h, router, "GET /a", "t1", "0xa", ""); w.Code != 200 {
		t.Fatalf("%d", w.Code)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { comeBack(h, router, "GET /a", "0xa", "1") })
	}
	all.Wait()
	if h.api.count() != 2 {
		t.Errorf("%d runs, want the paid one and one more", h.api.count())
	}
}

// brokenKeys lose everything.
type brokenKeys struct{}

func (brokenKeys) Remember(context.Context, string, string, string, string) (string, bool, error) {
	return "", false, errors.New("disk full")
}

func TestNames_FailClosed(t *testing.T) {
	h := newHouse(t, speaking(named{&spoken{}}), keysOf(brokenKeys{}))
	router, err := h.gate.Router([]gate.Route{{ID: "a", Pattern: "GET /a", Pricer: usd(t, "1.00 USD"), Handler: h.api, Pass: payment.Pass{For: time.Hour}}})
	h.must(err)
	if w := buy(h, router, "GET /a", "t1", "0xa", "n1"); w.Code < 500 {
		t.Errorf("a name that was not stored: %d", w.Code)
	}
	if w := buy(h, router, "GET /a", "t2", "0xa", ""); w.Code != 200 {
		t.Fatalf("%d", w.Code)
	}
	if w := comeBack(h, router, "GET /a", "0xa", "1"); w.Code < 500 {
		t.Errorf("a nonce that was not stored: %d", w.Code)
	}
	if h.api.count() != 1 {
		t.Errorf("%d runs", h.api.count())
	}
}

func TestRouter_Offers(t *testing.T) {
	h := newHouse(t)
	router, err := h.gate.Router([]gate.Route{
		{ID: "free", Pattern: "GET /free", Free: true, Handler: h.api},
		{ID: "one", Pattern: "GET /v1/{id}", Pricer: usd(t, "1.00 USD"), Handler: h.api, Description: "one"},
		{ID: "any", Pattern: "/any", Pricer: usd(t, "2.00 USD"), Handler: h.api},
		{ID: "asked", Pattern: "GET /asked", Pricer: &asked{}, Handler: h.api},
	})
	h.must(err)
	got := router.Offers()
	if len(got) != 2 {
		t.Fatalf("%d", len(got))
	}
	for i, want := range []gate.Offering{{Route: "one", Method: "GET", Pattern: "/v1/{id}", Description: "one"}, {Route: "any", Method: "GET", Pattern: "/any"}} {
		o := got[i]
		if o.Route != want.Route || o.Method != want.Method || o.Pattern != want.Pattern || o.Description != want.Description || len(o.Offers) != 1 || len(o.Dialects) != 1 {
			t.Errorf("%+v", o)
		}
	}
}
