package receipts_test

import (
	"errors"
	"testing"
	"time"

	"paywall/payment"
	"paywall/receipts"
	"paywall/receipts/receiptstest"
)

// What an order has bought opens its route, whatever the request, and no other; it
// counts over all its copies and ends with its payment.
func TestDesk_BoughtOpensItsRoute(t *testing.T) {
	c := newClock()
	ring := newRing(t, newKey(t, receipts.ES256))
	revoked := &receipts.RevocationList{}
	v := newVerifier(t, receipts.VerifierConfig{Keys: ring, Now: c.now, Uses: &receiptstest.Uses{}, Revocations: revoked})
	desk := receipts.Desk{Issuer: newIssuer(t, ring, c), Verifier: v}
	b := receipts.Bought{
		ID: "rcp_ord_1_li_1", PaymentID: "pay_1", Route: "reports", Pass: payment.Pass{Uses: 2, For: 48 * time.Hour}, At: c.now(),
		Amount: claims(t).Amount, Method: "stripe", Reference: "pi_1", Resource: origin + "/orders/ord_1",
	}
	first, expires, err := desk.IssueBought(b)
	if err != nil || !expires.Equal(c.now().Add(48*time.Hour)) {
		t.Fatalf("until %s, %v", expires, err)
	}
	c.advance(time.Hour)
	again, same, err := desk.IssueBought(b)
	if err != nil || !same.Equal(expires) {
		t.Fatalf("issued again it is good until %s, %v", same, err)
	}
	one := payment.Scope{Tenant: realm, Route: "reports", Method: "GET", Target: "/v1/reports/1"}
	other := payment.Scope{Tenant: realm, Route: "reports", Method: "POST", Target: "/v1/reports?x=1", Digest: "sha-256=:AAAA:"}
	for i, use := range []struct {
		token string
		live  payment.Scope
	}{{first, one}, {again, other}} {
		if g, err := desk.Redeem(t.Context(), use.token, use.live); err != nil || g.PaymentID != "pay_1" || g.Collect {
			t.Fatalf("use %d: %+v, %v", i, g, err)
		}
	}
	if _, err := desk.Redeem(t.Context(), first, one); !errors.Is(err, receipts.ErrUsedUp) {
		t.Errorf("a third of two uses: %v", err)
	}

	b.ID, b.Pass = "rcp_ord_1_li_2", payment.Pass{For: time.Hour}
	timed, _, err := desk.IssueBought(b)
	if !errors.Is(err, receipts.ErrClaims) {
		t.Errorf("a pass was issued after its end: %q, %v", timed, err)
	}
	b.Pass.For = 2 * time.Hour
	if timed, _, err = desk.IssueBought(b); err != nil {
		t.Fatal(err)
	}
	elsewhere := one
	elsewhere.Route = "archive"
	if _, err := desk.Redeem(t.Context(), timed, elsewhere); !errors.Is(err, receipts.ErrScope) {
		t.Errorf("another route: %v", err)
	}
	revoked.Add("pay_1")
	if _, err := desk.Redeem(t.Context(), timed, one); !errors.Is(err, receipts.ErrRevoked) {
		t.Errorf("after the refund: %v", err)
	}
	b.ID, b.Pass = "rcp_ord_1_li_3", payment.Pass{Uses: 3}
	if _, until, err := desk.IssueBought(b); err != nil || !until.Equal(b.At.Add(receipts.BoughtFor)) {
		t.Errorf("uses without a time are good until %s, %v", until, err)
	}
}
