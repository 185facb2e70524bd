package link

import (
	"slices"
	"time"
)

// Status is where a spend request stands.
type Status string

// The statuses, by the names Link gives them.
const (
	Created         Status = "created"
	PendingApproval Status = "pending_approval"
	Approved        Status = "approved"
	Denied          Status = "denied"
	Expired         Status = "expired"
	Canceled        Status = "canceled"
	Succeeded       Status = "succeeded"
	Failed          Status = "failed"
	RequiresAction  Status = "requires_action"
)

// next is the whole machine: what is not here does not happen.
var next = map[Status][]Status{
	Created:         {PendingApproval, Approved, Canceled, Expired},
	PendingApproval: {Approved, Denied, RequiresAction, Canceled, Expired},
	Approved:        {Succeeded, Failed, Canceled, Expired},
	RequiresAction:  {Canceled, Expired},
	Failed:          {Succeeded}, // a declined token may be tried again
}

// active reports whether the request is still under way.
func (s Status) active() bool {
	return s == Created || s == PendingApproval || s == Approved || s == RequiresAction
}

// spendRequest is the record of one request. The wallet's mutex guards it.
type spendRequest struct {
	draft

	id          string
	agent       string // label of the connection that filed it
	method      *paymentMethod
	status      Status
	busy        bool // the processor is being asked for a token
	by          string
	token       string // spt_…, or lpt_…
	captured    int64
	declined    *decline
	transaction string
	reports     []observation

	createdAt, updatedAt, approvedAt, decidedAt time.Time
	expiresAt                                   time.Time // of the present status; zero once terminal
	validUntil                                  time.Time // of the credential
}

type decline struct {
	code, declineCode string
	at                time.Time
}

// move makes a step that the machine allows and reports whether it did.
func (r *spendRequest) move(to Status, now time.Time) bool {
	if !slices.Contains(next[r.status], to) {
		return false
	}
	r.status, r.updatedAt = to, now
	if !to.active() {
		r.expiresAt = time.Time{}
	}
	return true
}

// merchant is who is paid, as well as the wallet knows it.
func (r *spendRequest) merchant() string {
	return orElse(orElse(r.MerchantName, r.NetworkID), r.MerchantAccount)
}

// A Request is what a person sees of a spend request. All text is fit to be
// shown: bounded, and free of control and format characters. It holds no
// credential.
type Request struct {
	ID             string     `json:"id"`
	Status         Status     `json:"status"`
	Amount         int64      `json:"amount"` // minor units
	Currency       string     `json:"currency"`
	Merchant       string     `json:"merchant"` // a name, or the identifier of a profile or account
	MerchantURL    string     `json:"merchant_url,omitempty"`
	NetworkID      string     `json:"network_id,omitempty"`
	Context        string     `json:"context"`
	LineItems      []LineItem `json:"line_items"`
	Totals         []Total    `json:"totals"`
	CredentialType string     `json:"credential_type"`
	PaymentMethod  string     `json:"payment_method"`
	Test           bool       `json:"test"`
	Agent          string     `json:"agent"`
	// DecidedBy is person, policy, delegated or control; empty before a decision.
	DecidedBy   string `json:"decided_by,omitempty"`
	Captured    int64  `json:"captured,omitempty"` // minor units
	DeclineCode string `json:"decline_code,omitempty"`
	Transaction string `json:"transaction,omitempty"`
	// Reports are what the agent said of the attempt, one line each.
	Reports     []string  `json:"reports,omitempty"`
	ApprovalURL string    `json:"approval_url"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	// ExpiresAt is when the present status ends by itself; zero when it does not.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// view copies what a person may see. Callers hold mu.
func (w *Wallet) view(r *spendRequest) Request {
	v := Request{
		ID: r.id, Status: r.status, Amount: r.Amount, Currency: r.Currency,
		Merchant: line(r.merchant(), 120), MerchantURL: line(r.MerchantURL, 200), NetworkID: line(r.NetworkID, 120),
		Context: clean(r.Context, maxContext), LineItems: []LineItem{}, Totals: cleanTotals(r.Totals),
		CredentialType: r.CredentialType, PaymentMethod: r.method.nickname, Test: r.Test, Agent: line(r.agent, 120),
		DecidedBy: r.by, Captured: r.captured, Transaction: r.transaction, ApprovalURL: w.requestURL(r),
		CreatedAt: r.createdAt, UpdatedAt: r.updatedAt, ExpiresAt: r.expiresAt,
	}
	if r.ExecutionMethod != "" {
		v.CredentialType = r.ExecutionMethod
	}
	if r.declined != nil {
		v.DeclineCode = line(orElse(r.declined.declineCode, r.declined.code), 80)
	}
	for _, item := range r.LineItems {
		v.LineItems = append(v.LineItems, LineItem{
			Name: line(item.Name, 160), Description: line(item.Description, 300), SKU: line(item.SKU, 80),
			URL: line(item.URL, 200), ImageURL: line(item.ImageURL, 200), ProductURL: line(item.ProductURL, 200),
			Quantity: item.Quantity, UnitAmount: item.UnitAmount, Totals: cleanTotals(item.Totals),
		})
	}
	for _, o := range r.reports {
		v.Reports = append(v.Reports, o.line())
	}
	return v
}

func cleanTotals(totals []Total) []Total {
	out := make([]Total, len(totals))
	for i, t := range totals {
		out[i] = Total{Type: t.Type, DisplayText: line(t.DisplayText, 80), Amount: t.Amount}
	}
	return out
}

func (w *Wallet) requestURL(r *spendRequest) string { return w.base + "/wallet/requests/" + r.id }
