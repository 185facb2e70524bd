package credit_test

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"paywall/methods/credit"
	"paywall/methods/credit/credittest"
	"paywall/money"
	"paywall/payment"
	"paywall/payment/paymenttest"
)

func TestMemory(t *testing.T) {
	credittest.RunStore(t, func(*testing.T) credit.Store { return &credittest.Memory{} })
}

func price(t testing.TB, s string) money.Amount {
	t.Helper()
	a, err := money.ParsePrice(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// method has one account, pay_pack, of 5.00 USD.
func method(t testing.TB) (*credit.Method, *credittest.Memory) {
	t.Helper()
	store := &credittest.Memory{}
	m, err := credit.New(credit.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	pack := payment.Payment{ID: "pay_pack", Amount: price(t, "5.00 USD")}
	for range 2 {
		if err := m.Open(t.Context(), pack, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	return m, store
}

func TestMethod_Contract(t *testing.T) {
	n := 0
	var store *credittest.Memory
	paymenttest.RunMethod(t, paymenttest.MethodCase{
		New: func(t *testing.T) payment.Method {
			t.Helper()
			m, s := method(t)
			store = s
			return m
		},
		Quote:    payment.Quote{Route: "quotes", Amount: price(t, "0.01 USD")},
		TooSmall: payment.Quote{Route: "quotes", Amount: price(t, "0.000001 USD")},
		Credential: func(t *testing.T, o payment.Offer, challengeID string) payment.Credential {
			t.Helper()
			n++
			return payment.Credential{Protocol: credit.Protocol, ChallengeID: challengeID, Offer: o, Payload: (*credit.Method)(nil).Draw("pay_pack", strconv.Itoa(n)), Hash: challengeID}
		},
		Malformed: []string{`{}`, `{"account":"pay_pack"}`, `{"draw":"1"}`, `[]`, `"x"`, `{"account":1,"draw":"1"}`, `{"account":"a","account":"b","draw":"1"}`},
		Charges: func(t *testing.T, p payment.Payment) int {
			t.Helper()
			if d, err := store.Drawn(t.Context(), p.ID); err == nil && d.Units > 0 {
				return 1
			}
			return 0
		},
		Voids: true, Refunds: true,
	})
}

func TestOffer(t *testing.T) {
	m, _ := method(t)
	for text, want := range map[string]string{"0.01 USD": "0.01000 USD", "0.00001 USD": "0.00001 USD", "3 JPY": "3.000 JPY", "0.001 JPY": "0.001 JPY"} {
		if o, err := m.Offer(payment.Quote{Amount: price(t, text)}); err != nil || o.Amount.String() != want {
			t.Errorf("%s: %s, %v", text, o.Amount, err)
		}
	}
	for name, q := range map[string]payment.Quote{"a pack": {Amount: price(t, "5.00 USD"), Pack: true}, "a ceiling": {Amount: price(t, "5.00 USD"), Metered: true}} {
		if _, err := m.Offer(q); err == nil {
			t.Errorf("%s is paid with credit", name)
		}
	}
}

func TestCreditFor(t *testing.T) {
	coins, err := money.New(5_000_000, "USDC", 6)
	if err != nil {
		t.Fatal(err)
	}
	for _, paid := range []money.Amount{price(t, "5.00 USD"), coins} {
		if got, err := payment.CreditFor(paid); err != nil || got.String() != "5.00000 USD" {
			t.Errorf("%s buys %s, %v", paid, got, err)
		}
	}
	odd, err := money.New(5_000_001, "USDC", 6)
	if err != nil {
		t.Fatal(err)
	}
	for _, paid := range []money.Amount{odd, {}} {
		if got, err := payment.CreditFor(paid); err == nil {
			t.Errorf("%s buys %s", paid, got)
		}
	}
}

func FuzzInspect(f *testing.F) {
	f.Add([]byte(`{"account":"pay_1","draw":"x"}`))
	f.Add([]byte(`{"account":"pay_1","draw":"x","draw":"y"}`))
	m, err := credit.New(credit.Config{Store: &credittest.Memory{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := m.Inspect(payment.Credential{Payload: json.RawMessage(payload)})
		if (err == nil) != (got.Fingerprint != "") {
			t.Errorf("%q: %+v, %v", payload, got, err)
		}
	})
}
