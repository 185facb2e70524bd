package payment

import (
	"time"

	"paywall/money"
)

// Payment is the durable record of one attempt to pay. Times are UTC, whole
// milliseconds, zero when not yet.
type Payment struct {
	// ID is "pay_" and a version 7 UUID without dashes.
	ID string
	// Revision counts stored changes from 1; [Store.Update] compares it.
	Revision int64

	State    State
	Delivery Delivery
	// Dispatches counts requests handed to the upstream for this payment.
	Dispatches int

	Protocol, Method string
	// Account is the rail's account the charge is on; empty is the seller's own.
	Account        string
	ChallengeID    string
	CredentialHash string
	// Instrument is the fingerprint; unique among payments not failed or voided.
	Instrument  string
	Scope       Scope
	Amount      money.Amount
	Description string
	// Payer and Network are the payer's public name and where it is one; empty when
	// the rail has none.
	Payer, Network string
	// Held says that the money is taken once the goods are made. Such a payment is
	// pending until then, and authorized while what was decided to be taken, Amount,
	// is being taken.
	Held bool
	// Pack says that it buys credit: it is delivered when the account is open, and its
	// money is owed until it is used.
	Pack bool

	// Key is the rail's idempotency key; Intent the sealed outgoing request,
	// dropped once the payment is settled, failed or voided.
	Key    string
	Intent []byte

	// Reference is the rail's id of the charge, RefundReference of the latest refund.
	Reference, RefundReference string
	// RefundsFailed counts refunds that were confirmed and then sent back by the
	// payer's bank. The next one is another refund: the rail derives its key from
	// this number too.
	RefundsFailed int
	// ReceiptID is the jti of the receipt that was issued for it.
	ReceiptID string
	// Reason is a short code: why failed, in review, refunded.
	Reason string
	// Disputed is a flag beside the state.
	Disputed bool

	// WindowEnds is when an open entitlement is refunded. Redeliver says that
	// the request may be handed to the upstream again after an unclear failure.
	WindowEnds time.Time
	Redeliver  bool

	// Owner and Epoch fence writers: taking a lease raises the epoch.
	Owner      string
	Epoch      int64
	LeaseUntil time.Time
	Attempts   int

	CreatedAt, SettledAt, DeliveredAt, RefundedAt, UpdatedAt time.Time
}

// Entry is one ledger transfer: Amount from Credit to Debit. It is written once,
// with the state change it belongs to, and never changed. (Payment, Kind) is unique.
type Entry struct {
	Payment string
	// Kind is the transition: "settle", "deliver", "refund_due", "refund",
	// "refund_failed"; "refund#2" for what happens a second time.
	Kind          string
	Debit, Credit string
	Amount        money.Amount
	At            time.Time
}

// Event is a fact for others, stored with the state change and sent from there.
type Event struct {
	// ID is stable across deliveries.
	ID, Payment, Type string
	At                time.Time
}

// Ledger accounts. Receivable is kept per method: "receivable:stripe".
const (
	AccountReceivable  = "receivable:"
	AccountUndelivered = "liability:undelivered"
	AccountRefundsDue  = "liability:refunds_due"
	AccountRevenue     = "revenue"
	AccountDisputed    = "disputed:"
	AccountCredits     = "liability:credits"
)
