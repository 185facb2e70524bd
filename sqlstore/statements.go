package sqlstore

import (
	"fmt"
	"strings"

	"paywall/payment"
)

// fixedColumns are written by a claim and never again; the others by every update.
const fixedColumns = `id, protocol, method, challenge_id, credential_hash, instrument,
	tenant, route, http_method, target, digest, currency, scale, description, rail_key, payer, network, held, pack, created_at`

const changingColumns = `units, revision, state, delivery, dispatches, account, intent, reference, refund_reference, receipt_id, reason,
	disputed, window_ends, redeliver, owner, epoch, lease_until, attempts, refunds_failed, settled_at, delivered_at, refunded_at, updated_at`

const (
	selectPayment = `select ` + fixedColumns + `, ` + changingColumns + ` from payments `

	byID         = selectPayment + `where id = $1`
	byChallenge  = selectPayment + `where challenge_id = $1`
	byInstrument = selectPayment + `where instrument = $1 and state not in ('failed', 'voided')`
	byReference  = selectPayment + `where reference = $1 and method = $2 and reference <> '' order by id limit 1`
	selectDue    = selectPayment + `where due_at <= $1 order by due_at, id limit $2`

	selectEntries = `select position, payment_id, kind, debit, credit, units, currency, scale, at
	from entries where position > $1 order by position limit $2`
	selectEvents = `select position, id, payment_id, type, at from events where position > $1 order by position limit $2`

	insertEntry = `insert into entries (payment_id, kind, debit, credit, units, currency, scale, at)
	values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing`
	insertEvent = `insert into events (id, payment_id, type, at) values ($1, $2, $3, $4)`

	selectSetting = `select value from settings where name = $1`
	putSetting    = `insert into settings (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value`

	insertInbound = `insert into inbound (source, event_id, at) values ($1, $2, $3) on conflict do nothing`

	takeUse = `insert into receipt_uses (receipt_id, payment_id, used, expires_at) values ($1, $2, 1, $3)
	on conflict (receipt_id) do update set used = receipt_uses.used + 1 where receipt_uses.used < $4 returning used`
	forgetUses = `delete from receipt_uses where expires_at < $1`

	insertKey = `insert into idempotency_keys (principal, key, fingerprint, value, at)
	values ($1, $2, $3, $4, $5) on conflict do nothing`
	selectKey = `select fingerprint, value from idempotency_keys where principal = $1 and key = $2`
)

// insertPayment is the statement of a claim. The pause is read by the insert itself, so that
// none slips in between; the unique indexes decide races.
func insertPayment() string {
	columns := fixedColumns + ", " + changingColumns + ", fixed, due_at"
	return `insert into payments (` + columns + `) select ` + placeholders(1, strings.Count(columns, ",")+1) +
		` where not exists (select 1 from settings where name = '` + payment.SettingPaused + `' and value <> '')
	on conflict do nothing`
}

func placeholders(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "$%d", from+i)
	}
	return b.String()
}

// position is a state with its delivery.
type position struct {
	state    payment.State
	delivery payment.Delivery
}

var states = [...]payment.State{
	payment.StatePending, payment.StateAuthorized, payment.StateSettled, payment.StateFailed, payment.StateVoided,
	payment.StateReview, payment.StateRefunding, payment.StateRefunded, payment.StateCredited,
}

var deliveries = [...]payment.Delivery{
	payment.DeliveryNone, payment.DeliveryOpen, payment.DeliveryDispatched, payment.DeliveryDelivered,
}

// updates holds for every position the statement that moves a payment there. Its
// guard is [payment.Check] in SQL: the positions Check allows to come from, the
// revision, the epoch, a hash of the fixed fields, and the amount where that does
// not have it. So a rightful update needs no read before it.
func updates() map[position]string {
	texts := make(map[position]string)
	for _, s := range states {
		for _, d := range deliveries {
			to := position{s, d}
			texts[to] = updateText(to)
		}
	}
	return texts
}

func updateText(to position) string {
	var from []string
	for _, held := range []bool{false, true} {
		for _, s := range states {
			for _, d := range deliveries {
				a := payment.Payment{State: s, Delivery: d, Held: held}
				b := payment.Payment{State: to.state, Delivery: to.delivery, Held: held, Revision: 1}
				if payment.Check(a, b) == nil {
					from = append(from, fmt.Sprintf("(held = %d and state = '%s' and delivery = '%s')", flag(held), s, d))
				}
			}
		}
	}
	// The hash has the amount of what is not held; units is the first parameter.
	amount := "held = 0 or units = $1"
	if to.state == payment.StateAuthorized {
		amount += " or state = 'pending' and units > $1"
	}
	columns := strings.Split(changingColumns+", due_at", ",")
	sets := make([]string, len(columns))
	for i, c := range columns {
		sets[i] = fmt.Sprintf("%s = $%d", strings.TrimSpace(c), i+1)
	}
	n := len(columns)
	return fmt.Sprintf(`update payments set %s where id = $%d and revision = $%d and epoch <= $%d and fixed = $%d and (%s) and (%s)`,
		strings.Join(sets, ", "), n+1, n+2, n+3, n+4, amount, strings.Join(from, " or "))
}
