package stripe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"paywall/methods/stripe"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

// want is what is compared of an outcome.
type want struct {
	class  payment.OutcomeClass
	kind   payment.Kind
	reason string
	fatal  bool
	after  time.Duration
}

func check(t *testing.T, got payment.Outcome, w want) {
	t.Helper()
	if g := (want{got.Class, got.Kind, got.Reason, got.Fatal, got.RetryAfter}); g != w {
		t.Errorf("outcome = %s %q kind %s fatal %t after %s; want %s %q kind %s fatal %t after %s (err %v)",
			g.class, g.reason, g.kind, g.fatal, g.after, w.class, w.reason, w.kind, w.fatal, w.after, got.Err)
	}
	if got.Class == payment.OutcomeSucceeded && (got.Reference == "" || !got.Amount.IsPositive()) {
		t.Errorf("success without reference or amount: %+v", got)
	}
	quiet(t, got)
}

// quiet checks that an outcome says nothing that the processor, the payer or the
// configuration keeps to itself.
func quiet(t *testing.T, got payment.Outcome) {
	t.Helper()
	s := fmt.Sprintf("%+v", got)
	if got.Err != nil {
		s += got.Err.Error()
	}
	for _, secret := range []string{"leakme", "spt_", "sk_test", "stolen", "lost_card", "fraudulent", "client_secret"} {
		if strings.Contains(s, secret) {
			t.Errorf("the outcome shows %q: %s", secret, s)
		}
	}
}

const (
	verification = payment.KindVerificationFailed
	insufficient = payment.KindPaymentInsufficient
	action       = payment.KindActionRequired
)

func TestChargeByToken(t *testing.T) {
	for _, tt := range []struct {
		name    string
		token   token
		want    want
		charges int
	}{
		{"good", token{}, want{class: payment.OutcomeSucceeded}, 1},
		{"B057 declined", token{fate: "insufficient_funds"}, want{class: payment.OutcomeDeclined, kind: verification, reason: "insufficient_funds"}, 0},
		{"stolen card, not told", token{fate: "stolen_card"}, want{class: payment.OutcomeDeclined, kind: verification, reason: "generic_decline"}, 0},
		{"lost card, not told", token{fate: "lost_card"}, want{class: payment.OutcomeDeclined, kind: verification, reason: "generic_decline"}, 0},
		{"taken for fraud, not told", token{fate: "fraudulent"}, want{class: payment.OutcomeDeclined, kind: verification, reason: "generic_decline"}, 0},
		{"a code that is none", token{fate: "leakme spt_1"}, want{class: payment.OutcomeDeclined, kind: verification, reason: "card_declined"}, 0},
		{"the bank wants a person", token{fate: "authentication_required"}, want{class: payment.OutcomeDeclined, kind: action, reason: "authentication_required"}, 0},
		{"3-D Secure", token{fate: "requires_action"}, want{class: payment.OutcomeDeclined, kind: action, reason: "requires_action"}, 0},
		{"B054 processing", token{fate: "processing"}, want{reason: "processing"}, 0},
		{"B058 expired", token{reason: "expired"}, want{class: payment.OutcomeDeclined, kind: verification, reason: "token_expired"}, 0},
		{"B058 revoked", token{reason: "revoked"}, want{class: payment.OutcomeDeclined, kind: verification, reason: "token_revoked"}, 0},
		{"B058 consumed elsewhere", token{reason: "consumed"}, want{class: payment.OutcomeDeclined, kind: verification, reason: "token_consumed"}, 0},
		{"inactive for a new reason", token{reason: "frozen"}, want{class: payment.OutcomeDeclined, kind: verification, reason: "token_inactive"}, 0},
		{"B058 limit below the price", token{max: 149}, want{class: payment.OutcomeDeclined, kind: insufficient, reason: "token_limit"}, 0},
		{"B058 other currency", token{currency: "eur"}, want{class: payment.OutcomeDeclined, kind: insufficient, reason: "token_currency"}, 0},
		{"limit is the price", token{max: 150}, want{class: payment.OutcomeSucceeded}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			m := pr.rail(t)
			p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(tt.token))
			check(t, m.Charge(t.Context(), p, in), tt.want)
			// The stored answer says the same.
			check(t, m.Charge(t.Context(), p, in), tt.want)
			if n := pr.charged(""); n != tt.charges {
				t.Errorf("%d charges, want %d", n, tt.charges)
			}
			if tt.token.fate == "requires_action" && len(pr.sent("cancel")) == 0 {
				t.Error("the intent was left open")
			}
		})
	}
}

func TestB058_UnknownTokenOrOfAnotherSeller(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, "spt_OfSomebodyElse")
	check(t, m.Charge(t.Context(), p, in), want{class: payment.OutcomeDeclined, kind: verification, reason: "token_unknown"})
}

// TestChargeByAnswer is the table of answers (security model, "settling with a
// processor that can lie by omission").
func TestChargeByAnswer(t *testing.T) {
	refusal := func(members string) string {
		return `{"error":{"type":"invalid_request_error","message":"leakme"` + members + `}}`
	}
	const noParam, tokenParam = `,"param":""`, `,"param":"payment_method_data[shared_payment_granted_token]"`
	unknown, notNow, declined := payment.OutcomeUnknown, payment.OutcomeNotNow, payment.OutcomeDeclined
	for _, tt := range []struct {
		name  string
		fault fault
		want  want
	}{
		{"B047 lost before the work", drop(false), want{class: payment.OutcomeSucceeded}}, // net/http sends it again: same key, same bytes
		{"B051 409", answer(409, `{"error":{"type":"idempotency_error","code":"idempotency_key_in_use","message":"leakme"}}`), want{class: unknown, reason: "in_progress"}},
		{"B052 429", answer(429, refusal(`,"code":"rate_limit"`)), want{class: notNow, reason: "rate_limited"}},
		{"B052 429 with Retry-After", answer(429, refusal(`,"code":"lock_timeout"`), "Retry-After", "7"), want{class: notNow, reason: "rate_limited", after: 7 * time.Second}},
		{"429 with a date", answer(429, ``, "Retry-After", began.Add(9*time.Second).Format(http.TimeFormat)), want{class: notNow, reason: "rate_limited", after: 9 * time.Second}},
		{"429 with nonsense", answer(429, ``, "Retry-After", "-5"), want{class: notNow, reason: "rate_limited"}},
		{"429 for ever", answer(429, ``, "Retry-After", "999999999"), want{class: notNow, reason: "rate_limited", after: time.Hour}},
		{"B053 key revoked", answer(401, refusal(``)), want{class: notNow, fatal: true, reason: "key_refused"}},
		{"B053 key lacks permission", answer(403, refusal(``)), want{class: notNow, fatal: true, reason: "key_lacks_permission"}},
		{"403 of a proxy stops nothing", answer(403, `<html>leakme</html>`), want{class: unknown, reason: "status_403"}},
		{"B053 unknown parameter", answer(400, refusal(`,"code":"parameter_unknown","param":"automatic_payment_methods"`)), want{class: notNow, fatal: true, reason: "parameter_unknown"}},
		{"B053 exclusive parameters", answer(400, refusal(`,"code":"parameters_exclusive"`)), want{class: notNow, fatal: true, reason: "parameters_exclusive"}},
		{"a parameter that the payer chose", answer(400, refusal(`,"code":"parameter_invalid_string"`+tokenParam)), want{class: declined, kind: verification, reason: "token_refused"}},
		{"destination gone", answer(400, refusal(`,"code":"resource_missing","param":"transfer_data[destination]"`)), want{class: notNow, reason: "account_unknown"}},
		{"token gone", answer(404, refusal(`,"code":"resource_missing"`+tokenParam)), want{class: declined, kind: verification, reason: "token_unknown"}},
		{"no such endpoint", answer(404, refusal(``)), want{class: notNow, fatal: true, reason: "endpoint_unknown"}},
		{"404 of a proxy", answer(404, `not found`), want{class: unknown, reason: "status_404"}},
		{"below the settlement currency's minimum", answer(400, refusal(`,"code":"amount_too_small"`)), want{class: declined, kind: verification, reason: "amount_too_small"}},
		{"a new code", answer(400, refusal(`,"code":"approval_required"`)), want{class: declined, kind: verification, reason: "approval_required"}},
		{"a code that is none", answer(400, refusal(`,"code":"leakme!"`)), want{class: unknown, reason: "status_400"}},
		{"no code, token good", answer(400, refusal(noParam)), want{class: declined, kind: verification, reason: "token_refused"}},
		{"400 to be tried again", answer(400, refusal(``), "Stripe-Should-Retry", "true"), want{class: unknown, reason: "status_400"}},
		{"400 of a proxy", answer(400, `<html>`), want{class: unknown, reason: "status_400"}},
		{"400 of another type", answer(400, `{"error":{"type":"api_error"}}`), want{class: unknown, reason: "status_400"}},
		{"402 that is not of the API", answer(402, `{}`), want{class: unknown, reason: "status_402"}},
		{"402 without an intent, fresh", answer(402, `{"error":{"type":"card_error","code":"card_declined"}}`), want{class: unknown, reason: "card_declined"}},
		{"402 around an intent that succeeded", instead(answer(402, `{"error":{"type":"card_error","payment_intent":{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":150,"currency":"usd","livemode":false}}}`)), want{class: payment.OutcomeSucceeded}},
		{"424", answer(424, refusal(``)), want{class: unknown, reason: "status_424"}},
		{"500, fresh", answer(500, `{"error":{"type":"api_error","message":"leakme"}}`), want{class: unknown, reason: "status_500"}},
		{"500, fresh, not to be tried again", answer(500, `{"error":{"type":"api_error"}}`, "Stripe-Should-Retry", "false"), want{class: unknown, reason: "processor_fault"}},
		{"503 of a proxy", answer(503, `<html>leakme</html>`, "Retry-After", "3"), want{class: unknown, reason: "status_503", after: 3 * time.Second}},
		{"B055 truncated", instead(answer(200, `{"id":"pi_1","object":"payment_int`)), want{class: unknown, reason: "odd_answer"}},
		{"B055 cut off", instead(answer(200, `{"id":"pi_1"`, "Content-Length", "4000")), want{class: unknown, reason: "answer_cut"}},
		{"B055 huge", instead(answer(200, `{"id":"`+strings.Repeat("a", 2<<20)+`"}`)), want{class: unknown, reason: "answer_cut"}},
		{"empty", instead(answer(200, ``)), want{class: unknown, reason: "odd_answer"}},
		{"204", instead(answer(204, ``)), want{class: unknown, reason: "odd_answer"}},
		{"another object", answer(200, `{"id":"ch_1","object":"charge","status":"succeeded","amount":150,"currency":"usd","livemode":false}`), want{class: unknown, reason: "odd_answer"}},
		{"no amount", answer(200, `{"id":"pi_1","object":"payment_intent","status":"succeeded","currency":"usd","livemode":false}`), want{class: unknown, reason: "odd_answer"}},
		{"a fraction of a cent", answer(200, `{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":150.5,"currency":"usd","livemode":false}`), want{class: unknown, reason: "odd_answer"}},
		{"an id that is a path", answer(200, `{"id":"pi_1/../x","object":"payment_intent","status":"succeeded","amount":150,"currency":"usd","livemode":false}`), want{class: unknown, reason: "odd_answer"}},
		{"a list", answer(200, `[]`), want{class: unknown, reason: "odd_answer"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			m := pr.rail(t)
			p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
			if tt.name == "B047 lost before the work" {
				// Only a connection that was used before is given a second try.
				check(t, m.Lookup(t.Context(), p, in), want{class: payment.OutcomeNone})
			}
			pr.play("create", tt.fault)
			check(t, m.Charge(t.Context(), p, in), tt.want)
			if n := pr.charged(""); n > 1 {
				t.Errorf("%d charges", n)
			}
		})
	}
}

func TestB054_WrongFields(t *testing.T) {
	for _, tt := range []struct {
		name, reason string
		touch        func(object)
	}{
		{"amount", "amount_differs", func(o object) { o["amount"] = 151 }},
		{"received", "received_differs", func(o object) { o["amount_received"] = 149 }},
		{"received is missing", "received_differs", func(o object) { delete(o, "amount_received") }},
		{"currency", "currency_differs", func(o object) { o["currency"] = "eur" }},
		{"livemode", "livemode_differs", func(o object) { o["livemode"] = true }},
		{"payment", "payment_differs", func(o object) { o["metadata"] = map[string]string{"paywall_payment": "pay_other"} }},
		{"no metadata", "payment_differs", func(o object) { o["metadata"] = map[string]string{} }},
		{"held, not taken", "unexpected_status", func(o object) { o["status"] = "requires_capture" }},
		{"charge not captured", "charge_not_captured", func(o object) {
			o["latest_charge"] = object{"id": "ch_1", "paid": true, "captured": false}
		}},
		{"charge not paid", "charge_not_captured", func(o object) {
			o["latest_charge"] = object{"id": "ch_1", "paid": false, "captured": true}
		}},
		{"a status that is new", "unexpected_status", func(o object) { o["status"] = "partially_funded" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			pr.touch = tt.touch
			m := pr.rail(t)
			p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
			out := m.Charge(t.Context(), p, in)
			check(t, out, want{class: payment.OutcomeMismatch, reason: tt.reason})
			if out.Reference == "" {
				t.Error("the person who looks at it is not told which charge")
			}
		})
	}
}

// A connected account that took its consent back stops the routes that charge on it,
// and no others.
func TestB053_OneAccountStopsNobodyElse(t *testing.T) {
	refusal := func(members string) string {
		return `{"error":{"type":"invalid_request_error","message":"leakme"` + members + `}}`
	}
	notNow := payment.OutcomeNotNow
	for _, tt := range []struct {
		name  string
		fault fault
		want  want // of a charge on a connected account
		own   want // of the same answer on the seller's own
	}{
		{"consent taken back", answer(403, refusal(`,"code":"account_invalid"`)), want{class: notNow, reason: "account_refused"}, want{class: notNow, fatal: true, reason: "key_lacks_permission"}},
		{"account refused", answer(400, refusal(`,"code":"account_invalid"`)), want{class: notNow, reason: "account_invalid"}, want{class: notNow, fatal: true, reason: "account_invalid"}},
		{"not for this account", answer(400, refusal(`,"code":"parameter_unknown","param":"x"`)), want{class: notNow, reason: "parameter_unknown"}, want{class: notNow, fatal: true, reason: "parameter_unknown"}},
		{"the key itself", answer(401, refusal(``)), want{class: notNow, fatal: true, reason: "key_refused"}, want{class: notNow, fatal: true, reason: "key_refused"}},
	} {
		for _, account := range []string{"acct_shop", ""} {
			t.Run(tt.name+account, func(t *testing.T) {
				pr := newProcessor(t)
				m := pr.rail(t)
				q := quote(t, "1.50 USD")
				q.Terms.Account = account
				p, in := claim(t, m, q, 1, pr.mint(token{}))
				pr.play("create", tt.fault)
				w := tt.want
				if account == "" {
					w = tt.own
				}
				check(t, m.Charge(t.Context(), p, in), w)
			})
		}
	}
}

// Answers that do not come to an end, or not to one that can be used: bounded in
// memory and in time, and nothing is concluded from them.
func TestB055_AnswersWithoutAnEnd(t *testing.T) {
	for _, tt := range []struct {
		name   string
		body   func(context.Context) io.Reader
		reason string
		within time.Duration
	}{
		{"10 MiB", func(context.Context) io.Reader { return io.LimitReader(endless{}, 10<<20) }, "answer_cut", 0},
		{"for ever", func(context.Context) io.Reader { return endless{} }, "answer_cut", 0},
		{"one byte a second", func(ctx context.Context) io.Reader { return slow{ctx.Done()} }, "answer_cut", time.Minute},
		{"invalid", func(context.Context) io.Reader { return strings.NewReader(`{"id":"pi_1",}`) }, "odd_answer", 0},
		{"truncated", func(context.Context) io.Reader {
			return strings.NewReader(`{"id":"pi_1","object":"payment_intent","sta`)
		}, "odd_answer", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := &counted{}
				m, err := stripe.New(stripe.Config{
					Key: testKey, Profile: "profile_test_shop", Now: clock,
					Transport: respondWith(func(r *http.Request) *http.Response {
						body.Reader = tt.body(r.Context())
						return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(body), Request: r}
					}),
				})
				if err != nil {
					t.Fatal(err)
				}
				p, in := claim(t, m, quote(t, "1.50 USD"), 1, "spt_1")
				begun := time.Now()
				check(t, m.Charge(t.Context(), p, in), want{reason: tt.reason})
				if took := time.Since(begun); took > tt.within {
					t.Errorf("given up after %s, want %s at most", took, tt.within)
				}
				if body.n > 2<<20 {
					t.Errorf("%d bytes were read", body.n)
				}
			})
		})
	}
}

type respondWith func(*http.Request) *http.Response

func (f respondWith) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// slow is the body of an answer whose sender has all the time in the world.
type slow struct{ done <-chan struct{} }

func (s slow) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = ' '
		return 1, nil
	case <-s.done:
		return 0, context.DeadlineExceeded
	}
}

type counted struct {
	io.Reader

	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

func TestB056_RedirectsAreNotFollowed(t *testing.T) {
	stolen := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("followed with %q", r.Header.Get("Authorization"))
	}))
	defer stolen.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		pr := newProcessor(t)
		m := pr.rail(t)
		p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
		body := `{"id":"pi_1","object":"payment_intent","status":"succeeded","amount":150,"amount_received":150,"currency":"usd","livemode":false,"metadata":{"paywall_payment":"` + p.ID + `"}}`
		pr.play("create", answer(status, body, "Location", stolen.URL))
		check(t, m.Charge(t.Context(), p, in), want{reason: "redirected"})
	}
}

func TestB047_AnswerLostAfterTheCharge(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	pr.play("create", drop(true))
	if out := m.Charge(t.Context(), p, in); out.Class == payment.OutcomeDeclined || out.Class == payment.OutcomeNotNow {
		t.Fatalf("a lost answer is %s", out.Class)
	}
	found := m.Lookup(t.Context(), p, in)
	check(t, found, want{class: payment.OutcomeSucceeded})
	// A replay is our own charge, not somebody else's.
	again := m.Charge(t.Context(), p, in)
	check(t, again, want{class: payment.OutcomeSucceeded})
	if again.Reference != found.Reference || pr.charged("") != 1 {
		t.Errorf("charges %s and %s, %d in all", found.Reference, again.Reference, pr.charged(""))
	}
	keys := map[string]bool{}
	for _, c := range pr.sent("create") {
		keys[c.Header.Get("Idempotency-Key")+c.Body+c.Header.Get("Stripe-Version")] = true
	}
	if len(keys) != 1 {
		t.Errorf("%d different requests were sent for one payment", len(keys))
	}
}

func TestB048_BlackHole(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	ctx, cancel := context.WithCancelCause(t.Context())
	pr.play("create", func(_ http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) {
		cancel(errors.New("the payer's patience is over"))
		<-r.Context().Done()
	})
	out := m.Charge(ctx, p, in)
	check(t, out, want{reason: "no_answer"})
	if !errors.Is(out.Err, stripe.ErrTransport) || !errors.Is(out.Err, context.Canceled) {
		t.Errorf("err = %v", out.Err)
	}
}

func TestB049_StoredFaultWithACharge(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	pr.play("create", func(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) {
		serve(httptest.NewRecorder())
		pr.keepFault(false)(w, r, nil)
	})
	check(t, m.Charge(t.Context(), p, in), want{reason: "status_500"})
	check(t, m.Charge(t.Context(), p, in), want{class: payment.OutcomeSucceeded})
	if pr.charged("") != 1 {
		t.Errorf("%d charges", pr.charged(""))
	}
}

func TestB050_StoredFaultWithoutACharge(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	spt := pr.mint(token{})
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, spt)
	pr.play("create", pr.keepFault(false))
	check(t, m.Charge(t.Context(), p, in), want{reason: "status_500"})
	check(t, m.Lookup(t.Context(), p, in), want{class: payment.OutcomeNone})
	check(t, m.Void(t.Context(), p, in), want{class: payment.OutcomeStarted})
	check(t, m.Charge(t.Context(), p, in), want{class: payment.OutcomeDeclined, kind: verification, reason: "processor_fault"})

	// A token that is spent without a charge to be found proves nothing.
	pr.tokens[spt].reason = "consumed"
	check(t, m.Charge(t.Context(), p, in), want{reason: "processor_fault"})
}

func TestDeclineWithoutDetailsIsLookedUp(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{fate: "expired_card", noDetails: true}))
	check(t, m.Charge(t.Context(), p, in), want{class: payment.OutcomeDeclined, kind: verification, reason: "expired_card"})
}

func TestRequestThatNeverLeft(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))

	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	l.Close() // now nobody listens there
	deaf := pr.rail(t, func(c *stripe.Config) { c.BaseURL = "http://" + free })
	out := deaf.Charge(t.Context(), p, in)
	check(t, out, want{class: payment.OutcomeNotNow, reason: "not_sent"})
	if !errors.Is(out.Err, stripe.ErrTransport) {
		t.Errorf("err = %v", out.Err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out := m.Charge(ctx, p, in); out.Class != payment.OutcomeUnknown && out.Class != payment.OutcomeNotNow {
		t.Errorf("charge after the end = %+v", out)
	}
	if pr.charged("") != 0 {
		t.Error("it was charged")
	}
}

func TestCertificateOfAnotherName(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	secure.StartTLS()
	defer secure.Close()
	pr := newProcessor(t)
	m := pr.rail(t, func(c *stripe.Config) { c.BaseURL = secure.URL })
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	check(t, m.Charge(t.Context(), p, in), want{class: payment.OutcomeNotNow, reason: "not_sent"})
}

// failing is a transport that fails with an error whose text tells too much.
type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

func TestErrorsOfTheTransportAreQuiet(t *testing.T) {
	pr := newProcessor(t)
	for _, err := range []error{
		errors.New("leakme spt_1"), io.EOF, context.DeadlineExceeded, &net.OpError{Op: "read", Err: errors.New("leakme")},
	} {
		m := pr.rail(t, func(c *stripe.Config) { c.Transport = failing{err} })
		p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
		check(t, m.Charge(t.Context(), p, in), want{reason: "no_answer"})
		out := m.Lookup(t.Context(), p, in)
		check(t, out, want{reason: "no_answer"})
	}
}

func TestIntentsThatAreNotOurs(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	p, in := claim(t, m, quote(t, "1.50 USD"), 1, pr.mint(token{}))
	for name, change := range map[string]func(payment.Intent) payment.Intent{
		"empty":   func(i payment.Intent) payment.Intent { i.Request = nil; return i },
		"no JSON": func(i payment.Intent) payment.Intent { i.Request = []byte("spt_leakme"); return i },
		"other path": func(i payment.Intent) payment.Intent {
			i.Request = replaced(i, "/v1/payment_intents", "/v1/payouts")
			return i
		},
		"other method": func(i payment.Intent) payment.Intent { i.Request = replaced(i, "POST", "DELETE"); return i },
		"other mode": func(i payment.Intent) payment.Intent {
			i.Request = replaced(i, `"live":false`, `"live":true`)
			return i
		},
		"more members":  func(i payment.Intent) payment.Intent { i.Request = replaced(i, `"live"`, `"x":1,"live"`); return i },
		"two documents": func(i payment.Intent) payment.Intent { i.Request = append(i.Request, i.Request...); return i },
		"no key":        func(i payment.Intent) payment.Intent { i.Key = ""; return i },
		"other account": func(i payment.Intent) payment.Intent { i.Account = "acct_2"; return i },
	} {
		t.Run(name, func(t *testing.T) {
			bad := in
			bad.Request = append([]byte(nil), in.Request...)
			bad = change(bad)
			for _, out := range []payment.Outcome{m.Charge(t.Context(), p, bad), m.Lookup(t.Context(), p, bad), m.Void(t.Context(), p, bad)} {
				check(t, out, want{reason: "intent_unreadable"})
				if !errors.Is(out.Err, stripe.ErrIntent) {
					t.Errorf("err = %v", out.Err)
				}
			}
		})
	}
	if n := len(pr.calls); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

func replaced(i payment.Intent, from, to string) []byte {
	return []byte(strings.Replace(string(i.Request), from, to, 1))
}

func TestPrepareRefusesWhatDoesNotBelongTogether(t *testing.T) {
	pr := newProcessor(t)
	m := pr.rail(t)
	o, err := m.Offer(quote(t, "1.50 USD"))
	if err != nil {
		t.Fatal(err)
	}
	good := paymenttest.Sample(t, 1)
	good.Amount = o.Amount
	c := credential(o, good.ChallengeID, "spt_1")
	if _, err := m.Prepare(good, c); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*payment.Payment, *payment.Credential){
		"amount":       func(p *payment.Payment, _ *payment.Credential) { p.Amount = amount(t, "1.51 USD") },
		"scale":        func(p *payment.Payment, _ *payment.Credential) { p.Amount = amount(t, "1.500 USD") },
		"challenge":    func(_ *payment.Payment, c *payment.Credential) { c.ChallengeID = "other" },
		"no challenge": func(p *payment.Payment, c *payment.Credential) { p.ChallengeID, c.ChallengeID = "", "" },
		"payment id":   func(p *payment.Payment, _ *payment.Credential) { p.ID = "pay 1" },
		"payload":      func(_ *payment.Payment, c *payment.Credential) { c.Payload = nil },
		"route":        func(p *payment.Payment, _ *payment.Credential) { p.Scope.Route = strings.Repeat("r", 501) },
		"terms":        func(_ *payment.Payment, c *payment.Credential) { c.Offer.Quote.Terms.Account = "x" },
	} {
		p, c := good, c
		change(&p, &c)
		if in, err := m.Prepare(p, c); err == nil {
			t.Errorf("%s: prepared %s", name, in.Request)
		}
	}
}
