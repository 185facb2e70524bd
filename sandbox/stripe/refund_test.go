package stripe_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"paywall/sandbox/stripe"
)

func TestB071_Refunds(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	paid := p.post("/v1/payment_intents", charge("pm_card_visa", 3000)).ok(t)
	pi, ch := paid.str("id"), paid.str("latest_charge")
	part := p.post("/v1/refunds", "payment_intent="+pi+"&amount=500&reason=requested_by_customer&metadata[a]=1").ok(t)
	part.is(t, "status", "succeeded")
	part.is(t, "charge", ch)
	p.get("/v1/refunds/"+part.str("id"), "expand[]=charge").ok(t).is(t, "charge.amount_refunded", 500)
	p.post("/v1/refunds", "charge="+ch+"&amount=3000").refused(t, http.StatusBadRequest, "",
		"Refund amount ($30.00) is greater than unrefunded amount on charge ($25.00)")
	p.post("/v1/refunds", "charge="+ch).ok(t).is(t, "amount", 2500)
	p.post("/v1/refunds", "charge="+ch).refused(t, http.StatusBadRequest, "charge_already_refunded", "Charge "+ch+" has already been refunded.")
	p.get("/v1/charges/"+ch, "").ok(t).is(t, "refunded", true)
	p.post("/v1/refunds", "").refused(t, http.StatusBadRequest, "parameter_missing", "payment_intent or charge")
	p.post("/v1/refunds", "charge="+ch+"&payment_intent="+pi).refused(t, http.StatusBadRequest, "parameter_missing", "payment_intent or charge")
	p.post("/v1/refunds", "charge=ch_none").refused(t, http.StatusNotFound, "resource_missing", "No such charge: 'ch_none'")
	p.post("/v1/refunds", "charge="+ch+"&reason=whim").refused(t, http.StatusBadRequest, "parameter_invalid_string", "reason")
	p.post("/v1/refunds/"+part.str("id")+"/cancel", "").refused(t, http.StatusBadRequest, "", "cannot be canceled")
	p.post("/v1/refunds/"+part.str("id"), "metadata[b]=2").ok(t).is(t, "metadata.a", "1")
	if a := p.Audit(10); a.Totals.Refunds != 2 || a.Totals.Refunded["usd"] != 3000 {
		t.Errorf("totals %+v", a.Totals)
	}
	list := p.get("/v1/refunds", "payment_intent="+pi).ok(t)
	list.is(t, "data.1.id", part.str("id"))
	list.is(t, "data.2", nil)
}

// Refunds that arrive together never give back more than was taken.
func TestB071_RefundsTogether(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	pi := p.post("/v1/payment_intents", charge("pm_card_visa", 1000)).ok(t).str("id")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { p.post("/v1/refunds", "payment_intent="+pi+"&amount=300") })
	}
	wg.Wait()
	if a := p.Audit(10); a.Totals.Refunds != 3 || a.Totals.Refunded["usd"] != 900 {
		t.Errorf("totals %+v", a.Totals)
	}
}

func TestRefundsThatTakeTime(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	slow := p.post("/v1/refunds", "payment_intent="+p.post("/v1/payment_intents", charge("pm_card_pendingRefund", 100)).ok(t).str("id")).ok(t)
	slow.is(t, "status", "pending")
	pi := p.post("/v1/payment_intents", charge("pm_card_refundFail", 100)).ok(t).str("id")
	lost := p.post("/v1/refunds", "payment_intent="+pi).ok(t)
	lost.is(t, "status", "succeeded")
	p.clock.advance(5 * time.Second)
	p.get("/v1/refunds/"+slow.str("id"), "").ok(t).is(t, "status", "succeeded")
	p.get("/v1/refunds/"+lost.str("id"), "").ok(t).is(t, "status", "failed")
	p.get("/v1/payment_intents/"+pi, "expand[]=latest_charge").ok(t).is(t, "latest_charge.amount_refunded", 0)
	p.get("/v1/events", "type=refund.failed").ok(t).is(t, "data.0.data.object.id", lost.str("id"))
	if a := p.Audit(10); a.Totals.Refunds != 1 || a.Totals.Refunded["usd"] != 100 {
		t.Errorf("totals %+v", a.Totals)
	}
}

func TestDisputes(t *testing.T) {
	p := newPSP(t, stripe.Config{})
	paid := p.post("/v1/payment_intents", charge("pm_card_createDispute", 1000)).ok(t)
	d := p.get("/v1/disputes", "payment_intent="+paid.str("id")).ok(t)
	d.is(t, "data.0.status", "needs_response")
	d.is(t, "data.0.reason", "fraudulent")
	d.is(t, "data.0.balance_transactions.0.net", -2500)
	p.post("/v1/refunds", "payment_intent="+paid.str("id")).refused(t, http.StatusBadRequest, "charge_disputed", "charged back")
	path := "/v1/disputes/" + d.str("data.0.id")
	p.post(path, "evidence[uncategorized_text]=a+story&submit=false").ok(t).is(t, "status", "needs_response")
	p.post(path, "evidence[uncategorized_text]=winning_evidence").ok(t).is(t, "status", "won")
	p.post(path+"/close", "").refused(t, http.StatusBadRequest, "", "closed")
	p.get("/v1/events", "type=charge.dispute.funds_reinstated").ok(t).is(t, "data.0.data.object.id", d.str("data.0.id"))

	plain := p.post("/v1/payment_intents", charge("pm_card_visa", 1000)).ok(t)
	id, err := p.OpenDispute(plain.str("id"), "product_not_received")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.OpenDispute(plain.str("latest_charge"), ""); err == nil {
		t.Error("disputed twice")
	}
	if _, err := p.OpenDispute("ch_none", ""); err == nil {
		t.Error("disputed nothing")
	}
	p.post("/v1/disputes/"+id, "evidence[uncategorized_text]=losing_evidence").ok(t).is(t, "status", "lost")

	asked := p.post("/v1/payment_intents", charge("pm_card_createDisputeInquiry", 1000)).ok(t)
	q := p.get("/v1/disputes", "payment_intent="+asked.str("id")).ok(t)
	q.is(t, "data.0.status", "warning_needs_response")
	q.is(t, "data.0.is_charge_refundable", true)
	p.post("/v1/refunds", "payment_intent="+asked.str("id")).ok(t)
	p.post("/v1/payment_intents", charge("pm_card_createIssuerFraudRecord", 1000)).ok(t)
	p.get("/v1/events", "type=radar.early_fraud_warning.created").ok(t).is(t, "data.0.data.object.actionable", true)
}
