package sqlstore

import (
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"paywall/money"
	"paywall/payment"
)

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// fixed hashes what [payment.Check] wants unchanged, length-prefixed, so that one
// comparison guards all of it. How much is taken of a held payment is decided
// later: the statement compares that. What came with the second schema is hashed
// only where it is set, so that rows of the first keep their hash.
func fixed(p *payment.Payment) string {
	buf := make([]byte, 0, 512)
	for _, f := range [...]string{
		p.ID, p.ChallengeID, p.Instrument, p.CredentialHash, p.Key, p.Amount.Currency(),
		p.Scope.Tenant, p.Scope.Route, p.Scope.Method, p.Scope.Target, p.Scope.Digest,
	} {
		buf = appendField(buf, f)
	}
	units := p.Amount.Units()
	if p.Held {
		units = 0
	}
	buf = binary.BigEndian.AppendUint64(buf, uint64(units))
	buf = append(buf, byte(p.Amount.Scale()))
	if p.Pack {
		buf = append(buf, "pack"...)
	}
	if p.Held || p.Payer != "" || p.Network != "" {
		buf = append(appendField(appendField(buf, p.Payer), p.Network), byte(flag(p.Held)))
	}
	sum := sha256.Sum256(buf)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func appendField(buf []byte, f string) []byte {
	return append(binary.BigEndian.AppendUint32(buf, uint32(len(f))), f...)
}

// dueAt is when recovery must look at the payment; nil is never.
func dueAt(p *payment.Payment) any {
	lease := millis(p.LeaseUntil)
	switch p.State {
	case payment.StatePending, payment.StateAuthorized, payment.StateRefunding:
		return lease
	case payment.StateSettled:
		switch p.Delivery {
		case payment.DeliveryDispatched:
			return lease
		case payment.DeliveryOpen:
			return max(lease, millis(p.WindowEnds))
		case payment.DeliveryNone, payment.DeliveryDelivered:
		}
	case payment.StateFailed, payment.StateVoided, payment.StateReview, payment.StateRefunded, payment.StateCredited:
	}
	return nil
}

// changing lists the values of changingColumns, in its order.
func changing(p *payment.Payment) []any {
	return append(make([]any, 0, 48),
		p.Amount.Units(), p.Revision, string(p.State), string(p.Delivery), int64(p.Dispatches), p.Account, p.Intent, p.Reference, p.RefundReference,
		p.ReceiptID, p.Reason, flag(p.Disputed), millis(p.WindowEnds), flag(p.Redeliver), p.Owner, p.Epoch, millis(p.LeaseUntil),
		int64(p.Attempts), int64(p.RefundsFailed), millis(p.SettledAt), millis(p.DeliveredAt), millis(p.RefundedAt), millis(p.UpdatedAt))
}

// all lists the values of insertPayment.
func all(p *payment.Payment) []any {
	args := append(make([]any, 0, 48),
		p.ID, p.Protocol, p.Method, p.ChallengeID, p.CredentialHash, p.Instrument,
		p.Scope.Tenant, p.Scope.Route, p.Scope.Method, p.Scope.Target, p.Scope.Digest,
		p.Amount.Currency(), int64(p.Amount.Scale()), p.Description, p.Key, p.Payer, p.Network, flag(p.Held), flag(p.Pack), millis(p.CreatedAt))
	args = append(args, changing(p)...)
	return append(args, fixed(p), dueAt(p))
}

type row interface{ Scan(dest ...any) error }

// scanPayment reads what selectPayment selects.
func scanPayment(r row) (payment.Payment, error) {
	var (
		p                                                              payment.Payment
		units, scale, created, disputed, window, redeliver, held, pack int64
		lease, settled, delivered, refunded, updated, dispatches       int64
		currency                                                       string
	)
	err := r.Scan(&p.ID, &p.Protocol, &p.Method, &p.ChallengeID, &p.CredentialHash, &p.Instrument,
		&p.Scope.Tenant, &p.Scope.Route, &p.Scope.Method, &p.Scope.Target, &p.Scope.Digest,
		&currency, &scale, &p.Description, &p.Key, &p.Payer, &p.Network, &held, &pack, &created,
		&units, &p.Revision, &p.State, &p.Delivery, &dispatches, &p.Account, &p.Intent, &p.Reference, &p.RefundReference,
		&p.ReceiptID, &p.Reason, &disputed, &window, &redeliver, &p.Owner, &p.Epoch, &lease,
		&p.Attempts, &p.RefundsFailed, &settled, &delivered, &refunded, &updated)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return payment.Payment{}, payment.ErrNotFound
	case err != nil:
		return payment.Payment{}, fmt.Errorf("read payment: %w", err)
	}
	if p.Amount, err = money.New(units, currency, int(scale)); err != nil {
		return payment.Payment{}, fmt.Errorf("read payment %s: %w", p.ID, err)
	}
	p.Dispatches, p.Disputed, p.Redeliver, p.Held, p.Pack = int(dispatches), disputed != 0, redeliver != 0, held != 0, pack != 0
	p.WindowEnds, p.LeaseUntil, p.CreatedAt = moment(window), moment(lease), moment(created)
	p.SettledAt, p.DeliveredAt, p.RefundedAt, p.UpdatedAt = moment(settled), moment(delivered), moment(refunded), moment(updated)
	if len(p.Intent) == 0 {
		p.Intent = nil
	}
	return p, nil
}
