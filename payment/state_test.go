package payment_test

import (
	"errors"
	"slices"
	"testing"

	"paywall/money"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

var (
	states = []payment.State{
		payment.StatePending, payment.StateAuthorized, payment.StateSettled, payment.StateFailed, payment.StateVoided,
		payment.StateReview, payment.StateRefunding, payment.StateRefunded, payment.StateCredited,
	}
	deliveries = []payment.Delivery{
		payment.DeliveryNone, payment.DeliveryOpen, payment.DeliveryDispatched, payment.DeliveryDelivered,
	}
)

// allowed is the state table a second time, written as the rules are told: from
// → all that may follow. A change of the table must be made in both places.
var allowed = map[string][]string{
	"pending/none":        {"settled/open", "failed/none", "voided/none", "review/none", "refunded/none"},
	"settled/open":        {"settled/dispatched", "settled/delivered", "refunding/none"},
	"settled/dispatched":  {"settled/delivered", "settled/open", "refunding/none"},
	"settled/delivered":   {"refunding/delivered"},
	"refunding/none":      {"refunded/none", "credited/none", "review/none"},
	"refunding/delivered": {"refunded/delivered", "credited/delivered", "review/delivered"},
	"review/none":         {"settled/open", "failed/none", "voided/none", "refunding/none", "refunded/none"},
	"review/delivered":    {"refunding/delivered", "refunded/delivered"},
	"refunded/none":       {"review/none"},
	"refunded/delivered":  {"review/delivered"},
}

// heldMay is what a held payment may besides.
var heldMay = map[string][]string{
	"pending/none":    {"authorized/open", "settled/dispatched"},
	"authorized/open": {"settled/open", "settled/dispatched", "failed/none", "voided/none", "review/none", "refunded/none"},
	"review/none":     {"settled/dispatched"},
}

func TestStateTable(t *testing.T) {
	name := func(p payment.Payment) string { return string(p.State) + "/" + string(p.Delivery) }
	var places []payment.Payment
	for _, s := range states {
		for _, d := range deliveries {
			places = append(places, payment.Payment{State: s, Delivery: d})
		}
	}
	pairs := 0
	for _, held := range []bool{false, true} {
		for _, f := range places {
			for _, g := range places {
				from := paymenttest.Step(paymenttest.Sample(t, 1), f.State, f.Delivery)
				from.Held = held
				to := paymenttest.Step(from, g.State, g.Delivery)
				to.SettledAt, to.Reference = from.SettledAt, from.Reference
				want := name(from) == name(to) || slices.Contains(allowed[name(from)], name(to)) ||
					held && slices.Contains(heldMay[name(from)], name(to))
				err := payment.Check(from, to)
				if want != (err == nil) || err != nil && !errors.Is(err, payment.ErrState) {
					t.Errorf("held %v, %s to %s: %v, want allowed %v", held, name(from), name(to), err, want)
				}
				pairs++
			}
		}
	}
	if pairs != 2*36*36 {
		t.Errorf("%d pairs were tried", pairs)
	}
}

func TestCheckFixedFields(t *testing.T) {
	from := paymenttest.Sample(t, 1)
	for name, tt := range map[string]struct {
		edit func(*payment.Payment)
		want error
	}{
		"id":               {func(p *payment.Payment) { p.ID = "pay_x" }, payment.ErrState},
		"challenge":        {func(p *payment.Payment) { p.ChallengeID = "x" }, payment.ErrState},
		"instrument":       {func(p *payment.Payment) { p.Instrument = "x" }, payment.ErrState},
		"credential":       {func(p *payment.Payment) { p.CredentialHash = "x" }, payment.ErrState},
		"tenant":           {func(p *payment.Payment) { p.Scope.Tenant = "x" }, payment.ErrState},
		"route":            {func(p *payment.Payment) { p.Scope.Route = "x" }, payment.ErrState},
		"http method":      {func(p *payment.Payment) { p.Scope.Method = "POST" }, payment.ErrState},
		"target":           {func(p *payment.Payment) { p.Scope.Target = "/x" }, payment.ErrState},
		"digest":           {func(p *payment.Payment) { p.Scope.Digest = "" }, payment.ErrState},
		"amount":           {func(p *payment.Payment) { p.Amount = usd(t, 1) }, payment.ErrState},
		"key":              {func(p *payment.Payment) { p.Key = "x" }, payment.ErrState},
		"payer":            {func(p *payment.Payment) { p.Payer = "x" }, payment.ErrState},
		"network":          {func(p *payment.Payment) { p.Network = "x" }, payment.ErrState},
		"held":             {func(p *payment.Payment) { p.Held = true }, payment.ErrState},
		"same revision":    {func(p *payment.Payment) { p.Revision = from.Revision }, payment.ErrConflict},
		"skipped revision": {func(p *payment.Payment) { p.Revision++ }, payment.ErrConflict},
		"older epoch":      {func(p *payment.Payment) { p.Epoch-- }, payment.ErrConflict},
		"nothing else":     {func(*payment.Payment) {}, nil},
		"lease and flags": {func(p *payment.Payment) {
			p.Epoch, p.Owner, p.Attempts, p.Disputed, p.Reason = p.Epoch+1, "two", 9, true, "why"
		}, nil},
	} {
		to := paymenttest.Step(from, payment.StateSettled, payment.DeliveryOpen)
		tt.edit(&to)
		if err := payment.Check(from, to); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// TestCheckAmount: what is taken may be less than what is held, once, when it is decided.
func TestCheckAmount(t *testing.T) {
	yen, err := money.New(101, "JPY", 2)
	if err != nil {
		t.Fatal(err)
	}
	finer, err := money.New(1010, "USD", 3)
	if err != nil {
		t.Fatal(err)
	}
	authorized, pending, settled := payment.StateAuthorized, payment.StatePending, payment.StateSettled
	for name, tt := range map[string]struct {
		held     bool
		from, to payment.State
		amount   money.Amount
		want     error
	}{
		"all of it":            {true, pending, authorized, usd(t, 101), nil},
		"less":                 {true, pending, authorized, usd(t, 100), nil},
		"the least":            {true, pending, authorized, usd(t, 1), nil},
		"nothing":              {true, pending, authorized, usd(t, 0), payment.ErrState},
		"less than nothing":    {true, pending, authorized, usd(t, -1), payment.ErrState},
		"more":                 {true, pending, authorized, usd(t, 102), payment.ErrState},
		"no amount":            {true, pending, authorized, money.Amount{}, payment.ErrState},
		"another currency":     {true, pending, authorized, yen, payment.ErrState},
		"another scale":        {true, pending, authorized, finer, payment.ErrState},
		"when it is settled":   {true, authorized, settled, usd(t, 100), payment.ErrState},
		"again":                {true, authorized, authorized, usd(t, 100), payment.ErrState},
		"before it is decided": {true, pending, pending, usd(t, 100), payment.ErrState},
		"of what was not held": {false, pending, settled, usd(t, 100), payment.ErrState},
		"without a promise":    {false, pending, authorized, usd(t, 100), payment.ErrState},
	} {
		from := paymenttest.Sample(t, 1)
		from.Held, from.State = tt.held, tt.from
		if tt.from == authorized {
			from.Delivery = payment.DeliveryOpen
		}
		to := paymenttest.Step(from, tt.to, payment.DeliveryOpen)
		if tt.to == pending {
			to.Delivery = payment.DeliveryNone
		}
		to.Amount = tt.amount
		if err := payment.Check(from, to); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestLiveAndTerminal(t *testing.T) {
	for _, s := range states {
		dead := s == payment.StateFailed || s == payment.StateVoided
		if s.Live() == dead {
			t.Errorf("%s holds its instrument: %v", s, s.Live())
		}
		for _, d := range deliveries {
			waits := s == payment.StatePending || s == payment.StateAuthorized || s == payment.StateRefunding ||
				s == payment.StateSettled && d != payment.DeliveryDelivered
			if got := (payment.Payment{State: s, Delivery: d}).Terminal(); got == waits {
				t.Errorf("%s/%s terminal: %v", s, d, got)
			}
		}
	}
	if (payment.Payment{State: "paid"}).Terminal() {
		t.Error("an unknown state counts as done")
	}
}

func TestKinds(t *testing.T) {
	slugs := map[string]payment.Kind{}
	for _, k := range payment.Kinds() {
		if other, twice := slugs[k.String()]; twice || k.String() == "" {
			t.Errorf("kinds %d and %d are both %q", k, other, k)
		}
		slugs[k.String()] = k
	}
	for slug, unsettled := range map[string]bool{
		"internal-payment-error": true, "payment-in-progress": true, "payment-pending": true,
		"settlement-paused": true, "settlement-busy": true,
		"payment-required": false, "malformed-credential": false, "bad-request": false, "invalid-challenge": false,
		"payment-expired": false, "invalid-payload": false, "method-unsupported": false, "verification-failed": false,
		"payment-insufficient": false, "payment-action-required": false,
	} {
		k, ok := slugs[slug]
		if !ok || k.Unsettled() != unsettled {
			t.Errorf("%s: known %v, unsettled %v, want %v", slug, ok, k.Unsettled(), unsettled)
		}
		delete(slugs, slug)
	}
	if len(slugs) > 0 {
		t.Errorf("no expectation for %v", slugs)
	}
	if got := payment.Kind(200); got.String() != "internal-payment-error" {
		t.Errorf("an unknown kind is %q", got)
	}
	cause := errors.New("cause")
	e := &payment.Error{Kind: payment.KindPending, Detail: "come back", Err: cause}
	if !errors.Is(e, cause) || e.Error() != "payment-pending: come back: cause" {
		t.Errorf("error %q", e)
	}
	if got := payment.Refuse(payment.KindBusy, "full").Error(); got != "settlement-busy: full" {
		t.Errorf("refusal %q", got)
	}
}

func TestOutcomeClasses(t *testing.T) {
	for c, want := range map[payment.OutcomeClass]string{
		payment.OutcomeUnknown: "unknown", payment.OutcomeSucceeded: "succeeded", payment.OutcomeDeclined: "declined",
		payment.OutcomeNotNow: "not_now", payment.OutcomeMismatch: "mismatch", payment.OutcomeNone: "none",
		payment.OutcomeStarted: "started", payment.OutcomeVoided: "voided", payment.OutcomeClass(99): "unknown",
	} {
		if c.String() != want {
			t.Errorf("class %d is %q, want %q", c, c, want)
		}
	}
}

func TestCrashPoints(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range payment.CrashPoints() {
		if p == "" || seen[p] {
			t.Errorf("point %q is empty or listed twice", p)
		}
		seen[p] = true
	}
	for _, p := range []string{
		"verified", "intent", "held", "capture", "send", "answered", "settled", "dispatched", "upstream", "headers", "last_byte",
		"delivered", "refunding", "refund_send", "refund_answer", "refunded",
	} {
		if !seen[p] {
			t.Errorf("point %q is missing", p)
		}
	}
}

func TestScopeHash(t *testing.T) {
	base := payment.Scope{Tenant: "a", Route: "b", Method: "GET", Target: "/c", Digest: "d"}
	seen := map[string]payment.Scope{}
	for _, s := range []payment.Scope{
		base,
		{Tenant: "ab", Route: "", Method: "GET", Target: "/c", Digest: "d"},
		{Tenant: "", Route: "ab", Method: "GET", Target: "/c", Digest: "d"},
		{Tenant: "a", Route: "bG", Method: "ET", Target: "/c", Digest: "d"},
		{Tenant: "a", Route: "b", Method: "GET/", Target: "c", Digest: "d"},
		{Tenant: "a", Route: "b", Method: "GET", Target: "/cd", Digest: ""},
		{Tenant: "a", Route: "b", Method: "GET", Target: "", Digest: "/cd"},
		{Tenant: "a\x00", Route: "b", Method: "GET", Target: "/c", Digest: "d"},
	} {
		h := s.Hash()
		if other, same := seen[h]; same || len(h) != 43 {
			t.Errorf("%+v and %+v share hash %s", s, other, h)
		}
		seen[h] = s
	}
	if again := base; again.Hash() != base.Hash() {
		t.Error("a hash is not the same twice")
	}
}
