package link

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// wireRequest is a SpendRequest as link-cli reads it.
type wireRequest struct {
	ID              string             `json:"id"`
	MerchantName    string             `json:"merchant_name,omitempty"`
	MerchantURL     string             `json:"merchant_url,omitempty"`
	MerchantAccount string             `json:"merchant_account_id,omitempty"`
	Context         string             `json:"context"`
	Amount          int64              `json:"amount"`
	Currency        string             `json:"currency"`
	LineItems       []LineItem         `json:"line_items"`
	Totals          []Total            `json:"totals"`
	PaymentDetails  string             `json:"payment_details"`
	CredentialType  string             `json:"credential_type"`
	ExecutionMethod string             `json:"execution_method,omitempty"`
	NetworkID       string             `json:"network_id,omitempty"`
	CardBrand       string             `json:"card_brand,omitempty"`
	CardLast4       string             `json:"card_last4,omitempty"`
	Status          Status             `json:"status"`
	Test            bool               `json:"test,omitempty"`
	ApprovalURL     string             `json:"approval_url,omitempty"`
	Card            *wireCard          `json:"card,omitempty"`
	Token           *wireSharedToken   `json:"shared_payment_token,omitempty"`
	PayToken        string             `json:"link_pay_token,omitempty"`
	PaymentStatus   *wirePayment       `json:"payment_status_details,omitempty"`
	StatusDetails   *wireStatusDetails `json:"status_details,omitempty"`
	Transaction     string             `json:"link_transaction_id,omitempty"`
	ActivityURL     string             `json:"activity_url,omitempty"`
	Metadata        map[string]string  `json:"metadata,omitempty"`
	CreatedAt       string             `json:"created_at"`
	UpdatedAt       string             `json:"updated_at"`
}

type wireAddress struct {
	Name       string `json:"name"`
	Line1      string `json:"line1"`
	City       string `json:"city"`
	State      string `json:"state"`
	PostalCode string `json:"postal_code"`
	Country    string `json:"country"`
}

type wireCard struct {
	ID             string      `json:"id"`
	Brand          string      `json:"brand"`
	ExpMonth       int         `json:"exp_month"`
	ExpYear        int         `json:"exp_year"`
	Number         string      `json:"number"`
	CVC            string      `json:"cvc"`
	BillingAddress wireAddress `json:"billing_address"`
	ValidUntil     string      `json:"valid_until"`
}

type wireSharedToken struct {
	ID             string      `json:"id"`
	BillingAddress wireAddress `json:"billing_address"`
	ValidUntil     string      `json:"valid_until"`
}

type wirePayment struct {
	Outcome     string `json:"outcome"`
	Code        string `json:"code,omitempty"`
	DeclineCode string `json:"decline_code,omitempty"`
	Amount      int64  `json:"amount"`
	Currency    string `json:"currency"`
	Created     int64  `json:"created"`
}

type wireStatusDetails struct {
	RequiresAction wireAction `json:"requires_action"`
}

type wireAction struct {
	FailureCode string         `json:"failure_code"`
	NextAction  wireNextAction `json:"next_action"`
}

type wireNextAction struct {
	Type           string `json:"type"`
	Resolution     string `json:"resolution"`
	DisplayMessage string `json:"display_message"`
	ActionURL      string `json:"action_url"`
}

// include says which credentials the reader asked for by name.
type include struct{ card, token, payToken bool }

func parseInclude(r *http.Request) include {
	var in include
	query := r.URL.Query()
	for _, list := range append(query["include"], query["include[]"]...) {
		for name := range strings.SplitSeq(list, ",") {
			switch name {
			case credentialCard:
				in.card = true
			case credentialToken:
				in.token = true
			case payToken:
				in.payToken = true
			}
		}
	}
	return in
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// wire renders a request. Credentials come only while it is approved, and only
// when they were asked for. Callers hold mu.
func (w *Wallet) wire(r *spendRequest, in include) wireRequest {
	v := wireRequest{
		ID: r.id, MerchantName: r.MerchantName, MerchantURL: r.MerchantURL, MerchantAccount: r.MerchantAccount,
		Context: r.Context, Amount: r.Amount, Currency: r.Currency, LineItems: r.LineItems, Totals: r.Totals,
		PaymentDetails: r.method.id, CredentialType: r.CredentialType, ExecutionMethod: r.ExecutionMethod,
		NetworkID: r.NetworkID, CardBrand: r.method.brand, CardLast4: r.method.last4, Status: r.status, Test: r.Test,
		Transaction: r.transaction, Metadata: r.Metadata,
		CreatedAt: timestamp(r.createdAt), UpdatedAt: timestamp(r.updatedAt),
	}
	if v.LineItems == nil {
		v.LineItems = []LineItem{}
	}
	if v.Totals == nil {
		v.Totals = []Total{}
	}
	if r.status != Created {
		v.ApprovalURL, v.ActivityURL = w.requestURL(r), w.requestURL(r)
	}
	switch r.status {
	case Approved:
		w.wireCredential(&v, r, in)
	case Succeeded:
		v.PaymentStatus = &wirePayment{
			Outcome: "success", Amount: r.captured, Currency: r.Currency, Created: r.updatedAt.Unix(),
		}
	case Failed:
		v.PaymentStatus = &wirePayment{
			Outcome: "failure", Code: r.declined.code, DeclineCode: r.declined.declineCode, Amount: r.Amount,
			Currency: r.Currency, Created: r.declined.at.Unix(),
		}
	case RequiresAction:
		v.StatusDetails = &wireStatusDetails{wireAction{
			FailureCode: "payment_method_unavailable",
			NextAction: wireNextAction{
				Type: "update_payment_method", Resolution: "create_new_spend_request_after_completion",
				DisplayMessage: "This sandbox card needs attention. Choose another one and create a new spend request.",
				ActionURL:      w.requestURL(r),
			},
		}}
	default: // the others have nothing more to tell
	}
	return v
}

func (w *Wallet) wireCredential(v *wireRequest, r *spendRequest, in include) {
	until := timestamp(r.validUntil)
	switch {
	case r.CredentialType == credentialToken:
		if in.token {
			v.Token = &wireSharedToken{ID: r.token, BillingAddress: billing, ValidUntil: until}
		}
	case r.ExecutionMethod == payToken:
		if in.payToken {
			v.PayToken = r.token
		}
	case in.card:
		v.Card = &wireCard{
			ID: "card_" + strings.TrimPrefix(r.id, "lsrq_"), Brand: r.method.brand, Number: r.method.number, CVC: "123",
			ExpMonth: 12, ExpYear: r.createdAt.Year() + 3, BillingAddress: billing, ValidUntil: until,
		}
	}
}

func (w *Wallet) routeRequests(mux *http.ServeMux) {
	mux.HandleFunc("POST /spend_requests", w.agent(scopePay, w.apiCreate))
	mux.HandleFunc("POST /spend_requests/create_delegated", w.agent(scopeApprove, w.apiCreateDelegated))
	mux.HandleFunc("GET /spend_requests", w.agent(scopePay, w.apiList))
	mux.HandleFunc("GET /spend_requests/{id}", w.agent(scopePay, w.apiGet))
	mux.HandleFunc("POST /spend_requests/{id}", w.agent(scopePay, w.apiUpdate))
	mux.HandleFunc("POST /spend_requests/{id}/cancel", w.agent(scopePay, w.apiCancel))
	mux.HandleFunc("POST /spend_requests/{id}/request_approval", w.agent(scopePay, w.apiRequestApproval))
}

func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &refusal{
			kind: ErrInvalid, status: http.StatusRequestEntityTooLarge, code: "invalid_request",
			message: "The body is too large",
		}
	}
	if err != nil {
		return nil, invalid("The body could not be read")
	}
	return body, nil
}

func (w *Wallet) answerRequest(rw http.ResponseWriter, r *http.Request, sr *spendRequest, in include) {
	w.mu.Lock()
	v := w.wire(sr, in)
	w.mu.Unlock()
	w.answer(rw, r, http.StatusOK, v)
}

func (w *Wallet) apiCreate(rw http.ResponseWriter, r *http.Request, c *connection) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	d, err := parseDraft(body)
	if err != nil {
		return err
	}
	sr, err := w.file(r.Context(), d, c.label, "")
	if err != nil {
		return err
	}
	w.answerRequest(rw, r, sr, include{})
	return nil
}

// apiCreateDelegated files a request whose approval the calling app took from
// its own user; it says how and when, and the wallet believes it.
func (w *Wallet) apiCreateDelegated(rw http.ResponseWriter, r *http.Request, c *connection) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	d, err := parseDraft(body)
	if err != nil {
		return err
	}
	if d.ExecutionMethod != "" {
		return invalid("execution_method link_pay_token needs request_approval and cannot be delegated")
	}
	if err := checkApproval(body, w.now()); err != nil {
		return err
	}
	sr, err := w.file(r.Context(), d, c.label, byDelegate)
	if err != nil {
		return err
	}
	w.answerRequest(rw, r, sr, include{})
	return nil
}

func checkApproval(body []byte, now time.Time) error {
	f, err := readFields(body)
	if err != nil {
		return err
	}
	m, ok := f.m["approval_details"].(map[string]any)
	if !ok {
		return invalid("approval_details is required")
	}
	a := &fields{m: m, at: "approval_details."}
	approvedAt := a.integer("approved_at", 1<<40)
	oneOf(a, "approval_method", true, "click", "programmatic", "voice")
	oneOf(a, "device_type", false, "mobile", "web")
	oneOf(a, "authentication_method", false, "biometric_face", "biometric_fingerprint", "passkey")
	for _, name := range []string{"app_name", "external_user_id"} {
		if a.text(name, maxText) == "" {
			a.wrong(name, "given")
		}
	}
	for _, name := range []string{"ip_address", "user_agent", "agent_log_id", "external_user_name", "external_session_id"} {
		a.text(name, maxText)
	}
	if approvedAt == nil || *approvedAt <= 0 || time.Unix(*approvedAt, 0).After(now.Add(5*time.Minute)) {
		a.wrong("approved_at", "a time in the past, in Unix seconds")
	}
	if a.err != nil {
		return a.err
	}
	return nil
}

func oneOf(f *fields, name string, required bool, values ...string) {
	got := f.text(name, maxText)
	if got == "" && !required {
		return
	}
	if !slices.Contains(values, got) {
		f.wrong(name, "one of "+strings.Join(values, ", "))
	}
}

// apiList answers the newest first, and only what is under way unless the
// history is asked for.
func (w *Wallet) apiList(rw http.ResponseWriter, r *http.Request, _ *connection) error {
	history := r.URL.Query().Get("include_history") == "true"
	w.refresh(r.Context())
	w.mu.Lock()
	data := []wireRequest{}
	for _, sr := range slices.Backward(w.requests) {
		if history || sr.status.active() {
			data = append(data, w.wire(sr, include{}))
		}
	}
	w.mu.Unlock()
	w.answer(rw, r, http.StatusOK, map[string]any{"data": data})
	return nil
}

func (w *Wallet) apiGet(rw http.ResponseWriter, r *http.Request, _ *connection) error {
	w.refresh(r.Context())
	w.mu.Lock()
	sr := w.byID[r.PathValue("id")]
	w.mu.Unlock()
	if sr == nil {
		return notFound()
	}
	w.answerRequest(rw, r, sr, parseInclude(r))
	return nil
}

func (w *Wallet) apiUpdate(rw http.ResponseWriter, r *http.Request, _ *connection) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	sr, err := w.change(r.Context(), r.PathValue("id"), body)
	if err != nil {
		return err
	}
	w.answerRequest(rw, r, sr, include{})
	return nil
}

func (w *Wallet) apiCancel(rw http.ResponseWriter, r *http.Request, _ *connection) error {
	sr, err := w.cancel(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	w.answerRequest(rw, r, sr, include{})
	return nil
}

func (w *Wallet) apiRequestApproval(rw http.ResponseWriter, r *http.Request, _ *connection) error {
	sr, err := w.requestApproval(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	w.answer(rw, r, http.StatusOK, map[string]string{"id": sr.id, "approval_link": w.requestURL(sr)})
	return nil
}
