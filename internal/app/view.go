package app

import (
	"time"

	"paywall/payment"
)

// auditGrace is how long recovery may take to act on a window that has ended.
const auditGrace = 2 * time.Minute

// paymentView is a payment as operators see it: everything but what could be
// presented again.
type paymentView struct {
	ID          string           `json:"id"`
	State       payment.State    `json:"state"`
	Delivery    payment.Delivery `json:"delivery"`
	Amount      string           `json:"amount"`
	Units       int64            `json:"units"`
	Currency    string           `json:"currency"`
	Method      string           `json:"method"`
	Protocol    string           `json:"protocol"`
	Account     string           `json:"account,omitempty"`
	Route       string           `json:"route"`
	Resource    string           `json:"resource"`
	Reference   string           `json:"reference,omitempty"`
	Refund      string           `json:"refund,omitempty"`
	Receipt     string           `json:"receipt,omitempty"`
	Reason      string           `json:"reason,omitempty"`
	Disputed    bool             `json:"disputed,omitempty"`
	Dispatches  int              `json:"dispatches"`
	Attempts    int              `json:"attempts"`
	Revision    int64            `json:"revision"`
	WindowEnds  *time.Time       `json:"window_ends,omitempty"`
	CreatedAt   *time.Time       `json:"created_at,omitempty"`
	SettledAt   *time.Time       `json:"settled_at,omitempty"`
	DeliveredAt *time.Time       `json:"delivered_at,omitempty"`
	RefundedAt  *time.Time       `json:"refunded_at,omitempty"`
}

type paymentPage struct {
	Payments []paymentView `json:"payments"`
	Next     string        `json:"next,omitempty"`
}

func viewOf(p payment.Payment) paymentView {
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	return paymentView{
		ID: p.ID, State: p.State, Delivery: p.Delivery,
		Amount: p.Amount.String(), Units: p.Amount.Units(), Currency: p.Amount.Currency(),
		Method: p.Method, Protocol: p.Protocol, Account: p.Account, Route: p.Scope.Route,
		Resource: p.Scope.Method + " " + p.Scope.Target, Reference: p.Reference, Refund: p.RefundReference,
		Receipt: p.ReceiptID, Reason: p.Reason, Disputed: p.Disputed, Dispatches: p.Dispatches,
		Attempts: p.Attempts, Revision: p.Revision,
		WindowEnds: at(p.WindowEnds), CreatedAt: at(p.CreatedAt), SettledAt: at(p.SettledAt),
		DeliveredAt: at(p.DeliveredAt), RefundedAt: at(p.RefundedAt),
	}
}
