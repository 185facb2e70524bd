package stripe_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"paywall/methods/stripe"
	"paywall/money"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

func amount(tb testing.TB, price string) money.Amount {
	tb.Helper()
	a, err := money.ParsePrice(price)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func quote(tb testing.TB, price string) payment.Quote {
	tb.Helper()
	return payment.Quote{Route: "report", Amount: amount(tb, price)}
}

func credential(o payment.Offer, challengeID, spt string) payment.Credential {
	return payment.Credential{
		Protocol: "mpp", ChallengeID: challengeID, Offer: o, Scope: payment.Scope{Route: "report"},
		Payload: json.RawMessage(fmt.Sprintf(`{"spt":%q}`, spt)),
	}
}

// claim is a payment as the Processor would have claimed it, with its intent.
func claim(t *testing.T, m *stripe.Method, q payment.Quote, n int, spt string) (payment.Payment, payment.Intent) {
	t.Helper()
	o, err := m.Offer(q)
	if err != nil {
		t.Fatalf("offer: %v", err)
	}
	p := paymenttest.Sample(t, n)
	c := credential(o, p.ChallengeID, spt)
	inst, err := m.Inspect(c)
	if err != nil {
		t.Fatalf("inspect: %v", err)
	}
	p.Method, p.Instrument, p.Amount = m.Name(), inst.Fingerprint, o.Amount
	in, err := m.Prepare(p, c)
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	p.Key, p.Account = in.Key, in.Account
	return p, in
}

func TestMethod(t *testing.T) {
	var pr *processor
	paymenttest.RunMethod(t, paymenttest.MethodCase{
		New: func(t *testing.T) payment.Method {
			t.Helper()
			pr = newProcessor(t)
			return pr.rail(t)
		},
		Quote: quote(t, "1.50 USD"), TooSmall: quote(t, "0.49 USD"),
		Credential: func(_ *testing.T, o payment.Offer, challengeID string) payment.Credential {
			return credential(o, challengeID, pr.mint(token{}))
		},
		Secret: func(payload json.RawMessage) string {
			var members struct {
				SPT string `json:"spt"`
			}
			if err := json.Unmarshal(payload, &members); err != nil {
				t.Fatal(err)
			}
			return members.SPT
		},
		Malformed: []string{
			`{}`, `[]`, `null`, `"spt_1"`, `nonsense`, ``, `{"spt":7}`, `{"spt":null}`, `{"spt":["spt_1"]}`, `{"spt":""}`, `{"spt":"spt_"}`,
			`{"spt":"pm_1"}`, `{"spt":"spt_1 "}`, `{"spt":"spt_1\n"}`, `{"spt":"spt_1/../x"}`, `{"spt":"spt_é"}`, `{"SPT":"spt_1"}`,
			`{"spt":"spt_1","spt":"spt_2"}`, `{"spt":"spt_1","SPT":"spt_2"}`, `{"spt":"spt_1","externalId":7}`, `{"spt":"spt_1"}{}`,
			`{"spt":"spt_` + strings.Repeat("a", 252) + `"}`, `{"spt":"spt_1","x":"` + strings.Repeat("a", 9000) + `"}`,
		},
		Charges: func(_ *testing.T, p payment.Payment) int { return pr.charged(p.ID) },
		Voids:   true, Refunds: true,
	})
}

func TestInspectAcceptsWhatTheDraftAllows(t *testing.T) {
	m := newProcessor(t).rail(t)
	for _, payload := range []string{`{"spt":"spt_1"}`, ` {"spt" : "spt_1"} `, `{"spt":"spt_1","externalId":"order 7"}`, `{"a":{"spt":"x"},"spt":"\u0073pt_1"}`} {
		inst, err := m.Inspect(payment.Credential{Payload: json.RawMessage(payload)})
		if err != nil {
			t.Errorf("%s: %v", payload, err)
		}
		plain, err := m.Inspect(payment.Credential{Payload: json.RawMessage(`{"spt":"spt_1"}`)})
		if err != nil || inst != plain {
			t.Errorf("%s: another instrument than without the extras", payload)
		}
	}
}

func TestOffer(t *testing.T) {
	m := newProcessor(t).rail(t)
	for _, tt := range []struct {
		name, price, want string
		says              string // of a refusal, in words for the seller
	}{
		{name: "cents", price: "1.50 USD", want: "1.50 USD"},
		{name: "more places than needed, exact", price: "1.5000 USD", want: "1.50 USD"},
		{name: "the minimum", price: "0.50 USD", want: "0.50 USD"},
		{name: "below the minimum", price: "0.49 USD", says: "below the card minimum of 0.50 USD"},
		{name: "a tenth of a cent", price: "1.505 USD", says: "finer than the smallest unit of USD"},
		{name: "the largest", price: "999999.99 USD", want: "999999.99 USD"},
		{name: "one more", price: "1000000.00 USD", says: "above the largest charge, 999999.99 USD"},
		{name: "a minimum of its own", price: "3.99 HKD", says: "below the card minimum of 4.00 HKD"},
		{name: "pounds", price: "0.30 GBP", want: "0.30 GBP"},
		{name: "no decimals", price: "50 JPY", want: "50 JPY"},
		{name: "no decimals, below", price: "49 JPY", says: "below the card minimum of 50 JPY"},
		{name: "three decimals", price: "1.230 KWD", want: "1.230 KWD"},
		{name: "three decimals, last not zero", price: "1.234 KWD", says: "must be a multiple of 0.010 KWD"},
		{name: "written with decimals it does not have", price: "12.00 ISK", want: "12.00 ISK"},
		{name: "with some that are not zero", price: "12.50 ISK", says: "must be a multiple of 1.00 ISK"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := m.Offer(quote(t, tt.price))
			if tt.says != "" {
				wantNotOffered(t, err, tt.says)
				return
			}
			if err != nil || o.Amount.String() != tt.want {
				t.Fatalf("offer = %s, %v; want %s", o.Amount, err, tt.want)
			}
			if o.Method != "stripe" || o.Intent != "charge" || string(o.Details) != `{"networkId":"profile_test_shop","paymentMethodTypes":["card","link"]}` {
				t.Errorf("offer = %+v", o)
			}
		})
	}
	coin, err := money.New(1_000_000, "0xusdc", 6)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Offer(payment.Quote{Route: "r", Amount: coin})
	wantNotOffered(t, err, "no currency that cards are charged in")
	_, err = m.Offer(payment.Quote{Route: "r"})
	wantNotOffered(t, err, "no currency")
}

func wantNotOffered(t *testing.T, err error, says string) {
	t.Helper()
	if !isNotOffered(err) || !strings.Contains(err.Error(), says) {
		t.Errorf("err = %v, want ErrNotOffered that says %q", err, says)
	}
}

func TestOfferChecksTheTerms(t *testing.T) {
	m := newProcessor(t).rail(t, func(c *stripe.Config) { c.Metadata = map[string]string{"base": "1"} })
	many := map[string]string{}
	for i := range 45 {
		many[fmt.Sprint("k", i)] = "v"
	}
	for _, tt := range []struct {
		name  string
		terms payment.Terms
		says  string
	}{
		{"account", payment.Terms{Account: "shop"}, "account"},
		{"a header in the account", payment.Terms{Account: "acct_1\r\nX: y"}, "account"},
		{"on behalf of", payment.Terms{OnBehalfOf: "me"}, "on_behalf_of"},
		{"destination", payment.Terms{Destination: "pi_1"}, "destination"},
		{"group", payment.Terms{TransferGroup: "a\x00"}, "transfer_group"},
		{"fee above the price", payment.Terms{FeeUnits: 151, Account: "acct_1"}, "between nothing and the price"},
		{"negative fee", payment.Terms{FeeUnits: -1, Account: "acct_1"}, "between nothing and the price"},
		{"fee for nobody", payment.Terms{FeeUnits: 1}, "a fee needs"},
		{"suffix too long", payment.Terms{StatementSuffix: strings.Repeat("A", 23)}, "longer than 22"},
		{"suffix without a letter", payment.Terms{StatementSuffix: "123"}, "no letter"},
		{"suffix with a star", payment.Terms{StatementSuffix: "A*B"}, "something other than"},
		{"metadata name", payment.Terms{Metadata: map[string]string{"a[b]": "x"}}, "no brackets"},
		{"metadata of ours", payment.Terms{Metadata: map[string]string{"paywall_payment": "x"}}, "kept for this package"},
		{"metadata of the protocol", payment.Terms{Metadata: map[string]string{"mpp_challenge_id": "x"}}, "kept for this package"},
		{"metadata value", payment.Terms{Metadata: map[string]string{"a": strings.Repeat("x", 501)}}, "1 to 500"},
		{"metadata in all", payment.Terms{Metadata: many}, "46 pairs are more than 45"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := quote(t, "1.50 USD")
			q.Terms = tt.terms
			_, err := m.Offer(q)
			wantNotOffered(t, err, tt.says)
		})
	}
}

func TestOfferTellsNothingOfTheTerms(t *testing.T) {
	m := newProcessor(t).rail(t)
	q := quote(t, "1.50 USD")
	q.Terms = payment.Terms{
		Account: "acct_hidden", OnBehalfOf: "acct_hidden", Destination: "acct_hidden", TransferGroup: "hidden",
		FeeUnits: 77, StatementSuffix: "HIDDEN", Metadata: map[string]string{"hidden": "hidden"},
	}
	o, err := m.Offer(q)
	if err != nil {
		t.Fatal(err)
	}
	if shown := o.Recipient + string(o.Details); strings.Contains(strings.ToLower(shown), "hidden") {
		t.Errorf("the offer shows %s", shown)
	}
}
