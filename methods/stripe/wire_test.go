package stripe_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paywall/methods/stripe"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

// TestWire holds what leaves, byte for byte: these bytes are stored, and a
// release that wrote others could not finish what an older one began.
func TestWire(t *testing.T) {
	plain := func(*payment.Quote) {}
	for _, tt := range []struct {
		name     string
		config   func(*stripe.Config)
		quote    func(*payment.Quote)
		protocol string
		body     []string
		header   http.Header // beside what all have
	}{
		{
			name: "plain", quote: plain, protocol: "mpp", config: func(*stripe.Config) {},
			body: []string{
				"amount=150",
				"automatic_payment_methods[allow_redirects]=never",
				"automatic_payment_methods[enabled]=true",
				"confirm=true",
				"currency=usd",
				"expand[0]=latest_charge",
				"metadata[machine_payment]=true",
				"metadata[mpp_challenge_id]=challenge-1",
				"metadata[mpp_intent]=charge",
				"metadata[paywall_payment]=pay_00000000000000000000000000000001",
				"metadata[paywall_route]=report",
				"payment_method_data[shared_payment_granted_token]=spt_1Test1",
			},
			header: http.Header{
				"Stripe-Version":  {"2026-04-22.preview"},
				"Idempotency-Key": {"pw1_X_l4MWKi3rlQHDa22D-hJnzu0zdonRiLSpPzEr8paf0"},
			},
		},
		{
			name: "everything", protocol: "x402",
			config: func(c *stripe.Config) {
				c.SPTParam, c.APIVersion, c.Account = stripe.ParamTopLevel, "2026-07-29.preview", "acct_default"
				c.StatementSuffix, c.Metadata = "DEFAULT", map[string]string{"team": "a&b=c", "shop": "default"}
			},
			quote: func(q *payment.Quote) {
				q.Terms = payment.Terms{
					Account: "acct_shop", OnBehalfOf: "acct_record", Destination: "acct_maker", TransferGroup: "group 1", FeeUnits: 15,
					StatementSuffix: "REPORTS", Metadata: map[string]string{"shop": "ours", "what for": "ünïcode"},
				}
			},
			body: []string{
				"amount=150",
				"application_fee_amount=15",
				"automatic_payment_methods[allow_redirects]=never",
				"automatic_payment_methods[enabled]=true",
				"confirm=true",
				"currency=usd",
				"expand[0]=latest_charge",
				"metadata[challenge_id]=challenge-1",
				"metadata[machine_payment]=true",
				"metadata[paywall_payment]=pay_00000000000000000000000000000001",
				"metadata[paywall_route]=report",
				"metadata[shop]=ours",
				"metadata[team]=a%26b%3Dc",
				"metadata[what+for]=%C3%BCn%C3%AFcode",
				"on_behalf_of=acct_record",
				"shared_payment_granted_token=spt_1Test1",
				"statement_descriptor_suffix=REPORTS",
				"transfer_data[destination]=acct_maker",
				"transfer_group=group+1",
			},
			header: http.Header{
				"Stripe-Version":  {"2026-07-29.preview"},
				"Stripe-Account":  {"acct_shop"},
				"Idempotency-Key": {"pw1_7V_XSswUwJgWLc8sTiyN1uq0gPOOYP-Rh3TAxidIp-g"},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pr := newProcessor(t)
			m := pr.rail(t, tt.config)
			q := quote(t, "1.50 USD")
			tt.quote(&q)
			o, err := m.Offer(q)
			if err != nil {
				t.Fatal(err)
			}
			p := paymenttest.Sample(t, 1)
			p.Amount, p.Protocol = o.Amount, tt.protocol
			in, err := m.Prepare(p, credential(o, p.ChallengeID, pr.mint(token{})))
			if err != nil {
				t.Fatal(err)
			}
			if out := m.Charge(t.Context(), p, in); out.Class != payment.OutcomeSucceeded {
				t.Fatalf("charge = %+v", out)
			}
			got := pr.sent("create")[0]
			want := strings.Join(tt.body, "&")
			if got.Body != want {
				t.Errorf("body (-want +got):\n%s", cmp.Diff(tt.body, strings.Split(got.Body, "&")))
			}
			header := maps.Clone(tt.header)
			maps.Copy(header, http.Header{
				"Accept-Encoding": {"gzip"},
				"Authorization":   {"Bearer " + testKey},
				"Content-Type":    {"application/x-www-form-urlencoded"},
				"User-Agent":      {"Stripe/v1 GoBindings/82.5.1"},
			})
			got.Header.Del("Content-Length")
			if d := cmp.Diff(header, got.Header); d != "" {
				t.Errorf("header (-want +got):\n%s", d)
			}
			if !strings.Contains(string(in.Request), `"account":"`+tt.header.Get("Stripe-Account")+`","body":"`) || in.Account != tt.header.Get("Stripe-Account") {
				t.Errorf("stored for account %q: %s", in.Account, in.Request)
			}
		})
	}
}

// TestStoredBytesDecide shows that a change of configuration between two
// sendings changes nothing of what is sent.
func TestStoredBytesDecide(t *testing.T) {
	pr := newProcessor(t)
	p, in := claim(t, pr.rail(t), quote(t, "1.50 USD"), 1, pr.mint(token{}))
	changed := pr.rail(t, func(c *stripe.Config) {
		c.APIVersion, c.SPTParam, c.Account = "2026-09-30.preview", stripe.ParamTopLevel, "acct_new"
		c.StatementSuffix, c.Metadata = "NEW", map[string]string{"new": "1"}
	})
	for _, m := range []*stripe.Method{pr.rail(t), changed} {
		if out := m.Charge(t.Context(), p, in); out.Class != payment.OutcomeSucceeded {
			t.Errorf("charge = %+v", out)
		}
	}
	sent := pr.sent("create")
	if len(sent) != 2 || sent[0].Body != sent[1].Body || !cmp.Equal(sent[0].Header, sent[1].Header) {
		t.Errorf("two sendings differ: %s", cmp.Diff(sent[0], sent[1]))
	}
}

func TestFeeIsInTheProcessorsUnits(t *testing.T) {
	pr := newProcessor(t)
	q := quote(t, "1.5000 USD")
	q.Terms = payment.Terms{Account: "acct_1", FeeUnits: 1500} // 0.1500 USD
	_, in := claim(t, pr.rail(t), q, 1, pr.mint(token{}))
	if !strings.Contains(string(in.Request), `application_fee_amount=15`) || !strings.Contains(string(in.Request), "amount=150") {
		t.Errorf("stored %s", in.Request)
	}
	q.Terms.FeeUnits = 1501
	if _, err := pr.rail(t).Offer(q); !isNotOffered(err) {
		t.Errorf("a hundredth of a cent as fee: %v", err)
	}
}

// Whatever the seller's metadata holds, the form reads back as it was meant, and
// is the same each time.
func TestFormReadsBack(t *testing.T) {
	pr := newProcessor(t)
	spt := pr.mint(token{})
	m := pr.rail(t)
	rapid.Check(t, func(rt *rapid.T) {
		meta := rapid.MapOfN(rapid.StringMatching(`[ -Z^-~]{1,40}`), rapid.StringN(1, 100, 500), 0, 20).Draw(rt, "metadata")
		q := quote(t, "1.50 USD")
		q.Terms.Metadata = meta
		o, err := m.Offer(q)
		if err != nil {
			if !isNotOffered(err) {
				rt.Fatalf("offer: %v", err)
			}
			return
		}
		p := paymenttest.Sample(t, 1)
		p.Amount = o.Amount
		c := credential(o, p.ChallengeID, spt)
		in, err := m.Prepare(p, c)
		if err != nil {
			rt.Fatalf("prepare: %v", err)
		}
		if again, err := m.Prepare(p, c); err != nil || string(again.Request) != string(in.Request) {
			rt.Fatalf("another time: %s, %v", again.Request, err)
		}
		var doc struct{ Body string }
		if err := json.Unmarshal(in.Request, &doc); err != nil {
			rt.Fatal(err)
		}
		form, err := url.ParseQuery(doc.Body)
		if err != nil {
			rt.Fatalf("%s: %v", doc.Body, err)
		}
		for k, v := range meta {
			if got := form["metadata["+k+"]"]; !slices.Equal(got, []string{v}) {
				rt.Fatalf("metadata %q = %q, want %q in %s", k, got, v, doc.Body)
			}
		}
		if form.Get("amount") != "150" || form.Get("metadata[paywall_payment]") != p.ID {
			rt.Fatalf("form %s", doc.Body)
		}
	})
}
