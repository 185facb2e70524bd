package stripe

import (
	"maps"
	"slices"
	"time"
)

// An entry is one line of an account's balance.
type entry struct {
	id        string
	created   time.Time
	kind      string
	source    string
	currency  string
	amount    int64
	fee       int64
	available bool
	due       time.Time
}

func (e *entry) ident() string   { return e.id }
func (e *entry) born() time.Time { return e.created }

func (e *entry) render() object {
	status := statusPending
	if e.available {
		status = "available"
	}
	fees := []object{}
	if e.fee > 0 {
		fees = append(fees, object{"amount": e.fee, "application": nil, "currency": e.currency, "description": "Stripe processing fees", "type": "stripe_fee"})
	}
	category := e.kind
	if e.kind == "adjustment" {
		category = "dispute"
	}
	return object{
		"id": e.id, "object": "balance_transaction", "amount": e.amount, "available_on": e.due.Unix(), "created": e.created.Unix(),
		"currency": e.currency, "description": nil, "exchange_rate": nil, "fee": e.fee, "fee_details": fees, "net": e.amount - e.fee,
		"reporting_category": category, "source": e.source, "status": status, "type": e.kind,
	}
}

// clears is how long money takes from a charge to the available balance.
const clears = 2 * 24 * time.Hour

// feeOf is the list price of a card charge: 2.9 percent and 30.
func feeOf(amount int64) int64 { return (amount*29+500)/1000 + 30 }

func (s *Server) book(a *account, kind, source, currency string, amount, fee int64, available bool, now time.Time) *entry {
	e := &entry{
		id: s.newID("txn"), created: now, kind: kind, source: source, currency: currency,
		amount: amount, fee: fee, available: available, due: now,
	}
	if !available {
		e.due = now.Add(clears)
		s.later(e.due, func(time.Time) { e.available = true })
	}
	a.entries.add(e)
	return e
}

func (s *Server) balance(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	sums := map[bool]map[string]int64{true: {"usd": 0}, false: {"usd": 0}}
	for _, e := range c.account.entries.list {
		sums[e.available][e.currency] += e.amount - e.fee
	}
	lines := func(available bool) []object {
		all := []object{}
		for _, currency := range slices.Sorted(maps.Keys(sums[available])) {
			amount := sums[available][currency]
			all = append(all, object{"amount": amount, "currency": currency, "source_types": object{"card": amount}})
		}
		return all
	}
	return object{"object": "balance", "available": lines(true), "pending": lines(false), "livemode": false}, nil
}

func (s *Server) retrieveBalance(c *call) (object, error) {
	if err := c.finish(); err != nil {
		return nil, err
	}
	e, ok := c.account.entries.get(c.id)
	if !ok {
		return nil, noSuch("balance transaction", "id", c.id)
	}
	return e.render(), nil
}

func (s *Server) listBalance(c *call) (object, error) {
	when, g, kind, from := c.created(), c.page(), c.str("type"), c.str("source")
	currency := c.str("currency")
	if err := c.finish(); err != nil {
		return nil, err
	}
	found, more, err := cut(&c.account.entries, g, "balance transaction", func(e *entry) bool {
		return when.covers(e.created) && (kind == "" || e.kind == kind) && (from == "" || e.source == from) && (currency == "" || e.currency == currency)
	})
	if err != nil {
		return nil, err
	}
	return listOf(found, more, "/v1/balance_transactions", (*entry).render), nil
}
