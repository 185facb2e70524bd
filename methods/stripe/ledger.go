package stripe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"paywall/money"
	"paywall/payment"
)

// coinScale is how many places a dollar has on chains, perCent what makes a cent.
const (
	coinScale = 6
	perCent   = 10_000
)

// A ledger is where delivery has got to. It is stored as one value, so that what was
// read and what is owed below a cent can never disagree.
type ledger struct {
	// Position is that of the last event that was dealt with.
	Position int64 `json:"position"`
	// Carry is by network what came in and is not entered, in millionths of a dollar
	// below a cent. It follows from the events up to Position alone.
	Carry map[string]int64 `json:"carry,omitempty"`
	// Waiting are transfers that the processor does not see yet, Dead those that it
	// never will.
	Waiting []entry `json:"waiting,omitempty"`
	Dead    []entry `json:"dead,omitempty"`
}

// An entry is a transfer and what is to be entered for it, which was decided once.
type entry struct {
	Payment     string    `json:"payment"`
	Network     string    `json:"network"`
	Transaction string    `json:"transaction"`
	Cents       int64     `json:"cents"`
	At          time.Time `json:"at"`    // of the transfer
	Since       time.Time `json:"since"` // of the first attempt
	Next        time.Time `json:"next"`  // attempt
	Tries       int       `json:"tries"`
	Reason      string    `json:"reason"`
}

func (e entry) transfer() (Transfer, error) {
	amount, err := money.New(e.Cents, "USD", 2)
	if err != nil {
		return Transfer{}, fmt.Errorf("transfer of %s: %w", e.Payment, err)
	}
	return Transfer{Network: e.Network, Transaction: e.Transaction, Amount: amount, PaymentID: e.Payment, At: e.At}, nil
}

// parseLedger reads a stored ledger. Anything but what this package writes is an
// error: to begin anew would enter everything again.
func parseLedger(s string) (ledger, error) {
	var l ledger
	dec := json.NewDecoder(bytes.NewReader([]byte(s)))
	dec.DisallowUnknownFields()
	switch err := dec.Decode(&l); {
	case err != nil || dec.More():
		return ledger{}, fmt.Errorf("not its form: %w", ErrLedger)
	case l.Position < 0:
		return ledger{}, fmt.Errorf("its position: %w", ErrLedger)
	}
	for network, units := range l.Carry {
		if units < 0 || units >= perCent {
			return ledger{}, fmt.Errorf("carry of %.20q: %w", network, ErrLedger)
		}
	}
	for _, e := range slices.Concat(l.Waiting, l.Dead) {
		if e.Payment == "" || e.Cents < 0 {
			return ledger{}, fmt.Errorf("a transfer that is none: %w", ErrLedger)
		}
	}
	if l.Carry == nil {
		l.Carry = map[string]int64{}
	}
	return l, nil
}

func (l ledger) String() string {
	data, err := json.Marshal(l)
	if err != nil {
		panic(err) // not reached: numbers, times and text
	}
	return string(data)
}

// add takes the units of a payment in and returns the cents that are to be entered
// under its transaction, and what stays over. Nothing is changed.
func (l ledger) add(network string, amount money.Amount) (cents, carry int64, ok bool) {
	a, err := amount.Rescale(coinScale)
	if err != nil || a.Currency() != "USDC" || a.Units() < 0 || a.Units() > maxUnits*perCent {
		return 0, 0, false
	}
	sum := l.Carry[network] + a.Units()
	return sum / perCent, sum % perCent, true
}

// take removes and returns the entry of a payment.
func take(list []entry, paymentID string) ([]entry, entry, error) {
	i := slices.IndexFunc(list, func(e entry) bool { return e.Payment == paymentID })
	if i < 0 {
		return list, entry{}, fmt.Errorf("transfer of %s: %w", paymentID, payment.ErrNotFound)
	}
	e := list[i]
	return slices.Delete(slices.Clone(list), i, i+1), e, nil
}
