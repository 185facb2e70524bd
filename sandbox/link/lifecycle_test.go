package link

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSpendRequestFromDraftToPurchase(t *testing.T) {
	f := newFixture(t, nil)
	sr := f.create(map[string]any{"request_approval": nil, "test": true, "metadata": map[string]string{"task": "7"}})
	if sr.Status != Created || sr.ApprovalURL != "" || sr.PaymentDetails != "csmrpd_sandbox_visa" || sr.Metadata["task"] != "7" {
		t.Fatalf("%+v", sr)
	}
	path := "/spend_requests/" + sr.ID

	var updated wireRequest
	f.call(StaticToken, http.MethodPost, path, `{"amount":900,"profile_id":"profile_test_2"}`).into(t, http.StatusOK, &updated)
	if updated.Amount != 900 || updated.NetworkID != "profile_test_2" || updated.Context != why {
		t.Fatalf("%+v", updated)
	}

	var asked map[string]string
	f.call(StaticToken, http.MethodPost, path+"/request_approval", "").into(t, http.StatusOK, &asked)
	url := testBase + "/wallet/requests/" + sr.ID
	if diff := cmp.Diff(map[string]string{"id": sr.ID, "approval_link": url}, asked); diff != "" {
		t.Fatal(diff)
	}
	f.call(StaticToken, http.MethodPost, path+"/request_approval", "").refused(t, http.StatusBadRequest, "already_pending_approval")
	f.call(StaticToken, http.MethodPost, path, `{"amount":1}`).refused(t, http.StatusConflict, "invalid_state")
	if got := f.get(sr.ID, "?include=shared_payment_token"); got.Token != nil || got.ApprovalURL != url {
		t.Fatalf("before the approval: %+v", got)
	}

	if a := f.click(sr.ID, "approve"); a.status != http.StatusSeeOther {
		t.Fatalf("approve: %d %s", a.status, a.body)
	}
	until := f.clock.now().Add(12 * time.Hour)
	want := []grant{{"spt_1", "pm_card_visa", "usd", "profile_test_2", 900, until}}
	if diff := cmp.Diff(want, f.proc.grants, cmp.AllowUnexported(grant{})); diff != "" {
		t.Fatal(diff)
	}
	if got := f.get(sr.ID, ""); got.Status != Approved || got.Token != nil || got.Card != nil {
		t.Fatalf("without include: %+v", got)
	}
	if got := f.get(sr.ID, "?include=card,shared_payment_token"); got.Card != nil || got.Token == nil ||
		got.Token.ID != "spt_1" || got.Token.ValidUntil != timestamp(until) {
		t.Fatalf("with include: %+v", got)
	}

	f.proc.capture("spt_1", 900)
	got := f.get(sr.ID, "?include=shared_payment_token")
	if got.Status != Succeeded || got.Token != nil || got.Transaction == "" || got.PaymentStatus.Outcome != "success" ||
		got.PaymentStatus.Amount != 900 {
		t.Fatalf("after the charge: %+v", got)
	}
	f.call(StaticToken, http.MethodPost, path+"/cancel", "").refused(t, http.StatusConflict, "invalid_state")

	var list struct{ Data []wireRequest }
	f.call(StaticToken, http.MethodGet, "/spend_requests", "").into(t, http.StatusOK, &list)
	if len(list.Data) != 0 {
		t.Errorf("active: %+v", list.Data)
	}
	f.call(StaticToken, http.MethodGet, "/spend_requests?include_history=true", "").into(t, http.StatusOK, &list)
	if len(list.Data) != 1 || list.Data[0].ID != sr.ID {
		t.Errorf("history: %+v", list.Data)
	}
	purchases, ok := f.Purchases().([]Request)
	if !ok || len(purchases) != 1 || purchases[0].Captured != 900 || purchases[0].DecidedBy != byPerson {
		t.Errorf("purchases: %+v", purchases)
	}
}

func TestUnknownRequest(t *testing.T) {
	f := newFixture(t, nil)
	for _, path := range []string{"", "/cancel", "/request_approval"} {
		f.call(StaticToken, http.MethodPost, "/spend_requests/lsrq_none"+path, "{}").refused(t, http.StatusNotFound, "not_found")
	}
	f.call(StaticToken, http.MethodGet, "/spend_requests/lsrq_none", "").refused(t, http.StatusNotFound, "not_found")
	f.call(StaticToken, http.MethodGet, "/nowhere", "").refused(t, http.StatusNotFound, "not_found")
	if err := f.Approve("lsrq_none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Approve: %v", err)
	}
	if err := f.Deny("lsrq_none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Deny: %v", err)
	}
}

func TestDenyAndCancel(t *testing.T) {
	f := newFixture(t, nil)
	denied := f.create(nil)
	if a := f.click(denied.ID, "deny"); a.status != http.StatusSeeOther {
		t.Fatalf("deny: %d", a.status)
	}
	f.wantStatus(denied.ID, Denied)
	if err := f.Approve(denied.ID); !errors.Is(err, ErrState) {
		t.Errorf("approving what was denied: %v", err)
	}

	withdrawn := f.create(nil)
	f.call(StaticToken, http.MethodPost, "/spend_requests/"+withdrawn.ID+"/cancel", "").into(t, http.StatusOK, &withdrawn)
	if withdrawn.Status != Canceled {
		t.Fatalf("%+v", withdrawn)
	}

	approved := f.create(nil)
	if err := f.Approve(approved.ID); err != nil {
		t.Fatal(err)
	}
	if a := f.click(approved.ID, "cancel"); a.status != http.StatusSeeOther {
		t.Fatalf("taking the approval back: %d", a.status)
	}
	f.wantStatus(approved.ID, Canceled)
	if !slices.Equal(f.proc.revoked, []string{"spt_1"}) {
		t.Errorf("revoked: %v", f.proc.revoked)
	}
}

func TestRequestsExpireByTheClock(t *testing.T) {
	f := newFixture(t, nil)
	created := f.create(map[string]any{"request_approval": nil})
	f.clock.advance(10*time.Minute - time.Nanosecond)
	f.wantStatus(created.ID, Created)
	f.call(StaticToken, http.MethodPost, "/spend_requests/"+created.ID+"/request_approval", "").into(t, http.StatusOK, &struct{}{})

	// The window begins anew with the question.
	f.clock.advance(10*time.Minute - time.Nanosecond)
	f.wantStatus(created.ID, PendingApproval)
	f.clock.advance(time.Nanosecond)
	f.wantStatus(created.ID, Expired)
	if err := f.Approve(created.ID); !errors.Is(err, ErrExpired) {
		t.Errorf("approving what expired: %v", err)
	}
	for _, path := range []string{"", "/request_approval", "/cancel"} {
		f.call(StaticToken, http.MethodPost, "/spend_requests/"+created.ID+path, `{"amount":2}`).
			refused(t, http.StatusUnprocessableEntity, "spend_request_expired")
	}

	approved := f.create(nil)
	if err := f.Approve(approved.ID); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(12*time.Hour - time.Nanosecond)
	if got := f.get(approved.ID, "?include=shared_payment_token"); got.Token == nil {
		t.Fatal("the credential ended early")
	}
	f.clock.advance(time.Nanosecond)
	if got := f.get(approved.ID, "?include=shared_payment_token"); got.Status != Expired || got.Token != nil {
		t.Fatalf("the credential outlived its hours: %+v", got)
	}
}

func TestChargeSeenAtTheLastMoment(t *testing.T) {
	f := newFixture(t, nil)
	sr := f.create(nil)
	if err := f.Approve(sr.ID); err != nil {
		t.Fatal(err)
	}
	f.proc.capture("spt_1", 1500)
	f.clock.advance(24 * time.Hour) // nobody looked in between
	f.wantStatus(sr.ID, Succeeded)
}

func TestTwoApprovalsGrantOnce(t *testing.T) {
	f := newFixture(t, nil)
	sr := f.create(nil)
	var good atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			switch err := f.Approve(sr.ID); {
			case err == nil:
				good.Add(1)
			case !errors.Is(err, ErrState):
				t.Errorf("the losers: %v", err)
			}
		})
	}
	wg.Wait()
	if good.Load() != 1 || len(f.proc.grants) != 1 {
		t.Errorf("%d approvals, %d grants", good.Load(), len(f.proc.grants))
	}
	f.wantStatus(sr.ID, Approved)
}

func TestWhileTheProcessorAnswers(t *testing.T) {
	f := newFixture(t, nil)
	sr := f.create(nil)
	f.proc.before = func() {
		if err := f.Deny(sr.ID); !errors.Is(err, ErrState) {
			t.Errorf("deny: %v", err)
		}
		f.call(StaticToken, http.MethodPost, "/spend_requests/"+sr.ID+"/cancel", "").refused(t, http.StatusConflict, "invalid_state")
		f.clock.advance(time.Hour) // the claim was in time; the window ends now
		f.wantStatus(sr.ID, PendingApproval)
	}
	if err := f.Approve(sr.ID); err != nil {
		t.Fatal(err)
	}
	f.wantStatus(sr.ID, Approved)
}

func TestResetWhileTheProcessorAnswers(t *testing.T) {
	f := newFixture(t, nil)
	sr := f.create(nil)
	f.proc.before = f.Reset
	if err := f.Approve(sr.ID); !errors.Is(err, ErrNotFound) {
		t.Fatalf("approve: %v", err)
	}
	if !slices.Equal(f.proc.revoked, []string{"spt_1"}) {
		t.Errorf("the token of a forgotten request is out: %v", f.proc.revoked)
	}
	if len(f.Pending()) != 0 {
		t.Errorf("pending: %+v", f.Pending())
	}
}

func TestFailedGrantLeavesTheRequestWaiting(t *testing.T) {
	f := newFixture(t, nil)
	sr := f.create(nil)
	f.proc.err = errOut
	if err := f.Approve(sr.ID); !errors.Is(err, ErrProcessor) || !errors.Is(err, errOut) {
		t.Fatalf("approve: %v", err)
	}
	if a := f.click(sr.ID, "approve"); a.status != http.StatusBadGateway {
		t.Fatalf("the page: %d", a.status)
	}
	f.proc.err = nil
	f.wantStatus(sr.ID, PendingApproval)
	if err := f.Approve(sr.ID); err != nil {
		t.Fatal(err)
	}
}

func TestAutoApprovalStaysBelowThePolicy(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.AutoApprove = 500; c.Limits.Approved = 1 })
	for _, tt := range []struct {
		name    string
		changes map[string]any
		want    Status
	}{
		{"the limit itself asks", map[string]any{"amount": 500}, PendingApproval},
		{"another currency asks", map[string]any{"amount": 499, "currency": "eur"}, PendingApproval},
		{"without a wish for approval nothing is approved", map[string]any{"amount": 498, "request_approval": nil}, Created},
		{"below it nobody is asked", map[string]any{"amount": 497}, Approved},
		{"what the policy may not approve any more is asked", map[string]any{"amount": 496}, PendingApproval},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := f.create(tt.changes); got.Status != tt.want {
				t.Errorf("%s, want %s", got.Status, tt.want)
			}
		})
	}
}

func TestDelegatedNeedsScopeAndDetails(t *testing.T) {
	f := newFixture(t, nil)
	good := map[string]any{
		"approved_at": f.clock.now().Unix(), "approval_method": "click", "app_name": "Shopping app", "external_user_id": "u1",
	}
	with := func(name string, v any) string {
		details := maps.Clone(good)
		details[name] = v
		return body(map[string]any{"approval_details": details})
	}
	path := "/spend_requests/create_delegated"
	f.call(StaticToken, http.MethodPost, path, with("app_name", "x")).refused(t, http.StatusForbidden, "insufficient_scope")
	for name, b := range map[string]string{
		"no details":        body(nil),
		"no method":         with("approval_method", nil),
		"a strange method":  with("approval_method", "telepathy"),
		"a time to come":    with("approved_at", f.clock.now().Add(time.Hour).Unix()),
		"no user":           with("external_user_id", ""),
		"a strange device":  with("device_type", "fridge"),
		"a number as agent": with("user_agent", 3),
	} {
		t.Run(name, func(t *testing.T) {
			f.call(DelegatedToken, http.MethodPost, path, b).refused(t, http.StatusBadRequest, "invalid_request")
		})
	}
	var sr wireRequest
	f.call(DelegatedToken, http.MethodPost, path, with("app_name", "Shopping app")).into(t, http.StatusOK, &sr)
	if sr.Status != Approved || len(f.proc.grants) != 1 {
		t.Errorf("%+v, %d grants", sr, len(f.proc.grants))
	}
}

func TestIdempotencyKey(t *testing.T) {
	f := newFixture(t, nil)
	first := f.create(map[string]any{"idempotency_key": "k1"})
	if again := f.create(map[string]any{"idempotency_key": "k1"}); again.ID != first.ID {
		t.Errorf("a second request %s beside %s", again.ID, first.ID)
	}
	f.call(StaticToken, http.MethodPost, "/spend_requests", body(map[string]any{"idempotency_key": "k1", "amount": 2})).
		refused(t, http.StatusConflict, "idempotency_key_reused")
	if n := len(f.Pending()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestOtherCredentials(t *testing.T) {
	f := newFixture(t, nil)
	card := f.create(map[string]any{
		"credential_type": "card", "network_id": nil, "merchant_name": "Paper shop", "merchant_url": "https://shop.example.com",
	})
	lpt := f.create(map[string]any{
		"credential_type": "card", "network_id": nil, "execution_method": "link_pay_token", "merchant_account_id": "acct_1",
	})
	for _, id := range []string{card.ID, lpt.ID} {
		if err := f.Approve(id); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.get(card.ID, "?include=card"); got.Card == nil || got.Card.Number != "4000009990001984" || got.Token != nil {
		t.Errorf("card: %+v", got)
	}
	if got := f.get(lpt.ID, "?include=card,link_pay_token"); got.Card != nil || got.PayToken == "" {
		t.Errorf("pay token: %+v", got)
	}
	if len(f.proc.grants) != 0 {
		t.Errorf("the processor granted %v", f.proc.grants)
	}
}

func TestPaymentMethodsDoWhatTheirNamesSay(t *testing.T) {
	f := newFixture(t, nil)
	declining := f.create(map[string]any{"payment_details": "csmrpd_sandbox_declined"})
	if err := f.Approve(declining.ID); err != nil {
		t.Fatal(err)
	}
	if got := f.proc.grants[0].method; got != "pm_card_chargeDeclined" {
		t.Errorf("granted for %s", got)
	}
	if !f.Declined("spt_1", "card_declined", "generic_decline") || f.Declined("spt_9", "card_declined", "") {
		t.Error("a decline belongs to its token only")
	}
	if got := f.get(declining.ID, ""); got.Status != Failed || got.PaymentStatus.DeclineCode != "generic_decline" {
		t.Errorf("%+v", got)
	}
	f.proc.capture("spt_1", 1500)
	f.wantStatus(declining.ID, Succeeded)

	attention := f.create(map[string]any{"payment_details": "csmrpd_sandbox_attention"})
	if err := f.Approve(attention.ID); err != nil {
		t.Fatal(err)
	}
	got := f.get(attention.ID, "?include=shared_payment_token")
	if got.Status != RequiresAction || got.Token != nil ||
		got.StatusDetails.RequiresAction.NextAction.Resolution != "create_new_spend_request_after_completion" {
		t.Errorf("%+v", got)
	}
	for _, id := range []string{"csmrpd_sandbox_bank", "csmrpd_none"} {
		f.call(StaticToken, http.MethodPost, "/spend_requests", body(map[string]any{"payment_details": id})).
			refused(t, http.StatusUnprocessableEntity, "invalid_payment_details")
	}
}

// Whatever agents and the person do, in whatever order: no more is bound than
// the limits allow, each approval has one grant of its amount, and a request
// that ended stays as it ended.
func TestLimitsHoldInAnyOrder(t *testing.T) {
	f := newFixture(t, func(c *Config) {
		c.Limits = Limits{PerRequest: 300, Daily: 500, ThirtyDay: 900, Active: 6, Approved: 3, Hourly: 1000, SixtyDays: 1000}
	})
	rapid.Check(t, func(rt *rapid.T) {
		f.Reset()
		f.proc.grants, f.proc.revoked = nil, nil
		clear(f.proc.took)
		ended := map[string]Status{}
		var ids []string
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			var id string
			if len(ids) > 0 {
				id = rapid.SampledFrom(ids).Draw(rt, "id")
			}
			switch rapid.SampledFrom([]string{"create", "create", "approve", "approve", "deny", "cancel", "charge", "wait"}).Draw(rt, "what") {
			case "create":
				amount := rapid.Int64Range(1, 400).Draw(rt, "amount")
				var v wireRequest
				if a := f.call(StaticToken, http.MethodPost, "/spend_requests", body(map[string]any{"amount": amount})); a.status == http.StatusOK {
					a.into(t, http.StatusOK, &v)
					ids = append(ids, v.ID)
				}
			case "approve":
				_ = f.Approve(id)
			case "deny":
				_ = f.Deny(id)
			case "cancel":
				f.call(StaticToken, http.MethodPost, "/spend_requests/"+id+"/cancel", "")
			case "charge":
				if n := len(f.proc.grants); n > 0 {
					g := f.proc.grants[rapid.IntRange(0, n-1).Draw(rt, "grant")]
					if !slices.Contains(f.proc.revoked, g.id) && f.clock.now().Before(g.expires) {
						f.proc.capture(g.id, g.amount)
					}
				}
			case "wait":
				f.clock.advance(time.Duration(rapid.IntRange(1, 30).Draw(rt, "hours")) * time.Hour)
			}
			all, _ := f.Purchases().([]Request)
			var approved, active int
			for _, r := range all {
				if was := ended[r.ID]; was != "" && was != r.Status {
					rt.Fatalf("%s went from %s to %s", r.ID, was, r.Status)
				}
				if !r.Status.active() {
					ended[r.ID] = r.Status
				} else {
					active++
				}
				if r.Status == Approved {
					approved++
				}
				if r.Amount > 300 {
					rt.Fatalf("filed for %d", r.Amount)
				}
			}
			f.mu.Lock()
			spent := f.spending(f.clock.now())
			f.mu.Unlock()
			if spent.Daily.Used > 500 || spent.ThirtyDay.Used > 900 || approved > 3 || active > 6 {
				rt.Fatalf("over the limits: %+v, %d approved, %d active", spent, approved, active)
			}
		}
		decided := 0
		all, _ := f.Purchases().([]Request)
		for _, r := range all {
			if r.DecidedBy != "" && r.Status != Denied {
				decided++
			}
		}
		if decided != len(f.proc.grants) {
			rt.Fatalf("%d approvals, %d grants", decided, len(f.proc.grants))
		}
	})
}
